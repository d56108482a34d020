/* inbox.h - datagrams that other threads hand over to an endpoint: bounded, and with a descriptor to poll. */
#ifndef INBOX_H
#define INBOX_H

#include "address.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

enum { INBOX_ROOM = 65536 }; /* bytes, of datagrams and their addresses */

struct inbox {
	pthread_mutex_t lock;
	int fd; /* readable while there is something to take over */
	atomic_bool told; /* that it is */
	uint8_t *filling, *draining; /* of others; of the endpoint */
	size_t filled, to_drain, drained;
	uint64_t dropped;
};

struct inbox *inbox_new(void); /* NULL with errno */
void inbox_free(struct inbox *); /* may be NULL */
/* In a child after fork(): what is in it, and the descriptor, are the parent's. */
void inbox_disown(struct inbox *);
/* By any thread. False, counted: there is no room. */
bool inbox_put(
    struct inbox *, const struct address *from, const struct address *local, const void *datagram, size_t len);
/* By the endpoint's thread. The length of the datagram, at most len, or -1. */
bool inbox_is_empty(const struct inbox *);
ssize_t inbox_take(struct inbox *, struct address *from, struct address *local, void *buf, size_t len);
uint64_t inbox_dropped(struct inbox *);

#endif
