#include "dtls/dtls.h"
#include "dtls/sim.h"
#include "links.h"
#include "suites.h"

#include <math.h>
#include <netinet/in.h>
#include <stdint.h>

START_TEST(latency_is_exact)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 50});

	sim_advance_to(sim, 7);
	send_number(link, 1);
	sim_advance_to(sim, 8);
	send_number(link, 2);
	assert_number_at(sim, link, 57, 1);
	assert_number_at(sim, link, 58, 2);
	sim_free(sim);
}
END_TEST

START_TEST(times_beyond_the_clock_do_not_overflow)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim,
	    (struct sim_weather){.latency_ms = INT64_MAX, .jitter_ms = INT64_MAX, .bytes_per_second = 1, .reorder = 1});

	for (unsigned i = 0; i < 3; i++) {
		send_number(link, i);
		sim_advance_to(sim, INT64_MAX - 1);
	}
	assert_nothing(link);
	ck_assert_int_eq(sim_next_ms(sim), INT64_MAX);
	sim_free(sim);
}
END_TEST

START_TEST(jitter_is_even_and_in_its_range)
{
	struct sim *sim = sim_new(5);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 5, .jitter_ms = 10});
	uint64_t delays[16] = {0};

	for (unsigned i = 0; i < MANY; i++) {
		int64_t sent_at = sim_now_ms(sim);

		send_number(link, i);
		ck_assert_int_ge(sim_next_ms(sim), sent_at + 5);
		ck_assert_int_le(sim_next_ms(sim), sent_at + 15);
		sim_advance_to(sim, sim_next_ms(sim));
		delays[sim_now_ms(sim) - sent_at]++;
		assert_number(link, i);
	}
	for (int delay_ms = 5; delay_ms <= 15; delay_ms++)
		assert_rate(delays[delay_ms], MANY, 1.0 / 11);
	sim_free(sim);
}
END_TEST

START_TEST(jitter_may_reorder)
{
	struct sim *sim = sim_new(2);
	struct sim_link *link = new_link(sim, (struct sim_weather){.jitter_ms = 30});
	unsigned number, last = 0, overtaken = 0;

	for (unsigned i = 0; i < 1000; i++) {
		sim_advance_to(sim, i);
		send_number(link, i);
	}
	sim_advance_to(sim, 2000);
	while (sim_link_recv(link, &number, sizeof(number)) > 0) {
		overtaken += number < last;
		last = number;
	}
	ck_assert_uint_gt(overtaken, 100);
	assert_stats(link, 1000, 1000, 0);
	sim_free(sim);
}
END_TEST

START_TEST(loss_rate_each_on_its_own)
{
	static unsigned arrivals[MANY];
	struct sim *sim = sim_new(3);
	struct sim_link *link = new_link(sim, (struct sim_weather){.loss = 0.2});
	uint64_t lost = 0, pairs = 0;

	send_many(link, arrivals);
	for (unsigned i = 0; i < MANY; i++) {
		lost += arrivals[i] == 0;
		pairs += i > 0 && arrivals[i] + arrivals[i - 1] == 0;
	}
	assert_rate(lost, MANY, 0.2);
	assert_rate(pairs, MANY, 0.04);
	assert_stats(link, MANY, MANY - lost, lost);
	sim_free(sim);
}
END_TEST

START_TEST(loss_of_one_loses_all_and_of_zero_none)
{
	static unsigned arrivals[MANY];
	struct sim *sim = sim_new(3);

	send_many(new_link(sim, (struct sim_weather){.loss = 1}), arrivals);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(arrivals[i], 0);
	send_many(new_link(sim, (struct sim_weather){.loss = 0}), arrivals);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_uint_eq(arrivals[i], 1);
	sim_free(sim);
}
END_TEST

START_TEST(duplicate_rate)
{
	static unsigned arrivals[MANY];
	struct sim *sim = sim_new(4);
	struct sim_link *link = new_link(sim, (struct sim_weather){.duplicate = 0.1});
	struct sim_link_stats stats;
	uint64_t twice = 0;

	send_many(link, arrivals);
	for (unsigned i = 0; i < MANY; i++) {
		ck_assert(arrivals[i] == 1 || arrivals[i] == 2);
		twice += arrivals[i] == 2;
	}
	assert_rate(twice, MANY, 0.1);
	sim_link_stats(link, &stats);
	ck_assert_uint_eq(stats.duplicated, twice);
	ck_assert_uint_eq(stats.delivered, MANY + twice);
	sim_free(sim);
}
END_TEST

START_TEST(a_duplicate_draws_its_own_jitter)
{
	struct sim *sim = sim_new(4);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 10, .jitter_ms = 1, .duplicate = 1});
	int64_t first_ms;
	unsigned apart = 0;

	for (unsigned i = 0; i < 1000; i++) {
		send_number(link, i);
		first_ms = sim_next_ms(sim);
		sim_advance_to(sim, first_ms);
		assert_number(link, i);
		apart += sim_next_ms(sim) > first_ms;
		ck_assert_int_le(sim_next_ms(sim), first_ms + 1);
		sim_advance_to(sim, sim_next_ms(sim));
		assert_number(link, i);
	}
	assert_rate(apart, 1000, 0.5);
	sim_free(sim);
}
END_TEST

START_TEST(corrupt_changes_one_byte)
{
	struct sim *sim = sim_new(6);
	struct sim_link *link = new_link(sim, (struct sim_weather){.corrupt = 0.25});
	struct sim_link_stats stats;
	unsigned char sent[8] = "12345678", got[8];
	uint64_t corrupted = 0, where[8] = {0};

	for (int i = 0; i < MANY; i++) {
		int changed = 0;

		ck_assert_int_eq(sim_link_send(link, sent, 8), 8);
		ck_assert_int_eq(sim_link_recv(link, got, 8), 8);
		for (int at = 0; at < 8; at++) {
			changed += sent[at] != got[at];
			where[at] += sent[at] != got[at];
		}
		ck_assert_int_le(changed, 1);
		corrupted += (uint64_t)changed;
	}
	assert_rate(corrupted, MANY, 0.25);
	for (int at = 0; at < 8; at++)
		assert_rate(where[at], (double)corrupted, 1.0 / 8);
	sim_link_stats(link, &stats);
	ck_assert_uint_eq(stats.corrupted, corrupted);
	sim_free(sim);
}
END_TEST

START_TEST(reorder_rate)
{
	struct sim *sim = sim_new(7);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 5, .reorder = 0.1});
	struct sim_link_stats stats;
	unsigned number, last = 0, overtaken = 0, arrived = 0;

	for (unsigned i = 0; i < MANY; i++) {
		sim_advance_to(sim, i);
		send_number(link, i);
	}
	sim_advance_to(sim, MANY + 100);
	while (sim_link_recv(link, &number, sizeof(number)) > 0) {
		overtaken += number < last;
		last = number;
		arrived++;
	}
	ck_assert_uint_eq(arrived, MANY);
	sim_link_stats(link, &stats);
	assert_rate(stats.reordered, MANY, 0.1);
	/* Only the last one sent has no next, and may be held without being overtaken. */
	ck_assert_uint_ge(overtaken + 1, stats.reordered);
	ck_assert_uint_le(overtaken, stats.reordered);
	sim_free(sim);
}
END_TEST

START_TEST(burst_length_is_that_of_gilbert_elliott)
{
	static unsigned arrivals[MANY];
	struct sim *sim = sim_new(8);
	struct sim_link *link =
	    new_link(sim, (struct sim_weather){.burst_loss = 1, .burst_enter = 0.02, .burst_leave = 0.25});
	double bursts = 0, lost = 0, mean, deviation;

	send_many(link, arrivals);
	for (unsigned i = 1; i < MANY; i++) {
		lost += arrivals[i] == 0;
		bursts += arrivals[i] == 0 && arrivals[i - 1] == 1;
	}
	/* A burst is geometric with mean 1 / leave; a gap with mean 1 / enter. */
	mean = 1 / 0.25;
	deviation = sqrt(1 - 0.25) / 0.25 / sqrt(bursts);
	ck_assert_double_le(fabs(lost / bursts - mean), 5 * deviation);
	mean = 1 / 0.02;
	deviation = sqrt(1 - 0.02) / 0.02 / sqrt(bursts);
	ck_assert_double_le(fabs((MANY - lost) / bursts - mean), 5 * deviation);
	sim_free(sim);
}
END_TEST

START_TEST(bad_state_loses_at_its_own_rate)
{
	static unsigned arrivals[MANY];
	struct sim *sim = sim_new(9);
	struct sim_weather weather = {.loss = 1, .burst_loss = 0.3, .burst_enter = 1};
	struct sim_link *link = new_link(sim, weather); /* enters at the first datagram and never leaves */
	uint64_t lost = 0;

	send_many(link, arrivals);
	for (unsigned i = 0; i < MANY; i++)
		lost += arrivals[i] == 0;
	assert_rate(lost, MANY, 0.3);
	sim_free(sim);
}
END_TEST

START_TEST(mtu_is_the_largest_that_passes)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.mtu = 100, .duplicate = 1});
	struct sim_link_stats stats;
	char buf[101] = {0};

	ck_assert_int_eq(sim_link_send(link, buf, 101), 101);
	assert_nothing(link);
	ck_assert_int_eq(sim_link_send(link, buf, 100), 100);
	ck_assert_int_eq(sim_link_recv(link, buf, sizeof(buf)), 100);
	sim_link_stats(link, &stats);
	ck_assert_uint_eq(stats.too_big, 1);
	ck_assert_uint_eq(stats.lost, 0);
	ck_assert_uint_eq(stats.sent, 2);
	ck_assert_uint_eq(stats.delivered, 2);
	ck_assert_uint_eq(stats.bytes_sent, 201);
	ck_assert_uint_eq(stats.bytes_delivered, 200);
	sim_free(sim);
}
END_TEST

START_TEST(bytes_per_second_queue_exactly)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 20, .bytes_per_second = 8});

	send_number(link, 1); /* four bytes occupy the link for 500 ms */
	send_number(link, 2);
	sim_advance_to(sim, 300);
	send_number(link, 3);
	assert_number_at(sim, link, 520, 1);
	assert_number_at(sim, link, 1020, 2);
	assert_number_at(sim, link, 1520, 3);
	sim_advance_to(sim, 5000);
	send_number(link, 4); /* an idle link saves nothing up */
	assert_number_at(sim, link, 5520, 4);
	sim_free(sim);
}
END_TEST

START_TEST(fractions_of_a_millisecond_add_up)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.bytes_per_second = 12000});

	for (unsigned i = 0; i < 3000; i++)
		send_number(link, i); /* a third of a millisecond each */
	for (unsigned i = 0; i < 3000; i++)
		assert_number_at(sim, link, i / 3 + 1, i);
	sim_free(sim);
}
END_TEST

START_TEST(lost_datagrams_occupy_the_link_and_too_big_ones_do_not)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.mtu = 10, .bytes_per_second = 1000});
	char large[11] = {0};

	sim_link_drop_mask(link, 1);
	send_number(link, 1);
	ck_assert_int_eq(sim_link_send(link, large, sizeof(large)), sizeof(large));
	send_number(link, 2);
	assert_number_at(sim, link, 8, 2);
	sim_free(sim);
}
END_TEST

START_TEST(new_weather_holds_from_the_next_datagram_on)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 100});

	send_number(link, 1);
	ck_assert_int_eq(sim_link_set_weather(link, &(struct sim_weather){.latency_ms = 30}), DTLS_OK);
	send_number(link, 2);
	ck_assert_int_eq(sim_link_set_weather(link, NULL), DTLS_OK);
	send_number(link, 3);
	assert_number_at(sim, link, 0, 3);
	assert_number_at(sim, link, 30, 2);
	assert_number_at(sim, link, 100, 1);
	sim_free(sim);
}
END_TEST

START_TEST(a_new_rate_waits_for_what_is_being_sent)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.bytes_per_second = 1600});

	send_number(link, 1); /* 2.5 ms */
	ck_assert_int_eq(sim_link_set_weather(link, &(struct sim_weather){.bytes_per_second = 400}), DTLS_OK);
	send_number(link, 2);
	assert_number_at(sim, link, 3, 1);
	assert_number_at(sim, link, 13, 2);
	sim_free(sim);
}
END_TEST

static const struct sim_weather impossible[] = {
    {.latency_ms = -1},
    {.jitter_ms = -1},
    {.bytes_per_second = -1},
    {.loss = 1.01},
    {.loss = -0.01},
    {.loss = NAN},
    {.duplicate = 2},
    {.reorder = -1},
    {.corrupt = INFINITY},
    {.burst_loss = 1.5},
    {.burst_enter = -1},
    {.burst_leave = NAN},
};

START_TEST(impossible_weather_is_refused_and_changes_nothing)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 40});
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = 1};

	for (size_t i = 0; i < sizeof(impossible) / sizeof(*impossible); i++) {
		ck_assert_ptr_null(sim_link_new(sim, &impossible[i]));
		ck_assert_ptr_null(sim_host_new(sim, (struct sockaddr *)&addr, sizeof(addr), &impossible[i]));
		ck_assert_int_eq(sim_link_set_weather(link, &impossible[i]), DTLS_FAIL);
	}
	ck_assert_ptr_nonnull(sim_host_new(sim, (struct sockaddr *)&addr, sizeof(addr), NULL));
	send_number(link, 1);
	assert_number_at(sim, link, 40, 1);
	sim_free(sim);
}
END_TEST

Suite *weather_suite(void)
{
	Suite *suite = suite_create("weather");

	TEST(suite, latency_is_exact);
	TEST(suite, times_beyond_the_clock_do_not_overflow);
	TEST(suite, jitter_is_even_and_in_its_range);
	TEST(suite, jitter_may_reorder);
	TEST(suite, loss_rate_each_on_its_own);
	TEST(suite, loss_of_one_loses_all_and_of_zero_none);
	TEST(suite, duplicate_rate);
	TEST(suite, a_duplicate_draws_its_own_jitter);
	TEST(suite, corrupt_changes_one_byte);
	TEST(suite, reorder_rate);
	TEST(suite, burst_length_is_that_of_gilbert_elliott);
	TEST(suite, bad_state_loses_at_its_own_rate);
	TEST(suite, mtu_is_the_largest_that_passes);
	TEST(suite, bytes_per_second_queue_exactly);
	TEST(suite, fractions_of_a_millisecond_add_up);
	TEST(suite, lost_datagrams_occupy_the_link_and_too_big_ones_do_not);
	TEST(suite, new_weather_holds_from_the_next_datagram_on);
	TEST(suite, a_new_rate_waits_for_what_is_being_sent);
	TEST(suite, impossible_weather_is_refused_and_changes_nothing);
	return suite;
}
