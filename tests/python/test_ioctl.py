import errno
import select

from support import (
    alternate, Case, CLOSE, INVALID, offer_cookie, over_both, pipes, POLL, psk_contexts, READ, WAIT, wait_readable,
    WRITE,
)


class Requests(Case):
    "ioctl"

    def socket(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        return c, s, b

    def test_knows_two_requests(self):
        c, _, _ = self.socket()
        memory = psk_contexts()[0].wrap_socket(pipes()[0], do_handshake_on_connect=False)
        for sock in (c, memory):
            for request in (-1, 0, 1, 2, 5, 10, 1000):
                error = self.refuses(OSError, sock.ioctl, request, 0)
                self.assertEqual(error.errno, errno.EINVAL)

    def test_4_closes_and_returns_0_again_and_again(self):
        c, s, _ = self.socket()
        self.assertEqual([c.ioctl(CLOSE, 0) for _ in range(3)], [0, 0, 0])
        self.assertEqual(c.fileno(), -1)
        self.assertEqual(s.read(1), b"")

    def test_3_polls_a_descriptor(self):
        c, s, b = self.socket()
        both = READ | WRITE
        self.assertEqual([s.ioctl(POLL, mask) for mask in (0, READ, WRITE, both)], [0, 0, WRITE, WRITE])
        c.write(b"x")
        wait_readable(b)
        self.assertEqual([s.ioctl(POLL, mask) for mask in (0, READ, WRITE, both)], [0, READ, WRITE, both])

    def test_3_tells_that_there_is_no_room(self):
        c, s, b = self.socket()
        c.setblocking(False)
        while c.write(bytes(16384)):
            pass
        self.assertEqual(c.ioctl(POLL, WRITE), 0)

    def test_3_tells_decrypted_bytes(self):
        c, s, b = self.socket()
        c.write(b"0123456789")
        self.assertEqual(s.recv(3), b"012")
        self.assertEqual(select.select([b], [], [], 0)[0], [], "the descriptor itself is quiet")
        self.assertEqual(s.ioctl(POLL, READ), READ)
        self.assertEqual(s.ioctl(POLL, READ | WRITE), READ | WRITE)
        s.recv(100)
        self.assertEqual(s.ioctl(POLL, READ), 0)

    def test_3_returns_32_once_closed(self):
        for sock in (self.socket()[0], self.memory()[0], self.memory(dtls=True)[0]):
            sock.close()
            for mask in (0, READ, WRITE, READ | WRITE):
                self.assertEqual(sock.ioctl(POLL, mask), INVALID)
            self.assertEqual(sock.ioctl(CLOSE, 0), 0)

    def test_3_returns_32_after_a_fatal_error(self):
        a, b = self.sockets()
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        b.send(b"HTTP/1.1 400 no TLS here\r\n\r\n")
        self.assertRaises(OSError, c.read, 1)
        self.assertEqual(c.ioctl(POLL, READ), INVALID)

    def test_3_asks_a_descriptor_for_the_direction_of_the_handshake(self):
        a, b = self.sockets()
        a.setblocking(False)
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertIsNone(c.write(b"foo"))
        self.assertEqual([c.ioctl(POLL, mask) for mask in (READ, WRITE, READ | WRITE)], [0, 0, 0])
        b.send(b"\x15")
        self.assertEqual([c.ioctl(POLL, mask) for mask in (READ, WRITE, READ | WRITE)], [READ, WRITE, READ | WRITE])
        self.assertIsNone(c.read(1))
        self.assertEqual([c.ioctl(POLL, mask) for mask in (READ, WRITE)], [0, WRITE])

    def test_3_asks_a_full_descriptor_for_room_after_a_read_that_must_write(self):
        a, b = self.sockets()
        a.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while a.send(bytes(4096)):
                pass
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertIsNone(c.read(1))
        b.send(b"\x15")
        self.assertEqual([c.ioctl(POLL, mask) for mask in (READ, WRITE)], [0, 0])
        while not select.select([], [a], [], 0)[1]:
            b.recv(100000)
        self.assertEqual([c.ioctl(POLL, mask) for mask in (READ, WRITE)], [READ, WRITE])

    def test_takes_two_ints(self):
        c, _, _ = self.socket()
        for arguments in ((), (POLL,), (POLL, "1"), ("3", 1), (POLL, 1, 1)):
            self.refuses(TypeError, c.ioctl, *arguments)


class Readiness(Case):
    "readiness"

    @over_both
    def test_is_that_of_the_descriptor(self, dtls):
        a, b = self.sockets(dtls)
        c, s = self.psk(dtls, ends=(a, b))
        poll = select.poll()
        poll.register(s, select.POLLIN | select.POLLOUT)
        self.assertEqual(poll.poll(0), [(s.fileno(), select.POLLOUT)])
        self.assertEqual(select.select([s], [s], [], 0), ([], [s], []))
        c.write(b"x")
        self.assertEqual(select.select([s], [], [], WAIT)[0], [s])
        self.assertEqual(s.recv(1), b"x")
        self.assertEqual(select.select([s], [], [], 0)[0], [])

    def test_works_in_selectors(self):
        import selectors

        c, s = self.psk()
        s.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(s, selectors.EVENT_READ)
            self.assertEqual(selector.select(0), [])
            c.write(b"x")
            self.assertEqual(len(selector.select(WAIT)), 1)
            self.assertEqual(s.recv(1), b"x")


class Asking(Case):
    "ioctl(3) over an object"

    def wrap(self):
        a, b = pipes()
        c = psk_contexts()[0].wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False)
        s = psk_contexts()[1].wrap_socket(b, do_handshake_on_connect=False)
        return a, b, c, s

    def assert_asks(self, sock, transport, mask, asked, answer):
        transport.asked.clear()
        self.assertEqual((sock.ioctl(POLL, mask), transport.asked), (answer, asked))

    def test_asks_for_the_callers_own_direction(self):
        a, b, c, s = self.wrap()
        self.assert_asks(c, a, READ, [READ], 0)
        self.assert_asks(c, a, WRITE, [WRITE], WRITE)
        self.assert_asks(c, a, READ | WRITE, [READ | WRITE], WRITE)
        b.write(b"\x15")
        self.assert_asks(c, a, READ, [READ], READ)

    def test_asks_for_writing_after_a_read_that_must_write(self):
        a, b, c, s = self.wrap()
        a.writes = False
        self.assertIsNone(c.read(10))
        for mask in (READ, WRITE, READ | WRITE):
            self.assert_asks(c, a, mask, [WRITE], 0)
        a.writes = True
        for mask in (READ, WRITE, READ | WRITE):
            self.assert_asks(c, a, mask, [WRITE], mask)

    def test_asks_for_reading_after_a_write_that_must_read(self):
        a, b, c, s = self.wrap()
        self.assertIsNone(c.write(b"foo"))
        for mask in (READ, WRITE):
            self.assert_asks(c, a, mask, [READ], 0)
        b.write(b"\x15")
        for mask in (READ, WRITE, READ | WRITE):
            self.assert_asks(c, a, mask, [READ], mask)

    def test_forgets_that_with_the_next_call(self):
        a, b, c, s = self.wrap()
        a.writes = False
        self.assertIsNone(c.read(10))
        a.writes = True
        self.assertIsNone(c.read(10))
        self.assertEqual(len(b.inbox), 1, "the ClientHello")
        self.assert_asks(c, a, READ, [READ], 0)
        self.assert_asks(c, a, WRITE, [WRITE], WRITE)

    def test_asks_for_the_callers_own_direction_once_shaken(self):
        a, b, c, s = self.wrap()
        alternate(c, s)
        self.assertIsNone(s.read(3))
        self.assert_asks(s, b, READ, [READ], 0)
        self.assert_asks(s, b, WRITE, [WRITE], WRITE)
        c.write(b"foo")
        self.assert_asks(s, b, READ, [READ], READ)

    def test_does_not_ask_while_there_are_decrypted_bytes(self):
        a, b, c, s = self.wrap()
        alternate(c, s)
        c.write(b"foobar")
        self.assertEqual(s.read(3), b"foo")
        b.reads = False
        self.assert_asks(s, b, READ, [], READ)
        self.assert_asks(s, b, READ | WRITE, b.asked, READ | WRITE)
        self.assertEqual(s.read(3), b"bar")
        self.assert_asks(s, b, READ, [READ], 0)

    def test_does_not_ask_while_there_is_a_line_ahead(self):
        a, b, c, s = self.wrap()
        alternate(c, s)
        c.write(b"line\nahead")
        self.assertEqual(s.readline(), b"line\n")
        self.assert_asks(s, b, READ, [], READ)
        self.assertEqual(s.recv(10), b"ahead")
        self.assert_asks(s, b, READ, [READ], 0)

    def test_does_not_ask_while_a_datagram_has_more_records(self):
        a, b = pipes(True)
        c, s = self.keep(*offer_cookie(*psk_contexts(dtls=True), a, b, {"client_id": b"id"}))
        messages = [b"one", b"two", b"three"]
        for message in messages:
            c.write(message)
        b.inbox[:] = [b"".join(b.inbox)]
        self.assert_asks(s, b, READ, [READ], READ)
        for message in messages[:2]:
            self.assertEqual(s.recv(10), message)
            self.assert_asks(s, b, READ, [], READ)
        self.assertEqual(s.recv(10), messages[2])
        self.assert_asks(s, b, READ, [READ], 0)

    def test_does_not_ask_for_nothing_after_close_or_an_error(self):
        a, b, c, s = self.wrap()
        b.write(b"fooba")
        self.assert_asks(c, a, READ, [READ], READ)
        self.assertRaises(OSError, c.read, 128)
        self.assert_asks(c, a, READ, [], INVALID)
        s.close()
        self.assert_asks(s, b, READ, [], INVALID)

    def test_propagates_the_objects_exception(self):
        a, b, c, s = self.wrap()
        trouble = ZeroDivisionError()

        def ioctl(request, argument):
            raise trouble

        a.ioctl = ioctl
        with self.assertRaises(ZeroDivisionError) as caught:
            c.ioctl(POLL, READ)
        self.assertIs(caught.exception, trouble)
