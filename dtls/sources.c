#include "sources.h"

#include <mbedtls/ssl.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 };

/* A millisecond brings per_s thousandths back: whole numbers, nothing is lost by rounding. */
enum { ONE = 1000 };

int sources_init(struct sources *s, struct rng *rng, unsigned per_s, unsigned burst)
{
	unsigned char key[BLOCK];
	int code;

	*s = (struct sources){.per_s = per_s, .burst = burst};
	mbedtls_aes_init(&s->key);
	s->sets = malloc(SOURCE_SETS * sizeof(*s->sets));
	if (s->sets == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	/* Written once, so that every page is there before anybody sends something. */
	for (size_t i = 0; i < SOURCE_SETS; i++)
		for (size_t j = 0; j < SOURCE_WAYS; j++)
			s->sets[i][j] = (struct source){.seen_at = INT64_MIN};
	code = rng_bytes(rng, key, sizeof(key));
	return code != 0 ? code : mbedtls_aes_setkey_enc(&s->key, key, 8 * sizeof(key));
}

void sources_free(struct sources *s)
{
	mbedtls_aes_free(&s->key);
	free(s->sets);
}

static uint64_t used_by(const struct sources *s, const struct source *source, int64_t now)
{
	uint64_t passed = now > source->seen_at ? (uint64_t)now - (uint64_t)source->seen_at : 0;

	return passed > source->used / s->per_s ? 0 : source->used - passed * s->per_s;
}

static struct source *set_of(struct sources *s, uint64_t prefix)
{
	unsigned char block[BLOCK] = {0};

	memcpy(block, &prefix, sizeof(prefix));
	mbedtls_aes_crypt_ecb(&s->key, MBEDTLS_AES_ENCRYPT, block, block);
	return s->sets[block[0] % SOURCE_SETS];
}

/* Its place, or else that of who has used least, which it takes over. */
static struct source *source_of(struct sources *s, uint64_t prefix, int64_t now)
{
	struct source *set = set_of(s, prefix), *least = set;

	for (size_t i = 0; i < SOURCE_WAYS; i++)
		if (set[i].prefix == prefix)
			return &set[i];
	for (size_t i = 1; i < SOURCE_WAYS; i++)
		if (used_by(s, &set[i], now) < used_by(s, least, now))
			least = &set[i];
	*least = (struct source){.prefix = prefix, .seen_at = now};
	return least;
}

bool sources_take(struct sources *s, const struct address *from, int64_t now)
{
	struct source *source = source_of(s, address_prefix(from), now);
	uint64_t used = used_by(s, source, now);

	if (used + ONE > s->burst * ONE)
		return false;
	source->used = used + ONE;
	source->seen_at = now;
	return true;
}
