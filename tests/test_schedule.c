#include "dtls/schedule.h"
#include "seeded.h"
#include "suites.h"

#include <stdlib.h>

enum { PEERS = 300, OPERATIONS = 10000 };

static struct due peers[PEERS];
static int64_t model[PEERS]; /* INT64_MAX: not in the schedule */
static struct schedule schedule;

static void set(unsigned i, int64_t at)
{
	ck_assert(schedule_reserve(&schedule));
	schedule_set(&schedule, &peers[i], at);
	model[i] = at;
}

static bool is_as_model(void)
{
	const struct due *first = schedule_first(&schedule);
	int64_t earliest = INT64_MAX;
	size_t count = 0;

	for (unsigned i = 0; i < PEERS; i++) {
		if (model[i] < earliest)
			earliest = model[i];
		if ((peers[i].heap_index != 0) != (model[i] != INT64_MAX))
			return false;
		if (model[i] == INT64_MAX)
			continue;
		count++;
		if (schedule.heap[peers[i].heap_index - 1] != &peers[i])
			return false;
	}
	if (schedule.count != count)
		return false;
	return first == NULL ? earliest == INT64_MAX : first->at == earliest && model[first - peers] == earliest;
}

static void begin(void)
{
	schedule = (struct schedule){0};
	for (unsigned i = 0; i < PEERS; i++) {
		peers[i] = (struct due){0};
		model[i] = INT64_MAX;
	}
}

START_TEST(schedule_starts_empty)
{
	begin();
	ck_assert_ptr_null(schedule_first(&schedule));
	schedule_set(&schedule, &peers[0], INT64_MAX); /* taking out what is not in */
	ck_assert_ptr_null(schedule_first(&schedule));
	schedule_free(&schedule);
}
END_TEST

START_TEST(schedule_gives_them_in_order)
{
	begin();
	for (unsigned i = 0; i < PEERS; i++)
		set(i, (int64_t)i * 7919 % PEERS);
	for (int64_t at = 0; at < PEERS; at++) {
		struct due *first = schedule_first(&schedule);

		ck_assert_int_eq(first->at, at);
		schedule_set(&schedule, first, INT64_MAX);
		ck_assert_uint_eq(first->heap_index, 0);
	}
	ck_assert_ptr_null(schedule_first(&schedule));
	schedule_free(&schedule);
}
END_TEST

START_TEST(schedule_like_a_naive_model)
{
	uint64_t seed = 5;

	begin();
	for (unsigned n = 0; n < OPERATIONS; n++) {
		unsigned i = (unsigned)seeded_below(&seed, PEERS);
		/* From crowded to nearly empty and back; few different times, so that many are equal. */
		bool out = seeded_below(&seed, 10) < (n / 1000 % 2 == 0 ? 2 : 8);

		set(i, out ? INT64_MAX : (int64_t)seeded_below(&seed, n % 3 == 0 ? 20 : 1000000));
		ck_assert_msg(is_as_model(), "operation %u", n);
	}
	schedule_free(&schedule);
}
END_TEST

START_TEST(schedule_runs_like_a_clock)
{
	uint64_t seed = 6;
	int64_t now = 0;

	begin();
	for (unsigned i = 0; i < PEERS; i++)
		set(i, (int64_t)seeded_below(&seed, 1000));
	for (unsigned n = 0; n < OPERATIONS; n++) {
		struct due *first = schedule_first(&schedule);

		ck_assert_int_ge(first->at, now);
		now = first->at;
		set((unsigned)(first - peers), now + 1 + (int64_t)seeded_below(&seed, 1000));
	}
	ck_assert(is_as_model());
	schedule_free(&schedule);
}
END_TEST

Suite *schedule_suite(void)
{
	Suite *suite = suite_create("schedule");

	TEST(suite, schedule_starts_empty);
	TEST(suite, schedule_gives_them_in_order);
	TEST(suite, schedule_like_a_naive_model);
	TEST(suite, schedule_runs_like_a_clock);
	return suite;
}
