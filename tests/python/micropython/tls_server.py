# A sensor hub over TLS: answers each line of each client, three clients, one after the other.
import socket
import tls

PORT = 8443

ctx = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
with open("server.der", "rb") as f:
    cert = f.read()
with open("server-sec1.der", "rb") as f:
    key = f.read()
ctx.load_cert_chain(cert, key)

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
listener.listen(1)
print("ready", flush=True)

for _ in range(3):
    conn, addr = listener.accept()
    conn = ctx.wrap_socket(conn, server_side=True)
    while True:
        line = conn.readline()
        if not line:
            break
        print(line)
        conn.write(b"got " + line)
    conn.close()
listener.close()
