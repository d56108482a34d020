import asyncio
import errno
import os
import subprocess
import sys
import unittest
from unittest import mock

from aio_support import Link, psk_client, psk_server, PuppetContext, ServerCase, turns, until
from support import IDENTITY, WAIT


class Ends(ServerCase):
    "the end of an asyncio server"

    async def test_ends_all_connections_and_those_who_wait(self):
        server = await self.start_held()
        pairs = [await self.pair() for _ in range(3)]
        waiting = [self.task(here.recv()) for _, here in pairs]
        forever = self.task(server.serve_forever())
        closed = self.task(server.wait_closed())
        await turns(3)
        server.close()
        server.close()
        self.assertEqual(await asyncio.gather(*waiting, forever, closed), [b"", b"", b"", None, None])
        self.assertEqual([await client.recv() for client, _ in pairs], [b"", b"", b""])
        with self.assertRaises(OSError) as caught:
            await pairs[0][1].send(b"x")
        self.assertEqual(caught.exception.errno, errno.EBADF)
        self.assertEqual(server.sockets, ())
        self.assertEqual(server.stats()["handshakes_completed"], 3)
        self.assertEqual(server.close_identity(IDENTITY), 0)

    async def test_waits_for_handlers_and_does_not_cancel_them(self):
        done = []

        async def handle(connection):
            async for _ in connection:
                pass
            await turns(5)
            done.append(True)

        server = await self.start(handle)
        await self.connect()
        await until(lambda: server.stats()["peers"] == 1)
        async with server:
            pass
        self.assertEqual(done, [True])

    async def test_can_come_from_a_handler(self):
        async def handle(connection):
            await connection.recv()
            server.close()
            await server.wait_closed()

        server = await self.start(handle)
        client = await self.connect()
        await client.send(b"stop")
        self.assertEqual(await client.recv(), b"")
        await server.serve_forever()

    async def test_can_come_while_a_flood_of_events_is_taken(self):
        server = await self.start(lambda connection: server.close())
        opening = [self.task(self.connect(psk_client(handshake_timeout=(50, 100)))) for _ in range(10)]
        await server.wait_closed()
        await asyncio.wait(opening)
        self.assertEqual(len([task for task in opening if task.exception() is None and task.result()]), 1)

    async def handles_for_ever(self):
        self.cancelled = []

        async def handle(connection):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(True)
                raise

        server = await self.start(handle)
        client = await self.connect()
        await until(lambda: server.stats()["peers"] == 1)
        return server, client

    async def test_by_cancelling_serve_forever_cancels_the_handlers(self):
        server, client = await self.handles_for_ever()
        serving = self.task(server.serve_forever())
        await turns(3)
        self.assertFalse(serving.done())
        serving.cancel()
        await asyncio.wait([serving])
        self.assertTrue(serving.cancelled())
        self.assertEqual((self.cancelled, await client.recv()), ([True], b""))

    async def test_by_an_exception_in_its_block_cancels_the_handlers(self):
        server, client = await self.handles_for_ever()
        with self.assertRaises(ZeroDivisionError):
            async with server:
                raise ZeroDivisionError
        self.assertEqual((self.cancelled, await client.recv()), ([True], b""))

    async def test_by_a_failing_socket_is_told(self):
        core = await self.start_puppet()
        client, here = await self.pair()
        core.recv = mock.Mock(side_effect=OSError(errno.EIO, "as told"))
        await client.send(b"x")
        await until(lambda: self.told)
        await self.take_told(OSError)["server"].wait_closed()
        self.assertEqual((await here.recv(), await client.recv()), (b"", b""))


class Losses(ServerCase):
    "an asyncio server over a bad network"

    async def test_survives_the_loss_of_any_datagram_of_the_handshake(self):
        await self.start(ctx=psk_server(handshake_timeout=(50, 60000)))
        for to_server in (True, False):
            k = 0
            while True:
                with self.subTest(to_server=to_server, datagram=k):
                    link, connection = await self.connect_without(to_server, k)
                    await self.assert_echoes(connection)
                    connection.close()
                k += 1
                if not link.lost:
                    break
            self.assertGreaterEqual(k, 2)

    async def connect_without(self, to_server, k):
        seen = 0

        def loses(there, datagram):
            nonlocal seen
            if there != to_server or datagram[0] in (21, 23):  # an alert, data
                return False
            seen += 1
            return seen == k + 1

        link = Link(self, self.address, loses)
        return link, await self.connect(psk_client(handshake_timeout=(50, 60000)), link.address)

    async def test_sends_again_by_itself(self):
        server = await self.start(ctx=psk_server(handshake_timeout=(50, 60000)), idle_ms=9000 * WAIT)
        await self.assert_echoes(await self.connect())
        listener = server._listeners[0]
        await until(lambda: listener._timer and listener._timer.when() > self.loop.time() + WAIT)  # of who is silent
        link = Link(self, self.address)
        link.loses = lambda to_server, datagram: link.passed >= 3
        self.task(self.connect(psk_client(), link.address))
        await until(lambda: len([datagram for to_server, datagram in link.lost if not to_server]) >= 3)
        self.assertGreaterEqual(server.stats()["retransmissions"], 2)

    async def test_a_client_that_is_cancelled_at_any_stage_has_closed_its_socket(self):
        server = await self.start()
        for stage in range(10):
            link = Link(self, self.address)
            link.loses = lambda to_server, datagram, link=link: link.passed >= stage
            ctx = PuppetContext(psk_client(handshake_timeout=(40000, 60000)))
            opening = self.task(self.connect(ctx, link.address))
            await until(lambda: link.lost or opening.done())
            if opening.done():
                break
            opening.cancel()
            await asyncio.wait([opening])
            self.assertTrue(opening.cancelled())
            self.assertEqual(ctx.made[0].fileno(), -1)
        self.assertGreaterEqual(stage, 5)
        await self.assert_echoes(await self.connect())
        self.assertGreater(server.stats()["handshakes_started"], 0)


PROGRAM = """
import asyncio, ssl_shim
from ssl_shim.aio import open_dtls_connection, start_dtls_server

client = ssl_shim.SSLContext(ssl_shim.PROTOCOL_DTLS_CLIENT)
client.psk_identity, client.psk_key = b"i", b"a key of ours"
context = ssl_shim.SSLContext(ssl_shim.PROTOCOL_DTLS_SERVER)
context.server_psk_keys = {b"i": b"a key of ours"}

async def serve(connection):
    async for message in connection:
        await connection.send(message)
    await asyncio.sleep(1000)

async def main():
    asyncio.get_running_loop().slow_callback_duration = 100
    server = await start_dtls_server(serve, "127.0.0.1", 0, context=context)
    address = server.sockets[0].getsockname()
    forever = asyncio.create_task(server.serve_forever())
    connection = await open_dtls_connection(*address, context=client)
    await connection.send(b"hello")
    print(await connection.recv())
    waits = [asyncio.create_task(each) for each in (connection.recv(), connection.wait_closed())]
    lost = asyncio.create_task(open_dtls_connection("127.0.0.1", 9, context=client))
    for _ in range(10):
        await asyncio.sleep(0)
    END

asyncio.run(main())
"""
ENDS = (
    "pass",
    "connection.close()",
    "server.close()",
    "connection.close(); server.close()",
    "forever.cancel(); await asyncio.wait([forever])",
)


class Development(unittest.TestCase):
    "an asyncio program in development mode"

    def test_warns_of_nothing_however_it_ends(self):
        for end in ENDS:
            with self.subTest(end):
                done = subprocess.run(
                    [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM.replace("END", end)],
                    capture_output=True, text=True, timeout=WAIT, stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
                )
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "b'hello'\n", ""))
