#!/bin/bash
# demo.sh - a sensor sends ten readings to a server over DTLS, through a link that loses a fifth of all datagrams.
# Exits 0 only if everything that it announces has happened. `make demo` builds and runs it; SEED=N is other weather.
set -u -o pipefail
set -m # every part is a process group of its own, so that all of it ends with us

BIN=${BIN:-$(dirname "$0")/../build/bin}
SEED=${SEED:-5}
READINGS=10
SECONDS_MAX=25
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
	measure | timeout --foreground "$SECONDS_MAX" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk-file "$T/sensor.psk" \
		--handshake-timeout 500-4000 --timeout 15 --confirm 300 -v 2>&1 >"$T/confirmed" | tee "$T/story" | indent
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
   A server and a sensor share a key, made by dtls-genpsk. Between them, dtls-relay loses 20 % of the datagrams in
   each direction and delays the rest by 50 ms, so a round trip takes 100 ms.
EOF
"$BIN/dtls-genpsk" sensor-17 >"$T/sensor.psk" || fail 'there is no key'
listen server "$BIN/dtls-server" -l 127.0.0.1:0 --psk-file "$T/sensor.psk" --handshake-timeout 500-4000 --confirm
listen relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" --loss 20% --delay 50 --seed "$SEED"

heading 'What the sensor tells: seconds, then what happened'
cat <<EOF
   DTLS resends the flights of its handshake when no answer comes. It does not resend readings: the sensor does so
   itself (--confirm) until the server has sent the reading back.

EOF
send_readings &
started+=($!)
wait $! || fail 'the sensor could not send its readings'
sleep 0.2 # what is under way arrives

heading 'What the server has read'
awk '{ n[$0]++ } n[$0] == 1 { line[++lines] = $0 }
	END { for (i = 1; i <= lines; i++) print line[i] (n[line[i]] > 1 ? "   (came " n[line[i]] " times)" : "") }' \
	"$T/server.out" | tee "$T/read" | indent
end "${started[1]}" relay
end "${started[0]}" server
started=()

lost_up=$(number relay.err '^client to server: .* ([0-9]+) lost')
lost_down=$(number relay.err '^server to client: .* ([0-9]+) lost')
resent_up=$(number story '^.*handshake done: .*flights resent: ([0-9]+)')
resent_down=$(number server.err '^  flights resent ([0-9]+)')
again=$(grep -c 'again: not confirmed yet' "$T/story")
heading 'What the link did'
grep '^[cs].* to .*: ' "$T/relay.err" | indent
heading "The server's own account"
sed -n '/^counters at the end/,$p' "$T/server.err" | indent

heading 'In short'
cat <<EOF
   $READINGS readings were measured, $(wc -l <"$T/read") were read by the server.
   Datagrams lost: $lost_up on the way to the server, $lost_down on the way back.
   Resent for that: $resent_up flights of the handshake by the sensor, $resent_down by the server; $again readings.
EOF

grep -q 'handshake done: DTLSv1.2' "$T/story" || fail 'there was no handshake'
sed 's/   (came.*//' "$T/read" >"$T/distinct"
expected 'sensor-17 ' | cmp -s - "$T/distinct" || fail 'the server did not read what was measured'
expected | cmp -s - "$T/confirmed" || fail 'the sensor did not see every reading confirmed'
((lost_up + lost_down > 0)) || fail 'the link lost nothing: there was nothing to see'
grep -q '^  handshakes started .* completed [1-9]' "$T/server.err" || fail 'the server counted no handshake'
echo '   Everything that was announced has happened.'
