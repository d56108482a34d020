#!/bin/bash
# The programs as their users meet them: options, exit statuses, sentences, signals, and many clients at once.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

KEY=sensor:00112233445566778899aabbccddeeff
LOCAL=(-l 127.0.0.1:0)

# serve [OPTION...]: a server with KEY on 127.0.0.1; PORT is its port.
serve() {
	start server "$BIN/dtls-server" "${LOCAL[@]}" --psk "$KEY" "$@"
	PORT=$(port server)
}

# relay [OPTION...]: in front of it; PORT becomes the relay's.
relay() {
	start relay "$BIN/dtls-relay" "${LOCAL[@]}" -t "127.0.0.1:$PORT" "$@"
	PORT=$(port relay)
}

client() {
	timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" "$@"
}

# start_client NAME [OPTION...]: its input is what is written to descriptor 9.
start_client() {
	local name=$1
	shift
	mkfifo "$T/$name.in"
	exec 9<>"$T/$name.in"
	start "$name" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" "$@" <"$T/$name.in" 9>&-
}

# ---- command lines

help_and_version() {
	local name
	for name in dtls-server dtls-client dtls-relay dtls-genpsk; do
		expect_status 0 "$BIN/$name" --help
		contains "$T/cmd.out" "^Usage: $name "
		contains "$T/cmd.out" '^ .* --version'
		expect_status 0 "$BIN/$name" --version
		contains "$T/cmd.out" "^$name [0-9]+\.[0-9]+\.[0-9]+, mbed TLS [0-9.]+$"
		refuses 2 'no-such-option' "$BIN/$name" --no-such-option
		refuses 1 'cannot write to standard output' bash -c "'$BIN/$name' --help >/dev/full"
	done
}

# help_fits PROGRAM [COMMAND]: in 80 columns.
help_fits() {
	"$@" --help >"$T/help"
	[[ -s $T/help ]] || fail "${*##*/} has no --help"
	lacks "$T/help" '^.{81}'
}

every_help_fits() {
	local program name
	for program in "$BIN"/*; do
		[[ ${program##*/} != api-* ]] || continue # examples to read
		help_fits "$program"
	done
	"$BIN/dtls-lab" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p' >"$T/commands"
	(($(wc -l <"$T/commands") >= 5))
	while read -r name; do
		help_fits "$BIN/dtls-lab" "$name"
	done <"$T/commands"
}

long_options_are_in_help() {
	local name word
	for name in dtls-server dtls-client; do
		"$BIN/$name" --help >"$T/$name.help"
		for word in psk psk-file key-password-file cert key ca crl verify ciphers alpn handshake-timeout retransmit mtu \
			keylog tls max-version verbose help version; do
			contains "$T/$name.help" "--$word( |=|$)"
		done
	done
	for word in listen echo confirm max-peers max-handshakes idle stats quiet resume threads source-hellos source-handshakes; do
		contains "$T/dtls-server.help" "--$word( |=|$)"
	done
	for word in hostname timeout linger confirm session; do
		contains "$T/dtls-client.help" "--$word( |=|$)"
	done
}

server_refuses() {
	refuses 2 "$1" "$BIN/dtls-server" "${LOCAL[@]}" "${@:2}"
}

client_refuses() {
	refuses 2 "$1" "$BIN/dtls-client" 127.0.0.1:5684 "${@:2}"
}

wrong_values_of_shared_options() {
	local refuse
	for refuse in server_refuses client_refuses; do
		$refuse 'no key'
		$refuse 'odd number of hex digits' --psk a:123
		$refuse "'g' at column 3 is not a hex digit" --psk a:g1
		$refuse 'the key is empty' --psk a:
		$refuse 'the key has 64 bytes, but mbed TLS .* takes at most' --psk "a:$(printf '%0128d' 0)"
		$refuse 'the identity is empty' --psk :0011
		$refuse 'the identity has 129 bytes, but 128 are the most' --psk "$(printf '%0129d' 0):0011"
		$refuse 'no colon' --psk a
		$refuse 'requires an argument' --psk
		$refuse 'cannot read .*/none: No such file' --psk-file "$T/none"
		$refuse 'cannot read .*: Is a directory' --psk-file "$T"
		$refuse '/dev/null has no keys' --psk-file /dev/null
		$refuse '"NULL" is unknown, or weaker' --psk "$KEY" --ciphers NULL
		$refuse 'is unknown, or weaker' --psk "$KEY" --ciphers TLS-PSK-WITH-AES-128-CCM-8,TLS-PSK-WITH-RC4-128-SHA
		$refuse 'is named twice' --psk "$KEY" --ciphers TLS-PSK-WITH-AES-128-CCM,TLS_PSK_WITH_AES_128_CCM
		$refuse 'cipher suite "" is unknown' --psk "$KEY" --ciphers ''
		$refuse '--handshake-timeout takes two numbers' --psk "$KEY" --handshake-timeout 100
		$refuse '--handshake-timeout takes .*"x"' --psk "$KEY" --handshake-timeout 100-x
		$refuse '200 to 100 ms' --psk "$KEY" --handshake-timeout 200-100
		$refuse '--handshake-timeout takes .*"0"' --psk "$KEY" --handshake-timeout 0-100
		$refuse '--retransmit takes fixed or adaptive' --psk "$KEY" --retransmit often
		$refuse '--mtu takes a whole number from 256 to 16384, not "255"' --psk "$KEY" --mtu 255
		$refuse '--mtu .* not "16385"' --psk "$KEY" --mtu 16385
		$refuse '--mtu .* not "1200b"' --psk "$KEY" --mtu 1200b
		$refuse '--mtu is given twice' --psk "$KEY" --mtu 1200 --mtu 1300
	done
}

a_bad_psk_file_is_named_by_line() {
	printf '# keys\na:0011\nb:00g1\n' >"$T/psk"
	server_refuses "psk:3: 'g' at column 5 is not a hex digit" --psk-file "$T/psk"
	printf 'a:0011\nb:0011\na:0022\n' >"$T/psk"
	server_refuses 'psk:3: the identity is already on line 1' --psk-file "$T/psk"
	client_refuses 'psk:3: the identity is already on line 1' --psk-file "$T/psk"
	printf 'a:0011\nb:0011\n' >"$T/psk"
	client_refuses "psk has 2 keys: a client's file has exactly one" --psk-file "$T/psk"
}

wrong_values_of_server_options() {
	server_refuses '--max-peers takes a whole number from 1 ' --psk "$KEY" --max-peers 0
	server_refuses '--max-handshakes takes .*"many"' --psk "$KEY" --max-handshakes many
	server_refuses '--idle takes a number of seconds' --psk "$KEY" --idle -1
	server_refuses '--stats takes a number of seconds .*"1h"' --psk "$KEY" --stats 1h
	echo "$KEY" >"$T/psk"
	server_refuses '--psk-file is given twice' --psk-file "$T/psk" --psk-file "$T/psk"
	server_refuses 'give one of them' --psk "$KEY" --echo --confirm
	server_refuses '"extra" is one argument too many' --psk "$KEY" extra
	refuses 2 'HOST:PORT' "$BIN/dtls-server" --psk "$KEY" -l 5684
	refuses 2 'HOST:PORT' "$BIN/dtls-server" --psk "$KEY" -l ::1:5684
	refuses 2 'port from 0 to 65535, not "65536"' "$BIN/dtls-server" --psk "$KEY" -l 127.0.0.1:65536
	refuses 2 'cannot resolve' "$BIN/dtls-server" --psk "$KEY" -l no.such.host.invalid:0
	refuses 2 'cannot listen on 192.0.2.1:5684: Cannot assign' "$BIN/dtls-server" --psk "$KEY" -l 192.0.2.1:5684
}

wrong_values_of_client_options() {
	client_refuses '--timeout takes a number of seconds .*"soon"' --psk "$KEY" --timeout soon
	client_refuses '--linger takes a whole number from 0 .*"-1"' --psk "$KEY" --linger -1
	client_refuses '--confirm takes a whole number from 1 .*"0"' --psk "$KEY" --confirm 0
	client_refuses 'a client has one key' --psk "$KEY" --psk other:0011
	echo "$KEY" >"$T/psk"
	client_refuses 'a client has one key' --psk "$KEY" --psk-file "$T/psk"
	client_refuses 'a hostname has 1 to 255 bytes' --psk "$KEY" --hostname "$(printf '%0300d' 0)"
	client_refuses 'a hostname has 1 to 255 bytes' --psk "$KEY" --hostname ''
	client_refuses '"127.0.0.1:5685" is one argument too many' --psk "$KEY" 127.0.0.1:5685
	refuses 2 'no server is given' "$BIN/dtls-client" --psk "$KEY"
	refuses 2 'HOST:PORT' "$BIN/dtls-client" 127.0.0.1 --psk "$KEY"
	refuses 2 'port from 1 to 65535, not "0"' "$BIN/dtls-client" 127.0.0.1:0 --psk "$KEY"
	refuses 2 'cannot resolve "no.such.host.invalid"' "$BIN/dtls-client" no.such.host.invalid:5684 --psk "$KEY"
}

genpsk_refuses() {
	refuses 2 'no identity' "$BIN/dtls-genpsk"
	refuses 2 'must not be empty' "$BIN/dtls-genpsk" ''
	refuses 2 '129 bytes, but 128 are the most' "$BIN/dtls-genpsk" "$(printf '%0129d' 0)"
	refuses 2 'takes a .*number from 16' "$BIN/dtls-genpsk" -b 15 a
	refuses 2 'takes a .*number from 16' "$BIN/dtls-genpsk" --bytes=long a
	refuses 2 'line break' "$BIN/dtls-genpsk" $'a\nb'
	refuses 2 'comment' "$BIN/dtls-genpsk" '#a'
	refuses 2 'twice' "$BIN/dtls-genpsk" a a
	refuses 1 'cannot write to standard output' bash -c "'$BIN/dtls-genpsk' a >/dev/full"
}

relay_refuses() {
	local target=(-t 127.0.0.1:5684)
	refuses 2 '.' "$BIN/dtls-relay"
	refuses 2 '.' "$BIN/dtls-relay" "${LOCAL[@]}"
	refuses 2 '.' "$BIN/dtls-relay" "${target[@]}"
	refuses 2 'probability' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --loss 1.5
	refuses 2 'probability' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --corrupt -0.1
	refuses 2 'probability' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --duplicate x
	refuses 2 'probability' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --reorder 20%%
	refuses 2 'whole number' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --delay 1.5
	refuses 2 'whole number' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --jitter -1
	refuses 2 'whole number' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --mtu x
	refuses 2 'whole number' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --rate x
	refuses 2 'whole number' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --seed x
	refuses 2 '--drop' "$BIN/dtls-relay" "${LOCAL[@]}" "${target[@]}" --drop 3-1
	refuses 2 'cannot resolve' "$BIN/dtls-relay" "${LOCAL[@]}" -t no.such.host.invalid:5684
}

port_in_use() {
	serve
	refuses 2 "cannot listen on 127.0.0.1:$PORT: Address already in use" \
		"$BIN/dtls-server" -l "127.0.0.1:$PORT" --psk "$KEY"
	refuses 2 "cannot listen on 127.0.0.1:$PORT: Address already in use" \
		"$BIN/dtls-relay" -l "127.0.0.1:$PORT" -t 127.0.0.1:5684
	stop server
}

keys_leave_the_command_line() {
	[[ -e /proc/self/cmdline ]] || skip 'no /proc to see command lines in'
	serve
	tr '\0' ' ' <"/proc/$(<"$T/server.pid")/cmdline" >"$T/cmdline"
	contains "$T/cmdline" '--psk sensor:x+ '
	lacks "$T/cmdline" '0011'
	stop server
}

# ---- a session

prints_messages() {
	serve
	printf 'temperature 21.4\nhumidity 40' | client --linger 100
	wait_for server '^sensor humidity 40$'
	equal "$(<"$T/server.out")" $'sensor temperature 21.4\nsensor humidity 40'
	wait_for server '^127\.0\.0\.1:[0-9]+ sensor connected with TLS-'
	wait_for server '^127\.0\.0\.1:[0-9]+ sensor has closed$'
	stop server
}

quiet_server() {
	serve -q
	echo 21.4 | client --linger 100
	wait_for server '^sensor 21.4$'
	stop server
	lacks "$T/server.err" 'connected|closed$'
}

echoes() {
	serve --echo
	equal "$(printf 'one\n\\two\nlast' | client --linger 300)" $'one\n\\two\nlast'
	stop server
	[[ ! -s $T/server.out ]]
}

echoes_binary() {
	serve --confirm
	equal "$(printf '\001\377\000z\t\n\r\n' | client --linger 300)" $'\\x01\\xff\\x00z\\x09\n\\x0d'
	stop server
	equal "$(<"$T/server.out")" $'sensor \\x01\\xff\\x00z\\x09\nsensor \\x0d'
}

identities_are_escaped() {
	start server "$BIN/dtls-server" "${LOCAL[@]}" --psk $'a b:\303\244:0011'
	PORT=$(port server)
	echo hi | timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk $'a b:\303\244:0011' --linger 0
	wait_for server '^a b:\\xc3\\xa4 hi$'
	stop server
}

answers_come_while_input_is_open() {
	serve --echo
	start_client client
	echo first >&9
	wait_for client '^first$'
	echo second >&9
	wait_for client '^second$'
	exec 9>&-
	finished client
	stop server
}

input_ends_at_once() {
	serve
	expect_status 0 client --linger 50 </dev/null
	wait_for server 'sensor has closed'
	equal "$(<"$T/server.out")" ''
	refuses 1 'cannot read standard input: Bad file descriptor' bash -c \
		"exec '$BIN/dtls-client' 127.0.0.1:$PORT --psk $KEY --linger 0 <&-"
	refuses 1 'cannot read standard input: Is a directory' "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" \
		--linger 0 <"$T"
	stop server
}

empty_lines_are_skipped() {
	serve --echo
	printf '\na\n\n\nb\n' >"$T/in"
	expect_status 0 client --linger 300 <"$T/in"
	equal "$(<"$T/cmd.out")" $'a\nb'
	equal "$(<"$T/cmd.err")" 'dtls-client: line 1 is empty, and there are no empty messages: skipped'
	stop server
}

x_times() {
	head -c "$1" /dev/zero | tr '\0' x
}

long_lines_are_named() {
	serve --echo
	{
		echo a
		x_times 2000
		echo
		x_times 70000
		echo
		echo b
		x_times 40000
	} >"$T/in"
	expect_status 1 client --linger 300 <"$T/in"
	equal "$(<"$T/cmd.out")" $'a\nb'
	contains "$T/cmd.err" '^dtls-client: line 2 was not sent: it has 2000 bytes, a message at most 11[0-9]+$'
	contains "$T/cmd.err" '^dtls-client: line 3 was not sent: it has more than 32768 bytes, a message at most 11'
	contains "$T/cmd.err" '^dtls-client: line 5 was not sent: it has more than 32768 bytes'
	equal "$(wc -l <"$T/cmd.err")" 3
	stop server
}

the_largest_message_fits() {
	local mtu max
	serve --echo --mtu 16384
	for mtu in 256 1200 16384; do
		x_times 20000 >"$T/in"
		expect_status 1 client --mtu "$mtu" --linger 0 <"$T/in"
		max=$(sed -n 's/.*a message at most //p' "$T/cmd.err")
		((max > mtu - 60 && max < mtu))
		equal "$(x_times "$max" | client --mtu "$mtu" --linger 300 | wc -c)" $((max + 1))
		x_times $((max + 1)) >"$T/in"
		expect_status 1 client --mtu "$mtu" --linger 0 <"$T/in"
	done
	stop server
}

an_answer_too_long_is_told() {
	serve --echo --mtu 256
	x_times 1000 | client --linger 100 >"$T/out"
	wait_for server 'sensor gets no answer: 1000 bytes are more than the [0-9]+ of a message here'
	[[ ! -s $T/out ]]
	stop server
}

tells_the_story() {
	serve --echo
	echo hi >"$T/in"
	expect_status 0 client -v --linger 300 <"$T/in"
	contains "$T/cmd.err" "^ +[0-9]+\.[0-9]{3} connecting to 127.0.0.1:$PORT$"
	contains "$T/cmd.err" '^ +[0-9]+\.[0-9]{3} sent flight 1: ClientHello '
	contains "$T/cmd.err" 'received flight 2: HelloVerifyRequest '
	contains "$T/cmd.err" 'sent flight 3: ClientHello \([1-9][0-9]* bytes of cookie\)'
	contains "$T/cmd.err" 'received flight 4: ServerHello'
	contains "$T/cmd.err" 'sent flight 5: ClientKeyExchange'
	contains "$T/cmd.err" 'received flight 6: ChangeCipherSpec, Finished'
	contains "$T/cmd.err" 'sent 1 messages, 0 of them again; received 1$'
	tail -n 1 "$T/cmd.err" >"$T/last"
	contains "$T/last" 'DTLSv1\.2, TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256; round trip [0-9]+ ms; flights resent: 0$'
	awk '{ if ($1 + 0 < last + 0) exit 1; last = $1 }' "$T/cmd.err"
	stop server
}

suites_by_name() {
	local suite
	serve --confirm --mtu 1400 --retransmit fixed --handshake-timeout 500-4000
	for suite in PSK_WITH_AES_128_CCM_8 PSK_WITH_AES_128_CCM PSK_WITH_AES_128_GCM_SHA256 PSK_WITH_AES_256_GCM_SHA384 \
		PSK_WITH_CHACHA20_POLY1305_SHA256 ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256; do
		equal "$(echo "$suite" | client --ciphers "TLS_$suite" --confirm 500)" "$suite"
		wait_for server "sensor connected with TLS-$(tr _ - <<<"$suite")$"
	done
	stop server
}

no_common_suite() {
	serve --ciphers TLS-PSK-WITH-AES-128-CCM-8
	refuses 1 'none of the cipher suites offered here is enabled there' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" --ciphers TLS-PSK-WITH-AES-128-GCM-SHA256
	wait_for server 'is enabled here'
	stop server
}

wrong_key() {
	serve
	refuses 1 'handshake with 127\.0\.0\.1:[0-9]+ failed: .*the pre-shared key for identity "sensor" probably differs' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk sensor:ff112233445566778899aabbccddeeff
	wait_for server 'the pre-shared key for identity "sensor" probably differs'
	refuses 1 'pre-shared key for identity "nobody" probably differs, or the peer does not know this identity' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk nobody:00112233445566778899aabbccddeeff
	wait_for server 'no pre-shared key is known for identity "nobody"'
	echo 21.4 | client --linger 0
	wait_for server '^sensor 21.4$'
	stop server
}

several_keys() {
	printf '# of the cellar\n\nb:0b\nc:d:0c\n' >"$T/psk"
	serve --psk a:0a --psk-file "$T/psk"
	for key in a:0a b:0b c:d:0c; do
		echo "$key" | timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$key" --linger 0
	done
	wait_for server '^c:d c:d:0c$'
	equal "$(<"$T/server.out")" $'a a:0a\nb b:0b\nc:d c:d:0c'
	stop server
}

genpsk_makes_a_psk_file() {
	"$BIN/dtls-genpsk" sensor-17 >"$T/psk"
	"$BIN/dtls-genpsk" -b 32 other third >"$T/more"
	cat "$T/psk" "$T/more" >"$T/all"
	contains "$T/psk" '^sensor-17:[0-9a-f]{32}$'
	equal "$(grep -cE '^(other|third):[0-9a-f]{64}$' "$T/more")" 2
	start server "$BIN/dtls-server" "${LOCAL[@]}" --psk-file "$T/all"
	PORT=$(port server)
	echo 21.4 | timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk-file "$T/psk" --linger 0
	wait_for server '^sensor-17 21.4$'
	stop server
}

has_ipv6() {
	(: >/dev/udp/::1/9) 2>/dev/null || skip 'this machine has no ::1'
}

ipv6() {
	has_ipv6
	start server "$BIN/dtls-server" -l '[::1]:0' --psk "$KEY" --echo
	wait_for server '^listening on \[::1\]:[0-9]+$'
	PORT=$(port server)
	equal "$(echo hi | timeout 60 "$BIN/dtls-client" "[::1]:$PORT" --psk "$KEY" --linger 300)" hi
	wait_for server '^\[::1\]:[0-9]+ sensor connected'
	stop server
}

a_name_with_two_addresses() {
	has_ipv6
	unshare -rm true 2>/dev/null || skip 'a hosts file of our own needs a namespace, which is not allowed here'
	printf '::1 twofold\n127.0.0.1 twofold\n' >"$T/hosts"
	serve --echo
	# shellcheck disable=SC2016
	equal "$(echo hi | unshare -rm sh -c 'mount --bind "$1" /etc/hosts && shift && exec timeout 60 "$@"' - "$T/hosts" \
		"$BIN/dtls-client" "twofold:$PORT" --psk "$KEY" --linger 300 --timeout 5)" hi
	stop server
}

# ---- ends

server_ends_on() {
	serve
	start_client client
	wait_for server 'sensor connected'
	stop server "$1"
	contains "$T/server.err" '^counters at the end, after [0-9.]+ s:$'
	contains "$T/server.err" '^  handshakes started 1, completed 1, failed 0, timed out 0, displaced 0$'
	wait_for client '^dtls-client: the server closed the session$'
	ends_with 1 client
}

client_ends_on() {
	serve
	start_client client -v
	wait_for server 'sensor connected'
	stop client "$1"
	contains "$T/client.err" 'sent 0 messages, 0 of them again; received 0$'
	wait_for server 'sensor has closed'
	stop server
}

signal_before_the_handshake_is_done() {
	start deaf "$BIN/dtls-relay" "${LOCAL[@]}" -t 127.0.0.1:1 --loss 1
	PORT=$(port deaf)
	start_client client -v
	wait_for client 'sent flight 1'
	signal client INT
	ends_with 1 client
	contains "$T/client.err" '^dtls-client: ended by a signal before the handshake with 127\.0\.0\.1:[0-9]+ was done$'
	stop deaf
}

relay_ends_on() {
	serve
	relay
	echo 21.4 | client --linger 0
	wait_for server '^sensor 21.4$'
	signal relay USR1
	stop relay "$1"
	[[ -s $T/relay.err ]]
	stop server
}

reloads_keys() {
	echo a:0a >"$T/psk"
	start server "$BIN/dtls-server" "${LOCAL[@]}" --psk-file "$T/psk"
	PORT=$(port server)
	connects() {
		expect_status 0 timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$1" --linger 0
	}
	is_refused() {
		refuses 1 "does not know this identity" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$1"
	}
	connects a:0a
	is_refused b:0b
	echo b:0b >"$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: .*psk was read again$'
	is_refused a:0a
	connects b:0b
	printf 'c:0c\nd:0\n' >"$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: .*psk:2: the key has an odd number of hex digits; the keys stay as they were$'
	connects b:0b
	is_refused c:0c
	rm "$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: cannot read .*psk: No such file or directory; the keys stay as they were$'
	connects b:0b
	stop server
}

sessions_survive_a_reload() {
	echo sensor:0a >"$T/psk"
	start server "$BIN/dtls-server" "${LOCAL[@]}" --psk-file "$T/psk" --echo
	PORT=$(port server)
	KEY=sensor:0a start_client client
	echo one >&9
	wait_for client '^one$'
	echo sensor:0b >"$T/psk"
	signal server HUP
	wait_for server 'was read again'
	echo two >&9
	wait_for client '^two$'
	exec 9>&-
	finished client
	stop server
}

counters_on_request() {
	serve --stats 0.2
	echo 21.4 | client --linger 0
	wait_for server '^sensor 21.4$'
	signal server HUP
	wait_for server '^SIGHUP: there is no file to read again: no --psk-file, --cert or --ca$'
	signal server USR1
	wait_for server '^counters on SIGUSR1, after [0-9.]+ s:$'
	wait_for server '^  messages in 1, out 0; datagrams in [0-9]+, out [0-9]+$'
	wait_for server '^counters in between, after [0-9.]+ s:$'
	stop server
}

idle_peers_are_closed() {
	serve --idle 0.3
	start_client client
	wait_for server 'sensor was closed: silent for too long$'
	wait_for client '^dtls-client: the server closed the session$'
	ends_with 1 client
	stop server
}

too_many_peers() {
	serve --max-peers 1 --max-handshakes 5 --echo
	start_client first
	wait_for server 'sensor connected'
	equal "$(echo hi | client --linger 300)" hi
	wait_for server 'sensor was closed: it had been silent longest when --max-peers was reached$'
	ends_with 1 first
	stop server
}

full_output() {
	serve --echo
	refuses 1 'dtls-client: cannot write to standard output: No space left on device' bash -c \
		"echo hi | '$BIN/dtls-client' 127.0.0.1:$PORT --psk $KEY >/dev/full"
	wait_for server 'sensor has closed'
	stop server
	start full bash -c "exec '$BIN/dtls-server' -l 127.0.0.1:0 --psk $KEY >/dev/full"
	PORT=$(port full)
	echo hi | client --linger 60000 2>/dev/null || :
	wait_for full '^dtls-server: cannot write to standard output: No space left on device$'
	ends_with 1 full
}

nobody_listens() {
	refuses 1 'handshake with 127.0.0.1:1 timed out after 0.300 s: Connection refused$' \
		"$BIN/dtls-client" 127.0.0.1:1 --psk "$KEY" --timeout 0.3
	refuses 1 'handshake with 127.0.0.1:1 failed: .* \(Connection refused\)$' \
		"$BIN/dtls-client" 127.0.0.1:1 --psk "$KEY" --handshake-timeout 50-100
}

the_path_goes_dead() {
	serve
	relay --drop 3-10000
	refuses 1 'handshake with 127\.0\.0\.1:[0-9]+ timed out after 1\.500 s: the server fell silent after' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" --timeout 1.5
	refuses 1 'handshake with 127\.0\.0\.1:[0-9]+ failed: the peer fell silent' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" --handshake-timeout 100-400
	stop relay
	stop server
}

all_is_lost() {
	serve
	relay --loss 1
	refuses 1 'timed out after 0\.800 s: nothing was received' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" --timeout 0.8
	refuses 1 'failed: nothing was received within 0.300 s: is a DTLS server listening there\?$' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" --handshake-timeout 100-200
	stop relay
	stop server
}

# ---- confirmation, and many

confirms_through_loss() {
	local lines
	serve --confirm
	relay --loss 0.3 --delay 5 --seed 4
	lines=$(seq 20)
	equal "$(client --confirm 60 --handshake-timeout 200-1000 <<<"$lines" 2>"$T/err")" "$lines"
	equal "$(uniq "$T/server.out")" "$(seq -f 'sensor %g' 20)"
	(($(wc -l <"$T/server.out") > 20)) || fail 'nothing had to be repeated'
	stop relay
	stop server
}

fails_unconfirmed() {
	local again
	serve
	echo 21.4 >"$T/in"
	expect_status 1 client --confirm 100 --timeout 0.55 -v <"$T/in"
	contains "$T/cmd.err" '^dtls-client: line 1 was not confirmed within 0.550 s$'
	# How often it repeats depends on the machine; the story, the summary and the server must agree on it.
	again=$(grep -c 'line 1 again: not confirmed yet$' "$T/cmd.err")
	((again > 0)) || fail 'nothing was repeated'
	contains "$T/cmd.err" "sent $((again + 1)) messages, $again of them again; received 0\$"
	wait_for server 'sensor has closed$'
	stop server
	equal "$(wc -l <"$T/server.out")" "$((again + 1))"
}

two_clients_at_once() {
	serve --echo --psk other:22
	start_client first
	echo one >&9
	wait_for first '^one$'
	equal "$(echo two | timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk other:22 --linger 300)" two
	echo three >&9
	wait_for first '^three$'
	exec 9>&-
	finished first
	equal "$(<"$T/first.out")" $'one\nthree'
	stop server
}

two_hundred_clients() {
	local i pids=()
	serve -q --confirm --ciphers TLS-PSK-WITH-AES-128-CCM-8
	for i in $(seq 200); do
		echo "reading $i" | client --confirm 2000 --timeout 50 >"$T/$i.answer" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	for i in $(seq 200); do
		equal "$(<"$T/$i.answer")" "reading $i"
	done
	stop server
	equal "$(sort -u "$T/server.out" | wc -l)" 200
	contains "$T/server.err" '^  handshakes started [0-9]+, completed 200, failed 0, timed out 0, '
}

api_examples_talk() {
	local port=$((30000 + $$ % 20000))
	start server "$BIN/api-epoll-server" "$port" "$KEY"
	equal "$(timeout 30 "$BIN/api-blocking-client" 127.0.0.1 "$port" "$KEY" 'hello there')" 'hello there'
	wait_for server '^a peer connected with TLS-'
	wait_for server '^a peer has ended: closed$'
	refuses 1 'usage: api-blocking-client' "$BIN/api-blocking-client" 127.0.0.1
	refuses 1 'pre-shared key for identity "sensor" probably differs' \
		"$BIN/api-blocking-client" 127.0.0.1 "$port" sensor:99 hi
}

api_transport_tells_one_story_a_seed() {
	local seed
	for seed in 1 2 3 4 5 6 7 8 9 10; do
		"$BIN/api-transport" "$seed" >"$T/one"
		"$BIN/api-transport" "$seed" >"$T/two"
		contains "$T/one" 'ms  server: read "21.4 degrees"$'
		# Keys are fresh in every run, times are not.
		equal "$(sed 's/, [0-9]* bytes$//' "$T/one")" "$(sed 's/, [0-9]* bytes$//' "$T/two")"
	done
}

api_lossy_link_is_exact() {
	equal "$("$BIN/api-lossy-link")" ' 330 ms  reading 1 is stored
 660 ms  reading 2 is stored
 740 ms  reading 3 is stored'
}

t '--help and --version' help_and_version
t '--help fits 80 columns' every_help_fits
t '--help names every option' long_options_are_in_help
t 'wrong values of the options that server and client share' wrong_values_of_shared_options
t 'a bad PSK file is named by file, line and reason' a_bad_psk_file_is_named_by_line
t 'wrong values of the server'\''s options' wrong_values_of_server_options
t 'wrong values of the client'\''s options' wrong_values_of_client_options
t 'what dtls-genpsk refuses' genpsk_refuses
t 'what dtls-relay refuses' relay_refuses
t 'a port in use' port_in_use
t 'keys do not stay on the command line' keys_leave_the_command_line
t 'the server prints each message behind its identity' prints_messages
t 'a quiet server tells nothing of its peers' quiet_server
t 'the server echoes' echoes
t 'binary messages are echoed and escaped' echoes_binary
t 'identities are escaped' identities_are_escaped
t 'answers come while the input is still open' answers_come_while_input_is_open
t 'input that ends at once, and input that cannot be read' input_ends_at_once
t 'empty lines are skipped and told once' empty_lines_are_skipped
t 'lines too long are named and fail in the end' long_lines_are_named
t 'the largest message for an MTU fits, one byte more does not' the_largest_message_fits
t 'an answer too long for the server is told' an_answer_too_long_is_told
t '-v tells the handshake'\''s story' tells_the_story
t 'each cipher suite by its name' suites_by_name
t 'no common cipher suite' no_common_suite
t 'a wrong key and an unknown identity' wrong_key
t 'keys from the command line and a file together' several_keys
t 'what dtls-genpsk prints is a PSK file' genpsk_makes_a_psk_file
t 'IPv6' ipv6
t 'a name with two addresses leads to the one that listens' a_name_with_two_addresses
t 'SIGINT ends the server, which closes its sessions' server_ends_on INT
t 'SIGTERM ends the server' server_ends_on TERM
t 'SIGINT ends the client' client_ends_on INT
t 'SIGTERM ends the client' client_ends_on TERM
t 'a signal before the handshake is done' signal_before_the_handshake_is_done
t 'SIGINT ends the relay' relay_ends_on INT
t 'SIGTERM ends the relay' relay_ends_on TERM
t 'SIGHUP reads the keys again; a bad file changes nothing' reloads_keys
t 'sessions survive the reloading' sessions_survive_a_reload
t 'counters on SIGUSR1 and every --stats' counters_on_request
t 'idle peers are closed' idle_peers_are_closed
t 'one peer too many' too_many_peers
t 'standard output is full' full_output
t 'nobody listens' nobody_listens
t 'the path goes dead in the handshake' the_path_goes_dead
t 'everything is lost' all_is_lost
t '--confirm brings every line through loss' confirms_through_loss
t '--confirm fails when nothing is echoed' fails_unconfirmed
t 'two clients at once' two_clients_at_once
t '200 clients in parallel' two_hundred_clients
t 'the API examples talk to each other' api_examples_talk
t 'api-transport tells one story for one seed' api_transport_tells_one_story_a_seed
t 'api-lossy-link loses and resends at exact times' api_lossy_link_is_exact
finish
