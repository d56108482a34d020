/* plain.h - mbed TLS alone, without this library: the peer that the benchmarks compare with. */
#ifndef PLAIN_H
#define PLAIN_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cookie.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAIN_QUEUE = 16, PLAIN_DATAGRAM = 1500 };

struct plain_queue { /* datagrams on their way in memory */
	struct {
		size_t len;
		uint8_t bytes[PLAIN_DATAGRAM];
	} slots[PLAIN_QUEUE];
	unsigned head, tail;
};

void plain_put(struct plain_queue *, const void *, size_t len);
/* The length of the datagram stored in buf, or -1 when the queue is empty. */
int plain_take(struct plain_queue *, void *buf, size_t len);

struct plain_side {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context drbg;
	mbedtls_ssl_config conf;
	mbedtls_ssl_context ssl;
	mbedtls_ssl_cookie_ctx cookies;
	struct plain_queue *in, *out;
	bool server;
	int suites[2];
};

extern const char plain_identity[], plain_key[];

/* One PSK suite (MBEDTLS_TLS_...), DTLS 1.2, cookies on the server. Exits when mbed TLS refuses. */
void plain_init(struct plain_side *, bool server, int suite, struct plain_queue *in, struct plain_queue *out);
void plain_free(struct plain_side *);
void plain_reset(struct plain_side *); /* for the next handshake */
/* mbedtls_ssl_handshake(), and on a server the reset after a HelloVerifyRequest. */
int plain_step(struct plain_side *);

#endif
