#!/bin/bash
# What README.md shows is true: its programs compile without a warning and talk to each other, its files exist.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=python.sh
. "$(dirname "$0")/python.sh"
need cc

root=$(dirname "$BIN")/..
[[ -e $root/README.md ]] || root=.
ports=$((20000 + $$ % 4000 * 3)) # three of our own, so that tests may run side by side

# block LANGUAGE N: the README's Nth program in it.
block() {
	awk -v start="\`\`\`$1" -v want="$2" '$0 == start {n++; on = 1; next} /^```$/ {on = 0} on && n == want' "$root/README.md"
}

# compile N NAME PORT
compile() {
	block c "$1" | sed "s/htons(5684)/htons($3)/" >"$T/$2.c"
	[[ -s $T/$2.c ]]
	# shellcheck disable=SC2086 # flags are words
	cc -std=gnu11 -Wall -Wextra -Werror ${SANITIZE:+-fsanitize=$SANITIZE} -I"$root" "$T/$2.c" \
		"$BIN/../lib/libdtls.a" -lmbedtls -lmbedx509 -lmbedcrypto -pthread -o "$T/$2"
}

client_and_server_talk() {
	compile 1 client "$ports"
	compile 2 server "$ports"
	start server "$T/server"
	sleep 0.2
	# The short client leaves its memory to the kernel.
	equal "$(ASAN_OPTIONS=detect_leaks=0 timeout 20 "$T/client")" 21.4
}

python_client_and_server_talk() {
	local n
	for n in 1 2; do
		block python "$n" | sed "s/5684/$((ports + 2))/" >"$T/$n.py"
		[[ -s $T/$n.py ]]
	done
	start server "${python[@]}" -u "$T/2.py"
	equal "$(timeout 30 "${python[@]}" "$T/1.py")" 21.4
}

programs_are_short() {
	(($(block c 1 | wc -l) <= 26 && $(block c 2 | wc -l) <= 28))
}

map_names_every_source() {
	local file
	for file in "$root"/dtls/*.c; do
		contains "$root/README.md" "\`$(basename "$file")\`"
	done
}

map_names_no_other_file() {
	local file
	grep -oE '`[a-z_]+\.[ch]`' "$root/README.md" | tr -d '`' | sort -u >"$T/named"
	while read -r file; do
		[[ -e $root/dtls/$file ]] || fail "$file does not exist"
	done <"$T/named"
}

# commands REGEX: the README's lines of shell that match, on our paths and a port of our own.
commands() {
	sed -n 's/^    //p' "$root/README.md" | grep -E -- "$1" | sed "s|build/bin/|$BIN/|g; s|:5684|:$((ports + 1))|g"
}

certificates_as_shown() {
	local server client transport
	commands '^openssl req' >"$T/make_certificates"
	equal "$(wc -l <"$T/make_certificates")" 3
	server=$(commands 'dtls-server .*--ca ca.pem') client=$(commands 'dtls-client .*--ca ca.pem')
	cd "$T" || return
	sh -e make_certificates
	for transport in '' --tls; do
		start "server$transport" sh -c "exec $server $transport"
		port "server$transport"
		equal "$(sh -c "$client $transport")" hello
		contains "server$transport.err" 'sensor-17 connected'
		stop "server$transport"
	done
}

t 'the README'\''s client and server talk' client_and_server_talk
t 'so do those in Python' python_client_and_server_talk
t 'its certificates are made and accepted as shown, over DTLS and TLS' certificates_as_shown
t 'they are as short as promised' programs_are_short
t 'the file map names every source' map_names_every_source
t 'the file map names no other file' map_names_no_other_file
finish
