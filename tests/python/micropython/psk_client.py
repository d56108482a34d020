# Three devices: two that the server knows, and one that it does not.
import socket
import tls

PORT = 8443

DEVICES = ((b"kitchen", b"secret-of-the-kitchen"), (b"cellar", b"no-such-device"), (b"attic", b"secret-of-the-attic"))

for identity, key in DEVICES:
    ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    ctx.psk_identity = identity
    ctx.psk_key = key
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    try:
        secure = ctx.wrap_socket(s, server_hostname="hub.local")
    except OSError:
        print("refused")
        s.close()
        continue
    secure.write(b"client to server")
    print(secure.read(16))
    secure.close()
