#include "dtls/session_cache.h"
#include "seeded.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

static void id_of(uint32_t n, uint8_t id[SESSION_ID])
{
	uint32_t hash = n * 2654435761U;

	memset(id, 0, SESSION_ID);
	memcpy(id, &hash, sizeof(hash));
	memcpy(id + SESSION_ID - sizeof(n), &n, sizeof(n));
}

static void put(struct session_cache *c, int64_t at, uint32_t n)
{
	enum { LEN = sizeof(n) };
	uint8_t id[SESSION_ID], *bytes = malloc(LEN);

	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, &n, LEN);
	id_of(n, id);
	session_cache_put(c, at, id, bytes, LEN);
}

static bool has(const struct session_cache *c, uint32_t n)
{
	uint8_t id[SESSION_ID];
	struct bytes found;

	id_of(n, id);
	found = session_cache_get(c, id);
	ck_assert(found.len == 0 || (found.len == sizeof(n) && memcmp(found.at, &n, sizeof(n)) == 0));
	return found.len > 0;
}

START_TEST(session_cache_finds)
{
	struct session_cache *c = session_cache_new(3);

	ck_assert(!has(c, 1));
	put(c, 0, 1);
	put(c, 0, 2);
	put(c, 0, 3);
	ck_assert(has(c, 1) && has(c, 2) && has(c, 3) && !has(c, 4));
	session_cache_free(c);
	session_cache_free(NULL);
}
END_TEST

START_TEST(session_cache_oldest_makes_room)
{
	struct session_cache *c = session_cache_new(3);

	for (uint32_t n = 1; n <= 100; n++) {
		put(c, n, n);
		ck_assert(has(c, n));
		ck_assert(n < 2 || has(c, n - 1));
		ck_assert(n < 3 || has(c, n - 2));
		ck_assert(n < 4 || !has(c, n - 3));
		ck_assert_uint_eq(session_cache_count(c), n < 3 ? n : 3);
	}
	session_cache_free(c);
}
END_TEST

START_TEST(session_cache_expires)
{
	struct session_cache *c = session_cache_new(10);

	for (uint32_t n = 1; n <= 8; n++)
		put(c, n, n);
	session_cache_expire(c, 1);
	ck_assert_uint_eq(session_cache_count(c), 8);
	session_cache_expire(c, 5);
	ck_assert_uint_eq(session_cache_count(c), 4);
	ck_assert(!has(c, 4) && has(c, 5));
	for (uint32_t n = 9; n <= 14; n++)
		put(c, n, n);
	ck_assert_uint_eq(session_cache_count(c), 10);
	ck_assert(has(c, 5) && has(c, 14));
	session_cache_expire(c, INT64_MAX);
	ck_assert_uint_eq(session_cache_count(c), 0);
	ck_assert(!has(c, 14));
	put(c, 20, 20);
	ck_assert(has(c, 20));
	session_cache_free(c);
}
END_TEST

/* Ids whose beginnings are equal are told apart by the rest. */
START_TEST(session_cache_same_bucket)
{
	struct session_cache *c = session_cache_new(4);
	uint8_t id[SESSION_ID] = {7, 7, 7, 7};

	for (uint8_t n = 0; n < 6; n++) {
		uint8_t *bytes = malloc(1);

		ck_assert_ptr_nonnull(bytes);
		bytes[0] = id[SESSION_ID - 1] = n;
		session_cache_put(c, 0, id, bytes, 1);
	}
	for (uint8_t n = 0; n < 6; n++) {
		struct bytes found;

		id[SESSION_ID - 1] = n;
		found = session_cache_get(c, id);
		ck_assert_uint_eq(found.len, n >= 2);
		ck_assert(found.len == 0 || found.at[0] == n);
	}
	session_cache_free(c);
}
END_TEST

/* Against a list that knows nothing of rings and buckets. */
START_TEST(session_cache_like_a_list)
{
	enum { SIZE = 50, STEPS = 20000 };
	struct session_cache *c = session_cache_new(SIZE);
	uint32_t first = 1, next = 1;
	uint64_t seed = 5;

	for (int i = 0; i < STEPS; i++) {
		if (seeded_below(&seed, 40) == 0) {
			first += (uint32_t)seeded_below(&seed, next - first + 1);
			session_cache_expire(c, first);
		} else {
			put(c, next, next);
			next++;
		}
		if (next - first > SIZE)
			first = next - SIZE;
		ck_assert_uint_eq(session_cache_count(c), next - first);
		ck_assert(next == first || (has(c, first) && has(c, next - 1)));
		ck_assert(!has(c, first - 1) && !has(c, next));
	}
	session_cache_free(c);
}
END_TEST

Suite *session_cache_suite(void)
{
	Suite *s = suite_create("session_cache");

	TEST(s, session_cache_finds);
	TEST(s, session_cache_oldest_makes_room);
	TEST(s, session_cache_expires);
	TEST(s, session_cache_same_bucket);
	TEST(s, session_cache_like_a_list);
	return s;
}
