from support import Case, context, data, der, notes, path, tls


class CertChain(Case):
    "load_cert_chain"

    def serves(self, *chain, **keywords):
        server = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*chain, **keywords)
        c, s = self.connect(context(0, ca="ca"), server)
        return c.getpeercert(True)

    def test_takes_paths(self):
        self.assertEqual(self.serves(path("server.pem"), path("server.key")), der("server"))

    def test_takes_paths_of_der(self):
        self.assertEqual(self.serves(path("server.der"), path("server-sec1.der")), der("server"))

    def test_takes_bytes_in_every_form(self):
        for cert, key in (
            ("server.pem", "server.key"),
            ("server.der", "server-sec1.der"),
            ("server.der", "server.key"),
            ("server.pem", "server-pkcs8.pem"),
            ("rsa.pem", "rsa.key"),
            ("rsa.pem", "rsa-pkcs1.pem"),
        ):
            with self.subTest(cert, key=key):
                self.assertEqual(self.serves(data(cert), data(key)), der(cert.split(".")[0]))

    def test_takes_a_path_beside_bytes(self):
        self.assertEqual(self.serves(path("server.pem"), data("server.key")), der("server"))

    def test_takes_its_names(self):
        served = self.serves(certfile=path("server.pem"), keyfile=path("server.key"), password=None)
        self.assertEqual(served, der("server"))

    def test_sends_the_whole_chain(self):
        self.assertEqual(self.serves(path("chain.pem"), path("leaf.key")), der("leaf"))

    def test_opens_an_encrypted_key(self):
        for key in (path("server-encrypted.pem"), data("server-encrypted.pem")):
            for password in ("secret", b"secret"):
                self.assertEqual(self.serves(path("server.pem"), key, password), der("server"))
                self.assertEqual(self.serves(path("server.pem"), key, password=password), der("server"))

    def test_a_second_call_replaces_the_first(self):
        server = context(tls.PROTOCOL_TLS_SERVER, pair="wrong")
        server.load_cert_chain(path("server.pem"), path("server.key"))
        self.connect(context(0, ca="ca"), server)

    def test_judges_neither_sizes_nor_whether_they_match(self):
        ctx = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(path("weak.pem"), path("weak.key"))
        ctx.load_cert_chain(path("server.pem"), path("client.key"))
        ctx.load_cert_chain(path("expired.pem"), path("rsa.key"))

    def test_loads_for_clients_too(self):
        server = context(1, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        c, s = self.connect(context(0, pair="client", ca="ca"), server)
        self.assertEqual(s.getpeercert(True), der("client"))


class BadCertChain(Case):
    "load_cert_chain refuses"

    def setUp(self):
        self.ctx = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)

    def refused(self, kinds, *chain, **keywords):
        return self.refuses(kinds, self.ctx.load_cert_chain, *chain, **keywords)

    def test_a_bad_key(self):
        cut = data("server.key")[:90], data("server-sec1.der")[:-1]
        for bad in (b"", b"!", b"/no/such/file", data("server.pem"), *cut):
            with self.subTest(bad[:30]):
                self.assertEqual(self.refused(ValueError, data("server.pem"), bad).args, ("invalid key",))

    def test_a_bad_certificate(self):
        for bad in (b"", b"!", data("server.key"), data("server.pem")[:200], data("server.der")[:-1]):
            with self.subTest(bad[:30]):
                self.assertEqual(self.refused(ValueError, bad, data("server.key")).args, ("invalid cert",))

    def test_a_bad_file(self):
        self.assertEqual(self.refused(ValueError, path("server.pem"), path("server.pem")).args, ("invalid key",))
        self.assertEqual(self.refused(ValueError, path("server.key"), path("server.key")).args, ("invalid cert",))

    def test_the_key_first(self):
        self.assertEqual(self.refused(ValueError, b"!", b"!").args, ("invalid key",))
        self.assertEqual(self.refused(ValueError, None, b"!").args, ("invalid key",))

    def test_a_certificate_of_None(self):
        self.refused(TypeError, None, data("server.key"))

    def test_other_types(self):
        self.refused(TypeError, path("server.pem"), None)
        self.refused(TypeError, path("server.pem"), 5)
        self.refused(TypeError, 5, path("server.key"))
        self.refused(TypeError, path("server.pem"))
        self.refused(TypeError)
        self.refused(TypeError, path("server.pem"), path("server.key"), 5)
        self.refused(TypeError, path("server.pem"), path("server.key"), ca="ca")

    def test_a_missing_or_wrong_password(self):
        for password in ((), (None,), ("wrong",), ("",), (b"wrong",)):
            with self.subTest(password):
                error = self.refused(ValueError, path("server.pem"), path("server-encrypted.pem"), *password)
                self.assertEqual(error.args, ("invalid key",))

    def test_a_password_that_is_too_long(self):
        self.refused((ValueError, OSError), path("server.pem"), path("server-encrypted.pem"), "x" * 5000)

    def test_a_password_with_a_zero_in_it(self):
        ctx = self.ctx
        chain = path("server.pem"), path("server-encrypted.pem")
        for password in ("secret\0", b"secret\0more", lambda: "secret\0"):
            self.refuses(ValueError, ctx.load_cert_chain, *chain, password, names="password: embedded null byte")

    def test_a_missing_file_and_names_it(self):
        for chain in ((path("missing"), path("server.key")), (path("server.pem"), path("missing"))):
            error = self.refused(FileNotFoundError, *chain)
            self.assertIn(path("missing"), f"{error} {notes(error)}")

    def test_a_path_with_a_zero_in_it(self):
        self.refused((ValueError, OSError), path("server.pem") + "\0", path("server.key"))

    def test_and_keeps_what_was_loaded(self):
        self.ctx.load_cert_chain(path("server.pem"), path("server.key"))
        self.refused(ValueError, path("server.pem"), b"!")
        self.refused(ValueError, b"!", path("server.key"))
        c, _ = self.connect(context(0, ca="ca"), self.ctx)
        self.assertEqual(c.getpeercert(True), der("server"))


class VerifyLocations(Case):
    "load_verify_locations"

    def trusts(self, *arguments, **keywords):
        client = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(*arguments, **keywords)
        return self.connect(client, context(1, pair="server"))

    def test_takes_a_path(self):
        self.trusts(path("ca.pem"))
        self.trusts(path("ca.der"))
        self.trusts(cafile=path("ca.pem"))

    def test_takes_bytes(self):
        self.trusts(cadata=data("ca.pem"))
        self.trusts(cadata=data("ca.der"))
        self.trusts(None, data("ca.pem"))

    def test_takes_bytes_as_its_first_argument(self):
        self.trusts(data("ca.pem"))
        self.trusts(data("ca.der"))

    def test_takes_both_at_once(self):
        self.trusts(path("ca.pem"), data("other.pem"))
        self.trusts(path("other.pem"), data("ca.pem"))

    def test_takes_several_in_one(self):
        self.trusts(cadata=data("other.pem") + data("ca.pem"))

    def test_adds(self):
        client = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        client.load_verify_locations(path("ca.pem"))
        client.load_verify_locations(cadata=data("other.pem"))
        for pair in ("server", "stranger"):
            self.connect(client, context(1, pair=pair))

    def test_refuses_nothing(self):
        ctx = tls.SSLContext(0)
        self.refuses((TypeError, ValueError), ctx.load_verify_locations)
        self.refuses((TypeError, ValueError), ctx.load_verify_locations, None, None)

    def test_refuses_what_is_no_certificate(self):
        ctx = tls.SSLContext(0)
        for bad in (b"", b"!", data("ca.key"), data("ca.pem")[:200]):
            with self.subTest(bad[:20]):
                self.refuses(ValueError, ctx.load_verify_locations, cadata=bad, names="^invalid cert")
        self.refuses(ValueError, ctx.load_verify_locations, path("ca.key"), names="^invalid cert")

    def test_refuses_other_types(self):
        ctx = tls.SSLContext(0)
        self.refuses(TypeError, ctx.load_verify_locations, 5)
        self.refuses(TypeError, ctx.load_verify_locations, cadata=5)
        self.refuses(TypeError, ctx.load_verify_locations, path("ca.pem"), None, None)
        self.refuses(TypeError, ctx.load_verify_locations, capath="/etc")

    def test_refuses_a_missing_file_and_names_it(self):
        error = self.refuses(FileNotFoundError, tls.SSLContext(0).load_verify_locations, path("missing"))
        self.assertIn(path("missing"), f"{error} {notes(error)}")

    def test_keeps_what_was_loaded_when_it_refuses(self):
        client = context(0, ca="ca")
        self.refuses(ValueError, client.load_verify_locations, cadata=b"!")
        self.connect(client, context(1, pair="server"))
