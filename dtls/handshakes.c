#include "handshakes.h"

#include <stdlib.h>

enum { BITS_MIN = 8, BITS_MAX = 16 };

int handshakes_init(struct handshakes *h, struct rng *rng, unsigned max)
{
	unsigned bits = BITS_MIN;
	int code;

	*h = (struct handshakes){0};
	while (bits < BITS_MAX && 1U << bits < max)
		bits++;
	h->shift = 64 - bits;
	h->buckets = calloc((size_t)1 << bits, sizeof(struct prefix_group *));
	if (h->buckets == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	code = rng_bytes(rng, (unsigned char *)&h->key, sizeof(h->key));
	h->key |= 1; /* an odd one is a multiplier that any two prefixes seldom fall together under */
	return code;
}

void handshakes_free(struct handshakes *h)
{
	schedule_free(&h->busiest);
	free(h->buckets);
}

static struct prefix_group **bucket_of(struct handshakes *h, uint64_t prefix)
{
	return &h->buckets[prefix * h->key >> h->shift];
}

static void set_count(struct handshakes *h, struct prefix_group *group, unsigned count)
{
	group->count = count;
	schedule_set(&h->busiest, &group->busy, count == 0 ? INT64_MAX : -(int64_t)count);
}

static struct prefix_group *group_for(struct handshakes *h, uint64_t prefix)
{
	struct prefix_group **bucket = bucket_of(h, prefix), *group = *bucket;

	while (group != NULL && group->prefix != prefix)
		group = group->next;
	if (group != NULL)
		return group;
	group = schedule_reserve(&h->busiest) ? calloc(1, sizeof(*group)) : NULL;
	if (group == NULL)
		return NULL;
	group->prefix = prefix;
	group->next = *bucket;
	*bucket = group;
	return group;
}

bool handshakes_add(struct handshakes *h, struct dtls_peer *peer)
{
	struct prefix_group *group = group_for(h, address_prefix(&peer->addr));

	if (group == NULL)
		return false;
	peer_list_append(&group->peers, peer);
	peer_active(peer)->group = group;
	set_count(h, group, group->count + 1);
	h->count++;
	return true;
}

void handshakes_remove(struct handshakes *h, struct dtls_peer *peer)
{
	struct prefix_group *group = peer_active(peer)->group, **at;

	if (group == NULL)
		return;
	peer_list_remove(&group->peers, peer);
	peer_active(peer)->group = NULL;
	h->count--;
	set_count(h, group, group->count - 1);
	if (group->count > 0)
		return;
	for (at = bucket_of(h, group->prefix); *at != group; at = &(*at)->next)
		;
	*at = group->next;
	free(group);
}

static void each_of_group(struct prefix_group *group, void (*visit)(struct dtls_peer *, void *arg), void *arg)
{
	struct dtls_peer *peer = group->peers.oldest, *newer;

	for (; peer != NULL; peer = newer) {
		newer = peer->newer;
		visit(peer, arg); /* the group goes with its last peer */
	}
}

void handshakes_each(struct handshakes *h, void (*visit)(struct dtls_peer *, void *arg), void *arg)
{
	struct prefix_group *group, *next;

	for (size_t i = 0; i < (size_t)1 << (64 - h->shift); i++)
		for (group = h->buckets[i]; group != NULL; group = next) {
			next = group->next;
			each_of_group(group, visit, arg);
		}
}

struct dtls_peer *handshakes_victim(const struct handshakes *h)
{
	struct due *first = schedule_first(&h->busiest);

	return first == NULL ? NULL : ((struct prefix_group *)first)->peers.oldest;
}
