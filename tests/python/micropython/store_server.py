# An object looks its keys up: for a device that it knows, one that it does not, and one whose key it has lost.
import socket
import tls

PORT = 8443


class Store:
    def get(self, identity):
        print("lookup", identity)
        if identity == b"garden":
            return bytearray(b"secret-of-the-garden")
        if identity == b"broken":
            return 12345
        return None


ctx = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
ctx.server_psk_keys = Store()

s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
s.listen(4)
print("ready", flush=True)
for _ in range(4):
    s2, _ = s.accept()
    try:
        conn = ctx.wrap_socket(s2, server_side=True)
    except OSError:
        print("handshake failed")
        s2.close()
        continue
    print(conn.read(5), "PSK" in conn.cipher()[0])
    conn.write(b"world")
    conn.close()
s.close()
