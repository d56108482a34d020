#!/bin/bash
# Sessions that are resumed between our programs and those of OpenSSL and GnuTLS, each way round: by ticket and by session
# id, with pre-shared keys and certificates, over DTLS and TLS.
# shellcheck source=interop.sh
. "$(dirname "$0")/interop.sh"
make_pki

declare -A NO_TICKET=([openssl]=-no_ticket [gnutls]=--noticket)

# by WAY PEER: sets $way to the options that make their program do without tickets, or to none.
by() {
	way=()
	[[ $1 == ticket ]] || way=("${NO_TICKET[$2]}")
}

# kind_of SUITE: sets $kind to psk or certified, and the names of the certificates.
kind_of() {
	local client name
	kind=certified
	[[ $1 == *PSK-* ]] && kind=psk && return
	pair_of "$1"
}

our_server_of() { # KIND [OPTION...]
	if [[ $1 == psk ]]; then
		our_psk_server "${@:2}"
	else
		our_server --cert "$PKI/$server.pem" --key "$PKI/$server.key" "${@:2}"
	fi
}

openssl_client_of() { # KIND PORT SUITE [OPTION...]
	if [[ $1 == psk ]]; then
		openssl_psk_client "$2" "$3" "$KEY" "${@:4}"
	else
		openssl_certified_client "$2" "$3" '' "${@:4}"
	fi
}

gnutls_client_of() {
	if [[ $1 == psk ]]; then
		gnutls_psk_client "$2" "$3" "$KEY" "${@:4}"
	else
		gnutls_certified_client "$2" "$3" '' "${@:4}"
	fi
}

openssl_to_our_server() { # SUITE WAY PATH
	local kind server way
	kind_of "$1"
	by "$2" openssl
	our_server_of "$kind"
	through "$3" "$our_port"
	openssl_client_of "$kind" "$entry" "$1" "${way[@]}" -sess_out "$T/session"
	wait_for server "connected with $(our_suite "$1")\$" "$PATIENCE"
	say peer hello peer
	leave_openssl
	openssl_client_of "$kind" "$entry" "$1" "${way[@]}" -sess_in "$T/session"
	wait_for server "connected with $(our_suite "$1"), resumed\$" "$PATIENCE"
	wait_for peer '^Reused, '
	say peer 'hello again' peer
	stop server
}

# leave NAME: what its keyboard was goes, too.
leave() {
	rm "$T/$1.in"
	finished "$1" || :
}

# OpenSSL writes the session when it is told to end.
leave_openssl() {
	type_into peer Q
	leave peer
}

gnutls_to_our_server() { # SUITE WAY
	local kind server way
	kind_of "$1"
	by "$2" gnutls
	our_server_of "$kind"
	gnutls_client_of "$kind" "$our_port" "$1" "${way[@]}" -r
	wait_for server "connected with $(our_suite "$1"), resumed\$"
	wait_for peer 'This is a resumed session'
	say peer 'hello again' peer
	stop server
}

# With a client's certificate, that is verified again.
certified_to_our_server_again() { # openssl
	local server client name
	pair_of ECDHE-ECDSA-GCM
	our_certified_server server
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client -sess_out "$T/session"
	wait_for server "sensor-17 connected with .*SHA256\$"
	say peer hello peer
	leave_openssl
	openssl_certified_client "$our_port" ECDHE-ECDSA-GCM client -sess_in "$T/session"
	wait_for server "sensor-17 connected with .*, resumed\$"
	say peer 'hello again' peer
	stop server
}

openssl_server_of() { # KIND SUITE [OPTION...]
	if [[ $1 == psk ]]; then
		openssl_psk_server "$2" "$KEY" "${@:3}"
	else
		openssl_server -cipher "$(openssl_suite "$2")" -cert "$PKI/$server.pem" -key "$PKI/$server.key" "${@:3}"
	fi
}

gnutls_server_of() {
	if [[ $1 == psk ]]; then
		gnutls_psk_server "$2" "$KEY" "${@:3}"
	else
		gnutls_server --priority "$(gnutls_suite "$2")" --x509certfile "$PKI/$server.pem" \
			--x509keyfile "$PKI/$server.key" "${@:3}"
	fi
}

our_client_of() { # KIND PORT [OPTION...]
	if [[ $1 == psk ]]; then
		our_psk_client "$2" "${@:3}"
	else
		our_certified_client "$2" '' "${@:3}"
	fi
}

to_their_server() { # PEER SUITE WAY PATH
	local kind server way
	kind_of "$2"
	by "$3" "$1"
	"$1_server_of" "$kind" "$2" "${way[@]}"
	# The first without loss: these servers serve one client at a time, and wait for a close_notify that is lost.
	our_client_of "$kind" "$peer_port" --session "$T/session"
	wait_for client 'a new session, for ' "$PATIENCE"
	exchange "$1"
	stop client
	rm "$T/client.in"
	equal "$(stat -c %a "$T/session")" 600
	through "$4" "$peer_port"
	our_client_of "$kind" "$entry" --session "$T/session"
	wait_for client "handshake done: $our_version, $(our_suite "$2"), resumed" "$PATIENCE"
	exchange "$1"
	stop client
}

for version in dtls1_2 tls1_2; do
	for suite in PSK-CCM8 ECDHE-ECDSA-GCM; do
		name="${version%1_2}, $(our_suite "$suite")"
		for way in ticket id; do
			c "OpenSSL resumes by $way at our server, $name" in_version $version \
				openssl_to_our_server "$suite" $way direct
			c "GnuTLS resumes by $way at our server, $name" in_version $version gnutls_to_our_server "$suite" $way
			c "our client resumes by $way at OpenSSL, $name" in_version $version \
				to_their_server openssl "$suite" $way direct
			c "our client resumes by $way at GnuTLS, $name" in_version $version \
				to_their_server gnutls "$suite" $way direct
		done
	done
	c "OpenSSL resumes with a certificate at our server, ${version%1_2}" in_version $version certified_to_our_server_again
done
c 'OpenSSL resumes at our server, a fifth is lost' openssl_to_our_server PSK-CCM8 ticket lossy
c 'our client resumes at OpenSSL, a fifth is lost' to_their_server openssl PSK-CCM8 ticket lossy
c 'our client resumes at GnuTLS, a fifth is lost' to_their_server gnutls PSK-CCM8 ticket lossy
collect
finish
