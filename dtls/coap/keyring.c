#include "backend.h"

#include <stdlib.h>
#include <string.h>

/* What libcoap's own backends have: the first timer 1 s, and given up at the fifth. */
enum { FIRST_MS = 1000, LAST_MS = 16000, SUITES_MAX = 64 };

bool keyring_failed(const struct keyring *k)
{
	log_line(LOG_ERR, "DTLS: %s\n", dtls_context_error(k->ctx));
	return false;
}

struct keyring *keyring_new(struct backend *b, bool is_server)
{
	struct keyring *k = calloc(1, sizeof(*k));

	if (k == NULL) {
		log_line(LOG_ERR, "DTLS: out of memory\n");
		return NULL;
	}
	k->refs = 1;
	k->backend = b;
	k->is_server = is_server;
	mbedtls_x509_crl_init(&k->crls);
	k->ctx = dtls_context_new(is_server ? PROTOCOL_DTLS_SERVER : PROTOCOL_DTLS_CLIENT);
	if (k->ctx == NULL) {
		keyring_failed(k);
		keyring_free(k);
		return NULL;
	}
	dtls_context_set_handshake_timeout(k->ctx, FIRST_MS, LAST_MS);
	dtls_context_set_mtu(k->ctx, COAP_DEFAULT_MTU);
	return k;
}

struct keyring *keyring_ref(struct keyring *k)
{
	k->refs++;
	return k;
}

void keyring_free(struct keyring *k)
{
	if (k == NULL || --k->refs > 0)
		return;
	dtls_context_free(k->ctx);
	mbedtls_x509_crl_free(&k->crls);
	free(k->server_name);
	free(k);
}

/* A context with a pre-shared key offers suites with one alone, unless it is told all of them. */
static bool offer_both(struct keyring *k)
{
	const char *suites[2 * SUITES_MAX];
	size_t count = dtls_context_get_ciphers(k->ctx, suites + SUITES_MAX, SUITES_MAX), psk;

	if (dtls_context_set_psk_lookup(k->ctx, psk_lookup, k->backend) != DTLS_OK)
		return keyring_failed(k);
	psk = dtls_context_get_ciphers(k->ctx, suites, SUITES_MAX);
	memmove(suites + psk, suites + SUITES_MAX, count * sizeof(*suites));
	return dtls_context_set_ciphers(k->ctx, suites, psk + count) == DTLS_OK || keyring_failed(k);
}

bool keyring_add_psk(struct keyring *k)
{
	if (k->has_psk)
		return true;
	k->has_psk = k->has_pki
			 ? offer_both(k)
			 : dtls_context_set_psk_lookup(k->ctx, psk_lookup, k->backend) == DTLS_OK || keyring_failed(k);
	return k->has_psk &&
	       (dtls_context_set_name_callback(k->ctx, names_choose, k->backend) == DTLS_OK || keyring_failed(k));
}
