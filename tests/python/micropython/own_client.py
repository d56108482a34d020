# Trusts one device, whose certificate it has.
import socket
import tls

PORT = 8443

with open("selfsigned.pem", "rb") as f:
    cadata = f.read()

seen = []


def verify(cert, depth):
    seen.append((len(cert.hex()) > 200, depth))
    return 0


def connect():
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    return s


s = tls.wrap_socket(connect(), cert_reqs=tls.CERT_REQUIRED, server_hostname="localhost", cadata=cadata)
s.write(b"client to server")
print(s.read(16))
s.close()

ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
ctx.verify_mode = tls.CERT_REQUIRED
ctx.verify_callback = verify
ctx.load_verify_locations(cadata)
ciphers = ctx.get_ciphers()
assert "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256" in ciphers
ctx.set_ciphers(["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"])
s = ctx.wrap_socket(connect(), server_hostname="localhost")
print(s.cipher())
s.write(b"client to server")
print(s.read(16), seen)
s.close()
