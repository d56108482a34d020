#!/bin/bash
# libcoap's own example programs, unchanged, on our backend: against those of OpenSSL and GnuTLS, each way round.
# shellcheck source=coap.sh
. "$(dirname "$0")/coap.sh"
build_examples

# ---- what is linked

no_stub_is_linked() {
	local name
	for name in coap-client coap-server; do
		contains "$folder/$name.map" 'libdtls-coap\.a'
		lacks "$folder/$name.map" 'coap_notls\.o'
	done
}

# The archive has what libcoap's stub has, no more and no less.
defined_by() {
	nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort
}

every_stub_is_replaced() {
	local archive
	archive=$("${CC:-cc}" -print-file-name=libcoap-3-notls.a)
	(cd "$T" && ar x "$archive")
	defined_by "$T/libcoap_3-notls_la-coap_notls.o" >"$T/theirs"
	defined_by "$BUILD/lib/libdtls-coap.a" >"$T/ours"
	(($(wc -l <"$T/theirs") > 30))
	diff "$T/theirs" "$T/ours"
}

# A function that we lack would be taken from the stub, and all the others with it: nobody can miss that.
a_missing_function_is_loud() {
	local folder=$T
	mkdir "$T/lib"
	cp "$BUILD/lib/libdtls.a" "$T/lib"
	objcopy --localize-symbol=coap_dtls_handle_timeout "$BUILD/obj/libdtls-coap.o" "$T/backend.o"
	ar rcs "$T/lib/libdtls-coap.a" "$T/backend.o"
	if BUILD=$T build_example coap-client 2>"$T/link.err"; then
		fail 'it was linked'
	fi
	contains "$T/link.err" "multiple definition of .coap_dtls_receive'"
}

# ---- pre-shared keys

get() { # SERVER CLIENT [PATH]
	serve "$1" -k "$COAP_KEY" -h hint
	[[ -z ${3-} ]] || "$3"
	ask "$2" get time "${psk[@]}"
	has_time
	stop_server
}

observe() { # SERVER CLIENT
	serve "$1" -k "$COAP_KEY" -h hint
	ask "$2" get time -s 3 "${psk[@]}"
	(($(grep -oE '[0-9]{2}:[0-9]{2}:[0-9]{2}' "$T/ask.out" | sort -u | wc -l) >= 2)) || fail 'it observed nothing'
}

# Nothing is lost of what is put: libcoap 4.3.1 takes a repeated last block for a body of its own, whatever the backend.
large() { # SERVER CLIENT [PATH]
	head -c 6000 /dev/urandom | base64 -w 0 | head -c 8000 >"$T/body"
	equal "$(wc -c <"$T/body")" 8000
	serve "$1" -k "$COAP_KEY" -h hint
	ask "$2" put example_data "${psk[@]}" -f "$T/body"
	[[ -z ${3-} ]] || "$3"
	ask "$2" get example_data "${psk[@]}" -o "$T/got"
	cmp "$T/got" "$T/body"
	stop_server
}

# OpenSSL stays silent, GnuTLS closes after a while: what our client can tell differs.
wrong_key() { # SERVER CLIENT
	serve "$1" -k "$COAP_KEY" -h hint
	ask "$2" get time -u sensor -k wrong
	has_nothing
	[[ $1 != ours ]] || wait_for server 'the pre-shared key for identity "sensor" probably differs'
	[[ $2 != ours ]] || contains "$T/ask.out" 'handshake with the peer failed: the peer '
	stop_server
}

# The key of an identity, for those whose hint it is; all others have the one that is wrong here.
by_identity() { # CLIENT
	printf 'hint,first,key1\nhint,second,key2\n' >"$T/ids"
	serve ours -k unused -h hint -i "$T/ids"
	ask "$1" get time -u second -k key2
	has_time
	ask "$1" get time -u third -k key2
	has_nothing
	wait_for server 'identity "third"'
}

# Our server has a key of its own for a name; the client says it.
by_name() { # CLIENT
	printf 'localhost,hint1,key1\n' >"$T/names"
	ADDRESS=$(getent ahosts localhost | awk '{ print $1; exit }')
	serve ours -k unused -h hint -s "$T/names"
	timeout 20 "$(coap client "$1")" -B 10 -m get -u sensor -k key1 "coaps://localhost:$PORT/time" >"$T/ask.out"
	has_time
	wait_for server "SNI 'localhost' requested"
}

# Our client has an identity and a key for a server's hint.
by_hint() { # SERVER
	printf 'other,nobody,nothing\nhint,sensor,%s\n' "$COAP_KEY" >"$T/hints"
	serve "$1" -k "$COAP_KEY" -h hint
	ask ours get time -v 6 -u unused -k unused -h "$T/hints"
	has_time
	contains "$T/ask.out" "Switching to using 'sensor' identity"
}

forty_at_once() { # SERVER CLIENT
	local i pids=()
	serve "$1" -k "$COAP_KEY" -h hint
	for ((i = 0; i < 40; i++)); do
		timeout "$PATIENCE" "$(coap client "$2")" -B "$PATIENCE" -m get -u "sensor-$i" -k "$COAP_KEY" \
			"coaps://127.0.0.1:$PORT/time" >"$T/$i.client" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
	equal "$(cat "$T"/*.client | grep -cE '[0-9]{2}:[0-9]{2}:[0-9]{2}')" 40
}

# ---- certificates

certs=(-c "$folder/pki/server.pem" -j "$folder/pki/server.key" -C "$folder/pki/ca.pem")
client_certs=(-c "$folder/pki/client.pem" -j "$folder/pki/client.key" -C "$folder/pki/ca.pem")

mutual() { # SERVER CLIENT [PATH]
	serve "$1" "${certs[@]}"
	[[ -z ${3-} ]] || "$3"
	ask "$2" get time "${client_certs[@]}"
	has_time
	wait_for server "CN 'sensor-17' presented by client"
	stop_server
}

another_ca() { # SERVER CLIENT
	serve "$1" "${certs[@]}"
	ask "$2" get time -c "$folder/pki/client.pem" -j "$folder/pki/client.key" -C "$folder/pki/other.pem"
	has_nothing
	[[ $2 != ours ]] || contains "$T/ask.out" 'none of the trusted CAs'
}

a_stranger() { # SERVER CLIENT
	serve "$1" "${certs[@]}"
	ask "$2" get time -c "$folder/pki/stranger.pem" -j "$folder/pki/stranger.key" -C "$folder/pki/ca.pem"
	has_nothing
	# GnuTLS shows no certificate of a CA that it was not asked for.
	[[ $1 != ours ]] || wait_for server 'none of the trusted CAs|the client sent no certificate'
}

no_client_certificate() { # SERVER CLIENT
	serve "$1" "${certs[@]}"
	ask "$2" get time -C "$folder/pki/ca.pem"
	has_nothing
	[[ $1 != ours ]] || wait_for server 'the client sent no certificate, and one is required'
}

# -n: nobody asks for the client's certificate.
nothing_verified() { # SERVER CLIENT
	serve "$1" "${certs[@]}" -n
	ask "$2" get time -n
	has_time
}

root_cas() { # CLIENT
	mkdir "$T/roots"
	cp "$folder/pki/ca.pem" "$T/roots"
	serve ours "${certs[@]}" -n
	ask "$1" get time -R "$T/roots"
	has_time
}

# A client without keys, as one with a certificate that nobody asks for.
a_chain() { # SERVER CLIENT
	serve "$1" -c "$folder/pki/chain.pem" -j "$folder/pki/leaf.key" -C "$folder/pki/ca.pem" -n
	ask "$2" get time -C "$folder/pki/ca.pem"
	has_time
}

keys_and_certificates() { # CLIENT
	serve ours "${certs[@]}" -k "$COAP_KEY" -h hint
	ask "$1" get time "${psk[@]}"
	has_time
	ask "$1" get time "${client_certs[@]}"
	has_time
}

# ---- refusals

refuses_setup() {
	timeout 10 "$folder/coap-client" -B 5 -m get -M "$folder/pki/client.key" "coaps://127.0.0.1:9/time" \
		>"$T/ask.out" 2>&1 || :
	contains "$T/ask.out" 'is_rpk_not_cert: mbed TLS knows no raw public keys'
	timeout 10 "$folder/coap-client" -B 5 -m get "${psk[@]}" "coaps+tcp://127.0.0.1:9/time" >"$T/ask.out" 2>&1 || :
	contains "$T/ask.out" 'not supported|failed to resolve' # as 4.3.4 puts it
}

tells_its_version() {
	"$folder/coap-client" '-?' >"$T/help" 2>&1 || :
	contains "$T/help" 'Mbed TLS'
}

silence() {
	local began=$SECONDS
	start sink "$BIN/dtls-relay" -l 127.0.0.1:0 -t 127.0.0.1:9 --loss 1
	PORT=$(port sink)
	ask ours get time "${psk[@]}"
	contains "$T/ask.out" 'nothing was received within 31.000 s'
	((SECONDS - began >= 30)) || fail 'it gave up too early'
}

mkdir "$folder/pki"
sh "$(dirname "$0")/pki.sh" "$folder/pki"

AT_ONCE=24
pairs=('ours ours' 'ours openssl' 'openssl ours' 'ours gnutls' 'gnutls ours')

# What waits for timers comes first.
c 'a server that stays silent is given up after 31 s' silence
for pair in "${pairs[@]}"; do
	read -r server client <<<"$pair"
	way="at the server of $server, from the client of $client"
	c "a wrong key $way" wrong_key "$server" "$client"
	c "GET through loss $way" get "$server" "$client" loses
done
for pair in "${pairs[@]:1:2}"; do
	read -r server client <<<"$pair"
	way="at the server of $server, from the client of $client"
	c "8,000 bytes through loss $way" large "$server" "$client" loses
	c "certificates through loss $way" mutual "$server" "$client" loses
	c "observing $way" observe "$server" "$client"
	c "40 clients at once $way" forty_at_once "$server" "$client"
	c "a chain of three $way" a_chain "$server" "$client"
done
for pair in "${pairs[@]}"; do
	read -r server client <<<"$pair"
	way="at the server of $server, from the client of $client"
	c "GET $way" get "$server" "$client"
	c "8,000 bytes $way" large "$server" "$client"
	c "certificates of both sides $way" mutual "$server" "$client"
	c "another CA $way" another_ca "$server" "$client"
	c "a stranger's certificate $way" a_stranger "$server" "$client"
	c "no certificate of the client's $way" no_client_certificate "$server" "$client"
	c "nothing is verified $way" nothing_verified "$server" "$client"
done
for client in ours openssl; do
	c "keys by identity, for $client" by_identity "$client"
	c "keys by name, for $client" by_name "$client"
	c "CAs from a folder, for $client" root_cas "$client"
	c "keys and certificates at one server, for $client" keys_and_certificates "$client"
done
c 'a key by the hint of OpenSSL' by_hint openssl
c 'a key by the hint of GnuTLS' by_hint gnutls
c 'the programs have nothing of coap_notls.o' no_stub_is_linked
c 'the archive defines what the stub defines' every_stub_is_replaced
c 'a function that is missing is an error of the linker' a_missing_function_is_loud
c 'the version of mbed TLS is told' tells_its_version
c 'what cannot be honoured is refused' refuses_setup
collect
finish
