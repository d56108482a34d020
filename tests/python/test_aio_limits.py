import asyncio
import gc
from unittest import mock

from aio_support import (
    ClientCase, descriptors, echo, LOCAL, psk_client, psk_server, Puppet, PuppetContext, ServerCase, turns, until,
)
from ssl_shim.aio import DTLSConnection, open_dtls_connection, Server, start_dtls_server
from support import CONN_EOF
from test_life import rss, SANITIZED


class Limits(ClientCase):
    "what an asyncio client holds"

    async def puppet(self, change=lambda session: None):
        ctx = PuppetContext(psk_client(), change)
        connection = await self.connected(ctx)
        return connection, ctx.made[0]

    async def test_is_bounded_while_nobody_receives(self):
        came = []

        def flood():
            came.append(len(came))
            return len(came).to_bytes(4) + bytes(996)

        connection, session = await self.puppet()
        session.recv = flood
        await connection.send(b"wake")
        await until(lambda: came)
        n = 0
        while n < len(came):
            n = len(came)
            await turns(10)
        self.assertLessEqual(n * 1000, 2**18 + 1000)
        self.assertGreater(n * 1000, 2**17)
        self.assertFalse(self.loop.remove_reader(session.fileno()))
        for i in range(3 * n):
            self.assertEqual((await connection.recv())[:4], (i + 1).to_bytes(4))
        self.assertEqual(connection.dropped, 0)
        self.assertLessEqual((len(came) - 3 * n) * 1000, 2**18 + 1000)

    async def test_lets_the_rest_of_the_loop_run_in_a_flood(self):
        connection, session = await self.puppet()
        session.recv = lambda: b"x"
        await connection.send(b"wake")
        received = 0
        gaps = []

        async def receive():
            nonlocal received
            async for _ in connection:
                received += 1

        self.task(receive())
        while received < 5000:
            before = received
            await asyncio.sleep(0)
            gaps.append(received - before)
        self.assertLessEqual(max(gaps), 2 * 16)

    async def test_takes_what_no_descriptor_shows(self):
        waiting = [bytes([i + 1]) for i in range(200)]
        expected = list(waiting)

        def fill(session):
            session.recv = lambda: waiting.pop(0) if waiting else session.inner.recv()

        connection, _ = await self.puppet(fill)
        self.assertEqual([await connection.recv() for _ in expected], expected)
        await self.assert_echoes(connection)

    async def test_waits_for_room_to_send(self):
        connection, session = await self.puppet()
        inner, full, calls = session.send, True, []

        def send(data):
            calls.append(bytes(data))
            return None if full else inner(data)

        session.send = send
        session.recv = lambda: None
        message = bytearray(b"first")
        await connection.send(message)
        message[:] = b"other"
        second, third, fourth = (self.task(connection.send(data)) for data in (b"second", b"third", b"fourth"))
        await turns(5)
        self.assertFalse(second.done() or third.done() or fourth.done())
        self.assertEqual(set(calls), {b"first"})
        third.cancel()
        await asyncio.wait([third])
        full = False
        await asyncio.gather(second, fourth)
        session.recv = session.inner.recv
        self.assertEqual([await connection.recv() for _ in range(3)], [b"first", b"second", b"fourth"])
        n = len(calls)
        await turns(10)
        self.assertEqual(len(calls), n)

    async def test_ends_who_waits_for_room(self):
        for end in ("close", "fail"):
            with self.subTest(end):
                connection, session = await self.puppet()
                session.send = lambda data: None
                await connection.send(b"first")
                second = self.task(connection.send(b"second"))
                await turns(3)
                if end == "close":
                    connection.close()
                else:
                    session.send = mock.Mock(side_effect=OSError(*CONN_EOF))
                with self.assertRaises(OSError) as caught:
                    await second
                self.assertEqual(caught.exception.args, CONN_EOF if end == "fail" else mock.ANY)

    async def test_raises_what_the_session_failed_with_again_and_again(self):
        before = descriptors()
        connection, session = await self.puppet()
        waiting = self.task(connection.recv())
        await turns(3)
        session.recv = mock.Mock(side_effect=OSError(*CONN_EOF))
        await connection.send(b"wake")
        for wait in (lambda: waiting, connection.recv, connection.recv, lambda: connection.send(b"x")):
            with self.assertRaises(OSError) as caught:
                await wait()
            self.assertEqual(caught.exception.args, CONN_EOF)
        await connection.wait_closed()
        connection.close()
        with self.assertRaises(OSError) as caught:
            await connection.recv()
        self.assertEqual((caught.exception.args, session.fileno()), (CONN_EOF, -1))
        del caught
        self.assertLessEqual(descriptors(), before + 1)

    async def test_hears_of_a_failure_that_a_send_met(self):
        connection, session = await self.puppet()
        await turns(5)
        session.send = session.recv = mock.Mock(side_effect=OSError(*CONN_EOF))
        for wait in (lambda: connection.send(b"x"), connection.recv):
            with self.assertRaises(OSError) as caught:
                await wait()
            self.assertEqual(caught.exception.args, CONN_EOF)


class Load(ServerCase):
    "what an asyncio server holds"

    async def test_lets_the_rest_of_the_loop_run_in_a_flood(self):
        core = await self.start_puppet()
        client, here = await self.pair()
        peer = here.get_extra_info("ssl_object")
        core.recv = lambda: (peer, b"x")
        await client.send(b"wake")
        gaps, received = [], 0

        async def receive():
            nonlocal received
            async for _ in here:
                received += 1

        self.task(receive())
        while received < 5000:
            before = received
            await asyncio.sleep(0)
            gaps.append(received - before)
        self.assertLessEqual(max(gaps), 2 * 16)

    async def test_sleeps_until_something_is_due(self):
        core = await self.start_puppet()
        client, here = await self.pair()
        calls, inner = [], core.recv
        core.recv = lambda: calls.append(1) or inner()
        await client.send(b"x")
        await here.recv()
        n = len(calls)
        await turns(20)
        self.assertEqual(len(calls), n)

    async def test_sends_what_waits_when_there_is_room(self):
        core = await self.start_puppet()
        client, here = await self.pair()
        waits, calls, inner = True, [], core.recv
        core.unsent = lambda: waits
        core.recv = lambda: calls.append(1) or inner()
        await here.send(b"x")
        await until(lambda: len(calls) > 3)
        waits = False
        await turns(5)
        n = len(calls)
        await turns(20)
        self.assertEqual(len(calls), n)
        self.assertEqual(await client.recv(), b"x")

    async def test_does_not_wait_for_room_once_it_is_closed(self):
        core = await self.start_puppet()
        _, here = await self.pair()
        fd = core.fileno()
        core.unsent = lambda: True
        await here.send(b"x")
        self.server.close()
        self.assertFalse(self.loop.remove_writer(fd))

    async def test_waits_for_room_to_send(self):
        core = await self.start_puppet()
        inner_recv, full = core.recv, True
        puppets = {}

        def recv():
            event = inner_recv()
            if event is None:
                return None
            peer, what = event
            return puppets.setdefault(peer, dress(Puppet(peer))), what

        def dress(puppet):
            inner = puppet.inner.send
            puppet.send = lambda data: None if full else inner(data)
            return puppet

        core.recv = recv
        core.unsent = lambda: full
        client, here = await self.pair()
        sending = [self.task(here.send(data)) for data in (b"one", b"two", b"three")]
        await turns(10)
        self.assertFalse(any(task.done() for task in sending))
        sending[1].cancel()
        await asyncio.wait([sending[1]])
        full = False
        await asyncio.gather(sending[0], sending[2])
        self.assertEqual((await client.recv(), await client.recv()), (b"one", b"three"))
        full = True
        sending = self.task(here.send(b"never"))
        await turns(10)
        client.close()
        with self.assertRaises(BrokenPipeError):
            await sending
        full = False


class Cycles(ServerCase):
    "asyncio clients and servers that come and go"

    def alive(self, before=()):
        gc.collect()
        return [each for each in gc.get_objects() if isinstance(each, (DTLSConnection, Server)) and each not in before]

    async def test_are_forgotten_by_those_who_stay(self):
        before = self.alive()
        server = await self.start(idle_ms=60000)
        for _ in range(5):
            async with await open_dtls_connection(*self.address, context=psk_client()) as connection:
                await self.assert_echoes(connection)
            del connection
        await until(lambda: server.stats()["peers"] == 0)
        await turns(3)
        self.assertEqual(self.alive(before), [server])

    async def test_are_forgotten_by_the_loop(self):
        before = self.alive()
        server = await start_dtls_server(echo, LOCAL, 0, context=psk_server(), idle_ms=60000)
        connection = await open_dtls_connection(*server.sockets[0].getsockname(), context=psk_client())
        await self.assert_echoes(connection)
        server.close()
        await server.wait_closed()
        await connection.wait_closed()
        del server, connection
        await turns(3)
        self.assertEqual(self.alive(before), [])

    async def test_leaves_nothing_behind(self):
        async def cycle():
            server = await start_dtls_server(echo, LOCAL, 0, context=ctx)
            for _ in range(3):
                async with await open_dtls_connection(*server.sockets[0].getsockname(), context=client) as connection:
                    await self.assert_echoes(connection)
            lost = self.loop.create_task(open_dtls_connection(*silent.getsockname(), context=client))
            await turns(3)
            lost.cancel()
            server.close()
            await asyncio.wait([lost])
            await server.wait_closed()

        client, ctx, silent = psk_client(), psk_server(), self.bound()
        for _ in range(20):
            await cycle()
        before, objects, memory = descriptors(), len(gc.get_objects()), rss()
        for _ in range(60):
            await cycle()
        self.assertLessEqual(descriptors(), before)
        self.assertLess(len(gc.get_objects()) - objects, 500)
        if not SANITIZED:
            self.assertLess(rss() - memory, 4000)
