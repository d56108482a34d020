# What a program may do with objects that carry bytes themselves, and no network at all.
import _thread
import io
import tls


class Silent(io.IOBase):
    def write(self, data):
        return len(data)

    def readinto(self, buf):
        return None

    def ioctl(self, req, arg):
        return 0 if req == 4 else -1


class End(io.IOBase):
    def write(self, data):
        return len(data)

    def readinto(self, buf):
        return 0

    def ioctl(self, req, arg):
        print("ioctl", req, arg)
        return 0

    def setblocking(self, value):
        print("setblocking({})".format(value))


class Half(io.IOBase):
    def __init__(self):
        self.out = []

    def write(self, data):
        self.out.append(bytes(data))
        return len(data)

    def readinto(self, buf):
        if not self.other.out:
            return None
        data = self.other.out.pop(0)
        n = min(len(buf), len(data))
        buf[:n] = data[:n]
        if n < len(data):
            self.other.out.insert(0, data[n:])
        return n

    def ioctl(self, req, arg):
        if req != 3:
            return 0
        return arg & (4 | (1 if self.other.out else 0))


# DTLS where nobody answers, on either side.
ctx = tls.SSLContext(tls.PROTOCOL_DTLS_SERVER)
ctx.verify_mode = tls.CERT_NONE
server = ctx.wrap_socket(Silent(), do_handshake_on_connect=False)
ctx = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT)
ctx.verify_mode = tls.CERT_NONE
client = ctx.wrap_socket(Silent(), do_handshake_on_connect=False)
for _ in range(10):
    client.write(b"test")
    server.read(1024)
print("silence")

# A stream that has ended.
try:
    tls.wrap_socket(End(), server_hostname="test.example.com")
except OSError:
    print("no handshake")
s = tls.wrap_socket(End(), server_side=1, do_handshake=0)
s.setblocking(False)
s.setblocking(True)
for call, arg in ((s.write, b"aaaa"), (s.read, 8)):
    try:
        call(arg)
    except OSError:
        print("failed")
s.close()
s.close()
try:
    s.read(10)
except OSError:
    print("closed")
print(s.ioctl(4, 0), s.ioctl(3, 1))

# Both ends of a session in one program.
with open("server.der", "rb") as f:
    cert = f.read()
with open("server-sec1.der", "rb") as f:
    key = f.read()
a, b = Half(), Half()
a.other, b.other = b, a
client = tls.wrap_socket(a, do_handshake=False)
server = tls.wrap_socket(b, key=key, cert=cert, server_side=True, do_handshake=False)
while client.write(b"foobar") is None:
    server.read(6)
print(server.read(3), server.ioctl(3, 1), server.read(3), server.read(3))

# What is wrong is told at once, and leaves nothing behind.
for kwargs in ({"key": b"!"}, {"key": key}, {"key": key, "cert": b"!"}, {"cadata": b"!"}):
    try:
        tls.wrap_socket(io.BytesIO(), **kwargs)
    except (TypeError, ValueError) as er:
        print(type(er).__name__)
ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
for attempt in ("ctx.none", "ctx.none = 1", "del ctx.none"):
    try:
        exec(attempt)
    except AttributeError:
        print("AttributeError")

# Sockets are made and closed in two threads.
done = _thread.allocate_lock()
done.acquire()


def many(lock):
    ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    ctx.verify_mode = tls.CERT_NONE
    for _ in range(100):
        ctx.wrap_socket(Silent(), do_handshake_on_connect=False).close()
    if lock:
        lock.release()


_thread.start_new_thread(many, (done,))
many(None)
done.acquire()
print("done")
