/* resuming.h - for tests of clients that come back: a session as bytes, and visits that bring it. */
#ifndef RESUMING_H
#define RESUMING_H

#include "ends.h"
#include "suites.h"

enum { SAVED_MAX = 8192, RESUMING_LIFETIME_MS = 3600000, RESUMING_CACHE = 10 };

#define RESUMING_IDENTITY "sensor-17"
#define RESUMING_KEY      "0123456789abcdef"

struct saved {
	uint8_t bytes[SAVED_MAX];
	size_t len;
};

/* How a client comes back. */
enum way { BY_TICKET, BY_ID, WAYS };

/* Contexts with a key, RESUMING_LIFETIME_MS, and all that the way takes. */
void resuming_open(struct ends *, enum protocol, enum way);
/* The same without credentials. */
void resuming_open_bare(struct ends *, enum protocol, enum way);
/* What the way takes, of these contexts. */
void resuming_allow(struct dtls_context *client, struct dtls_context *server, enum way);
/* One cipher suite for a context. */
void resuming_suite(struct dtls_context *, const char *suite);
void resuming_key(struct dtls_context *, const char *key);

/* A handshake, which must succeed, and be a full one; saves the session unless saved is NULL. */
void resuming_first(struct ends *, const char *hostname, struct saved *);
void resuming_save(struct ends *, struct saved *);
/* New connections, to which the session is loaded, and the handshake. */
void resuming_return(struct ends *, const char *hostname, const struct saved *);
/* The same; both sides are connected, and say that the session was resumed, or that it was not. */
void resuming_assert(struct ends *, const char *hostname, const struct saved *, int resumed);
/* Asserts that it is refused with a sentence that has this part, and that the handshake is a full one then. */
void resuming_assert_refused(struct ends *, const char *hostname, const struct saved *, const char *says);
/* Changes a byte of what was saved, and the digest behind it. */
void saved_change(struct saved *, size_t at, uint8_t xor);

#endif
