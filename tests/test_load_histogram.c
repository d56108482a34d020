#include "examples/load_histogram.h"
#include "suites.h"

#include <string.h>

static struct load_histogram h, other;

static void empty(void)
{
	memset(&h, 0, sizeof(h));
	memset(&other, 0, sizeof(other));
}

START_TEST(histogram_of_nothing)
{
	empty();
	ck_assert_uint_eq(load_histogram_count(&h), 0);
	ck_assert_uint_eq(load_histogram_quantile(&h, 500), 0);
	ck_assert_uint_eq(load_histogram_quantile(&h, 1000), 0);
}
END_TEST

START_TEST(histogram_is_exact_for_small_numbers)
{
	empty();
	for (uint64_t ns = 1; ns <= 100; ns++)
		load_histogram_add(&h, ns);
	ck_assert_uint_eq(load_histogram_count(&h), 100);
	ck_assert_uint_eq(load_histogram_quantile(&h, 500), 50);
	ck_assert_uint_eq(load_histogram_quantile(&h, 501), 51);
	ck_assert_uint_eq(load_histogram_quantile(&h, 900), 90);
	ck_assert_uint_eq(load_histogram_quantile(&h, 1000), 100);
}
END_TEST

START_TEST(histogram_is_never_below_and_at_most_two_percent_above)
{
	for (uint64_t ns = 1; ns < UINT64_C(1) << 39; ns += 1 + ns / 7) {
		uint64_t told;

		empty();
		load_histogram_add(&h, ns);
		load_histogram_add(&h, UINT64_C(1) << 39);
		told = load_histogram_quantile(&h, 500);
		ck_assert_uint_ge(told, ns);
		ck_assert_uint_le(told, ns + ns / 50);
	}
}
END_TEST

START_TEST(histogram_tells_the_most_exactly)
{
	empty();
	load_histogram_add(&h, 123456789);
	load_histogram_add(&h, 987654321);
	load_histogram_add(&h, 5);
	ck_assert_uint_eq(load_histogram_quantile(&h, 1000), 987654321);
	ck_assert_uint_eq(load_histogram_quantile(&h, 999), 987654321); /* no bucket's end is beyond the most */
}
END_TEST

START_TEST(histogram_has_room_for_hours)
{
	empty();
	load_histogram_add(&h, 1);
	load_histogram_add(&h, UINT64_MAX);
	ck_assert_uint_eq(load_histogram_quantile(&h, 500), 1);
	ck_assert_uint_eq(load_histogram_quantile(&h, 990), UINT64_MAX);
}
END_TEST

START_TEST(histogram_of_several)
{
	empty();
	load_histogram_add(&h, 10);
	load_histogram_add(&other, 30);
	load_histogram_add(&other, 20);
	load_histogram_merge(&h, &other);
	ck_assert_uint_eq(load_histogram_count(&h), 3);
	ck_assert_uint_eq(load_histogram_quantile(&h, 500), 20);
	ck_assert_uint_eq(load_histogram_quantile(&h, 1000), 30);
}
END_TEST

START_TEST(histogram_of_what_has_come_since)
{
	empty();
	load_histogram_add(&h, 5000000);
	other = h;
	load_histogram_add(&h, 10);
	load_histogram_add(&h, 20);
	load_histogram_subtract(&h, &other);
	ck_assert_uint_eq(load_histogram_count(&h), 2);
	ck_assert_uint_eq(load_histogram_quantile(&h, 500), 10);
	ck_assert_uint_eq(load_histogram_quantile(&h, 1000), 20);
	load_histogram_subtract(&h, &h);
	ck_assert_uint_eq(load_histogram_quantile(&h, 1000), 0);
}
END_TEST

Suite *load_histogram_suite(void)
{
	Suite *suite = suite_create("load_histogram");

	TEST(suite, histogram_of_nothing);
	TEST(suite, histogram_is_exact_for_small_numbers);
	TEST(suite, histogram_is_never_below_and_at_most_two_percent_above);
	TEST(suite, histogram_tells_the_most_exactly);
	TEST(suite, histogram_has_room_for_hours);
	TEST(suite, histogram_of_several);
	TEST(suite, histogram_of_what_has_come_since);
	return suite;
}
