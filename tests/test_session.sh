#!/bin/bash
# dtls-client --session and dtls-server --resume: sessions that outlive a process, in a file.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

KEY=000102030405060708090a0b0c0d0e0f

serve() { # [OPTION...]: sets $server_port
	echo "sensor:$KEY" >"$T/keys"
	start server "$BIN/dtls-server" -l "127.0.0.1:${server_port:-0}" --psk-file "$T/keys" --echo "$@"
	server_port=$(port server)
}

# visit [OPTION...]: says hello; the story is in $T/cmd.err.
visit() {
	expect_status 0 "$BIN/dtls-client" "127.0.0.1:$server_port" --psk "sensor:$KEY" --linger 100 --session "$T/session" -v \
		"$@" <<<hello
	equal "$(<"$T/cmd.out")" hello
}

is_new() {
	contains "$T/cmd.err" 'a new session, for '
	lacks "$T/cmd.err" 'resumed;|was resumed'
	equal "$(stat -c '%a %F' "$T/session")" '600 regular file'
	equal "$(ls "$T"/session*)" "$T/session"
}

is_resumed() {
	contains "$T/cmd.err" 'handshake done: .*, resumed'
	contains "$T/cmd.err" "the session in $T/session was resumed"
	equal "$(stat -c '%a %F' "$T/session")" '600 regular file'
	equal "$(ls "$T"/session*)" "$T/session"
}

comes_back() { # [OPTION...]
	umask 0
	serve "$@"
	visit "$@"
	is_new
	visit "$@"
	is_resumed
	visit "$@"
	is_resumed
	wait_for server 'sensor connected with TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256, resumed$'
	stop server
	contains "$T/server.err" '^  sessions resumed 2$'
}

quiet_without_verbose() {
	serve
	visit
	expect_status 0 "$BIN/dtls-client" "127.0.0.1:$server_port" --psk "sensor:$KEY" --linger 100 --session "$T/session" \
		<<<hello
	[[ ! -s $T/cmd.err ]]
	wait_for server ', resumed$'
}

readable_by_others() {
	local mode
	serve
	for mode in 640 604 620; do
		visit
		chmod "$mode" "$T/session"
		visit
		contains "$T/cmd.err" "^dtls-client: --session: $T/session is not private \(it needs your ownership and mode 0600\)"
		is_new
		visit
		is_resumed
	done
}

somebody_elses() {
	((EUID == 0)) || skip 'only root gives files away'
	serve
	visit
	chown 65534 "$T/session"
	visit
	contains "$T/cmd.err" 'is not private'
	is_new
}

no_session() {
	serve
	echo 'something else' >"$T/session"
	chmod 600 "$T/session"
	visit
	contains "$T/cmd.err" 'is not resumed: these bytes are no saved session'
	is_new
	: >"$T/session"
	visit
	contains "$T/cmd.err" 'is not resumed: these bytes are no saved session'
	visit
	is_resumed
}

another_server() {
	serve
	visit
	stop server
	serve
	visit
	is_new
	visit
	is_resumed
}

never() {
	serve --resume 0
	visit
	visit
	is_new
	stop server
	refuses 2 '^dtls-server: --resume takes a whole number from 0 to 604800' "$BIN/dtls-server" --psk "sensor:$KEY" --resume 604801
}

for_a_second() {
	serve --resume 1
	visit
	sleep 1.2
	visit
	is_new
}

# The key is another one: nothing is resumed, and the session is of no use any more.
replaced_key() {
	serve
	visit
	echo 'sensor:ffffffffffffffffffffffffffffffff' >"$T/keys"
	signal server HUP
	wait_for server 'was read again'
	expect_status 1 "$BIN/dtls-client" "127.0.0.1:$server_port" --psk "sensor:$KEY" --session "$T/session" <<<hello
	contains "$T/cmd.err" 'the pre-shared key for identity "sensor" probably differs'
	[[ ! -e $T/session ]]
}

other_key_here() {
	serve
	visit
	expect_status 1 "$BIN/dtls-client" "127.0.0.1:$server_port" --psk sensor:ff --session "$T/session" -v <<<hello
	contains "$T/cmd.err" 'is not resumed: the session was made with another pre-shared key for the same identity'
	# It was not to blame.
	visit
	is_resumed
}

not_to_be_written() {
	serve
	expect_status 1 "$BIN/dtls-client" "127.0.0.1:$server_port" --psk "sensor:$KEY" --linger 100 \
		--session "$T/nowhere/session" <<<hello
	equal "$(<"$T/cmd.out")" hello
	contains "$T/cmd.err" "^dtls-client: --session: cannot write $T/nowhere/session: No such file or directory$"
	equal "$(wc -l <"$T/cmd.err")" 1
	mkdir "$T/folder"
	refuses 2 "^dtls-client: --session: cannot read $T/folder: Is a directory" "$BIN/dtls-client" \
		"127.0.0.1:$server_port" --psk "sensor:$KEY" --session "$T/folder"
}

t 'a session is resumed by the next process' comes_back
t 'the same over TLS' comes_back --tls
t 'without -v nothing is told' quiet_without_verbose
t 'a file that others can read is not used, and is made anew' readable_by_others
t 'a file that is somebody else'\''s is not used' somebody_elses
t 'a file with something else in it is replaced' no_session
t 'another server does not know the session' another_server
t 'a server that lets nobody resume' never
t 'a server that lets resume for a second' for_a_second
t 'a key that was replaced at the server' replaced_key
t 'another key at the client' other_key_here
t 'a file that cannot be written, or read' not_to_be_written
finish
