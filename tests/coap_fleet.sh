#!/bin/bash
# coap_fleet.sh [SENSORS [PROCESSES [SECONDS [LOSS [SENSOR-OPTION...]]]]]: that many sensors in that many processes, each
# with a key and a session of its own, make up a reading a second and send it to one coap-server through a link that loses
# LOSS of the datagrams in each direction. Every reading must be printed by the server exactly once, and be acknowledged.
# Exits 0 only then. `make bench-coap` calls it; BIN is where the programs are.
set -u -o pipefail

BIN=${BIN:-$(dirname "$0")/../build/bin}
SENSORS=${1:-500} PROCESSES=${2:-4} SECONDS_LONG=${3:-60} LOSS=${4:-10%}
shift $(($# < 4 ? $# : 4))
T=$(mktemp -d) || exit 1
started=()

clean_up() {
	trap '' INT TERM
	((${#started[@]} == 0)) || kill -KILL "${started[@]}" 2>/dev/null
	wait 2>/dev/null
	rm -rf "$T"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
	echo "coap_fleet.sh: $*" >&2
	exit 1
}

# listen NAME COMMAND...: in the background; PORT is where it listens.
listen() {
	local name=$1 i
	shift
	: >"$T/$name.err"
	"$@" >"$T/$name.out" 2>>"$T/$name.err" &
	started+=($!)
	for ((i = 0; i < 200; i++)); do
		PORT=$(sed -n 's/^listening on .*:\([0-9]*\)$/\1/p' "$T/$name.err")
		[[ -z $PORT ]] || return 0
		kill -0 "${started[-1]}" 2>/dev/null || break
		sleep 0.05
	done
	fail "the $name does not start: $(<"$T/$name.err")"
}

# number FILE REGEX: adds up the numbers that the regex's group finds in the files.
number() {
	sed -nE "s/.*$1.*/\1/p" "${@:2}" | awk '{ sum += $1 } END { print sum + 0 }'
}

# What the sensors have made: the nth reading of each.
made() {
	awk -v sensors="$SENSORS" -v readings="$SECONDS_LONG" 'BEGIN {
		for (s = 1; s <= sensors; s++)
			for (n = 1; n <= readings; n++)
				printf "sensor-%d reading %d: %d.%d\n", s, n, 18 + n * 7 % 5, n * 3 % 10
	}' | LC_ALL=C sort
}

seq -f 'sensor-%g' "$SENSORS" | xargs "$BIN/dtls-genpsk" >"$T/keys" || fail 'there are no keys'
awk -v processes="$PROCESSES" -v to="$T/keys" '{ print >(to NR % processes) }' "$T/keys"
listen server "$BIN/coap-server" -l 127.0.0.1:0 --psk-file "$T/keys" -q
listen relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" --loss "$LOSS" --seed "${SEED:-1}"

sensors=()
for ((i = 0; i < PROCESSES; i++)); do
	"$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --fleet "$T/keys$i" --interval 1 --count "$SECONDS_LONG" -q "$@" \
		>"$T/acknowledged$i" 2>"$T/sensor$i.err" &
	sensors+=($!)
done
started+=("${sensors[@]}")
bad=
for i in "${!sensors[@]}"; do
	wait "${sensors[i]}" || bad="process $i of the sensors ended with status $?: $(tail -n 1 "$T/sensor$i.err")"
done
took=$SECONDS
for i in 1 0; do # the relay, the server
	kill -INT "${started[i]}" && wait "${started[i]}" || bad="${bad:-the server or the relay ended with status $?}"
done
started=()

made >"$T/made"
LC_ALL=C sort "$T"/acknowledged* >"$T/acknowledged"
sed 's| /sensors/[^ ]*||' "$T/server.out" | LC_ALL=C sort >"$T/printed"
doubled=$(LC_ALL=C uniq -d "$T/printed" | wc -l)
lost=$(LC_ALL=C comm -23 "$T/made" <(LC_ALL=C uniq "$T/printed") | wc -l)
strange=$(LC_ALL=C comm -13 "$T/made" <(LC_ALL=C uniq "$T/printed") | wc -l)
cat <<EOF
$SENSORS sensors in $PROCESSES processes, a reading a second for $SECONDS_LONG s, $LOSS of the datagrams lost each way; $took s in all
  readings made           $(wc -l <"$T/made")
  acknowledged            $(wc -l <"$T/acknowledged")
  at the application      $(wc -l <"$T/printed")
  lost                    $lost
  doubled                 $doubled
  came again, and counted once: $(number 'sent again ([0-9]+)' "$T/server.err"), of these in a new session $(number ' ([0-9]+) with their number' "$T/server.err")
  datagrams lost          $(number ' ([0-9]+) lost' "$T/relay.err") of $(number ': ([0-9]+) received' "$T/relay.err")
  sessions                $(number 'sessions ([0-9]+), open' "$T/server.err")
EOF
[[ -z $bad ]] || fail "$bad"
((strange == 0)) || fail "the server printed $strange readings that nobody made"
cmp -s "$T/made" "$T/acknowledged" || fail 'the acknowledged readings are not those that were made'
cmp -s "$T/made" "$T/printed" || fail 'the printed readings are not those that were made, each once'
(($(number ' ([0-9]+) lost' "$T/relay.err") > 0)) || fail 'the link lost nothing: nothing was tried'
