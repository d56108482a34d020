#include "parked.h"

#include "mbed.h"

#include <mbedtls/platform_util.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct further { /* what only some sessions have */
	char *peer_name;
	size_t cert_len; /* it stands behind */
	uint32_t verify_flags;
	bool verify_ran;
	struct settings *first_settings; /* of one for which another context was chosen */
	struct dtls_context *chosen;
	const char *alpn; /* in either settings */
};

static const uint8_t *behind_session(const struct parked *p)
{
	return p->bytes + p->len;
}

static struct further further_of(const struct parked *p)
{
	struct further f = {.alpn = p->alpn == 0 ? NULL : p->settings->alpn[p->alpn - 1]};

	if (p->has_further)
		memcpy(&f, behind_session(p), sizeof(f));
	return f;
}

/* ---- what may be parked ---- */

bool parked_keeps_flight(const struct association *a)
{
	return mbed_keeps_flight(&a->ssl);
}

/* ---- taking it out ---- */

/* mbed TLS keeps to itself where it saves what. The window is believed to be in the place where it is found to be, that the
 * versions we know have it: behind it are the flag for packing, the next record's counter, the MTU, and no ALPN. */
enum { WINDOW_FROM_END = 8 + 8 + 1 + 8 + 2 + 1 };

static uint64_t get_64(const uint8_t *at)
{
	uint64_t value = 0;

	for (int i = 0; i < 8; i++)
		value = value << 8 | at[i];
	return value;
}

static bool finds_window(const struct parked *p, uint64_t top, uint64_t seen)
{
	const uint8_t *at = behind_session(p) - WINDOW_FROM_END;

	return p->len >= WINDOW_FROM_END && get_64(at) == top && get_64(at + 8) == seen;
}

static uint8_t index_of_alpn(const struct association *a)
{
	const char *name = mbedtls_ssl_get_alpn_protocol(&a->ssl);

	for (uint8_t i = 0; name != NULL && a->settings->alpn[i] != NULL; i++)
		if (a->settings->alpn[i] == name)
			return (uint8_t)(i + 1);
	return 0;
}

static bool has_further(const struct association *a)
{
	return a->verify_ran || a->peer_name != NULL || mbedtls_ssl_get_peer_cert(&a->ssl) != NULL || a->chosen != NULL;
}

static void release(struct parked *p)
{
	if (!p->in_room)
		free(p);
}

/* In the room if it is large enough for a session of so many bytes. */
static struct parked *describe(const struct association *a, size_t len, uint64_t *room)
{
	size_t cert_len, size, extra = 0;
	const uint8_t *cert = association_peer_cert(a, &cert_len);
	struct further f = {.peer_name = a->peer_name,
	    .cert_len = cert_len,
	    .verify_flags = a->verify_flags,
	    .verify_ran = a->verify_ran,
	    .first_settings = a->first_settings,
	    .chosen = a->chosen,
	    .alpn = mbedtls_ssl_get_alpn_protocol(&a->ssl)};
	struct parked *p;

	if (has_further(a))
		extra = sizeof(f) + cert_len;
	size = offsetof(struct parked, bytes) + len + extra;
	p = size <= PARKED_ROOM ? (struct parked *)room : malloc(size);
	if (p == NULL)
		return NULL;
	*p = (struct parked){
	    .identity = a->identity,
	    .suite = (uint16_t)mbed_suite(&a->ssl),
	    .max_payload = (uint16_t)association_max_payload(a),
	    .len = (uint16_t)len,
	    .identity_len = (uint8_t)a->identity_len,
	    .alpn = index_of_alpn(a),
	    .in_room = size <= PARKED_ROOM,
	    .identity_owned = a->identity_owned,
	    .has_further = extra != 0,
	};
	if (extra != 0)
		memcpy(p->bytes + len, &f, sizeof(f));
	if (cert_len != 0)
		memcpy(p->bytes + len + sizeof(f), cert, cert_len);
	return p;
}

/* The association gives away what it has told. */
static void bereave(struct association *a, struct parked *p)
{
	p->settings = settings_ref(a->settings);
	a->identity = NULL;
	a->identity_len = 0;
	a->identity_owned = false;
	a->peer_name = NULL;
	a->first_settings = NULL;
	a->chosen = NULL;
}

static bool is_pending(const struct association *a)
{
	return a->state != ASSOCIATION_OPEN || mbed_keeps_flight(&a->ssl) || association_has_input(a) || a->unsent ||
	       mbed_unsent(&a->ssl) != 0;
}

enum parked_result parked_take(
    struct parked **out, uint64_t room[PARKED_ROOM / 8], struct association *a, bool *reusable)
{
	const char *alpn = mbedtls_ssl_get_alpn_protocol(&a->ssl);
	uint64_t top, seen;
	struct parked *p;
	size_t len = 0;
	int code;

	if (is_pending(a))
		return PARKED_NOT_NOW;
	mbed_set_alpn(&a->ssl, NULL);
	code = mbedtls_ssl_context_save(&a->ssl, NULL, 0, &len);
	mbed_set_alpn(&a->ssl, alpn);
	if (code != MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL || len > UINT16_MAX)
		return PARKED_REFUSED;
	p = describe(a, len, room);
	if (p == NULL)
		return PARKED_NOT_NOW;
	mbed_window(&a->ssl, &top, &seen);
	mbed_set_alpn(&a->ssl, NULL);
	code = mbedtls_ssl_context_save(&a->ssl, p->bytes, len, &len);
	/* Behind saving it resets the context: when that fails, there still is no session in it any more. */
	if (code != 0 && mbed_is_open(&a->ssl)) {
		mbed_set_alpn(&a->ssl, alpn);
		parked_wipe(p);
		release(p);
		return PARKED_REFUSED;
	}
	p->window_known = finds_window(p, top, seen);
	bereave(a, p);
	*out = p;
	*reusable = code == 0;
	return PARKED_OK;
}

/* ---- putting it back ---- */

int parked_load(struct parked *p, struct association *a)
{
	struct further f = further_of(p);
	int code = mbedtls_ssl_context_load(&a->ssl, p->bytes, p->len); /* what is wiped has no header, and fails */

	parked_wipe(p);
	if (code != 0)
		return code;
	mbed_set_alpn(&a->ssl, f.alpn);
	association_reopen(a);
	a->verify_ran = f.verify_ran;
	a->verify_flags = f.verify_flags;
	return 0;
}

void parked_give(struct parked *p, struct association *a)
{
	struct further f = further_of(p);

	association_borrow_identity(a, p->identity, p->identity_len);
	a->identity_owned = p->identity_owned;
	a->peer_name = f.peer_name;
	a->first_settings = f.first_settings;
	a->chosen = f.chosen;
	settings_free(p->settings);
	release(p);
}

void parked_wipe(struct parked *p)
{
	mbedtls_platform_zeroize(p->bytes, p->len);
}

void parked_free(struct parked *p)
{
	struct further f;

	if (p == NULL)
		return;
	f = further_of(p);
	parked_wipe(p);
	if (p->identity_owned)
		free((void *)(uintptr_t)p->identity);
	free(f.peer_name);
	settings_free(f.first_settings);
	dtls_context_free(f.chosen);
	settings_free(p->settings);
	release(p);
}

/* ---- what it tells while it is parked ---- */

/* Of CCM_8 with its explicit nonce (RFC 6655, 3) and of ChaCha20-Poly1305 (RFC 7905, 2); the others add more. */
enum { AEAD_EXPANSION_MIN = 16 };

/* RFC 6347, 4.1.2.6: older than the window, or seen before. */
static bool is_repeated(const struct parked *p, uint64_t seq)
{
	const uint8_t *at = behind_session(p) - WINDOW_FROM_END;
	uint64_t top, seen;

	if (!p->window_known)
		return false;
	top = get_64(at);
	seen = get_64(at + 8);
	return seq <= top && (top - seq >= 64 || (seen >> (top - seq) & 1) != 0);
}

bool parked_could_read(const struct parked *p, const struct record *r)
{
	return r->epoch == 1 && r->version == 0xfefd && r->type != RECORD_CHANGE_CIPHER_SPEC &&
	       r->len > AEAD_EXPANSION_MIN && !is_repeated(p, r->seq);
}

const char *parked_cipher(const struct parked *p)
{
	return mbedtls_ssl_get_ciphersuite_name(p->suite);
}

const char *parked_alpn(const struct parked *p)
{
	return further_of(p).alpn;
}

const uint8_t *parked_cert(const struct parked *p, size_t *len)
{
	*len = further_of(p).cert_len;
	return *len == 0 ? NULL : behind_session(p) + sizeof(struct further);
}

const char *parked_peer_name(const struct parked *p)
{
	return further_of(p).peer_name;
}

int64_t parked_verify_result(const struct parked *p)
{
	struct further f = further_of(p);

	return f.verify_ran ? (int64_t)f.verify_flags : -1;
}
