#include "peertable.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SIZE = 64, MOVED_AT_ONCE = 4, BLOCK = 16 };

int peertable_init(struct peertable *t, struct rng *rng)
{
	unsigned char key[BLOCK];
	int code;

	*t = (struct peertable){0};
	mbedtls_aes_init(&t->key);
	t->buckets = calloc(FIRST_SIZE, sizeof(*t->buckets));
	if (t->buckets == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	t->size = FIRST_SIZE;
	code = rng_bytes(rng, key, sizeof(key));
	return code != 0 ? code : mbedtls_aes_setkey_enc(&t->key, key, 8 * sizeof(key));
}

void peertable_free(struct peertable *t)
{
	mbedtls_aes_free(&t->key);
	free(t->buckets);
	free(t->old);
}

static uint32_t hash_of(struct peertable *t, const struct address *peer, const struct address *local)
{
	uint8_t key[ADDRESS_PAIR_KEY], out[ADDRESS_PAIR_KEY], iv[BLOCK] = {0};
	size_t len = address_pair_key(peer, local, key);
	uint32_t hash;

	if (len == BLOCK)
		mbedtls_aes_crypt_ecb(&t->key, MBEDTLS_AES_ENCRYPT, key, iv);
	else
		mbedtls_aes_crypt_cbc(&t->key, MBEDTLS_AES_ENCRYPT, len, iv, key, out);
	memcpy(&hash, iv, sizeof(hash));
	return hash;
}

static struct dtls_peer **bucket_of(struct peertable *t, uint32_t hash)
{
	size_t old = t->old == NULL ? 0 : hash & (t->old_size - 1);

	if (t->old != NULL && old >= t->moved)
		return &t->old[old];
	return &t->buckets[hash & (t->size - 1)];
}

static void move_some(struct peertable *t)
{
	for (int i = 0; t->old != NULL && i < MOVED_AT_ONCE; i++) {
		struct dtls_peer *peer = t->old[t->moved], *next;

		for (; peer != NULL; peer = next) {
			struct dtls_peer **to = &t->buckets[peer->hash & (t->size - 1)];

			next = peer->chain;
			peer->chain = *to;
			*to = peer;
		}
		if (++t->moved < t->old_size)
			continue;
		free(t->old);
		t->old = NULL;
	}
}

/* Without memory the chains grow longer instead. */
static void grow(struct peertable *t)
{
	struct dtls_peer **larger;

	if (t->old != NULL || t->count < t->size)
		return;
	larger = calloc(2 * t->size, sizeof(*larger));
	if (larger == NULL)
		return;
	t->old = t->buckets;
	t->old_size = t->size;
	t->moved = 0;
	t->buckets = larger;
	t->size *= 2;
}

struct dtls_peer *peertable_find(struct peertable *t, const struct address *addr, const struct address *local)
{
	struct dtls_peer *peer;
	uint32_t hash;

	if (t->count == 0)
		return NULL;
	move_some(t);
	hash = hash_of(t, addr, local);
	for (peer = *bucket_of(t, hash); peer != NULL; peer = peer->chain)
		if (peer->hash == hash && address_equal(&peer->addr, addr) && address_equal(&peer->local, local))
			return peer;
	return NULL;
}

void peertable_insert(struct peertable *t, struct dtls_peer *peer)
{
	struct dtls_peer **bucket;

	grow(t);
	move_some(t);
	peer->hash = hash_of(t, &peer->addr, &peer->local);
	bucket = bucket_of(t, peer->hash);
	peer->chain = *bucket;
	*bucket = peer;
	t->count++;
}

void peertable_remove(struct peertable *t, struct dtls_peer *peer)
{
	struct dtls_peer **at = bucket_of(t, peer->hash);

	while (*at != NULL && *at != peer)
		at = &(*at)->chain;
	if (*at == NULL)
		return;
	*at = peer->chain;
	peer->chain = NULL;
	t->count--;
}
