"""Both sides in every combination of DTLS or TLS, PSK or certificate, blocking, non-blocking or in memory."""

import itertools
import select

from support import Case, cert_contexts, der, memory_pair, psk_contexts, wait_readable

BULK = bytes(range(256)) * 1024


class Combination(Case):
    "combinations"

    def contexts(self, dtls, psk):
        return (psk_contexts if psk else cert_contexts)(dtls)

    def blocking(self, dtls, psk):
        return self.connect(*self.contexts(dtls, psk), dtls=dtls)

    def nonblocking(self, dtls, psk):
        client, server = self.contexts(dtls, psk)
        a, b = self.sockets(dtls)
        for sock in (a, b):
            sock.setblocking(False)
        c = self.keep(client.wrap_socket(a, server_hostname="localhost", do_handshake_on_connect=False))
        s = self.keep(server.wrap_socket(b, do_handshake_on_connect=False))
        while not (c.version() and s.version()):
            for end in (c, s):
                if not end.version():
                    end.do_handshake()
            select.select([a, b], [], [], 0.01)
        return c, s

    def in_memory(self, dtls, psk):
        return self.keep(*memory_pair(*self.contexts(dtls, psk), dtls))

    def carry(self, sender, receiver, dtls):
        """Moves BULK; whoever does not block takes turns in this thread."""
        step = 1000 if dtls else 16384
        got, sent = bytearray(), 0
        while len(got) < len(BULK):
            sent += (sender.write(BULK[sent : sent + step]) or 0) if sent < len(BULK) else 0
            got += receiver.recv(20000) or b""
        self.assertEqual(got, BULK)

    def check(self, make, dtls, psk):
        c, s = make(dtls, psk)
        self.assertEqual((c.version(), s.version()), ("DTLSv1.2",) * 2 if dtls else ("TLSv1.2",) * 2)
        self.assertEqual("PSK" in c.cipher()[0], psk)
        self.assertEqual(c.cipher(), s.cipher())
        self.assertEqual(c.getpeercert(True), None if psk else der("server"))
        for sender, receiver in ((c, s), (s, c)):
            self.carry(sender, receiver, dtls)
        c.close()
        if make != self.nonblocking:
            self.assertEqual(s.recv(1), b"")
        else:
            wait_readable(s)
            self.assertEqual(s.recv(1), b"")


def add(make, dtls, psk):
    name = f"test_{'DTLS' if dtls else 'TLS'}_{'PSK' if psk else 'certificates'}_{make.lstrip('_')}"
    setattr(Combination, name, lambda self: self.check(getattr(self, make), dtls, psk))


for combination in itertools.product(("blocking", "nonblocking", "in_memory"), (False, True), (False, True)):
    add(*combination)
