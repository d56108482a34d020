import signal
import threading

from support import Case, cert_contexts, IDENTITY, KEY, outcome, over_both, psk_contexts, sockets, Task, WAIT

ROUNDS = 300


class Threads(Case):
    "two threads"

    @over_both
    def test_read_and_write_one_socket(self, dtls):
        c, s = self.psk(dtls)
        turn = threading.Semaphore(8)  # so many datagrams at most are under way: none is lost

        def echo():
            for _ in range(ROUNDS):
                s.write(s.recv(100))

        def write():
            for i in range(ROUNDS):
                turn.acquire()
                c.write(b"%08d" % i)

        def read():
            for i in range(ROUNDS):
                self.assertEqual(c.recv(8), b"%08d" % i)
                turn.release()

        for task in [Task(call) for call in (echo, write, read)]:
            task.result()

    def test_carry_bulk_both_ways_at_once(self):
        c, s = self.psk()
        bulk = bytes(range(256)) * 8192
        tasks = [Task(end.write, bulk) for end in (c, s)] + [Task(end.read, len(bulk)) for end in (c, s)]
        for task in tasks:
            self.assertIn(task.result(), (len(bulk), bulk))

    def test_share_a_context(self):
        client, server = cert_contexts()

        def work():
            for _ in range(10):
                a, b = sockets()
                task = Task(server.wrap_socket, b)
                c = client.wrap_socket(a, server_hostname="localhost")
                s = task.result()
                self.assert_talks(c, s)
                c.close()
                s.close()

        for task in [Task(work) for _ in range(4)]:
            task.result()

    def test_go_on_while_another_waits(self):
        c, s = self.psk()
        reader = Task(s.recv, 10)
        handshake = self.psk()
        self.assert_talks(*handshake)
        c.write(b"now")
        self.assertEqual(reader.result(), b"now")

    def test_that_close_wake_those_that_read(self):
        for mine in (False, True):
            with self.subTest(mine=mine):
                c, s = self.psk()
                reader = Task(outcome, s.recv, 10)
                (s if mine else c).close()
                got = reader.result()
                self.assertTrue(isinstance(got, OSError) if mine else got in (b"",), got)

    def test_that_set_while_others_shake_hands_do_no_harm(self):
        client, server = psk_contexts()
        stop = threading.Event()

        def change():
            while not stop.is_set():
                server.server_psk_keys = {IDENTITY: KEY}
                server.set_ciphers(server.get_ciphers())
                server.handshake_timeout = (1000, 2000)

        changer = Task(change)
        try:
            for _ in range(20):
                self.connect(client, server)
        finally:
            stop.set()
            changer.result()

    def test_look_up_keys_at_once(self):
        class Store:
            def get(self, identity):
                barrier.wait(WAIT)
                return KEY

        barrier = threading.Barrier(2)
        client, server = psk_contexts()
        server.server_psk_keys = Store()
        for task in [Task(self.connect, client, server) for _ in range(2)]:
            task.result()


class Signals(Case):
    "a signal"

    def wake(self, handler, call):
        """Calls what waits for ever, and sends a signal to this thread once it does."""
        old = signal.signal(signal.SIGUSR1, handler)
        self.addCleanup(signal.signal, signal.SIGUSR1, old)
        main, done = threading.main_thread().native_id, threading.Event()

        def send():
            while not done.wait(0.01):
                if thread_sleeps(main):
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

        task = Task(send)
        try:
            return outcome(call)
        finally:
            done.set()
            task.result()

    def test_whose_handler_raises_ends_a_read(self):
        class Enough(Exception):
            pass

        def handler(number, frame):
            raise Enough

        c, s = self.psk()
        try:
            got = self.wake(handler, lambda: s.recv(10))
        except Enough:
            got = Enough()
        self.assertIsInstance(got, Enough)
        c.write(b"on")
        self.assertEqual(s.recv(10), b"on")

    def test_whose_handler_returns_disturbs_nothing(self):
        c, s = self.psk()
        signals = []

        def handler(number, frame):
            signals.append(number)
            if len(signals) == 3:
                c.write(b"third")

        self.assertEqual(self.wake(handler, lambda: s.recv(10)), b"third")


def thread_sleeps(tid):
    with open(f"/proc/self/task/{tid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "S"
