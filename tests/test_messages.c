/* Forged handshake messages that are not what they say, or come out of turn. Links of 20 ms: hellos leave at 0 and 40 ms,
 * the server's first flight at 60, the client's last at 80, the server's last at 100. */
#include "pair.h"

#include <string.h>

static struct pair pair;
static struct capture down;

static void open_captured(void)
{
	pair_open(&pair);
	capture_link(&down, pair.server.out);
}

static struct message server_hello(void)
{
	const uint8_t *at = down.datagrams[1].bytes;
	size_t left = down.datagrams[1].len;
	struct record r;
	struct message m;

	ck_assert(record_next(&at, &left, &r));
	ck_assert(record_message(&r, &m));
	ck_assert_uint_eq(m.type, MESSAGE_SERVER_HELLO);
	return m;
}

static struct message part_of(const struct message *whole, size_t offset, size_t len)
{
	struct message m = *whole;

	m.offset = offset;
	m.len = len;
	m.body += offset;
	return m;
}

/* These come at 70 ms, before the server's first flight at 80. */
static void inject_at_70(const struct message messages[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct datagram d = plain_message(10 + i, &messages[i]);

		pair_inject(&pair, &pair.client, &d);
	}
}

static struct message open_at_70(void)
{
	open_captured();
	pair_until(&pair, 70);
	return server_hello();
}

static void assert_unharmed(void)
{
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}

START_TEST(messages_fragments_that_overlap)
{
	struct message whole = open_at_70();
	struct message parts[] = {
	    part_of(&whole, 10, 20), part_of(&whole, 0, 15), part_of(&whole, 25, whole.length - 25)};

	inject_at_70(parts, 3);
	assert_unharmed();
}
END_TEST

/* CVE-2014-0195: a fragment that claims another length than the first one did. */
START_TEST(messages_fragments_of_different_lengths)
{
	struct message whole = open_at_70();
	struct message parts[] = {part_of(&whole, 0, 20), part_of(&whole, 10, 40), part_of(&whole, 20, 10)};

	parts[1].length += 1000;
	parts[2].length -= 10;
	inject_at_70(parts, 3);
	assert_unharmed();
}
END_TEST

/* CVE-2022-29190. */
START_TEST(messages_empty_fragments)
{
	struct message whole = open_at_70();
	struct message parts[] = {
	    part_of(&whole, 0, 0), part_of(&whole, 30, 0), part_of(&whole, whole.length, 0), part_of(&whole, 0, 0)};

	inject_at_70(parts, 4);
	assert_unharmed();
}
END_TEST

/* CVE-2016-2179: messages far ahead must not pile up. */
START_TEST(messages_message_seq_gaps)
{
	struct message whole = open_at_70();
	struct message parts[8];

	for (unsigned i = 0; i < 8; i++) {
		parts[i] = part_of(&whole, 0, i % 2 == 0 ? whole.length : 10);
		parts[i].seq = (uint16_t)(whole.seq + 1 + (1u << (2 * i)));
	}
	inject_at_70(parts, 8);
	assert_unharmed();
}
END_TEST

/* What a message says of itself may end this handshake, but never more than that. */
static void assert_ends_or_goes_on(struct side *side)
{
	pair_handshake(&pair);
	if (side->status == DTLS_OK) {
		pair_assert_exchange(&pair);
	} else {
		ck_assert_int_eq(side->status, DTLS_FAIL);
		ck_assert_str_ne(dtls_conn_error(side->conn), "");
	}
	ck_assert_uint_eq(side->messages, 0);
	pair_close(&pair);
}

START_TEST(messages_16_megabytes)
{
	struct message whole = open_at_70();
	struct message part = part_of(&whole, 0, 20);

	part.length = 0xffffff;
	inject_at_70(&part, 1);
	assert_ends_or_goes_on(&pair.client);
}
END_TEST

START_TEST(messages_fragment_beyond_its_message)
{
	struct message whole = open_at_70();
	struct message part = part_of(&whole, 0, 20);

	part.offset = whole.length - 10;
	inject_at_70(&part, 1);
	assert_ends_or_goes_on(&pair.client);
}
END_TEST

/* ---- out of turn */

START_TEST(messages_short_server_hello)
{
	struct message whole = open_at_70();
	struct message part = part_of(&whole, 0, 10);

	part.length = 10;
	inject_at_70(&part, 1);
	assert_ends_or_goes_on(&pair.client);
}
END_TEST

START_TEST(messages_finished_in_the_clear)
{
	static const uint8_t verify_data[12];
	struct message finished = {.type = 20, .length = 12, .len = 12, .body = verify_data};
	struct datagram d;

	for (uint16_t seq = 0; seq < 5; seq++) {
		open_captured();
		pair_until(&pair, 90);
		finished.seq = seq;
		d = plain_message(10, &finished);
		pair_inject(&pair, &pair.client, &d);
		ck_assert_int_ne(pair.client.status, DTLS_OK);
		assert_ends_or_goes_on(&pair.client);
	}
}
END_TEST

START_TEST(messages_change_cipher_spec_early)
{
	static const uint8_t one[] = {1};
	struct datagram d = plain_record(RECORD_CHANGE_CIPHER_SPEC, 10, one, 1);

	for (int64_t at_ms = 10; at_ms < 120; at_ms += 20) {
		open_captured();
		pair_until(&pair, at_ms);
		pair_inject(&pair, &pair.client, &d);
		pair_inject(&pair, &pair.server, &d);
		assert_ends_or_goes_on(&pair.client);
	}
}
END_TEST

START_TEST(messages_data_before_finished)
{
	struct datagram d = plain_record(RECORD_APPLICATION_DATA, 10, "reading", 7);

	for (int64_t at_ms = 10; at_ms < 120; at_ms += 20) {
		for (uint8_t epoch = 0; epoch < 2; epoch++) {
			open_captured();
			pair_until(&pair, at_ms);
			d.bytes[4] = epoch;
			pair_inject(&pair, &pair.client, &d);
			pair_inject(&pair, &pair.server, &d);
			ck_assert_uint_eq(pair.server.messages, 0);
			assert_ends_or_goes_on(&pair.client);
		}
	}
}
END_TEST

static enum sim_fate hold(void *arg, unsigned nth, const void *datagram, size_t len)
{
	(void)arg, (void)datagram, (void)len;
	return nth == 3 ? SIM_HOLD_BEHIND_NEXT : SIM_DELIVER;
}

/* The server's first message overtakes its Finished: it may be lost, and is never delivered before. */
START_TEST(messages_data_overtakes_finished)
{
	open_captured();
	sim_link_decide(pair.server.out, hold, NULL);
	pair_until(&pair, 100);
	ck_assert_int_eq(dtls_conn_write(pair.server.conn, "early", 5), 5);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

Suite *messages_suite(void)
{
	Suite *s = suite_create("messages");

	TEST(s, messages_fragments_that_overlap);
	TEST(s, messages_fragments_of_different_lengths);
	TEST(s, messages_empty_fragments);
	TEST(s, messages_message_seq_gaps);
	TEST(s, messages_16_megabytes);
	TEST(s, messages_fragment_beyond_its_message);
	TEST(s, messages_short_server_hello);
	TEST(s, messages_finished_in_the_clear);
	TEST(s, messages_change_cipher_spec_early);
	TEST(s, messages_data_before_finished);
	TEST(s, messages_data_overtakes_finished);
	return s;
}
