/* peer.h - one peer of an endpoint, from its verified ClientHello to its end. */
#ifndef PEER_H
#define PEER_H

#include "association.h"
#include "hello.h"

struct dtls_endpoint;
struct prefix_group;

enum peer_state { PEER_HANDSHAKE, PEER_OPEN, PEER_ENDED };

struct dtls_peer {
	struct dtls_endpoint *ep;
	struct association *a;
	struct address addr, local; /* local is unset where the socket is bound to one address */
	enum peer_state state;
	enum dtls_reason reason; /* when ended */
	void *data;
	uint64_t generation;
	bool resumed;
	uint8_t random[HELLO_RANDOM]; /* of the hello that began it */

	/* The table finds the peer of an address: the established one, if there is one. Beside it, an unfinished one may
	 * be about to take its place (RFC 6347, 4.2.8). */
	struct dtls_peer *chain;
	uint32_t hash;
	struct dtls_peer *successor, *predecessor;

	/* Established: from the longest silent to the last heard. Unfinished: from the oldest of its prefix on. */
	struct dtls_peer *older, *newer;
	struct prefix_group *group;
	int64_t heard_at;

	int64_t due_at, deadline_at; /* the next timer; when an unfinished handshake ends at the latest */
	size_t heap_index; /* in the schedule, plus 1; 0: not in it */

	int event; /* DTLS_CONNECTED, or how it ended; 0: nothing to report */
	struct dtls_peer *next_event;
	bool event_queued;
	unsigned waiting; /* datagrams in the outbox */
};

struct peer_list {
	struct dtls_peer *oldest, *newest;
};

void peer_list_append(struct peer_list *, struct dtls_peer *);
void peer_list_remove(struct peer_list *, struct dtls_peer *);

/* A peer for a verified hello: alone at its address, or as the successor of an established one. NULL, counted, when
 * there is no memory. It is to be fed with the hello. */
struct dtls_peer *peer_new(struct dtls_endpoint *, const struct address *addr, const struct address *local,
    const struct hello *, struct dtls_peer *predecessor);
/* Lets its handshake use what was fed, or its timers fire; reports what comes of it. */
void peer_handshake(struct dtls_peer *);
void peer_heard(struct dtls_peer *);
/* Reports event: DTLS_CLOSED, DTLS_FAIL or DTLS_TIMEDOUT. Sends nothing. */
void peer_end(struct dtls_peer *, int event, enum dtls_reason);
/* Ends an unfinished handshake that another one crowds out. */
void peer_give_way(struct dtls_peer *, const char *why);
/* The same with an alert: an honest client begins again at once instead of waiting for its deadline. */
void peer_turn_away(struct dtls_peer *, const char *why);
/* Closes an established peer for a reason of ours, idle, evicted, revoked or replaced: counts, says why, and sends
 * close_notify unless somebody new answers at its address. */
void peer_close_for(struct dtls_peer *, enum dtls_reason);
/* Ends it for good: no event, no trace left. */
void peer_free(struct dtls_peer *);
/* Where the peers of this endpoint were made in another process. */
void peer_disown(struct dtls_peer *);

#endif
