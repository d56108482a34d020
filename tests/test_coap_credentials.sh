#!/bin/bash
# Who may talk to coap-server and coap-sensor: keys and certificates, and what becomes of them on SIGHUP.
# shellcheck disable=SC2119 # what is called without options
# shellcheck source=coap_programs.sh
. "$(dirname "$0")/coap_programs.sh"

PKI=$folder/pki

# ---- keys

wrong_key() {
	serve
	echo 21.4 >"$T/in"
	refuses 1 'the pre-shared key for identity "sensor-17" probably differs' \
		"$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk sensor-17:0011 <"$T/in"
	wait_for server 'the pre-shared key for identity "sensor-17" probably differs'
	refuses 1 'identity "sensor-1" probably differs, or the peer does not know this identity' \
		"$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk sensor-1:73656372657450534b <"$T/in"
	wait_for server 'no pre-shared key is known for identity "sensor-1"'
	sensor <"$T/in"
	stop server
	equal "$(<"$T/server.out")" 'sensor-17 /sensors/sensor-17 21.4'
}

make_pki() {
	[[ -e $PKI/made ]] && return
	mkdir -p "$PKI"
	sh "$(dirname "$0")/pki.sh" "$PKI"
}

# serve_certificate [OPTION...]
serve_certificate() {
	make_pki
	start server "$BIN/coap-server" -l 127.0.0.1:0 --cert "$PKI/server.pem" --key "$PKI/server.key" "$@"
	PORT=$(port server)
}

trusting() {
	timeout 60 "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen" --ca "$PKI/ca.pem" "$@"
}

server_certificate() {
	serve_certificate
	echo 21.4 | trusting
	wait_for server '^127\.0\.0\.1:[0-9]+ /sensors/kitchen 21.4$'
	timeout 60 coap-client-openssl -v 3 -B 20 -C "$PKI/ca.pem" "coaps://127.0.0.1:$PORT/sensors/kitchen" >"$T/got"
	contains "$T/got" '^21.4'
	stop server
}

mutual_certificates() {
	serve_certificate --ca "$PKI/ca.pem"
	echo 21.4 | trusting --cert "$PKI/client.pem" --key "$PKI/client.key"
	wait_for server '^sensor-17 /sensors/kitchen 21.4$'
	wait_for server '^127\.0\.0\.1:[0-9]+ sensor-17 connected$'
	echo 21.5 >"$T/in"
	refuses 1 '^coap-sensor: ' timeout 60 "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen" \
		--ca "$PKI/ca.pem" <"$T/in"
	refuses 1 '^coap-sensor: ' timeout 60 "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen" \
		--ca "$PKI/ca.pem" --cert "$PKI/stranger.pem" --key "$PKI/stranger.key" <"$T/in"
	stop server
	equal "$(wc -l <"$T/server.out")" 1
}

refused_certificates() {
	serve_certificate
	echo 21.4 >"$T/in"
	refuses 1 'certificate' "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen" --ca "$PKI/other.pem" <"$T/in"
	refuses 1 'certificate' "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen" --ca "$PKI/ca.pem" \
		--hostname elsewhere.example <"$T/in"
	trusting --hostname sensor.example <"$T/in"
	timeout 60 "$BIN/coap-sensor" "coaps://localhost:$PORT/sensors/kitchen" --verify none <"$T/in"
	stop server
	equal "$(wc -l <"$T/server.out")" 2
}

reloads_certificates() {
	make_pki
	cp "$PKI/server.pem" "$PKI/server.key" "$T"
	start server "$BIN/coap-server" -l 127.0.0.1:0 --cert "$T/server.pem" --key "$T/server.key"
	PORT=$(port server)
	echo 1 | trusting
	cp "$PKI/wrong.pem" "$T/server.pem"
	signal server HUP
	wait_for server '^SIGHUP: .*; the certificates stay as they were$'
	echo 2 | trusting
	cp "$PKI/wrong.key" "$T/server.key"
	signal server HUP
	wait_for server '^SIGHUP: .*server.pem was read again$'
	echo 3 | trusting --hostname elsewhere.example
	stop server
	equal "$(wc -l <"$T/server.out")" 3
}

reloads_keys() {
	echo a:0a >"$T/psk"
	start server "$BIN/coap-server" -l 127.0.0.1:0 --psk-file "$T/psk"
	PORT=$(port server)
	connects() {
		echo 1 | expect_status 0 timeout 60 "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk "$1"
	}
	is_refused() {
		echo 1 >"$T/in"
		refuses 1 'does not know this identity' "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk "$1" <"$T/in"
	}
	connects a:0a
	is_refused b:0b
	printf '# new\r\n \nb:0B\r\n' >"$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: .*psk was read again$'
	is_refused a:0a
	connects b:0b
	printf 'c:0c\nd:0\n' >"$T/psk"
	signal server HUP
	wait_for server '^SIGHUP: .*psk:2: the key has an odd number of hex digits; the keys stay as they were$'
	connects b:0b
	is_refused c:0c
	stop server
}

t 'SIGHUP reloads the keys' reloads_keys
t 'a wrong key, and an unknown identity' wrong_key
t "a server's certificate" server_certificate
t 'certificates on both sides' mutual_certificates
t 'certificates that are refused' refused_certificates
t 'SIGHUP reloads the certificates' reloads_certificates
finish
