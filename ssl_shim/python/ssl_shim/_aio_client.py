"""The client of ssl_shim.aio."""

import asyncio
import errno
import socket

from . import CERT_NONE, PROTOCOL_DTLS_CLIENT
from ._aio_connection import DTLSConnection, Pump, UNREAD, datagram_socket, resolve


class Client(DTLSConnection):
    def __init__(self, loop, session, sock):
        super().__init__(session, peername=sock.getpeername(), sockname=sock.getsockname())
        self._loop, self._fd = loop, sock.fileno()
        self._held = None  # a message that waits for room in the system
        self._pump = Pump(loop, self._fd, self._step)

    async def handshake(self):
        self._loop.add_reader(self._fd, self._news.set)
        try:
            while self._session.do_handshake() is None:
                await self._turn(self._session.timeout())
        except BaseException:
            self._loop.remove_reader(self._fd)
            self.close()
            raise
        self._extra["psk_identity"] = self._session.psk_identity
        self._pump.start()

    async def _turn(self, due):
        """Waits until the handshake can go on. No timer runs while a flight could not leave."""
        if due is None:
            self._loop.add_writer(self._fd, self._news.set)
        try:
            async with asyncio.timeout(due):
                await self._wait()
        except TimeoutError:
            self._session.handle_timeout()
        finally:
            if due is None:
                self._loop.remove_writer(self._fd)

    async def send(self, data):
        while self._held is not None:
            await self._wait()
        if self._send_now(data) is None:
            self._held = bytes(data)
            self._loop.add_writer(self._fd, self._send_held)

    def _send_held(self):
        try:
            if self._session.send(self._held) is None:
                return
        except Exception as error:
            self._peer_ended(error)
        else:
            self._forget_held()
            self._news.set()

    def _forget_held(self):
        if self._held is not None:
            self._held = None
            self._loop.remove_writer(self._fd)

    def _step(self):
        if self._is_full():
            self._pump.stop()
            return False
        try:
            message = self._session.recv()
        except Exception as error:
            self._peer_ended(error)
            return False
        if message:
            self._feed(message)
        elif message is not None:
            self._peer_ended()
        return bool(message)

    def _room_inside(self):
        if self._over is None and not self._pump.running and self._unread <= UNREAD // 2:
            self._pump.start()

    def _release(self):
        self._pump.stop()
        self._forget_held()
        self._session.close()


async def open_dtls_connection(
    host, port, *, context, server_hostname=None, local_addr=None, family=socket.AF_UNSPEC
):
    """A DTLSConnection to a server, shaken; context is an SSLContext(PROTOCOL_DTLS_CLIENT).

    host and local_addr, a pair of host and port to send from, are resolved by the loop. Of several addresses it is the
    first that this machine can send to. server_hostname is host where the context verifies certificates. ValueError for
    settings that cannot be honoured and for a certificate that does not verify; OSError for every other failure.
    """
    if context.protocol != PROTOCOL_DTLS_CLIENT:
        raise ValueError("open_dtls_connection() needs a context of PROTOCOL_DTLS_CLIENT")
    if server_hostname is None and verifies(context):
        server_hostname = host
    loop = asyncio.get_running_loop()
    sock = await connected_socket(loop, host, port, family, local_addr)
    try:
        session = context.wrap_socket(sock, server_hostname=server_hostname, do_handshake_on_connect=False)
        connection = Client(loop, session, sock)
    except BaseException:
        sock.close()
        raise
    await connection.handshake()
    return connection


def verifies(context):
    if context.verify_mode == CERT_NONE:
        return False
    return context.psk_key is None or not all("PSK-" in name for name in context.get_ciphers())


async def connected_socket(loop, host, port, family, local_addr):
    sources = await resolve(loop, *local_addr, family, socket.AI_PASSIVE) if local_addr else []
    failure = OSError(errno.EADDRNOTAVAIL, f"{host} has no address of the same family as {local_addr}")
    for kind, address in await resolve(loop, host, port, family):
        source = next((where for of, where in sources if of == kind), None)
        if local_addr and source is None:
            continue
        try:
            return datagram_socket(kind, source, address)
        except OSError as error:
            failure = error
    raise failure
