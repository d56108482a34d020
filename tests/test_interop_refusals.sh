#!/bin/bash
# What our programs and those of OpenSSL and GnuTLS refuse of each other, over DTLS and over TLS: missing, foreign and
# bad certificates, other names, other protocols, old versions and suites, and what is no TLS at all. Whoever is refused
# learns it, our side says why, and our server serves others on.
# shellcheck source=interop.sh
. "$(dirname "$0")/interop.sh"

make_pki

# both SENTENCE CASE [ARGUMENT...]: over DTLS and over TLS.
both() {
	c "DTLS: $1" in_version dtls1_2 "${@:2}"
	c "TLS: $1" in_version tls1_2 "${@:2}"
}

# ---- certificates

no_certificate_at_our_server() { # PEER
	our_certified_server server
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM ''
	wait_for peer 'alert handshake failure|Handshake failed'
	our_server_fails 'the client sent no certificate, and one is required'
}

no_certificate_at_their_server() { # PEER
	"$1_certified_server" ECDHE-ECDSA-GCM server
	certified ours ''
	our_client_fails "$peer_port" 'asks for a certificate, and none is loaded here' "${certified[@]}"
}

# gnutls-serv says nothing over UDP.
no_certificate_at_silent_server() {
	gnutls_certified_server ECDHE-ECDSA-GCM server
	certified ours ''
	our_client_fails "$peer_port" 'asks for a certificate, and none is loaded here' "${certified[@]}" \
		--handshake-timeout 100-400
}

foreign_client_at_our_server() { # PEER
	our_certified_server server
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM stranger
	wait_for peer 'alert unknown ca|CA is unknown'
	our_server_fails 'certificate "CN=localhost" was issued by "CN=Other CA", which is none of the trusted CAs'
}

foreign_client_at_their_server() { # PEER
	"$1_certified_server" ECDHE-ECDSA-GCM server
	our_client_fails "$peer_port" "the peer sent the alert [a-z_]+: it does not accept this side's certificate" \
		--ca "$PKI/ca.pem" --cert "$PKI/stranger.pem" --key "$PKI/stranger.key"
}

bad_client_at_our_server() { # NAME ALERT SENTENCE
	our_certified_server server --crl "$PKI/ca.crl"
	openssl_client "$our_port" -cert "$PKI/$1.pem" -key "$PKI/$1.key"
	wait_for peer "alert $2"
	our_server_fails "$3"
}

bad_server_at_our_client() { # PEER NAME SENTENCE
	certified "$1" "$2"
	case $1 in
	openssl) openssl_server "${certified[@]}" -cipher 'DEFAULT:@SECLEVEL=0' ;;
	gnutls) gnutls_server "${certified[@]}" --disable-client-cert --priority "$(gnutls_priority)" ;;
	esac
	our_client_fails "$peer_port" "$3" --ca "$PKI/ca.pem" --crl "$PKI/ca.crl"
}

foreign_server_at_their_client() { # PEER SENTENCE
	our_certified_server server
	CA=other
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM client
	CA=ca
	wait_for peer "$2"
	our_server_fails "$3"
}

other_name_at_their_client() { # PEER SENTENCE
	our_certified_server wrong
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM client
	wait_for peer "$2"
	wait_for server "^127.0.0.1:[0-9]+ ended: handshake with 127.0.0.1:[0-9]+ failed: .*$3"
	stop server
}

# ---- application protocols

other_protocol_at_our_server() {
	our_certified_server server --alpn mqtt
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client -alpn x-other
	wait_for peer 'alert no application protocol'
	our_server_fails 'application protocol'
}

other_protocol_at_their_server() {
	openssl_certified_server ECDHE-ECDSA-GCM server -alpn mqtt
	certified ours client
	our_client_fails "$peer_port" 'no_application_protocol' "${certified[@]}" --alpn x-other
}

# ---- suites and versions

OLD_SUITES='ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0'

old_suites_at_our_server() {
	our_certified_server server
	certified openssl client
	openssl_client "$our_port" "${certified[@]}" -cipher "$OLD_SUITES"
	wait_for peer 'alert handshake failure'
	our_server_fails "none of the peer's cipher suites is enabled here"
}

old_suites_at_their_server() {
	certified openssl server
	openssl_server "${certified[@]}" -cipher "$OLD_SUITES"
	certified ours client
	our_client_fails "$peer_port" 'probably none of the cipher suites offered here is enabled there' "${certified[@]}"
}

no_key_for_the_suites() {
	our_certified_server server
	certified openssl client
	openssl_client "$our_port" "${certified[@]}" -cipher ECDHE-RSA-AES128-GCM-SHA256
	wait_for peer 'alert handshake failure'
	our_server_fails "none of the peer's cipher suites"
}

# CBC by name, and then with encrypt-then-MAC alone, which both have.
named_cbc() {
	our_certified_server server --ciphers TLS-ECDHE-ECDSA-WITH-AES-128-CBC-SHA256
	certified openssl client
	openssl_client "$our_port" "${certified[@]}" -cipher ECDHE-ECDSA-AES128-SHA256
	wait_for server 'sensor-17 connected with TLS-ECDHE-ECDSA-WITH-AES-128-CBC-SHA256$'
	say peer hello peer
	stop server
}

named_cbc_without_encrypt_then_mac() {
	our_certified_server server --ciphers TLS-ECDHE-ECDSA-WITH-AES-128-CBC-SHA256
	certified gnutls client
	gnutls_client "$our_port" "${certified[@]}" --verify-hostname localhost \
		--priority "$(gnutls_priority '-CIPHER-ALL:+AES-128-CBC:+SHA256:%NO_ETM')"
	wait_for peer 'Insufficient security'
	wait_for server ' ended: handshake .*failed: the peer takes the CBC suite .* without encrypt-then-MAC'
	stop server
}

# VERSION is OpenSSL's: dtls1, tls1, tls1_1.
old_version_at_our_server() {
	our_certified_server server
	certified openssl client
	openssl_version=-$1
	openssl_client "$our_port" "${certified[@]}" -cipher 'DEFAULT:@SECLEVEL=0'
	wait_for peer 'alert protocol version'
	our_server_fails 'the peer does not speak D?TLS 1.2'
}

old_version_at_their_server() {
	certified openssl server
	openssl_version=-$1
	openssl_server "${certified[@]}" -cipher 'DEFAULT:@SECLEVEL=0'
	certified ours client
	our_client_fails "$peer_port" 'does not speak D?TLS 1.2' "${certified[@]}"
}

old_version_at_gnutls() { # VERSION
	certified gnutls server
	gnutls_server "${certified[@]}" --disable-client-cert --priority "NORMAL:-VERS-ALL:+VERS-$1:%COMPAT"
	certified ours client
	our_client_fails "$peer_port" 'does not speak D?TLS 1.2' "${certified[@]}"
}

old_version_of_gnutls_at_our_server() { # VERSION
	our_certified_server server
	certified gnutls client
	gnutls_client "$our_port" "${certified[@]}" --priority "NORMAL:-VERS-ALL:+VERS-$1:%COMPAT"
	wait_for peer '[Pp]rotocol version|[Nn]o supported|unsupported'
	our_server_fails 'the peer does not speak D?TLS 1.2'
}

# ---- what is no TLS, or the other one

# A ClientHello in a datagram: it is counted, not answered.
tls_at_dtls_port() {
	our_certified_server server
	exec 9<>"/dev/udp/127.0.0.1/$our_port"
	printf '%b' '\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03' 0123456789abcdef0123456789abcdef \
		'\x00\x00\x02\xc0\x2b\x01\x00\x00\x02\x00\x00' >&9
	until grep -q 'dropped: junk 1,' "$T/server.err"; do
		signal server USR1
		sleep 0.1
	done
	contains "$T/server.err" 'datagrams in 1, out 0$'
	serves_others
	stop server
}

# The kernel refuses.
tls_client_at_dtls_port() {
	our_certified_server server
	expect_status 1 openssl s_client -tls1_2 -connect "127.0.0.1:$our_port"
	contains "$T/cmd.err" 'Connection refused'
	expect_status 1 "$BIN/dtls-client" --tls "127.0.0.1:$our_port" --ca "$PKI/ca.pem" --hostname localhost
	contains "$T/cmd.err" "^dtls-client: cannot connect to 127.0.0.1:$our_port: Connection refused\$"
	stop server
}

http_at_tls_port() {
	speak tls1_2
	our_certified_server server
	exec 9<>"/dev/tcp/127.0.0.1/$our_port"
	printf 'GET / HTTP/1.0\r\nHost: localhost\r\n\r\n' >&9
	timeout 30 cat <&9 >"$T/answer"
	our_server_fails 'what the peer sent is not TLS: is this the right port\?'
}

# ---- all of them

for peer in openssl gnutls; do
	both "$peer without a certificate at our server" no_certificate_at_our_server $peer
	both "$peer with a certificate of another CA at our server" foreign_client_at_our_server $peer
	both "our client with a certificate of another CA at $peer" foreign_client_at_their_server $peer
	both "our client refuses a certificate of another CA of $peer" bad_server_at_our_client $peer stranger \
		'certificate "CN=localhost" was issued by "CN=Other CA"'
	both "our client refuses another name of $peer" bad_server_at_our_client $peer wrong \
		'is for "elsewhere.example", and "localhost" was asked for'
	both "our client refuses an expired certificate of $peer" bad_server_at_our_client $peer expired \
		'expired on 2021-01-01; today is 20'
done
both 'our client without a certificate at OpenSSL' no_certificate_at_their_server openssl
c 'TLS: our client without a certificate at GnuTLS' in_version tls1_2 no_certificate_at_their_server gnutls
c 'DTLS: our client without a certificate at GnuTLS' no_certificate_at_silent_server
both 'our client refuses a certificate of OpenSSL that is not valid yet' bad_server_at_our_client openssl future \
	'is not valid before 2040-01-01'
both 'our client refuses a self-signed certificate of OpenSSL' bad_server_at_our_client openssl other 'is self-signed'
both 'our client refuses a revoked certificate of OpenSSL' bad_server_at_our_client openssl revoked \
	'was revoked by its CA'
both 'our client refuses a weak key of OpenSSL' bad_server_at_our_client openssl weak 'too weak'
both 'OpenSSL with an expired certificate at our server' bad_client_at_our_server expired 'certificate expired' \
	'expired on 2021-01-01; today is 20'
both 'OpenSSL with a revoked certificate at our server' bad_client_at_our_server revoked 'certificate revoked' \
	'was revoked by its CA'
both 'OpenSSL refuses a certificate of another CA of ours' foreign_server_at_their_client openssl \
	'unable to get local issuer' 'the peer sent the alert unknown_ca'
both 'GnuTLS refuses a certificate of another CA of ours' foreign_server_at_their_client gnutls \
	'issuer is unknown' 'the peer '
both 'OpenSSL refuses another name of ours' other_name_at_their_client openssl \
	'[Hh]ostname mismatch' 'the peer sent the alert'
both 'GnuTLS refuses another name of ours' other_name_at_their_client gnutls 'does not match' 'the peer '
both 'OpenSSL and our server agree on no application protocol' other_protocol_at_our_server
both 'our client and OpenSSL agree on no application protocol' other_protocol_at_their_server
both 'OpenSSL that has old suites alone at our server' old_suites_at_our_server
both 'our client at OpenSSL that has old suites alone' old_suites_at_their_server
both 'OpenSSL that asks our server for an RSA key' no_key_for_the_suites
both 'OpenSSL with CBC at our server, where it is named' named_cbc
both 'GnuTLS with CBC but without encrypt-then-MAC at our server' named_cbc_without_encrypt_then_mac
c 'OpenSSL that has DTLS 1.0 alone at our server' old_version_at_our_server dtls1
c 'our client at OpenSSL that has DTLS 1.0 alone' old_version_at_their_server dtls1
c 'GnuTLS that has DTLS 1.0 alone at our server' old_version_of_gnutls_at_our_server DTLS1.0
for version in tls1 tls1_1; do
	c "OpenSSL that has $version alone at our server" in_version tls1_2 old_version_at_our_server $version
	c "our client at OpenSSL that has $version alone" in_version tls1_2 old_version_at_their_server $version
done
c 'GnuTLS that has TLS 1.1 alone at our server' in_version tls1_2 old_version_of_gnutls_at_our_server TLS1.1
c 'our client at GnuTLS that has TLS 1.1 alone' in_version tls1_2 old_version_at_gnutls TLS1.1
c 'TLS in a datagram' tls_at_dtls_port
c 'TLS to the port of DTLS' tls_client_at_dtls_port
c 'HTTP to the port of TLS' http_at_tls_port
collect
finish
