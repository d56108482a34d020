#!/bin/bash
# coap-server and coap-sensor as their users meet them: options, readings, discovery, observation, blocks, the journal,
# signals, and other libcoap programs on the other side.
# shellcheck disable=SC2119 # what is called without options
# shellcheck source=coap_programs.sh
. "$(dirname "$0")/coap_programs.sh"

# ---- command lines

help_and_version() {
	local name
	for name in coap-server coap-sensor; do
		expect_status 0 "$BIN/$name" --help
		contains "$T/cmd.out" "^Usage: $name "
		awk 'length($0) > 80 { print; bad = 1 } END { exit bad }' "$T/cmd.out"
		expect_status 0 "$BIN/$name" --version
		contains "$T/cmd.out" "^$name [0-9]+\.[0-9]+\.[0-9]+, mbed TLS [0-9.]+, libcoap 4\.3\.[0-9]+"
		refuses 2 'no-such-option' "$BIN/$name" --no-such-option
		refuses 1 'cannot write to standard output' bash -c "'$BIN/$name' --help >/dev/full"
	done
}

options_are_in_help() {
	local word
	for word in psk psk-file cert key ca verify quiet verbose help version; do
		"$BIN/coap-server" --help | grep -qE -- "--$word( |=|$)"
		"$BIN/coap-sensor" --help | grep -qE -- "--$word( |=|$)"
	done
	for word in listen journal max-sensors max-sessions max-handshakes idle; do
		"$BIN/coap-server" --help | grep -qE -- "--$word( |=|$)"
	done
	for word in hostname fleet serve resource interval count queue ack-timeout max-retransmit; do
		"$BIN/coap-sensor" --help | grep -qE -- "--$word( |=|$)"
	done
}

server_refuses() {
	refuses 2 "$1" "$BIN/coap-server" -l 127.0.0.1:0 "${@:2}"
}

sensor_refuses() {
	refuses 2 "$1" "$BIN/coap-sensor" coaps://127.0.0.1:5684 "${@:2}"
}

wrong_credentials() {
	local refuse
	refuses 2 'no key' "$BIN/coap-sensor" --serve 127.0.0.1:0
	for refuse in server_refuses sensor_refuses; do
		$refuse 'no key'
		$refuse 'odd number of hex digits' --psk a:123
		$refuse "'g' at column 3 is not a hex digit" --psk a:g1
		$refuse 'the key is empty' --psk a:
		$refuse 'the identity is empty' --psk :0011
		$refuse 'no colon' --psk a
		$refuse 'requires an argument' --psk
		$refuse 'cannot read .*/none: No such file' --psk-file "$T/none"
		$refuse 'cannot read .*: Is a directory' --psk-file "$T"
		$refuse '/dev/null has no keys' --psk-file /dev/null
		$refuse 'cannot read .*/none: No such file' --psk "$KEY" --ca "$T/none"
		$refuse '--key is given without --cert' --psk "$KEY" --key /dev/null
		$refuse '--verify takes none or required, not "optional"' --psk "$KEY" --verify optional
		$refuse '--ca is given twice: put the CAs into one file' --ca /dev/null --ca /dev/null
	done
	printf 'a:0011\nb:00g1\n' >"$T/psk"
	server_refuses "psk:2: 'g' at column 5 is not a hex digit" --psk-file "$T/psk"
	refuses 2 "psk:2: 'g' at column 5" "$BIN/coap-sensor" coaps://h --fleet "$T/psk" --interval 1
}

wrong_server_options() {
	local option
	for option in max-sensors max-sessions max-handshakes idle; do
		server_refuses "--$option takes a whole number from 1 .*\"0\"" --psk "$KEY" "--$option" 0
		server_refuses "--$option takes a whole number from 1 .*\"x\"" --psk "$KEY" "--$option" x
	done
	server_refuses '"extra" is one argument too many' --psk "$KEY" extra
	server_refuses 'cannot open .*/no/journal: No such file' --psk "$KEY" --journal "$T/no/journal"
	refuses 2 'HOST:PORT' "$BIN/coap-server" --psk "$KEY" -l 5684
	refuses 2 'port from 0 to 65535, not "65536"' "$BIN/coap-server" --psk "$KEY" -l 127.0.0.1:65536
	refuses 2 'cannot resolve' "$BIN/coap-server" --psk "$KEY" -l no.such.host.invalid:0
	refuses 2 'cannot listen on 192.0.2.1:5684: Cannot assign' "$BIN/coap-server" --psk "$KEY" -l 192.0.2.1:5684
}

wrong_sensor_options() {
	local sensor=$BIN/coap-sensor
	sensor_refuses '--interval takes a number of seconds .*"often"' --psk "$KEY" --interval often
	sensor_refuses '--interval takes a number of seconds from 0.001 on, not "0"' --psk "$KEY" --interval 0
	sensor_refuses '--count takes a whole number from 1' --psk "$KEY" --interval 1 --count 0
	sensor_refuses '--count is of readings that are made up: give --interval' --psk "$KEY" --count 1
	sensor_refuses '--queue takes a whole number from 1' --psk "$KEY" --queue 0
	sensor_refuses '--ack-timeout takes a whole number from 1 to 60' --psk "$KEY" --ack-timeout 0
	sensor_refuses '--max-retransmit takes a whole number from 0 to 10' --psk "$KEY" --max-retransmit 11
	sensor_refuses '"extra" is one argument too many' --psk "$KEY" extra
	sensor_refuses 'a client has one key' --psk "$KEY" --psk other:0011
	sensor_refuses '--resource names what --serve serves' --psk "$KEY" --resource /a
	sensor_refuses 'without an identity the path of the readings must be given' --verify none
	sensor_refuses '--fleet makes its readings up: give --interval' --fleet /dev/null
	sensor_refuses '--fleet has the keys: give no other credentials' --fleet /dev/null --interval 1 --psk "$KEY"
	sensor_refuses '/dev/null has no keys' --fleet /dev/null --interval 1
	refuses 2 'there is no server: give coaps://' "$sensor" --psk "$KEY"
	refuses 2 'named as coaps://HOST:PORT/PATH, not as "x"' "$sensor" x --psk "$KEY"
	refuses 2 'begins with coaps://' "$sensor" coap://127.0.0.1/a --psk "$KEY"
	refuses 2 'cannot resolve "no.such.host.invalid"' "$sensor" coaps://no.such.host.invalid --psk "$KEY"
	refuses 2 'give one of them' "$sensor" coaps://127.0.0.1 --serve 127.0.0.1:0 --psk "$KEY"
	refuses 2 'are for sending, not for --serve' "$sensor" --serve 127.0.0.1:0 --psk "$KEY" --hostname a
	refuses 2 'HOST:PORT' "$sensor" --serve 5684 --psk "$KEY"
}

port_in_use() {
	serve
	refuses 2 "cannot listen on 127.0.0.1:$PORT: Address already in use" \
		"$BIN/coap-server" -l "127.0.0.1:$PORT" --psk "$KEY"
	refuses 2 "cannot listen on 127.0.0.1:$PORT: Address already in use" \
		"$BIN/coap-sensor" --serve "127.0.0.1:$PORT" --psk "$KEY"
	stop server
}

keys_leave_the_command_line() {
	[[ -e /proc/self/cmdline ]] || skip 'no /proc to see command lines in'
	serve
	tr '\0' ' ' <"/proc/$(<"$T/server.pid")/cmdline" >"$T/cmdline"
	contains "$T/cmdline" '--psk sensor-17:x+ '
	lacks "$T/cmdline" '7365'
	stop server
}

# ---- readings

lines_are_readings() {
	serve
	printf '21.4\ntemperature \001\303\244\nlast' >"$T/in"
	expect_status 0 sensor <"$T/in"
	equal "$(<"$T/cmd.out")" $'21.4\ntemperature \\x01\\xc3\\xa4\nlast'
	contains "$T/cmd.err" '^  readings taken 3, acknowledged 3, refused 0, waiting 0$'
	equal "$(sed 's/^sensor-17 .sensors.sensor-17 //' "$T/server.out")" "$(<"$T/cmd.out")"
	contains "$T/server.err" '^127\.0\.0\.1:[0-9]+ sensor-17 connected$'
	stop server
	contains "$T/server.err" '^  readings 3, sent again 0: 0 with their message ID, 0 with their number$'
}

lines_leave_as_they_come() {
	serve -q
	start_sensor sensor -v
	echo one >&9
	wait_for sensor '^one$'
	wait_for sensor '^ +[0-9]+\.[0-9]{3} reading 1 acknowledged after [0-9.]+ s$'
	echo two >&9
	wait_for sensor '^two$'
	exec 9>&-
	finished sensor
	stop server
	lacks "$T/server.err" connected
}

lines_that_are_none() {
	serve
	{
		echo a
		echo
		head -c 70000 /dev/zero | tr '\0' x
		echo
		echo b
	} >"$T/in"
	expect_status 1 sensor <"$T/in"
	equal "$(<"$T/cmd.out")" $'a\nb'
	contains "$T/cmd.err" '^coap-sensor: line 2 is no reading: it is empty$'
	contains "$T/cmd.err" '^coap-sensor: line 3 is no reading: it is too long$'
	stop server
}

made_up_readings() {
	serve
	expect_status 0 sensor --interval 0.05 --count 5 </dev/null
	equal "$(wc -l <"$T/cmd.out")" 5
	equal "$(sed 's/^sensor-17 .sensors.sensor-17 //' "$T/server.out")" "$(<"$T/cmd.out")"
	stop server
}

a_path_of_ones_own() {
	serve
	echo 21.4 | timeout 60 "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen/north%20wall" --psk "$KEY"
	wait_for server '^sensor-17 /sensors/kitchen/north%20wall 21.4$'
	equal "$(coap /sensors/kitchen/north%20wall)" 21.4
	echo 21.4 >"$T/in"
	expect_status 1 timeout 60 "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT/sensors/kitchen?x=1" --psk "$KEY" <"$T/in"
	contains "$T/cmd.err" '^coap-sensor: the server refuses reading 1: 4\.00'
	stop server
}

any_identity() {
	start server "$BIN/coap-server" -l 127.0.0.1:0 --psk $'a b:\303\244:0011'
	PORT=$(port server)
	echo hi | timeout 60 "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk $'a b:\303\244:0011'
	wait_for server '^a b:\\xc3\\xa4 /sensors/a%20b:%C3%A4 hi$'
	stop server
}

ipv6() {
	(: >/dev/udp/::1/9) 2>/dev/null || skip 'this machine has no ::1'
	start server "$BIN/coap-server" -l '[::1]:0' --psk "$KEY"
	wait_for server '^listening on \[::1\]:[0-9]+$'
	PORT=$(port server)
	echo 21.4 | timeout 60 "$BIN/coap-sensor" "coaps://[::1]:$PORT" --psk "$KEY"
	wait_for server '^\[::1\]:[0-9]+ sensor-17 connected$'
	equal "$(<"$T/server.out")" 'sensor-17 /sensors/sensor-17 21.4'
	stop server
}

large_readings() {
	local size
	serve
	for size in 1000 1024 1100 8000 30000; do
		equal "$(blocks_of "$size" | sensor)" "$(blocks_of "$size")"
		equal "$(tail -n 1 "$T/server.out" | wc -c)" $((size + 30))
		equal "$(coap /sensors/sensor-17)" "$(blocks_of "$size")"
	done
	stop server
}

large_bodies_of_others() {
	serve
	blocks_of 8000 y >"$T/body"
	coap /sensors/big -m put -f "$T/body" -t 42
	coap /sensors/big -m post -f "$T/body" -b 64
	equal "$(coap /sensors/big)" "$(<"$T/body")"
	equal "$(coap /sensors/big -b 32)" "$(<"$T/body")"
	stop server
	equal "$(sort -u "$T/server.out")" "sensor-17 /sensors/big $(<"$T/body")"
	equal "$(wc -l <"$T/server.out")" 2
}

discovery() {
	serve
	coap /sensors/kitchen -m post -e 21.4
	coap /.well-known/core >"$T/links"
	contains "$T/links" '</time>;rt="time";obs'
	contains "$T/links" '</sensors/kitchen>;rt="reading";obs'
	stop server
}

the_time() {
	serve
	coap /time -w -s 3 >"$T/times"
	contains "$T/times" '^20[0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9:]{8}Z$'
	(($(sort -u "$T/times" | wc -l) >= 3))
	contains <(coap /time -m post -e x) '4\.05'
	stop server
}

observation() {
	serve
	coap /sensors/kitchen -m put -e zero
	start observer timeout 60 coap-client-openssl -v 3 -w -s 20 -u sensor-17 -k secretPSK \
		"coaps://127.0.0.1:$PORT/sensors/kitchen"
	wait_for observer '^zero$'
	start_sensor sensor
	for reading in one two three; do
		coap /sensors/kitchen -m post -e "$reading"
		wait_for observer "^$reading$"
	done
	coap /sensors/kitchen -m delete
	wait_for observer '^4\.04'
	stop observer || :
	stop server
}

deletion() {
	serve
	coap /sensors/bath -m put -e warm
	coap /sensors/kitchen -m put -e 21.4
	coap /sensors/kitchen -m delete
	contains <(coap /sensors/kitchen) '^4\.04'
	coap /.well-known/core >"$T/links"
	lacks "$T/links" kitchen
	coap /sensors/kitchen -m put -e 21.5
	equal "$(coap /sensors/kitchen)" 21.5
	equal "$(coap /sensors/bath)" warm
	stop server
	contains "$T/server.err" 'deleted 1; sensors 2$'
}

bad_requests() {
	serve --max-sensors 1
	coap /sensors/a -m put -e x
	contains <(coap /sensors/b -m put -e x) '^5\.03 there are too many sensors'
	contains <(coap /elsewhere -m put -e x) '^4\.04 readings go to /sensors/NAME'
	contains <(coap /sensors -m post -e x) '^4\.04 readings go to /sensors/NAME'
	contains <(coap /sensors/a -m post) '^4\.00 a reading has at least one byte'
	contains <(coap '/sensors/a?N=1' -m post -e x) '^4\.00 the query has n=NUMBER and run=NAME, and nothing else'
	for n in 0 -1 1x '' 99999999999999999999; do
		contains <(coap "/sensors/a?n=$n" -m post -e x) '^4\.00 n takes a whole number'
	done
	for run in '' a.b "$(printf '%033d' 0)"; do
		contains <(coap "/sensors/a?n=1&run=$run" -m post -e x) '^4\.00 run takes 1 to 32'
	done
	blocks_of 200 >"$T/body"
	contains <(coap /sensors/a -m post -f "$T/body" -b 1,64) '^4\.08 blocks are missing: begin again with the first'
	stop server
	equal "$(<"$T/server.out")" 'sensor-17 /sensors/a x'
	contains "$T/server.err" '^  refused 14, '
}

# ---- each reading once

numbers() {
	local query
	serve --psk other:6f
	for query in 'n=1' 'n=1' 'run=a&n=1' 'n=1&run=a' 'n=3&run=a' 'n=2&run=a' 'n=3&run=a' 'n=67&run=a' 'n=3&run=a' \
		'n=4&run=a' 'run=b&n=1'; do
		coap "/sensors/kitchen?$query" -m post -e "$query" >"$T/answer"
		[[ ! -s $T/answer ]] || echo "$query: $(<"$T/answer")" >>"$T/answers"
	done
	timeout 60 coap-client-openssl -v 3 -B 20 -u other -k o "coaps://127.0.0.1:$PORT/sensors/kitchen?run=a&n=67" \
		-m post -e other
	coap '/sensors/bath?n=66&run=a' -m post -e bath
	stop server
	sed 's/^[^ ]* [^ ]* //' "$T/server.out" >"$T/readings"
	equal "$(tr '\n' ' ' <"$T/readings")" \
		'n=1 run=a&n=1 n=3&run=a n=2&run=a n=67&run=a n=4&run=a run=b&n=1 other bath '
	equal "$(<"$T/answers")" 'n=3&run=a: 4.09 this number was overtaken by 64 others or more'
	contains "$T/server.err" '^  readings 9, sent again 3: 0 with their message ID, 3 with their number$'
}

# ---- the journal

journal_restores() {
	serve --journal "$T/journal"
	coap '/sensors/a?run=r&n=7' -m put -e 'a \ b' -t 50
	coap '/sensors/b%20c' -m put -e 'plain'
	coap '/sensors/gone' -m put -e 'gone'
	coap '/sensors/gone' -m delete
	stop server
	contains "$T/journal" '^20[0-9-]+T[0-9:]+Z sensor-17 sensors/a r 7 50 a \\x5c b$'
	contains "$T/journal" '^20[0-9-]+T[0-9:]+Z sensor-17 sensors/b%20c - 0 0 plain$'
	contains "$T/journal" '^20[0-9-]+T[0-9:]+Z sensor-17 sensors/gone - 0 - $'
	printf 'half a li' >>"$T/journal"
	serve --journal "$T/journal"
	equal "$(coap /sensors/a)" 'a \ b'
	equal "$(coap /sensors/b%20c)" plain
	contains <(coap /sensors/gone) '^4\.04'
	coap '/sensors/a?run=r&n=7' -m put -e again
	coap '/sensors/a?run=r&n=8' -m put -e next
	stop server
	equal "$(<"$T/server.out")" 'sensor-17 /sensors/a next'
	equal "$(wc -l <"$T/journal")" 5
	lacks "$T/journal" half
}

bad_journals() {
	serve --journal "$T/journal"
	server_refuses 'journal is in use by another server$' --psk "$KEY" --journal "$T/journal"
	coap /sensors/a -m put -e 1
	coap /sensors/b -m put -e 2
	stop server
	server_refuses 'journal:2 has one sensor more than --max-sensors allows$' --psk "$KEY" --journal "$T/journal" \
		--max-sensors 1
	server_refuses "cannot open $T: Is a directory" --psk "$KEY" --journal "$T"
	for line in x 'T n p - 0 0' 'T n p - x 0 t' 'T n p - 0 70000 t' 'T n p - 0 0 \x4' 'T  p - 0 0 t' 'T n  - 0 0 t' \
		'T n a\x00b - 0 0 t' "T n p $(printf '%033d' 0) 0 0 t"; do
		cp "$T/journal" "$T/bad"
		echo "$line" >>"$T/bad"
		server_refuses 'bad:3 is no line of a journal of readings$' --psk "$KEY" --journal "$T/bad"
	done
}

# What cannot be kept is not acknowledged.
full_journal() {
	local status=0
	start server bash -c "ulimit -f 1 && trap '' XFSZ &&
		exec '$BIN/coap-server' -l 127.0.0.1:0 --psk $KEY --journal '$T/journal'"
	PORT=$(port server)
	start_sensor sensor
	seq -f 'a reading that takes room %g' 100 >&9
	wait_for server '^coap-server: cannot write .*journal: (File too large|No space left on device)$'
	wait_for sensor 'is not taken now: 5\.00'
	signal sensor TERM
	finished sensor || status=$?
	equal "$status" 1
	stop server
	equal "$(wc -l <"$T/server.out")" "$(wc -l <"$T/journal")"
	equal "$(wc -l <"$T/sensor.out")" "$(wc -l <"$T/journal")"
	equal "$(tail -c 1 "$T/journal" | od -An -c | tr -d ' ')" '\n'
}

full_output() {
	start server bash -c "exec '$BIN/coap-server' -l 127.0.0.1:0 --psk $KEY >/dev/full"
	PORT=$(port server)
	start_sensor sensor
	echo 21.4 >&9
	ends_with 1 server '^coap-server: cannot write to standard output: No space left on device$'
	signal sensor TERM
	ends_with 1 sensor 'coap-sensor: 1 readings are not acknowledged, the first is number 1$'
	[[ ! -s $T/sensor.out ]]
}

# ---- signals

server_ends_on() {
	serve
	start_sensor sensor
	echo 21.4 >&9
	wait_for sensor '^21.4$'
	stop server "$1"
	contains "$T/server.err" '^counters at the end:$'
	contains "$T/server.err" '^  sessions 1, open [01], handshakes failed 0$'
	wait_for sensor 'disconnected: '
	exec 9>&-
	finished sensor
}

sensor_ends_on() {
	serve
	start_sensor sensor
	echo 21.4 >&9
	wait_for sensor '^21.4$'
	signal sensor USR1
	wait_for sensor '^counters on SIGUSR1:$'
	stop sensor "$1"
	contains "$T/sensor.err" '^counters at the end:$'
	stop server
	start_sensor late
	printf '1\n2\n' >&9
	wait_for late 'not connected'
	signal late "$1"
	ends_with 1 late '^coap-sensor: 2 readings are not acknowledged, the first is number 1$'
}

counters_on_request() {
	serve
	echo 21.4 | sensor
	signal server HUP
	wait_for server '^SIGHUP: there is no file to read again: no --psk-file, no --cert$'
	signal server USR1
	wait_for server '^counters on SIGUSR1:$'
	wait_for server '^  readings 1, sent again 0'
	stop server
}

# ---- other servers

a_server_that_refuses() {
	local port=$((20000 + $$ % 10000 * 2))
	start server coap-server-openssl -v 3 -A 127.0.0.1 -p "$port" -k secretPSK -h hint
	sleep 0.5
	PORT=$((port + 1))
	echo 21.4 >"$T/in"
	expect_status 1 timeout 60 "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT/time" --psk "$KEY" <"$T/in"
	contains "$T/cmd.err" '^coap-sensor: the server refuses reading 1: 4\.0[0-9]'
	contains "$T/cmd.err" 'acknowledged 0, refused 1, waiting 0$'
	stop server || :
}

# ---- serving

serves() {
	start sensor "$BIN/coap-sensor" --serve 127.0.0.1:0 --psk "$KEY" --resource /temperature --interval 0.2 "$@"
	PORT=$(port sensor)
}

serves_readings() {
	serves --psk other:6f
	wait_for sensor '^listening on '
	coap /temperature -w -s 2 >"$T/readings"
	(($(sort -u "$T/readings" | wc -l) >= 4)) || fail "few readings: $(<"$T/readings")"
	contains <(coap /.well-known/core) '</temperature>;rt="reading";obs'
	contains <(coap /temperature -m put -e x) '^4\.05'
	timeout 60 coap-client-openssl -v 3 -B 20 -u other -k o "coaps://127.0.0.1:$PORT/temperature" >"$T/other"
	contains "$T/other" '^reading [0-9]+: '
	signal sensor HUP
	wait_for sensor '^SIGHUP: there is no file'
	signal sensor USR1
	wait_for sensor '^counters on SIGUSR1:$'
	stop sensor INT
	contains "$T/sensor.err" '^sensor-17 connected$'
	contains "$T/sensor.err" '^  readings [0-9]+, sent to clients [0-9]+ times$'
}

serves_lines() {
	mkfifo "$T/lines"
	exec 9<>"$T/lines"
	start sensor "$BIN/coap-sensor" --serve 127.0.0.1:0 --psk "$KEY" <"$T/lines" 9>&-
	PORT=$(port sensor)
	contains <(coap /reading) '^5\.03'
	echo one >&9
	equal "$(coap /reading)" one
	blocks_of 9000 >&9
	echo >&9
	equal "$(coap /reading)" "$(blocks_of 9000)"
	exec 9>&-
	equal "$(coap /reading)" "$(blocks_of 9000)"
	stop sensor
}

t 'help and version' help_and_version
t 'every option is in the help' options_are_in_help
t 'wrong credentials are refused with a reason' wrong_credentials
t "wrong values of the server's options" wrong_server_options
t "wrong values of the sensor's options" wrong_sensor_options
t 'a port that is in use' port_in_use
t 'keys do not stay in the command line' keys_leave_the_command_line
t 'lines are readings' lines_are_readings
t 'each line leaves when it comes' lines_leave_as_they_come
t 'lines that are no readings are named' lines_that_are_none
t 'made up readings' made_up_readings
t 'a path of one'\''s own' a_path_of_ones_own
t 'an identity of any bytes' any_identity
t 'IPv6' ipv6
t 'readings of up to 30,000 bytes' large_readings
t 'bodies of 8,000 bytes from and to coap-client' large_bodies_of_others
t 'discovery' discovery
t 'the time, once a second' the_time
t 'observed readings' observation
t 'a sensor is deleted' deletion
t 'bad requests are refused with a reason' bad_requests
t 'a number counts once in its run' numbers
t 'the journal is read at the start' journal_restores
t 'bad journals are refused with a reason' bad_journals
t 'a journal that cannot be written' full_journal
t 'standard output is full' full_output
for signal in TERM INT; do
	t "the server ends on SIG$signal" server_ends_on "$signal"
	t "the sensor ends on SIG$signal" sensor_ends_on "$signal"
done
t 'the counters, on SIGUSR1' counters_on_request
t 'a server that refuses readings' a_server_that_refuses
t 'made up readings are served' serves_readings
t 'lines are served' serves_lines
finish
