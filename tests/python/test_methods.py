import errno
import io

from support import (
    Case, cert_contexts, CLOSE, IDENTITY, INVALID, outcome, over_both, pipes, POLL, psk_contexts, READ, WRITE,
)


class Methods(Case):
    "SSLSocket before its handshake, and after close"

    CALLS = (
        ("cipher",),
        ("version",),
        ("pending",),
        ("selected_alpn_protocol",),
        ("getpeercert", True),
        ("getpeername",),
        ("fileno",),
        ("gettimeout",),
        ("settimeout", 1.5),
        ("setblocking", False),
        ("timeout",),
        ("handle_timeout",),
        ("ioctl", POLL, READ | WRITE),
        ("read", 1),
        ("recv", 1),
        ("readline",),
        ("readinto", bytearray(1)),
        ("recv_into", bytearray(1)),
        ("write", b"x"),
        ("send", b"x"),
        ("sendall", b"x"),
        ("do_handshake",),
        ("unwrap",),
        ("ioctl", CLOSE, 0),
        ("close",),
    )

    def call_all(self, sock, errors=(OSError, ValueError)):
        for name, *arguments in self.CALLS:
            with self.subTest(name):
                result = outcome(getattr(sock, name), *arguments)
                if isinstance(result, Exception):
                    self.assertIsInstance(result, errors)

    NOTHING = (
        (None, "cipher"),
        (None, "version"),
        (None, "selected_alpn_protocol"),
        (None, "getpeercert", True),
        (None, "timeout"),
        (None, "handle_timeout"),
        (0, "pending"),
    )

    def assert_results(self, sock, *expected):
        for result, name, *arguments in self.NOTHING + expected:
            with self.subTest(name, arguments=arguments):
                self.assertEqual(outcome(getattr(sock, name), *arguments), result)

    @over_both
    def test_tells_what_there_is_before(self, dtls):
        for side in (0, 1):
            a, _ = self.sockets(dtls)
            a.setblocking(False)
            sock = self.keep(psk_contexts(dtls)[side].wrap_socket(a, do_handshake_on_connect=False))
            self.assert_results(
                sock,
                (a.fileno(), "fileno"),
                (a.getpeername(), "getpeername"),
                (0.0, "gettimeout"),
                (WRITE, "ioctl", POLL, READ | WRITE),
                (b"", "read", 0),
                (b"", "recv", 0),
                (b"", "readline", 0),
                (0, "readinto", bytearray()),
                (0, "recv_into", bytearray()),
                (None, "settimeout", 1.5),
                (1.5, "gettimeout"),
                (None, "setblocking", False),
                (0.0, "gettimeout"),
            )
            self.assertEqual(sock.psk_identity, None if side else IDENTITY)

    @over_both
    def test_tells_what_there_is_after(self, dtls):
        for shaken in (False, True):
            a, b = self.sockets(dtls)
            if shaken:
                sock, _ = self.psk(dtls, ends=(a, b))
            else:
                sock = psk_contexts(dtls)[0].wrap_socket(a, do_handshake_on_connect=False)
            sock.close()
            self.assert_results(
                sock,
                (-1, "fileno"),
                (None, "gettimeout"),
                (INVALID, "ioctl", POLL, READ | WRITE),
                (0, "ioctl", CLOSE, 0),
                (None, "close"),
                (None, "settimeout", 0),
                (0.0, "gettimeout"),
            )
            self.assertIsNone(sock.psk_identity)
            for name, *arguments in self.CLOSED:
                with self.subTest(name, arguments=arguments):
                    error = self.refuses(OSError, getattr(sock, name), *arguments)
                    self.assertEqual((type(error), error.errno), (OSError, errno.EBADF))

    CLOSED = (
        ("do_handshake",),
        ("unwrap",),
        ("getpeername",),
        ("setblocking", True),
        ("read",),
        ("read", 0),
        ("read", 5),
        ("recv", 0),
        ("recv", 5),
        ("readline",),
        ("readline", 0),
        ("readinto", bytearray()),
        ("readinto", bytearray(5)),
        ("recv_into", bytearray(5)),
        ("write", b""),
        ("write", b"x"),
        ("send", b""),
        ("send", b"x"),
        ("sendall", b""),
        ("sendall", b"x"),
    )

    def test_over_an_object_have_a_timeout_that_means_nothing(self):
        sock = psk_contexts()[0].wrap_socket(pipes()[0], do_handshake_on_connect=False)
        error = self.refuses(OSError, sock.getpeername)
        self.assertEqual((error.errno, sock.fileno()), (errno.ENOTCONN, -1))
        sock.settimeout(60)
        self.assertIsNone(sock.read(1))

    def test_getpeercert_gives_der_alone(self):
        c, _ = self.connect(*cert_contexts())
        for arguments, keywords in (((), {}), ((False,), {}), ((), {"binary_form": False})):
            self.refuses(NotImplementedError, c.getpeercert, *arguments, **keywords)
        self.assertEqual(c.getpeercert(1), c.getpeercert(binary_form=True))
        self.refuses(TypeError, c.getpeercert, True, True)

    def test_has_no_unknown_attributes(self):
        a, _ = self.sockets()
        sock = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertRaises(AttributeError, getattr, sock, "no_such_attribute")
        self.assertRaises(AttributeError, setattr, sock, "no_such_attribute", 1)
        self.assertRaises(AttributeError, delattr, sock, "no_such_attribute")
        for name in ("psk_identity", "read"):
            self.assertRaises(AttributeError, setattr, sock, name, None)
            self.assertRaises(AttributeError, delattr, sock, name)

    def test_gives_results_or_errors_and_never_crashes(self):
        for dtls in (False, True):
            for ctx in psk_contexts(dtls):
                a, b = self.sockets(dtls)
                a.setblocking(False)
                sock = self.keep(ctx.wrap_socket(a, do_handshake_on_connect=False))
                self.call_all(sock)
                self.call_all(sock)

    def test_gives_results_or_errors_over_an_object_too(self):
        for dtls, transport in ((False, io.BytesIO()), (True, pipes(True)[0])):
            sock = psk_contexts(dtls)[0].wrap_socket(transport, do_handshake_on_connect=False)
            for _ in range(2):
                self.call_all(sock, (OSError, ValueError, AttributeError))  # what the object has not

    def test_is_made_by_contexts_alone(self):
        a, _ = self.sockets()
        kind = type(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertEqual(kind.__name__, "SSLSocket")
        self.assertRaises(TypeError, kind)
        self.assertRaises(TypeError, kind, a)

    def test_has_the_repr_of_its_type(self):
        a, _ = self.sockets()
        sock = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertEqual(repr(sock), object.__repr__(sock))
        sock.close()
        self.assertEqual(repr(sock), object.__repr__(sock))
