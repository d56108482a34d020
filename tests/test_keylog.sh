#!/bin/bash
# The key log: tshark decrypts captures of our programs' sessions with it, and cannot without; its lines are those that
# OpenSSL writes of the same session.
# shellcheck source=interop.sh
. "$(dirname "$0")/interop.sh"
need tshark perl

SECRET='for no one else' # of 16 bytes at most: a line of tshark's
make_pki

# conversation SERVER-OPTIONS -- CLIENT-OPTIONS: our client says SECRET to our server through a tap, and gets it back;
# both keep a key log.
conversation() {
	local -a of_server=()
	while [[ $1 != -- ]]; do
		of_server+=("$1")
		shift
	done
	shift
	our_server "${of_server[@]}" --keylog "$T/server.keys"
	start tap perl "$(dirname "${BASH_SOURCE[0]}")/tap.pl" "$([[ ${#udp[@]} == 0 ]] && echo tcp || echo udp)" \
		"$our_port" "$T/capture"
	keyboard client
	SSLKEYLOGFILE=$T/client.keys start client "$BIN/dtls-client" "127.0.0.1:$(port tap)" "${tls[@]}" "$@" \
		<"$T/client.in"
	say client "$SECRET" client
	stop client
	stop server
	stop tap || :
}

# decrypted KEYLOG: finds our message in what tshark makes of the capture with it.
decrypted() {
	HOME=$T tshark -n -r "$T/capture" -d udp.port==4433,dtls -d tcp.port==4433,tls -o "tls.keylog_file:$1" -x \
		>"$T/tshark.out" 2>"$T/tshark.err"
	contains "$T/tshark.out" '^0000 '
	grep -qF "$SECRET" "$T/tshark.out"
}

is_decrypted() { # SERVER-OPTIONS -- CLIENT-OPTIONS
	conversation "$@"
	contains "$T/client.keys" '^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64,96}$'
	equal "$(sort "$T/client.keys")" "$(sort "$T/server.keys")"
	decrypted "$T/client.keys" || fail 'tshark did not decrypt it with the key log'
	: >"$T/no.keys"
	! decrypted "$T/no.keys" || fail 'it can be read without the key log'
	sed 's/[0-9a-f]\{32\}$/00000000000000000000000000000000/' "$T/client.keys" >"$T/other.keys"
	! decrypted "$T/other.keys" || fail 'it can be read with other keys'
}

psk_is_decrypted() { # SUITE
	is_decrypted --psk "$ID:$KEY" --ciphers "$(our_suite "$1")" -- --psk "$ID:$KEY" --ciphers "$(our_suite "$1")"
}

certificates_are_decrypted() { # SERVER SUITE
	local -a server
	certified ours "$1"
	server=("${certified[@]}")
	certified ours client
	is_decrypted "${server[@]}" -- "${certified[@]}" --hostname localhost --ciphers "$(our_suite "$2")"
}

newest_is_decrypted() {
	! "$BIN/dtls-client" --version | grep -q 'mbed TLS 2\.' || skip 'mbed TLS 2.28 has no TLS 1.3'
	speak tls1_3
	certificates_are_decrypted server ECDHE-ECDSA-GCM
	equal "$(cut -d ' ' -f 1 "$T/client.keys" | sort | tr '\n' ' ')" \
		'CLIENT_HANDSHAKE_TRAFFIC_SECRET CLIENT_TRAFFIC_SECRET_0 SERVER_HANDSHAKE_TRAFFIC_SECRET SERVER_TRAFFIC_SECRET_0 '
}

# Each of our lines is one of theirs.
same_lines() { # OURS THEIRS
	local line
	[[ -s $1 ]] || fail 'the key log is empty'
	while read -r line; do
		grep -qxiF -- "$line" "$2" || fail "OpenSSL does not have '$line'"
	done <"$1"
}

lines_of_their_client() {
	our_certified_server server --keylog "$T/ours"
	certified openssl client
	openssl_client "$our_port" "${certified[@]}" -keylogfile "$T/theirs"
	say peer hello peer
	same_lines "$T/ours" "$T/theirs"
	stop server
}

lines_of_their_server() {
	certified openssl server
	openssl_server "${certified[@]}" -keylogfile "$T/theirs"
	our_certified_client "$peer_port" client --keylog "$T/ours"
	exchange openssl
	same_lines "$T/ours" "$T/theirs"
	stop client
}

newest_lines() { # CASE
	! "$BIN/dtls-client" --version | grep -q 'mbed TLS 2\.' || skip 'mbed TLS 2.28 has no TLS 1.3'
	speak tls1_3
	"$1"
	equal "$(wc -l <"$T/ours")" 4
}

# tshark does not decrypt ChaCha20 over DTLS.
c 'DTLS, ECDHE_PSK, is decrypted' psk_is_decrypted ECDHE-PSK-CBC
c 'DTLS, PSK with CCM-8, is decrypted' psk_is_decrypted PSK-CCM8
c 'DTLS, ECDSA with CCM-8, is decrypted' certificates_are_decrypted server ECDHE-ECDSA-CCM8
c 'DTLS, RSA with AES-256-GCM, is decrypted' certificates_are_decrypted rsa ECDHE-RSA-GCM256
c 'TLS 1.2, ECDHE_PSK, is decrypted' in_version tls1_2 psk_is_decrypted ECDHE-PSK-CHACHA
c 'TLS 1.2, PSK with CCM-8, is decrypted' in_version tls1_2 psk_is_decrypted PSK-CCM8
c 'TLS 1.2, ECDSA with AES-128-GCM, is decrypted' in_version tls1_2 certificates_are_decrypted server ECDHE-ECDSA-GCM
c 'TLS 1.2, RSA with ChaCha20, is decrypted' in_version tls1_2 certificates_are_decrypted rsa ECDHE-RSA-CHACHA
c 'TLS 1.3 is decrypted' newest_is_decrypted
c 'DTLS, the lines that an OpenSSL client writes' lines_of_their_client
c 'DTLS, the lines that an OpenSSL server writes' lines_of_their_server
c 'TLS 1.2, the lines that an OpenSSL client writes' in_version tls1_2 lines_of_their_client
c 'TLS 1.2, the lines that an OpenSSL server writes' in_version tls1_2 lines_of_their_server
c 'TLS 1.3, the lines that an OpenSSL client writes' newest_lines lines_of_their_client
c 'TLS 1.3, the lines that an OpenSSL server writes' newest_lines lines_of_their_server
collect
finish
