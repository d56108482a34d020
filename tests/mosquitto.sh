# shellcheck shell=bash
# mosquitto.sh - sourced by the tests that have mosquitto as their broker.
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need mosquitto mosquitto_pub mosquitto_sub

HEX=00112233445566778899aabbccddeeff
KEY=sensor:$HEX

# broker LINE...: mosquitto with these lines in its configuration, on 127.0.0.1 or $ADDRESS; PORT is its port. It takes no
# port 0: where somebody else has the port, another is tried.
broker() {
	local attempt
	for ((attempt = 0; attempt < 50; attempt++)); do
		PORT=$((20000 + RANDOM % 12000))
		# As root it would become another user, to whom the test's folder is closed.
		printf '%s\n' 'user root' "listener $PORT ${ADDRESS:-127.0.0.1}" "$@" >"$T/mosquitto.conf"
		start broker mosquitto -v -c "$T/mosquitto.conf"
		wait_for_broker && return
	done
	fail 'no port is free'
}

# False: the port is not free.
wait_for_broker() {
	local deadline=$((SECONDS + 30))
	until grep -q ' running$' "$T/broker.err"; do
		if ! kill -0 "$(<"$T/broker.pid")" 2>/dev/null; then
			grep -q 'Address already in use' "$T/broker.err" || fail 'mosquitto does not start'
			return 1
		fi
		((SECONDS < deadline)) || fail 'mosquitto does not run in time'
		sleep 0.02
	done
}

# Mosquitto 2.0.21 may miss a signal that comes just before it waits.
stop_broker() {
	while kill -0 "$(<"$T/broker.pid")" 2>/dev/null; do
		signal broker TERM
		sleep 0.2
	done
	finished broker
}

# psk_broker [LINE...]
# shellcheck disable=SC2120 # lines are for the cases
psk_broker() {
	echo "$KEY" >"$T/keys"
	broker "psk_file $T/keys" 'psk_hint hint' 'use_identity_as_username true' 'allow_anonymous false' "$@"
}

theirs=(-h 127.0.0.1 --psk "$HEX" --psk-identity sensor)

start_their_sub() {
	start sub stdbuf -oL mosquitto_sub -p "$PORT" "${theirs[@]}" -d "$@"
	wait_for sub '^Subscribed '
}
