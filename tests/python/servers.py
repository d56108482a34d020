"""What the tests of DTLSServer share: a server on the loopback interface, and its clients."""

import contextlib
import errno
import select
import socket
import time

from support import Case, psk_contexts, Task, tls, WAIT

ABORTED = errno.ECONNABORTED


def bound(host="127.0.0.1", port=0):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, port))
    return sock


class Service:
    """A DTLSServer, which waits for what must come."""

    def __init__(self, context=None, host="127.0.0.1", **limits):
        self.sock = bound(host)
        self.address = self.sock.getsockname()
        self.context = context or psk_contexts(True)[1]
        self.server = tls.DTLSServer(self.context, self.sock, **limits)
        self.server.settimeout(WAIT)

    def close(self):
        self.server.close()

    def socket(self, port=0):
        """One that is connected to the server."""
        host = self.address[0].replace("0.0.0.0", "127.0.0.1")
        sock = bound("::1" if host == "::" else host, port)
        sock.connect((sock.getsockname()[0], *self.address[1:]))
        return sock

    def dial(self, context, sock=None):
        """A client's handshake in a thread."""
        return Task(context.wrap_socket, sock or self.socket(), server_hostname="localhost")

    def expect(self, what):
        """The peer of the next event, which is this one."""
        peer, got = self.server.recv()
        assert got == what, (got, peer.error)
        return peer

    def connect(self, context=None, sock=None):
        """A client, and its peer."""
        task = self.dial(context or psk_contexts(True)[0], sock)
        peer = self.expect(tls.CONNECTED)
        return task.result(), peer

    def shake(self, client, sock=None):
        """The first event of a client that does not block, over this socket, in this thread."""
        self.server.setblocking(False)
        while True:
            with contextlib.suppress(OSError, ValueError):
                client.do_handshake()
            event = self.server.recv()
            if event is not None:
                break
            timers = [t for t in (self.server.timeout(), client.timeout(), WAIT) if t is not None]
            select.select([self.sock, sock or client], [], [], min(timers))
        self.server.settimeout(WAIT)
        if event[1] == tls.CONNECTED:
            client.do_handshake()
        return event


class ServerCase(Case):
    def service(self, *args, **keywords):
        service = Service(*args, **keywords)
        self.addCleanup(service.close)
        return service

    def connected(self, **limits):
        """A service with a client, and its peer."""
        service = self.service(**limits)
        client, peer = service.connect()
        return service, self.keep(client), peer

    def fails(self, service, client):
        """The peer of a handshake that fails; the client's own failure goes with its thread."""
        task = service.dial(client, self.keep(service.socket()))
        peer = service.expect(tls.FAILED)
        self.addCleanup(self.end, task, service)
        return peer

    @staticmethod
    def end(task, service):
        """A DTLS client begins again after an alert, and may need an answer until it has failed, too."""
        deadline = time.monotonic() + WAIT
        with contextlib.suppress(OSError):
            service.server.settimeout(0.05)
            while task.is_alive() and time.monotonic() < deadline:
                with contextlib.suppress(TimeoutError):
                    service.server.recv()
        task.wait()

    def assert_ended(self, peer, reason):
        self.assertEqual(peer.reason, reason)
        self.assertEqual(peer.max_payload, 0)
        self.assertEqual((peer.cipher(), peer.version(), peer.selected_alpn_protocol()), (None, None, None))
        self.assertIsNone(peer.getpeercert(True))
        self.assertIsInstance(peer.address, tuple)
        with self.assertRaises(BrokenPipeError):
            peer.send(b"x")
        peer.close()
        self.assertEqual(peer.reason, reason)


class WithoutFinished:
    """A client's transport that loses what is encrypted: its handshake asks for a key, and is never done."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.setblocking(False)

    def readinto(self, buffer):
        try:
            return self.sock.recv_into(buffer)
        except BlockingIOError:
            return None

    def write(self, data):
        rest = bytes(data)
        while rest:
            size = 13 + int.from_bytes(rest[11:13], "big")
            if rest[3:5] == b"\0\0":
                self.sock.send(rest[:size])
            rest = rest[size:]
        return len(data)

    def close(self):
        self.sock.close()
