#!/bin/bash
# mqtt-psk with mosquitto as the broker, and with mosquitto_pub and mosquitto_sub beside it; and with a broker that is none.
# shellcheck source=mosquitto.sh
. "$(dirname "$0")/mosquitto.sh"
need mosquitto_passwd openssl

mkdir "$folder/pki"
sh "$(dirname "$0")/pki.sh" "$folder/pki" >/dev/null 2>&1
PKI=$folder/pki

certificate_broker() {
	broker "certfile $PKI/server.pem" "keyfile $PKI/server.key" 'allow_anonymous true' "$@"
}

# fake_broker: a TLS server that says what say() is told to, no more; what it heard is in fake.out.
fake_broker() {
	mkfifo "$T/fake.in"
	exec 8<>"$T/fake.in"
	start fake openssl s_server -tls1_2 -accept 127.0.0.1:0 -nocert -psk "$HEX" <"$T/fake.in" 8>&-
	wait_for fake '^ACCEPT 127.0.0.1:[0-9]+$'
	PORT=$(sed -n 's/^ACCEPT 127.0.0.1://p' "$T/fake.out")
}

say() {
	printf '%b' "$1" >&8
}

CONNACK='\x20\x02\0\0'
SUBACK='\x90\x03\0\x01\0'

# pub ARGUMENT..., sub ARGUMENT...: mqtt-psk at the broker, with the key.
pub() {
	timeout 60 "$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk "$KEY" "$@"
}

# start_pub ARGUMENT...: its input is what is written to descriptor 9.
start_pub() {
	mkfifo "$T/pub.in"
	exec 9<>"$T/pub.in"
	start pub "$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk "$KEY" -v "$@" <"$T/pub.in" 9>&-
}

# start_sub ARGUMENT...: returns once the broker has answered.
start_sub() {
	start sub "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -v "$@"
	wait_for sub ' subscribed to '
}

usage() {
	refuses 2 "$1" "$BIN/mqtt-psk" "${@:2}"
}

# ---- command lines

help_and_version() {
	local word
	expect_status 0 "$BIN/mqtt-psk" --help
	cp "$T/cmd.out" "$T/help"
	for word in topic message qos retain count client-id user password-file keepalive timeout hostname psk psk-file \
		cert key key-password-file ca crl verify ciphers alpn max-version keylog verbose help version; do
		contains "$T/help" "--$word( |=|$)"
	done
	expect_status 0 "$BIN/mqtt-psk" --version
	contains "$T/cmd.out" '^mqtt-psk [0-9]+\.[0-9]+\.[0-9]+, mbed TLS [0-9.]+$'
}

wrong_command_lines() {
	local at=127.0.0.1:1
	usage 'no command is given' --psk "$KEY"
	usage '"publish" is no command: say pub or sub' publish "$at" --psk "$KEY" -t a
	usage 'no broker is given' pub --psk "$KEY" -t a
	usage '"c" is one argument too many' pub "$at" c --psk "$KEY" -t a
	usage 'no topic is given: say where to publish with -t' pub "$at" --psk "$KEY"
	usage 'no topic is given: say what to subscribe to' sub "$at" --psk "$KEY"
	usage 'pub takes one topic, and 2 are given' pub "$at" --psk "$KEY" -t a -t b
	usage 'the topic "a/#" contains a wildcard' pub "$at" --psk "$KEY" -t 'a/#'
	usage 'the topic "" is empty' pub "$at" --psk "$KEY" -t ''
	usage "the topic \"a#\" has '#' elsewhere" sub "$at" --psk "$KEY" -t b -t 'a#'
	usage 'the topic .* is not UTF-8' pub "$at" --psk "$KEY" -t $'\xff'
	usage '--qos takes 0 or 1, not "2"; QoS 2 is not supported' pub "$at" --psk "$KEY" -t a --qos 2
	usage '--message is for pub' sub "$at" --psk "$KEY" -t a -m b
	usage '--retain is for pub' sub "$at" --psk "$KEY" -t a --retain
	usage '--count is for sub' pub "$at" --psk "$KEY" -t a --count 1
	usage '--count takes a whole number from 1' sub "$at" --psk "$KEY" -t a --count 0
	usage '--keepalive takes a whole number from 0 to 65535' pub "$at" --psk "$KEY" -t a --keepalive 65536
	usage '--timeout takes more than 0 seconds' pub "$at" --psk "$KEY" -t a --timeout 0
	usage 'cannot read .*/none: No such file' pub "$at" --psk "$KEY" -t a --user u --password-file "$T/none"
	usage '--password-file needs --user' pub "$at" --psk "$KEY" -t a --password-file /dev/null
	usage '--psk: .*odd number of hex digits' pub "$at" --psk a:1 -t a
	usage '--client-id: the text is not UTF-8' pub "$at" --psk "$KEY" -t a --client-id $'\xff'
	usage 'a port from 1 to 65535, not "x"' pub 127.0.0.1:x --psk "$KEY" -t a
	usage 'unrecognized option' pub "$at" --psk "$KEY" -t a --tls
}

# Where nobody listens; and the default port, on an address on which nobody does.
nobody_listens() {
	psk_broker
	stop_broker
	refuses 1 "cannot connect to 127.0.0.1:$PORT: Connection refused; does a broker listen there\?" \
		"$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk "$KEY" -t a -m b
	refuses 1 'cannot connect to 127.1.2.3:8883: Connection refused' \
		"$BIN/mqtt-psk" sub 127.1.2.3 --psk "$KEY" -t a
}

# ---- pre-shared keys

from_ours_to_ours() {
	psk_broker
	start_sub -t 'home/+' -t other --qos "$1" --count 3
	pub -t home/kitchen -m 21.4 --qos "$1"
	printf 'one\ntwo' | pub -t other --qos "$1"
	ends_with 0 sub
	equal "$(<"$T/sub.out")" $'home/kitchen 21.4\nother one\nother two'
	contains "$T/broker.err" "as mqttpsk[0-9a-f]{16} \(p2, c1, k60, u'sensor'\)"
	contains "$T/broker.err" "Received PUBLISH .*\(d0, q$1, r0, m$1, 'home/kitchen'"
}

from_ours_to_theirs() {
	psk_broker
	start_their_sub -t home/kitchen -q 1 -C 1
	pub -t home/kitchen -m 21.4 --qos "$1"
	ends_with 0 sub
	contains "$T/sub.out" '^21.4$'
}

from_theirs_to_ours() {
	psk_broker
	start_sub -t 'home/#' --qos "$1" --count 1
	mosquitto_pub -p "$PORT" "${theirs[@]}" -t home/kitchen -m 21.4 -q "$1"
	ends_with 0 sub
	equal "$(<"$T/sub.out")" 'home/kitchen 21.4'
	((${1} == 0)) || wait_for broker 'Received PUBACK from mqttpsk'
}

key_from_a_file() {
	psk_broker
	expect_status 0 "$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk-file "$T/keys" -t a -m b --client-id me
	wait_for broker 'Received PUBLISH from me '
	wait_for broker 'Received DISCONNECT from me$'
}

# with_hosts COMMAND...: for it, localhost has two addresses; where that is not so anyway, in a mount namespace of its own.
with_hosts() {
	local new=(unshare --mount)
	((EUID == 0)) || new+=(--map-root-user)
	if [[ $(getent ahosts localhost | awk '$2 == "STREAM" { print $1 }' | sort | xargs) == '127.0.0.1 ::1' ]]; then
		"$@"
	else
		printf '127.0.0.1 localhost\n::1 localhost\n' >"$T/hosts"
		"${new[@]}" bash -c 'mount --bind "$0" /etc/hosts && exec "$@"' "$T/hosts" "$@"
	fi
}

# Nobody listens at one of the addresses, whichever of them comes first.
any_address_of_a_name() {
	local ADDRESS
	with_hosts true || skip 'localhost has one address, and there are no mount namespaces here'
	for ADDRESS in 127.0.0.1 ::1; do
		psk_broker
		expect_status 0 with_hosts "$BIN/mqtt-psk" pub "localhost:$PORT" --psk "$KEY" -t a -m b
		wait_for broker 'Received PUBLISH from'
		stop_broker
	done
	expect_status 1 "$BIN/mqtt-psk" pub "[::1]:$PORT" --psk "$KEY" -t a -m b
	contains "$T/cmd.err" "cannot connect to \[::1\]:$PORT: Connection refused"
}

each_suite() {
	local suite
	psk_broker 'ciphers ALL:@SECLEVEL=0'
	for suite in ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256 PSK-WITH-AES-128-CCM-8 PSK-WITH-AES-128-CCM \
		PSK-WITH-AES-128-GCM-SHA256 PSK-WITH-AES-256-GCM-SHA384 PSK-WITH-CHACHA20-POLY1305-SHA256; do
		pub -t a -m b -v --ciphers "TLS-$suite" --qos 1
		contains "$T/log" "TLSv1.2, TLS-$suite$"
	done
}

wrong_key() {
	psk_broker
	refuses 1 'handshake with 127.0.0.1:.* failed: .*the pre-shared key for identity "sensor" probably differs' \
		"$BIN/mqtt-psk" "$1" "127.0.0.1:$PORT" --psk "sensor:${HEX}00" -t a
	lacks "$T/broker.err" 'New client connected'
}

unknown_identity() {
	psk_broker
	refuses 1 'it does not know the identity "nobody"' \
		"$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk "nobody:$HEX" -t a -m b
	lacks "$T/broker.err" 'New client connected'
}

# ---- certificates

server_certificate() {
	local at=localhost:
	certificate_broker
	expect_status 0 "$BIN/mqtt-psk" pub "$at$PORT" --ca "$PKI/ca.pem" -t a -m b --qos 1 --retain
	expect_status 0 timeout 60 "$BIN/mqtt-psk" sub "$at$PORT" --ca "$PKI/ca.pem" -t a --count 1
	equal "$(<"$T/cmd.out")" 'a b'
	expect_status 0 "$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --ca "$PKI/ca.pem" --hostname sensor.example -t a -m b
	expect_status 0 "$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --verify none -t a -m b
}

with_their_certificate_clients() {
	certificate_broker
	start sub "$BIN/mqtt-psk" sub "localhost:$PORT" --ca "$PKI/ca.pem" -t a -v --count 1
	wait_for sub ' subscribed to '
	mosquitto_pub -h localhost -p "$PORT" --cafile "$PKI/ca.pem" -t a -m theirs
	ends_with 0 sub
	equal "$(<"$T/sub.out")" 'a theirs'
	start sub stdbuf -oL mosquitto_sub -h localhost -p "$PORT" --cafile "$PKI/ca.pem" -t a -d -C 1
	wait_for sub '^Subscribed '
	"$BIN/mqtt-psk" pub "localhost:$PORT" --ca "$PKI/ca.pem" -t a -m ours
	ends_with 0 sub
	contains "$T/sub.out" '^ours$'
}

mutual_certificates() {
	certificate_broker "cafile $PKI/ca.pem" 'require_certificate true' 'use_identity_as_username true'
	local ours=("$BIN/mqtt-psk" pub "localhost:$PORT" --ca "$PKI/ca.pem" -t a -m b --qos 1)
	expect_status 0 "${ours[@]}" --cert "$PKI/client.pem" --key "$PKI/client.key"
	contains "$T/broker.err" "u'sensor-17'"
	refuses 1 'asks for a certificate, and none is loaded here' "${ours[@]}"
	refuses 1 'unknown_ca' "${ours[@]}" --cert "$PKI/other.pem" --key "$PKI/other.key"
	refuses 2 'does not belong to' "${ours[@]}" --cert "$PKI/client.pem" --key "$PKI/other.key"
}

refused_certificates() {
	certificate_broker
	refuses 1 'certificate "CN=localhost".*CA' \
		"$BIN/mqtt-psk" pub "localhost:$PORT" --ca "$PKI/other.pem" -t a -m b
	refuses 1 'is for "localhost".*"elsewhere.example" was asked for' \
		"$BIN/mqtt-psk" pub "localhost:$PORT" --ca "$PKI/ca.pem" --hostname elsewhere.example -t a -m b
	refuses 1 'is for "localhost".*"127.0.0.1" was asked for.*--hostname' \
		"$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --ca "$PKI/ca.pem" -t a -m b
	lacks "$T/broker.err" 'New client connected'
}

newest_version() {
	local status=0
	certificate_broker
	timeout 60 "$BIN/mqtt-psk" pub "localhost:$PORT" --ca "$PKI/ca.pem" -t a -m b --qos 1 -v --max-version 1.3 \
		2>"$T/cmd.err" || status=$?
	if ((status == 0)); then
		contains "$T/cmd.err" 'TLSv1.3'
	else
		equal "$status" 2
		contains "$T/cmd.err" '--max-version: .*1\.3.*mbed TLS'
	fi
}

# ---- messages

a_hundred_in_order() {
	psk_broker
	start_sub -t n --qos "$1" --count 100
	seq 100 | pub -t n --qos "$1"
	ends_with 0 sub
	equal "$(<"$T/sub.out")" "$(seq -f 'n %g' 100)"
}

# More than the messages that may be unconfirmed at once, and than the bytes that may wait.
many_are_confirmed() {
	psk_broker
	seq 3000 | pub -t n --qos 1 -v
	contains "$T/log" 'messages published: 3000'
	equal "$(grep -c 'Received PUBLISH from mqttpsk' "$T/broker.err")" 3000
}

large_message() {
	psk_broker
	head -c 200000 /dev/zero | tr '\0' x >"$T/large"
	start_sub -t big --qos 1 --count 2
	pub -t big --qos 1 <"$T/large"
	mosquitto_pub -p "$PORT" "${theirs[@]}" -t big -q 1 -f "$T/large"
	ends_with 0 sub
	equal "$(<"$T/sub.out")" "big $(<"$T/large")"$'\n'"big $(<"$T/large")"
	contains "$T/broker.err" "'big', ... \(200000 bytes\)"
}

large_message_to_theirs() {
	psk_broker
	head -c 200000 /dev/zero | tr '\0' x >"$T/large"
	start_their_sub -t big -C 1
	pub -t big <"$T/large"
	ends_with 0 sub
	grep -qxF -f "$T/large" "$T/sub.out"
}

retained() {
	psk_broker
	pub -t state -m on --retain --qos 1
	expect_status 0 timeout 60 "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t state --count 1
	equal "$(<"$T/cmd.out")" 'state on'
	pub -t state -m '' --retain --qos 1 # an empty message removes it
	pub -t state/last -m off --retain --qos 1
	expect_status 0 timeout 60 "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t 'state/#' --count 1
	equal "$(<"$T/cmd.out")" 'state/last off'
}

bytes_that_are_not_printable() {
	psk_broker
	start_sub -t 'K/#' --count 3
	pub -t $'K/\xc3\xbc' -m $'a\tb\nc\xff'
	printf '\nz\0z\n' | pub -t K/0
	ends_with 0 sub
	equal "$(<"$T/sub.out")" $'K/\\xc3\\xbc a\\x09b\\x0ac\\xff\nK/0 \nK/0 z\\x00z'
}

user_and_password() {
	mosquitto_passwd -b -c "$T/users" reader 'pass word'
	echo "$KEY" >"$T/keys"
	broker "psk_file $T/keys" 'psk_hint hint' 'allow_anonymous false' "password_file $T/users"
	echo 'pass word' >"$T/right"
	echo 'password' >"$T/wrong"
	pub -t a -m b --qos 1 --user reader --password-file "$T/right"
	refuses 1 'refused the connection, code [45]: ' "$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk "$KEY" -t a -m b \
		--user reader --password-file "$T/wrong"
	refuses 1 'refused the connection, code [45]: ' "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a
}

lines_leave_as_they_come() {
	psk_broker
	start_sub -t a
	start_pub -t a --qos 1
	echo first >&9
	wait_for sub '^a first$'
	echo second >&9
	wait_for sub '^a second$'
	exec 9>&-
	ends_with 0 pub 'messages published: 2$'
	stop sub
}

# ---- how it ends

a_signal_disconnects() {
	psk_broker
	start_sub -t a --client-id reader
	stop sub "$1"
	wait_for broker 'Received DISCONNECT from reader$'
	start_pub -t a --client-id writer --qos 1
	echo whole >&9
	wait_for broker 'Received PUBLISH from writer '
	stop pub "$1"
	wait_for broker 'Received DISCONNECT from writer$'
}

a_signal_cuts_no_line_silently() {
	psk_broker
	start_pub -t a --client-id writer
	wait_for pub 'the broker has accepted'
	printf 'whole\nhal' >&9
	wait_for broker 'Received PUBLISH from writer '
	signal pub TERM
	ends_with 1 pub
	contains "$T/pub.err" 'ended by a signal in the middle of a line, which was not published'
	wait_for broker 'Received DISCONNECT from writer$'
	equal "$(grep -c 'Received PUBLISH' "$T/broker.err")" 1
}

handshake_is_not_answered() {
	fake_broker
	signal fake STOP
	refuses 1 'the handshake with 127.0.0.1:.* was not done within 1.000 s; does it speak TLS there\?$' \
		"$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a --timeout 1
}

a_signal_during_the_handshake() {
	fake_broker
	signal fake STOP
	start sub "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a -v
	wait_for sub 'sent ClientHello'
	signal sub TERM
	ends_with 1 sub
	contains "$T/sub.err" '^mqtt-psk: ended by a signal before the handshake was done$'
}

the_broker_ends() {
	psk_broker
	start_sub -t a
	signal broker "$1"
	ends_with 1 sub
	contains "$T/sub.err" '^mqtt-psk: (the broker closed the connection; its log|session with .* without close_notify)'
	finished broker || :
}

the_broker_falls_silent() {
	psk_broker
	start_sub -t a --keepalive 1 --timeout 1
	start_pub -t a --keepalive 0 --timeout 1 --qos 1
	echo one >&9
	wait_for sub '^a one$'
	signal broker STOP
	echo two >&9
	ends_with 1 sub
	contains "$T/sub.err" '^mqtt-psk: the broker fell silent: nothing came for 1.000 s after a ping$'
	ends_with 1 pub
	contains "$T/pub.err" 'did not confirm message 2 within 1.000 s; unconfirmed: 1 of 2 messages, the first .* message 2$'
}

# 2 s of keepalive: without a ping mosquitto ends the session after 3.
pings_keep_it_alive() {
	psk_broker
	start_sub -t a --keepalive 2 --client-id quiet
	wait_for broker 'Received PINGREQ from quiet$' 60
	until (($(grep -c 'received PINGRESP' "$T/sub.err") >= 3)); do
		kill -0 "$(<"$T/sub.pid")" || fail 'the subscriber has ended'
		sleep 0.1
	done
	pub -t a -m b
	wait_for sub '^a b$'
	stop sub
}

# What could not be printed is not acknowledged.
standard_output_is_full() {
	psk_broker
	pub -t a -m b --retain --qos 1
	expect_status 1 timeout 60 bash -c "'$BIN/mqtt-psk' sub 127.0.0.1:$PORT --psk '$KEY' -t a --qos 1 --client-id full \
		>/dev/full"
	contains "$T/cmd.err" 'cannot write to standard output'
	wait_for broker 'Sending PUBLISH to full '
	wait_for broker 'Client full disconnected'
	lacks "$T/broker.err" 'Received PUBACK from full'
}

# ---- brokers that are none

# bad_broker REGEX BYTES...: what comes after the CONNACK, in one piece, ends a subscription.
bad_broker() {
	local regex=$1
	fake_broker
	start sub "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a
	wait_for fake MQTT
	say "$2"
	ends_with 1 sub
	contains "$T/sub.err" "^mqtt-psk: $regex"
	equal "$(wc -l <"$T/sub.err")" 1
	[[ ! -s $T/sub.out ]]
}

malformed_length() {
	bad_broker 'the broker sent a packet whose length has more than four bytes$' "$CONNACK"'\x30\xff\xff\xff\xff\x01'
}

qos_2_is_refused() {
	bad_broker 'the broker sent a message with QoS 2, which was not asked for$' "$CONNACK$SUBACK"'\x34\x05\0\x01a\0\x01'
}

malformed_topic() {
	bad_broker 'the broker sent a message whose topic is empty, has wildcards or is not UTF-8$' \
		"$CONNACK$SUBACK"'\x30\x03\0\x01\xff'
}

refused_connection() {
	bad_broker 'the broker refused the connection, code 2: .*identifier rejected.*--client-id' '\x20\x02\0\x02'
}

refused_subscription() {
	bad_broker 'the broker refused the subscription to "a"' "$CONNACK"'\x90\x03\0\x01\x80'
}

another_protocol() {
	bad_broker 'the broker sent .*; does a broker for MQTT 3.1.1 listen there\?$' 'HTTP/1.1 400 Bad Request\r\n\r\n'
}

no_answer_to_connect() {
	fake_broker
	start sub "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a --timeout 1
	ends_with 1 sub 'the broker did not answer CONNECT within 1.000 s$'
}

# The end of the input is not the end of the session.
last_message_is_not_confirmed() {
	fake_broker
	start_pub -t a --qos 1 --timeout 3
	wait_for fake MQTT
	say "$CONNACK"
	wait_for pub 'the broker has accepted'
	printf 'one\ntwo' >&9
	exec 9>&-
	wait_for fake two
	say '\x40\x02\0\x01'
	ends_with 1 pub
	contains "$T/pub.err" 'did not confirm message 2 within 3.000 s; unconfirmed: 1 of 2 messages'
}

closed_before_an_answer() {
	fake_broker
	start sub "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a
	wait_for fake MQTT
	signal fake KILL
	ends_with 1 sub 'cut off.*; it has not answered CONNECT: its log may say why$'
	finished fake || :
}

packets_in_pieces() {
	local byte
	fake_broker
	start sub "$BIN/mqtt-psk" sub "127.0.0.1:$PORT" --psk "$KEY" -t a --count 1 -v
	wait_for fake MQTT
	say '\x20\x02'
	say '\0\0'
	wait_for sub 'the broker has accepted'
	say "$SUBACK"
	wait_for sub ' subscribed to '
	for byte in '\x30' '\x04' '\0' '\x01' a b; do
		say "$byte"
		sleep 0.05 # each a record of its own
	done
	ends_with 0 sub
	equal "$(<"$T/sub.out")" 'a b'
}

no_tls_there() {
	broker 'allow_anonymous true'
	refuses 1 'handshake with 127.0.0.1:.* (failed|was not done)' \
		"$BIN/mqtt-psk" pub "127.0.0.1:$PORT" --psk "$KEY" -t a -m b --timeout 5
}

t 'help and version' help_and_version
t 'wrong command lines are refused with a reason' wrong_command_lines
t 'nobody listens' nobody_listens
for qos in 0 1; do
	t "from mqtt-psk to mqtt-psk, QoS $qos" from_ours_to_ours $qos
	t "from mqtt-psk to mosquitto_sub, QoS $qos" from_ours_to_theirs $qos
	t "from mosquitto_pub to mqtt-psk, QoS $qos" from_theirs_to_ours $qos
	t "a hundred messages arrive in order, QoS $qos" a_hundred_in_order $qos
done
t 'the key comes from a file' key_from_a_file
t 'a broker at any address of its name' any_address_of_a_name
t 'PSK suites with and without forward secrecy' each_suite
t 'a publisher with a wrong key is refused' wrong_key pub
t 'a subscriber with a wrong key is refused' wrong_key sub
t 'an unknown identity is refused' unknown_identity
t "the broker's certificate is verified" server_certificate
t 'certificates, with mosquitto_pub and mosquitto_sub' with_their_certificate_clients
t 'certificates on both sides' mutual_certificates
t 'another CA and another name are refused' refused_certificates
t 'TLS 1.3 where mbed TLS has it' newest_version
t '3,000 messages are confirmed' many_are_confirmed
t 'a message of 200,000 bytes' large_message
t 'a message of 200,000 bytes to mosquitto_sub' large_message_to_theirs
t 'a retained message' retained
t 'bytes that are not printable' bytes_that_are_not_printable
t 'user name and password' user_and_password
t 'each line leaves when it comes' lines_leave_as_they_come
t 'SIGTERM disconnects' a_signal_disconnects TERM
t 'SIGINT disconnects' a_signal_disconnects INT
t 'a signal cuts no line silently' a_signal_cuts_no_line_silently
t 'a signal during the handshake' a_signal_during_the_handshake
t 'the broker is stopped during a subscription' the_broker_ends TERM
t 'the broker is killed during a subscription' the_broker_ends KILL
t 'the broker falls silent' the_broker_falls_silent
t 'pings keep a quiet session alive' pings_keep_it_alive
t 'standard output is full' standard_output_is_full
t 'a length of five bytes' malformed_length
t 'a message with QoS 2 is refused' qos_2_is_refused
t 'a malformed topic' malformed_topic
t 'a refused connection is explained' refused_connection
t 'a refused subscription' refused_subscription
t 'another protocol than MQTT' another_protocol
t 'CONNECT is not answered' no_answer_to_connect
t 'the last message is not confirmed' last_message_is_not_confirmed
t 'the broker closes instead of answering' closed_before_an_answer
t 'packets in pieces' packets_in_pieces
t 'the handshake is not answered' handshake_is_not_answered
t 'no TLS there' no_tls_there
finish
