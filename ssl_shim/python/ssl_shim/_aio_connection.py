"""What both sides of ssl_shim.aio have."""

import asyncio
import collections
import errno
import socket

BURST = 16  # events that one wakeup takes before the rest of the loop has its turn
UNREAD = 1 << 18  # bytes that wait for recv() in one connection
OVERHEAD = 64  # what a message costs beside its own bytes


async def resolve(loop, host, port, family, flags=0):
    found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM, flags=flags)
    return [(info[0], info[4]) for info in found]


def datagram_socket(family, local, peer=None):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6 and peer is None:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
        if local:
            sock.bind(local)
        if peer:
            sock.connect(peer)
    except BaseException:
        sock.close()
        raise
    return sock


class Pump:
    """Calls step() while it returns true, whenever fd is readable."""

    def __init__(self, loop, fd, step):
        self._loop, self._fd, self._step = loop, fd, step
        self._rest = None
        self.running = False

    def start(self):
        self.running = True
        self._loop.add_reader(self._fd, self._wake)
        self.soon()  # there may be messages that no descriptor shows

    def stop(self):
        if self.running:
            self.running = False
            self._loop.remove_reader(self._fd)

    def soon(self):
        if self.running and self._rest is None:
            self._rest = self._loop.call_soon(self._run)

    def _wake(self):
        if self._rest is None:
            self._run()

    def _run(self):
        self._rest = None
        for _ in range(BURST):
            if not (self.running and self._step()):
                return
        self.soon()


class DTLSConnection:
    """A DTLS session, by messages: made by open_dtls_connection(), and what a server's client_connected gets.

    Belongs to the thread of its loop. Every coroutine may be cancelled: a message that recv() did not return is still
    there, and one that send() did not take was not sent.
    """

    def __init__(self, session, **extra):
        self._session = session  # an SSLSocket or a DTLSPeer
        self._extra = dict(extra, ssl_object=session)
        self._messages = collections.deque()
        self._unread = 0
        self._news = asyncio.Event()
        self._over = None  # what send() raises once it is over
        self._failed = False  # then recv() raises it, too
        self.dropped = 0

    async def recv(self):
        """The next message, bytes; b"" once either side has closed; raises what the session failed with.

        What came before the end is returned first. A client's socket is not read while 256 KiB wait here: the system
        then drops what is too much. At a server, whose socket is everybody's, what comes then is dropped here, and
        counted in the attribute dropped.
        """
        while not self._messages:
            if self._failed:
                raise self._over.with_traceback(None)
            if self._over is not None:
                return b""
            await self._wait()
        message = self._messages.popleft()
        self._unread -= len(message) + OVERHEAD
        self._room_inside()
        return message

    async def send(self, data):
        """Sends one message, bytes-like, in one datagram; waits while the system takes no more.

        OSError: EMSGSIZE when it is too long, EPIPE once the peer has closed, EBADF after close(); what the session
        failed with. ValueError when it is empty.
        """
        raise NotImplementedError

    def close(self):
        """Sends close_notify. What has come can still be received. A second call does nothing."""
        self._end(OSError(errno.EBADF, "the connection was closed on this side"))

    async def wait_closed(self):
        """Returns once the session is over, whoever ended it. Never raises what it failed with."""
        while self._over is None:
            await self._wait()

    def get_extra_info(self, name, default=None):
        """What is known of the session, or default:

        "peername" and "sockname", addresses; "psk_identity", bytes; "ssl_object", the SSLSocket or DTLSPeer; and until
        it is over "cipher", (suite, version), "version", "alpn_protocol" and "peercert", the peer's certificate in DER.
        """
        value = self._extra.get(name)
        if value is None and name in ASKED:
            value = ASKED[name](self._session)
        return default if value is None else value

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        self.close()

    def __aiter__(self):
        return self

    async def __anext__(self):
        message = await self.recv()
        if not message:
            raise StopAsyncIteration
        return message

    async def _wait(self):
        """For a message, for room, or for the end; who waits looks what it was."""
        self._news.clear()
        await self._news.wait()

    def _is_full(self):
        return self._unread >= UNREAD

    def _feed(self, message):
        self._messages.append(message)
        self._unread += len(message) + OVERHEAD
        self._news.set()

    def _end(self, error, failed=False):
        if self._over is not None:
            return
        self._over = error
        self._failed = failed
        self._news.set()
        self._release()

    def _peer_ended(self, error=None):
        self._end(error or BrokenPipeError(errno.EPIPE, "the peer has closed the session"), error is not None)

    def _send_now(self, data):
        if self._over is not None:
            raise self._over.with_traceback(None)
        try:
            return self._session.send(data)
        except Exception:
            self._pump.soon()  # the session may have failed, and tells only who reads
            raise

    def _room_inside(self):
        """A message was taken out of the queue."""

    def _release(self):
        """Gives up what the loop and the system hold."""
        raise NotImplementedError


ASKED = {
    "cipher": lambda session: session.cipher(),
    "version": lambda session: session.version(),
    "alpn_protocol": lambda session: session.selected_alpn_protocol(),
    "peercert": lambda session: session.getpeercert(True),
    "psk_identity": lambda session: session.psk_identity,
}
