#include "backend.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

/* Fields that a later libcoap may give a meaning are not ignored. */
static bool psk_setup_is_plain(const char *what, const uint8_t reserved[7])
{
	static const uint8_t none[7];

	if (memcmp(reserved, none, sizeof(none)) == 0)
		return true;
	log_line(LOG_ERR, "DTLS: %s: reserved must be 0\n", what);
	return false;
}

/* ---- servers ---- */

static ssize_t copy_key(const struct session *s, const coap_bin_const_t *from, uint8_t *key, size_t key_max)
{
	if (from == NULL || from->s == NULL || from->length == 0)
		return 0;
	if (from->length > key_max) {
		log_line(LOG_WARNING,
		    "***%s: DTLS: the pre-shared key has %zu bytes, but mbed TLS %s takes at most %zu\n",
		    coap_session_str(s->coap), from->length, dtls_mbedtls_version(), key_max);
		return 0;
	}
	memcpy(key, from->s, from->length);
	return (ssize_t)from->length;
}

/* Whose it is libcoap is told at once, but for a handshake beside an open session, which has not proven anything. */
static void learn_identity(struct session *s, const coap_bin_const_t *identity)
{
	if (!s->is_next)
		coap_session_refresh_psk_identity(s->coap, identity);
	log_session(s, LOG_DEBUG, "identity of %zu bytes", identity->length);
}

void psk_learn_key(struct session *s, const coap_bin_const_t *key)
{
	coap_delete_bin_const(s->key);
	s->key = key == NULL || key->s == NULL ? NULL : coap_new_bin_const(key->s, key->length);
	if (!s->is_next)
		coap_session_refresh_psk_key(s->coap, s->key);
}

ssize_t psk_lookup(void *backend, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max)
{
	struct backend *b = backend;
	struct session *s = b->current;
	coap_bin_const_t id = {.length = identity_len, .s = identity};
	coap_bin_const_t everybody = {.length = b->spsk_key_len, .s = b->spsk_key};

	if (s == NULL || s->psk_refused)
		return 0;
	learn_identity(s, &id);
	if (b->spsk.validate_id_call_back == NULL)
		return copy_key(s, s->key != NULL ? s->key : &everybody, key, key_max);
	psk_learn_key(s, b->spsk.validate_id_call_back(&id, s->coap, b->spsk.id_call_back_arg));
	return copy_key(s, s->key, key, key_max);
}

static bool take_key(struct backend *b, const coap_bin_const_t *key)
{
	uint8_t *copy;

	if (key->length > dtls_psk_max()) {
		log_line(LOG_ERR, "DTLS: the pre-shared key has %zu bytes, but mbed TLS %s takes at most %zu\n",
		    key->length, dtls_mbedtls_version(), dtls_psk_max());
		return false;
	}
	copy = key->length == 0 ? NULL : malloc(key->length);
	if (key->length > 0 && copy == NULL)
		return false;
	if (copy != NULL)
		memcpy(copy, key->s, key->length);
	if (b->spsk_key != NULL)
		mbedtls_platform_zeroize(b->spsk_key, b->spsk_key_len);
	free(b->spsk_key);
	b->spsk_key = copy;
	b->spsk_key_len = key->length;
	return true;
}

int coap_dtls_context_set_spsk(coap_context_t *coap, coap_dtls_spsk_t *setup)
{
	struct backend *b = backend_find(coap);

	if (b == NULL || setup == NULL || !psk_setup_is_plain("coap_dtls_spsk_t", setup->reserved))
		return 0;
	if (b->server == NULL)
		b->server = keyring_new(b, true);
	if (b->server == NULL || !take_key(b, &setup->psk_info.key) || !keyring_add_psk(b->server))
		return 0;
	/* mbed TLS has no way to send one; a client that gets none uses the identity that it has (RFC 4279, 5.2). */
	if (setup->psk_info.hint.length > 0)
		log_line(LOG_INFO, "DTLS: clients are not sent the identity hint: mbed TLS cannot\n");
	b->spsk = *setup;
	b->has_spsk = b->has_keys = true;
	names_forget(b);
	return 1;
}

/* ---- clients ---- */

static struct keyring *with_key(struct backend *b, const coap_bin_const_t *identity, const coap_bin_const_t *key)
{
	struct keyring *k = keyring_new(b, false);

	if (k == NULL)
		return NULL;
	if (dtls_context_set_psk(k->ctx, identity->s, identity->length, key->s, key->length) == DTLS_OK) {
		k->has_psk = true;
		return k;
	}
	keyring_failed(k);
	keyring_free(k);
	return NULL;
}

int coap_dtls_context_set_cpsk(coap_context_t *coap, coap_dtls_cpsk_t *setup)
{
	struct backend *b = backend_find(coap);
	struct keyring *k;

	if (b == NULL || setup == NULL || !psk_setup_is_plain("coap_dtls_cpsk_t", setup->reserved))
		return 0;
	k = with_key(b, &setup->psk_info.identity, &setup->psk_info.key);
	if (k == NULL)
		return 0;
	keyring_free(b->client);
	b->client = k;
	b->cpsk = *setup;
	b->has_keys = true;
	return 1;
}

/* Whom the server's hint asks for. */
static struct dtls_context *choose_key(void *session, const uint8_t *hint, size_t len)
{
	struct session *s = session;
	coap_bin_const_t bytes = {.length = len, .s = hint};
	char text[COAP_DTLS_HINT_LENGTH + 1];
	coap_str_const_t said = {.length = len, .s = (const uint8_t *)text};
	const coap_dtls_cpsk_info_t *info;
	struct keyring *k;

	if (len >= sizeof(text))
		return NULL;
	memcpy(text, hint, len);
	text[len] = '\0';
	coap_session_refresh_psk_hint(s->coap, &bytes);
	info = s->choose_identity(&said, s->coap, s->choose_identity_arg);
	k = info == NULL ? NULL : with_key(s->backend, &info->identity, &info->key);
	if (k == NULL)
		return NULL;
	session_choose(s, k);
	coap_session_refresh_psk_identity(s->coap, &info->identity);
	coap_session_refresh_psk_key(s->coap, &info->key);
	return k->ctx;
}

struct keyring *psk_client_keyring(struct session *s)
{
	const coap_bin_const_t *identity = coap_session_get_psk_identity(s->coap);
	const coap_bin_const_t *key = coap_session_get_psk_key(s->coap);

	if (identity != NULL && identity->s != NULL && key != NULL && key->s != NULL)
		return with_key(s->backend, identity, key);
	log_line(LOG_ERR,
	    "***%s: DTLS: neither a pre-shared key nor certificates were set for this session: make it with "
	    "coap_new_client_session_psk2() or coap_new_client_session_pki()\n",
	    coap_session_str(s->coap));
	return NULL;
}

void psk_ask_for_hint(struct session *s, struct keyring *k)
{
	if (s->choose_identity != NULL)
		dtls_context_set_hint_callback(k->ctx, choose_key, s);
}
