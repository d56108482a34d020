/* net.h - one endpoint and its clients on simulated hosts, on one virtual clock. */
#ifndef NET_H
#define NET_H

#include "dtls/dtls.h"
#include "dtls/sim.h"

#include <netinet/in.h>
#include <stdbool.h>

enum {
	NET_LATENCY_MS = 20,
	NET_EVENTS = 32768,
	NET_KEPT = 12, /* datagrams of each client that can be replayed */
	NET_DATAGRAM = 1500,
	NET_HELLO_RANDOM_AT = 13 + 12 + 2, /* record header, message header, version */
};

#define NET_IDENTITY "sensor-1"
#define NET_OTHER    "sensor-2"

struct datagram {
	size_t len;
	uint8_t bytes[NET_DATAGRAM];
};

struct net;

struct client {
	struct client *next;
	struct net *net;
	struct sim_host *host;
	struct sockaddr_in addr;
	struct dtls_conn *conn;
	bool frozen; /* its host is down: what comes is lost, no timer fires */
	int status; /* DTLS_WANT_READ during the handshake, DTLS_OK, or final */
	int64_t done_at; /* when status became something else */
	int64_t due_at;
	unsigned sent_count, messages;
	struct datagram sent[NET_KEPT], input;
	char last[64]; /* message */
};

struct net_event { /* of the endpoint; messages too */
	int64_t at_ms;
	ssize_t what;
	struct dtls_peer *peer; /* maybe invalid by now */
	struct client *client;
	uint64_t generation;
	int reason; /* when ended, otherwise -1 */
	char text[64]; /* the message, or dtls_peer_error() */
};

struct net {
	struct sim *sim;
	struct dtls_context *server_ctx, *client_ctx;
	struct dtls_endpoint *ep;
	struct sim_host *host;
	struct sockaddr_in addr;
	struct client *clients;
	bool echo;

	struct net_event events[NET_EVENTS];
	unsigned event_count;
	/* Called with each event while its peer is valid, and may end it. */
	void (*on_event)(struct net *, const struct net_event *);

	/* Judges each datagram that the endpoint sends: 0 lets it leave, otherwise what send returns. */
	ssize_t (*on_send)(struct net *, const struct sockaddr_in *to, const struct datagram *);
	struct datagram out; /* the last one that left */
	struct sockaddr_in out_to;
	uint64_t out_count;
	unsigned out_alerts; /* in the clear */

	/* Called before the endpoint gets its next datagram, and when there is none (from NULL). */
	void (*on_receive)(struct net *, const struct sockaddr_in *from);

	struct sockaddr_storage injected_from;
	socklen_t injected_from_len;
	const void *injected;
	size_t injected_len;
	void *arg;
};

/* FIXED retransmission without jitter; NET_IDENTITY and NET_OTHER are known. limits may be NULL. */
struct net *net_new(uint64_t seed, const struct dtls_limits *limits);
void net_free(struct net *);
int64_t net_now(const struct net *);
/* Serves everybody until then. Datagrams that arrive, and timers that are due, at the very instant are served. */
void net_run(struct net *, int64_t until_ms);
/* Until nobody has anything to do, or then. */
void net_settle(struct net *, int64_t until_ms);
/* Lets the endpoint work, now. */
void net_serve(struct net *);
/* Makes the endpoint receive a datagram, at once. */
void net_inject(struct net *, const struct sockaddr_in *from, const void *bytes, size_t len);
void net_inject_from(struct net *, const struct sockaddr *from, socklen_t from_len, const void *bytes, size_t len);
struct dtls_stats net_stats(const struct net *);

struct sockaddr_in net_address(unsigned host, unsigned port);
/* A context for clients with this identity and the key that goes with it, or the key given (16 bytes). */
struct dtls_context *net_client_context(struct net *, const char *identity, const char *key);
const char *net_key(const char *identity);

/* Its handshake begins when the net runs. ctx NULL: as NET_IDENTITY. */
struct client *client_new(struct net *, unsigned host, unsigned port, struct dtls_context *ctx);
/* Connects it and asserts that it worked. */
struct client *client_connected(struct net *, unsigned host, unsigned port, struct dtls_context *ctx);
/* A new connection from the same address; the old one is returned, silent, for the caller to free. */
struct dtls_conn *client_swap(struct client *, struct dtls_context *ctx);
void client_reboot(struct client *, struct dtls_context *ctx);
void client_send(struct client *, const char *text);
/* Sends a message and asserts that its echo comes. */
void client_echoes(struct client *, const char *text);
/* The peer of its newest DTLS_CONNECTED. */
struct dtls_peer *client_peer(const struct client *);
/* The first ClientHello that it sent with a cookie (or without). */
const struct datagram *client_hello(const struct client *, bool cookie);

/* The nth event other than messages, from 0; asserts that it is there. */
const struct net_event *net_event(const struct net *, unsigned nth);
unsigned net_count(const struct net *, ssize_t what); /* events of this kind; 1: messages */
/* Asserts the events other than messages from the nth on: statuses, ended by 0. */
void net_expect(const struct net *, unsigned nth, const int *statuses);
#define NET_EXPECT(net, nth, ...) net_expect(net, nth, (const int[]){__VA_ARGS__, 0})

#endif
