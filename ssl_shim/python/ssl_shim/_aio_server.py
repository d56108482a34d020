"""The server of ssl_shim.aio."""

import asyncio
import collections
import errno
import functools
import os
import socket

from . import CLOSED, CONNECTED, FAILED, DTLSServer
from ._aio_connection import DTLSConnection, Pump, datagram_socket, resolve


class Peer(DTLSConnection):
    def __init__(self, listener, peer):
        super().__init__(peer, peername=peer.address, sockname=listener.sock.getsockname())
        self._listener = listener
        self._pump = listener.pump

    async def send(self, data):
        while self._send_now(data) is None:
            self._listener.crowd.append(self._news)
            self._listener.look_at_output()
            await self._wait()
        self._listener.look_at_output()

    def take(self, message):
        if self._is_full():
            self.dropped += 1
            self._listener.dropped += 1
        else:
            self._feed(message)

    def ended(self):
        self._peer_ended(self._session.error)

    def failed_with(self, error):
        return error is self._over

    def _release(self):
        self._listener.forget(self._session)
        self._session.close()


class Listener:
    """One socket of a server, and its peers."""

    def __init__(self, server, loop, core, sock):
        self._server, self._loop, self._core, self.sock = server, loop, core, sock
        self._connections = {}
        self._timer = None
        self._writing = False
        self.crowd = []  # the news of those who wait for room in the system
        self.dropped = 0
        self.pump = Pump(loop, core.fileno(), self._step)
        self.pump.start()

    def close(self):
        self.pump.stop()
        self._set_timer(None)
        self._stop_writing()
        self._core.close()
        for connection in list(self._connections.values()):
            connection.close()

    def stats(self):
        return dict(self._core.stats(), drop_unread=self.dropped)

    def close_identity(self, identity):
        count = self._core.close_identity(identity)
        self.pump.soon()
        return count

    def forget(self, peer):
        self._connections.pop(peer, None)

    def _step(self):
        try:
            event = self._core.recv()
        except OSError as error:
            self._server._failed(error)
            return False
        if event is None:
            self._look_at_the_clock()
            self.look_at_output()
        else:
            self._take(*event)
        return event is not None

    def _take(self, peer, what):
        if what is CONNECTED:
            connection = self._connections[peer] = Peer(self, peer)
            self._server._serve(connection)
        elif what is FAILED:
            self._server._handshake_failed(peer)
        elif peer in self._connections:
            connection = self._connections[peer]
            connection.ended() if what is CLOSED else connection.take(what)

    def _look_at_the_clock(self):
        """A timer that rings too early is set again: a deadline that moves with every message costs nothing."""
        due = self._core.timeout()
        if due is None or self._timer is None or self._loop.time() + due < self._timer.when():
            self._set_timer(due)

    def _set_timer(self, due):
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_later(due, self._ring)

    def _ring(self):
        self._timer = None
        self.pump.soon()  # recv() sends again, and ends, what is overdue

    def look_at_output(self):
        if not self._writing and self._core.unsent():
            self._writing = True
            self._loop.add_writer(self._core.fileno(), self._writable)

    def _writable(self):
        self._stop_writing()
        self.pump.soon()  # recv() sends what waits
        crowd, self.crowd = self.crowd, []
        for news in crowd:
            news.set()

    def _stop_writing(self):
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._core.fileno())


class Server:
    """A DTLS server, made by start_dtls_server().

    As a context manager it ends with close() and wait_closed(); where the block was left by an exception, the handlers
    that still run are cancelled.
    """

    def __init__(self, loop, client_connected):
        self._loop, self._client_connected = loop, client_connected
        self._listeners = []
        self._tasks = set()
        self._closed = asyncio.Event()

    @property
    def sockets(self):
        """A tuple of the sockets that it serves: one for each address of host. Empty once it is closed."""
        return () if self._closed.is_set() else tuple(listener.sock for listener in self._listeners)

    def stats(self):
        """Counters by name, those of ssl_shim.DTLSServer and drop_unread: messages that no handler had room for."""
        total = collections.Counter()
        for listener in self._listeners:
            total.update(listener.stats())
        return dict(total)

    def close_identity(self, identity, /):
        """Ends every session that rests on this pre-shared key's identity, bytes; returns how many there were."""
        return sum(listener.close_identity(identity) for listener in self._listeners)

    def close(self):
        """Ends all sessions with close_notify and closes the sockets.

        Then recv() in the handlers returns b""; they are not cancelled. A second call does nothing.
        """
        if not self._closed.is_set():
            self._closed.set()
            for listener in self._listeners:
                listener.close()

    async def wait_closed(self):
        """Returns when the server was closed and its handlers, other than the one that asks, have ended."""
        await self._closed.wait()
        while tasks := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(tasks)

    async def serve_forever(self):
        """Returns when the server was closed and its handlers have ended.

        Where this is cancelled, it closes the server and cancels them.
        """
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            await self._stop()
            raise

    async def _stop(self):
        self.close()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await self.wait_closed()

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, *error):
        if kind is not None:
            await self._stop()
        self.close()
        await self.wait_closed()

    # What its listeners call.

    def _listen(self, context, address, limits):
        sock = datagram_socket(*address)
        try:
            core = DTLSServer(context, sock, **limits)
        except BaseException:
            sock.close()
            raise
        self._listeners.append(Listener(self, self._loop, core, sock))

    def _serve(self, connection):
        try:
            handler = self._client_connected(connection)
        except Exception as error:
            self._report("client_connected raised an exception", error, connection=connection)
            connection.close()
            return
        if asyncio.iscoroutine(handler):
            task = self._loop.create_task(handler)
            self._tasks.add(task)
            task.add_done_callback(functools.partial(self._served, connection))

    def _served(self, connection, task):
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not connection.failed_with(error):
            self._report("client_connected raised an exception", error, connection=connection, task=task)
        connection.close()

    def _handshake_failed(self, peer):
        # What peers do wrong is counted. An exception that comes from a callback of the program's own has a traceback,
        # or is the cause of another.
        error = peer.error
        if error is not None and (error.__traceback__ is not None or error.__cause__ is not None):
            self._report(f"a callback ended the handshake of {peer.address}", error)

    def _failed(self, error):
        self._report("a socket of the DTLS server failed", error)
        self.close()

    def _report(self, message, error, **context):
        self._loop.call_exception_handler({"message": message, "exception": error, "server": self, **context})


async def start_dtls_server(client_connected, host, port, *, context, family=socket.AF_UNSPEC, **limits):
    """A Server for any number of clients; context is an SSLContext(PROTOCOL_DTLS_SERVER) with credentials.

    client_connected(connection) is called with the DTLSConnection of every client that has finished its handshake. A
    coroutine becomes a task; the connection is closed when it ends. A plain function takes the connection over, and
    whoever it gave it to closes it. An exception goes to loop.call_exception_handler() and closes the connection; that
    which the session itself failed with, for silence say, is not reported when a coroutine lets it through.

    Serves all addresses of host (None: all of this machine) on port, 0 for a free one at each; limits are those of
    ssl_shim.DTLSServer, for each socket. ValueError or TypeError for settings and limits that cannot be honoured;
    OSError where no socket can be had.
    """
    loop = asyncio.get_running_loop()
    server = Server(loop, client_connected)
    missing = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), str(host))
    try:
        for address in dict.fromkeys(await resolve(loop, host or None, port, family, socket.AI_PASSIVE)):
            try:
                server._listen(context, address, limits)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # as where IPv6 is switched off
        if not server.sockets:
            raise missing
    except BaseException:
        server.close()
        raise
    return server
