# Sends readings to the hub: once as the documentation has it today, and once in each of the older ways.
import socket
import tls

PORT = 8443

with open("ca.der", "rb") as f:
    cadata = f.read()


def connect():
    s = socket.socket()
    s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
    return s


def report(s, value):
    s.write(b"temperature %d\n" % value)
    print(s.read(len(b"got temperature %d\n" % value)))
    s.close()


ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
ctx.verify_mode = tls.CERT_REQUIRED
ctx.load_verify_locations(cadata)
report(ctx.wrap_socket(connect(), server_hostname="localhost"), 21)

s = tls.wrap_socket(connect(), cert_reqs=tls.CERT_REQUIRED, cadata=cadata, server_hostname="localhost")
report(s, 22)

s = connect()
s.setblocking(False)
s = tls.wrap_socket(s, do_handshake=False)
while s.write(b"temperature 23\n") is None:
    pass
answer = b""
while not answer.endswith(b"\n"):
    answer += s.read(100) or b""
print(answer)
s.close()

ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
try:
    ctx.wrap_socket(socket.socket())
except ValueError as er:
    print(er)
