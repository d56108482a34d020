from support import alternate, Case, notes, over_both, pipes, psk_contexts, Task, WAIT, wait_readable

LONG = b"x" * 40000 + b"\n"  # three records


class Lines(Case):
    "readline"

    def setUp(self):
        self.c, self.s = self.psk()

    def test_takes_a_limit(self):
        self.c.write(b"0123456789\nabc\n")
        limits = (4, 0, 100, 3, 1)
        self.assertEqual([self.s.readline(n) for n in limits], [b"0123", b"", b"456789\n", b"abc", b"\n"])

    def test_without_a_limit_is_that_of_minus_1_and_None(self):
        self.c.write(b"one\ntwo\nthree\n")
        lines = [self.s.readline(), self.s.readline(-1), self.s.readline(None)]
        self.assertEqual(lines, [b"one\n", b"two\n", b"three\n"])

    def test_waits_for_no_more_than_its_limit(self):
        self.c.write(b"no newline")
        self.assertEqual(self.s.readline(10), b"no newline")

    def test_takes_no_other_types(self):
        self.refuses(TypeError, self.s.readline, "1")
        self.refuses(TypeError, self.s.readline, 1.5)
        self.refuses(TypeError, self.s.readline, 1, 2)

    def test_goes_over_several_records(self):
        task = Task(self.s.readline)
        self.c.write(LONG)
        self.assertEqual(task.result(), LONG)
        for part in (b"in ", b"three ", b"parts\n"):
            self.c.write(part)
        self.assertEqual(self.s.readline(), b"in three parts\n")

    def test_reads_ahead_what_the_other_calls_then_find(self):
        self.c.write(b"line\nrest of it")
        self.assertEqual(self.s.readline(), b"line\n")
        self.assertEqual(self.s.pending(), 10)
        self.assertEqual((self.s.read(4), self.s.recv(3), self.s.readline(3)), (b"rest", b" of", b" it"))
        self.assertEqual(self.s.pending(), 0)

    def test_keeps_a_part_of_a_line_over_a_timeout(self):
        self.s.settimeout(0.01)
        self.c.write(b"first half, ")
        for _ in range(2):
            self.assertRaises(TimeoutError, self.s.readline)
        self.c.write(b"second half\n")
        self.s.settimeout(WAIT)
        self.assertEqual(self.s.readline(), b"first half, second half\n")

    def test_gives_what_there_is_of_a_line_where_it_does_not_wait(self):
        a, b = pipes()
        c, s = (ctx.wrap_socket(end, do_handshake_on_connect=False) for ctx, end in zip(psk_contexts(), (a, b)))
        alternate(c, s)
        self.assertIsNone(s.readline())
        c.write(b"half")
        self.assertEqual((s.readline(), s.readline()), (b"half", None))
        c.write(b"a line\n")
        self.assertEqual((s.readline(), s.readline()), (b"a line\n", None))

    def test_iteration_stops_where_nothing_can_be_read_now(self):
        self.s.setblocking(False)
        self.assertEqual(list(self.s), [])
        self.c.write(b"one\ntwo\n")
        wait_readable(self.s)
        self.assertEqual(list(self.s), [b"one\n", b"two\n"])
        self.c.write(b"three\n")
        wait_readable(self.s)
        self.assertEqual(next(self.s), b"three\n")

    @over_both
    def test_gives_the_last_line_without_newline_at_the_end(self, dtls):
        c, s = self.psk(dtls)
        c.write(b"one\n")
        c.write(b"two")
        c.close()
        self.assertEqual([s.readline() for _ in range(3)], [b"one\n", b"two", b""])

    def test_over_dtls_joins_messages(self):
        c, s = self.psk(dtls=True)
        for message in (b"one\ntwo\nth", b"ree\n"):
            c.write(message)
        self.assertEqual([s.readline() for _ in range(3)], [b"one\n", b"two\n", b"three\n"])

    def test_after_close_is_an_error_that_says_so(self):
        self.s.close()
        for limit in ((), (0,), (5,)):
            self.assertRegex(notes(self.refuses(OSError, self.s.readline, *limit)), "closed")
