#include "dtls/peertable.h"
#include "seeded.h"
#include "suites.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

enum { PEERS = 6000 };

static struct rng rng;
static struct peertable table;
static struct dtls_peer peers[PEERS];
static bool present[PEERS];

/* Peer n has an address of its own; of every four, two share address and port and differ in the local address. */
static struct address address_of(unsigned n)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(1000 + n / 2 % 8))};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port};
	struct address a;
	uint32_t host = htonl(0x0a000000 + n / 16);
	bool ok;

	in.sin_addr.s_addr = host;
	memcpy(in6.sin6_addr.s6_addr + 12, &host, 4);
	in6.sin6_addr.s6_addr[0] = 0x20;
	ok = n % 4 < 2 ? address_set(&a, (struct sockaddr *)&in, sizeof(in))
		       : address_set(&a, (struct sockaddr *)&in6, sizeof(in6));
	return ok ? a : (struct address){0};
}

static struct address local_of(unsigned n)
{
	struct address a = {0};

	if (n % 2 == 0)
		return a;
	a.any.sa_family = address_of(n).any.sa_family;
	if (a.any.sa_family == AF_INET)
		a.in.sin_addr.s_addr = htonl(0x7f000001);
	else
		a.in6.sin6_addr = in6addr_loopback;
	return a;
}

static struct dtls_peer *find(unsigned n)
{
	struct address addr = address_of(n), local = local_of(n);

	return peertable_find(&table, &addr, &local);
}

static void insert(unsigned n)
{
	peertable_insert(&table, &peers[n]);
	present[n] = true;
}

static void take_out(unsigned n)
{
	peertable_remove(&table, &peers[n]);
	present[n] = false;
}

static bool is_as_model(void)
{
	size_t count = 0;

	for (unsigned n = 0; n < PEERS; n++) {
		if (find(n) != (present[n] ? &peers[n] : NULL))
			return false;
		count += present[n];
	}
	return table.count == count;
}

static void begin(void)
{
	ck_assert_int_eq(rng_init(&rng), 0);
	ck_assert_int_eq(peertable_init(&table, &rng), 0);
	for (unsigned n = 0; n < PEERS; n++) {
		peers[n] = (struct dtls_peer){.addr = address_of(n), .local = local_of(n)};
		present[n] = false;
	}
}

static void end(void)
{
	peertable_free(&table);
	rng_free(&rng);
}

START_TEST(peertable_empty)
{
	begin();
	ck_assert_ptr_null(find(0));
	peertable_remove(&table, &peers[0]); /* of one that is not in it */
	ck_assert_uint_eq(table.count, 0);
	end();
}
END_TEST

START_TEST(peertable_finds_each_while_it_grows)
{
	begin();
	for (unsigned n = 0; n < PEERS; n++) {
		insert(n);
		ck_assert_ptr_eq(find(n), &peers[n]);
		ck_assert_ptr_eq(find(n / 2), &peers[n / 2]);
		ck_assert_ptr_eq(find(0), &peers[0]);
		if (n + 1 < PEERS)
			ck_assert_ptr_null(find(n + 1));
	}
	ck_assert(is_as_model());
	ck_assert_uint_ge(table.size, PEERS / 2);
	for (unsigned n = 0; n < PEERS; n++)
		take_out(n);
	ck_assert(is_as_model());
	end();
}
END_TEST

/* Growing goes in steps, within searches too: it must finish, whatever comes between. */
START_TEST(peertable_removes_in_the_middle_of_growing)
{
	unsigned n = 0, removed_while_growing = 0;

	begin();
	while (n < PEERS) {
		insert(n++);
		if (table.old == NULL || n < 100)
			continue;
		for (unsigned i = n - 64; i < n; i += 3) {
			take_out(i);
			removed_while_growing += table.old != NULL;
			ck_assert_ptr_null(find(i));
		}
		ck_assert(is_as_model());
		ck_assert_ptr_null(table.old);
	}
	ck_assert_uint_gt(removed_while_growing, 3);
	end();
}
END_TEST

START_TEST(peertable_like_a_naive_model)
{
	uint64_t seed = 7;

	begin();
	for (unsigned i = 0; i < 60000; i++) {
		unsigned n = (unsigned)seeded_below(&seed, PEERS);
		unsigned other = (unsigned)seeded_below(&seed, PEERS);

		if (!present[n])
			insert(n);
		else if (seeded_below(&seed, 3) == 0)
			take_out(n);
		ck_assert_ptr_eq(find(other), present[other] ? &peers[other] : NULL);
		if (i % 10000 == 0)
			ck_assert(is_as_model());
	}
	ck_assert(is_as_model());
	end();
}
END_TEST

START_TEST(peertable_tells_addresses_apart)
{
	struct address addr, local;

	begin();
	insert(0);
	addr = address_of(0);
	local = local_of(1);
	ck_assert_ptr_null(peertable_find(&table, &addr, &local));
	local = local_of(0);
	ck_assert_ptr_eq(peertable_find(&table, &addr, &local), &peers[0]);
	addr.in.sin_port ^= htons(1);
	ck_assert_ptr_null(peertable_find(&table, &addr, &local));
	addr = address_of(2); /* IPv6 */
	ck_assert_ptr_null(peertable_find(&table, &addr, &local));
	end();
}
END_TEST

START_TEST(peertable_an_equal_hash_is_not_enough)
{
	struct address addr = address_of(0), local = local_of(0);

	begin();
	insert(0);
	peers[0].local = local_of(1);
	ck_assert_ptr_null(peertable_find(&table, &addr, &local));
	peers[0].local = local;
	peers[0].addr = address_of(16);
	ck_assert_ptr_null(peertable_find(&table, &addr, &local));
	peers[0].addr = addr;
	ck_assert_ptr_eq(peertable_find(&table, &addr, &local), &peers[0]);
	end();
}
END_TEST

/* Who sends chooses addresses, but not where they fall: the key is random. */
START_TEST(peertable_keys_differ)
{
	unsigned equal = 0;
	uint32_t first[100];

	begin();
	for (unsigned n = 0; n < 100; n++) {
		insert(n);
		first[n] = peers[n].hash;
	}
	end();
	begin();
	for (unsigned n = 0; n < 100; n++) {
		insert(n);
		equal += peers[n].hash == first[n];
	}
	ck_assert_uint_le(equal, 1);
	end();
}
END_TEST

Suite *peertable_suite(void)
{
	Suite *suite = suite_create("peertable");

	TEST(suite, peertable_empty);
	TEST(suite, peertable_finds_each_while_it_grows);
	TEST(suite, peertable_removes_in_the_middle_of_growing);
	TEST(suite, peertable_like_a_naive_model);
	TEST(suite, peertable_tells_addresses_apart);
	TEST(suite, peertable_an_equal_hash_is_not_enough);
	TEST(suite, peertable_keys_differ);
	return suite;
}
