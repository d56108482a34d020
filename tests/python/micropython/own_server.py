# A device with a certificate that it has signed itself.
import socket
import tls

PORT = 8443

with open("selfsigned.pem", "rb") as f:
    cert = f.read()
with open("selfsigned.key", "rb") as f:
    key = f.read()

s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(socket.getaddrinfo("0.0.0.0", PORT)[0][-1])
s.listen(1)
print("ready", flush=True)
for _ in range(2):
    s2, _ = s.accept()
    s2 = tls.wrap_socket(s2, server_side=True, key=key, cert=cert)
    assert isinstance(s2.cipher(), tuple)
    print(s2.read(16))
    s2.write(b"server to client")
    s2.close()
s.close()
