/* outbox.h - datagrams that the socket would not take yet, in the order they are to leave. */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "peer.h"

enum { OUTBOX_PER_PEER = 64 };

struct outgoing {
	struct outgoing *next;
	struct dtls_peer *peer; /* NULL when it is gone; its last words still leave */
	struct address to, local;
	size_t len;
	uint8_t datagram[];
};

struct outbox {
	struct outgoing *first, **last;
};

void outbox_init(struct outbox *);
void outbox_free(struct outbox *);
/* False: no memory, or OUTBOX_PER_PEER wait already. */
bool outbox_put(struct outbox *, struct dtls_peer *, const uint8_t *datagram, size_t len);
void outbox_drop_first(struct outbox *);
void outbox_forget(struct outbox *, struct dtls_peer *);

#endif
