#!/bin/bash
# DTLS with certificates between our programs and those of OpenSSL and GnuTLS, each way round: mutual authentication
# with every suite that both have, chains in fragments and through a relay that loses a fifth of the datagrams, curves,
# names and application protocols.
# shellcheck source=interop.sh
. "$(dirname "$0")/interop.sh"

make_pki

# ---- what works

mtu_of() {
	case $1 in
	openssl) echo -mtu ;;
	gnutls) echo --mtu ;;
	esac
}

chain_to_our_server() { # PEER PATH
	our_certified_server leaf --mtu 512 -v
	through "$2" "$our_port"
	"$1_certified_client" "$entry" ECDHE-ECDSA-GCM subclient "$(mtu_of "$1")" 512
	wait_for server "sensor-19 connected with $(our_suite ECDHE-ECDSA-GCM); certificate verified\$" "$PATIENCE"
	contains "$T/server.err" 'sent flight 4: .*Certificate \(bytes 0-'
	contains "$T/server.err" 'received flight 5: .*Certificate \(bytes 0-'
	say peer "hello from $1" peer
	stop server
}

chain_to_their_server() { # PEER PATH
	"$1_certified_server" ECDHE-ECDSA-GCM leaf "$(mtu_of "$1")" 512
	through "$2" "$peer_port"
	our_certified_client "$entry" subclient --mtu 512
	wait_for client "connected with DTLSv1.2, $(our_suite ECDHE-ECDSA-GCM)\$" "$PATIENCE"
	contains "$T/client.err" 'received flight 4: .*Certificate \(bytes 0-'
	contains "$T/client.err" 'sent flight 5: .*Certificate \(bytes 0-'
	exchange "$1"
	stop client
}

server_alone_to_our_server() { # PEER
	our_server --cert "$PKI/server.pem" --key "$PKI/server.key"
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM ''
	wait_for server "^127.0.0.1:[0-9]+ connected with $(our_suite ECDHE-ECDSA-GCM)\$"
	say peer "hello from $1" peer
	stop server
}

server_alone_to_their_server() { # PEER
	certified "$1" server
	case $1 in
	openssl) openssl_server "${certified[@]}" ;;
	gnutls) gnutls_server --priority "$(gnutls_suite ECDHE-ECDSA-GCM)" "${certified[@]}" --disable-client-cert ;;
	esac
	our_certified_client "$peer_port" ''
	wait_for client "the server's certificate for localhost is verified"
	exchange "$1"
	stop client
}

optional_certificate() { # PEER NAME IDENTITY
	our_certified_server server --verify optional
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM "$2"
	wait_for server "^127.0.0.1:[0-9]+ $3connected with "
	say peer "hello from $1" peer
	stop server
}

# RFC 8422, 5.1: the groups are those of an EC key in a certificate, too, so that X25519 alone takes an RSA key.
group_to_our_server() { # SUITE SERVER GROUP
	our_certified_server "$2"
	openssl_certified_client "$our_port" "$1" rsaclient -groups "$3"
	wait_for server 'sensor-18 connected with '
	wait_for peer "^(Server|Peer) Temp Key: .*$3"
	say peer hello peer
	stop server
}

group_to_their_server() { # SUITE SERVER GROUP
	openssl_certified_server "$1" "$2" -groups "$3"
	our_certified_client "$peer_port" rsaclient
	wait_for client "the server's certificate for localhost is verified"
	wait_for peer "^Shared groups: .*$3"
	exchange openssl
	stop client
}

x25519_of_gnutls() {
	our_certified_server rsa
	certified gnutls rsaclient
	gnutls_client "$our_port" "${certified[@]}" --verify-hostname localhost \
		--priority "$(gnutls_suite ECDHE-RSA-GCM):-GROUP-ALL:+GROUP-X25519"
	wait_for server 'sensor-18 connected with '
	wait_for peer '^- Description: .*ECDHE-X25519'
	say peer hello peer
	stop server
}

alpn_to_our_server() {
	our_certified_server server --alpn mqtt,coap
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client -alpn x-other,coap
	wait_for server ' connected with .*, protocol coap$'
	wait_for peer '^ALPN protocol: coap$'
	stop server
}

alpn_to_their_server() {
	openssl_certified_server ECDHE-ECDSA-GCM server -alpn mqtt,coap
	our_certified_client "$peer_port" client --alpn x-other,coap
	wait_for client ' connected with .*, protocol coap$'
	stop client
}

# Its other certificate is for another name, so that the name must arrive.
name_to_their_server() {
	certified openssl wrong
	openssl_server "${certified[@]}" -cert2 "$PKI/server.pem" -key2 "$PKI/server.key" -servername localhost
	our_certified_client "$peer_port" ''
	wait_for client "the server's certificate for localhost is verified"
	stop client
}

name_to_our_server() { # PEER OPTION...
	our_certified_server server
	"$1_certified_client" "$our_port" ECDHE-ECDSA-GCM client "${@:2}"
	wait_for server 'sensor-17 connected with '
	say peer hello peer
	stop server
}

# ---- all of them

for peer in openssl gnutls; do
	c "a chain in fragments, $peer to our server, a fifth is lost" chain_to_our_server $peer lossy
	c "a chain in fragments, our client to $peer, a fifth is lost" chain_to_their_server $peer lossy
	c "a chain in fragments, $peer to our server, a fifth is lost, again" chain_to_our_server $peer lossy
	c "a chain in fragments, our client to $peer, a fifth is lost, again" chain_to_their_server $peer lossy
done
for peer in openssl gnutls; do
	for suite in "${CERTIFICATE_SUITES[@]}"; do
		c "$peer to our server, $(our_suite "$suite")" certified_to_our_server $peer "$suite"
		c "our client to $peer, $(our_suite "$suite")" certified_to_their_server $peer "$suite"
	done
	c "a chain in fragments, $peer to our server" chain_to_our_server $peer direct
	c "a chain in fragments, our client to $peer" chain_to_their_server $peer direct
	c "$peer without a certificate at our server, which asks for none" server_alone_to_our_server $peer
	c "our client without a certificate at $peer, which asks for none" server_alone_to_their_server $peer
	c "$peer without a certificate at our server, where it is optional" optional_certificate $peer '' ''
	c "$peer with a certificate at our server, where it is optional" optional_certificate $peer client 'sensor-17 '
done
c 'OpenSSL to our server with a P-384 key' group_to_our_server ECDHE-ECDSA-GCM p384 secp384r1
c 'our client to OpenSSL with a P-384 key' group_to_their_server ECDHE-ECDSA-GCM p384 secp384r1
c 'OpenSSL that knows X25519 alone, to our server' group_to_our_server ECDHE-RSA-GCM rsa X25519
c 'our client to OpenSSL that knows X25519 alone' group_to_their_server ECDHE-RSA-GCM rsa x25519
c 'GnuTLS that knows X25519 alone, to our server' x25519_of_gnutls
c 'OpenSSL and our server agree on a protocol' alpn_to_our_server
c 'our client and OpenSSL agree on a protocol' alpn_to_their_server
c 'our client asks OpenSSL for its name' name_to_their_server
c 'OpenSSL asks our server for its name' name_to_our_server openssl -servername localhost
c 'OpenSSL asks our server for another name' name_to_our_server openssl -servername sensor.example
collect
finish
