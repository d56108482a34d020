/* lab_flights.h - which flights of one side are sent again, and which of these needlessly, judged by what is on the wire.
 * Needlessly (spurious): all of it had arrived before, or was on its way, and so had all that the peer had sent. */
#ifndef LAB_FLIGHTS_H
#define LAB_FLIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LAB_FRAGMENTS = 256 };

struct lab_flights {
	struct lab_fragment { /* of a handshake message; what is encrypted, and ChangeCipherSpec, count as one each */
		uint32_t message, offset, len;
		bool delivered;
	} fragments[LAB_FRAGMENTS];
	unsigned count;
	/* The flight that is being sent: all datagrams of one instant. */
	int64_t at_ms;
	bool open, carries, sent_before, needless; /* carries: more than alerts and data */
	uint64_t retransmissions, spurious;
};

void lab_flights_sent(struct lab_flights *, const struct lab_flights *peer, int64_t now_ms, const uint8_t *datagram,
    size_t len, bool delivered);
void lab_flights_end(struct lab_flights *); /* after the last datagram, or before asking: counts the last flight */

#endif
