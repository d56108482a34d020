import gc
import importlib
import inspect
import os
import re
import select
import socket
import time
import unittest

from servers import ABORTED, bound, ServerCase
from support import context, der, IDENTITY, notes, psk_contexts, Task, tls, wait_readable, WAIT

HAS_IPV6 = socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and os.path.getsize("/proc/net/if_inet6") > 0
DTLS_H = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "dtls", "dtls.h")


class Messages(ServerCase):
    "a DTLS server"

    def test_carries_messages_both_ways(self):
        service, client, peer = self.connected()
        client.write(b"21.4")
        self.assertEqual(service.server.recv(), (peer, b"21.4"))
        self.assertEqual(peer.send(b"on"), 2)
        self.assertEqual(client.recv(100), b"on")

    def test_tells_about_a_peer_with_a_key(self):
        service, client, peer = self.connected()
        self.assertEqual(peer.address, self.name_of(client))
        self.assertEqual(peer.psk_identity, IDENTITY)
        self.assertEqual((peer.reason, peer.error), (None, None))
        self.assertEqual((peer.cipher(), peer.version()), (client.cipher(), "DTLSv1.2"))
        self.assertEqual(peer.selected_alpn_protocol(), None)
        self.assertEqual(peer.getpeercert(True), None)
        self.refuses(NotImplementedError, peer.getpeercert)
        self.assertRegex(repr(peer), r"^<ssl_shim.DTLSPeer object at 0x[0-9a-f]+>$")

    @staticmethod
    def name_of(client):
        with socket.socket(fileno=os.dup(client.fileno())) as sock:
            return sock.getsockname()

    def test_tells_about_a_peer_with_a_certificate(self):
        server = context(3, pair="server", ca="ca", verify_mode=tls.CERT_REQUIRED)
        client = context(2, pair="client", ca="ca")
        for ctx in (client, server):
            ctx.set_alpn_protocols(["coap"])
        c, peer = self.service(server).connect(client)
        self.keep(c)
        self.assertEqual(peer.getpeercert(True), der("client"))
        self.assertEqual(peer.getpeercert(binary_form=True), der("client"))
        self.assertEqual(peer.selected_alpn_protocol(), "coap")
        self.assertEqual(peer.cipher(), c.cipher())
        self.assertIsNone(peer.psk_identity)

    def test_has_one_object_for_a_peer(self):
        service, client, peer = self.connected()
        seen = {peer: "first"}
        for text in (b"1", b"2"):
            client.write(text)
            again, _ = service.server.recv()
            self.assertIs(again, peer)
        del again
        client.close()
        ended, what = service.server.recv()
        self.assertIs(ended, peer)
        self.assertEqual((seen[ended], what), ("first", tls.CLOSED))

    def test_has_it_for_those_that_keep_none(self):
        service = self.service()
        clients = [self.keep(service.connect()[0]) for _ in range(2)]
        gc.collect()
        self.assertEqual(len([each for each in gc.get_objects() if type(each) is tls.DTLSPeer]), 2)
        clients[0].close()
        service.expect(tls.CLOSED)
        self.assertEqual(len([each for each in gc.get_objects() if type(each) is tls.DTLSPeer]), 1)

    def test_alone_makes_peers(self):
        self.refuses(TypeError, tls.DTLSPeer)

    def test_tells_events_by_constants_that_are_no_bytes(self):
        self.assertEqual((tls.CONNECTED, tls.CLOSED, tls.FAILED), ("connected", "closed", "failed"))
        service = self.service()
        task = service.dial(psk_contexts(True)[0])
        event = service.server.recv()
        self.keep(task.result())
        self.assertIs(type(event), tuple)
        self.assertIs(event[1], tls.CONNECTED)

    def test_serves_fifty_clients_at_once(self):
        service = self.service()

        def talk(number):
            with psk_contexts(True)[0].wrap_socket(service.socket()) as c:
                for i in range(5):
                    c.write(b"%d:%d" % (number, i))
                    self.assertEqual(c.recv(100), b"echo %d:%d" % (number, i))

        tasks = [Task(talk, i) for i in range(50)]
        names, ended = {}, 0
        while ended < 50:
            peer, what = service.server.recv()
            ended += what == tls.CLOSED
            if isinstance(what, bytes):
                self.assertEqual(names.setdefault(peer, what.split(b":")[0]), what.split(b":")[0])
                peer.send(b"echo " + what)
        for task in tasks:
            task.result()
        self.assertEqual(len(set(names.values())), 50)
        self.assertEqual(service.server.stats()["handshakes_completed"], 50)

    def test_takes_any_bytes_for_a_message(self):
        _, client, peer = self.connected()
        for data in (b"data", bytearray(b"data"), memoryview(b"data")):
            self.assertEqual(peer.send(data), 4)
            self.assertEqual(client.recv(10), b"data")
        for data in ("data", 5, None):
            self.refuses(TypeError, peer.send, data)
        self.refuses(ValueError, peer.send, b"", names="empty")

    def test_sends_what_fits_one_datagram(self):
        _, client, peer = self.connected()
        self.assertGreater(peer.max_payload, 1000)
        self.assertEqual(peer.send(bytes(peer.max_payload)), peer.max_payload)
        self.assertEqual(client.recv(2000), bytes(peer.max_payload))
        error = self.refuses(OSError, peer.send, bytes(peer.max_payload + 1), names=str(peer.max_payload))
        self.assertEqual(os.strerror(error.errno), "Message too long")
        self.assertIsNone(peer.reason)

    def test_receives_the_largest_message(self):
        client_ctx, server_ctx = psk_contexts(True)
        client_ctx.mtu = 16384
        service = self.service(server_ctx)
        client, peer = service.connect(client_ctx)
        self.keep(client)
        message = os.urandom(16000)
        client.write(message)
        self.assertEqual(service.server.recv(), (peer, message))

    @unittest.skipUnless(HAS_IPV6, "this machine has no IPv6")
    def test_serves_over_ipv6(self):
        service = self.service(host="::1")
        client, peer = service.connect()
        self.keep(client)
        self.assertEqual(peer.address, self.name_of(client))

    def test_serves_on_a_wildcard(self):
        service = self.service(host="0.0.0.0")
        client, peer = service.connect()
        self.keep(client)
        client.write(b"x")
        self.assertEqual(service.server.recv(), (peer, b"x"))

    def test_serves_on_a_descriptor_and_closes_it(self):
        sock = bound()
        address, fd = sock.getsockname(), sock.detach()
        with tls.DTLSServer(psk_contexts(True)[1], fd) as server:
            self.assertEqual(server.fileno(), fd)
            self.assertIsNone(server.gettimeout())
            raw = self.keep(bound())
            raw.connect(address)
            task = Task(psk_contexts(True)[0].wrap_socket, raw)
            self.assertEqual(server.recv()[1], tls.CONNECTED)
            client = self.keep(task.result())
        self.assertEqual(client.recv(10), b"")
        self.assertRaises(OSError, os.fstat, fd)

    def test_may_forget_its_context(self):
        service = self.service()
        service.context = None
        self.keep(service.connect()[0])


class Waiting(ServerCase):
    "a DTLS server's waiting"

    def test_ends_at_its_timeout_and_that_is_not_sticky(self):
        service, client, peer = self.connected()
        service.server.settimeout(0.01)
        for _ in range(2):
            self.refuses(TimeoutError, service.server.recv)
        service.server.settimeout(WAIT)
        client.write(b"x")
        self.assertEqual(service.server.recv(), (peer, b"x"))

    def test_is_that_of_the_socket(self):
        for seconds in (None, 0.0, 2.5):
            sock = self.keep(bound())
            sock.settimeout(seconds)
            self.assertEqual(self.keep(tls.DTLSServer(psk_contexts(True)[1], sock)).gettimeout(), seconds)

    def test_is_none_where_it_does_not_block(self):
        service = self.service()
        service.server.setblocking(False)
        self.assertFalse(service.sock.getblocking())
        self.assertEqual((service.server.gettimeout(), service.server.recv(), list(service.server)), (0.0, None, []))
        service.server.setblocking(True)
        self.assertTrue(service.sock.getblocking())
        self.assertIsNone(service.server.gettimeout())
        for wrong in (-1, float("nan")):
            self.refuses(ValueError, service.server.settimeout, wrong)
        self.refuses(TypeError, service.server.settimeout, "1")

    def test_can_be_done_by_select(self):
        service = self.service()
        service.server.setblocking(False)
        self.assertIsNone(service.server.timeout())
        self.assertIs(service.server.unsent(), False)
        task, events = service.dial(psk_contexts(True)[0]), []
        while not events:
            ready, _, _ = select.select([service.server], [], [], service.server.timeout() or WAIT)
            self.assertTrue(ready or service.server.timeout() is not None)
            events = list(service.server)
        self.assertEqual([what for _, what in events], [tls.CONNECTED])
        self.keep(task.result())

    def test_is_over_when_handle_timeout_must_send_again(self):
        ctx = psk_contexts(True)[1]
        ctx.handshake_timeout = (20, 60000)
        service = self.service(ctx)
        client_ctx = psk_contexts(True)[0]
        client_ctx.handshake_timeout = (60000, 60000)
        raw = self.keep(service.socket())
        raw.setblocking(False)
        client = self.keep(client_ctx.wrap_socket(raw, do_handshake_on_connect=False))
        service.server.setblocking(False)
        for _ in range(2):  # without a cookie, and with it
            client.do_handshake()
            wait_readable(service.sock)
            self.assertIsNone(service.server.recv())
            wait_readable(raw)
        self.assertGreaterEqual(service.server.timeout(), 0)
        self.assertLessEqual(service.server.timeout(), 0.03)
        deadline = time.monotonic() + WAIT
        while service.server.stats()["retransmissions"] == 0:
            self.assertLess(time.monotonic(), deadline)
            select.select([], [], [], service.server.timeout())
            service.server.handle_timeout()

    def test_goes_through_events_as_an_iterator(self):
        service, client, peer = self.connected()
        server = service.server
        self.assertIs(iter(server), server)
        client.write(b"1")
        client.write(b"2")
        client.close()
        seen = []
        for _, what in server:
            seen.append(what)
            if what == tls.CLOSED:
                server.close()
        self.assertEqual(seen, [b"1", b"2", tls.CLOSED])
        self.assertEqual(list(server), [])


class Surface(ServerCase):
    "a DTLS server's methods"

    def test_count_by_the_names_of_the_library(self):
        with open(DTLS_H) as file:
            fields = re.search(r"struct dtls_stats \{(.*?)\n\};", file.read(), re.S)[1]
        fields = re.sub(r"/\*.*?\*/", "", fields, flags=re.S)
        names = [n for line in re.findall(r"uint64_t ([^;]*);", fields) for n in re.split(r",\s*", line)]
        service, client, _ = self.connected()
        stats = service.server.stats()
        self.assertEqual(list(stats), names)
        self.assertEqual((stats["peers"], stats["handshakes_completed"], stats["cookies_accepted"]), (1, 1, 1))
        client.write(b"x")
        service.server.recv()
        self.assertEqual(service.server.stats()["messages_in"], 1)

    def test_end_the_sessions_of_an_identity(self):
        service, client, peer = self.connected()
        other, second = service.connect()
        self.keep(other)
        self.assertEqual(service.server.close_identity(b"sensor-18"), 0)
        self.assertEqual(service.server.close_identity(bytearray(IDENTITY)), 2)
        self.assertEqual(service.server.timeout(), 0.0)
        self.assertEqual(service.server.close_identity(IDENTITY), 0)
        for wrong in ("sensor-17", None, 5):
            self.refuses(TypeError, service.server.close_identity, wrong)
        ended = {service.expect(tls.CLOSED) for _ in range(2)}
        self.assertEqual(ended, {peer, second})
        for each in ended:
            self.assert_ended(each, "revoked")
            self.assertEqual(each.error.errno, ABORTED)
            self.assertIn("revoked", notes(each.error))
        for each in (client, other):
            self.assertEqual(each.recv(10), b"")

    def test_close_it_once_and_for_all(self):
        service, client, peer = self.connected()
        server = service.server
        server.close()
        server.close()
        self.assertEqual(client.recv(10), b"")
        self.assertEqual((server.fileno(), service.sock.fileno()), (-1, -1))
        self.assert_ended(peer, "closed")
        self.assertIsNone(peer.error)
        error = self.refuses(OSError, server.recv)
        self.assertEqual(error.errno, 9)
        self.assertEqual((list(server), server.timeout(), server.gettimeout()), ([], None, server.gettimeout()))
        self.assertEqual((server.close_identity(IDENTITY), server.handle_timeout()), (0, None))
        self.assertEqual(server.stats()["handshakes_completed"], 1)
        server.settimeout(1)
        self.assertIs(server.unsent(), False)

    def test_close_one_peer_without_an_event(self):
        service, client, peer = self.connected()
        peer.close()
        peer.close()
        self.assertEqual(client.recv(10), b"")
        self.assert_ended(peer, "closed")
        self.assertIsNone(peer.error)
        service.server.setblocking(False)
        self.assertIsNone(service.server.recv())
        self.assertEqual(service.server.stats()["peers"], 0)

    def test_manage_a_block(self):
        sock = bound()
        with tls.DTLSServer(psk_contexts(True)[1], sock) as server:
            self.assertGreaterEqual(server.fileno(), 0)
        self.assertEqual(sock.fileno(), -1)

    def test_tell_when_the_socket_itself_fails(self):
        service = self.service()
        service.sock.close()
        error = self.refuses(OSError, service.server.recv, names="cannot receive")
        self.assertEqual(error.errno, 9)
        self.refuses(OSError, lambda: list(service.server))


class Names(unittest.TestCase):
    "a DTLS server's names"

    TYPES = {
        tls.DTLSServer: "recv stats close_identity close fileno timeout handle_timeout unsent setblocking settimeout "
        "gettimeout",
        tls.DTLSPeer: "address psk_identity error reason max_payload send close cipher version selected_alpn_protocol "
        "getpeercert",
    }

    def test_are_documented_and_in_the_stubs(self):
        with open(os.path.join(os.path.dirname(tls.__file__), "__init__.pyi")) as file:
            stub = file.read()
        for owner, names in self.TYPES.items():
            self.assertTrue(inspect.getdoc(owner))
            body = re.search(rf"^class {owner.__name__}:\n(.*?)^(?=\S)", stub, re.S | re.M)[1]
            for name in names.split():
                self.assertTrue(inspect.getdoc(getattr(owner, name)), name)
                self.assertIn(f"def {name}(", body)
            has = {name for name in dir(owner) if not name.startswith("_")}
            self.assertEqual(has, set(names.split()))

    def test_are_those_of_every_module(self):
        for module in (importlib.import_module("tls"), importlib.import_module("ussl")):
            for name in ("DTLSServer", "DTLSPeer", "CONNECTED", "CLOSED", "FAILED"):
                self.assertIs(getattr(module, name), getattr(tls, name))
