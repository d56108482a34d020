/* pair.h - one client's and one server's connection over two simulated links, in virtual time. */
#ifndef PAIR_H
#define PAIR_H

#include "dtls/conn.h"
#include "dtls/sim.h"
#include "suites.h"

#define PAIR_IDENTITY "sensor-17"
#define PAIR_KEY      "0123456789abcdef"
#define PAIR_SUITE    "TLS-PSK-WITH-AES-128-CCM-8"

enum { PAIR_LATENCY_MS = 20, PAIR_MESSAGE_MAX = 2048, CAPTURE_MAX = 64 };

struct datagram {
	int64_t at_ms;
	int delivered;
	size_t len;
	uint8_t bytes[1500];
};

struct capture { /* what a link was given: capture_tap is a sim_tap */
	unsigned count; /* may be more than are kept */
	struct datagram datagrams[CAPTURE_MAX];
};

struct side {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	struct sim *sim;
	struct sim_link *out, *in;
	bool split; /* each record leaves in a datagram of its own */
	const struct datagram *injected; /* arrives before anything else */

	int status; /* DTLS_WANT_READ during the handshake, DTLS_OK in the session, then final */
	int64_t done_at; /* when the handshake ended */
	void (*heard)(struct side *, const uint8_t *message, size_t len); /* may be NULL */
	void *arg; /* for heard */
	unsigned messages; /* that came */
};

struct pair {
	struct sim *sim;
	struct side client, server;
};

/* Contexts with PAIR_KEY and PAIR_SUITE under DTLS_RETRANSMIT_FIXED, and links of 20 ms; settings may be changed until
 * the connections are made. */
void pair_open(struct pair *);
void pair_open_in(struct pair *, uint64_t seed, const struct sim_weather *);
/* New links and a new clock for the same contexts: cheaper than opening another pair. */
void pair_reopen(struct pair *);
/* Makes the connections; the client id is "client". pair_handshake() does it where it was not done. */
void pair_wrap(struct pair *);
void pair_close(struct pair *);

/* Until both sides' handshakes have ended, or nothing more is due. */
void pair_handshake(struct pair *);
/* Handshake and session, up to an instant. */
void pair_until(struct pair *, int64_t at_ms);
/* The same from now on. */
void pair_for(struct pair *, int64_t ms);
/* Lets both sides take what has arrived by now. */
void pair_step(struct pair *);
/* This datagram arrives at a side, now. */
void pair_inject(struct pair *, struct side *, const struct datagram *);

/* Asserts that a message crosses each way, over links that are perfect from now on. */
void pair_assert_exchange(struct pair *);
/* Asserts that both are connected, at these instants. */
void pair_assert_connected(const struct pair *, int64_t client_at, int64_t server_at);
/* Asserts that the connection's sentence has this part. */
void assert_error(const struct dtls_conn *, const char *part);

/* A sim_decide. */
enum sim_fate pair_drop_all(void *arg, unsigned nth, const void *datagram, size_t len);
void capture_tap(void *capture, int64_t now_ms, const void *datagram, size_t len, int delivered);
void capture_link(struct capture *, struct sim_link *);
/* A datagram made of a record header in epoch 0 and this body. */
struct datagram plain_record(uint8_t type, uint64_t seq, const void *body, size_t len);
/* One that carries this handshake message, or the fragment of it that begins at offset. */
struct datagram plain_message(uint64_t seq, const struct message *);

#endif
