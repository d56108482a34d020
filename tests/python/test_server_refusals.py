import io
import socket

from servers import bound
from support import Case, cert_contexts, context, IDENTITY, KEY, notes, outcome, psk_contexts, tls


class Refusals(Case):
    "a DTLS server is refused"

    def server(self, ctx=None, sock=None, **limits):
        return tls.DTLSServer(ctx or psk_contexts(True)[1], sock or self.keep(bound()), **limits)

    def test_for_limits_of_another_type(self):
        for name in ("max_peers", "max_handshakes", "handshake_ms", "idle_ms"):
            for wrong in ("5", 5.0, b"5", [5]):
                self.refuses(TypeError, self.server, names=name, **{name: wrong})
        self.refuses(TypeError, self.server, names="max_clients", max_clients=5)
        self.refuses(TypeError, tls.DTLSServer, psk_contexts(True)[1], self.keep(bound()), 5)
        self.refuses(TypeError, tls.DTLSServer)

    def test_for_limits_out_of_range(self):
        for name in ("max_peers", "max_handshakes", "handshake_ms", "idle_ms"):
            for wrong in (-1, 1 << 32, -(1 << 63), 1 << 63, 1 << 100, -(1 << 100)):
                with self.subTest(name=name, value=wrong):
                    self.refuses(ValueError, self.server, names=name, **{name: wrong})
            self.keep(self.server(**{name: None}), self.server(**{name: (1 << 32) - 1}))
        for name in ("max_peers", "max_handshakes", "handshake_ms"):
            self.refuses(ValueError, self.server, names=name, **{name: 0})
        self.keep(self.server(idle_ms=0))

    def test_for_a_context_that_cannot_serve(self):
        for protocol in (0, 1, 2):
            self.refuses(ValueError, self.server, tls.SSLContext(protocol), names="PROTOCOL_DTLS_SERVER")
        self.refuses(ValueError, self.server, tls.SSLContext(3), names="neither a certificate nor pre-shared keys")
        self.refuses(ValueError, self.server, context(3, psk_identity=IDENTITY, psk_key=KEY), names="server_psk_keys")
        self.refuses(ValueError, self.server, context(3, pair="server", verify_mode=2), names="requires a CA")
        self.refuses(ValueError, self.server, context(3, pair="server", ca="ca"), names="CERT_NONE would not use")
        for wrong in (None, 5, tls.SSLContext):
            with self.assertRaises(TypeError):
                tls.DTLSServer(wrong, self.keep(bound()))

    def test_for_something_else_than_a_bound_udp_socket(self):
        closed = bound()
        closed.close()
        free = self.keep(bound())
        unbound = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        stream = self.keep(socket.socket())
        unix, other = self.keep(*socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
        wrapped = self.keep(psk_contexts(True)[0].wrap_socket(self.sockets(True)[0], do_handshake_on_connect=False))
        for sock, kinds, names in (
            (closed, OSError, "Bad file descriptor"),
            (-1, OSError, "Bad file descriptor"),
            (2**32 + free.fileno(), OverflowError, "no descriptor"),
            (-(2**32) + free.fileno(), OSError, "Bad file descriptor"),
            (unbound, ValueError, "not bound"),
            (stream, ValueError, "not a datagram socket"),
            (unix, ValueError, "neither an IPv4 nor an IPv6 socket"),
            (io.BytesIO(), ValueError, "no descriptor"),
            (wrapped, ValueError, "no descriptor"),
            ("socket", TypeError, "str"),
            (None, TypeError, "NoneType"),
        ):
            with self.subTest(sock=sock):
                with self.assertRaises(kinds) as caught:
                    tls.DTLSServer(psk_contexts(True)[1], sock)
                self.assertRegex(f"{caught.exception} {notes(caught.exception)}", names)

    def test_and_the_socket_stays_open(self):
        sock = self.keep(bound())
        outcome(tls.DTLSServer, tls.SSLContext(3), sock)
        outcome(tls.DTLSServer, psk_contexts(True)[1], sock, max_peers=0)
        self.assertGreaterEqual(sock.fileno(), 0)
        sock.getsockname()
        self.keep(self.server(sock=sock))

    def test_never_for_keys_alone_that_demand_certificates(self):
        ctx = context(3, server_psk_keys={IDENTITY: KEY}, verify_mode=tls.CERT_REQUIRED)
        self.keep(self.server(ctx))
        self.assertEqual(ctx.verify_mode, tls.CERT_REQUIRED)

    def test_never_for_certificates_alone(self):
        self.keep(self.server(cert_contexts(True)[1]))
