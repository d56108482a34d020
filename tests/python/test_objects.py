import errno
import io

from support import (
    alternate, Case, cert_contexts, CLIENTS, CLOSE, CONN_EOF, context, der, memory_pair, outcome, over_both, Pipe,
    pipes, psk_contexts, SERVERS, Task, tls, WAIT,
)


class Bare:
    """The least that a transport must have."""

    def __init__(self, readinto, write=len):
        self.readinto = readinto
        self.write = write


def deferred(transport, protocol=0, **keywords):
    ctx = context(protocol, verify_mode=tls.CERT_NONE)
    return ctx.wrap_socket(transport, do_handshake_on_connect=False, **keywords)


class Transports(Case):
    "an object as transport"

    @over_both
    def test_carries_a_session(self, dtls):
        c, s = self.memory(dtls)
        self.assert_talks(c, s)
        self.assertEqual(c.version(), "DTLSv1.2" if dtls else "TLSv1.2")
        c.close()
        self.assertEqual(s.read(1), b"")

    @over_both
    def test_carries_certificates(self, dtls):
        client, server = cert_contexts(dtls)
        c, s = memory_pair(client, server, dtls)
        self.assert_talks(c, s)
        self.assertEqual(c.getpeercert(True), der("server"))

    def test_carries_bulk(self):
        c, s = self.memory()
        bulk = bytes(range(256)) * 1000
        sent = 0
        while sent < len(bulk):
            sent += c.write(bulk[sent:])
        got = b""
        while len(got) < len(bulk):
            got += s.read(len(bulk) - len(got))
        self.assertEqual(got, bulk)

    def test_may_give_and_take_little_at_a_time(self):
        a, b = pipes()
        a.write = lambda data: Pipe.write(a, data[:7])
        b.write = lambda data: Pipe.write(b, data[:1])
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        self.assert_talks(c, s)

    def test_may_block(self):
        a, b = self.sockets()

        def over(sock):
            return Bare(lambda buffer: sock.recv_into(buffer), lambda data: sock.send(data))

        client, server = psk_contexts()
        task = Task(server.wrap_socket, over(b))
        c = client.wrap_socket(over(a))
        self.assert_talks(c, task.result())

    def test_may_be_such_a_socket_itself(self):
        a, b = self.sockets()
        outer = self.psk(ends=(a, b))
        for end in outer:
            end.setblocking(False)
        c, s = (
            ctx.wrap_socket(end, server_hostname=name, do_handshake_on_connect=False)
            for ctx, end, name in zip(cert_contexts(), outer, ("localhost", None))
        )
        alternate(c, s)
        self.assert_talks(c, s)
        c.close()
        self.assertEqual((s.read(1), outer[0].fileno()), (b"", -1))

    def test_needs_readinto_and_write(self):
        class Half:
            def write(self, data):
                return len(data)

        self.refuses((TypeError, AttributeError, OSError), deferred, Half())
        self.refuses((TypeError, AttributeError, OSError), deferred, object())

    def test_may_be_a_BytesIO(self):
        sock = tls.wrap_socket(io.BytesIO(), server_side=1, do_handshake=False)
        self.assert_os_error(CONN_EOF, sock.read, 8)
        sock.close()
        sock.close()
        self.assertRaises(OSError, sock.read, 10)
        self.assertRaises(OSError, sock.write, b"aaaa")
        self.assert_os_error(CONN_EOF, tls.wrap_socket, io.BytesIO())

    def test_whose_fileno_raises_has_none(self):
        a, b = pipes()

        def fileno():
            raise OSError("none here")

        a.fileno = fileno
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        self.assert_talks(c, s)
        fd = outcome(c.fileno)
        self.assertTrue(fd == -1 or isinstance(fd, OSError), fd)

    def test_that_has_nothing_makes_calls_return_None(self):
        for blocking in (None, True, False):
            sock = deferred(Bare(lambda buffer: None, lambda data: None))
            if blocking is not None:
                outcome(sock.setblocking, blocking)
            for call in (sock.read, sock.recv):
                self.assertIsNone(call(10))
            self.assertIsNone(sock.readinto(bytearray(1)))
            self.assertIsNone(sock.recv_into(bytearray(1)))
            self.assertIsNone(sock.readline())
            self.assertIsNone(sock.write(b"x"))
            self.assertIsNone(sock.send(b"x"))

    def test_that_has_nothing_after_the_handshake_makes_calls_return_None(self):
        c, s = self.memory()
        c.setblocking(True)
        self.assertIsNone(c.read(10))
        self.assertIsNone(c.readline())
        c.settimeout(WAIT) if hasattr(c, "settimeout") else None
        self.assertIsNone(c.recv(10))

    def test_over_which_nobody_answers_makes_dtls_wait(self):
        sent = []
        client = deferred(Bare(lambda buffer: None, lambda data: sent.append(data[0]) or len(data)), CLIENTS[True])
        servers = [deferred(Bare(lambda buffer: None), SERVERS[True], client_id=id) for id in (b"nobody", None)]
        for _ in range(10):
            self.assertIsNone(client.write(b"test"))
            self.assertEqual([server.read(1024) for server in servers], [None, None])
        self.assertEqual(sent, [22], "one ClientHello")

    def test_that_ends_is_an_end_of_file(self):
        sock = deferred(Bare(lambda buffer: 0))
        self.assert_os_error(CONN_EOF, sock.read, 1)

    def test_that_ends_without_close_notify_gives_its_data_first(self):
        a, b = pipes()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        c.write(b"last words")
        b.ended = True
        self.assertEqual(s.read(100), b"last words")
        self.assert_os_error(CONN_EOF, s.read, 100)

    def test_negative_results_are_errnos(self):
        for code in (errno.EIO, errno.EHOSTUNREACH, errno.ECONNRESET, errno.EPIPE):
            with self.subTest(code):
                error = self.refuses(OSError, deferred(Bare(lambda buffer: -code)).read, 1)
                self.assertEqual(error.errno, code)
                error = self.refuses(OSError, deferred(Bare(lambda buffer: None, lambda data: -code)).write, b"x")
                self.assertEqual(error.errno, code)
        error = outcome(deferred(Bare(lambda buffer: -errno.ECONNRESET)).read, 1)
        self.assertIsInstance(error, ConnectionResetError)

    def test_minus_EAGAIN_is_no_error(self):
        self.assertIsNone(deferred(Bare(lambda buffer: -errno.EAGAIN)).read(1))
        self.assertIsNone(deferred(Bare(lambda buffer: None, lambda data: -errno.EAGAIN)).write(b"x"))

    def test_exceptions_propagate(self):
        for kind in (ZeroDivisionError, OSError, KeyboardInterrupt, SystemExit):
            trouble = kind("in the transport")

            def fail(buffer):
                raise trouble

            for transport, call in (
                (Bare(fail), lambda sock: sock.read(1)),
                (Bare(lambda buffer: None, fail), lambda sock: sock.write(b"x")),
                (Bare(fail), lambda sock: sock.do_handshake()),
            ):
                with self.assertRaises(kind) as caught:
                    call(deferred(transport))
                self.assertIs(caught.exception, trouble)

    def test_exceptions_after_the_handshake_propagate(self):
        a, b = pipes()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        trouble = ZeroDivisionError()

        def fail(buffer):
            raise trouble

        a.readinto = a.write = fail
        for call in (lambda: c.read(1), lambda: c.write(b"x")):
            self.assertIn(trouble, (outcome(call), getattr(outcome(call), "__cause__", None)))
        c.close()

    def test_wrong_results_are_errors(self):
        for result in (10**6, "x", 1.5, b"x", 2**70):
            with self.subTest(result):
                self.refuses((TypeError, ValueError, OSError, OverflowError), deferred(Bare(lambda b: result)).read, 1)
                sock = deferred(Bare(lambda buffer: None, lambda data: result))
                self.refuses((TypeError, ValueError, OSError, OverflowError), sock.write, b"x")

    def test_may_keep_the_buffers_it_was_given(self):
        kept = []
        a, b = pipes()
        a.readinto = lambda buffer: kept.append(buffer) or Pipe.readinto(a, buffer)
        a.write = lambda data: kept.append(data) or Pipe.write(a, data)
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        self.assert_talks(c, s)
        c.close()
        del c
        for buffer in kept:
            outcome(bytes, buffer)
            outcome(lambda: buffer.__setitem__(0, 0))

    def test_may_call_the_socket_it_carries(self):
        calls = []

        def readinto(buffer):
            calls.append([outcome(call) for call in (sock.cipher, sock.fileno, sock.pending, lambda: sock.read(1))])
            return None

        sock = deferred(Bare(readinto))
        outcome(sock.read, 1)
        self.assertTrue(calls)

    def test_may_close_the_socket_it_carries(self):
        def readinto(buffer):
            outcome(sock.close)
            return None

        sock = deferred(Bare(readinto))
        outcome(sock.read, 1)
        sock.close()
        self.assertRaises(OSError, sock.read, 1)


class Setblocking(Case):
    "setblocking over an object"

    def test_is_passed_on_as_a_bool(self):
        a, _ = pipes()
        sock = deferred(a)
        for value in (False, True, 0, 1):
            sock.setblocking(value)
        self.assertEqual(a.blocking, [False, True, False, True])
        self.assertEqual([type(flag) for flag in a.blocking], [bool] * 4)

    def test_is_called_by_nothing_else(self):
        a, b = pipes()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        outcome(c.settimeout, 1)
        outcome(c.settimeout, None)
        alternate(c, s)
        self.assert_talks(c, s)
        c.close()
        s.close()
        self.assertEqual((a.blocking, b.blocking), ([], []))

    def test_without_such_a_method_is_an_error_that_says_so(self):
        error = outcome(deferred(Bare(lambda buffer: None)).setblocking, False)
        self.assertTrue(error is None or isinstance(error, (AttributeError, NotImplementedError, OSError)), error)

    def test_propagates_its_exception(self):
        a, _ = pipes()
        trouble = ZeroDivisionError()

        def setblocking(flag):
            raise trouble

        a.setblocking = setblocking
        self.assertIs(outcome(deferred(a).setblocking, True), trouble)


class Closing(Case):
    "close over an object"

    def test_calls_its_ioctl_once(self):
        for shaken in (False, True):
            a, b = pipes()
            c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
            s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
            if shaken:
                alternate(c, s)
            for _ in range(2):
                c.close()
                c.ioctl(CLOSE, 0)
            self.assertEqual((a.closed, b.closed), ([0], []))

    def test_by_ioctl_calls_its_ioctl_once(self):
        a, _ = pipes()
        sock = deferred(a)
        self.assertEqual([sock.ioctl(CLOSE, 0), sock.ioctl(CLOSE, 0)], [0, 0])
        self.assertEqual(a.closed, [0])

    def test_sends_close_notify_first(self):
        a, b = pipes()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        sent_before_close = []
        a.ioctl = lambda request, argument: sent_before_close.append(len(b.inbox)) or 0
        c.close()
        self.assertEqual(sent_before_close, [1])

    def test_needs_no_ioctl(self):
        sock = deferred(Bare(lambda buffer: None))
        sock.close()
        sock.close()
        self.assertRaises(OSError, sock.read, 1)

    def test_works_when_the_object_fails(self):
        a, b = pipes()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        alternate(c, s)
        a.write = lambda data: -errno.EPIPE
        c.close()
        self.assertEqual(a.closed, [0])

    def test_happens_in_no_wrap_that_fails(self):
        a, _ = pipes()
        ctx = tls.SSLContext(0)
        self.refuses(ValueError, ctx.wrap_socket, a)
        a.readinto = lambda buffer: 0
        self.refuses(OSError, psk_contexts()[0].wrap_socket, a)
        self.assertEqual(a.closed, [])
