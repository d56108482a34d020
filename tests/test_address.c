#include "dtls/address.h"
#include "suites.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct address v4(const char *host, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct address a;

	ck_assert_int_eq(inet_pton(AF_INET, host, &in.sin_addr), 1);
	ck_assert(address_set(&a, (struct sockaddr *)&in, sizeof(in)));
	return a;
}

static struct address v6(const char *host, uint16_t port, uint32_t scope)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope};
	struct address a;

	ck_assert_int_eq(inet_pton(AF_INET6, host, &in6.sin6_addr), 1);
	ck_assert(address_set(&a, (struct sockaddr *)&in6, sizeof(in6)));
	return a;
}

START_TEST(address_ignores_padding_and_flow)
{
	struct sockaddr_storage noisy4, noisy6;
	struct sockaddr_in *in = (struct sockaddr_in *)&noisy4;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&noisy6;
	struct address a, plain4 = v4("192.0.2.7", 5684), plain6 = v6("2001:db8::7", 5684, 3);

	memset(&noisy4, 0xa5, sizeof(noisy4));
	in->sin_family = AF_INET;
	in->sin_port = htons(5684);
	in->sin_addr = plain4.in.sin_addr;
	ck_assert(address_set(&a, (struct sockaddr *)&noisy4, sizeof(noisy4)));
	ck_assert(address_equal(&a, &plain4));
	ck_assert_uint_eq(address_len(&a), sizeof(struct sockaddr_in));
	memset(&noisy6, 0x5a, sizeof(noisy6));
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(5684);
	in6->sin6_addr = plain6.in6.sin6_addr;
	in6->sin6_scope_id = 3;
	ck_assert(address_set(&a, (struct sockaddr *)&noisy6, sizeof(noisy6)));
	ck_assert(address_equal(&a, &plain6));
	ck_assert_uint_eq(address_len(&a), sizeof(struct sockaddr_in6));
}
END_TEST

START_TEST(address_refuses_other_families_and_lengths)
{
	struct sockaddr_storage other = {.ss_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = 1};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = 1};
	struct address a;

	ck_assert(!address_set(&a, (struct sockaddr *)&other, sizeof(other)));
	ck_assert_uint_eq(address_len(&a), 0);
	for (socklen_t len = 0; len < sizeof(in); len++)
		ck_assert(!address_set(&a, (struct sockaddr *)&in, len));
	for (socklen_t len = 0; len < sizeof(in6); len++)
		ck_assert(!address_set(&a, (struct sockaddr *)&in6, len));
	ck_assert_uint_eq(address_len(&a), 0);
	ck_assert(address_set(&a, (struct sockaddr *)&in6, sizeof(in6)));
}
END_TEST

START_TEST(address_equal_compares_all_of_it)
{
	struct address all[] = {v4("192.0.2.7", 1), v4("192.0.2.8", 1), v4("192.0.2.7", 2), v6("2001:db8::7", 1, 0),
	    v6("2001:db8::8", 1, 0), v6("2001:db8::7", 2, 0), v6("2001:db8::7", 1, 5), v6("::ffff:192.0.2.7", 1, 0)};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
			ck_assert_int_eq(address_equal(&all[i], &all[k]), i == k);
}
END_TEST

static void assert_keys_differ(const struct address pairs[][2], size_t count, size_t expected_len)
{
	uint8_t a[ADDRESS_PAIR_KEY], b[ADDRESS_PAIR_KEY];

	for (size_t i = 0; i < count; i++) {
		memset(a, 0xee, sizeof(a));
		ck_assert_uint_eq(address_pair_key(&pairs[i][0], &pairs[i][1], a), expected_len);
		for (size_t k = 0; k < count; k++) {
			address_pair_key(&pairs[k][0], &pairs[k][1], b);
			ck_assert_int_eq(memcmp(a, b, expected_len) == 0, i == k);
		}
	}
}

START_TEST(address_pair_key_tells_peers_and_local_addresses_apart)
{
	const struct address none = {0};
	const struct address pairs4[][2] = {
	    {v4("192.0.2.7", 1000), none},
	    {v4("192.0.2.8", 1000), none},
	    {v4("192.0.2.7", 1001), none},
	    {v4("192.0.2.7", 1000), v4("127.0.0.1", 5684)},
	    {v4("192.0.2.7", 1000), v4("127.0.0.2", 5684)},
	};
	const struct address pairs6[][2] = {
	    {v6("2001:db8::7", 1000, 0), none},
	    {v6("2001:db8::8", 1000, 0), none},
	    {v6("2001:db9::7", 1000, 0), none},
	    {v6("2001:db8::7", 1001, 0), none},
	    {v6("2001:db8::7", 1000, 1), none},
	    {v6("2001:db8::7", 1000, 0), v6("::1", 0, 0)},
	    {v6("2001:db8::7", 1000, 0), v6("::2", 0, 0)},
	    {v6("2001:db8::7", 1000, 0), v6("::1", 0, 1)},
	};

	assert_keys_differ(pairs4, sizeof(pairs4) / sizeof(*pairs4), 16);
	assert_keys_differ(pairs6, sizeof(pairs6) / sizeof(*pairs6), 48);
}
END_TEST

static uint64_t prefix4(const char *host, uint16_t port)
{
	struct address a = v4(host, port);

	return address_prefix(&a);
}

static uint64_t prefix6(const char *host, uint16_t port)
{
	struct address a = v6(host, port, 0);

	return address_prefix(&a);
}

START_TEST(address_prefix_is_the_host_or_the_64)
{
	ck_assert_uint_eq(prefix4("192.0.2.7", 1), prefix4("192.0.2.7", 2));
	ck_assert_uint_ne(prefix4("192.0.2.7", 1), prefix4("192.0.2.8", 1));
	ck_assert_uint_eq(prefix6("2001:db8:1:2::7", 1), prefix6("2001:db8:1:2:ffff:ffff:ffff:ffff", 2));
	ck_assert_uint_ne(prefix6("2001:db8:1:2::7", 1), prefix6("2001:db8:1:3::7", 1));
	ck_assert_uint_ne(prefix6("2001:db8:1:2::7", 1), prefix6("2001:db9:1:2::7", 1));
}
END_TEST

/* A socket bound to :: sees IPv4 so: the whole of it must not be one network. */
START_TEST(address_prefix_of_mapped_ipv4_is_the_host)
{
	ck_assert_uint_ne(prefix6("::ffff:192.0.2.7", 1), prefix6("::ffff:192.0.2.8", 1));
	ck_assert_uint_ne(prefix6("::ffff:192.0.2.7", 1), prefix6("::ffff:193.0.2.7", 1));
	ck_assert_uint_eq(prefix6("::ffff:192.0.2.7", 1), prefix6("::ffff:192.0.2.7", 2));
	ck_assert_uint_eq(prefix6("::ffff:192.0.2.7", 1), prefix4("192.0.2.7", 1));
	ck_assert_uint_ne(prefix6("c000:207::", 1), prefix4("192.0.2.7", 1));
	ck_assert_uint_ne(prefix6("::192.0.2.7", 1), prefix4("192.0.2.7", 1));
}
END_TEST

static void assert_text(struct address a, const char *expected)
{
	char text[ADDRESS_TEXT];

	ck_assert_ptr_eq(address_text(&a, text), text);
	ck_assert_str_eq(text, expected);
}

START_TEST(address_as_text)
{
	assert_text(v4("192.0.2.7", 5684), "192.0.2.7:5684");
	assert_text(v4("255.255.255.255", 65535), "255.255.255.255:65535");
	assert_text(v6("2001:db8::7", 5684, 0), "[2001:db8::7]:5684");
	assert_text(v6("fe80::1", 1, 2), "[fe80::1%2]:1");
	assert_text(v6("::ffff:192.0.2.7", 80, 0), "[::ffff:192.0.2.7]:80");
	assert_text(v6("fe80:1111:2222:3333:4444:5555:6666:7777", 65535, UINT32_MAX),
	    "[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
}
END_TEST

START_TEST(address_wildcards)
{
	struct address unset = {0}, any4 = v4("0.0.0.0", 1), any6 = v6("::", 1, 0);
	struct address one4 = v4("127.0.0.1", 1), one6 = v6("::1", 1, 0), mapped = v6("::ffff:0.0.0.0", 1, 0);

	ck_assert(address_is_wildcard(&any4));
	ck_assert(address_is_wildcard(&any6));
	ck_assert(!address_is_wildcard(&one4));
	ck_assert(!address_is_wildcard(&one6));
	ck_assert(!address_is_wildcard(&mapped));
	ck_assert(!address_is_wildcard(&unset));
}
END_TEST

Suite *address_suite(void)
{
	Suite *suite = suite_create("address");

	TEST(suite, address_ignores_padding_and_flow);
	TEST(suite, address_refuses_other_families_and_lengths);
	TEST(suite, address_equal_compares_all_of_it);
	TEST(suite, address_pair_key_tells_peers_and_local_addresses_apart);
	TEST(suite, address_prefix_is_the_host_or_the_64);
	TEST(suite, address_prefix_of_mapped_ipv4_is_the_host);
	TEST(suite, address_as_text);
	TEST(suite, address_wildcards);
	return suite;
}
