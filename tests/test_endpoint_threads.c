/* One context, an endpoint for each of two threads on sockets of one address, as dtls.h describes it; and a third socket
 * among them that has no endpoint: whatever the kernel gives to it is handed over. */
#include "dtls/endpoint.h"
#include "loopback.h"
#include "suites.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ENDPOINTS = 2, SOCKETS = 3, ROUTER = 2, CLIENTS_MAX = 60, TALK = 3 };

struct thread { /* of an endpoint, or the router */
	pthread_t id;
	struct group *group;
	int fd;
	struct dtls_endpoint *ep;
	struct dtls_stats stats;
	unsigned handed_over;
	char wrong[300]; /* threads do not assert */
};

struct group {
	struct dtls_context *ctx;
	uint16_t port;
	struct thread threads[SOCKETS];
	atomic_bool finished;
};

static int join(const char *host, int first)
{
	struct sockaddr_storage at = {0};
	socklen_t len = sizeof(at);
	int on = 1, fd;

	if (first < 0)
		return loopback_bound(host, 0, SOCK_NONBLOCK);
	ck_assert_int_eq(getsockname(first, (struct sockaddr *)&at, &len), 0);
	ck_assert_int_eq(setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	fd = socket(at.ss_family, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, len), 0);
	return fd;
}

/* ---- the threads ---- */

static void echo_all(struct thread *t)
{
	struct dtls_peer *peer;
	char buf[256];
	ssize_t n;

	while ((n = dtls_endpoint_recv(t->ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		if (n > 0)
			n = dtls_peer_send(peer, buf, (size_t)n) == n ? n : DTLS_FAIL;
		if (n == DTLS_FAIL)
			snprintf(t->wrong, sizeof(t->wrong), "%.250s",
			    peer != NULL ? dtls_peer_error(peer) : dtls_endpoint_error(t->ep));
	}
}

static void *serves(void *arg)
{
	struct thread *t = arg;
	struct pollfd p[] = {{.fd = t->fd}, {.fd = dtls_endpoint_inbox(t->ep), .events = POLLIN}};

	while (!atomic_load(&t->group->finished)) {
		int ms = dtls_endpoint_timeout(t->ep);

		p[0].events = dtls_endpoint_events(t->ep);
		poll(p, 2, ms < 0 || ms > 20 ? 20 : ms);
		echo_all(t);
	}
	t->stats.size = sizeof(t->stats);
	dtls_endpoint_stats(t->ep, &t->stats);
	return NULL;
}

static const struct sockaddr *or_null(const struct address *a)
{
	return address_len(a) == 0 ? NULL : &a->any;
}

/* By the sender's port, so that a client stays with one endpoint. */
static void *hands_over(void *arg)
{
	struct thread *t = arg;
	struct pollfd p = {.fd = t->fd, .events = POLLIN};
	struct address from, local;
	uint8_t buf[2048];
	struct sock s;
	ssize_t n;

	socket_prepare(&s, t->fd);
	while (!atomic_load(&t->group->finished)) {
		poll(&p, 1, 20);
		while ((n = socket_recv(&s, buf, sizeof(buf), &from, &local)) >= 0) {
			struct dtls_endpoint *to = t->group->threads[ntohs(from.in.sin_port) / 2 % ENDPOINTS].ep;

			/* Where it means something, it is an address without a port; elsewhere, it means nothing. */
			if (address_len(&local) == 0 && t->handed_over % 2 == 0)
				local.in.sin_family = AF_INET;
			local.in.sin_port = htons((uint16_t)t->handed_over);
			if (dtls_endpoint_deliver(to, &from.any, address_len(&from), or_null(&local),
				address_len(&local), buf, (size_t)n) != DTLS_OK)
				snprintf(t->wrong, sizeof(t->wrong), "a datagram could not be delivered");
			t->handed_over++;
		}
	}
	return NULL;
}

static void group_begin(struct group *g, const char *host)
{
	*g = (struct group){.ctx = loopback_context(PROTOCOL_DTLS_SERVER)};
	for (unsigned i = 0; i < SOCKETS; i++)
		g->threads[i] = (struct thread){.group = g, .fd = join(host, i == 0 ? -1 : g->threads[0].fd)};
	g->port = loopback_port(g->threads[0].fd);
	for (unsigned i = 0; i < ENDPOINTS; i++) {
		g->threads[i].ep = dtls_endpoint_new(g->ctx, g->threads[i].fd, NULL);
		ck_assert_ptr_nonnull(g->threads[i].ep);
		ck_assert_int_ge(dtls_endpoint_inbox(g->threads[i].ep), 0);
	}
	for (unsigned i = 0; i < SOCKETS; i++)
		ck_assert_int_eq(
		    pthread_create(&g->threads[i].id, NULL, i == ROUTER ? hands_over : serves, &g->threads[i]), 0);
}

/* The sum of what the endpoints count. */
static struct dtls_stats group_end(struct group *g)
{
	struct dtls_stats sum = {.size = sizeof(sum)};

	atomic_store(&g->finished, true);
	for (unsigned i = 0; i < SOCKETS; i++) {
		ck_assert_int_eq(pthread_join(g->threads[i].id, NULL), 0);
		ck_assert_str_eq(g->threads[i].wrong, "");
	}
	for (unsigned i = 0; i < SOCKETS; i++) {
		dtls_endpoint_free(g->threads[i].ep);
		if (i != ROUTER)
			dtls_stats_add(&sum, &g->threads[i].stats);
		close(g->threads[i].fd);
	}
	dtls_context_free(g->ctx);
	return sum;
}

/* ---- the clients ---- */

static struct loopback_side client(const struct group *g, const char *host)
{
	struct loopback_side c = loopback_side(PROTOCOL_DTLS_CLIENT, loopback_connected(host, g->port, 0));

	ck_assert_int_eq(dtls_conn_set_timeout(c.conn, LOOPBACK_PATIENCE_MS), DTLS_OK);
	ck_assert_msg(dtls_conn_handshake(c.conn) == DTLS_OK, "%s", dtls_conn_error(c.conn));
	return c;
}

static void talk(struct loopback_side *c)
{
	char buf[64];

	for (unsigned i = 0; i < TALK; i++) {
		ck_assert_int_eq(dtls_conn_write(c->conn, "21.5", 4), 4);
		ck_assert_msg(dtls_conn_read(c->conn, buf, sizeof(buf)) == 4, "%s", dtls_conn_error(c->conn));
	}
}

static void serve_group(const char *bound_to, const char *reached_by)
{
	static struct loopback_side clients[CLIENTS_MAX];
	struct group g;
	struct dtls_stats sum;

	group_begin(&g, bound_to);
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		clients[i] = client(&g, i % 2 == 0 ? "127.0.0.1" : reached_by);
		/* A change that all threads see. */
		if (i == CLIENTS_MAX / 2)
			ck_assert_int_eq(dtls_context_add_psk(g.ctx, "late", 4, "latelatelatelate", 16), DTLS_OK);
	}
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		talk(&clients[i]);
	sum = group_end(&g);
	ck_assert_uint_eq(sum.peers, CLIENTS_MAX);
	ck_assert_uint_eq(sum.handshakes_completed, CLIENTS_MAX);
	ck_assert_uint_eq(sum.messages_in, CLIENTS_MAX * TALK);
	/* Each thread had some. That one of the three got none of 60 would be one chance in 10^10. */
	for (unsigned i = 0; i < ENDPOINTS; i++)
		ck_assert_uint_gt(g.threads[i].stats.peers, 0);
	ck_assert_uint_gt(g.threads[ROUTER].handed_over, 0);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		loopback_side_free(&clients[i]);
}

START_TEST(endpoint_threads_share_an_address)
{
	serve_group("127.0.0.1", "127.0.0.1");
}
END_TEST

START_TEST(endpoint_threads_share_a_wildcard)
{
	serve_group("0.0.0.0", "127.0.0.2");
}
END_TEST

Suite *endpoint_threads_suite(void)
{
	Suite *s = suite_create("endpoint_threads");

	TEST(s, endpoint_threads_share_an_address);
	TEST(s, endpoint_threads_share_a_wildcard);
	return s;
}
