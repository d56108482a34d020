/* sources.h - how much each source, an address prefix, has used of what it may: token buckets in a table of fixed size.
 * Who sends chooses addresses, but not where they fall. Where more sources come than there is room for, those that have
 * used least are forgotten first: their buckets are the fullest, and a forgotten one is full. */
#ifndef SOURCES_H
#define SOURCES_H

#include "address.h"
#include "rng.h"

#include <mbedtls/aes.h>

enum { SOURCE_SETS = 256, SOURCE_WAYS = 8 };

struct source {
	uint64_t prefix;
	uint64_t used; /* of its burst, at seen_at, in thousandths */
	int64_t seen_at;
};

struct sources {
	mbedtls_aes_context key;
	struct source (*sets)[SOURCE_WAYS];
	uint64_t per_s, burst; /* what comes back each second; what a source may use at once */
};

/* 0 or an mbed TLS error; sources_free() is due either way. per_s and burst are at least 1. */
int sources_init(struct sources *, struct rng *, unsigned per_s, unsigned burst);
void sources_free(struct sources *);
/* May the prefix of this address have one more? If so, it was taken. */
bool sources_take(struct sources *, const struct address *, int64_t now);

#endif
