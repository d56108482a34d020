# shellcheck shell=bash
# coap.sh - sourced by the tests with libcoap's example programs: those of Debian's package with OpenSSL and GnuTLS, and
# "ours", which are the same sources, from the package's folder of documents, on our backend.
# shellcheck source=interop.sh
. "$(dirname "${BASH_SOURCE[0]}")/interop.sh"
need coap-client-openssl coap-server-openssl coap-client-gnutls coap-server-gnutls

EXAMPLES=/usr/share/doc/libcoap3-dev/examples
COAP_KEY=secretPSK

# source_of NAME: the file, unpacked where it is packed.
source_of() {
	if [[ -e $EXAMPLES/$1.c ]]; then
		echo "$EXAMPLES/$1.c"
	else
		gzip -dc "$EXAMPLES/$1.c.gz" >"$folder/$1.c" && echo "$folder/$1.c"
	fi
}

# build_example NAME [LINKER OPTION...]: in $folder, with its link map. The options that stand here are those of
# `pkg-config --libs dtls-coap`.
build_example() {
	local name=$1
	shift
	"${CC:-cc}" -w -g -O1 ${SANITIZE:+-fsanitize=$SANITIZE} -o "$folder/$name" "$(source_of "$name")" -pthread \
		-Wl,-u,coap_dtls_new_context "$BUILD/lib/libdtls-coap.a" "$BUILD/lib/libdtls.a" -l:libcoap-3-notls.a \
		-lmbedtls -lmbedx509 -lmbedcrypto "-Wl,-Map=$folder/$name.map" "$@"
}

build_examples() {
	if [[ ! -e $EXAMPLES/coap-client.c && ! -e $EXAMPLES/coap-client.c.gz ]]; then
		echo "FAIL  $EXAMPLES has no coap-client.c: libcoap3-dev is missing, or dpkg leaves documents out"
		failed=$((failed + 1))
		finish
	fi
	build_example coap-client && build_example coap-server && return
	failed=$((failed + 1))
	finish
}

# coap client|server WHOSE: the program.
coap() {
	[[ $2 == ours ]] && echo "$folder/coap-$1" || echo "coap-$1-$2"
}

# bound PORT: does somebody have this UDP port?
bound() {
	grep -qE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") " /proc/net/udp /proc/net/udp6
}

# serve WHOSE OPTION...: on 127.0.0.1, or $ADDRESS; PORT is its port for coaps. It takes no port 0: where somebody else has the port,
# another is tried.
serve() {
	local whose=$1 attempt port deadline=$((SECONDS + 30))
	shift
	for ((attempt = 0; attempt < 50; attempt++)); do
		port=$((20000 + 2 * (RANDOM % 6000)))
		PORT=$((port + 1))
		if bound "$port" || bound "$PORT"; then
			continue
		fi
		start server "$(coap server "$whose")" -v 6 -A "${ADDRESS:-127.0.0.1}" -p "$port" "$@"
		until bound "$PORT" || ! kill -0 "$(<"$T/server.pid")" 2>/dev/null; do
			((SECONDS < deadline)) || fail 'the server does not listen in time'
			sleep 0.02
		done
		kill -0 "$(<"$T/server.pid")" 2>/dev/null && ! grep -q 'already in use' "$T/server.out" && return
		kill "$(<"$T/server.pid")" 2>/dev/null || :
	done
	fail 'no port is free'
}

# loses: from here on PORT is that of a relay in front of it, which loses a fifth of the datagrams.
loses() {
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" --loss 0.2 --seed "${SEED:-7}"
	PORT=$(port relay)
}

# ask WHOSE METHOD PATH OPTION...: in $T/ask.out.
ask() {
	local whose=$1 method=$2 path=$3 status=0
	shift 3
	timeout "$PATIENCE" "$(coap client "$whose")" -B "$PATIENCE" -m "$method" "$@" "coaps://127.0.0.1:$PORT/$path" \
		>"$T/ask.out" 2>"$T/ask.err" || status=$?
	((status < 90)) || fail "the client ended with status $status"
}

# What a sanitizer has to say comes when it ends.
stop_server() {
	stop server INT
}

# shellcheck disable=SC2034 # for the cases
psk=(-u sensor -k "$COAP_KEY")

# The time of day that /time returns.
has_time() {
	grep -qE '[0-9]{2}:[0-9]{2}:[0-9]{2}' "$T/ask.out" || fail 'no answer came'
}

has_nothing() {
	! grep -E '^[A-Z][a-z]{2} [0-9 ]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$' "$T/ask.out" || fail 'an answer came'
}
