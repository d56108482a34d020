#!/bin/bash
# dtls-load as its users meet it: against our server, through the relay, and against the servers of others.
here=$(dirname "$0")
# shellcheck source=lib.sh
. "$here/lib.sh"
need openssl gnutls-serv python3

LOAD=$BIN/dtls-load
KEY=sensor:00112233445566778899aabbccddeeff
SUITE=TLS-PSK-WITH-AES-128-CCM-8

# serve [OPTION...]: a server on 127.0.0.1; PORT is its port.
serve() {
	start server "$BIN/dtls-server" -l 127.0.0.1:0 --psk "$KEY" --ciphers "$SUITE" "$@"
	PORT=$(port server)
}

# relay OPTION...: in front of it; PORT becomes the relay's.
relay() {
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" "$@"
	PORT=$(port relay)
}

# load [OPTION...]: a load on it, which ends with STATUS (0); the table is in $T/cmd.out.
load() {
	expect_status "${STATUS:-0}" timeout 100 "$LOAD" "127.0.0.1:$PORT" --psk "$KEY" --ciphers "$SUITE" "$@"
}

# For servers that cannot choose one: PORT is below those that the kernel chooses, and that the other tests do.
free_port() {
	PORT=$((10000 + $$ % 900 * 10))
	while grep -qi ":$(printf %04X "$PORT") " /proc/net/{udp,udp6} 2>/dev/null; do
		PORT=$((PORT + 1))
	done
}

# told REGEX: prints the number that is in place of # in the table.
told() {
	local regex=${1/\#/([0-9.]+)}
	contains "$T/cmd.out" "$regex" >&2
	sed -nE "s/^.*$regex.*\$/\1/p" "$T/cmd.out" | head -n 1
}

at_least() { # LEAST ACTUAL
	awk -v least="$1" -v actual="$2" 'BEGIN { exit !(actual >= least) }' || fail "$2 instead of at least $1"
}

at_most() { # MOST ACTUAL
	awk -v most="$1" -v actual="$2" 'BEGIN { exit !(actual <= most) }' || fail "$2 instead of at most $1"
}

# whole COLUMN: its value in the last row of $T/csv, which is that of the whole time.
whole() {
	awk -F , -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i } END { print $column }' "$T/csv"
}

# served REGEX: stops the server; its counters have a line with this.
served() {
	stop server
	contains "$T/server.err" "$1"
}

# ---- handshakes

every_client_connects_once() {
	serve
	load --clients 50
	contains "$T/cmd.out" '^50 clients, [0-9]+ process(es)?, '
	contains "$T/cmd.out" '^handshakes  50 done, 0 failed, 0 unfinished; [0-9.]+ a second$'
	contains "$T/cmd.out" '^ +p50 [0-9.]+ ms, p90 [0-9.]+ ms, p99 [0-9.]+ ms, max [0-9.]+ ms$'
	contains "$T/cmd.out" '^sessions    50 at the end; 0 ended by the server or by an error$'
	lacks "$T/cmd.out" messages
	[[ ! -s $T/cmd.err ]]
	served 'handshakes started 50, completed 50, failed 0'
	contains "$T/server.err" 'closed by the peer 50,'
}
t 'every client connects once, and closes at the end' every_client_connects_once

through_loss() {
	serve
	relay --loss 0.2 --seed 3
	load --clients 40 --handshake-timeout 50-10000
	equal "$(told 'handshakes  # done, 0 failed')" 40
}
t 'clients connect through a lossy network' through_loss

latencies() {
	serve --echo
	relay --delay 50
	load --clients 4 --echo 20 --duration 1.5 --interval 0
	at_least 300 "$(told 'p50 # ms')"
	grep -A 1 '^messages' "$T/cmd.out" >"$T/messages"
	mv "$T/messages" "$T/cmd.out"
	at_least 100 "$(told 'p50 # ms')"
	at_least 100 "$(told 'max # ms')"
}
t 'the times are those of the network' latencies

churn() {
	serve
	load --clients 3 --churn 0 --duration 0.5
	local count
	count=$(told 'handshakes  # done')
	at_least 4 "$count"
	served "handshakes started $count, completed $count, failed 0"
	contains "$T/server.err" "closed by the peer $count, "
}
t '--churn 0: clients connect again and again' churn

churn_lasts() {
	serve
	load --clients 2 --churn 0.3 --duration 1 --csv "$T/csv"
	at_most 8 "$(whole handshakes_done)"
	at_least 4 "$(whole handshakes_done)"
}
t '--churn S: a session lasts S seconds' churn_lasts

churn_with_echo() {
	serve --echo
	load --clients 3 --churn 0 --echo 30 --duration 0.5 --csv "$T/csv"
	at_most "$(whole handshakes_done)" "$(whole messages_sent)"
	at_least $(($(whole handshakes_done) - 3)) "$(whole messages_back)" # those that were done after the end
	served "messages in $(whole messages_sent), out $(whole messages_sent);"
}
t '--churn 0 with --echo: one message in each session' churn_with_echo

rate() {
	serve
	load --clients 10 --rate 20 --csv "$T/csv"
	at_least 0.45 "$(whole to_s)"
	at_most 22.3 "$(told 'unfinished; # a second')"
}
t '--rate: no more handshakes a second begin' rate

pending() {
	serve
	relay --delay 30
	load --clients 6 --processes 2 --pending 2 --csv "$T/csv"
	at_least 0.54 "$(whole to_s)"
}
t '--pending: no more handshakes are unfinished at a time' pending

# No handshake is done within this second.
pending_by_default() {
	serve
	relay --delay 1000
	STATUS=1 load --clients 120 --duration 1.1 --csv "$T/csv"
	equal "$(whole handshakes_begun)" 100
	STATUS=1 load --clients 120 --rate 1000 --duration 1.1 --csv "$T/csv"
	equal "$(whole handshakes_begun)" 120
}
t 'a hundred handshakes at a time, with --rate all of them' pending_by_default

sources() {
	serve
	load --clients 6 --sources 3 --processes 2
	stop server
	equal "$(grep -o '^127.0.0.[0-9]*:.* connected' "$T/server.err" | cut -d : -f 1 | sort | uniq -c | tr -s ' ' | paste -sd ,)" \
		' 2 127.0.0.1, 2 127.0.0.2, 2 127.0.0.3'
}
t '--sources: clients come from many addresses' sources

certificates() {
	mkdir "$T/pki"
	sh "$here/pki.sh" "$T/pki"
	start server "$BIN/dtls-server" -l 127.0.0.1:0 --echo --cert "$T/pki/server.pem" --key "$T/pki/server.key" --ca "$T/pki/ca.pem"
	PORT=$(port server)
	expect_status 0 "$LOAD" "127.0.0.1:$PORT" --clients 3 --hostname localhost --ca "$T/pki/ca.pem" --cert "$T/pki/client.pem" --key "$T/pki/client.key"
	equal "$(told 'handshakes  # done')" 3
	expect_status 1 "$LOAD" "127.0.0.1:$PORT" --clients 3 --ca "$T/pki/ca.pem" --hostname other.example \
		--cert "$T/pki/client.pem" --key "$T/pki/client.key"
	contains "$T/cmd.err" '3 of 3 handshakes failed, .*other.example'
	stop server
}
t 'certificates on both sides' certificates

# ---- messages

echo_as_fast_as_it_goes() {
	serve --echo
	load --clients 8 --echo 64 --interval 0 --duration 0.5 --csv "$T/csv"
	at_least 100 "$(whole messages_sent)"
	equal "$(whole messages_back)" "$(whole messages_sent)"
	equal "$(whole messages_lost),$(whole messages_stray)" 0,0
	served "messages in $(whole messages_sent), out $(whole messages_sent);"
}
t '--echo with --interval 0: the next message leaves when the last one is back' echo_as_fast_as_it_goes

interval() {
	serve --echo
	load --clients 4 --echo 1 --interval 250 --duration 1.1 --csv "$T/csv"
	at_least 8 "$(whole messages_sent)"
	at_most 20 "$(whole messages_sent)"
	equal "$(whole messages_back)" "$(whole messages_sent)"
}
t '--interval: the time between messages' interval

sizes() {
	serve
	STATUS=1 load --clients 1 --echo 40 --duration 0.2 --patience 100
	wait_for server '^sensor 0/1\.{37}$'
	STATUS=1 load --clients 1 --echo 2 --duration 0.2 --patience 100
	wait_for server '^sensor /1$'
}
t '--echo SIZE: messages of that size, which tell their numbers' sizes

nothing_comes_back() {
	serve
	STATUS=1 load --clients 2 --echo 10 --duration 0.5 --patience 100 --interval 0 --csv "$T/csv"
	equal "$(<"$T/cmd.err")" \
		"dtls-load: of $(whole messages_sent) messages none came back: does the server echo what it gets?"
	equal "$(whole messages_lost)" "$(whole messages_sent)"
	at_least 4 "$(whole messages_lost)"
}
t 'a server that does not echo' nothing_comes_back

strays() {
	serve --echo
	STATUS=1 load --clients 2 --coap-ping --duration 0.5 --patience 100 --csv "$T/csv"
	contains "$T/cmd.err" 'none came back: does the server speak CoAP\?$'
	equal "$(whole messages_stray)" 2
	equal "$(told '^ +# others came')" 2
}
t 'what comes is not always the answer' strays

# RFC 7252, 4.3: an empty confirmable message.
coap_ping() {
	serve
	STATUS=1 load --clients 1 --coap-ping --duration 0.3 --patience 100 --interval 0
	wait_for server '^sensor @\\x00\\x00\\x01$'
	wait_for server '^sensor @\\x00\\x00\\x02$'
}
t '--coap-ping: an empty confirmable message, each with a number of its own' coap_ping

# libcoap's server needs a package that the other tests do without.
coap_server() {
	command -v coap-server-openssl >/dev/null || skip 'no coap-server-openssl here'
	free_port
	start server coap-server-openssl -A 127.0.0.1 -p "$PORT" -k secretPSK -h hint
	PORT=$((PORT + 1)) # of DTLS
	for _ in {1..100}; do
		"$LOAD" "127.0.0.1:$PORT" --psk sensor:73656372657450534b --clients 1 >"$T/first" 2>&1 && break
		sleep 0.05
	done
	expect_status 0 "$LOAD" "127.0.0.1:$PORT" --psk sensor:73656372657450534b --clients 5 --coap-ping --churn 0 --duration 2 \
		--csv "$T/csv"
	at_least 5 "$(whole messages_back)"
	equal "$(whole messages_stray)" 0
}
t "libcoap's server" coap_server

late() {
	serve --echo
	relay --delay 100
	STATUS=1 load --clients 1 --echo 30 --interval 0 --patience 50 --duration 1.5 --csv "$T/csv"
	equal "$(whole messages_back)" 0
	at_least 2 "$(whole messages_lost)"
	at_least 1 "$(whole messages_stray)"
}
t '--patience: what comes later is lost' late

too_long() {
	serve --echo
	STATUS=1 load --clients 3 --echo 1500 --duration 600
	contains "$T/cmd.err" ': a message of 1500 bytes is too long: this session.s have at most 1[0-9]+$'
	equal "$(wc -l <"$T/cmd.err")" 1
}
t 'messages that do not fit end the run at once' too_long

# ---- failures

wrong_key() {
	serve
	expect_status 1 timeout 100 "$LOAD" "127.0.0.1:$PORT" --psk sensor:0011 --ciphers "$SUITE" --clients 5 --timeout 5
	contains "$T/cmd.out" '^handshakes  0 done, 5 failed, 0 unfinished; 0.0 a second$'
	contains "$T/cmd.out" '^ +[1-5]  handshake with 127.0.0.1:.*the pre-shared key for identity "sensor" probably differs'
	contains "$T/cmd.err" '^dtls-load: 5 of 5 handshakes failed, 0 sessions ended: handshake with .*MBEDTLS_ERR'
	equal "$(wc -l <"$T/cmd.err")" 1
}
t 'a wrong key: the reason and how often' wrong_key

nobody_listens() {
	serve
	stop server
	STATUS=1 load --clients 5 --duration 600
	contains "$T/cmd.err" "5 of 5 handshakes failed, 0 sessions ended: cannot reach 127.0.0.1:$PORT: Connection refused; is a"
	contains "$T/cmd.out" '^ +5  cannot reach'
}
t 'where nobody listens it ends at once' nobody_listens

silence() {
	serve
	relay --loss 1
	STATUS=1 load --clients 4 --timeout 0.4
	contains "$T/cmd.err" '4 of 4 handshakes failed, .*: a handshake with 127.0.0.1:[0-9]+ was not done within 0.400 s$'
}
t '--timeout: a handshake that lasts longer has failed' silence

server_ends() {
	serve --echo --max-peers 2
	STATUS=1 load --clients 5 --duration 1.5 --echo 20 --interval 100
	contains "$T/cmd.err" 'dtls-load: 0 of 5 handshakes failed, 3 sessions ended: 127.0.0.1:[0-9]+ closed the session$'
	contains "$T/cmd.out" '^ +3  127.0.0.1:[0-9]+ closed the session$'
	contains "$T/cmd.out" '^sessions    2 at the end; 3 ended by the server'
}
t 'sessions that the server ends' server_ends

server_goes_away() {
	serve
	start load "$LOAD" "127.0.0.1:$PORT" --psk "$KEY" --ciphers "$SUITE" --clients 5 --processes 2 --churn 60 --duration 4
	local deadline=$((SECONDS + 10))
	until (($(grep -c ' connected' "$T/server.err") == 5)); do
		((SECONDS < deadline)) || fail 'no clients came'
		sleep 0.02
	done
	stop server
	ends_with 1 load ' handshakes failed, 5 sessions ended: cannot reach .*; and other reasons$'
	equal "$(grep -c '^ *[0-9]*  127.0.0.1:[0-9]* closed the session$' "$T/load.out")" 1
	grep -A 1 'cannot reach .*: Connection refused' "$T/load.out" | tail -n 1 | grep -qE '^ +5  .* closed the session$'
}
t 'a server that goes away: each reason, the most frequent first' server_goes_away

# Each of two takes the other's place, with a message unanswered.
begins_anew() {
	serve --max-peers 1
	STATUS=1 load --clients 2 --churn 0 --echo 10 --patience 60000 --duration 3.5 --csv "$T/csv"
	at_least 3 "$(whole messages_sent)"
	at_least 2 "$(whole sessions_ended)"
}
t 'with --churn a client whose session was ended begins anew' begins_anew

comes_back() {
	serve
	relay --loss 1
	start load "$LOAD" "127.0.0.1:$PORT" --psk "$KEY" --ciphers "$SUITE" --clients 2 --churn 0 --timeout 0.3 --duration 4
	sleep 0.5 # both have failed
	local address=127.0.0.1:$PORT
	stop relay
	start relay "$BIN/dtls-relay" -l "$address" -t "127.0.0.1:$(port server)"
	ends_with 1 load '[0-9]+ of [0-9]+ handshakes failed'
	grep -qE '^handshakes  [1-9][0-9]* done, ' "$T/load.out"
}
t 'with --churn a client whose handshake failed tries again' comes_back

# ---- signals and processes

# endless NAME [OPTION...]: a load on an echo server that lasts until it is ended; its clients are connected.
endless() {
	local name=$1
	shift
	serve --echo
	start "$name" env --default-signal=INT "$LOAD" "127.0.0.1:$PORT" --psk "$KEY" --ciphers "$SUITE" --clients 4 --processes 2 \
		--echo 20 --interval 10 --duration 600 "$@"
	local deadline=$((SECONDS + 10))
	until (($(grep -c ' connected' "$T/server.err") == 4)); do
		((SECONDS < deadline)) || fail 'no clients came'
		sleep 0.02
	done
}

children() { # NAME
	grep -lsE "^[0-9]+ \(.*\) . $(<"$T/$1.pid") " /proc/[0-9]*/stat | sed 's|/proc/||; s|/stat||'
}

gone() { # PID...
	local pid deadline=$((SECONDS + 10))
	for pid in "$@"; do
		while grep -qs '^State:[[:space:]]*[^Z]' "/proc/$pid/status"; do # a zombie waits for its new parent
			((SECONDS < deadline)) || fail "process $pid is left"
			sleep 0.02
		done
	done
}

ctrl_c() { # SIGNAL
	endless load --csv "$T/csv"
	signal load "$1"
	ends_with 0 load
	contains "$T/load.out" '^handshakes  4 done, 0 failed, 0 unfinished'
	contains "$T/load.out" '^messages    [0-9]+ sent, [0-9]+ came back, 0 lost;'
	equal "$(whole handshakes_done)" 4
	served 'closed by the peer 4,'
}
t 'Ctrl-C: the results so far, and the sessions are closed' ctrl_c INT
t 'SIGTERM, too' ctrl_c TERM

nothing_done() {
	serve
	relay --loss 1
	start load env --default-signal=INT "$LOAD" "127.0.0.1:$PORT" --psk "$KEY" --clients 2
	local deadline=$((SECONDS + 10))
	until [[ -n $(children load) ]]; do
		((SECONDS < deadline)) || fail 'no processes were started'
		sleep 0.02
	done
	signal load INT
	ends_with 1 load '^dtls-load: no handshake was done$'
}
t 'Ctrl-C before any handshake was done' nothing_done

killed() {
	endless load
	local pids
	mapfile -t pids < <(children load)
	equal "${#pids[@]}" 2
	signal load KILL
	finished load || :
	gone "${pids[@]}"
	wait_for server ' has closed$'
}
t 'SIGKILL leaves no process behind, and no session' killed

a_process_dies() {
	endless load
	kill -KILL "$(children load | head -n 1)"
	ends_with 1 load '^dtls-load: a process was ended by signal 9 \(Killed\)$'
}
t 'a process that dies is an error' a_process_dies

progress() {
	script -qec true /dev/null >"$T/out" || skip 'no pseudo-terminal here'
	serve --echo
	script -qec "$(printf '%q ' "$LOAD" "127.0.0.1:$PORT" --psk "$KEY" --clients 3 --echo 20 --duration 1.5)" \
		"$T/typescript" >"$T/out"
	contains "$T/typescript" '1 s: 3 of 3 clients connected; in the last second 3 handshakes, 0 failed, [0-9]+ answers, 0 lost'
}
t 'on a terminal the progress is told' progress

# ---- files

files() {
	serve --echo
	load --clients 5 --echo 33 --interval 100 --duration 2.5 --csv "$T/csv" --json "$T/json"
	python3 - "$T/csv" "$T/json" <<-'E'
		import csv, json, sys
		rows = list(csv.DictReader(open(sys.argv[1])))
		whole, seconds = rows[-1], rows[:-1]
		assert len(seconds) == 3, rows
		for name in ("handshakes_begun", "handshakes_done", "handshakes_failed", "messages_sent", "messages_back"):
		    assert sum(int(row[name]) for row in seconds) == int(whole[name]), name
		assert float(whole["from_s"]) == 0 and float(whole["to_s"]) == float(seconds[-1]["to_s"])
		assert all(a["to_s"] == b["from_s"] for a, b in zip(seconds, seconds[1:]))
		assert max(float(row["message_max_ms"]) for row in seconds) <= float(whole["message_max_ms"]) * 1.02
		assert 0 < float(whole["message_p50_ms"]) <= float(whole["message_p90_ms"]) <= float(whole["message_max_ms"])
		assert seconds[1]["handshake_p50_ms"] == "" and whole["clients_up"] == "5"
		data = json.load(open(sys.argv[2]))
		assert data["settings"]["clients"] == 5 and data["settings"]["message_bytes"] == 33
		assert [cell["messages_back"] for cell in data["cells"]] == [int(row["messages_back"]) for row in rows]
		assert data["cells"][1]["handshake_p50_ms"] is None
	E
}
t '--csv and --json: a row for each second, and one for the whole time' files

full_disk() {
	serve
	STATUS=1 load --clients 2 --csv /dev/full
	contains "$T/cmd.err" '^dtls-load: cannot write to "/dev/full": No space left'
	refuses 1 'cannot write to standard output' bash -c "'$LOAD' 127.0.0.1:$PORT --psk $KEY --clients 2 >/dev/full"
}
t 'results that cannot be written are a failure' full_disk

# ---- the servers of others

gnutls_echo() {
	echo "$KEY" >"$T/keys"
	free_port
	start server gnutls-serv --udp --mtu 1400 -p "$PORT" --echo --pskpasswd "$T/keys" \
		--priority NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:+AES-128-CCM-8
	wait_for server 'listening on IPv4|bind to IPv4|UDP server ready'
	load --clients 1 --echo 64 --interval 0 --duration 1 --csv "$T/csv"
	at_least 10 "$(whole messages_back)"
	equal "$(whole messages_back)" "$(whole messages_sent)"
	load --clients 1 --churn 0 --duration 1
	at_least 2 "$(told 'handshakes  # done, 0 failed, 0 unfinished')"
}
t 'gnutls-serv --echo' gnutls_echo

openssl_server() {
	mkfifo "$T/keyboard"
	exec 9<>"$T/keyboard"
	start server openssl s_server -dtls1_2 -accept 127.0.0.1:0 -nocert -psk "${KEY#*:}" -cipher PSK-AES128-CCM8:@SECLEVEL=0 \
		<"$T/keyboard" 9>&-
	wait_for server '^ACCEPT 127.0.0.1:[0-9]+$'
	PORT=$(sed -n 's/^ACCEPT 127.0.0.1://p' "$T/server.out")
	load --clients 1 --churn 0 --duration 1
	at_least 2 "$(told 'handshakes  # done, 0 failed, 0 unfinished')"
}
t 'openssl s_server' openssl_server

# ---- command lines

help_and_version() {
	expect_status 0 "$LOAD" --help
	contains "$T/cmd.out" '^Usage: dtls-load HOST:PORT '
	! awk 'length > 80' "$T/cmd.out" | grep . || fail 'a line is too long'
	local word
	for word in clients processes sources rate pending echo coap-ping interval patience churn duration timeout csv json psk \
		psk-file cert key key-password-file ca crl verify hostname ciphers alpn handshake-timeout retransmit mtu keylog \
		help version; do
		contains "$T/cmd.out" "--$word( |=|$)"
	done
	expect_status 0 "$LOAD" --version
	contains "$T/cmd.out" '^dtls-load [0-9]+\.[0-9]+\.[0-9]+, mbed TLS [0-9.]+$'
	refuses 1 'cannot write to standard output' bash -c "'$LOAD' --help >/dev/full"
}
t '--help and --version' help_and_version

refusals() {
	local options regex
	while IFS='|' read -r options regex; do
		# shellcheck disable=SC2086 # words
		refuses 2 "^dtls-load: .*$regex" "$LOAD" 127.0.0.1:5684 --psk "$KEY" $options
	done <<-'E'
		--clients 0|--clients takes a whole number from 1 .*"0"
		--clients many|--clients takes .*"many"
		--processes 65|--processes takes .* to 64
		--processes 3 --clients 2|--processes: there are 3, but 2 clients
		--rate 0|--rate takes a number from 0.001 .*"0"
		--rate 1/s|--rate takes .*"1/s"
		--pending 0|--pending takes
		--pending 1 --processes 2|--pending: 1 unfinished handshakes are too few for 2 processes
		--sources 0|--sources takes
		--echo 0|--echo takes a whole number from 1 to 16384
		--echo 16385|--echo takes
		--echo 1 --coap-ping|two kinds of messages
		--interval -1|--interval takes
		--interval 5|--interval is for messages: --echo or --coap-ping is missing
		--patience 5|--patience is for messages
		--echo 1 --patience 0|--patience takes
		--churn x|--churn takes a number of seconds
		--duration 0|--duration takes more than 0 seconds
		--duration x|--duration takes a number of seconds
		--timeout x|--timeout takes a number of seconds
		--csv /nonexistent/x|--csv: cannot write to "/nonexistent/x": No such file
		--json /nonexistent/x|--json: cannot write to
		--csv x --json x|--csv and --json cannot both write to "x"
		--tls|--tls .*DTLS 1.2 alone
		--max-version 1.3|--max-version are not for this program
		--mtu 1|--mtu takes
		word|"word" is one argument too many
	E
	refuses 2 'no-such-option' "$LOAD" --no-such-option
	refuses 2 'no server is given' "$LOAD" --psk "$KEY"
	refuses 2 'HOST:PORT' "$LOAD" 127.0.0.1 --psk "$KEY"
	refuses 2 'no key' "$LOAD" 127.0.0.1:5684
	refuses 2 'port from 1 to 65535' "$LOAD" 127.0.0.1:0 --psk "$KEY"
	refuses 2 '--sources are addresses such as 127.0.0.1, from which nobody reaches 192.0.2.1:5684' \
		"$LOAD" 192.0.2.1:5684 --psk "$KEY" --sources 2
	refuses 2 '--sources are' "$LOAD" '[::1]:5684' --psk "$KEY" --sources 2
	refuses 2 'may have 64 descriptors, and 100 clients in 1 processes need 132: raise it' \
		bash -c "ulimit -n 64; exec '$LOAD' 127.0.0.1:5684 --psk $KEY --processes 1"
}
t 'a wrong command line is refused in one sentence' refusals

finish
