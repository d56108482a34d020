/* cookie.h - stateless cookies (RFC 6347, 4.2.1): when and for which ClientHello it was made, and a MAC over that, over
 * who asks and over what it asks for, under a secret that rotates every COOKIE_ROTATION_MS. The previous secret is still
 * accepted, so a cookie lives between one and two rotations. */
#ifndef COOKIE_H
#define COOKIE_H

#include "hello.h"
#include "rng.h"

#include <mbedtls/aes.h>
#include <pthread.h>

enum { COOKIE_LEN = 20, COOKIE_ROTATION_MS = 60000 };

struct cookie_jar { /* shared by all threads of a context */
	pthread_mutex_t lock;
	mbedtls_aes_context secret[2];
	unsigned current; /* index of the secret that cookies are made with */
	bool filled, has_previous;
	int64_t rotated_at;
	struct rng *rng;
};

void cookie_jar_init(struct cookie_jar *, struct rng *);
void cookie_jar_free(struct cookie_jar *);
/* False when no secret could be made. */
bool cookie_make(
    struct cookie_jar *, int64_t now_ms, struct bytes client_id, const struct hello *, uint8_t cookie[COOKIE_LEN]);
/* Fills the hello's rtt_ms where no other ClientHello came between the one that was given the cookie and this. */
bool cookie_check(struct cookie_jar *, int64_t now_ms, struct bytes client_id, struct hello *);

#endif
