/* conn.h - one connection over a socket or a transport: conn.c has its calls, conn_loop.c the loop that they go through,
 * conn_stream.c the way of a stream's bytes. */
#ifndef CONN_H
#define CONN_H

#include "association.h"
#include "socket.h"

struct dtls_conn {
	struct dtls_context *ctx;
	struct settings *settings;
	struct association *a; /* a server has none before a cookie held */
	struct tally tally;

	bool over_socket;
	struct sock socket;
	struct dtls_transport transport;
	struct address peer, local; /* peer unset: not known yet */

	uint8_t client_id[CLIENT_ID_MAX];
	size_t client_id_len; /* 0: the peer's address */
	uint8_t random[HELLO_RANDOM]; /* of the hello that began a */

	int64_t timeout_ms;
	size_t mtu; /* 0: the context's */
	bool never_blocks;
	unsigned generation; /* of the process */
	bool closed; /* by this side */
	int status; /* final, from before there was an association */
	int code;
	char error[ERROR_MAX];
};

static inline bool conn_is_server(const struct dtls_conn *c)
{
	return settings_is_server(c->settings);
}

static inline bool conn_blocks(const struct dtls_conn *c)
{
	return c->over_socket && !c->never_blocks && socket_blocks(&c->socket);
}

static inline bool conn_is_stream(const struct dtls_conn *c)
{
	return settings_is_stream(c->settings);
}

static inline int64_t conn_now(const struct dtls_conn *c)
{
	return options_now(&c->settings->opt);
}

/* Final, when there is no association to say it; the first cause stays. Returns the status. */
int conn_fail(struct dtls_conn *, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Makes the association, in place of an unfinished one; false with the reason in the context's error. */
bool conn_start(struct dtls_conn *);

/* An association's callbacks, with the connection as owner. */
association_send conn_stream_send;
association_recv conn_stream_recv;

/* What a call does each time something was fed, or the timers may fire. */
typedef ssize_t conn_step(struct dtls_conn *, void *buf, size_t len);
conn_step conn_step_handshake, conn_step_read;
/* Repeats the step until it reports something; blocks where the socket does. */
ssize_t conn_run(struct dtls_conn *, conn_step *, void *buf, size_t len, int64_t stop_at);
/* One round of it: drains the input, then lets the timers fire. */
ssize_t conn_drain(struct dtls_conn *, conn_step *, void *buf, size_t len);
/* Waits for what a DTLS_WANT_* asks; DTLS_OK, or DTLS_AGAIN at stop_at and for a signal. */
int conn_wait(struct dtls_conn *, ssize_t want, int64_t stop_at);
int64_t conn_stop_at(const struct dtls_conn *);

#endif
