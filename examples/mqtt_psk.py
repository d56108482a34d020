"""Publishes each line of standard input to an MQTT 3.1.1 broker such as mosquitto (pub), or prints each message as
TOPIC TEXT (sub), over TLS with a pre-shared key."""

import contextlib
import os
import socket
import struct
import sys
import time

import ssl_shim
from example_common import Options, address, connect, count, printable, run, seconds, show

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14  # MQTT 2.2.1


def broker(text):
    has_port = "]:" in text if text.startswith("[") else ":" in text
    return address(text if has_port else f"{text}:8883")


def options():
    parser = Options(__doc__)
    add = parser.add_argument
    add("command", choices=("pub", "sub"))
    add("broker", metavar="HOST[:PORT]", type=broker, help="where no port is given, it is 8883")
    add("-t", "--topic", metavar="TOPIC", type=os.fsencode, required=True, help="sub: with wildcards + and #")
    add("-m", "--message", metavar="TEXT", type=os.fsencode, help="pub: TEXT, and nothing of standard input")
    add("--qos", type=int, choices=(0, 1), default=0, help="1: each message is confirmed (default: 0)")
    add("--count", metavar="N", type=count, help="sub: end after N messages")
    add("--timeout", metavar="S", type=seconds, default=30, help="for connecting and any answer (default: 30)")
    parser.add_client_key()
    args = parser.parse_args()
    if not 0 < len(args.topic) <= 65535:
        parser.error("--topic takes 1 to 65535 bytes")
    if args.command == "pub" and args.count:
        parser.error("--count is for sub")
    if args.command == "sub" and args.message is not None:
        parser.error("--message is for pub")
    return args


def string(data):
    return struct.pack("!H", len(data)) + data


class Session:
    def __init__(self, tls, timeout):
        self.tls, self.timeout = tls, timeout
        self.input = bytearray()
        tls.settimeout(timeout / 2)  # so that no more than timeout passes between two packets of ours (3.1.2.10)
        keep_alive = struct.pack("!H", min(int(timeout) + 1, 65535))
        client_id = b"mqttpsk" + os.urandom(8).hex().encode()
        self.send(CONNECT, string(b"MQTT") + b"\4\2" + keep_alive + string(client_id))
        code = self.expect(CONNACK)[1:]
        if code != b"\0":
            raise ConnectionError(f"the broker refused the connection, code {code.hex()}")

    def send(self, kind, body=b"", flags=0):
        size, rest = b"", len(body)
        while rest > 127:
            size, rest = size + bytes([rest & 127 | 128]), rest >> 7
        self.tls.sendall(bytes([kind << 4 | flags]) + size + bytes([rest]) + body)
        self.sent_at = time.monotonic()

    def fill(self):
        """More input. When nothing comes, a ping asks whether the broker is there."""
        for _ in range(2):
            if time.monotonic() - self.sent_at >= self.timeout / 2:
                self.send(PINGREQ)
            with contextlib.suppress(TimeoutError):
                data = self.tls.recv(16384)
                if not data:
                    raise ConnectionError("the broker closed the connection; its log may say why")
                self.input += data
                return
        raise TimeoutError(f"the broker was silent for {self.timeout:g} s")

    def exactly(self, n):
        while len(self.input) < n:
            self.fill()
        data = bytes(self.input[:n])
        del self.input[:n]
        return data

    def receive(self):
        """The next packet: its type, its flags and its body."""
        first, size = self.exactly(1)[0], 0
        for shift in (0, 7, 14, 21):
            byte = self.exactly(1)[0]
            size |= (byte & 127) << shift
            if byte < 128:
                return first >> 4, first & 15, self.exactly(size)
        raise ConnectionError("the broker sent a packet whose length has more than four bytes")  # MQTT 2.2.3

    def expect(self, kind):
        found, _, body = self.receive()
        if found != kind:
            raise ConnectionError(f"the broker sent a packet of type {found} instead of {kind}")
        return body


def publish(session, args):
    for line in sys.stdin.buffer if args.message is None else [args.message + b"\n"]:
        packet_id = b"\0\1" if args.qos else b""
        session.send(PUBLISH, string(args.topic) + packet_id + line.removesuffix(b"\n"), args.qos << 1)
        if args.qos:
            session.expect(PUBACK)


def subscribe(session, args):
    session.send(SUBSCRIBE, b"\0\1" + string(args.topic) + bytes([args.qos]), 2)
    received = 0
    while received != args.count:
        kind, flags, body = session.receive()
        if kind == SUBACK and body[2:] not in (b"\0", b"\1"):
            raise ConnectionError("the broker refused the subscription; may this client read the topic?")
        if kind != PUBLISH:
            continue
        end = 2 + int.from_bytes(body[:2], "big")
        start = end + 2 if flags & 6 else end
        show(f"{printable(body[2:end])} {printable(body[start:])}")
        if flags & 6:
            session.send(PUBACK, body[end:start])
        received += 1


def main():
    args = options()
    context = ssl_shim.SSLContext(ssl_shim.PROTOCOL_TLS_CLIENT)
    context.psk_identity, context.psk_key = args.key
    with connect(context, socket.SOCK_STREAM, args.broker, args.timeout) as tls:
        session = Session(tls, args.timeout)
        with contextlib.suppress(KeyboardInterrupt):
            (publish if args.command == "pub" else subscribe)(session, args)
        session.send(DISCONNECT)


if __name__ == "__main__":
    run(main)
