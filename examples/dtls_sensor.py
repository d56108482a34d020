"""Sends readings to a DTLS server that sends each message back: dtls-server --confirm, dtls_server.py or aio_server.py.
Prints what comes. A reading is sent again until it has come back, over a new session where the server is gone or was
restarted."""

import contextlib
import itertools
import math
import socket
import time

import ssl_shim
from example_common import Options, address, address_name, connect, count, printable, run, seconds
from example_common import sentence, show, tell

ANSWER_S, TRIES = 1, 3  # seconds for an answer; how often a reading is sent in one session
FIRST_DELAY_S, LONGEST_DELAY_S = 0.5, 60  # before the next attempt to reach the server


def options():
    parser = Options(__doc__)
    parser.add_argument("server", metavar="HOST:PORT", type=address)
    parser.add_client_key()
    parser.add_argument("--period", metavar="S", type=seconds, default=10, help="between readings (default: 10)")
    parser.add_argument("--count", metavar="N", type=count, help="end after N readings")
    parser.add_argument("--timeout", metavar="S", type=seconds, default=30, help="for a handshake (default: 30)")
    return parser.parse_args()


def measure(number):
    """Stands in for a sensor."""
    celsius = 21 + 3 * math.sin(time.time() / 600)
    return f"{number} temperature {celsius:.1f}".encode()


class Sensor:
    def __init__(self, args):
        self.args = args
        self.context = ssl_shim.SSLContext(ssl_shim.PROTOCOL_DTLS_CLIENT)
        self.context.psk_identity, self.context.psk_key = args.key
        self.session = None

    def close(self):
        if self.session is not None:
            self.session.close()
        self.session = None

    def exchange(self, reading):
        """Returns when the reading has come back. DTLS does not send again what was lost: we do."""
        for _ in range(TRIES):
            self.session.send(reading)
            until = time.monotonic() + ANSWER_S
            while (left := until - time.monotonic()) > 0:
                self.session.settimeout(left)
                try:
                    message = self.session.recv()
                except TimeoutError:
                    break
                if not message:
                    raise ConnectionResetError("the server has closed the session")
                show(printable(message))
                if message == reading:
                    return
        raise TimeoutError(f"{TRIES} times the server did not answer")

    def deliver(self, reading):
        """Returns when the reading has come back, however many sessions that takes."""
        delay = FIRST_DELAY_S
        while True:
            try:
                if self.session is None:
                    self.session = connect(self.context, socket.SOCK_DGRAM, self.args.server, self.args.timeout)
                    tell(f"connected to {address_name(self.session.getpeername())}")
                return self.exchange(reading)
            except OSError as error:
                if error.strerror == "MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE":
                    raise  # the server is there and has refused us, as it will next time
                self.close()
                tell(f"{sentence(error)}; next attempt in {delay:g} s")
            time.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_S)


def main():
    args = options()
    with contextlib.closing(Sensor(args)) as sensor:
        for number in itertools.count(1):
            due_at = time.monotonic() + args.period
            sensor.deliver(measure(number))
            if number == args.count:
                break
            time.sleep(max(0, due_at - time.monotonic()))


if __name__ == "__main__":
    run(main)
