#include "ticket.h"

#include <mbedtls/platform_util.h>

/* NIST SP 800-38D, 8.3: no more than that under one key where nonces are random. */
static const uint64_t sealed_max = (uint64_t)1 << 32;

void ticket_keys_init(struct ticket_keys *k)
{
	*k = (struct ticket_keys){.current = 0};
	mbedtls_gcm_init(&k->keys[0].gcm);
	mbedtls_gcm_init(&k->keys[1].gcm);
}

static void drop(struct ticket_key *key)
{
	mbedtls_gcm_free(&key->gcm);
	mbedtls_gcm_init(&key->gcm);
	key->usable = false;
	key->sealed = 0;
}

void ticket_keys_free(struct ticket_keys *k)
{
	drop(&k->keys[0]);
	drop(&k->keys[1]);
}

static int make_key(struct ticket_key *key, struct rng *rng)
{
	uint8_t random[32];
	int code;

	drop(key);
	code = rng_bytes(rng, random, sizeof(random));
	if (code == 0)
		code = mbedtls_gcm_setkey(&key->gcm, MBEDTLS_CIPHER_ID_AES, random, 8 * sizeof(random));
	key->usable = code == 0;
	mbedtls_platform_zeroize(random, sizeof(random));
	return code;
}

/* Drops what is too old to open anything. */
static void expire(struct ticket_keys *k, int64_t now, int64_t period)
{
	if (now - k->rotated_at >= period)
		drop(&k->keys[!k->current]);
	if (now - k->rotated_at >= 2 * period)
		drop(&k->keys[k->current]);
}

static int rotate(struct ticket_keys *k, struct rng *rng, int64_t now, int64_t period)
{
	const struct ticket_key *key = &k->keys[k->current];
	bool late;
	int code;

	expire(k, now, period);
	late = key->usable && now - k->rotated_at >= period;
	if (key->usable && !late && key->sealed < sealed_max)
		return 0;
	code = make_key(&k->keys[!k->current], rng);
	if (code != 0)
		return code;
	k->keys[!k->current].number = (uint8_t)(key->number + 1);
	k->current = !k->current;
	/* When nobody asked in time the rotation was due earlier: the previous key must not live longer for it. */
	k->rotated_at = late ? k->rotated_at + period : now;
	return 0;
}

int ticket_seal(struct ticket_keys *k, struct rng *rng, int64_t now, int64_t period, struct bytes plain, uint8_t *out)
{
	int code = rotate(k, rng, now, period);
	struct ticket_key *key = &k->keys[k->current];
	uint8_t *nonce = out + TICKET_NAME, *sealed = nonce + TICKET_NONCE;

	if (code == 0)
		code = rng_bytes(rng, nonce, TICKET_NONCE);
	if (code != 0)
		return code;
	key->sealed++;
	out[0] = key->number;
	return mbedtls_gcm_crypt_and_tag(&key->gcm, MBEDTLS_GCM_ENCRYPT, plain.len, nonce, TICKET_NONCE, out,
	    TICKET_NAME, plain.at, sealed, TICKET_TAG, sealed + plain.len);
}

bool ticket_open(struct ticket_keys *k, int64_t now, int64_t period, struct bytes ticket, uint8_t *out)
{
	const uint8_t *nonce = ticket.at + TICKET_NAME, *sealed = nonce + TICKET_NONCE;

	expire(k, now, period);
	if (ticket.len <= TICKET_OVERHEAD)
		return false;
	for (int i = 0; i < 2; i++) {
		struct ticket_key *key = &k->keys[i];
		size_t len = ticket.len - TICKET_OVERHEAD;

		if (key->usable && key->number == ticket.at[0])
			return mbedtls_gcm_auth_decrypt(&key->gcm, len, nonce, TICKET_NONCE, ticket.at, TICKET_NAME,
				   sealed + len, TICKET_TAG, sealed, out) == 0;
	}
	return false;
}
