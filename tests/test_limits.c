#include "net.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>

/* ---- max_handshakes */

/* A client that stays unfinished until it resends its last flight, 1 s after it lost the first. */
static struct client *unfinished(struct net *n, unsigned host, unsigned port)
{
	struct client *c = client_new(n, host, port, NULL);

	sim_link_drop_mask(sim_host_link(c->host), 4);
	net_run(n, net_now(n) + 100);
	return c;
}

START_TEST(limits_oldest_of_the_busiest_prefix_gives_way)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_handshakes = 4});
	struct client *alone = unfinished(n, 3, 1), *displaced = unfinished(n, 2, 1), *second = unfinished(n, 2, 2);
	struct client *other = unfinished(n, 4, 1), *last;

	ck_assert_uint_eq(net_stats(n).handshakes, 4);
	NET_EXPECT(n, 0, 0);
	last = client_new(n, 5, 1, NULL);
	net_run(n, net_now(n) + 60);
	NET_EXPECT(n, 0, DTLS_FAIL);
	ck_assert_ptr_eq(net_event(n, 0)->client, displaced);
	ck_assert_int_eq(net_event(n, 0)->reason, DTLS_REASON_HANDSHAKE);
	ck_assert_msg(strstr(net_event(n, 0)->text, "gave way") != NULL, "%s", net_event(n, 0)->text);
	ck_assert_uint_eq(net_stats(n).handshakes_displaced, 1);
	ck_assert_uint_eq(net_stats(n).handshakes, 4);
	net_run(n, 2000);
	ck_assert_int_eq(alone->status, DTLS_OK);
	ck_assert_int_eq(second->status, DTLS_OK);
	ck_assert_int_eq(other->status, DTLS_OK);
	ck_assert_int_eq(last->status, DTLS_OK);
	ck_assert_uint_eq(net_stats(n).handshakes_failed, 0);
	net_free(n);
}
END_TEST

/* Who gave way is told so: an honest client begins again at once instead of waiting for its deadline. */
START_TEST(limits_who_gave_way_begins_again)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_handshakes = 1});
	struct client *displaced = unfinished(n, 2, 1);

	client_new(n, 3, 1, NULL);
	net_run(n, 300);
	ck_assert_uint_eq(n->out_alerts, 1);
	ck_assert_int_eq(displaced->status, DTLS_OK);
	ck_assert_int_eq(displaced->done_at, 180 + 6 * NET_LATENCY_MS);
	NET_EXPECT(n, 0, DTLS_FAIL, DTLS_CONNECTED, DTLS_CONNECTED);
	net_free(n);
}
END_TEST

/* Clients of one address that prove it and then fall silent. */
static void crowd(struct net *n, unsigned first_port, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		client_new(n, 2, first_port + i, NULL);
		net_run(n, net_now(n) + 45);
		n->clients->frozen = true;
	}
}

/* One address with a hundred ports, all proven: it only ever displaces its own. */
START_TEST(limits_one_prefix_cannot_crowd_out_others)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_handshakes = 10});
	struct client *honest;

	crowd(n, 1000, 51);
	honest = client_new(n, 3, 40000, NULL);
	crowd(n, 2000, 49);
	ck_assert_int_eq(honest->status, DTLS_OK);
	ck_assert_int_eq(honest->done_at, 51 * 45 + 6 * NET_LATENCY_MS);
	ck_assert_uint_le(net_stats(n).handshakes, 10);
	ck_assert_uint_eq(net_count(n, DTLS_CONNECTED), 1);
	for (unsigned i = 0; i < n->event_count; i++)
		if (n->events[i].what == DTLS_FAIL)
			ck_assert_ptr_ne(n->events[i].client, honest);
	ck_assert_uint_gt(net_stats(n).handshakes_displaced, 80);
	net_free(n);
}
END_TEST

/* ---- max_peers */

START_TEST(limits_longest_silent_is_evicted)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_peers = 3});
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);
	struct client *c = client_connected(n, 4, 1, NULL), *d;

	client_echoes(a, "I speak");
	d = client_new(n, 5, 1, NULL);
	net_run(n, net_now(n) + 200);
	NET_EXPECT(n, 3, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_ptr_eq(net_event(n, 3)->client, b);
	ck_assert_int_eq(net_event(n, 3)->reason, DTLS_REASON_EVICTED);
	ck_assert_ptr_eq(net_event(n, 4)->client, d);
	ck_assert_int_eq(net_event(n, 3)->at_ms, net_event(n, 4)->at_ms);
	ck_assert_int_eq(b->status, DTLS_CLOSED);
	ck_assert_int_eq(b->done_at, net_event(n, 3)->at_ms + NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).closed_evicted, 1);
	ck_assert_uint_eq(net_stats(n).peers, 3);
	client_echoes(a, "a");
	client_echoes(c, "c");
	client_echoes(d, "d");
	net_free(n);
}
END_TEST

START_TEST(limits_max_peers_of_one)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_peers = 1});

	for (unsigned i = 0; i < 10; i++)
		client_connected(n, 2 + i, 1, NULL);
	ck_assert_uint_eq(net_stats(n).peers, 1);
	ck_assert_uint_eq(net_stats(n).closed_evicted, 9);
	client_echoes(n->clients, "the last one");
	net_free(n);
}
END_TEST

/* ---- handshake_ms */

/* One byte of a ClientKeyExchange, in a record of its own. */
static void drip(struct net *n, struct client *c, unsigned nth)
{
	uint8_t r[26] = {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 13, 16, 0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 1, 'x'};

	r[10] = (uint8_t)nth;
	r[21] = (uint8_t)nth;
	net_inject(n, &c->addr, r, sizeof(r));
}

START_TEST(limits_handshake_ends_in_time_under_a_drip)
{
	for (int64_t period = 10; period <= 999; period += 43) {
		struct net *n = net_new(1, &(struct dtls_limits){.handshake_ms = 2500});
		struct client *c = client_new(n, 2, 1, NULL);
		unsigned nth = 0;

		net_run(n, 70);
		c->frozen = true;
		while (net_now(n) + period < 2560) {
			net_run(n, net_now(n) + period);
			drip(n, c, nth++);
		}
		net_run(n, 2559);
		NET_EXPECT(n, 0, 0);
		net_run(n, 3000);
		NET_EXPECT(n, 0, DTLS_TIMEDOUT);
		ck_assert_int_eq(net_event(n, 0)->at_ms, 2560);
		ck_assert_uint_eq(net_stats(n).handshakes_timedout, 1);
		ck_assert_uint_eq(n->out_alerts, 1);
		net_free(n);
	}
}
END_TEST

START_TEST(limits_handshake_ends_in_time_under_repeated_hellos)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshake_ms = 2500});
	struct client *c = client_new(n, 2, 1, NULL);
	struct datagram hello;

	net_run(n, 70);
	c->frozen = true;
	hello = *client_hello(c, true);
	for (int64_t at = 100; at < 2560; at += 100) {
		net_run(n, at);
		net_inject(n, &c->addr, hello.bytes, hello.len);
	}
	net_run(n, 2559);
	NET_EXPECT(n, 0, 0);
	net_run(n, 2560);
	NET_EXPECT(n, 0, DTLS_TIMEDOUT);
	net_free(n);
}
END_TEST

START_TEST(limits_a_stuck_handshake_delays_nobody)
{
	struct net *n = net_new(1, NULL);
	struct client *c;

	for (unsigned i = 0; i < 20; i++) {
		client_new(n, 2, 1 + i, NULL);
		net_run(n, net_now(n) + 45);
		n->clients->frozen = true;
	}
	for (unsigned i = 0; i < 20; i++) {
		int64_t began_at = net_now(n);

		c = client_connected(n, 3, 1 + i, NULL);
		ck_assert_int_eq(c->done_at, began_at + 6 * NET_LATENCY_MS);
		client_echoes(c, "prompt");
	}
	ck_assert_uint_eq(net_stats(n).handshakes, 20);
	net_free(n);
}
END_TEST

/* ---- idle_ms */

START_TEST(limits_idle_is_exact)
{
	struct net *n = net_new(1, &(struct dtls_limits){.idle_ms = 1000});
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);

	net_run(n, 500);
	client_send(a, "x");
	net_run(n, 1219);
	NET_EXPECT(n, 2, 0);
	net_run(n, 3000);
	NET_EXPECT(n, 2, DTLS_CLOSED, DTLS_CLOSED);
	ck_assert_ptr_eq(net_event(n, 2)->client, b);
	ck_assert_int_eq(net_event(n, 2)->at_ms, 220 + 1000);
	ck_assert_int_eq(net_event(n, 2)->reason, DTLS_REASON_IDLE);
	ck_assert_ptr_eq(net_event(n, 3)->client, a);
	ck_assert_int_eq(net_event(n, 3)->at_ms, 520 + 1000);
	ck_assert_uint_eq(net_stats(n).closed_idle, 2);
	ck_assert_int_eq(b->status, DTLS_CLOSED);
	ck_assert_int_eq(b->done_at, 1220 + NET_LATENCY_MS);
	net_free(n);
}
END_TEST

/* Neither what an attacker sends nor what this side sends is a sign of life. */
START_TEST(limits_idle_is_not_put_off_by_forgeries)
{
	struct net *n = net_new(1, &(struct dtls_limits){.idle_ms = 1000});
	struct client *c = client_connected(n, 2, 1, NULL);
	struct datagram replayed;

	client_send(c, "x");
	replayed = c->sent[c->sent_count - 1];
	net_run(n, 140);
	for (int64_t at = 200; at < 1140; at += 100) {
		net_run(n, at);
		net_inject(n, &c->addr, replayed.bytes, replayed.len);
		net_inject(n, &c->addr, client_hello(c, true)->bytes, client_hello(c, true)->len);
		ck_assert_int_eq(dtls_peer_send(client_peer(c), "y", 1), 1);
	}
	net_run(n, 1139);
	NET_EXPECT(n, 1, 0);
	net_run(n, 1140);
	NET_EXPECT(n, 1, DTLS_CLOSED);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_IDLE);
	net_free(n);
}
END_TEST

/* ---- ends of many */

START_TEST(limits_close_identity_ends_all_of_it_and_no_other)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *ctx = net_client_context(n, NET_OTHER, NULL);
	struct client *a = client_connected(n, 2, 1, NULL), *other = client_connected(n, 3, 1, ctx);
	struct client *b = client_connected(n, 4, 1, NULL);

	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, "sensor", 6), 0);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY "0", 9), 0);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, 8), 2);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, 8), 0);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	NET_EXPECT(n, 3, DTLS_CLOSED, DTLS_CLOSED);
	ck_assert_int_eq(net_event(n, 3)->reason, DTLS_REASON_REVOKED);
	ck_assert_int_eq(a->status, DTLS_CLOSED);
	ck_assert_int_eq(b->status, DTLS_CLOSED);
	ck_assert_uint_eq(net_stats(n).closed_revoked, 2);
	client_echoes(other, "unharmed");
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

static ssize_t send_waits(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)to, (void)d;
	return DTLS_WANT_WRITE;
}

START_TEST(limits_endpoint_close_takes_bounded_steps)
{
	enum { PEERS = 1000 };
	struct net *n = net_new(1, NULL);
	uint64_t most = 0, out;
	int steps = 1;

	for (unsigned i = 0; i < PEERS; i++)
		client_new(n, 2 + i, 1, NULL);
	net_run(n, 120);
	ck_assert_uint_eq(net_stats(n).peers, PEERS);
	for (out = n->out_count; dtls_endpoint_close(n->ep) == DTLS_WANT_READ; out = n->out_count, steps++)
		most = n->out_count - out > most ? n->out_count - out : most;
	ck_assert_uint_le(most, 64);
	ck_assert_int_eq(steps, (PEERS + 63) / 64);
	ck_assert_int_eq(dtls_endpoint_close(n->ep), DTLS_OK);
	ck_assert_uint_eq(net_stats(n).peers, 0);
	net_run(n, 140);
	for (struct client *c = n->clients; c != NULL; c = c->next)
		ck_assert_int_eq(c->status, DTLS_CLOSED);
	ck_assert_uint_eq(net_count(n, DTLS_CLOSED), 0);
	net_free(n);
}
END_TEST

START_TEST(limits_endpoint_close_waits_for_output)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);

	client_new(n, 3, 1, NULL);
	net_run(n, net_now(n) + 70);
	n->on_send = send_waits;
	ck_assert_int_eq(dtls_endpoint_close(n->ep), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_endpoint_close(n->ep), DTLS_WANT_WRITE);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	n->on_send = NULL;
	ck_assert_int_eq(dtls_endpoint_close(n->ep), DTLS_OK);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_int_eq(c->status, DTLS_CLOSED);
	net_free(n);
}
END_TEST

START_TEST(limits_may_be_endless)
{
	struct net *n = net_new(1, &(struct dtls_limits){.idle_ms = INT64_MAX, .handshake_ms = INT64_MAX});
	struct client *c = client_connected(n, 2, 1, NULL);

	net_run(n, 1000000);
	client_echoes(c, "hello");
	ck_assert_uint_eq(net_stats(n).closed_idle, 0);
	net_free(n);
}
END_TEST

/* Nonsense, but not an endless loop: the endpoint was made under one clock, its next peers under another. */
START_TEST(limits_another_clock_under_way)
{
	struct net *n = net_new(1, NULL);

	client_connected(n, 2, 1, NULL);
	net_run(n, 5000);
	ck_assert_int_eq(dtls_context_set_clock(n->server_ctx, NULL, NULL), DTLS_OK);
	client_new(n, 3, 1, NULL);
	net_run(n, net_now(n) + 70);
	ck_assert_uint_le(net_stats(n).retransmissions, 100);
	net_free(n);
}
END_TEST

START_TEST(limits_are_judged)
{
	struct net *n = net_new(1, NULL);
	struct dtls_datagrams none = {0};

	ck_assert_ptr_null(dtls_endpoint_new_transport(n->server_ctx, &none, &(struct dtls_limits){.idle_ms = -1}));
	ck_assert_msg(
	    strstr(dtls_context_error(n->server_ctx), "idle_ms") != NULL, "%s", dtls_context_error(n->server_ctx));
	ck_assert_ptr_null(
	    dtls_endpoint_new_transport(n->server_ctx, &none, &(struct dtls_limits){.handshake_ms = -1}));
	ck_assert_ptr_null(dtls_endpoint_new_transport(n->client_ctx, &none, NULL));
	ck_assert_msg(strstr(dtls_context_error(n->client_ctx), "PROTOCOL_DTLS_SERVER") != NULL, "%s",
	    dtls_context_error(n->client_ctx));
	net_free(n);
}
END_TEST

Suite *limits_suite(void)
{
	Suite *s = suite_create("limits");

	TEST(s, limits_oldest_of_the_busiest_prefix_gives_way);
	TEST(s, limits_who_gave_way_begins_again);
	TEST(s, limits_one_prefix_cannot_crowd_out_others);
	TEST(s, limits_longest_silent_is_evicted);
	TEST(s, limits_max_peers_of_one);
	TEST(s, limits_handshake_ends_in_time_under_a_drip);
	TEST(s, limits_handshake_ends_in_time_under_repeated_hellos);
	TEST(s, limits_a_stuck_handshake_delays_nobody);
	TEST(s, limits_idle_is_exact);
	TEST(s, limits_idle_is_not_put_off_by_forgeries);
	TEST(s, limits_close_identity_ends_all_of_it_and_no_other);
	TEST(s, limits_endpoint_close_takes_bounded_steps);
	TEST(s, limits_endpoint_close_waits_for_output);
	TEST(s, limits_are_judged);
	TEST(s, limits_may_be_endless);
	TEST(s, limits_another_clock_under_way);
	return s;
}
