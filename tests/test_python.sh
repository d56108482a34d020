#!/bin/bash
# The Python module of $BUILD/python, by the interpreter $PYTHON: the suites tests/python/test_*.py, each in a process
# of its own: all, or those that are named: `bash tests/test_python.sh wrap` runs tests/python/test_wrap.py.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

PYTHON=${PYTHON:-python3}
need openssl gnutls-serv "$PYTHON"
here=$(realpath "$(dirname "$0")")
BUILD=$(realpath "${BUILD:-build}")
PYTHONPATH=$BUILD/python
PKI=$folder/pki
export BUILD PKI PYTHON PYTHONPATH PYTHONDONTWRITEBYTECODE=1
mkdir "$PKI"
sh "$here/pki.sh" "$PKI" || exit 1

# A module under the sanitizers needs their runtime before all else; what the interpreter keeps is no leak of ours.
if [[ ${SANITIZE:-} == *address* ]]; then
	LD_PRELOAD_PYTHON=$(${CC:-cc} -print-file-name=libasan.so)
	export LD_PRELOAD_PYTHON ASAN_OPTIONS=detect_leaks=0:exitcode=99 PYTHONMALLOC=malloc
fi

python() {
	LD_PRELOAD=${LD_PRELOAD_PYTHON:-} "$PYTHON" "$@"
}

# suite FILE: adds its last line to our counts. One that ends without it has failed.
suite() {
	local counts status
	python "$here/python/run.py" "$1" </dev/null 2>&1 | tee "$folder/log"
	status=${PIPESTATUS[0]}
	if counts=$(tail -n 1 "$folder/log" | grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'); then
		read -r -a counts <<<"$counts"
		((passed += counts[0], failed += counts[2], skipped += counts[4]))
		((status == 0 || counts[2] > 0)) && return
	fi
	echo "FAIL  $(basename "$1") ended with status $status"
	failed=$((failed + 1))
}

if ! python -c 'import ssl_shim' 2>"$folder/log"; then
	echo "FAIL  no module in $BUILD/python; \`make python\` builds it: $(tail -n 1 "$folder/log")"
	failed=$((failed + 1))
	finish
fi
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
