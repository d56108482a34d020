#!/bin/bash
# DTLS with pre-shared keys between our programs and those of OpenSSL and GnuTLS, each way round, with every suite that
# both have, directly and through a relay that loses a fifth of the datagrams.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need openssl gnutls-cli gnutls-serv

KEY=73656372657450534b
WRONG_KEY=73656372657450534c
ID=Client_identity
PATIENCE=45 # seconds for one handshake through the loss: the peers resend after 1, 2, 4... s

# Cases wait for timers, not for the processor, so many run at once: each is a t() in a subshell, in which $cases is the
# case's number.
AT_ONCE=16
cases=0
c() {
	while (($(jobs -rp | wc -l) >= AT_ONCE)); do
		wait -n || :
	done
	cases=$((cases + 1))
	t "$@" >"$folder/case.$cases" &
}

collect() {
	local i
	wait
	for ((i = 1; i <= cases; i++)); do
		cat "$folder/case.$i"
		passed=$((passed + $(grep -c '^ok ' "$folder/case.$i")))
		failed=$((failed + $(grep -c '^FAIL ' "$folder/case.$i")))
		skipped=$((skipped + $(grep -c '^skip ' "$folder/case.$i")))
	done
	((passed + failed + skipped == cases)) || { echo "FAIL  a case told nothing" && failed=$((failed + 1)); }
}

# ---- the other stacks

openssl_suite() {
	case $1 in
	CCM8) echo PSK-AES128-CCM8 ;;
	CCM) echo PSK-AES128-CCM ;;
	GCM) echo PSK-AES128-GCM-SHA256 ;;
	GCM256) echo PSK-AES256-GCM-SHA384 ;;
	CHACHA) echo PSK-CHACHA20-POLY1305 ;;
	ECDHE) echo ECDHE-PSK-CHACHA20-POLY1305 ;;
	esac
}

gnutls_priority() {
	local suite
	case $1 in
	CCM8) suite=-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8 ;;
	CCM) suite=-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM ;;
	GCM) suite=-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-GCM ;;
	GCM256) suite=-KX-ALL:+PSK:-CIPHER-ALL:+AES-256-GCM ;;
	CHACHA) suite=-KX-ALL:+PSK:-CIPHER-ALL:+CHACHA20-POLY1305 ;;
	ECDHE) suite=-KX-ALL:+ECDHE-PSK:-CIPHER-ALL:+CHACHA20-POLY1305 ;;
	esac
	echo "NORMAL:-VERS-ALL:+VERS-DTLS1.2:$suite"
}

our_name() {
	case $1 in
	CCM8) echo TLS-PSK-WITH-AES-128-CCM-8 ;;
	CCM) echo TLS-PSK-WITH-AES-128-CCM ;;
	GCM) echo TLS-PSK-WITH-AES-128-GCM-SHA256 ;;
	GCM256) echo TLS-PSK-WITH-AES-256-GCM-SHA384 ;;
	CHACHA) echo TLS-PSK-WITH-CHACHA20-POLY1305-SHA256 ;;
	ECDHE) echo TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256 ;;
	esac
}

# keyboard NAME: a pipe that stays open; type_into NAME TEXT writes a line. `start NAME ... <"$T/NAME.in"` reads it.
keyboard() {
	mkfifo "$T/$1.in"
	eval "exec {fd_$1}<>\"\$T/$1.in\""
}

type_into() {
	local fd=fd_$1
	echo "$2" >&"${!fd}"
}

# say NAME TEXT OTHER [TEXT2]: types TEXT into NAME until OTHER has printed TEXT2 (or TEXT). Datagrams get lost.
say() {
	local from=$1 text=$2 other=$3 expected=${4:-$2} deadline=$((SECONDS + 20))
	until grep -qF -- "$expected" "$T/$other.out"; do
		((SECONDS < deadline)) || fail "$other never printed '$expected'"
		type_into "$from" "$text"
		sleep 0.2
	done
}

openssl_client() {
	keyboard peer
	start peer openssl s_client -dtls1_2 -connect "127.0.0.1:$1" -psk_identity "$ID" -psk "${3:-$KEY}" \
		-cipher "$(openssl_suite "$2"):@SECLEVEL=0" "${@:4}" <"$T/peer.in"
}

gnutls_client() {
	keyboard peer
	start peer stdbuf -oL gnutls-cli --udp -p "$1" --pskusername "$ID" --pskkey "${3:-$KEY}" \
		--priority "$(gnutls_priority "$2")" "${@:4}" 127.0.0.1 <"$T/peer.in"
}

openssl_server() { # prints its port
	keyboard peer
	start peer openssl s_server -dtls1_2 -accept 127.0.0.1:0 -nocert -psk "${2:-$KEY}" \
		-cipher "$(openssl_suite "$1"):@SECLEVEL=0" "${@:3}" <"$T/peer.in"
	wait_for peer '^ACCEPT 127.0.0.1:[0-9]+$'
	peer_port=$(sed -n 's/^ACCEPT 127.0.0.1://p' "$T/peer.out")
}

# gnutls-serv does not tell which port it was given, so it is told one that nobody has.
unused_port() {
	local port=$((20000 + $$ % 100 * 100 + cases))
	while grep -qi ":$(printf %04X "$port") " /proc/net/udp /proc/net/udp6; do
		port=$((port + 100))
	done
	echo "$port"
}

gnutls_server() {
	peer_port=$(unused_port)
	echo "$ID:${2:-$KEY}" >"$T/psk.txt"
	start peer stdbuf -oL gnutls-serv --udp -p "$peer_port" --echo --pskpasswd "$T/psk.txt" \
		--priority "$(gnutls_priority "$1")" "${@:3}"
	wait_for peer 'listening on IPv4 0.0.0.0 port'
}

# ---- ours

our_server() {
	start server "$BIN/dtls-server" -l 127.0.0.1:0 --psk "$ID:$KEY" --echo "$@"
	our_port=$(port server)
}

our_client() { # PORT [OPTION...]
	keyboard client
	start client "$BIN/dtls-client" "127.0.0.1:$1" --psk "$ID:$KEY" -v --timeout "$PATIENCE" "${@:2}" \
		<"$T/client.in"
}

# through PATH PORT: sets $entry, the port to go to.
through() {
	entry=$2
	[[ $1 == lossy ]] || return 0
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$2" --loss 0.2 --delay 10 --seed "$cases"
	entry=$(port relay)
}

# ---- the cases

to_our_server() { # PEER SUITE PATH
	our_server
	through "$3" "$our_port"
	"$1_client" "$entry" "$2"
	wait_for server "$ID connected with $(our_name "$2")\$" "$PATIENCE"
	# gnutls-cli 3.7 crashes, against its own server too, when it prints what it agreed on here.
	[[ "$1 $2" == 'gnutls ECDHE' ]] || say peer "hello from $1" peer
	stop server
}

to_their_server() { # PEER SUITE PATH
	"$1_server" "$2"
	through "$3" "$peer_port"
	our_client "$entry"
	wait_for client "handshake done: DTLSv1.2, $(our_name "$2");" "$PATIENCE"
	exchange "$1"
	stop client
}

# gnutls-serv echoes; s_server prints what comes and sends what is typed.
exchange() {
	if [[ $1 == gnutls ]]; then
		say client 'hello to gnutls' client
	else
		say client 'hello to openssl' peer
		say peer 'hello from openssl' client
	fi
}

cookie_of_openssl() {
	openssl_server CCM8 "$KEY" -listen
	our_client "$peer_port"
	wait_for client 'received flight .*HelloVerifyRequest'
	wait_for client 'handshake done'
	exchange openssl
	stop client
}

identity_hint() {
	openssl_server CCM8 "$KEY" -psk_hint 'who are you?'
	our_client "$peer_port"
	wait_for client 'handshake done'
	exchange openssl
	stop client
}

small_mtu_to_their_server() {
	openssl_server ECDHE "$KEY" -mtu 512
	our_client "$peer_port" --mtu 512
	wait_for client 'handshake done'
	exchange openssl
	stop client
}

small_mtu_to_our_server() {
	our_server --mtu 512
	openssl_client "$our_port" ECDHE "$KEY" -mtu 512
	wait_for server "$ID connected with"
	say peer 'hello' peer
	stop server
}

several_of_each_at_our_server() {
	local i port
	our_server
	port=$our_port
	for i in 1 2 3; do
		several_client "openssl$i" openssl s_client -dtls1_2 -connect "127.0.0.1:$port" -psk_identity "$ID" \
			-psk "$KEY" -cipher PSK-AES128-GCM-SHA256
		several_client "gnutls$i" stdbuf -oL gnutls-cli --udp -p "$port" --pskusername "$ID" --pskkey "$KEY" \
			--priority "$(gnutls_priority CCM)" 127.0.0.1
	done
	for i in openssl{1..3} gnutls{1..3}; do
		say "$i" "hello from $i" "$i"
	done
	signal server USR1
	wait_for server '^  peers 6;'
	stop server
}

several_client() {
	keyboard "$1"
	start "$@" <"$T/$1.in"
}

# RFC 4279, 2: both look the same from outside.
wrong_key_at_our_server() {
	our_server
	"$1_client" "$our_port" CCM8 "$WRONG_KEY"
	wait_for server "failed: .*the pre-shared key for identity \"$ID\" probably differs"
	wait_for peer "$2"
	stop server
}

unknown_identity_at_our_server() {
	start server "$BIN/dtls-server" -l 127.0.0.1:0 --psk "somebody:$KEY" --echo
	our_port=$(port server)
	"$1_client" "$our_port" CCM8
	wait_for server "failed: .*no pre-shared key is known for identity \"$ID\""
	wait_for peer "$2"
	stop server
}

# These servers say nothing at all.
wrong_key_at_their_server() {
	"$1_server" CCM8 "$WRONG_KEY"
	expect_status 1 "$BIN/dtls-client" "127.0.0.1:$peer_port" --psk "$ID:$KEY" --handshake-timeout 100-800
	contains "$T/cmd.err" "the pre-shared key for identity \"$ID\" differs or is unknown"
	equal "$(wc -l <"$T/cmd.err")" 1
}

no_suite_in_common() {
	our_server --ciphers TLS-PSK-WITH-AES-128-CCM-8
	openssl_client "$our_port" GCM
	wait_for server "failed: .*none of the peer's cipher suites is enabled here"
	wait_for peer 'alert handshake failure'
	stop server
}

for peer in openssl gnutls; do
	for suite in CCM8 CCM GCM GCM256 CHACHA ECDHE; do
		name=$(our_name $suite)
		c "$peer to our server, $name, a fifth is lost" to_our_server $peer $suite lossy
		c "our client to $peer, $name, a fifth is lost" to_their_server $peer $suite lossy
		c "$peer to our server, $name" to_our_server $peer $suite direct
		c "our client to $peer, $name" to_their_server $peer $suite direct
	done
done
c 'our client brings OpenSSL its cookie' cookie_of_openssl
c 'our client takes an identity hint' identity_hint
c 'our client to OpenSSL with an MTU of 512' small_mtu_to_their_server
c 'OpenSSL to our server with an MTU of 512' small_mtu_to_our_server
c 'three clients of each at our server' several_of_each_at_our_server
c 'OpenSSL with a wrong key at our server' wrong_key_at_our_server openssl 'alert bad record mac'
c 'GnuTLS with a wrong key at our server' wrong_key_at_our_server gnutls 'Bad record MAC'
c 'OpenSSL with an unknown identity at our server' unknown_identity_at_our_server openssl 'alert bad record mac'
c 'GnuTLS with an unknown identity at our server' unknown_identity_at_our_server gnutls 'Bad record MAC'
c 'our client with a wrong key at OpenSSL' wrong_key_at_their_server openssl
c 'our client with a wrong key at GnuTLS' wrong_key_at_their_server gnutls
c 'no suite in common' no_suite_in_common
collect
finish
