# A DTLS server that shares a key with its one client.
import socket
import tls

PORT = 8443

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
print("ready", flush=True)

ctx = tls.SSLContext(tls.PROTOCOL_DTLS_SERVER)
ctx.server_psk_keys = {b"meter": b"secret-of-the-meter"}
for _ in range(2):
    _, addr = s.recvfrom(1, socket.MSG_PEEK)
    s.connect(addr)
    try:
        s = ctx.wrap_socket(s, server_side=1, client_id=repr(addr).encode())
    except OSError as er:
        print(er.args[0])
        continue
    while True:
        message = s.recv(64)
        if not message:
            break
        print(message)
        s.sendall(b"got " + message)
    s.close()
    break
