#include "dtls/handshakes.h"
#include "seeded.h"
#include "suites.h"

#include <arpa/inet.h>

enum { PEERS = 2000 };

static struct dtls_peer peers[PEERS];
static struct active actives[PEERS];
static struct handshakes unfinished;
static struct rng rng;

static void begin(void)
{
	ck_assert_int_eq(rng_init(&rng), 0);
	ck_assert_int_eq(handshakes_init(&unfinished, &rng, 50), 0);
}

static void end(void)
{
	ck_assert_uint_eq(unfinished.count, 0);
	handshakes_free(&unfinished);
	rng_free(&rng);
}

/* A peer at 10.0.x.x, or one of those that share 2001:db8:0:n::/64. */
static struct dtls_peer *peer_at(unsigned index, unsigned network, bool ipv6)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(1 + index))};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port};
	struct dtls_peer *peer = &peers[index];

	actives[index].group = NULL;
	*peer = (struct dtls_peer){.a = &actives[index].a};
	in.sin_addr.s_addr = htonl(0x0a000000 + network);
	in6.sin6_addr.s6_addr[0] = 0x20;
	in6.sin6_addr.s6_addr[6] = (uint8_t)(network >> 8);
	in6.sin6_addr.s6_addr[7] = (uint8_t)network;
	in6.sin6_addr.s6_addr[14] = (uint8_t)(index >> 8);
	in6.sin6_addr.s6_addr[15] = (uint8_t)index;
	if (ipv6)
		ck_assert(address_set(&peer->addr, (struct sockaddr *)&in6, sizeof(in6)));
	else
		ck_assert(address_set(&peer->addr, (struct sockaddr *)&in, sizeof(in)));
	return peer;
}

static void add(unsigned index, unsigned network, bool ipv6)
{
	ck_assert(handshakes_add(&unfinished, peer_at(index, network, ipv6)));
}

static void give_way(unsigned expected)
{
	ck_assert_ptr_eq(handshakes_victim(&unfinished), &peers[expected]);
	handshakes_remove(&unfinished, &peers[expected]);
}

START_TEST(handshakes_none)
{
	begin();
	ck_assert_ptr_null(handshakes_victim(&unfinished));
	handshakes_remove(&unfinished, peer_at(0, 1, false)); /* of one that is not in it */
	end();
}
END_TEST

START_TEST(handshakes_oldest_of_the_busiest_prefix)
{
	begin();
	add(0, 1, false);
	ck_assert_ptr_eq(handshakes_victim(&unfinished), &peers[0]);
	add(1, 2, false);
	add(2, 2, false);
	add(3, 3, true);
	add(4, 2, false);
	ck_assert_uint_eq(unfinished.count, 5);
	give_way(1);
	give_way(2);
	/* One each is left of three networks: add to the third. */
	add(5, 3, true);
	give_way(3);
	ck_assert_uint_eq(unfinished.count, 3);
	for (unsigned i = 0; i < 3; i++)
		handshakes_remove(&unfinished, handshakes_victim(&unfinished));
	ck_assert_ptr_null(handshakes_victim(&unfinished));
	ck_assert_uint_eq(unfinished.count, 0);
	ck_assert_ptr_null(actives[0].group);
	ck_assert_ptr_null(actives[5].group);
	end();
}
END_TEST

START_TEST(handshakes_a_64_is_one_network)
{
	begin();
	add(0, 1, false);
	add(1, 2, false);
	for (unsigned i = 2; i < 5; i++)
		add(i, 7, true); /* different hosts */
	give_way(2);
	give_way(3);
	for (unsigned i = 0; i < 3; i++)
		handshakes_remove(&unfinished, handshakes_victim(&unfinished));
	end();
}
END_TEST

START_TEST(handshakes_one_network_cannot_crowd_out_the_others)
{
	unsigned index = 0;

	begin();
	for (unsigned network = 1; network <= 100; network++)
		add(index++, network, false);
	for (; index < PEERS; index++)
		add(index, 1000, true);
	/* All but one of the flood give way, the oldest first; the hundred stay. */
	for (unsigned i = 100; i < PEERS - 1; i++)
		give_way(i);
	ck_assert_uint_eq(unfinished.count, 101);
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_ptr_nonnull(actives[i].group);
		handshakes_remove(&unfinished, &peers[i]);
	}
	give_way(PEERS - 1);
	end();
}
END_TEST

/* The oldest of a network with the most, against counting anew each time. */
static bool is_right_victim(const struct dtls_peer *victim, const unsigned *network_of, const bool *present)
{
	unsigned counts[50] = {0}, most = 0, index = (unsigned)(victim - peers);

	for (unsigned i = 0; i < PEERS; i++)
		if (present[i] && ++counts[network_of[i]] > most)
			most = counts[network_of[i]];
	for (unsigned i = 0; i < index; i++)
		if (present[i] && network_of[i] == network_of[index])
			return false;
	return present[index] && counts[network_of[index]] == most;
}

START_TEST(handshakes_like_a_naive_model)
{
	static unsigned network_of[PEERS];
	static bool present[PEERS];
	uint64_t seed = 8;

	begin();
	for (unsigned i = 0; i < PEERS; i++) {
		unsigned done = (unsigned)seeded_below(&seed, i + 1);

		network_of[i] = (unsigned)seeded_below(&seed, 50);
		add(i, network_of[i], network_of[i] % 2 == 0);
		present[i] = true;
		ck_assert(is_right_victim(handshakes_victim(&unfinished), network_of, present));
		if (seeded_below(&seed, 2) == 0) {
			handshakes_remove(&unfinished, &peers[done]);
			present[done] = false;
		}
	}
	while (unfinished.count > 0) {
		struct dtls_peer *victim = handshakes_victim(&unfinished);

		ck_assert(is_right_victim(victim, network_of, present));
		handshakes_remove(&unfinished, victim);
		present[victim - peers] = false;
	}
	for (unsigned i = 0; i < PEERS; i++)
		ck_assert(!present[i]);
	end();
}
END_TEST

/* Whoever chooses prefixes that fall together under one key does not under another; and there are as many places as
 * handshakes, so that none is searched for long. */
START_TEST(handshakes_fall_anywhere)
{
	unsigned longest = 0;
	uint64_t first_key;

	begin();
	first_key = unfinished.key;
	handshakes_free(&unfinished);
	ck_assert_int_eq(handshakes_init(&unfinished, &rng, PEERS), 0);
	ck_assert_uint_ne(unfinished.key, first_key);
	ck_assert_uint_eq(unfinished.key % 2, 1);
	for (unsigned i = 0; i < PEERS; i++)
		add(i, i, true);
	for (size_t i = 0; i < (size_t)1 << (64 - unfinished.shift); i++) {
		unsigned length = 0;

		for (struct prefix_group *g = unfinished.buckets[i]; g != NULL; g = g->next)
			length++;
		longest = length > longest ? length : longest;
	}
	ck_assert_uint_le(longest, 20); /* 8, for the worst of 100,000 keys */
	for (unsigned i = 0; i < PEERS; i++)
		handshakes_remove(&unfinished, &peers[i]);
	end();
}
END_TEST

Suite *handshakes_suite(void)
{
	Suite *suite = suite_create("handshakes");

	TEST(suite, handshakes_none);
	TEST(suite, handshakes_oldest_of_the_busiest_prefix);
	TEST(suite, handshakes_a_64_is_one_network);
	TEST(suite, handshakes_one_network_cannot_crowd_out_the_others);
	TEST(suite, handshakes_like_a_naive_model);
	TEST(suite, handshakes_fall_anywhere);
	return suite;
}
