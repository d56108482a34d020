#!/bin/bash
# dtls-lab sweep as its users meet it: options, files, pictures, processes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

need gnuplot python3

LAB=$BIN/dtls-lab
# So many that they would take minutes.
ENDLESS=(--runs 100000 --retransmit both --jitter 100)
ignoring=()

sweep() {
	"$LAB" sweep "$@"
}

# column NAME: that column of $T/csv, without the title.
column() {
	python3 -c 'import csv, sys
for row in csv.DictReader(open(sys.argv[1])): print(row[sys.argv[2]])' "$T/csv" "$1" | paste -sd ' '
}

# children NAME: the processes that what was started as NAME has started.
children() {
	awk -v parent="$(<"$T/$1.pid")" '$4 == parent { print $1 }' /proc/[0-9]*/stat 2>/dev/null || :
}

# worked NAME TENTHS: waits until the processes of NAME have computed so many tenths of a second.
worked() {
	local ticks deadline=$((SECONDS + 60))
	while :; do
		ticks=$(awk -v parent="$(<"$T/$1.pid")" '$4 == parent { n += $14 } END { print +n }' /proc/[0-9]*/stat 2>/dev/null || :)
		((10 * ticks < $2 * $(getconf CLK_TCK))) || return 0
		((SECONDS < deadline)) || fail "$1 computes nothing"
		sleep 0.02
	done
}

# start_endless [OPTION...]: as "lab"; $workers are its two processes. What a script starts in the background ignores
# SIGINT, unless told otherwise.
start_endless() {
	local deadline=$((SECONDS + 10))
	start lab env --default-signal=INT "${ignoring[@]}" "$LAB" sweep "${ENDLESS[@]}" --processes 2 "$@"
	workers=()
	while ((${#workers[@]} < 2)); do
		((SECONDS < deadline)) || fail 'no two processes were started'
		mapfile -t workers < <(children lab)
	done
}

# all_gone PID...
all_gone() {
	local pid
	for pid in "$@"; do
		[[ ! -e /proc/$pid ]] || fail "process $pid is left"
	done
}

# ---- what it tells

help_has_an_example() {
	expect_status 0 "$LAB" sweep --help
	contains "$T/cmd.out" '^Example: dtls-lab sweep '
	expect_status 0 "$LAB" --help
	contains "$T/cmd.out" '^  sweep '
}
t '--help has an example' help_has_an_example

known_handshakes() {
	sweep --loss 100,0 --runs 3 --delay 70 --csv "$T/csv" >"$T/out"
	equal "$(column loss_percent)" '0 100'
	equal "$(column success_percent)" '100.00 0.00'
	equal "$(column min_ms),$(column median_ms),$(column max_ms)" '420 ,420 ,420 '
	equal "$(column client_datagrams)" '3.00 8.00' # 7 ClientHellos and an alert
	equal "$(column server_datagrams)" '3.00 0.00'
	equal "$(column retransmissions)" '0.000 6.000'
	contains "$T/out" '^     0  adaptive     100\.00  420     420   420   420  420    3\.00    3\.00 '
	contains "$T/out" '^   100  adaptive       0\.00    -       -     -     -    -    8\.00    0\.00 '
}
t 'without loss a handshake takes six delays, and where all is lost it fails after 7 ClientHellos' known_handshakes

adaptive_is_faster() {
	sweep --loss 20 --retransmit both --csv "$T/csv" >"$T/out"
	equal "$(column retransmit)" 'fixed adaptive'
	read -r fixed adaptive < <(column median_ms)
	((100 * adaptive <= 65 * fixed)) || fail "$adaptive is more than 0.65 times $fixed"
}
t 'at 20 % loss the adaptive median is at most 0.65 times the fixed one' adaptive_is_faster

same_bytes() {
	local processes
	for processes in 1 2 3; do
		sweep --retransmit both --loss 0,20,50 --runs 300 --jitter 30 --burst 5%,30% --processes "$processes" \
			--csv "$T/csv$processes" --json "$T/json$processes" --plot "$T/plot$processes.svg" >"$T/out$processes"
	done
	for processes in 2 3; do
		cmp "$T/csv1" "$T/csv$processes"
		cmp "$T/json1" "$T/json$processes"
		cmp "$T/plot1.svg" "$T/plot$processes.svg"
		cmp "$T/out1" "$T/out$processes"
	done
	sweep --retransmit both --loss 0,20,50 --runs 300 --jitter 30 --burst 5%,30% --seed 2 --csv "$T/csv2" >"$T/out2"
	! cmp -s "$T/csv1" "$T/csv2" || fail 'another seed changes nothing'
}
t 'one seed gives the same bytes with 1, 2 and 3 processes, another seed others' same_bytes

little_cpu() {
	# Of all processes together: one each.
	(ulimit -t 60 && exec "$LAB" sweep --processes 1 --csv "$T/csv") >"$T/out"
	equal "$(column loss_percent)" '0 1 2 5 10 20 30 40 50'
	equal "$(column runs | tr ' ' '\n' | sort -u)" 2000
}
t 'nine loss rates of 2,000 handshakes take less than 60 s of CPU' little_cpu

json_is_the_csv() {
	sweep --retransmit both --loss 10,100 --runs 20 --suite cert --seed 9007199254740993 --csv "$T/csv" --json "$T/json" >"$T/out"
	python3 - "$T" <<-'E'
		import csv, json, sys
		report = json.load(open(sys.argv[1] + "/json"))
		rows = list(csv.DictReader(open(sys.argv[1] + "/csv")))
		assert len(rows) == len(report["cells"]) == 4
		for row, cell in zip(rows, report["cells"]):
		    assert list(row) == list(cell)
		    for name, text in row.items():
		        value = cell[name]
		        assert value is None if text == "" else text == value if name == "retransmit" else float(text) == value
		assert report["settings"]["suite"] == "cert"
		assert report["settings"]["seed"] == "9007199254740993"
		assert report["settings"]["delay_ms"] == 50
		assert rows[2]["min_ms"] == ""
	E
}
t 'the JSON has the numbers of the CSV, and the settings' json_is_the_csv

worst_run_again() {
	sweep --loss 10 --runs 500 --csv "$T/csv" >"$T/out"
	equal "$(column succeeded)" 500
	"$LAB" trace --loss 10% --seed "$(column worst_seed)" >"$T/trace" || :
	contains "$T/trace" "\\b$(column max_ms)\\b"
}
t "the worst run's seed shows that run in dtls-lab trace" worst_run_again

# ---- files

pictures() {
	sweep --loss 0,100 --runs 5 --plot "$T/a.svg" >"$T/out"
	sweep --loss 0,20 --runs 50 --retransmit both --plot "$T/a.PNG" >"$T/out"
	sweep --loss 100 --runs 5 --plot "$T/b.svg" >"$T/out"
	sweep --loss 0 --delay 0 --runs 5 --plot "$T/c.png" >"$T/out"
	python3 -c 'import sys, xml.dom.minidom
for path in sys.argv[1:]: xml.dom.minidom.parse(path)' "$T/a.svg" "$T/b.svg"
	contains "$T/a.svg" 'adaptive: connected'
	contains "$T/a.svg" '50 ms each way'
	contains "$T/a.svg" '99th percentile'
	lacks "$T/a.svg" 'at no loss rate'
	contains "$T/b.svg" 'at no loss rate did 50 % of the handshakes succeed'
	contains "$T/b.svg" 'at no loss rate did 99 % of the handshakes succeed'
	equal "$(grep -o 'at no loss rate' "$T/b.svg" | wc -l)" 2
	sweep --loss 50 --runs 50 --plot "$T/d.svg" >"$T/out"
	lacks "$T/d.svg" 'at no loss rate did 50 %'
	contains "$T/d.svg" 'at no loss rate did 99 % of the handshakes succeed'
	contains "$T/a.svg" 'median \(s\) of all handshakes, where so many succeed'
	sweep --loss "$(seq -s , 0 40)" --runs 1 --duplicate 3% --reorder 2% --corrupt 1% --rate 10000 --path-mtu 1400 \
		--jitter 40 --burst 1%,20% --plot "$T/a.svg" >"$T/out"
	contains "$T/a.svg" '<text>.* 10000 bytes/s,</text>'
	contains "$T/a.svg" '<text>.*path MTU 1400, losses in bursts .*seed 1</text>'
	contains "$T/a.svg" '>39 %<'
	lacks "$T/a.svg" '>38 %<'
	equal "$(head -c 8 "$T/a.PNG" | od -An -tx1)" ' 89 50 4e 47 0d 0a 1a 0a'
	equal "$(head -c 8 "$T/c.png" | od -An -tx1)" ' 89 50 4e 47 0d 0a 1a 0a'
}
t 'pictures are SVG or PNG, even where nothing or all succeeds' pictures

a_file_that_fails() {
	expect_status 1 "$LAB" sweep --loss 0 --runs 1 --csv /dev/full --json "$T/json" --plot "$T/a.svg"
	equal "$(<"$T/cmd.err")" 'dtls-lab: cannot write to "/dev/full": No space left on device'
	contains "$T/cmd.out" '^     0  adaptive '
	contains "$T/json" '"median_ms": 300'
	contains "$T/a.svg" '</svg>'
	local status=0
	sweep --loss 0 --runs 1 --csv "$T/csv" >/dev/full || status=$?
	equal "$status" 1
	contains "$T/csv" '^0,adaptive,1,1,'
}
t 'where one file cannot be written the others still are' a_file_that_fails

where_results_may_go() {
	mkfifo "$T/pipe"
	cat "$T/pipe" >"$T/read" &
	sweep --loss 0 --runs 1 --csv "$T/pipe" >"$T/out"
	wait
	contains "$T/read" '^0,adaptive,1,1,'
	sweep --loss 0 --runs 1 --csv >(cat >"$T/substituted") >"$T/out"
	ln -s target "$T/link"
	sweep --loss 0 --runs 1 --csv "$T/link" >"$T/out"
	contains "$T/target" '^0,adaptive,1,1,'
	[[ -L $T/link ]] || fail 'the link was replaced'
	(cd "$T" && sweep --loss 0 --runs 1 --csv relative --json /dev/null >"$T/out")
	contains "$T/relative" '^0,adaptive,1,1,'
	local deadline=$((SECONDS + 10))
	until grep -q '^0,adaptive,1,1,' "$T/substituted"; do
		((SECONDS < deadline)) || fail 'nothing came through the substituted file'
		sleep 0.02
	done
}
t 'results go to pipes, devices and through links, too' where_results_may_go

a_folder_that_vanishes() {
	mkdir "$T/a"
	start lab "$LAB" sweep --loss 0 --runs 20000 --processes 1 --csv "$T/a/csv" --json "$T/json"
	worked lab 1
	rmdir "$T/a"
	ends_with 1 lab "^dtls-lab: cannot write to \"$T/a/csv\": No such file or directory$"
	contains "$T/json" '"runs": 20000'
}
t 'a new file that cannot be made in the end is an error' a_folder_that_vanishes

a_picture_that_fails() {
	ln -s /dev/full "$T/a.svg"
	expect_status 1 "$LAB" sweep --loss 0 --runs 1 --plot "$T/a.svg"
	equal "$(<"$T/cmd.err")" "dtls-lab: cannot write to \"$T/a.svg\": No space left on device"
	contains "$T/cmd.out" '^     0  adaptive '
}
t 'a picture on a full disk is an error' a_picture_that_fails

nobody_reads() {
	local status=0
	mkfifo "$T/pipe"
	# shellcheck disable=SC2094 # a reader lets the writer open it, and leaves
	exec 3<>"$T/pipe" 4>"$T/pipe" 3<&-
	sweep --loss 0 --runs 1 --csv "$T/csv" >&4 2>"$T/err" || status=$?
	equal "$status" 1
	equal "$(<"$T/err")" 'dtls-lab: cannot write to standard output: Broken pipe'
	contains "$T/csv" '^0,adaptive,1,1,'
}
t 'where nobody reads the table, that is said, and the files are written' nobody_reads

gnuplot_fails() {
	echo earlier >"$T/a.svg"
	mkdir "$T/bin"
	printf '#!/bin/sh\necho "line 3: no such terminal" >&2\nexit 1\n' >"$T/bin/gnuplot"
	chmod +x "$T/bin/gnuplot"
	PATH=$T/bin:$PATH expect_status 1 "$LAB" sweep --loss 0 --runs 1 --plot "$T/a.svg" --csv "$T/csv"
	equal "$(<"$T/cmd.err")" "dtls-lab: gnuplot cannot draw \"$T/a.svg\": line 3: no such terminal"
	equal "$(<"$T/a.svg")" earlier
	printf '#!/bin/sh\n' >"$T/bin/gnuplot"
	PATH=$T/bin:$PATH expect_status 1 "$LAB" sweep --loss 0 --runs 1 --plot "$T/a.svg" --csv "$T/csv"
	equal "$(<"$T/cmd.err")" "dtls-lab: gnuplot cannot draw \"$T/a.svg\": it has drawn nothing"
	equal "$(<"$T/a.svg")" earlier
	contains "$T/cmd.out" '^     0  adaptive '
	contains "$T/csv" '^0,adaptive,1,1,'
}
t 'where gnuplot fails, its own sentence is told, the numbers are written, and an earlier picture stays' gnuplot_fails

gnuplot_is_missing() {
	refuses 2 'needs the program gnuplot.*gnuplot-nox' env PATH=/nonexistent "$LAB" sweep --plot "$T/a.svg" --csv "$T/csv"
	[[ ! -e $T/csv ]] || fail 'a file was made'
}
t 'where gnuplot is missing, that is said before anything is computed' gnuplot_is_missing

# ---- processes

ctrl_c() {
	echo kept >"$T/csv"
	start_endless --csv "$T/csv" --json "$T/json" --plot "$T/a.svg"
	signal lab INT
	ends_with 130 lab '^dtls-lab: ended after [0-9]+ of 1800000 handshakes: no row was complete, and nothing is written$'
	all_gone "${workers[@]}"
	equal "$(<"$T/csv")" kept
	[[ ! -e $T/json && ! -e $T/a.svg ]] || fail 'a file was made'
	[[ ! -s $T/lab.out ]] || fail 'something was printed'
}
t 'Ctrl-C ends all processes with status 130, leaves files as they were, and makes none' ctrl_c

ctrl_c_in_the_middle() {
	local rows last
	seq 100000 >"$T/csv" # of which nothing may be left
	start lab env --default-signal=INT "$LAB" sweep --loss "$(seq -s , 0 99)" --retransmit both --runs 1000 --processes 2 \
		--csv "$T/csv" --json "$T/json" --plot "$T/a.svg"
	worked lab 10
	[[ ! -e $T/json && ! -e $T/a.svg ]] || fail 'a file was made before there were results'
	signal lab INT
	ends_with 130 lab '^dtls-lab: ended after [0-9]+ of 200000 handshakes: incomplete, with [0-9]+ of 200 rows$'
	rows=$(sed 's/.*with \([0-9]*\) of.*/\1/' "$T/lab.err")
	((rows > 0 && rows < 200)) || fail "$rows rows"
	equal "$(column loss_percent | tr ' ' '\n' | wc -l)" "$rows"
	contains "$T/lab.out" ', 1000 handshakes each, seed 1, incomplete$'
	contains "$T/a.svg" '1000 handshakes each, seed 1, incomplete'
	contains "$T/a.svg" '</svg>'
	equal "$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["cells"]))' "$T/json")" "$rows"
	last=$(tail -n 1 "$T/csv")
	sweep --loss "${last%%,*}" --retransmit "$(cut -d , -f 2 <<<"$last")" --runs 1000 --csv "$T/csv" >"$T/out"
	equal "$(tail -n 1 "$T/csv")" "$last"
}
t 'Ctrl-C in the middle: the rows that are complete are told and written' ctrl_c_in_the_middle

nohup_protects() {
	ignoring=(--ignore-signal=HUP)
	start_endless
	signal lab HUP
	signal lab TERM
	ends_with 143 lab
}
t 'a signal that is ignored ends nothing' nohup_protects

killed() {
	start_endless
	signal lab KILL
	finished lab || :
	local deadline=$((SECONDS + 10))
	while [[ -e /proc/${workers[0]} || -e /proc/${workers[1]} ]]; do
		((SECONDS < deadline)) || fail 'a process is left'
		sleep 0.02
	done
}
t 'SIGKILL leaves no process behind, either' killed

a_worker_dies() {
	start_endless
	kill -KILL "${workers[1]}"
	ends_with 1 lab '^dtls-lab: a process that computed handshakes was ended by signal 9 \(Killed\)$'
	all_gone "${workers[@]}"
}
t 'a process that dies is an error' a_worker_dies

progress() {
	script -qec true /dev/null >"$T/out" || skip 'no pseudo-terminal here'
	script -qec "$(printf '%q ' "$LAB" sweep --loss 0,20 --runs 8000 --processes 1) >/dev/null" "$T/typescript" >"$T/out"
	contains "$T/typescript" '[0-9]+ of 16000 handshakes, [0-9]+ s left'
}
t 'on a terminal the progress is told' progress

# ---- command lines

refusals() {
	local option value regex
	while read -r option value regex; do
		refuses 2 "^dtls-lab: .*$regex" "$LAB" sweep "$option" "$value"
	done <<-E
		--loss 101 numbers from 0 to 100 .percent.*"101"
		--loss x numbers from 0 to 100
		--loss 1,,2 not ""
		--loss 5%% not "5%%"
		--loss -1 not "-1"
		--loss 5,1,5.0 names 5 percent twice
		--burst 0.1 takes ENTER,LEAVE
		--burst 0,1 chances above 0
		--burst 1,0 chances above 0
		--burst 0.1,2 a probability
		--runs 0 whole number from 1 to 100000
		--runs 1x whole number
		--processes 0 from 1 to 256
		--retransmit quick fixed, adaptive or both
		--suite NOPE "NOPE" is unknown
		--handshake-timeout 5 MIN-MAX
		--handshake-timeout 9-5 longer than the longest
		--mtu 255 from 256
		--csv /nonexistent/x cannot write to "/nonexistent/x": No such file
		--json / cannot write to "/"
		--plot a.jpg ends in .svg or .png
		--plot .png ends in .svg or .png
		--delay -1 whole number
		--seed -1 whole number
		--rate 0 whole number
		--wrong 1 unrecognized option
		word word unexpected argument "word"
	E
	refuses 2 'both write to' "$LAB" sweep --csv "$T/a" --json "$T/a"
	refuses 2 'both write to' "$LAB" sweep --csv "$T/a.png" --plot "$T/a.png"
	[[ ! -e $T/a ]] || fail 'a file was made'
}
t 'a wrong command line is refused in one sentence' refusals

two_names() {
	echo kept >"$T/a"
	ln "$T/a" "$T/b"
	refuses 2 '^dtls-lab: --csv and --json cannot both write to one file$' "$LAB" sweep --csv "$T/a" --json "$T/b"
	local status=0
	"$LAB" sweep --csv "$T/b" >>"$T/a" 2>"$T/err" || status=$?
	equal "$status" 2
	equal "$(<"$T/err")" 'dtls-lab: --csv and standard output cannot both write to one file'
	equal "$(<"$T/a")" kept
	sweep --loss 0 --runs 1 --csv /dev/stdout | cat >"$T/out"
	contains "$T/out" '^0,adaptive,1,1,'
	mkdir "$T/new"
	ln -s new "$T/also_new"
	refuses 2 '^dtls-lab: --csv and --json cannot both write to one file$' \
		"$LAB" sweep --csv "$T/new/a" --json "$T/also_new/a"
	refuses 2 '^dtls-lab: --csv and --plot cannot both write to one file$' \
		"$LAB" sweep --csv "$T/new/a.svg" --plot "$T/new/./a.svg"
	refuses 2 'cannot write to "/nonexistent/x"' "$LAB" sweep --csv "$T/new/a" --json /nonexistent/x
	equal "$(find "$T/new" -mindepth 1)" ''
}
t 'a file that has two names is still one' two_names

finish
