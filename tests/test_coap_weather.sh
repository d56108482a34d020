#!/bin/bash
# coap-sensor through loss, restarts of its server, changes of its address and long silence: each reading arrives once.
# shellcheck source=coap_programs.sh
. "$(dirname "$0")/coap_programs.sh"

# A sensor that gives a session up after 1 to 1.5 s and another 2 to 3 s without an answer.
HASTY=(--ack-timeout 1 --max-retransmit 1)

# ---- each reading once

# The answer to the first request is lost: it comes again in the same session, with its message ID and without a number.
message_ids() {
	serve
	relay --drop s4
	coap /sensors/kitchen -m post -e 21.4
	stop relay
	stop server
	equal "$(<"$T/server.out")" 'sensor-17 /sensors/kitchen 21.4'
	contains "$T/server.err" '^  readings 1, sent again 1: 1 with their message ID, 0 with their number$'
}

# The same at the end of a body in blocks.
message_ids_of_blocks() {
	local last
	blocks_of 2000 z >"$T/body"
	for last in s4 s5; do
		PORT=
		serve
		relay --drop "$last"
		coap /sensors/big -m put -f "$T/body"
		stop relay
		stop server
		equal "$(<"$T/server.out")" "sensor-17 /sensors/big $(<"$T/body")"
	done
	contains "$T/server.err" '^  readings 1, sent again 1: 1 with their message ID, 0 with their number$'
}

twenty_percent_lost() {
	serve
	relay --loss 20% --delay 5 --seed 3
	expect_status 0 sensor --interval 0.01 --count 10 --ack-timeout 1 </dev/null
	stop relay
	stop server
	equal "$(sed 's/^sensor-17 .sensors.sensor-17 //' "$T/server.out")" "$(<"$T/cmd.out")"
	equal "$(wc -l <"$T/cmd.out")" 10
	contains "$T/relay.err" ' [1-9][0-9]* lost'
}

# ---- the weather

server_comes_late() {
	serve
	stop server
	start_sensor sensor
	printf 'one\ntwo\n' >&9
	wait_for sensor 'not connected: nobody listens there; again in [0-9.]+ s$'
	serve 9>&-
	wait_for sensor '^two$' 30
	exec 9>&-
	finished sensor
	equal "$(<"$T/server.out")" $'sensor-17 /sensors/sensor-17 one\nsensor-17 /sensors/sensor-17 two'
	stop server
	contains "$T/server.err" '^  sessions 1, '
}

# A sensor that was accepted once does not give up when its key is missing for a while.
key_is_missing_for_a_while() {
	echo "$KEY" >"$T/psk"
	start server "$BIN/coap-server" -l 127.0.0.1:0 --psk-file "$T/psk" --idle 1
	PORT=$(port server)
	start_sensor sensor
	echo one >&9
	wait_for sensor '^one$'
	echo other:6f >"$T/psk"
	signal server HUP
	wait_for sensor 'disconnected: ' 20
	echo two >&9
	wait_for sensor 'not connected: handshake with .*; again in ' 20
	wait_for sensor 'not connected: handshake with .*; again in [1-9]' 20
	echo "$KEY" >"$T/psk"
	signal server HUP
	wait_for sensor '^two$' 30
	exec 9>&-
	finished sensor
	stop server
}

# restart SIGNAL: the server ends and comes again, in the middle of what a sensor sends.
restart() {
	serve --journal "$T/journal"
	start_sensor sensor "${HASTY[@]}" --interval 0.1 --count 60
	wait_for sensor '^reading 20:'
	stop server "$1" || :
	mv "$T/server.out" "$T/before"
	wait_for sensor '^ +[0-9.]+ (disconnected|not connected): .*; again in '
	serve --journal "$T/journal"
	exec 9>&-
	finished sensor
	stop server
	equal "$(cat "$T/before" "$T/server.out" | sed 's/^sensor-17 .sensors.sensor-17 //')" "$(<"$T/sensor.out")"
	equal "$(wc -l <"$T/sensor.out")" 60
	contains "$T/sensor.err" 'acknowledged 60, refused 0, waiting 0$'
}

# The relay ends and comes again: what it sends now comes from another port, as after a change of a NAT's mind.
address_changes() {
	local relay_port
	serve
	relay
	relay_port=$PORT
	start_sensor sensor "${HASTY[@]}"
	echo one >&9
	wait_for sensor '^one$'
	stop relay
	start relay "$BIN/dtls-relay" -l "127.0.0.1:$relay_port" -t "127.0.0.1:$(port server)" 9>&-
	port relay
	printf 'two\nthree\n' >&9
	wait_for sensor 'disconnected: there is no answer; again in' 20
	wait_for sensor '^three$' 20
	exec 9>&-
	finished sensor
	contains "$T/sensor.err" 'sessions 2$'
	stop relay
	stop server
	equal "$(sed 's/.* //' "$T/server.out" | tr '\n' ' ')" 'one two three '
}

# An answer is lost, and so is the session: in the next one the reading comes again under another message ID.
again_in_a_new_session() {
	serve
	relay --drop s4-1000
	start_sensor sensor "${HASTY[@]}"
	echo one >&9
	wait_for server '^sensor-17 /sensors/sensor-17 one$'
	stop relay
	start relay "$BIN/dtls-relay" -l "127.0.0.1:$PORT" -t "127.0.0.1:$(port server)" 9>&-
	port relay
	wait_for sensor '^one$' 40
	exec 9>&-
	finished sensor
	stop relay
	stop server
	equal "$(<"$T/server.out")" 'sensor-17 /sensors/sensor-17 one'
	contains "$T/server.err" 'with their message ID, 1 with their number$'
}

silence_ends_a_session() {
	serve --idle 1
	start_sensor sensor
	echo one >&9
	wait_for sensor 'disconnected: ' 20
	signal server USR1
	wait_for server '^  sessions 1, open 0, '
	echo two >&9
	wait_for sensor '^two$' 20
	exec 9>&-
	finished sensor
	contains "$T/sensor.err" 'sessions 2$'
	stop server
}

full_queue() {
	serve
	stop server
	start_sensor sensor --queue 5 --interval 0.02 --count 20
	wait_for sensor '^coap-sensor: a queue is full: new readings are not taken'
	serve
	wait_for sensor '^reading 20:' 30
	exec 9>&-
	finished sensor
	contains "$T/sensor.err" '^  readings taken 20, acknowledged 20, refused 0, waiting 0$'
	contains "$T/sensor.err" '^  readings not taken, for the queue was full [1-9][0-9]*; sessions 1$'
	equal "$(sed 's/^sensor-17 .sensors.sensor-17 //' "$T/server.out")" "$(<"$T/sensor.out")"
	stop server
}

# More lines than the queue and the pipe have room for wait where they are.
full_queue_of_lines() {
	serve
	seq 3000 >"$T/lines"
	expect_status 0 sensor --queue 3 <"$T/lines"
	cmp "$T/lines" "$T/cmd.out"
	equal "$(sed 's/.* //' "$T/server.out")" "$(<"$T/lines")"
	stop server
}

# What has no room is not even read.
full_queue_in_the_dark() {
	serve
	stop server
	seq 3000 >"$T/lines"
	start sensor "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk "$KEY" --queue 3 <"$T/lines"
	wait_for sensor 'not connected: nobody listens there'
	signal sensor USR1
	wait_for sensor '^  readings taken 3, acknowledged 0, refused 0, waiting 3$'
	signal sensor TERM
	ends_with 1 sensor '^coap-sensor: 3 readings are not acknowledged, the first is number 1$'
}

a_name_with_two_addresses() {
	(: >/dev/udp/::1/9) 2>/dev/null || skip 'this machine has no ::1'
	unshare -rm true 2>/dev/null || skip 'a hosts file of our own needs a namespace, which is not allowed here'
	printf '::1 twofold\n127.0.0.1 twofold\n' >"$T/hosts"
	serve
	echo 21.4 | unshare -rm sh -c 'mount --bind "$1" /etc/hosts && shift && exec timeout 60 "$@"' - "$T/hosts" \
		"$BIN/coap-sensor" "coaps://twofold:$PORT" --psk "$KEY" 2>"$T/err"
	lacks "$T/err" 'not connected|again in'
	stop server
}

# ---- the demo

demo=$(dirname "${BASH_SOURCE[0]}")/../examples/demo.sh

demo_in_time() {
	mkdir "$T/tmp"
	TMPDIR=$T/tmp timeout 60 bash "$demo" >"$T/demo.out" 2>&1
	equal "$(grep -cE '^   sensor-17 /sensors/cellar reading [0-9]+: temperature [0-9.]+$' "$T/demo.out")" 8
	equal "$(grep -cE '^ +[0-9.]+ reading [0-9]+ acknowledged after [0-9.]+ s$' "$T/demo.out")" 8
	tail -n 1 "$T/demo.out" >"$T/last"
	contains "$T/last" 'Everything that was announced has happened'
	equal "$(find "$T/tmp" -mindepth 1)" ''
}

# demo_fails_with SENTENCE PROGRAM SCRIPT: with the script in place of the program.
demo_fails_with() {
	local sentence=$1 program=$2
	mkdir "$T/bin" "$T/tmp"
	ln -s "$BIN"/dtls-* "$BIN"/coap-* "$T/bin"
	rm "$T/bin/$program"
	printf '#!/bin/bash\n%s\n' "$3" >"$T/bin/$program"
	chmod +x "$T/bin/$program"
	export REAL=$BIN BIN=$T/bin TMPDIR=$T/tmp
	expect_status 1 timeout 60 bash "$demo"
	contains "$T/cmd.out" "^The demo has FAILED: $sentence"
	equal "$(find "$T/tmp" -mindepth 1)" ''
}

demo_cleans_up() {
	[[ -e /proc/self/cmdline ]] || skip 'no /proc to see processes in'
	mkdir "$T/tmp"
	TMPDIR=$T/tmp start demo bash "$demo"
	wait_for demo ' connected to 127'
	{ grep -lszF "$T/tmp" /proc/[0-9]*/cmdline || :; } | sed 's/[^0-9]//g' >"$T/parts" # others may end meanwhile
	(($(wc -l <"$T/parts") >= 2)) || fail 'its programs were not found'
	signal demo TERM
	ends_with 143 demo
	while read -r pid; do
		[[ -e /proc/$pid/cmdline ]] || continue
		# A zombie, which a container's init may never reap, has no command line.
		equal "$(tr -d '\0' <"/proc/$pid/cmdline")" ''
	done <"$T/parts"
	equal "$(find "$T/tmp" -mindepth 1)" ''
}

t 'a message ID counts once in its session' message_ids
t 'so does that of the last block' message_ids_of_blocks
t 'through 20 % loss' twenty_percent_lost
t 'the server comes late' server_comes_late
for signal in TERM KILL; do
	t "the server is started again under a sensor, after SIG$signal" restart "$signal"
done
t "the sensor's address changes" address_changes
t 'a reading comes again in a new session' again_in_a_new_session
t 'the key is missing for a while' key_is_missing_for_a_while
t 'silence ends a session, and not the sensor' silence_ends_a_session
t 'a full queue' full_queue
t 'a full queue reads no more input' full_queue_of_lines
t 'a full queue while nobody listens' full_queue_in_the_dark
t 'the second address of a name is tried at once' a_name_with_two_addresses
t 'the demo does what it promises, and leaves nothing' demo_in_time
t 'the demo fails when nothing was lost' demo_fails_with 'the link lost nothing' \
	dtls-relay 'exec "$REAL/dtls-relay" "${@:1:4}"'
t 'the demo fails when a part of it does not start' demo_fails_with 'the relay does not start: gone' \
	dtls-relay 'echo gone >&2'
t 'the demo fails when a reading is doubled' demo_fails_with 'the server did not read what was measured' \
	coap-server 'exec "$REAL/coap-server" "$@" > >(sed -u p)'
t 'the demo fails when a reading is lost' demo_fails_with 'the server did not read what was measured' \
	coap-server 'exec "$REAL/coap-server" "$@" > >(sed -u 3d)'
t 'the demo fails when the sensor fails' demo_fails_with 'the sensor could not send its readings' coap-sensor 'exit 1'
t 'the demo that is ended early leaves nothing behind' demo_cleans_up
finish
