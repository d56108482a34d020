import errno
import gc

from servers import ABORTED, ServerCase, WithoutFinished
from support import context, IDENTITY, KEY, NO_CLIENT_CERTIFICATE, notes, outcome, psk_contexts, tls, WAIT
from test_psk import Store

UNTOLD = psk_contexts(True)[0]


def mutual(**client):
    """A client's and a server's, which demands a certificate."""
    return context(2, ca="ca", **client), context(3, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)


class Failures(ServerCase):
    "a handshake of a DTLS server that fails"

    def assert_as_a_socket(self, client, server):
        """The server tells of its peer what SSLSocket would have raised."""
        peer = self.fails(self.service(server), client)
        self.assert_ended(peer, "handshake")
        expected = self.shake(client, server, dtls=True)[1]
        self.assertIsInstance(expected, Exception)
        self.assertEqual((type(peer.error), peer.error.args), (type(expected), expected.args))
        self.assertTrue(notes(peer.error))
        return peer

    def test_of_a_wrong_key(self):
        client, server = psk_contexts(True)
        client.psk_key = KEY[::-1]
        peer = self.assert_as_a_socket(client, server)
        self.assertIn("sensor-17", notes(peer.error))
        self.assertEqual(peer.psk_identity, IDENTITY)

    def test_of_an_unknown_identity(self):
        client, server = psk_contexts(True)
        server.server_psk_keys = {}
        unknown = self.assert_as_a_socket(client, server).error
        server.set_psk_server_callback(lambda identity: KEY)
        client.psk_identity = b"\xff\xfe"
        peer = self.assert_as_a_socket(client, server)
        self.assertEqual((peer.error.args, peer.error.__cause__), (unknown.args, None))
        self.assertEqual(peer.psk_identity, b"\xff\xfe")

    def test_without_the_clients_certificate(self):
        peer = self.assert_as_a_socket(*mutual())
        self.assertEqual(peer.error.args, NO_CLIENT_CERTIFICATE)
        self.assertIsNone(peer.psk_identity)

    def test_of_a_certificate_that_nobody_trusts(self):
        client, _ = mutual(pair="client")
        server = context(3, pair="server", ca="other", verify_mode=tls.CERT_REQUIRED)
        peer = self.assert_as_a_socket(client, server)
        self.assertIs(type(peer.error), ValueError)
        self.assertRegex(peer.error.args[0], "^\n")

    def test_without_a_suite_in_common(self):
        self.assert_as_a_socket(context(2, ca="ca"), psk_contexts(True)[1])

    def test_that_is_never_finished(self):
        service = self.service(handshake_ms=100)
        sock = service.socket()
        client = self.keep(UNTOLD.wrap_socket(WithoutFinished(sock), do_handshake_on_connect=False))
        peer, what = service.shake(client, sock)
        self.assertEqual((what, peer.error.args), (tls.FAILED, (-26624, "MBEDTLS_ERR_SSL_TIMEOUT")))
        self.assertEqual(service.server.stats()["handshakes_timedout"], 1)

    def test_that_gave_way(self):
        service = self.service(max_handshakes=1)
        first = self.keep(UNTOLD.wrap_socket(WithoutFinished(service.socket()), do_handshake_on_connect=False))
        service.server.setblocking(False)
        while service.server.stats()["handshakes"] == 0:
            first.do_handshake()
            self.assertIsNone(service.server.recv())
        service.server.settimeout(WAIT)
        task = service.dial(UNTOLD)
        peer = service.expect(tls.FAILED)
        self.assert_ended(peer, "handshake")
        self.assertEqual(peer.error.errno, ABORTED)
        self.assertIn("gave way", notes(peer.error))
        service.expect(tls.CONNECTED)
        self.keep(task.result())


class Ends(ServerCase):
    "a DTLS server's peer"

    def test_that_closes(self):
        service, client, peer = self.connected()
        client.close()
        self.assertIs(service.expect(tls.CLOSED), peer)
        self.assert_ended(peer, "close_notify")
        self.assertIsNone(peer.error)
        self.assertEqual(peer.psk_identity, IDENTITY)

    def assert_aborted(self, service, peer, reason, sentence):
        self.assertIs(service.expect(tls.CLOSED), peer)
        self.assert_ended(peer, reason)
        self.assertEqual(peer.error.errno, ABORTED)
        self.assertIn(sentence, notes(peer.error))
        self.assertEqual(service.server.stats()[f"closed_{reason}"], 1)

    def test_that_is_idle(self):
        service, client, peer = self.connected(idle_ms=50)
        self.assert_aborted(service, peer, "idle", "silent for too long")
        self.assertEqual(client.recv(10), b"")

    def test_that_gives_way(self):
        service, client, peer = self.connected(max_peers=1)
        task = service.dial(UNTOLD)
        self.assert_aborted(service, peer, "evicted", "max_peers")
        self.assertEqual(client.recv(10), b"")
        service.expect(tls.CONNECTED)
        self.keep(task.result())

    def test_that_is_revoked(self):
        service, client, peer = self.connected()
        service.server.close_identity(IDENTITY)
        self.assertEqual(peer.max_payload, 0)
        self.refuses(BrokenPipeError, peer.send, b"x")
        self.assert_aborted(service, peer, "revoked", "revoked")

    def test_that_begins_anew(self):
        service = self.service()
        sock = service.socket()
        port = sock.getsockname()[1]
        client, peer = service.connect(sock=sock)
        sock.close()  # under the client, which says nothing
        task = service.dial(UNTOLD, service.socket(port))
        self.assert_aborted(service, peer, "replaced", "took its place")
        again = service.expect(tls.CONNECTED)
        self.assertIsNot(again, peer)
        self.assertEqual(again.address, peer.address)
        self.assert_talks_with(service, self.keep(task.result()), again)
        self.quiet_close(client)

    def test_that_is_closed_before_its_end_is_told(self):
        service, client, peer = self.connected()
        service.server.close_identity(IDENTITY)
        peer.close()
        self.assert_ended(peer, "closed")
        service.server.setblocking(False)
        self.assertIsNone(service.server.recv())

    def assert_talks_with(self, service, client, peer):
        client.write(b"ping")
        self.assertEqual(service.server.recv(), (peer, b"ping"))
        peer.send(b"pong")
        self.assertEqual(client.recv(10), b"pong")


class Callbacks(ServerCase):
    "a DTLS server's callback"

    def fails_with(self, client, server):
        service = self.service(server)
        peer = self.fails(service, client)
        self.assert_ended(peer, "handshake")
        return peer.error

    def test_that_raises_is_why_the_handshake_failed(self):
        trouble = LookupError("the database is away")

        def callback(*args):
            raise trouble

        client, server = psk_contexts(True)
        server.server_psk_keys = Store(trouble)
        self.assertIs(self.fails_with(client, server), trouble)
        server = context(3)
        server.set_psk_server_callback(callback)
        self.assertIs(self.fails_with(client, server), trouble)
        client, server = mutual(pair="client")
        server.verify_callback = callback
        self.assertIs(self.fails_with(client, server), trouble)

    def test_that_returns_no_bytes_is_its_cause(self):
        client, server = psk_contexts(True)
        for answer, kind in ((12345, TypeError), ("secret", TypeError), (b"", ValueError), (bytes(1000), ValueError)):
            with self.subTest(answer=answer):
                server.server_psk_keys = Store(answer)
                error = self.fails_with(client, server)
                self.assertIs(type(error), OSError)
                self.assertIs(type(error.__cause__), kind)
                self.assertIn("sensor-17", notes(error))

    def test_that_refuses_a_certificate(self):
        client, server = mutual(pair="client")
        server.verify_callback = lambda cert, depth: 1
        self.assertIs(type(self.fails_with(client, server)), ValueError)

    def test_for_text_is_not_asked_for_an_identity_that_is_none(self):
        _, server = psk_contexts(True)
        asked = []
        server.set_psk_server_callback(lambda identity: asked.append(identity) or KEY)
        service = self.service(server)
        peer = self.fails(service, context(2, psk_identity=b"\xff\xfe", psk_key=KEY))
        self.assertIs(type(peer.error), OSError)
        self.assertEqual((peer.psk_identity, asked), (b"\xff\xfe", []))
        service = self.service(server)
        self.keep(service.connect()[0])
        self.assertEqual(asked, ["sensor-17"])

    def test_is_asked_once_in_a_handshake(self):
        client, server = psk_contexts(True)
        store = server.server_psk_keys = Store(KEY)
        service = self.service(server)
        for count in (1, 2):
            self.keep(service.connect(client)[0])
            self.assertEqual(store.asked, [IDENTITY] * count)
        seen = []
        client, server = mutual(pair="client")
        server.verify_callback = lambda cert, depth: seen.append((bytes(cert), depth)) or 0
        self.keep(self.service(server).connect(client)[0])
        self.assertEqual(sorted(depth for _, depth in seen), list(range(len(seen))))
        self.assertEqual(len(set(seen)), len(seen))

    def test_that_raised_is_not_asked_about_the_rest_of_the_chain(self):
        depths = []

        def callback(cert, depth):
            depths.append(depth)
            raise ValueError(depth)

        client, server = mutual(pair="client")
        server.verify_callback = callback
        service = self.service(server)
        error = self.fails(service, client).error
        self.assertEqual(error.args, (depths[0],))
        self.assertEqual(len(depths), 1)

    def unfinished(self, service, client, store):
        """A client whose handshake has asked for its key, and will never be done."""
        client = self.keep(client.wrap_socket(WithoutFinished(service.socket()), do_handshake_on_connect=False))
        service.server.setblocking(False)
        while not store.asked:
            client.do_handshake()
            self.assertIsNone(service.server.recv())
        service.server.settimeout(WAIT)
        return client

    def test_that_raised_for_one_peer_is_not_told_of_another(self):
        trouble = LookupError("for the first one")
        first = Store(trouble)

        class Keys:
            def get(self, identity):
                return first.get(identity) if identity == b"first" else KEY

        service = self.service(context(3, server_psk_keys=Keys()), handshake_ms=1000)
        self.unfinished(service, context(2, psk_identity=b"first", psk_key=KEY), first)
        second = context(2, psk_identity=b"second", psk_key=KEY[::-1])
        task = service.dial(second, self.keep(service.socket()))
        self.addCleanup(self.end, task, service)
        errors = {}
        while len(errors) < 2:
            peer = service.expect(tls.FAILED)
            errors[peer.psk_identity] = peer.error
        self.assertIs(errors[b"first"], trouble)
        self.assertIs(type(errors[b"second"]), OSError)
        self.assertIsNone(errors[b"second"].__cause__)
        self.assertEqual(first.asked, [b"first"])

    def test_that_ends_the_program_ends_recv_at_once(self):
        for kind in (KeyboardInterrupt, SystemExit):
            with self.subTest(kind):
                store = Store(kind("now"))
                service = self.service(context(3, server_psk_keys=store), handshake_ms=1000)
                with self.assertRaises(kind) as caught:
                    self.unfinished(service, UNTOLD, store)
                self.assertIs(caught.exception, store.answer)
                service.server.settimeout(WAIT)
                peer = service.expect(tls.FAILED)
                self.assertEqual(peer.error.args, (-26624, "MBEDTLS_ERR_SSL_TIMEOUT"))
                store.answer = KEY
                self.keep(service.connect()[0])

    def test_that_ends_the_program_loses_no_event(self):
        store = Store(KeyboardInterrupt())
        service = self.service(context(3, server_psk_keys=store))
        task = service.dial(UNTOLD)
        self.refuses(KeyboardInterrupt, service.server.recv)
        self.assertEqual(service.server.timeout(), 0.0)
        peer = service.expect(tls.FAILED)
        self.assertIs(type(peer.error), OSError)
        self.assertIsNone(peer.error.__cause__)
        store.answer = KEY
        service.expect(tls.CONNECTED)  # the client tries once more
        self.keep(task.result())

    def test_that_calls_back_is_refused(self):
        got = []

        class Keys:
            def get(self, identity):
                for call in (server.recv, server.close, server.handle_timeout, lambda: server.close_identity(b"x")):
                    got.append(outcome(call))
                for peer in peers:
                    got.append(outcome(peer.send, b"x"))
                    got.append(outcome(peer.close))
                    looked.append((peer.cipher()[1], peer.reason, peer.max_payload > 0))
                looked.append((server.fileno(), server.stats()["handshakes"], server.gettimeout()))
                return KEY

        service = self.service(context(3, server_psk_keys=Keys()))
        server, peers, looked = service.server, [], []
        for _ in range(2):
            client, peer = service.connect()
            peers.append(peer)
            self.keep(client)
        self.assertEqual({error.errno for error in got}, {errno.EDEADLK})
        self.assertEqual(len(got), 4 + 6)
        self.assertEqual(looked, [(server.fileno(), 1, 60.0), ("DTLSv1.2", None, True), (server.fileno(), 1, 60.0)])
        self.assertIsNone(peers[0].reason)

    def test_is_that_which_the_context_has_now(self):
        client, server = psk_contexts(True)
        service = self.service(server)
        self.keep(service.connect(client)[0])
        server.server_psk_keys = {b"sensor-18": KEY}
        self.fails(service, client)
        store = server.server_psk_keys = Store(KEY)
        service = self.service(server)
        server.server_psk_keys = {IDENTITY: KEY}
        self.keep(service.connect(client)[0])
        self.assertEqual(store.asked, [])

    def test_may_change_the_context_and_collect_garbage(self):
        class Keys:
            def get(self, identity):
                server.server_psk_keys = None
                server.set_psk_server_callback(None)
                gc.collect()
                return KEY

        client, server = psk_contexts(True)
        server.server_psk_keys = Keys()
        self.keep(self.service(server).connect(client)[0])
