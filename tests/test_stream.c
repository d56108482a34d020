/* TLS over a stream: the same session, however the bytes come and leave. */
#include "seeded.h"
#include "streams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS_MAX = 100000, BULK = 1 << 20 };

static struct streams s;

START_TEST(stream_is_a_session)
{
	const uint8_t *identity;
	size_t len;

	streams_open(&s);
	streams_wrap(&s);
	ck_assert_ptr_null(dtls_conn_version(s.client.conn));
	ck_assert_uint_eq(dtls_conn_max_payload(s.client.conn), 0);
	streams_handshake(&s);
	streams_assert_connected(&s);
	ck_assert_str_eq(dtls_conn_version(s.client.conn), "TLSv1.2");
	ck_assert_str_eq(dtls_conn_version(s.server.conn), "TLSv1.2");
	ck_assert_str_eq(dtls_conn_cipher(s.server.conn), STREAMS_SUITE);
	ck_assert_uint_eq(dtls_conn_max_payload(s.client.conn), 16384);
	ck_assert_int_eq(dtls_conn_timeout(s.client.conn), -1);
	identity = dtls_conn_psk_identity(s.server.conn, &len);
	ck_assert_uint_eq(len, strlen(STREAMS_IDENTITY));
	ck_assert_mem_eq(identity, STREAMS_IDENTITY, len);
	streams_assert_exchange(&s);
	streams_close(&s);
}
END_TEST

START_TEST(stream_every_psk_suite)
{
	const char *names[32];
	size_t count;

	streams_open_bare(&s);
	ck_assert_int_eq(dtls_context_set_psk(s.client.ctx, "me", 2, "secret", 6), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(s.server.ctx, "me", 2, "secret", 6), DTLS_OK);
	count = dtls_context_get_ciphers(s.client.ctx, names, 32);
	ck_assert_uint_ge(count, 6);
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(dtls_context_set_ciphers(s.client.ctx, &names[i], 1), DTLS_OK);
		streams_reopen(&s);
		streams_handshake(&s);
		streams_assert_connected(&s);
		ck_assert_str_eq(dtls_conn_cipher(s.client.conn), names[i]);
		streams_assert_exchange(&s);
	}
	streams_close(&s);
}
END_TEST

/* A stream is not one message a call: a read takes what there is, as much as it has room for. */
START_TEST(stream_reads_move_any_number_of_bytes)
{
	char buf[64];

	streams_connect(&s);
	stream_side_says(&s.client, "seventeen");
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, 0), DTLS_FAIL);
	stream_side_assert_error(&s.server, "0 bytes");
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, 5), 5);
	ck_assert_mem_eq(buf, "seven", 5);
	ck_assert_uint_eq(dtls_conn_pending(s.server.conn), 4);
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), 4);
	ck_assert_mem_eq(buf, "teen", 4);
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, buf, 0), DTLS_FAIL);
	streams_assert_exchange(&s);
	streams_close(&s);
}
END_TEST

START_TEST(stream_pending_is_read_without_the_transport)
{
	char buf[64];
	unsigned calls;

	streams_connect(&s);
	stream_side_says(&s.client, "seventeen");
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, 5), 5);
	calls = s.server.calls;
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, 4), 4);
	ck_assert_uint_eq(s.server.calls, calls);
	streams_close(&s);
}
END_TEST

/* ---- however the bytes come ---- */

static void assert_closes(struct stream_side *closer, struct stream_side *other)
{
	char buf[16];
	ssize_t n;

	for (int i = 0; dtls_conn_close(closer->conn) != DTLS_OK; i++)
		ck_assert_int_lt(i, CALLS_MAX);
	for (int i = 0; (n = dtls_conn_read(other->conn, buf, sizeof(buf))) == DTLS_WANT_READ; i++)
		ck_assert_int_lt(i, CALLS_MAX);
	ck_assert_int_eq(n, DTLS_CLOSED);
	for (int i = 0; dtls_conn_close(other->conn) != DTLS_OK; i++)
		ck_assert_int_lt(i, CALLS_MAX);
}

/* Handshake, session, and close from both sides: as many bytes as always, at the end of both streams. */
static void whole_life(void)
{
	streams_handshake(&s);
	streams_assert_connected(&s);
	streams_assert_exchange(&s);
	assert_closes(&s.client, &s.server);
	ck_assert_uint_eq(s.up.taken, s.up.len);
}

START_TEST(stream_in_small_pieces)
{
	static const size_t sizes[] = {0, 1, 2, 3, 5, 6, 7, 100};
	enum { SIZES = sizeof(sizes) / sizeof(*sizes) };
	size_t up = 0, down = 0;

	streams_open(&s);
	for (size_t i = 0; i < SIZES * SIZES; i++) {
		streams_reopen(&s);
		s.client.chunk = sizes[i / SIZES];
		s.server.chunk = sizes[i % SIZES];
		whole_life();
		ck_assert(i == 0 || (s.up.len == up && s.down.len == down));
		up = s.up.len;
		down = s.down.len;
	}
	streams_close(&s);
}
END_TEST

/* One life in which this call of the transport moves nothing; returns whether there was such a call. */
static bool want_at(struct stream_side *side, unsigned nth, size_t chunk)
{
	static size_t up, down;
	bool reached;

	streams_reopen(&s);
	side->want_at = nth;
	s.client.chunk = s.server.chunk = chunk;
	whole_life();
	reached = side->calls >= nth;
	if (nth > 1) {
		ck_assert_uint_eq(s.up.len, up);
		ck_assert_uint_eq(s.down.len, down);
	}
	up = s.up.len;
	down = s.down.len;
	return reached;
}

START_TEST(stream_would_block_at_every_call)
{
	unsigned nth;

	streams_open(&s);
	for (size_t chunk = 0; chunk < 2; chunk++) {
		for (nth = 1; want_at(&s.client, nth, chunk); nth++)
			continue;
		ck_assert_uint_gt(nth, chunk == 0 ? 15 : 300);
		for (nth = 1; want_at(&s.server, nth, chunk); nth++)
			continue;
		ck_assert_uint_gt(nth, chunk == 0 ? 15 : 300);
	}
	streams_close(&s);
}
END_TEST

START_TEST(stream_in_seeded_pieces)
{
	streams_open(&s);
	for (uint64_t seed = 1; seed <= 300; seed++) {
		streams_reopen(&s);
		s.client.seed = seed;
		s.server.seed = seed << 32;
		s.client.chunk = s.server.chunk = 1 + seed % 50;
		whole_life();
	}
	streams_close(&s);
}
END_TEST

/* ---- partial writes ---- */

START_TEST(stream_write_is_repeated)
{
	char buf[64];

	streams_connect(&s);
	s.up.room = 10;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen bottles", 17), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen bottles", 17), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen", 9), DTLS_FAIL);
	stream_side_assert_error(&s.client, "the same bytes must be written again");
	/* The other direction goes on. */
	stream_side_says(&s.server, "meanwhile");
	stream_side_hears(&s.client, "meanwhile");
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen bottles", 17), 17);
	stream_side_hears(&s.server, "seventeen bottles");
	streams_assert_exchange(&s);
	streams_close(&s);
}
END_TEST

START_TEST(stream_write_is_repeated_with_more)
{
	streams_connect(&s);
	s.up.room = 10;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen", 9), DTLS_WANT_WRITE);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen bottles", 17), 9);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, " bottles", 8), 8);
	stream_side_hears(&s.server, "seventeen bottles");
	streams_assert_exchange(&s);
	streams_close(&s);
}
END_TEST

/* A write that does not block takes one record, so that nothing hangs behind what it reports as taken. */
START_TEST(stream_write_goes_on_with_the_rest)
{
	static uint8_t sent[40000], got[40000];
	ssize_t n, done;

	seeded_bytes(&(uint64_t){7}, sent, sizeof(sent));
	streams_connect(&s);
	s.up.room = 20000;
	n = dtls_conn_write(s.client.conn, sent, sizeof(sent));
	ck_assert_int_eq(n, 16384);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, sent + n, sizeof(sent) - (size_t)n), DTLS_WANT_WRITE);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_read(s.server.conn, got, sizeof(got)), 16384);
	for (int i = 0; i < 2; i++)
		n += dtls_conn_write(s.client.conn, sent + n, sizeof(sent) - (size_t)n);
	ck_assert_int_eq(n, sizeof(sent));
	for (done = 16384; done < n;) {
		ssize_t one = dtls_conn_read(s.server.conn, got + done, sizeof(got) - (size_t)done);

		ck_assert_int_gt(one, 0);
		done += one;
	}
	ck_assert_mem_eq(got, sent, sizeof(sent));
	streams_close(&s);
}
END_TEST

/* A close over what does not take it is repeated, behind what was written. */
START_TEST(stream_close_waits_for_room)
{
	char buf[64];

	streams_connect(&s);
	s.up.room = 10;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "last words", 10), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_WANT_WRITE);
	s.up.room = 40;
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_WANT_WRITE);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_OK);
	stream_side_hears(&s.server, "last words");
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_uint_eq(s.up.taken, s.up.len);
	streams_close(&s);
}
END_TEST

/* ---- a megabyte, exactly once and in order ---- */

struct bulk {
	struct stream_side *from, *to;
	size_t sent, got;
	uint64_t seed; /* of what is asked for in each call */
};

static uint8_t content[BULK];

static void bulk_step(struct bulk *b)
{
	static uint8_t buf[20000];
	size_t len = 1 + seeded_below(&b->seed, sizeof(buf) - 1), left = BULK - b->sent;
	ssize_t n;

	/* After DTLS_WANT_WRITE at least as many bytes as before: all that are left. */
	n = left == 0 ? 0 : dtls_conn_write(b->from->conn, content + b->sent, left);
	ck_assert_msg(n >= 0 || n == DTLS_WANT_WRITE, "%zd %s", n, dtls_conn_error(b->from->conn));
	b->sent += n > 0 ? (size_t)n : 0;
	n = dtls_conn_read(b->to->conn, buf, len);
	ck_assert_msg(n > 0 || n == DTLS_WANT_READ, "%zd %s", n, dtls_conn_error(b->to->conn));
	if (n < 0)
		return;
	ck_assert_uint_le((size_t)n, BULK - b->got);
	ck_assert_mem_eq(buf, content + b->got, (size_t)n);
	b->got += (size_t)n;
}

START_TEST(stream_carries_a_megabyte_each_way)
{
	struct bulk up = {&s.client, &s.server, 0, 0, 11}, down = {&s.server, &s.client, 0, 0, 12};

	seeded_bytes(&(uint64_t){1}, content, sizeof(content));
	streams_connect(&s);
	s.client.seed = 3;
	s.server.seed = 4;
	s.client.chunk = s.server.chunk = 9000;
	s.up.room = 30000;
	for (int i = 0; up.got < BULK || down.got < BULK; i++) {
		ck_assert_int_lt(i, CALLS_MAX);
		bulk_step(&up);
		bulk_step(&down);
	}
	ck_assert_uint_eq(up.sent, BULK);
	ck_assert_uint_eq(down.sent, BULK);
	streams_close(&s);
}
END_TEST

/* ---- the handshake's deadline ---- */

static int64_t fake_now;

static int64_t now(void *arg)
{
	(void)arg;
	return fake_now;
}

static void at(int64_t instant)
{
	fake_now = instant;
	stream_side_step(&s.client);
}

START_TEST(stream_handshake_has_a_deadline)
{
	streams_open(&s);
	fake_now = 5000;
	ck_assert_int_eq(dtls_context_set_clock(s.client.ctx, now, NULL), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(s.client.ctx, 1000, 4000), DTLS_OK);
	streams_wrap(&s);
	at(5000);
	ck_assert_int_eq(dtls_conn_timeout(s.client.conn), 1000 + 2000 + 4000);
	at(5000 + 6999);
	ck_assert_int_eq(s.client.status, DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_timeout(s.client.conn), 1);
	fake_now++;
	ck_assert_int_eq(dtls_conn_handle_timeout(s.client.conn), DTLS_TIMEDOUT);
	stream_side_assert_error(&s.client, "nothing was received within 7.000 s: is a TLS server listening there?");
	ck_assert_int_eq(dtls_conn_handshake(s.client.conn), DTLS_TIMEDOUT);
	ck_assert_int_eq(dtls_conn_timeout(s.client.conn), -1);
	/* The other side is told. */
	s.server.status = dtls_conn_handshake(s.server.conn);
	s.server.status = dtls_conn_handshake(s.server.conn);
	ck_assert_int_eq(s.server.status, DTLS_FAIL);
	stream_side_assert_error(&s.server, "the peer sent the alert");
	streams_close(&s);
}
END_TEST

/* A peer that sends a byte now and then gains no time by it. */
START_TEST(stream_deadline_is_not_moved_by_bytes)
{
	streams_open(&s);
	fake_now = 0;
	ck_assert_int_eq(dtls_context_set_clock(s.client.ctx, now, NULL), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(s.client.ctx, 1000, 4000), DTLS_OK);
	streams_wrap(&s);
	at(0);
	stream_side_step(&s.server);
	s.client.chunk = 1;
	for (size_t there = s.down.len, i = 0; i < 7; i++) {
		s.down.len = i + 1;
		ck_assert_uint_lt(s.down.len, there);
		ck_assert_int_eq(s.client.status, DTLS_WANT_READ);
		at((int64_t)i * 1000);
	}
	at(7000);
	ck_assert_int_eq(s.client.status, DTLS_TIMEDOUT);
	stream_side_assert_error(&s.client, "it was not done within 7.000 s");
	streams_close(&s);
}
END_TEST

Suite *stream_suite(void)
{
	Suite *suite = suite_create("stream");

	TEST(suite, stream_is_a_session);
	TEST(suite, stream_every_psk_suite);
	TEST(suite, stream_reads_move_any_number_of_bytes);
	TEST(suite, stream_pending_is_read_without_the_transport);
	TEST(suite, stream_in_small_pieces);
	TEST(suite, stream_would_block_at_every_call);
	TEST(suite, stream_in_seeded_pieces);
	TEST(suite, stream_write_is_repeated);
	TEST(suite, stream_write_is_repeated_with_more);
	TEST(suite, stream_write_goes_on_with_the_rest);
	TEST(suite, stream_close_waits_for_room);
	TEST(suite, stream_carries_a_megabyte_each_way);
	TEST(suite, stream_handshake_has_a_deadline);
	TEST(suite, stream_deadline_is_not_moved_by_bytes);
	return suite;
}
