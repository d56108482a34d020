import errno
import gc
import os
import select
import socket

from support import alternate, Case, CONN_EOF, outcome, psk_contexts, Task, WAIT, wait_readable

READS = (
    ("read", lambda s: s.read(1)),
    ("recv", lambda s: s.recv(1)),
    ("readinto", lambda s: s.readinto(bytearray(1))),
    ("recv_into", lambda s: s.recv_into(bytearray(1))),
    ("readline", lambda s: s.readline()),
)
WRITES = (
    ("write", lambda s: s.write(b"x")),
    ("send", lambda s: s.send(b"x")),
    ("sendall", lambda s: s.sendall(b"x")),
)


class Reading(Case):
    "reading a TLS stream"

    def setUp(self):
        self.c, self.s = self.psk()

    def test_read_returns_all_that_was_asked_for(self):
        task = Task(self.s.read, 10)
        self.c.write(b"01234")
        self.c.write(b"56789")
        self.assertEqual(task.result(), b"0123456789")

    def test_read_returns_less_at_the_end(self):
        self.c.write(b"01234")
        self.c.close()
        self.assertEqual(self.s.read(10), b"01234")
        self.assertEqual(self.s.read(10), b"")

    def test_read_without_size_goes_to_the_end(self):
        for part in (b"some ", b"data"):
            self.c.write(part)
        self.c.close()
        self.assertEqual(self.s.read(), b"some data")
        self.assertEqual(self.s.read(), b"")

    def test_recv_returns_what_there_is(self):
        self.c.write(b"01234")
        self.assertEqual(self.s.recv(100), b"01234")
        self.c.write(b"56789")
        self.assertEqual(self.s.recv(2), b"56")
        self.assertEqual(self.s.pending(), 3)
        self.assertEqual(self.s.recv(100), b"789")
        self.assertEqual(self.s.pending(), 0)

    def test_readinto_fills_its_buffer(self):
        buffer = bytearray(10)
        task = Task(self.s.readinto, buffer)
        self.c.write(b"01234")
        self.c.write(b"56789")
        self.assertEqual(task.result(), 10)
        self.assertEqual(buffer, b"0123456789")

    def test_recv_into_fills_what_it_can(self):
        buffer = bytearray(b"##########")
        self.c.write(b"01234")
        self.assertEqual(self.s.recv_into(buffer), 5)
        self.assertEqual(buffer, b"01234#####")
        self.c.write(b"abcdef")
        self.assertEqual(self.s.recv_into(buffer, 2), 2)
        self.assertEqual(buffer, b"ab234#####")
        self.assertEqual(self.s.recv_into(memoryview(buffer)[4:]), 4)
        self.assertEqual(buffer, b"ab23cdef##")

    def test_readinto_takes_a_size_too(self):
        buffer = bytearray(b"####")
        self.c.write(b"0123")
        self.assertEqual(self.s.readinto(buffer, 2), 2)
        self.assertEqual(buffer, b"01##")

    def test_readline_stops_at_each_newline(self):
        self.c.write(b"first\nsecond\n\nla")
        self.c.write(b"st")
        self.c.close()
        lines = [self.s.readline() for _ in range(5)]
        self.assertEqual(lines, [b"first\n", b"second\n", b"\n", b"last", b""])

    def test_iteration_goes_by_line(self):
        self.c.write(b"first\nsecond\nlast")
        self.c.close()
        self.assertEqual(list(self.s), [b"first\n", b"second\n", b"last"])

    def test_lines_and_bytes_can_be_mixed(self):
        self.c.write(b"a line\nfour1")
        self.assertEqual(self.s.readline(), b"a line\n")
        self.assertEqual(self.s.read(4), b"four")
        self.assertEqual(self.s.recv(10), b"1")

    def test_of_nothing_returns_nothing_at_once(self):
        self.assertEqual(self.s.read(0), b"")
        self.assertEqual(self.s.recv(0), b"")
        self.assertEqual(self.s.readinto(bytearray()), 0)

    def test_takes_no_wrong_arguments(self):
        for call in (self.s.readinto, self.s.recv_into):
            self.refuses(TypeError, call)
        self.refuses(TypeError, self.s.read, "1")
        self.refuses((TypeError, BufferError), self.s.readinto, b"constant")
        self.refuses(TypeError, self.s.recv_into, "text")
        self.refuses((ValueError, OverflowError), self.s.recv, -1)

    def test_ends_where_the_peer_closed(self):
        self.c.close()
        for _ in range(2):
            results = [call(self.s) for _, call in READS]
            self.assertEqual(results, [b"", b"", 0, 0, b""])
            self.assertEqual(list(self.s), [])

    def test_without_close_notify_is_an_error_after_what_came(self):
        self.c.write(b"01234")
        socket.socket(fileno=self.c.fileno()).close()
        self.assertEqual(self.s.read(10), b"01234")
        self.assert_os_error(CONN_EOF, self.s.read, 10)

    def test_a_lost_peer_is_an_error_for_each_call(self):
        for name, call in READS:
            with self.subTest(name):
                a, b = self.sockets()
                client, server = psk_contexts()
                c, s = self.connect(client, server, (a, b))
                a.close()
                error = self.assert_os_error(CONN_EOF, call, s)
                self.assertTrue(error.__notes__[0])


class Writing(Case):
    "writing a TLS stream"

    def setUp(self):
        self.c, self.s = self.psk()

    def test_write_and_send_tell_how_much(self):
        self.assertEqual(self.c.write(b"1234"), 4)
        self.assertEqual(self.c.send(bytearray(b"56")), 2)
        self.c.sendall(memoryview(b"78"))
        self.assertEqual(self.s.read(8), b"12345678")

    def test_of_nothing_is_0(self):
        self.assertEqual(self.c.write(b""), 0)
        self.assertEqual(self.c.send(b""), 0)
        self.c.sendall(b"")
        self.c.write(b"x")
        self.assertEqual(self.s.recv(100), b"x")

    def test_write_takes_all_when_it_blocks(self):
        bulk = bytes(range(256)) * 4096
        task = Task(self.s.read, len(bulk))
        self.assertEqual(self.c.write(bulk), len(bulk))
        self.assertEqual(task.result(), bulk)

    def test_sendall_takes_all(self):
        bulk = bytes(range(255)) * 5000
        task = Task(self.s.read, len(bulk))
        self.c.sendall(bulk)
        self.assertEqual(task.result(), bulk)

    def test_takes_bytes_alone(self):
        for _, call in (("write", self.c.write), ("send", self.c.send), ("sendall", self.c.sendall)):
            self.refuses(TypeError, call, "text")
            self.refuses(TypeError, call, 5)
            self.refuses(TypeError, call)

    def test_to_a_lost_peer_is_an_errno(self):
        a, b = self.sockets()
        c, s = self.connect(*psk_contexts(), (a, b))
        a.close()
        with self.assertRaises(OSError) as caught:
            for _ in range(100):
                s.write(bytes(10000))
        self.assertIn(caught.exception.errno, (errno.EPIPE, errno.ECONNRESET))
        self.assertIsInstance(caught.exception, ConnectionError)


class Telling(Case):
    "an SSLSocket"

    def test_tells_cipher_and_version(self):
        c, s = self.certs()
        self.assertEqual(c.cipher(), s.cipher())
        name, version = c.cipher()
        self.assertRegex(name, "^TLS-ECDHE-ECDSA-WITH-[A-Z0-9-]+$")
        self.assertEqual((version, c.version(), s.version()), ("TLSv1.2",) * 3)

    def test_has_the_sockets_descriptor_and_peer(self):
        a, b = self.tcp()
        fd, name = a.fileno(), a.getpeername()
        c, s = self.psk(ends=(a, b))
        self.assertEqual((c.fileno(), c.getpeername()), (fd, name))

    def test_takes_a_bare_descriptor_and_closes_it(self):
        a, b = socket.socketpair()
        fd = a.detach()
        client, server = psk_contexts()
        task = Task(server.wrap_socket, b)
        c = client.wrap_socket(fd)
        s = self.keep(task.result())
        self.assertEqual(c.fileno(), fd)
        self.assert_talks(c, s)
        c.close()
        self.assertRaises(OSError, os.fstat, fd)

    def test_keeps_what_it_wraps_alive(self):
        a, b = socket.socketpair()
        client, server = psk_contexts()
        task = Task(server.wrap_socket, b)
        c = client.wrap_socket(a)
        s = task.result()
        del a, b, client, server, task
        gc.collect()
        self.assert_talks(*self.keep(c, s))

    def test_closes_at_the_end_of_with(self):
        c, s = self.psk()
        with c as same:
            self.assertIs(same, c)
        self.assertEqual(s.read(1), b"")
        self.assertEqual(c.fileno(), -1)
        with self.assertRaises(ZeroDivisionError), s:
            1 / 0
        self.assertEqual(s.fileno(), -1)


class Closing(Case):
    "close"

    def test_sends_close_notify_and_closes_the_socket(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        fd = c.fileno()
        self.assertIsNone(c.close())
        self.assertEqual(s.recv(1), b"")
        self.assertRaises(OSError, os.fstat, fd)
        self.assertEqual((c.fileno(), a.fileno()), (-1, -1), "nobody may close that number again")
        s.close()

    def test_sends_one_record_and_then_the_end(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        c.close()
        record = b.recv(1000)
        self.assertEqual((record[0], record[1:3]), (21, b"\x03\x03"))
        self.assertEqual(len(record), 5 + int.from_bytes(record[3:5], "big"))
        self.assertEqual(b.recv(1000), b"")

    def test_a_second_time_does_nothing(self):
        c, s = self.psk()
        c.close()
        with open(os.devnull) as other:
            self.assertIsNone(c.close())
            os.fstat(other.fileno())

    def test_works_when_the_peer_is_gone(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        a.close()
        s.close()
        self.assertEqual(s.fileno(), -1)

    def test_never_starts_a_handshake(self):
        a, b = self.sockets()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        c.close()
        self.assertEqual(b.recv(100), b"")

    def test_makes_reads_and_writes_errors(self):
        c, s = self.psk()
        c.close()
        for name, call in READS + WRITES:
            with self.subTest(name):
                self.assertIs(type(outcome(call, c)), OSError)
        self.assertRaises(OSError, next, iter(c))

    def test_wakes_no_reader_with_data_that_was_not_read(self):
        c, s = self.psk()
        c.write(b"unread")
        s.close()
        self.assertRaises(OSError, s.read, 1)

    def test_when_there_is_no_room_does_not_wait(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        c.setblocking(False)
        while c.write(bytes(16384)):
            pass
        c.close()
        self.assertEqual(c.fileno(), -1)


class Unwrapping(Case):
    "unwrap"

    def test_ends_tls_and_gives_the_socket_back(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        task = Task(s.unwrap)
        plain_a = c.unwrap()
        plain_b = task.result()
        plain_a.sendall(b"plain")
        self.assertEqual(plain_b.recv(100), b"plain")
        for call in (c.read, c.write):
            self.assertIsInstance(outcome(call, b"x" if call == c.write else 1), OSError)


class Waiting(Case):
    "a TLS stream that does not block"

    def setUp(self):
        self.a, self.b = self.sockets()
        self.c, self.s = self.psk(ends=(self.a, self.b))

    def test_has_the_timeout_that_was_set(self):
        self.assertIsNone(self.s.gettimeout())
        for call, value, expected in (
            (self.s.settimeout, 1.5, 1.5),
            (self.s.settimeout, 3, 3.0),
            (self.s.settimeout, None, None),
            (self.s.settimeout, 0, 0.0),
            (self.s.setblocking, True, None),
            (self.s.setblocking, False, 0.0),
        ):
            call(value)
            self.assertEqual(self.s.gettimeout(), expected)

    def test_refuses_wrong_timeouts(self):
        self.refuses(ValueError, self.s.settimeout, -1)
        self.refuses(TypeError, self.s.settimeout, "1")
        self.refuses((ValueError, OverflowError), self.s.settimeout, float("nan"))

    def test_reads_None_when_there_is_nothing(self):
        self.s.setblocking(False)
        for name, call in READS + (("read all", lambda s: s.read()),):
            with self.subTest(name):
                self.assertIsNone(call(self.s))
        self.c.write(b"now")
        wait_readable(self.b)
        self.assertEqual(self.s.read(10), b"now")

    def test_keeps_a_part_of_a_line(self):
        self.s.setblocking(False)
        self.c.write(b"a pa")
        wait_readable(self.b)
        self.assertIn(self.s.readline(), (None, b"a pa"))

    def test_writes_None_when_there_is_no_room(self):
        bulk = bytes(range(256)) * 64
        self.c.setblocking(False)
        sent = bytearray()
        while (n := self.c.write(bulk)) is not None:
            sent += bulk[:n]
        self.assertIsNone(self.c.send(bulk))
        task = Task(self.s.read, len(sent) + len(bulk))
        rest = memoryview(bulk)
        while rest:
            select.select([], [self.c], [], WAIT)
            rest = rest[self.c.write(rest) or 0 :]
        self.assertEqual(task.result(), bytes(sent) + bulk)

    def test_times_out_and_can_go_on(self):
        self.s.settimeout(0.01)
        for name, call in READS:
            for _ in range(2):
                with self.subTest(name):
                    self.assertRaises(TimeoutError, call, self.s)
        self.c.write(b"late\n")
        self.s.settimeout(WAIT)
        self.assertEqual(self.s.readline(), b"late\n")

    def test_times_out_when_it_writes_and_can_go_on(self):
        self.c.settimeout(0.01)
        sent = 0
        with self.assertRaises(TimeoutError):
            while True:
                sent += self.c.send(bytes(16384))
        self.c.settimeout(WAIT)
        task = Task(self.s.read, sent + 16384)
        rest = 16384
        while rest:
            rest -= self.c.send(bytes(rest))
        self.assertEqual(task.result(), bytes(sent + 16384))

    def test_times_out_in_the_handshake_and_can_go_on(self):
        client, server = psk_contexts()
        a, b = self.sockets()
        c = self.keep(client.wrap_socket(a, do_handshake_on_connect=False))
        c.settimeout(0.01)
        for _ in range(3):
            self.assertRaises(TimeoutError, c.do_handshake)
        task = Task(server.wrap_socket, b)
        c.settimeout(WAIT)
        c.do_handshake()
        self.assert_talks(c, self.keep(task.result()))

    def test_takes_over_the_timeout_of_the_socket(self):
        a, b = self.sockets()
        a.settimeout(0.01)
        self.assertRaises(TimeoutError, psk_contexts()[0].wrap_socket, a)
        self.assertGreaterEqual(a.fileno(), 0)
        a, b = self.sockets()
        a.settimeout(7)
        c, _ = self.psk(ends=(a, b))
        self.assertEqual(c.gettimeout(), 7)

    def test_shakes_hands_step_by_step(self):
        client, server = psk_contexts()
        a, b = self.sockets()
        for end in (a, b):
            end.setblocking(False)
        c = self.keep(client.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False))
        s = self.keep(server.wrap_socket(b, do_handshake_on_connect=False))
        self.assertIsNone(s.read(1))
        alternate(c, s)
        self.assertIsNone(c.read(1))
        c.write(b"x")
        wait_readable(b)
        self.assertEqual(s.read(1), b"x")
