"""What the tests share: certificates, contexts, pairs of sockets and of objects, and the other side in a thread."""

import contextlib
import functools
import os
import select
import socket
import tempfile
import threading
import unittest

import ssl_shim as tls

PKI = os.environ["PKI"]
IDENTITY = b"sensor-17"
KEY = bytes(range(16))
WAIT = 60  # seconds; a deadline for what must happen, never a measure
CONN_EOF = (-29312, "MBEDTLS_ERR_SSL_CONN_EOF")
BAD_CONFIG = (-24192, "MBEDTLS_ERR_SSL_BAD_CONFIG")
BAD_INPUT_DATA = (-28928, "MBEDTLS_ERR_SSL_BAD_INPUT_DATA")
FATAL_ALERT = (-30592, "MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE")
NO_CLIENT_CERTIFICATE = (-29824, "MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE")
HELLO_VERIFY_REQUIRED = (-27264, "MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED")
CLIENTS = (tls.PROTOCOL_TLS_CLIENT, tls.PROTOCOL_DTLS_CLIENT)
SERVERS = (tls.PROTOCOL_TLS_SERVER, tls.PROTOCOL_DTLS_SERVER)
POLL, CLOSE = 3, 4  # requests of ioctl()
READ, WRITE, INVALID = 1, 4, 32  # bits of POLL


def path(name):
    return os.path.join(PKI, name)


def data(name):
    with open(path(name), "rb") as file:
        return file.read()


def der(name):
    """The DER of a PEM certificate of the PKI."""
    import base64

    lines = data(name + ".pem").decode().split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    return base64.b64decode(lines)


def context(protocol, pair=None, ca=None, **attributes):
    ctx = tls.SSLContext(protocol)
    if protocol == tls.PROTOCOL_DTLS_CLIENT:  # which begins once more after an alert, for that may be forged
        ctx.handshake_timeout = (100, 60000)
    for name, value in attributes.items():
        setattr(ctx, name, value)
    if pair:
        ctx.load_cert_chain(path(pair + ".pem"), path(pair + ".key"))
    if ca:
        ctx.load_verify_locations(path(ca + ".pem"))
    return ctx


def psk_contexts(dtls=False):
    """A client's and a server's."""
    return (
        context(CLIENTS[dtls], psk_identity=IDENTITY, psk_key=KEY),
        context(SERVERS[dtls], server_psk_keys={IDENTITY: KEY}),
    )


def cert_contexts(dtls=False):
    return context(CLIENTS[dtls], ca="ca"), context(SERVERS[dtls], pair="server")


def tcp():
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        a = socket.create_connection(listener.getsockname())
        b, _ = listener.accept()
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return a, b


def udp():
    """Two UDP sockets that are connected to each other."""
    a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    a.bind(("127.0.0.1", 0))
    b.bind(("127.0.0.1", 0))
    a.connect(b.getsockname())
    b.connect(a.getsockname())
    return a, b


def sockets(dtls=False):
    return udp() if dtls else socket.socketpair()


class Task(threading.Thread):
    """A call in a thread; result() returns what it returns and raises what it raises."""

    def __init__(self, call, *args, **keywords):
        super().__init__(daemon=True)
        self.call = lambda: call(*args, **keywords)
        self.value = self.error = None
        self.start()

    def run(self):
        try:
            self.value = self.call()
        except BaseException as error:
            self.error = error

    def wait(self):
        """What it returned or raised."""
        self.join(WAIT)
        if self.is_alive():
            raise AssertionError("the other side still waits")
        return self.value if self.error is None else self.error

    def result(self):
        self.wait()
        if self.error is not None:
            raise self.error
        return self.value


def outcome(call, *args, **keywords):
    """What it returns, or the exception."""
    try:
        return call(*args, **keywords)
    except Exception as error:
        return error


def wait_readable(sock):
    if not select.select([sock], [], [], WAIT)[0]:
        raise AssertionError("nothing came")


def notes(error):
    return " ".join(getattr(error, "__notes__", []))


class Pipe:
    """One end of a transport in memory. readinto() and write() return None when they would block."""

    def __init__(self, datagrams=False):
        self.datagrams = datagrams
        self.inbox = []
        self.peer = None
        self.reads = self.writes = True  # whether they work now
        self.ended = False
        self.asked = []  # the masks of ioctl(POLL)
        self.closed = []
        self.blocking = []

    def readinto(self, buffer):
        if not self.reads or not self.inbox:
            return 0 if self.ended and not self.inbox else None
        chunk = self.inbox.pop(0)
        n = min(len(buffer), len(chunk))
        buffer[:n] = chunk[:n]
        if n < len(chunk) and not self.datagrams:
            self.inbox.insert(0, chunk[n:])
        return n

    def write(self, buffer):
        if not self.writes:
            return None
        self.peer.inbox.append(bytes(buffer))
        return len(buffer)

    def ioctl(self, request, argument):
        if request == CLOSE:
            self.closed.append(argument)
            return 0
        assert request == POLL
        self.asked.append(argument)
        ready = (READ if self.reads and self.inbox else 0) | (WRITE if self.writes else 0)
        return argument & ready

    def setblocking(self, flag):
        self.blocking.append(flag)


def pipes(datagrams=False):
    a, b = Pipe(datagrams), Pipe(datagrams)
    a.peer, b.peer = b, a
    return a, b


def alternate(a, b):
    """Two ends that do not block shake hands in one thread."""
    for _ in range(100):
        if a.version() and b.version():
            return
        for end in (a, b):
            if not end.version():
                end.do_handshake()
    raise AssertionError("a hundred turns were not enough")


def memory_pair(client, server, dtls=False, **keywords):
    """A client and a server over Pipes, shaken."""
    a, b = pipes(dtls)
    if dtls:
        keywords.setdefault("client_id", b"memory")
        b = offer_cookie(client, server, a, b, keywords)
        return b
    c = client.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False)
    s = server.wrap_socket(b, do_handshake_on_connect=False, **keywords)
    alternate(c, s)
    return c, s


def offer_cookie(client, server, a, b, keywords):
    """A DTLS server with a client_id: its first handshake ends with the question for a cookie."""
    c = client.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False)
    c.do_handshake()
    try:
        server.wrap_socket(b, **keywords)
        raise AssertionError("no HelloVerifyRequest")
    except OSError as error:
        if error.args != HELLO_VERIFY_REQUIRED:
            raise
    c.do_handshake()
    s = server.wrap_socket(b, do_handshake_on_connect=False, **keywords)
    alternate(c, s)
    return c, s


def over_both(test):
    """The test takes whether it goes over DTLS, and runs for both."""

    @functools.wraps(test)
    def run(self):
        for dtls in (False, True):
            with self.subTest(dtls=dtls):
                test(self, dtls)

    return run


class Case(unittest.TestCase):
    """Closes what it made; a side in a thread is always collected."""

    def keep(self, *closeables):
        for each in closeables:
            self.addCleanup(self.quiet_close, each)
        return closeables if len(closeables) > 1 else closeables[0]

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    @staticmethod
    def quiet_close(closeable):
        with contextlib.suppress(OSError):
            closeable.close()

    def sockets(self, dtls=False):
        return self.keep(*sockets(dtls))

    def tcp(self):
        return self.keep(*tcp())

    def shake(self, client, server, ends=None, **keywords):
        """What wrapping gave on either side: two SSLSockets, or exceptions."""
        dtls = keywords.pop("dtls", False)
        keywords.setdefault("server_hostname", "localhost")
        a, b = ends or self.sockets(dtls)
        task = Task(self.wrap_or_end, server, b, server_side=True)
        c = outcome(self.wrap_or_end, client, a, **keywords)
        s = task.wait()
        for end in (c, s):
            if not isinstance(end, BaseException):
                self.keep(end)
        return c, s

    @staticmethod
    def wrap_or_end(ctx, sock, **keywords):
        """A side that fails without a word must not leave the other waiting."""
        try:
            return ctx.wrap_socket(sock, **keywords)
        except BaseException:
            if sock.type == socket.SOCK_STREAM:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            raise

    def connect(self, client, server, ends=None, **keywords):
        c, s = self.shake(client, server, ends, **keywords)
        for end in (c, s):
            if isinstance(end, Exception):
                raise end
        return c, s

    def psk(self, dtls=False, ends=None):
        return self.connect(*psk_contexts(dtls), ends, dtls=dtls)

    def certs(self, dtls=False, ends=None):
        return self.connect(*cert_contexts(dtls), ends, dtls=dtls)

    def memory(self, dtls=False):
        return self.keep(*memory_pair(*psk_contexts(dtls), dtls=dtls))

    def assert_talks(self, a, b):
        for there, back in ((a, b), (b, a)):
            there.write(b"ping")
            self.assertEqual(back.recv(100), b"ping")

    def refuses(self, kinds, call, *args, names=".", **keywords):
        """It raises one of these kinds exactly, and its message or note names (a regular expression) the argument."""
        with self.assertRaises(kinds) as caught:
            result = call(*args, **keywords)
            self.keep(result) if hasattr(result, "close") else None
        error = caught.exception
        self.assertRegex(f"{error} {notes(error)}", names)
        return error

    def assert_os_error(self, expected, call, *args, **keywords):
        with self.assertRaises(OSError) as caught:
            call(*args, **keywords)
        self.assertEqual(caught.exception.args, expected)
        return caught.exception
