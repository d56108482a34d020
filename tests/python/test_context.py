import os
import socket

from support import (
    BAD_CONFIG, BAD_INPUT_DATA, Case, cert_contexts, context, FATAL_ALERT, IDENTITY, KEY, outcome, path, psk_contexts,
    Task, tls,
)

PROTOCOLS = (0, 1, 2, 3)


class Contexts(Case):
    "SSLContext"

    def test_takes_one_protocol_in_its_place(self):
        for protocol in PROTOCOLS:
            self.assertIn("SSLContext", repr(tls.SSLContext(protocol)))
        self.refuses(TypeError, tls.SSLContext)
        self.refuses(TypeError, tls.SSLContext, protocol=0)
        self.refuses(TypeError, tls.SSLContext, 0, 1)
        self.refuses(TypeError, tls.SSLContext, "TLS")
        self.refuses(TypeError, tls.SSLContext, None)

    def test_refuses_an_unknown_protocol(self):
        for protocol in (-1, 4, 2**40):
            self.refuses((ValueError, OverflowError), tls.SSLContext, protocol)

    def test_has_no_unknown_attributes(self):
        for protocol in PROTOCOLS:
            ctx = tls.SSLContext(protocol)
            with self.assertRaises(AttributeError):
                ctx.no_such_attribute
            with self.assertRaises(AttributeError):
                ctx.no_such_attribute = 1
            with self.assertRaises(AttributeError):
                del ctx.no_such_attribute
            with self.assertRaises(AttributeError):
                ctx.check_hostname

    def test_loses_none_of_its_attributes(self):
        ctx = tls.SSLContext(0)
        for name in (
            "verify_mode", "verify_callback", "psk_identity", "psk_key", "server_psk_keys", "keylog_filename",
            "handshake_timeout", "mtu", "protocol", "wrap_socket",
        ):
            with self.subTest(name), self.assertRaises(AttributeError):
                delattr(ctx, name)
            getattr(ctx, name)


class VerifyMode(Case):
    "verify_mode"

    def test_is_CERT_REQUIRED_for_clients_and_CERT_NONE_for_servers(self):
        modes = [tls.SSLContext(protocol).verify_mode for protocol in PROTOCOLS]
        self.assertEqual(modes, [tls.CERT_REQUIRED, tls.CERT_NONE] * 2)

    def test_reads_back_what_was_set(self):
        for protocol in PROTOCOLS:
            ctx = tls.SSLContext(protocol)
            for mode in (tls.CERT_NONE, tls.CERT_OPTIONAL, tls.CERT_REQUIRED):
                ctx.verify_mode = mode
                self.assertEqual(ctx.verify_mode, mode)

    def test_takes_nothing_else(self):
        ctx = tls.SSLContext(0)
        for mode in (3, -1):
            self.refuses(ValueError, setattr, ctx, "verify_mode", mode)
        for mode in ("CERT_NONE", None, 1.5):
            self.refuses(TypeError, setattr, ctx, "verify_mode", mode)
        self.assertEqual(ctx.verify_mode, tls.CERT_REQUIRED)


class VerifyCallback(Case):
    "verify_callback"

    def test_is_None_until_it_is_set_and_reads_back(self):
        for protocol in PROTOCOLS:
            ctx = tls.SSLContext(protocol)
            self.assertIsNone(ctx.verify_callback)
            ctx.verify_callback = callback = lambda der, depth: 0
            self.assertIs(ctx.verify_callback, callback)
            ctx.verify_callback = None
            self.assertIsNone(ctx.verify_callback)

    def test_must_be_callable(self):
        ctx = tls.SSLContext(0)
        self.refuses(TypeError, setattr, ctx, "verify_callback", 5)
        self.assertIsNone(ctx.verify_callback)


class PskAttributes(Case):
    "the PSK attributes"

    def test_exist_everywhere_are_None_and_read_back(self):
        for protocol in PROTOCOLS:
            ctx = tls.SSLContext(protocol)
            keys = {IDENTITY: KEY}
            for name, value in (("psk_identity", IDENTITY), ("psk_key", KEY), ("server_psk_keys", keys)):
                self.assertIsNone(getattr(ctx, name))
                setattr(ctx, name, value)
                self.assertEqual(getattr(ctx, name), value)
            self.assertIs(ctx.server_psk_keys, keys)

    def test_take_any_object_with_get(self):
        class Store:
            def get(self, identity):
                return None

        ctx = tls.SSLContext(1)
        ctx.server_psk_keys = store = Store()
        self.assertIs(ctx.server_psk_keys, store)

    def test_refuse_other_types(self):
        ctx = tls.SSLContext(0)
        for name, value in (
            ("psk_identity", 5),
            ("psk_identity", ["a"]),
            ("psk_key", 5),
            ("psk_key", {}),
            ("server_psk_keys", 5),
            ("server_psk_keys", [IDENTITY]),
        ):
            self.refuses((TypeError, AttributeError), setattr, ctx, name, value)
            self.assertIsNone(getattr(ctx, name))

    def test_are_checked_as_a_pair_in_either_order(self):
        for protocol in PROTOCOLS:
            for identity, key in ((IDENTITY, bytes(100)), (IDENTITY, b""), (bytes(70000), KEY)):
                with self.subTest(protocol, identity=identity[:20], key=key[:20]):
                    ctx = tls.SSLContext(protocol)
                    ctx.psk_identity = identity
                    self.assert_os_error(BAD_INPUT_DATA, setattr, ctx, "psk_key", key)
                    self.assertIsNone(ctx.psk_key)
                    ctx = tls.SSLContext(protocol)
                    ctx.psk_key = key
                    self.assert_os_error(BAD_INPUT_DATA, setattr, ctx, "psk_identity", identity)
                    self.assertIsNone(ctx.psk_identity)

    def test_take_every_length_up_to_the_longest(self):
        ctx = tls.SSLContext(0)
        ctx.psk_identity = IDENTITY
        longest = 0
        for length in range(1, 100):
            error = outcome(setattr, ctx, "psk_key", bytes(length))
            if error is None:
                self.assertEqual(longest, length - 1)
                longest = length
        self.assertIn(longest, (32, 48))


class Settings(Case):
    "settings"

    def test_handshake_timeout_is_a_pair_of_ms(self):
        for protocol in PROTOCOLS:
            ctx = tls.SSLContext(protocol)
            self.assertEqual(tuple(ctx.handshake_timeout), (1000, 60000))
            ctx.handshake_timeout = (100, 2000)
            self.assertEqual(tuple(ctx.handshake_timeout), (100, 2000))

    def test_handshake_timeout_refuses_what_is_none(self):
        ctx = tls.SSLContext(2)
        for bad in ((0, 1), (5, 1), (-1, 1), (1, 3600001), (2**70, 2**70)):
            self.refuses((ValueError, OSError, OverflowError), setattr, ctx, "handshake_timeout", bad)
        for bad in (5, None, (1,), (1, 2, 3), ("1", "2")):
            self.refuses((TypeError, ValueError), setattr, ctx, "handshake_timeout", bad)
        self.assertEqual(tuple(ctx.handshake_timeout), (1000, 60000))

    def test_mtu_has_its_bounds(self):
        ctx = tls.SSLContext(2)
        self.assertEqual(ctx.mtu, 1200)
        for good in (256, 16384):
            ctx.mtu = good
            self.assertEqual(ctx.mtu, good)
        for bad in (255, 16385, -1, 2**70):
            self.refuses((ValueError, OSError, OverflowError), setattr, ctx, "mtu", bad)
        self.refuses(TypeError, setattr, ctx, "mtu", "1200")
        self.assertEqual(ctx.mtu, 16384)

    def test_mtu_is_None_over_tls_and_cannot_be_set(self):
        for protocol in (0, 1):
            ctx = tls.SSLContext(protocol)
            self.assertIsNone(ctx.mtu)
            self.refuses(ValueError, setattr, ctx, "mtu", 1200)
            self.assertIsNone(ctx.mtu)

    def test_handshake_timeout_ends_a_handshake_over_tls_too(self):
        a, b = self.sockets()
        ctx = psk_contexts()[0]
        ctx.handshake_timeout = (10, 20)
        error = self.refuses(OSError, ctx.wrap_socket, a)
        self.assertEqual(error.args[1], "MBEDTLS_ERR_SSL_TIMEOUT")
        self.assertEqual(b.recv(10000)[-7:-1], b"\x15\x03\x03\x00\x02\x02", "a fatal alert tells the peer")

    def test_mtu_bounds_every_datagram_of_a_handshake(self):
        client, server = cert_contexts(dtls=True)
        client.mtu = server.mtu = 300
        a, b = self.sockets(dtls=True)
        middle = self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        middle.bind(("127.0.0.1", 0))
        for end in (a, b):
            end.connect(middle.getsockname())
        relay = Task(relay_until_a_stranger, middle, a.getsockname(), b.getsockname())
        self.assert_talks(*self.connect(client, server, (a, b), dtls=True))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"stop", middle.getsockname())
        sizes = relay.result()
        self.assertGreater(len(sizes), 8, "a certificate takes several small datagrams")
        self.assertLessEqual(max(sizes), 300)

    def test_keylog_filename_reads_back_and_gets_lines(self):
        for dtls in (False, True):
            with self.subTest(dtls):
                name = os.path.join(self.folder(), "keylog")
                client, server = psk_contexts(dtls)
                self.assertIsNone(client.keylog_filename)
                client.keylog_filename = name
                self.assertEqual(client.keylog_filename, name)
                for lines in (1, 2):
                    self.connect(client, server, dtls=dtls)
                    with open(name) as file:
                        self.assertRegex(file.read(), "^(CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}\n){%d}$" % lines)

    def test_keylog_filename_of_None_ends_the_log(self):
        name = os.path.join(self.folder(), "keylog")
        client, server = psk_contexts()
        client.keylog_filename = name
        client.keylog_filename = None
        self.assertIsNone(client.keylog_filename)
        self.connect(client, server)
        self.assertEqual((os.path.getsize(name), os.stat(name).st_mode & 0o777), (0, 0o600))

    def test_keylog_filename_must_be_writable(self):
        ctx = tls.SSLContext(0)
        self.refuses(OSError, setattr, ctx, "keylog_filename", path("no such folder/file"))
        self.refuses(TypeError, setattr, ctx, "keylog_filename", 5)
        self.assertIsNone(ctx.keylog_filename)

    def test_alpn_agrees_on_the_servers_wish(self):
        for dtls in (False, True):
            client, server = psk_contexts(dtls)
            client.set_alpn_protocols(["x", "coap", "http/1.1"])
            server.set_alpn_protocols(["http/1.1", "coap"])
            c, s = self.connect(client, server, dtls=dtls)
            self.assertEqual((c.selected_alpn_protocol(), s.selected_alpn_protocol()), ("http/1.1", "http/1.1"))

    def test_without_alpn_none_is_selected(self):
        client, server = psk_contexts()
        server.set_alpn_protocols(["coap"])
        c, s = self.connect(client, server)
        self.assertEqual((c.selected_alpn_protocol(), s.selected_alpn_protocol()), (None, None))

    def test_alpn_refuses_what_is_no_list_of_names(self):
        ctx = tls.SSLContext(0)
        for bad in ("http/1.1", 5, [5], None):
            self.refuses(TypeError, ctx.set_alpn_protocols, bad)
        for bad in ([""], ["x" * 256], ["a\0b"]):
            self.refuses((ValueError, OSError), ctx.set_alpn_protocols, bad)


def relay_until_a_stranger(middle, a, b):
    """Passes datagrams between the addresses a and b; returns their sizes."""
    sizes = []
    while True:
        datagram, sender = middle.recvfrom(20000)
        if sender not in (a, b):
            return sizes
        sizes.append(len(datagram))
        middle.sendto(datagram, b if sender == a else a)


class Ciphers(Case):
    "ciphers"

    def test_are_listed_with_dashes(self):
        for protocol in PROTOCOLS:
            names = tls.SSLContext(protocol).get_ciphers()
            self.assertIsInstance(names, list)
            self.assertGreater(len(names), 3)
            self.assertEqual([n for n in names if not n.startswith("TLS-") or "_" in n], [])

    def test_of_a_context_without_credentials_are_of_both_kinds(self):
        for protocol in PROTOCOLS:
            ctx = tls.SSLContext(protocol)
            names = ctx.get_ciphers()
            self.assertEqual(len(set(names)), len(names))
            for name in ("TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-GCM-SHA256"):
                self.assertIn(name, names)

    def test_of_a_context_with_certificates_are_those_alone(self):
        for ctx in (*cert_contexts(), *cert_contexts(dtls=True), context(0, verify_mode=tls.CERT_NONE)):
            self.assertEqual([n for n in ctx.get_ciphers() if "-ECDSA-" not in n and "-RSA-" not in n], [])

    def test_may_all_be_named_before_there_are_credentials(self):
        client, server = (tls.SSLContext(protocol) for protocol in (0, 1))
        for ctx in (client, server):
            ctx.set_ciphers(ctx.get_ciphers())
        client.load_verify_locations(path("ca.pem"))
        server.load_cert_chain(path("server.pem"), path("server.key"))
        self.assert_talks(*self.connect(client, server))

    def test_are_set_in_order_from_lists_and_tuples_with_dashes_or_underscores(self):
        ctx = tls.SSLContext(0)
        names = ctx.get_ciphers()[:3][::-1]
        for spelled in (names, tuple(names), [n.replace("-", "_") for n in names]):
            ctx.set_ciphers(spelled)
            self.assertEqual(ctx.get_ciphers(), names)

    def test_are_what_a_handshake_agrees_on(self):
        for dtls in (False, True):
            client, server = psk_contexts(dtls)
            for name in ("TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-CCM-8"):
                client.set_ciphers([name])
                c, s = self.connect(client, server, dtls=dtls)
                self.assertEqual((c.cipher()[0], s.cipher()[0]), (name, name))

    def test_in_common_there_must_be_one(self):
        client, server = psk_contexts()
        client.set_ciphers(["TLS-PSK-WITH-AES-128-GCM-SHA256"])
        server.set_ciphers(["TLS-PSK-WITH-AES-128-CCM-8"])
        c, s = self.shake(client, server)
        self.assertEqual(c.args, FATAL_ALERT)
        self.assertIsInstance(s, OSError)

    def test_are_no_string(self):
        ctx = tls.SSLContext(0)
        self.refuses(TypeError, ctx.set_ciphers, ctx.get_ciphers()[0])
        self.refuses(TypeError, ctx.set_ciphers, 5)
        self.refuses(TypeError, ctx.set_ciphers, None)
        self.refuses(TypeError, ctx.set_ciphers, [5])
        self.refuses(TypeError, ctx.set_ciphers)

    def test_must_be_known_and_some(self):
        ctx = tls.SSLContext(0)
        before = ctx.get_ciphers()
        for bad in ([], (), ["BAR"], [before[0], "BAR"], ["TLS-RSA-WITH-NULL-MD5"]):
            with self.subTest(bad):
                self.assert_os_error(BAD_CONFIG, ctx.set_ciphers, bad)
                self.assertEqual(ctx.get_ciphers(), before)

    def test_with_a_pre_shared_key_are_those_alone(self):
        client, server = psk_contexts()
        for ctx in (client, server):
            self.assertEqual([n for n in ctx.get_ciphers() if "PSK" not in n], [])

    def test_that_were_named_stay_beside_a_pre_shared_key(self):
        names = ["TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-GCM-SHA256"]
        ctx = tls.SSLContext(0)
        ctx.set_ciphers(names)
        ctx.psk_identity, ctx.psk_key = IDENTITY, KEY
        self.assertEqual(ctx.get_ciphers(), names)
