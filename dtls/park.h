/* park.h - which established peers keep their mbed TLS context, of 37 KB, and which are parked.
 *
 * Those that may be parked are kept in turn, the least recently used first; beyond max_awake that one is parked. A message
 * from a peer counts as use, and one to it. A datagram alone does not, for anybody can send one in a peer's name: the peer
 * that it wakes is the suspect, for whom there is one place of its own. A message makes it one of the others; the next peer
 * to be woken by a datagram takes its place. So forged datagrams cost a wake each, but drive nobody out who is in use.
 *
 * Not in turn, and pinned, are those whose first message has not come, since their last flight may be asked for again, and
 * those whose suite mbed TLS cannot save. */
#ifndef PARK_H
#define PARK_H

#include "peer.h"

struct park {
	TAILQ_HEAD(turns, active) in_turn;
	unsigned count; /* of them */
	struct active *suspect; /* or NULL */
	uint64_t parked;
	struct association *spare; /* that of who was parked last, for who comes next; or NULL */
};

void park_init(struct park *);
/* A message of its session came, or left. It, or others, may now be parked. */
void park_used(struct dtls_peer *);
/* Is there a record in the datagram that could be the parked peer's, by all that is not secret? */
bool park_could_read(const struct dtls_peer *, const uint8_t *datagram, size_t len);
/* Wakes a parked peer. False when that failed: its session has ended. */
bool park_wake_to_read(struct dtls_peer *);
bool park_wake_to_send(struct dtls_peer *);
/* Sends the close_notify of a parked peer, whose session that is the end of. */
void park_say_goodbye(struct dtls_peer *);
/* The spare one, if it has these settings; NULL otherwise. */
struct association *park_take_spare(struct park *, const struct settings *);
void park_free(struct park *);
/* It has ended. */
void park_leave(struct dtls_peer *);

#endif
