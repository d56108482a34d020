# A client that never waits in a call, and one that does.
import select
import socket
import ussl

PORT = 8443


def step(s, poller, mask, call):
    while True:
        result = call()
        if result is not None:
            return result
        poller.modify(s, mask)
        poller.poll(1000)


s = socket.socket()
s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
s.setblocking(False)
s = ussl.wrap_socket(s, do_handshake=False)
poller = select.poll()
poller.register(s, select.POLLOUT)
step(s, poller, select.POLLIN, lambda: s.write(b"quick"))
buf = bytearray(5)
print(step(s, poller, select.POLLIN, lambda: s.readinto(buf)), bytes(buf))
s.close()
s.close()
try:
    s.read(1)
except OSError:
    print("closed")

s = socket.socket()
s.connect(socket.getaddrinfo("127.0.0.1", PORT)[0][-1])
s = ussl.wrap_socket(s, server_hostname="localhost")
s.setblocking(False)
print(s.read(1))
s.setblocking(True)
s.write(b"slow")
print(s.read(4))
s.close()
