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
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# count STATUS LOG WHAT: adds a log's last line to our counts. One that ended without it has failed.
count() {
	local counts
	if counts=$(tail -n 1 "$2" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'); then
		read -r -a counts <<<"$counts"
		((passed += counts[0], failed += counts[2], skipped += counts[4]))
		(($1 == 0 || counts[2] > 0)) && return
	fi
	echo "$3 ended with status $1"
	((failed++))
}

scripts=() # that have not begun
declare -A running=()
# What runs in the background does not get the terminal's Ctrl-C.
trap 'kill "${!running[@]}" 2>/dev/null; wait; exit 130' INT TERM

begin_suites() {
	: >"$logs/suites"
	timeout -k 10 3600 "$BUILD/tests/run" "$@" >"$logs/suites" 2>&1 &
	running[$!]=suites
	tail --pid=$! -n +1 -f "$logs/suites" &
	told=$!
}

# Scripts mostly wait for programs, so that more of them run at once than there are cores.
begin_scripts() {
	while ((${#scripts[@]} > 0 && ${#running[@]} < 2 * $(nproc))); do
		timeout -k 10 900 bash "${scripts[0]}" >"$logs/${scripts[0]##*/}" 2>&1 &
		running[$!]=${scripts[0]}
		scripts=("${scripts[@]:1}")
	done
}

# Shows what the first to end has printed; of the suites it has been seen already.
end_first() {
	local pid status script
	wait -n -p pid "${!running[@]}"
	status=$?
	script=${running[$pid]}
	unset "running[$pid]"
	if [[ $script == suites ]]; then
		wait "$told"
		count "$status" "$logs/suites" "$BUILD/tests/run"
		return
	fi
	echo "$script"
	cat "$logs/${script##*/}"
	count "$status" "$logs/${script##*/}" "$script"
}

suites=() all=
if (($# == 0)); then
	all=yes
	scripts=(tests/test_python*.sh) # they take longest
	for script in tests/test_*.sh; do
		[[ $script == tests/test_python* ]] || scripts+=("$script")
	done
fi
for name in "$@"; do
	[[ -e tests/test_$name.sh ]] && scripts+=("tests/test_$name.sh")
	[[ -e tests/test_$name.sh && ! -e tests/test_$name.c ]] || suites+=("$name")
done
[[ -z $all && ${#suites[@]} == 0 ]] || begin_suites "${suites[@]}"
while ((${#running[@]} + ${#scripts[@]} > 0)); do
	begin_scripts
	end_first
done

echo "$SECONDS s in all"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
