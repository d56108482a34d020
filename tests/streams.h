/* streams.h - one client's and one server's TLS connection over two byte streams in memory. Each side's transport follows
 * a script: how much it moves, and at which of its calls it has nothing, or fails. */
#ifndef STREAMS_H
#define STREAMS_H

#include "dtls/conn.h"
#include "suites.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAMS_IDENTITY "sensor-17"
#define STREAMS_KEY      "0123456789abcdef"
#define STREAMS_SUITE    "TLS-PSK-WITH-AES-128-CCM-8"

enum { FLOW_MAX = 1 << 17, STREAMS_NEVER = 0 };

struct flow { /* one direction */
	size_t len, taken, passed; /* written, read, and read since it began */
	size_t ends_at; /* bytes that pass before the reader meets the end; SIZE_MAX: all that were written... */
	bool ended; /* ...and then it is the end */
	size_t room; /* bytes that may lie here unread */
	uint8_t bytes[FLOW_MAX]; /* the first ones stay for tests to look at */
};

struct stream_side {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	struct flow *out, *in;
	unsigned *events;
	int status; /* DTLS_WANT_* during the handshake, DTLS_OK in the session, then final */

	unsigned calls; /* of its transport's send and recv, from 1 */
	unsigned want_at; /* this call moves nothing, though it could */
	size_t chunk; /* most bytes of one call; 0: any number */
	uint64_t seed; /* calls move any number of bytes up to chunk, or none; 0: they do not */
	unsigned send_fails_at, recv_fails_at; /* this call of both, and the later ones of its kind... */
	int fails_with; /* ...have this errno */
};

struct streams {
	struct stream_side client, server;
	struct flow up, down;
	unsigned events; /* something moved, or a script said no */
};

/* Contexts with STREAMS_KEY and STREAMS_SUITE; settings may be changed until the connections are made. */
void streams_open(struct streams *);
/* Contexts without any credentials. */
void streams_open_bare(struct streams *);
/* Empty streams, no scripts and no connections, over the same contexts. */
void streams_reopen(struct streams *);
void streams_wrap(struct streams *);
void streams_close(struct streams *);

/* A side's transport: for struct dtls_transport, with the side as arg, and for peers made by hand. */
ssize_t stream_side_send(void *side, const void *bytes, size_t len);
ssize_t stream_side_recv(void *side, void *buf, size_t len);
/* For what a peer sends by hand. */
void flow_put(struct flow *, const void *bytes, size_t len);

/* One call of a side whose handshake goes on. */
void stream_side_step(struct stream_side *);
/* Makes the connections where there are none. Until both handshakes have ended, or nothing moves any more. */
void streams_handshake(struct streams *);
/* Asserts that both are connected. */
void streams_assert_connected(const struct streams *);
/* Asserts that bytes cross each way, now. */
void streams_assert_exchange(struct streams *);
/* Opens, connects, and forgets the scripts' counts. */
void streams_connect(struct streams *);
/* Asserts what a read returns. */
void stream_side_hears(struct stream_side *, const char *text);
void stream_side_says(struct stream_side *, const char *text);
/* Asserts that the connection's sentence has this part. */
void stream_side_assert_error(const struct stream_side *, const char *part);

#endif
