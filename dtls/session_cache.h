/* session_cache.h - a bounded memory of sessions by their session id (RFC 5246, 7.4.1.3), for clients without tickets.
 * When it is full the oldest makes room. mbed TLS's own walks a list, and goes by the wall clock. */
#ifndef SESSION_CACHE_H
#define SESSION_CACHE_H

#include "hello.h"

enum { SESSION_ID = 32 };

struct session_cache; /* its owner has the lock */

struct session_cache *session_cache_new(size_t entries); /* NULL: out of memory */
void session_cache_free(struct session_cache *); /* wipes it; NULL is fine */
/* Takes over bytes from malloc(). The id must be one that this side has drawn at random. */
void session_cache_put(
    struct session_cache *, int64_t now_ms, const uint8_t id[SESSION_ID], uint8_t *session, size_t len);
/* Forgets what was put before that. */
void session_cache_expire(struct session_cache *, int64_t before_ms);
/* Valid until the next call; len is 0 where there is none. */
struct bytes session_cache_get(const struct session_cache *, const uint8_t id[SESSION_ID]);
size_t session_cache_count(const struct session_cache *);

#endif
