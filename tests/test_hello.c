#include "dtls/hello.h"
#include "hellos.h"
#include "seeded.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

/* Parses a copy that ends where the datagram ends. */
static enum hello_kind parse(const void *bytes, size_t len)
{
	uint8_t *copy = exact_copy(bytes, len);
	struct hello h;
	enum hello_kind kind = hello_parse(copy, len, &h);

	free(copy);
	return kind;
}

static enum hello_kind parse_datagram(const struct raw_hello *d)
{
	return parse(d->bytes, d->len);
}

static const struct hello_parts small = {.version = {0xfe, 0xfd},
    .suites = {(const uint8_t *)"\xc0\xa8\x00\xff", 4},
    .compression = {(const uint8_t *)"\0", 1}};

static enum hello_kind parse_parts(const struct hello_parts *parts)
{
	struct raw_hello d;

	hello_build(parts, &d);
	return parse_datagram(&d);
}

START_TEST(hello_of_a_real_client)
{
	struct raw_hello d, again;
	struct hello_parts parts;
	struct hello h;

	hello_capture(&d);
	ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
	ck_assert_uint_eq(h.record.seq, 0);
	ck_assert_uint_eq(h.record.epoch, 0);
	ck_assert_uint_eq(h.message_seq, 0);
	ck_assert_mem_eq(h.version, "\xfe\xfd", 2);
	ck_assert_ptr_eq(h.random, d.bytes + 27);
	ck_assert_uint_eq(h.session_id.len, 0);
	ck_assert_uint_eq(h.cookie.len, 0);
	ck_assert_uint_ge(h.suites.len, 12);
	ck_assert_uint_eq(h.compression.len, 1);
	hello_take_apart(&d, &parts);
	hello_build(&parts, &again);
	ck_assert_uint_eq(again.len, d.len);
	ck_assert_mem_eq(again.bytes + RECORD_HEADER, d.bytes + RECORD_HEADER, d.len - RECORD_HEADER);
}
END_TEST

START_TEST(hello_every_truncation_is_dropped)
{
	struct raw_hello d;

	hello_capture(&d);
	for (size_t len = 0; len < d.len; len++)
		ck_assert_int_eq(parse(d.bytes, len), HELLO_NONE);
	ck_assert_int_eq(parse_datagram(&d), HELLO_OK);
}
END_TEST

START_TEST(hello_every_truncation_with_lengths_that_agree)
{
	struct raw_hello d, cut;
	struct hello_parts parts;
	size_t without_extensions;

	hello_capture(&d);
	hello_take_apart(&d, &parts);
	without_extensions = d.len - parts.extensions.len;
	for (size_t len = RECORD_HEADER + MESSAGE_HEADER; len < d.len; len++) {
		cut = d;
		cut.len = len;
		hello_set_lengths(&cut);
		ck_assert_int_eq(parse_datagram(&cut), len == without_extensions ? HELLO_OK : HELLO_MALFORMED);
	}
	/* Less than a message header. */
	for (size_t len = 1; len < MESSAGE_HEADER; len++) {
		cut = d;
		cut.bytes[11] = 0;
		cut.bytes[12] = (uint8_t)len;
		ck_assert_int_eq(parse(cut.bytes, RECORD_HEADER + len), HELLO_MALFORMED);
	}
}
END_TEST

START_TEST(hello_any_byte_changed_stays_in_bounds)
{
	struct raw_hello d;
	unsigned accepted = 0;

	hello_capture(&d);
	for (size_t at = 0; at < d.len; at++) {
		uint8_t *copy = exact_copy(d.bytes, d.len);

		for (unsigned value = 0; value < 256; value++) {
			struct hello h;

			copy[at] = (uint8_t)value;
			if (hello_parse(copy, d.len, &h) != HELLO_OK)
				continue;
			accepted++;
			ck_assert_uint_le((size_t)(h.compression.at + h.compression.len - copy), d.len);
		}
		free(copy);
	}
	ck_assert_uint_gt(accepted, 32 * 256);
}
END_TEST

START_TEST(hello_smallest_is_accepted)
{
	struct hello_parts parts = small;

	ck_assert_int_eq(parse_parts(&parts), HELLO_OK);
	parts.suites.len = 2;
	ck_assert_int_eq(parse_parts(&parts), HELLO_OK);
	parts.extensions = (struct bytes){(const uint8_t *)"\0\0", 2};
	ck_assert_int_eq(parse_parts(&parts), HELLO_OK);
}
END_TEST

/* RFC 5246, 6.2.1: no record has more than 2^14 bytes of plaintext. */
START_TEST(hello_largest_is_accepted)
{
	static uint8_t datagram[RECORD_HEADER + RECORD_PLAIN_MAX + 1];

	for (size_t len = RECORD_PLAIN_MAX - 1; len <= RECORD_PLAIN_MAX + 1; len++) {
		struct raw_hello d;
		uint8_t *at;

		hello_build(&small, &d);
		memcpy(datagram, d.bytes, d.len);
		put_16(datagram + 11, len);
		put_24(datagram + 14, len - MESSAGE_HEADER);
		put_24(datagram + 22, len - MESSAGE_HEADER);
		at = datagram + d.len;
		put_16(at, (size_t)(datagram + RECORD_HEADER + len - at - 2));
		ck_assert_int_eq(
		    parse(datagram, RECORD_HEADER + len), len <= RECORD_PLAIN_MAX ? HELLO_OK : HELLO_MALFORMED);
	}
}
END_TEST

START_TEST(hello_malformed_vectors)
{
	static const uint8_t zeros[64];
	struct hello_parts parts = small;

	parts.suites.len = 3; /* odd: others have looped over this for ever */
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts.suites.len = 0;
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts = small;
	parts.compression.len = 0;
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts = small;
	parts.session_id = (struct bytes){zeros, 32};
	ck_assert_int_eq(parse_parts(&parts), HELLO_OK);
	parts.session_id.len = 33;
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts = small;
	parts.version[0] = 3;
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts = small;
	parts.extensions = (struct bytes){(const uint8_t *)"\0\2\0", 3};
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts.extensions = (struct bytes){(const uint8_t *)"\0\1\0\0", 4};
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
	parts.extensions.len = 1;
	ck_assert_int_eq(parse_parts(&parts), HELLO_MALFORMED);
}
END_TEST

/* Offsets in the datagram of small: the lengths of session id, cookie, suites (high, low), compression. */
START_TEST(hello_lengths_past_the_end)
{
	static const struct {
		size_t at;
		uint8_t first_bad;
	} lengths[] = {{59, 2}, {60, 1}, {61, 1}, {62, 5}, {67, 2}};
	struct raw_hello d;

	hello_build(&small, &d);
	ck_assert_uint_eq(d.len, 69);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		hello_build(&small, &d);
		/* CVE-2022-35409: a cookie length that ends behind the datagram. */
		for (unsigned value = lengths[i].first_bad; value < 256; value++) {
			d.bytes[lengths[i].at] = (uint8_t)value;
			ck_assert_int_eq(parse_datagram(&d), HELLO_MALFORMED);
		}
	}
}
END_TEST

START_TEST(hello_cookies_of_every_length)
{
	static const uint8_t cookie[255] = {1, 2, 3};
	struct hello_parts parts = small;
	struct raw_hello d;
	struct hello h;

	for (size_t len = 0; len <= 255; len++) {
		parts.cookie = (struct bytes){cookie, len};
		hello_build(&parts, &d);
		ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
		ck_assert_uint_eq(h.cookie.len, len);
		ck_assert_mem_eq(h.cookie.at, cookie, len);
	}
}
END_TEST

START_TEST(hello_fragments_are_told_apart)
{
	struct raw_hello d;

	hello_build(&small, &d);
	d.bytes[16]++; /* the message is one byte longer than what is here */
	ck_assert_int_eq(parse_datagram(&d), HELLO_FRAGMENTED);
	d.bytes[21] = 1; /* and this is its end */
	ck_assert_int_eq(parse_datagram(&d), HELLO_FRAGMENTED);
	d.bytes[21] = 2;
	ck_assert_int_eq(parse_datagram(&d), HELLO_MALFORMED);
	hello_build(&small, &d);
	d.bytes[24] = 0; /* CVE-2022-29190: an empty fragment */
	ck_assert_int_eq(parse_datagram(&d), HELLO_FRAGMENTED);
	d.bytes[14] = 0xff; /* of a message of 16 MB */
	ck_assert_int_eq(parse_datagram(&d), HELLO_FRAGMENTED);
}
END_TEST

START_TEST(hello_must_be_alone_in_epoch_0)
{
	struct raw_hello d, two;

	hello_build(&small, &d);
	d.bytes[4] = 1; /* CVE-2021-42141 */
	ck_assert_int_eq(parse_datagram(&d), HELLO_NONE);
	hello_build(&small, &d);
	two = d;
	memcpy(two.bytes + d.len, d.bytes, d.len);
	ck_assert_int_eq(parse(two.bytes, 2 * d.len), HELLO_MALFORMED);
	for (size_t more = 1; more < 20; more++)
		ck_assert_int_eq(parse(two.bytes, d.len + more), HELLO_MALFORMED);
	/* A second message in the same record. */
	memcpy(two.bytes + d.len, d.bytes + RECORD_HEADER, d.len - RECORD_HEADER);
	two.bytes[12] = (uint8_t)(2 * (d.len - RECORD_HEADER));
	ck_assert_int_eq(parse(two.bytes, 2 * d.len - RECORD_HEADER), HELLO_MALFORMED);
}
END_TEST

START_TEST(hello_other_protocols_are_none)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
	} junk[] = {{"nothing", "", 0}, {"one byte", "\x16", 1},
	    {"HTTP", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 37},
	    {"STUN", "\x00\x01\x00\x00\x21\x12\xa4\x42\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", 20},
	    {"CoAP", "\x40\x01\x12\x34\xb4temp", 9}, {"DNS", "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12},
	    {"TLS", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x00\x00\x00\x00\x00\x00", 16},
	    {"DTLS ServerHelloDone", "\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x0c\x0e\0\0\0\0\0\0\0\0\0\0\0", 25},
	    {"DTLS alert", "\x15\xfe\xfd\0\0\0\0\0\0\0\0\0\x02\x02\x28", 15},
	    {"empty handshake record", "\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\0", 13}};

	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++)
		ck_assert_msg(parse(junk[i].bytes, junk[i].len) == HELLO_NONE, "%s", junk[i].name);
}
END_TEST

START_TEST(hello_largest_datagrams_of_random_bytes)
{
	enum { LARGEST = 65507 };
	uint8_t *bytes = malloc(LARGEST);
	uint64_t seed = 2;

	for (unsigned i = 0; i < 20; i++) {
		seeded_bytes(&seed, bytes, LARGEST);
		bytes[0] = 0x17;
		ck_assert_int_eq(parse(bytes, LARGEST), HELLO_NONE);
		/* The same behind the header of a ClientHello that fills the record. */
		memcpy(bytes, "\x16\xfe\xfd\0\0\0\0\0\0\0\1\xff\xd6\1\0\xff\xca\0\0\0\0\0\0\xff\xca\xfe\xfd", 27);
		ck_assert_int_eq(parse(bytes, LARGEST), HELLO_MALFORMED);
	}
	free(bytes);
}
END_TEST

START_TEST(hello_verify_request_byte_for_byte)
{
	static const uint8_t cookie[16] = {0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xcf};
	static const uint8_t expected[44] = {22, 0xfe, 0xff, 0, 0, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0, 31,
	    /* the message */
	    3, 0, 0, 19, 0x12, 0x34, 0, 0, 0, 0, 0, 19,
	    /* its body */
	    0xfe, 0xff, 16, 0xc0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xcf};
	struct hello_parts parts = small;
	uint8_t out[HELLO_VERIFY_REQUEST_MAX];
	struct raw_hello d;
	struct hello h;

	parts.record_seq = 0xa1b2c3d4e5f6;
	parts.message_seq = 0x1234;
	hello_build(&parts, &d);
	ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
	ck_assert_uint_eq(h.record.seq, parts.record_seq);
	memset(out, 0x77, sizeof(out));
	ck_assert_uint_eq(hello_verify_request(&h, cookie, sizeof(cookie), out), sizeof(expected));
	ck_assert_mem_eq(out, expected, sizeof(expected));
	for (size_t i = sizeof(expected); i < sizeof(out); i++)
		ck_assert_uint_eq(out[i], 0x77);
}
END_TEST

START_TEST(hello_verify_request_is_never_longer_than_the_hello)
{
	static const uint8_t cookie[HELLO_COOKIE_MAX];
	struct hello_parts parts = small;
	uint8_t out[HELLO_VERIFY_REQUEST_MAX];
	struct raw_hello d;
	struct hello h;

	parts.suites.len = 2;
	hello_build(&parts, &d);
	ck_assert_int_eq(hello_parse(d.bytes, d.len, &h), HELLO_OK);
	ck_assert_uint_eq(d.len, 67);
	for (size_t len = 0; len <= sizeof(cookie); len++) {
		ck_assert_uint_eq(hello_verify_request(&h, cookie, len, out), 28 + len);
		ck_assert_uint_lt(28 + len, d.len);
	}
}
END_TEST

Suite *hello_suite(void)
{
	Suite *suite = suite_create("hello");

	TEST(suite, hello_of_a_real_client);
	TEST(suite, hello_every_truncation_is_dropped);
	TEST(suite, hello_every_truncation_with_lengths_that_agree);
	TEST(suite, hello_any_byte_changed_stays_in_bounds);
	TEST(suite, hello_smallest_is_accepted);
	TEST(suite, hello_largest_is_accepted);
	TEST(suite, hello_malformed_vectors);
	TEST(suite, hello_lengths_past_the_end);
	TEST(suite, hello_cookies_of_every_length);
	TEST(suite, hello_fragments_are_told_apart);
	TEST(suite, hello_must_be_alone_in_epoch_0);
	TEST(suite, hello_other_protocols_are_none);
	TEST(suite, hello_largest_datagrams_of_random_bytes);
	TEST(suite, hello_verify_request_byte_for_byte);
	TEST(suite, hello_verify_request_is_never_longer_than_the_hello);
	return suite;
}
