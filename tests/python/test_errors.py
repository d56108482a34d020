import errno
import os
import socket

from support import (
    Case, CONN_EOF, context, FATAL_ALERT, IDENTITY, INVALID, KEY, notes, outcome, POLL, psk_contexts, READ, tls,
    wait_readable,
)


class Errors(Case):
    "errors"

    def half(self, dtls=False, side=0):
        """One of our ends, its handshake not begun, and the raw other end."""
        a, b = self.sockets(dtls)
        return self.keep(psk_contexts(dtls)[side].wrap_socket(a, do_handshake_on_connect=False)), b

    def test_have_mbed_tls_code_name_and_our_sentence(self):
        c, s = self.shake(psk_contexts()[0], context(1, server_psk_keys={IDENTITY: KEY[::-1]}))
        for error in (c, s):
            self.assertIs(type(error), OSError)
            code, name = error.args
            self.assertLess(code, 0)
            self.assertRegex(name, "^MBEDTLS_ERR_[A-Z0-9_]+$")
            self.assertEqual((error.errno, error.strerror), (code, name))
            self.assertEqual(len(error.__notes__), 1)
            self.assertRegex(error.__notes__[0], r"^[a-z].{20,}")
        self.assertEqual(c.args, FATAL_ALERT)

    def test_carry_the_name_from_the_headers_built_against(self):
        error = outcome(tls.SSLContext(0).set_ciphers, [])
        self.assertEqual(error.args, (-0x5E80, "MBEDTLS_ERR_SSL_BAD_CONFIG"))

    def test_at_the_end_of_file_in_the_handshake(self):
        for side in (0, 1):
            end, raw = self.half(side=side)
            raw.close()
            error = self.assert_os_error(CONN_EOF, end.do_handshake)
            self.assertTrue(notes(error))

    def test_at_the_end_of_file_when_wrapping(self):
        for ctx in psk_contexts():
            a, b = self.sockets()
            b.shutdown(socket.SHUT_WR)
            self.assert_os_error(CONN_EOF, ctx.wrap_socket, a)
            self.assertGreaterEqual(a.fileno(), 0)

    def test_of_the_system_keep_their_errno(self):
        listener = socket.create_server(("127.0.0.1", 0))
        a = self.keep(socket.create_connection(listener.getsockname()))
        b, _ = listener.accept()
        listener.close()
        a.setblocking(False)
        c = self.keep(psk_contexts()[0].wrap_socket(a, do_handshake_on_connect=False))
        self.assertIsNone(c.read(1))
        b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        b.close()
        wait_readable(a)
        error = self.refuses(ConnectionResetError, c.read, 1)
        self.assertEqual((error.errno, error.strerror), (errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def test_of_our_side_end_with_a_fatal_alert(self):
        for side in (0, 1):
            end, raw = self.half(side=side)
            raw.sendall(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")
            error = self.refuses(OSError, end.do_handshake)
            self.assertRegex(error.args[1], "^MBEDTLS_ERR_")
            end.close()
            got = b""
            while part := raw.recv(10000):
                got += part
            self.assertRegex(got, rb"(?s)\x15\x03[\x01\x03]\x00\x02\x02.$")

    def test_of_junk_instead_of_tls(self):
        end, raw = self.half()
        raw.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        error = self.refuses(OSError, end.do_handshake)
        self.assertRegex(error.args[1], "^MBEDTLS_ERR_SSL_")
        self.assertTrue(notes(error))

    def test_of_an_alert_name_it(self):
        end, raw = self.half()
        raw.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
        error = self.assert_os_error(FATAL_ALERT, end.do_handshake)
        self.assertRegex(notes(error), "handshake_failure|handshake failure")

    def test_of_a_forged_record_end_the_stream(self):
        a, b = self.sockets()
        c, s = self.psk(ends=(a, b))
        a.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
        error = self.refuses(OSError, s.read, 1)
        self.assertRegex(error.args[1], "^MBEDTLS_ERR_SSL_INVALID_(MAC|RECORD)$")
        self.assertEqual(s.ioctl(POLL, READ), INVALID)

    def test_hold_no_keys(self):
        secret = b"top secret key!!"
        c, s = self.shake(context(0, psk_identity=IDENTITY, psk_key=secret), psk_contexts()[1])
        for error in (c, s, outcome(setattr, context(0, psk_key=secret * 10), "psk_identity", IDENTITY)):
            text = f"{error} {notes(error)}"
            self.assertNotIn("top secret", text)
            self.assertNotIn(secret.hex(), text)

    def test_are_those_classes_alone(self):
        for name in dir(tls):
            value = getattr(tls, name)
            self.assertFalse(isinstance(value, type) and issubclass(value, BaseException), name)
