import io
import select

from support import (
    Case, CLIENTS, context, data, der, FATAL_ALERT, IDENTITY, KEY, notes, outcome, path, SERVERS, Task, tls,
)


class OneCall(Case):
    "wrap_socket"

    def both(self, client, server, dtls=False):
        """The two ends of one connection, each wrapped by its keywords."""
        a, b = self.sockets(dtls)
        task = Task(tls.wrap_socket, b, server_side=True, **server)
        c = tls.wrap_socket(a, **client)
        s = task.result()
        return self.keep(c, s)

    def trusting(self, **ca):
        return dict(cert_reqs=tls.CERT_REQUIRED, server_hostname="localhost", **ca)

    def test_takes_keyfile_and_certfile_as_paths(self):
        c, s = self.both({}, dict(keyfile=path("server.key"), certfile=path("server.pem")))
        self.assert_talks(c, s)
        self.assertEqual(c.version(), "TLSv1.2")

    def test_takes_keyfile_and_certfile_as_bytes(self):
        for key, cert in (("server.key", "server.pem"), ("server-sec1.der", "server.der")):
            with self.subTest(key):
                c, s = self.both({}, dict(keyfile=data(key), certfile=data(cert)))
                self.assert_talks(c, s)

    def test_takes_key_and_cert_data(self):
        for key, cert in (("server.key", "server.pem"), ("server-sec1.der", "server.der"), ("rsa.key", "rsa.pem")):
            with self.subTest(key):
                c, s = self.both({}, dict(key=data(key), cert=data(cert)))
                self.assert_talks(c, s)

    def test_takes_every_argument_in_its_place(self):
        a, b = self.sockets()
        task = Task(tls.wrap_socket, b, True, path("server.key"), path("server.pem"), tls.CERT_NONE, None, None, True)
        c = tls.wrap_socket(a, False, None, None, tls.CERT_REQUIRED, path("ca.pem"), "localhost", True)
        self.assert_talks(*self.keep(c, task.result()))

    def test_has_no_ninth_place(self):
        a, _ = self.sockets()
        self.refuses(TypeError, tls.wrap_socket, a, False, None, None, 0, None, None, True, None)

    def test_verifies_by_ca_certs_as_path_and_bytes_and_by_cadata(self):
        server = dict(key=data("server.key"), cert=data("server.pem"))
        for ca in (
            dict(ca_certs=path("ca.pem")),
            dict(ca_certs=data("ca.pem")),
            dict(ca_certs=data("ca.der")),
            dict(cadata=data("ca.pem")),
            dict(cadata=data("ca.der")),
        ):
            with self.subTest(ca):
                c, s = self.both(self.trusting(**ca), server)
                self.assertEqual(c.getpeercert(True), der("server"))

    def test_refuses_a_server_of_another_ca(self):
        a, b = self.sockets()
        task = Task(outcome, tls.wrap_socket, b, True, key=data("server.key"), cert=data("server.pem"))
        with self.assertRaises(ValueError):
            tls.wrap_socket(a, **self.trusting(cadata=data("other.pem")))
        self.assertEqual(task.result().args, FATAL_ALERT)

    def test_verifies_nothing_unless_it_is_told_to(self):
        c, s = self.both({}, dict(key=data("expired.key"), cert=data("expired.pem")))
        self.assert_talks(c, s)

    def test_takes_a_hostname_without_verification(self):
        c, s = self.both(dict(server_hostname="localhost"), dict(key=data("server.key"), cert=data("server.pem")))
        self.assert_talks(c, s)

    def test_asks_clients_for_certificates(self):
        server = dict(keyfile=path("server.key"), certfile=path("server.pem"))
        server.update(cert_reqs=tls.CERT_REQUIRED, ca_certs=path("ca.pem"))
        c, s = self.both(dict(keyfile=path("client.key"), certfile=path("client.pem")), server)
        self.assertEqual(s.getpeercert(True), der("client"))

    def test_takes_a_pre_shared_key_on_either_side(self):
        psk = dict(psk_ident=IDENTITY, psk_key=KEY)
        for dtls in (False, True):
            with self.subTest(dtls):
                c, s = self.both(psk, psk, dtls)
                self.assert_talks(c, s)
                self.assertIn("PSK", c.cipher()[0])

    def test_a_server_knows_only_the_identity_it_was_given(self):
        a, b = self.sockets()
        task = Task(outcome, tls.wrap_socket, b, True, psk_ident=b"another", psk_key=KEY)
        with self.assertRaises(OSError):
            tls.wrap_socket(a, psk_ident=IDENTITY, psk_key=KEY)
        self.assertIsInstance(task.result(), OSError)

    def test_takes_a_pre_shared_key_beside_certificates_and_a_ca(self):
        psk = dict(psk_ident=IDENTITY, psk_key=KEY)
        server = dict(psk, key=data("server.key"), cert=data("server.pem"))
        c, s = self.both(dict(psk, **self.trusting(cadata=data("ca.pem"))), server)
        self.assertIn("PSK", c.cipher()[0])

    def test_with_a_pre_shared_key_CERT_REQUIRED_needs_neither_ca_nor_hostname(self):
        psk = dict(psk_ident=IDENTITY, psk_key=KEY)
        c, s = self.both(dict(psk, cert_reqs=tls.CERT_REQUIRED), psk)
        self.assert_talks(c, s)

    def test_makes_dtls_of_a_datagram_socket(self):
        server = dict(key=data("server.key"), cert=data("server.pem"))
        c, s = self.both(self.trusting(cadata=data("ca.pem")), server, dtls=True)
        self.assertEqual((c.version(), s.version()), ("DTLSv1.2", "DTLSv1.2"))
        self.assert_talks(c, s)

    def test_defers_the_handshake(self):
        a, b = self.sockets()
        c = self.keep(tls.wrap_socket(a, do_handshake=False))
        s = self.keep(tls.wrap_socket(b, True, key=data("server.key"), cert=data("server.pem"), do_handshake=False))
        self.assertEqual(select.select([b], [], [], 0)[0], [])
        task = Task(s.read, 5)
        c.write(b"hello")
        self.assertEqual(task.result(), b"hello")


class Refusals(Case):
    "wrap_socket refuses"

    def setUp(self):
        self.sock = self.sockets()[0]

    def refused(self, kinds, names=".", *args, **keywords):
        error = self.refuses(kinds, tls.wrap_socket, self.sock, *args, names=names, **keywords)
        self.assertGreaterEqual(self.sock.fileno(), 0, "the socket is still the caller's")
        self.sock.getpeername()
        return error

    def test_a_bad_key(self):
        for name in ("key", "keyfile"):
            for bad in (b"!", b"", data("server.pem"), data("server-encrypted.pem")):
                with self.subTest(name, bad=bad[:20]):
                    error = self.refused(ValueError, **{name: bad})
                    self.assertEqual(error.args, ("invalid key",))

    def test_a_bad_certificate(self):
        for key, cert in (("key", "cert"), ("keyfile", "certfile")):
            for bad in (b"!", b"", data("server.key")):
                with self.subTest(cert, bad=bad[:20]):
                    error = self.refused(ValueError, **{key: data("server.key"), cert: bad})
                    self.assertEqual(error.args, ("invalid cert",))

    def test_a_bad_key_before_a_bad_certificate(self):
        self.assertEqual(self.refused(ValueError, key=b"!", cert=b"!").args, ("invalid key",))

    def test_bad_data_before_bad_combinations(self):
        self.assertEqual(self.refused(ValueError, key=b"!", cadata=data("ca.pem")).args, ("invalid key",))
        error = self.refused(ValueError, key=data("server.key"), cert=b"!", cadata=data("ca.pem"))
        self.assertEqual(error.args, ("invalid cert",))

    def test_a_bad_ca(self):
        for name in ("cadata", "ca_certs"):
            with self.subTest(name):
                keywords = {name: b"!", "cert_reqs": tls.CERT_REQUIRED, "server_hostname": "localhost"}
                self.refused(ValueError, "^invalid cert", **keywords)

    def test_a_bad_ca_that_would_not_be_used(self):
        self.refused(ValueError, cadata=b"!")

    def test_a_key_without_certificate(self):
        self.refused(TypeError, "cert", key=data("server.key"))
        self.refused(TypeError, "cert", keyfile=path("server.key"))

    def test_a_certificate_without_key(self):
        self.refused((TypeError, ValueError), "key", cert=data("server.pem"))
        self.refused((TypeError, ValueError), "key", certfile=path("server.pem"))

    def test_an_unknown_keyword(self):
        self.refused(TypeError, "no_such_argument", no_such_argument=None)
        self.refused(TypeError, "ssl_version", ssl_version=5)

    def test_keys_of_two_generations(self):
        key, cert = data("server.key"), data("server.pem")
        self.refused(TypeError, "key", keyfile=path("server.key"), key=key, cert=cert)
        self.refused(TypeError, "key|cert", keyfile=path("server.key"), certfile=path("server.pem"), key=key, cert=cert)

    def test_a_ca_that_CERT_NONE_would_not_use(self):
        for name, value in (("cadata", data("ca.pem")), ("ca_certs", path("ca.pem")), ("ca_certs", data("ca.pem"))):
            with self.subTest(name):
                self.refused(ValueError, name, **{name: value})

    def test_CERT_REQUIRED_without_hostname(self):
        error = self.refused(ValueError, cert_reqs=tls.CERT_REQUIRED, cadata=data("ca.pem"))
        self.assertEqual(error.args, ("CERT_REQUIRED requires server_hostname",))

    def test_CERT_REQUIRED_without_ca(self):
        self.refused((ValueError, OSError), "(?i)ca_certs|cadata|CA", cert_reqs=2, server_hostname="localhost")
        self.refused(
            (ValueError, OSError), "(?i)CA", True, cert_reqs=2, key=data("server.key"), cert=data("server.pem")
        )

    def test_an_unknown_cert_reqs(self):
        for value in (-1, 3):
            self.refused(ValueError, "cert_reqs", cert_reqs=value)
        self.refused(TypeError, cert_reqs="CERT_NONE")

    def test_half_a_pre_shared_key(self):
        self.refused((TypeError, ValueError), "psk_key", psk_ident=IDENTITY)
        self.refused((TypeError, ValueError), "psk_ident", psk_key=KEY)

    def test_a_pre_shared_key_that_is_no_bytes(self):
        self.refused(TypeError, "psk_key", psk_ident=IDENTITY, psk_key=5)
        self.refused(TypeError, "psk_ident", psk_ident=5, psk_key=KEY)

    def test_a_pre_shared_key_that_mbed_tls_cannot_take(self):
        for key in (b"", bytes(100)):
            self.refused(OSError, psk_ident=IDENTITY, psk_key=key)

    def test_a_hostname_that_is_none(self):
        for name in ("", "x" * 256, "local\0host"):
            with self.subTest(name[:12]):
                self.refused((ValueError, OSError), server_hostname=name)
        self.refused(TypeError, server_hostname=5)

    def test_a_hostname_for_a_server(self):
        self.refused(
            (TypeError, ValueError, OSError),
            "hostname",
            True,
            key=data("server.key"),
            cert=data("server.pem"),
            server_hostname="localhost",
        )

    def test_a_file_that_is_not_there(self):
        missing = path("no such file")
        for arguments in (
            dict(keyfile=missing, certfile=path("server.pem")),
            dict(keyfile=path("server.key"), certfile=missing),
            dict(ca_certs=missing, cert_reqs=tls.CERT_REQUIRED, server_hostname="localhost"),
        ):
            with self.subTest(arguments):
                error = self.refused(FileNotFoundError, **arguments)
                self.assertIn(missing, f"{error} {notes(error)}")

    def test_a_folder(self):
        self.refused(IsADirectoryError, keyfile=path("ca.d"), certfile=path("server.pem"))

    def test_what_is_no_transport(self):
        for nothing in (None, object(), "socket", 3.5):
            with self.subTest(type(nothing)):
                self.refuses((TypeError, OSError), tls.wrap_socket, nothing)

    def test_a_closed_socket(self):
        self.sock.close()
        self.refuses(OSError, tls.wrap_socket, self.sock)


class Nothing(Case):
    "a server without credentials"

    def test_can_be_wrapped_and_says_what_is_missing_when_a_client_comes(self):
        a, b = self.sockets()
        s = self.keep(tls.wrap_socket(b, server_side=True, do_handshake=False))
        task = Task(outcome, tls.wrap_socket, a)
        with self.assertRaises(OSError) as caught:
            s.read(1)
        self.assertRegex(f"{caught.exception} {notes(caught.exception)}", "(?s)(?=.*certificate)(?=.*key)")
        self.assertEqual(task.result().args, FATAL_ALERT)

    def test_can_be_wrapped_by_a_context_too(self):
        for dtls in (False, True):
            with self.subTest(dtls):
                a, b = self.sockets(dtls)
                s = self.keep(tls.SSLContext(SERVERS[dtls]).wrap_socket(b, do_handshake_on_connect=False))
                task = Task(outcome, context(CLIENTS[dtls], verify_mode=tls.CERT_NONE).wrap_socket, a)
                with self.assertRaises(OSError) as caught:
                    s.read(1)
                self.assertRegex(notes(caught.exception), "certificate")
                self.assertEqual(task.result().args, FATAL_ALERT)

    def test_may_wait_for_one_on_any_object(self):
        self.keep(tls.wrap_socket(io.BytesIO(), server_side=1, do_handshake=0))
