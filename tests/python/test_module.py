import inspect
import os
import subprocess
import sys
import unittest

import ssl_shim
import tls
import ussl

CONSTANTS = {
    "PROTOCOL_TLS_CLIENT": 0,
    "PROTOCOL_TLS_SERVER": 1,
    "PROTOCOL_DTLS_CLIENT": 2,
    "PROTOCOL_DTLS_SERVER": 3,
    "CERT_NONE": 0,
    "CERT_OPTIONAL": 1,
    "CERT_REQUIRED": 2,
}
CONTEXT_METHODS = (
    "load_cert_chain load_verify_locations get_ciphers set_ciphers set_psk_client_callback set_psk_server_callback "
    "set_alpn_protocols wrap_socket"
).split()
CONTEXT_ATTRIBUTES = (
    "verify_mode verify_callback psk_identity psk_key server_psk_keys keylog_filename handshake_timeout mtu"
).split()
SOCKET_METHODS = (
    "read readinto readline write recv recv_into send sendall setblocking settimeout gettimeout close unwrap "
    "do_handshake pending cipher version selected_alpn_protocol getpeercert getpeername fileno ioctl timeout "
    "handle_timeout __enter__ __exit__ __iter__ __next__"
).split()


def python(program, *options):
    return subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL
    )


class Constants(unittest.TestCase):
    "the module"

    def test_has_the_constants(self):
        self.assertEqual({name: getattr(ssl_shim, name, None) for name in CONSTANTS}, CONSTANTS)

    def test_tells_the_version_of_mbed_tls(self):
        self.assertRegex(ssl_shim.MBEDTLS_VERSION, r"(?i)^mbed tls \d+\.\d+\.\d+$")

    def test_has_no_SSLError(self):
        for module in (ssl_shim, tls, ussl):
            self.assertFalse(hasattr(module, "SSLError"))

    def test_an_unknown_name_is_an_attribute_error(self):
        with self.assertRaises(AttributeError):
            ssl_shim.no_such_name

    def test_tls_and_ussl_are_the_same_module_under_other_names(self):
        for module in (tls, ussl):
            for name in [*CONSTANTS, "MBEDTLS_VERSION", "SSLContext", "wrap_socket"]:
                self.assertIs(getattr(module, name), getattr(ssl_shim, name), name)

    def test_has_what_is_documented(self):
        socket_type = type(
            ssl_shim.SSLContext(ssl_shim.PROTOCOL_TLS_SERVER).wrap_socket(_silent(), do_handshake_on_connect=False)
        )
        self.assertEqual([n for n in CONTEXT_METHODS if not hasattr(ssl_shim.SSLContext, n)], [])
        self.assertEqual([n for n in CONTEXT_ATTRIBUTES if not hasattr(ssl_shim.SSLContext(0), n)], [])
        self.assertEqual([n for n in SOCKET_METHODS if not hasattr(socket_type, n)], [])

    def test_documents_what_it_has(self):
        socket_type = type(
            ssl_shim.SSLContext(ssl_shim.PROTOCOL_TLS_SERVER).wrap_socket(_silent(), do_handshake_on_connect=False)
        )
        for owner in (ssl_shim, ssl_shim.wrap_socket, ssl_shim.SSLContext, socket_type):
            self.assertTrue(owner.__doc__, owner)
        for owner, names in (
            (ssl_shim.SSLContext, CONTEXT_METHODS + CONTEXT_ATTRIBUTES),
            (socket_type, [n for n in SOCKET_METHODS if not n.startswith("_")]),
        ):
            self.assertEqual([n for n in names if not inspect.getdoc(getattr(owner, n))], [], owner)

    def test_its_stubs_name_what_it_has(self):
        folder = os.path.dirname(ssl_shim.__file__)
        stubs = ""
        for name in os.listdir(folder):
            if name.endswith(".pyi"):
                with open(os.path.join(folder, name)) as file:
                    stubs += compile_stub(file.read())
        for name in [*CONSTANTS, *CONTEXT_METHODS, *CONTEXT_ATTRIBUTES, *SOCKET_METHODS, "MBEDTLS_VERSION"]:
            self.assertIn(name, stubs)


def compile_stub(text):
    compile(text, "stub", "exec")
    return text


def _silent():
    import io

    return io.BytesIO()


class Imports(unittest.TestCase):
    "an import"

    def test_brings_neither_ssl_nor_asyncio(self):
        for module in ("ssl_shim", "tls", "ussl"):
            with self.subTest(module):
                done = python(f"import sys, {module}; print(sorted({{'ssl', '_ssl', 'asyncio'}} & set(sys.modules)))")
                self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))

    def test_does_not_stand_in_for_the_standard_ssl(self):
        done = python("import ssl_shim, tls, ssl; print(ssl.SSLContext is ssl_shim.SSLContext, ssl.SSLError.__name__)")
        self.assertEqual((done.stdout, done.stderr), ("False SSLError\n", ""))

    def test_warns_of_nothing_in_development_mode(self):
        done = python("import ssl_shim, tls, ussl", "-X", "dev", "-W", "error")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_can_be_repeated_after_the_module_was_dropped(self):
        done = python(
            "import sys\n"
            "for _ in range(3):\n"
            "    import ssl_shim\n"
            "    ssl_shim.SSLContext(0)\n"
            "    for name in [n for n in sys.modules if n.split('.')[0] == 'ssl_shim']: del sys.modules[name]\n"
            "print('done')"
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "done\n", ""))
