#!/bin/bash
# dtls-lab wire as its users meet it, on the real clock: each bound holds on the slowest machine.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need gnuplot python3 openssl gnutls-cli gnutls-serv

LAB=$BIN/dtls-lab
KEY=sensor:00112233445566778899
SERVER="exec '$BIN/dtls-server' -q -l 127.0.0.1:{port} --psk $KEY"
CLIENT="exec '$BIN/dtls-client' 127.0.0.1:{port} --psk $KEY"

wire() {
	"$LAB" wire "$@"
}

# column NAME: that column of $T/csv, without the title.
column() {
	python3 -c 'import csv, sys
for row in csv.DictReader(open(sys.argv[1])): print(row[sys.argv[2]])' "$T/csv" "$1" | paste -sd ' '
}

# at_least LEAST NUMBER...
at_least() {
	local number
	for number in "${@:2}"; do
		((number >= $1)) || fail "$number is less than $1"
	done
}

# started_by NAME: the processes that what was started as NAME has started.
started_by() {
	grep -lsE "^[0-9]+ \(.*\) . $(<"$T/$1.pid") " /proc/[0-9]*/stat | sed 's|/proc/||; s|/stat||'
}

# gone PID...: zombies are, too.
gone() {
	local pid deadline=$((SECONDS + 10))
	for pid in "$@"; do
		while grep -qs '^State:[[:space:]]*[^Z]' "/proc/$pid/status"; do
			((SECONDS < deadline)) || fail "process $pid is left"
			sleep 0.02
		done
	done
}

# ---- what it tells

help_has_an_example() {
	expect_status 0 "$LAB" wire --help
	contains "$T/cmd.out" '^Examples: dtls-lab wire '
	contains "$T/cmd.out" '  --delay=MS '
	contains "$T/cmd.out" '  --plot=FILE '
}
t '--help has an example' help_has_an_example

# Six delays, since a datagram never takes less than one.
no_loss() {
	wire --peer self --peer openssl,gnutls --loss 0 --runs 2 --delay 20 --csv "$T/csv" --json "$T/json" \
		--plot "$T/plot.svg" >"$T/out" 2>"$T/lab.err"
	equal "$(column peer)" 'self openssl gnutls'
	equal "$(column success_percent)" '100.00 100.00 100.00'
	# shellcheck disable=SC2046 # numbers
	at_least 120 $(column min_ms) $(column median_low_ms)
	# shellcheck disable=SC2046 # numbers
	at_least 300 $(column client_datagrams | tr -d .) $(column server_datagrams | tr -d .)
	contains "$T/out" '^     0  self        2     100\.00 '
	contains "$T/out" '^     0  self - openssl '
	contains "$T/out" '^     0  openssl - gnutls '
	contains "$T/plot.svg" 'gnutls: connected'
	[[ ! -s $T/lab.err ]] || fail 'something was said'
}
t 'without loss our, OpenSSL'"'"'s and GnuTLS'"'"'s handshakes succeed, in six delays at least' no_loss

csv_and_json() {
	wire --server "$SERVER" --client "$CLIENT" --name 'a "b", c' --peer self --loss 100,0 --runs 1 --delay 1 --cap 5 \
		--csv "$T/csv" --json "$T/json" >"$T/out"
	python3 - "$T" <<-'E'
		import csv, json, sys
		report = json.load(open(sys.argv[1] + "/json"))
		rows = list(csv.DictReader(open(sys.argv[1] + "/csv")))
		assert len(rows) == len(report["cells"]) == 4
		for row, cell in zip(rows, report["cells"]):
		    assert list(row) == list(cell)
		    for name, text in row.items():
		        assert text == cell[name] if name == "peer" else float(text) == cell[name]
		assert [(row["loss_percent"], row["peer"]) for row in rows] == [
		    ("0", "self"), ("0", 'a "b", c'), ("100", "self"), ("100", 'a "b", c')]
		assert len({row["worst_seed"] for row in rows}) == 1, "the weather is not the same"
		assert all(row["runs"] == "1" for row in rows)
		assert report["settings"]["cap_ms"] == 5000 and report["settings"]["delay_ms"] == 1
	E
	equal "$(column succeeded)" '1 1 0 0'
	equal "$(column median_ms | cut -d ' ' -f 3,4)" '5000 5000'
}
t 'CSV and JSON have a row for each loss rate and pair, all in the same weather' csv_and_json

# The client's shell looks for the relay that the lab has started beside it.
seeds() {
	local folder="dirname \$(grep -ls \"(dtls-relay) . \$PPID \" /proc/[0-9]*/stat)"
	wire --server "$SERVER" --client "tr '\\0' ' ' <\$($folder)/cmdline >>'$T/relays'; echo >>'$T/relays'; $CLIENT" \
		--loss 0,1 --runs 3 --jobs 1 --delay 1 --csv "$T/csv" "$@" >"$T/out"
	grep -o -- '--seed [0-9]*' "$T/relays" | sort | uniq -c | awk '{ print $1 " of " $3 }' >"$T/seeds"
	equal "$(wc -l <"$T/seeds")" 3
	equal "$(cut -d ' ' -f 1 "$T/seeds" | paste -sd ' ')" '2 2 2'
	rm "$T/relays"
}

nth_run_same_weather() {
	seeds --seed 1
	mv "$T/seeds" "$T/first"
	seeds --seed 1
	cmp "$T/first" "$T/seeds"
	seeds --seed 2
	! grep -qxFf "$T/first" "$T/seeds" || fail 'another seed gives the same weather'
}
t 'the weather of a run depends on --seed and its number alone' nth_run_same_weather

# A second relay between the lab's and the server loses what it is told to. The timer of a second may be shorter by a tenth
# with us, by 15 ms with OpenSSL.
first_hello_lost() { # LEAST CLIENT
	start server "$BIN/dtls-server" -q -l 127.0.0.1:0 --psk "$KEY"
	wire --server "exec '$BIN/dtls-relay' -l 127.0.0.1:{port} -t 127.0.0.1:$(port server) --drop c1" --client "$2" \
		--loss 0 --runs 1 --delay 10 --csv "$T/csv" >"$T/out"
	equal "$(column succeeded)" 1
	# shellcheck disable=SC2046 # a number
	at_least "$1" $(column median_ms)
	# shellcheck disable=SC2046 # a number
	at_least 300 $(column server_datagrams | tr -d .)
	stop server
}
t 'our client whose first ClientHello is lost takes a second more' first_hello_lost 960 "$CLIENT"
t "OpenSSL's client whose first ClientHello is lost takes a second more" first_hello_lost 1045 \
	"exec openssl s_client -dtls1_2 -quiet -connect 127.0.0.1:{port} -psk_identity ${KEY%:*} -psk ${KEY#*:} \
		-cipher PSK-AES128-GCM-SHA256"

# ---- failures

cap() {
	wire --server "$SERVER" --client "$CLIENT" --loss 100 --runs 2 --cap 0.3 --csv "$T/csv" >"$T/out"
	equal "$(column succeeded),$(column median_ms),$(column p90_high_ms)" '0,300,300'
	lacks "$T/out" 'since the client ended'
}
t 'a client that never finishes counts as the cap' cap

client_fails() {
	wire --server "$SERVER" --client "${CLIENT%:*}:0000" --loss 0 --runs 1 --delay 1 \
		--cap 5 --csv "$T/csv" >"$T/out"
	equal "$(column succeeded),$(column median_ms)" '0,5000'
	contains "$T/out" '^1 handshake of custom failed since the client ended; it said: .*bad_record_mac'
}
t 'a client that gives up counts as the cap, and what it said is told' client_fails

cannot_start() {
	refuses 2 'the server of custom ended before a client came: .*no-such-server: .*not found; after 0 of 8 handshakes$' \
		"$LAB" wire --runs 2 --server 'no-such-server {port}' --client "$CLIENT"
	refuses 2 'the server of custom ended before a client came: .*takes HOST:PORT' \
		"$LAB" wire --runs 2 --server "exec '$BIN/dtls-server' -l {port} --psk $KEY" --client "$CLIENT"
	refuses 2 'the client of custom ended and had sent nothing: port [0-9]+ is not for me' \
		"$LAB" wire --runs 2 --server "$SERVER" --client 'echo port {port} is not for me >&2'
	refuses 2 'the server of openssl ended before a client came: .*openssl: .*not found' \
		env PATH=/nonexistent "$LAB" wire --peer openssl --runs 1
}
t 'programs that do not start are an error, with the last that they said' cannot_start

# The first two start.
fails_later() {
	local server="echo >>'$T/starts'; [ \$(wc -l <'$T/starts') -le 2 ] || { echo no more >&2; exit 1; }; $SERVER"
	expect_status 1 "$LAB" wire --server "$server" --client "$CLIENT" --loss 0 --delay 1 --runs 9 --jobs 1 --csv "$T/csv"
	equal "$(<"$T/cmd.err")" 'dtls-lab: the server of custom ended before a client came: no more; after 2 of 9 handshakes'
	equal "$(column runs),$(column succeeded)" '2,2'
	contains "$T/cmd.out" '^     0  custom     2     100\.00 '
}
t 'where a later run cannot start, what was measured is still told' fails_later

# ---- processes

# start_endless [OPTION...]: as "lab"; $started are a server with two of its own, a relay and a client.
start_endless() {
	local deadline=$((SECONDS + 10))
	start lab env --default-signal=INT "$LAB" wire --server "sleep 1000 & echo \$! >'$T/first'; sleep 1000 & echo \$! >'$T/second'; $SERVER" \
		--client "$CLIENT" --loss 100 --runs 1 "$@"
	started=()
	while ((${#started[@]} < 3)); do
		((SECONDS < deadline)) || fail 'no client was started'
		mapfile -t started < <(started_by lab)
	done
	started+=("$(<"$T/first")" "$(<"$T/second")")
}

ends_by() { # SIGNAL STATUS
	start_endless --csv "$T/csv"
	signal lab "$1"
	ends_with "$2" lab '^dtls-lab: ended after 0 of 1 handshakes$'
	local pid
	for pid in "${started[@]}"; do
		[[ ! -e /proc/$pid ]] || fail "process $pid is left"
	done
	[[ ! -s $T/lab.out ]] || fail 'something was printed'
	[[ ! -e $T/csv ]] || fail 'a file was made'
}
t 'Ctrl-C ends all processes, and those that they have started' ends_by INT 130
t 'SIGTERM does, too' ends_by TERM 143

# The first two handshakes succeed; the relay of a third one has no server.
ctrl_c_in_the_middle() {
	local server="echo >>'$T/starts'; [ \$(wc -l <'$T/starts') -le 2 ] || sleep 1000; $SERVER"
	start lab env --default-signal=INT "$LAB" wire --server "$server" --client "$CLIENT" --loss 0 --runs 9 --jobs 1 --delay 1 --csv "$T/csv"
	local deadline=$((SECONDS + 10))
	until (($(wc -l <"$T/starts" 2>/dev/null || echo 0) > 2)); do
		((SECONDS < deadline)) || fail 'no third server was started'
		sleep 0.02
	done
	signal lab INT
	ends_with 130 lab '^dtls-lab: ended after 2 of 9 handshakes$'
	equal "$(column runs),$(column succeeded)" '2,2'
	contains "$T/lab.out" '^     0  custom     2     100\.00 '
}
t 'Ctrl-C in the middle: what was measured is told' ctrl_c_in_the_middle

# The first and the third run have no server. The relay of the second is known by the server's port.
first_is_not_done() {
	local server="mkdir '$T/first' 2>/dev/null || ! mkdir '$T/second' 2>/dev/null && echo >>'$T/none' && sleep 1000"
	local relay="grep -ahs \"[d]tls-relay.*:\$(cat '$T/port')\" /proc/[0-9]*/cmdline | tr '\\0' ' ' >'$T/relay'"
	start lab "$LAB" wire --server "$server; echo {port} >'$T/port'; $SERVER" --client "$relay; $CLIENT" \
		--loss 0 --runs 3 --jobs 2 --delay 1 --csv "$T/csv"
	local deadline=$((SECONDS + 10))
	: >>"$T/none"
	until (($(wc -l <"$T/none") == 2)); do
		((SECONDS < deadline)) || fail 'no third server was started'
		sleep 0.02
	done
	signal lab TERM
	ends_with 143 lab '^dtls-lab: ended after 1 of 3 handshakes$'
	equal "--seed $(column worst_seed)" "$(grep -o -- '--seed [0-9]*' "$T/relay")"
}
t 'the worst run is one of those that were measured' first_is_not_done

nohup_protects() {
	start lab env --ignore-signal=HUP "$LAB" wire --server "$SERVER" --client "$CLIENT" --loss 100 --runs 1 --cap 1
	local deadline=$((SECONDS + 10))
	until [[ -n $(started_by lab) ]]; do
		((SECONDS < deadline)) || fail 'nothing was started'
		sleep 0.02
	done
	signal lab HUP
	finished lab
}
t 'a signal that is ignored ends nothing' nohup_protects

killed() {
	start_endless
	signal lab KILL
	finished lab || :
	gone "${started[@]:0:3}"
	kill "${started[@]:3}" # which nobody else can know of
}
t 'SIGKILL leaves none of the three programs behind' killed

leaves_nothing() {
	wire --server "sleep 1000 & echo \$! >>'$T/pids'; $SERVER" --client "$CLIENT" --loss 0 --runs 2 --delay 1 >"$T/out"
	equal "$(wc -l <"$T/pids")" 2
	local pid
	for pid in $(<"$T/pids"); do
		[[ ! -e /proc/$pid ]] || fail "process $pid is left"
	done
}
t 'what a server has started ends with its run' leaves_nothing

progress() {
	script -qec true /dev/null >"$T/out" || skip 'no pseudo-terminal here'
	script -qec "$(printf '%q ' "$LAB" wire --server "$SERVER" --client "$CLIENT" --loss 0 --runs 4 --delay 60 --jobs 1)" \
		"$T/typescript" >"$T/out"
	contains "$T/typescript" '[0-9] of 4 handshakes, [01] under way, [0-9]+ s left'
}
t 'on a terminal the progress is told' progress

# ---- the relay's part

relay_names_records() {
	start server "$BIN/dtls-server" -q -l 127.0.0.1:0 --psk "$KEY"
	start relay "$BIN/dtls-relay" -v -l 127.0.0.1:0 -t "127.0.0.1:$(port server)"
	echo hello | "$BIN/dtls-client" "127.0.0.1:$(port relay)" --psk "$KEY" --linger 100
	wait_for relay 'client 1, client to server  [0-9]+ bytes: alert  passed$'
	contains "$T/relay.err" 'client 1, server to client  [0-9]+ bytes: handshake  passed$'
	contains "$T/relay.err" 'client 1, client to server  [0-9]+ bytes: handshake, ChangeCipherSpec  passed$'
	contains "$T/relay.err" 'client 1, client to server  [0-9]+ bytes: application data  passed$'
	python3 -c 'import socket, sys
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hello", ("127.0.0.1", int(sys.argv[1])))' "$(port relay)"
	wait_for relay 'client 2, client to server  5 bytes  passed$'
	stop relay
	stop server
}
t 'dtls-relay -v names the records of what it passes on, where there are any' relay_names_records

# ---- command lines

refusals() {
	local option value regex
	while read -r option value regex; do
		refuses 2 "^dtls-lab: .*$regex" "$LAB" wire --peer openssl "$option" "$value"
	done <<-E
		--peer nobody self, openssl and gnutls .*"nobody"
		--peer self,openssl openssl is to be measured twice
		--peer self,,gnutls not ""
		--loss 101 numbers from 0 to 100 .percent.*"101"
		--loss x numbers from 0 to 100
		--loss 5,1,5.0 names 5 percent twice
		--runs 0 whole number from 1 to 100000
		--jobs 0 whole number from 1 to 1000
		--cap 0 more than 0 seconds
		--cap x number of seconds
		--server x:{port} --client go together: the client's command is missing
		--client x:{port} --client go together: the server's command is missing
		--name x --name is for --server and --client
		--csv /nonexistent/x cannot write to "/nonexistent/x": No such file
		--plot a.jpg ends in .svg or .png
		--delay -1 whole number
		--rate 0 whole number
		--suite cert unrecognized option
		word word unexpected argument "word"
	E
	refuses 2 'are missing: what is to be measured' "$LAB" wire
	refuses 2 'the command of the client has no \{port\}' "$LAB" wire --server 'x {port}' --client y
	refuses 2 'the command of the server has no \{port\}' "$LAB" wire --server x --client 'y {port}'
	refuses 2 'self is to be measured twice' "$LAB" wire --peer self --server '{port}' --client '{port}' --name self
	refuses 2 'needs the program gnuplot' env PATH=/nonexistent "$LAB" wire --peer self --plot "$T/a.svg"
}
t 'a wrong command line is refused in one sentence' refusals

finish
