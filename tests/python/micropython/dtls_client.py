# A DTLS client that verifies its server.
import socket
import tls

PORT = 8443

with open("ca.der", "rb") as f:
    cadata = f.read()

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])

ctx = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)
ctx.verify_mode = tls.CERT_REQUIRED
ctx.load_verify_locations(cadata)
s = ctx.wrap_socket(s, server_hostname="localhost")

for i in range(4):
    s.send(b"client to server " + str(i).encode())
    print(s.recv(64))
s.close()
