/* ends.h - a client and a server over whichever of the protocols: for what must hold in all of them. */
#ifndef ENDS_H
#define ENDS_H

#include "dtls/dtls.h"
#include "dtls/mbed.h"

enum protocol { OVER_DTLS, OVER_TLS, OVER_TLS_1_3, PROTOCOLS = MBED_1_3 ? 3 : 2 };

struct end {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	int status; /* of the handshake */
};

struct ends {
	enum protocol protocol;
	struct pair *pair; /* one of the two carries them */
	struct streams *streams;
	struct end client, server;
};

/* Contexts without credentials, with the protocol's version as their newest. */
void ends_open(struct ends *, enum protocol);
/* The client asks for this name, or for none where it is NULL. Until both handshakes have ended, or nothing moves. */
void ends_handshake(struct ends *, const char *hostname);
/* The same in two steps: makes the connections; runs them. */
void ends_wrap(struct ends *, const char *hostname);
void ends_run(struct ends *);
/* No connections, over the contexts that stand in client and server now; over DTLS the time goes on. */
void ends_again(struct ends *);
/* Asserts that both are connected, by the protocol and its version, and that bytes cross each way. */
void ends_assert_connected(struct ends *);
/* Asserts that the server has refused its client with a sentence that has this part, and that the client is told. */
void ends_assert_client_refused(struct ends *, const char *says);
void ends_close(struct ends *);
/* Asserts that the connection's sentence has this part. */
void end_assert_error(const struct end *, const char *part);

const char *ends_version(enum protocol);

#endif
