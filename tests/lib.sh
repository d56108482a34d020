# shellcheck shell=bash
# lib.sh - sourced by the shell tests. A test is a function; it runs in a subshell with an empty folder $T of its own:
#
#	reading_arrives() {
#		start server "$BIN/dtls-server" -l 127.0.0.1:0 --psk sensor:0011
#		echo 21.5 | "$BIN/dtls-client" "127.0.0.1:$(port server)" --psk sensor:0011
#		wait_for server '^sensor 21.5$'
#		stop server
#	}
#	t 'a reading reaches the server' reading_arrives
#
# A test fails at its first command that fails (set -e), and what it has started is killed when it ends.
set -u

BIN=$(realpath "${BIN:-build/bin}")
export BIN
passed=0 failed=0 skipped=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 143' TERM INT

# need TOOL...: these are what `make deps` installs, so a missing one is a failure.
need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null && continue
		echo "FAIL  $tool is missing; \`make deps\` installs it"
		failed=$((failed + 1))
		finish
	done
}

# t SENTENCE FUNCTION [ARGUMENT...]: one test.
t() {
	local sentence=$1 status
	shift
	T=$(mktemp -d -p "$folder")
	(
		trap 'kill_started' EXIT
		set -eEo pipefail
		trap 'echo "line ${BASH_LINENO[0]}: status $?: $BASH_COMMAND" >&2' ERR
		"$@"
	) </dev/null >"$T/log" 2>&1
	status=$?
	case $status in
	0)
		passed=$((passed + 1))
		echo "ok    $sentence"
		;;
	77)
		skipped=$((skipped + 1))
		echo "skip  $sentence: $(tail -n 1 "$T/log")"
		;;
	*)
		failed=$((failed + 1))
		echo "FAIL  $sentence"
		show "$T"
		;;
	esac
	rm -rf "$T"
}

# The last line of every script.
finish() {
	echo "$passed passed, $failed failed, $skipped skipped"
	exit $((failed > 0))
}

show() {
	local file
	for file in "$1/log" "$1"/*.out "$1"/*.err; do
		[[ -s $file ]] || continue
		echo "      ---- $(basename "$file")"
		tail -n 40 "$file" | sed 's/^/      /'
	done
}

kill_started() {
	local file
	for file in "$T"/*.pid; do
		[[ ! -e $file ]] || kill -KILL "$(<"$file")" 2>/dev/null || : # it may have ended by itself
	done
	wait
}

# ---- inside a test

fail() {
	echo "$*"
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# start NAME COMMAND...: in the background; output in $T/NAME.out and $T/NAME.err, our input is its input.
start() {
	local name=$1
	shift
	: >"$T/$name.out"
	: >"$T/$name.err" # what an earlier NAME said must not be taken for its own
	"$@" <&0 >"$T/$name.out" 2>"$T/$name.err" &
	echo $! >"$T/$name.pid"
}

# wait_for NAME REGEX [SECONDS]: until a line of what NAME printed matches (grep -E); 10 s at most.
wait_for() {
	local name=$1 regex=$2 deadline=$((SECONDS + ${3:-10})) ended
	while :; do
		ended=
		kill -0 "$(<"$T/$name.pid")" 2>/dev/null || ended=yes
		grep -qE -- "$regex" "$T/$name.out" "$T/$name.err" && return
		[[ -z $ended ]] || fail "$name ended and never printed '$regex'"
		((SECONDS < deadline)) || fail "$name did not print '$regex' in time"
		sleep 0.02
	done
}

# port NAME: prints the port once NAME has printed `listening on ADDR:PORT`.
port() {
	wait_for "$1" '^listening on .*:[0-9]+$' >&2
	sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$T/$1.err" | head -n 1
}

# signal NAME SIGNAL
signal() {
	kill -s "$2" "$(<"$T/$1.pid")"
}

# finished NAME: waits for it, 60 s at most, and returns its exit status.
finished() {
	local pid deadline=$((SECONDS + 60))
	pid=$(<"$T/$1.pid")
	while kill -0 "$pid" 2>/dev/null; do
		((SECONDS < deadline)) || fail "$1 has not ended in time"
		sleep 0.02
	done
	rm "$T/$1.pid"
	wait "$pid"
}

# stop NAME [SIGNAL]: ends it (TERM) and returns its exit status.
stop() {
	signal "$1" "${2:-TERM}"
	finished "$1"
}

# expect_status STATUS COMMAND...: output in $T/cmd.out and $T/cmd.err.
expect_status() {
	local expected=$1 status=0
	shift
	"$@" <&0 >"$T/cmd.out" 2>"$T/cmd.err" || status=$?
	((status == expected)) || fail "status $status instead of $expected: $*"
}

# contains FILE REGEX, lacks FILE REGEX: some line matches, no line matches (grep -E).
contains() {
	grep -qE -- "$2" "$1" || fail "nothing in $(basename "$1") matches '$2'"
}

lacks() {
	! grep -E -- "$2" "$1" || fail "$(basename "$1") must not match '$2'"
}

# equal ACTUAL EXPECTED
equal() {
	[[ $1 == "$2" ]] || fail "'$1' instead of '$2'"
}

# refuses STATUS REGEX COMMAND...: ends with STATUS, nothing on stdout, one line on stderr that matches.
refuses() {
	local status=$1 regex=$2
	shift 2
	expect_status "$status" timeout 60 "$@"
	equal "$(wc -l <"$T/cmd.err")" 1
	contains "$T/cmd.err" "$regex"
	[[ ! -s $T/cmd.out ]] || fail "$* printed something"
}

# ends_with STATUS NAME [REGEX]: waits for what was started as NAME; its last line on stderr matches.
ends_with() {
	local status=0
	finished "$2" || status=$?
	equal "$status" "$1"
	[[ -z ${3-} ]] || tail -n 1 "$T/$2.err" | grep -qE -- "$3" || fail "the last line of $2.err does not match '$3'"
}
