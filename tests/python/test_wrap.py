import os
import socket

from support import Case, cert_contexts, CLIENTS, context, der, outcome, over_both, path, psk_contexts, Task, tls, WAIT


class Wrap(Case):
    "SSLContext.wrap_socket"

    def test_waits_for_the_handshake_over_a_socket_that_does_not_block(self):
        a, b = self.sockets()
        client, server = psk_contexts()
        for sock in (a, b):
            sock.setblocking(False)
        task = Task(server.wrap_socket, b)
        c = client.wrap_socket(a)
        s = task.result()
        self.assertEqual((c.read(1), s.read(1), c.gettimeout()), (None, None, 0.0))

    def test_lets_the_protocol_decide_the_side(self):
        a, b = self.sockets()
        client, server = cert_contexts()
        task = Task(server.wrap_socket, b)
        c = client.wrap_socket(a, server_hostname="localhost", server_side=False)
        self.assert_talks(*self.keep(c, task.result()))

    @over_both
    def test_refuses_server_side_for_a_client(self, dtls):
        a, _ = self.sockets(dtls)
        client = cert_contexts(dtls)[0]
        for true in (True, 1):
            keywords = dict(server_side=true, server_hostname="x")
            self.refuses(ValueError, client.wrap_socket, a, names="server_side", **keywords)

    def test_takes_a_socket_and_keywords(self):
        a, _ = self.sockets()
        ctx = context(0, verify_mode=tls.CERT_NONE)
        self.refuses(TypeError, ctx.wrap_socket)
        self.refuses(TypeError, ctx.wrap_socket, a, False)
        self.refuses(TypeError, ctx.wrap_socket, a, no_such_argument=1, names="no_such_argument")
        self.refuses(TypeError, ctx.wrap_socket, a, do_handshake=False, names="do_handshake")
        self.refuses(TypeError, ctx.wrap_socket, a, suppress_ragged_eofs=True, names="suppress_ragged_eofs")

    @over_both
    def test_needs_a_hostname_to_verify(self, dtls):
        a, _ = self.sockets(dtls)
        for mode in (tls.CERT_REQUIRED,):
            ctx = context(CLIENTS[dtls], ca="ca", verify_mode=mode)
            for deferred in (False, True):
                error = self.refuses(ValueError, ctx.wrap_socket, a, do_handshake_on_connect=not deferred)
                self.assertEqual(error.args, ("CERT_REQUIRED requires server_hostname",))

    def test_judges_combinations_that_setters_let_pass(self):
        a, _ = self.sockets()
        ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        ctx.verify_mode = tls.CERT_REQUIRED
        self.refuses((ValueError, OSError), ctx.wrap_socket, a, server_hostname="localhost", names="(?i)CA")
        ctx.load_verify_locations(path("ca.pem"))
        ctx.verify_mode = tls.CERT_NONE
        self.refuses((ValueError, OSError), ctx.wrap_socket, a, server_hostname="localhost", names="(?i)CA|verify")
        ctx.verify_mode = tls.CERT_REQUIRED
        self.keep(ctx.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False))

    def test_judges_key_and_certificate_when_they_meet(self):
        a, b = self.sockets()
        server = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(path("server.pem"), path("client.key"))
        c, s = self.shake(context(0, ca="ca"), server)
        self.assertIsInstance(c, Exception)
        self.assertIsInstance(s, (ValueError, OSError))

    def test_refuses_the_wrong_kind_of_socket(self):
        stream, datagram = self.sockets()[0], self.sockets(dtls=True)[0]
        for dtls, sock in ((True, stream), (False, datagram)):
            for ctx in psk_contexts(dtls):
                kinds = (ValueError, TypeError, OSError)
                self.refuses(kinds, ctx.wrap_socket, sock, names="(?i)datagram|stream|UDP|TCP")
                self.assertGreaterEqual(sock.fileno(), 0)

    def test_refuses_a_client_id_that_nothing_would_use(self):
        kinds = (ValueError, TypeError, OSError)
        for dtls, side in ((False, 0), (False, 1), (True, 0)):
            ctx = psk_contexts(dtls)[side]
            self.refuses(kinds, ctx.wrap_socket, self.sockets(dtls)[0], client_id=b"x", names="client_id")

    def test_refuses_a_hostname_that_nothing_would_use(self):
        ctx = psk_contexts()[1]
        kinds = (ValueError, TypeError, OSError)
        self.refuses(kinds, ctx.wrap_socket, self.sockets()[0], server_hostname="x", names="hostname")

    def test_refuses_other_types(self):
        client = psk_contexts()[0]
        self.refuses(TypeError, client.wrap_socket, self.sockets()[0], server_hostname=5)
        for nothing in (None, 5.5, object()):
            self.refuses((TypeError, OSError), client.wrap_socket, nothing)

    def test_refuses_a_closed_socket(self):
        a, _ = self.sockets()
        a.close()
        self.refuses(OSError, psk_contexts()[0].wrap_socket, a)

    def test_refuses_a_number_that_is_no_descriptor(self):
        class Socket:
            def fileno(self):
                return number

        sock = self.sockets()[0]
        client = psk_contexts()[0]
        for number, kind in ((2**32 + sock.fileno(), OverflowError), (-(2**32) + sock.fileno(), OSError)):
            for each in (number, Socket()):
                self.refuses(kind, client.wrap_socket, each, do_handshake_on_connect=False)

    @over_both
    def test_that_fails_leaves_the_socket_open(self, dtls):
        a, b = self.sockets(dtls)
        client, server = cert_contexts(dtls)
        c, s = self.shake(context(CLIENTS[dtls], ca="other"), server, (a, b), dtls=dtls)
        self.assertIsInstance(c, ValueError)
        self.assertIsInstance(s, OSError)
        for sock in (a, b):
            self.assertGreaterEqual(sock.fileno(), 0)
            os.fstat(sock.fileno())

    def test_that_fails_leaves_a_bare_descriptor_open(self):
        a, b = self.sockets()
        for call in (context(0, ca="ca").wrap_socket, psk_contexts()[0].wrap_socket, tls.wrap_socket):
            b.sendall(b"HTTP/1.1 400 no TLS here\r\n\r\n")
            self.assertIsInstance(outcome(call, a.fileno()), (ValueError, OSError))
            os.fstat(a.fileno())

    def test_that_fails_leaves_the_socket_as_it_was(self):
        a, b = self.sockets()
        a.settimeout(WAIT)
        self.shake(context(0, ca="other"), context(1, pair="server"), (a, b))
        self.assertEqual(a.gettimeout(), WAIT)
        self.assertTrue(b.getblocking())
        self.assertTrue(os.get_blocking(b.fileno()))

    def test_can_be_tried_again_after_its_arguments_were_refused(self):
        a, b = self.sockets()
        client, server = cert_contexts()
        self.refuses(ValueError, client.wrap_socket, a)
        self.assert_talks(*self.connect(client, server, (a, b)))

    def test_keeps_the_settings_of_its_moment(self):
        client, server = cert_contexts()
        a, b = self.sockets()
        s = self.keep(server.wrap_socket(b, do_handshake_on_connect=False))
        server.load_cert_chain(path("wrong.pem"), path("wrong.key"))
        task = Task(s.do_handshake)
        c = self.keep(client.wrap_socket(a, server_hostname="localhost"))
        task.result()
        self.assertEqual(c.getpeercert(True), der("server"))

    def test_can_be_repeated_on_one_context(self):
        client, server = cert_contexts()
        for _ in range(3):
            self.assert_talks(*self.connect(client, server))


class Deferred(Case):
    "a deferred handshake"

    @over_both
    def test_sends_nothing(self, dtls):
        a, b = self.sockets(dtls)
        c = self.keep(psk_contexts(dtls)[0].wrap_socket(a, do_handshake_on_connect=False))
        b.setblocking(False)
        self.assertRaises(BlockingIOError, b.recv, 1)
        self.assertIsNone(c.cipher())

    @over_both
    def test_happens_with_the_first_read_or_write(self, dtls):
        for server_first in (False, True):
            client, server = psk_contexts(dtls)
            a, b = self.sockets(dtls)
            c = self.keep(client.wrap_socket(a, do_handshake_on_connect=False))
            s = self.keep(server.wrap_socket(b, do_handshake_on_connect=False))
            first, second = (s, c) if server_first else (c, s)
            task = Task(first.recv, 100)
            self.assertEqual(second.write(b"hello"), 5)
            self.assertEqual(task.result(), b"hello")
            self.assertEqual(c.cipher(), s.cipher())

    @over_both
    def test_happens_in_do_handshake_and_once(self, dtls):
        client, server = psk_contexts(dtls)
        a, b = self.sockets(dtls)
        c = self.keep(client.wrap_socket(a, do_handshake_on_connect=False))
        task = Task(server.wrap_socket, b)
        c.do_handshake()
        s = self.keep(task.result())
        c.do_handshake()
        s.do_handshake()
        self.assert_talks(c, s)

    def test_needs_no_connected_socket_yet(self):
        client, server = psk_contexts()
        listener = self.keep(socket.create_server(("127.0.0.1", 0)))
        a = self.keep(socket.socket())
        c = self.keep(client.wrap_socket(a, do_handshake_on_connect=False))
        a.connect(listener.getsockname())
        task = Task(lambda: server.wrap_socket(listener.accept()[0]))
        c.do_handshake()
        self.assert_talks(c, self.keep(task.result()))

    def test_over_dtls_needs_no_connected_socket_yet(self):
        client, server = psk_contexts(dtls=True)
        a, b = (self.keep(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
        b.bind(("127.0.0.1", 0))
        c = self.keep(client.wrap_socket(a, do_handshake_on_connect=False))
        a.connect(b.getsockname())
        task = Task(server.wrap_socket, b)
        c.do_handshake()
        self.assert_talks(c, self.keep(task.result()))

    def test_on_a_socket_that_was_never_connected_is_an_error(self):
        for dtls in (False, True):
            a = self.keep(socket.socket(type=socket.SOCK_DGRAM if dtls else socket.SOCK_STREAM))
            c = self.keep(psk_contexts(dtls)[0].wrap_socket(a, do_handshake_on_connect=False))
            self.refuses(OSError, c.do_handshake)

    def test_that_failed_fails_for_ever_with_the_same_words(self):
        a, b = self.sockets()
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        b.close()
        first = outcome(c.do_handshake)
        self.assertIsInstance(first, OSError)
        for call in (c.do_handshake, lambda: c.read(1), lambda: c.write(b"x")):
            self.assertIsInstance(outcome(call), OSError)
