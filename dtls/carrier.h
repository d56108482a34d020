/* carrier.h - what differs between a DTLS session and a TLS one: how records travel, and what that asks of the calls.
 * association.c has what they share, and calls one of the two. */
#ifndef CARRIER_H
#define CARRIER_H

#include "association.h"

struct carrier {
	void (*attach)(struct association *); /* gives mbed TLS its callbacks */
	int (*handshake)(struct association *); /* in ASSOCIATION_HANDSHAKE */
	ssize_t (*read)(struct association *, void *buf, size_t len); /* in ASSOCIATION_OPEN, as are the others */
	ssize_t (*write)(struct association *, const void *buf, size_t len);
	int (*close)(struct association *);
};
extern const struct carrier datagram_carrier, stream_carrier;

/* For the two: sentence, alert and final status of what went wrong, with mbed TLS's code. */
int association_handshake_failed(struct association *, int code);
int association_handshake_timed_out(struct association *);
ssize_t association_session_failed(struct association *, int code);
/* mbed TLS says that the handshake is complete: DTLS_OK, or final where what was agreed on will not do. */
int association_handshake_done(struct association *);
/* A fatal alert has told the peer why the handshake fails: mbed TLS's own, without the reason, need not follow. */
static inline bool association_has_told(const struct association *a)
{
	return a->alert_sent && a->state == ASSOCIATION_HANDSHAKE;
}
/* Bytes that mbed TLS could not send have left: 0, WANT_WRITE, or another error of mbed TLS. Before a write: mbed TLS
 * would take such a rest for the beginning of what it is given, and drop the latter. */
int association_flush(struct association *);

#endif
