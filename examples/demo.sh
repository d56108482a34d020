#!/bin/bash
# demo.sh - a sensor sends its readings to a CoAP server over DTLS, through a link that loses a fifth of all datagrams.
# Exits 0 only if everything that it announces has happened. `make demo` builds and runs it; SEED=N is other weather.
set -u -o pipefail
set -m # every part is a process group of its own, so that all of it ends with us

BIN=${BIN:-$(dirname "$0")/../build/bin}
SEED=${SEED:-5}
READINGS=8
SECONDS_MAX=60
T=$(mktemp -d) || exit 1
started=()

clean_up() {
	local group
	trap '' INT TERM HUP
	for group in "${started[@]}"; do
		kill -KILL -- "-$group"
	done
	wait
	rm -rf "$T"
}
trap 'clean_up 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

fail() {
	printf '\nThe demo has FAILED: %s\n' "$*"
	exit 1
}

heading() {
	printf '\n== %s\n' "$*"
}

indent() {
	sed -u 's/^/   /'
}

# listen NAME COMMAND...: in the background; PORT is where it listens.
listen() {
	local name=$1 i
	shift
	: >"$T/$name.err"
	"$@" >"$T/$name.out" 2>>"$T/$name.err" &
	started+=($!)
	for ((i = 0; i < 100; i++)); do
		PORT=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$T/$name.err")
		[[ -z $PORT ]] || return 0
		kill -0 "${started[-1]}" 2>/dev/null || break
		sleep 0.05
	done
	fail "the $name does not start: $(<"$T/$name.err")"
}

# end PID NAME: as Ctrl-C does.
end() {
	kill -INT "$1" || fail "the $2 had already ended"
	wait "$1" || fail "the $2 ended with status $?"
}

measure() {
	local i
	for ((i = 1; i <= READINGS; i++)); do
		echo "reading $i: temperature $((18 + i * 7 % 5)).$((i * 3 % 10))"
		sleep 0.3
	done
}

send_readings() {
	measure | timeout --foreground "$SECONDS_MAX" "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT/sensors/cellar" \
		--psk-file "$T/sensor.psk" --ack-timeout 1 -v 2>&1 >"$T/acknowledged" | tee "$T/story" |
		sed -u '/^counters at the end/,$d' | indent
}

# number FILE REGEX: adds up the numbers that the regex's group finds in FILE.
number() {
	sed -nE "s/.*$2.*/\1/p" "$T/$1" | awk '{ sum += $1 } END { print sum + 0 }'
}

# expected [PREFIX]: what was measured; measure(), without its pauses.
expected() (
	sleep() { :; }
	measure | sed "s/^/${1-}/"
)

heading 'The parts'
cat <<EOF
   A coap-server and a coap-sensor share a key, made by dtls-genpsk. Between them, dtls-relay loses 20 % of the
   datagrams in each direction and delays the rest by 50 ms, so a round trip takes 100 ms.
EOF
"$BIN/dtls-genpsk" sensor-17 >"$T/sensor.psk" || fail 'there is no key'
listen server "$BIN/coap-server" -l 127.0.0.1:0 --psk-file "$T/sensor.psk"
listen relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" --loss 20% --delay 50 --seed "$SEED"

heading 'What the sensor tells: seconds, then what happened'
cat <<EOF
   DTLS resends the flights of its handshake when no answer comes, and never a reading. CoAP does that: a confirmable
   request is repeated, here after 1 to 1.5 s and then after twice as long, until the server has acknowledged it.

EOF
send_readings &
started+=($!)
wait $! || fail 'the sensor could not send its readings'

heading 'What the server has read'
indent <"$T/server.out"
end "${started[1]}" relay
end "${started[0]}" server
started=()

lost_up=$(number relay.err '^client to server: .* ([0-9]+) lost')
lost_down=$(number relay.err '^server to client: .* ([0-9]+) lost')
again=$(number server.err 'sent again ([0-9]+):')
heading 'What the link did'
grep '^[cs].* to .*: ' "$T/relay.err" | indent
heading "The server's own account"
sed -n '/^counters at the end/,$p' "$T/server.err" | indent

heading 'In short'
cat <<EOF
   $READINGS readings were measured, $(wc -l <"$T/server.out") were read by the server, each of them once.
   Datagrams lost: $lost_up on the way to the server, $lost_down on the way back.
   Readings that came again because their acknowledgement was lost, and that the server knew: $again.
EOF

grep -q ' connected to 127' "$T/story" || fail 'there was no session'
expected 'sensor-17 \/sensors\/cellar ' | cmp -s - "$T/server.out" || fail 'the server did not read what was measured'
expected | cmp -s - "$T/acknowledged" || fail 'the sensor did not see every reading acknowledged'
((lost_up + lost_down > 0)) || fail 'the link lost nothing: there was nothing to see'
grep -q '^  sessions [1-9]' "$T/server.err" || fail 'the server counted no session'
echo '   Everything that was announced has happened.'
