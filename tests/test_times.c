/* When flights are sent again, and when a handshake is given up. */
#include "pair.h"

static struct pair pair;
static struct capture up, down; /* client to server, and back */

static void open_captured(void)
{
	pair_open(&pair);
	capture_link(&up, pair.client.out);
	capture_link(&down, pair.server.out);
}

START_TEST(times_after_lost_hellos)
{
	static const int64_t done_at[] = {120, 1120, 3120, 7120};

	for (unsigned lost = 0; lost < 4; lost++) {
		pair_open(&pair);
		sim_link_drop_mask(pair.client.out, (UINT64_C(1) << lost) - 1);
		pair_handshake(&pair);
		pair_assert_connected(&pair, done_at[lost], done_at[lost] - PAIR_LATENCY_MS);
		pair_assert_exchange(&pair);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(times_default_context_is_adaptive)
{
	struct dtls_context *client = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	pair_open(&pair);
	ck_assert_int_eq(client->opt.retransmit, DTLS_RETRANSMIT_ADAPTIVE);
	dtls_context_free(client);
	pair_close(&pair);
}
END_TEST

START_TEST(times_nobody_answers)
{
	open_captured();
	sim_link_drop_mask(pair.client.out, UINT64_MAX);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_TIMEDOUT);
	ck_assert_int_eq(pair.client.done_at, 123000);
	/* Sent at 0, 1, 3, 7, 15, 31 and 63 s, and the fatal alert. */
	ck_assert_uint_eq(up.count, 8);
	ck_assert_int_eq(up.datagrams[6].at_ms, 63000);
	ck_assert_uint_eq(up.datagrams[7].bytes[0], RECORD_ALERT);
	assert_error(pair.client.conn, "nothing was received within 123.000 s");
	ck_assert_int_eq(pair.server.status, DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_TIMEDOUT);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 1), DTLS_TIMEDOUT);
	ck_assert_uint_eq(up.count, 8);
	pair_close(&pair);
}
END_TEST

struct silence {
	uint64_t up, down; /* drop masks */
	int64_t client_at, server_at;
	int server_status;
};

/* The path dies after the nth datagram: each side ends 123 s after it first sent its last flight. */
static const struct silence silences[] = {
    {~UINT64_C(0) << 1, 0, 123040, -1, DTLS_WANT_READ},
    {0, ~UINT64_C(0) << 1, 123040, 123060, DTLS_FAIL}, /* the client's alert comes as its own time is up */
    {~UINT64_C(0) << 2, ~UINT64_C(0) << 2, 123080, 123060, DTLS_TIMEDOUT},
};

static void assert_silence(const struct silence *s, enum dtls_retransmit how, bool no_jitter)
{
	struct side *sides[] = {&pair.client, &pair.server};

	open_captured();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_context_set_retransmit(sides[i]->ctx, how), DTLS_OK);
		if (no_jitter)
			ck_assert_int_eq(dtls_context_set_retransmit_jitter(sides[i]->ctx, 0), DTLS_OK);
	}
	sim_link_drop_mask(pair.client.out, s->up);
	sim_link_drop_mask(pair.server.out, s->down);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_TIMEDOUT);
	ck_assert_int_eq(pair.client.done_at, s->client_at);
	ck_assert_int_eq(pair.server.done_at, s->server_at);
	ck_assert_int_eq(pair.server.status, s->server_status);
	ck_assert_str_ne(dtls_conn_error(pair.client.conn), "");
	pair_close(&pair);
}

START_TEST(times_path_dies_under_way)
{
	for (size_t i = 0; i < sizeof(silences) / sizeof(*silences); i++)
		assert_silence(&silences[i], DTLS_RETRANSMIT_FIXED, true);
}
END_TEST

/* Its timers are shorter, its patience is not. */
START_TEST(times_adaptive_gives_up_no_earlier)
{
	for (size_t i = 0; i < sizeof(silences) / sizeof(*silences); i++) {
		assert_silence(&silences[i], DTLS_RETRANSMIT_ADAPTIVE, true);
		assert_silence(&silences[i], DTLS_RETRANSMIT_ADAPTIVE, false);
	}
}
END_TEST

START_TEST(times_own_schedule)
{
	open_captured();
	ck_assert_int_eq(dtls_context_set_handshake_timeout(pair.client.ctx, 100, 350), DTLS_OK);
	sim_link_drop_mask(pair.client.out, UINT64_MAX);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_TIMEDOUT);
	ck_assert_int_eq(pair.client.done_at, 100 + 200 + 350);
	ck_assert_uint_eq(up.count, 3 + 1);
	ck_assert_int_eq(up.datagrams[1].at_ms, 100);
	ck_assert_int_eq(up.datagrams[2].at_ms, 300);
	pair_close(&pair);
}
END_TEST

static void open_adaptive(int64_t latency_ms)
{
	pair_open_in(&pair, 1, &(struct sim_weather){.latency_ms = latency_ms});
	capture_link(&up, pair.client.out);
	capture_link(&down, pair.server.out);
	ck_assert_int_eq(dtls_context_set_retransmit(pair.client.ctx, DTLS_RETRANSMIT_ADAPTIVE), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_retransmit_jitter(pair.client.ctx, 0), DTLS_OK);
}

/* RFC 9147, 5.8.2: 1.5 times the round trip of 50 ms, doubling. */
START_TEST(times_adaptive_timers)
{
	open_adaptive(25);
	sim_link_drop_mask(pair.client.out, 0xe); /* the hello with the cookie, three times */
	pair_handshake(&pair);
	ck_assert_int_eq(up.datagrams[1].at_ms, 50);
	ck_assert_int_eq(up.datagrams[2].at_ms, 50 + 75);
	ck_assert_int_eq(up.datagrams[3].at_ms, 50 + 75 + 150);
	ck_assert_int_eq(up.datagrams[4].at_ms, 50 + 75 + 150 + 300);
	pair_assert_connected(&pair, 575 + 4 * 25, 575 + 3 * 25);
	pair_close(&pair);
}
END_TEST

START_TEST(times_adaptive_floor_and_ceiling)
{
	static const struct {
		int64_t latency_ms, first_ms;
	} cases[] = {{1, 50}, {16, 50}, {17, 51}, {300, 900}, {334, 1000}, {400, 1000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		open_adaptive(cases[i].latency_ms);
		sim_link_drop_mask(pair.client.out, 2);
		pair_handshake(&pair);
		ck_assert_int_eq(up.datagrams[2].at_ms - up.datagrams[1].at_ms, cases[i].first_ms);
		pair_assert_connected(&pair, up.datagrams[2].at_ms + 4 * cases[i].latency_ms,
		    up.datagrams[2].at_ms + 3 * cases[i].latency_ms);
		pair_close(&pair);
	}
}
END_TEST

/* Karn's rule has no say here: a HelloVerifyRequest names the very hello that it answers. */
START_TEST(times_round_trip_of_a_repeated_hello)
{
	open_adaptive(20);
	sim_link_drop_mask(pair.client.out, 1 | 4); /* the first hello, and the first with the cookie */
	pair_until(&pair, 1040);
	ck_assert_int_eq(pair.client.conn->a->timer.rtt_ms, 40);
	pair_handshake(&pair);
	ck_assert_int_eq(up.datagrams[2].at_ms, 1040);
	ck_assert_int_eq(up.datagrams[3].at_ms, 1040 + 60);
	pair_assert_connected(&pair, 1100 + 80, 1100 + 60);
	pair_close(&pair);
}
END_TEST

/* The round trip of a repeated hello is counted from the one that the answer names, not from the first. */
START_TEST(times_karn)
{
	open_adaptive(20);
	sim_link_drop_mask(pair.client.out, 2);
	pair_until(&pair, 100 + 40);
	ck_assert_uint_eq(up.count, 4); /* the Finished has just left */
	ck_assert_int_eq(pair.client.conn->a->timer.rtt_ms, 40);
	ck_assert(pair.client.conn->a->timer.outstanding);
	pair_close(&pair);
}
END_TEST

START_TEST(times_jitter_spreads_timers)
{
	int64_t least = INT64_MAX, most = 0;

	for (int i = 0; i < 60; i++) {
		open_captured();
		ck_assert_int_eq(dtls_context_set_retransmit_jitter(pair.client.ctx, 50), DTLS_OK);
		sim_link_drop_mask(pair.client.out, 1);
		pair_handshake(&pair);
		ck_assert_int_eq(pair.client.status, DTLS_OK);
		least = up.datagrams[1].at_ms < least ? up.datagrams[1].at_ms : least;
		most = up.datagrams[1].at_ms > most ? up.datagrams[1].at_ms : most;
		pair_close(&pair);
	}
	ck_assert_int_ge(least, 500);
	ck_assert_int_le(most, 1500);
	ck_assert_int_gt(most - least, 300);
}
END_TEST

/* ---- what dtls_conn_timeout() tells */

START_TEST(times_timeout_for_poll)
{
	pair_open(&pair);
	pair_wrap(&pair);
	sim_link_drop_mask(pair.client.out, 1);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), -1);
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), -1);
	pair_step(&pair);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), 1000);
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), -1);
	sim_advance_to(pair.sim, 400);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), 600);
	sim_advance_to(pair.sim, 1010);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), 0);
	ck_assert_int_eq(dtls_conn_handle_timeout(pair.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), 2000);
	pair_until(&pair, 1010 + 60);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), 980);
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), 1000);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 1130, 1110);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), -1);
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), -1);
	pair_close(&pair);
}
END_TEST

/* The deadline is the handshake's, not the connection's: a sensor may wrap at boot and speak minutes later. */
START_TEST(times_connection_made_long_before)
{
	pair_open(&pair);
	pair_wrap(&pair);
	sim_advance_to(pair.sim, 1000000);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 1000120, 1000100);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

Suite *times_suite(void)
{
	Suite *s = suite_create("times");

	TEST(s, times_after_lost_hellos);
	TEST(s, times_default_context_is_adaptive);
	TEST(s, times_nobody_answers);
	TEST(s, times_path_dies_under_way);
	TEST(s, times_adaptive_gives_up_no_earlier);
	TEST(s, times_own_schedule);
	TEST(s, times_adaptive_timers);
	TEST(s, times_adaptive_floor_and_ceiling);
	TEST(s, times_round_trip_of_a_repeated_hello);
	TEST(s, times_karn);
	TEST(s, times_jitter_spreads_timers);
	TEST(s, times_timeout_for_poll);
	TEST(s, times_connection_made_long_before);
	return s;
}
