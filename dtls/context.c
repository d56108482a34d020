#include "error.h"
#include "mbed.h"
#include "settings.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERSION "0.1.0"

enum { DEFAULT_MIN_MS = 1000, DEFAULT_MAX_MS = 60000, TIMEOUT_MAX_MS = 3600000 };
enum { DEFAULT_MTU = 1200 };

/* Sentences belong to the thread that failed, one slot for each of its latest contexts. */
enum { ERROR_SLOTS = 4 };
static _Thread_local struct {
	uint64_t serial;
	char text[ERROR_MAX];
} errors[ERROR_SLOTS];
static _Thread_local unsigned next_error;

static char *find_error(uint64_t serial)
{
	for (unsigned i = 0; i < ERROR_SLOTS; i++)
		if (errors[i].serial == serial && errors[i].text[0] != '\0')
			return errors[i].text;
	return NULL;
}

static char *error_slot(uint64_t serial)
{
	char *text = find_error(serial);

	if (text != NULL)
		return text;
	next_error = (next_error + 1) % ERROR_SLOTS;
	errors[next_error].serial = serial;
	return errors[next_error].text;
}

int context_fail(const struct dtls_context *ctx, int status, const char *format, ...)
{
	char *text = error_slot(ctx == NULL ? 0 : ctx->serial);
	va_list args;

	va_start(args, format);
	vsnprintf(text, ERROR_MAX, format, args);
	va_end(args);
	return status;
}

const char *dtls_context_error(const struct dtls_context *ctx)
{
	const char *text = find_error(ctx == NULL ? 0 : ctx->serial);

	return text == NULL ? "" : text;
}

const char *dtls_version(void)
{
	return VERSION;
}

const char *dtls_mbedtls_version(void)
{
	static _Thread_local char text[32];

	mbedtls_version_get_string(text);
	return text;
}

static int64_t monotonic_ms(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static uint64_t next_serial(void)
{
	static atomic_uint_fast64_t last;

	return atomic_fetch_add(&last, 1) + 1;
}

static void set_defaults(struct options *opt, enum dtls_protocol protocol)
{
	*opt = (struct options){.protocol = protocol,
	    .clock = monotonic_ms,
	    .min_ms = DEFAULT_MIN_MS,
	    .max_ms = DEFAULT_MAX_MS,
	    .jitter_percent = -1,
	    .mtu = DEFAULT_MTU};
	opt->verify_mode = options_is_server(opt) ? CERT_NONE : CERT_REQUIRED;
}

struct dtls_context *dtls_context_new(enum dtls_protocol protocol)
{
	struct dtls_context *ctx;
	char name[ERROR_NAME_MAX];
	int code;

	if ((unsigned)protocol > PROTOCOL_DTLS_SERVER) {
		context_fail(NULL, 0,
		    "protocol %d is none of PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER, "
		    "PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER",
		    (int)protocol);
		return NULL;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (ctx == NULL) {
		context_fail(NULL, 0, "out of memory");
		return NULL;
	}
	atomic_init(&ctx->refs, 1);
	ctx->serial = next_serial();
	pthread_mutex_init(&ctx->lock, NULL);
	set_defaults(&ctx->opt, protocol);
	cookie_jar_init(&ctx->cookies, &ctx->rng);
	resumer_init(&ctx->resumer);
	code = rng_init(&ctx->rng);
	if (code != 0) {
		context_fail(NULL, 0, "the random generator cannot be seeded (%s)", error_name(code, name));
		dtls_context_free(ctx);
		return NULL;
	}
	return ctx;
}

struct dtls_context *dtls_context_ref(struct dtls_context *ctx)
{
	atomic_fetch_add(&ctx->refs, 1);
	return ctx;
}

void dtls_context_free(struct dtls_context *ctx)
{
	if (ctx == NULL || atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	settings_free(ctx->snapshot);
	options_release(&ctx->opt);
	mbedtls_platform_zeroize(ctx->key_password, sizeof(ctx->key_password));
	cookie_jar_free(&ctx->cookies);
	resumer_free(&ctx->resumer);
	rng_free(&ctx->rng);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx);
}

void context_change(struct dtls_context *ctx)
{
	pthread_mutex_lock(&ctx->lock);
}

int context_changed(struct dtls_context *ctx)
{
	settings_free(ctx->snapshot);
	ctx->snapshot = NULL;
	pthread_mutex_unlock(&ctx->lock);
	return DTLS_OK;
}

static bool is_server(const struct dtls_context *ctx)
{
	return options_is_server(&ctx->opt);
}

/* ---- pre-shared keys ---- */

static int out_of_memory(const struct dtls_context *ctx)
{
	return context_fail(ctx, DTLS_FAIL, "out of memory");
}

static int replace_table(struct dtls_context *ctx, struct psk_table **slot, struct psk_table *table)
{
	context_change(ctx);
	psk_table_free(*slot);
	*slot = table;
	return context_changed(ctx);
}

int dtls_context_set_psk(
    struct dtls_context *ctx, const void *identity, size_t identity_len, const void *key, size_t key_len)
{
	char why[ERROR_MAX];
	struct psk_table *table;

	if (identity == NULL)
		return replace_table(ctx, &ctx->opt.psk.fixed, NULL);
	if (psk_check(identity_len, key_len, why, sizeof(why)) != NULL)
		return context_fail(ctx, DTLS_FAIL, "%s", why);
	table = psk_table_new();
	if (table == NULL || psk_table_add(table, identity, identity_len, key, key_len) != 0 ||
	    psk_table_seal(table) != 0) {
		psk_table_free(table);
		return out_of_memory(ctx);
	}
	return replace_table(ctx, &ctx->opt.psk.fixed, table);
}

/* The table that may be added to: one that was in no snapshot yet. Called with the lock held. */
static struct psk_table *own_table(struct dtls_context *ctx)
{
	struct psk_table *old = ctx->opt.psk.added, *table = old;

	if (old == NULL)
		table = psk_table_new();
	else if (ctx->added_sealed)
		table = psk_table_copy(old);
	if (table == NULL || table == old)
		return table;
	psk_table_free(old);
	ctx->opt.psk.added = table;
	ctx->added_sealed = false;
	return table;
}

int dtls_context_add_psk(
    struct dtls_context *ctx, const void *identity, size_t identity_len, const void *key, size_t key_len)
{
	char why[ERROR_MAX];
	struct psk_table *table;
	int failed;

	if (!is_server(ctx))
		return context_fail(ctx, DTLS_FAIL, "a client has one key: use dtls_context_set_psk()");
	if (psk_check(identity_len, key_len, why, sizeof(why)) != NULL)
		return context_fail(ctx, DTLS_FAIL, "%s", why);
	context_change(ctx);
	table = own_table(ctx);
	failed = table == NULL || psk_table_add(table, identity, identity_len, key, key_len) != 0;
	context_changed(ctx);
	return failed ? out_of_memory(ctx) : DTLS_OK;
}

int dtls_context_load_psk_file(struct dtls_context *ctx, const char *path)
{
	char why[ERROR_MAX];
	struct psk_table *table = psk_file_read(path, why, sizeof(why));

	if (table == NULL)
		return context_fail(ctx, DTLS_FAIL, "%s", why);
	if (!is_server(ctx) && psk_table_count(table) != 1) {
		context_fail(ctx, 0, "%s has %zu keys: a client's file has exactly one", path, psk_table_count(table));
		psk_table_free(table);
		return DTLS_FAIL;
	}
	return replace_table(ctx, is_server(ctx) ? &ctx->opt.psk.file : &ctx->opt.psk.fixed, table);
}

int dtls_context_add_psk_line(struct dtls_context *ctx, const char *line)
{
	char why[ERROR_MAX];
	struct psk_table *table = psk_table_new();
	const uint8_t *identity, *key;
	size_t identity_len, key_len;
	int status;

	if (table == NULL)
		return out_of_memory(ctx);
	if (psk_parse_line(line, strlen(line), table, why, sizeof(why)) != 0 || psk_table_seal(table) != 0) {
		psk_table_free(table);
		return context_fail(ctx, DTLS_FAIL, "%s", why);
	}
	identity = psk_table_identity(table, 0, &identity_len);
	key = psk_table_find(table, identity, identity_len, &key_len);
	status = is_server(ctx) ? dtls_context_add_psk(ctx, identity, identity_len, key, key_len)
				: dtls_context_set_psk(ctx, identity, identity_len, key, key_len);
	psk_table_free(table);
	return status;
}

int dtls_context_set_psk_lookup(struct dtls_context *ctx, dtls_psk_lookup *lookup, void *arg)
{
	if (!is_server(ctx))
		return context_fail(ctx, DTLS_FAIL, "a client looks up no keys: use dtls_context_set_psk()");
	context_change(ctx);
	ctx->opt.psk.lookup = lookup;
	ctx->opt.psk.lookup_arg = arg;
	return context_changed(ctx);
}

/* ---- versions, times and sizes ---- */

int dtls_context_set_max_version(struct dtls_context *ctx, enum dtls_version version)
{
	int ids[MBED_1_3_CIPHERS];

	if (version != DTLS_VERSION_1_2 && version != DTLS_VERSION_1_3)
		return context_fail(ctx, DTLS_FAIL, "version %d is neither 1.2 nor 1.3", (int)version);
	if (version == DTLS_VERSION_1_3 && !options_is_stream(&ctx->opt))
		return context_fail(ctx, DTLS_FAIL, "DTLS 1.3 is not in mbed TLS: DTLS 1.2 is the newest there is");
	if (version == DTLS_VERSION_1_3 && mbed_1_3_ciphers(ids) == 0)
		return context_fail(
		    ctx, DTLS_FAIL, "TLS 1.3 needs mbed TLS 3.6.6 or later, and this is %s", dtls_mbedtls_version());
	context_change(ctx);
	ctx->opt.max_version = version;
	return context_changed(ctx);
}

/* A stream has no datagrams to size, and resends nothing. */
static bool only_for_datagrams(const struct dtls_context *ctx, const char *what)
{
	if (options_is_stream(&ctx->opt))
		context_fail(ctx, 0, "%s is a setting for DTLS: this context is for TLS", what);
	return !options_is_stream(&ctx->opt);
}

int dtls_context_set_clock(struct dtls_context *ctx, dtls_clock *now_ms, void *arg)
{
	context_change(ctx);
	ctx->opt.clock = now_ms == NULL ? monotonic_ms : now_ms;
	ctx->opt.clock_arg = arg;
	return context_changed(ctx);
}

int dtls_context_set_handshake_timeout(struct dtls_context *ctx, int min_ms, int max_ms)
{
	if (min_ms < 1 || max_ms < min_ms || max_ms > TIMEOUT_MAX_MS)
		return context_fail(ctx, DTLS_FAIL,
		    "a handshake timeout of %d to %d ms is not within 1 <= min <= max <= %d", min_ms, max_ms,
		    TIMEOUT_MAX_MS);
	context_change(ctx);
	ctx->opt.min_ms = min_ms;
	ctx->opt.max_ms = max_ms;
	return context_changed(ctx);
}

int dtls_context_set_mtu(struct dtls_context *ctx, size_t mtu)
{
	if (!only_for_datagrams(ctx, "an MTU"))
		return DTLS_FAIL;
	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return context_fail(ctx, DTLS_FAIL, "an MTU of %zu is not within %d..%d bytes", mtu, MTU_MIN, MTU_MAX);
	context_change(ctx);
	ctx->opt.mtu = mtu;
	return context_changed(ctx);
}

int dtls_context_set_retransmit(struct dtls_context *ctx, enum dtls_retransmit how)
{
	if (!only_for_datagrams(ctx, "retransmission"))
		return DTLS_FAIL;
	if (how != DTLS_RETRANSMIT_ADAPTIVE && how != DTLS_RETRANSMIT_FIXED)
		return context_fail(ctx, DTLS_FAIL, "retransmission %d is neither adaptive nor fixed", (int)how);
	context_change(ctx);
	ctx->opt.retransmit = how;
	return context_changed(ctx);
}

int dtls_context_set_retransmit_jitter(struct dtls_context *ctx, int percent)
{
	if (!only_for_datagrams(ctx, "the jitter of retransmissions"))
		return DTLS_FAIL;
	if (percent < 0 || percent > 50)
		return context_fail(ctx, DTLS_FAIL, "a jitter of %d percent is not within 0..50", percent);
	context_change(ctx);
	ctx->opt.jitter_percent = percent;
	return context_changed(ctx);
}

int dtls_context_set_trace(struct dtls_context *ctx, dtls_trace *trace, void *arg)
{
	context_change(ctx);
	ctx->opt.trace = trace;
	ctx->opt.trace_arg = arg;
	return context_changed(ctx);
}

int dtls_context_set_keylog(struct dtls_context *ctx, dtls_keylog *log, void *arg)
{
	context_change(ctx);
	ctx->opt.keylog = log;
	ctx->opt.keylog_arg = arg;
	return context_changed(ctx);
}
