# A DTLS server for one client: the first hello only asks for a cookie, and the second wrap completes.
import socket
import tls

PORT = 8443

with open("server.der", "rb") as f:
    cert = f.read()
with open("server-sec1.der", "rb") as f:
    key = f.read()

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
print("ready", flush=True)

ctx = tls.SSLContext(tls.PROTOCOL_DTLS_SERVER)
ctx.load_cert_chain(cert, key)

while True:
    _, client_addr = s.recvfrom(1, socket.MSG_PEEK)
    s.connect(client_addr)
    try:
        conn = ctx.wrap_socket(s, server_side=True, client_id=repr(client_addr).encode())
    except OSError as er:
        print(er.args)
        continue
    break

for i in range(4):
    print(conn.recv(64))
    conn.send(b"server to client " + str(i).encode())
conn.close()
