#!/bin/bash
# check.sh [NAME...]: runs the C suites and the shell tests of $BUILD, or those that are named; `make check` calls it.
# The last line is `N passed, N failed, N skipped`.
set -u

BUILD=${BUILD:-build}
export BUILD BIN=${BIN:-$BUILD/bin}
cd "$(dirname "$0")/.." || exit 1
# A sanitizer's complaint must not look like a program's own exit 1.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:exitcode=99}

passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run COMMAND...: shows what it prints, and adds its own last line to ours. One that ends without it has failed.
run() {
	local status counts
	"$@" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	if counts=$(tail -n 1 "$log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'); then
		read -r -a counts <<<"$counts"
		((passed += counts[0], failed += counts[2], skipped += counts[4]))
		((status == 0 || counts[2] > 0)) && return
	fi
	echo "$* ended with status $status"
	((failed++))
}

run_script() {
	echo "$1"
	run timeout -k 10 300 bash "$1"
}

if (($# == 0)); then
	run "$BUILD/tests/run"
	for script in tests/test_*.sh; do
		[[ -e $script ]] && run_script "$script"
	done
else
	names=()
	for name in "$@"; do
		[[ -e tests/test_$name.sh ]] && run_script "tests/test_$name.sh"
		[[ -e tests/test_$name.sh && ! -e tests/test_$name.c ]] || names+=("$name")
	done
	((${#names[@]} == 0)) || run "$BUILD/tests/run" "${names[@]}"
fi

echo "$SECONDS s in all"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
