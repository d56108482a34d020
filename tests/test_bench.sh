#!/bin/bash
# What `make bench` makes of its programs' figures: rows, a table, an exit status. Nothing is measured here.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need cc
root=$(realpath "$(dirname "$0")/..")

# program NAME: a benchmark in $T/bench, from the statements on standard input; it has `a` (1, 2, 3 us), `b` (20, 30, 10).
program() {
	mkdir -p "$T/bench"
	{
		echo '#include "bench.h"'
		echo 'int main(void) { struct bench a = {0}, b = {0}; int missed = 0;'
		echo 'for (int i = 0; i < 3; i++) { bench_add(&a, 1000.0 * (i + 1)); bench_add(&b, 10000.0 * ((i + 1) % 3 + 1)); }'
		echo 'bench_print("a", &a); bench_print("b", &b);'
		cat
		echo 'return missed > 0; }'
	} >"$T/$1.c"
	cc -D_GNU_SOURCE -I"$root/tests/bench" -o "$T/bench/$1" "$T/$1.c" "$root/tests/bench/bench.c"
}

bench() { # STATUS PROGRAM...
	local status=$1
	shift
	BUILD=$T expect_status "$status" bash "$root/tests/bench.sh" "${@/#/$T/bench/}"
}

row() { # CELLS: the table has this row
	grep -qxF -- "| $1 |" "$T/bench/results.md" || {
		cat "$T/bench/results.md"
		fail "there is no row | $1 |"
	}
}

a_bound_that_holds() {
	program good <<<'missed += bench_ratio("x", &a, &b, 0.10); missed += bench_ratio("y", &b, &a, 10.0);'
	bench 0 good
	contains "$T/cmd.out" '^a +2000 ns   \(min 1000, max 3000, 3 runs\)$'
	contains "$T/cmd.out" '^x +0\.100 x   of b \(at most 0\.10: holds\)$'
	row 'x | 2.00 µs (1.00-3.00) | b 20.0 µs (10.0-30.0) | 0.100 | ≤ 0.10 | yes'
	row 'y | 20.0 µs (10.0-30.0) | a 2.00 µs (1.00-3.00) | 10.000 | ≤ 10.00 | yes'
	contains "$T/bench/results.md" '^[0-9]+ x .*, Linux .*; mbed TLS .*, OpenSSL .*, GnuTLS .*\.$'
}
t 'medians, least and most, and their ratio' a_bound_that_holds

a_bound_that_is_missed() {
	program good <<<'missed += bench_ratio("x", &a, &b, 0.10);'
	program bad <<<'missed += bench_ratio("z", &a, &b, 0.09);'
	bench 1 bad good
	contains "$T/cmd.out" '\(at most 0\.09: EXCEEDED\)$'
	row 'z | 2.00 µs (1.00-3.00) | b 20.0 µs (10.0-30.0) | 0.100 | ≤ 0.09 | **no**'
	row 'x | 2.00 µs (1.00-3.00) | b 20.0 µs (10.0-30.0) | 0.100 | ≤ 0.10 | yes'
	equal "$(tail -n 1 "$T/cmd.out")" 'not held, or failed: bad'
}
t 'a bound that is missed fails the run, which goes on' a_bound_that_is_missed

peers_stand_together() {
	program peers <<-'E'
		missed += bench_ratio("x", &a, &b, 1.0);
		b.name = "c";
		bench_compare("x", &a, &b);
		bench_compare("y", &a, &b);
	E
	bench 0 peers
	row 'x | 2.00 µs (1.00-3.00) | b 20.0 µs (10.0-30.0)<br>c 20.0 µs (10.0-30.0) | 0.100<br>0.100 | ≤ 1.00 | yes'
	row 'y | 2.00 µs (1.00-3.00) | c 20.0 µs (10.0-30.0) | 0.100 |  | '
}
t 'several peers of one figure stand in one row' peers_stand_together

figures() {
	program figures <<-'E'
		missed += bench_at_most("bytes", 480, "bytes", 480) + bench_at_least("share", 99, "%", 99);
		bench_figure("wake", 16.04, "µs");
	E
	bench 0 figures
	row 'bytes | 480 bytes |  |  | ≤ 480 bytes | yes'
	row 'share | 99.0 % |  |  | ≥ 99.0 % | yes'
	row 'wake | 16.0 µs |  |  |  | '
	program figures <<<'missed += bench_at_most("bytes", 481, "bytes", 480);'
	bench 1 figures
	row 'bytes | 481 bytes |  |  | ≤ 480 bytes | **no**'
	program figures <<<'missed += bench_at_least("share", 98.9, "%", 99);'
	bench 1 figures
	row 'share | 98.9 % |  |  | ≥ 99.0 % | **no**'
}
t 'figures that are no times' figures

one_that_dies() {
	program dead <<<'bench_figure("x", 1, "s"); __builtin_trap();'
	bench 1 dead
	row 'x | 1.00 s |  |  |  | '
	grep -qE '^\| dead ended with status 13[0-9] \| .*\*\*no\*\* \|$' "$T/bench/results.md"
}
t 'a benchmark that dies is not one that holds' one_that_dies

too_many_runs() {
	program many <<<'for (int i = 0; i < 10; i++) bench_add(&a, 1);'
	expect_status 1 "$T/bench/many"
	contains "$T/cmd.err" 'more than 9 runs'
}
t 'more runs than there is room for' too_many_runs

not_writable() {
	program good <<<'missed += bench_ratio("x", &a, &b, 0.10);'
	BENCH_RESULTS=/nonexistent/x expect_status 1 "$T/bench/good"
	contains "$T/cmd.err" '^cannot write to /nonexistent/x$'
	expect_status 0 "$T/bench/good"
}
t 'rows that cannot be written are a failure; without a file for them there are none' not_writable

finish
