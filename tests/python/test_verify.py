from support import (
    Case, CLIENTS, context, der, FATAL_ALERT, NO_CLIENT_CERTIFICATE, notes, outcome, path, SERVERS, Task, tls,
)

EXPIRED = "\nThe certificate validity has expired\n"
FUTURE = "\nThe certificate validity starts in the future\n"
NOT_TRUSTED = "\nThe certificate is not correctly signed by the trusted CA\n"
WRONG_NAME = "\nThe certificate Common Name (CN) does not match with the expected CN\n"


class Verification(Case):
    "verification"

    def refused_server(self, pair, text, note, ca="ca", dtls=False, hostname="localhost"):
        client = context(CLIENTS[dtls], ca=ca)
        c, s = self.shake(client, context(SERVERS[dtls], pair=pair), server_hostname=hostname, dtls=dtls)
        self.assertIs(type(c), ValueError)
        self.assertEqual(c.args, (text,))
        self.assertEqual(len(c.__notes__), 1)
        self.assertRegex(c.__notes__[0], note)
        self.assertIs(type(s), OSError)
        self.assertEqual(s.args, FATAL_ALERT)

    def test_accepts_what_the_ca_signed(self):
        for dtls in (False, True):
            c, s = self.certs(dtls)
            self.assert_talks(c, s)
            self.assertEqual(c.getpeercert(True), der("server"))
            self.assertIsNone(s.getpeercert(True))

    def test_says_that_a_certificate_has_expired(self):
        self.refused_server("expired", EXPIRED, "expired")
        self.refused_server("expired", EXPIRED, "expired", dtls=True)

    def test_says_that_a_certificate_is_not_valid_yet(self):
        self.refused_server("future", FUTURE, "valid")

    def test_says_that_nobody_trusted_has_signed_it(self):
        self.refused_server("server", NOT_TRUSTED, "CA", ca="other")

    def test_says_that_the_name_is_another(self):
        self.refused_server("wrong", WRONG_NAME, "elsewhere")

    def test_says_all_that_is_wrong(self):
        self.refused_server("expired", EXPIRED + NOT_TRUSTED, "expired", ca="other")
        self.refused_server("expired", EXPIRED + WRONG_NAME, "expired", hostname="sensor.invalid")

    def test_by_CERT_OPTIONAL_is_a_clients_CERT_REQUIRED(self):
        client = context(0, ca="ca", verify_mode=tls.CERT_OPTIONAL)
        c, s = self.shake(client, context(1, pair="expired"))
        self.assertEqual(c.args, (EXPIRED,))

    def test_by_CERT_NONE_is_none(self):
        c, s = self.connect(context(0, verify_mode=tls.CERT_NONE), context(1, pair="expired"))
        self.assert_talks(c, s)

    def test_takes_names_with_wildcards(self):
        client, server = context(0, ca="ca"), context(1, pair="wildcard")
        self.connect(client, server, server_hostname="attic.sensors.example")
        c, _ = self.shake(client, server, server_hostname="sensors.example")
        self.assertEqual(c.args, (WRONG_NAME,))

    def test_happens_in_a_deferred_handshake_too(self):
        a, b = self.sockets()
        c = self.keep(context(0, ca="other").wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False))
        task = Task(outcome, context(1, pair="server").wrap_socket, b)
        for call in (c.do_handshake, lambda: c.read(1), lambda: c.write(b"x")):
            with self.assertRaises((ValueError, OSError)) as caught:
                call()
            if call == c.do_handshake:
                self.assertEqual((type(caught.exception), caught.exception.args), (ValueError, (NOT_TRUSTED,)))
        self.assertEqual(task.result().args, FATAL_ALERT)


class Clients(Case):
    "a server that verifies its clients"

    def server(self, mode=tls.CERT_REQUIRED, dtls=False):
        return context(SERVERS[dtls], pair="server", ca="ca", verify_mode=mode)

    def test_knows_their_certificates(self):
        for dtls in (False, True):
            c, s = self.connect(context(CLIENTS[dtls], pair="client", ca="ca"), self.server(dtls=dtls), dtls=dtls)
            self.assertEqual((s.getpeercert(True), c.getpeercert(True)), (der("client"), der("server")))

    def test_refuses_one_without_certificate(self):
        for dtls in (False, True):
            with self.subTest(dtls):
                a, b = self.sockets(dtls)
                task = Task(outcome, self.server(dtls=dtls).wrap_socket, b)
                c = outcome(context(CLIENTS[dtls], ca="ca").wrap_socket, a, server_hostname="localhost")
                if not isinstance(c, Exception):
                    c = outcome(self.keep(c).read, 1)
                self.assertEqual(c.args, FATAL_ALERT)
                self.assertRegex(notes(c), "handshake_failure|certificate")
                s = task.result()
                self.assertEqual((type(s), s.args), (OSError, NO_CLIENT_CERTIFICATE))
                self.assertRegex(notes(s), "certificate")

    def test_refuses_one_of_another_ca(self):
        for mode in (tls.CERT_REQUIRED, tls.CERT_OPTIONAL):
            c, s = self.shake(context(0, pair="stranger", ca="ca"), self.server(mode))
            self.assertEqual((type(s), s.args), (ValueError, (NOT_TRUSTED,)))
            if not isinstance(c, Exception):
                c = outcome(c.read, 1)
            self.assertEqual(c.args, FATAL_ALERT)

    def test_does_without_under_CERT_OPTIONAL(self):
        c, s = self.connect(context(0, ca="ca"), self.server(tls.CERT_OPTIONAL))
        self.assertIsNone(s.getpeercert(True))
        self.assert_talks(c, s)

    def test_does_not_ask_under_CERT_NONE(self):
        c, s = self.connect(context(0, pair="client", ca="ca"), context(1, pair="server"))
        self.assertIsNone(s.getpeercert(True))


class Callback(Case):
    "verify_callback"

    def shake_with(self, callback, pair="server", dtls=False):
        client = context(CLIENTS[dtls], ca="ca", verify_callback=callback)
        return self.shake(client, context(SERVERS[dtls], pair=pair), dtls=dtls)

    def test_sees_every_certificate_once_from_the_ca_to_the_leaf(self):
        for dtls in (False, True):
            seen = []
            c, s = self.shake_with(lambda cert, depth: seen.append((bytes(cert), depth)) or 0, dtls=dtls)
            self.assertEqual(seen, [(der("ca"), 1), (der("server"), 0)])
            self.assert_talks(c, s)

    def test_sees_a_chain_of_three(self):
        seen = []
        server = tls.SSLContext(1)
        server.load_cert_chain(path("chain.pem"), path("leaf.key"))
        client = context(0, ca="ca", verify_callback=lambda cert, depth: seen.append((bytes(cert), depth)) or 0)
        self.connect(client, server)
        self.assertEqual(seen, [(der("ca"), 2), (der("sub"), 1), (der("leaf"), 0)])

    def test_gets_a_memoryview_and_an_int(self):
        seen = []
        self.shake_with(lambda cert, depth: seen.append((type(cert), type(depth), cert.hex())) or 0)
        self.assertEqual(seen[1], (memoryview, int, der("server").hex()))

    def test_may_keep_the_memoryview(self):
        kept = []
        c, s = self.shake_with(lambda cert, depth: kept.append(cert) or 0)
        for end in (c, s):
            end.close()
        del c, s
        got = outcome(bytes, kept[1])
        self.assertTrue(got == der("server") or isinstance(got, ValueError), got)

    def test_refuses_with_anything_but_0(self):
        for result in (1, -1, -0x7080):
            for dtls in (False, True):
                with self.subTest(result, dtls=dtls):
                    c, s = self.shake_with(lambda cert, depth: result, dtls=dtls)
                    self.assertIsInstance(c, (ValueError, OSError))
                    self.assertEqual(s.args, FATAL_ALERT)

    def test_cannot_accept_what_is_bad(self):
        c, s = self.shake_with(lambda cert, depth: 0, pair="expired")
        self.assertEqual(c.args, (EXPIRED,))

    def test_propagates_its_exception(self):
        class Trouble(Exception):
            pass

        for kind in (Trouble, KeyboardInterrupt, SystemExit):
            for dtls in (False, True):
                with self.subTest(kind, dtls=dtls):
                    trouble = kind("in the callback")

                    def callback(cert, depth):
                        raise trouble

                    a, b = self.sockets(dtls)
                    task = Task(outcome, context(SERVERS[dtls], pair="server").wrap_socket, b)
                    client = context(CLIENTS[dtls], ca="ca", verify_callback=callback)
                    with self.assertRaises(kind) as caught:
                        client.wrap_socket(a, server_hostname="localhost")
                    self.assertIs(caught.exception, trouble)
                    self.assertEqual(task.result().args, FATAL_ALERT)

    def test_is_not_called_again_after_its_exception(self):
        calls = []

        def callback(cert, depth):
            calls.append(depth)
            raise RuntimeError

        c, s = self.shake_with(callback)
        self.assertIsInstance(c, RuntimeError)
        self.assertEqual(calls, [1])

    def test_that_returns_no_int_is_a_type_error(self):
        for result in (None, "0", 0.5):
            c, s = self.shake_with(lambda cert, depth: result)
            self.assertIsInstance(c, TypeError)
            self.assertEqual(s.args, FATAL_ALERT)

    def test_with_other_parameters_is_a_type_error(self):
        c, s = self.shake_with(lambda cert: 0)
        self.assertIsInstance(c, TypeError)

    def test_serves_servers_too(self):
        seen = []
        server = context(1, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        server.verify_callback = lambda cert, depth: seen.append((bytes(cert), depth)) or 0
        self.connect(context(0, pair="client", ca="ca"), server)
        self.assertEqual(seen, [(der("ca"), 1), (der("client"), 0)])

    def test_is_that_of_the_moment_of_wrapping(self):
        seen = []
        client = context(0, ca="ca", verify_callback=lambda cert, depth: seen.append(depth) or 0)
        client.verify_callback = None
        self.connect(client, context(1, pair="server"))
        self.assertEqual(seen, [])
