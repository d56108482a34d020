#!/bin/bash
# The examples in Python, with the module of $BUILD/python and the interpreter $PYTHON: beside mosquitto, the C
# programs, and each other.
# shellcheck source=mosquitto.sh
. "$(dirname "$0")/mosquitto.sh"

# shellcheck source=python.sh
. "$(dirname "$0")/python.sh"

EXAMPLES=$(realpath "$(dirname "$0")/../examples")
PATIENCE=45 # seconds for what takes several attempts

mqtt=("${python[@]}" "$EXAMPLES/mqtt_psk.py")
sensor=("${python[@]}" "$EXAMPLES/dtls_sensor.py")

# serve PROGRAM [OPTION...]: dtls-server, dtls_server.py or aio_server.py, with KEY unless $T/keys has others; at PORT if
# that is set, and PORT is its port.
serve() {
	local program=$1 command
	shift
	[[ -e $T/keys ]] || echo "$KEY" >"$T/keys"
	case $program in
	*.py) command=("${python[@]}" "$EXAMPLES/$program") ;;
	*) command=("$BIN/$program" --confirm) ;;
	esac
	start server "${command[@]}" -l "127.0.0.1:${PORT:-0}" --psk-file "$T/keys" "$@"
	PORT=$(port server)
}

# end NAME [SIGNAL]: ends it (TERM), in good order.
end() {
	signal "$1" "${2:-TERM}"
	ends_with 0 "$1"
}

# lossy SEED: a relay in front of the server that loses a fifth of all datagrams; PORT becomes its port.
lossy() {
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" --loss 0.2 --seed "$1"
	PORT=$(port relay)
}

# start_sensor [OPTION...]: it has 4 readings a second and gives up a handshake after 2 s.
start_sensor() {
	start sensor "${sensor[@]}" "127.0.0.1:$PORT" --psk "$KEY" --period 0.25 --timeout 2 "$@"
}

client() {
	timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" "$@"
}

# start_client NAME: a session of dtls-client, whose input is what is written to descriptor 9.
start_client() {
	mkfifo "$T/$1.in"
	exec 9<>"$T/$1.in"
	start "$1" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" <"$T/$1.in" 9>&-
}

# readings N [BEFORE]: what N readings look like, each line behind BEFORE.
readings() {
	seq -f "^${2-}%g temperature [0-9]+\.[0-9]$" "$1"
}

# are_readings FILE N [BEFORE]: its lines are readings 1 to N, each perhaps several times, in this order.
are_readings() {
	equal "$(uniq "$1" | wc -l)" "$2"
	uniq "$1" | paste -d '\n' - <(readings "$2" "${3-}") | while read -r line && read -r regex; do
		[[ $line =~ $regex ]] || fail "'$line' does not match '$regex'"
	done
}

# ---- command lines

help_is_there() {
	local name word
	for name in mqtt_psk dtls_sensor dtls_server aio_server; do
		expect_status 0 "${python[@]}" "$EXAMPLES/$name.py" --help
		cp "$T/cmd.out" "$T/$name"
		contains "$T/$name" "^usage: $name.py "
		contains "$T/$name" ' --psk-file FILE'
		refuses 1 "^$name.py: cannot write to standard output: No space" \
			bash -c 'exec "$@" >/dev/full' - "${python[@]}" "$EXAMPLES/$name.py" --help
	done
	for word in topic message qos count timeout psk; do
		contains "$T/mqtt_psk" " --$word "
	done
	for word in period count timeout psk; do
		contains "$T/dtls_sensor" " --$word "
	done
	for word in listen max-peers idle; do
		contains "$T/dtls_server" " --$word "
	done
	for word in listen period; do
		contains "$T/aio_server" " --$word "
	done
}

sensor_refuses() {
	refuses 2 "^dtls_sensor.py: $1" "${sensor[@]}" 127.0.0.1:1 "${@:2}"
}

mqtt_refuses() {
	refuses 2 "^mqtt_psk.py: $1" "${mqtt[@]}" "${@:2}"
}

# server_refuses PROGRAM REGEX OPTION...
server_refuses() {
	refuses 2 "^$1: $2" "${python[@]}" "$EXAMPLES/$1" "${@:3}"
}

wrong_client_keys() {
	sensor_refuses 'one of the arguments --psk --psk-file is required'
	sensor_refuses '--psk: the key is not an even number of hex digits' --psk a:123
	sensor_refuses '--psk: the key is not an even number of hex digits' --psk a:g1
	sensor_refuses '--psk: no colon between identity and key' --psk a
	sensor_refuses '--psk: the key is empty' --psk a:
	sensor_refuses '--psk: the key has 64 bytes, but mbed TLS .* takes at most' --psk "a:$(printf '%0128d' 0)"
	sensor_refuses '--psk: the identity is empty' --psk :0011
	sensor_refuses '--psk: the identity has 129 bytes, but 128 are the most' --psk "$(printf '%0129d' 0):0011"
	sensor_refuses '--psk-file: cannot read .*/none: No such file' --psk-file "$T/none"
	printf 'a:0011\nb:0011\n' >"$T/psk"
	sensor_refuses '--psk-file: .*psk has 2 keys' --psk-file "$T/psk"
	echo "$KEY" >"$T/psk"
	sensor_refuses '--psk-file: not allowed with argument --psk' --psk "$KEY" --psk-file "$T/psk"
}

wrong_values() {
	local at=127.0.0.1:1
	sensor_refuses '--period: takes a number of seconds above 0, .* "-1"' --psk "$KEY" --period -1
	sensor_refuses '--count: takes a whole number from 1, not "0"' --psk "$KEY" --count 0
	sensor_refuses '--timeout: takes a number of seconds .* "nan"' --psk "$KEY" --timeout nan
	sensor_refuses 'unrecognized arguments: --no-such-option' --psk "$KEY" --no-such-option
	refuses 2 'HOST:PORT: takes a port from 1 to 65535, not "0"' "${sensor[@]}" 127.0.0.1:0 --psk "$KEY"
	refuses 2 'HOST:PORT: takes HOST:PORT, .* not "::1:5684"' "${sensor[@]}" ::1:5684 --psk "$KEY"
	refuses 2 'are required: HOST:PORT' "${sensor[@]}" --psk "$KEY"
	mqtt_refuses "command: invalid choice: 'publish'" publish "$at" --psk "$KEY" -t a
	mqtt_refuses '.* required: -t' pub "$at" --psk "$KEY"
	mqtt_refuses '--topic takes 1 to 65535 bytes' pub "$at" --psk "$KEY" -t ''
	mqtt_refuses "--qos: invalid choice: '?2'? " pub "$at" --psk "$KEY" -t a --qos 2
	mqtt_refuses '--count is for sub' pub "$at" --psk "$KEY" -t a --count 1
	mqtt_refuses '--message is for pub' sub "$at" --psk "$KEY" -t a -m b
	mqtt_refuses '.*takes a port from 1 to 65535, not "x"' pub 127.0.0.1:x --psk "$KEY" -t a
	mqtt_refuses '--psk-file: cannot read' pub "$at" --psk-file "$T/none" -t a
}

wrong_server_options() {
	echo "$KEY" >"$T/psk"
	printf '# keys\n\na:0011\r\nb:00g1\n' >"$T/bad"
	printf 'a:0011\na:0022\n' >"$T/twice"
	server_refuses "$1" '.*are required: --psk-file'
	server_refuses "$1" '--psk-file: cannot read .*/none: No such file' --psk-file "$T/none"
	server_refuses "$1" '--psk-file: cannot read .*: Is a directory' --psk-file "$T"
	server_refuses "$1" '--psk-file: /dev/null has no keys' --psk-file /dev/null
	server_refuses "$1" '--psk-file: .*bad:4: the key is not an even number of hex digits' --psk-file "$T/bad"
	server_refuses "$1" '--psk-file: .*twice:2: the identity is already on an earlier line' --psk-file "$T/twice"
	server_refuses "$1" '-l/--listen: takes HOST:PORT' --psk-file "$T/psk" -l 5684
	server_refuses "$1" '-l/--listen: takes a port from 0 to 65535' --psk-file "$T/psk" -l 127.0.0.1:65536
	server_refuses "$1" 'cannot listen on 192.0.2.1:5684: .*ssign' --psk-file "$T/psk" -l 192.0.2.1:5684
	server_refuses "$1" 'cannot listen on no.such.host.invalid:1: ' --psk-file "$T/psk" -l no.such.host.invalid:1
}

port_in_use() {
	serve dtls-server
	server_refuses "$1" "cannot listen on 127.0.0.1:$PORT: .*ddress already in use" \
		--psk-file "$T/keys" -l "127.0.0.1:$PORT"
	end server
}

# to_full COMMAND...: with a standard output that takes nothing.
to_full() {
	exec "$@" >/dev/full
}

full_output() {
	local said='^[a-z]+_[a-z]+\.py: cannot write to standard output: No space left on device$'
	case $1 in
	mqtt_psk.py)
		psk_broker
		pub -t a -m b
		start full to_full "${mqtt[@]}" sub "127.0.0.1:$PORT" --psk "$KEY" -t a
		wait_for broker 'Sending SUBACK to mqttpsk'
		pub -t a -m b
		;;
	dtls_sensor.py)
		serve dtls-server
		start full to_full "${sensor[@]}" "127.0.0.1:$PORT" --psk "$KEY"
		;;
	*)
		serve_to_full "$1"
		echo 21.4 | client --linger 0 || : # the server may close first
		;;
	esac
	ends_with 1 full "$said"
	lacks "$T/full.err" 'Traceback|Exception|Warning'
}

serve_to_full() {
	echo "$KEY" >"$T/keys"
	start full to_full "${python[@]}" "$EXAMPLES/$1" -l 127.0.0.1:0 --psk-file "$T/keys"
	PORT=$(port full)
}

# ---- MQTT

# pub ARGUMENT...: mqtt_psk.py at the broker, with the key.
pub() {
	timeout 60 "${mqtt[@]}" pub "127.0.0.1:$PORT" --psk "$KEY" "$@"
}

# start_sub ARGUMENT...: returns once the broker has answered.
start_sub() {
	start sub "${mqtt[@]}" sub "127.0.0.1:$PORT" --psk "$KEY" "$@"
	wait_for broker 'Sending SUBACK to mqttpsk'
}

publishes() {
	psk_broker
	start_their_sub -t home/kitchen -q 1 -C 3
	printf '21.4\n21.5' | pub -t home/kitchen --qos "$1"
	pub -t home/kitchen --qos "$1" -m 'the last'
	ends_with 0 sub
	equal "$(grep -E '^(21|the)' "$T/sub.out")" $'21.4\n21.5\nthe last'
	contains "$T/broker.err" "Received PUBLISH from mqttpsk[0-9a-f]{16} \(d0, q$1, r0, m$1, 'home/kitchen'"
	contains "$T/broker.err" "'home/kitchen', ... \(4 bytes\)"
	lacks "$T/broker.err" "'home/kitchen', ... \(5 bytes\)"
	contains "$T/broker.err" "u'sensor'"
	wait_for broker 'Received DISCONNECT from mqttpsk'
}

subscribes() {
	psk_broker
	start_sub -t 'home/#' --qos "$1" --count 2
	mosquitto_pub -p "$PORT" "${theirs[@]}" -t home/kitchen -m 21.4 -q "$1"
	mosquitto_pub -p "$PORT" "${theirs[@]}" -t home/hall -m $'a\tb\xff' -q "$1"
	ends_with 0 sub
	equal "$(<"$T/sub.out")" $'home/kitchen 21.4\nhome/hall a\\x09b\\xff'
	(($1 == 0)) || equal "$(grep -c 'Received PUBACK from mqttpsk' "$T/broker.err")" 2
	equal "$(<"$T/sub.err")" ''
}

a_retained_message_comes_first() {
	psk_broker
	mosquitto_pub -p "$PORT" "${theirs[@]}" -t a -m b -q 1 -r
	equal "$(timeout 60 "${mqtt[@]}" sub "127.0.0.1:$PORT" --psk-file "$T/keys" -t a --qos 1 --count 1)" 'a b'
}

large_messages() {
	psk_broker
	head -c 200000 /dev/zero | tr '\0' x >"$T/large"
	start_sub -t big --qos 1 --count 2
	mosquitto_pub -p "$PORT" "${theirs[@]}" -t big -q 1 -f "$T/large"
	pub -t big --qos 1 <"$T/large"
	ends_with 0 sub
	equal "$(<"$T/sub.out")" "big $(<"$T/large")"$'\n'"big $(<"$T/large")"
}

lines_leave_as_they_come() {
	psk_broker
	start_sub -t a
	mkfifo "$T/pub.in"
	exec 9<>"$T/pub.in"
	start pub "${mqtt[@]}" pub "127.0.0.1:$PORT" --psk "$KEY" -t a <"$T/pub.in" 9>&-
	echo first >&9
	wait_for sub '^a first$'
	echo second >&9
	wait_for sub '^a second$'
	end pub "$1"
	equal "$(grep -c 'Received DISCONNECT' "$T/broker.err")" 1
	equal "$(<"$T/pub.err")" ''
	end sub "$1"
	wait_for broker 'Received DISCONNECT from mqttpsk[0-9a-f]+$'
	equal "$(<"$T/sub.err")" ''
}

wrong_broker_key() {
	psk_broker
	refuses 1 'handshake with 127.0.0.1:.* failed: .*the pre-shared key for identity "sensor" probably differs' \
		"${mqtt[@]}" "$1" "127.0.0.1:$PORT" --psk "sensor:${HEX}00" -t a
	lacks "$T/broker.err" 'New client connected'
}

identity_unknown_to_the_broker() {
	psk_broker
	refuses 1 'it does not know the identity "nobody"' "${mqtt[@]}" "$1" "127.0.0.1:$PORT" --psk "nobody:$HEX" -t a
	lacks "$T/broker.err" 'New client connected'
}

no_broker() {
	psk_broker
	end broker
	refuses 1 "^mqtt_psk.py: cannot reach 127.0.0.1:$PORT: Connection refused$" \
		"${mqtt[@]}" pub "127.0.0.1:$PORT" --psk "$KEY" -t a -m b
	refuses 1 '^mqtt_psk.py: cannot reach 127.1.2.3:8883: Connection refused$' \
		"${mqtt[@]}" sub 127.1.2.3 --psk "$KEY" -t a
	refuses 1 '^mqtt_psk.py: cannot resolve "no.such.host.invalid": ' \
		"${mqtt[@]}" sub no.such.host.invalid --psk "$KEY" -t a
}

the_broker_refuses() {
	: >"$T/users"
	echo "$KEY" >"$T/keys"
	broker "psk_file $T/keys" 'psk_hint hint' 'allow_anonymous false'
	refuses 1 'the broker refused the connection, code 05' "${mqtt[@]}" pub "127.0.0.1:$PORT" --psk "$KEY" -t a -m b
}

the_broker_ends() {
	psk_broker
	start_sub -t a
	signal broker "$1"
	ends_with 1 sub '^mqtt_psk.py: (the broker closed the connection; its log|.* without close_notify)'
	finished broker || :
}

the_broker_falls_silent() {
	psk_broker
	start_sub -t a --timeout 1
	signal broker STOP
	ends_with 1 sub '^mqtt_psk.py: the broker was silent for 1 s$'
	refuses 1 "^mqtt_psk.py: cannot reach 127.0.0.1:$PORT: timed out$" \
		"${mqtt[@]}" pub "127.0.0.1:$PORT" --psk "$KEY" -t a -m b --timeout 1
}

# A TLS server that says no more than CONNACK and the beginning of a packet.
the_broker_sends_a_malformed_length() {
	mkfifo "$T/fake.in"
	exec 8<>"$T/fake.in"
	printf '\x20\x02\0\0\x30\xff\xff\xff\xff\x01' >&8
	start fake openssl s_server -tls1_2 -accept 127.0.0.1:0 -nocert -psk "$HEX" <"$T/fake.in" 8>&-
	wait_for fake '^ACCEPT 127.0.0.1:[0-9]+$'
	PORT=$(sed -n 's/^ACCEPT 127.0.0.1://p' "$T/fake.out")
	refuses 1 '^mqtt_psk.py: the broker sent a packet whose length has more than four bytes$' \
		timeout 60 "${mqtt[@]}" sub "127.0.0.1:$PORT" --psk "$KEY" -t a
}

# With --timeout 1 the session would be ended by the broker after 3 s without a packet.
pings_keep_it_alive() {
	psk_broker
	start_sub -t a --timeout 1 --count 1
	local deadline=$((SECONDS + 60))
	until (($(grep -c 'Received PINGREQ' "$T/broker.err") >= 8)); do
		kill -0 "$(<"$T/sub.pid")" || fail 'the subscriber has ended'
		((SECONDS < deadline)) || fail 'no pings in time'
		sleep 0.1
	done
	pub -t a -m b
	ends_with 0 sub
	equal "$(<"$T/sub.out")" 'a b'
}

# ---- the sensor

readings_come_back() {
	serve "$1"
	expect_status 0 timeout 60 "${sensor[@]}" "127.0.0.1:$PORT" --psk "$KEY" --period 0.01 --count 20
	are_readings "$T/cmd.out" 20
	equal "$(wc -l <"$T/cmd.out")" 20
	equal "$(<"$T/cmd.err")" "connected to 127.0.0.1:$PORT"
	wait_for server 'sensor has closed$'
	are_readings "$T/server.out" 20 'sensor '
	contains "$T/server.err" '^127\.0\.0\.1:[0-9]+ sensor connected with TLS-'
	end server
}

readings_come_through_loss() {
	serve "$1"
	lossy "$2"
	start_sensor --period 0.05 --count 8 --timeout 10
	ends_with 0 sensor
	are_readings "$T/sensor.out" 8
	are_readings "$T/server.out" 8 'sensor '
	end server
}

# What the server says meanwhile is printed, and is not taken for an answer.
what_else_comes_is_printed() {
	serve aio_server.py --period 0.02
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" --delay 50
	PORT=$(port relay)
	start_sensor --period 0.01 --count 5
	ends_with 0 sensor
	contains "$T/sensor.out" '^clients: 1$'
	grep -v '^clients: 1$' "$T/sensor.out" >"$T/readings"
	are_readings "$T/readings" 5
	end server
}

# the_server_is_restarted SIGNAL PROGRAM: by SIGKILL the server forgets its sessions without a word.
the_server_is_restarted() {
	serve "$2"
	start_sensor
	wait_for sensor '^2 temperature '
	signal server "$1"
	ends_with "$([[ $1 == TERM ]] && echo 0 || echo 137)" server
	wait_for sensor '(the server has closed the session|3 times the server did not answer); next attempt in 0.5 s$'
	wait_for sensor 'next attempt in 1 s$' # nobody is there
	serve "$2"
	wait_for sensor '^[0-9]+ temperature.*$' "$PATIENCE"
	wait_for server '^sensor [0-9]+ temperature' "$PATIENCE"
	local last
	last=$(sed -n '$s/ .*//p' "$T/sensor.out")
	wait_for sensor "^$((last + 2)) temperature" "$PATIENCE"
	are_readings "$T/sensor.out" "$(uniq "$T/sensor.out" | wc -l)"
	equal "$(grep -c '^connected to ' "$T/sensor.err")" 2
	end sensor
	end server
}

the_sensor_comes_first() {
	serve dtls-server
	end server
	start_sensor --timeout 1 --count 1
	wait_for sensor "^cannot reach 127.0.0.1:$PORT: timed out; next attempt in 1 s$"
	serve "$1"
	ends_with 0 sensor
	are_readings "$T/sensor.out" 1
	end server
}

the_server_refuses() {
	serve "$1"
	refuses 1 '^dtls_sensor.py: handshake with .* pre-shared key for identity "sensor" probably differs' \
		"${sensor[@]}" "127.0.0.1:$PORT" --psk "sensor:${HEX}00"
	refuses 1 'identity "nobody" probably differs, or the peer does not know this identity' \
		"${sensor[@]}" "127.0.0.1:$PORT" --psk "nobody:$HEX"
	# Of handshakes that fail ssl_shim.aio has a count alone.
	[[ $1 == aio_server.py ]] ||
		wait_for server '^127\.0\.0\.1:[0-9]+ sensor ended: .*the pre-shared key for identity "sensor" probably differs'
	[[ $1 == aio_server.py ]] ||
		wait_for server '^127\.0\.0\.1:[0-9]+ nobody ended: .*no pre-shared key is known for identity "nobody"'
	end server
}

a_signal_ends_the_sensor() {
	serve dtls-server
	start_sensor --period 1000
	wait_for sensor '^1 temperature'
	end sensor "$1" # between two readings
	equal "$(<"$T/sensor.err")" "connected to 127.0.0.1:$PORT"
	wait_for server 'sensor has closed$'
	end server
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t 127.0.0.1:1 --loss 1 -v
	PORT=$(port relay)
	start_sensor --timeout 60
	wait_for relay lost
	end sensor "$1" # in the handshake
	equal "$(<"$T/sensor.err")" ''
}

# ---- the servers

answers_clients() {
	serve "$1"
	equal "$(printf 'one\n\001\377\ntwo' | client --confirm 500)" $'one\n\\x01\\xff\ntwo'
	wait_for server '^127\.0\.0\.1:[0-9]+ sensor connected with TLS-ECDHE-PSK-'
	wait_for server '^127\.0\.0\.1:[0-9]+ sensor has closed$'
	equal "$(<"$T/server.out")" $'sensor one\nsensor \\x01\\xff\nsensor two'
	end server
}

answers_through_loss() {
	serve "$1"
	lossy "$2"
	equal "$(seq 30 | client --confirm 100)" "$(seq 30)"
	equal "$(uniq "$T/server.out")" "$(seq -f 'sensor %g' 30)"
	end server
}

many_clients() {
	local i
	for ((i = 1; i <= 20; i++)); do
		echo "s$i:$HEX"
	done >"$T/keys"
	serve "$1"
	while read -r key; do
		start "${key%:*}" timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$key" --confirm 500 < <(
			seq -f "${key%:*}-%g" 5
		)
	done <"$T/keys"
	for ((i = 1; i <= 20; i++)); do
		ends_with 0 "s$i"
		equal "$(<"$T/s$i.out")" "$(seq -f "s$i-%g" 5)"
		equal "$(grep "^s$i " "$T/server.out" | uniq)" "$(seq -f "s$i s$i-%g" 5)"
	done
	end server
}

over_ipv6() {
	(: >/dev/udp/::1/9) 2>/dev/null || skip 'this machine has no ::1'
	echo "$KEY" >"$T/keys"
	start server "${python[@]}" "$EXAMPLES/$1" -l '[::1]:0' --psk-file "$T/keys"
	wait_for server '^listening on \[::1\]:[0-9]+$'
	PORT=$(port server)
	expect_status 0 timeout 60 "${sensor[@]}" "[::1]:$PORT" --psk-file "$T/keys" --count 1
	are_readings "$T/cmd.out" 1
	contains "$T/cmd.err" "^connected to \[::1\]:$PORT$"
	wait_for server '^\[::1\]:[0-9]+ sensor connected'
	end server
}

keys_are_read_again() {
	printf 'a:0a\nb:0b\n' >"$T/keys"
	serve "$1"
	connects() {
		expect_status 0 timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$1" --linger 0
	}
	is_refused() {
		refuses 1 "does not know this identity" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$1"
	}
	KEY=b:0b start_client client
	wait_for server ' b connected'
	connects a:0a
	printf 'a:0a\nc:0c\n' >"$T/keys"
	signal server HUP
	wait_for server '^SIGHUP: .*keys was read again$'
	is_refused b:0b
	connects a:0a
	connects c:0c
	printf 'a:0\n' >"$T/keys"
	signal server HUP
	wait_for server '^SIGHUP: .*keys:1: the key is not an even number of hex digits; the keys stay as they were$'
	connects c:0c
	rm "$T/keys"
	signal server HUP
	wait_for server '^SIGHUP: cannot read .*keys: No such file or directory; the keys stay as they were$'
	connects a:0a
	echo 'still here' >&9
	wait_for client '^still here$' # a session keeps the key that it began with
	end server
}

a_signal_ends_the_server() {
	serve "$1"
	start_client client
	wait_for server 'sensor connected'
	end server "$2"
	ends_with 1 client '^dtls-client: the server closed the session$'
	lacks "$T/server.err" 'Traceback|Exception|Warning'
}

an_answer_too_long_is_told() {
	serve "$1"
	head -c 1300 /dev/zero | tr '\0' x >"$T/long"
	{
		cat "$T/long"
		printf '\nshort\n'
	} | client --mtu 1400 --linger 300 >"$T/out"
	wait_for server '^127\.0\.0\.1:[0-9]+ sensor gets no answer: '
	equal "$(<"$T/out")" short
	end server
}

silent_clients_are_closed() {
	serve dtls_server.py --idle 0.2
	start_client client
	wait_for server 'sensor was closed: silent for too long$'
	ends_with 1 client '^dtls-client: the server closed the session$'
	end server
}

one_client_too_many() {
	serve dtls_server.py --max-peers 1
	start_client first
	wait_for server 'sensor connected'
	equal "$(echo hi | client --confirm 500)" hi
	wait_for server 'sensor was closed: it had been silent longest when --max-peers was reached$'
	ends_with 1 first '^dtls-client: the server closed the session$'
	end server
}

all_are_told() {
	printf 'a:0a\nb:0b\n' >"$T/keys"
	serve aio_server.py --period 0.2
	mkfifo "$T/in"
	exec 9<>"$T/in"
	for key in a:0a b:0b; do
		start "${key%:*}" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$key" <"$T/in" 9>&-
	done
	wait_for a '^clients: 2$'
	wait_for b '^clients: 2$'
	end a
	wait_for b '^clients: 1$'
	end server
}

t 'each has --help' help_is_there
t 'wrong keys of a client' wrong_client_keys
t 'wrong values of the clients'\'' options' wrong_values
for program in mqtt_psk.py dtls_sensor.py dtls_server.py aio_server.py; do
	t "$program with a standard output that is full" full_output "$program"
done
for qos in 0 1; do
	t "mqtt_psk.py publishes with QoS $qos" publishes "$qos"
	t "mqtt_psk.py subscribes with QoS $qos" subscribes "$qos"
done
t 'a retained message may come before all else' a_retained_message_comes_first
t '200,000 bytes there and back' large_messages
t 'lines leave as they come; SIGINT disconnects' lines_leave_as_they_come INT
t 'lines leave as they come; SIGTERM disconnects' lines_leave_as_they_come TERM
for command in pub sub; do
	t "mqtt_psk.py $command with a wrong key" wrong_broker_key "$command"
	t "mqtt_psk.py $command with an identity that is unknown" identity_unknown_to_the_broker "$command"
done
t 'where no broker listens' no_broker
t 'the broker refuses the client' the_broker_refuses
t 'the broker is ended' the_broker_ends TERM
t 'the broker is killed' the_broker_ends KILL
t 'the broker falls silent' the_broker_falls_silent
t 'the broker sends a malformed length' the_broker_sends_a_malformed_length
t 'pings keep the session alive' pings_keep_it_alive

seed=0
for program in dtls-server dtls_server.py aio_server.py; do
	t "dtls_sensor.py's readings come back from $program" readings_come_back "$program"
	t "dtls_sensor.py and $program through 20 % loss" readings_come_through_loss "$program" $((++seed))
	t "dtls_sensor.py finds $program again after it was killed" the_server_is_restarted KILL "$program"
	t "dtls_sensor.py is refused by $program" the_server_refuses "$program"
done
t 'dtls_sensor.py finds dtls_server.py again after it was ended' the_server_is_restarted TERM dtls_server.py
t 'dtls_sensor.py prints what else the server sends' what_else_comes_is_printed
t 'dtls_sensor.py waits for a server' the_sensor_comes_first dtls_server.py
t 'SIGINT ends dtls_sensor.py' a_signal_ends_the_sensor INT
t 'SIGTERM ends dtls_sensor.py' a_signal_ends_the_sensor TERM

for program in dtls_server.py aio_server.py; do
	t "wrong options of $program" wrong_server_options "$program"
	t "$program where the port is in use" port_in_use "$program"
	t "$program answers dtls-client" answers_clients "$program"
	t "$program answers dtls-client through 20 % loss" answers_through_loss "$program" $((++seed))
	t "$program serves twenty clients" many_clients "$program"
	t "$program over IPv6" over_ipv6 "$program"
	t "$program reads its keys again; a bad file changes nothing" keys_are_read_again "$program"
	t "$program tells of an answer that is too long" an_answer_too_long_is_told "$program"
	t "SIGINT ends $program" a_signal_ends_the_server "$program" INT
	t "SIGTERM ends $program" a_signal_ends_the_server "$program" TERM
done
t 'dtls_server.py closes clients that are silent' silent_clients_are_closed
t 'dtls_server.py with one client too many' one_client_too_many
t 'aio_server.py tells all clients how many there are' all_are_told
finish
