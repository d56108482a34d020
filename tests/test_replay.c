/* What a stranger can do to an established session by sending from the peer's address: nothing. */
#include "pair.h"
#include "seeded.h"

#include <string.h>

enum { WINDOW = 64 }; /* RFC 6347, 4.1.2.6 */

static struct pair pair;
static struct capture up, down;
static unsigned char arrived[256];

static void heard(struct side *s, const uint8_t *message, size_t len)
{
	(void)s;
	ck_assert_uint_eq(len, 1);
	arrived[message[0]]++;
}

/* The handshake is in the captures. */
static void connect_pair(void)
{
	pair_open(&pair);
	capture_link(&up, pair.client.out);
	capture_link(&down, pair.server.out);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair.server.heard = heard;
	memset(arrived, 0, sizeof(arrived));
}

/* Records of the client with the messages 0, 1, 2...; none arrives. */
static const struct datagram *records(unsigned count)
{
	static struct datagram made[100];

	ck_assert_uint_le(count, 100);
	sim_link_decide(pair.client.out, pair_drop_all, NULL);
	for (unsigned i = 0; i < count; i++) {
		uint8_t message = (uint8_t)i;

		up.count = 0;
		ck_assert_int_eq(dtls_conn_write(pair.client.conn, &message, 1), 1);
		made[i] = up.datagrams[0];
	}
	sim_link_decide(pair.client.out, NULL, NULL);
	return made;
}

START_TEST(replay_is_delivered_once)
{
	const struct datagram *record;

	connect_pair();
	record = records(3);
	for (int round = 0; round < 5; round++)
		for (int i = 0; i < 3; i++)
			pair_inject(&pair, &pair.server, &record[i]);
	ck_assert_uint_eq(pair.server.messages, 3);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
	ck_assert_uint_eq(pair.server.conn->tally.forgeries, 0);
	pair.server.heard = NULL;
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(replay_window_of_64)
{
	const struct datagram *record;

	connect_pair();
	record = records(70);
	for (unsigned i = 70; i-- > 0;)
		pair_inject(&pair, &pair.server, &record[i]);
	ck_assert_uint_eq(pair.server.messages, WINDOW);
	for (unsigned i = 0; i < 70; i++)
		ck_assert_uint_eq(arrived[i], i >= 70 - WINDOW);
	pair_close(&pair);
}
END_TEST

START_TEST(replay_any_order_within_the_window)
{
	const struct datagram *record;
	unsigned order[WINDOW] = {0};
	uint64_t state = 7;

	connect_pair();
	record = records(WINDOW);
	for (unsigned i = 0; i < WINDOW; i++) {
		unsigned k = (unsigned)seeded_below(&state, i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	for (unsigned i = 0; i < WINDOW; i++)
		pair_inject(&pair, &pair.server, &record[order[i]]);
	for (unsigned i = 0; i < WINDOW; i++)
		ck_assert_uint_eq(arrived[i], 1);
	pair_close(&pair);
}
END_TEST

START_TEST(replay_of_the_handshake)
{
	static struct capture handshake_up, handshake_down;

	connect_pair();
	handshake_up = up;
	handshake_down = down;
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3; i++) {
			pair_inject(&pair, &pair.server, &handshake_up.datagrams[i]);
			pair_inject(&pair, &pair.client, &handshake_down.datagrams[i]);
		}
		pair.server.heard = NULL;
		pair_assert_exchange(&pair);
	}
	ck_assert_uint_eq(pair.server.messages, 0);
	ck_assert_uint_eq(pair.client.messages, 0);
	pair_close(&pair);
}
END_TEST

/* RFC 6347, 4.2.8: no hello ends a session without proof, and a connection has no room for a second one. */
START_TEST(replay_hellos_are_not_answered)
{
	struct datagram hello, with_cookie;

	connect_pair();
	hello = up.datagrams[0];
	with_cookie = up.datagrams[1];
	ck_assert_uint_eq(down.count, 3);
	for (int i = 0; i < 10; i++) {
		pair_inject(&pair, &pair.server, &hello);
		pair_inject(&pair, &pair.server, &with_cookie);
		pair_inject(&pair, &pair.client, &hello);
	}
	ck_assert_uint_eq(down.count, 3);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* A hello behind a good record in the same datagram: the record counts, the hello does not. */
START_TEST(replay_hello_behind_a_record)
{
	struct datagram both, hello;

	connect_pair();
	hello = up.datagrams[1];
	both = records(1)[0];
	memcpy(both.bytes + both.len, hello.bytes, hello.len);
	both.len += hello.len;
	pair_inject(&pair, &pair.server, &both);
	ck_assert_uint_eq(pair.server.messages, 1);
	pair.server.heard = NULL;
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(replay_thousand_forgeries)
{
	struct datagram forged, record;

	connect_pair();
	record = records(1)[0];
	for (unsigned i = 0; i < 1000; i++) {
		forged = record;
		forged.bytes[RECORD_HEADER + 8 + i % 9] ^= (uint8_t)(1 + i % 255);
		pair_inject(&pair, &pair.server, &forged);
	}
	ck_assert_uint_eq(pair.server.messages, 0);
	ck_assert_uint_eq(pair.server.conn->tally.forgeries, 1000);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
	/* The genuine one was not used up by them. */
	pair_inject(&pair, &pair.server, &record);
	ck_assert_uint_eq(pair.server.messages, 1);
	pair.server.heard = NULL;
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* Sequence numbers are authenticated: a forged one does not move the window. */
START_TEST(replay_forged_sequence_number)
{
	struct datagram forged;
	const struct datagram *record;

	connect_pair();
	record = records(2);
	forged = record[0];
	memset(forged.bytes + 5, 0xff, 6);
	pair_inject(&pair, &pair.server, &forged);
	pair_inject(&pair, &pair.server, &record[1]);
	pair_inject(&pair, &pair.server, &record[0]);
	ck_assert_uint_eq(pair.server.messages, 2);
	pair_close(&pair);
}
END_TEST

START_TEST(replay_forged_alerts)
{
	static const uint8_t bodies[][2] = {{2, 40}, {2, 20}, {1, 0}, {2, 0}, {2, 80}};
	struct datagram alert;

	connect_pair();
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		for (uint16_t epoch = 0; epoch < 3; epoch++) {
			alert = plain_record(RECORD_ALERT, 50 + i, bodies[i], 2);
			alert.bytes[4] = (uint8_t)epoch;
			pair_inject(&pair, &pair.server, &alert);
			pair_inject(&pair, &pair.client, &alert);
		}
	}
	ck_assert_int_eq(pair.server.status, DTLS_OK);
	ck_assert_int_eq(pair.client.status, DTLS_OK);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(replay_garbage_and_truncations)
{
	struct datagram garbage, record;
	uint64_t state = 11;

	connect_pair();
	record = records(1)[0];
	for (size_t len = 0; len < record.len; len++) {
		garbage = record;
		garbage.len = len;
		pair_inject(&pair, &pair.server, &garbage);
		pair_inject(&pair, &pair.client, &garbage);
	}
	for (int i = 0; i < 500; i++) {
		garbage.len = 1 + seeded_below(&state, 200);
		seeded_bytes(&state, garbage.bytes, garbage.len);
		if (i % 2 == 0) /* seems to be of this session */
			memcpy(garbage.bytes, record.bytes, garbage.len < 13 ? garbage.len : 13);
		pair_inject(&pair, &pair.server, &garbage);
		pair_inject(&pair, &pair.client, &garbage);
	}
	ck_assert_uint_eq(pair.server.messages, 0);
	ck_assert_uint_eq(pair.client.messages, 0);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* mbed TLS 3.6 takes versions for its own that are none, and resets a session for any hello. */
START_TEST(replay_hello_of_any_version)
{
	struct datagram hello;

	connect_pair();
	hello = up.datagrams[1];
	for (unsigned version = 0; version < 0x10000; version += 0x55) {
		hello.bytes[1] = (uint8_t)(version >> 8);
		hello.bytes[2] = (uint8_t)version;
		pair_inject(&pair, &pair.server, &hello);
		ck_assert_int_eq(pair.server.status, DTLS_OK);
	}
	ck_assert_uint_eq(down.count, 3);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* mbed TLS calls less than a header behind a whole record an internal error. */
START_TEST(replay_with_bytes_behind)
{
	struct datagram d;

	connect_pair();
	d = records(1)[0];
	for (size_t more = 0; more < 16; more++) {
		memset(d.bytes + d.len, RECORD_APPLICATION_DATA, more);
		d.len += more;
		pair_inject(&pair, &pair.server, &d);
		d.len -= more;
		ck_assert_int_eq(pair.server.status, DTLS_OK);
	}
	ck_assert_uint_eq(pair.server.messages, 1);
	pair.server.heard = NULL;
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* ---- mutations of all that was ever sent */

static void append(struct datagram *d, const struct datagram *more)
{
	size_t len = sizeof(d->bytes) - d->len;

	if (len > more->len)
		len = more->len;
	memcpy(d->bytes + d->len, more->bytes, len);
	d->len += len;
}

static void mutate(struct datagram *d, const struct capture *from, uint64_t *state)
{
	unsigned parts = 1 + (unsigned)seeded_below(state, 3), flips = (unsigned)seeded_below(state, 4);

	d->len = 0;
	for (unsigned i = 0; i < parts; i++)
		append(d, &from->datagrams[seeded_below(state, from->count)]);
	for (unsigned i = 0; i < flips; i++) /* headers more often than bodies */
		d->bytes[seeded_below(state, i % 2 == 0 ? 26 : d->len)] ^= (uint8_t)(1 << seeded_below(state, 8));
	if (seeded_below(state, 2) == 0)
		d->len -= seeded_below(state, d->len);
	if (seeded_below(state, 4) == 0)
		append(d, &(struct datagram){.len = seeded_below(state, 14)});
}

static void never_heard(struct side *s, const uint8_t *message, size_t len)
{
	(void)s;
	ck_assert_msg(len == 1 && message[0] < 3, "a forged message was delivered");
}

START_TEST(replay_mutations_end_nothing)
{
	struct datagram d;
	uint64_t state = 5;

	connect_pair();
	pair.server.heard = pair.client.heard = never_heard;
	for (int i = 0; i < 3; i++) {
		uint8_t message = (uint8_t)i;

		ck_assert_int_eq(dtls_conn_write(pair.client.conn, &message, 1), 1);
		ck_assert_int_eq(dtls_conn_write(pair.server.conn, &message, 1), 1);
		pair_for(&pair, 20);
	}
	sim_link_tap(pair.client.out, NULL, NULL);
	sim_link_tap(pair.server.out, NULL, NULL);
	for (int i = 0; i < 20000; i++) {
		mutate(&d, i % 2 == 0 ? &up : &down, &state);
		pair_inject(&pair, i / 2 % 2 == 0 ? &pair.server : &pair.client, &d);
		ck_assert_msg(pair.server.status == DTLS_OK && pair.client.status == DTLS_OK, "mutation %d: %s%s", i,
		    dtls_conn_error(pair.server.conn), dtls_conn_error(pair.client.conn));
	}
	ck_assert_uint_eq(pair.server.messages, 3);
	ck_assert_uint_eq(pair.client.messages, 3);
	pair_for(&pair, 1000);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* RFC 6347, 4.1: sequence numbers never wrap; a session ends before. */
START_TEST(replay_sequence_numbers_run_out)
{
	connect_pair();
	pair.client.conn->a->last_seq = (UINT64_C(1) << 48) - 17;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 1), 1);
	pair.client.conn->a->last_seq = (UINT64_C(1) << 48) - 16;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "y", 1), DTLS_FAIL);
	assert_error(pair.client.conn, "the session's sequence numbers are used up: connect again");
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "z", 1), DTLS_FAIL);
	pair_for(&pair, 20);
	ck_assert_uint_eq(pair.server.messages, 1);
	ck_assert_uint_eq(arrived['x'], 1);
	ck_assert_int_eq(pair.server.status, DTLS_CLOSED);
	pair_close(&pair);
}
END_TEST

Suite *replay_suite(void)
{
	Suite *s = suite_create("replay");

	TEST(s, replay_is_delivered_once);
	TEST(s, replay_window_of_64);
	TEST(s, replay_any_order_within_the_window);
	TEST(s, replay_of_the_handshake);
	TEST(s, replay_hellos_are_not_answered);
	TEST(s, replay_hello_behind_a_record);
	TEST(s, replay_thousand_forgeries);
	TEST(s, replay_forged_sequence_number);
	TEST(s, replay_forged_alerts);
	TEST(s, replay_garbage_and_truncations);
	TEST(s, replay_hello_of_any_version);
	TEST(s, replay_with_bytes_behind);
	TEST(s, replay_mutations_end_nothing);
	TEST(s, replay_sequence_numbers_run_out);
	return s;
}
