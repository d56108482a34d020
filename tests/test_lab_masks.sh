#!/bin/bash
# dtls-lab masks: every way to lose some of the first datagrams.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

LAB=$BIN/dtls-lab

masks() {
	"$LAB" masks "$@"
}

# The numbers are those of the model of RFC 6347 in test_masks.c, mask for mask.
as_modelled() {
	masks 5 --retransmit fixed --delay 20 --csv "$T/csv" >"$T/out"
	equal "$(sed -n 2p "$T/out")" \
		'1024 ways to lose datagrams among the first 5 of each side: 966 connect, 58 never do'
	sed '1,/ms  masks$/d; /^$/,$d' "$T/out" | awk '{ print $1, $2 }' | paste -sd , >"$T/times"
	equal "$(<"$T/times")" "120 16,1120 40,2120 42,3120 65,4120 108,5120 72,6120 55,7120 63,8120 81,9120 54,\
10120 37,11120 18,12120 11,13120 1,14120 5,15120 39,16120 35,17120 17,18120 13,19120 3,20120 1,22120 3,30120 1,31120 41,\
32120 44,33120 22,34120 13,35120 1,36120 1,38120 1,63120 32,64120 22,65120 7,66120 2"
	equal "$(grep -c '^   123000 ms  lost: ' "$T/out")" 58
	equal "$(grep -m 1 'lost:' "$T/out")" '   123000 ms  lost: c1,c2,c3,c4,c5,s1,s2'
	equal "$(wc -l <"$T/csv")" 1025
	equal "$(sed -n '1p; 2p; 4p; 1025p' "$T/csv" | paste -sd ' ')" \
		'lost,connected,ms ,1,120 c2,1,1120 c1 c2 c3 c4 c5 s1 s2 s3 s4 s5,0,123000'
	equal "$(awk -F, '{ n += $2 } END { print n }' "$T/csv")" 966
}
t 'five datagrams: the times of the model, and what it never connects' as_modelled

# Only seven ClientHellos in a row that come to nothing end a handshake: with the first cookie exchange done, eight losses
# are left, and both sides' timers spend them.
seven_losses() {
	masks 3 >"$T/out"
	equal "$(sed -n 2p "$T/out")" '64 ways to lose datagrams among the first 3 of each side: 64 connect, 0 never do'
	masks 4 --csv "$T/csv" >"$T/out"
	equal "$(grep -o 'lost: .*' "$T/out" | paste -sd ' ')" \
		'lost: c1,c2,c3,c4,s1,s2,s3 lost: c1,c2,c3,s1,s2,s3,s4 lost: c1,c2,c4,s1,s2,s3,s4 lost: c1,c3,c4,s1,s2,s3,s4 '\
'lost: c2,c3,c4,s1,s2,s3,s4 lost: c1,c2,c3,c4,s1,s2,s3,s4'
}
t 'with fewer than seven losses every handshake connects' seven_losses

one_datagram() {
	masks 1 --retransmit fixed --handshake-timeout 500-500 --delay 10 >"$T/out"
	diff - "$T/out" <<-'E'
		TLS-PSK-WITH-AES-128-CCM-8, fixed 500-500 ms, MTU 1200, 10 ms each way
		4 ways to lose datagrams among the first 1 of each side: 1 connect, 3 never do

		       ms  masks
		       60      1  ############################################################

		never, and when the client gives up:
		      500 ms  lost: c1
		      500 ms  lost: s1
		      500 ms  lost: c1,s1
	E
}
t 'one datagram, and no second try' one_datagram

same_as_trace() {
	local lost ms
	masks 3 --suite cert --csv "$T/csv" >"$T/out"
	while IFS=, read -r lost _ ms; do
		LC_ALL=C "$LAB" trace --suite cert ${lost:+--drop "${lost// /,}"} >"$T/drawn"
		contains "$T/drawn" "^client: connected at $ms ms"
	done < <(sed -n '2p; 7p; 30p; 65p' "$T/csv")
}
t 'dtls-lab trace shows what a mask did' same_as_trace

same_bytes() {
	masks 4 --processes 1 --csv "$T/csv1" >"$T/out1"
	masks 4 --processes 2 --csv "$T/csv2" >"$T/out2"
	cmp "$T/csv1" "$T/csv2"
	cmp "$T/out1" "$T/out2"
}
t 'one process or two: the same bytes' same_bytes

# The last of those that were tried is what dtls-lab trace shows of it.
ctrl_c() {
	local tried lost ms ticks=0 deadline=$((SECONDS + 60))
	start lab env --default-signal=INT "$LAB" masks 8 --processes 1 --csv "$T/csv"
	until ((ticks > 30)); do
		ticks=$(awk -v parent="$(<"$T/lab.pid")" '$4 == parent { n += $14 } END { print +n }' /proc/[0-9]*/stat 2>/dev/null || :)
		((SECONDS < deadline)) || fail 'it computes nothing'
		sleep 0.02
	done
	[[ ! -e $T/csv ]] || fail 'a file was made before there were results'
	signal lab INT
	ends_with 130 lab '^dtls-lab: ended after [0-9]+ of 65536 handshakes$'
	tried=$(sed 's/.*after \([0-9]*\) of.*/\1/' "$T/lab.err")
	((tried > 0 && tried < 65536)) || fail "$tried"
	equal "$(wc -l <"$T/csv")" $((tried + 1))
	contains "$T/lab.out" "^$tried of 65536 ways to lose datagrams among the first 8 of each side: [0-9]+ connect"
	IFS=, read -r lost _ ms < <(tail -n 1 "$T/csv")
	LC_ALL=C "$LAB" trace --drop "${lost// /,}" >"$T/drawn"
	contains "$T/drawn" "^client: (connected|failed) at $ms ms"
}
t 'Ctrl-C: what was tried so far is told and written' ctrl_c

unwritable() {
	expect_status 1 "$LAB" masks 1 --csv /dev/full
	equal "$(<"$T/cmd.err")" 'dtls-lab: cannot write to "/dev/full": No space left on device'
	contains "$T/cmd.out" '^4 ways to lose'
}
t 'where the CSV cannot be written, the table still is' unwritable

help_has_an_example() {
	expect_status 0 "$LAB" masks --help
	contains "$T/cmd.out" '^Example: dtls-lab masks 5 --retransmit fixed --delay 20$'
}
t '--help has an example' help_has_an_example

refusals() {
	local option value regex
	while read -r option value regex; do
		refuses 2 "^dtls-lab: .*$regex" "$LAB" masks 2 "$option" "$value"
	done <<-E
		--loss 20% unrecognized option
		--delay -1 whole number
		--retransmit both fixed or adaptive, not "both"
		--suite NOPE "NOPE" is unknown
		--handshake-timeout 5 MIN-MAX
		--mtu 255 from 256
		--processes 0 from 1 to 256
		--csv /nonexistent/x cannot write to "/nonexistent/x": No such file
		word word unexpected argument "word"
	E
	refuses 2 'N is missing' "$LAB" masks
	refuses 2 'N takes a whole number from 1 to 8, not "0"' "$LAB" masks 0
	refuses 2 'N takes a whole number from 1 to 8, not "9"' "$LAB" masks 9
	refuses 2 'N takes a whole number from 1 to 8, not "x"' "$LAB" masks x
}
t 'a wrong command line is refused in one sentence' refusals

finish
