# Serves devices that share a key with it; one of them is unknown.
import socket
import tls

PORT = 8443

ctx = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
ctx.server_psk_keys = {b"kitchen": b"secret-of-the-kitchen", b"attic": b"secret-of-the-attic"}

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
listener.listen(3)
print("ready", flush=True)

for _ in range(3):
    conn, addr = listener.accept()
    try:
        secure = ctx.wrap_socket(conn, server_side=True)
    except OSError:
        print("refused")
        conn.close()
        continue
    print(secure.read(16))
    secure.write(b"server to client")
    secure.close()
listener.close()
