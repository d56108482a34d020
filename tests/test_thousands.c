/* Two thousand peers on one socket, each with an address of its own. */
#include "loopback.h"
#include "suites.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	PEERS = 2000,
	ROUNDS = 5, /* messages of each */
	WINDOW = 64, /* clients that may have a message under way: both sockets' buffers hold as many */
	RECEIVE_BUFFER = 4 << 20,
	STALLED_S = 30
};

struct server {
	struct dtls_context *ctx;
	struct dtls_endpoint *ep;
	int fd;
	unsigned connected, messages, closed;
};

struct client {
	struct dtls_conn *conn;
	int fd;
	unsigned number, echoed;
	bool ready, waits; /* its handshake is done; for its echo */
};

static struct server server_new(void)
{
	struct dtls_limits limits = {.max_handshakes = PEERS};
	struct server s = {
	    .ctx = loopback_context(PROTOCOL_DTLS_SERVER), .fd = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK)};
	int size = RECEIVE_BUFFER;

	/* Only a privileged process gets it whole; the others get what the kernel allows, and resend more. */
	if (setsockopt(s.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		ck_assert_int_eq(setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	s.ep = dtls_endpoint_new(s.ctx, s.fd, &limits);
	ck_assert_msg(s.ep != NULL, "%s", dtls_context_error(s.ctx));
	return s;
}

static void echo(struct server *s, struct dtls_peer *peer, const char *buf, ssize_t len)
{
	unsigned known;

	/* Each peer numbers itself in its messages: nobody gets another's. */
	ck_assert_int_eq(sscanf(buf, "client %u", &known), 1);
	if (dtls_peer_data(peer) == NULL)
		dtls_peer_set_data(peer, (void *)(uintptr_t)(known + 1));
	ck_assert_uint_eq((uintptr_t)dtls_peer_data(peer), known + 1);
	ck_assert_int_eq(dtls_peer_send(peer, buf, (size_t)len), len);
	s->messages++;
}

static void serve(struct server *s)
{
	struct dtls_peer *peer;
	char buf[256] = "";
	ssize_t n;

	while ((n = dtls_endpoint_recv(s->ep, &peer, buf, sizeof(buf) - 1)) != DTLS_WANT_READ) {
		ck_assert_msg(n > 0 || n == DTLS_CONNECTED || n == DTLS_CLOSED, "%zd %s", n,
		    peer != NULL ? dtls_peer_error(peer) : dtls_endpoint_error(s->ep));
		if (n > 0) {
			echo(s, peer, buf, n);
		} else if (n == DTLS_CONNECTED) {
			s->connected++;
		} else {
			ck_assert_int_eq(dtls_peer_reason(peer), DTLS_REASON_CLOSE_NOTIFY);
			s->closed++;
		}
	}
}

/* From 127.1.0.1 up. */
static void client_start(struct client *c, struct dtls_context *ctx, unsigned number, uint16_t port)
{
	char host[32];

	snprintf(host, sizeof(host), "127.%u.%u.%u", 1 + number / 62500, number / 250 % 250, 1 + number % 250);
	*c = (struct client){.fd = loopback_bound(host, 0, SOCK_NONBLOCK), .number = number};
	loopback_connect(c->fd, "127.0.0.1", port);
	c->conn = dtls_wrap_socket(ctx, c->fd);
	ck_assert_msg(c->conn != NULL, "%s", dtls_context_error(ctx));
}

static void client_handshake(struct client *c)
{
	int status = dtls_conn_handshake(c->conn);

	ck_assert_msg(status == DTLS_OK || status == DTLS_WANT_READ, "%d %s", status, dtls_conn_error(c->conn));
	c->ready = status == DTLS_OK;
}

static int message_of(const struct client *c, char text[64])
{
	return snprintf(text, 64, "client %u message %u", c->number, c->echoed);
}

static void client_say(struct client *c)
{
	char text[64];
	int len = message_of(c, text);

	ck_assert_int_eq(dtls_conn_write(c->conn, text, (size_t)len), len);
	c->waits = true;
}

static void client_listen(struct client *c)
{
	char expected[64], got[64];
	int len = message_of(c, expected);
	ssize_t n = dtls_conn_read(c->conn, got, sizeof(got));

	if (n == DTLS_WANT_READ)
		return;
	ck_assert_msg(n == len, "%zd %s", n, dtls_conn_error(c->conn));
	ck_assert_mem_eq(got, expected, (size_t)len);
	c->echoed++;
	c->waits = false;
}

static int timeout_of(const struct client clients[], unsigned count, int ms)
{
	for (unsigned i = 0; i < count; i++) {
		int t = dtls_conn_timeout(clients[i].conn);

		if (t >= 0 && t < ms)
			ms = t;
	}
	return ms;
}

static void all_connect(struct server *s, struct client clients[], struct dtls_context *ctx)
{
	int64_t stop_at = loopback_now_ms() + STALLED_S * 1000;
	unsigned started = 0, ready = 0;

	while (ready < PEERS) {
		for (unsigned i = 0; i < WINDOW && started < PEERS; i++)
			client_start(&clients[started], ctx, started, loopback_port(s->fd)), started++;
		ready = 0;
		for (unsigned i = 0; i < started; i++) {
			if (!clients[i].ready)
				client_handshake(&clients[i]);
			ready += clients[i].ready;
			if (i % WINDOW == WINDOW - 1)
				serve(s);
		}
		serve(s);
		ck_assert_msg(loopback_now_ms() < stop_at, "%u of %u connected in time", ready, PEERS);
		if (started == PEERS && ready < PEERS)
			loopback_wait(s->fd, -1, timeout_of(clients, PEERS, 10));
	}
}

/* Everybody says one thing; at most WINDOW of them wait for their echo at a time. */
static void one_round(struct server *s, struct client clients[])
{
	int64_t stop_at = loopback_now_ms() + STALLED_S * 1000;

	for (unsigned first = 0; first < PEERS; first += WINDOW) {
		unsigned end = first + WINDOW < PEERS ? first + WINDOW : PEERS, waiting;

		for (unsigned i = first; i < end; i++)
			client_say(&clients[i]);
		do {
			serve(s);
			waiting = 0;
			for (unsigned i = first; i < end; i++) {
				if (clients[i].waits)
					client_listen(&clients[i]);
				waiting += clients[i].waits;
			}
			ck_assert_msg(loopback_now_ms() < stop_at, "%u echoes are missing", waiting);
			if (waiting > 0)
				loopback_wait(s->fd, -1, 10);
		} while (waiting > 0);
	}
}

static void all_leave(struct server *s, struct client clients[])
{
	int64_t stop_at = loopback_now_ms() + STALLED_S * 1000;

	for (unsigned i = 0; i < PEERS; i++) {
		ck_assert_uint_eq(clients[i].echoed, ROUNDS);
		ck_assert_int_eq(dtls_conn_close(clients[i].conn), DTLS_OK);
		dtls_conn_free(clients[i].conn);
		close(clients[i].fd);
		if (i % WINDOW == 0)
			serve(s);
	}
	while (s->closed < PEERS) {
		serve(s);
		ck_assert_msg(loopback_now_ms() < stop_at, "%u of %u closed", s->closed, PEERS);
	}
}

static void no_errors(const struct server *s)
{
	struct dtls_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(dtls_endpoint_stats(s->ep, &stats), DTLS_OK);
	ck_assert_uint_eq(s->connected, PEERS);
	ck_assert_uint_eq(s->messages, PEERS * ROUNDS);
	ck_assert_uint_eq(stats.handshakes_completed, PEERS);
	ck_assert_uint_eq(stats.messages_in, PEERS * ROUNDS);
	ck_assert_uint_eq(stats.messages_out, PEERS * ROUNDS);
	ck_assert_uint_eq(stats.closed_by_peer, PEERS);
	ck_assert_uint_eq(
	    stats.handshakes_failed + stats.handshakes_timedout + stats.handshakes_displaced + stats.forgeries, 0);
	ck_assert_uint_eq(stats.drop_junk + stats.drop_malformed_hello + stats.drop_fragmented_hello +
			      stats.drop_truncated + stats.drop_memory + stats.drop_send + stats.drop_address,
	    0);
	ck_assert_uint_eq(stats.closed_idle + stats.closed_replaced + stats.closed_evicted + stats.closed_error, 0);
	ck_assert_uint_eq(stats.peers + stats.handshakes, 0);
}

static bool enough_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return false;
	return limit.rlim_max >= PEERS + 100;
}

START_TEST(two_thousand_peers_on_one_socket)
{
	struct client *clients = calloc(PEERS, sizeof(*clients));
	struct dtls_context *ctx = loopback_context(PROTOCOL_DTLS_CLIENT);
	struct server s = server_new();
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur < PEERS + 100)
		limit.rlim_cur = PEERS + 100;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	all_connect(&s, clients, ctx);
	for (int i = 0; i < ROUNDS; i++)
		one_round(&s, clients);
	all_leave(&s, clients);
	no_errors(&s);
	dtls_context_free(ctx);
	dtls_endpoint_free(s.ep);
	dtls_context_free(s.ctx);
	close(s.fd);
	free(clients);
}
END_TEST

Suite *thousands_suite(void)
{
	Suite *s = suite_create("thousands");

	TEST_WHERE(enough_descriptors(), "this user may not open 2,100 descriptors (ulimit -Hn)", s,
	    two_thousand_peers_on_one_socket);
	return s;
}
