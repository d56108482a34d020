/* What may happen while a second handshake runs beside an established session (RFC 6347, 4.2.8). */
#include "net.h"
#include "suites.h"

#include "dtls/record.h"

#include <stdio.h>
#include <string.h>

enum { BEGAN_AT = 1000 };

static struct client *client;
static struct dtls_conn *old;
static struct dtls_peer *old_peer;

/* A session, and a second handshake from the same address; its server's first flight is under way at ms = 70. */
static struct net *overlap(const struct dtls_limits *limits, int64_t ms)
{
	struct net *n = net_new(1, limits);

	client = client_connected(n, 2, 1, NULL);
	old_peer = client_peer(client);
	net_run(n, BEGAN_AT);
	old = client_swap(client, NULL);
	if (ms > 0)
		net_run(n, BEGAN_AT + ms);
	return n;
}

static void assert_connected_at(struct net *n, int64_t ms)
{
	net_run(n, BEGAN_AT + 10000);
	ck_assert_msg(client->status == DTLS_OK, "%d: %s", client->status, dtls_conn_error(client->conn));
	ck_assert_int_eq(client->done_at, BEGAN_AT + ms);
	client_echoes(client, "the new one");
	ck_assert_ptr_ne(client_peer(client), old_peer);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
}

static void end(struct net *n)
{
	dtls_conn_free(old);
	net_free(n);
}

/* ---- the old session ends first */

START_TEST(overlap_old_peer_closes)
{
	struct net *n = overlap(NULL, 70);

	dtls_conn_close(old);
	assert_connected_at(n, 120);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_CLOSE_NOTIFY);
	ck_assert_int_eq(net_event(n, 1)->at_ms, BEGAN_AT + 90);
	ck_assert_uint_eq(net_stats(n).closed_replaced, 0);
	end(n);
}
END_TEST

/* Its close_notify reaches the new handshake, which cannot read it, at any of its stages. */
START_TEST(overlap_old_peer_is_idle)
{
	for (int64_t ms = 0; ms < 100; ms += 5) {
		struct net *n = overlap(&(struct dtls_limits){.idle_ms = BEGAN_AT - 100 + ms}, 0);

		net_run(n, BEGAN_AT + 150);
		NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
		ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_IDLE);
		ck_assert_int_eq(net_event(n, 1)->at_ms, BEGAN_AT + ms);
		ck_assert_msg(
		    client->status == DTLS_OK, "at %lld ms: %s", (long long)ms, dtls_conn_error(client->conn));
		ck_assert_int_eq(client->done_at, BEGAN_AT + 120);
		client_echoes(client, "the new one");
		end(n);
	}
}
END_TEST

START_TEST(overlap_old_peer_is_evicted)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_peers = 1});

	client = client_connected(n, 2, 1, NULL);
	old_peer = client_peer(client);
	net_run(n, BEGAN_AT - 10);
	client_new(n, 3, 1, NULL);
	net_run(n, BEGAN_AT);
	old = client_swap(client, NULL);
	assert_connected_at(n, 120);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_ptr_eq(net_event(n, 1)->peer, old_peer);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_EVICTED);
	ck_assert_int_eq(net_event(n, 3)->reason, DTLS_REASON_EVICTED);
	ck_assert_ptr_eq(net_event(n, 4)->client, client);
	end(n);
}
END_TEST

START_TEST(overlap_old_peer_is_closed_by_the_program)
{
	for (int64_t ms = 60; ms < 100; ms += 10) {
		struct net *n = overlap(NULL, ms);

		dtls_peer_close(old_peer);
		net_run(n, BEGAN_AT + 150);
		ck_assert_int_eq(client->status, DTLS_OK);
		NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CONNECTED);
		client_echoes(client, "the new one");
		end(n);
	}
}
END_TEST

START_TEST(overlap_old_peer_is_revoked)
{
	struct net *n = overlap(NULL, 70);

	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 1);
	net_serve(n);
	/* The successor has not named itself yet: it is told to begin again. */
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_FAIL);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_REVOKED);
	ck_assert_uint_eq(n->out_alerts, 1);
	end(n);
}
END_TEST

START_TEST(overlap_endpoint_closes_both)
{
	struct net *n = overlap(NULL, 70);

	ck_assert_int_eq(dtls_endpoint_close(n->ep), DTLS_OK);
	ck_assert_uint_eq(net_stats(n).peers, 0);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	end(n);
}
END_TEST

START_TEST(overlap_endpoint_freed)
{
	for (int64_t ms = 50; ms <= 130; ms += 10) {
		struct net *n = overlap(NULL, ms);

		dtls_endpoint_free(n->ep);
		n->ep = NULL;
		end(n);
	}
}
END_TEST

/* ---- alerts */

/* Alone again, the successor is a handshake like any other, and its failure is told. */
START_TEST(overlap_alert_once_the_old_peer_is_gone)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *wrong = net_client_context(n, NET_IDENTITY, "wrong-wrong-1234");

	client = client_connected(n, 2, 1, NULL);
	net_run(n, BEGAN_AT);
	old = client_swap(client, wrong);
	net_run(n, BEGAN_AT + 70);
	dtls_conn_close(old);
	net_run(n, BEGAN_AT + 100);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_FAIL);
	ck_assert_uint_eq(n->out_alerts, 1);
	dtls_context_free(wrong);
	end(n);
}
END_TEST

START_TEST(overlap_silent_when_the_successor_gives_way)
{
	struct net *n = overlap(&(struct dtls_limits){.max_handshakes = 1}, 70);
	struct dtls_conn *displaced = client->conn;

	client->conn = old;
	client->status = DTLS_OK;
	client_connected(n, 3, 1, NULL);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_FAIL, DTLS_CONNECTED);
	ck_assert_uint_eq(n->out_alerts, 0);
	client_echoes(client, "unharmed");
	old = displaced;
	end(n);
}
END_TEST

/* Anybody can send these, so they may cost the new handshake, never the old session. */
START_TEST(overlap_forged_alert_spares_the_old_session)
{
	static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40};
	struct net *n = overlap(NULL, 70);
	struct dtls_conn *lost = client->conn;

	net_inject(n, &client->addr, alert, sizeof(alert));
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_FAIL);
	client->conn = old;
	client->status = DTLS_OK;
	client_echoes(client, "unharmed");
	ck_assert_uint_eq(n->out_alerts, 0);
	old = lost;
	end(n);
}
END_TEST

/* ---- records of the two mixed */

/* Encrypted records that are neither's: they cost nobody anything. */
START_TEST(overlap_foreign_records_are_forgeries)
{
	static const uint8_t types[] = {20, 21, 22, 23};

	for (int64_t ms = 60; ms <= 100; ms += 5) {
		struct net *n = overlap(NULL, ms);

		for (unsigned i = 0; i < 4; i++) {
			uint8_t r[13 + 40] = {types[i], 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 9, 9, 0, 40};

			net_inject(n, &client->addr, r, sizeof(r));
		}
		ck_assert_uint_eq(net_stats(n).drop_forged, 4);
		assert_connected_at(n, 120);
		ck_assert_uint_eq(net_stats(n).closed_replaced, 1);
		end(n);
	}
}
END_TEST

START_TEST(overlap_late_records_of_the_old_session_are_forgeries)
{
	struct net *n = overlap(NULL, 120);

	ck_assert_int_eq(client->status, DTLS_OK);
	dtls_conn_write(old, "late", 4);
	dtls_conn_close(old);
	net_run(n, BEGAN_AT + 140);
	ck_assert_uint_eq(net_stats(n).drop_forged, 2);
	ck_assert_uint_eq(net_count(n, 1), 0);
	client_echoes(client, "the new one");
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	end(n);
}
END_TEST

static struct datagram joined(const struct datagram *a, const struct datagram *b)
{
	struct datagram all = *a;

	memcpy(all.bytes + a->len, b->bytes, b->len);
	all.len += b->len;
	return all;
}

/* A message of the old session that stays on this side. */
static struct datagram old_message(const char *text)
{
	struct sim_weather lost = {.loss = 1};

	sim_link_set_weather(sim_host_link(client->host), &lost);
	ck_assert_int_gt(dtls_conn_write(old, text, strlen(text)), 0);
	sim_link_set_weather(sim_host_link(client->host), &(struct sim_weather){.latency_ms = NET_LATENCY_MS});
	return client->sent[client->sent_count - 1];
}

START_TEST(overlap_hello_behind_another_record)
{
	struct net *n = overlap(NULL, 45);
	struct datagram hello = *client_hello(client, true), message = old_message("first"), both;

	client->frozen = true;
	n->echo = false;
	net_run(n, BEGAN_AT + 59);
	both = joined(&message, &hello);
	net_inject(n, &client->addr, both.bytes, both.len);
	ck_assert_uint_eq(net_count(n, 1), 1);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	ck_assert_uint_eq(net_stats(n).peers, 1);
	ck_assert_uint_eq(n->out.bytes[13], MESSAGE_SERVER_HELLO);
	end(n);
}
END_TEST

START_TEST(overlap_hello_before_another_record)
{
	struct net *n = overlap(NULL, 45);
	struct datagram hello = *client_hello(client, true), message = old_message("second"), both;

	client->frozen = true;
	n->echo = false;
	net_run(n, BEGAN_AT + 59);
	both = joined(&hello, &message);
	net_inject(n, &client->addr, both.bytes, both.len);
	ck_assert_uint_eq(net_count(n, 1), 1);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	end(n);
}
END_TEST

/* A datagram whose last record would reset an established mbed TLS session that saw it. */
START_TEST(overlap_own_hello_behind_a_message)
{
	struct net *n = net_new(1, NULL);
	struct datagram hello, message, both;

	client = client_connected(n, 2, 1, NULL);
	old = client->conn;
	hello = *client_hello(client, true);
	message = old_message("x");
	both = joined(&message, &hello);
	net_inject(n, &client->addr, both.bytes, both.len);
	ck_assert_uint_eq(net_count(n, 1), 1);
	ck_assert_uint_eq(net_stats(n).drop_replayed_hello, 1);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	client_echoes(client, "still here");
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	net_free(n);
}
END_TEST

START_TEST(overlap_hello_behind_a_record_of_an_unfinished_handshake)
{
	struct net *n = net_new(1, NULL);
	struct datagram both, hello, junk = {.len = 14, .bytes = {20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 1}};
	struct client *c = client_new(n, 2, 1, NULL);

	net_run(n, 70);
	hello = *client_hello(c, true);
	both = joined(&junk, &hello);
	net_inject(n, &c->addr, both.bytes, both.len);
	ck_assert_uint_eq(net_stats(n).handshakes_started, 1);
	net_run(n, 120);
	ck_assert_int_eq(c->status, DTLS_OK);
	client_echoes(c, "x");
	net_free(n);
}
END_TEST

/* Bits 0 to 3: of the next datagrams to the server, bits 4 to 7: from it. */
static void lose(struct net *n, unsigned mask)
{
	struct sim_link_stats to, from;

	sim_link_stats(sim_host_link(client->host), &to);
	sim_link_stats(sim_host_link(n->host), &from);
	sim_link_drop_mask(sim_host_link(client->host), (uint64_t)(mask & 15) << to.sent);
	sim_link_drop_mask(sim_host_link(n->host), (uint64_t)(mask >> 4) << from.sent);
}

/* Every loss among the first four datagrams each way. Up to six of them any handshake survives within its deadline. */
static void assert_survives(unsigned mask)
{
	struct net *n = overlap(NULL, 0);

	lose(n, mask);
	net_run(n, BEGAN_AT + 500000);
	lose(n, 0);
	ck_assert_msg(net_stats(n).peers == 1 && net_stats(n).handshakes == 0, "mask %#x", mask);
	ck_assert_msg(n->out_alerts == 0, "mask %#x", mask);
	if (__builtin_popcount(mask) <= 6) {
		ck_assert_msg(client->status == DTLS_OK, "mask %#x: %s", mask, dtls_conn_error(client->conn));
		NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
		ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_REPLACED);
		client_echoes(client, "the new one");
	}
	end(n);
}

START_TEST(overlap_with_losses)
{
	for (unsigned mask = 0; mask < 256; mask++)
		assert_survives(mask);
}
END_TEST

Suite *overlap_suite(void)
{
	Suite *s = suite_create("overlap");

	TEST(s, overlap_old_peer_closes);
	TEST(s, overlap_old_peer_is_idle);
	TEST(s, overlap_old_peer_is_evicted);
	TEST(s, overlap_old_peer_is_closed_by_the_program);
	TEST(s, overlap_old_peer_is_revoked);
	TEST(s, overlap_endpoint_closes_both);
	TEST(s, overlap_endpoint_freed);
	TEST(s, overlap_alert_once_the_old_peer_is_gone);
	TEST(s, overlap_silent_when_the_successor_gives_way);
	TEST(s, overlap_forged_alert_spares_the_old_session);
	TEST(s, overlap_foreign_records_are_forgeries);
	TEST(s, overlap_late_records_of_the_old_session_are_forgeries);
	TEST(s, overlap_hello_behind_another_record);
	TEST(s, overlap_hello_before_another_record);
	TEST(s, overlap_own_hello_behind_a_message);
	TEST(s, overlap_hello_behind_a_record_of_an_unfinished_handshake);
	TEST(s, overlap_with_losses);
	return s;
}
