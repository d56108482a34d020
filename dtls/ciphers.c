#include "error.h"
#include "settings.h"

#include <mbedtls/ssl_ciphersuites.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Forward secrecy first, then CCM before GCM: mbed TLS's CCM is the faster one, and RFC 7925, 4.2 and 4.4 ask for
 * CCM_8. Each list ends with 0. */
static const int psk_ciphers[] = {MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, MBEDTLS_TLS_PSK_WITH_AES_128_CCM, MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_PSK_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, 0};
static const int certificate_ciphers[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, 0};
/* RFC 9325, 4.2: only for callers who name them, and only with encrypt-then-MAC. */
static const int cbc_ciphers[] = {MBEDTLS_TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384, MBEDTLS_TLS_PSK_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_PSK_WITH_AES_256_CBC_SHA384, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384, 0};

static bool is_in(const int *list, int id)
{
	while (*list != 0 && *list != id)
		list++;
	return *list == id && id != 0;
}

bool options_have_psk(const struct options *opt)
{
	return opt->psk.fixed != NULL || opt->psk.added != NULL || opt->psk.file != NULL || opt->psk.lookup != NULL;
}

/* A client that verifies nothing needs nothing for it. */
static bool uses_certificates(const struct options *opt)
{
	return opt->own_count > 0 || opt->trust != NULL || opt->overrule != NULL ||
	       (!options_is_server(opt) && opt->verify_mode == CERT_NONE);
}

const int *options_ciphers(const struct options *opt)
{
	if (opt->ciphers[0] != 0)
		return opt->ciphers;
	return options_have_psk(opt) || !uses_certificates(opt) ? psk_ciphers : certificate_ciphers;
}

static bool is_psk(int id)
{
	return strstr(mbedtls_ssl_get_ciphersuite_name(id), "PSK-") != NULL;
}

bool options_any_psk(const struct options *opt)
{
	const int *id = options_ciphers(opt);

	while (*id != 0 && !is_psk(*id))
		id++;
	return *id != 0;
}

bool options_only_psk(const struct options *opt)
{
	for (const int *id = options_ciphers(opt); *id != 0; id++)
		if (!is_psk(*id))
			return false;
	return true;
}

/* 0: no such suite, or none that is acceptable. */
static int cipher_id(const char *name)
{
	char dashed[80];
	size_t len = strlen(name);
	int id;

	if (len >= sizeof(dashed))
		return 0;
	for (size_t i = 0; i <= len; i++)
		dashed[i] = name[i] == '_' ? '-' : name[i];
	id = mbedtls_ssl_get_ciphersuite_id(dashed);
	return is_in(psk_ciphers, id) || is_in(certificate_ciphers, id) || is_in(cbc_ciphers, id) ? id : 0;
}

int dtls_context_set_ciphers(struct dtls_context *ctx, const char *const names[], size_t count)
{
	int ids[CIPHERS_MAX + 1] = {0};

	if (count == 0 || count > CIPHERS_MAX)
		return context_fail(
		    ctx, DTLS_FAIL, "a list of 1 to %d cipher suites is needed, not %zu", CIPHERS_MAX, count);
	for (size_t i = 0; i < count; i++) {
		char name[100];

		error_bytes(names[i], strlen(names[i]), name, sizeof(name));
		ids[i] = cipher_id(names[i]);
		if (ids[i] == 0)
			return context_fail(
			    ctx, DTLS_FAIL, "cipher suite \"%s\" is unknown, or weaker than is accepted here", name);
		for (size_t k = 0; k < i; k++)
			if (ids[k] == ids[i])
				return context_fail(ctx, DTLS_FAIL, "cipher suite \"%s\" is named twice", name);
	}
	context_change(ctx);
	memcpy(ctx->opt.ciphers, ids, sizeof(ids));
	return context_changed(ctx);
}

size_t dtls_context_get_ciphers(const struct dtls_context *ctx, const char *names[], size_t max)
{
	pthread_mutex_t *lock = &((struct dtls_context *)(uintptr_t)ctx)->lock;
	const int *ids;
	size_t n = 0;

	pthread_mutex_lock(lock);
	ids = options_ciphers(&ctx->opt);
	for (; ids[n] != 0; n++)
		if (n < max)
			names[n] = mbedtls_ssl_get_ciphersuite_name(ids[n]);
	pthread_mutex_unlock(lock);
	return n;
}
