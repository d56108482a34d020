/* peer.h - one peer of an endpoint, from its verified ClientHello to its end. */
#ifndef PEER_H
#define PEER_H

#include "association.h"
#include "hello.h"
#include "parked.h"
#include "schedule.h"

#include <sys/queue.h>

struct dtls_endpoint;
struct prefix_group;

enum { PEER_RANDOM = 8 };
enum peer_state { PEER_HANDSHAKE, PEER_OPEN, PEER_ENDED };

struct dtls_peer { /* small: there may be a hundred thousand that are parked */
	struct dtls_endpoint *ep;
	struct association *a; /* the first member of its struct active; NULL while it is parked */
	struct parked *parked; /* NULL otherwise */
	void *data;
	uint64_t generation;

	/* The table finds the peer of an address: the established one, if there is one. Beside it, an unfinished one may
	 * be about to take its place (RFC 6347, 4.2.8). */
	struct dtls_peer *chain;
	union {
		struct dtls_peer *successor; /* of an established one */
		struct dtls_peer *predecessor; /* of an unfinished one */
	};

	/* Established: from the longest silent to the last heard. Unfinished: from the oldest of its prefix on. */
	struct dtls_peer *older, *newer;
	int64_t heard_at;
	struct dtls_peer *next_event;

	struct address addr;
	uint32_t hash; /* of both addresses, in the table */
	struct address local; /* unset where the socket is bound to one address */
	enum peer_state state : 2;
	enum dtls_reason reason : 4; /* when ended */
	bool event_queued : 1;
	bool disowned : 1; /* it was another process's */
	bool resumed : 1; /* its handshake was a short one */
	int8_t event; /* DTLS_CONNECTED, or how it ended; 0: nothing to report */
	uint8_t waiting; /* datagrams in the outbox */
	uint8_t random[PEER_RANDOM]; /* the last bytes of the random of the hello that began it */
	uint64_t room[PARKED_ROOM / 8]; /* usually its session, while it is parked */
};

struct active { /* what a peer has unless it is parked */
	struct association a;
	struct dtls_peer *peer;

	/* Unfinished. */
	struct prefix_group *group;
	struct due due; /* the next timer */
	int64_t deadline_at; /* when the handshake ends at the latest */

	/* Established: in which part of the pool it is, see park.h. */
	enum awake_part { AWAKE_PINNED, AWAKE_IN_TURN, AWAKE_SUSPECT } part;
	bool refused; /* it cannot be parked ever */
	TAILQ_ENTRY(active) turn;
};

static inline struct active *active_of(struct due *due)
{
	return (struct active *)((char *)due - offsetof(struct active, due));
}

static inline struct active *peer_active(const struct dtls_peer *peer)
{
	return (struct active *)peer->a;
}

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
/* Reports that its session failed. */
void peer_failed(struct dtls_peer *);
/* An association for it with these settings, in a struct active; NULL: out of memory. */
struct association *peer_associate(struct dtls_peer *, struct settings *);
const uint8_t *peer_identity(const struct dtls_peer *, size_t *len);
/* Tells the peer that this side closes. */
void peer_say_goodbye(struct dtls_peer *);
/* Ends it for good: no event, no trace left. */
void peer_free(struct dtls_peer *);
/* Where the peers of this endpoint were made in another process. */
void peer_disown(struct dtls_peer *);

#endif
