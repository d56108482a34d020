#include "session_cache.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

struct slot {
	uint8_t id[SESSION_ID];
	uint8_t *bytes;
	size_t len;
	int64_t put_at;
	size_t next; /* in its bucket, plus 1; 0: the last */
};

struct session_cache { /* a ring of slots from the oldest on, and buckets that find one by its id */
	struct slot *slots;
	size_t size, oldest, count;
	size_t *buckets; /* a slot's number, plus 1 */
	size_t mask;
};

struct session_cache *session_cache_new(size_t entries)
{
	struct session_cache *c = calloc(1, sizeof(*c));
	size_t buckets = 1;

	if (c == NULL)
		return NULL;
	while (buckets < entries)
		buckets *= 2;
	c->size = entries;
	c->mask = buckets - 1;
	c->slots = calloc(entries, sizeof(*c->slots));
	c->buckets = calloc(buckets, sizeof(*c->buckets));
	if (c->slots != NULL && c->buckets != NULL)
		return c;
	session_cache_free(c);
	return NULL;
}

/* Of an id that was drawn here, so that nobody can crowd a bucket. */
static size_t *bucket(const struct session_cache *c, const uint8_t *id)
{
	uint32_t hash;

	memcpy(&hash, id, sizeof(hash));
	return &c->buckets[hash & c->mask];
}

static void forget_oldest(struct session_cache *c)
{
	struct slot *slot = &c->slots[c->oldest];
	size_t *at = bucket(c, slot->id);

	while (*at != c->oldest + 1)
		at = &c->slots[*at - 1].next;
	*at = slot->next;
	mbedtls_platform_zeroize(slot->bytes, slot->len);
	free(slot->bytes);
	*slot = (struct slot){.bytes = NULL};
	c->oldest = (c->oldest + 1) % c->size;
	c->count--;
}

void session_cache_free(struct session_cache *c)
{
	if (c == NULL)
		return;
	while (c->count > 0)
		forget_oldest(c);
	free(c->slots);
	free(c->buckets);
	free(c);
}

void session_cache_expire(struct session_cache *c, int64_t before_ms)
{
	while (c->count > 0 && c->slots[c->oldest].put_at < before_ms)
		forget_oldest(c);
}

void session_cache_put(
    struct session_cache *c, int64_t now_ms, const uint8_t id[SESSION_ID], uint8_t *session, size_t len)
{
	size_t number, *head = bucket(c, id);

	if (c->count == c->size)
		forget_oldest(c);
	number = (c->oldest + c->count++) % c->size;
	c->slots[number] = (struct slot){.bytes = session, .len = len, .put_at = now_ms, .next = *head};
	memcpy(c->slots[number].id, id, SESSION_ID);
	*head = number + 1;
}

struct bytes session_cache_get(const struct session_cache *c, const uint8_t id[SESSION_ID])
{
	for (size_t at = *bucket(c, id); at != 0; at = c->slots[at - 1].next) {
		const struct slot *slot = &c->slots[at - 1];

		if (memcmp(slot->id, id, SESSION_ID) == 0)
			return (struct bytes){slot->bytes, slot->len};
	}
	return (struct bytes){NULL, 0};
}

size_t session_cache_count(const struct session_cache *c)
{
	return c->count;
}
