/* DTLS_RETRANSMIT_ADAPTIVE against FIXED: on lossy links, and when the delay changes under way. Without jitter of the
 * timers, so that every instant is exact. */
#include "pair.h"
#include "seeded.h"

#include <stdlib.h>
#include <string.h>

enum flight { HELLO, COOKIE_HELLO, SERVER_HELLO, KEY_EXCHANGE, SERVER_FINISHED, FLIGHTS };
enum { TRANSMISSIONS_MAX = 16 };

static const char *const flight_names[FLIGHTS] = {
    "ClientHello", "ClientHello with cookie", "server's first flight", "client's last flight", "server's last flight"};

struct transmissions {
	unsigned count; /* may be more than are kept */
	int64_t at_ms[TRANSMISSIONS_MAX];
};

static struct pair pair;
static struct transmissions sent[FLIGHTS]; /* each flight is one datagram */

static int flight_of(const void *datagram, size_t len)
{
	const uint8_t *at = datagram;
	struct message m;
	struct record r;

	if (!record_next(&at, &len, &r))
		return -1;
	if (r.type == RECORD_CHANGE_CIPHER_SPEC)
		return SERVER_FINISHED;
	if (!record_message(&r, &m))
		return -1;
	switch (m.type) {
	case MESSAGE_CLIENT_HELLO:
		/* Behind version, random and an empty session id: the cookie's length. */
		return m.body[35] == 0 ? HELLO : COOKIE_HELLO;
	case MESSAGE_SERVER_HELLO:
		return SERVER_HELLO;
	case MESSAGE_HELLO_VERIFY_REQUEST:
		return -1;
	default:
		return KEY_EXCHANGE;
	}
}

static void note_flight(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	int flight = flight_of(datagram, len);

	(void)arg, (void)delivered;
	if (flight < 0)
		return;
	if (sent[flight].count < TRANSMISSIONS_MAX)
		sent[flight].at_ms[sent[flight].count] = now_ms;
	sent[flight].count++;
}

static void set_delay(int64_t latency_ms, int64_t jitter_ms)
{
	const struct sim_weather weather = {.latency_ms = latency_ms, .jitter_ms = jitter_ms};

	ck_assert_int_eq(sim_link_set_weather(pair.client.out, &weather), DTLS_OK);
	ck_assert_int_eq(sim_link_set_weather(pair.server.out, &weather), DTLS_OK);
}

static void note_flights(void)
{
	memset(sent, 0, sizeof(sent));
	sim_link_tap(pair.client.out, note_flight, NULL);
	sim_link_tap(pair.server.out, note_flight, NULL);
}

static void set_retransmit(enum dtls_retransmit how)
{
	struct side *sides[] = {&pair.client, &pair.server};

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_context_set_retransmit(sides[i]->ctx, how), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_retransmit_jitter(sides[i]->ctx, 0), DTLS_OK);
	}
}

static void open_quiet(enum dtls_retransmit how, int64_t latency_ms)
{
	pair_open(&pair);
	set_retransmit(how);
	set_delay(latency_ms, 0);
	note_flights();
}

static int64_t client_rtt_ms(void)
{
	return pair.client.conn->a->timer.rtt_ms;
}

static void assert_sent(enum flight flight, const int64_t *at_ms, unsigned count)
{
	ck_assert_msg(
	    sent[flight].count == count, "%s: sent %u times, not %u", flight_names[flight], sent[flight].count, count);
	for (unsigned i = 0; i < count; i++)
		ck_assert_msg(sent[flight].at_ms[i] == at_ms[i], "%s: sent at %lld ms, not at %lld",
		    flight_names[flight], (long long)sent[flight].at_ms[i], (long long)at_ms[i]);
}

#define ASSERT_SENT(flight, ...)                                                                                       \
	assert_sent(flight, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

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
	set_retransmit(how);
	for (unsigned run = 0; run < RUNS; run++) {
		struct lossy links[2];
		bool connected;

		pair_reopen(&pair);
		set_delay(LATENCY_MS, 0);
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
	open_quiet(DTLS_RETRANSMIT_ADAPTIVE, 20);
	sim_link_drop_mask(pair.client.out, 1U << 1 | 1U << 4);
	pair_until(&pair, 39);
	set_delay(100, 0);
	pair_until(&pair, 300);
	ck_assert_int_eq(client_rtt_ms(), 200);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 40, 40 + 60, 40 + 60 + 120);
	ASSERT_SENT(KEY_EXCHANGE, 300, 300 + 300);
	pair_assert_connected(&pair, 800, 700);
	pair_close(&pair);
}
END_TEST

/* What the server repeats names no hello: it may be the answer to either, and the earlier round trip stays. */
START_TEST(adaptive_measures_nothing_from_a_repeated_server_hello)
{
	open_quiet(DTLS_RETRANSMIT_ADAPTIVE, 20);
	sim_link_drop_mask(pair.client.out, 1U << 3);
	sim_link_drop_mask(pair.server.out, 1U << 1);
	pair_until(&pair, 140);
	ck_assert_int_eq(client_rtt_ms(), 40);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 40, 100);
	ASSERT_SENT(SERVER_HELLO, 60, 120);
	ASSERT_SENT(KEY_EXCHANGE, 140, 140 + 60);
	pair_assert_connected(&pair, 240, 220);
	pair_close(&pair);
}
END_TEST

/* ---- the delay changes */

/* 50 ms until this instant, and then this much, for good: until nothing is under way. */
static void run_growth(enum dtls_retransmit how, int64_t grows_at, int64_t latency_ms)
{
	open_quiet(how, LATENCY_MS);
	if (grows_at > 0)
		pair_until(&pair, grows_at - 1);
	else
		pair_wrap(&pair);
	set_delay(latency_ms, 0);
	pair_for(&pair, 10 * latency_ms + 10000);
	ck_assert_int_eq(pair.client.status, DTLS_OK);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
}

/* The hello with the cookie leaves at 100 ms. A repeated flight is answered each time it comes (RFC 6347, 4.2.4), but by
 * the client's last flight only where it may have been lost. */
START_TEST(adaptive_delay_grows_behind_the_cookie_exchange)
{
	run_growth(DTLS_RETRANSMIT_FIXED, 100, 2000);
	ASSERT_SENT(COOKIE_HELLO, 100, 1100, 3100);
	ASSERT_SENT(SERVER_HELLO, 2100, 3100, 4100, 5100);
	ASSERT_SENT(KEY_EXCHANGE, 4100, 5100, 6100, 7100);
	ASSERT_SENT(SERVER_FINISHED, 6100, 7100, 8100, 9100);
	pair_close(&pair);

	run_growth(DTLS_RETRANSMIT_ADAPTIVE, 100, 2000);
	ASSERT_SENT(COOKIE_HELLO, 100, 250, 550, 1150, 2350);
	ASSERT_SENT(SERVER_HELLO, 2100, 2250, 2550, 3150, 4150, 4350);
	ASSERT_SENT(KEY_EXCHANGE, 4100, 5100, 7100);
	ASSERT_SENT(SERVER_FINISHED, 6100, 7100, 9100);
	ck_assert_int_eq(pair.client.done_at, 8100);
	pair_close(&pair);
}
END_TEST

/* The client's last flight leaves at 200 ms, and is the only one of its own that is left. */
START_TEST(adaptive_delay_grows_behind_the_servers_first_flight)
{
	run_growth(DTLS_RETRANSMIT_FIXED, 200, 2000);
	ASSERT_SENT(KEY_EXCHANGE, 200, 1200, 3150);
	pair_close(&pair);

	run_growth(DTLS_RETRANSMIT_ADAPTIVE, 200, 2000);
	ASSERT_SENT(COOKIE_HELLO, 100);
	ASSERT_SENT(SERVER_HELLO, 150, 1150);
	ASSERT_SENT(KEY_EXCHANGE, 200, 350, 650, 1250, 2450, 3150);
	ASSERT_SENT(SERVER_FINISHED, 2200, 2350, 2650, 3250, 4450, 5150);
	ck_assert_int_eq(pair.client.done_at, 4200);
	pair_close(&pair);
}
END_TEST

/* To 239 ms, where the client is about to send its last flight behind three hellos with a cookie. */
static void open_before_the_last_flight(void)
{
	open_quiet(DTLS_RETRANSMIT_ADAPTIVE, 20);
	pair_until(&pair, 39);
	set_delay(100, 0);
	pair_until(&pair, 239);
	ASSERT_SENT(COOKIE_HELLO, 40, 100, 220);
}

START_TEST(adaptive_holds_no_data)
{
	open_before_the_last_flight();
	set_delay(10, 0);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 260, 250);
	pair_assert_exchange(&pair);
	ASSERT_SENT(KEY_EXCHANGE, 240);
	pair_close(&pair);
}
END_TEST

START_TEST(adaptive_holds_no_alert)
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

/* Three hellos with a cookie, and so three answers, at 240, 300 and 500 ms, as the third hello takes 180 ms. The client's
 * last flight left at 240 ms under a round trip of 200 ms: the second answer tells nothing of its fate, the third does. */
START_TEST(adaptive_repeat_behind_a_round_trip_is_answered)
{
	open_quiet(DTLS_RETRANSMIT_ADAPTIVE, 20);
	sim_link_drop_mask(pair.client.out, 1U << 4);
	pair_until(&pair, 39);
	set_delay(100, 0);
	pair_until(&pair, 219);
	ck_assert_int_eq(sim_link_set_weather(pair.client.out, &(struct sim_weather){.latency_ms = 180}), DTLS_OK);
	pair_until(&pair, 239);
	set_delay(100, 0);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 40, 100, 220);
	ASSERT_SENT(SERVER_HELLO, 140, 200, 400);
	ASSERT_SENT(KEY_EXCHANGE, 240, 500);
	pair_assert_connected(&pair, 700, 600);
	pair_close(&pair);
}
END_TEST

static void assert_growth(int64_t grows_at, int64_t latency_ms, enum flight first, int more_at_most)
{
	unsigned fixed[FLIGHTS];

	run_growth(DTLS_RETRANSMIT_FIXED, grows_at, latency_ms);
	for (int i = 0; i < FLIGHTS; i++)
		fixed[i] = sent[i].count;
	pair_close(&pair);
	run_growth(DTLS_RETRANSMIT_ADAPTIVE, grows_at, latency_ms);
	for (int i = 0; i < FLIGHTS; i++) {
		/* The server answers what comes, each time. */
		bool is_first = i == (int)first || i == (int)first + 1;
		unsigned most = fixed[i] + (is_first ? (unsigned)more_at_most : 0);

		ck_assert_msg(sent[i].count <= most, "%s, with %lld ms from %lld ms on: sent %u times, FIXED %u",
		    flight_names[i], (long long)latency_ms, (long long)grows_at, sent[i].count, fixed[i]);
	}
	pair_close(&pair);
}

/* To whatever it grows: a few times more in the first flight that meets it and in its answer, and in no later one. */
START_TEST(adaptive_delay_grows_to_anything)
{
	for (int64_t latency_ms = 60; latency_ms <= 2000; latency_ms += latency_ms < 500 ? 11 : 97) {
		assert_growth(0, latency_ms, HELLO, 0);
		assert_growth(100, latency_ms, COOKIE_HELLO, 3);
		assert_growth(200, latency_ms, KEY_EXCHANGE, 3);
	}
}
END_TEST

/* From two thirds of a second on no timer is shorter than the fixed one. */
START_TEST(adaptive_long_round_trips_are_as_fixed)
{
	struct transmissions fixed[FLIGHTS];

	for (int64_t latency_ms = 334; latency_ms <= 2000; latency_ms += 119) {
		open_quiet(DTLS_RETRANSMIT_FIXED, latency_ms);
		pair_for(&pair, 30000);
		memcpy(fixed, sent, sizeof(sent));
		pair_close(&pair);
		open_quiet(DTLS_RETRANSMIT_ADAPTIVE, latency_ms);
		pair_for(&pair, 30000);
		ck_assert_int_eq(pair.client.done_at, 6 * latency_ms);
		for (int i = 0; i < FLIGHTS; i++)
			assert_sent((enum flight)i, fixed[i].at_ms, fixed[i].count);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(adaptive_delay_grows_slowly)
{
	open_quiet(DTLS_RETRANSMIT_ADAPTIVE, 50);
	pair_until(&pair, 99);
	set_delay(70, 0);
	pair_until(&pair, 100 + 140 - 1);
	set_delay(100, 0);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 240 + 200, 240 + 100);
	for (int i = 0; i < FLIGHTS; i++)
		ck_assert_uint_eq(sent[i].count, 1);
	pair_close(&pair);
}
END_TEST

START_TEST(adaptive_delay_shrinks)
{
	open_quiet(DTLS_RETRANSMIT_ADAPTIVE, 400);
	sim_link_drop_mask(pair.client.out, 1U << 2);
	pair_until(&pair, 799);
	set_delay(20, 0);
	pair_handshake(&pair);
	ASSERT_SENT(COOKIE_HELLO, 800);
	ASSERT_SENT(KEY_EXCHANGE, 840, 840 + 60);
	pair_assert_connected(&pair, 940, 920);
	pair_close(&pair);
}
END_TEST

/* Round trips of 100 to 200 ms under timers of 150 to 300 ms: each flight is resent once at most, most are not. */
START_TEST(adaptive_delay_jitters)
{
	enum { SEEDS = 300 };
	unsigned resent = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		pair_open_in(&pair, seed, &(struct sim_weather){.latency_ms = 50, .jitter_ms = 50});
		set_retransmit(DTLS_RETRANSMIT_ADAPTIVE);
		note_flights();
		pair_handshake(&pair);
		ck_assert_int_eq(pair.client.status, DTLS_OK);
		ck_assert_int_ge(client_rtt_ms(), 100);
		ck_assert_int_le(client_rtt_ms(), 200);
		for (int i = 0; i < FLIGHTS; i++) {
			ck_assert_uint_le(sent[i].count, 2);
			resent += sent[i].count - 1;
		}
		pair_close(&pair);
	}
	ck_assert_uint_le(resent, FLIGHTS * SEEDS / 20);
}
END_TEST

Suite *adaptive_suite(void)
{
	Suite *s = suite_create("adaptive");

	TEST(s, adaptive_is_no_slower_at_any_loss);
	TEST(s, adaptive_median_at_20_percent_loss);
	TEST(s, adaptive_measures_a_hello_that_was_resent);
	TEST(s, adaptive_measures_nothing_from_a_repeated_server_hello);
	TEST(s, adaptive_delay_grows_behind_the_cookie_exchange);
	TEST(s, adaptive_delay_grows_behind_the_servers_first_flight);
	TEST(s, adaptive_holds_no_data);
	TEST(s, adaptive_holds_no_alert);
	TEST(s, adaptive_repeat_behind_a_round_trip_is_answered);
	TEST(s, adaptive_delay_grows_to_anything);
	TEST(s, adaptive_long_round_trips_are_as_fixed);
	TEST(s, adaptive_delay_grows_slowly);
	TEST(s, adaptive_delay_shrinks);
	TEST(s, adaptive_delay_jitters);
	return s;
}
