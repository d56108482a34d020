import gc
import os
import subprocess
import sys
import tracemalloc
import unittest
import weakref

from support import (
    Case, cert_contexts, context, IDENTITY, KEY, memory_pair, outcome, pipes, psk_contexts, sockets, Task, tls,
)

CYCLES = 10_000
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")


def rss():
    """KB."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


def descriptors():
    return len(os.listdir("/proc/self/fd"))


class Growth(Case):
    "ten thousand times"

    def assert_no_growth(self, cycle, cycles=CYCLES):
        for _ in range(cycles // 20):
            cycle()
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(cycles // 20):
            cycle()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(cycles // 5):
            cycle()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        self.assertLess(grown, 6 * cycles, "bytes: an object each time takes more")
        tracemalloc.stop()
        fds, memory, objects = descriptors(), rss(), len(gc.get_objects())
        for _ in range(cycles):
            cycle()
        gc.collect()
        self.assertEqual(descriptors(), fds)
        self.assertLess(len(gc.get_objects()) - objects, 100)
        if not SANITIZED:
            self.assertLess(rss() - memory, 4000, "KB: a session alone takes 40")

    def test_wrapping_and_closing_a_deferred_socket(self):
        contexts = psk_contexts()

        def cycle():
            a, b = sockets()
            for ctx, sock in zip(contexts, (a, b)):
                ctx.wrap_socket(sock, do_handshake_on_connect=False).close()

        self.assert_no_growth(cycle)

    def test_a_session_in_memory(self):
        contexts = psk_contexts()
        names = ["TLS-PSK-WITH-AES-128-CCM-8"]
        for ctx in contexts:
            ctx.set_ciphers(names)

        def cycle():
            c, s = memory_pair(*contexts)
            c.write(b"x")
            s.recv(10)
            c.close()
            s.close()

        self.assert_no_growth(cycle)

    def test_a_context_and_a_wrap_that_fails(self):
        def cycle():
            ctx = tls.SSLContext(0)
            outcome(ctx.wrap_socket, pipes()[0])
            outcome(ctx.set_ciphers, [])
            outcome(ctx.load_verify_locations, cadata=b"!")
            outcome(setattr, ctx, "no_such_attribute", 1)

        self.assert_no_growth(cycle)


class Garbage(Case):
    "garbage"

    class Mark:
        pass

    def assert_collected(self, make):
        mark = self.Mark()
        reference = weakref.ref(mark)
        make(mark)
        del mark
        for _ in range(3):
            gc.collect()
        self.assertIsNone(reference())

    def test_is_a_context_that_its_own_callbacks_hold(self):
        def make(mark):
            ctx = tls.SSLContext(0)
            ctx.verify_callback = lambda cert, depth: (ctx, mark) and 0

        self.assert_collected(make)

    def test_is_a_context_that_its_keys_hold(self):
        def make(mark):
            class Keys:
                def get(self, identity):
                    return None

            keys = Keys()
            keys.mark = mark
            keys.ctx = tls.SSLContext(1)
            keys.ctx.server_psk_keys = keys

        self.assert_collected(make)

    def test_is_a_context_that_its_psk_callbacks_hold(self):
        def make(mark):
            client, server = tls.SSLContext(0), tls.SSLContext(1)
            client.set_psk_client_callback(lambda hint: (client, mark))
            server.set_psk_server_callback(lambda identity: (server, mark))

        self.assert_collected(make)

    def test_is_a_socket_that_its_transport_holds(self):
        def make(mark):
            a, b = pipes()
            a.sock = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
            a.mark = mark
            a.sock.read(1)

        self.assert_collected(make)

    def test_is_a_session_that_nobody_closed(self):
        def make(mark):
            c, s = memory_pair(*psk_contexts())
            del c, s
            server = context(1, server_psk_keys={IDENTITY: KEY})
            a, b = pipes()
            a.mark = mark
            a.sock = server.wrap_socket(a, do_handshake_on_connect=False)

        self.assert_collected(make)

    def test_is_closed_with_its_descriptor(self):
        import warnings

        gc.collect()
        before = descriptors()
        a, b = sockets()
        c = psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del a, c
            gc.collect()
        b.close()
        self.assertEqual(descriptors(), before)

    def test_in_a_callback_is_no_danger(self):
        def callback(cert, depth):
            gc.collect()
            return 0

        client, server = cert_contexts()
        client.verify_callback = callback
        self.assert_talks(*self.connect(client, server))

    def test_may_be_the_context_itself_while_it_serves(self):
        a, b = self.sockets()
        server = context(1, server_psk_keys={IDENTITY: KEY})
        s = self.keep(server.wrap_socket(b, do_handshake_on_connect=False))
        del server
        gc.collect()
        task = Task(s.do_handshake)
        c = self.keep(psk_contexts()[0].wrap_socket(a))
        task.result()
        self.assert_talks(c, s)


PREAMBLE = f"import sys; sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\nfrom support import *\n"


class WeakReferences(Case):
    "a weak reference"

    def test_goes_with_its_context_or_socket(self):
        called = []
        ctx = tls.SSLContext(0)
        sock = tls.wrap_socket(pipes()[0], do_handshake=False)
        references = [weakref.ref(each, called.append) for each in (ctx, sock)]
        self.assertEqual([r() for r in references], [ctx, sock])
        sock.close()
        del ctx, sock
        self.assertEqual((called, [r() for r in references]), (references, [None, None]))


class Ends(unittest.TestCase):
    "the interpreter's end"

    def run_program(self, program, *options, status=0):
        done = subprocess.run(
            [sys.executable, *options, "-c", PREAMBLE + program], capture_output=True, text=True, timeout=100
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, "done\n", ""))

    def test_comes_with_open_sockets(self):
        self.run_program(
            "for dtls in (False, True):\n"
            "    keep = globals().setdefault('keep', [])\n"
            "    a, b = sockets(dtls)\n"
            "    client, server = psk_contexts(dtls)\n"
            "    task = Task(server.wrap_socket, b)\n"
            "    keep += [client.wrap_socket(a), task.result()]\n"
            "    keep += memory_pair(client, server, dtls)\n"
            "print('done')"
        )

    def test_comes_while_callbacks_and_transports_are_held_in_cycles(self):
        self.run_program(
            "a, b = pipes()\n"
            "client, server = cert_contexts()\n"
            "client.verify_callback = lambda cert, depth: client and 0\n"
            "a.sock = client.wrap_socket(a, server_hostname='localhost', do_handshake_on_connect=False)\n"
            "b.sock = server.wrap_socket(b, do_handshake_on_connect=False)\n"
            "alternate(a.sock, b.sock)\n"
            "print('done')"
        )

    def test_comes_while_a_thread_reads(self):
        self.run_program(
            "a, b = sockets()\n"
            "client, server = psk_contexts()\n"
            "task = Task(server.wrap_socket, b)\n"
            "c, s = client.wrap_socket(a), task.result()\n"
            "Task(s.recv, 1)\n"
            "Task(c.read, 1)\n"
            "print('done')"
        )

    def test_comes_in_a_callback(self):
        self.run_program(
            "def callback(cert, depth):\n"
            "    print('done')\n"
            "    sys.exit(3)\n"
            "client, server = cert_contexts()\n"
            "client.verify_callback = callback\n"
            "a, b = sockets()\n"
            "Task(server.wrap_socket, b)\n"
            "client.wrap_socket(a, server_hostname='localhost')",
            status=3,
        )

    def test_waits_for_no_thread_that_is_in_a_callback(self):
        self.run_program(
            "asked = threading.Event()\n"
            "class Last:\n"
            "    def __del__(self):\n"
            "        c.close()\n"
            "        print('done', flush=True)\n"
            "def callback(cert, depth):\n"
            "    asked.set()\n"
            "    threading.Event().wait()\n"
            "client, server = cert_contexts()\n"
            "client.verify_callback = callback\n"
            "a, b = sockets()\n"
            "c = client.wrap_socket(a, server_hostname='localhost', do_handshake_on_connect=False)\n"
            "Task(server.wrap_socket, b)\n"
            "Task(c.do_handshake)\n"
            "asked.wait(WAIT)\n"
            "sys._last = Last()\n"
        )

    def test_is_clean_in_development_mode(self):
        self.run_program(
            "import gc\n"
            "for dtls in (False, True):\n"
            "    for contexts in (psk_contexts, cert_contexts):\n"
            "        client, server = contexts(dtls)\n"
            "        a, b = sockets(dtls)\n"
            "        task = Task(server.wrap_socket, b)\n"
            "        with client.wrap_socket(a, server_hostname='localhost') as c, task.result() as s:\n"
            "            c.write(b'x')\n"
            "            assert s.recv(1) == b'x'\n"
            "        c, s = memory_pair(client, server, dtls)\n"
            "        c.close(); s.close()\n"
            "        outcome(client.wrap_socket, 5)\n"
            "gc.collect()\n"
            "print('done')",
            "-X",
            "dev",
            "-W",
            "error",
        )

    def test_in_a_child_leaves_the_parents_session_alone(self):
        self.run_program(
            "client, server = psk_contexts()\n"
            "a, b = sockets()\n"
            "task = Task(server.wrap_socket, b)\n"
            "c, s = client.wrap_socket(a), task.result()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    os._exit(0 if isinstance(outcome(c.write, b'from the child'), OSError) else 1)\n"
            "assert os.waitpid(child, 0)[1] == 0\n"
            "c.write(b'from the parent')\n"
            "assert s.recv(100) == b'from the parent'\n"
            "print('done')"
        )
