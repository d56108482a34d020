/* raw_tls.h - a TLS peer of mbed TLS alone, in place of one side's connection: it does what ours would not. */
#ifndef RAW_TLS_H
#define RAW_TLS_H

#include "streams.h"

struct raw_tls {
	mbedtls_ssl_context ssl;
	mbedtls_ssl_config conf;
};

/* With STREAMS_KEY, TLS 1.2 only, and renegotiation enabled; conf may be changed until it starts. */
void raw_tls_open(struct raw_tls *, int endpoint);
/* It takes the side's place in its streams. */
void raw_tls_start(struct raw_tls *, struct stream_side *);
void raw_tls_close(struct raw_tls *);
/* A random generator for mbed TLS. */
int raw_tls_random(void *arg, unsigned char *out, size_t len);
/* Runs it and our side: what mbed TLS's handshake has returned in the end. */
int raw_tls_handshake(struct raw_tls *, struct stream_side *ours);

#endif
