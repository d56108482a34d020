# Everything is built under $(BUILD), out of the source tree. `make help` lists the targets.
# Yours to set: CC CFLAGS CPPFLAGS LDFLAGS (added after ours), WERROR= (warnings only warn), V=1, PREFIX LIBDIR DESTDIR.

VERSION := $(shell sed -n 's/^#define VERSION "\(.*\)"/\1/p' dtls/context.c)

PREFIX = /usr/local
BINDIR = $(PREFIX)/bin
INCLUDEDIR = $(PREFIX)/include
LIBDIR = $(PREFIX)/lib
OBJCOPY = objcopy
BUILD = build
WERROR = -Werror
# Seconds for one C test; `make asan` and `make tsan` allow more.
TEST_TIMEOUT = 60
# Set by `make asan` and `make tsan`: a list for -fsanitize=.
SANITIZE =
# The interpreter whose headers `make python` uses: the module runs with this and with every later one. Empty: `make install`
# leaves the module out.
PYTHON = python3
# Not empty: CoAP, which needs Debian's libcoap3-dev, is built and installed with the rest.
COAP := $(shell echo '\#include <coap3/coap.h>' | $(CC) $(CPPFLAGS) $(CFLAGS) -E -o /dev/null -x c - 2>/dev/null && echo yes)

SONAME = libdtls.so.$(firstword $(subst ., ,$(VERSION)))
MBEDTLS_LIBS = -lmbedtls -lmbedx509 -lmbedcrypto
# The build of libcoap without (D)TLS of its own; the archive, for a shared library keeps the stubs that we replace.
COAP_LIBS = -l:libcoap-3-notls.a

WARNINGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes $(WERROR)
SANITIZE_FLAGS = $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer)
ALL_CPPFLAGS = -D_GNU_SOURCE -DTEST_TIMEOUT_S=$(TEST_TIMEOUT) -I. -I$(BUILD)/gen $(CPPFLAGS)
# -fno-lto: the library's objects are linked into one, whose symbols objcopy(1) then narrows.
ALL_CFLAGS = -std=gnu11 -O2 -g -fPIC -pthread $(WARNINGS) $(SANITIZE_FLAGS) $(CFLAGS) -fno-lto
ALL_LDFLAGS = -pthread $(SANITIZE_FLAGS) $(CFLAGS) $(LDFLAGS)

LIB_SRC = $(wildcard dtls/*.c)
COAP_SRC = $(wildcard dtls/coap/*.c)
EXAMPLE_SRC = $(filter-out $(if $(COAP),,examples/coap_%),$(wildcard examples/*.c))
API_SRC = $(wildcard examples/api_*.c)
# What has a main() is a program; the others are modules, of which each program takes those that it needs.
PROGRAM_SRC = $(filter-out $(API_SRC),$(shell grep -lw '^int main' $(EXAMPLE_SRC)))
MODULE_SRC = $(filter-out $(API_SRC) $(PROGRAM_SRC),$(EXAMPLE_SRC))
TEST_SRC = $(wildcard tests/*.c)
SHIM_SRC = $(wildcard ssl_shim/*.c)
BINDING_SRC = $(wildcard ssl_shim/python/*.c)
PYTHON_ALIASES = tls.py tls.pyi ussl.py ussl.pyi
PYTHON_FILES = $(addprefix ssl_shim/python/,$(PYTHON_ALIASES) ssl_shim/py.typed) \
	$(wildcard ssl_shim/python/ssl_shim/*.py ssl_shim/python/ssl_shim/*.pyi)
BENCH_SRC = $(wildcard tests/bench/bench_*.c)
BENCH_COMMON = $(filter-out $(BENCH_SRC),$(wildcard tests/bench/*.c))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
binaries = $(addprefix $(BUILD)/bin/,$(subst _,-,$(basename $(notdir $(1)))))

LIB_OBJ = $(call objects,$(LIB_SRC))
SHIM_OBJ = $(call objects,$(SHIM_SRC))
COAP_OBJ = $(BUILD)/obj/libdtls-coap.o
PROGRAMS = $(call binaries,$(PROGRAM_SRC))
API_PROGRAMS = $(call binaries,$(API_SRC))
BENCHES = $(patsubst tests/bench/bench_%.c,$(BUILD)/bench/%,$(BENCH_SRC))
MODULES = $(BUILD)/obj/examples/modules.a
BENCH_MODULES = $(BUILD)/obj/tests/bench/modules.a
STATIC = $(BUILD)/lib/libdtls.a
SHARED = $(BUILD)/lib/libdtls.so.$(VERSION)
SHARED_LINKS = $(BUILD)/lib/$(SONAME) $(BUILD)/lib/libdtls.so
SHIM = $(BUILD)/lib/libssl_shim.a
COAP_ARCHIVE = $(BUILD)/lib/libdtls-coap.a
COAP_PROGRAMS = $(call binaries,$(filter examples/coap_%,$(PROGRAM_SRC)))
EXTENSION = $(BUILD)/python/ssl_shim/_ssl_shim.abi3.so
# Rewritten only when the compiler, its flags or the mbed TLS under us change; and when a source comes or goes.
FLAGS = $(BUILD)/gen/flags
SOURCES = $(BUILD)/gen/sources

.DELETE_ON_ERROR:
# V=1 shows the commands.
ifndef V
.SILENT:
endif
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.PHONY: all tests benches bench python deps help check asan tsan lint demo check-debian13 bench-deps bench-python bench-coap install install-python uninstall clean FORCE

all: $(STATIC) $(SHARED) $(SHARED_LINKS) $(SHIM) $(if $(COAP),$(COAP_ARCHIVE)) $(PROGRAMS) $(API_PROGRAMS)
tests: $(BUILD)/tests/run
benches: $(BENCHES)

help:
	echo 'all                libraries in $(BUILD)/lib, programs in $(BUILD)/bin'
	echo 'python             the ssl_shim, tls and ussl modules in $(BUILD)/python, for PYTHON=$(PYTHON)'
	echo 'demo               a CoAP sensor sends readings to the server across a lossy link'
	echo 'check              every test; check-NAME: one suite, one test, or tests/test_NAME.sh'
	echo 'asan tsan          the tests under the address, undefined, leak and thread sanitizers'
	echo 'lint               format, static analysis, exported symbols, sizes'
	echo 'bench              every benchmark; the table is $(BUILD)/bench/results.md'
	echo 'bench-NAME         one of: $(notdir $(BENCHES)) coap'
	echo 'check-debian13     the tests in a Debian 13 chroot, against mbed TLS 3.6'
	echo 'deps               installs the Debian packages that are missing'
	echo 'install uninstall  DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) LIBDIR=$(LIBDIR); PYTHON= without the Python module, COAP= without CoAP'
	echo 'clean              removes $(BUILD)'

# ---- compiling

$(BUILD)/obj/%.o: %.c $(FLAGS) | $(BUILD)/gen/mbed_errors.h
	mkdir -p $(@D)
	echo '  CC    $<'
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(patsubst %.o,%.d,$(call objects,$(LIB_SRC) $(COAP_SRC) $(SHIM_SRC) $(BINDING_SRC) $(EXAMPLE_SRC) $(TEST_SRC) \
	$(BENCH_SRC) $(BENCH_COMMON)))

define FLAGS_TEXT
$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS)
$(ALL_LDFLAGS) $(OBJCOPY)
endef
export FLAGS_TEXT
update = cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(FLAGS): FORCE
	mkdir -p $(@D)
	{ echo "$$FLAGS_TEXT"; printf '#include <mbedtls/version.h>\nMBEDTLS_VERSION_STRING\n' | \
		$(CC) $(CPPFLAGS) $(CFLAGS) -E -P -x c - | tail -n 1; } >$@.new
	$(update)

$(SOURCES): FORCE
	mkdir -p $(@D)
	echo '$(LIB_SRC) $(COAP_SRC) $(SHIM_SRC) $(BINDING_SRC) $(EXAMPLE_SRC) $(TEST_SRC)' >$@.new
	$(update)

MBED_ERROR = static const struct mbed_error { int code; const char *name; }
# Code -> macro name, from the headers that we are compiled against: the numbers differ between the branches.
$(BUILD)/gen/mbed_errors.h: FORCE
	mkdir -p $(@D)
	ssl_h=$$(echo '#include <mbedtls/ssl.h>' | $(CC) $(CPPFLAGS) $(CFLAGS) -M -x c - | tr ' ' '\n' | \
		grep 'mbedtls/ssl\.h$$') && { echo '$(MBED_ERROR) mbed_errors[] = {'; \
		awk -f dtls/mbed_errors.awk "$${ssl_h%ssl.h}"*.h | LC_ALL=C sort -s -u -k 2,2; echo '};'; } >$@.new
	$(update)

# ---- linking

# One object whose only global symbols are the public ones: what is internal cannot clash with a program's names.
$(BUILD)/obj/libdtls.o: $(LIB_OBJ) dtls/libdtls.sym $(SOURCES)
	$(CC) $(CFLAGS) -r -nostdlib -o $@ $(LIB_OBJ)
	$(OBJCOPY) --keep-global-symbols=dtls/libdtls.sym $@

$(STATIC): $(BUILD)/obj/libdtls.o
	mkdir -p $(@D) && rm -f $@
	echo '  AR    $@'
	$(AR) rcs $@ $<

$(SHARED): $(BUILD)/obj/libdtls.o
	mkdir -p $(@D)
	echo '  LINK  $@'
	$(CC) -shared -Wl,-soname,$(SONAME),-Bsymbolic-functions $(if $(SANITIZE),,-Wl,-z,defs) $(ALL_LDFLAGS) -o $@ $< \
		$(MBEDTLS_LIBS)

# One object, so that who gets one of the functions gets them all: none is left for libcoap's own stubs.
$(COAP_OBJ): $(call objects,$(COAP_SRC)) $(SOURCES)
	$(CC) $(CFLAGS) -r -nostdlib -o $@ $(filter %.o,$^)
	$(OBJCOPY) --wildcard --keep-global-symbol='coap_*' $@

$(COAP_ARCHIVE): $(COAP_OBJ)
	mkdir -p $(@D) && rm -f $@
	echo '  AR    $@'
	$(AR) rcs $@ $<

$(SHIM): $(SHIM_OBJ) $(SOURCES)
	mkdir -p $(@D) && rm -f $@
	echo '  AR    $@'
	$(AR) rcs $@ $(SHIM_OBJ)

$(SHARED_LINKS): $(SHARED)
	ln -sf $(<F) $@

link = $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(MBEDTLS_LIBS) $(MODULE_LIBS)
# What only the modules of dtls-lab need.
$(BUILD)/bin/dtls-lab: MODULE_LIBS = -lm -lpcap
# The tests of CoAP put the clock forward.
$(BUILD)/tests/run: MODULE_LIBS = -lm -lpcap $(COAP_LIBS) -Wl,--wrap=clock_gettime
# The backend comes before libcoap, whose stubs it replaces.
$(COAP_PROGRAMS): MODULE_LIBS = $(COAP_LIBS)

$(MODULES): $(call objects,$(MODULE_SRC)) $(SOURCES)
	mkdir -p $(@D) && rm -f $@
	$(AR) rcs $@ $(filter %.o,$^)

define program_rule
$(call binaries,$(1)): $(call objects,$(1)) $(if $(filter examples/coap_%,$(1)),$(COAP_OBJ)) $(if $(filter $(API_SRC),$(1)),,$(MODULES)) $(STATIC)
	mkdir -p $$(@D)
	echo '  LINK  $$@'
	$$(link)
endef
$(foreach source,$(PROGRAM_SRC) $(API_SRC),$(eval $(call program_rule,$(source))))

# The tests and benchmarks see the internals of the library and the programs, so they link their objects.
$(BUILD)/tests/run: $(call objects,$(TEST_SRC)) $(COAP_OBJ) $(LIB_OBJ) $(SHIM_OBJ) $(MODULES) $(SOURCES)
	mkdir -p $(@D)
	echo '  LINK  $@'
	$(link) $$(pkg-config --libs check)
# Each benchmark takes the peers that it needs, and loads no library of another's: memory is measured, too.
$(BENCH_MODULES): $(call objects,$(BENCH_COMMON)) $(SOURCES)
	mkdir -p $(@D) && rm -f $@
	$(AR) rcs $@ $(filter %.o,$^)
$(BENCHES): MODULE_LIBS = -Wl,--as-needed -lssl -lcrypto -lgnutls
$(BENCHES): $(BUILD)/bench/%: $(BUILD)/obj/tests/bench/bench_%.o $(BENCH_MODULES) $(LIB_OBJ) $(SOURCES)
	mkdir -p $(@D)
	echo '  LINK  $@'
	$(link)

# ---- Python

PYTHON_INCLUDE = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')
# Where the interpreter looks for modules; below another PREFIX where it would look if it were installed there.
PYTHONDIR = $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("platlib") if "$(PREFIX)" == "/usr/local" \
	else sysconfig.get_path("platlib", "posix_prefix", {"platbase": "$(PREFIX)"}))')

# -isystem keeps our warnings to our own code; the tables of types hold functions as void *, which is not ISO C.
$(BUILD)/obj/ssl_shim/python/%.o: ssl_shim/python/%.c $(FLAGS) $(BUILD)/gen/python
	mkdir -p $(@D)
	echo '  CC    $<'
	$(CC) $(ALL_CPPFLAGS) -isystem $(PYTHON_INCLUDE) $(ALL_CFLAGS) -Wno-pedantic -fvisibility=hidden -MMD -MP -c -o $@ $<

$(BUILD)/gen/python: FORCE
	mkdir -p $(@D)
	[ -e '$(PYTHON_INCLUDE)/Python.h' ] || { echo 'make: $(PYTHON) has no Python.h in $(PYTHON_INCLUDE): install' \
		'python3-dev, or name another interpreter with PYTHON=' >&2; exit 1; }
	echo '$(PYTHON_INCLUDE)' >$@.new
	$(update)

# The libraries are linked in, and hidden: nothing clashes with what another module brings along.
$(EXTENSION): $(call objects,$(BINDING_SRC)) $(SHIM) $(STATIC)
	mkdir -p $(@D)
	echo '  LINK  $@'
	$(CC) -shared -Wl,--exclude-libs,ALL $(ALL_LDFLAGS) -o $@ $(filter %.o %.a,$^) $(MBEDTLS_LIBS)

python: $(EXTENSION)
	cd ssl_shim/python && cp --parents $(PYTHON_FILES:ssl_shim/python/%=%) $(abspath $(BUILD)/python)

# ---- testing

deps:
	sh tests/deps.sh check python

check: deps
	$(MAKE) --no-print-directory all tests python
	BUILD=$(BUILD) PYTHON=$(PYTHON) bash tests/check.sh
check-%: deps
	$(MAKE) --no-print-directory all tests python
	BUILD=$(BUILD) PYTHON=$(PYTHON) bash tests/check.sh $*
check-debian13:
	bash tests/debian13.sh

asan: deps
	$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SANITIZE=address,undefined TEST_TIMEOUT=180 all tests python
	BUILD=$(BUILD)/asan SANITIZE=address,undefined PYTHON=$(PYTHON) bash tests/check.sh
tsan: deps
	$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SANITIZE=thread TEST_TIMEOUT=180 all tests
	BUILD=$(BUILD)/tsan $(BUILD)/tsan/tests/run

lint:
	sh tests/deps.sh check python bench lint
	$(MAKE) --no-print-directory all python
	BUILD=$(BUILD) CC='$(CC)' PYTHON_INCLUDE='$(PYTHON_INCLUDE)' bash tests/lint.sh $(ALL_CPPFLAGS)

bench: bench-deps
	$(MAKE) --no-print-directory benches
	BUILD=$(BUILD) bash tests/bench.sh $(filter-out %/python,$(BENCHES))
bench-%: bench-deps
	$(MAKE) --no-print-directory $(BUILD)/bench/$*
	$(BUILD)/bench/$*
bench-deps:
	sh tests/deps.sh check bench
bench-python: bench-deps
	$(MAKE) --no-print-directory $(BUILD)/bench/python python
	PYTHONPATH=$(BUILD)/python $(PYTHON) tests/bench/bench_python.py $(BUILD)/bench/python
bench-coap: $(COAP_PROGRAMS) $(BUILD)/bin/dtls-relay $(BUILD)/bin/dtls-genpsk
	BIN=$(BUILD)/bin bash tests/coap_fleet.sh
demo: deps
	$(MAKE) --no-print-directory all
	BIN=$(BUILD)/bin bash examples/demo.sh

# ---- installing

pc = sed -e 's|@PREFIX@|$(PREFIX)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|'
PC_DIR = $(DESTDIR)$(LIBDIR)/pkgconfig

install: all $(if $(PYTHON),install-python)
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(INCLUDEDIR)/dtls $(INCLUDEDIR)/ssl_shim $(LIBDIR)/pkgconfig)
	install -m 644 dtls/dtls.h dtls/sim.h $(DESTDIR)$(INCLUDEDIR)/dtls
	install -m 644 ssl_shim/ssl_shim.h $(DESTDIR)$(INCLUDEDIR)/ssl_shim
	install -m 644 $(STATIC) $(SHIM) $(if $(COAP),$(COAP_ARCHIVE)) $(SHARED) $(DESTDIR)$(LIBDIR)
	cp -d $(SHARED_LINKS) $(DESTDIR)$(LIBDIR)
	install $(PROGRAMS) $(DESTDIR)$(BINDIR)
	$(pc) dtls/dtls.pc.in >$(PC_DIR)/dtls.pc
	$(pc) ssl_shim/ssl_shim.pc.in >$(PC_DIR)/ssl_shim.pc
	$(if $(COAP),$(pc) dtls/coap/dtls-coap.pc.in >$(PC_DIR)/dtls-coap.pc)

install-python: python
	install -d $(DESTDIR)$(PYTHONDIR)/ssl_shim
	install -m 644 $(addprefix $(BUILD)/python/,$(PYTHON_ALIASES)) $(DESTDIR)$(PYTHONDIR)
	install -m 644 $(BUILD)/python/ssl_shim/*.* $(DESTDIR)$(PYTHONDIR)/ssl_shim

uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,$(notdir $(PROGRAMS)))
	rm -f $(addprefix $(PC_DIR)/,dtls.pc ssl_shim.pc dtls-coap.pc)
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,$(notdir $(STATIC) $(SHIM) $(COAP_ARCHIVE) $(SHARED) $(SHARED_LINKS)))
	rm -rf $(DESTDIR)$(INCLUDEDIR)/dtls $(DESTDIR)$(INCLUDEDIR)/ssl_shim
	$(if $(PYTHON),rm -rf $(addprefix $(DESTDIR)$(PYTHONDIR)/,ssl_shim $(PYTHON_ALIASES)))

clean:
	rm -rf $(BUILD)
