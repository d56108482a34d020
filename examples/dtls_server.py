"""Serves any number of DTLS clients on one UDP socket: prints each message behind its sender's identity and sends it
back. Tells on standard error who comes and goes. SIGHUP reads the keys again, for new handshakes."""

import contextlib
import math
import signal
import socket

import ssl_shim
from example_common import Options, address_name, count, fail, printable, resolve, run, seconds
from example_common import sentence, show, tell

ENDS = {
    "close_notify": "has closed",
    "replaced": "was replaced by a new session from the same address",
    "idle": "was closed: silent for too long",
    "evicted": "was closed: it had been silent longest when --max-peers was reached",
}


def options():
    parser = Options(__doc__)
    parser.add_server_options()
    parser.add_argument("--max-peers", metavar="N", type=count, help="sessions; beyond that the longest silent ends")
    parser.add_argument("--idle", metavar="S", type=seconds, help="close a session that was silent for S seconds")
    return parser.parse_args()


def listen(where):
    try:
        family, kind, protocol, _, found = resolve(where, socket.SOCK_DGRAM)[0]
        with contextlib.ExitStack() as on_failure:
            sock = on_failure.enter_context(socket.socket(family, kind, protocol))
            sock.bind(found)
            on_failure.pop_all()
            return sock
    except OSError as error:
        fail(f"cannot listen on {address_name(where)}: {sentence(error)}", 2)


def name_of(peer):
    return " ".join([address_name(peer.address), printable(peer.psk_identity or b"")]).rstrip()


def serve(peer, event):
    if isinstance(event, bytes):
        show(f"{printable(peer.psk_identity)} {printable(event)}")
        try:
            peer.send(event)
        except OSError as error:
            tell(f"{name_of(peer)} gets no answer: {sentence(error)}")
    elif event == ssl_shim.CONNECTED:
        tell(f"{name_of(peer)} connected with {peer.cipher()[0]}")
    else:
        tell(f"{name_of(peer)} {ENDS.get(peer.reason) or f'ended: {sentence(peer.error)}'}")


def main():
    args = options()
    context = ssl_shim.SSLContext(ssl_shim.PROTOCOL_DTLS_SERVER)
    context.server_psk_keys = args.psk_file
    signal.signal(signal.SIGHUP, lambda *_: args.psk_file.reload())
    limits = {"max_peers": args.max_peers, "idle_ms": args.idle and math.ceil(args.idle * 1000)}
    with listen(args.listen) as sock, ssl_shim.DTLSServer(context, sock, **limits) as server:
        tell(f"listening on {address_name(sock.getsockname())}")
        for peer, event in server:
            serve(peer, event)


if __name__ == "__main__":
    run(main)
