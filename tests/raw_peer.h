/* raw_peer.h - mbed TLS alone on the other side, in virtual time: for peers that this library would not be. */
#ifndef RAW_PEER_H
#define RAW_PEER_H

#include "dtls/dtls.h"
#include "dtls/mbed.h"
#include "dtls/rng.h"
#include "dtls/sim.h"

struct raw_peer {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config conf;
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
	struct sim *sim;
	struct dtls_transport transport;
	int64_t soft_at, hard_at; /* mbed TLS's two deadlines; none is set where hard_at is -1 */
	int code; /* of the last call of mbed TLS: 0 once the handshake is done */
	uint8_t alert; /* that made it FATAL_ALERT_MESSAGE */
	unsigned messages;
	char last[64];
};

/* DTLS 1.2 without cookies, and without verification; the configuration may be changed until raw_start(). rng belongs to
 * somebody who lives longer. */
void raw_init(struct raw_peer *, int endpoint, struct sim *, struct rng *, const struct dtls_transport *);
/* Shows this certificate: paths of PEM files. */
void raw_load(struct raw_peer *, const char *cert, const char *key, struct rng *);
void raw_start(struct raw_peer *);
void raw_free(struct raw_peer *);
/* Handshake, then messages: until there is nothing more to do now. */
void raw_step(struct raw_peer *);
void raw_write(struct raw_peer *, const char *text);

#endif
