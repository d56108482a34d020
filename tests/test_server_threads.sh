#!/bin/bash
# dtls-server on several threads, and what it grants to one source.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

KEY=sensor:00112233445566778899aabbccddeeff
QUICK=(--ciphers TLS-PSK-WITH-AES-128-CCM-8)

# serve [OPTION...]: PORT is its port.
serve() {
	start server "$BIN/dtls-server" -l 127.0.0.1:0 --psk "$KEY" "${QUICK[@]}" "$@"
	PORT=$(port server)
}

client() {
	timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" "$@"
}

# clients N [OPTION...]: at once; each gets its own line back, in $T/I.answer.
clients() {
	local i pids=() count=$1
	shift
	for i in $(seq "$count"); do
		echo "reading $i" | client --confirm 2000 --timeout 50 "$@" >"$T/$i.answer" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	for i in $(seq "$count"); do
		equal "$(<"$T/$i.answer")" "reading $i"
	done
}

# total REGEX: the number that stands in parentheses, as the server has printed it last.
total() {
	sed -nE "s/.*$1.*/\1/p" "$T/server.err" | tail -n 1
}

threads_of() {
	find "/proc/$(<"$T/$1.pid")/task" -mindepth 1 -maxdepth 1 | wc -l
}

many_clients_on_four_threads() {
	serve --threads 4 --confirm
	wait_until_threads 5
	clients 60
	signal server USR1
	wait_for server '^counters on SIGUSR1'
	wait_for server '^  handshakes started [0-9]+, completed 60, failed 0, timed out 0, displaced 0$'
	stop server
	equal "$(sort -u "$T/server.out" | wc -l)" 60
	equal "$(grep -cxE 'sensor reading [0-9]+' "$T/server.out")" 60 # no line runs into another
	equal "$(grep -c ' sensor connected with TLS-PSK' "$T/server.err")" 60
	equal "$(grep -c ' sensor has closed$' "$T/server.err")" 60
	equal "$(total 'messages in ([0-9]+), out 60;')" 60
	equal "$(total 'closed by the peer ([0-9]+),')" 60
	contains "$T/server.err" '^counters at the end'
}

wait_until_threads() {
	local deadline=$((SECONDS + 10))
	while (($(threads_of server) < $1)); do # a sanitizer may have one of its own
		((SECONDS < deadline)) || fail "$(threads_of server) threads instead of $1"
		sleep 0.02
	done
}

one_thread_is_the_default() {
	serve --threads 1
	equal "$(threads_of server)" 1
	stop server
	serve
	equal "$(threads_of server)" 1
	stop server
}

keys_are_read_again_for_all_threads() {
	local i
	echo a:0a >"$T/psk"
	start server "$BIN/dtls-server" -l 127.0.0.1:0 --psk-file "$T/psk" --threads 2 "${QUICK[@]}"
	PORT=$(port server)
	echo b:0b >"$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: .*psk was read again$'
	for i in 1 2 3 4 5 6; do
		expect_status 0 timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" --psk b:0b --linger 0
		refuses 1 'does not know this identity' "$BIN/dtls-client" "127.0.0.1:$PORT" --psk a:0a
	done
	stop server
	equal "$(total 'completed ([0-9]+), failed')" 6
}

# stay N: so many clients that send nothing, and do not leave.
stay() {
	local i
	mkfifo "$T/nothing"
	exec 9<>"$T/nothing"
	for i in $(seq "$1"); do
		start "client$i" "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" <"$T/nothing" 9>&-
	done
	while (($(grep -c connected "$T/server.err") < $1)); do
		sleep 0.02
	done
}

# The clients are told by every thread.
sessions_are_closed_at_the_end() {
	local i
	serve --threads 3
	stay 8
	signal server USR1
	wait_for server '^  peers 8; unfinished handshakes 0$'
	stop server INT
	for i in 1 2 3 4 5 6 7 8; do
		ends_with 1 "client$i" 'the server closed the session$'
	done
	exec 9>&-
	contains "$T/server.err" '^  peers 0; unfinished handshakes 0$'
}

counters_in_between() {
	serve --threads 2 --stats 0.2
	echo 21.4 | client --linger 0
	wait_for server '^counters in between'
	wait_for server '^  messages in 1, out 0; '
	stop server
}

limits_are_shared_out() {
	local peers
	serve --threads 2 --max-peers 3
	stay 16
	signal server USR1
	wait_for server '^counters on SIGUSR1'
	wait_for server '^  beyond the rate'
	peers=$(total '  peers ([0-9]+);')
	((peers <= 4)) || fail "$peers peers" # two each
	equal "$(total 'evicted ([0-9]+),')" $((16 - peers))
	stop server
}

an_address_in_use() {
	serve
	refuses 2 "^dtls-server: cannot listen on 127.0.0.1:$PORT: Address already in use$" \
		"$BIN/dtls-server" -l "127.0.0.1:$PORT" --psk "$KEY" --threads 2
	stop server
	serve --threads 2
	refuses 2 "^dtls-server: cannot listen on 127.0.0.1:$PORT: Address already in use$" \
		"$BIN/dtls-server" -l "127.0.0.1:$PORT" --psk "$KEY" --threads 2
	stop server
}

standard_output_is_full() {
	start full bash -c "exec '$BIN/dtls-server' -l 127.0.0.1:0 --psk $KEY --threads 2 >/dev/full"
	PORT=$(port full)
	echo hi | client --linger 60000 2>/dev/null || :
	wait_for full '^dtls-server: cannot write to standard output: No space left on device$'
	ends_with 1 full
}

wrong_command_lines() {
	local n
	for n in 0 257 two -1; do
		refuses 2 "^dtls-server: --threads takes a whole number from 1 to 256, not \"$n\"$" \
			"$BIN/dtls-server" --psk "$KEY" "--threads=$n"
	done
	refuses 2 '^dtls-server: --threads are for DTLS: ' "$BIN/dtls-server" --psk "$KEY" --threads 2 --tls
	for n in hellos handshakes; do
		refuses 2 "^dtls-server: --source-$n takes a whole number from 1 " \
			"$BIN/dtls-server" --psk "$KEY" "--source-$n=0"
	done
}

options_are_in_help() {
	local word
	"$BIN/dtls-server" --help >"$T/help"
	for word in threads source-hellos source-handshakes; do
		contains "$T/help" "--$word=N "
	done
}

# Ten at once, then one a second: the others come by their repetitions.
beyond_the_rate_of_a_source() {
	serve --source-handshakes 1 --confirm
	clients 14
	stop server
	[[ $(total 'beyond the rate of their source: hellos 0, handshakes ([0-9]+)$') -ge 4 ]] || fail 'nobody was held back'
	equal "$(total 'completed ([0-9]+), failed 0')" 14
}

hellos_beyond_the_rate_of_a_source() {
	serve --source-hellos 1 --confirm
	clients 14
	stop server
	[[ $(total 'beyond the rate of their source: hellos ([0-9]+), handshakes 0$') -ge 4 ]] || fail 'nobody was held back'
	equal "$(total 'completed ([0-9]+), failed 0')" 14
}

t '60 clients on four threads; the counters add up' many_clients_on_four_threads
t 'one thread is the default' one_thread_is_the_default
t 'SIGHUP reads the keys again for all threads' keys_are_read_again_for_all_threads
t 'SIGINT closes the sessions of all threads' sessions_are_closed_at_the_end
t 'counters every --stats' counters_in_between
t 'limits are for all threads together' limits_are_shared_out
t 'an address in use is not shared' an_address_in_use
t 'standard output is full' standard_output_is_full
t 'wrong command lines' wrong_command_lines
t 'the options are in --help' options_are_in_help
t 'a source beyond its handshakes has to wait' beyond_the_rate_of_a_source
t 'a source beyond its hellos has to wait' hellos_beyond_the_rate_of_a_source
finish
