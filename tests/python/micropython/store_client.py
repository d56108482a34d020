# Four ways to come to a server that shares keys; certificates are none of them.
import socket
import tls

PORT = 8443


def visit(ctx):
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    try:
        s = ctx.wrap_socket(s, server_hostname="hub.local")
        s.write(b"hello")
        print(s.read(5))
    except OSError:
        print("handshake failed")
    s.close()


for identity, key in ((b"garden", b"secret-of-the-garden"), (b"broken", b"x"), (b"stranger", b"x")):
    ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    ctx.psk_key = key
    ctx.psk_identity = identity
    visit(ctx)
ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
ctx.verify_mode = tls.CERT_NONE
visit(ctx)
