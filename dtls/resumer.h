/* resumer.h - what a server's context keeps for clients that come back: the keys of its tickets, and its cache. All
 * threads of a context share it. */
#ifndef RESUMER_H
#define RESUMER_H

#include "session_cache.h"
#include "ticket.h"

#include <pthread.h>

struct resumer {
	pthread_mutex_t lock;
	struct ticket_keys tickets;
	struct session_cache *cache; /* NULL: none */
};

void resumer_init(struct resumer *);
void resumer_free(struct resumer *);

/* As ticket_seal() and ticket_open(). */
int resumer_seal(struct resumer *, struct rng *, int64_t now_ms, int64_t lifetime_ms, struct bytes plain, uint8_t *out);
bool resumer_open(struct resumer *, int64_t now_ms, int64_t lifetime_ms, struct bytes ticket, uint8_t *out);
/* Takes over bytes from malloc(), and forgets those whose lifetime is over. */
void resumer_remember(
    struct resumer *, int64_t now_ms, int64_t lifetime_ms, const uint8_t id[SESSION_ID], uint8_t *session, size_t len);
/* A copy from malloc(), or NULL. */
uint8_t *resumer_recall(struct resumer *, const uint8_t id[SESSION_ID], size_t *len);

#endif
