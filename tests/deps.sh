#!/bin/sh
# deps.sh GROUP...: installs the Debian packages of these groups that are missing. deps.sh --list GROUP...: names them.
set -eu

group() {
	case $1 in
	check) echo gcc make libc6-dev pkg-config libmbedtls-dev libpcap-dev gnuplot-nox check openssl gnutls-bin tshark mosquitto mosquitto-clients libcoap3-dev libcoap3-bin ;;
	python) echo python3 python3-dev python3-setuptools python3-pip python3-wheel python3-venv ;;
	bench) echo libssl-dev libgnutls28-dev ;;
	lint) echo clang-format clang-tidy cppcheck shellcheck flake8 mypy ;;
	debian13) echo debootstrap ;;
	*) echo "deps.sh: no group '$1'" >&2 && exit 2 ;;
	esac
}

list=
if [ "${1:-}" = --list ]; then
	list=yes
	shift
fi
wanted=
for name in "$@"; do
	wanted="$wanted $(group "$name")"
done
if [ -n "$list" ]; then
	echo "${wanted# }"
	exit 0
fi

if ! command -v dpkg-query >/dev/null; then
	echo "deps: this is not Debian, so nothing is installed; what is needed there:$wanted" >&2
	exit 0
fi
missing=
for package in $wanted; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root='env'
elif command -v sudo >/dev/null; then
	as_root=sudo
else
	echo "deps: missing Debian packages, and neither root nor sudo here to install them:$missing" >&2
	exit 1
fi
echo "deps: installing$missing"
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
