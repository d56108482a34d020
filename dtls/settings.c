#include "settings.h"

#include "association.h"
#include "error.h"
#include "mbed.h"

#include <limits.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>

/* The gate has checked the cookie of every hello that reaches mbed TLS, and never lets it write one. */
static int no_cookie_write(void *arg, unsigned char **p, unsigned char *end, const unsigned char *id, size_t id_len)
{
	(void)arg, (void)p, (void)end, (void)id, (void)id_len;
	return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int cookie_was_checked(
    void *arg, const unsigned char *cookie, size_t len, const unsigned char *id, size_t id_len)
{
	(void)arg, (void)cookie, (void)len, (void)id, (void)id_len;
	return 0;
}

static int configure_psk(struct settings *s)
{
	const uint8_t *identity, *key;
	size_t identity_len, key_len;

	if (settings_is_server(s)) {
		mbedtls_ssl_conf_psk_cb(&s->conf, association_psk, s);
		return 0;
	}
	identity = psk_table_identity(s->opt.psk.fixed, 0, &identity_len);
	key = psk_table_find(s->opt.psk.fixed, identity, identity_len, &key_len);
	return mbedtls_ssl_conf_psk(&s->conf, key, key_len, identity, identity_len);
}

static int configure(struct settings *s, struct rng *rng)
{
	int side = settings_is_server(s) ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
	int code =
	    mbedtls_ssl_config_defaults(&s->conf, side, MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (code != 0)
		return code;
	mbed_conf_only_1_2(&s->conf);
	mbedtls_ssl_conf_rng(&s->conf, rng_bytes, rng);
	mbedtls_ssl_conf_ciphersuites(&s->conf, s->opt.ciphers);
	mbedtls_ssl_conf_handshake_timeout(&s->conf, TIMER_UNIT_MS, INT32_MAX);
	mbedtls_ssl_conf_dtls_badmac_limit(&s->conf, UINT_MAX); /* counts them, ends nothing */
#if defined(MBEDTLS_SSL_RENEGOTIATION)
	mbedtls_ssl_conf_renegotiation(&s->conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
	if (side == MBEDTLS_SSL_IS_SERVER)
		mbedtls_ssl_conf_dtls_cookies(&s->conf, no_cookie_write, cookie_was_checked, NULL);
	else
		mbedtls_ssl_conf_session_tickets(&s->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	return configure_psk(s);
}

static bool has_key(const struct dtls_context *ctx)
{
	const struct psk_sources *psk = &ctx->opt.psk;

	if (psk->fixed != NULL)
		return true;
	if (ctx->opt.protocol == PROTOCOL_DTLS_CLIENT) {
		context_fail(ctx, 0, "a client needs a pre-shared key: call dtls_context_set_psk() first");
		return false;
	}
	if (psk->added == NULL && psk->file == NULL && psk->lookup == NULL) {
		context_fail(ctx, 0,
		    "a server needs a pre-shared key: call dtls_context_add_psk(), "
		    "dtls_context_load_psk_file() or dtls_context_set_psk_lookup() first");
		return false;
	}
	return true;
}

static struct psk_table *share(struct psk_table *table)
{
	return table == NULL ? NULL : psk_table_ref(table);
}

static struct settings *build(struct dtls_context *ctx)
{
	struct settings *s;
	char name[ERROR_NAME_MAX];
	int code;

	s = calloc(1, sizeof(*s));
	if (s == NULL || (ctx->opt.psk.added != NULL && psk_table_seal(ctx->opt.psk.added) != 0)) {
		free(s);
		context_fail(ctx, 0, "out of memory");
		return NULL;
	}
	ctx->added_sealed = true;
	atomic_init(&s->refs, 1);
	s->opt = ctx->opt;
	s->opt.psk.fixed = share(s->opt.psk.fixed);
	s->opt.psk.added = share(s->opt.psk.added);
	s->opt.psk.file = share(s->opt.psk.file);
	s->give_up_ms = timer_schedule_sum(s->opt.min_ms, s->opt.max_ms);
	mbedtls_ssl_config_init(&s->conf);
	code = rng_bytes(&ctx->rng, s->decoy, sizeof(s->decoy));
	if (code == 0)
		code = configure(s, &ctx->rng);
	if (code == 0)
		return s;
	context_fail(ctx, 0, "mbed TLS refuses these settings (%s)", error_name(code, name));
	settings_free(s);
	return NULL;
}

bool context_judge(struct dtls_context *ctx)
{
	bool ok;

	pthread_mutex_lock(&ctx->lock);
	ok = has_key(ctx);
	pthread_mutex_unlock(&ctx->lock);
	return ok;
}

struct settings *context_snapshot(struct dtls_context *ctx)
{
	struct settings *s;

	pthread_mutex_lock(&ctx->lock);
	if (ctx->snapshot == NULL)
		ctx->snapshot = build(ctx);
	s = ctx->snapshot;
	if (s != NULL)
		atomic_fetch_add(&s->refs, 1);
	pthread_mutex_unlock(&ctx->lock);
	return s;
}

struct settings *settings_ref(struct settings *s)
{
	atomic_fetch_add(&s->refs, 1);
	return s;
}

void settings_free(struct settings *s)
{
	if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	mbedtls_ssl_config_free(&s->conf);
	psk_table_free(s->opt.psk.fixed);
	psk_table_free(s->opt.psk.added);
	psk_table_free(s->opt.psk.file);
	mbedtls_platform_zeroize(s->decoy, sizeof(s->decoy));
	free(s);
}

const uint8_t *settings_find_key(
    const struct settings *s, const uint8_t *identity, size_t len, uint8_t *space, size_t *key_len)
{
	const struct psk_sources *psk = &s->opt.psk;
	struct psk_table *tables[] = {psk->fixed, psk->added, psk->file};
	ssize_t n;

	if (len == 0 || len > DTLS_PSK_IDENTITY_MAX)
		return NULL;
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		const uint8_t *key = psk_table_find(tables[i], identity, len, key_len);

		if (key != NULL)
			return key;
	}
	if (psk->lookup == NULL)
		return NULL;
	n = psk->lookup(psk->lookup_arg, identity, len, space, dtls_psk_max());
	if (n <= 0 || (size_t)n > dtls_psk_max())
		return NULL;
	*key_len = (size_t)n;
	return space;
}
