/* No call on an endpoint is busy for much longer than 10 ms, however much is due at once; and what is left is done by the
 * next calls, which its timeout asks for. */
#include "parking.h"
#include "suites.h"

#include "dtls/endpoint.h"

enum { PEERS = 60, BUSY_MS = 10 };

/* A clock that time passes by: a millisecond at each look. */
static int64_t looks;
static int64_t ageing_ms(void *sim)
{
	return sim_now_ms(sim) + ++looks;
}

static void let_time_pass(struct net *n)
{
	looks = 0;
	n->ep->settings->opt.clock = ageing_ms;
	n->ep->settings->opt.clock_arg = n->sim;
}

/* Returns how many calls it took until nothing was due. */
static unsigned tick_until_done(struct net *n, uint64_t (*left)(const struct net *), unsigned most_at_once)
{
	unsigned calls = 0;

	while (left(n) > 0) {
		uint64_t before = left(n);

		ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
		ck_assert_int_eq(dtls_endpoint_handle_timeout(n->ep), DTLS_OK);
		ck_assert_uint_lt(left(n), before);
		ck_assert_uint_le(before - left(n), most_at_once);
		calls++;
	}
	return calls;
}

static uint64_t peers_left(const struct net *n)
{
	return net_stats(n).peers;
}

START_TEST(slices_of_idle_peers)
{
	struct net *n = parking_net(PEERS, &(struct dtls_limits){.max_awake = 1, .idle_ms = 100000});

	sim_advance_to(n->sim, net_now(n) + 200000);
	let_time_pass(n);
	ck_assert_uint_ge(tick_until_done(n, peers_left, BUSY_MS), PEERS / BUSY_MS);
	ck_assert_uint_eq(net_stats(n).closed_idle, PEERS);
	net_free(n);
}
END_TEST

static uint64_t handshakes_left(const struct net *n)
{
	return net_stats(n).handshakes;
}

START_TEST(slices_of_handshakes_that_end)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshake_ms = 5000});

	for (unsigned i = 0; i < PEERS; i++)
		client_new(n, 2 + i, 1, NULL);
	net_run(n, 3 * NET_LATENCY_MS + 1);
	ck_assert_uint_eq(handshakes_left(n), PEERS);
	sim_advance_to(n->sim, 100000);
	let_time_pass(n);
	ck_assert_uint_ge(tick_until_done(n, handshakes_left, BUSY_MS), PEERS / BUSY_MS);
	ck_assert_uint_eq(net_stats(n).handshakes_timedout, PEERS);
	net_free(n);
}
END_TEST

/* A program that only calls recv gets there, too, and gets the events in between. */
START_TEST(slices_of_a_program_that_receives)
{
	struct net *n = parking_net(PEERS, &(struct dtls_limits){.max_awake = 1, .idle_ms = 100000});
	unsigned calls = 0, ended = 0;
	struct dtls_peer *peer;
	char buf[16];

	sim_advance_to(n->sim, net_now(n) + 200000);
	let_time_pass(n);
	for (; peers_left(n) > 0 || ended < PEERS; calls++) {
		ssize_t event = dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf));

		ck_assert_uint_lt(calls, 3 * PEERS);
		ck_assert(event == DTLS_CLOSED || event == DTLS_WANT_READ);
		ended += event == DTLS_CLOSED;
		ck_assert_uint_le(PEERS - peers_left(n) - ended, BUSY_MS); /* who has ended, and is not reported yet */
	}
	ck_assert_uint_eq(ended, PEERS);
	net_free(n);
}
END_TEST

Suite *slices_suite(void)
{
	Suite *s = suite_create("slices");

	TEST(s, slices_of_idle_peers);
	TEST(s, slices_of_handshakes_that_end);
	TEST(s, slices_of_a_program_that_receives);
	return s;
}
