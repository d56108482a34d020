import os
import socket
import ssl
import subprocess
import sys
import unittest

from support import (
    Case, CLIENTS, context, der, FATAL_ALERT, IDENTITY, KEY, NO_CLIENT_CERTIFICATE, outcome, over_both, path,
    psk_contexts, SERVERS, Task, tls,
)

PSK_ARGUMENTS = ("-psk_identity", IDENTITY.decode(), "-psk", KEY.hex())
NEW_PSK = sys.version_info >= (3, 13) and ssl.HAS_PSK


def standard(server, pair=None, ca=None, low=ssl.TLSVersion.TLSv1_2):
    """A context of CPython's own module."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    ctx.minimum_version = ctx.maximum_version = low
    if pair:
        ctx.load_cert_chain(path(pair + ".pem"), path(pair + ".key"))
    if ca:
        ctx.load_verify_locations(path(ca + ".pem"))
    return ctx


class Standard(Case):
    "CPython's ssl"

    def against_server(self, theirs, ours, **keywords):
        """Our client, their server: both ends, or exceptions."""
        a, b = self.tcp()
        task = Task(outcome, theirs.wrap_socket, b, server_side=True)
        c = outcome(ours.wrap_socket, a, **{"server_hostname": "localhost", **keywords})
        if isinstance(c, Exception) and a.fileno() >= 0:
            a.shutdown(socket.SHUT_WR)
        return c, self.closed_later(task.result())

    def against_client(self, theirs, ours):
        """Their client, our server."""
        a, b = self.tcp()
        task = Task(outcome, ours.wrap_socket, b, server_side=True)
        c = outcome(theirs.wrap_socket, a, server_hostname="localhost")
        return self.closed_later(c), self.closed_later(task.result())

    def closed_later(self, end):
        return end if isinstance(end, Exception) else self.keep(end)

    def exchange(self, c, s):
        for end in (c, s):
            if isinstance(end, Exception):
                raise end
        bulk = bytes(range(256)) * 1000
        task = Task(c.sendall, bulk)
        got = bytearray()
        while len(got) < len(bulk):
            got += s.recv(100000)
        task.result()
        self.assertEqual(got, bulk)
        s.sendall(b"answer")
        self.assertEqual(c.recv(100), b"answer")

    def test_serves_our_client(self):
        c, s = self.against_server(standard(True, "server"), context(0, ca="ca"))
        self.exchange(c, s)
        self.assertEqual(c.getpeercert(True), der("server"))
        c.close()
        self.assertEqual(s.recv(1), b"")

    def test_is_served_by_us(self):
        c, s = self.against_client(standard(False, ca="ca"), context(1, pair="server"))
        self.exchange(c, s)
        self.assertEqual(c.getpeercert(True), der("server"))
        s.close()
        self.assertEqual(c.recv(1), b"")

    def test_shows_us_its_certificate(self):
        server = context(1, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        c, s = self.against_client(standard(False, "client", "ca"), server)
        self.exchange(c, s)
        self.assertEqual(s.getpeercert(True), der("client"))

    def test_is_told_that_its_certificate_is_missing(self):
        server = context(1, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        c, s = self.against_client(standard(False, ca="ca"), server)
        if not isinstance(c, Exception):
            c = outcome(c.recv, 1)
        self.assertIsInstance(c, ssl.SSLError)
        self.assertIn("HANDSHAKE_FAILURE", c.reason)
        self.assertEqual(s.args, NO_CLIENT_CERTIFICATE)

    def test_is_told_why_we_refuse_its_certificate(self):
        for pair, alert in (("expired", "EXPIRED"), ("stranger", "UNKNOWN_CA")):
            c, s = self.against_server(standard(True, pair), context(0, ca="ca"))
            self.assertIsInstance(c, ValueError)
            self.assertIsInstance(s, ssl.SSLError)
            self.assertRegex(s.reason, f"ALERT.*({alert}|BAD_CERTIFICATE|UNKNOWN_CA)")

    def test_tells_us_that_it_does_not_trust_us(self):
        c, s = self.against_client(standard(False, ca="other"), context(1, pair="server"))
        self.assertIsInstance(c, ssl.SSLCertVerificationError)
        self.assertEqual(s.args, FATAL_ALERT)

    def test_reads_our_server_name(self):
        names = []
        theirs = standard(True, "server")
        theirs.sni_callback = lambda sock, name, ctx: names.append(name)
        for client in (context(0, ca="ca"), context(0, verify_mode=tls.CERT_NONE)):
            self.exchange(*self.against_server(theirs, client))
        c, s = self.against_server(theirs, context(0, verify_mode=tls.CERT_NONE), server_hostname=None)
        self.exchange(c, s)
        self.assertEqual(names, ["localhost", "localhost", None])

    def test_agrees_with_us_on_a_protocol(self):
        theirs, ours = standard(True, "server"), context(0, ca="ca")
        theirs.set_alpn_protocols(["h2", "coap"])
        ours.set_alpn_protocols(["coap", "mqtt"])
        c, s = self.against_server(theirs, ours)
        self.assertEqual((c.selected_alpn_protocol(), s.selected_alpn_protocol()), ("coap", "coap"))

    def test_without_a_version_in_common_is_refused(self):
        c, s = self.against_client(standard(False, ca="ca", low=ssl.TLSVersion.TLSv1_3), context(1, pair="server"))
        self.assertIsInstance(c, ssl.SSLError)
        self.assertIsInstance(s, OSError)

    def test_unwraps_with_us(self):
        c, s = self.against_server(standard(True, "server"), context(0, ca="ca"))
        task = Task(s.unwrap)
        plain = c.unwrap()
        theirs = self.keep(task.result())
        plain.sendall(b"plain")
        self.assertEqual(theirs.recv(10), b"plain")

    @unittest.skipUnless(NEW_PSK, "its pre-shared keys came with Python 3.13")
    def test_shares_keys_with_us(self):
        theirs = standard(False)
        theirs.check_hostname = False
        theirs.verify_mode = ssl.CERT_NONE
        theirs.set_ciphers("PSK")
        theirs.set_psk_client_callback(lambda hint: (IDENTITY.decode(), KEY))
        self.exchange(*self.against_client(theirs, psk_contexts()[1]))
        theirs = standard(True)
        theirs.set_ciphers("PSK")
        theirs.set_psk_server_callback(lambda identity: KEY if identity == IDENTITY.decode() else None)
        self.exchange(*self.against_server(theirs, psk_contexts()[0]))


class Program:
    """A program in the background; its output is read line by line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        self.output = b""

    def wait_for(self, text):
        while text not in self.output:
            got = os.read(self.process.stdout.fileno(), 10000)
            if not got:
                raise AssertionError(f"it never said {text!r}: {self.output.decode(errors='replace')}")
            self.output += got

    def say(self, text):
        self.process.stdin.write(text)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Programs(Case):
    "openssl and gnutls"

    def start(self, *command):
        return self.keep(Program(*command))

    def server(self, dtls, *arguments):
        kind = socket.SOCK_DGRAM if dtls else socket.SOCK_STREAM
        port = free_port(kind)
        version = ("-dtls1_2", "-listen") if dtls else ("-tls1_2",)
        program = self.start("openssl", "s_server", *version, "-accept", f"127.0.0.1:{port}", *arguments)
        program.wait_for(b"ACCEPT")
        sock = self.keep(socket.socket(socket.AF_INET, kind))
        sock.connect(("127.0.0.1", port))
        return program, sock

    def serve(self, dtls, ours, *arguments):
        """Our server and what `openssl s_client` makes of it."""
        kind = socket.SOCK_DGRAM if dtls else socket.SOCK_STREAM
        sock = self.keep(socket.socket(socket.AF_INET, kind))
        sock.bind(("127.0.0.1", 0))
        if not dtls:
            sock.listen()
        version = "-dtls1_2" if dtls else "-tls1_2"
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        program = self.start("openssl", "s_client", version, "-connect", address, *arguments)
        if not dtls:
            sock = self.keep(sock.accept()[0])
        return program, self.keep(ours.wrap_socket(sock))

    def talk(self, program, ours):
        ours.write(b"from us\n")
        program.wait_for(b"from us")
        program.say(b"from them\n")
        self.assertEqual(ours.recv(100), b"from them\n")

    @over_both
    def test_serve_our_client_by_certificates(self, dtls):
        program, sock = self.server(dtls, "-cert", path("server.pem"), "-key", path("server.key"))
        c = self.keep(context(CLIENTS[dtls], ca="ca").wrap_socket(sock, server_hostname="localhost"))
        self.talk(program, c)
        self.assertEqual(c.getpeercert(True), der("server"))

    @over_both
    def test_serve_our_client_by_keys(self, dtls):
        program, sock = self.server(dtls, "-nocert", "-psk", KEY.hex(), "-cipher", "PSK")
        c = self.keep(psk_contexts(dtls)[0].wrap_socket(sock))
        self.talk(program, c)

    @over_both
    def test_are_served_by_certificates(self, dtls):
        arguments = ("-CAfile", path("ca.pem"), "-verify_return_error", "-verify_hostname", "localhost")
        program, s = self.serve(dtls, context(SERVERS[dtls], pair="server"), *arguments)
        self.talk(program, s)

    @over_both
    def test_are_served_by_keys(self, dtls):
        program, s = self.serve(dtls, psk_contexts(dtls)[1], *PSK_ARGUMENTS, "-cipher", "PSK")
        self.talk(program, s)
        self.assertIn("PSK", s.cipher()[0])

    def test_show_their_certificates(self):
        server = context(1, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        program, s = self.serve(False, server, "-cert", path("client.pem"), "-key", path("client.key"))
        self.talk(program, s)
        self.assertEqual(s.getpeercert(True), der("client"))

    def test_gnutls_serves_our_client_by_keys(self):
        for dtls in (False, True):
            with self.subTest(dtls):
                self.gnutls_serves(dtls)

    def gnutls_serves(self, dtls):
        with open(path("psk.txt"), "w") as file:
            file.write(f"{IDENTITY.decode()}:{KEY.hex()}\n")
        kind = socket.SOCK_DGRAM if dtls else socket.SOCK_STREAM
        port = free_port(kind)
        version = "DTLS1.2" if dtls else "TLS1.2"
        priority = f"NORMAL:-VERS-ALL:+VERS-{version}:-KX-ALL:+ECDHE-PSK:+PSK:+AES-128-CCM-8"
        options = ["--udp", "--mtu", "1400"] if dtls else []
        program = self.start(
            "gnutls-serv", *options, "-p", str(port), "--echo", "--pskpasswd", path("psk.txt"), "--priority", priority
        )
        program.wait_for(b"done")
        sock = self.keep(socket.socket(socket.AF_INET, kind))
        sock.connect(("127.0.0.1", port))
        c = self.keep(psk_contexts(dtls)[0].wrap_socket(sock))
        c.write(b"echo this\n")
        self.assertEqual(c.recv(100), b"echo this\n")
