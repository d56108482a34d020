#include "dtls/timer.h"
#include "suites.h"

#include <limits.h>

static int64_t fake_now;
static struct settings settings;
static uint64_t retransmissions;
static struct rng rng;
static struct timer timer;
static uint32_t mbed_timeout; /* mbed TLS's retransmit_timeout */

static int64_t fake_clock(void *arg)
{
	(void)arg;
	return fake_now;
}

static void begin(enum dtls_retransmit how, int min_ms, int max_ms, int jitter_percent)
{
	fake_now = 1000000;
	retransmissions = 0;
	settings = (struct settings){.opt = {.clock = fake_clock,
					 .min_ms = min_ms,
					 .max_ms = max_ms,
					 .retransmit = how,
					 .jitter_percent = jitter_percent}};
	settings.give_up_ms = timer_schedule_sum(min_ms, max_ms);
	ck_assert_int_eq(rng_init(&rng), 0);
	timer_init(&timer, &settings, &rng, &retransmissions);
}

static void end(void)
{
	rng_free(&rng);
}

/* ---- what mbed TLS does ---- */

static void mbed_set(uint32_t ms)
{
	timer_set(&timer, ms / 4, ms);
}

/* mbedtls_ssl_send_flight_completed(), then mbedtls_ssl_flight_transmit(). */
static void send_flight(unsigned datagrams)
{
	mbed_timeout = TIMER_UNIT_MS;
	mbed_set(mbed_timeout);
	while (datagrams-- > 0)
		timer_sent(&timer);
	mbed_set(mbed_timeout);
}

/* The timeout's path through mbedtls_ssl_fetch_input(). False: mbed TLS itself gives up. */
static bool resend_flight(void)
{
	mbed_set(0);
	if (mbed_timeout >= INT32_MAX)
		return false;
	mbed_timeout = 2 * mbed_timeout < INT32_MAX ? 2 * mbed_timeout : INT32_MAX;
	timer_sent(&timer);
	mbed_set(mbed_timeout);
	return true;
}

/* mbedtls_ssl_recv_flight_completed(), for a datagram that was fed. */
static void receive_flight(void)
{
	timer_input_waits(&timer, true);
	ck_assert_int_ne(timer_get(&timer), 2);
	timer_input_waits(&timer, false);
	mbed_set(0);
}

/* Goes to the next timer, sees it fire then and no ms earlier, and returns how long that took. */
static int64_t fire(void)
{
	int64_t started_at = fake_now, due_at = timer_due_at(&timer);

	ck_assert_int_gt(due_at, fake_now);
	fake_now = due_at - 1;
	ck_assert_int_ne(timer_get(&timer), 2);
	ck_assert(!timer_gave_up(&timer));
	fake_now = due_at;
	return fake_now - started_at;
}

static int64_t fire_and_resend(void)
{
	int64_t waited = fire();

	ck_assert(!timer_gave_up(&timer));
	ck_assert_int_eq(timer_get(&timer), 2);
	ck_assert(resend_flight());
	return waited;
}

/* The flight is sent and never answered: these are its timers, and the last one ends it. */
static void assert_schedule(const int *delays_ms, unsigned count)
{
	uint64_t before = retransmissions;

	for (unsigned i = 0; i + 1 < count; i++) {
		ck_assert_int_eq(fire_and_resend(), delays_ms[i]);
		ck_assert_uint_eq(retransmissions, before + i + 1);
	}
	ck_assert_int_eq(fire(), delays_ms[count - 1]);
	ck_assert(timer_gave_up(&timer));
}

#define ASSERT_SCHEDULE(...)                                                                                           \
	assert_schedule((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* ---- the schedule ---- */

START_TEST(timer_fixed_schedule)
{
	int64_t sent_at;

	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, -1);
	sent_at = fake_now;
	send_flight(1);
	ASSERT_SCHEDULE(1000, 2000, 4000, 8000, 16000, 32000, 60000);
	ck_assert_int_eq(fake_now - sent_at, 123000);
	end();
}
END_TEST

START_TEST(timer_other_schedules)
{
	begin(DTLS_RETRANSMIT_FIXED, 700, 700, 0);
	send_flight(1);
	ASSERT_SCHEDULE(700);
	end();
	begin(DTLS_RETRANSMIT_FIXED, 9000, 60000, 0); /* RFC 7925, 11 */
	send_flight(3);
	ASSERT_SCHEDULE(9000, 18000, 36000, 60000);
	end();
}
END_TEST

START_TEST(timer_widest_range_that_is_allowed)
{
	int64_t sent_at;

	begin(DTLS_RETRANSMIT_FIXED, 1, 3600000, 0);
	sent_at = fake_now;
	send_flight(1);
	ASSERT_SCHEDULE(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072,
	    262144, 524288, 1048576, 2097152, 3600000);
	ck_assert_int_eq(fake_now - sent_at, settings.give_up_ms);
	end();
}
END_TEST

START_TEST(timer_schedule_sums)
{
	ck_assert_int_eq(timer_schedule_sum(1000, 60000), 123000);
	ck_assert_int_eq(timer_schedule_sum(1000, 1000), 1000);
	ck_assert_int_eq(timer_schedule_sum(1000, 1001), 2001);
	ck_assert_int_eq(timer_schedule_sum(1000, 2000), 3000);
	ck_assert_int_eq(timer_schedule_sum(9000, 60000), 123000);
	ck_assert_int_eq(timer_schedule_sum(1, 3600000), 4194303 + 3600000);
	ck_assert_int_eq(timer_schedule_sum(3600000, 3600000), 3600000);
}
END_TEST

START_TEST(timer_next_flight_starts_over)
{
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 0);
	send_flight(1);
	ck_assert_int_eq(fire_and_resend(), 1000);
	ck_assert_int_eq(fire_and_resend(), 2000);
	fake_now += 3999;
	receive_flight();
	ck_assert_int_eq(timer_due_at(&timer), INT64_MAX);
	send_flight(2);
	ASSERT_SCHEDULE(1000, 2000, 4000, 8000, 16000, 32000, 60000);
	end();
}
END_TEST

/* A connection may be made long before it is used. */
START_TEST(timer_waits_for_the_first_flight)
{
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 0);
	ck_assert_int_eq(timer_due_at(&timer), INT64_MAX);
	fake_now += 1000000000;
	ck_assert(!timer_gave_up(&timer));
	end();
}
END_TEST

START_TEST(timer_hurry_shortens_the_next_flight_alone)
{
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 0);
	timer_hurry(&timer, 200000); /* no longer than it was */
	timer_hurry(&timer, 7000);
	send_flight(1);
	ck_assert_int_eq(fire_and_resend(), 1000);
	ck_assert_int_eq(fire_and_resend(), 2000);
	receive_flight();
	timer_hurry(&timer, 7000);
	send_flight(1);
	ASSERT_SCHEDULE(1000, 2000, 4000);
	end();
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 0);
	timer_hurry(&timer, 7000);
	send_flight(1);
	receive_flight();
	send_flight(1);
	ASSERT_SCHEDULE(1000, 2000, 4000, 8000, 16000, 32000, 60000);
	end();
}
END_TEST

/* ---- the two deadlines ---- */

START_TEST(timer_intermediate_is_a_quarter)
{
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 0);
	ck_assert_int_eq(timer_get(&timer), -1);
	send_flight(1);
	ck_assert_int_eq(timer_get(&timer), 0);
	fake_now += 249;
	ck_assert_int_eq(timer_get(&timer), 0);
	fake_now += 1;
	ck_assert_int_eq(timer_get(&timer), 1);
	fake_now += 749;
	ck_assert_int_eq(timer_get(&timer), 1);
	fake_now += 1;
	ck_assert_int_eq(timer_get(&timer), 2);
	ck_assert_int_eq(timer_get(&timer), 2);
	mbed_set(0);
	ck_assert_int_eq(timer_get(&timer), -1);
	ck_assert_int_eq(timer_due_at(&timer), INT64_MAX);
	end();
}
END_TEST

START_TEST(timer_holds_its_fire_while_input_waits)
{
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 0);
	send_flight(1);
	fake_now += 5000;
	timer_input_waits(&timer, true);
	ck_assert_int_eq(timer_get(&timer), 0);
	timer_input_waits(&timer, false);
	ck_assert_int_eq(timer_get(&timer), 2);
	end();
}
END_TEST

/* ---- round trips ---- */

/* The first timer of the flight behind one that was answered after rtt_ms. */
static int64_t delay_after_round_trip(enum dtls_retransmit how, int min_ms, int64_t rtt_ms)
{
	int64_t delay;

	begin(how, min_ms, 60000, 0);
	send_flight(1);
	fake_now += rtt_ms;
	receive_flight();
	ck_assert_int_eq(timer.rtt_ms, rtt_ms);
	send_flight(1);
	delay = timer_due_at(&timer) - fake_now;
	end();
	return delay;
}

START_TEST(timer_adaptive_is_one_and_a_half_round_trips)
{
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 100), 150);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 101), 151);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 400), 600);
	/* Not below 50 ms. */
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 0), 50);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 33), 50);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 34), 51);
	/* Not above min_ms. */
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 666), 999);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 667), 1000);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 1000, 999), 1000);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_ADAPTIVE, 20, 10), 20);
	ck_assert_int_eq(delay_after_round_trip(DTLS_RETRANSMIT_FIXED, 1000, 100), 1000);
}
END_TEST

START_TEST(timer_adaptive_before_a_round_trip_is_fixed)
{
	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 60000, 0);
	send_flight(1);
	ck_assert_int_eq(timer.rtt_ms, -1);
	ASSERT_SCHEDULE(1000, 2000, 4000, 8000, 16000, 32000, 60000);
	end();
}
END_TEST

/* Giving up never comes earlier than under the fixed schedule. */
START_TEST(timer_adaptive_doubles_up_to_max_and_gives_up_as_fixed)
{
	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 3000, 0);
	send_flight(1);
	fake_now += 200;
	receive_flight();
	send_flight(1);
	ASSERT_SCHEDULE(300, 600, 1200, 2400, 1500);
	end();
	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 60000, 0);
	send_flight(1);
	fake_now += 40;
	receive_flight();
	send_flight(1);
	ASSERT_SCHEDULE(60, 120, 240, 480, 960, 1920, 3840, 7680, 15360, 30720, 60000, 1620);
	end();
}
END_TEST

START_TEST(timer_karn)
{
	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 60000, 0);
	send_flight(1);
	ck_assert_int_eq(fire_and_resend(), 1000);
	fake_now += 80;
	receive_flight();
	ck_assert_int_eq(timer.rtt_ms, -1);
	send_flight(1);
	fake_now += 90;
	receive_flight();
	ck_assert_int_eq(timer.rtt_ms, 90);
	send_flight(1);
	ck_assert_int_eq(fire_and_resend(), 135);
	fake_now += 10;
	receive_flight();
	/* The last clean sample stays. */
	ck_assert_int_eq(timer.rtt_ms, 90);
	end();
}
END_TEST

START_TEST(timer_no_sample_from_silence)
{
	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 60000, 0);
	send_flight(1);
	fake_now += 100;
	mbed_set(0);
	ck_assert_int_eq(timer.rtt_ms, -1);
	end();
}
END_TEST

START_TEST(timer_hello_verify_request_names_its_hello)
{
	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 60000, 0);
	timer_hello_sent(&timer, 0);
	send_flight(1);
	ck_assert_int_eq(fire_and_resend(), 1000);
	timer_hello_sent(&timer, 1);
	ck_assert(!timer_hello_answered(&timer, 2));
	ck_assert_int_eq(timer.rtt_ms, -1);
	fake_now += 60;
	ck_assert(timer_hello_answered(&timer, 1));
	ck_assert_int_eq(timer.rtt_ms, 60);
	/* The first one's answer, which took longer. */
	ck_assert(timer_hello_answered(&timer, 0));
	ck_assert_int_eq(timer.rtt_ms, 1060);
	ck_assert(timer_hello_answered(&timer, 1));
	receive_flight();
	ck_assert_int_eq(timer.rtt_ms, 60);
	send_flight(1);
	ck_assert_int_eq(fire(), 90);
	end();
}
END_TEST

START_TEST(timer_remembers_the_latest_hellos)
{
	const uint64_t last = ((uint64_t)1 << 48) - 1, first = last - HELLO_TIMES;

	begin(DTLS_RETRANSMIT_ADAPTIVE, 1000, 60000, 0);
	ck_assert(!timer_hello_answered(&timer, 0));
	for (uint64_t seq = first; seq <= last; seq++) {
		timer_hello_sent(&timer, seq);
		fake_now += 10;
	}
	ck_assert(!timer_hello_answered(&timer, first));
	ck_assert_int_eq(timer.rtt_ms, -1);
	for (uint64_t seq = first + 1; seq <= last; seq++) {
		ck_assert(timer_hello_answered(&timer, seq));
		ck_assert_int_eq(timer.rtt_ms, 10 * (int64_t)(last - seq + 1));
	}
	end();
}
END_TEST

/* ---- jitter ---- */

struct spread {
	int64_t least, most;
};

static struct spread spread_of_first_delay(enum dtls_retransmit how, int max_ms, int percent)
{
	struct spread s = {INT64_MAX, 0};

	begin(how, 1000, max_ms, percent);
	for (unsigned i = 0; i < 3000; i++) {
		int64_t delay;

		/* No round trip: what answers did not come in. */
		mbed_set(0);
		send_flight(1);
		delay = timer_due_at(&timer) - fake_now;
		s.least = delay < s.least ? delay : s.least;
		s.most = delay > s.most ? delay : s.most;
	}
	end();
	return s;
}

static void assert_spread(enum dtls_retransmit how, int max_ms, int percent, int64_t least, int64_t most)
{
	struct spread s = spread_of_first_delay(how, max_ms, percent);

	ck_assert_int_ge(s.least, least);
	ck_assert_int_le(s.most, most);
	/* The edges are reached, nearly. */
	ck_assert_int_le(s.least, least + 1 + (most - least) / 50);
	ck_assert_int_ge(s.most, most - 1 - (most - least) / 50);
}

START_TEST(timer_jitter_stays_within_its_percentage)
{
	assert_spread(DTLS_RETRANSMIT_FIXED, 60000, 0, 1000, 1000);
	assert_spread(DTLS_RETRANSMIT_ADAPTIVE, 60000, 0, 1000, 1000);
	assert_spread(DTLS_RETRANSMIT_FIXED, 60000, -1, 1000, 1000);
	assert_spread(DTLS_RETRANSMIT_ADAPTIVE, 60000, -1, 900, 1100);
	assert_spread(DTLS_RETRANSMIT_FIXED, 60000, 50, 500, 1500);
	assert_spread(DTLS_RETRANSMIT_FIXED, 60000, 1, 990, 1010);
	/* Not above max_ms. */
	assert_spread(DTLS_RETRANSMIT_FIXED, 1000, 50, 500, 1000);
}
END_TEST

START_TEST(timer_jitter_of_every_timer)
{
	begin(DTLS_RETRANSMIT_FIXED, 1000, 60000, 10);
	send_flight(1);
	for (int64_t nominal = 1000; nominal < 60000; nominal *= 2) {
		int64_t waited = fire_and_resend();

		ck_assert_int_ge(waited, nominal * 9 / 10);
		ck_assert_int_le(waited, nominal * 11 / 10);
	}
	end();
}
END_TEST

START_TEST(timer_poll_timeouts)
{
	ck_assert_int_eq(timer_poll_ms(INT64_MAX, 0), -1);
	ck_assert_int_eq(timer_poll_ms(INT64_MAX, INT64_MAX), -1);
	ck_assert_int_eq(timer_poll_ms(1000, 1000), 0);
	ck_assert_int_eq(timer_poll_ms(1000, 1001), 0);
	ck_assert_int_eq(timer_poll_ms(1000, 999), 1);
	ck_assert_int_eq(timer_poll_ms(1000, 0), 1000);
	ck_assert_int_eq(timer_poll_ms((int64_t)INT_MAX + 5, 5), INT_MAX);
	ck_assert_int_eq(timer_poll_ms((int64_t)INT_MAX + 6, 5), INT_MAX);
	ck_assert_int_eq(timer_poll_ms(INT64_MAX - 1, 0), INT_MAX);
}
END_TEST

Suite *timer_suite(void)
{
	Suite *suite = suite_create("timer");

	TEST(suite, timer_fixed_schedule);
	TEST(suite, timer_other_schedules);
	TEST(suite, timer_widest_range_that_is_allowed);
	TEST(suite, timer_schedule_sums);
	TEST(suite, timer_next_flight_starts_over);
	TEST(suite, timer_waits_for_the_first_flight);
	TEST(suite, timer_hurry_shortens_the_next_flight_alone);
	TEST(suite, timer_intermediate_is_a_quarter);
	TEST(suite, timer_holds_its_fire_while_input_waits);
	TEST(suite, timer_adaptive_is_one_and_a_half_round_trips);
	TEST(suite, timer_adaptive_before_a_round_trip_is_fixed);
	TEST(suite, timer_adaptive_doubles_up_to_max_and_gives_up_as_fixed);
	TEST(suite, timer_karn);
	TEST(suite, timer_no_sample_from_silence);
	TEST(suite, timer_hello_verify_request_names_its_hello);
	TEST(suite, timer_remembers_the_latest_hellos);
	TEST(suite, timer_jitter_stays_within_its_percentage);
	TEST(suite, timer_jitter_of_every_timer);
	TEST(suite, timer_poll_timeouts);
	return suite;
}
