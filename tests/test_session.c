#include "pair.h"

#include <string.h>

enum { MAX_PAYLOAD = 1200 - 13 - 8 - 8 }; /* an MTU less header, explicit nonce and tag */

static struct pair pair;
static struct capture up; /* client to server, in the session */
static uint8_t buf[PAIR_MESSAGE_MAX];

static void connect_pair(void)
{
	pair_open(&pair);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	capture_link(&up, pair.client.out);
}

static void arrive(void)
{
	sim_advance_to(pair.sim, sim_now_ms(pair.sim) + PAIR_LATENCY_MS);
}

/* ---- messages */

START_TEST(session_message_sizes)
{
	static uint8_t message[MAX_PAYLOAD + 1];

	connect_pair();
	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (uint8_t)i;
	ck_assert_uint_eq(dtls_conn_max_payload(pair.client.conn), MAX_PAYLOAD);
	ck_assert_uint_eq(dtls_conn_max_payload(pair.server.conn), MAX_PAYLOAD);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, message, MAX_PAYLOAD + 1), DTLS_TOO_BIG);
	ck_assert_uint_eq(up.count, 0);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, message, 0), DTLS_FAIL);
	assert_error(pair.client.conn, "an empty message cannot be sent");
	ck_assert_uint_eq(up.count, 0);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, message, MAX_PAYLOAD), MAX_PAYLOAD);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, message, 1), 1);
	ck_assert_uint_eq(up.count, 2);
	ck_assert_uint_eq(up.datagrams[0].len, 1200);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), MAX_PAYLOAD);
	ck_assert_mem_eq(buf, message, MAX_PAYLOAD);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), 1);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(session_short_buffer_keeps_the_message)
{
	connect_pair();
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "reading", 7), 7);
	arrive();
	ck_assert_uint_eq(dtls_conn_pending(pair.server.conn), 0);
	for (size_t len = 0; len < 7; len++) {
		ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, len), DTLS_TOO_BIG);
		ck_assert_uint_eq(dtls_conn_pending(pair.server.conn), 7);
	}
	/* The other direction does not wait for it. */
	ck_assert_int_eq(dtls_conn_write(pair.server.conn, "ok", 2), 2);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 7), 7);
	ck_assert_mem_eq(buf, "reading", 7);
	ck_assert_uint_eq(dtls_conn_pending(pair.server.conn), 0);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.client.conn, buf, sizeof(buf)), 2);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* The client's next records in one datagram; they never reach the link. */
static struct datagram joined(const char *const messages[], size_t count)
{
	struct datagram d = {.len = 0};

	sim_link_decide(pair.client.out, pair_drop_all, NULL);
	up.count = 0;
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_gt(dtls_conn_write(pair.client.conn, messages[i], strlen(messages[i])), 0);
		memcpy(d.bytes + d.len, up.datagrams[i].bytes, up.datagrams[i].len);
		d.len += up.datagrams[i].len;
	}
	sim_link_decide(pair.client.out, NULL, NULL);
	return d;
}

START_TEST(session_records_of_one_datagram)
{
	static const char *const messages[] = {"one", "seventeen", "4"};
	struct datagram d;

	connect_pair();
	ck_assert(!dtls_conn_has_input(pair.server.conn));
	d = joined(messages, 3);
	pair.server.injected = &d;
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), (ssize_t)strlen(messages[i]));
		ck_assert_mem_eq(buf, messages[i], strlen(messages[i]));
		ck_assert_int_eq(dtls_conn_has_input(pair.server.conn), i < 2);
	}
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(session_short_buffer_keeps_every_record)
{
	static const char *const messages[] = {"seventeen", "4", "five"};
	struct datagram d;

	connect_pair();
	d = joined(messages, 3);
	pair.server.injected = &d;
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 3), DTLS_TOO_BIG);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 9), 9);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 3), 1);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 3), DTLS_TOO_BIG);
	ck_assert_uint_eq(dtls_conn_pending(pair.server.conn), 4);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 4), 4);
	ck_assert_mem_eq(buf, "five", 4);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, 4), DTLS_WANT_READ);
	pair_close(&pair);
}
END_TEST

/* An empty record is never delivered, and hides nothing behind it. */
START_TEST(session_empty_record)
{
	struct datagram empty;

	connect_pair();
	sim_link_decide(pair.client.out, pair_drop_all, NULL);
	ck_assert_int_eq(mbedtls_ssl_write(&pair.client.conn->a->ssl, NULL, 0), 0);
	ck_assert_uint_eq(up.count, 1);
	empty = up.datagrams[0];
	pair_inject(&pair, &pair.server, &empty);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
	ck_assert_uint_eq(pair.server.messages, 0);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* ---- the end */

static unsigned count_alerts(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < up.count; i++)
		n += up.datagrams[i].bytes[0] == RECORD_ALERT;
	return n;
}

START_TEST(session_close_notify_once)
{
	connect_pair();
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "last", 4), 4);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_uint_eq(up.count, 2);
	ck_assert_uint_eq(count_alerts(), 1);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), 4);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
		ck_assert_int_eq(dtls_conn_write(pair.server.conn, "x", 1), DTLS_CLOSED);
		ck_assert_int_eq(dtls_conn_handshake(pair.server.conn), DTLS_CLOSED);
		ck_assert_int_eq(dtls_conn_handle_timeout(pair.server.conn), DTLS_CLOSED);
	}
	ck_assert_str_eq(dtls_conn_error(pair.server.conn), "the peer closed the session");
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), -1);
	ck_assert_int_eq(dtls_conn_close(pair.server.conn), DTLS_OK);
	pair_close(&pair);
}
END_TEST

START_TEST(session_nothing_after_own_close)
{
	connect_pair();
	ck_assert_int_eq(dtls_conn_write(pair.server.conn, "late", 4), 4);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.client.conn, buf, sizeof(buf)), DTLS_FAIL);
	assert_error(pair.client.conn, "the connection was closed on this side");
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_FAIL);
	ck_assert_uint_eq(up.count, 1);
	pair_close(&pair);
}
END_TEST

START_TEST(session_lost_close_notify)
{
	connect_pair();
	sim_link_decide(pair.client.out, pair_drop_all, NULL);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	pair_until(&pair, 3600000);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), -1);
	ck_assert_int_eq(dtls_conn_write(pair.server.conn, "anyone?", 7), 7);
	pair_for(&pair, 1000);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	pair_close(&pair);
}
END_TEST

START_TEST(session_data_behind_close_notify)
{
	struct datagram last;

	connect_pair();
	sim_link_decide(pair.client.out, pair_drop_all, NULL);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "overtaken", 9), 9);
	last = up.datagrams[0];
	sim_link_decide(pair.client.out, NULL, NULL);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
	pair.server.injected = &last;
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
	pair_close(&pair);
}
END_TEST

START_TEST(session_repeated_close_notify)
{
	connect_pair();
	sim_link_decide(pair.client.out, pair_drop_all, NULL);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	pair_inject(&pair, &pair.server, &up.datagrams[0]);
	ck_assert_int_eq(pair.server.status, DTLS_CLOSED);
	pair_inject(&pair, &pair.server, &up.datagrams[0]);
	ck_assert_int_eq(pair.server.status, DTLS_CLOSED);
	ck_assert_str_eq(dtls_conn_error(pair.server.conn), "the peer closed the session");
	pair_close(&pair);
}
END_TEST

START_TEST(session_free_is_silent)
{
	connect_pair();
	dtls_conn_free(pair.client.conn);
	pair.client.conn = NULL;
	ck_assert_uint_eq(up.count, 0);
	pair_close(&pair);
}
END_TEST

/* ---- a transport that refuses */

struct stubborn {
	struct side *side;
	ssize_t answer; /* instead of sending; 0: sends */
	unsigned tries;
};

static ssize_t stubborn_send(void *arg, const void *datagram, size_t len)
{
	struct stubborn *s = arg;

	s->tries++;
	return s->answer != 0 ? s->answer : sim_link_send(s->side->out, datagram, len);
}

static ssize_t stubborn_recv(void *arg, void *datagram, size_t len)
{
	return sim_link_recv(((struct stubborn *)arg)->side->in, datagram, len);
}

/* A connected pair whose client sends through s. */
static void connect_stubborn(struct stubborn *s)
{
	struct dtls_transport transport = {.send = stubborn_send, .recv = stubborn_recv, .arg = s};

	pair_open(&pair);
	pair_wrap(&pair);
	dtls_conn_free(pair.client.conn);
	*s = (struct stubborn){.side = &pair.client};
	pair.client.conn = dtls_wrap_transport(pair.client.ctx, &transport);
	ck_assert_ptr_nonnull(pair.client.conn);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	capture_link(&up, pair.client.out);
}

START_TEST(session_want_write_then_again)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_WANT_WRITE;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_WANT_WRITE);
	s.answer = 0;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), 3);
	ck_assert_uint_eq(up.count, 1);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), 3);
	ck_assert_mem_eq(buf, "one", 3);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* mbed TLS may send the waiting record while reading: the repeated write must not send it twice. */
START_TEST(session_want_write_then_read)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_WANT_WRITE;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_WANT_WRITE);
	s.answer = 0;
	dtls_conn_read(pair.client.conn, buf, sizeof(buf));
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), 3);
	ck_assert_uint_eq(up.count, 1);
	pair_for(&pair, PAIR_LATENCY_MS);
	ck_assert_uint_eq(pair.server.messages, 1);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(session_want_write_then_too_big)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_WANT_WRITE;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_WANT_WRITE);
	s.answer = DTLS_TOO_BIG;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_TOO_BIG);
	s.answer = 0;
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(session_close_waits_for_output)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_WANT_WRITE;
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_WANT_WRITE);
	s.answer = 0;
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_uint_eq(up.count, 1);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
	pair_close(&pair);
}
END_TEST

START_TEST(session_close_behind_a_message_that_waits)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_WANT_WRITE;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_WANT_WRITE);
	s.answer = 0;
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_uint_eq(up.count, 2);
	arrive();
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), 3);
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
	pair_close(&pair);
}
END_TEST

static ssize_t boasting_recv(void *arg, void *datagram, size_t len)
{
	(void)datagram;
	return *(unsigned *)arg > 0 && (*(unsigned *)arg)-- > 0 ? (ssize_t)len + 50000 : DTLS_WANT_READ;
}

/* A transport that tells the real length of a datagram it has cut, as recv(2) does with MSG_TRUNC. */
START_TEST(session_transport_cuts)
{
	unsigned datagrams = 3;
	struct dtls_transport transport = {.send = stubborn_send, .recv = boasting_recv, .arg = &datagrams};
	struct dtls_conn *conn;

	pair_open(&pair);
	ck_assert_int_eq(dtls_context_set_clock(pair.server.ctx, NULL, NULL), DTLS_OK);
	conn = dtls_wrap_transport(pair.server.ctx, &transport);
	ck_assert_ptr_nonnull(conn);
	ck_assert_int_eq(dtls_conn_set_client_id(conn, "x", 1), DTLS_OK);
	ck_assert_int_eq(dtls_conn_handshake(conn), DTLS_WANT_READ);
	ck_assert_uint_eq(datagrams, 0);
	dtls_conn_free(conn);
	pair_close(&pair);
}
END_TEST

START_TEST(session_path_takes_less)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_TOO_BIG;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_TOO_BIG);
	s.answer = 0;
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(session_transport_breaks)
{
	struct stubborn s;

	connect_stubborn(&s);
	s.answer = DTLS_FAIL;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_FAIL);
	assert_error(pair.client.conn, "session with the peer failed: cannot send: ");
	ck_assert_int_lt(dtls_conn_error_code(pair.client.conn), 0);
	s.answer = 0;
	s.tries = 0;
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "one", 3), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_read(pair.client.conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_uint_eq(s.tries, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(session_handshake_with_want_write)
{
	struct dtls_transport transport = {.send = stubborn_send, .recv = stubborn_recv};
	struct stubborn s = {.side = &pair.client, .answer = DTLS_WANT_WRITE};

	pair_open(&pair);
	pair_wrap(&pair);
	dtls_conn_free(pair.client.conn);
	transport.arg = &s;
	pair.client.conn = dtls_wrap_transport(pair.client.ctx, &transport);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_WRITE);
	s.answer = 0;
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_READ);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

Suite *session_suite(void)
{
	Suite *s = suite_create("session");

	TEST(s, session_message_sizes);
	TEST(s, session_short_buffer_keeps_the_message);
	TEST(s, session_records_of_one_datagram);
	TEST(s, session_short_buffer_keeps_every_record);
	TEST(s, session_empty_record);
	TEST(s, session_close_notify_once);
	TEST(s, session_nothing_after_own_close);
	TEST(s, session_lost_close_notify);
	TEST(s, session_data_behind_close_notify);
	TEST(s, session_repeated_close_notify);
	TEST(s, session_free_is_silent);
	TEST(s, session_want_write_then_again);
	TEST(s, session_want_write_then_read);
	TEST(s, session_path_takes_less);
	TEST(s, session_transport_breaks);
	TEST(s, session_handshake_with_want_write);
	TEST(s, session_want_write_then_too_big);
	TEST(s, session_close_waits_for_output);
	TEST(s, session_close_behind_a_message_that_waits);
	TEST(s, session_transport_cuts);
	return s;
}
