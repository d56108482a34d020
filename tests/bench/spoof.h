/* spoof.h - a flood of datagrams to one UDP port from addresses all over 127.0.0.0/8, which takes no privilege: every
 * address of that network is this machine's own. */
#ifndef SPOOF_H
#define SPOOF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { SPOOF_SOCKETS = 8, SPOOF_BATCH = 64, SPOOF_DATAGRAM = 512 };

struct spoof {
	int fds[SPOOF_SOCKETS];
	uint16_t to; /* the port, of 127.0.0.1 */
	const uint8_t *templates[2]; /* sent in turn, the bytes at random_at changed each time */
	size_t lens[2]; /* at most SPOOF_DATAGRAM */
	size_t random_at;
};

/* Opens the sockets. They never read: what is answered is lost in small buffers. */
void spoof_init(struct spoof *);
/* Sends until *stop, at most per_s datagrams a second. Returns how many. */
uint64_t spoof_run(struct spoof *, unsigned per_s, const atomic_bool *stop);

#endif
