#!/bin/bash
# The Python module: the suites tests/python/test_*.py, each in a process of its own; all, or those that are named:
# `bash tests/test_python.sh wrap` runs tests/python/test_wrap.py.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=python.sh
. "$(dirname "$0")/python.sh"

need openssl gnutls-serv
here=$(realpath "$(dirname "$0")")
PKI=$folder/pki
export BUILD PKI PYTHON
mkdir "$PKI"
sh "$here/pki.sh" "$PKI" || exit 1

# suite FILE: adds its last line to our counts. One that ends without it has failed.
suite() {
	local counts status
	"${python[@]}" "$here/python/run.py" "$1" </dev/null 2>&1 | tee "$folder/log"
	status=${PIPESTATUS[0]}
	if counts=$(tail -n 1 "$folder/log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'); then
		read -r -a counts <<<"$counts"
		((passed += counts[0], failed += counts[2], skipped += counts[4]))
		((status == 0 || counts[2] > 0)) && return
	fi
	echo "FAIL  $(basename "$1") ended with status $status"
	failed=$((failed + 1))
}

if (($# == 0)); then
	for file in "$here"/python/test_*.py; do
		suite "$file"
	done
else
	for name in "$@"; do
		suite "$here/python/test_$name.py"
	done
fi
finish
