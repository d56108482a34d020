# shellcheck shell=bash
# interop.sh - sourced by the tests of our programs against those of OpenSSL and GnuTLS: many cases at once, the peers'
# programs, and ours.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need openssl gnutls-cli gnutls-serv

PATIENCE=45 # seconds for one handshake through the loss: the peers resend after 1, 2, 4... s

# ---- many cases at once

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

# ---- what is typed

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

# ---- suites

# A suite is AUTHENTICATION-CIPHER here: PSK-CCM8, ECDHE-RSA-GCM. Each side has its own names.
declare -A OUR_CIPHER=([CCM8]=AES-128-CCM-8 [CCM]=AES-128-CCM [GCM]=AES-128-GCM-SHA256 [GCM256]=AES-256-GCM-SHA384
	[CHACHA]=CHACHA20-POLY1305-SHA256 [CBC]=AES-128-CBC-SHA256)
declare -A OPENSSL_CIPHER=([CCM8]=AES128-CCM8 [CCM]=AES128-CCM [GCM]=AES128-GCM-SHA256 [GCM256]=AES256-GCM-SHA384
	[CHACHA]=CHACHA20-POLY1305)
declare -A GNUTLS_CIPHER=([CCM8]=AES-128-CCM-8 [CCM]=AES-128-CCM [GCM]=AES-128-GCM [GCM256]=AES-256-GCM
	[CHACHA]=CHACHA20-POLY1305)

# shellcheck disable=SC2034 # used by the cases
PSK_SUITES=(PSK-{CCM8,CCM,GCM,GCM256,CHACHA} ECDHE-PSK-CHACHA)
# shellcheck disable=SC2034 # used by the cases
CERTIFICATE_SUITES=(ECDHE-ECDSA-{CCM8,CCM,GCM,GCM256,CHACHA} ECDHE-RSA-{GCM,GCM256,CHACHA})

our_suite() {
	echo "TLS-${1%-*}-WITH-${OUR_CIPHER[${1##*-}]}"
}

openssl_suite() { # OpenSSL 3.5 has CCM-8 only at level 0
	echo "${1%-*}-${OPENSSL_CIPHER[${1##*-}]}:@SECLEVEL=0"
}

gnutls_priority() { # [SUITES]
	echo "NORMAL:-VERS-ALL:+VERS-$gnutls_version${1:+:$1}"
}

gnutls_suite() {
	gnutls_priority "-KX-ALL:+${1%-*}:-CIPHER-ALL:+${GNUTLS_CIPHER[${1##*-}]}"
}

# their_line STACK SUITE: matches the line in which their program tells the suite.
their_line() {
	case $1 in
	openssl) echo "C(ipher|IPHER) is ${2%-*}-${OPENSSL_CIPHER[${2##*-}]}\$" ;;
	gnutls) echo "^- Description: .*-\(${GNUTLS_CIPHER[${2##*-}]}\)\$" ;;
	esac
}

# ---- the peers' programs, as `peer`

# speak VERSION: what they, and ours, are told to speak: dtls1_2, the default, tls1_2 or tls1_3.
# shellcheck disable=SC2034 # our_version: used by the cases
speak() {
	openssl_version=-$1
	case $1 in
	dtls1_2) our_version=DTLSv1.2 gnutls_version=DTLS1.2 udp=(--udp) tls=() ;;
	tls1_2) our_version=TLSv1.2 gnutls_version=TLS1.2 udp=() tls=(--tls) ;;
	tls1_3) our_version=TLSv1.3 gnutls_version=TLS1.3 udp=() tls=(--tls --max-version 1.3) ;;
	esac
}
speak dtls1_2

in_version() { # VERSION CASE [ARGUMENT...]
	speak "$1"
	"${@:2}"
}

openssl_client() { # PORT [OPTION...]
	keyboard peer
	start peer openssl s_client "$openssl_version" -connect "127.0.0.1:$1" "${@:2}" <"$T/peer.in"
}

gnutls_client() { # PORT [OPTION...]
	keyboard peer
	start peer stdbuf -oL gnutls-cli "${udp[@]}" -p "$1" "${@:2}" 127.0.0.1 <"$T/peer.in"
}

openssl_server() { # [OPTION...]: sets $peer_port
	keyboard peer
	start peer openssl s_server "$openssl_version" -accept 127.0.0.1:0 "$@" <"$T/peer.in"
	wait_for peer '^ACCEPT 127.0.0.1:[0-9]+$'
	peer_port=$(sed -n 's/^ACCEPT 127.0.0.1://p' "$T/peer.out")
}

# gnutls-serv does not tell which port it was given, so it is told one that nobody has.
unused_port() {
	local port=$((20000 + $$ % 100 * 100 + cases))
	while cat /proc/net/{udp,tcp}{,6} 2>/dev/null | grep -qi ":$(printf %04X "$port") "; do
		port=$((port + 100))
	done
	echo "$port"
}

gnutls_serves=--echo
gnutls_server() { # [OPTION...]: sets $peer_port
	peer_port=$(unused_port)
	start peer stdbuf -oL gnutls-serv "${udp[@]}" -p "$peer_port" "$gnutls_serves" "$@"
	wait_for peer 'listening on IPv4 0.0.0.0 port [0-9]+\.\.\.done'
}

# ---- ours

# shellcheck disable=SC2034 # used by the cases
our_server() { # [OPTION...]: sets $our_port
	start server "$BIN/dtls-server" -l 127.0.0.1:0 "${tls[@]}" --echo "$@"
	our_port=$(port server)
}

our_client() { # PORT [OPTION...]
	keyboard client
	start client "$BIN/dtls-client" "127.0.0.1:$1" "${tls[@]}" -v --timeout "$PATIENCE" "${@:2}" <"$T/client.in"
}

# through PATH PORT: sets $entry, the port to go to.
# shellcheck disable=SC2034 # used by the cases
through() {
	entry=$2
	[[ $1 == lossy ]] || return 0
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$2" --loss 0.2 --delay 10 --seed "$cases"
	entry=$(port relay)
}

# exchange STACK: our client and their server. gnutls-serv echoes; s_server prints what comes and sends what is typed.
exchange() {
	if [[ $1 == gnutls ]]; then
		say client 'hello to gnutls' client
	else
		say client 'hello to openssl' peer
		say peer 'hello from openssl' client
	fi
}

# ---- pre-shared keys

KEY=73656372657450534b
# shellcheck disable=SC2034 # used by the cases
WRONG_KEY=73656372657450534c
ID=Client_identity

openssl_psk_client() { # PORT SUITE [KEY [OPTION...]]
	openssl_client "$1" -psk_identity "$ID" -psk "${3:-$KEY}" -cipher "$(openssl_suite "$2")" "${@:4}"
}

gnutls_psk_client() {
	gnutls_client "$1" --pskusername "$ID" --pskkey "${3:-$KEY}" --priority "$(gnutls_suite "$2")" "${@:4}"
}

openssl_psk_server() { # SUITE [KEY [OPTION...]]
	openssl_server -nocert -psk "${2:-$KEY}" -cipher "$(openssl_suite "$1")" "${@:3}"
}

gnutls_psk_server() {
	echo "$ID:${2:-$KEY}" >"$T/psk.txt"
	gnutls_server --pskpasswd "$T/psk.txt" --priority "$(gnutls_suite "$1")" "${@:3}"
}

# shellcheck disable=SC2120 # options are for the cases
our_psk_server() { # [OPTION...]
	our_server --psk "$ID:$KEY" "$@"
}

our_psk_client() { # PORT [OPTION...]
	our_client "$1" --psk "$ID:$KEY" "${@:2}"
}

# ---- certificates

PKI=$folder/pki
CA=ca

make_pki() {
	mkdir "$PKI"
	sh "$(dirname "${BASH_SOURCE[0]}")/pki.sh" "$PKI" || { echo 'FAIL  tests/pki.sh' && failed=1 && finish; }
}

# certified STACK [NAME]: sets $certified to the options for this certificate of the PKI, with its chain where there is
# one, and for trust in $CA.
certified() {
	local cert=$PKI/$2.pem key=$PKI/$2.key ca=$PKI/$CA.pem chain=$PKI/$2-chain.pem
	case $1 in
	ours) certified=(--ca "$ca") ;;
	openssl) certified=(-CAfile "$ca") ;;
	gnutls) certified=(--x509cafile "$ca") ;;
	esac
	[[ -n $2 ]] || return 0
	[[ -e $chain && $1 != openssl ]] && cert=$chain
	case $1 in
	ours) certified+=(--cert "$cert" --key "$key") ;;
	openssl) certified+=(-cert "$cert" -key "$key") ;;
	gnutls) certified+=(--x509certfile "$cert" --x509keyfile "$key") ;;
	esac
	[[ $1 != openssl || ! -e $chain ]] || certified+=(-cert_chain "$PKI/sub.pem")
}

# These verify their peer. NAME may be empty: without a certificate.
openssl_certified_client() { # PORT SUITE NAME [OPTION...]
	certified openssl "$3"
	openssl_client "$1" -cipher "$(openssl_suite "$2")" "${certified[@]}" -verify_return_error \
		-verify_hostname localhost "${@:4}"
}

gnutls_certified_client() { # PORT SUITE NAME [OPTION...]
	certified gnutls "$3"
	gnutls_client "$1" --priority "$(gnutls_suite "$2")" "${certified[@]}" --sni-hostname localhost \
		--verify-hostname localhost "${@:4}"
}

openssl_certified_server() { # SUITE NAME [OPTION...]
	certified openssl "$2"
	openssl_server -cipher "$(openssl_suite "$1")" "${certified[@]}" -Verify 3 -verify_return_error "${@:3}"
}

gnutls_certified_server() { # SUITE NAME [OPTION...]
	certified gnutls "$2"
	gnutls_server --priority "$(gnutls_suite "$1")" "${certified[@]}" --require-client-cert --verify-client-cert "${@:3}"
}

our_certified_server() { # NAME [OPTION...]
	certified ours "$1"
	our_server "${certified[@]}" "${@:2}"
}

our_certified_client() { # PORT NAME [OPTION...]
	certified ours "$2"
	our_client "$1" "${certified[@]}" --hostname localhost "${@:3}"
}

# Which certificates of the PKI: with EC or RSA keys, as the suite asks for.
pair_of() { # SUITE
	case $1 in
	ECDHE-ECDSA-*) server=server client=client name=sensor-17 ;;
	ECDHE-RSA-*) server=rsa client=rsaclient name=sensor-18 ;;
	esac
}

certified_to_our_server() { # PEER SUITE: mutual authentication
	local server client name
	pair_of "$2"
	our_certified_server "$server" -v
	"$1_certified_client" "$our_port" "$2" "$client"
	wait_for server "$name connected with $(our_suite "$2"); certificate verified\$"
	wait_for peer "$(their_line "$1" "$2")"
	say peer "hello from $1" peer
	stop server
}

their_server_verified() { # PEER NAME
	case $1 in
	openssl) wait_for peer "^subject=CN ?= ?$2\$" ;;
	gnutls) wait_for peer '^- Status: The certificate is trusted' ;;
	esac
}

certified_to_their_server() { # PEER SUITE: mutual authentication
	local server client name
	pair_of "$2"
	"$1_certified_server" "$2" "$server"
	our_certified_client "$peer_port" "$client"
	wait_for client "connected with $our_version, $(our_suite "$2")\$"
	contains "$T/client.err" "the server's certificate for localhost is verified"
	their_server_verified "$1" "$name"
	# gnutls-serv does not tell the suite of a session over UDP.
	[[ $1 == gnutls && ${#udp[@]} != 0 ]] || wait_for peer "$(their_line "$1" "$2")"
	exchange "$1"
	stop client
}

# ---- refusals

# our_client_fails PORT SENTENCE OPTION...: with status 1 and one line.
our_client_fails() {
	expect_status 1 timeout 60 "$BIN/dtls-client" "127.0.0.1:$1" "${tls[@]}" --hostname localhost "${@:3}"
	contains "$T/cmd.err" "^dtls-client: .*127.0.0.1:$1 failed: .*$2"
	equal "$(wc -l <"$T/cmd.err")" 1
}

# our_server_fails SENTENCE: has refused `peer`, and lives on.
our_server_fails() {
	wait_for server "^127.0.0.1:[0-9]+ ended: handshake with 127.0.0.1:[0-9]+ failed: .*$1"
	serves_others
	stop server
}

# ends_with STATUS NAME: waits for what was started as NAME.
ends_with() {
	local status=0
	finished "$2" || status=$?
	equal "$status" "$1"
}

serves_others() {
	certified ours client
	keyboard other
	start other "$BIN/dtls-client" "127.0.0.1:$our_port" "${tls[@]}" "${certified[@]}" --hostname localhost \
		<"$T/other.in"
	say other 'still here' other
	stop other
}
