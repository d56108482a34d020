#include "settings.h"

#include "association.h"
#include "choice.h"
#include "error.h"
#include "keylog.h"
#include "mbed.h"
#include "resume.h"

#include <limits.h>
#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

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

/* Those of 1.2 are the caller's choice; those of 1.3 are added where it is allowed. */
static const int *all_ciphers(struct settings *s)
{
	const int *of_1_2 = options_ciphers(&s->opt);
	size_t n = 0;

	if (s->opt.max_version != DTLS_VERSION_1_3)
		return of_1_2;
	n = mbed_1_3_ciphers(s->ciphers);
	for (; *of_1_2 != 0; of_1_2++)
		s->ciphers[n++] = *of_1_2;
	s->ciphers[n] = 0;
	return s->ciphers;
}

static void configure_versions(struct settings *s)
{
	bool with_1_3 = s->opt.max_version == DTLS_VERSION_1_3;

	mbed_conf_versions(&s->conf, with_1_3);
	mbed_conf_groups(&s->conf);
	mbedtls_ssl_conf_ciphersuites(&s->conf, all_ciphers(s));
	if (with_1_3)
		mbed_conf_1_3_keys(&s->conf, options_only_psk(&s->opt));
}

static void configure_datagrams(struct settings *s)
{
	mbedtls_ssl_conf_handshake_timeout(&s->conf, TIMER_UNIT_MS, INT32_MAX);
	mbedtls_ssl_conf_dtls_badmac_limit(&s->conf, UINT_MAX); /* counts them, ends nothing */
	if (settings_is_server(s))
		mbedtls_ssl_conf_dtls_cookies(&s->conf, no_cookie_write, cookie_was_checked, NULL);
}

static int configure_psk(struct settings *s)
{
	const uint8_t *identity, *key;
	size_t identity_len, key_len;

	if (!options_any_psk(&s->opt))
		return 0;
	if (settings_is_server(s)) {
		mbedtls_ssl_conf_psk_cb(&s->conf, association_psk, s);
		return 0;
	}
	if (s->opt.psk.fixed == NULL)
		return 0;
	identity = psk_table_identity(s->opt.psk.fixed, 0, &identity_len);
	key = psk_table_find(s->opt.psk.fixed, identity, identity_len, &key_len);
	return mbedtls_ssl_conf_psk(&s->conf, key, key_len, identity, identity_len);
}

static int authmode(const struct settings *s)
{
	if (s->opt.verify_mode == CERT_NONE)
		return MBEDTLS_SSL_VERIFY_NONE;
	return settings_is_server(s) && s->opt.verify_mode == CERT_OPTIONAL ? MBEDTLS_SSL_VERIFY_OPTIONAL
									    : MBEDTLS_SSL_VERIFY_REQUIRED;
}

static int configure_certificates(struct settings *s)
{
	struct trust *t = s->opt.trust;

	mbedtls_ssl_conf_authmode(&s->conf, authmode(s));
	mbed_conf_profile(&s->conf);
	if (t != NULL)
		mbedtls_ssl_conf_ca_chain(&s->conf, &t->cas, t->crl_count > 0 ? &t->crls : NULL);
	else if (s->opt.overrule != NULL)
		mbedtls_ssl_conf_ca_chain(&s->conf, &s->nobody, NULL);
	if (settings_is_server(s) && (s->opt.own_count > 0 || s->opt.choose_name != NULL))
		mbedtls_ssl_conf_sni(&s->conf, choice_by_name, s);
	if (s->opt.own_count == 0)
		return 0;
	return mbedtls_ssl_conf_own_cert(&s->conf, &s->opt.own[0]->chain, &s->opt.own[0]->key);
}

static int configure_alpn(struct settings *s)
{
	const char *name = s->opt.alpn;

	for (size_t i = 0; i < s->opt.alpn_count; i++) {
		s->alpn[i] = name;
		name += strlen(name) + 1;
	}
	return s->opt.alpn_count == 0 ? 0 : mbedtls_ssl_conf_alpn_protocols(&s->conf, s->alpn);
}

static int configure(struct settings *s, struct rng *rng)
{
	int side = settings_is_server(s) ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;
	int transport = settings_is_stream(s) ? MBEDTLS_SSL_TRANSPORT_STREAM : MBEDTLS_SSL_TRANSPORT_DATAGRAM;
	int code = mbedtls_ssl_config_defaults(&s->conf, side, transport, MBEDTLS_SSL_PRESET_DEFAULT);

	if (code != 0)
		return code;
	configure_versions(s);
	mbedtls_ssl_conf_rng(&s->conf, resume_rng, rng);
	if (s->opt.keylog != NULL)
		s->exporter = (struct mbed_exporter){keylog_secret, s};
	mbed_conf_export(&s->conf, &s->exporter);
	if (!settings_is_stream(s))
		configure_datagrams(s);
#if defined(MBEDTLS_SSL_RENEGOTIATION)
	mbedtls_ssl_conf_renegotiation(&s->conf, MBEDTLS_SSL_RENEGOTIATION_DISABLED);
#endif
	code = resume_configure(s);
	if (code == 0)
		code = configure_certificates(s);
	if (code == 0)
		code = configure_alpn(s);
	return code == 0 ? configure_psk(s) : code;
}

static bool has_ca(const struct options *opt)
{
	return opt->trust != NULL && opt->trust->ca_count > 0;
}

/* Combinations are judged when a connection or an endpoint is made. NULL, or what is wrong. */
static const char *judge_both(const struct options *opt)
{
	if (opt->verify_mode == CERT_NONE && opt->trust != NULL)
		return "a CA is loaded that the verify mode CERT_NONE would not use";
	if (opt->verify_mode == CERT_NONE && opt->verify != NULL)
		return "a verify callback is set that the verify mode CERT_NONE would not call";
	if (opt->verify_mode == CERT_NONE && opt->overrule != NULL)
		return "an overruling callback is set that the verify mode CERT_NONE would not call";
	if (opt->max_version == DTLS_VERSION_1_3 && opt->choose_name != NULL)
		return "a name callback is set, which TLS 1.3 would not call";
	if (opt->max_version == DTLS_VERSION_1_3 && options_any_psk(opt) && !options_only_psk(opt))
		return "TLS 1.3 takes either pre-shared keys or certificates: name cipher suites of one kind";
	return NULL;
}

static const char *judge_client(const struct options *opt)
{
	if (options_only_psk(opt))
		return opt->psk.fixed != NULL
			   ? NULL
			   : "a client needs a pre-shared key, or a CA to verify the server with: call "
			     "dtls_context_set_psk() or dtls_context_load_verify_locations() first";
	if (opt->choose_key != NULL)
		return "a hint callback is set, but suites without a pre-shared key are offered, too: name PSK suites "
		       "alone";
	if (opt->verify_mode != CERT_NONE && !has_ca(opt) && opt->overrule == NULL)
		return "CERT_REQUIRED needs a CA to verify the server with: call dtls_context_load_verify_locations(), "
		       "or "
		       "choose CERT_NONE";
	return NULL;
}

static const char *judge_server(const struct options *opt)
{
	if (opt->verify_mode != CERT_NONE && !has_ca(opt) && opt->overrule == NULL)
		return "clients are to be verified, but no CA is loaded: call dtls_context_load_verify_locations()";
	if (!options_have_psk(opt) && opt->own_count == 0)
		return "a server needs a pre-shared key or a certificate: call dtls_context_add_psk(), "
		       "dtls_context_load_psk_file(), dtls_context_set_psk_lookup() or dtls_context_load_cert_chain() "
		       "first";
	return NULL;
}

void options_hold(struct options *opt)
{
	struct psk_table **tables[] = {&opt->psk.fixed, &opt->psk.added, &opt->psk.file};

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		if (*tables[i] != NULL)
			psk_table_ref(*tables[i]);
	for (size_t i = 0; i < opt->own_count; i++)
		credentials_ref(opt->own[i]);
	if (opt->trust != NULL)
		trust_ref(opt->trust);
}

void options_release(struct options *opt)
{
	psk_table_free(opt->psk.fixed);
	psk_table_free(opt->psk.added);
	psk_table_free(opt->psk.file);
	for (size_t i = 0; i < opt->own_count; i++)
		credentials_free(opt->own[i]);
	trust_free(opt->trust);
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
	s->serial = ++ctx->snapshots;
	s->opt = ctx->opt;
	options_hold(&s->opt);
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
	const char *why;

	pthread_mutex_lock(&ctx->lock);
	why = judge_both(&ctx->opt);
	if (why == NULL)
		why = options_is_server(&ctx->opt) ? judge_server(&ctx->opt) : judge_client(&ctx->opt);
	pthread_mutex_unlock(&ctx->lock);
	if (why != NULL)
		context_fail(ctx, 0, "%s", why);
	return why == NULL;
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
	options_release(&s->opt);
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
