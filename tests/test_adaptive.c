/* DTLS_RETRANSMIT_ADAPTIVE against FIXED on lossy links, and what it measures. */
#include "seeded.h"
#include "transmissions.h"

#include <stdlib.h>

static struct pair pair;

/* ---- loss */

enum { RUNS = 1000, LATENCY_MS = 50 };

struct lossy {
	uint64_t state; /* of each link */
	unsigned percent;
};

struct outcome {
	unsigned connected;
	int64_t done_at[RUNS]; /* of the client, in order; INT64_MAX: failed */
};

static enum sim_fate lose(void *arg, unsigned nth, const void *datagram, size_t len)
{
	struct lossy *link = arg;

	(void)nth, (void)datagram, (void)len;
	return seeded_below(&link->state, 100) < link->percent ? SIM_DROP : SIM_DELIVER;
}

static int earlier_first(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The same weather for either kind: the nth datagram of a link has the same fate in the same run. */
static void run_lossy(enum dtls_retransmit how, unsigned percent, struct outcome *outcome)
{
	struct side *sides[] = {&pair.client, &pair.server};

	outcome->connected = 0;
	pair_open(&pair);
	set_retransmit(&pair, how);
	for (unsigned run = 0; run < RUNS; run++) {
		struct lossy links[2];
		bool connected;

		pair_reopen(&pair);
		set_delay(&pair, LATENCY_MS, 0);
		for (unsigned i = 0; i < 2; i++) {
			links[i] = (struct lossy){.state = 1000 * (run + 1) + i, .percent = percent};
			sim_link_decide(sides[i]->out, lose, &links[i]);
		}
		pair_handshake(&pair);
		connected = pair.client.status == DTLS_OK && pair.server.status == DTLS_OK;
		outcome->connected += connected;
		outcome->done_at[run] = connected ? pair.client.done_at : INT64_MAX;
	}
	pair_close(&pair);
	qsort(outcome->done_at, RUNS, sizeof(*outcome->done_at), earlier_first);
}

static int64_t percentile(const struct outcome *outcome, unsigned percent)
{
	return outcome->done_at[RUNS * percent / 100];
}

START_TEST(adaptive_is_no_slower_at_any_loss)
{
	static const unsigned losses[] = {0, 5, 10, 30, 50}, percents[] = {50, 90, 99};
	struct outcome fixed, adaptive;

	for (size_t i = 0; i < sizeof(losses) / sizeof(*losses); i++) {
		run_lossy(DTLS_RETRANSMIT_FIXED, losses[i], &fixed);
		run_lossy(DTLS_RETRANSMIT_ADAPTIVE, losses[i], &adaptive);
		ck_assert_msg(adaptive.connected >= fixed.connected, "%u %% loss: %u of %u, not %u", losses[i],
		    adaptive.connected, RUNS, fixed.connected);
		for (size_t p = 0; p < sizeof(percents) / sizeof(*percents); p++)
			ck_assert_msg(percentile(&adaptive, percents[p]) <= percentile(&fixed, percents[p]),
			    "%u %% loss: percentile %u is %lld ms, not %lld", losses[i], percents[p],
			    (long long)percentile(&adaptive, percents[p]), (long long)percentile(&fixed, percents[p]));
	}
}
END_TEST

START_TEST(adaptive_median_at_20_percent_loss)
{
	struct outcome fixed, adaptive;

	run_lossy(DTLS_RETRANSMIT_FIXED, 20, &fixed);
	run_lossy(DTLS_RETRANSMIT_ADAPTIVE, 20, &adaptive);
	ck_assert_int_eq(percentile(&fixed, 50), 1300);
	ck_assert_int_le(percentile(&adaptive, 50), 1300 * 65 / 100);
	ck_assert_int_le(percentile(&adaptive, 90), percentile(&fixed, 90) * 65 / 100);
	ck_assert_int_lt(percentile(&adaptive, 99), percentile(&fixed, 99));
	ck_assert_uint_ge(adaptive.connected, fixed.connected);
}
END_TEST

/* The ServerHello's number names the second ClientHello: its round trip of 200 ms is known, though the first was lost and
 * a third is under way. The client's last flight is lost, too, and shows it. */
START_TEST(adaptive_measures_a_hello_that_was_resent)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 20);
	sim_link_drop_mask(pair.client.out, 1U << 1 | 1U << 4);
	pair_until(&pair, 39);
	set_delay(&pair, 100, 0);
	pair_until(&pair, 300);
	ck_assert_int_eq(client_rtt_ms(&pair), 200);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 40, 40 + 60, 40 + 60 + 120);
	ASSERT_SENT(KEY_EXCHANGE, 300, 300 + 300);
	pair_assert_connected(&pair, 800, 700);
	pair_close(&pair);
}
END_TEST

/* The server's round trip is from its HelloVerifyRequest to the hello with the cookie. The client's second one is lost. */
START_TEST(adaptive_server_measures_with_its_cookie)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 50);
	sim_link_drop_mask(pair.client.out, 1U << 2);
	sim_link_drop_mask(pair.server.out, 1U << 1);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 100, 250);
	ASSERT_SENT(SERVER_HELLO, 150, 300);
	pair_assert_connected(&pair, 450, 400);
	pair_close(&pair);
}
END_TEST

/* The first hello with the cookie is lost: what the second takes is the client's timer, too. */
START_TEST(adaptive_server_measures_no_repeated_hello)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 50);
	sim_link_drop_mask(pair.client.out, 1U << 1 | 1U << 3 | 1U << 4);
	sim_link_drop_mask(pair.server.out, 1U << 1);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 100, 250, 550, 1150);
	ASSERT_SENT(SERVER_HELLO, 300, 1300);
	pair_close(&pair);
}
END_TEST

/* Without a measure each repetition of the peer is taken for the sign of a loss. */
START_TEST(adaptive_server_without_a_measure_holds_nothing)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 50);
	sim_link_drop_mask(pair.client.out, 1U << 1);
	sim_link_drop_mask(pair.server.out, 1U << 1);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 100, 250, 550);
	ASSERT_SENT(SERVER_HELLO, 300, 600);
	pair_assert_connected(&pair, 750, 700);
	pair_close(&pair);
}
END_TEST

/* What the server repeats names no hello: it may be the answer to either, and the earlier round trip stays. */
START_TEST(adaptive_measures_nothing_from_a_repeated_server_hello)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 20);
	sim_link_drop_mask(pair.client.out, 1U << 3);
	sim_link_drop_mask(pair.server.out, 1U << 1);
	pair_until(&pair, 140);
	ck_assert_int_eq(client_rtt_ms(&pair), 40);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 40, 100);
	ASSERT_SENT(SERVER_HELLO, 60, 120, 180);
	ASSERT_SENT(KEY_EXCHANGE, 140, 140 + 60);
	pair_assert_connected(&pair, 240, 220);
	pair_close(&pair);
}
END_TEST

Suite *adaptive_suite(void)
{
	Suite *s = suite_create("adaptive");

	TEST(s, adaptive_is_no_slower_at_any_loss);
	TEST(s, adaptive_median_at_20_percent_loss);
	TEST(s, adaptive_measures_a_hello_that_was_resent);
	TEST(s, adaptive_server_measures_with_its_cookie);
	TEST(s, adaptive_server_measures_no_repeated_hello);
	TEST(s, adaptive_server_without_a_measure_holds_nothing);
	TEST(s, adaptive_measures_nothing_from_a_repeated_server_hello);
	return s;
}
