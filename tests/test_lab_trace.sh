#!/bin/bash
# dtls-lab trace: what its diagrams look like to the letter, and its capture files as tshark reads them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need tshark python3

LAB=$BIN/dtls-lab
export LC_ALL=C

trace() {
	"$LAB" trace "$@"
}

# draws [OPTION...]: the diagram is standard input.
draws() {
	cat >"$T/expected"
	trace "$@" >"$T/drawn" </dev/null
	diff "$T/expected" "$T/drawn"
}

# ---- diagrams

without_loss() {
	draws <<-'E'
		TLS-PSK-WITH-AES-128-CCM-8, adaptive 1000-60000 ms, MTU 1200, 50 ms each way
		c1: the client's first datagram; (0): a message's number; X: lost; times in ms;
		a rung stands where its datagram was sent: what is below may have happened before it arrived

		       client                                                                         server
		        0 |--- c1 flight 1: ClientHello(0) --------------------------------------------->| 50
		        0 | timer 1000 ms                                                                |
		      100 |<-------------------------------------- s1 flight 2: HelloVerifyRequest(0) ---| 50
		      100 | round trip 100 ms                                                            |
		      100 |--- c2 flight 3: ClientHello(1) --------------------------------------------->| 150
		      100 | timer 150 ms                                                                 |
		      200 |<------------------------- s2 flight 4: ServerHello(1), ServerHelloDone(2) ---| 150
		          |                                                                 timer 150 ms | 150
		      200 |--- c3 flight 5: ClientKeyExchange(2), ChangeCipherSpec, Finished(3) -------->| 250
		      200 | timer 150 ms                                                                 |
		      300 |<------------------------------ s3 flight 6: ChangeCipherSpec, Finished(3) ---| 250
		          |                     connected: TLS-PSK-WITH-AES-128-CCM-8; round trip 100 ms | 250
		      300 | connected: TLS-PSK-WITH-AES-128-CCM-8; round trip 100 ms                     |

		client: connected at 300 ms; sent 3 datagrams, 0 lost; 0 flights again, 0 needlessly
		server: connected at 250 ms; sent 3 datagrams, 0 lost; 0 flights again, 0 needlessly
	E
}
t 'a handshake without loss' without_loss

a_message_lost() {
	draws --retransmit fixed --drop-message ServerHelloDone#1 <<-'E'
		TLS-PSK-WITH-AES-128-CCM-8, fixed 1000-60000 ms, MTU 1200, 50 ms each way
		c1: the client's first datagram; (0): a message's number; X: lost; times in ms;
		a rung stands where its datagram was sent: what is below may have happened before it arrived

		       client                                                                         server
		        0 |--- c1 flight 1: ClientHello(0) --------------------------------------------->| 50
		        0 | timer 1000 ms                                                                |
		      100 |<-------------------------------------- s1 flight 2: HelloVerifyRequest(0) ---| 50
		      100 | round trip 100 ms                                                            |
		      100 |--- c2 flight 3: ClientHello(1) --------------------------------------------->| 150
		      100 | timer 1000 ms                                                                |
		          |                   X------ s2 flight 4: ServerHello(1), ServerHelloDone(2) ---| 150
		          |                                                                timer 1000 ms | 150
		     1100 | timer fires: flight 3 again                                                  |
		     1100 |--- c3 flight 3: ClientHello(1) --------------------------------------------->| 1150
		     1100 | timer 2000 ms                                                                |
		     1200 |<------------------------- s3 flight 4: ServerHello(1), ServerHelloDone(2) ---| 1150
		          |                                                                timer 1000 ms | 1150
		     1200 |--- c4 flight 5: ClientKeyExchange(2), ChangeCipherSpec, Finished(3) -------->| 1250
		     1200 | timer 1000 ms                                                                |
		     1300 |<------------------------------ s4 flight 6: ChangeCipherSpec, Finished(3) ---| 1250
		          |                     connected: TLS-PSK-WITH-AES-128-CCM-8; round trip 100 ms | 1250
		     1300 | connected: TLS-PSK-WITH-AES-128-CCM-8; round trip 100 ms                     |

		client: connected at 1300 ms; sent 4 datagrams, 0 lost; 1 flight again, 0 needlessly
		server: connected at 1250 ms; sent 4 datagrams, 1 lost; 1 flight again, 0 needlessly
	E
}
t 'the first ServerHelloDone is lost' a_message_lost

a_datagram_lost() {
	draws --retransmit fixed --suite cert --mtu 600 --drop c2 <<-'E'
		certificates, fixed 1000-60000 ms, MTU 600, 50 ms each way
		c1: the client's first datagram; (0): a message's number; X: lost; times in ms;
		a rung stands where its datagram was sent: what is below may have happened before it arrived

		       client                                                                         server
		        0 |--- c1 flight 1: ClientHello(0) --------------------------------------------->| 50
		        0 | timer 1000 ms                                                                |
		      100 |<-------------------------------------- s1 flight 2: HelloVerifyRequest(0) ---| 50
		      100 | round trip 100 ms                                                            |
		      100 |--- c2 flight 3: ClientHello(1) --------------------------X                   |
		      100 | timer 1000 ms                                                                |
		     1100 | timer fires: flight 3 again                                                  |
		     1100 |--- c3 flight 3: ClientHello(1) --------------------------------------------->| 1150
		     1100 | timer 2000 ms                                                                |
		     1200 |<------------------ s2 flight 4: ServerHello(1), Certificate(2)[0-463/809] ---| 1150
		     1200 |<------------------------------- s3 flight 4: Certificate(2)[463-809/809], ---| 1150
		          |                                 ServerKeyExchange(3)[0-204/329]              |
		     1200 |<------ s4 flight 4: ServerKeyExchange(3)[204-329/329], ServerHelloDone(4) ---| 1150
		          |                                                                timer 1000 ms | 1150
		     1200 |--- c4 flight 5: ClientKeyExchange(2), ChangeCipherSpec, Finished(3) -------->| 1250
		     1200 | timer 1000 ms                                                                |
		     1300 |<------------------------------ s5 flight 6: ChangeCipherSpec, Finished(5) ---| 1250
		          |          connected: TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256; round trip 100 ms | 1250
		     1300 | connected: TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256; round trip 100 ms          |

		client: connected at 1300 ms; sent 4 datagrams, 1 lost; 1 flight again, 0 needlessly
		server: connected at 1250 ms; sent 5 datagrams, 0 lost; 0 flights again, 0 needlessly
	E
}
t 'certificates in small datagrams, of which the second ClientHello is lost' a_datagram_lost

a_session_fails() {
	draws --handshake-timeout 100-100 --retransmit fixed --drop-message sFinished#1 <<-'E'
		TLS-PSK-WITH-AES-128-CCM-8, fixed 100-100 ms, MTU 1200, 50 ms each way
		c1: the client's first datagram; (0): a message's number; X: lost; times in ms;
		a rung stands where its datagram was sent: what is below may have happened before it arrived

		       client                                                                         server
		        0 |--- c1 flight 1: ClientHello(0) --------------------------------------------->| 50
		        0 | timer 100 ms                                                                 |
		      100 |<-------------------------------------- s1 flight 2: HelloVerifyRequest(0) ---| 50
		      100 | round trip 100 ms                                                            |
		      100 |--- c2 flight 3: ClientHello(1) --------------------------------------------->| 150
		      100 | timer 100 ms                                                                 |
		      200 |<------------------------- s2 flight 4: ServerHello(1), ServerHelloDone(2) ---| 150
		          |                                                                 timer 100 ms | 150
		      200 |--- c3 flight 5: ClientKeyExchange(2), ChangeCipherSpec, Finished(3) -------->| 250
		      200 | timer 100 ms                                                                 |
		          |                   X----------- s3 flight 6: ChangeCipherSpec, Finished(3) ---| 250
		          |                     connected: TLS-PSK-WITH-AES-128-CCM-8; round trip 100 ms | 250
		      300 | timer fires: it gives up                                                     |
		      300 |--- c4 Alert ---------------------------------------------------------------->| 350
		      300 | handshake with the peer failed: the peer fell silent after this side's       |
		          | Finished: the path may be bad, but some servers also stay silent when the    |
		          | pre-shared key for identity "sensor-17" differs or is unknown                |
		          |                                                received an alert (encrypted) | 350
		          |                session with 10.0.0.1:4444 failed: the peer sent the alert 40 | 350
		          |                      handshake_failure (MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) |

		client: failed at 300 ms; sent 4 datagrams, 0 lost; 0 flights again, 0 needlessly
		server: connected at 250 ms, failed at 350 ms; sent 3 datagrams, 1 lost; 0 flights again, 0 needlessly
	E
}
t 'the last flight is lost, and nobody sends it again' a_session_fails

nobody_answers() {
	draws --handshake-timeout 100-150 --drop c1-9 <<-'E'
		TLS-PSK-WITH-AES-128-CCM-8, adaptive 100-150 ms, MTU 1200, 50 ms each way
		c1: the client's first datagram; (0): a message's number; X: lost; times in ms;
		a rung stands where its datagram was sent: what is below may have happened before it arrived

		       client                                                                         server
		        0 |--- c1 flight 1: ClientHello(0) --------------------------X                   |
		        0 | timer 100 ms                                                                 |
		      100 | timer fires: flight 1 again                                                  |
		      100 |--- c2 flight 1: ClientHello(0) --------------------------X                   |
		      100 | timer 150 ms                                                                 |
		      250 | timer fires: it gives up                                                     |
		      250 |--- c3 Alert 40 ------------------------------------------X                   |
		      250 | handshake with the peer failed: nothing was received within 0.250 s: is a    |
		          | DTLS server listening there?                                                 |

		client: failed at 250 ms; sent 3 datagrams, 3 lost; 1 flight again, 0 needlessly
		server: no handshake began; sent 0 datagrams, 0 lost; 0 flights again, 0 needlessly
	E
}
t 'nobody answers' nobody_answers

# rows_of [OPTION...]: the diagram without its heading and the summary.
rows_of() {
	trace "$@" | grep -E '^[ 0-9]{9} \|.{78}\|( [0-9]+)?$'
}

many_rungs() {
	local seed line lines=0
	for seed in {1..20}; do
		trace --suite cert --mtu 256 --loss 20% --duplicate 20% --reorder 20% --corrupt 5% --jitter 40 --seed "$seed" \
			--path-mtu 240 --rate 20000 --handshake-timeout 200-2000 >"$T/drawn"
		contains "$T/drawn" '^client: '
		contains "$T/drawn" '^server: '
		while IFS= read -r line; do
			((${#line} <= 100)) || fail "seed $seed: ${#line} columns: $line"
			[[ $line =~ ^[\ 0-9]{9}\ \|.{78}\|(\ [0-9]+)?$ ]] || fail "seed $seed: not a rung: $line"
			lines=$((lines + 1))
		done < <(sed '1,/^       client  *server$/d; /^$/,$d' "$T/drawn")
	done
	((lines > 400)) || fail "only $lines lines"
}
t 'whatever happens, each line is a rung of at most 100 columns' many_rungs

one_seed() {
	trace --loss 30% --jitter 50 --seed 7 >"$T/a"
	trace --loss 30% --jitter 50 --seed 7 >"$T/b"
	trace --loss 30% --jitter 50 --seed 8 >"$T/c"
	cmp "$T/a" "$T/b"
	! cmp -s "$T/a" "$T/c" || fail 'another seed draws the same'
}
t 'one seed draws the same diagram each time' one_seed

weather() {
	rows_of --duplicate 100% >"$T/rows"
	contains "$T/rows" '^ +0 .--- c1 flight 1: ClientHello\(0\) -+>. 50$'
	contains "$T/rows" '^ +.--- c1 duplicated -+>. 50$'
	rows_of --path-mtu 100 --handshake-timeout 100-100 >"$T/rows"
	contains "$T/rows" '^ +0 .--- c1 flight 1: ClientHello\(0\) -+X +.$'
	rows_of --corrupt 100% --handshake-timeout 100-100 >"$T/rows"
	contains "$T/rows" '^ +0 .--- c1 corrupted, flight 1: ClientHello\(0\) -+>. 50$'
	rows_of --delay 70 >"$T/rows"
	contains "$T/rows" '^ +420 . connected: '
}
t 'what the weather does to datagrams is shown' weather

not_by_timer() {
	rows_of --retransmit fixed --drop-message cFinished#1 >"$T/rows"
	equal "$(grep -c 'timer fires' "$T/rows")" 1
	contains "$T/rows" '^ +. +timer fires: flight 4 again . 1150$'
	contains "$T/rows" '^ +1200 .--- c4 flight 5: ClientKeyExchange'
}
t "a flight that is sent again since the peer's came again was not sent by the timer" not_by_timer

unused() {
	trace --retransmit fixed --drop-message sClientHello,ServerHelloDone#2,cFinished#1 >"$T/drawn"
	equal "$(grep -- --drop-message "$T/drawn")" "--drop-message sClientHello: that was not sent"
	trace --drop-message Certificate,ServerHelloDone#2 >"$T/drawn"
	equal "$(grep -c 'that was not sent' "$T/drawn")" 2
}
t 'messages to be lost that are never sent are named' unused

unused_numbers() {
	trace --retransmit fixed --drop c1,4-6,c99,99,s99-100 >"$T/drawn"
	equal "$(grep -- --drop "$T/drawn")" $'--drop c99: that was not sent\n--drop 99: that was not sent\n--drop s99-100: that was not sent'
}
t 'datagrams to be lost that are never sent are named' unused_numbers

counts_flights() {
	trace --delay 0 --retransmit fixed --drop c1 >"$T/drawn"
	contains "$T/drawn" '^client: .* 1 lost; 1 flight again, 0 needlessly$'
	# From the second timer on, in smaller fragments.
	trace --suite cert --retransmit fixed --drop s2-8 >"$T/drawn"
	contains "$T/drawn" '^server: .* 7 lost; 4 flights again, 0 needlessly$'
	trace --retransmit fixed --drop s1-2 >"$T/drawn"
	contains "$T/drawn" '^client: .* 0 lost; 2 flights again, 0 needlessly$'
	contains "$T/drawn" '^server: .* 2 lost; 0 flights again, 0 needlessly$'
}
t 'flights that are sent again are counted, but for the answers to a hello without a cookie' counts_flights

as_in_a_sweep() {
	local -a weather=(--delay 20 --duplicate 10% --burst '10%,30%' --suite cert --retransmit fixed)
	"$LAB" sweep "${weather[@]}" --runs 40 --loss 10 --csv "$T/csv" >"$T/swept"
	local seed longest
	seed=$(python3 -c 'import csv, sys; print(next(csv.DictReader(open(sys.argv[1])))["worst_seed"])' "$T/csv")
	longest=$(python3 -c 'import csv, sys; print(next(csv.DictReader(open(sys.argv[1])))["max_ms"])' "$T/csv")
	trace "${weather[@]}" --loss 10 --seed "$seed" >"$T/drawn"
	contains "$T/drawn" "^client: connected at $longest ms"
}
t "a sweep's worst run, with the sweep's own --loss and --burst" as_in_a_sweep

in_unicode() {
	trace >"$T/c"
	export LC_ALL=C.UTF-8
	trace >"$T/unicode"
	contains "$T/unicode" '│─── c1 flight 1: ClientHello\(0\) ─+►│ 50$'
	trace --ascii >"$T/ascii"
	cmp "$T/ascii" "$T/c"
	contains "$T/unicode" '; ✗: lost;'
	sed 'y/│─►◄✗/|-><X/' "$T/unicode" | diff - "$T/ascii"
	trace --drop c1 --handshake-timeout 100-100 >"$T/unicode"
	contains "$T/unicode" ' ─+✗ +│$'
}
t 'with lines and arrows of Unicode where the locale has them' in_unicode

# ---- captures

# shark OPTION...: what tshark makes of $T/pcap.
shark() {
	HOME=$T tshark -n -r "$T/pcap" "$@" 2>"$T/tshark.err"
}

capture() {
	trace --drop-message ServerHelloDone#1 --retransmit fixed --pcap "$T/pcap" --keylog "$T/keys" >"$T/drawn"
	shark -o "tls.keylog_file:$T/keys" -T fields -e frame.time_epoch -e udp.srcport -e dtls.handshake.type >"$T/read"
	# One ServerHelloDone less than the server has sent.
	diff - "$T/read" <<-'E'
		0.000000000	4444	1
		0.100000000	5684	3
		0.100000000	4444	1
		1.100000000	4444	1
		1.200000000	5684	2,14
		1.200000000	4444	16,20
		1.300000000	5684	20
	E
	equal "$(stat -c %a "$T/keys")" 600
	equal "$(grep -c '^CLIENT_RANDOM ' "$T/keys")" 1
}
t 'tshark reads the capture, and decrypts Finished with the key log' capture

without_the_keys() {
	trace --pcap "$T/pcap" --keylog "$T/keys" >"$T/drawn"
	shark -V >"$T/read"
	lacks "$T/read" 'Verify Data'
	shark -V -o "tls.keylog_file:$T/keys" >"$T/read"
	equal "$(grep -c 'Verify Data' "$T/read")" 2
	trace --keylog "$T/keys" >"$T/drawn"
	equal "$(wc -l <"$T/keys")" 2
}
t 'without the key log Finished cannot be read; it is appended to' without_the_keys

checksums() {
	trace --suite cert --mtu 700 --pcap "$T/pcap" >"$T/drawn"
	shark -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -T fields -e ip.checksum.status -e udp.checksum.status \
		-e ip.src -e ip.dst >"$T/read"
	equal "$(sort -u "$T/read" | tr '\t\n' ' ,')" '1 1 10.0.0.1 10.0.0.2,1 1 10.0.0.2 10.0.0.1,'
	shark -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -V >"$T/read"
	lacks "$T/read" '[Mm]alformed|[Bb]ogus|incorrect'
	[[ -s $T/read ]]
}
t 'the checksums and lengths of a capture are right' checksums

as_it_arrives() {
	# The server answers the first ClientHello and its copy, and each flight once.
	trace --duplicate 100% --pcap "$T/pcap" >"$T/drawn"
	equal "$(shark -T fields -e udp.srcport | sort | uniq -c | tr -s ' \n' ' ')" ' 3 4444 8 5684 '
	echo 'much longer than any capture of nothing' >"$T/pcap"
	trace --drop c1-9 --handshake-timeout 100-100 --pcap "$T/pcap" >"$T/drawn"
	equal "$(shark -T fields -e udp.srcport | sort | uniq -c | tr -s ' \n' ' ')" ' 2 4444 '
}
t 'a capture has all that the client sends, and what reaches it' as_it_arrives

unwritable() {
	expect_status 1 "$LAB" trace --pcap /dev/full
	equal "$(<"$T/cmd.err")" 'dtls-lab: cannot write to "/dev/full": No space left on device'
	contains "$T/cmd.out" '^client: connected at 300 ms'
	expect_status 1 "$LAB" trace --keylog /dev/full
	contains "$T/cmd.err" '^dtls-lab: the key log was not written: No space left'
	contains "$T/cmd.out" '^client: connected at 300 ms'
}
t 'where a file cannot be written, the diagram still is' unwritable

# ---- command lines

help_has_an_example() {
	expect_status 0 "$LAB" trace --help
	contains "$T/cmd.out" '^Example: dtls-lab trace '
	local example
	read -r -a example < <(sed -n 's/^Example: dtls-lab trace //p' "$T/cmd.out")
	trace "${example[@]}" >"$T/drawn"
	contains "$T/drawn" '^client: connected'
}
t '--help has an example, which works' help_has_an_example

refusals() {
	local option value regex
	while read -r option value regex; do
		refuses 2 "^dtls-lab: .*$regex" "$LAB" trace "$option" "$value"
	done <<-E
		--drop x1 whole number from 1
		--drop c0 whole number from 1
		--drop s5-4 whole number from 5
		--drop-message NoSuch#1 no message "NoSuch": they are ClientHello, .* and Alert
		--drop-message cc no message "cc"
		--drop-message Finished# whole number from 1 to [0-9]*, not ""
		--drop-message Finished#0 whole number from 1
		--drop-message Finished#3-2 whole number from 3
		--drop-message Finished#1,,Alert no message ""
		--loss 101 a number from 0 to 100 \(percent\), not "101"
		--loss 1,2 a number from 0 to 100
		--loss x a number from 0 to 100
		--burst 0.1 ENTER,LEAVE
		--burst 0.1,0 above 0: bursts must begin and end
		--burst 0.1,0.5 no effect without --loss
		--burst-loss 20% unrecognized option
		--duplicate 2 a probability
		--reorder x a probability
		--corrupt 101% a probability
		--delay -1 whole number
		--jitter 1.5 whole number
		--rate 0 whole number from 1
		--seed -1 whole number
		--suite NOPE "NOPE" is unknown
		--suite TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256 RSA key
		--retransmit both fixed or adaptive, not "both"
		--handshake-timeout 5 MIN-MAX
		--handshake-timeout 9-5 longer than the longest
		--mtu 255 from 256
		--path-mtu 0 from 1
		--pcap /nonexistent/x cannot write to "/nonexistent/x": No such file
		--keylog /nonexistent/x cannot write /nonexistent/x: No such file
		--wrong 1 unrecognized option
		word word unexpected argument "word"
	E
	refuses 2 'both write to' "$LAB" trace --pcap "$T/a" --keylog "$T/a"
	mkdir "$T/two"
	refuses 2 'both write to one file' "$LAB" trace --pcap "$T/two/a" --keylog "$T/two/./a"
	refuses 2 'NOPE' "$LAB" trace --pcap "$T/a" --suite NOPE
	[[ ! -e $T/a ]] || fail 'a file was made'
}
t 'a wrong command line is refused in one sentence' refusals

finish
