#!/bin/bash
# dtls-server and dtls-client with certificates and over TLS: options, verification, replacement, many clients, bad ends.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need openssl cc

KEY=sensor:00112233445566778899aabbccddeeff
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
P=$folder/pki
mkdir "$P"
sh "$here/pki.sh" "$P" || exit 1
PAIR=(--cert "$P/server.pem" --key "$P/server.key")
CLIENT_PAIR=(--cert "$P/client.pem" --key "$P/client.key")
CA=(--ca "$P/ca.pem")
OVER=() # or --tls, for tests of both

# serve [OPTION...]: a server on 127.0.0.1; PORT is its port.
serve() {
	: >"$T/server.err" # an earlier server's port
	start server "$BIN/dtls-server" -l 127.0.0.1:0 "${OVER[@]}" "$@"
	PORT=$(port server)
}

client() {
	timeout 60 "$BIN/dtls-client" "localhost:$PORT" "${OVER[@]}" "$@"
}

# start_client NAME [OPTION...]: its input is what is written to descriptor 9.
start_client() {
	local name=$1
	shift
	mkfifo "$T/$name.in"
	exec 9<>"$T/$name.in"
	start "$name" "$BIN/dtls-client" "localhost:$PORT" "${OVER[@]}" "$@" <"$T/$name.in" 9>&-
}

client_fails() {
	refuses 1 "$1" "$BIN/dtls-client" "localhost:$PORT" "${OVER[@]}" "${@:2}"
}

# plain: descriptor 8 is a TCP connection to the server that speaks no TLS.
plain() {
	exec 8<>"/dev/tcp/127.0.0.1/$PORT"
}

# until_counters REGEX: asks for the counters until they match.
until_counters() {
	local deadline=$((SECONDS + 20))
	until grep -qE -- "$1" "$T/server.err"; do
		((SECONDS < deadline)) || fail "no counters match '$1'"
		signal server USR1
		sleep 0.05
	done
}

version_of_mbedtls() {
	"$BIN/dtls-server" --version | sed 's/.* //'
}

# ---- command lines

server_refuses() {
	refuses 2 "$1" "$BIN/dtls-server" -l 127.0.0.1:0 "${@:2}"
}

client_refuses() {
	refuses 2 "$1" "$BIN/dtls-client" localhost:5684 "${@:2}"
}

wrong_values() {
	local refuse
	echo wrong >"$T/wrong"
	for refuse in server_refuses client_refuses; do
		$refuse '--key is given without --cert' --psk "$KEY" --key "$P/server.key"
		$refuse '--key-password-file is given without' --psk "$KEY" --key-password-file "$P/server.key"
		$refuse '--cert is given twice' "${CA[@]}" "${PAIR[@]}" --cert "$P/server.pem"
		$refuse 'cannot read .*/none: No such file' "${CA[@]}" --cert "$T/none" --key "$P/server.key"
		$refuse 'cannot read .*/none: No such file' "${CA[@]}" --cert "$P/server.pem" --key "$T/none"
		$refuse 'server.pem: key: ' "${CA[@]}" --cert "$P/server.pem"
		$refuse 'ca.crl with .*server.key: certificate: ' "${CA[@]}" --cert "$P/ca.crl" --key "$P/server.key"
		$refuse 'client.pem with .*server.key: the key does not belong to the certificate' "${CA[@]}" \
			--cert "$P/client.pem" --key "$P/server.key"
		$refuse 'server-encrypted.pem: key: .* a password is needed' "${CA[@]}" --cert "$P/server.pem" \
			--key "$P/server-encrypted.pem"
		$refuse 'server-encrypted.pem: key: .* password does not open it' "${CA[@]}" --cert "$P/server.pem" \
			--key "$P/server-encrypted.pem" --key-password-file "$T/wrong"
		$refuse 'cannot read .*/none' "${CA[@]}" --cert "$P/server.pem" --key "$P/server-encrypted.pem" \
			--key-password-file "$T/none"
		$refuse 'cannot read .*/none: No such file' "${PAIR[@]}" --ca "$T/none"
		$refuse 'server.key: CA certificate: ' "${PAIR[@]}" --ca "$P/server.key"
		$refuse 'ca.pem: CRL: ' "${PAIR[@]}" "${CA[@]}" --crl "$P/ca.pem"
		$refuse '--crl is given without --ca' --psk "$KEY" --crl "$P/ca.crl"
		$refuse '--verify takes none, optional or required, not "maybe"' "${PAIR[@]}" "${CA[@]}" --verify maybe
		$refuse '--verify=none would not use them' "${PAIR[@]}" "${CA[@]}" --verify none
		$refuse '--alpn: .* 0 bytes' --psk "$KEY" --alpn a,,b
		$refuse '--alpn: 17 application protocols' --psk "$KEY" --alpn a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q
		$refuse '--keylog: cannot write .*/none/log: No such file' --psk "$KEY" --keylog "$T/none/log"
		$refuse '--max-version takes 1.2 or 1.3, not "1.1"' --psk "$KEY" --tls --max-version 1.1
		$refuse '--max-version: DTLS 1.3 is not in mbed TLS' --psk "$KEY" --max-version 1.3
		$refuse '--mtu is for datagrams' --tls --psk "$KEY" --mtu 500
		$refuse '--retransmit is for datagrams' --retransmit fixed --psk "$KEY" --tls
		SSLKEYLOGFILE=$T/none/log $refuse 'SSLKEYLOGFILE: cannot write .*/none/log' --psk "$KEY"
	done
	server_refuses '--verify=required needs --ca' "${PAIR[@]}" --verify required
	server_refuses '--verify=optional needs --ca' --tls "${PAIR[@]}" --verify optional
	server_refuses 'no key to authenticate peers with: .* --cert' --tls "${CA[@]}"
	client_refuses 'no key to authenticate with: .* --ca=FILE' "${CLIENT_PAIR[@]}"
	client_refuses '--confirm is for datagrams' --tls --psk "$KEY" --confirm 100
	client_refuses 'a hostname has 1 to 255 bytes' --tls "${CA[@]}" --hostname ''
}

tls_port_in_use() {
	serve --tls --psk "$KEY"
	refuses 2 "cannot listen on 127.0.0.1:$PORT: Address already in use" \
		"$BIN/dtls-server" --tls -l "127.0.0.1:$PORT" --psk "$KEY"
	stop server
}

order_does_not_matter() {
	serve "${CA[@]}" --key "$P/server.key" --echo --cert "$P/server.pem" --tls
	equal "$(echo hi | client --linger 300 --key "$P/client.key" "${CA[@]}" --cert "$P/client.pem" --tls)" hi
	stop server
}

# ---- certificates, over DTLS and over TLS

mutual_certificates() {
	serve "${PAIR[@]}" "${CA[@]}" --confirm -v
	echo hello >"$T/in"
	expect_status 0 client "${CLIENT_PAIR[@]}" "${CA[@]}" --linger 300 -v <"$T/in"
	equal "$(<"$T/cmd.out")" hello
	contains "$T/cmd.err" 'connected with D?TLSv1\.2, TLS-ECDHE-ECDSA-WITH-'
	contains "$T/cmd.err" "the server's certificate for localhost is verified$"
	wait_for server '^sensor-17 hello$'
	contains "$T/server.err" 'sensor-17 connected with TLS-ECDHE-ECDSA-WITH-.*; certificate verified$'
	wait_for server 'sensor-17 has closed$'
	stop server
}

certificate_files_in_every_form() {
	echo secret >"$T/password"
	cat "$P/server.pem" "$P/server.key" >"$T/both.pem"
	form "$T/both.pem"
	form "$P/server.der" --key "$P/server-sec1.der"
	form "$P/server.pem" --key "$P/server-pkcs8.pem"
	form "$P/server.pem" --key "$P/server-encrypted.pem" --key-password-file "$T/password"
	form "$P/rsa.pem" --key "$P/rsa-pkcs1.pem"
	form "$P/chain.pem" --key "$P/leaf.key"
}

form() {
	serve --cert "$@" --echo
	equal "$(echo hi | client "${CA[@]}" --linger 300)" hi
	stop server
}

server_without_client_certificates() {
	serve "${PAIR[@]}"
	echo 'one way' | client "${CA[@]}" --linger 0
	wait_for server '^127\.0\.0\.1:[0-9]+ one way$' # nobody was authenticated: the address says who it was
	stop server
}

# Without --verify, --ca is enough to require one.
required_certificate() {
	serve "${PAIR[@]}" "${CA[@]}"
	client_fails 'handshake with .* failed: ' "${CA[@]}"
	wait_for server 'ended: .*the client sent no certificate, and one is required'
	client_fails 'handshake with .* failed: .*unknown_ca' "${CA[@]}" --cert "$P/other.pem" --key "$P/other.key"
	wait_for server 'ended: .*"CN=Other CA"'
	client_fails 'handshake with .* failed: ' "${CA[@]}" --cert "$P/expired.pem" --key "$P/expired.key"
	wait_for server 'ended: .*expired on 2021-01-01'
	echo hi | client "${CA[@]}" "${CLIENT_PAIR[@]}" --linger 0
	wait_for server '^sensor-17 hi$'
	stop server
}

optional_certificate() {
	serve "${PAIR[@]}" "${CA[@]}" --verify optional
	echo without | client "${CA[@]}" --linger 0
	wait_for server '^127\.0\.0\.1:[0-9]+ without$'
	echo with | client "${CA[@]}" "${CLIENT_PAIR[@]}" --linger 0
	wait_for server '^sensor-17 with$'
	client_fails 'handshake with .* failed: ' "${CA[@]}" --cert "$P/expired.pem" --key "$P/expired.key"
	wait_for server 'ended: .*expired on 2021-01-01'
	stop server
}

client_verifies_nothing() {
	serve --cert "$P/expired.pem" --key "$P/expired.key" --echo
	echo hi >"$T/in"
	expect_status 0 client --verify none --linger 300 -v <"$T/in"
	equal "$(<"$T/cmd.out")" hi
	contains "$T/cmd.err" "the server's certificate.* is not verified$"
	client_fails 'expired on 2021-01-01' "${CA[@]}" --verify optional
	client_fails 'expired on 2021-01-01' "${CA[@]}" --verify required
	stop server
}

# server_is_refused REGEX CERTIFICATE [OPTION OF THE CLIENT...]
server_is_refused() {
	local regex=$1
	serve --cert "$P/$2.pem" --key "$P/$2.key"
	client_fails "handshake with 127\.0\.0\.1:$PORT failed: .*$regex" "${@:3}"
	wait_for server 'ended: handshake with .* failed: the peer sent the alert'
	stop server
}

an_address_for_a_name() {
	serve "${PAIR[@]}" --echo
	refuses 1 'is for .*"localhost".*"127\.0\.0\.1" was asked for.*--hostname=NAME' \
		"$BIN/dtls-client" "127.0.0.1:$PORT" "${OVER[@]}" "${CA[@]}"
	equal "$(echo hi | timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" "${OVER[@]}" "${CA[@]}" --hostname sensor.example \
		--linger 300)" hi
	stop server
}

an_address_that_the_certificate_has() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$T/ip.key" -out "$T/ip.pem" -days 5 \
		-subj /CN=thing -addext subjectAltName=IP:127.0.0.1,DNS:thing
	serve --cert "$T/ip.pem" --key "$T/ip.key" --echo
	equal "$(echo hi | timeout 60 "$BIN/dtls-client" "127.0.0.1:$PORT" "${OVER[@]}" --ca "$T/ip.pem" --linger 300)" hi
	equal "$(echo hi | client --ca "$T/ip.pem" --hostname thing --linger 300)" hi
	stop server
}

application_protocols() {
	serve "${PAIR[@]}" --alpn mqtt,coap
	client "${CA[@]}" --alpn x-other,coap,mqtt --linger 0 -v </dev/null 2>"$T/story"
	contains "$T/story" 'connected with .*, protocol mqtt$'
	wait_for server 'connected with .*, protocol mqtt$'
	client_fails 'no_application_protocol' "${CA[@]}" --alpn x-other
	wait_for server 'ended: handshake'
	client "${CA[@]}" --linger 0 -v </dev/null 2>"$T/story"
	lacks "$T/story" ', protocol '
	stop server
}

suites_of_certificates() {
	serve --cert "$P/rsa.pem" --key "$P/rsa.key" --ciphers TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
	client "${CA[@]}" --linger 0 -v </dev/null 2>"$T/story"
	contains "$T/story" 'connected with .*, TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256$'
	client_fails 'handshake_failure' "${CA[@]}" --ciphers TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384
	stop server
}

# keylog_of FILE LINES: it has so many, one for each session, and nobody else may read it.
keylog_of() {
	equal "$(wc -l <"$1")" "$2"
	equal "$(grep -cE '^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$' "$1")" "$2"
	equal "$(stat -c %a "$1")" 600
}

key_log() {
	umask 0
	serve "${PAIR[@]}" --keylog "$T/server.log"
	SSLKEYLOGFILE=$T/client.log client "${CA[@]}" --linger 0 </dev/null
	keylog_of "$T/client.log" 1
	SSLKEYLOGFILE=$T/client.log client "${CA[@]}" --linger 0 </dev/null
	keylog_of "$T/client.log" 2
	SSLKEYLOGFILE=$T/ignored.log client "${CA[@]}" --linger 0 --keylog "$T/client.log" </dev/null
	[[ ! -e $T/ignored.log ]] || fail '--keylog did not go before SSLKEYLOGFILE'
	keylog_of "$T/client.log" 3
	stop server
	keylog_of "$T/server.log" 3
	equal "$(<"$T/server.log")" "$(<"$T/client.log")"
}

# ---- replacement

# sees REGEX [OPTION...]: a new client is connected so.
sees() {
	client "${@:2}" --linger 0 -v </dev/null 2>"$T/story"
	contains "$T/story" "$1"
}

replaced_certificate() {
	cp "$P/server.pem" "$T/cert"
	cp "$P/server.key" "$T/key"
	serve --cert "$T/cert" --key "$T/key" --echo
	start_client client "${CA[@]}"
	echo before >&9
	wait_for client '^before$'
	sees 'TLS-ECDHE-ECDSA-' "${CA[@]}"
	cp "$P/rsa.pem" "$T/cert"
	signal server HUP
	wait_for server '^SIGHUP: .*/cert with .*/key: the key does not belong to the certificate .*; the certificate and key stay'
	sees 'TLS-ECDHE-ECDSA-' "${CA[@]}"
	cp "$P/rsa.key" "$T/key"
	signal server HUP
	wait_for server '^SIGHUP: .*/cert with .*/key was read again$'
	sees 'TLS-ECDHE-RSA-' "${CA[@]}"
	echo garbage >"$T/cert"
	signal server HUP
	wait_for server '^SIGHUP: .*/cert with .*/key: certificate: .*; the certificate and key stay as they were$'
	rm "$T/key"
	signal server HUP
	wait_for server '^SIGHUP: cannot read .*/key: No such file or directory; the certificate and key stay as they were$'
	sees 'TLS-ECDHE-RSA-' "${CA[@]}"
	echo after >&9
	wait_for client '^after$'
	exec 9>&-
	finished client
	stop server
}

# reloaded NUMBER: the CAs were, so many times in all.
reloaded() {
	local deadline=$((SECONDS + 10))
	signal server HUP
	until (($(grep -c '^SIGHUP: the CAs were read again$' "$T/server.err") == $1)); do
		((SECONDS < deadline)) || fail 'the CAs were not read again'
		sleep 0.02
	done
}

replaced_cas() {
	local own=("${CLIENT_PAIR[@]}" "${CA[@]}") other=(--cert "$P/other.pem" --key "$P/other.key" "${CA[@]}")
	cp "$P/ca.pem" "$T/ca"
	cp "$P/ca.pem" "$T/more"
	serve "${PAIR[@]}" --ca "$T/ca" --ca "$T/more"
	sees 'connected with' "${own[@]}"
	cp "$P/other.pem" "$T/ca"
	echo garbage >"$T/more"
	signal server HUP
	wait_for server '^SIGHUP: .*/more: CA certificate: .*; the CAs and revocation lists stay as they were$'
	sees 'connected with' "${own[@]}"
	client_fails 'unknown_ca' "${other[@]}"
	cp "$P/ca.pem" "$T/more"
	reloaded 1
	sees 'connected with' "${own[@]}"
	sees 'connected with' "${other[@]}"
	cp "$P/other.pem" "$T/more"
	reloaded 2
	sees 'connected with' "${other[@]}"
	client_fails 'unknown_ca' "${own[@]}"
	stop server
}

replaced_revocation_lists() {
	cp "$P/ca.crl" "$T/crl"
	serve "${PAIR[@]}" "${CA[@]}" --crl "$T/crl" --echo
	client_fails 'certificate_revoked' "${CA[@]}" --cert "$P/revoked.pem" --key "$P/revoked.key"
	start_client client "${CA[@]}" "${CLIENT_PAIR[@]}"
	echo before >&9
	wait_for client '^before$'
	revoke_client "$T/crl"
	signal server HUP
	wait_for server '^SIGHUP: the CAs and revocation lists were read again$'
	client_fails 'certificate_revoked' "${CA[@]}" "${CLIENT_PAIR[@]}"
	echo after >&9
	wait_for client '^after$'
	exec 9>&-
	finished client
	stop server
}

# revoke_client CRL: in a copy of the CA, which other tests use, too.
revoke_client() {
	cp -r "$P" "$T/pki"
	(cd "$T/pki" && openssl ca -config ca.cnf -revoke client.pem && openssl ca -config ca.cnf -gencrl -out "$1") \
		2>/dev/null
}

replaced_keys_of_tls() {
	echo a:0a >"$T/psk"
	serve --tls --psk-file "$T/psk"
	sees 'connected with' --tls --psk a:0a
	echo b:0b >"$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: .*/psk was read again$'
	sees 'connected with' --tls --psk b:0b
	client_fails 'does not know this identity' --tls --psk a:0a
	stop server
}

# ---- TLS

tls_with_a_key() {
	serve --tls --psk "$KEY" --confirm
	equal "$(printf 'one\n\001two\r\nlast' | client --tls --psk "$KEY" --linger 300)" $'one\n\\x01two\\x0d\nlast'
	wait_for server 'sensor has closed$'
	stop server
	equal "$(<"$T/server.out")" $'sensor one\nsensor \\x01two\\x0d\nsensor last'
}

long_lines_come_in_parts() {
	serve --tls --psk "$KEY"
	{
		head -c 40000 /dev/zero | tr '\0' x
		printf '\n\nlast\n'
	} | client --tls --psk "$KEY" --linger 0
	wait_for server '^sensor last$'
	stop server
	equal "$(awk '{ print length($2) }' "$T/server.out" | tr '\n' ' ')" '16384 16384 7232 0 4 '
}

newest_version() {
	if [[ $(version_of_mbedtls) == 2.* ]]; then
		server_refuses '--max-version: TLS 1.3 needs mbed TLS 3' --tls "${PAIR[@]}" --max-version 1.3
		return
	fi
	serve --tls "${PAIR[@]}" "${CA[@]}" --max-version 1.3 --echo
	echo hi >"$T/in"
	expect_status 0 client --tls "${CA[@]}" "${CLIENT_PAIR[@]}" --max-version 1.3 --linger 300 -v <"$T/in"
	equal "$(<"$T/cmd.out")" hi
	contains "$T/cmd.err" 'connected with TLSv1\.3, '
	sees 'connected with TLSv1\.2, ' --tls "${CA[@]}" "${CLIENT_PAIR[@]}"
	stop server
}

a_megabyte_of_lines() {
	head -c 786432 /dev/urandom | base64 -w 75 >"$T/lines"
	serve --tls "${PAIR[@]}" --echo
	client --tls "${CA[@]}" --linger 2000 <"$T/lines" >"$T/echoed"
	cmp "$T/echoed" "$T/lines"
	until_counters "^  bytes in $(stat -c %s "$T/lines"), out $(stat -c %s "$T/lines")\$"
	stop server
}

a_megabyte_of_bytes_through_openssl() {
	local deadline=$((SECONDS + 20))
	head -c 1048576 /dev/urandom >"$T/bytes"
	serve --tls "${PAIR[@]}" --echo
	mkfifo "$T/openssl.in"
	exec 9<>"$T/openssl.in"
	# -quiet: no byte is a command. It would not end with its input.
	start openssl openssl s_client -nbio -quiet -connect "127.0.0.1:$PORT" -CAfile "$P/ca.pem" -verify_return_error \
		-verify_hostname localhost <"$T/openssl.in" 9>&-
	timeout 20 cat "$T/bytes" >&9
	until_counters '^  bytes in 1048576, out 1048576$'
	until cmp "$T/openssl.out" "$T/bytes"; do
		((SECONDS < deadline)) || fail 'the bytes did not come back'
		sleep 0.05
	done
	stop openssl || :
	stop server
}

openssl_server() {
	start openssl openssl s_server -accept 127.0.0.1:0 -cert "$P/server.pem" -key "$P/server.key" "$@"
	wait_for openssl '^ACCEPT 127.0.0.1:[0-9]+$'
	PORT=$(sed -n 's/^ACCEPT 127.0.0.1://p' "$T/openssl.out" | head -n 1)
}

the_server_may_close_after_the_input() {
	openssl_server -www
	printf 'GET / HTTP/1.0\r\n\r\n' >"$T/in"
	expect_status 0 client --tls "${CA[@]}" --linger 60000 <"$T/in"
	contains "$T/cmd.out" '^HTTP/1\.0 200 ok'
	stop openssl || :
}

system_cas() {
	local store=/etc/ssl/certs/ca-certificates.crt
	serve --tls "${PAIR[@]}" --echo
	if [[ ! -e $store ]]; then
		refuses 2 "the system's CAs: cannot read $store.*; install ca-certificates" \
			"$BIN/dtls-client" "localhost:$PORT" --tls
		return
	fi
	client_fails '"CN=Test CA", which is none of the trusted CAs' --tls
	unshare -rm true 2>/dev/null || skip 'a store of our own needs a namespace, which is not allowed here'
	# shellcheck disable=SC2016
	equal "$(echo hi | unshare -rm sh -c 'mount --bind "$1" "$2" && shift 2 && exec timeout 60 "$@"' - "$P/ca.pem" \
		"$store" "$BIN/dtls-client" "localhost:$PORT" --tls --linger 300)" hi
	stop server
}

tls_server_ends_on() {
	serve --tls --psk "$KEY"
	start_client client --tls --psk "$KEY"
	wait_for server 'sensor connected'
	plain
	stop server "$1"
	contains "$T/server.err" '^counters at the end, after [0-9.]+ s:$'
	wait_for client '^dtls-client: the server closed the session$'
	ends_with 1 client
}

tls_client_ends_on() {
	serve --tls --psk "$KEY"
	start_client client --tls --psk "$KEY" -v
	wait_for server 'sensor connected'
	stop client "$1"
	contains "$T/client.err" 'sent 0 bytes; received 0$'
	wait_for server 'sensor has closed$'
	stop server
}

a_server_cut_off() {
	serve --tls --psk "$KEY"
	start_client client --tls --psk "$KEY" --linger 60000
	wait_for server 'sensor connected'
	exec 9>&-
	stop server KILL 2>/dev/null || :
	ends_with 1 client
	contains "$T/client.err" '^dtls-client: session with .* failed: .*without close_notify'
}

a_client_cut_off() {
	serve --tls --psk "$KEY"
	start_client client --tls --psk "$KEY"
	printf 'half a line' >&9
	until_counters '^  bytes in 11, out 0$'
	stop client KILL 2>/dev/null || :
	wait_for server '^127.* sensor ended: session with .* failed: .*without close_notify'
	wait_for server '^sensor half a line$'
	stop server
}

garbage_at_the_tls_port() {
	serve --tls "${PAIR[@]}" --echo
	plain
	printf 'GET / HTTP/1.0\r\n\r\n' >&8
	timeout 20 cat <&8 >"$T/answer" # ends: the server closes
	wait_for server 'ended: handshake with 127\.0\.0\.1:[0-9]+ failed: '
	equal "$(od -An -tx1 -N1 "$T/answer")" ' 15' # an alert
	plain
	head -c 100000 /dev/urandom >&8 2>/dev/null || :
	exec 8>&-
	equal "$(echo hi | client --tls "${CA[@]}" --linger 300)" hi
	until_counters '^  handshakes started 3, completed 1, failed 2, '
	stop server
}

dtls_and_tls_miss_each_other() {
	serve --tls --psk "$KEY"
	refuses 1 'timed out|failed: ' "$BIN/dtls-client" "127.0.0.1:$PORT" --psk "$KEY" --timeout 1
	stop server
	serve --psk "$KEY"
	client_fails 'cannot connect to 127\.0\.0\.1:[0-9]+: Connection refused$' --tls --psk "$KEY"
	stop server
}

tls_client_to_a_silent_server() {
	serve --tls --psk "$KEY"
	signal server STOP # its kernel still accepts
	client_fails 'handshake with .* timed out after 0\.500 s: the server has not done its part; does it speak TLS\?$' \
		--tls --psk "$KEY" --timeout 0.5
	signal server CONT
	stop server
}

a_silent_client_is_given_up() {
	serve --tls --psk "$KEY" --handshake-timeout 100-200
	plain
	wait_for server 'ended: handshake with 127\.0\.0\.1:[0-9]+ failed: '
	until_counters '^  handshakes started 1, completed 0, failed 0, timed out 1, displaced 0$'
	stop server
}

idle_streams_are_closed() {
	serve --tls --psk "$KEY" --idle 0.5
	start_client client --tls --psk "$KEY"
	wait_for server 'sensor was closed: silent for too long$'
	wait_for client '^dtls-client: the server closed the session$'
	ends_with 1 client
	stop server
}

too_many_streams() {
	serve --tls --psk "$KEY" --max-peers 1 --max-handshakes 2 --echo
	start_client first --tls --psk "$KEY"
	wait_for server 'sensor connected'
	equal "$(echo hi | client --tls --psk "$KEY" --linger 300)" hi
	wait_for server 'sensor was closed: it had been silent longest when --max-peers was reached$'
	ends_with 1 first
	plain
	exec 7<&8
	plain
	exec 6<&8
	plain
	wait_for server 'ended: its handshake was the oldest unfinished one when --max-handshakes was reached$'
	equal "$(timeout 20 cat <&7)" ''
	until_counters 'unfinished handshakes 2$'
	stop server
}

hundred_at_once() {
	local i pids=()
	serve -q --tls "${PAIR[@]}" "${CA[@]}" --confirm
	mkfifo "$T/hold"
	exec 9<>"$T/hold"
	for i in $(seq 100); do
		{
			exec 9>&-
			{
				echo "reading $i"
				cat "$T/hold"
			} | client --tls "${CA[@]}" "${CLIENT_PAIR[@]}" --linger 100 --timeout 50 >"$T/$i.answer"
		} &
		pids+=($!)
	done
	until_counters '^  peers 100; unfinished handshakes 0$'
	exec 9>&-
	for i in "${pids[@]}"; do
		wait "$i"
	done
	stop server
	for i in $(seq 100); do
		equal "$(<"$T/$i.answer")" "reading $i"
	done
	equal "$(sort -u "$T/server.out" | wc -l)" 100
	contains "$T/server.err" '^  handshakes started 100, completed 100, failed 0, timed out 0, displaced 0$'
	contains "$T/server.err" '^  closed by the peer 100, idle 0, evicted 0, by an error 0$'
}

# ticks: of the processor, that the server has used.
ticks() {
	sed 's/.*) //' "/proc/$(<"$T/server.pid")/stat" | awk '{ print $12 + $13 }'
}

# Thirty connections that say nothing, until it is ended.
hold_descriptors() {
	local i
	for i in $(seq 30); do
		exec {i}<>"/dev/tcp/127.0.0.1/$PORT"
	done
	echo all are held
	exec sleep 1000
}

descriptors_run_out() {
	local used more
	[[ -e /proc/self/stat ]] || skip 'no /proc to see processor time in'
	start server bash -c 'ulimit -n 20 && exec "$@"' - "$BIN/dtls-server" --tls -l 127.0.0.1:0 --psk "$KEY" --echo
	PORT=$(port server)
	start holder hold_descriptors
	wait_for holder '^all are held$'
	wait_for server '^no new clients for now: Too many open files$'
	used=$(ticks)
	sleep 1.5 # it must not spin
	more=$(($(ticks) - used))
	((more < 30)) || fail "it used $more ticks while it waited"
	echo hi >"$T/in"
	start client client --tls --psk "$KEY" --linger 1000 --timeout 50 <"$T/in"
	stop holder || :
	wait_for client '^hi$' 40
	finished client
	stop server
	equal "$(grep -c 'no new clients' "$T/server.err")" 1
}

# A client that writes and never reads.
build_glutton() {
	local flags=()
	[[ -z ${SANITIZE:-} ]] || flags=("-fsanitize=$SANITIZE")
	cat >"$T/glutton.c" <<-'C'
		#include <arpa/inet.h>
		#include <dtls/dtls.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <unistd.h>

		int main(int argc, char **argv)
		{
			struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])),
			    .sin_addr = {htonl(INADDR_LOOPBACK)}};
			int fd = socket(AF_INET, SOCK_STREAM, 0);
			struct dtls_context *ctx = dtls_context_new(PROTOCOL_TLS_CLIENT);
			static char bytes[16384];
			struct dtls_conn *conn;
			long sent = 0;
			ssize_t n;

			if (argc != 3 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
			    dtls_context_add_psk_line(ctx, argv[2]) != DTLS_OK)
				return 1;
			conn = dtls_wrap_socket(ctx, fd);
			dtls_conn_set_timeout(conn, 2000);
			while (sent < 256 << 20 && (n = dtls_conn_write(conn, bytes, sizeof(bytes))) > 0)
				sent += n;
			printf(sent < 256 << 20 && n == DTLS_AGAIN ? "stuck after %ld bytes\n" : "%ld bytes went\n", sent);
			fflush(stdout);
			pause();
			return 0;
		}
	C
	cc "${flags[@]}" -pthread -I"$here/.." -o "$T/glutton" "$T/glutton.c" "$(dirname "$BIN")/lib/libdtls.a" \
		-lmbedtls -lmbedx509 -lmbedcrypto
}

a_client_that_never_reads() {
	build_glutton
	serve --tls --psk "$KEY" --echo
	start glutton "$T/glutton" "$PORT" "$KEY"
	until_counters '^  bytes in [1-9][0-9]{4}'
	plain # and one that says nothing
	equal "$(echo hi | client --tls --psk "$KEY" --linger 1000)" hi
	wait_for glutton '^stuck after [0-9]+ bytes$' 60
	equal "$(echo hi | client --tls --psk "$KEY" --linger 1000)" hi
	stop glutton || :
	wait_for server 'sensor ended: '
	stop server
}

t 'wrong values of the options for certificates and TLS' wrong_values
t 'a TLS port in use' tls_port_in_use
t 'the order of options does not matter' order_does_not_matter
for over in 'over DTLS' 'over TLS'; do
	[[ $over == 'over DTLS' ]] || OVER=(--tls)
	t "mutual certificates $over" mutual_certificates
	t "a server that asks for no certificate, $over" server_without_client_certificates
	t "--ca alone requires a certificate of clients, $over" required_certificate
	t "--verify=optional does without one, but not with a bad one, $over" optional_certificate
	t "a client with --verify=none takes any certificate, $over" client_verifies_nothing
	t "an expired certificate, $over" server_is_refused 'expired on 2021-01-01' expired "${CA[@]}"
	t "another CA, $over" server_is_refused '"CN=Test CA", which is none of the trusted' server \
		--ca "$P/other.pem"
	t "another name, $over" server_is_refused 'is for "elsewhere.example", and "localhost" was' wrong \
		"${CA[@]}"
	t "another --hostname, $over" server_is_refused '"third.example" was asked for' server "${CA[@]}" \
		--hostname third.example
	t "a revoked certificate, $over" server_is_refused 'was revoked' revoked "${CA[@]}" \
		--crl "$P/ca.crl"
	t "an address in place of a name, $over" an_address_for_a_name
	t "an address that the certificate has, $over" an_address_that_the_certificate_has
	t "application protocols, $over" application_protocols
	t "suites by name, $over" suites_of_certificates
	t "the key log, $over" key_log
	t "SIGHUP replaces the certificate, $over" replaced_certificate
	t "SIGHUP replaces the CAs, $over" replaced_cas
	t "SIGHUP replaces the revocation lists, $over" replaced_revocation_lists
done
OVER=()
t 'certificates and keys in every form' certificate_files_in_every_form
t 'SIGHUP replaces the pre-shared keys of a TLS server' replaced_keys_of_tls
t 'TLS with a pre-shared key, printed in lines and echoed' tls_with_a_key
t 'long lines over TLS are printed in parts' long_lines_come_in_parts
t 'TLS 1.3, where mbed TLS has it' newest_version
t 'a megabyte of lines comes back' a_megabyte_of_lines
t 'a megabyte of bytes comes back to OpenSSL' a_megabyte_of_bytes_through_openssl
t 'a server may close when the input has ended' the_server_may_close_after_the_input
t 'the system'\''s CAs' system_cas
t 'SIGINT ends the TLS server, which closes its sessions' tls_server_ends_on INT
t 'SIGTERM ends the TLS server' tls_server_ends_on TERM
t 'SIGINT ends the TLS client' tls_client_ends_on INT
t 'a server that is cut off' a_server_cut_off
t 'a client that is cut off' a_client_cut_off
t 'HTTP and garbage at the TLS port' garbage_at_the_tls_port
t 'DTLS and TLS miss each other' dtls_and_tls_miss_each_other
t 'a server that accepts and says nothing' tls_client_to_a_silent_server
t 'a client that connects and says nothing' a_silent_client_is_given_up
t 'idle clients are closed' idle_streams_are_closed
t 'one client too many' too_many_streams
t 'a hundred clients at once' hundred_at_once
t 'no descriptor is left' descriptors_run_out
t 'a client that never reads is not read from, and stops nobody' a_client_that_never_reads
finish
