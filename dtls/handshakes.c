#include "handshakes.h"

#include <stdlib.h>

static struct prefix_group **bucket_of(struct handshakes *h, uint64_t prefix)
{
	return &h->buckets[(prefix * 0x9e3779b97f4a7c15U) >> 56];
}

static struct prefix_group *group_for(struct handshakes *h, uint64_t prefix)
{
	struct prefix_group **bucket = bucket_of(h, prefix), *group = *bucket;

	while (group != NULL && group->prefix != prefix)
		group = group->next;
	if (group != NULL)
		return group;
	group = calloc(1, sizeof(*group));
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
	group->count++;
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
	if (--group->count > 0)
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

	for (size_t i = 0; i < PREFIX_BUCKETS; i++)
		for (group = h->buckets[i]; group != NULL; group = next) {
			next = group->next;
			each_of_group(group, visit, arg);
		}
}

struct dtls_peer *handshakes_victim(const struct handshakes *h)
{
	const struct prefix_group *busiest = NULL;

	for (size_t i = 0; i < PREFIX_BUCKETS; i++)
		for (const struct prefix_group *g = h->buckets[i]; g != NULL; g = g->next)
			if (busiest == NULL || g->count > busiest->count)
				busiest = g;
	return busiest == NULL ? NULL : busiest->peers.oldest;
}
