import asyncio
import contextlib
import errno
import gc
import socket
import unittest

from aio_support import descriptors, echo, has_ipv6, LOCAL, psk_client, psk_server, ServerCase, turns, until
from ssl_shim.aio import DTLSConnection, Server, start_dtls_server
from support import context, der, IDENTITY, KEY, path, tls, WAIT
from test_peers import free_port, Program, PSK_ARGUMENTS


class Service(ServerCase):
    "an asyncio server"

    async def test_serves_clients_of_both_kinds_at_once(self):
        await self.start()

        def blocking():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(self.address)
                sock.settimeout(WAIT)
                with psk_client().wrap_socket(sock) as s:
                    s.send(b"from a thread")
                    return s.recv(100)

        async def other():
            await self.assert_echoes(await self.connect())

        threads = [asyncio.to_thread(blocking) for _ in range(4)]
        results = await asyncio.gather(*threads, *(other() for _ in range(4)))
        self.assertEqual(results, [b"from a thread"] * 4 + [None] * 4)

    async def test_serves_a_hundred_clients_at_once(self):
        server = await self.start()

        async def client(i):
            async with await self.connect() as connection:
                for n in range(5):
                    await self.ask(connection, b"%d: %d" % (i, n))

        await asyncio.gather(*(client(i) for i in range(100)))
        stats = server.stats()
        self.assertEqual((stats["handshakes_completed"], stats["drop_unread"]), (100, 0))
        await until(lambda: server.stats()["peers"] == 0)

    async def ask(self, connection, message):
        """Sends again what got lost: a hundred at once may be more than the socket has room for."""
        answer = None
        while answer != message:
            await connection.send(message)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while answer != message:
                        answer = await connection.recv()

    async def test_echoes_a_thousand_messages(self):
        await self.start()
        connection = await self.connect()
        for start in range(0, 1000, 50):
            batch = [b"message %d" % i for i in range(start, start + 50)]
            for message in batch:
                await connection.send(message)
            self.assertEqual([await connection.recv() for _ in batch], batch)

    async def test_serves_openssl_by_keys_and_certificates(self):
        for ctx, options in (
            (psk_server(), [*PSK_ARGUMENTS, "-cipher", "PSK"]),
            (
                context(tls.PROTOCOL_DTLS_SERVER, pair="server"),
                ["-CAfile", path("ca.pem"), "-verify_return_error", "-verify_hostname", "localhost"],
            ),
        ):
            await self.start_held(ctx=ctx)
            address = f"{LOCAL}:{self.address[1]}"
            program = self.keep(Program("openssl", "s_client", "-dtls1_2", "-connect", address, *options))
            await until(lambda: self.connections)
            await self.connections[0].send(b"from us\n")
            await asyncio.to_thread(program.wait_for, b"from us")
            program.say(b"from them\n")
            self.assertEqual(await self.connections[0].recv(), b"from them\n")
            program.say(b"Q\n")
            self.assertEqual(await self.connections[0].recv(), b"")

    async def test_knows_its_peers(self):
        server = context(tls.PROTOCOL_DTLS_SERVER, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        client = context(tls.PROTOCOL_DTLS_CLIENT, pair="client", ca="ca")
        for ctx in (server, client):
            ctx.set_alpn_protocols(["coap"])
        await self.start_held(ctx=server)
        there = await self.connect(client, server_hostname="localhost")
        await until(lambda: self.connections)
        info = self.connections[0].get_extra_info
        self.assertIsInstance(self.connections[0], DTLSConnection)
        self.assertEqual((info("peername"), info("sockname")), (there.get_extra_info("sockname"), self.address))
        self.assertEqual((info("peercert"), info("alpn_protocol")), (der("client"), "coap"))
        self.assertEqual((info("cipher"), info("version")), (there.get_extra_info("cipher"), "DTLSv1.2"))
        self.assertEqual(info("ssl_object").address, info("peername"))
        self.assertEqual((info("psk_identity"), info("psk_identity", 1)), (None, 1))

    async def test_knows_its_peers_identity_also_afterwards(self):
        await self.start_held()
        client, here = await self.pair()
        here.close()
        self.assertEqual(await client.recv(), b"")
        info = here.get_extra_info
        self.assertEqual((info("psk_identity"), info("peername")), (IDENTITY, client.get_extra_info("sockname")))
        self.assertEqual((info("cipher"), info("version", 1)), (None, 1))

    async def test_hears_that_a_peer_closes_behind_its_last_message(self):
        await self.start_held()
        client, here = await self.pair()
        await client.send(b"last")
        client.close()
        self.assertEqual([message async for message in here], [b"last"])
        with self.assertRaises(BrokenPipeError):
            await here.send(b"too late")
        await here.wait_closed()

    async def test_refuses_what_no_datagram_holds_and_goes_on(self):
        await self.start_held()
        client, here = await self.pair()
        for kind, bad in ((OSError, bytes(20000)), (ValueError, b""), (TypeError, "text")):
            with self.assertRaises(kind):
                await here.send(bad)
        await here.send(b"fits")
        self.assertEqual(await client.recv(), b"fits")

    async def test_counts_handshakes_that_fail_and_goes_on(self):
        server = await self.start()
        ctx = psk_client(handshake_timeout=(20, 100))
        ctx.psk_key = b"another key"
        with self.assertRaises(OSError):
            await self.connect(ctx)
        await until(lambda: server.stats()["handshakes"] == 0)
        self.assertGreater(server.stats()["handshakes_failed"], 0)
        await self.assert_echoes(await self.connect())

    async def test_tells_what_a_callback_raised_and_goes_on(self):
        class Keys:
            def get(self, identity):
                return {IDENTITY: KEY, b"text": "a str"}[identity]

        await self.start(ctx=psk_server(server_psk_keys=Keys()))
        for identity, kind in ((b"unknown", KeyError), (b"text", OSError)):
            ctx = context(
                tls.PROTOCOL_DTLS_CLIENT, psk_identity=identity, psk_key=KEY, handshake_timeout=(60000, 60000)
            )
            opening = self.task(self.connect(ctx))
            await until(lambda: self.told or opening.done())
            told = self.take_told(kind)
            self.assertIn("handshake", told["message"])
            opening.cancel()
            await asyncio.wait([opening])
            self.told.clear()
        await self.assert_echoes(await self.connect())

    async def test_ends_the_sessions_of_an_identity(self):
        keys = {IDENTITY: KEY, b"other": KEY}
        server = await self.start_held(ctx=psk_server(server_psk_keys=keys))
        client, here = await self.pair()
        other = context(tls.PROTOCOL_DTLS_CLIENT, psk_identity=b"other", psk_key=KEY)
        other_client, other_here = await self.pair(other)
        del keys[IDENTITY]
        self.assertEqual((server.close_identity(IDENTITY), server.close_identity(b"nobody")), (1, 0))
        with self.assertRaises(OSError):
            await here.recv()
        self.assertEqual(await client.recv(), b"")
        await other_client.send(b"still here")
        self.assertEqual(await other_here.recv(), b"still here")

    async def test_closes_who_is_silent_on_a_timer_of_the_loop(self):
        await self.start_held(idle_ms=50)
        client, here = await self.pair()
        with self.assertRaises(OSError):
            await here.recv()
        self.assertEqual(await client.recv(), b"")


class Handlers(ServerCase):
    "a handler of an asyncio server"

    async def test_that_returns_has_its_connection_closed(self):
        async def one(connection):
            await connection.send(b"bye")

        await self.start(one)
        self.assertEqual([message async for message in await self.connect()], [b"bye"])

    async def test_that_is_a_plain_function_keeps_its_connection(self):
        await self.start_held()
        client, here = await self.pair()
        gc.collect()
        await turns(5)
        await client.send(b"still here")
        self.assertEqual(await here.recv(), b"still here")

    async def test_may_be_any_callable_that_makes_a_coroutine(self):
        class Handler:
            async def __call__(self, connection):
                await echo(connection)

        for handler in (Handler(), lambda connection: echo(connection)):
            await self.start(handler)
            await self.assert_echoes(await self.connect())

    async def test_that_raises_is_told_and_its_connection_closed(self):
        async def slow(connection):
            await connection.recv()
            raise ZeroDivisionError

        def at_once(connection):
            raise ZeroDivisionError

        for handler in (slow, at_once):
            server = await self.start(handler)
            client = await self.connect()
            with contextlib.suppress(OSError):
                await client.send(b"x")
            self.assertEqual(await client.recv(), b"")
            await until(lambda: self.told)
            told = self.take_told(ZeroDivisionError)
            self.assertIs(told["server"], server)
            self.assertIsInstance(told["connection"], DTLSConnection)
            await until(lambda: server.stats()["peers"] == 0)

    async def test_that_lets_the_end_of_its_session_through_is_not_told(self):
        ended = []

        async def receive(connection):
            try:
                await connection.recv()
            finally:
                ended.append(connection)

        async def send_on(connection):
            try:
                while True:
                    await connection.send(b"x")
                    await connection.recv()
            finally:
                ended.append(connection)

        await self.start(receive, idle_ms=50)
        await self.connect()
        await until(lambda: len(ended) == 1)
        await self.start(send_on)
        (await self.connect()).close()
        await until(lambda: len(ended) == 2)
        await turns(5)

    async def test_that_is_cancelled_has_its_connection_closed(self):
        tasks = []

        async def wait(connection):
            tasks.append(asyncio.current_task())
            await connection.recv()

        await self.start(wait)
        client = await self.connect()
        await until(lambda: tasks)
        tasks[0].cancel()
        self.assertEqual(await client.recv(), b"")

    async def test_that_receives_nothing_loses_the_newest_messages(self):
        server = await self.start_held()
        client, here = await self.pair()
        n = 0
        while not here.dropped:
            for _ in range(20):
                n += 1
                await client.send(n.to_bytes(4) + bytes(996))
            await until(lambda: server.stats()["messages_in"] == n)
        self.assertEqual(server.stats()["drop_unread"], here.dropped)
        kept = n - here.dropped
        self.assertTrue(2**17 < kept * 1000 <= 2**18 + 1000, kept)
        for i in range(kept):
            self.assertEqual((await here.recv())[:4], (i + 1).to_bytes(4))
        await client.send(b"room again")
        self.assertEqual(await here.recv(), b"room again")
        self.assertEqual(server.stats()["drop_unread"], n - kept)

    async def test_that_is_slow_does_not_disturb_the_others(self):
        blocked = asyncio.Event()

        async def handle(connection):
            if await connection.recv() == b"block":
                await blocked.wait()
            await connection.send(b"answer")

        await self.start(handle)
        slow, fast = await self.connect(), await self.connect()
        await slow.send(b"block")
        await fast.send(b"go")
        self.assertEqual(await fast.recv(), b"answer")
        blocked.set()
        self.assertEqual(await slow.recv(), b"answer")


class Beginnings(ServerCase):
    "start_dtls_server()"

    async def test_listens_on_every_address_of_the_host(self):
        with self.resolves_to("127.0.0.1", "127.0.0.2", "127.0.0.1", "192.0.2.1"):
            server = await self.start(host="")
            self.assertEqual([sock.getsockname()[0] for sock in server.sockets], ["127.0.0.1", "127.0.0.2"])
        for sock in server.sockets:
            await self.assert_echoes(await self.connect(address=sock.getsockname()))
        self.assertEqual(server.stats()["handshakes_completed"], 2)
        self.assertEqual(server.close_identity(IDENTITY), 2)
        for hosts in (["192.0.2.1"], []):
            with self.resolves_to(*hosts), self.assertRaises(OSError) as caught:
                await start_dtls_server(echo, "", 0, context=psk_server())
            self.assertEqual(caught.exception.errno, errno.EADDRNOTAVAIL)

    @unittest.skipUnless(has_ipv6(), "there is no IPv6 here")
    async def test_listens_on_both_families(self):
        port = free_port(socket.SOCK_DGRAM)
        server = await self.start(host=None, port=port)
        families = {sock.family for sock in server.sockets}
        self.assertEqual(families, {socket.AF_INET, socket.AF_INET6})
        for host in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            await self.assert_echoes(await self.connect(address=(host, port)))
        connection = await self.connect(address=("::1", port), local_addr=("::1", 0))
        self.assertEqual(connection.get_extra_info("peername")[:2], ("::1", port))

    async def test_serves_the_whole_machine_without_a_host(self):
        server = await self.start(host=None, family=socket.AF_INET)
        self.assertEqual(self.address[0], "0.0.0.0")
        await self.assert_echoes(await self.connect(address=(LOCAL, self.address[1])))
        self.assertIsInstance(server, Server)

    async def test_leaves_nothing_open_when_it_fails(self):
        taken = self.bound().getsockname()[1]
        before = descriptors()
        for kind, ctx, port, limits in (
            (OSError, psk_server(), taken, {}),
            (ValueError, psk_client(), 0, {}),
            (ValueError, tls.SSLContext(tls.PROTOCOL_DTLS_SERVER), 0, {}),
            (ValueError, psk_server(), 0, {"max_peers": -1}),
            (TypeError, psk_server(), 0, {"max_peers": "many"}),
            (TypeError, psk_server(), 0, {"max_pears": 1}),
        ):
            with self.subTest(kind=kind, limits=limits), self.assertRaises(kind):
                await start_dtls_server(echo, LOCAL, port, context=ctx, **limits)
        self.assertEqual(descriptors(), before)

    async def test_takes_the_limits(self):
        server = await self.start_held(max_peers=1)
        _, first = await self.pair()
        await self.pair()
        with self.assertRaises(OSError):
            await first.recv()
        self.assertEqual((server.stats()["peers"], server.stats()["closed_evicted"]), (1, 1))
