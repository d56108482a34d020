"""What the tests of ssl_shim.aio share: deadlines, a link that loses datagrams, objects that do as they are told."""

import asyncio
import contextlib
import functools
import gc
import os
import socket
import sys
import unittest
import warnings
from unittest import mock

from ssl_shim import _aio_server
from ssl_shim.aio import open_dtls_connection, start_dtls_server
from support import Case, context, IDENTITY, KEY, psk_contexts, Task, tls, WAIT

LOCAL = "127.0.0.1"


def with_deadline(test):
    @functools.wraps(test)
    async def run(self):
        async with asyncio.timeout(WAIT):
            await test(self)

    return run


class AioCase(unittest.IsolatedAsyncioTestCase, Case):
    """What the loop's exception handler is told fails a test, unless the test takes it out of self.told.

    A warning, of a socket that nobody closed or a coroutine that nobody awaited, always does.
    """

    def __init_subclass__(cls):
        for name, value in list(vars(cls).items()):
            if name.startswith("test_"):
                setattr(cls, name, with_deadline(value))

    async def asyncSetUp(self):
        self.loop = asyncio.get_running_loop()
        self.loop.slow_callback_duration = WAIT  # no news on a busy machine
        self.told = []
        self.loop.set_exception_handler(lambda loop, told: self.told.append(told))
        self.addAsyncCleanup(self.loop.shutdown_default_executor)
        self.enterContext(warnings.catch_warnings())
        warnings.simplefilter("error")
        self.unraisable = []
        self.enterContext(mock.patch.object(sys, "unraisablehook", lambda told: self.unraisable.append(repr(told))))

    async def asyncTearDown(self):
        gc.collect()
        self.assertEqual((self.told, self.unraisable), ([], []))

    def task(self, coroutine):
        task = self.loop.create_task(coroutine)
        self.addAsyncCleanup(self.end_task, task)
        return task

    @staticmethod
    async def end_task(task):
        task.cancel()
        await asyncio.wait([task])

    def bound(self, address=(LOCAL, 0)):
        sock = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(address)
        return sock

    async def assert_echoes(self, connection, message=b"echo this"):
        await connection.send(message)
        self.assertEqual(await connection.recv(), message)

    def resolves_to(self, *hosts):
        """Every name becomes these."""

        async def getaddrinfo(host, port, **keywords):
            return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", (each, port)) for each in hosts]

        return mock.patch.object(self.loop, "getaddrinfo", getaddrinfo)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def psk_client(**attributes):
    return context(tls.PROTOCOL_DTLS_CLIENT, psk_identity=IDENTITY, psk_key=KEY, **attributes)


def psk_server(**attributes):
    return context(tls.PROTOCOL_DTLS_SERVER, **{"server_psk_keys": {IDENTITY: KEY}, **attributes})


async def turns(n):
    """Lets all others of the loop have their turn n times."""
    for _ in range(n):
        await asyncio.sleep(0)


async def until(condition):
    """For what the loop does by itself; the test's deadline ends it."""
    while not condition():
        await asyncio.sleep(0.001)


def descriptors():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


class Link:
    """Carries datagrams between one client, which sends to link.address, and a server.

    loses(to_server, datagram) says which get lost; passed counts the others.
    """

    def __init__(self, case, server, loses=lambda to_server, datagram: False):
        self.loses, self.server = loses, server
        self.lost, self.passed = [], 0
        self.client = None
        self.front, self.back = case.bound(), case.bound()
        self.address = self.front.getsockname()
        for sock, forward in ((self.front, self.to_server), (self.back, self.to_client)):
            sock.setblocking(False)
            case.loop.add_reader(sock, forward)
            case.addCleanup(case.loop.remove_reader, sock)

    def to_server(self):
        datagram, self.client = self.front.recvfrom(65536)
        if self.keeps(True, datagram):
            self.back.sendto(datagram, self.server)

    def to_client(self):
        datagram = self.back.recv(65536)
        if self.keeps(False, datagram):
            self.front.sendto(datagram, self.client)

    def keeps(self, to_server, datagram):
        if self.loses(to_server, datagram):
            self.lost.append((to_server, datagram))
            return False
        self.passed += 1
        return True


class Puppet:
    """An object in front of another; what is set on it is what is called."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)


class PuppetContext(Puppet):
    """A context whose sessions are puppets: made holds them, and change(session) dresses each."""

    def __init__(self, inner, change=lambda session: None):
        super().__init__(inner)
        self.change, self.made = change, []

    def wrap_socket(self, *args, **keywords):
        session = Puppet(self.inner.wrap_socket(*args, **keywords))
        self.change(session)
        self.made.append(session)
        return session


def echo_once(ctx, sock):
    """A server for one client, in the manner of threads."""
    sock.settimeout(WAIT)
    with contextlib.closing(ctx.wrap_socket(sock)) as s:
        while message := s.recv(16384):
            s.send(message)
        return s


class ClientCase(AioCase):
    def serve(self, ctx=None, call=echo_once):
        """The address of a server in a thread, and its Task."""
        sock = self.bound()
        task = Task(call, ctx or psk_contexts(dtls=True)[1], sock)
        self.addCleanup(task.wait)
        return sock.getsockname(), task

    async def connect(self, address, ctx=None, **keywords):
        connection = await open_dtls_connection(*address, context=ctx or psk_client(), **keywords)
        self.addCleanup(connection.close)
        return connection

    async def connected(self, ctx=None):
        return await self.connect(self.serve()[0], ctx)

    async def refused(self, kind, *args, **keywords):
        with self.assertRaises(kind) as caught:
            await open_dtls_connection(*args, **keywords)
        return caught.exception


async def echo(connection):
    async for message in connection:
        await connection.send(message)


class ServerCase(AioCase):
    async def start(self, handler=echo, ctx=None, host=LOCAL, port=0, **limits):
        server = await start_dtls_server(handler, host, port, context=ctx or psk_server(), **limits)
        self.addAsyncCleanup(self.stop, server)
        self.address = server.sockets[0].getsockname()
        return server

    async def stop(self, server):
        server.close()
        await server.wait_closed()

    async def connect(self, ctx=None, address=None, **keywords):
        connection = await open_dtls_connection(*address or self.address, context=ctx or psk_client(), **keywords)
        self.addCleanup(connection.close)
        return connection

    async def start_held(self, **keywords):
        """A server whose connections are put into self.connections, and nothing else is done."""
        self.connections = []
        return await self.start(self.connections.append, **keywords)

    async def start_puppet(self):
        """start_held() with a Puppet of the DTLSServer, which is returned."""
        made = []

        def make(*args, **keywords):
            made.append(Puppet(tls.DTLSServer(*args, **keywords)))
            return made[0]

        with mock.patch.object(_aio_server, "DTLSServer", make):
            self.server = await self.start_held()
        return made[0]

    async def pair(self, ctx=None):
        """A client's connection and the server's."""
        n = len(self.connections)
        client = await self.connect(ctx)
        await until(lambda: len(self.connections) > n)
        return client, self.connections[-1]

    def take_told(self, kind):
        """The one thing that the loop's exception handler was told, about an exception of this kind."""
        self.assertEqual(len(self.told), 1, self.told)
        told = self.told.pop()
        self.assertIs(type(told["exception"]), kind)
        return told
