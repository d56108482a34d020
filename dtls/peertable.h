/* peertable.h - address -> peer, by a keyed hash: who sends chooses addresses, but not where they fall. Grows in small
 * steps, each within an insertion or a search. */
#ifndef PEERTABLE_H
#define PEERTABLE_H

#include "peer.h"
#include "rng.h"

#include <mbedtls/aes.h>

struct peertable {
	mbedtls_aes_context key;
	struct dtls_peer **buckets, **old; /* old: being emptied into buckets */
	size_t size, old_size; /* powers of two */
	size_t moved; /* buckets of old that are empty by now */
	size_t count;
};

int peertable_init(struct peertable *, struct rng *); /* 0 or an mbed TLS error; peertable_free() is due either way */
void peertable_free(struct peertable *);
struct dtls_peer *peertable_find(struct peertable *, const struct address *peer, const struct address *local);
void peertable_insert(struct peertable *, struct dtls_peer *);
void peertable_remove(struct peertable *, struct dtls_peer *);

#endif
