import asyncio
import errno
import inspect
import selectors
import socket
import subprocess
import sys
import unittest

from aio_support import ClientCase, descriptors, echo_once, Link, LOCAL, psk_client, PuppetContext, turns, until
import ssl_shim.aio
from ssl_shim.aio import DTLSConnection, open_dtls_connection
from support import cert_contexts, context, der, IDENTITY, KEY, notes, path, psk_contexts, Task, tls, WAIT
from test_peers import free_port, Program


class Connections(ClientCase):
    "an asyncio client"

    async def test_exchanges_messages_and_keeps_them_apart(self):
        connection = await self.connected()
        self.assertIsInstance(connection, DTLSConnection)
        for size in (1, 100, 1100):
            await self.assert_echoes(connection, bytes([7]) * size)
        for message in (b"one", bytearray(b"two"), memoryview(b"three")):
            await connection.send(message)
        self.assertEqual([await connection.recv() for _ in range(3)], [b"one", b"two", b"three"])

    async def test_knows_who_it_talks_to(self):
        address, _ = self.serve(cert_contexts(dtls=True)[1])
        ctx = context(tls.PROTOCOL_DTLS_CLIENT, ca="ca")
        connection = await self.connect(address, ctx, server_hostname="localhost")
        info = connection.get_extra_info
        self.assertEqual((info("peername"), info("peercert")), (address, der("server")))
        self.assertEqual(info("sockname")[0], LOCAL)
        self.assertEqual((info("version"), info("cipher")[1]), ("DTLSv1.2", "DTLSv1.2"))
        self.assertEqual((info("alpn_protocol"), info("alpn_protocol", 5), info("psk_identity")), (None, 5, None))
        self.assertEqual((info("no such thing"), info("no such thing", 7)), (None, 7))
        self.assertEqual(info("ssl_object").fileno(), info("ssl_object").fileno())
        connection.close()
        self.assertEqual((info("peername"), info("peercert"), info("cipher", 1)), (address, None, 1))

    async def test_knows_its_identity_and_protocol_also_afterwards(self):
        client, server = psk_contexts(dtls=True)
        for ctx in (client, server):
            ctx.set_alpn_protocols(["coap"])
        connection = await self.connect(self.serve(server)[0], client)
        self.assertEqual(connection.get_extra_info("alpn_protocol"), "coap")
        connection.close()
        self.assertEqual(connection.get_extra_info("psk_identity"), IDENTITY)

    async def test_closes_as_a_context_manager(self):
        address, task = self.serve()
        async with await self.connect(address) as connection:
            await self.assert_echoes(connection)
        await connection.wait_closed()
        self.assertFalse(isinstance(task.wait(), Exception))

    async def test_iterates_until_the_peer_closes(self):
        def three(ctx, sock):
            with ctx.wrap_socket(sock) as s:
                for message in (b"one", b"two", b"three"):
                    s.send(message)

        before = descriptors()
        address, task = self.serve(call=three)
        connection = await self.connect(address)
        self.assertEqual([message async for message in connection], [b"one", b"two", b"three"])
        connection.close()
        self.assertEqual((await connection.recv(), await connection.recv()), (b"", b""))
        with self.assertRaises(BrokenPipeError):
            await connection.send(b"too late")
        await connection.wait_closed()
        task.wait()
        self.assertEqual(descriptors(), before)

    async def test_closed_here_receives_what_had_come_and_then_the_end(self):
        connection = await self.connected()
        for message in (b"one", b"two"):
            await connection.send(message)
        self.assertEqual(await connection.recv(), b"one")
        await until(lambda: connection._messages)
        connection.close()
        connection.close()
        self.assertEqual([await connection.recv() for _ in range(3)], [b"two", b"", b""])
        with self.assertRaises(OSError) as caught:
            await connection.send(b"too late")
        self.assertEqual(caught.exception.errno, errno.EBADF)

    async def test_refuses_what_no_datagram_holds_and_goes_on(self):
        connection = await self.connected()
        for size in (1201, 100000):
            with self.assertRaises(OSError) as caught:
                await connection.send(bytes(size))
            self.assertEqual(caught.exception.errno, errno.EMSGSIZE)
        for kind, bad in ((ValueError, b""), (TypeError, "text"), (TypeError, None)):
            with self.assertRaises(kind):
                await connection.send(bad)
        await self.assert_echoes(connection)

    async def test_tells_all_who_wait_when_it_is_closed(self):
        connection = await self.connected()
        waiting = [self.task(wait()) for wait in (connection.recv, connection.wait_closed, connection.recv)]
        await turns(3)
        connection.close()
        self.assertEqual(await asyncio.gather(*waiting), [b"", None, b""])

    async def test_tells_all_who_wait_when_the_peer_closes(self):
        def one(ctx, sock):
            with ctx.wrap_socket(sock) as s:
                s.recv(1)

        connection = await self.connect(self.serve(call=one)[0])
        waiting = [self.task(wait()) for wait in (connection.wait_closed, connection.recv)]
        await turns(3)
        await connection.send(b"x")
        self.assertEqual(await asyncio.gather(*waiting), [None, b""])

    async def test_gives_each_message_to_one_of_those_who_wait(self):
        connection = await self.connected()
        waiting = [self.task(connection.recv()) for _ in range(5)]
        await turns(3)
        for i in range(5):
            await connection.send(bytes([i]))
        self.assertEqual(sorted(await asyncio.gather(*waiting)), [bytes([i]) for i in range(5)])

    async def test_loses_no_message_when_recv_is_cancelled(self):
        connection = await self.connected()
        await connection.send(b"kept")
        waiting = self.task(connection.recv())
        await until(lambda: connection._messages or waiting.done())
        waiting.cancel()
        await asyncio.wait([waiting])
        self.assertEqual(b"kept" if not waiting.cancelled() else await connection.recv(), b"kept")
        await self.assert_echoes(connection)

    async def test_goes_on_after_recv_was_cancelled_or_timed_out(self):
        connection = await self.connected()
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.01)
        waiting = self.task(connection.recv())
        await turns(2)
        waiting.cancel()
        await asyncio.wait([waiting])
        await self.assert_echoes(connection)


class Beginnings(ClientCase):
    "open_dtls_connection()"

    async def first_datagram(self, host, ctx, **keywords):
        sock = self.bound()
        sock.setblocking(False)
        self.task(open_dtls_connection(host, sock.getsockname()[1], context=ctx, family=socket.AF_INET, **keywords))
        return await self.loop.sock_recv(sock, 2000)

    async def test_asks_for_the_host_by_name_where_it_verifies_certificates(self):
        ca = context(tls.PROTOCOL_DTLS_CLIENT, ca="ca")
        none = context(tls.PROTOCOL_DTLS_CLIENT, verify_mode=tls.CERT_NONE)
        none.set_ciphers(["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"])
        for ctx, keywords, name, asked in (
            (ca, {}, b"localhost", True),
            (ca, {"server_hostname": "sensor.example"}, b"localhost", False),
            (ca, {"server_hostname": "sensor.example"}, b"sensor.example", True),
            (none, {}, b"localhost", False),
            (none, {"server_hostname": "sensor.example"}, b"sensor.example", True),
            (psk_client(), {}, b"localhost", False),
        ):
            hello = await self.first_datagram("localhost", ctx, **keywords)
            self.assertEqual(name in hello, asked, (name, keywords))

    async def test_verifies_the_name_of_the_host(self):
        ctx = context(tls.PROTOCOL_DTLS_CLIENT, ca="ca")
        (_, port), _ = self.serve(cert_contexts(dtls=True)[1])
        await self.assert_echoes(await self.connect(("localhost", port), ctx, family=socket.AF_INET))

    async def test_raises_for_certificates_as_wrap_socket(self):
        for pair, host, why in (
            ("server", LOCAL, "expected CN"),
            ("wrong", "localhost", "expected CN"),
            ("expired", "localhost", "expired"),
            ("stranger", "localhost", "not correctly signed"),
        ):
            with self.subTest(pair):
                (_, port), task = self.serve(context(tls.PROTOCOL_DTLS_SERVER, pair=pair))
                ctx = context(tls.PROTOCOL_DTLS_CLIENT, ca="ca")
                error = await self.refused(ValueError, host, port, context=ctx, family=socket.AF_INET)
                self.assertTrue(str(error).startswith("\n"), error)
                self.assertIn(why, str(error))
                self.assertTrue(notes(error))
                self.assertIsInstance(task.wait(), OSError)

    async def test_raises_for_a_wrong_key_and_for_silence_as_wrap_socket(self):
        (_, port), task = self.serve(context(tls.PROTOCOL_DTLS_SERVER, server_psk_keys={IDENTITY: b"another key"}))
        error = await self.refused(OSError, LOCAL, port, context=psk_client(handshake_timeout=(20, 100)))
        self.assertRegex(error.args[1], "MBEDTLS_ERR_SSL_")
        self.assertIsInstance(task.wait(), OSError)
        silent = self.bound().getsockname()
        with self.assertRaises(OSError) as caught:
            psk_client(handshake_timeout=(10, 20)).wrap_socket(self.connected_to(silent))
        error = await self.refused(OSError, *silent, context=psk_client(handshake_timeout=(10, 20)))
        self.assertEqual(error.args, caught.exception.args)
        self.assertEqual(notes(error), notes(caught.exception))

    def connected_to(self, address):
        sock = self.bound()
        sock.connect(address)
        return sock

    async def test_raises_what_a_callback_raised(self):
        class Odd(Exception):
            pass

        def verify(der, depth):
            raise Odd("no")

        (_, port), _ = self.serve(cert_contexts(dtls=True)[1])
        ctx = context(tls.PROTOCOL_DTLS_CLIENT, ca="ca", verify_callback=verify)
        await self.refused(Odd, "localhost", port, context=ctx, family=socket.AF_INET)

    async def test_refuses_contexts_that_are_no_clients_of_dtls(self):
        for protocol in (tls.PROTOCOL_TLS_CLIENT, tls.PROTOCOL_TLS_SERVER, tls.PROTOCOL_DTLS_SERVER):
            error = await self.refused(ValueError, LOCAL, 9, context=tls.SSLContext(protocol))
            self.assertIn("PROTOCOL_DTLS_CLIENT", str(error))

    async def test_leaves_nothing_open_when_the_context_refuses(self):
        before = descriptors()
        await self.refused(ValueError, LOCAL, 9, context=context(tls.PROTOCOL_DTLS_CLIENT, psk_identity=b"alone"))
        await self.refused(ValueError, LOCAL, 9, context=tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT))
        self.assertEqual(descriptors(), before)

    async def test_sends_from_local_addr(self):
        address, _ = self.serve()
        port = free_port(socket.SOCK_DGRAM)
        connection = await self.connect(address, local_addr=(LOCAL, port))
        self.assertEqual(connection.get_extra_info("sockname"), (LOCAL, port))
        taken = self.bound().getsockname()
        error = await self.refused(OSError, *address, context=psk_client(), local_addr=taken)
        self.assertEqual(error.errno, errno.EADDRINUSE)
        error = await self.refused(OSError, *address, context=psk_client(), local_addr=("::1", 0))
        self.assertEqual(error.errno, errno.EADDRNOTAVAIL)

    async def test_takes_the_first_address_that_this_machine_can_send_to(self):
        (_, port), _ = self.serve()
        with self.resolves_to("255.255.255.255", LOCAL, "255.255.255.255"):
            connection = await self.connect(("many.example", port))
        self.assertEqual(connection.get_extra_info("peername"), (LOCAL, port))
        with self.resolves_to("255.255.255.255", "255.255.255.255"):
            await self.refused(PermissionError, "many.example", port, context=psk_client())
        with self.resolves_to():
            await self.refused(OSError, "many.example", port, context=psk_client())
        await self.refused(socket.gaierror, LOCAL, "no such service", context=psk_client())


class Losses(ClientCase):
    "an asyncio client over a bad network"

    async def test_survives_the_loss_of_any_datagram_of_the_handshake(self):
        for to_server in (True, False):
            k = 0
            while True:
                with self.subTest(to_server=to_server, datagram=k):
                    link, task, connection = await self.connect_without(to_server, k)
                    await self.assert_echoes(connection)
                    connection.close()
                    self.assertNotIsInstance(await asyncio.to_thread(task.wait), Exception)
                k += 1
                if not link.lost:
                    break
            self.assertGreaterEqual(k, 2)

    async def connect_without(self, to_server, k):
        """The datagrams of the handshake are counted in their direction; the k-th gets lost."""
        seen = 0

        def loses(there, datagram):
            nonlocal seen
            if there != to_server or datagram[0] in (21, 23):  # an alert, data
                return False
            seen += 1
            return seen == k + 1

        client, server = psk_contexts(dtls=True)
        client.handshake_timeout = server.handshake_timeout = (50, 60000)
        address, task = self.serve(server)
        link = Link(self, address, loses)
        return link, task, await self.connect(link.address, client)

    async def test_sends_again_when_a_timer_says_so_and_does_nothing_between(self):
        calls = []

        def count(session):
            for name in ("do_handshake", "handle_timeout"):
                inner = getattr(session, name)
                setattr(session, name, lambda name=name, inner=inner: calls.append(name) or inner())

        silent = self.bound()
        silent.setblocking(False)
        ctx = PuppetContext(psk_client(handshake_timeout=(30, 60000)), count)
        self.task(open_dtls_connection(*silent.getsockname(), context=ctx))
        hellos = [await self.loop.sock_recv(silent, 2000) for _ in range(4)]
        self.assertEqual(len({hello[-40:] for hello in hellos}), 1)
        # A timer is set in whole milliseconds, so that one that rings too early is set once more.
        self.assertTrue(3 <= calls.count("handle_timeout") <= 2 * 3)
        self.assertLessEqual(calls.count("do_handshake"), 2 * 4)

    async def test_goes_on_when_a_flight_can_leave(self):
        def hold(session):
            inner, waits = session.do_handshake, [True, True]
            session.do_handshake = lambda: None if waits else inner()
            session.timeout = lambda: None if waits and waits.pop() else session.inner.timeout()

        connection = await self.connect(self.serve()[0], PuppetContext(psk_client(), hold))
        await self.assert_echoes(connection)
        self.assertFalse(self.loop.remove_writer(connection.get_extra_info("ssl_object").fileno()))

    async def test_closes_its_socket_when_the_time_is_over(self):
        before = descriptors()
        silent = self.bound()
        with self.assertRaises(TimeoutError):
            async with asyncio.timeout(0.02):
                await open_dtls_connection(*silent.getsockname(), context=psk_client())
        with self.assertRaises(TimeoutError):
            await asyncio.wait_for(open_dtls_connection(*silent.getsockname(), context=psk_client()), 0.02)
        silent.close()
        self.assertLessEqual(descriptors(), before)


class Programs(ClientCase):
    "an asyncio client of openssl"

    async def serve_with(self, *arguments):
        port = free_port(socket.SOCK_DGRAM)
        program = self.keep(
            Program("openssl", "s_server", "-dtls1_2", "-listen", "-accept", f"{LOCAL}:{port}", *arguments)
        )
        await asyncio.to_thread(program.wait_for, b"ACCEPT")
        return program, port

    async def assert_talks(self, program, connection):
        await connection.send(b"from us\n")
        await asyncio.to_thread(program.wait_for, b"from us")
        program.say(b"from them\n")
        self.assertEqual(await connection.recv(), b"from them\n")

    async def test_talks_by_certificates(self):
        program, port = await self.serve_with("-cert", path("server.pem"), "-key", path("server.key"))
        ctx = context(tls.PROTOCOL_DTLS_CLIENT, ca="ca")
        connection = await self.connect(("localhost", port), ctx, family=socket.AF_INET)
        await self.assert_talks(program, connection)
        self.assertEqual(connection.get_extra_info("peercert"), der("server"))

    async def test_talks_by_keys(self):
        program, port = await self.serve_with("-nocert", "-psk", KEY.hex(), "-cipher", "PSK")
        connection = await self.connect((LOCAL, port))
        await self.assert_talks(program, connection)


class Module(unittest.TestCase):
    "ssl_shim.aio"

    def test_is_loaded_on_demand(self):
        for demand in ("import ssl_shim.aio", "import ssl_shim; ssl_shim.aio", "from ssl_shim import aio"):
            program = f"import sys; {demand}; print('asyncio' in sys.modules, ssl_shim.aio.Server.__name__)"
            done = subprocess.run(
                [sys.executable, "-X", "dev", "-W", "error", "-c", "import ssl_shim; " + program],
                capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
            )
            self.assertEqual((done.stdout, done.stderr), ("True Server\n", ""))

    def test_documents_what_it_has(self):
        with open(ssl_shim.aio.__file__ + "i") as file:
            stub = file.read()
        compile(stub, "stub", "exec")
        for name in ssl_shim.aio.__all__:
            thing = getattr(ssl_shim.aio, name)
            members = [n for n in dir(thing) if not n.startswith("_")] if inspect.isclass(thing) else []
            self.assertIn(f" {name}", stub)
            self.assertEqual([m for m in [name, *members] if f" {m}(" not in stub and f"class {m}" not in stub], [])
            self.assertEqual([m for m in members if not inspect.getdoc(getattr(thing, m))], [])
            self.assertTrue(thing.__doc__)
        self.assertTrue(ssl_shim.aio.__doc__)


class Loops(unittest.TestCase):
    "every selector loop"

    def test_serves_an_asyncio_client(self):
        for kind in (selectors.SelectSelector, selectors.PollSelector, selectors.EpollSelector):
            with self.subTest(kind.__name__), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((LOCAL, 0))
                task = Task(echo_once, psk_contexts(dtls=True)[1], sock)
                with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(kind())) as runner:
                    runner.run(self.exchange(sock.getsockname()))
                self.assertNotIsInstance(task.wait(), Exception)

    async def exchange(self, address):
        async with asyncio.timeout(WAIT):
            async with await open_dtls_connection(*address, context=psk_client()) as connection:
                await connection.send(b"x")
                self.assertEqual(await connection.recv(), b"x")
