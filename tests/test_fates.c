#include "dtls/dtls.h"
#include "dtls/sim.h"
#include "links.h"
#include "suites.h"

#include <stdint.h>
#include <string.h>

START_TEST(mask_drops_by_number)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = sim_link_new(sim, NULL);

	sim_link_drop_mask(link, UINT64_C(1) << 63 | 0x5);
	for (unsigned i = 1; i <= 130; i++)
		send_number(link, i);
	for (unsigned i = 1; i <= 130; i++)
		if (i != 1 && i != 3 && i != 64)
			assert_number(link, i);
	assert_nothing(link);
	assert_stats(link, 130, 127, 3);
	sim_free(sim);
}
END_TEST

struct script {
	enum sim_fate fates[8]; /* by number, from 1 */
	unsigned asked[8], calls;
};

static enum sim_fate follow(void *arg, unsigned nth, const void *datagram, size_t len)
{
	struct script *script = arg;
	unsigned number;

	ck_assert_uint_eq(len, sizeof(number));
	memcpy(&number, datagram, len);
	ck_assert_uint_eq(number, nth);
	script->asked[script->calls++] = nth;
	return script->fates[nth];
}

static struct sim_link *scripted_link(struct sim *sim, struct sim_weather weather, struct script *script)
{
	struct sim_link *link = new_link(sim, weather);

	sim_link_decide(link, follow, script);
	return link;
}

START_TEST(decisions_are_asked_for_what_mask_and_weather_let_pass)
{
	struct script script = {.fates = {[4] = SIM_DROP, [5] = SIM_DUPLICATE}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.mtu = 4}, &script);

	sim_link_drop_mask(link, 1);
	send_number(link, 1);
	ck_assert_int_eq(sim_link_send(link, "large", 5), 5);
	sim_link_set_weather(link, &(struct sim_weather){.loss = 1});
	send_number(link, 3);
	sim_link_set_weather(link, NULL);
	for (unsigned i = 4; i <= 6; i++)
		send_number(link, i);
	ck_assert_uint_eq(script.calls, 3);
	ck_assert_uint_eq(script.asked[0], 4);
	ck_assert_uint_eq(script.asked[2], 6);
	assert_number(link, 5);
	assert_number(link, 5);
	assert_number(link, 6);
	assert_nothing(link);
	assert_stats(link, 6, 3, 3 - 1 + 1);
	sim_link_decide(link, NULL, NULL);
	send_number(link, 7);
	ck_assert_uint_eq(script.calls, 3);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagram_follows_the_next)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 50}, &script);

	send_number(link, 1);
	sim_advance_to(sim, 30);
	send_number(link, 2);
	send_number(link, 3);
	assert_number_at(sim, link, 80, 2);
	assert_number_at(sim, link, 80, 1);
	assert_number_at(sim, link, 80, 3);
	assert_nothing(link);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagram_waits_for_the_next_no_longer_than_latency)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT, [2] = SIM_HOLD_BEHIND_NEXT}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 50}, &script);

	send_number(link, 1);
	assert_number_at(sim, link, 101, 1); /* 50, and 50 + 1 more */
	send_number(link, 2);
	sim_advance_to(sim, 160);
	send_number(link, 3); /* would be too late for 2 to follow */
	assert_number_at(sim, link, 202, 2);
	assert_number_at(sim, link, 210, 3);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagrams_follow_in_turn)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT, [2] = SIM_HOLD_BEHIND_NEXT}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 5}, &script);

	for (unsigned i = 1; i <= 4; i++)
		send_number(link, i);
	sim_advance_to(sim, 5);
	assert_number(link, 3);
	assert_number(link, 2);
	assert_number(link, 1);
	assert_number(link, 4);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagram_is_released_by_a_lost_one)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT, [2] = SIM_DROP}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 50}, &script);

	send_number(link, 1);
	sim_advance_to(sim, 10);
	send_number(link, 2);
	assert_number_at(sim, link, 60, 1);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagram_is_released_by_a_lost_one_that_would_be_held)
{
	struct sim *sim = sim_new(1);
	struct sim_link *link = new_link(sim, (struct sim_weather){.latency_ms = 50, .reorder = 1});

	sim_link_drop_mask(link, 0x2);
	send_number(link, 1);
	sim_advance_to(sim, 10);
	send_number(link, 2);
	assert_number_at(sim, link, 60, 1);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagram_follows_even_at_its_last_moment)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 5}, &script);

	send_number(link, 1);
	sim_advance_to(sim, 6);
	send_number(link, 2);
	assert_number_at(sim, link, 11, 2);
	assert_number_at(sim, link, 11, 1);
	sim_free(sim);
}
END_TEST

START_TEST(held_datagram_never_arrives_early)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 50}, &script);

	send_number(link, 1);
	ck_assert_int_eq(sim_link_set_weather(link, &(struct sim_weather){.latency_ms = 10}), DTLS_OK);
	send_number(link, 2);
	assert_number_at(sim, link, 10, 2);
	assert_number_at(sim, link, 50, 1);
	sim_free(sim);
}
END_TEST

START_TEST(the_copy_of_a_held_datagram_is_not_held)
{
	struct script script = {.fates = {[1] = SIM_HOLD_BEHIND_NEXT}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 9, .duplicate = 1}, &script);

	send_number(link, 1);
	assert_number_at(sim, link, 9, 1);
	assert_number_at(sim, link, 19, 1);
	sim_free(sim);
}
END_TEST

struct told {
	int64_t now_ms;
	unsigned number;
	int delivered;
};

static struct told told[8];
static size_t told_count;

static void note(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	struct told *event = &told[told_count++];

	ck_assert_ptr_eq(arg, told);
	ck_assert_uint_eq(len, sizeof(event->number));
	memcpy(&event->number, datagram, len);
	event->now_ms = now_ms;
	event->delivered = delivered;
}

START_TEST(taps_are_told_when_it_is_sent_and_what_was_sent)
{
	struct script script = {.fates = {[2] = SIM_DROP, [3] = SIM_DUPLICATE}};
	struct sim *sim = sim_new(1);
	struct sim_link *link = scripted_link(sim, (struct sim_weather){.latency_ms = 10, .corrupt = 1}, &script);
	unsigned number;

	sim_link_tap(link, note, told);
	for (unsigned i = 1; i <= 3; i++) {
		sim_advance_to(sim, 100 * i);
		send_number(link, i);
		ck_assert_uint_eq(told_count, i);
		ck_assert_uint_eq(told[i - 1].number, i);
		ck_assert_int_eq(told[i - 1].now_ms, 100 * i);
	}
	ck_assert_int_eq(told[0].delivered, 1);
	ck_assert_int_eq(told[1].delivered, 0);
	ck_assert_int_eq(told[2].delivered, 2);
	ck_assert_int_eq(sim_link_recv(link, &number, sizeof(number)), sizeof(number));
	ck_assert_uint_ne(number, 1); /* the corrupted copy */
	sim_link_tap(link, NULL, NULL);
	send_number(link, 4);
	ck_assert_uint_eq(told_count, 3);
	sim_free(sim);
}
END_TEST

static void echo(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	ck_assert_int_eq(now_ms, 0);
	ck_assert_int_eq(delivered, 1);
	ck_assert_int_eq(sim_link_send(arg, datagram, len), (ssize_t)len);
}

START_TEST(taps_may_send)
{
	struct sim *sim = sim_new(1);
	struct sim_link *there = sim_link_new(sim, NULL), *back = sim_link_new(sim, NULL);

	sim_link_tap(there, echo, back);
	for (unsigned i = 0; i < 10; i++)
		send_number(there, i);
	for (unsigned i = 0; i < 10; i++)
		assert_number(back, i);
	sim_free(sim);
}
END_TEST

Suite *fates_suite(void)
{
	Suite *suite = suite_create("fates");

	TEST(suite, mask_drops_by_number);
	TEST(suite, decisions_are_asked_for_what_mask_and_weather_let_pass);
	TEST(suite, held_datagram_follows_the_next);
	TEST(suite, held_datagram_waits_for_the_next_no_longer_than_latency);
	TEST(suite, held_datagrams_follow_in_turn);
	TEST(suite, held_datagram_is_released_by_a_lost_one);
	TEST(suite, held_datagram_is_released_by_a_lost_one_that_would_be_held);
	TEST(suite, held_datagram_follows_even_at_its_last_moment);
	TEST(suite, held_datagram_never_arrives_early);
	TEST(suite, the_copy_of_a_held_datagram_is_not_held);
	TEST(suite, taps_are_told_when_it_is_sent_and_what_was_sent);
	TEST(suite, taps_may_send);
	return suite;
}
