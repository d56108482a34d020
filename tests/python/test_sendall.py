import errno
import select

from support import Case, memory_pair, notes, over_both, psk_contexts, Task, WAIT, wait_readable

BULK = bytes(range(255)) * 8000  # more than a socket holds


class Sendall(Case):
    "sendall"

    @over_both
    def test_returns_None_when_it_blocks(self, dtls):
        c, s = self.psk(dtls)
        self.assertIsNone(c.sendall(b"all of it"))
        self.assertEqual(s.recv(100), b"all of it")
        self.assertEqual(c.write(b"counts"), 6)

    def test_returns_None_under_a_timeout(self):
        c, s = self.psk()
        c.settimeout(WAIT)
        task = Task(s.read, len(BULK))
        self.assertIsNone(c.sendall(BULK))
        self.assertEqual(task.result(), BULK)

    def test_of_nothing_returns_None_when_it_blocks(self):
        c, s = self.psk()
        self.assertIsNone(c.sendall(b""))
        c.sendall(b"x")
        self.assertEqual(s.recv(10), b"x")

    def test_counts_when_it_does_not_block_so_that_nothing_is_lost(self):
        c, s = self.psk()
        c.setblocking(False)
        self.assertEqual(c.sendall(b"small"), 5)
        sent = c.sendall(BULK)
        self.assertTrue(0 < sent < len(BULK), sent)
        self.assertIsNone(c.sendall(BULK[sent:]))
        task = Task(s.read, 5 + len(BULK))
        while sent < len(BULK):
            select.select([], [c], [], WAIT)
            sent += c.sendall(BULK[sent:]) or 0
        self.assertEqual(task.result(), b"small" + BULK)

    @over_both
    def test_over_an_object_counts(self, dtls):
        c, s = self.keep(*memory_pair(*psk_contexts(dtls), dtls))
        self.assertEqual(c.sendall(b"counted"), 7)
        self.assertEqual(s.recv(10), b"counted")

    def test_tells_at_a_timeout_how_much_was_taken(self):
        c, s = self.psk()
        c.settimeout(0.01)
        with self.assertRaises(TimeoutError) as caught:
            c.sendall(BULK)
        words = notes(caught.exception).split()
        taken = int(words[0])
        self.assertEqual(words[1:3], ["of", str(len(BULK))])
        self.assertTrue(0 < taken < len(BULK), taken)
        self.assertRaises(TimeoutError, c.sendall, BULK[taken:])
        c.settimeout(WAIT)
        task = Task(s.read, len(BULK))
        self.assertIsNone(c.sendall(BULK[taken:]))
        self.assertEqual(task.result(), BULK)

    def test_of_a_message_that_is_too_long_is_an_error(self):
        c, s = self.psk(dtls=True)
        self.assertEqual(self.refuses(OSError, c.sendall, bytes(20000)).errno, errno.EMSGSIZE)
        c.setblocking(False)
        self.assertEqual(c.sendall(b"short"), 5)
        wait_readable(s)
        self.assertEqual(s.recv(10), b"short")

    def test_to_a_lost_peer_is_an_errno(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        a.close()
        self.assertIsInstance(self.refuses(OSError, s.sendall, BULK), ConnectionError)
