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

    def start(self, name, port):
        with open(os.path.join(FOLDER, name + ".py")) as file:
            program = file.read()
        self.assertEqual(program.count("PORT = 8443\n"), 1)
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
