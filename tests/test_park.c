/* Which peers are parked, what wakes them, and what an attacker can make of it. */
#include "parking.h"
#include "suites.h"

#include "dtls/endpoint.h"
#include "dtls/mbed.h"
#include "dtls/record.h"

#include <string.h>

static struct net *two_awake(unsigned clients)
{
	return parking_net(clients, &(struct dtls_limits){.max_awake = 2});
}

/* ---- who is parked */

START_TEST(park_the_least_recently_used)
{
	struct net *n = two_awake(4);

	parking_expect(n, "ppaa");
	client_echoes(parking_client(n, 2), "used");
	client_echoes(parking_client(n, 0), "woken"); /* behind 2, who was used later than 3 */
	parking_expect(n, "apap");
	/* What is sent is a use, too. */
	ck_assert_int_eq(dtls_peer_send(client_peer(parking_client(n, 2)), "x", 1), 1);
	ck_assert_int_eq(dtls_peer_send(client_peer(parking_client(n, 1)), "y", 1), 1);
	parking_expect(n, "paap");
	net_free(n);
}
END_TEST

START_TEST(park_nobody_below_max_awake)
{
	struct net *n = parking_net(5, &(struct dtls_limits){.max_awake = 5});

	parking_expect(n, "aaaaa");
	ck_assert_uint_eq(net_stats(n).parks, 0);
	parking_add(n, NULL);
	parking_expect(n, "paaaaa");
	ck_assert_uint_eq(net_stats(n).parks, 1);
	net_free(n);
}
END_TEST

START_TEST(park_a_thousand_are_awake_by_default)
{
	struct net *n = net_new(1, NULL);

	ck_assert_uint_eq(n->ep->limits.max_awake, 1000);
	net_free(n);
}
END_TEST

/* Until its first message came, a client may ask for the last flight again. */
START_TEST(park_not_before_the_first_message)
{
	struct net *n = parking_net(1, &(struct dtls_limits){.max_awake = 1});

	for (unsigned host = 3; host < 6; host++)
		client_connected(n, host, 40000, NULL);
	parking_expect(n, "aaaa");
	ck_assert_uint_eq(net_stats(n).pinned, 3);
	client_echoes(parking_client(n, 2), "first");
	parking_expect(n, "paaa");
	ck_assert_uint_eq(net_stats(n).pinned, 2);
	ck_assert_uint_eq(net_stats(n).park_refused, 0);
	/* What is sent to it does not tell that its handshake is done. */
	ck_assert_int_eq(dtls_peer_send(client_peer(parking_client(n, 1)), "x", 1), 1);
	parking_expect(n, "paaa");
	net_free(n);
}
END_TEST

START_TEST(park_no_cbc_suite)
{
	static const char *const suites[] = {"TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CBC-SHA256"};
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});
	struct dtls_context *ctx = net_client_context(n, NET_OTHER, NULL);

	ck_assert_int_eq(dtls_context_set_ciphers(n->server_ctx, suites, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(ctx, suites + 1, 1), DTLS_OK);
	parking_add(n, ctx);
	parking_add(n, NULL);
	parking_add(n, ctx);
	parking_add(n, NULL);
	parking_expect(n, "apaa");
	client_echoes(parking_client(n, 0), "again");
	client_echoes(parking_client(n, 1), "again");
	parking_expect(n, "aaap");
	ck_assert_uint_eq(net_stats(n).park_refused, 2);
	ck_assert_uint_eq(net_stats(n).pinned, 2);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

/* Three records in one datagram: while they are read, the peer is not parked, whoever is woken meanwhile. */
START_TEST(park_not_while_it_is_read)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0), *d = parking_client(n, 1);
	struct sim_weather lost = {.loss = 1};
	struct datagram all = {0};
	struct dtls_peer *peer;
	char buf[16];

	sim_link_set_weather(sim_host_link(c->host), &lost);
	c->sent_count = 0;
	for (unsigned i = 0; i < 3; i++) {
		client_send(c, "text");
		memcpy(all.bytes + all.len, c->sent[i].bytes, c->sent[i].len);
		all.len += c->sent[i].len;
	}
	sim_link_set_weather(sim_host_link(c->host), NULL);
	sim_host_send(c->host, (struct sockaddr *)&n->addr, sizeof(n->addr), all.bytes, all.len);
	sim_advance_to(n->sim, net_now(n) + NET_LATENCY_MS);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), 4);
		ck_assert_ptr_eq(peer, client_peer(c));
		ck_assert_int_eq(dtls_peer_send(client_peer(d), "x", 1), 1);
		ck_assert_int_eq(parking_is_parked(c), i == 2); /* by then all is read */
	}
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
	parking_expect(n, "pa");
	ck_assert_uint_eq(net_stats(n).park_refused, 0);
	net_free(n);
}
END_TEST

/* What waits for the socket is encrypted already. */
START_TEST(park_with_output_waiting)
{
	struct net *n = parking_net(3, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);

	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(dtls_peer_send(client_peer(c), "text", 4), 4);
	client_echoes(parking_client(n, 1), "woken");
	parking_expect(n, "pap");
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_uint_eq(c->messages, 4);
	net_free(n);
}
END_TEST

/* ---- what wakes them */

START_TEST(park_and_wake_many_times)
{
	struct net *n = two_awake(20);
	uint64_t wakes = net_stats(n).wakes;

	ck_assert_uint_eq(net_stats(n).parked, 18);
	for (unsigned round = 0; round < 5; round++)
		for (unsigned i = 0; i < 20; i++)
			client_echoes(parking_client(n, i), "again");
	ck_assert_uint_eq(net_stats(n).wakes, wakes + 100);
	ck_assert_uint_eq(net_stats(n).parked, 18);
	ck_assert_uint_eq(net_stats(n).parks, net_stats(n).wakes + 18);
	ck_assert_uint_eq(net_stats(n).wakes_unused, 0);
	ck_assert_uint_eq(net_stats(n).forgeries + net_stats(n).drop_forged, 0);
	net_free(n);
}
END_TEST

/* Each wakes with those that it was connected with, whoever was parked before it. */
START_TEST(park_keeps_its_settings)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});
	size_t max[3];

	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(dtls_context_set_mtu(n->server_ctx, 500 + 300 * i), DTLS_OK);
		max[i] = dtls_peer_max_payload(client_peer(parking_add(n, NULL)));
	}
	ck_assert_uint_eq(max[2], max[0] + 600);
	for (unsigned i = 0; i < 9; i++) {
		client_echoes(parking_client(n, i % 3), "again");
		ck_assert(!parking_is_parked(parking_client(n, i % 3)));
		ck_assert_uint_eq(dtls_peer_max_payload(client_peer(parking_client(n, i % 3))), max[i % 3]);
		ck_assert_uint_eq(client_peer(parking_client(n, i % 3))->a->settings->opt.mtu, 500 + 300 * (i % 3));
	}
	net_free(n);
}
END_TEST

START_TEST(park_not_woken_for_too_much)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct dtls_peer *peer = client_peer(parking_client(n, 0));
	char big[2048] = {0};

	ck_assert_int_eq(dtls_peer_send(peer, big, dtls_peer_max_payload(peer) + 1), DTLS_TOO_BIG);
	ck_assert_int_eq(dtls_peer_send(peer, big, 0), DTLS_FAIL);
	parking_expect(n, "pa");
	ck_assert_int_eq(dtls_peer_send(peer, big, dtls_peer_max_payload(peer)), (ssize_t)dtls_peer_max_payload(peer));
	parking_expect(n, "ap");
	net_free(n);
}
END_TEST

/* The record sequence number is the nonce: it goes on where it was. */
START_TEST(park_no_nonce_twice)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0), *d = parking_client(n, 1);
	uint8_t nonce[2][8];
	uint64_t seq;

	client_echoes(c, "one");
	seq = parking_seq(&n->out);
	for (unsigned i = 1; i <= 5; i++) {
		memcpy(nonce[0], n->out.bytes + RECORD_HEADER, 8);
		client_echoes(d, "between");
		ck_assert(parking_is_parked(c));
		client_echoes(c, "one");
		ck_assert_uint_eq(parking_seq(&n->out), seq + i);
		memcpy(nonce[1], n->out.bytes + RECORD_HEADER, 8); /* the explicit one of CCM (RFC 6655, 3) */
		ck_assert_mem_ne(nonce[0], nonce[1], 8);
		ck_assert_mem_eq(nonce[1], n->out.bytes + 3, 8);
	}
	net_free(n);
}
END_TEST

/* RFC 6347, 4.1: a counter that is used up stays used up. */
START_TEST(park_keeps_count_of_records)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);
	struct dtls_peer *peer = client_peer(c);
	uint64_t last = ((uint64_t)1 << 48) - 16;

	client_echoes(c, "awake");
	put_24(put_24((uint8_t *)(uintptr_t)mbed_out_counter(&peer->a->ssl) + 2, last >> 24), last & 0xffffff);
	ck_assert_int_eq(dtls_peer_send(peer, "last", 4), 4);
	ck_assert_uint_eq(parking_seq(&n->out), last);
	client_echoes(parking_client(n, 1), "between");
	ck_assert(parking_is_parked(c));
	ck_assert_int_eq(dtls_peer_send(peer, "one too many", 12), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_peer_error(peer), "used up"));
	net_free(n);
}
END_TEST

START_TEST(park_counts_a_forgery_once)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);
	struct datagram d = parking_forged(RECORD_APPLICATION_DATA, 1000, 64);

	client_echoes(c, "awake");
	net_inject(n, &c->addr, d.bytes, d.len);
	for (unsigned i = 0; i < 3; i++) {
		client_echoes(parking_client(n, 1), "between");
		client_echoes(c, "again");
	}
	ck_assert_uint_eq(net_stats(n).forgeries, 1);
	net_inject(n, &c->addr, d.bytes, d.len);
	ck_assert_uint_eq(net_stats(n).forgeries, 2);
	net_free(n);
}
END_TEST

/* An old datagram does not even wake it; and awake it knows it, too. */
START_TEST(park_keeps_the_replay_window)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);
	uint64_t wakes = net_stats(n).wakes, forged = net_stats(n).drop_forged;
	struct datagram first = c->sent[c->sent_count - 1];

	ck_assert_int_eq(first.bytes[0], RECORD_APPLICATION_DATA);
	net_inject(n, &c->addr, first.bytes, first.len);
	parking_expect(n, "pa");
	ck_assert_uint_eq(net_stats(n).wakes, wakes);
	ck_assert_uint_eq(net_stats(n).drop_forged, forged + 1);
	client_echoes(c, "second");
	parking_expect(n, "ap");
	net_inject(n, &c->addr, first.bytes, first.len);
	ck_assert_uint_eq(net_stats(n).drop_forged, forged + 2);
	ck_assert_uint_eq(net_count(n, 1), 3);
	net_free(n);
}
END_TEST

START_TEST(park_reads_what_was_overtaken)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0), *d = parking_client(n, 1);
	struct sim_weather lost = {.loss = 1};
	struct datagram late;

	sim_link_set_weather(sim_host_link(c->host), &lost);
	c->sent_count = 0;
	client_send(c, "late");
	late = c->sent[0];
	sim_link_set_weather(sim_host_link(c->host), &(struct sim_weather){.latency_ms = NET_LATENCY_MS});
	client_echoes(c, "early");
	client_echoes(d, "between");
	ck_assert(parking_is_parked(c));
	net_inject(n, &c->addr, late.bytes, late.len);
	ck_assert_str_eq(n->events[n->event_count - 1].text, "late");
	ck_assert_uint_eq(net_stats(n).drop_forged, 0);
	net_free(n);
}
END_TEST

/* ---- what does not, and what it costs */

static struct datagram without(struct datagram d, size_t at, uint8_t value)
{
	d.bytes[at] = value;
	return d;
}

START_TEST(park_junk_does_not_wake)
{
	struct net *n = parking_net(2, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);
	uint64_t top = parking_seq(&c->sent[c->sent_count - 1]), wakes = net_stats(n).wakes;
	struct datagram good = parking_forged(RECORD_APPLICATION_DATA, top + 1, 64);
	struct datagram junk[] = {parking_forged(RECORD_CHANGE_CIPHER_SPEC, top + 1, 64),
	    parking_forged(RECORD_APPLICATION_DATA, top, 64), parking_forged(RECORD_APPLICATION_DATA, top + 1, 16),
	    parking_forged(RECORD_APPLICATION_DATA, top + 1, 0), without(good, 4, 0), without(good, 4, 2),
	    without(good, 3, 1), without(good, 2, 0xff), without(good, 1, 3), without(good, 0, 24),
	    without(good, 12, 65), {.len = 12}, {.len = 0}};
	size_t count = sizeof(junk) / sizeof(*junk);

	for (size_t i = 0; i < count; i++) {
		net_inject(n, &c->addr, junk[i].bytes, junk[i].len);
		ck_assert_msg(parking_is_parked(c), "junk %zu woke it", i);
	}
	ck_assert_uint_eq(net_stats(n).wakes, wakes);
	ck_assert_uint_eq(net_stats(n).drop_forged, count);
	net_inject(n, &c->addr, good.bytes, good.len);
	ck_assert(!parking_is_parked(c));
	ck_assert_uint_eq(net_stats(n).drop_forged, count + 1);
	ck_assert_uint_eq(net_stats(n).forgeries, 1);
	net_free(n);
}
END_TEST

/* The window is 64 wide: what is older is not read, had it come or not. */
START_TEST(park_too_old_does_not_wake)
{
	struct net *n = parking_net(1, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);
	struct datagram d;
	uint64_t top;

	for (unsigned i = 0; i < 100; i++) {
		sim_link_set_weather(sim_host_link(c->host), &(struct sim_weather){.loss = 1});
		client_send(c, "lost");
		sim_link_set_weather(sim_host_link(c->host), &(struct sim_weather){.latency_ms = NET_LATENCY_MS});
		client_echoes(c, "text");
	}
	top = 201; /* the Finished was 0, "first" 1 */
	parking_add(n, NULL);
	ck_assert(parking_is_parked(c));
	for (uint64_t seq = 0; seq <= top - 64; seq++) {
		d = parking_forged(RECORD_APPLICATION_DATA, seq, 64);
		net_inject(n, &c->addr, d.bytes, d.len);
		ck_assert(parking_is_parked(c));
	}
	d = parking_forged(RECORD_APPLICATION_DATA, top - 63, 64); /* lost: it might still come */
	net_inject(n, &c->addr, d.bytes, d.len);
	ck_assert(!parking_is_parked(c));
	net_free(n);
}
END_TEST

/* Forged datagrams wake one after the other, but only who speaks drives out others. */
START_TEST(park_forgeries_drive_nobody_out)
{
	struct net *n = two_awake(6);
	struct datagram d = parking_forged(RECORD_APPLICATION_DATA, 1000, 64);
	uint64_t wakes = net_stats(n).wakes;

	parking_expect(n, "ppppaa");
	net_inject(n, &parking_client(n, 0)->addr, d.bytes, d.len);
	parking_expect(n, "apppaa");
	net_inject(n, &parking_client(n, 1)->addr, d.bytes, d.len);
	parking_expect(n, "pappaa");
	ck_assert_uint_eq(net_stats(n).wakes_unused, 1);
	/* To the one that is awake already a flood is cheap. */
	for (unsigned i = 0; i < 100; i++)
		net_inject(n, &parking_client(n, 1)->addr, d.bytes, d.len);
	ck_assert_uint_eq(net_stats(n).wakes, wakes + 2);
	ck_assert_uint_eq(net_stats(n).forgeries, 102);
	ck_assert_uint_eq(net_stats(n).pinned, 0);
	/* Once it speaks, it is one of the others. */
	client_echoes(parking_client(n, 1), "me");
	parking_expect(n, "papppa");
	client_echoes(parking_client(n, 2), "me");
	parking_expect(n, "paappp");
	ck_assert_uint_eq(net_stats(n).wakes_unused, 1);
	for (unsigned i = 0; i < 6; i++)
		client_echoes(parking_client(n, i), "unharmed");
	net_free(n);
}
END_TEST

/* The program's message counts like the peer's own. */
START_TEST(park_a_suspect_that_is_sent_to_is_in_use)
{
	struct net *n = two_awake(4);
	struct datagram d = parking_forged(RECORD_APPLICATION_DATA, 1000, 64);

	net_inject(n, &parking_client(n, 0)->addr, d.bytes, d.len);
	parking_expect(n, "apaa");
	ck_assert_int_eq(dtls_peer_send(client_peer(parking_client(n, 0)), "x", 1), 1);
	parking_expect(n, "appa");
	net_inject(n, &parking_client(n, 1)->addr, d.bytes, d.len);
	parking_expect(n, "aapa");
	net_free(n);
}
END_TEST

START_TEST(park_a_suspect_may_end)
{
	struct net *n = two_awake(4);
	struct datagram d = parking_forged(RECORD_APPLICATION_DATA, 1000, 64);

	net_inject(n, &parking_client(n, 0)->addr, d.bytes, d.len);
	dtls_peer_close(client_peer(parking_client(n, 0)));
	net_inject(n, &parking_client(n, 1)->addr, d.bytes, d.len);
	parking_expect(n, "-aaa");
	ck_assert_uint_eq(net_stats(n).wakes_unused, 0);
	net_free(n);
}
END_TEST

Suite *park_suite(void)
{
	Suite *s = suite_create("park");

	TEST(s, park_the_least_recently_used);
	TEST(s, park_nobody_below_max_awake);
	TEST(s, park_a_thousand_are_awake_by_default);
	TEST(s, park_not_before_the_first_message);
	TEST(s, park_no_cbc_suite);
	TEST(s, park_not_while_it_is_read);
	TEST(s, park_with_output_waiting);
	TEST(s, park_and_wake_many_times);
	TEST(s, park_keeps_its_settings);
	TEST(s, park_not_woken_for_too_much);
	TEST(s, park_no_nonce_twice);
	TEST(s, park_keeps_count_of_records);
	TEST(s, park_counts_a_forgery_once);
	TEST(s, park_keeps_the_replay_window);
	TEST(s, park_reads_what_was_overtaken);
	TEST(s, park_junk_does_not_wake);
	TEST(s, park_too_old_does_not_wake);
	TEST(s, park_forgeries_drive_nobody_out);
	TEST(s, park_a_suspect_that_is_sent_to_is_in_use);
	TEST(s, park_a_suspect_may_end);
	return s;
}
