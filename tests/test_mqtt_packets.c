#include "examples/mqtt.h"
#include "hellos.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((struct mqtt_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

#define OUT_IS(out, literal) out_is(out, literal, sizeof(literal) - 1)

static void out_is(struct mqtt_buffer *out, const char *expected, size_t len)
{
	ck_assert_uint_eq(out->end - out->start, len);
	ck_assert_mem_eq(out->bytes + out->start, expected, len);
	mqtt_buffer_free(out);
}

/* Parses a copy that ends where the bytes end. */
static long parse(const void *bytes, size_t len, const char **why)
{
	uint8_t *copy = exact_copy(bytes, len);
	struct mqtt_packet packet;
	long n = mqtt_parse(copy, len, &packet, why);

	free(copy);
	return n;
}

#define MALFORMED(literal, words) malformed(literal, sizeof(literal) - 1, words)

static void malformed(const char *bytes, size_t len, const char *words)
{
	const char *why = "";

	ck_assert_int_eq(parse(bytes, len, &why), -1);
	ck_assert_msg(strstr(why, words) != NULL, "\"%s\" is not in \"%s\"", words, why);
}

#define PARSED(literal, packet) parsed(literal, sizeof(literal) - 1, packet)

/* Whole, and not before its last byte. */
static void parsed(const char *bytes, size_t len, struct mqtt_packet *packet)
{
	const char *why;

	for (size_t cut = 0; cut < len; cut++)
		ck_assert_int_eq(parse(bytes, cut, &why), 0);
	ck_assert_int_eq(mqtt_parse((const uint8_t *)bytes, len, packet, &why), (long)len);
}

/* ---- buffers ---- */

START_TEST(mqtt_buffer_keeps_what_was_not_dropped)
{
	struct mqtt_buffer b = {0};
	uint8_t block[700];

	for (uint8_t i = 0; i < 100; i++) {
		memset(block, i, sizeof(block));
		ck_assert(mqtt_buffer_append(&b, block, sizeof(block)));
		mqtt_buffer_drop(&b, sizeof(block) / 2);
	}
	ck_assert_uint_eq(b.end - b.start, 100 * sizeof(block) / 2);
	for (size_t i = 0; i < b.end - b.start; i++)
		ck_assert_uint_eq(b.bytes[b.start + i], 50 + i / sizeof(block));
	mqtt_buffer_drop(&b, b.end - b.start);
	ck_assert_uint_eq(b.start, 0);
	ck_assert_uint_eq(b.end, 0);
	ck_assert_uint_le(b.room, 65536);
	mqtt_buffer_free(&b);
}
END_TEST

/* ---- strings ---- */

START_TEST(mqtt_strings_are_utf8)
{
	static const char *const good[] = {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
	    "\xee\x80\x80", "\xef\xbb\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "K\xc3\xbc."};
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2z", "\xe0\x9f\xbf", "\xe1\x80",
	    "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf0\x90\x80z", "\xf4\x90\x80\x80",
	    "\xf5\x80\x80\x80", "\xff", "a\xfe"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		uint8_t *copy = exact_copy(good[i], strlen(good[i]));

		ck_assert_msg(mqtt_bad_string((struct mqtt_bytes){copy, strlen(good[i])}) == NULL, "good %zu", i);
		free(copy);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint8_t *copy = exact_copy(bad[i], strlen(bad[i]));
		const char *why = mqtt_bad_string((struct mqtt_bytes){copy, strlen(bad[i])});

		ck_assert_msg(why != NULL, "bad %zu", i);
		ck_assert_str_eq(why, "is not UTF-8");
		free(copy);
	}
	ck_assert_str_eq(mqtt_bad_string(TEXT("a\0b")), "contains the character U+0000");
}
END_TEST

START_TEST(mqtt_strings_have_65535_bytes_at_most)
{
	static uint8_t text[65536];

	memset(text, 'a', sizeof(text));
	ck_assert_ptr_null(mqtt_bad_string((struct mqtt_bytes){text, 65535}));
	ck_assert_ptr_nonnull(mqtt_bad_string((struct mqtt_bytes){text, 65536}));
	ck_assert_ptr_nonnull(mqtt_bad_topic((struct mqtt_bytes){text, 65536}));
	ck_assert_ptr_nonnull(mqtt_bad_filter((struct mqtt_bytes){text, 65536}));
}
END_TEST

START_TEST(mqtt_topics_have_no_wildcards)
{
	ck_assert_ptr_null(mqtt_bad_topic(TEXT("/")));
	ck_assert_ptr_null(mqtt_bad_topic(TEXT("a b/$c")));
	ck_assert_ptr_nonnull(mqtt_bad_topic(TEXT("")));
	ck_assert_ptr_nonnull(mqtt_bad_topic(TEXT("a/#")));
	ck_assert_ptr_nonnull(mqtt_bad_topic(TEXT("+/a")));
	ck_assert_ptr_nonnull(mqtt_bad_topic(TEXT("a\xff")));
}
END_TEST

START_TEST(mqtt_filters_have_wildcards_in_their_places)
{
	static const char *const good[] = {"#", "+", "a/#", "/#", "+/+", "/+/", "a/+/b/#", "$SYS/#", "a"};
	static const char *const bad[] = {"", "a#", "#/a", "a/#/b", "##", "a+", "+a", "a/b+/c", "++", "+#", "\xff"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(mqtt_bad_filter((struct mqtt_bytes){(const uint8_t *)good[i], strlen(good[i])}) == NULL,
		    "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(mqtt_bad_filter((struct mqtt_bytes){(const uint8_t *)bad[i], strlen(bad[i])}) != NULL,
		    "%s", bad[i]);
}
END_TEST

/* ---- to the broker, byte for byte ---- */

START_TEST(mqtt_connect_byte_for_byte)
{
	struct mqtt_connect connect = {.client_id = TEXT("ab"), .keepalive_s = 0x1234};
	struct mqtt_buffer out = {0};

	ck_assert(mqtt_add_connect(&out, &connect));
	OUT_IS(&out, "\x10\x0e\0\x04MQTT\x04\x02\x12\x34\0\x02"
		     "ab");
	connect.has_user = true;
	connect.user = TEXT("u");
	ck_assert(mqtt_add_connect(&out, &connect));
	OUT_IS(&out, "\x10\x11\0\x04MQTT\x04\x82\x12\x34\0\x02"
		     "ab\0\x01u");
	connect.has_password = true;
	connect.password = TEXT("p\0w");
	connect.client_id = TEXT("");
	ck_assert(mqtt_add_connect(&out, &connect));
	OUT_IS(&out, "\x10\x14\0\x04MQTT\x04\xc2\x12\x34\0\0\0\x01u\0\x03p\0w");
}
END_TEST

START_TEST(mqtt_publish_byte_for_byte)
{
	struct mqtt_publish publish = {.topic = TEXT("a/b"), .payload = TEXT("hi"), .id = 7};
	struct mqtt_buffer out = {0};

	ck_assert(mqtt_add_publish(&out, &publish));
	OUT_IS(&out, "\x30\x07\0\x03"
		     "a/bhi");
	publish.qos = 1;
	publish.id = 0x0102;
	publish.retain = true;
	publish.payload = TEXT("");
	ck_assert(mqtt_add_publish(&out, &publish));
	OUT_IS(&out, "\x33\x07\0\x03"
		     "a/b\x01\x02");
}
END_TEST

START_TEST(mqtt_subscribe_and_the_small_ones_byte_for_byte)
{
	const struct mqtt_bytes filters[] = {TEXT("a/#"), TEXT("b")};
	struct mqtt_buffer out = {0};

	ck_assert(mqtt_add_subscribe(&out, 10, filters, 2, 1));
	OUT_IS(&out, "\x82\x0c\0\x0a\0\x03"
		     "a/#\x01\0\x01"
		     "b\x01");
	ck_assert(mqtt_add_puback(&out, 0xfffe));
	OUT_IS(&out, "\x40\x02\xff\xfe");
	ck_assert(mqtt_add_empty(&out, MQTT_PINGREQ));
	ck_assert(mqtt_add_empty(&out, MQTT_DISCONNECT));
	OUT_IS(&out, "\xc0\0\xe0\0");
}
END_TEST

/* The boundaries of the remaining length in table 2.4, each way. */
START_TEST(mqtt_lengths_of_one_to_four_bytes)
{
	static const struct {
		size_t remaining;
		const char *header;
		size_t header_len;
	} rows[] = {{127, "\x30\x7f", 2}, {128, "\x30\x80\x01", 3}, {16383, "\x30\xff\x7f", 3},
	    {16384, "\x30\x80\x80\x01", 4}, {2097151, "\x30\xff\xff\x7f", 4}, {2097152, "\x30\x80\x80\x80\x01", 5}};
	size_t row_count = sizeof(rows) / sizeof(*rows);
	uint8_t *payload = calloc(1, rows[row_count - 1].remaining);

	for (size_t i = 0; i < row_count; i++) {
		struct mqtt_publish publish = {.topic = TEXT("t"), .payload = {payload, rows[i].remaining - 3}};
		struct mqtt_buffer out = {0};
		struct mqtt_packet packet;
		const char *why;

		ck_assert(mqtt_add_publish(&out, &publish));
		ck_assert_uint_eq(out.end, rows[i].header_len + rows[i].remaining);
		ck_assert_mem_eq(out.bytes, rows[i].header, rows[i].header_len);
		ck_assert_int_eq(mqtt_parse(out.bytes, out.end - 1, &packet, &why), 0);
		ck_assert_int_eq(mqtt_parse(out.bytes, out.end, &packet, &why), (long)out.end);
		ck_assert_uint_eq(packet.publish.payload.len, rows[i].remaining - 3);
		mqtt_buffer_free(&out);
	}
	free(payload);
}
END_TEST

START_TEST(mqtt_larger_than_a_packet_is_refused)
{
	struct mqtt_publish publish = {.topic = TEXT("t"), .payload = {(const uint8_t *)"", MQTT_REMAINING_MAX - 2}};
	struct mqtt_buffer out = {0};

	ck_assert(!mqtt_add_publish(&out, &publish));
	publish.payload.len = SIZE_MAX;
	ck_assert(!mqtt_add_publish(&out, &publish));
	ck_assert_ptr_null(out.bytes);
}
END_TEST

/* ---- from the broker ---- */

START_TEST(mqtt_parses_what_brokers_send)
{
	struct mqtt_packet p;

	PARSED("\x20\x02\0\x05", &p);
	ck_assert_int_eq(p.type, MQTT_CONNACK);
	ck_assert_uint_eq(p.code, 5);
	PARSED("\x40\x02\x12\x34", &p);
	ck_assert_int_eq(p.type, MQTT_PUBACK);
	ck_assert_uint_eq(p.id, 0x1234);
	PARSED("\x90\x06\0\x01\0\x01\x02\x80", &p);
	ck_assert_int_eq(p.type, MQTT_SUBACK);
	ck_assert_uint_eq(p.id, 1);
	ck_assert_uint_eq(p.granted.len, 4);
	ck_assert_mem_eq(p.granted.start, "\0\x01\x02\x80", 4);
	PARSED("\xd0\0", &p);
	ck_assert_int_eq(p.type, MQTT_PINGRESP);
}
END_TEST

START_TEST(mqtt_parses_messages)
{
	struct mqtt_packet p;

	PARSED("\x31\x07\0\x03"
	       "a/bhi",
	    &p);
	ck_assert_int_eq(p.type, MQTT_PUBLISH);
	ck_assert_uint_eq(p.publish.qos, 0);
	ck_assert(p.publish.retain);
	ck_assert_uint_eq(p.publish.topic.len, 3);
	ck_assert_mem_eq(p.publish.topic.start, "a/b", 3);
	ck_assert_uint_eq(p.publish.payload.len, 2);
	ck_assert_mem_eq(p.publish.payload.start, "hi", 2);
	PARSED("\x3a\x05\0\x01"
	       "a\x12\x34",
	    &p); /* a duplicate */
	ck_assert_uint_eq(p.publish.qos, 1);
	ck_assert(!p.publish.retain);
	ck_assert_uint_eq(p.publish.id, 0x1234);
	ck_assert_uint_eq(p.publish.payload.len, 0);
}
END_TEST

START_TEST(mqtt_takes_one_packet_after_the_other)
{
	static const char bytes[] = "\xd0\0\x40\x02\0\x07";
	struct mqtt_packet p;
	const char *why;

	ck_assert_int_eq(mqtt_parse((const uint8_t *)bytes, 6, &p, &why), 2);
	ck_assert_int_eq(mqtt_parse((const uint8_t *)bytes + 2, 4, &p, &why), 4);
	ck_assert_uint_eq(p.id, 7);
}
END_TEST

START_TEST(mqtt_malformed_packets_are_named)
{
	MALFORMED("\x34", "QoS 2");
	MALFORMED("\x3d", "QoS 2");
	MALFORMED("\x36", "flags that it cannot have");
	MALFORMED("\x38", "flags that it cannot have");
	MALFORMED("\x21", "reserved flags");
	MALFORMED("\x42", "reserved flags");
	MALFORMED("\x98", "reserved flags");
	MALFORMED("\xd4", "reserved flags");
	for (unsigned type = 0; type < 16; type++) {
		char first = (char)(type << 4);

		if (type != MQTT_CONNACK && type != MQTT_PUBLISH && type != MQTT_PUBACK && type != MQTT_SUBACK &&
		    type != MQTT_PINGRESP)
			malformed(&first, 1, "no MQTT 3.1.1 broker");
	}
	MALFORMED("HTTP/1.1 400 Bad Request\r\n", "reserved flags");
	MALFORMED("SSH-2.0-OpenSSH_9.2p1\r\n", "no MQTT 3.1.1 broker");
	MALFORMED("\x30\x80\x80\x80\x80", "more than four bytes");
	MALFORMED("\x30\xff\xff\xff\xff\x7f", "more than four bytes");
	MALFORMED("\x20\x01", "CONNACK of the wrong length");
	MALFORMED("\x20\x03", "CONNACK of the wrong length");
	MALFORMED("\x20\x02\x02\0", "CONNACK with flags");
	MALFORMED("\x20\x02\x01\0", "CONNACK with flags");
	MALFORMED("\x40\x01", "PUBACK of the wrong length");
	MALFORMED("\x40\x03", "PUBACK of the wrong length");
	MALFORMED("\x90\x02", "SUBACK of the wrong length");
	MALFORMED("\x90\x03\0\x01\x03", "unknown code");
	MALFORMED("\x90\x04\0\x01\x01\x81", "unknown code");
	MALFORMED("\xd0\x01", "PINGRESP of the wrong length");
}
END_TEST

START_TEST(mqtt_malformed_messages_are_named)
{
	MALFORMED("\x30\0", "without a topic");
	MALFORMED("\x30\x01", "without a topic");
	MALFORMED("\x30\x02\0\x01", "shorter than its own topic");
	MALFORMED("\x30\x03\0\x02"
		  "a",
	    "shorter than its own topic");
	MALFORMED("\x30\x03\xff\xff"
		  "a",
	    "shorter than its own topic");
	MALFORMED("\x32\x04\0\x01"
		  "a\x01",
	    "shorter than its own topic");
	MALFORMED("\x32\x05\0\x01"
		  "a\0\0",
	    "identifier 0");
	MALFORMED("\x30\x02\0\0", "topic is empty");
	MALFORMED("\x30\x03\0\x01#", "wildcards");
	MALFORMED("\x30\x03\0\x01+", "wildcards");
	MALFORMED("\x30\x03\0\x01\0", "topic");
	MALFORMED("\x30\x03\0\x01\xff", "not UTF-8");
}
END_TEST

/* Whatever comes is taken, waited for or refused, without a byte read too many. */
START_TEST(mqtt_any_bytes_stay_in_bounds)
{
	uint32_t state = 1;

	for (int round = 0; round < 200000; round++) {
		uint8_t bytes[12];
		size_t len;
		const char *why;
		long n;

		for (size_t i = 0; i < sizeof(bytes); i++) {
			state = state * 1664525 + 1013904223;
			bytes[i] = (uint8_t)(state >> 24);
		}
		len = bytes[11] % 12;
		bytes[1] = (uint8_t)(bytes[1] & (bytes[10] & 1 ? 0x0f : 0xff));
		n = parse(bytes, len, &why);
		ck_assert_int_ge(n, -1);
		ck_assert_int_le(n, (long)len);
	}
}
END_TEST

START_TEST(mqtt_refusals_have_a_meaning)
{
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(1), "protocol version"));
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(2), "identifier rejected"));
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(3), "unavailable"));
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(4), "bad user name or password"));
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(5), "not authorized"));
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(6), "unknown"));
	ck_assert_ptr_nonnull(strstr(mqtt_connect_refusal(255), "unknown"));
}
END_TEST

Suite *mqtt_packets_suite(void)
{
	Suite *suite = suite_create("mqtt_packets");

	TEST(suite, mqtt_buffer_keeps_what_was_not_dropped);
	TEST(suite, mqtt_strings_are_utf8);
	TEST(suite, mqtt_strings_have_65535_bytes_at_most);
	TEST(suite, mqtt_topics_have_no_wildcards);
	TEST(suite, mqtt_filters_have_wildcards_in_their_places);
	TEST(suite, mqtt_connect_byte_for_byte);
	TEST(suite, mqtt_publish_byte_for_byte);
	TEST(suite, mqtt_subscribe_and_the_small_ones_byte_for_byte);
	TEST(suite, mqtt_lengths_of_one_to_four_bytes);
	TEST(suite, mqtt_larger_than_a_packet_is_refused);
	TEST(suite, mqtt_parses_what_brokers_send);
	TEST(suite, mqtt_parses_messages);
	TEST(suite, mqtt_takes_one_packet_after_the_other);
	TEST(suite, mqtt_malformed_packets_are_named);
	TEST(suite, mqtt_malformed_messages_are_named);
	TEST(suite, mqtt_any_bytes_stay_in_bounds);
	TEST(suite, mqtt_refusals_have_a_meaning);
	return suite;
}
