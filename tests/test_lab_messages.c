#include "examples/lab_message_drops.h"
#include "examples/lab_options.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEPT = 64, DATAGRAM_MAX = 1500 };

static struct kept {
	size_t len;
	enum direction direction;
	uint8_t bytes[DATAGRAM_MAX];
} kept[KEPT];
static unsigned kept_count;

static void keep(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct kept *k = &kept[kept_count++];

	(void)arg, (void)now_ms, (void)delivered;
	ck_assert_uint_le(kept_count, KEPT);
	ck_assert_uint_le(len, DATAGRAM_MAX);
	k->direction = direction;
	k->len = len;
	memcpy(k->bytes, datagram, len);
}

/* All datagrams of a handshake without losses. */
static void keep_handshake(const char *suite, size_t mtu)
{
	struct lab_options options = lab_defaults;
	const struct lab_watch watch = {.sent = keep};
	struct lab *lab;

	kept_count = 0;
	options.setup.suite = suite;
	options.setup.mtu = mtu;
	lab = lab_new(&options.setup);
	ck_assert(lab_run(lab, &options.weather, 1, &watch).connected);
	lab_free(lab);
}

/* ---- names ---- */

static void describe(const struct lab_message *m, char *text, size_t size)
{
	snprintf(text, size, "%d %s %d%s", m->flight, lab_kind_name(m->kind), m->seq, m->encrypted ? " encrypted" : "");
}

static void assert_messages(const char *const *expected, unsigned expected_count)
{
	struct lab_message messages[LAB_MESSAGES];
	unsigned seen = 0;
	char text[80];

	for (unsigned i = 0; i < kept_count; i++) {
		size_t count = lab_messages_read(kept[i].direction, kept[i].bytes, kept[i].len, messages);

		for (size_t j = 0; j < count; j++, seen++) {
			ck_assert_uint_lt(seen, expected_count);
			describe(&messages[j], text, sizeof(text));
			ck_assert_str_eq(text, expected[seen]);
			ck_assert_uint_eq(messages[j].len, messages[j].total);
			ck_assert_int_eq(messages[j].alert, -1);
		}
	}
	ck_assert_uint_eq(seen, expected_count);
}

#define ASSERT_MESSAGES(expected) assert_messages(expected, sizeof(expected) / sizeof(*(expected)))

START_TEST(lab_messages_of_a_psk_handshake)
{
	static const char *const expected[] = {"1 ClientHello 0", "2 HelloVerifyRequest 0", "3 ClientHello 1",
	    "4 ServerHello 1", "4 ServerHelloDone 2", "5 ClientKeyExchange 2", "5 ChangeCipherSpec -1",
	    "5 Finished -1 encrypted", "6 ChangeCipherSpec -1", "6 Finished -1 encrypted"};

	keep_handshake(LAB_PSK_SUITE, 1200);
	ASSERT_MESSAGES(expected);
}
END_TEST

START_TEST(lab_messages_of_certificates)
{
	static const char *const expected[] = {"1 ClientHello 0", "2 HelloVerifyRequest 0", "3 ClientHello 1",
	    "4 ServerHello 1", "4 Certificate 2", "4 ServerKeyExchange 3", "4 ServerHelloDone 4",
	    "5 ClientKeyExchange 2", "5 ChangeCipherSpec -1", "5 Finished -1 encrypted", "6 ChangeCipherSpec -1",
	    "6 Finished -1 encrypted"};

	keep_handshake("cert", 1400);
	ASSERT_MESSAGES(expected);
}
END_TEST

/* Each next fragment begins where the one before it ended, up to the whole. */
START_TEST(lab_messages_in_fragments)
{
	struct lab_message messages[LAB_MESSAGES];
	uint32_t end = 0, total = 0, fragments = 0;

	keep_handshake("cert", 256);
	for (unsigned i = 0; i < kept_count; i++) {
		size_t count = lab_messages_read(kept[i].direction, kept[i].bytes, kept[i].len, messages);

		for (size_t j = 0; j < count; j++) {
			if (messages[j].kind != LAB_CERTIFICATE)
				continue;
			ck_assert_uint_eq(messages[j].offset, end);
			end += messages[j].len;
			total = messages[j].total;
			fragments++;
		}
	}
	ck_assert_uint_ge(fragments, 4);
	ck_assert_uint_eq(end, total);
}
END_TEST

START_TEST(lab_messages_alerts)
{
	static const uint8_t plain[] = "\x15\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x07\x00\x02\x02\x28";
	static const uint8_t encrypted[] = "\x15\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x07\x00\x02\x02\x28";
	struct lab_message messages[LAB_MESSAGES];

	ck_assert_uint_eq(lab_messages_read(TO_CLIENT, plain, sizeof(plain) - 1, messages), 1);
	ck_assert_int_eq(messages[0].kind, LAB_ALERT);
	ck_assert_int_eq(messages[0].alert, 40);
	ck_assert_int_eq(messages[0].flight, 0);
	ck_assert_uint_eq(lab_messages_read(TO_CLIENT, encrypted, sizeof(encrypted) - 1, messages), 1);
	ck_assert_int_eq(messages[0].alert, -1);
	ck_assert(messages[0].encrypted);
}
END_TEST

/* Whatever a datagram is cut to, and whichever bit of its last byte then is another: nothing behind its end is read. */
START_TEST(lab_messages_of_anything)
{
	struct lab_message messages[LAB_MESSAGES];

	keep_handshake("cert", 1200);
	for (unsigned i = 0; i < kept_count; i++) {
		const struct kept *k = &kept[i];

		for (size_t len = 0; len <= k->len; len++) {
			uint8_t *copy = malloc(len + 1);

			ck_assert_ptr_nonnull(copy);
			memcpy(copy + 1, k->bytes, len);
			ck_assert_uint_le(lab_messages_read(k->direction, copy + 1, len, messages), LAB_MESSAGES);
			for (unsigned bit = 0; len > 0 && bit < 8; bit++) {
				copy[len] ^= (uint8_t)(1 << bit);
				ck_assert_uint_le(
				    lab_messages_read(k->direction, copy + 1, len, messages), LAB_MESSAGES);
				copy[len] ^= (uint8_t)(1 << bit);
			}
			free(copy);
		}
	}
}
END_TEST

START_TEST(lab_messages_more_than_are_kept)
{
	static const uint8_t done[25] = {22, 0xfe, 0xfd, [12] = 12, [13] = 14, [18] = 2};
	struct lab_message messages[LAB_MESSAGES];
	uint8_t many[50 * sizeof(done)];

	for (size_t i = 0; i < 50; i++)
		memcpy(many + i * sizeof(done), done, sizeof(done));
	ck_assert_uint_eq(lab_messages_read(TO_CLIENT, many, 3 * sizeof(done), messages), 3);
	ck_assert_int_eq(messages[2].kind, LAB_SERVER_HELLO_DONE);
	ck_assert_int_eq(messages[2].seq, 2);
	ck_assert_uint_eq(lab_messages_read(TO_CLIENT, many, sizeof(many), messages), LAB_MESSAGES);
}
END_TEST

START_TEST(lab_messages_by_name)
{
	for (int kind = 0; kind < LAB_KINDS; kind++)
		ck_assert_int_eq(lab_kind_named(lab_kind_name(kind)), kind);
	ck_assert_int_eq(lab_kind_named("finished"), LAB_KINDS);
	ck_assert_int_eq(lab_kind_named(""), LAB_KINDS);
}
END_TEST

/* ---- which are to be lost ---- */

/* Sends the kept handshake so many times; "2 5" are the numbers, from 1 on, of the datagrams that are lost. */
static void assert_lost(const char *list, int times, const char *expected)
{
	static struct lab_message_drops drops;
	char copy[80], lost[256] = "";
	unsigned nth = 0;

	memset(&drops, 0, sizeof(drops));
	snprintf(copy, sizeof(copy), "%s", list);
	lab_message_drops_add(&drops, "--drop-message", copy);
	while (times-- > 0) {
		for (unsigned i = 0; i < kept_count; i++) {
			const struct kept *k = &kept[i];
			size_t used = strlen(lost);

			nth++;
			if (lab_message_drops_include(&drops, k->direction, k->bytes, k->len))
				snprintf(lost + used, sizeof(lost) - used, "%s%u", used > 0 ? " " : "", nth);
			lab_message_drops_sent(&drops, k->direction, k->bytes, k->len);
		}
	}
	ck_assert_msg(strcmp(lost, expected) == 0, "%s: \"%s\" instead of \"%s\"", list, lost, expected);
}

/* Six datagrams: hello, its answer, hello, and three flights. */
START_TEST(lab_messages_lost_by_number)
{
	keep_handshake(LAB_PSK_SUITE, 1200);
	ck_assert_uint_eq(kept_count, 6);
	assert_lost("ServerHelloDone#1", 3, "4");
	assert_lost("ServerHelloDone#2", 3, "10");
	assert_lost("ServerHelloDone#2-3", 3, "10 16");
	assert_lost("ServerHelloDone", 3, "4 10 16");
	assert_lost("ClientHello#2", 2, "3");
	assert_lost("ClientHello#3,ServerHello#1", 2, "4 7");
	assert_lost("Certificate", 2, "");
}
END_TEST

START_TEST(lab_messages_lost_by_side)
{
	keep_handshake(LAB_PSK_SUITE, 1200);
	assert_lost("Finished#1", 2, "5 6");
	assert_lost("cFinished#1", 2, "5");
	assert_lost("sFinished#2", 2, "12");
	assert_lost("sChangeCipherSpec", 2, "6 12");
	assert_lost("sClientHello", 2, "");
}
END_TEST

/* A message in fragments is sent once, in several datagrams. */
START_TEST(lab_messages_lost_with_all_fragments)
{
	keep_handshake("cert", 256);
	ck_assert_uint_eq(kept_count, 11);
	assert_lost("Certificate#2", 3, "15 16 17 18");
	assert_lost("ServerHelloDone#1", 2, "9");
}
END_TEST

START_TEST(lab_messages_never_sent_so_often)
{
	static struct lab_message_drops drops;
	char list[] = "Finished#2,ServerHello#1,sFinished#1-3,Certificate,cFinished#2-3";
	size_t next = 0;

	keep_handshake(LAB_PSK_SUITE, 1200);
	lab_message_drops_add(&drops, "--drop-message", list);
	for (unsigned i = 0; i < kept_count; i++)
		lab_message_drops_sent(&drops, kept[i].direction, kept[i].bytes, kept[i].len);
	ck_assert_str_eq(lab_message_drops_unused(&drops, &next), "Finished#2");
	ck_assert_str_eq(lab_message_drops_unused(&drops, &next), "Certificate");
	ck_assert_str_eq(lab_message_drops_unused(&drops, &next), "cFinished#2-3");
	ck_assert_ptr_null(lab_message_drops_unused(&drops, &next));
}
END_TEST

Suite *lab_messages_suite(void)
{
	Suite *s = suite_create("lab_messages");

	TEST(s, lab_messages_of_a_psk_handshake);
	TEST(s, lab_messages_of_certificates);
	TEST(s, lab_messages_in_fragments);
	TEST(s, lab_messages_alerts);
	TEST(s, lab_messages_of_anything);
	TEST(s, lab_messages_more_than_are_kept);
	TEST(s, lab_messages_by_name);
	TEST(s, lab_messages_lost_by_number);
	TEST(s, lab_messages_lost_by_side);
	TEST(s, lab_messages_lost_with_all_fragments);
	TEST(s, lab_messages_never_sent_so_often);
	return s;
}
