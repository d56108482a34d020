"""What the Python examples share: sentences, a quiet end, options with clear errors, keys and addresses."""

import argparse
import binascii
import os
import signal
import socket
import sys

import ssl_shim

# ---- what is told


def printable(data):
    return "".join(chr(byte) if 32 <= byte <= 126 else f"\\x{byte:02x}" for byte in data)


def sentence(error):
    """The module's own, where the exception has it as a note."""
    return " ".join(getattr(error, "__notes__", ())) or getattr(error, "strerror", None) or str(error)


def tell(text):
    """A line on standard error; from within a signal's handler, too, where print() may meet itself."""
    os.write(2, printable(os.fsencode(text)).encode() + b"\n")


def fail(text, status=1):
    tell(f"{os.path.basename(sys.argv[0])}: {text}")
    sys.exit(status)


def show(text):
    """A line on standard output. Where that fails, the program ends."""
    try:
        print(text, flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # takes what the interpreter still flushes
        fail(f"cannot write to standard output: {sentence(error)}")


def run(main):
    """SIGINT and SIGTERM are KeyboardInterrupts in main(), and end it quietly."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        fail(sentence(error))


# ---- options: what is wrong with them ends the program with one sentence and status 2


class Wrong(argparse.ArgumentTypeError):
    """Says what is wrong with the value of an option, or with the file that it names."""


class Options(argparse.ArgumentParser):
    def __init__(self, doc):
        super().__init__(
            description=doc,
            epilog="A PSK file has identity:hexkey lines, as dtls-genpsk prints them. SIGINT (Ctrl-C) and SIGTERM end "
            "the program. Exits 0 when all was done or it was ended so, 1 when something failed, 2 for wrong options.",
        )

    def error(self, message):
        fail(message.removeprefix("argument "), 2)

    def print_help(self, file=None):
        show(self.format_help().rstrip())

    def add_client_key(self):
        """args.key is a pair of identity and key."""
        group = self.add_mutually_exclusive_group(required=True)
        told = "identity and pre-shared key, the key in hex; other users may see it: ps(1)"
        group.add_argument("--psk", dest="key", metavar="ID:HEX", type=key_of_option, help=told)
        group.add_argument("--psk-file", dest="key", metavar="FILE", type=key_of_file, help="the same from a file")

    def add_server_options(self):
        told = "where (default: 0.0.0.0:5684; IPv6 as [::]:5684; port 0: any free one)"
        where = {"metavar": "ADDR:PORT", "type": address_to_listen, "default": ("0.0.0.0", 5684), "help": told}
        self.add_argument("-l", "--listen", **where)
        self.add_argument("--psk-file", metavar="FILE", type=Keys, required=True, help="the clients' keys")


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 86400:
        raise Wrong(f'takes a number of seconds above 0, up to 86400, not "{text}"')
    return value


def count(text):
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise Wrong(f'takes a whole number from 1, not "{text}"')
    return int(text)


def address(text, lowest_port=1):
    """HOST:PORT or [ADDRESS]:PORT, as a pair."""
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or not port or (":" in bare and bare == host):
        raise Wrong(f'takes HOST:PORT, or [ADDRESS]:PORT for IPv6, not "{text}"')
    if not (port.isascii() and port.isdigit() and lowest_port <= int(port) <= 65535):
        raise Wrong(f'takes a port from {lowest_port} to 65535, not "{port}"')
    return bare, int(port)


def address_to_listen(text):
    return address(text, lowest_port=0)


# ---- pre-shared keys


def key_of_line(line):
    identity, colon, digits = line.rpartition(b":")
    if not colon:
        raise Wrong("no colon between identity and key")
    try:
        key = binascii.unhexlify(digits)
    except ValueError:
        raise Wrong("the key is not an even number of hex digits") from None
    try:
        judge = ssl_shim.SSLContext(ssl_shim.PROTOCOL_DTLS_CLIENT)
        judge.psk_identity, judge.psk_key = identity, key
    except OSError as error:
        raise Wrong(sentence(error)) from None
    return identity, key


def keys_of_file(path):
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
    except OSError as error:
        raise Wrong(f"cannot read {path}: {sentence(error)}") from None
    keys = {}
    for number, line in enumerate(lines, 1):
        if line.startswith(b"#") or not line.strip():
            continue
        try:
            identity, key = key_of_line(line.removesuffix(b"\r"))
        except Wrong as error:
            raise Wrong(f"{path}:{number}: {error}") from None
        if identity in keys:
            raise Wrong(f"{path}:{number}: the identity is already on an earlier line")
        keys[identity] = key
    if not keys:
        raise Wrong(f"{path} has no keys")
    return keys


def key_of_option(text):
    return key_of_line(os.fsencode(text))


def key_of_file(path):
    keys = keys_of_file(path)
    if len(keys) > 1:
        raise Wrong(f"{path} has {len(keys)} keys: a client's file has exactly one")
    return keys.popitem()


class Keys:
    """A server's keys from a file: what each handshake asks with get(), so that new keys serve new handshakes."""

    def __init__(self, path):
        self.path = path
        self.keys = keys_of_file(path)

    def get(self, identity):
        return self.keys.get(identity)

    def reload(self):
        try:
            self.keys = keys_of_file(self.path)
        except Wrong as error:
            tell(f"SIGHUP: {error}; the keys stay as they were")
        else:
            tell(f"SIGHUP: {self.path} was read again")


# ---- addresses


def address_name(address):
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def resolve(server, kind):
    """What getaddrinfo() finds."""
    try:
        return socket.getaddrinfo(*server, type=kind)
    except OSError as error:
        raise ConnectionError(f'cannot resolve "{server[0]}": {sentence(error)}') from None


def connect(context, kind, server, timeout):
    """A session over a socket of this kind with the first of the server's addresses that answers in time."""
    failure = None
    for family, _, protocol, _, where in resolve(server, kind):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            sock.connect(where)
            return context.wrap_socket(sock)
        except BaseException as error:
            sock.close()
            if not isinstance(error, OSError):
                raise
            has_told = hasattr(error, "__notes__")
            failure = error if has_told else ConnectionError(f"cannot reach {address_name(where)}: {sentence(error)}")
    raise failure
