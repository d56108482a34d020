# shellcheck shell=bash
# python.sh - sourced by the tests of the Python module, after lib.sh: "${python[@]}" is the interpreter $PYTHON with the
# module of $BUILD/python.

PYTHON=${PYTHON:-python3}
BUILD=$(realpath "${BUILD:-build}")
need "$PYTHON"
python=(env -u PYTHONUNBUFFERED "PYTHONPATH=$BUILD/python" PYTHONDONTWRITEBYTECODE=1)
# A module under the sanitizers needs their runtime before all else; what the interpreter keeps is no leak of ours.
if [[ ${SANITIZE:-} == *address* ]]; then
	python+=("LD_PRELOAD=$(${CC:-cc} -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0:exitcode=99
		PYTHONMALLOC=malloc)
fi
python+=("$PYTHON" -X dev)
# shellcheck disable=SC2154 # of lib.sh
if ! "${python[@]}" -c 'import ssl_shim' 2>"$folder/log"; then
	echo "FAIL  no module in $BUILD/python; \`make python\` builds it: $(tail -n 1 "$folder/log")"
	failed=$((failed + 1))
	finish
fi
