#include "net.h"
#include "suites.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { WAITING_MAX = 64 }; /* datagrams of one peer, as dtls.h has it */

static const struct sockaddr_in *blocked_to; /* NULL: everybody */
static ssize_t blocked_result;
static int blocked_errno;

static ssize_t block(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)d;
	if (blocked_to != NULL && memcmp(to, blocked_to, sizeof(*to)) != 0)
		return 0;
	if (blocked_errno != 0)
		errno = blocked_errno;
	return blocked_result;
}

static void block_output(struct net *n, ssize_t result, const struct client *c)
{
	n->on_send = block;
	blocked_result = result;
	blocked_to = c == NULL ? NULL : &c->addr;
	blocked_errno = 0;
}

static ssize_t send_number(struct client *c, unsigned nth)
{
	char text[8];

	return dtls_peer_send(client_peer(c), text, (size_t)snprintf(text, sizeof(text), "%u", nth));
}

static void fill(struct client *c, unsigned first)
{
	for (unsigned i = 0; i < WAITING_MAX; i++)
		ck_assert_int_gt(send_number(c, first + i), 0);
	ck_assert_int_eq(send_number(c, 9999), DTLS_WANT_WRITE);
}

/* ---- output that has to wait */

START_TEST(output_waits_up_to_64_datagrams_a_peer)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);

	ck_assert_int_eq(dtls_endpoint_events(n->ep), POLLIN);
	block_output(n, DTLS_WANT_WRITE, NULL);
	fill(a, 0);
	fill(b, 0);
	ck_assert_int_eq(dtls_endpoint_events(n->ep), POLLIN | POLLOUT);
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_WANT_WRITE);
	n->on_send = NULL;
	ck_assert_int_gt(send_number(a, 64), 0);
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_OK);
	ck_assert_int_eq(dtls_endpoint_events(n->ep), POLLIN);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(a->messages, WAITING_MAX + 1);
	ck_assert_str_eq(a->last, "64");
	ck_assert_uint_eq(b->messages, WAITING_MAX);
	ck_assert_uint_eq(net_stats(n).messages_out, 2 * WAITING_MAX + 1);
	ck_assert_uint_eq(net_stats(n).drop_send, 0);
	net_free(n);
}
END_TEST

static struct sockaddr_in order[256];
static uint64_t record_seq[256];
static unsigned left;

static ssize_t note_order(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n;
	ck_assert_uint_lt(left, 256);
	order[left] = *to;
	record_seq[left++] = d->bytes[10];
	return 0;
}

START_TEST(output_leaves_in_the_order_it_was_sent)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);
	unsigned nth[2] = {0, 0};

	block_output(n, DTLS_WANT_WRITE, NULL);
	for (unsigned i = 0; i < 60; i++)
		send_number(i % 3 == 0 ? a : b, i);
	n->on_send = note_order;
	left = 0;
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_OK);
	ck_assert_uint_eq(left, 60);
	for (unsigned i = 0; i < 60; i++) {
		unsigned who = i % 3 == 0;

		ck_assert_mem_eq(&order[i], who ? &a->addr : &b->addr, sizeof(order[i]));
		ck_assert_uint_eq(record_seq[i], ++nth[who]);
	}
	net_free(n);
}
END_TEST

static int quota;

static ssize_t take_a_few(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)to, (void)d;
	return quota-- > 0 ? 0 : DTLS_WANT_WRITE;
}

/* Each record exactly once, however often the transport stops taking them. */
START_TEST(output_survives_a_transport_that_takes_a_few)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL);
	int rounds = 0;

	block_output(n, DTLS_WANT_WRITE, NULL);
	fill(a, 0);
	n->on_send = take_a_few;
	do {
		quota = 7;
		rounds++;
	} while (dtls_endpoint_flush(n->ep) == DTLS_WANT_WRITE);
	ck_assert_int_eq(rounds, WAITING_MAX / 7 + 1);
	n->on_send = NULL;
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(a->messages, WAITING_MAX);
	ck_assert_str_eq(a->last, "63");
	net_free(n);
}
END_TEST

/* Also what the program sends after the output waits comes behind it. */
START_TEST(output_is_not_overtaken)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL);

	block_output(n, DTLS_WANT_WRITE, NULL);
	send_number(a, 0);
	n->on_send = note_order;
	left = 0;
	send_number(a, 1);
	dtls_endpoint_flush(n->ep);
	ck_assert_uint_eq(left, 2);
	ck_assert_uint_eq(record_seq[0] + 1, record_seq[1]);
	net_free(n);
}
END_TEST

START_TEST(output_leaves_when_recv_runs_dry)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL);

	block_output(n, DTLS_WANT_WRITE, NULL);
	send_number(a, 0);
	n->on_send = NULL;
	net_serve(n);
	ck_assert_int_eq(dtls_endpoint_events(n->ep), POLLIN);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(a->messages, 1);
	net_free(n);
}
END_TEST

/* What a peer was sent before it was closed still leaves, and its close_notify behind it. */
START_TEST(output_of_a_closed_peer_still_leaves)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);

	block_output(n, DTLS_WANT_WRITE, NULL);
	send_number(a, 0);
	send_number(b, 0);
	dtls_peer_close(client_peer(a));
	send_number(b, 1);
	n->on_send = NULL;
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_OK);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(a->messages, 1);
	ck_assert_int_eq(a->status, DTLS_CLOSED);
	ck_assert_uint_eq(b->messages, 2);
	net_free(n);
}
END_TEST

START_TEST(output_freed_while_it_waits)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL);

	block_output(n, DTLS_WANT_WRITE, NULL);
	fill(a, 0);
	net_free(n);
}
END_TEST

/* Handshakes go on through a transport that has to be asked twice. */
START_TEST(output_of_handshakes_waits_too)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_new(n, 2, 1, NULL);

	net_run(n, 50);
	block_output(n, DTLS_WANT_WRITE, NULL);
	net_run(n, 60);
	ck_assert_int_eq(dtls_endpoint_events(n->ep), POLLIN | POLLOUT);
	n->on_send = NULL;
	net_run(n, 200);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 120);
	net_free(n);
}
END_TEST

/* ---- output that fails */

START_TEST(output_that_fails_for_one_peer_costs_no_other)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);

	block_output(n, DTLS_FAIL, a);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_gt(send_number(a, i), 0);
		ck_assert_int_gt(send_number(b, i), 0);
	}
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(a->messages, 0);
	ck_assert_uint_eq(b->messages, 100);
	ck_assert_uint_eq(net_stats(n).drop_send, 100);
	n->on_send = NULL;
	client_echoes(a, "back again");
	client_echoes(b, "never away");
	NET_EXPECT(n, 2, 0);
	net_free(n);
}
END_TEST

START_TEST(output_that_fails_in_the_queue_costs_no_other)
{
	struct net *n = net_new(1, NULL);
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);

	block_output(n, DTLS_WANT_WRITE, NULL);
	for (unsigned i = 0; i < 50; i++) {
		send_number(a, i);
		send_number(b, i);
	}
	block_output(n, DTLS_FAIL, a);
	ck_assert_int_eq(dtls_endpoint_flush(n->ep), DTLS_OK);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(a->messages, 0);
	ck_assert_uint_eq(b->messages, 50);
	ck_assert_uint_eq(net_stats(n).drop_send, 50);
	net_free(n);
}
END_TEST

/* A failed send is a lost datagram: the handshake goes on when its timer fires. */
START_TEST(output_that_fails_in_a_handshake_is_sent_again)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_new(n, 2, 1, NULL);

	net_run(n, 50);
	block_output(n, DTLS_FAIL, NULL);
	net_run(n, 60);
	n->on_send = NULL;
	net_run(n, 2000);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_gt(c->done_at, 1000);
	ck_assert_uint_eq(net_stats(n).drop_send, 1);
	net_free(n);
}
END_TEST

/* An old errno is not this datagram's. */
START_TEST(output_failures_keep_their_own_errno)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_peer *peer = client_peer(c);

	block_output(n, DTLS_FAIL, NULL);
	errno = EMSGSIZE;
	ck_assert_int_eq(dtls_peer_send(peer, "x", 1), 1);
	blocked_errno = EMSGSIZE;
	ck_assert_int_eq(dtls_peer_send(peer, "x", 1), DTLS_TOO_BIG);
	blocked_errno = EPERM;
	ck_assert_int_eq(dtls_peer_send(peer, "x", 1), 1);
	block_output(n, DTLS_TOO_BIG, NULL);
	ck_assert_int_eq(dtls_peer_send(peer, "x", 1), DTLS_TOO_BIG);
	n->on_send = NULL;
	client_echoes(c, "still here");
	net_free(n);
}
END_TEST

Suite *output_suite(void)
{
	Suite *s = suite_create("output");

	TEST(s, output_waits_up_to_64_datagrams_a_peer);
	TEST(s, output_leaves_in_the_order_it_was_sent);
	TEST(s, output_survives_a_transport_that_takes_a_few);
	TEST(s, output_is_not_overtaken);
	TEST(s, output_leaves_when_recv_runs_dry);
	TEST(s, output_of_a_closed_peer_still_leaves);
	TEST(s, output_freed_while_it_waits);
	TEST(s, output_of_handshakes_waits_too);
	TEST(s, output_that_fails_for_one_peer_costs_no_other);
	TEST(s, output_that_fails_in_the_queue_costs_no_other);
	TEST(s, output_that_fails_in_a_handshake_is_sent_again);
	TEST(s, output_failures_keep_their_own_errno);
	return s;
}
