/* resuming.h - for tests of clients that come back: a session as bytes, and pairs that resume it. */
#ifndef RESUMING_H
#define RESUMING_H

#include "pair.h"

enum { SAVED_MAX = 8192, RESUMING_LIFETIME_MS = 3600000 };

struct saved {
	uint8_t bytes[SAVED_MAX];
	size_t len;
};

void resuming_allow(struct pair *, int64_t lifetime_ms, size_t cache_entries);
void resuming_save(struct pair *, struct saved *);
/* New connections over the same links; the time goes on. */
void resuming_again(struct pair *);
/* The same, and the session is loaded. */
void resuming_load(struct pair *, const struct saved *);

#endif
