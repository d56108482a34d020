/* ticket.h - session tickets (RFC 5077): bytes that only this context can read again, under keys that change. mbed TLS's
 * own go by the wall clock, and have no room for whose session it is. */
#ifndef TICKET_H
#define TICKET_H

#include "hello.h"
#include "rng.h"

#include <mbedtls/gcm.h>

enum { TICKET_NAME = 1, TICKET_NONCE = 12, TICKET_TAG = 16, TICKET_OVERHEAD = TICKET_NAME + TICKET_NONCE + TICKET_TAG };

struct ticket_key {
	bool usable;
	uint8_t number;
	mbedtls_gcm_context gcm; /* AES-256 */
	uint64_t sealed; /* with it */
};

struct ticket_keys { /* its owner has the lock */
	struct ticket_key keys[2];
	unsigned current; /* the key that tickets are made with; the other one still opens its own */
	int64_t rotated_at;
};

void ticket_keys_init(struct ticket_keys *);
void ticket_keys_free(struct ticket_keys *); /* wipes them */
/* A new key every period_ms; the one before it is kept for another period. So a ticket opens for period_ms at least,
 * and for twice that at most. */
/* Writes TICKET_OVERHEAD bytes more than plain has; 0 or an mbed TLS error. */
int ticket_seal(
    struct ticket_keys *, struct rng *, int64_t now_ms, int64_t period_ms, struct bytes plain, uint8_t *out);
/* Writes TICKET_OVERHEAD bytes less than ticket has; false for what is no ticket of these keys. */
bool ticket_open(struct ticket_keys *, int64_t now_ms, int64_t period_ms, struct bytes ticket, uint8_t *out);

#endif
