# Opens the door for those who show a certificate of ours; three come, and one of them has none.
import socket
import tls

PORT = 8443


def seen(cert, depth):
    print("certificate", depth, len(cert) > 100)
    return 0


ctx = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
ctx.load_cert_chain("server.pem", "server.key")
ctx.verify_mode = tls.CERT_REQUIRED
ctx.load_verify_locations(cafile="ca.pem")

listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
listener.listen(3)
print("ready", flush=True)

for i in range(3):
    ctx.verify_callback = seen if i == 2 else None
    conn, addr = listener.accept()
    try:
        door = ctx.wrap_socket(conn, server_side=True)
    except (OSError, ValueError) as er:
        print(type(er).__name__)
        conn.close()
        continue
    print(door.read(4), door.getpeercert(True) is not None)
    door.write(b"come in")
    door.close()
listener.close()
