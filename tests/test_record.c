#include "dtls/record.h"
#include "hellos.h"
#include "seeded.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

/* type, version, epoch 0, sequence number 0, length 2, body */
static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 90};

static bool next(const void *bytes, size_t len, struct record *r)
{
	const uint8_t *at = bytes;
	bool ok = record_next(&at, &len, r);

	ck_assert_int_eq(ok, at != (const uint8_t *)bytes);
	return ok;
}

START_TEST(record_numbers)
{
	static const uint8_t bytes[] = {0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6};

	ck_assert_uint_eq(get_16(bytes), 0xf1f2);
	ck_assert_uint_eq(get_24(bytes), 0xf1f2f3);
	ck_assert_uint_eq(get_48(bytes), 0xf1f2f3f4f5f6);
}
END_TEST

START_TEST(record_header_field_by_field)
{
	static const uint8_t bytes[] = {
	    23, 0xfe, 0xff, 0x80, 0x01, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0xfa, 0x00, 0x03, 0xaa, 0xbb, 0xcc, 0xdd};
	const uint8_t *at = bytes;
	size_t left = sizeof(bytes);
	struct record r;

	ck_assert(record_next(&at, &left, &r));
	ck_assert_uint_eq(r.type, RECORD_APPLICATION_DATA);
	ck_assert_uint_eq(r.version, 0xfeff);
	ck_assert_uint_eq(r.epoch, 0x8001);
	ck_assert_uint_eq(r.seq, 0xfffefdfcfbfa);
	ck_assert_ptr_eq(r.start, bytes);
	ck_assert_ptr_eq(r.body, bytes + RECORD_HEADER);
	ck_assert_uint_eq(r.len, 3);
	ck_assert_ptr_eq(at, bytes + 16);
	ck_assert_uint_eq(left, 1);
	ck_assert(!record_next(&at, &left, &r));
	ck_assert_ptr_eq(at, bytes + 16);
	ck_assert_uint_eq(left, 1);
}
END_TEST

START_TEST(record_types_and_versions)
{
	uint8_t bytes[sizeof(alert)];
	struct record r;

	memcpy(bytes, alert, sizeof(alert));
	for (unsigned type = 0; type < 256; type++) {
		bytes[0] = (uint8_t)type;
		ck_assert_int_eq(next(bytes, sizeof(bytes), &r), type >= 20 && type <= 23);
	}
	bytes[0] = RECORD_ALERT;
	for (unsigned major = 0; major < 256; major++) {
		bytes[1] = (uint8_t)major;
		ck_assert_int_eq(next(bytes, sizeof(bytes), &r), major == 0xfe);
	}
}
END_TEST

START_TEST(record_length_is_not_trusted)
{
	struct record r;

	for (size_t len = 0; len < sizeof(alert); len++) {
		uint8_t *copy = exact_copy(alert, len);

		ck_assert(!next(copy, len, &r));
		free(copy);
	}
	for (unsigned claimed = 0; claimed <= 0xffff; claimed++) {
		uint8_t bytes[sizeof(alert)];

		memcpy(bytes, alert, sizeof(alert));
		bytes[11] = (uint8_t)(claimed >> 8);
		bytes[12] = (uint8_t)claimed;
		ck_assert_int_eq(next(bytes, sizeof(bytes), &r), claimed <= 2);
	}
}
END_TEST

START_TEST(record_several_in_one_datagram)
{
	uint8_t bytes[3 * sizeof(alert) + 5] = {0};
	const uint8_t *at = bytes;
	size_t left = sizeof(bytes);
	struct record r;

	for (unsigned i = 0; i < 3; i++) {
		memcpy(bytes + i * sizeof(alert), alert, sizeof(alert));
		bytes[i * sizeof(alert) + 10] = (uint8_t)i;
	}
	for (unsigned i = 0; i < 3; i++) {
		ck_assert(record_next(&at, &left, &r));
		ck_assert_uint_eq(r.seq, i);
		ck_assert_ptr_eq(r.start, bytes + i * sizeof(alert));
	}
	ck_assert(!record_next(&at, &left, &r));
	ck_assert_uint_eq(left, 5);
}
END_TEST

static const uint8_t two_messages[] = {
    /* ServerHelloDone, message_seq 0x0102, whole and empty */
    14, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0,
    /* bytes 5-7 of a Certificate of 0x010203 */
    11, 1, 2, 3, 0xff, 0xfe, 0, 0, 5, 0, 0, 3, 0xaa, 0xbb, 0xcc};

START_TEST(record_messages_and_fragments)
{
	const uint8_t *at = two_messages;
	size_t left = sizeof(two_messages);
	struct message m;

	ck_assert(message_next(&at, &left, &m));
	ck_assert_uint_eq(m.type, 14);
	ck_assert_uint_eq(m.seq, 0x0102);
	ck_assert_uint_eq(m.length + m.offset + m.len, 0);
	ck_assert(message_next(&at, &left, &m));
	ck_assert_uint_eq(m.type, 11);
	ck_assert_uint_eq(m.seq, 0xfffe);
	ck_assert_uint_eq(m.length, 0x010203);
	ck_assert_uint_eq(m.offset, 5);
	ck_assert_uint_eq(m.len, 3);
	ck_assert_ptr_eq(m.body, two_messages + 24);
	ck_assert_uint_eq(left, 0);
	ck_assert(!message_next(&at, &left, &m));
}
END_TEST

START_TEST(record_message_lengths_are_not_trusted)
{
	uint8_t bytes[15] = {11, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 0xaa, 0xbb, 0xcc};
	struct message m;

	for (size_t len = 0; len <= sizeof(bytes); len++) {
		uint8_t *copy = exact_copy(bytes, len);
		const uint8_t *at = copy;
		size_t left = len;

		ck_assert_int_eq(message_next(&at, &left, &m), len == sizeof(bytes));
		free(copy);
	}
	/* CVE-2014-0195: a fragment that reaches past the end of its message. */
	for (unsigned offset = 1; offset < 256; offset++) {
		const uint8_t *at = bytes;
		size_t left = sizeof(bytes);

		bytes[8] = (uint8_t)offset;
		ck_assert(!message_next(&at, &left, &m));
		ck_assert_ptr_eq(at, bytes);
	}
	bytes[6] = bytes[7] = bytes[8] = bytes[9] = bytes[10] = bytes[11] = 0xff;
	ck_assert(!message_next(&(const uint8_t *){bytes}, &(size_t){sizeof(bytes)}, &m));
}
END_TEST

START_TEST(record_message_only_in_plain_handshake_records)
{
	struct record r = {.type = RECORD_HANDSHAKE, .body = two_messages, .len = sizeof(two_messages)};
	struct message m;

	ck_assert(record_message(&r, &m));
	ck_assert_uint_eq(m.type, 14);
	r.epoch = 1;
	ck_assert(!record_message(&r, &m));
	r.epoch = 0;
	r.type = RECORD_APPLICATION_DATA;
	ck_assert(!record_message(&r, &m));
	r.type = RECORD_HANDSHAKE;
	r.len = MESSAGE_HEADER - 1;
	ck_assert(!record_message(&r, &m));
}
END_TEST

START_TEST(record_client_hello_by_its_first_byte)
{
	struct record r = {.type = RECORD_HANDSHAKE, .body = (const uint8_t[]){MESSAGE_CLIENT_HELLO}, .len = 1};

	ck_assert(record_is_client_hello(&r));
	r.len = 0;
	ck_assert(!record_is_client_hello(&r));
	r.len = 1;
	r.epoch = 1;
	ck_assert(!record_is_client_hello(&r));
	r.epoch = 0;
	r.type = RECORD_ALERT;
	ck_assert(!record_is_client_hello(&r));
	r.type = RECORD_HANDSHAKE;
	r.body = (const uint8_t[]){MESSAGE_SERVER_HELLO};
	ck_assert(!record_is_client_hello(&r));
}
END_TEST

START_TEST(record_before_hello_finds_the_first)
{
	struct raw_hello hello;
	uint8_t bytes[4096];
	size_t len = 0;

	hello_capture(&hello);
	ck_assert_uint_eq(record_before_hello(hello.bytes, hello.len), 0);
	ck_assert_uint_eq(record_before_hello(alert, sizeof(alert)), sizeof(alert));
	ck_assert_uint_eq(record_before_hello(alert, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		memcpy(bytes + len, alert, sizeof(alert));
		len += sizeof(alert);
	}
	memcpy(bytes + len, hello.bytes, hello.len);
	ck_assert_uint_eq(record_before_hello(bytes, len + hello.len), len);
	/* A hello that is cut off is no record. */
	ck_assert_uint_eq(record_before_hello(bytes, len + hello.len - 1), len + hello.len - 1);
}
END_TEST

/* Goes through everything as the story does. */
static size_t walk(const uint8_t *at, size_t left)
{
	size_t found = 0;
	struct message m;
	struct record r;

	while (record_next(&at, &left, &r)) {
		const uint8_t *body = r.body;
		size_t body_left = r.len;

		found++;
		while (message_next(&body, &body_left, &m))
			found += m.len == 0 ? 1 : 1 + m.body[m.len - 1] / 256U;
	}
	return found;
}

START_TEST(record_random_bytes_stay_in_bounds)
{
	uint64_t seed = 1;
	size_t found = 0;

	for (unsigned i = 0; i < 20000; i++) {
		size_t len = seeded_below(&seed, 120);
		uint8_t *bytes = malloc(len);

		seeded_bytes(&seed, bytes, len);
		if (len > 25 && i % 2 == 0) {
			memcpy(bytes, "\x16\xfe\xfd\0\0\0\0\0\0\0\0\0", 12);
			bytes[12] = (uint8_t)seeded_below(&seed, len);
			memset(bytes + 14, 0, 2);
			memset(bytes + 19, 0, 5);
		}
		found += walk(bytes, len);
		free(bytes);
	}
	ck_assert_uint_gt(found, 5000);
}
END_TEST

Suite *record_suite(void)
{
	Suite *suite = suite_create("record");

	TEST(suite, record_numbers);
	TEST(suite, record_header_field_by_field);
	TEST(suite, record_types_and_versions);
	TEST(suite, record_length_is_not_trusted);
	TEST(suite, record_several_in_one_datagram);
	TEST(suite, record_messages_and_fragments);
	TEST(suite, record_message_lengths_are_not_trusted);
	TEST(suite, record_message_only_in_plain_handshake_records);
	TEST(suite, record_client_hello_by_its_first_byte);
	TEST(suite, record_before_hello_finds_the_first);
	TEST(suite, record_random_bytes_stay_in_bounds);
	return suite;
}
