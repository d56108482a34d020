#!/bin/bash
# lint.sh CPPFLAGS...: format, static analysis, exported symbols and sizes. `make lint` calls it.
# PYTHON_INCLUDE: the folder of Python.h.
set -u

BUILD=${BUILD:-build}
CC=${CC:-cc}
shopt -s nullglob
sources=(dtls/*.c dtls/coap/*.c ssl_shim/*.c ssl_shim/python/*.c examples/*.c tests/*.c tests/bench/*.c)
headers=(dtls/*.h dtls/coap/*.h ssl_shim/*.h ssl_shim/python/*.h examples/*.h tests/*.h tests/bench/*.h)
scripts=(.ci/run examples/*.sh tests/*.sh)
status=0

# step TITLE COMMAND...: one line for each step; its output only when it fails.
step() {
	local title=$1 output
	shift
	if output=$("$@" 2>&1); then
		printf 'ok      %s\n' "$title"
	else
		printf '%s\nFAILED  %s\n' "$output" "$title"
		status=1
	fi
}

format() {
	clang-format --dry-run -Werror "${sources[@]}" "${headers[@]}"
}

# cppcheck reads no system headers, so that START_TEST and Python's macros are spelled out, libcoap's version too, and the
# macros of queue(3) are given to it.
run_cppcheck() {
	local queue
	queue=$(echo '#include <sys/queue.h>' | "$CC" -M -x c - | grep -o '[^ ]*sys/queue\.h')
	cppcheck -q -j "$(nproc)" --std=c11 --platform=unix64 --library=posix --library=gnu --library=bsd --error-exitcode=1 \
		--enable=warning,performance,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=funcArgOrderDifferent \
		-DLIBCOAP_VERSION=4003001U '-DSTART_TEST(name)=static void name(int _i)' -DEND_TEST= -DPy_BEGIN_ALLOW_THREADS= -DPy_END_ALLOW_THREADS= \
		"--include=$queue" "$@" "${sources[@]}"
}

# One file at a time: clang-tidy 14 takes a later file's va_list for uninitialized.
run_clang_tidy() {
	printf '%s\0' "${sources[@]}" | xargs -0 -n 1 -P "$(nproc)" sh -c \
		'clang-tidy -quiet "$1" -- $LINT_FLAGS 2>/dev/null' sh
}

cplusplus() {
	clang-tidy -quiet '--checks=-*,misc-definitions-in-headers' dtls/dtls.h dtls/sim.h ssl_shim/ssl_shim.h -- -x c++ \
		-I. -Wall -Wextra -Wpedantic -Wno-unused-function -Werror
}

declared() {
	cat dtls/dtls.h dtls/sim.h | "$CC" -E -P -x c - | awk -v RS=';' '
		/typedef/ { next }
		match($0, /(dtls|sim)_[a-z0-9_]+\(/) { print substr($0, RSTART, RLENGTH - 1) }' | LC_ALL=C sort
}

same_symbols() {
	diff --label "$1" <("$2") --label dtls/libdtls.sym dtls/libdtls.sym
}

exported_so() {
	nm -D --defined-only "$BUILD/lib/libdtls.so" | awk '{ print $3 }' | LC_ALL=C sort
}

exported_a() {
	nm -g --defined-only "$BUILD/lib/libdtls.a" | awk 'NF == 3 { print $3 }' | LC_ALL=C sort
}

run_flake8() {
	/usr/bin/python3 -m flake8 --max-line-length=120 --extend-ignore=E203 ssl_shim/python examples tests/python tests/bench
}

# Debian's interpreter, which has mypy. Nobody is to make connections and servers of aio but its functions.
stubs() {
	printf 'ssl_shim.aio.%s.__init__\n' DTLSConnection Server >"$BUILD/gen/undeclared"
	PYTHONPATH=$BUILD/python MYPYPATH=$BUILD/python MYPY_CACHE_DIR=$BUILD/gen/mypy \
		/usr/bin/python3 -m mypy.stubtest --allowlist "$BUILD/gen/undeclared" ssl_shim tls ussl
}

registered_suites() {
	local file name bad=0
	for file in tests/test_*.c; do
		name=$(basename "$file" .c)
		grep -q "X(${name#test_})" tests/suites.h && continue
		echo "$file is not listed in tests/suites.h"
		bad=1
	done
	return "$bad"
}

step 'clang-format' format
step 'cppcheck' run_cppcheck "$@"
export LINT_FLAGS="-std=gnu11 -isystem ${PYTHON_INCLUDE:-} $*"
step 'clang-tidy' run_clang_tidy
step 'dtls.h, sim.h and ssl_shim.h are C++, too' cplusplus
# SC2317: the functions of a test and of a step are called by name. SC2016: $ and ` in quotes are awk's and grep's.
step 'shellcheck' shellcheck -x -P tests -e SC2317,SC2016 "${scripts[@]}"
step 'flake8' run_flake8
step 'the stubs of the Python module are what it has' stubs
step 'the functions declared in dtls.h and sim.h are those of dtls/libdtls.sym' same_symbols headers declared
step 'libdtls.so exports those of dtls/libdtls.sym' same_symbols libdtls.so exported_so
step 'libdtls.a exports those of dtls/libdtls.sym' same_symbols libdtls.a exported_a
step 'every tests/test_*.c is listed in tests/suites.h' registered_suites
LC_ALL=C awk -f tests/sizes.awk "${sources[@]}" "${headers[@]}" || status=1
exit "$status"
