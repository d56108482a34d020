#!/bin/bash
# What `make install` puts down is complete: a program finds headers and libraries through pkg-config alone.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
PYTHON=${PYTHON:-python3}
need cc make pkg-config "$PYTHON"

export MAKEFLAGS=
tree=$folder/tree
pc() {
	PKG_CONFIG_SYSROOT_DIR=$tree PKG_CONFIG_LIBDIR=$tree/opt/dtls/lib64/pkgconfig pkg-config "$@"
}

install_into() {
	make --no-print-directory "BUILD=$BUILD" "DESTDIR=$tree" PREFIX=/opt/dtls LIBDIR=/opt/dtls/lib64 \
		"PYTHON=$PYTHON" "$1"
}

installs() {
	install_into install
	for file in lib64/libdtls.a lib64/libdtls.so include/dtls/dtls.h include/dtls/sim.h lib64/pkgconfig/dtls.pc \
		lib64/libssl_shim.a include/ssl_shim/ssl_shim.h lib64/pkgconfig/ssl_shim.pc \
		lib64/libdtls-coap.a lib64/pkgconfig/dtls-coap.pc; do
		[[ -s $tree/opt/dtls/$file ]] || fail "$file was not installed"
	done
}

write_program() {
	cat >"$T/program.c" <<-'C'
		#include <dtls/dtls.h>
		#include <dtls/sim.h>
		#include <stdio.h>

		int main(void)
		{
			struct sim *sim = sim_new(1);
			int status = puts(dtls_version()) == EOF || sim_now_ms(sim) != 0;

			sim_free(sim);
			return status;
		}
	C
}

links_shared() {
	write_program
	# shellcheck disable=SC2046 # flags are words
	cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o "$T/program" "$T/program.c" $(pc --cflags --libs dtls)
	equal "$(LD_LIBRARY_PATH=$tree/opt/dtls/lib64 "$T/program")" "$(pc --modversion dtls)"
	LD_LIBRARY_PATH=$tree/opt/dtls/lib64 ldd "$T/program" >"$T/ldd"
	contains "$T/ldd" 'libdtls\.so\.0 => .*/opt/dtls/lib64/'
}

links_ssl_shim() {
	cat >"$T/program.c" <<-'C'
		#include <ssl_shim/ssl_shim.h>
		#include <stdio.h>

		int main(void)
		{
			struct ssl_wrap_args args = SSL_WRAP_ARGS;
			struct ssl_error error;

			args.psk_ident = ssl_text("sensor-17");
			return ssl_wrap_socket(0, &args, &error) != NULL || puts(error.text) == EOF;
		}
	C
	# shellcheck disable=SC2046 # flags are words
	cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o "$T/program" "$T/program.c" $(pc --cflags --libs ssl_shim)
	equal "$(LD_LIBRARY_PATH=$tree/opt/dtls/lib64 "$T/program" <"$T/program.c")" 'Socket operation on non-socket'
}

# A libcoap program, and its own build without (D)TLS: the same lines, another library.
links_libcoap() {
	cat >"$T/program.c" <<-'C'
		#include <coap3/coap.h>
		#include <stdio.h>

		int main(void)
		{
			coap_context_t *ctx;
			char text[100];
			int keys;

			coap_startup();
			ctx = coap_new_context(NULL);
			keys = coap_context_set_psk(ctx, "", (const uint8_t *)"secretPSK", 9);
			puts(coap_string_tls_version(text, sizeof(text)));
			coap_free_context(ctx);
			coap_cleanup();
			return !keys;
		}
	C
	# shellcheck disable=SC2046 # flags are words
	cc -std=c11 -Wall -Wextra -o "$T/program" "$T/program.c" $(pc --cflags --libs dtls-coap) "-Wl,-Map=$T/map"
	lacks "$T/map" 'coap_notls\.o'
	LD_LIBRARY_PATH=$tree/opt/dtls/lib64 "$T/program" >"$T/told"
	contains "$T/told" '^TLS Library: Mbed TLS'
}

python_imports() {
	local modules
	modules=$(find "$tree/opt/dtls/lib" -type d -name site-packages)
	equal "$(PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$modules "$PYTHON" -c \
		'import ssl_shim, tls, ussl; print(ssl_shim.__file__, tls.SSLContext is ussl.SSLContext)')" \
		"$modules/ssl_shim/__init__.py True"
}

# With Debian's interpreter, whose setuptools are there without the network.
pip_installs() {
	/usr/bin/python3 -m venv --system-site-packages "$T/venv"
	"$T/venv/bin/pip" install -q --no-build-isolation --no-index ssl_shim/python
	cd "$T"
	equal "$(venv/bin/python -c 'import ssl_shim.aio, tls, ussl; print(ssl_shim.DTLSServer is tls.DTLSServer)')" True
	contains <(venv/bin/pip list 2>/dev/null) '^ssl[_-]shim '
}

links_static() {
	write_program
	rm -f "$tree"/opt/dtls/lib64/libdtls.so*
	# shellcheck disable=SC2046 # flags are words
	cc -std=c11 -o "$T/program" "$T/program.c" $(pc --cflags --libs --static dtls)
	equal "$("$T/program")" "$(pc --modversion dtls)"
}

uninstalls() {
	install_into uninstall
	equal "$(find "$tree" ! -type d)" ''
}

# There the library needs the sanitizer's runtime, which dtls.pc rightly does not name.
[[ -z ${SANITIZE:-} ]] || finish
t 'make install puts libraries, headers and dtls.pc below DESTDIR' installs
t 'a program builds and runs with the shared library' links_shared
t 'a program builds and runs with libssl_shim.a' links_ssl_shim
t 'a program builds and runs with libdtls-coap.a' links_libcoap
t 'a program builds and runs with the static library' links_static
t 'Python imports what was installed' python_imports
t 'pip installs the module from the source tree' pip_installs
t 'make uninstall leaves nothing' uninstalls
finish
