# shellcheck shell=bash
# coap_programs.sh - sourced by the tests of coap-server and coap-sensor.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need coap-client-openssl coap-server-openssl openssl

KEY='sensor-17:73656372657450534b' # secretPSK
# serve [OPTION...]: a server with KEY on 127.0.0.1; PORT is its port. PORT=N serve: on that port.
serve() {
	start server "$BIN/coap-server" -l "127.0.0.1:${PORT:-0}" --psk "$KEY" "$@"
	PORT=$(port server)
}

# relay [OPTION...]: in front of it; PORT becomes the relay's.
relay() {
	start relay "$BIN/dtls-relay" -l 127.0.0.1:0 -t "127.0.0.1:$PORT" "$@"
	PORT=$(port relay)
}

# sensor [OPTION...]: one that sends its input, or what it makes up.
sensor() {
	timeout 100 "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk "$KEY" "$@"
}

# start_sensor NAME [OPTION...]: its input is what is written to descriptor 9.
start_sensor() {
	local name=$1
	shift
	mkfifo "$T/$name.in"
	exec 9<>"$T/$name.in"
	start "$name" "$BIN/coap-sensor" "coaps://127.0.0.1:$PORT" --psk "$KEY" "$@" <"$T/$name.in" 9>&-
}

# coap PATH [OPTION...]: what libcoap's own client says, with OpenSSL under it.
coap() {
	local path=$1
	shift
	timeout 60 coap-client-openssl -v 3 -B 20 -u sensor-17 -k secretPSK "$@" "coaps://127.0.0.1:$PORT$path" 2>&1
}

blocks_of() {
	head -c "$1" /dev/zero | tr '\0' "${2:-x}"
}
