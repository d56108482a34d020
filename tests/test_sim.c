#include "dtls/dtls.h"
#include "dtls/sim.h"
#include "links.h"
#include "suites.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- links and the clock */

START_TEST(a_perfect_link_delivers_at_once_and_in_order)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = sim_link_new(sim, NULL);

	ck_assert_int_eq(sim_now_ms(sim), 0);
	ck_assert_int_eq(sim_next_ms(sim), INT64_MAX);
	assert_nothing(link);
	for (unsigned i = 0; i < 100; i++)
		send_number(link, i);
	ck_assert_int_eq(sim_next_ms(sim), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_number(link, i);
	assert_nothing(link);
	ck_assert_int_eq(sim_next_ms(sim), INT64_MAX);
	sim_free(sim);
}
END_TEST

START_TEST(the_clock_never_goes_back)
{
	struct sim *sim = sim_new(1);

	sim_advance_to(sim, 100);
	sim_advance_to(sim, 99);
	ck_assert_int_eq(sim_now_ms(sim), 100);
	sim_advance_to(sim, -5);
	ck_assert_int_eq(sim_now_ms(sim), 100);
	sim_advance_to(sim, INT64_MAX);
	ck_assert_int_eq(sim_now_ms(sim), INT64_MAX);
	sim_free(sim);
}
END_TEST

START_TEST(recv_cuts_what_is_longer_than_the_buffer)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = sim_link_new(sim, NULL);
	char buf[4] = "____";

	ck_assert_int_eq(sim_link_send(link, "abcdef", 6), 6);
	ck_assert_int_eq(sim_link_recv(link, buf, 3), 3);
	ck_assert_mem_eq(buf, "abc_", 4);
	assert_nothing(link);
	sim_free(sim);
}
END_TEST

START_TEST(an_empty_datagram_is_a_datagram)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.corrupt = 1});
	struct sim_link_stats stats;
	char byte = 'x';

	ck_assert_int_eq(sim_link_send(link, "", 0), 0);
	ck_assert_int_eq(sim_link_recv(link, &byte, 1), 0);
	ck_assert_int_eq(byte, 'x');
	assert_nothing(link);
	sim_link_stats(link, &stats);
	ck_assert_uint_eq(stats.corrupted, 0);
	sim_free(sim);
}
END_TEST

START_TEST(next_ms_is_the_earliest_over_all_links)
{
	struct sim *sim = sim_new(1);
	struct sim_link *slow = new_link(sim, (struct sim_weather){.latency_ms = 70});
	struct sim_link *fast = new_link(sim, (struct sim_weather){.latency_ms = 20});

	send_number(slow, 1);
	ck_assert_int_eq(sim_next_ms(sim), 70);
	send_number(fast, 2);
	sim_advance_to(sim, 10);
	send_number(fast, 3);
	ck_assert_int_eq(sim_next_ms(sim), 20);
	sim_advance_to(sim, 100);
	ck_assert_int_eq(sim_next_ms(sim), 20); /* it waits to be received */
	assert_number(fast, 2);
	ck_assert_int_eq(sim_next_ms(sim), 30);
	assert_number(fast, 3);
	ck_assert_int_eq(sim_next_ms(sim), 70);
	assert_number(slow, 1);
	ck_assert_int_eq(sim_next_ms(sim), INT64_MAX);
	sim_free(sim);
}
END_TEST

START_TEST(what_is_under_way_is_freed)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.reorder = 0.5, .duplicate = 0.5});

	for (unsigned i = 0; i < 50; i++)
		send_number(link, i);
	sim_free(sim);
	sim_free(NULL);
}
END_TEST

START_TEST(a_datagram_that_no_memory_holds_is_lost)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = sim_link_new(sim, NULL);
	char byte = 'x';

	ck_assert_int_eq(sim_link_send(link, &byte, SIZE_MAX), DTLS_FAIL);
	assert_nothing(link);
	assert_stats(link, 1, 0, 1);
	send_number(link, 2);
	assert_number(link, 2);
	sim_free(sim);
}
END_TEST

/* ---- reproducible runs */

static const struct sim_weather storm = {
    .latency_ms = 20,
    .jitter_ms = 15,
    .loss = 0.1,
    .duplicate = 0.1,
    .reorder = 0.1,
    .corrupt = 0.1,
    .burst_loss = 0.8,
    .burst_enter = 0.02,
    .burst_leave = 0.3,
    .mtu = 250,
    .bytes_per_second = 100000,
};

struct transcript {
	char *text;
	size_t len;
};

/* What arrives on a link and when, as bytes. With a busy neighbour, another link carries datagrams in between. */
static struct transcript run_storm(uint64_t seed, bool busy_neighbour, struct sim_link_stats *stats)
{
	struct transcript transcript = {0};
	FILE *out = open_memstream(&transcript.text, &transcript.len);
	struct sim *sim = sim_new(seed);
	struct sim_link *link = new_link(sim, storm), *other = new_link(sim, storm);
	unsigned char buf[300];
	ssize_t n;

	for (unsigned i = 0; i < 2000; i++) {
		memset(buf, (int)(i & 0xff), sizeof(buf));
		ck_assert_int_gt(sim_link_send(link, buf, 1 + i % 260), 0);
		for (unsigned k = 0; busy_neighbour && k < i % 3; k++)
			send_number(other, k);
		sim_advance_to(sim, i);
		while ((n = sim_link_recv(link, buf, sizeof(buf))) >= 0) {
			fprintf(out, "%lld %zd ", (long long)sim_now_ms(sim), n);
			fwrite(buf, 1, (size_t)n, out);
		}
	}
	sim_link_stats(link, stats);
	sim_free(sim);
	fclose(out);
	return transcript;
}

static bool same(const struct transcript *a, const struct transcript *b)
{
	return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

START_TEST(one_seed_is_one_run)
{
	struct sim_link_stats stats[4];
	struct transcript first = run_storm(11, false, &stats[0]), again = run_storm(11, false, &stats[1]);
	struct transcript other = run_storm(12, false, &stats[2]), zero = run_storm(0, false, &stats[3]);

	ck_assert_uint_gt(first.len, 100000);
	ck_assert(same(&first, &again));
	ck_assert_mem_eq(&stats[0], &stats[1], sizeof(stats[0]));
	ck_assert(!same(&first, &other));
	ck_assert(!same(&first, &zero));
	free(first.text);
	free(again.text);
	free(other.text);
	free(zero.text);
}
END_TEST

START_TEST(links_do_not_disturb_each_other)
{
	struct sim_link_stats stats[2];
	struct transcript alone = run_storm(11, false, &stats[0]), beside = run_storm(11, true, &stats[1]);

	ck_assert(same(&alone, &beside));
	ck_assert_mem_eq(&stats[0], &stats[1], sizeof(stats[0]));
	free(alone.text);
	free(beside.text);
}
END_TEST

START_TEST(links_of_one_simulation_differ)
{
	static unsigned here[MANY], there[MANY];
	struct sim *sim = sim_new(1);
	unsigned both = 0;

	send_many(new_link(sim, (struct sim_weather){.loss = 0.5}), here);
	send_many(new_link(sim, (struct sim_weather){.loss = 0.5}), there);
	for (unsigned i = 0; i < MANY; i++)
		both += here[i] == 0 && there[i] == 0;
	assert_rate(both, MANY, 0.25);
	sim_free(sim);
}
END_TEST

START_TEST(each_item_of_the_weather_draws_for_itself)
{
	static unsigned plain[MANY], stormy[MANY];
	struct sim *sim = sim_new(1), *twin = sim_new(1);
	struct sim_link *link = new_link(twin, (struct sim_weather){.loss = 0.3, .duplicate = 0.5, .reorder = 0.5});

	send_many(new_link(sim, (struct sim_weather){.loss = 0.3}), plain);
	for (unsigned i = 0; i < MANY; i++)
		send_number(link, i);
	sim_advance_to(twin, 10);
	count_arrivals(link, stormy);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert_int_eq(plain[i] == 0, stormy[i] == 0);
	sim_free(sim);
	sim_free(twin);
}
END_TEST

START_TEST(stats_add_up_and_agree_with_what_arrives)
{
	struct sim *sim = sim_new(21);
	struct sim_link *link = new_link(sim, storm);
	struct sim_link_stats stats;
	uint64_t arrived = 0, bytes = 0;
	char buf[300] = {0};
	ssize_t n;

	for (unsigned i = 0; i < MANY; i++) {
		ck_assert_int_gt(sim_link_send(link, buf, 1 + i % 260), 0);
		sim_advance_to(sim, i);
	}
	sim_advance_to(sim, INT64_MAX);
	for (; (n = sim_link_recv(link, buf, sizeof(buf))) >= 0; arrived++)
		bytes += (uint64_t)n;
	sim_link_stats(link, &stats);
	ck_assert_uint_eq(stats.sent, MANY);
	ck_assert_uint_eq(stats.delivered, arrived);
	ck_assert_uint_eq(stats.bytes_delivered, bytes);
	ck_assert_uint_eq(stats.sent, stats.delivered - stats.duplicated + stats.lost + stats.too_big);
	ck_assert(stats.duplicated > 0 && stats.reordered > 0 && stats.corrupted > 0);
	sim_free(sim);
}
END_TEST

/* Quadratic work would exceed the time of a test. */
START_TEST(a_link_holds_100000_datagrams)
{
	enum { QUEUED = 100000 };
	struct sim *sim = sim_new(1);
	struct sim_link *link = sim_link_new(sim, NULL);
	struct sim_weather weather = {0};

	for (unsigned i = 0; i < QUEUED; i++) { /* each overtakes all before it */
		weather.latency_ms = QUEUED - i;
		ck_assert_int_eq(sim_link_set_weather(link, &weather), DTLS_OK);
		send_number(link, i);
	}
	for (unsigned i = QUEUED; i-- > 0;)
		assert_number_at(sim, link, QUEUED - i, i);
	sim_free(sim);
}
END_TEST

Suite *sim_suite(void)
{
	Suite *suite = suite_create("sim");

	TEST(suite, a_perfect_link_delivers_at_once_and_in_order);
	TEST(suite, the_clock_never_goes_back);
	TEST(suite, recv_cuts_what_is_longer_than_the_buffer);
	TEST(suite, an_empty_datagram_is_a_datagram);
	TEST(suite, next_ms_is_the_earliest_over_all_links);
	TEST(suite, what_is_under_way_is_freed);
	TEST(suite, a_datagram_that_no_memory_holds_is_lost);
	TEST(suite, one_seed_is_one_run);
	TEST(suite, links_do_not_disturb_each_other);
	TEST(suite, links_of_one_simulation_differ);
	TEST(suite, each_item_of_the_weather_draws_for_itself);
	TEST(suite, stats_add_up_and_agree_with_what_arrives);
	TEST(suite, a_link_holds_100000_datagrams);
	return suite;
}
