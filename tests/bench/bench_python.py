"""bench_python.py PROGRAM [ROUNDS]: what the Python module costs beside the C library, in one run. PROGRAM is what
becomes of bench_python.c: the sides in C, and the peer of every side. The sides take turns, each in a process of its
own. `make bench-python` runs it."""

import os
import socket
import statistics
import subprocess
import sys
import time

import ssl_shim as tls

SUITE = "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256"  # the fastest of mbed TLS both ways: what comes on top shows most
BULK, MESSAGE, WARM_UP = 16384, 64, 500  # as in bench_python.c
BULKS, ROUND_TRIPS, ROUNDS = 4096, 20000, 15
LEAST_RATIO, MOST_EXTRA_US = 0.90, 3.0
WAIT = 120  # seconds; a deadline for one measurement


# ---- the sides in Python ----


def write(sock, count):
    data = bytes(BULK)
    for _ in range(count):
        sock.write(data)
    sock.read(1)


def fill(read, left):
    buffer = memoryview(bytearray(BULK))
    while left > 0:
        left -= read(buffer[:left])


def readinto(sock, count):
    sock.write(b"\0")
    fill(sock.readinto, count * BULK)


def recv_into(sock, count):
    sock.write(b"\0")
    fill(sock.recv_into, count * BULK)


def read(sock, count):
    sock.write(b"\0")
    for _ in range(count):
        sock.read(BULK)


def round_trip(sock, count):
    data = bytes(MESSAGE)
    for _ in range(count):
        sock.write(data)
        sock.read(BULK)


SIDES = {side.__name__: side for side in (write, readinto, recv_into, read, round_trip)}


def measure_side(name, fd, count, suite):
    """Prints what the C side prints: nanoseconds that passed, and nanoseconds of CPU time."""
    run, count = SIDES[name], int(count)
    ctx = tls.SSLContext(tls.PROTOCOL_DTLS_CLIENT if run is round_trip else tls.PROTOCOL_TLS_CLIENT)
    ctx.psk_identity, ctx.psk_key = b"bench", b"0123456789abcdef"
    ctx.set_ciphers([suite])
    with ctx.wrap_socket(socket.socket(fileno=int(fd))) as sock:
        run(sock, WARM_UP)
        wall, cpu = time.perf_counter_ns(), time.process_time_ns()
        run(sock, count)
        print(time.perf_counter_ns() - wall, time.process_time_ns() - cpu)


# ---- measuring ----


def tcp():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ends = socket.create_connection(listener.getsockname()), listener.accept()[0]
    for end in ends:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ends


def udp():
    a, b = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    a.bind(("127.0.0.1", 0))
    b.bind(("127.0.0.1", 0))
    a.connect(b.getsockname())
    b.connect(a.getsockname())
    return a, b


def measure(ends, count, peer, side):
    """What the command prints while the peer's command has the other end."""
    ours, theirs = ends
    with ours, theirs:
        peer = subprocess.Popen(
            [*peer, str(theirs.fileno()), str(count), SUITE], stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
        )
        try:
            command = [*side, str(ours.fileno()), str(count), SUITE]
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, pass_fds=[ours.fileno()], timeout=WAIT, check=True
            )
        finally:
            peer.kill()
            peer.wait()
    return [int(ns) for ns in done.stdout.split()]


def rounds(program, turns, pair, count, peer, names):
    """For each side, first the one in C, the columns that it printed."""
    in_c, *in_python = names
    sides = {f"C {in_c}": [program, in_c]}
    sides |= {f"Python {name}": [sys.executable, __file__, "side", name] for name in in_python}
    found = {name: [] for name in sides}
    for _ in range(turns):
        for name, command in sides.items():
            found[name].append(measure(pair(), count, [program, peer], command))
    return {name: list(zip(*rows)) for name, rows in found.items()}


# ---- telling ----


def told(values, digits):
    return f"{statistics.median(values):7.{digits}f} {f'({min(values):.{digits}f}..{max(values):.{digits}f})':16}"


def verdict(it_holds, goal):
    return f"{goal}: {'holds' if it_holds else 'MISSED'}"


def tell_bulk(found):
    of_c = None
    for name, columns in found.items():
        speeds = [[BULKS * BULK * 1e3 / ns for ns in column] for column in columns]
        medians = [statistics.median(column) for column in speeds]
        of_c = of_c or medians
        ratios = [median / first for median, first in zip(medians, of_c)]
        line = f"{name:18} {told(speeds[0], 0)} {told(speeds[1], 0)} {ratios[0]:6.3f} {ratios[1]:6.3f}"
        print(line, "" if medians is of_c else verdict(min(ratios) >= LEAST_RATIO, f" at least {LEAST_RATIO:.2f}"))


def tell_round_trips(found):
    of_c = None
    for name, columns in found.items():
        costs = [[ns / ROUND_TRIPS / 1e3 for ns in column] for column in columns]
        median = statistics.median(costs[1])
        extra = 0.0 if of_c is None else median - of_c
        line = f"{name:18} {told(costs[0], 2)} {told(costs[1], 2)} {extra:+6.2f}"
        print(line, "" if of_c is None else verdict(extra <= MOST_EXTRA_US, f"       at most {MOST_EXTRA_US}"))
        of_c = median if of_c is None else of_c


def main(program, turns=ROUNDS):
    turns = int(turns)
    print(f"{SUITE}, {tls.MBEDTLS_VERSION}, Python {sys.version.split()[0]}")
    print(f"medians (least..most) of {turns} rounds")
    print("\nTLS, 16 KB writes  MB a second              MB a second of CPU time  ratios to C")
    tell_bulk(rounds(program, turns, tcp, BULKS, "sink", ["write", "write"]))
    tell_bulk(rounds(program, turns, tcp, BULKS, "source", ["read", "readinto", "recv_into", "read"]))
    # Client and server take turns in any case; on one processor it costs nobody anything to wake another.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print("\nDTLS, 64 bytes     us a round trip          us of CPU time           more than C")
    tell_round_trips(rounds(program, turns, udp, ROUND_TRIPS, "echo", ["round_trip", "round_trip"]))


if __name__ == "__main__":
    if sys.argv[1] == "side":
        measure_side(*sys.argv[2:])
    else:
        try:
            main(*sys.argv[1:])
        except (OSError, subprocess.SubprocessError) as failed:
            sys.exit(f"bench-python: {failed}")
