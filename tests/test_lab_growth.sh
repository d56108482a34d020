#!/bin/bash
# dtls-lab growth: what is sent again when the delay grows in the middle of a handshake.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need gnuplot python3

LAB=$BIN/dtls-lab

growth() {
	"$LAB" growth "$@"
}

# transmissions TIMERS: of each flight in $T/csv, a word for each row.
transmissions() {
	grep -E "^[1-5],$1," "$T/csv" | cut -d , -f 3-8 | tr -d , | paste -sd ' '
}

# Timers of 1 s, then of 2 s, under round trips of 100 ms, then of 4 s; what is sent again is answered each time. Flight 1
# leaves at 0, 2 at 50...
by_the_schedule_of_rfc_6347() {
	growth --retransmit fixed >"$T/out"
	diff - "$T/out" <<-'E'
		TLS-PSK-WITH-AES-128-CCM-8, 50 ms each way, 2000 ms behind a flight, timers 1000 to 60000 ms, MTU 1200

		               flight
		after  timers  1  2  3  4  5  6  all  extra  connected, ms
		    1  fixed   2  2  3  4  4  4   19      -          10050
		    2  fixed   1  1  3  4  4  4   17      -           8100
		    3  fixed   1  1  2  3  4  4   15      -           6150
		    4  fixed   1  1  1  2  3  3   11      -           4200
		    5  fixed   1  1  1  1  2  2    8      -           2250
	E
	growth --retransmit fixed --to 5000 --csv "$T/csv" >"$T/out"
	equal "$(transmissions fixed)" '334688 114688 113577 111355 111133'
}
t 'fixed timers: the table, as it follows from the schedule' by_the_schedule_of_rfc_6347

# Six delays, of which the first ones are shorter; no timer is shorter than 1.5 round trips.
a_little() {
	growth --delay 40 --to 50 --csv "$T/csv" >"$T/out"
	equal "$(transmissions fixed)" '111111 111111 111111 111111 111111'
	equal "$(transmissions adaptive)" '111111 111111 111111 111111 111111'
	equal "$(cut -d , -f 11 "$T/csv" | paste -sd ' ')" 'connected_ms 290 290 280 280 270 270 260 260 250 250'
	equal "$(cut -d , -f 10 "$T/csv" | paste -sd ' ')" 'extra  0  0  0  0  0'
}
t 'growth by a quarter: nothing is sent again, by either timers' a_little

# Whatever is sent again: all is the sum, extra the difference; what was sent before the growth was sent once.
adds_up() {
	growth --csv "$T/csv" --json "$T/json" >"$T/out"
	python3 - "$T" <<-'E'
		import csv, json, sys
		report = json.load(open(sys.argv[1] + "/json"))
		rows = list(csv.DictReader(open(sys.argv[1] + "/csv")))
		assert len(rows) == len(report["cells"]) == 10
		assert report["settings"]["delay_ms"] == 50 and report["settings"]["to_ms"] == 2000
		for i, (row, cell) in enumerate(zip(rows, report["cells"])):
		    after = int(row["grows_after"])
		    flights = [int(row[f"flight{n}"]) for n in range(1, 7)]
		    assert after == 1 + i // 2 and row["retransmit"] == ["fixed", "adaptive"][i % 2]
		    assert sum(flights) == int(row["transmissions"]) == cell["transmissions"]
		    assert all(n == 1 for n in flights[:max(after - 2, 0)]), row
		    assert all(n >= 1 for n in flights)
		    assert row["extra"] == ("" if i % 2 == 0 else str(sum(flights) - int(rows[i - 1]["transmissions"])))
		    assert after * 50 + (6 - after) * 2000 == int(row["connected_ms"])
		assert any(int(row["extra"]) != 0 for row in rows[1::2]), "both timers do the same"
	E
}
t 'both timers: sums, differences, and the time of an unharmed handshake' adds_up

same_bytes() {
	growth --suite cert --mtu 300 --csv "$T/csv1" --plot "$T/1.svg" >"$T/out1"
	growth --suite cert --mtu 300 --csv "$T/csv2" --plot "$T/2.svg" >"$T/out2"
	cmp "$T/csv1" "$T/csv2"
	cmp "$T/1.svg" "$T/2.svg"
	cmp "$T/out1" "$T/out2"
	growth --suite cert --mtu 300 --retransmit fixed --csv "$T/csv" >"$T/out"
	equal "$(transmissions fixed)" "$(growth --suite cert --retransmit fixed --csv "$T/csv" >"$T/out" && transmissions fixed)"
}
t 'the same bytes each time; a flight in fragments is one' same_bytes

gives_up() {
	growth --retransmit fixed --to 100000 --csv "$T/csv" >"$T/out"
	equal "$(cut -d , -f 11 "$T/csv" | head -n 3 | paste -sd ' ')" 'connected_ms  '
	contains "$T/out" '^    1  fixed .* -              -$'
}
t 'a handshake that fails is told, too' gives_up

pictures() {
	growth --plot "$T/a.svg" >"$T/out"
	python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$T/a.svg"
	contains "$T/a.svg" 'behind flight 5'
	contains "$T/a.svg" '50 ms each way, 2000 ms behind a flight'
	contains "$T/a.svg" '>adaptive<'
	growth --retransmit adaptive --delay 5 --to 5 --plot "$T/a.png" >"$T/out"
	equal "$(head -c 8 "$T/a.png" | od -An -tx1)" ' 89 50 4e 47 0d 0a 1a 0a'
	contains "$T/out" '^    5  adaptive  1  1  1  1  1  1    6      -  +30$'
	expect_status 1 "$LAB" growth --csv /dev/full
	equal "$(<"$T/cmd.err")" 'dtls-lab: cannot write to "/dev/full": No space left on device'
	contains "$T/cmd.out" '^    1  fixed '
}
t 'pictures, and a disk that is full' pictures

help_has_an_example() {
	expect_status 0 "$LAB" growth --help
	contains "$T/cmd.out" '^Example: dtls-lab growth --delay 50 --to 2000 --plot growth.svg$'
	expect_status 0 bash -c "cd '$T' && '$LAB' growth --delay 50 --to 2000 --plot growth.svg"
	expect_status 0 "$LAB" --help
	contains "$T/cmd.out" '^  growth '
	refuses 2 'sweep, trace, masks, growth and wire;' "$LAB" grow
}
t '--help has an example' help_has_an_example

refusals() {
	local option value regex
	while read -r option value regex; do
		refuses 2 "^dtls-lab: .*$regex" "$LAB" growth "$option" "$value"
	done <<-E
		--to 49 --to=49 is less than --delay=50: the delay is to grow
		--delay 2001 --to=2000 is less than --delay=2001
		--to x whole number from 0 to 3600000
		--loss 20% unrecognized option
		--retransmit quick fixed, adaptive or both
		--suite NOPE "NOPE" is unknown
		--handshake-timeout 5 MIN-MAX
		--mtu 255 from 256
		--csv /nonexistent/x cannot write to "/nonexistent/x": No such file
		--plot a.jpg ends in .svg or .png
		word word unexpected argument "word"
	E
	refuses 2 'both write to' "$LAB" growth --csv "$T/a" --json "$T/a"
}
t 'a wrong command line is refused in one sentence' refusals

finish
