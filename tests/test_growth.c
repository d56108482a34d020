/* DTLS_RETRANSMIT_ADAPTIVE against FIXED when the delay changes under way: what is sent more often, and what is held. */
#include "transmissions.h"

#include <string.h>

static struct pair pair;

enum { LATENCY_MS = 50 };

/* 50 ms until this instant, and then this much, for good: until nothing is under way. */
static void run_growth(enum dtls_retransmit how, int64_t grows_at, int64_t latency_ms)
{
	open_quiet(&pair, how, LATENCY_MS);
	if (grows_at > 0)
		pair_until(&pair, grows_at - 1);
	else
		pair_wrap(&pair);
	set_delay(&pair, latency_ms, 0);
	pair_for(&pair, 10 * latency_ms + 10000);
	ck_assert_int_eq(pair.client.status, DTLS_OK);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
}

/* The hello with the cookie leaves at 100 ms. The server measures 2050 ms with it, from its HelloVerifyRequest, and answers
 * only repetitions that come later than that. */
START_TEST(growth_behind_the_cookie_exchange)
{
	run_growth(DTLS_RETRANSMIT_FIXED, 100, 2000);
	ASSERT_SENT(COOKIE_HELLO, 100, 1100, 3100);
	ASSERT_SENT(SERVER_HELLO, 2100, 3100, 4100, 5100);
	ASSERT_SENT(KEY_EXCHANGE, 4100, 5100, 6100, 7100);
	ASSERT_SENT(SERVER_FINISHED, 6100, 7100, 8100, 9100);
	pair_close(&pair);

	run_growth(DTLS_RETRANSMIT_ADAPTIVE, 100, 2000);
	ASSERT_SENT(COOKIE_HELLO, 100, 250, 550, 1150, 2350);
	ASSERT_SENT(SERVER_HELLO, 2100, 3100, 5100);
	ASSERT_SENT(KEY_EXCHANGE, 4100, 5100, 7100);
	ASSERT_SENT(SERVER_FINISHED, 6100, 9100);
	ck_assert_int_eq(pair.client.done_at, 8100);
	pair_close(&pair);
}
END_TEST

/* The client's last flight leaves at 200 ms, while the server's timer runs under the old round trip. What the server then
 * knows of the new one is that it took 1000 ms or more, from the last time it sent its flight. */
START_TEST(growth_behind_the_servers_first_flight)
{
	run_growth(DTLS_RETRANSMIT_FIXED, 200, 2000);
	ASSERT_SENT(SERVER_HELLO, 150, 1150);
	ASSERT_SENT(KEY_EXCHANGE, 200, 1200, 3150);
	ASSERT_SENT(SERVER_FINISHED, 2200, 3200, 5150);
	pair_close(&pair);

	run_growth(DTLS_RETRANSMIT_ADAPTIVE, 200, 2000);
	ASSERT_SENT(COOKIE_HELLO, 100);
	ASSERT_SENT(SERVER_HELLO, 150, 300, 600, 1200);
	ASSERT_SENT(KEY_EXCHANGE, 200, 350, 650, 1250, 2300, 3200);
	ASSERT_SENT(SERVER_FINISHED, 2200, 3250, 4300);
	ck_assert_int_eq(pair.client.done_at, 4200);
	pair_close(&pair);
}
END_TEST

/* To 239 ms, where the client is about to send its last flight behind three hellos with a cookie. */
static void open_before_the_last_flight(void)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 20);
	pair_until(&pair, 39);
	set_delay(&pair, 100, 0);
	pair_until(&pair, 239);
	ASSERT_SENT(COOKIE_HELLO, 40, 100, 220);
}

START_TEST(growth_holds_no_data)
{
	open_before_the_last_flight();
	set_delay(&pair, 10, 0);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 260, 250);
	pair_assert_exchange(&pair);
	ASSERT_SENT(KEY_EXCHANGE, 240);
	pair_close(&pair);
}
END_TEST

START_TEST(growth_holds_no_alert)
{
	const struct message longer_than_whole = {.type = 20, .length = 1, .seq = 4, .len = 2, .body = (uint8_t *)"ab"};
	struct datagram d = plain_message(100, &longer_than_whole);
	struct capture up;

	open_before_the_last_flight();
	pair_until(&pair, 245);
	ASSERT_SENT(KEY_EXCHANGE, 240);
	capture_link(&up, pair.client.out);
	pair_inject(&pair, &pair.client, &d);
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	ck_assert_uint_eq(up.count, 1);
	ck_assert_uint_eq(up.datagrams[0].bytes[0], RECORD_ALERT);
	pair_close(&pair);
}
END_TEST

/* The server's flight leaves again at 320 ms, as the client's third hello comes, and takes 140 ms. The client's last flight left at 240 ms under a
 * round trip of 200 ms, and is lost: what comes at 460 ms was sent when it should have been there. */
START_TEST(growth_repeat_behind_a_round_trip_is_answered)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 20);
	sim_link_drop_mask(pair.client.out, 1U << 4);
	pair_until(&pair, 39);
	set_delay(&pair, 100, 0);
	pair_until(&pair, 319);
	ck_assert_int_eq(sim_link_set_weather(pair.server.out, &(struct sim_weather){.latency_ms = 140}), DTLS_OK);
	pair_until(&pair, 321);
	set_delay(&pair, 100, 0);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 40, 100, 220);
	ASSERT_SENT(SERVER_HELLO, 140, 320, 500);
	ASSERT_SENT(KEY_EXCHANGE, 240, 460);
	pair_assert_connected(&pair, 660, 560);
	pair_close(&pair);
}
END_TEST

/* The flight that a delay from this instant on meets first: the next one to leave. Its predecessor is still under way, or
 * its answer is. */
static int flight_after(int64_t at_ms)
{
	static const int64_t leaves_at[FLIGHTS] = {0, 100, 150, 200, 250};
	int flight = 0;

	while (flight < FLIGHTS && leaves_at[flight] < at_ms)
		flight++;
	return flight;
}

/* The flight under way and the next cannot know. Later ones are sent as often as by FIXED at most, if later_too. */
static void assert_growth(int64_t grows_at, int64_t latency_ms, bool later_too)
{
	unsigned fixed[FLIGHTS], most;
	int first = flight_after(grows_at);

	run_growth(DTLS_RETRANSMIT_FIXED, grows_at, latency_ms);
	for (int i = 0; i < FLIGHTS; i++)
		fixed[i] = sent[i].count;
	pair_close(&pair);
	run_growth(DTLS_RETRANSMIT_ADAPTIVE, grows_at, latency_ms);
	for (int i = 0; i < FLIGHTS; i++) {
		most = fixed[i] + (i <= first || !later_too ? 3 : 0);
		ck_assert_msg(sent[i].count <= most, "%s, with %lld ms from %lld ms on: sent %u times, FIXED %u",
		    flight_names[i], (long long)latency_ms, (long long)grows_at, sent[i].count, fixed[i]);
	}
	pair_close(&pair);
}

START_TEST(growth_at_any_time)
{
	for (int64_t grows_at = 0; grows_at <= 260; grows_at += 10)
		assert_growth(grows_at, 2000, true);
}
END_TEST

START_TEST(growth_to_anything)
{
	for (int64_t grows_at = 0; grows_at <= 250; grows_at += 50)
		for (int64_t latency_ms = 60; latency_ms < 2000; latency_ms += latency_ms < 500 ? 11 : 97)
			assert_growth(grows_at, latency_ms, false);
}
END_TEST

/* Each time is one of FIXED's. */
static void assert_among(enum flight flight, const struct transmissions *fixed)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sent[flight].count; i++) {
		while (n < fixed->count && fixed->at_ms[n] < sent[flight].at_ms[i])
			n++;
		ck_assert_msg(n < fixed->count && fixed->at_ms[n] == sent[flight].at_ms[i],
		    "%s: sent at %lld ms, and not by FIXED", flight_names[flight], (long long)sent[flight].at_ms[i]);
	}
}

/* From two thirds of a second on no timer is shorter than the fixed one, and fewer of the peer's repetitions are answered.
 */
START_TEST(growth_long_round_trips_are_as_fixed)
{
	struct transmissions fixed[FLIGHTS];

	for (int64_t latency_ms = 334; latency_ms <= 2000; latency_ms += 119) {
		open_quiet(&pair, DTLS_RETRANSMIT_FIXED, latency_ms);
		pair_for(&pair, 30000);
		memcpy(fixed, sent, sizeof(sent));
		pair_close(&pair);
		open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, latency_ms);
		pair_for(&pair, 30000);
		ck_assert_int_eq(pair.client.done_at, 6 * latency_ms);
		for (int i = 0; i < FLIGHTS; i++)
			assert_among((enum flight)i, &fixed[i]);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(growth_is_slow)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 50);
	pair_until(&pair, 99);
	set_delay(&pair, 70, 0);
	pair_until(&pair, 100 + 140 - 1);
	set_delay(&pair, 100, 0);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 240 + 200, 240 + 100);
	for (int i = 0; i < FLIGHTS; i++)
		ck_assert_uint_eq(sent[i].count, 1);
	pair_close(&pair);
}
END_TEST

START_TEST(growth_turned_round)
{
	open_quiet(&pair, DTLS_RETRANSMIT_ADAPTIVE, 400);
	sim_link_drop_mask(pair.client.out, 1U << 2);
	pair_until(&pair, 799);
	set_delay(&pair, 20, 0);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 800);
	ASSERT_SENT(KEY_EXCHANGE, 840, 840 + 60);
	pair_assert_connected(&pair, 940, 920);
	pair_close(&pair);
}
END_TEST

/* Round trips of 100 to 200 ms under timers of 150 to 300 ms: each flight is resent once at most, most are not. */
START_TEST(growth_as_jitter)
{
	enum { SEEDS = 300 };
	unsigned resent = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		pair_open_in(&pair, seed, &(struct sim_weather){.latency_ms = 50, .jitter_ms = 50});
		set_retransmit(&pair, DTLS_RETRANSMIT_ADAPTIVE);
		note_flights(&pair);
		pair_handshake(&pair);
		ck_assert_int_eq(pair.client.status, DTLS_OK);
		ck_assert_int_ge(client_rtt_ms(&pair), 100);
		ck_assert_int_le(client_rtt_ms(&pair), 200);
		for (int i = 0; i < FLIGHTS; i++) {
			ck_assert_uint_le(sent[i].count, 2);
			resent += sent[i].count - 1;
		}
		pair_close(&pair);
	}
	ck_assert_uint_le(resent, FLIGHTS * SEEDS / 20);
}
END_TEST

Suite *growth_suite(void)
{
	Suite *s = suite_create("growth");

	TEST(s, growth_behind_the_cookie_exchange);
	TEST(s, growth_behind_the_servers_first_flight);
	TEST(s, growth_holds_no_data);
	TEST(s, growth_holds_no_alert);
	TEST(s, growth_repeat_behind_a_round_trip_is_answered);
	TEST(s, growth_at_any_time);
	TEST(s, growth_to_anything);
	TEST(s, growth_long_round_trips_are_as_fixed);
	TEST(s, growth_is_slow);
	TEST(s, growth_turned_round);
	TEST(s, growth_as_jitter);
	return s;
}
