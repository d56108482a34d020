#!/bin/bash
# DTLS with pre-shared keys between our programs and those of OpenSSL and GnuTLS, each way round, with every suite that
# both have, directly and through a relay that loses a fifth of the datagrams.
# shellcheck source=interop.sh
. "$(dirname "$0")/interop.sh"

to_our_server() { # PEER SUITE PATH
	our_psk_server
	through "$3" "$our_port"
	"$1_psk_client" "$entry" "$2"
	wait_for server "$ID connected with $(our_suite "$2")\$" "$PATIENCE"
	# gnutls-cli 3.7 crashes, against its own server too, when it prints what it agreed on here.
	[[ "$1 $2" == 'gnutls ECDHE-PSK-CHACHA' ]] || say peer "hello from $1" peer
	stop server
}

to_their_server() { # PEER SUITE PATH
	"$1_psk_server" "$2"
	through "$3" "$peer_port"
	our_psk_client "$entry"
	wait_for client "handshake done: DTLSv1.2, $(our_suite "$2");" "$PATIENCE"
	exchange "$1"
	stop client
}

cookie_of_openssl() {
	openssl_psk_server PSK-CCM8 "$KEY" -listen
	our_psk_client "$peer_port"
	wait_for client 'received flight .*HelloVerifyRequest'
	wait_for client 'handshake done'
	exchange openssl
	stop client
}

identity_hint() {
	openssl_psk_server PSK-CCM8 "$KEY" -psk_hint 'who are you?'
	our_psk_client "$peer_port"
	wait_for client 'handshake done'
	exchange openssl
	stop client
}

small_mtu_to_their_server() {
	openssl_psk_server ECDHE-PSK-CHACHA "$KEY" -mtu 512
	our_psk_client "$peer_port" --mtu 512
	wait_for client 'handshake done'
	exchange openssl
	stop client
}

small_mtu_to_our_server() {
	our_psk_server --mtu 512
	openssl_psk_client "$our_port" ECDHE-PSK-CHACHA "$KEY" -mtu 512
	wait_for server "$ID connected with"
	say peer 'hello' peer
	stop server
}

several_of_each_at_our_server() {
	local i port
	our_psk_server
	port=$our_port
	for i in 1 2 3; do
		several_client "openssl$i" openssl s_client -dtls1_2 -connect "127.0.0.1:$port" -psk_identity "$ID" \
			-psk "$KEY" -cipher PSK-AES128-GCM-SHA256
		several_client "gnutls$i" stdbuf -oL gnutls-cli --udp -p "$port" --pskusername "$ID" --pskkey "$KEY" \
			--priority "$(gnutls_suite PSK-CCM)" 127.0.0.1
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
	our_psk_server
	"$1_psk_client" "$our_port" PSK-CCM8 "$WRONG_KEY"
	wait_for server "failed: .*the pre-shared key for identity \"$ID\" probably differs"
	wait_for peer "$2"
	stop server
}

unknown_identity_at_our_server() {
	our_server --psk "somebody:$KEY"
	"$1_psk_client" "$our_port" PSK-CCM8
	wait_for server "failed: .*no pre-shared key is known for identity \"$ID\""
	wait_for peer "$2"
	stop server
}

# These servers say nothing at all.
wrong_key_at_their_server() {
	"$1_psk_server" PSK-CCM8 "$WRONG_KEY"
	expect_status 1 "$BIN/dtls-client" "127.0.0.1:$peer_port" --psk "$ID:$KEY" --handshake-timeout 100-800
	contains "$T/cmd.err" "the pre-shared key for identity \"$ID\" differs or is unknown"
	equal "$(wc -l <"$T/cmd.err")" 1
}

no_suite_in_common() {
	our_psk_server --ciphers TLS-PSK-WITH-AES-128-CCM-8
	openssl_psk_client "$our_port" PSK-GCM
	wait_for server "failed: .*none of the peer's cipher suites is enabled here"
	wait_for peer 'alert handshake failure'
	stop server
}

for peer in openssl gnutls; do
	for suite in "${PSK_SUITES[@]}"; do
		name=$(our_suite "$suite")
		c "$peer to our server, $name, a fifth is lost" to_our_server $peer "$suite" lossy
		c "our client to $peer, $name, a fifth is lost" to_their_server $peer "$suite" lossy
		c "$peer to our server, $name" to_our_server $peer "$suite" direct
		c "our client to $peer, $name" to_their_server $peer "$suite" direct
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
