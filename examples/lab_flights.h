/* lab_flights.h - which flights of one side are sent again, and which of these needlessly, judged by what is on the wire.
 * Needlessly (spurious): all of it had arrived before, or was on its way, and so had all that the peer had sent. What was
 * corrupted on its way has not: the receiver drops it, or takes it for another message. A HelloVerifyRequest is no
 * flight of these: it has no timer, and answers each ClientHello. */
#ifndef LAB_FLIGHTS_H
#define LAB_FLIGHTS_H

#include "lab_messages.h"

enum { LAB_FRAGMENTS = 256, LAB_FLIGHTS = 6 };

struct lab_flights {
	struct lab_fragment { /* of a message */
		enum lab_kind kind;
		int seq;
		uint32_t from, to;
		unsigned first, latest; /* the flights it was in */
		bool delivered;
	} fragments[LAB_FRAGMENTS];
	unsigned count;
	/* The flight that is being sent, in one instant: either all of it is new, or none. */
	unsigned flight; /* counted from 1 */
	int number; /* in RFC 6347, 4.2.4: 1 to 6 */
	int64_t at_ms;
	bool open, sent_before, needless;
	uint64_t retransmissions, spurious;
	unsigned transmissions[LAB_FLIGHTS + 1]; /* by its number; of HelloVerifyRequests, too */
};

void lab_flights_sent(struct lab_flights *, const struct lab_flights *peer, int64_t now_ms, enum direction,
    const void *datagram, size_t len, bool delivered); /* unharmed */
void lab_flights_end(struct lab_flights *); /* after the last datagram, or before asking: counts the last flight */

#endif
