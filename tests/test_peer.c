/* One peer's messages, and its ends by the program's hand. */
#include "net.h"
#include "suites.h"

#include <string.h>

/* ---- messages */

START_TEST(peer_too_big_keeps_the_message)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct dtls_peer *peer;
	char buf[10];

	client_send(c, "0123456789");
	client_send(c, "next");
	sim_advance_to(n->sim, net_now(n) + NET_LATENCY_MS);
	for (size_t room = 0; room < sizeof(buf); room++) {
		peer = NULL;
		ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, room), DTLS_TOO_BIG);
		ck_assert_ptr_eq(peer, client_peer(c));
		ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
	}
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), 10);
	ck_assert_mem_eq(buf, "0123456789", 10);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), 4);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
	net_free(n);
}
END_TEST

/* The datagrams that a client sent last, in one. */
static struct datagram joined(const struct client *c, unsigned count)
{
	struct datagram all = {0};

	for (unsigned i = c->sent_count - count; i < c->sent_count; i++) {
		memcpy(all.bytes + all.len, c->sent[i].bytes, c->sent[i].len);
		all.len += c->sent[i].len;
	}
	return all;
}

static struct datagram three_records(struct client *c)
{
	struct sim_link *link = sim_host_link(c->host);
	struct sim_weather lost = {.loss = 1};

	sim_link_set_weather(link, &lost);
	client_send(c, "one");
	client_send(c, "two");
	client_send(c, "three");
	return joined(c, 3);
}

START_TEST(peer_reads_all_records_of_a_datagram)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct datagram d = three_records(c);

	net_inject(n, &c->addr, d.bytes, d.len);
	ck_assert_uint_eq(net_count(n, 1), 3);
	ck_assert_str_eq(n->events[1].text, "one");
	ck_assert_str_eq(n->events[2].text, "two");
	ck_assert_str_eq(n->events[3].text, "three");
	ck_assert_uint_eq(net_stats(n).drop_forged, 0);
	net_inject(n, &c->addr, d.bytes, d.len);
	ck_assert_uint_eq(net_count(n, 1), 3);
	ck_assert_uint_eq(net_stats(n).drop_forged, 1);
	net_free(n);
}
END_TEST

START_TEST(peer_send_judges_its_message)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct dtls_peer *peer = client_peer(c);
	char big[2048] = {0};
	size_t max = dtls_peer_max_payload(peer);

	ck_assert_uint_lt(max, sizeof(big));
	ck_assert_int_eq(dtls_peer_send(peer, big, 0), DTLS_FAIL);
	ck_assert_int_eq(dtls_peer_send(peer, big, max + 1), DTLS_TOO_BIG);
	ck_assert_int_eq(dtls_peer_send(peer, big, max), (ssize_t)max);
	ck_assert_int_eq(dtls_peer_send(peer, big, 1), 1);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(c->messages, 2);
	ck_assert_uint_eq(net_stats(n).messages_out, 2);
	net_free(n);
}
END_TEST

/* ---- ends by the program's hand */

static ssize_t close_when;

static void close_on_event(struct net *n, const struct net_event *e)
{
	(void)n;
	if (e->what == close_when || (close_when > 0 && e->what > 0))
		dtls_peer_close(e->peer);
}

START_TEST(peer_closed_when_it_connects)
{
	struct net *n = net_new(1, NULL);
	struct client *c;

	n->on_event = close_on_event;
	close_when = DTLS_CONNECTED;
	c = client_new(n, 2, 40000, NULL);
	net_run(n, 1000);
	ck_assert_int_eq(c->status, DTLS_CLOSED);
	ck_assert_int_eq(c->done_at, 120);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	ck_assert_uint_eq(net_stats(n).peers, 0);
	net_free(n);
}
END_TEST

/* The two records behind it are gone with the peer. */
START_TEST(peer_closed_in_the_middle_of_a_datagram)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct datagram d = three_records(c);

	n->on_event = close_on_event;
	close_when = 1;
	net_inject(n, &c->addr, d.bytes, d.len);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(net_count(n, 1), 1);
	ck_assert_int_eq(c->status, DTLS_CLOSED);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	net_free(n);
}
END_TEST

START_TEST(peer_closed_after_its_end)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct dtls_context *wrong = net_client_context(n, NET_IDENTITY, "wrong-wrong-1234");
	uint64_t out;

	n->on_event = close_on_event;
	close_when = DTLS_CLOSED;
	dtls_conn_close(c->conn);
	out = n->out_count;
	net_run(n, 1000);
	ck_assert_uint_eq(n->out_count, out);
	NET_EXPECT(n, 1, DTLS_CLOSED);
	close_when = DTLS_FAIL;
	client_new(n, 3, 40000, wrong);
	net_run(n, 2000);
	/* The client cannot know that the alert is honest: it tries twice. */
	NET_EXPECT(n, 2, DTLS_FAIL, DTLS_FAIL);
	dtls_context_free(wrong);
	net_free(n);
}
END_TEST

START_TEST(peer_closed_before_its_end_is_reported)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL), *d = client_connected(n, 3, 40000, NULL);

	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 2);
	dtls_peer_close(client_peer(c));
	net_serve(n);
	NET_EXPECT(n, 2, DTLS_CLOSED);
	ck_assert_ptr_eq(net_event(n, 2)->client, d);
	net_free(n);
}
END_TEST

static struct client *victim;

static void close_the_victim(struct net *n, const struct net_event *e)
{
	(void)n;
	if (e->what > 0 && victim != NULL)
		dtls_peer_close(client_peer(victim));
	victim = NULL;
}

START_TEST(peer_closed_while_another_speaks)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL), *d = client_connected(n, 3, 40000, NULL);

	n->on_event = close_the_victim;
	victim = d;
	client_send(c, "x");
	client_send(d, "y");
	net_run(n, 1000);
	ck_assert_int_eq(d->status, DTLS_CLOSED);
	ck_assert_uint_eq(net_stats(n).drop_junk, 1);
	n->on_event = NULL;
	client_echoes(c, "still here");
	net_free(n);
}
END_TEST

/* The sanitizers watch these. */
START_TEST(peer_freed_at_any_time)
{
	for (int64_t ms = 10; ms <= 130; ms += 10) {
		struct net *n = net_new(1, NULL);

		client_new(n, 2, 40000, NULL);
		net_run(n, ms);
		dtls_endpoint_free(n->ep);
		n->ep = NULL;
		net_free(n);
	}
}
END_TEST

START_TEST(peer_freed_with_events_and_records_waiting)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct datagram d = three_records(c);
	struct dtls_peer *peer;
	char buf[64];

	client_connected(n, 3, 40000, NULL);
	client_new(n, 4, 40000, NULL);
	net_run(n, net_now(n) + 70);
	sim_link_set_weather(sim_host_link(c->host), NULL);
	sim_host_send(c->host, (struct sockaddr *)&n->addr, sizeof(n->addr), d.bytes, d.len);
	sim_advance_to(n->sim, net_now(n) + NET_LATENCY_MS);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), 3);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 2);
	net_free(n);
}
END_TEST

Suite *peer_suite(void)
{
	Suite *s = suite_create("peer");

	TEST(s, peer_too_big_keeps_the_message);
	TEST(s, peer_reads_all_records_of_a_datagram);
	TEST(s, peer_send_judges_its_message);
	TEST(s, peer_closed_when_it_connects);
	TEST(s, peer_closed_in_the_middle_of_a_datagram);
	TEST(s, peer_closed_after_its_end);
	TEST(s, peer_closed_before_its_end_is_reported);
	TEST(s, peer_closed_while_another_speaks);
	TEST(s, peer_freed_at_any_time);
	TEST(s, peer_freed_with_events_and_records_waiting);
	return s;
}
