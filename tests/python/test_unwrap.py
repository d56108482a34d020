import os
import select

from support import Case, CONN_EOF, INVALID, over_both, POLL, psk_contexts, READ, Task, WAIT


class Unwrapping(Case):
    "unwrap"

    def setUp(self):
        self.a, self.b = self.sockets()
        self.c, self.s = self.psk(ends=(self.a, self.b))

    def test_returns_what_was_wrapped(self):
        task = Task(self.s.unwrap)
        self.assertIs(self.c.unwrap(), self.a)
        self.assertIs(task.result(), self.b)

    def test_of_a_bare_descriptor_returns_it_open(self):
        client, server = psk_contexts()
        a, b = self.sockets()
        task = Task(server.wrap_socket, b)
        fd = a.detach()
        self.addCleanup(os.close, fd)
        c, s = client.wrap_socket(fd), task.result()
        task = Task(s.unwrap)
        self.assertEqual(c.unwrap(), fd)
        task.result()
        c.close()
        os.fstat(fd)

    def test_leaves_the_socket_to_its_owner(self):
        task = Task(self.s.unwrap)
        with self.c as c:
            c.unwrap()
            c.close()
        self.assertEqual(c.ioctl(4, 0), 0)
        task.result()
        self.a.sendall(b"plain")
        self.assertEqual(self.b.recv(100), b"plain")
        self.assertEqual((c.fileno(), c.ioctl(POLL, READ), c.cipher()), (-1, INVALID, None))

    def test_a_second_time_is_an_error(self):
        task = Task(self.s.unwrap)
        self.c.unwrap()
        task.result()
        self.refuses(OSError, self.c.unwrap)
        self.refuses(OSError, self.c.do_handshake)

    def test_returns_None_until_the_peer_has_answered(self):
        self.c.setblocking(False)
        for _ in range(2):
            self.assertIsNone(self.c.unwrap())
        self.assertEqual(self.s.recv(10), b"")
        self.s.close()
        select.select([self.a], [], [], WAIT)
        self.assertIs(self.c.unwrap(), self.a)

    def test_times_out_and_can_go_on(self):
        self.c.settimeout(0.01)
        for _ in range(2):
            self.assertRaises(TimeoutError, self.c.unwrap)
        task = Task(self.s.unwrap)
        self.c.settimeout(WAIT)
        self.assertIs(self.c.unwrap(), self.a)
        task.result()

    def test_drops_what_the_peer_said_before_it_learnt_of_it(self):
        self.s.write(b"not read any more")
        task = Task(self.s.unwrap)
        self.assertIs(self.c.unwrap(), self.a)
        task.result()

    def test_without_an_answer_is_an_end_of_file(self):
        self.b.close()
        error = self.refuses(OSError, self.c.unwrap)
        self.assertIn(error.args[0], (CONN_EOF[0], 32, 104))

    def test_over_dtls_waits_for_no_answer(self):
        a, b = self.sockets(dtls=True)
        c, s = self.psk(dtls=True, ends=(a, b))
        self.assertIs(c.unwrap(), a)
        self.assertEqual(s.recv(10), b"")
        a.send(b"plain")
        self.assertEqual(b.recv(10), b"plain")

    @over_both
    def test_before_the_handshake_gives_the_socket_back_at_once(self, dtls):
        for side in (0, 1):
            a, b = self.sockets(dtls)
            sock = psk_contexts(dtls)[side].wrap_socket(a, do_handshake_on_connect=False)
            self.assertIs(sock.unwrap(), a)
            self.assertEqual(select.select([b], [], [], 0)[0], [])
            a.send(b"plain")
            self.assertEqual(b.recv(10), b"plain")
