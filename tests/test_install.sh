#!/bin/bash
# What `make install` puts down is complete: a program finds headers and libraries through pkg-config alone.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
need cc make pkg-config

export MAKEFLAGS=
tree=$folder/tree
dtls_pc() {
	PKG_CONFIG_SYSROOT_DIR=$tree PKG_CONFIG_LIBDIR=$tree/opt/dtls/lib64/pkgconfig pkg-config "$@" dtls
}

install_into() {
	make --no-print-directory "BUILD=$BUILD" "DESTDIR=$tree" PREFIX=/opt/dtls LIBDIR=/opt/dtls/lib64 "$1"
}

installs() {
	install_into install
	for file in lib64/libdtls.a lib64/libdtls.so include/dtls/dtls.h include/dtls/sim.h lib64/pkgconfig/dtls.pc; do
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
	cc -std=c11 -Wall -Wextra -Wpedantic -Werror -o "$T/program" "$T/program.c" $(dtls_pc --cflags --libs)
	equal "$(LD_LIBRARY_PATH=$tree/opt/dtls/lib64 "$T/program")" "$(dtls_pc --modversion)"
	LD_LIBRARY_PATH=$tree/opt/dtls/lib64 ldd "$T/program" >"$T/ldd"
	contains "$T/ldd" 'libdtls\.so\.0 => .*/opt/dtls/lib64/'
}

links_static() {
	write_program
	rm -f "$tree"/opt/dtls/lib64/libdtls.so*
	# shellcheck disable=SC2046 # flags are words
	cc -std=c11 -o "$T/program" "$T/program.c" $(dtls_pc --cflags --libs --static)
	equal "$("$T/program")" "$(dtls_pc --modversion)"
}

uninstalls() {
	install_into uninstall
	equal "$(find "$tree" ! -type d)" ''
}

# There the library needs the sanitizer's runtime, which dtls.pc rightly does not name.
[[ -z ${SANITIZE:-} ]] || finish
t 'make install puts libraries, headers and dtls.pc below DESTDIR' installs
t 'a program builds and runs with the shared library' links_shared
t 'a program builds and runs with the static library' links_static
t 'make uninstall leaves nothing' uninstalls
finish
