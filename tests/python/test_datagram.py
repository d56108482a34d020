import errno
import select
import socket

from support import (
    BAD_INPUT_DATA, Case, HELLO_VERIFY_REQUIRED, INVALID, notes, outcome, pipes, POLL, psk_contexts, READ, Task, WAIT,
    wait_readable,
)

ADDRESSES = ("127.0.0.1", 0)


def is_hello(datagram):
    """A handshake record (RFC 6347, 4.1) with a ClientHello (RFC 5246, 7.4)."""
    return datagram[0] == 22 and datagram[13] == 1


class Messages(Case):
    "a DTLS socket"

    def setUp(self):
        self.a, self.b = self.sockets(dtls=True)
        self.c, self.s = self.psk(dtls=True, ends=(self.a, self.b))

    def test_keeps_messages_apart(self):
        for message in (b"one", b"two", b"three"):
            self.assertEqual(self.c.send(message), len(message))
        self.assertEqual([self.s.recv(100) for _ in range(3)], [b"one", b"two", b"three"])

    def test_reads_one_message_with_every_call(self):
        buffer = bytearray(10)
        for call in (
            self.s.read,
            self.s.recv,
            lambda n: buffer[: self.s.readinto(buffer)],
            lambda n: buffer[: self.s.recv_into(buffer)],
        ):
            self.c.write(b"one")
            self.c.write(b"two")
            self.assertEqual((call(100), call(100)), (b"one", b"two"))

    def test_loses_nothing_of_a_message_without_saying_so(self):
        self.c.write(b"0123456789")
        first = outcome(self.s.recv, 4)
        rest = self.s.recv(100)
        if isinstance(first, OSError):
            self.assertEqual(rest, b"0123456789")
        else:
            self.assertEqual(first + rest, b"0123456789")

    def test_tells_what_it_is(self):
        self.assertEqual((self.c.version(), self.c.cipher()[1]), ("DTLSv1.2", "DTLSv1.2"))
        self.assertEqual(self.c.cipher(), self.s.cipher())
        self.assertEqual(self.c.getpeername(), self.b.getsockname())
        self.assertEqual(self.s.fileno(), self.b.fileno())

    def test_refuses_a_message_that_is_too_long_and_goes_on(self):
        for size in (1201, 20000, 100000):
            error = self.refuses(OSError, self.c.send, bytes(size))
            self.assertEqual(error.errno, errno.EMSGSIZE)
        self.assert_talks(self.c, self.s)

    def test_ends_where_the_peer_closed(self):
        self.c.close()
        for _ in range(2):
            self.assertEqual(self.s.recv(10), b"")
            self.assertEqual(self.s.read(10), b"")
            self.assertEqual(self.s.readinto(bytearray(1)), 0)

    def test_closes_once_and_for_all(self):
        self.c.close()
        self.c.close()
        self.assertEqual(self.c.fileno(), -1)
        for call in (self.c.recv, self.c.read):
            self.assertIs(type(outcome(call, 1)), OSError)
        for call in (self.c.send, self.c.write):
            self.assertIs(type(outcome(call, b"x")), OSError)

    def test_reads_None_when_it_does_not_block(self):
        self.s.setblocking(False)
        for call in (self.s.recv, self.s.read):
            self.assertIsNone(call(10))
        self.assertIsNone(self.s.readinto(bytearray(1)))
        self.c.write(b"now")
        wait_readable(self.b)
        self.assertEqual(self.s.recv(10), b"now")

    def test_times_out_and_can_go_on(self):
        self.s.settimeout(0.01)
        for _ in range(3):
            self.assertRaises(TimeoutError, self.s.recv, 10)
        self.c.write(b"late")
        self.s.settimeout(WAIT)
        self.assertEqual(self.s.recv(10), b"late")

    def test_is_not_disturbed_by_junk(self):
        alert = b"\x15\xfe\xfd" + bytes(8) + b"\0\x02\x02\x28"
        for junk in (b"", b"x", bytes(100), b"\x17\xfe\xfd" + bytes(50), alert):
            self.a.send(junk)
        self.assert_talks(self.c, self.s)

    def test_a_peer_that_is_gone_is_no_end(self):
        self.s.setblocking(False)
        self.a.close()
        for _ in range(3):
            self.s.send(b"into the void")
        self.assertIsNone(self.s.recv(1))


class Server(Case):
    "a DTLS server"

    def bound(self):
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(ADDRESSES)
        return sock

    def client(self, b, **keywords):
        a = self.bound()
        a.connect(b.getsockname())
        return a, Task(outcome, psk_contexts(dtls=True)[0].wrap_socket, a)

    def test_finds_its_peer_by_itself(self):
        b = self.bound()
        a, task = self.client(b)
        s = self.keep(psk_contexts(dtls=True)[1].wrap_socket(b))
        c = self.keep(task.result())
        self.assert_talks(c, s)
        self.assertEqual(s.getpeername(), a.getsockname())
        stranger = self.bound()
        stranger.sendto(b"\x16\xfe\xfd", b.getsockname())
        self.assert_talks(c, s)

    def wrap_once(self, ctx, b, client_id):
        _, sender = b.recvfrom(1, socket.MSG_PEEK)
        b.connect(sender)
        return ctx.wrap_socket(b, server_side=True, client_id=client_id or repr(sender).encode())

    def test_with_client_id_asks_for_the_cookie_first(self):
        for client_id in (None, bytearray(b"an id"), memoryview(b"an id"), b"\0" * 64, b"long" * 100):
            with self.subTest(client_id):
                b = self.bound()
                ctx = psk_contexts(dtls=True)[1]
                _, task = self.client(b)
                error = self.assert_os_error(HELLO_VERIFY_REQUIRED, self.wrap_once, ctx, b, client_id)
                self.assertEqual((error.errno, error.strerror), HELLO_VERIFY_REQUIRED)
                s = self.keep(self.wrap_once(ctx, b, client_id))
                self.assert_talks(self.keep(task.result()), s)

    def test_with_client_id_asks_when_the_handshake_is_deferred(self):
        b = self.bound()
        ctx = psk_contexts(dtls=True)[1]
        _, task = self.client(b)
        _, sender = b.recvfrom(1, socket.MSG_PEEK)
        b.connect(sender)
        s = ctx.wrap_socket(b, do_handshake_on_connect=False, client_id=b"id")
        self.assert_os_error(HELLO_VERIFY_REQUIRED, s.do_handshake)
        s = self.keep(ctx.wrap_socket(b, do_handshake_on_connect=False, client_id=b"id"))
        self.assertTrue(s.write(b"welcome"))
        self.assertEqual(self.keep(task.result()).recv(100), b"welcome")

    def test_takes_a_cookie_for_its_own_client_id_alone(self):
        b = self.bound()
        ctx = psk_contexts(dtls=True)[1]
        _, task = self.client(b)
        self.assert_os_error(HELLO_VERIFY_REQUIRED, self.wrap_once, ctx, b, b"one")
        self.assert_os_error(HELLO_VERIFY_REQUIRED, self.wrap_once, ctx, b, b"another")
        self.assertFalse(isinstance(self.finish(ctx, b, task), Exception))

    def finish(self, ctx, b, task):
        """Wraps until the client is content."""
        for _ in range(10):
            s = outcome(self.wrap_once, ctx, b, b"another")
            if not isinstance(s, Exception):
                self.keep(s, task.result())
                return s
        return s

    def test_refuses_a_client_id_that_is_none(self):
        ctx = psk_contexts(dtls=True)[1]
        for bad in (b"", 5, 1.5):
            with self.subTest(bad):
                keywords = dict(client_id=bad, do_handshake_on_connect=False)
                self.refuses((TypeError, OSError), ctx.wrap_socket, self.bound(), names="client_id", **keywords)

    def test_over_an_object_needs_a_client_id(self):
        client, server = psk_contexts(dtls=True)
        for bad in ({}, {"client_id": None}, {"client_id": 5}):
            with self.subTest(bad):
                a, b = pipes(True)
                c = client.wrap_socket(a, do_handshake_on_connect=False)
                self.assertIsNone(c.read(1))
                self.assertTrue(b.inbox)
                self.refuses(OSError, lambda: server.wrap_socket(b, **bad).read(1), names="client_id")

    def nameless(self):
        """A server over an object, without client_id, and what carries it."""
        _, b = pipes(True)
        return psk_contexts(dtls=True)[1].wrap_socket(b, do_handshake_on_connect=False), b

    def test_over_an_object_without_client_id_has_nothing_to_read_until_a_hello_comes(self):
        s, b = self.nameless()
        for junk in (None, b"", b"x", b"\x16\xfe\xfd" + bytes(50)):
            b.inbox += [] if junk is None else [junk]
            self.assertIsNone(s.read(1))
            self.assertIsNone(s.write(b"x"))
            self.assertIsNone(s.do_handshake())
        self.assertEqual((s.timeout(), s.ioctl(POLL, READ), b.peer.inbox), (None, 0, []))

    def test_over_an_object_without_client_id_fails_for_good_when_a_hello_comes(self):
        for name, arguments in (("do_handshake", ()), ("read", (1,)), ("write", (b"x",))):
            s, b = self.nameless()
            c = psk_contexts(dtls=True)[0].wrap_socket(b.peer, do_handshake_on_connect=False)
            self.assertIsNone(s.read(1))
            self.assertIsNone(c.do_handshake())
            for _ in range(2):
                error = self.assert_os_error(BAD_INPUT_DATA, getattr(s, name), *arguments)
                self.assertRegex(notes(error), "client_id")
            self.assertEqual((s.ioctl(POLL, READ), b.peer.inbox), (INVALID, []))

    def test_over_an_object_without_client_id_does_not_wait_for_a_hello_when_it_is_wrapped(self):
        for keywords in ({}, {"client_id": None}, {"client_id": 5}, {"client_id": b""}):
            error = self.assert_os_error(
                BAD_INPUT_DATA, psk_contexts(dtls=True)[1].wrap_socket, pipes(True)[1], **keywords
            )
            self.assertRegex(notes(error), "client_id")

    def test_over_a_socket_without_address_needs_a_client_id_too(self):
        a, b = self.keep(*socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        client, server = psk_contexts(dtls=True)
        self.assert_os_error(BAD_INPUT_DATA, server.wrap_socket, b)
        for sock in (a, b):
            sock.setblocking(False)
        s = self.keep(server.wrap_socket(b, do_handshake_on_connect=False))
        self.assertIsNone(s.read(1))
        self.keep(client.wrap_socket(a, do_handshake_on_connect=False)).do_handshake()
        self.assert_os_error(BAD_INPUT_DATA, s.read, 1)

    def test_that_no_hello_has_reached_yet_can_be_unwrapped(self):
        a, b = pipes(True)
        for keywords in ({}, {"client_id": b"id"}):
            s = psk_contexts(dtls=True)[1].wrap_socket(b, do_handshake_on_connect=False, **keywords)
            self.assertIs(s.unwrap(), b)
        self.assertEqual(a.inbox, [])

    def test_over_an_object_works_with_a_client_id(self):
        self.assert_talks(*self.memory(dtls=True))


class Timers(Case):
    "DTLS timers"

    def setUp(self):
        self.a, self.b = self.sockets(dtls=True)
        self.client, self.server = psk_contexts(dtls=True)

    def deferred(self, ms=(50, 60000)):
        self.client.handshake_timeout = ms
        self.a.setblocking(False)
        return self.keep(self.client.wrap_socket(self.a, do_handshake_on_connect=False))

    def test_a_blocking_call_sends_again_by_itself(self):
        self.client.handshake_timeout = (20, 1000)
        task = Task(self.client.wrap_socket, self.a)
        for _ in range(3):
            self.assertTrue(is_hello(self.b.recv(2000)))
        s = self.keep(self.server.wrap_socket(self.b))
        self.assert_talks(self.keep(task.result()), s)

    def test_a_call_with_timeout_sends_again_by_itself(self):
        self.client.handshake_timeout = (20, 1000)
        self.a.settimeout(WAIT)
        task = Task(self.client.wrap_socket, self.a)
        for _ in range(3):
            self.assertTrue(is_hello(self.b.recv(2000)))
        s = self.keep(self.server.wrap_socket(self.b))
        self.assert_talks(self.keep(task.result()), s)

    def test_timeout_tells_the_next_deadline(self):
        c = self.deferred((40000, 60000))
        self.assertIn(c.timeout(), (None, -1))
        self.assertIsNone(c.read(1))
        self.assertGreater(c.timeout(), 0)
        self.assertLessEqual(c.timeout(), 44)

    def test_timeout_has_none_once_all_is_done(self):
        c, s = self.connect(self.client, self.server, (self.a, self.b), dtls=True)
        c.setblocking(False)
        s.setblocking(False)
        self.assertIsNone(c.read(1))
        self.assertIsNone(c.timeout())

    def test_over_tls_there_are_none(self):
        c, _ = self.psk()
        self.assertIsNone(c.timeout())

    def test_handle_timeout_sends_again(self):
        c = self.deferred()
        self.assertIsNone(c.read(1))
        self.assertTrue(is_hello(self.b.recv(2000)))
        for _ in range(2):
            while not select.select([self.b], [], [], 0)[0]:
                select.select([], [], [], max(c.timeout(), 0.001))
                c.handle_timeout()
            self.assertTrue(is_hello(self.b.recv(2000)))

    def test_handle_timeout_before_its_time_sends_nothing(self):
        c = self.deferred((60000, 60000))
        self.assertIsNone(c.read(1))
        self.b.recv(2000)
        c.handle_timeout()
        self.assertEqual(select.select([self.b], [], [], 0)[0], [])

    def test_a_handshake_that_nobody_answers_ends(self):
        self.client.handshake_timeout = (10, 20)
        with self.assertRaises(OSError) as caught:
            self.client.wrap_socket(self.a)
        self.assertTrue(notes(caught.exception))
        self.assertGreaterEqual(self.a.fileno(), 0)

    def test_work_in_an_event_loop(self):
        self.server.handshake_timeout = (50, 1000)
        c = self.deferred()
        self.b.setblocking(False)
        s = self.keep(self.server.wrap_socket(self.b, do_handshake_on_connect=False))
        drops, poll = 3, select.poll()
        poll.register(c, select.POLLIN)
        poll.register(self.b, select.POLLIN)
        c.read(1)
        while not (c.version() and s.version()):
            due = [t for t in (c.timeout(), s.timeout()) if t is not None]
            for fd, _ in poll.poll(min(due, default=1) * 1000):
                if fd == self.b.fileno() and drops:
                    drops -= 1
                    self.b.recv(2000)
                elif fd == c.fileno():
                    c.do_handshake()
                else:
                    s.do_handshake()
            for end in (c, s):
                end.handle_timeout()
        self.assertEqual(drops, 0)
        s.send(b"done")
        wait_readable(self.a)
        self.assertEqual(c.recv(10), b"done")
