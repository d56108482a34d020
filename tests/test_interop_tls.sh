#!/bin/bash
# TLS between our programs with --tls and those of OpenSSL and GnuTLS, each way round: certificates and pre-shared
# keys with every suite that both have, TLS 1.3 where mbed TLS has it, how sessions end, many bytes, many clients, and
# attempts to renegotiate.
# shellcheck source=interop.sh
. "$(dirname "$0")/interop.sh"

make_pki
speak tls1_2

# ---- pre-shared keys

psk_to_our_server() { # PEER SUITE
	our_psk_server
	"$1_psk_client" "$our_port" "$2"
	wait_for server "$ID connected with $(our_suite "$2")\$"
	# gnutls-cli 3.7 crashes, against its own server too, when it prints what it agreed on here.
	[[ "$1 $2" == 'gnutls ECDHE-PSK-CHACHA' ]] || say peer "hello from $1" peer
	stop server
}

psk_to_their_server() { # PEER SUITE
	"$1_psk_server" "$2"
	our_psk_client "$peer_port"
	wait_for client "connected with TLSv1.2, $(our_suite "$2")\$"
	exchange "$1"
	stop client
}

identity_hint() {
	openssl_psk_server PSK-CCM8 "$KEY" -psk_hint 'who are you?'
	our_psk_client "$peer_port"
	wait_for client 'received ServerKeyExchange'
	wait_for client 'connected with'
	exchange openssl
	stop client
}

wrong_psk_at_our_server() {
	our_psk_server
	openssl_psk_client "$our_port" PSK-GCM "$WRONG_KEY"
	wait_for peer 'alert bad record mac'
	wait_for server "failed: .*the pre-shared key for identity \"$ID\" probably differs"
	stop server
}

wrong_psk_at_their_server() {
	openssl_psk_server PSK-GCM "$WRONG_KEY"
	expect_status 1 timeout 60 "$BIN/dtls-client" --tls "127.0.0.1:$peer_port" --psk "$ID:$KEY"
	contains "$T/cmd.err" "the pre-shared key for identity \"$ID\" probably differs"
	equal "$(wc -l <"$T/cmd.err")" 1
}

# ---- TLS 1.3

needs_1_3() {
	! "$BIN/dtls-client" --version | grep -q 'mbed TLS 2\.' || skip 'mbed TLS 2.28 has no TLS 1.3'
	speak tls1_3
}

newest_to_our_server() { # PEER SERVER CLIENT NAME
	needs_1_3
	our_certified_server "$2" -v
	certified "$1" "$3"
	case $1 in
	openssl) openssl_client "$our_port" "${certified[@]}" -verify_return_error -verify_hostname localhost ;;
	gnutls) gnutls_client "$our_port" "${certified[@]}" --priority "$(gnutls_priority)" --verify-hostname localhost ;;
	esac
	wait_for server "$4 connected with TLS1-3-[A-Z0-9-]+; certificate verified\$"
	wait_for peer '^ *Protocol *: TLSv1.3|^New, TLSv1.3,|^- Description: \(TLS1.3'
	say peer "hello from $1" peer
	stop server
}

newest_to_their_server() { # PEER SERVER CLIENT NAME
	needs_1_3
	certified "$1" "$2"
	case $1 in
	openssl) openssl_server "${certified[@]}" -Verify 3 -verify_return_error ;;
	gnutls) gnutls_server "${certified[@]}" --priority "$(gnutls_priority)" --require-client-cert --verify-client-cert ;;
	esac
	our_certified_client "$peer_port" "$3"
	wait_for client 'connected with TLSv1.3, TLS1-3-'
	wait_for client "the server's certificate for localhost is verified"
	their_server_verified "$1" "$4"
	exchange "$1"
	stop client
}

# mbed TLS 3.6 encrypts this alert with the keys of the handshake, when OpenSSL has those of the session already.
newest_without_certificate() {
	needs_1_3
	our_certified_server server
	openssl_client "$our_port" -CAfile "$PKI/ca.pem"
	wait_for peer 'alert certificate required|bad record mac'
	our_server_fails 'the client sent no certificate, and one is required'
}

# A peer of 1.2 alone is served all the same.
newest_with_older() {
	needs_1_3
	our_certified_server server
	speak tls1_2
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client
	wait_for server "sensor-17 connected with $(our_suite ECDHE-ECDSA-GCM)\$"
	say peer hello peer
	stop server
}

# 1.2 is the newest unless 1.3 is asked for, whatever the peer can.
older_with_newest() {
	our_certified_server server
	certified openssl client
	openssl_version=-no_tls1
	openssl_client "$our_port" "${certified[@]}"
	wait_for peer '^New, TLSv1.2,'
	stop server
}

newest_alone_at_our_server() {
	our_certified_server server
	openssl_version=-tls1_3
	openssl_client "$our_port" -CAfile "$PKI/ca.pem"
	wait_for peer 'alert (protocol version|handshake failure)'
	our_server_fails "the peer does not speak TLS 1.2|none of the peer's cipher suites is enabled here"
}

no_newest() {
	"$BIN/dtls-client" --version | grep -q 'mbed TLS 2\.' || skip 'mbed TLS has TLS 1.3 here'
	expect_status 2 "$BIN/dtls-client" --tls 127.0.0.1:1 --ca "$PKI/ca.pem" --max-version 1.3
	contains "$T/cmd.err" 'TLS 1.3 needs mbed TLS 3.6'
}

# ---- how sessions end

their_server_is_killed() {
	openssl_certified_server ECDHE-ECDSA-GCM server
	our_certified_client "$peer_port" client
	exchange openssl
	signal peer KILL
	wait_for client '^dtls-client: .*it was cut off: the stream ended without close_notify'
	ends_with 1 client
}

# Both answer a request with a page, and close.
their_server_closes() { # PEER
	certified "$1" server
	case $1 in
	openssl) openssl_server "${certified[@]}" -www ;;
	gnutls) gnutls_serves=--http gnutls_server "${certified[@]}" --disable-client-cert --priority "$(gnutls_priority)" ;;
	esac
	certified ours ''
	printf 'GET / HTTP/1.0\r\n\r\n' >"$T/request"
	expect_status 0 timeout 60 "$BIN/dtls-client" --tls "127.0.0.1:$peer_port" "${certified[@]}" --hostname localhost \
		--linger 60000 <"$T/request"
	contains "$T/cmd.out" '^HTTP/1.0 200 '
	contains "$T/cmd.out" '</(HTML|html)>'
	[[ ! -s $T/cmd.err ]] || fail 'something was said'
}

their_client_is_killed() {
	our_certified_server server
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client
	say peer hello peer
	signal peer KILL
	wait_for server 'sensor-17 ended: .*it was cut off: the stream ended without close_notify'
	serves_others
	stop server
}

their_client_closes() { # PEER
	our_certified_server server
	echo hello >"$T/input"
	certified "$1" client
	case $1 in
	openssl) start peer openssl s_client -tls1_2 -connect "127.0.0.1:$our_port" "${certified[@]}" <"$T/input" ;;
	gnutls) start peer gnutls-cli -p "$our_port" "${certified[@]}" --verify-hostname localhost 127.0.0.1 <"$T/input" ;;
	esac
	wait_for server 'sensor-17 has closed$'
	stop server
}

our_side_closes() {
	our_certified_server server
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client -trace
	say peer hello peer
	stop server
	wait_for peer 'close notify|close_notify'
}

# ---- many bytes

same() { # FILE FILE: until they are
	local deadline=$((SECONDS + 30))
	until cmp -s "$1" "$2"; do
		((SECONDS < deadline)) || fail "$(wc -c <"$2") bytes instead of $(wc -c <"$1"), or others"
		sleep 0.1
	done
}

many_bytes_to_our_server() {
	our_certified_server server
	certified openssl client
	head -c 1048576 /dev/urandom >"$T/sent"
	start peer bash -c 'exec "${@}" >"$0"' "$T/arrived" openssl s_client "$openssl_version" \
		-connect "127.0.0.1:$our_port" "${certified[@]}" -quiet <"$T/sent"
	same "$T/sent" "$T/arrived"
	signal server USR1
	wait_for server '^  bytes in 1048576, out 1048576$'
	stop server
}

# Digits alone: s_server takes some letters for commands.
numbers() {
	seq 1000000 1149999
}

many_bytes_to_openssl() {
	openssl_certified_server ECDHE-ECDSA-GCM server
	numbers >"$T/sent"
	certified ours client
	start client "$BIN/dtls-client" --tls "127.0.0.1:$peer_port" "${certified[@]}" --hostname localhost -v \
		--linger 60000 <"$T/sent"
	wait_for client 'connected with'
	cat "$T/sent" >"$T/peer.in"
	same "$T/sent" "$T/client.out"
	until grep -E '^[0-9]+$' "$T/peer.out" >"$T/arrived" && cmp -s "$T/sent" "$T/arrived"; do
		((SECONDS < 60)) || fail "$(wc -c <"$T/arrived") bytes arrived"
		sleep 0.1
	done
	stop client
}

many_bytes_to_gnutls() {
	gnutls_certified_server ECDHE-ECDSA-GCM server
	numbers >"$T/sent"
	certified ours client
	start client "$BIN/dtls-client" --tls "127.0.0.1:$peer_port" "${certified[@]}" --hostname localhost \
		--linger 60000 <"$T/sent"
	same "$T/sent" "$T/client.out"
	stop client
}

# ---- many clients

many_at_our_server() {
	local i
	our_certified_server server
	certified openssl client
	for i in {1..20}; do
		keyboard "client$i"
		start "client$i" openssl s_client "$openssl_version" -connect "127.0.0.1:$our_port" "${certified[@]}" \
			<"$T/client$i.in"
	done
	for i in {1..20}; do
		say "client$i" "hello from $i." "client$i"
	done
	signal server USR1
	wait_for server '^  peers 20; unfinished handshakes 0$'
	stop server
}

# ---- no renegotiation

# OpenSSL ends its session when it is told no_renegotiation.
renegotiation_by_their_client() {
	our_certified_server server -v
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client
	say peer hello peer
	type_into peer R
	wait_for peer 'no renegotiation'
	wait_for server 'sensor-17 ended: .*handshake_failure'
	equal "$(grep -c 'handshake done' "$T/server.err")" 1
	serves_others
	stop server
}

renegotiation_by_their_server() {
	openssl_certified_server ECDHE-ECDSA-GCM server
	our_certified_client "$peer_port" client
	exchange openssl
	type_into peer R
	wait_for peer 'no renegotiation'
	wait_for client '^dtls-client: session with .* failed: the peer sent the alert 40 handshake_failure'
	equal "$(grep -c 'handshake done' "$T/client.err")" 1
	ends_with 1 client
}

renegotiation_by_gnutls() {
	our_certified_server server -v
	gnutls_certified_client "$our_port" ECDHE-ECDSA-GCM client --inline-commands
	say peer hello peer
	type_into peer '^renegotiate^'
	wait_for peer 'No renegotiation is allowed'
	equal "$(grep -c 'handshake done' "$T/server.err")" 1
	serves_others
	stop server
}

# ---- all of them

for peer in openssl gnutls; do
	for suite in "${CERTIFICATE_SUITES[@]}"; do
		c "$peer to our server, $(our_suite "$suite")" certified_to_our_server $peer "$suite"
		c "our client to $peer, $(our_suite "$suite")" certified_to_their_server $peer "$suite"
	done
	for suite in "${PSK_SUITES[@]}"; do
		c "$peer to our server, $(our_suite "$suite")" psk_to_our_server $peer "$suite"
		c "our client to $peer, $(our_suite "$suite")" psk_to_their_server $peer "$suite"
	done
	c "TLS 1.3, $peer to our server, EC" newest_to_our_server $peer server client sensor-17
	c "TLS 1.3, our client to $peer, EC" newest_to_their_server $peer server client sensor-17
	c "TLS 1.3, $peer to our server, RSA" newest_to_our_server $peer rsa rsaclient sensor-18
	c "TLS 1.3, our client to $peer, RSA" newest_to_their_server $peer rsa rsaclient sensor-18
	c "$peer says close_notify to our server" their_client_closes $peer
	c "$peer says close_notify to our client" their_server_closes $peer
done
c 'our client takes an identity hint' identity_hint
c 'OpenSSL with a wrong pre-shared key at our server' wrong_psk_at_our_server
c 'our client with a wrong pre-shared key at OpenSSL' wrong_psk_at_their_server
c 'TLS 1.3, OpenSSL without a certificate at our server' newest_without_certificate
c 'a server of TLS 1.3 serves OpenSSL that has 1.2 alone' newest_with_older
c 'OpenSSL that can 1.3 and our server, which was not told to, take 1.2' older_with_newest
c 'OpenSSL that has 1.3 alone at our server, which was not told to' newest_alone_at_our_server
c 'no TLS 1.3 with mbed TLS 2.28, and why' no_newest
c 'a server that dies without close_notify' their_server_is_killed
c 'a client that dies without close_notify' their_client_is_killed
c 'our server says close_notify to OpenSSL' our_side_closes
c 'a megabyte from OpenSSL through our server' many_bytes_to_our_server
c 'a megabyte from our client to OpenSSL, and back' many_bytes_to_openssl
c 'a megabyte from our client through GnuTLS' many_bytes_to_gnutls
c 'twenty clients at once' many_at_our_server
c 'OpenSSL cannot renegotiate with our server' renegotiation_by_their_client
c 'OpenSSL cannot renegotiate with our client' renegotiation_by_their_server
c 'GnuTLS cannot renegotiate with our server' renegotiation_by_gnutls
collect
finish
