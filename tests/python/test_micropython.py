"""Programs that were written for MicroPython's tls module run as they are; only their port is another."""

import os
import socket
import subprocess
import sys
import tempfile
import unittest

from support import PKI, WAIT

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "micropython")


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("0.0.0.0", 0))
        return sock.getsockname()[1]


class MicroPython(unittest.TestCase):
    "programs for MicroPython"

    def start(self, name, port=None):
        with open(os.path.join(FOLDER, name + ".py")) as file:
            program = file.read()
        self.assertEqual(program.count("PORT = 8443\n"), 0 if port is None else 1)
        script = tempfile.NamedTemporaryFile("w", suffix=".py")
        script.write(program.replace("PORT = 8443\n", f"PORT = {port}\n"))
        script.flush()
        self.addCleanup(script.close)
        process = subprocess.Popen(
            [sys.executable, script.name], cwd=PKI, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def run_pair(self, name, kind, server_says, client_says):
        port = free_port(kind)
        server = self.start(name + "_server", port)
        self.assertEqual(server.stdout.readline(), "ready\n")
        client = self.start(name + "_client", port)
        self.assertEqual(client.communicate(timeout=WAIT)[0], client_says)
        self.assertEqual(server.communicate(timeout=WAIT)[0], server_says)
        self.assertEqual((server.returncode, client.returncode), (0, 0))

    def test_over_tls_with_certificates(self):
        self.run_pair(
            "tls",
            socket.SOCK_STREAM,
            "".join(f"b'temperature {i}\\n'\n" for i in (21, 22, 23)),
            "".join(f"b'got temperature {i}\\n'\n" for i in (21, 22, 23)) + "CERT_REQUIRED requires server_hostname\n",
        )

    def test_over_tls_with_pre_shared_keys(self):
        self.run_pair(
            "psk",
            socket.SOCK_STREAM,
            "b'client to server'\nrefused\nb'client to server'\n",
            "b'server to client'\nrefused\nb'server to client'\n",
        )

    def test_over_dtls_with_a_client_id(self):
        self.run_pair(
            "dtls",
            socket.SOCK_DGRAM,
            "(-27264, 'MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED')\n"
            + "".join(f"b'client to server {i}'\n" for i in range(4)),
            "".join(f"b'server to client {i}'\n" for i in range(4)),
        )

    def test_over_dtls_with_pre_shared_keys(self):
        self.run_pair(
            "dtlspsk",
            socket.SOCK_DGRAM,
            "-27264\n" + "".join(f"b'reading {i}'\n" for i in range(3)),
            "".join(f"b'got reading {i}'\n" for i in range(3)),
        )

    def test_with_certificates_on_both_sides(self):
        self.run_pair(
            "mutual",
            socket.SOCK_STREAM,
            "b'open' True\nOSError\ncertificate 1 True\ncertificate 0 True\nb'open' True\n",
            "b'come in'\nMBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE\nb'come in'\n[1, 0]\n",
        )

    def test_with_a_certificate_of_their_own(self):
        self.run_pair(
            "own",
            socket.SOCK_STREAM,
            "b'client to server'\n" * 2,
            "b'server to client'\n('TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256', 'TLSv1.2')\n"
            "b'server to client' [(True, 0)]\n",
        )

    def test_with_keys_that_an_object_looks_up(self):
        self.run_pair(
            "store",
            socket.SOCK_STREAM,
            "lookup b'garden'\nb'hello' True\nlookup b'broken'\nhandshake failed\n"
            "lookup b'stranger'\nhandshake failed\nhandshake failed\n",
            "b'world'\n" + "handshake failed\n" * 3,
        )

    def test_with_poll_and_the_names_of_old(self):
        self.run_pair(
            "poll", socket.SOCK_STREAM, "served 2\n", "5 b'QUICK'\nclosed\nNone\nb'SLOW'\n"
        )

    def test_without_a_network(self):
        program = self.start("objects")
        said = "silence\nno handshake\nsetblocking(False)\nsetblocking(True)\nfailed\nfailed\nioctl 4 0\nclosed\n"
        said += "0 32\nb'foo' 1 b'bar' None\nValueError\nTypeError\nValueError\nValueError\n"
        said += "AttributeError\n" * 3 + "done\n"
        self.assertEqual((program.communicate(timeout=WAIT)[0], program.returncode), (said, 0))
