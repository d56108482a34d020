/* A ClientHello from the address of an established session (RFC 6347, 4.2.8). test_overlap.c has what else may happen
 * while two handshakes overlap. */
#include "net.h"
#include "suites.h"

#include "dtls/record.h"

#include <stdio.h>
#include <string.h>

static struct dtls_context *other; /* clients with NET_OTHER */

static struct net *new_net(const struct dtls_limits *limits)
{
	struct net *n = net_new(1, limits);

	other = net_client_context(n, NET_OTHER, NULL);
	return n;
}

static void free_net(struct net *n)
{
	dtls_context_free(other);
	net_free(n);
}

static void assert_identity(struct dtls_peer *peer, const char *identity)
{
	size_t len;
	const uint8_t *found = dtls_peer_psk_identity(peer, &len);

	ck_assert_uint_eq(len, strlen(identity));
	ck_assert_mem_eq(found, identity, len);
}

/* ---- hellos that anybody may send */

START_TEST(replace_not_by_a_replayed_hello)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	const struct datagram *hello = client_hello(c, true);
	uint64_t out = n->out_count;

	for (unsigned i = 1; i <= 100; i++) {
		net_inject(n, &c->addr, hello->bytes, hello->len);
		ck_assert_uint_eq(net_stats(n).drop_replayed_hello, i);
	}
	ck_assert_uint_eq(n->out_count, out);
	client_echoes(c, "still here");
	ck_assert_uint_eq(net_stats(n).handshakes_started, 1);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	free_net(n);
}
END_TEST

/* Two rotations later its cookie is worth nothing. */
START_TEST(replace_not_by_a_stale_hello)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	const struct datagram *hello = client_hello(c, true);

	net_run(n, 130000);
	net_inject(n, &c->addr, hello->bytes, hello->len);
	ck_assert_uint_eq(net_stats(n).cookies_rejected, 1);
	ck_assert_uint_eq(net_stats(n).hello_replies, 2);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	client_echoes(c, "still here");
	free_net(n);
}
END_TEST

START_TEST(replace_not_by_a_hello_without_cookie)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	const struct datagram *hello = client_hello(c, false);

	for (unsigned i = 0; i < 100; i++)
		net_inject(n, &c->addr, hello->bytes, hello->len);
	ck_assert_uint_eq(net_stats(n).hello_replies, 101);
	ck_assert_uint_eq(n->out.bytes[13], MESSAGE_HELLO_VERIFY_REQUEST);
	ck_assert_mem_eq(&n->out_to, &c->addr, sizeof(c->addr));
	net_run(n, net_now(n) + NET_LATENCY_MS);
	client_echoes(c, "still here");
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	free_net(n);
}
END_TEST

START_TEST(replace_not_by_replayed_flights)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);

	client_echoes(c, "x");
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < c->sent_count; i++) {
			const struct datagram *d = &c->sent[round % 2 == 0 ? i : c->sent_count - 1 - i];

			net_inject(n, &c->addr, d->bytes, d->len);
		}
		net_run(n, net_now(n) + NET_LATENCY_MS);
	}
	client_echoes(c, "still here");
	ck_assert_uint_eq(net_count(n, 1), 2);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	free_net(n);
}
END_TEST

/* ---- a client that rebooted */

START_TEST(replace_by_a_client_that_rebooted)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	const struct net_event *first, *closed, *second;
	int data = 1;

	dtls_peer_set_data(client_peer(c), &data);
	net_run(n, 500);
	client_reboot(c, other);
	net_run(n, 599);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	net_run(n, 620);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	first = net_event(n, 0), closed = net_event(n, 1), second = net_event(n, 2);
	ck_assert_int_eq(closed->reason, DTLS_REASON_REPLACED);
	ck_assert_ptr_eq(closed->peer, first->peer);
	ck_assert_uint_eq(closed->generation, first->generation);
	ck_assert_int_eq(closed->at_ms, 600);
	ck_assert_int_eq(second->at_ms, 600);
	ck_assert_ptr_ne(second->peer, first->peer);
	ck_assert_uint_ne(second->generation, first->generation);
	ck_assert_ptr_null(dtls_peer_data(second->peer));
	assert_identity(second->peer, NET_OTHER);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 620);
	ck_assert_uint_eq(net_stats(n).closed_replaced, 1);
	ck_assert_uint_eq(net_stats(n).peers, 1);
	ck_assert_uint_eq(n->out_alerts, 0);
	client_echoes(c, "the new one");
	free_net(n);
}
END_TEST

START_TEST(replace_again_and_again)
{
	struct net *n = new_net(&(struct dtls_limits){.max_peers = 1, .max_handshakes = 1});
	struct client *c = client_connected(n, 2, 1, NULL);

	for (unsigned i = 1; i <= 20; i++) {
		client_reboot(c, i % 2 != 0 ? other : NULL);
		net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
		client_echoes(c, "x");
		assert_identity(client_peer(c), i % 2 != 0 ? NET_OTHER : NET_IDENTITY);
		ck_assert_uint_eq(net_stats(n).closed_replaced, i);
		ck_assert_uint_eq(net_stats(n).peers, 1);
	}
	ck_assert_uint_eq(net_stats(n).closed_evicted, 0);
	free_net(n);
}
END_TEST

/* What the old session sends arrives until the new Finished has verified, whenever it is sent, and an answer to it
 * does not disturb the new handshake. */
static void old_data_at(int64_t ms, bool echo)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_conn *old;

	n->echo = echo;
	net_run(n, 1000);
	old = client_swap(c, other);
	net_run(n, 1000 + ms);
	ck_assert_int_eq(dtls_conn_write(old, "old", 3), 3);
	net_run(n, 1500);
	ck_assert_msg(net_count(n, 1) == (ms < 4 * NET_LATENCY_MS), "sent at %lld ms", (long long)ms);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_msg(c->status == DTLS_OK, "sent at %lld ms: %s", (long long)ms, dtls_conn_error(c->conn));
	ck_assert_msg(c->done_at == 1000 + 6 * NET_LATENCY_MS, "sent at %lld ms, done at %lld ms", (long long)ms,
	    (long long)c->done_at);
	n->echo = true;
	client_echoes(c, "the new one");
	dtls_conn_free(old);
	free_net(n);
}

START_TEST(replace_delivers_old_data_in_the_overlap)
{
	for (int64_t ms = 0; ms <= 120; ms += 5)
		old_data_at(ms, false);
}
END_TEST

START_TEST(replace_with_answers_to_the_old_session_under_way)
{
	for (int64_t ms = 0; ms <= 120; ms += 5)
		old_data_at(ms, true);
}
END_TEST

/* The same with what the server has to say by itself. */
START_TEST(replace_while_the_server_speaks)
{
	for (int64_t ms = 0; ms < 100; ms += 5) {
		struct net *n = new_net(NULL);
		struct client *c = client_connected(n, 2, 1, NULL);

		net_run(n, 1000);
		client_reboot(c, NULL);
		net_run(n, 1000 + ms);
		for (unsigned i = 0; i < 3; i++)
			ck_assert_int_eq(dtls_peer_send(net_event(n, 0)->peer, "news", 4), 4);
		net_run(n, 1500);
		ck_assert_msg(c->status == DTLS_OK, "at %lld ms: %s", (long long)ms, dtls_conn_error(c->conn));
		ck_assert_int_eq(c->done_at, 1000 + 6 * NET_LATENCY_MS);
		free_net(n);
	}
}
END_TEST

/* ---- second handshakes that fail */

static ssize_t no_alerts(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)to;
	ck_assert_msg(d->bytes[0] != RECORD_ALERT, "an alert was sent");
	return 0;
}

/* Its Finished cannot be told from a forgery, so the handshake ends by its deadline. */
static void second_handshake_fails(const char *identity, const char *key)
{
	struct net *n = new_net(&(struct dtls_limits){.handshake_ms = 3000});
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_peer *peer = client_peer(c);
	struct dtls_context *wrong = net_client_context(n, identity, key);
	struct dtls_conn *old, *failing;

	n->on_send = no_alerts;
	net_run(n, 1000);
	old = client_swap(c, wrong);
	net_run(n, 10000); /* from 4060 on its last flight comes to the old session */
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_TIMEDOUT);
	ck_assert_ptr_ne(net_event(n, 1)->peer, peer);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_HANDSHAKE);
	ck_assert_int_eq(net_event(n, 1)->at_ms, 1060 + 3000);
	ck_assert_int_eq(c->status, DTLS_WANT_READ);
	failing = c->conn;
	c->conn = old;
	c->status = DTLS_OK;
	client_echoes(c, "unharmed");
	ck_assert_uint_eq(net_stats(n).peers, 1);
	ck_assert_uint_eq(net_stats(n).handshakes_timedout, 1);
	dtls_conn_free(failing);
	dtls_context_free(wrong);
	free_net(n);
}

START_TEST(replace_not_with_a_wrong_key)
{
	second_handshake_fails(NET_IDENTITY, "wrong-wrong-1234");
}
END_TEST

START_TEST(replace_not_with_an_unknown_identity)
{
	second_handshake_fails("nobody", "wrong-wrong-1234");
}
END_TEST

/* It is abandoned half-way. */
START_TEST(replace_not_without_a_finished)
{
	struct net *n = new_net(&(struct dtls_limits){.handshake_ms = 3000});
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_conn *old, *dead;

	n->on_send = no_alerts;
	net_run(n, 1000);
	old = client_swap(c, NULL);
	net_run(n, 1070);
	dead = c->conn;
	c->conn = old;
	c->status = DTLS_OK;
	for (unsigned i = 0; i < 50; i++)
		client_echoes(c, "meanwhile");
	net_run(n, 5000);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_TIMEDOUT);
	ck_assert_int_eq(net_event(n, 1)->at_ms, 1060 + 3000);
	client_echoes(c, "unharmed");
	dtls_conn_free(dead);
	free_net(n);
}
END_TEST

/* ---- reboots in the middle */

START_TEST(replace_of_an_unfinished_handshake)
{
	struct net *n = new_net(NULL);
	struct client *c = client_new(n, 2, 1, NULL);

	sim_link_drop_mask(sim_host_link(c->host), 1 << 2 | 1 << 5); /* the last flights of the first two */
	net_run(n, 300);
	client_reboot(c, NULL);
	net_run(n, 600);
	client_reboot(c, other);
	net_run(n, 720);
	NET_EXPECT(n, 0, DTLS_FAIL, DTLS_FAIL, DTLS_CONNECTED);
	ck_assert_int_eq(net_event(n, 0)->at_ms, 360);
	ck_assert_int_eq(net_event(n, 1)->at_ms, 660);
	ck_assert_uint_eq(net_stats(n).handshakes_displaced, 2);
	ck_assert_uint_eq(net_stats(n).handshakes_failed, 0);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 720);
	assert_identity(client_peer(c), NET_OTHER);
	ck_assert_uint_eq(n->out_alerts, 0);
	client_echoes(c, "third time lucky");
	free_net(n);
}
END_TEST

/* At every instant of the first handshake: an answer to the old hello costs a round trip, one to the old hello with the
 * cookie a retransmission. */
START_TEST(replace_at_any_time)
{
	for (int64_t ms = 0; ms <= 140; ms += 5) {
		int64_t done_at = ms < 40 ? 160 : ms < 120 ? ms + 1120 : ms + 120;
		struct net *n = new_net(NULL);
		struct client *c = client_new(n, 2, 1, NULL);

		net_run(n, ms);
		client_reboot(c, other);
		net_run(n, 3000);
		ck_assert_msg(c->status == DTLS_OK, "at %lld ms: %s", (long long)ms, dtls_conn_error(c->conn));
		ck_assert_msg(c->done_at == done_at, "at %lld ms: %lld", (long long)ms, (long long)c->done_at);
		assert_identity(client_peer(c), NET_OTHER);
		client_echoes(c, "x");
		ck_assert_uint_eq(net_stats(n).peers, 1);
		ck_assert_uint_eq(net_stats(n).handshakes, 0);
		free_net(n);
	}
}
END_TEST

START_TEST(replace_of_an_unfinished_successor)
{
	struct net *n = new_net(NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_conn *old;

	n->on_send = no_alerts;
	sim_link_drop_mask(sim_host_link(c->host), 1 << 5 | 1 << 9); /* the last flights of the next two */
	net_run(n, 1000);
	old = client_swap(c, NULL);
	for (unsigned i = 1; i <= 2; i++) {
		net_run(n, net_now(n) + 300);
		ck_assert_int_eq(dtls_conn_write(old, "old", 3), 3);
		client_reboot(c, NULL);
	}
	net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_FAIL, DTLS_FAIL, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_uint_eq(net_count(n, 1), 2);
	ck_assert_uint_eq(net_stats(n).handshakes_displaced, 2);
	ck_assert_uint_eq(net_stats(n).closed_replaced, 1);
	client_echoes(c, "the new one");
	dtls_conn_free(old);
	free_net(n);
}
END_TEST

Suite *replace_suite(void)
{
	Suite *s = suite_create("replace");

	TEST(s, replace_not_by_a_replayed_hello);
	TEST(s, replace_not_by_a_stale_hello);
	TEST(s, replace_not_by_a_hello_without_cookie);
	TEST(s, replace_not_by_replayed_flights);
	TEST(s, replace_by_a_client_that_rebooted);
	TEST(s, replace_again_and_again);
	TEST(s, replace_delivers_old_data_in_the_overlap);
	TEST(s, replace_with_answers_to_the_old_session_under_way);
	TEST(s, replace_while_the_server_speaks);
	TEST(s, replace_not_with_a_wrong_key);
	TEST(s, replace_not_with_an_unknown_identity);
	TEST(s, replace_not_without_a_finished);
	TEST(s, replace_of_an_unfinished_handshake);
	TEST(s, replace_at_any_time);
	TEST(s, replace_of_an_unfinished_successor);
	return s;
}
