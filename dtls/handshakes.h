/* handshakes.h - the unfinished handshakes, grouped by the address prefix they come from: who gives way when there are
 * too many is the oldest of the busiest prefix, so that one network cannot crowd out the others. */
#ifndef HANDSHAKES_H
#define HANDSHAKES_H

#include "peer.h"
#include "rng.h"

struct prefix_group {
	struct due busy; /* first: of a due we get back the group; in the order of their counts, the highest first */
	uint64_t prefix;
	unsigned count;
	struct peer_list peers; /* oldest first */
	struct prefix_group *next;
};

struct handshakes {
	uint64_t key; /* of the hash: who sends chooses prefixes, but not where they fall */
	unsigned shift; /* to an index of buckets */
	struct prefix_group **buckets;
	struct schedule busiest;
	unsigned count;
};

/* For about so many. 0 or an mbed TLS error; handshakes_free() is due either way. */
int handshakes_init(struct handshakes *, struct rng *, unsigned max);
void handshakes_free(struct handshakes *); /* when there are none */
bool handshakes_add(struct handshakes *, struct dtls_peer *); /* false: no memory */
void handshakes_remove(struct handshakes *, struct dtls_peer *);
/* Calls visit for each; it may end the one that it is called for. */
void handshakes_each(struct handshakes *, void (*visit)(struct dtls_peer *, void *arg), void *arg);
struct dtls_peer *handshakes_victim(const struct handshakes *); /* NULL when there are none */

#endif
