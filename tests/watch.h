/* watch.h - what a link carried, in numbers: for tests that want no more than that. */
#ifndef WATCH_H
#define WATCH_H

#include "dtls/sim.h"

struct watch {
	unsigned datagrams, alerts; /* fatal ones in the clear */
	size_t largest;
	uint8_t alert; /* the first one's description */
	uint64_t lengths; /* a digest of when datagrams left, and of how long they were */
};

void watch_link(struct watch *, struct sim_link *);

#endif
