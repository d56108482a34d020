import errno
import os
import select
import socket
import struct

from support import (
    alternate, Case, CONN_EOF, INVALID, notes, pipes, POLL, psk_contexts, READ, Task, WAIT, wait_readable,
)

AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: close() resets
RESET = (errno.ECONNRESET, os.strerror(errno.ECONNRESET))
CALLS = (
    ("do_handshake", lambda s: s.do_handshake()),
    ("read", lambda s: s.read(1)),
    ("recv", lambda s: s.recv(1)),
    ("readline", lambda s: s.readline()),
    ("write", lambda s: s.write(b"x")),
    ("sendall", lambda s: s.sendall(b"x")),
)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
    sock.close()


class Resets(Case):
    "a reset"

    def half(self, side):
        """One of our ends over TCP, its handshake not begun, and the raw other end."""
        a, b = self.tcp()
        return self.keep(psk_contexts()[side].wrap_socket(a, do_handshake_on_connect=False)), b

    def assert_reset(self, end, call):
        error = self.assert_os_error(RESET, call, end)
        self.assertIs(type(error), ConnectionResetError)
        self.assertTrue(notes(error))
        return error

    def test_before_the_handshake_is_that_errno(self):
        for side in (0, 1):
            for name, call in CALLS:
                with self.subTest(name, side=side):
                    end, raw = self.half(side)
                    reset(raw)
                    wait_readable(end)
                    self.assert_reset(end, call)

    def test_before_the_wrap_is_that_errno(self):
        for ctx in psk_contexts():
            a, b = self.tcp()
            reset(b)
            wait_readable(a)
            self.assert_os_error(RESET, ctx.wrap_socket, a)
            self.assertGreaterEqual(a.fileno(), 0)

    def test_amid_the_handshake_is_that_errno(self):
        for side in (0, 1):
            end, raw = self.half(side)
            end.setblocking(False)
            raw.sendall(b"\x16\x03\x01")
            self.assertIsNone(end.do_handshake())
            reset(raw)
            wait_readable(end)
            self.assert_reset(end, CALLS[0][1])

    def test_in_the_session_is_that_errno(self):
        for name, call in CALLS[1:4]:
            with self.subTest(name):
                a, b = self.tcp()
                c, s = self.psk(ends=(a, b))
                reset(a)
                wait_readable(s)
                first = self.assert_reset(s, call)
                self.assertEqual(self.assert_reset(s, call).__notes__, first.__notes__)

    def test_is_told_again_by_every_later_call(self):
        for side in (0, 1):
            end, raw = self.half(side)
            reset(raw)
            wait_readable(end)
            first = self.assert_reset(end, CALLS[0][1])
            for name, call in CALLS:
                with self.subTest(name, side=side):
                    self.assertEqual(self.assert_reset(end, call).__notes__, first.__notes__)
            self.assertEqual(end.ioctl(POLL, READ), INVALID)

    def test_behind_close_notify_leaves_the_end_an_end(self):
        a, b = self.tcp()
        c, s = self.psk(ends=(a, b))
        c.close()
        self.assertEqual(s.read(1), b"")
        b.send(b"what nobody takes is answered by a reset")
        poll = select.poll()
        poll.register(b, 0)
        self.assertTrue(poll.poll(1000 * WAIT)[0][1] & select.POLLHUP)
        self.assertEqual((s.read(1), s.recv(1), s.readline()), (b"",) * 3)

    def test_does_not_keep_close_from_closing(self):
        for shaken in (False, True):
            a, b = self.tcp()
            if shaken:
                _, end = self.psk(ends=(a, b))
                reset(a)
            else:
                end = psk_contexts()[0].wrap_socket(b, do_handshake_on_connect=False)
                reset(a)
            wait_readable(end)
            self.assertIsNone(end.close())
            self.assertEqual((end.fileno(), b.fileno()), (-1, -1))

    def test_of_an_object_is_that_errno(self):
        for readinto, expected in (
            (lambda buffer: 0, RESET),
            (lambda buffer: None, RESET),
            (lambda buffer: -errno.EIO, (errno.EIO, os.strerror(errno.EIO))),
        ):
            a, _ = pipes()
            a.write = lambda data: -errno.ECONNRESET
            a.readinto = readinto
            end = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
            for _ in range(2):
                self.assert_os_error(expected, end.do_handshake)


class Ends(Case):
    "a peer that ended"

    def test_before_our_hello_is_an_end_of_file_also_where_a_send_fails(self):
        a, b = self.sockets()
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        b.close()
        first = self.assert_os_error(CONN_EOF, c.do_handshake)
        for name, call in CALLS:
            with self.subTest(name):
                self.assertEqual(self.assert_os_error(CONN_EOF, call, c).__notes__, first.__notes__)

    def test_without_reading_what_we_wrote_is_a_broken_pipe(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        a.close()
        for _ in range(2):
            error = self.refuses(BrokenPipeError, s.write, b"x")
            self.assertEqual(error.args, (errno.EPIPE, os.strerror(errno.EPIPE)))

    def test_an_object_that_ends_stays_ended(self):
        a, b = pipes()
        c, s = (ctx.wrap_socket(end, do_handshake_on_connect=False) for ctx, end in zip(psk_contexts(), (a, b)))
        alternate(c, s)
        b.ended = True
        for _ in range(2):
            self.assert_os_error(CONN_EOF, s.read, 1)


class Connecting(Case):
    "a handshake"

    def test_begins_once_the_socket_is_connected(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            a = self.keep(socket.socket())
            c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
            for _ in range(2):
                error = self.refuses(OSError, c.do_handshake, names="connect")
                self.assertEqual(error.errno, errno.ENOTCONN)
            self.assertEqual(c.ioctl(POLL, READ) & INVALID, 0)
            a.connect(listener.getsockname())
            task = Task(lambda: psk_contexts()[1].wrap_socket(listener.accept()[0]))
            c.do_handshake()
            self.assert_talks(c, self.keep(task.result()))

    def test_to_a_port_where_nobody_listens_is_that_errno(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = listener.getsockname()
        a = self.keep(socket.socket())
        a.setblocking(False)
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertIn(a.connect_ex(address), (errno.EINPROGRESS, errno.ECONNREFUSED))
        wait_readable(a)
        for _ in range(2):
            self.refuses(ConnectionRefusedError, c.do_handshake)
