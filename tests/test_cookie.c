#include "dtls/cookie.h"
#include "faulty_rng.h"
#include "hellos.h"
#include "suites.h"

#include <string.h>

enum { HOUR_MS = 3600000 };

static struct rng rng;
static struct cookie_jar jar;
static const struct bytes id = {(const uint8_t *)"192.0.2.7:5684", 14};

static const struct hello_parts sample = {.version = {0xfe, 0xfd},
    .random = {1, 2, 3, 4, 5},
    .session_id = {(const uint8_t *)"abcd", 4},
    .suites = {(const uint8_t *)"\xc0\xa8\xc0\xa4\x00\xff", 6},
    .compression = {(const uint8_t *)"\1\0", 2}};

static void begin(void)
{
	ck_assert_int_eq(rng_init(&rng), 0);
	cookie_jar_init(&jar, &rng);
}

static void end(void)
{
	cookie_jar_free(&jar);
	rng_free(&rng);
}

static void make(int64_t now_ms, const struct hello_parts *parts, uint8_t cookie[COOKIE_LEN])
{
	struct raw_hello d;
	struct hello h;

	hello_build(parts, &d);
	ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
	ck_assert(cookie_make(&jar, now_ms, id, &h, cookie));
}

static int64_t rtt_ms; /* as the last check measured it */

static bool check(int64_t now_ms, struct bytes who, const struct hello_parts *parts, const void *cookie, size_t len)
{
	struct hello_parts with = *parts;
	struct raw_hello d;
	struct hello h;
	bool ok;

	with.cookie = (struct bytes){cookie, len};
	hello_build(&with, &d);
	ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
	ok = cookie_check(&jar, now_ms, who, &h);
	rtt_ms = h.rtt_ms;
	return ok;
}

static bool accepted(int64_t now_ms, const uint8_t cookie[COOKIE_LEN])
{
	return check(now_ms, id, &sample, cookie, COOKIE_LEN);
}

START_TEST(cookie_is_accepted)
{
	uint8_t cookie[COOKIE_LEN], again[COOKIE_LEN];

	begin();
	make(1000, &sample, cookie);
	ck_assert(accepted(1000, cookie));
	ck_assert(accepted(1001, cookie));
	make(2000, &sample, again);
	ck_assert(accepted(2000, again));
	ck_assert(accepted(2000, cookie));
	end();
}
END_TEST

START_TEST(cookie_before_any_was_made)
{
	static const uint8_t zeros[COOKIE_LEN];

	begin();
	ck_assert(!accepted(0, zeros));
	ck_assert(!accepted(COOKIE_ROTATION_MS, zeros));
	end();
}
END_TEST

START_TEST(cookie_of_another_jar)
{
	uint8_t cookie[COOKIE_LEN], other[COOKIE_LEN];

	begin();
	make(0, &sample, cookie);
	end();
	begin();
	make(0, &sample, other);
	ck_assert_mem_ne(cookie, other, COOKIE_LEN);
	ck_assert(!accepted(0, cookie));
	end();
}
END_TEST

START_TEST(cookie_after_one_rotation_and_after_two)
{
	uint8_t old[COOKIE_LEN], newer[COOKIE_LEN];

	begin();
	make(0, &sample, old);
	make(COOKIE_ROTATION_MS, &sample, newer);
	ck_assert_mem_ne(old, newer, COOKIE_LEN);
	ck_assert(accepted(COOKIE_ROTATION_MS, old));
	ck_assert(accepted(COOKIE_ROTATION_MS, newer));
	ck_assert(!accepted(2 * COOKIE_ROTATION_MS, old));
	ck_assert(accepted(2 * COOKIE_ROTATION_MS, newer));
	ck_assert(!accepted(3 * COOKIE_ROTATION_MS, newer));
	end();
}
END_TEST

/* Made with a fresh secret, looked at once, at this age. */
static bool accepted_at(int64_t made_ms, int64_t now_ms)
{
	uint8_t cookie[COOKIE_LEN];
	bool ok;

	begin();
	make(0, &sample, cookie);
	make(made_ms, &sample, cookie);
	ok = accepted(now_ms, cookie);
	end();
	return ok;
}

START_TEST(cookie_exact_lifetime)
{
	ck_assert(accepted_at(0, 0));
	ck_assert(accepted_at(0, 59999));
	ck_assert(accepted_at(0, 60000));
	ck_assert(accepted_at(0, 119999));
	ck_assert(!accepted_at(0, 120000));
	ck_assert(!accepted_at(0, 120001));
	/* The shortest: */
	ck_assert(accepted_at(59999, 119999));
	ck_assert(!accepted_at(59999, 120000));
}
END_TEST

/* The other end of the range: made just before its secret is followed by another. */
/* Secrets change when somebody asks; a late first question must not lengthen what the old ones live. */
START_TEST(cookie_late_rotation_does_not_lengthen_its_life)
{
	uint8_t old[COOKIE_LEN], late[COOKIE_LEN];

	begin();
	make(0, &sample, old);
	make(119999, &sample, late);
	ck_assert(accepted(119999, old));
	ck_assert(!accepted(120000, old));
	ck_assert(accepted(120000, late));
	ck_assert(accepted(179999, late));
	ck_assert(!accepted(180000, late));
	end();
}
END_TEST

START_TEST(cookie_busy_gate_keeps_the_same_times)
{
	uint8_t first[COOKIE_LEN], any[COOKIE_LEN], last[COOKIE_LEN], next[COOKIE_LEN];

	begin();
	make(0, &sample, first);
	for (int64_t now = 0; now < 120000; now += 500) {
		make(now, &sample, any);
		ck_assert(accepted(now, first));
		ck_assert(accepted(now, any));
		if (now < 60000)
			memcpy(last, any, COOKIE_LEN);
		else if (now == 60000)
			memcpy(next, any, COOKIE_LEN);
	}
	ck_assert(!accepted(120000, first));
	ck_assert(!accepted(120000, last));
	ck_assert(accepted(120000, next));
	end();
}
END_TEST

START_TEST(cookie_clock_jumps_hours_ahead)
{
	uint8_t cookie[COOKIE_LEN], fresh[COOKIE_LEN];

	begin();
	make(0, &sample, cookie);
	ck_assert(!accepted(5 * (int64_t)HOUR_MS, cookie));
	make(5 * (int64_t)HOUR_MS, &sample, fresh);
	ck_assert(accepted(5 * (int64_t)HOUR_MS + 119999, fresh));
	ck_assert(!accepted(5 * (int64_t)HOUR_MS + 120000, fresh));
	ck_assert(!accepted(INT64_MAX, fresh));
	end();
}
END_TEST

START_TEST(cookie_clock_stands_still)
{
	uint8_t first[COOKIE_LEN], cookie[COOKIE_LEN];

	begin();
	make(7, &sample, first);
	for (unsigned i = 0; i < 1000; i++) {
		make(7, &sample, cookie);
		ck_assert_mem_eq(first, cookie, COOKIE_LEN);
		ck_assert(accepted(7, cookie));
	}
	end();
}
END_TEST

START_TEST(cookie_each_flipped_bit)
{
	uint8_t cookie[COOKIE_LEN];

	begin();
	make(0, &sample, cookie);
	make(COOKIE_ROTATION_MS, &sample, (uint8_t[COOKIE_LEN]){0});
	for (unsigned bit = 0; bit < 8 * COOKIE_LEN; bit++) {
		cookie[bit / 8] ^= (uint8_t)(1U << bit % 8);
		ck_assert(!accepted(COOKIE_ROTATION_MS, cookie));
		cookie[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	ck_assert(accepted(COOKIE_ROTATION_MS, cookie));
	end();
}
END_TEST

START_TEST(cookie_of_other_lengths)
{
	uint8_t cookie[255] = {0};

	begin();
	make(0, &sample, cookie);
	for (size_t len = 0; len <= sizeof(cookie); len++)
		ck_assert_int_eq(check(0, id, &sample, cookie, len), len == COOKIE_LEN);
	end();
}
END_TEST

START_TEST(cookie_of_another_client)
{
	uint8_t cookie[COOKIE_LEN];
	char other[64];

	begin();
	make(0, &sample, cookie);
	for (size_t i = 0; i < id.len; i++) {
		memcpy(other, id.at, id.len);
		other[i] ^= 1;
		ck_assert(!check(0, (struct bytes){(uint8_t *)other, id.len}, &sample, cookie, COOKIE_LEN));
	}
	ck_assert(!check(0, (struct bytes){id.at, id.len - 1}, &sample, cookie, COOKIE_LEN));
	memset(other, 0, sizeof(other));
	memcpy(other, id.at, id.len);
	ck_assert(!check(0, (struct bytes){(uint8_t *)other, id.len + 1}, &sample, cookie, COOKIE_LEN));
	ck_assert(check(0, (struct bytes){(uint8_t *)other, id.len}, &sample, cookie, COOKIE_LEN));
	end();
}
END_TEST

START_TEST(cookie_of_another_hello)
{
	struct hello_parts others[7];
	uint8_t cookie[COOKIE_LEN];

	for (size_t i = 0; i < 7; i++)
		others[i] = sample;
	others[0].version[1] = 0xff;
	others[1].random[0] ^= 1;
	others[2].random[31] ^= 0x80;
	others[3].suites.at = (const uint8_t *)"\xc0\xa4\xc0\xa8\x00\xff";
	others[4].suites.len = 4;
	others[5].compression.at = (const uint8_t *)"\0\1";
	others[6].compression.len = 1;
	begin();
	make(0, &sample, cookie);
	for (size_t i = 0; i < 7; i++)
		ck_assert_msg(!check(0, id, &others[i], cookie, COOKIE_LEN), "change %zu", i);
	end();
}
END_TEST

/* As a client of mbed TLS 2.28 that resumes by a ticket draws it. */
START_TEST(cookie_with_another_session_id)
{
	struct hello_parts other = sample;
	uint8_t cookie[COOKIE_LEN];

	other.session_id = (struct bytes){(const uint8_t *)"abce", 4};
	begin();
	make(0, &sample, cookie);
	ck_assert(check(0, id, &other, cookie, COOKIE_LEN));
	other.session_id.len = 0;
	ck_assert(check(0, id, &other, cookie, COOKIE_LEN));
	end();
}
END_TEST

/* A byte that moves from one field into the next makes other bytes of the MAC's input, not the same ones. */
START_TEST(cookie_fields_do_not_run_together)
{
	struct hello_parts a = sample, b = sample;
	uint8_t cookie[COOKIE_LEN];

	a.suites = (struct bytes){(const uint8_t *)"\0\2\0\2", 4};
	a.compression = (struct bytes){(const uint8_t *)"\1\0\0", 3};
	b.suites = (struct bytes){(const uint8_t *)"\0\2\0\2\1\0", 6};
	b.compression = (struct bytes){(const uint8_t *)"\0", 1};
	begin();
	make(0, &a, cookie);
	ck_assert(check(0, id, &a, cookie, COOKIE_LEN));
	ck_assert(!check(0, id, &b, cookie, COOKIE_LEN));
	end();
}
END_TEST

/* The same bytes in the same order, with the borders between the fields elsewhere. */
START_TEST(cookie_borders_between_fields_are_covered)
{
	struct hello_parts a = sample, b = sample;
	uint8_t cookie[COOKIE_LEN];

	begin();
	make(0, &a, cookie);
	b.session_id = (struct bytes){(const uint8_t *)"bcd", 3};
	ck_assert(!check(0, (struct bytes){(const uint8_t *)"192.0.2.7:5684a", 15}, &b, cookie, COOKIE_LEN));
	b.session_id = (struct bytes){(const uint8_t *)"ab", 2};
	b.suites = (struct bytes){(const uint8_t *)"cd\xc0\xa8\xc0\xa4\x00\xff", 8};
	ck_assert(!check(0, id, &b, cookie, COOKIE_LEN));
	b.session_id = (struct bytes){(const uint8_t *)"cd\xc0\xa8", 4};
	b.suites = (struct bytes){(const uint8_t *)"\xc0\xa4\x00\xff", 4};
	ck_assert(!check(0, (struct bytes){(const uint8_t *)"192.0.2.7:5684ab", 16}, &b, cookie, COOKIE_LEN));
	b = sample;
	b.suites.len = 4;
	b.compression = (struct bytes){(const uint8_t *)"\x00\xff\1\0", 4};
	ck_assert(!check(0, id, &b, cookie, COOKIE_LEN));
	/* What is filled up with zeros is something else than zeros. */
	a.compression = (struct bytes){(const uint8_t *)"\5", 1};
	make(0, &a, cookie);
	b = sample;
	b.suites = (struct bytes){(const uint8_t *)"\xc0\xa8\xc0\xa4\x00\xff\5\0", 8};
	b.compression = (struct bytes){(const uint8_t *)"\0", 1};
	ck_assert(!check(0, id, &b, cookie, COOKIE_LEN));
	ck_assert(check(0, id, &a, cookie, COOKIE_LEN));
	end();
}
END_TEST

START_TEST(cookie_long_suite_lists_are_covered)
{
	uint8_t suites[1024] = {0}, cookie[COOKIE_LEN];
	struct hello_parts parts = sample;

	begin();
	parts.suites = (struct bytes){suites, sizeof(suites)};
	make(0, &parts, cookie);
	for (size_t i = 0; i < sizeof(suites); i++) {
		suites[i] ^= 1;
		ck_assert(!check(0, id, &parts, cookie, COOKIE_LEN));
		suites[i] ^= 1;
	}
	ck_assert(check(0, id, &parts, cookie, COOKIE_LEN));
	for (parts.suites.len = 2; parts.suites.len < 600; parts.suites.len += 2) {
		make(0, &parts, cookie);
		ck_assert(check(0, id, &parts, cookie, COOKIE_LEN));
		suites[parts.suites.len - 1] ^= 1;
		ck_assert(!check(0, id, &parts, cookie, COOKIE_LEN));
	}
	end();
}
END_TEST

START_TEST(cookie_ignores_sequence_numbers_and_extensions)
{
	struct hello_parts parts = sample;
	uint8_t cookie[COOKIE_LEN];

	begin();
	make(0, &sample, cookie);
	parts.record_seq = 9;
	parts.message_seq = 1;
	parts.extensions = (struct bytes){(const uint8_t *)"\0\1\0", 3};
	ck_assert(check(0, id, &parts, cookie, COOKIE_LEN));
	end();
}
END_TEST

static int64_t measured(int64_t made_ms, uint64_t made_seq, int64_t now_ms, uint64_t seq)
{
	struct hello_parts parts = sample;
	uint8_t cookie[COOKIE_LEN];

	parts.record_seq = made_seq;
	make(made_ms, &parts, cookie);
	parts.record_seq = seq;
	ck_assert(check(now_ms, id, &parts, cookie, COOKIE_LEN));
	return rtt_ms;
}

/* Only the very next hello tells a round trip: any other was not sent at once when the cookie came. */
START_TEST(cookie_measures_the_round_trip)
{
	begin();
	ck_assert_int_eq(measured(1000, 0, 1234, 1), 234);
	ck_assert_int_eq(measured(1000, 0, 1000, 1), 0);
	ck_assert_int_eq(measured(1000, 0, 1234, 0), -1);
	ck_assert_int_eq(measured(1000, 0, 1234, 2), -1);
	ck_assert_int_eq(measured(1000, 255, 1234, 256), 234);
	ck_assert_int_eq(measured(1000, 0, 900, 1), -1); /* the clock went back */
	ck_assert_int_eq(measured(120999, 5, 121200, 6), 201);
	end();
}
END_TEST

START_TEST(cookie_measures_across_a_rotation)
{
	struct hello_parts parts = sample;
	uint8_t cookie[COOKIE_LEN];

	begin();
	make(0, &sample, cookie);
	make(59990, &sample, cookie);
	parts.record_seq = sample.record_seq + 1;
	ck_assert(check(60090, id, &parts, cookie, COOKIE_LEN));
	ck_assert_int_eq(rtt_ms, 100);
	ck_assert(check(119989, id, &parts, cookie, COOKIE_LEN));
	ck_assert_int_eq(rtt_ms, 59999);
	cookie[0] ^= 1;
	ck_assert(!check(60090, id, &parts, cookie, COOKIE_LEN));
	ck_assert_int_eq(rtt_ms, -1);
	end();
}
END_TEST

START_TEST(cookie_without_randomness)
{
	uint8_t cookie[COOKIE_LEN], later[COOKIE_LEN];
	struct raw_hello d;
	bool broken = false;
	struct hello h;

	begin();
	ck_assert_int_eq(rng_make_faulty(&rng, &broken), 0);
	broken = true;
	rng_needs_entropy(&rng);
	hello_build(&sample, &d);
	ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
	ck_assert(!cookie_make(&jar, 0, id, &h, cookie));
	broken = false;
	ck_assert(cookie_make(&jar, 0, id, &h, cookie));
	/* The present secret stays until there is another. */
	broken = true;
	rng_needs_entropy(&rng);
	ck_assert(cookie_make(&jar, HOUR_MS, id, &h, later));
	ck_assert(accepted(HOUR_MS, later));
	ck_assert(accepted(HOUR_MS, cookie));
	broken = false;
	ck_assert(!accepted(HOUR_MS, cookie));
	ck_assert(!accepted(HOUR_MS, later));
	end();
}
END_TEST

Suite *cookie_suite(void)
{
	Suite *suite = suite_create("cookie");

	TEST(suite, cookie_is_accepted);
	TEST(suite, cookie_before_any_was_made);
	TEST(suite, cookie_of_another_jar);
	TEST(suite, cookie_after_one_rotation_and_after_two);
	TEST(suite, cookie_exact_lifetime);
	TEST(suite, cookie_late_rotation_does_not_lengthen_its_life);
	TEST(suite, cookie_busy_gate_keeps_the_same_times);
	TEST(suite, cookie_clock_jumps_hours_ahead);
	TEST(suite, cookie_clock_stands_still);
	TEST(suite, cookie_each_flipped_bit);
	TEST(suite, cookie_of_other_lengths);
	TEST(suite, cookie_of_another_client);
	TEST(suite, cookie_of_another_hello);
	TEST(suite, cookie_with_another_session_id);
	TEST(suite, cookie_fields_do_not_run_together);
	TEST(suite, cookie_borders_between_fields_are_covered);
	TEST(suite, cookie_long_suite_lists_are_covered);
	TEST(suite, cookie_ignores_sequence_numbers_and_extensions);
	TEST(suite, cookie_measures_the_round_trip);
	TEST(suite, cookie_measures_across_a_rotation);
	TEST(suite, cookie_without_randomness);
	return suite;
}
