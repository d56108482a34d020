/* handshakes.h - the unfinished handshakes, grouped by the address prefix they come from: who gives way when there are
 * too many is the oldest of the busiest prefix, so that one network cannot crowd out the others. */
#ifndef HANDSHAKES_H
#define HANDSHAKES_H

#include "peer.h"

enum { PREFIX_BUCKETS = 256 };

struct prefix_group {
	uint64_t prefix;
	unsigned count;
	struct peer_list peers; /* oldest first */
	struct prefix_group *next;
};

struct handshakes {
	struct prefix_group *buckets[PREFIX_BUCKETS];
	unsigned count;
};

bool handshakes_add(struct handshakes *, struct dtls_peer *); /* false: no memory */
void handshakes_remove(struct handshakes *, struct dtls_peer *);
/* Calls visit for each; it may end the one that it is called for. */
void handshakes_each(struct handshakes *, void (*visit)(struct dtls_peer *, void *arg), void *arg);
struct dtls_peer *handshakes_victim(const struct handshakes *); /* NULL when there are none */

#endif
