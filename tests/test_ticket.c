#include "dtls/ticket.h"
#include "faulty_rng.h"
#include "suites.h"

#include <string.h>

enum { PERIOD_MS = 1000, PLAIN = 80, SEALED = PLAIN + TICKET_OVERHEAD };

static struct rng rng;
static struct ticket_keys keys;
static uint8_t plain[PLAIN], opened[PLAIN];

static void begin(void)
{
	ck_assert_int_eq(rng_init(&rng), 0);
	ticket_keys_init(&keys);
	for (size_t i = 0; i < PLAIN; i++)
		plain[i] = (uint8_t)i;
}

static void end(void)
{
	ticket_keys_free(&keys);
	rng_free(&rng);
}

static void seal(int64_t now, uint8_t out[SEALED])
{
	ck_assert_int_eq(ticket_seal(&keys, &rng, now, PERIOD_MS, (struct bytes){plain, PLAIN}, out), 0);
}

static bool opens(int64_t now, const uint8_t *ticket, size_t len)
{
	return ticket_open(&keys, now, PERIOD_MS, (struct bytes){ticket, len}, opened);
}

START_TEST(ticket_opens)
{
	uint8_t one[SEALED], other[SEALED];

	begin();
	ck_assert(!opens(0, plain, PLAIN));
	seal(0, one);
	seal(0, other);
	ck_assert_mem_ne(one, other, SEALED);
	ck_assert_mem_ne(one + TICKET_NAME, other + TICKET_NAME, TICKET_NONCE);
	ck_assert(opens(0, one, SEALED));
	ck_assert_mem_eq(opened, plain, PLAIN);
	ck_assert(opens(0, other, SEALED));
	end();
}
END_TEST

START_TEST(ticket_each_flipped_bit_and_each_length)
{
	uint8_t ticket[SEALED];

	begin();
	seal(0, ticket);
	for (size_t bit = 0; bit < 8 * sizeof(ticket); bit++) {
		ticket[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ck_assert_msg(!opens(0, ticket, SEALED), "bit %zu", bit);
		ticket[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < SEALED; len++)
		ck_assert_msg(!opens(0, ticket, len), "%zu bytes", len);
	ck_assert(opens(0, ticket, SEALED));
	end();
}
END_TEST

START_TEST(ticket_of_other_keys)
{
	uint8_t ticket[SEALED], other[SEALED];

	begin();
	seal(0, ticket);
	ticket_keys_free(&keys);
	ticket_keys_init(&keys);
	ck_assert(!opens(0, ticket, SEALED));
	seal(0, other);
	ck_assert_int_eq(ticket[0], other[0]);
	ck_assert(!opens(0, ticket, SEALED));
	end();
}
END_TEST

/* A ticket opens for a period at least, for two at most, from the making of its key. */
START_TEST(ticket_lifetimes)
{
	uint8_t early[SEALED], late[SEALED], next[SEALED];

	begin();
	seal(0, early);
	seal(PERIOD_MS - 1, late);
	ck_assert_int_eq(early[0], late[0]);
	seal(PERIOD_MS, next);
	ck_assert_int_ne(early[0], next[0]);
	ck_assert(opens(2 * PERIOD_MS - 1, early, SEALED));
	ck_assert(opens(2 * PERIOD_MS - 1, late, SEALED));
	ck_assert(!opens(2 * PERIOD_MS, early, SEALED));
	ck_assert(!opens(2 * PERIOD_MS, late, SEALED));
	ck_assert(opens(2 * PERIOD_MS, next, SEALED));
	ck_assert(opens(3 * PERIOD_MS - 1, next, SEALED));
	ck_assert(!opens(3 * PERIOD_MS, next, SEALED));
	end();
}
END_TEST

/* Nobody asked when the key was due to change. */
START_TEST(ticket_late_rotation_does_not_lengthen_a_key_s_life)
{
	uint8_t first[SEALED], second[SEALED];

	begin();
	seal(0, first);
	seal(2 * PERIOD_MS - 1, second);
	ck_assert(opens(2 * PERIOD_MS - 1, first, SEALED));
	ck_assert(!opens(2 * PERIOD_MS, first, SEALED));
	ck_assert(opens(3 * PERIOD_MS - 2, second, SEALED));
	end();
}
END_TEST

START_TEST(ticket_after_a_long_silence)
{
	uint8_t first[SEALED], second[SEALED];

	begin();
	seal(0, first);
	seal(2 * PERIOD_MS, second);
	ck_assert(!opens(2 * PERIOD_MS, first, SEALED));
	ck_assert(opens(3 * PERIOD_MS, second, SEALED));
	ck_assert(!keys.keys[!keys.current].usable);
	end();
}
END_TEST

/* NIST SP 800-38D, 8.3. */
START_TEST(ticket_key_that_was_used_too_often)
{
	uint8_t first[SEALED], second[SEALED];

	begin();
	seal(0, first);
	keys.keys[keys.current].sealed = ((uint64_t)1 << 32) - 1;
	seal(1, second);
	ck_assert_int_eq(first[0], second[0]);
	seal(2, second);
	ck_assert_int_ne(first[0], second[0]);
	ck_assert(opens(3, first, SEALED));
	ck_assert(opens(3, second, SEALED));
	end();
}
END_TEST

START_TEST(ticket_without_randomness)
{
	uint8_t first[SEALED], none[SEALED];
	bool broken = false;

	begin();
	ck_assert_int_eq(rng_make_faulty(&rng, &broken), 0);
	seal(0, first);
	broken = true;
	rng_needs_entropy(&rng);
	ck_assert_int_ne(ticket_seal(&keys, &rng, 1, PERIOD_MS, (struct bytes){plain, PLAIN}, none), 0);
	ck_assert(opens(1, first, SEALED));
	/* No new key, no ticket: the old one is not used for longer instead. */
	ck_assert_int_ne(ticket_seal(&keys, &rng, PERIOD_MS, PERIOD_MS, (struct bytes){plain, PLAIN}, none), 0);
	ck_assert(opens(2 * PERIOD_MS - 1, first, SEALED));
	ck_assert(!opens(2 * PERIOD_MS, first, SEALED));
	broken = false;
	seal(2 * PERIOD_MS, none);
	ck_assert(opens(2 * PERIOD_MS, none, SEALED));
	end();
}
END_TEST

Suite *ticket_suite(void)
{
	Suite *s = suite_create("ticket");

	TEST(s, ticket_opens);
	TEST(s, ticket_each_flipped_bit_and_each_length);
	TEST(s, ticket_of_other_keys);
	TEST(s, ticket_lifetimes);
	TEST(s, ticket_late_rotation_does_not_lengthen_a_key_s_life);
	TEST(s, ticket_after_a_long_silence);
	TEST(s, ticket_key_that_was_used_too_often);
	TEST(s, ticket_without_randomness);
	return s;
}
