#!/bin/bash
# bench.sh PROGRAM...: runs the benchmarks of $BUILD/bench one after the other and puts what they compare into a table,
# $BUILD/bench/results.md; `make bench` calls it. Exits 1 when a bound is not held, or a program fails.
set -u

BUILD=${BUILD:-build}
cd "$(dirname "$0")/.." || exit 1
results=$BUILD/bench/results.md
BENCH_RESULTS=$(mktemp)
# Each comparison adds its row here: bench.h.
export BENCH_RESULTS
trap 'rm -f "$BENCH_RESULTS"' EXIT
PATIENCE=300 # seconds for one program

version() { # PACKAGE: of Debian's package, as it is installed
	dpkg-query -W -f '${Version}' "$1" 2>/dev/null || echo '?'
}

machine() {
	local cpu
	cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
	echo "$(nproc) x ${cpu:-$(uname -m)}, Linux $(uname -r), $(. /etc/os-release && echo "$PRETTY_NAME");" \
		"mbed TLS $(version libmbedtls-dev), OpenSSL $(version libssl-dev), GnuTLS $(version libgnutls28-dev)."
}

failed=()
for program in "$@"; do
	name=$(basename "$program")
	rows=$(wc -l <"$BENCH_RESULTS")
	question=$(sed -n '1s|^/\* ||; 1s|?.*|?|; 1p' "tests/bench/bench_$name.c")
	echo "==== $name: $question"
	echo "| **$question** | | | | | | |" >>"$BENCH_RESULTS"
	timeout -k 10 "$PATIENCE" "$program"
	status=$?
	((status == 0)) && continue
	failed+=("$name")
	# One that ends early has told nothing of what it was to show.
	tail -n +$((rows + 1)) "$BENCH_RESULTS" | grep -qF '**no**' ||
		echo "| $name ended with status $status | | | | | | **no** |" >>"$BENCH_RESULTS"
done

{
	machine
	echo
	echo '| what | ours | peer | its | ratio | goal | held |'
	echo '|---|---|---|---|---|---|---|'
	cat "$BENCH_RESULTS"
} >"$results"

echo "==== $SECONDS s in all; the table is $results"
((${#failed[@]} == 0)) || echo "not held, or failed: ${failed[*]}"
((${#failed[@]} == 0))
