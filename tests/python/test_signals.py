import errno
import select
import signal
import threading

import test_threads
from servers import bound, ServerCase
from support import CLIENTS, context, IDENTITY, KEY, outcome, over_both, Task, udp, WAIT


class Closing(ServerCase):
    "a signal's handler that closes what"

    def assert_ends(self, closeable, call):
        error = test_threads.Signals.wake(self, lambda number, frame: closeable.close(), call)
        self.assertIsInstance(error, OSError)
        self.assertEqual(error.errno, errno.EBADF)

    @over_both
    def test_reads_ends_the_read(self, dtls):
        c, s = self.psk(dtls)
        self.assert_ends(s, lambda: s.recv(10))

    @over_both
    def test_reads_with_a_timeout_ends_the_read(self, dtls):
        c, s = self.psk(dtls)
        s.settimeout(WAIT)
        self.assert_ends(s, lambda: s.recv(10))

    def test_writes_ends_the_write(self):
        c, s = self.psk()
        self.assert_ends(c, lambda: c.write(bytes(10**7)))

    @over_both
    def test_shakes_hands_ends_the_handshake(self, dtls):
        client = context(CLIENTS[dtls], psk_identity=IDENTITY, psk_key=KEY)
        c = self.keep(client.wrap_socket(self.sockets(dtls)[0], do_handshake_on_connect=False))
        self.assert_ends(c, c.do_handshake)

    def test_serves_ends_the_service(self):
        service = self.service()
        self.assert_ends(service.server, service.server.recv)


class Floods(ServerCase):
    "a signal that another thread got"

    def assert_heard(self, call, send, close):
        """While junk comes all the time; in the end it closes what has heard nothing."""

        class Enough(Exception):
            pass

        def handler(number, frame):
            raise Enough

        def flood():
            for i in range(2000):
                outcome(send, b"junk")
                if i == 50:  # by then it waits
                    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
                if done.wait(0.001):
                    return
            close()

        old = signal.signal(signal.SIGUSR1, handler)
        self.addCleanup(signal.signal, signal.SIGUSR1, old)
        done = threading.Event()
        task = None

        def flood_and_call():
            nonlocal task
            task = Task(flood)
            call()

        try:
            got = outcome(flood_and_call)
        except Enough as enough:
            got = enough
        done.set()
        task.result()
        self.assertIsInstance(got, Enough)

    def test_is_heard_while_a_server_gets_junk(self):
        service = self.service()
        sock = self.keep(bound())
        self.assert_heard(service.server.recv, lambda junk: sock.sendto(junk, service.address), service.server.close)

    def test_is_heard_while_a_socket_gets_junk(self):
        a, b = self.keep(*udp())
        raw = self.keep(a.dup())
        c, s = self.psk(True, (a, b))
        self.assert_heard(lambda: s.recv(10), raw.send, s.close)


class Turns(ServerCase):
    "a write behind another's"

    def stalled(self):
        c, s = self.psk()
        bulk = bytes(10**7)
        task = Task(c.write, bulk)
        while select.select([], [c], [], 0)[1] or not test_threads.thread_sleeps(task.native_id):
            pass
        return c, s, bulk, task

    def drain(self, s, bulk, task):
        self.assertEqual(s.read(len(bulk)), bulk)
        self.assertEqual(task.result(), len(bulk))

    def test_times_out(self):
        c, s, bulk, task = self.stalled()
        c.settimeout(0.05)
        self.assertIsInstance(Task(c.send, b"y").wait(), TimeoutError)
        c.settimeout(None)
        self.drain(s, bulk, task)
        self.assert_talks(c, s)

    def test_hears_signals(self):
        c, s, bulk, task = self.stalled()
        numbers = []

        def handler(number, frame):
            numbers.append(number)
            raise InterruptedError

        self.assertIsInstance(test_threads.Signals.wake(self, handler, lambda: c.send(b"y")), InterruptedError)
        self.drain(s, bulk, task)
        self.assert_talks(c, s)
