import _thread
import contextlib
import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
import unittest
import warnings
import weakref

import test_life
import test_threads
from servers import bound, ServerCase, Service, WithoutFinished
from test_psk import Store
from support import context, IDENTITY, KEY, outcome, psk_contexts, Task, tls

CYCLES = 2000
PREAMBLE = (
    f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\n"
    "from support import *\nfrom servers import *\n"
)


class Threads(ServerCase):
    "a DTLS server in threads"

    def test_sends_in_one_and_receives_in_another(self):
        service, client, peer = self.connected()
        turn = threading.Semaphore(8)  # so many datagrams at most are under way: none is lost

        def send():
            for i in range(300):
                turn.acquire()
                peer.send(b"%d" % i)

        def echo():
            for i in range(300):
                client.write(client.recv(10))

        tasks = [Task(send), Task(echo)]
        for i in range(300):
            self.assertEqual(service.server.recv(), (peer, b"%d" % i))
            turn.release()
        for task in tasks:
            task.result()

    def test_that_is_closed_wakes_those_that_wait(self):
        for call, expected in ((lambda s: s.recv(), OSError), (list, list)):
            service, client, peer = self.connected()
            tasks = [Task(outcome, call, service.server) for _ in range(3)]
            service.server.close()
            for task in tasks:
                self.assertIsInstance(task.result(), expected)
            self.assertEqual(client.recv(10), b"")

    def test_tells_at_once_what_another_has_done(self):
        service, client, peer = self.connected()
        task = Task(service.server.recv)
        service.server.close_identity(IDENTITY)
        self.assertEqual(task.result(), (peer, tls.CLOSED))

    def test_serves_from_several(self):
        service = self.service()

        def serve():
            for peer, what in service.server:
                if isinstance(what, bytes):
                    outcome(peer.send, what)

        def talk():
            with psk_contexts(True)[0].wrap_socket(service.socket()) as c:
                for i in range(20):
                    c.write(b"%d" % i)
                    self.assertEqual(c.recv(10), b"%d" % i)

        servers = [Task(serve) for _ in range(3)]
        for task in [Task(talk) for _ in range(10)]:
            task.result()
        service.server.close()
        for task in servers:
            task.result()

    def test_closes_peers_while_others_are_told_of_them(self):
        service = self.service()

        def serve():
            for peer, what in service.server:
                Task(outcome, peer.close).wait() if what == tls.CONNECTED else outcome(peer.send, b"x")

        servers = [Task(serve) for _ in range(2)]
        for _ in range(20):
            with psk_contexts(True)[0].wrap_socket(service.socket()) as c:
                outcome(c.write, b"x")
                self.assertIn([got for got in iter(lambda: outcome(c.recv, 10), b"")], ([], [b"x"]))
        service.server.close()
        for task in servers:
            task.result()


class Signals(ServerCase):
    "a signal"

    def test_whose_handler_raises_ends_the_wait_of_a_server(self):
        class Enough(Exception):
            pass

        def handler(number, frame):
            raise Enough

        service, client, peer = self.connected()
        try:
            got = test_threads.Signals.wake(self, handler, service.server.recv)
        except Enough:
            got = Enough()
        self.assertIsInstance(got, Enough)
        client.write(b"on")
        self.assertEqual(service.server.recv(), (peer, b"on"))

    def test_whose_handler_returns_disturbs_no_server(self):
        service, client, peer = self.connected()
        signals = []

        def handler(number, frame):
            signals.append(number)
            if len(signals) == 3:
                client.write(b"third")

        self.assertEqual(test_threads.Signals.wake(self, handler, service.server.recv), (peer, b"third"))

    def test_whose_handler_raises_before_a_callback_is_asked_is_not_the_callbacks(self):
        class Enough(Exception):
            pass

        def handler(number, frame):
            raise Enough

        def pend():
            """A signal that interrupts no wait, and a client."""
            while not test_threads.thread_sleeps(main):
                paused.wait(0.01)
            _thread.interrupt_main(signal.SIGUSR1)
            return psk_contexts(True)[0].wrap_socket(service.socket())

        main, paused = threading.main_thread().native_id, threading.Event()
        store = Store(KEY)
        service = self.service(context(3, server_psk_keys=store))
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.signal(signal.SIGUSR1, handler))
        with self.assertRaises(Enough):
            task = Task(pend)
            service.server.recv()
        service.expect(tls.CONNECTED)
        self.keep(task.result())
        self.assertEqual(store.asked, [IDENTITY])


class WeakReferences(ServerCase):
    "a weak reference"

    def test_goes_with_its_server_or_peer(self):
        service, client, peer = self.connected()
        called = []
        references = [weakref.ref(each, called.append) for each in (peer, service.server)]
        self.assertEqual([r() for r in references], [peer, service.server])
        service.server.close()
        del peer
        self.assertEqual(called, references[:1])
        self.doCleanups()
        del service
        gc.collect()
        self.assertEqual((called, [r() for r in references]), (references, [None, None]))


class Growth(ServerCase):
    "two thousand times"

    def assert_no_growth(self, cycle):
        test_life.Growth.assert_no_growth(self, cycle, CYCLES)

    @staticmethod
    def client(service, ctx):
        sock = service.socket()
        sock.setblocking(False)
        return ctx.wrap_socket(sock, do_handshake_on_connect=False)

    def small(self):
        contexts = psk_contexts(True)
        for ctx in contexts:
            ctx.set_ciphers(["TLS-PSK-WITH-AES-128-CCM-8"])
        return contexts

    def test_a_server(self):
        server = psk_contexts(True)[1]

        def cycle():
            sock = bound()
            outcome(tls.DTLSServer, server, sock, max_peers=0)
            outcome(tls.DTLSServer, tls.SSLContext(3), sock)
            tls.DTLSServer(server, sock).close()

        self.assert_no_growth(cycle)

    def test_a_server_with_a_client(self):
        client, server = self.small()

        def cycle():
            service = Service(server)
            c = self.client(service, client)
            peer, what = service.shake(c)
            assert what == tls.CONNECTED
            peer.send(b"x")
            service.close()
            c.close()

        self.assert_no_growth(cycle)

    def test_a_client_of_one_server(self):
        client, server = self.small()
        service = self.service(server)
        ends = itertools.cycle(("client", "peer", "server"))

        def cycle():
            c = self.client(service, client)
            peer, what = service.shake(c)
            assert what == tls.CONNECTED
            end = next(ends)
            if end == "server":
                service.server.close_identity(IDENTITY)
            else:
                (peer if end == "peer" else c).close()
            assert end == "peer" or service.server.recv() == (peer, tls.CLOSED)
            c.close()

        self.assert_no_growth(cycle)

    def test_a_handshake_whose_callback_raises(self):
        client, server = self.small()

        class Keys:
            def get(self, identity):
                raise LookupError("no")

        server.server_psk_keys = Keys()
        service = self.service(server)

        def cycle():
            c = self.client(service, client)
            peer, what = service.shake(c)
            assert what == tls.FAILED and type(peer.error) is LookupError
            c.close()

        self.assert_no_growth(cycle)


class Garbage(ServerCase):
    "garbage"

    def assert_collected(self, make):
        test_life.Garbage.assert_collected(self, make)

    Mark = test_life.Garbage.Mark

    def test_is_a_server_that_its_keys_hold_while_peers_live(self):
        fds = test_life.descriptors()
        kept = []

        def make(mark):
            class Keys(dict):
                pass

            keys = Keys({IDENTITY: KEY})
            service = Service(context(3, server_psk_keys=keys))
            keys.mark = mark
            keys.server = service.server
            client, peer = service.connect()
            keys.peer = peer
            kept.append(client)

        with self.ignores_unclosed():
            self.assert_collected(make)
        kept.pop().close()
        self.assertEqual(test_life.descriptors(), fds)

    def test_is_a_server_that_an_exception_of_a_callback_holds(self):
        def make(mark):
            class Keys:
                def get(self, identity):
                    error = LookupError("no")
                    error.held = mark, service.server
                    raise error

            service = Service(context(3, server_psk_keys=Keys()))
            task = service.dial(psk_contexts(True)[0])
            peer = service.expect(tls.FAILED)
            peer.error.peer = peer
            ServerCase.end(task, service)

        with self.ignores_unclosed():
            self.assert_collected(make)

    def test_is_a_server_that_an_exception_holds_which_no_event_has_told_yet(self):
        def make(mark):
            class Keys:
                asked = False

                def get(self, identity):
                    self.asked = True
                    error = LookupError("no")
                    error.held = mark, service.server
                    raise error

            keys = Keys()
            service = Service(context(3, server_psk_keys=keys))
            sock = self.keep(service.socket())
            client = psk_contexts(True)[0].wrap_socket(WithoutFinished(sock), do_handshake_on_connect=False)
            service.server.setblocking(False)
            while not keys.asked:
                client.do_handshake()
                self.assertIsNone(service.server.recv())

        with self.ignores_unclosed():
            self.assert_collected(make)

    @staticmethod
    @contextlib.contextmanager
    def ignores_unclosed():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            yield

    def test_leaves_peers_that_are_kept(self):
        service = Service()
        client, peer = service.connect()
        with self.ignores_unclosed():
            sock = weakref.ref(service.sock)
            del service
        self.assertIsNone(sock())
        self.assert_ended(peer, "closed")
        self.assertEqual(peer.psk_identity, IDENTITY)
        client.close()


class Ends(unittest.TestCase):
    "the interpreter's end"

    def run_program(self, program, *options, status=0):
        done = subprocess.run(
            [sys.executable, *options, "-c", PREAMBLE + program], capture_output=True, text=True, timeout=100
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, "done\n", ""))

    def test_comes_with_an_open_server_and_peers(self):
        self.run_program(
            "class Keys(dict): pass\n"
            "keys = Keys({IDENTITY: KEY})\n"
            "service = Service(context(3, server_psk_keys=keys))\n"
            "client, peer = service.connect()\n"
            "keys.all = service, client, peer\n"
            "print('done')"
        )

    def test_comes_while_a_thread_waits_in_a_server(self):
        self.run_program(
            "service = Service()\nclient, peer = service.connect()\nTask(service.server.recv)\nprint('done')"
        )

    def test_comes_in_a_callback_of_a_server(self):
        self.run_program(
            "class Keys:\n"
            "    def get(self, identity):\n"
            "        print('done')\n"
            "        sys.exit(3)\n"
            "service = Service(context(3, server_psk_keys=Keys()))\n"
            "service.dial(psk_contexts(True)[0])\n"
            "service.server.recv()",
            status=3,
        )

    def test_waits_for_no_thread_that_is_in_a_callback_of_a_server(self):
        self.run_program(
            "asked = threading.Event()\n"
            "class Keys(dict):\n"
            "    def get(self, identity):\n"
            "        if identity == IDENTITY:\n"
            "            return KEY\n"
            "        asked.set()\n"
            "        threading.Event().wait()\n"
            "class Last:\n"
            "    def __del__(self):\n"
            "        peer.close()\n"
            "        service.server.close()\n"
            "        print('done', flush=True)\n"
            "service = Service(context(3, server_psk_keys=Keys()))\n"
            "client, peer = service.connect()\n"
            "service.dial(context(2, psk_identity=b'other', psk_key=KEY))\n"
            "Task(service.server.recv)\n"
            "asked.wait(WAIT)\n"
            "sys._last = Last()\n"
        )

    def test_is_clean_in_development_mode_with_a_server(self):
        self.run_program(
            "import gc\n"
            "for contexts in (psk_contexts, cert_contexts):\n"
            "    client, server = contexts(True)\n"
            "    service = Service(server)\n"
            "    with service.server as s:\n"
            "        c, peer = service.connect(client)\n"
            "        c.write(b'x')\n"
            "        assert s.recv() == (peer, b'x')\n"
            "        c.close()\n"
            "        assert s.recv() == (peer, CLOSED)\n"
            "    outcome(DTLSServer, server, 5)\n"
            "gc.collect()\n"
            "print('done')".replace("CLOSED", "tls.CLOSED").replace("DTLSServer", "tls.DTLSServer"),
            "-X",
            "dev",
            "-W",
            "error",
        )

    def test_in_a_child_leaves_the_parents_peers_alone(self):
        self.run_program(
            "service = Service()\n"
            "client, peer = service.connect()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    ended = service.server.recv() == (peer, tls.CLOSED) and peer.reason == 'error'\n"
            "    service.server.close()\n"
            "    os._exit(0 if ended and isinstance(peer.error, OSError) else 1)\n"
            "assert os.waitpid(child, 0)[1] == 0\n"
            "client.write(b'from the client')\n"
            "assert service.server.recv() == (peer, b'from the client')\n"
            "peer.send(b'from the parent')\n"
            "assert client.recv(100) == b'from the parent'\n"
            "print('done')"
        )
