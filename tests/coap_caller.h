/* coap_caller.h - clients of this library alone at libcoap's server: for what libcoap's client would not do. */
#ifndef COAP_CALLER_H
#define COAP_CALLER_H

#include "coap_ends.h"
#include "dtls/dtls.h"

struct caller {
	struct coap_ends *ends;
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	int fd;
	size_t largest; /* of the datagrams that came since the last message */
	uint8_t hello[500]; /* the last that was sent */
	size_t hello_len;
	bool gathers; /* what is to be sent, for one datagram */
	uint8_t gathered[2000];
	size_t gathered_len;
};

/* With COAP_KEY; suite may be NULL for those that there are. */
void caller_open(struct caller *, struct coap_ends *, const char *identity, const char *suite);
/* A new session over the same socket; the old one is forgotten without a word. */
void caller_again(struct caller *, const char *identity, const char *suite);
void caller_begin(struct caller *, struct dtls_context *); /* the same; takes the reference */
void caller_close(struct caller *); /* silently */
/* The server's turn. */
void coap_serve(struct coap_ends *);
/* Until the handshake ends, or nothing more comes. */
int caller_shake(struct caller *);
/* 4 when the server answers, or the status. */
ssize_t caller_ping(struct caller *);
/* Sends a datagram as it is. */
void caller_send(struct caller *, const void *datagram, size_t len);

#endif
