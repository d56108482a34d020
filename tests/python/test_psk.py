from support import (
    Case, CLIENTS, context, FATAL_ALERT, IDENTITY, KEY, notes, over_both, psk_contexts, SERVERS, Task, tls,
)


class Store:
    """Any object with get(); counts its calls."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    def get(self, identity):
        self.asked.append(identity)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


class Psk(Case):
    "PSK"

    def shake_keys(self, keys, dtls=False, **client):
        client = {"psk_identity": IDENTITY, "psk_key": KEY, **client}
        return self.shake(context(CLIENTS[dtls], **client), context(SERVERS[dtls], server_psk_keys=keys), dtls=dtls)

    @over_both
    def test_by_attributes_and_a_mapping(self, dtls):
        c, s = self.psk(dtls)
        self.assertRegex(c.cipher()[0], "^TLS-(ECDHE-)?PSK-")
        self.assertEqual(c.cipher(), s.cipher())
        self.assert_talks(c, s)
        self.assertIsNone(c.getpeercert(True))

    def test_in_either_order_of_attributes(self):
        client = tls.SSLContext(0)
        client.psk_key = KEY
        client.psk_identity = IDENTITY
        self.connect(client, psk_contexts()[1])

    @over_both
    def test_asks_an_object_once_in_a_handshake_by_bytes(self, dtls):
        store = Store(KEY)
        c, s = self.shake_keys(store, dtls)
        self.assert_talks(c, s)
        self.assertEqual(store.asked, [IDENTITY])
        self.assertIs(type(store.asked[0]), bytes)
        self.shake_keys(store, dtls)
        self.assertEqual(store.asked, [IDENTITY] * 2)

    def test_takes_any_bytes_for_a_key(self):
        for key in (bytearray(KEY), memoryview(KEY)):
            c, s = self.shake_keys(Store(key))
            self.assert_talks(c, s)

    @over_both
    def test_takes_any_bytes_for_identity_and_key(self, dtls):
        identity = bytes(range(128))
        client = context(CLIENTS[dtls], psk_identity=bytearray(identity), psk_key=memoryview(KEY))
        server = context(SERVERS[dtls], server_psk_keys={identity: KEY})
        self.assert_talks(*self.connect(client, server, dtls=dtls))

    def test_sees_keys_that_came_later(self):
        keys = {}
        client, server = psk_contexts()
        server.server_psk_keys = keys
        c, s = self.shake(client, server)
        self.assertIsInstance(c, OSError)
        keys[IDENTITY] = KEY
        self.assert_talks(*self.connect(client, server))

    @over_both
    def test_refuses_an_unknown_identity_like_a_wrong_key(self, dtls):
        unknown = self.shake_keys({}, dtls)
        asked = Store(None)
        refused = self.shake_keys(asked, dtls)
        wrong = self.shake_keys({IDENTITY: KEY[::-1]}, dtls)
        self.assertEqual(asked.asked, [IDENTITY])
        for c, s in (unknown, refused, wrong):
            self.assertEqual((type(c), type(s)), (OSError, OSError))
            self.assertEqual(c.args, FATAL_ALERT)
        self.assertEqual(unknown[1].args, wrong[1].args)

    def test_names_the_identity_that_it_does_not_know(self):
        _, s = self.shake_keys({})
        self.assertRegex(notes(s), "sensor-17")

    @over_both
    def test_refuses_a_key_that_is_no_bytes(self, dtls):
        for answer in (12345, "secret", [1], object(), False):
            store = Store(answer)
            c, s = self.shake_keys(store, dtls)
            self.assertIs(type(s), OSError)
            self.assertIsInstance(s.__cause__, TypeError)
            self.assertEqual(c.args, FATAL_ALERT)
            self.assertEqual(store.asked, [IDENTITY])

    def test_refuses_a_key_of_no_or_too_many_bytes(self):
        for answer in (b"", bytes(1000)):
            c, s = self.shake_keys(Store(answer))
            self.assertIsInstance(s, OSError)
            self.assertEqual(c.args, FATAL_ALERT)

    @over_both
    def test_refuses_when_get_raises_and_says_what(self, dtls):
        trouble = LookupError("the database is away")
        c, s = self.shake_keys(Store(trouble), dtls)
        self.assertTrue(s is trouble or isinstance(s, OSError) and s.__cause__ is trouble, repr(s))
        self.assertEqual(c.args, FATAL_ALERT)

    def test_passes_on_what_ends_programs(self):
        c, s = self.shake_keys(Store(KeyboardInterrupt()))
        self.assertTrue(isinstance(s, KeyboardInterrupt) or isinstance(s.__cause__, KeyboardInterrupt), repr(s))

    @over_both
    def test_beside_certificates_is_what_is_offered(self, dtls):
        client = context(CLIENTS[dtls], ca="ca", psk_identity=IDENTITY, psk_key=KEY)
        server = context(SERVERS[dtls], pair="server", server_psk_keys={IDENTITY: KEY})
        c, s = self.connect(client, server, dtls=dtls)
        self.assertIn("PSK", c.cipher()[0])
        self.assertIsNone(c.getpeercert(True))

    def test_never_falls_back_to_certificates(self):
        client = context(0, ca="ca", psk_identity=IDENTITY, psk_key=KEY)
        c, s = self.shake(client, context(1, pair="server"))
        self.assertEqual((type(c), type(s)), (OSError, OSError))

    def test_serves_no_client_without(self):
        for client in (context(0, verify_mode=tls.CERT_NONE), context(0, ca="ca")):
            c, s = self.shake(client, context(1, pair="server", server_psk_keys={IDENTITY: KEY}))
            self.assertEqual((type(c), type(s)), (OSError, OSError))

    def test_and_certificates_are_both_served_where_both_are_named(self):
        names = ["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-GCM-SHA256"]
        server = context(1, pair="server", server_psk_keys={IDENTITY: KEY})
        server.set_ciphers(names)
        c, _ = self.connect(context(0, ca="ca"), server)
        self.assertEqual(c.cipher()[0], names[0])
        c, _ = self.connect(psk_contexts()[0], server)
        self.assertEqual(c.cipher()[0], names[1])

    @over_both
    def test_needs_neither_ca_nor_hostname_under_CERT_REQUIRED(self, dtls):
        client, server = psk_contexts(dtls)
        self.assertEqual(client.verify_mode, tls.CERT_REQUIRED)
        self.connect(client, server, dtls=dtls, server_hostname=None)

    def test_beside_named_certificate_suites_needs_a_hostname_again(self):
        client = context(0, ca="ca", psk_identity=IDENTITY, psk_key=KEY)
        client.set_ciphers(["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-GCM-SHA256"])
        error = self.refuses(ValueError, client.wrap_socket, self.sockets()[0])
        self.assertEqual(error.args, ("CERT_REQUIRED requires server_hostname",))

    def test_attributes_of_the_other_side_are_judged_when_wrapping(self):
        a, b = self.sockets()
        client = context(0, server_psk_keys={IDENTITY: KEY}, verify_mode=tls.CERT_NONE)
        self.refuses((ValueError, TypeError, OSError), client.wrap_socket, a, names="server_psk_keys")
        for dtls in (False, True):
            server = context(SERVERS[dtls], server_psk_keys={IDENTITY: KEY}, psk_identity=IDENTITY, psk_key=KEY)
            self.refuses(ValueError, server.wrap_socket, self.sockets(dtls)[1], names="psk_identity")
        server = tls.SSLContext(1)
        server.set_psk_client_callback(lambda hint: ("sensor-17", KEY))
        self.refuses(ValueError, server.wrap_socket, self.sockets()[1], names="callback")
        self.assertGreaterEqual(a.fileno(), 0)

    def test_half_is_judged_when_wrapping(self):
        for name, value, missing in (("psk_identity", IDENTITY, "psk_key"), ("psk_key", KEY, "psk_identity")):
            ctx = context(0, **{name: value}, verify_mode=tls.CERT_NONE)
            self.refuses((ValueError, TypeError, OSError), ctx.wrap_socket, self.sockets()[0], names=missing)

    def test_is_that_of_the_moment_of_wrapping(self):
        client, server = psk_contexts()
        a, b = self.sockets()
        c = self.keep(client.wrap_socket(a, do_handshake_on_connect=False))
        client.psk_key = KEY[::-1]
        task = Task(server.wrap_socket, b)
        c.do_handshake()
        self.assert_talks(c, self.keep(task.result()))


class Callbacks(Case):
    "the PSK callbacks of CPython 3.13"

    def test_give_a_client_its_identity_and_key(self):
        hints = []
        client = tls.SSLContext(0)
        client.set_psk_client_callback(lambda hint: hints.append(hint) or ("sensor-17", KEY))
        c, s = self.connect(client, psk_contexts()[1])
        self.assert_talks(c, s)
        self.assertEqual(hints, [None])

    def test_give_a_server_its_key(self):
        for dtls in (False, True):
            asked = []
            server = tls.SSLContext(SERVERS[dtls])
            server.set_psk_server_callback(lambda identity: asked.append(identity) or KEY)
            c, s = self.connect(psk_contexts(dtls)[0], server, dtls=dtls)
            self.assert_talks(c, s)
            self.assertEqual(asked, ["sensor-17"])

    @over_both
    def test_refuse_an_unknown_identity_by_no_bytes_or_None(self, dtls):
        known = self.shake(psk_contexts(dtls)[0], context(SERVERS[dtls], server_psk_keys={}), dtls=dtls)
        for nothing in (b"", None):
            server = tls.SSLContext(SERVERS[dtls])
            server.set_psk_server_callback(lambda identity: nothing)
            c, s = self.shake(psk_contexts(dtls)[0], server, dtls=dtls)
            self.assertEqual((c.args, type(s), s.args), (FATAL_ALERT, OSError, known[1].args))
            self.assertIsNone(s.__cause__)

    @over_both
    def test_do_not_know_an_identity_that_is_no_text(self, dtls):
        asked = []
        client = context(CLIENTS[dtls], psk_identity=b"\xff\xfe", psk_key=KEY)
        unknown = self.shake(client, context(SERVERS[dtls], server_psk_keys={}), dtls=dtls)[1]
        server = tls.SSLContext(SERVERS[dtls])
        server.set_psk_server_callback(lambda identity: asked.append(identity) or KEY)
        c, s = self.shake(client, server, dtls=dtls)
        self.assertEqual((c.args, type(s), s.args, asked), (FATAL_ALERT, OSError, unknown.args, []))
        self.assertIsNone(s.__cause__)

    def test_refuse_a_wrong_key(self):
        server = tls.SSLContext(1)
        server.set_psk_server_callback(lambda identity: KEY[::-1])
        c, s = self.shake(psk_contexts()[0], server)
        self.assertEqual((c.args, type(s)), (FATAL_ALERT, OSError))

    def test_must_be_callable_and_may_be_taken_away(self):
        ctx = tls.SSLContext(0)
        self.refuses(TypeError, ctx.set_psk_client_callback, 5)
        ctx.set_psk_client_callback(lambda hint: ("a", KEY))
        ctx.set_psk_client_callback(None)
        ctx = tls.SSLContext(1)
        self.refuses(TypeError, ctx.set_psk_server_callback, 5)
        ctx.set_psk_server_callback(lambda identity: KEY)
        ctx.set_psk_server_callback(None)

    def test_take_no_hint_that_would_not_be_sent(self):
        ctx = tls.SSLContext(1)
        self.refuses((ValueError, TypeError, OSError), ctx.set_psk_server_callback, lambda i: KEY, "hint", names="hint")

    def test_whose_results_are_no_pair_or_bytes_fail_the_handshake(self):
        for result in (None, "sensor-17", ("sensor-17",), ("sensor-17", 5), (5, KEY)):
            with self.subTest(result):
                client = tls.SSLContext(0)
                client.set_psk_client_callback(lambda hint: result)
                c, s = self.shake(client, psk_contexts()[1])
                self.assertIsInstance(c, (TypeError, ValueError, OSError))
        server = tls.SSLContext(1)
        server.set_psk_server_callback(lambda identity: "no bytes")
        c, s = self.shake(psk_contexts()[0], server)
        self.assertTrue(isinstance(s, (TypeError, OSError)), s)
        self.assertEqual(c.args, FATAL_ALERT)

    def test_whose_exceptions_are_told(self):
        trouble = RuntimeError("in the callback")

        def callback(argument):
            raise trouble

        client, server = tls.SSLContext(0), tls.SSLContext(1)
        client.set_psk_client_callback(callback)
        server.set_psk_server_callback(callback)
        c, _ = self.shake(client, psk_contexts()[1])
        self.assertTrue(trouble in (c, c.__cause__), repr(c))
        c, s = self.shake(psk_contexts()[0], server)
        self.assertTrue(trouble in (s, s.__cause__), repr(s))
        self.assertEqual(c.args, FATAL_ALERT)
