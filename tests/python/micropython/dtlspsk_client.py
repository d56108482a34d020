# Sends three readings over DTLS, by a key of its own.
import socket
import tls

PORT = 8443

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
ctx = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)
ctx.psk_identity = b"meter"
ctx.psk_key = b"secret-of-the-meter"
s = ctx.wrap_socket(s)
buf = bytearray(64)
for i in range(3):
    s.write(b"reading %d" % i)
    n = s.recv_into(buf)
    print(bytes(buf[:n]))
s.close()
