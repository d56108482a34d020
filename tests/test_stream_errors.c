/* What may happen to a stream: it ends, it fails, or the peer says why it leaves. Each has its own result and sentence. */
#include "raw_tls.h"

#include <errno.h>
#include <mbedtls/net_sockets.h>
#include <string.h>

static struct streams s;
static uint8_t buf[256];

static void peer_alerts(struct stream_side *side, unsigned char alert)
{
	mbedtls_ssl_context *ssl = &side->conn->a->ssl;

	ck_assert_int_eq(mbedtls_ssl_send_alert_message(ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert), 0);
}

/* Each side on its own: what a handshake over in-memory streams ended with, and no hang. */
static void assert_failed(const struct stream_side *side, int code, const char *part)
{
	ck_assert_int_eq(side->status, DTLS_FAIL);
	stream_side_assert_error(side, part);
	ck_assert_int_eq(dtls_conn_error_code(side->conn), code);
	ck_assert_int_eq(dtls_conn_handshake(side->conn), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_read(side->conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_write(side->conn, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_close(side->conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_timeout(side->conn), -1);
}

/* ---- the stream ends ---- */

static void end_everywhere(struct stream_side *side, struct stream_side *other)
{
	size_t total;

	streams_reopen(&s);
	streams_handshake(&s);
	streams_assert_connected(&s);
	total = side->in->passed;
	ck_assert_uint_gt(total, 100);
	for (size_t at = 0; at < total; at++) {
		streams_reopen(&s);
		side->in->ends_at = at;
		streams_handshake(&s);
		assert_failed(side, MBEDTLS_ERR_SSL_CONN_EOF, "the peer ended the connection in the middle of it");
		/* The other one is told, or had finished. */
		ck_assert(other->status == DTLS_OK || other->status == DTLS_FAIL);
	}
}

START_TEST(stream_errors_end_of_the_handshake)
{
	streams_open(&s);
	end_everywhere(&s.client, &s.server);
	end_everywhere(&s.server, &s.client);
	streams_close(&s);
}
END_TEST

START_TEST(stream_errors_truncated)
{
	streams_connect(&s);
	stream_side_says(&s.server, "the first half");
	s.down.ended = true;
	stream_side_hears(&s.client, "the first half");
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_FAIL);
	s.client.status = DTLS_FAIL;
	assert_failed(&s.client, MBEDTLS_ERR_SSL_CONN_EOF, "it was cut off: the stream ended without close_notify");
	streams_close(&s);
}
END_TEST

START_TEST(stream_errors_record_cut_anywhere)
{
	size_t record;

	streams_connect(&s);
	stream_side_says(&s.server, "half of this");
	record = s.down.len - s.down.taken;
	streams_close(&s);
	for (size_t at = 0; at < record; at++) {
		streams_connect(&s);
		s.down.ends_at = s.down.passed + at;
		stream_side_says(&s.server, "half of this");
		s.client.status = (int)dtls_conn_read(s.client.conn, buf, sizeof(buf));
		assert_failed(&s.client, MBEDTLS_ERR_SSL_CONN_EOF, "cut off");
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_errors_closed)
{
	size_t before;

	streams_connect(&s);
	stream_side_says(&s.server, "all of it");
	ck_assert_int_eq(dtls_conn_close(s.server.conn), DTLS_OK);
	s.down.ended = true;
	stream_side_hears(&s.client, "all of it");
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "x", 1), DTLS_CLOSED);
	stream_side_assert_error(&s.client, "the peer closed the session");
	/* RFC 5246, 7.2.1: it is answered, once. */
	before = s.up.len;
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_OK);
	ck_assert_uint_gt(s.up.len, before);
	ck_assert_int_eq(s.up.bytes[before], RECORD_ALERT);
	before = s.up.len;
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_OK);
	ck_assert_uint_eq(s.up.len, before);
	streams_close(&s);
}
END_TEST

START_TEST(stream_errors_answer_to_a_close_waits_for_room)
{
	streams_connect(&s);
	ck_assert_int_eq(dtls_conn_close(s.server.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_CLOSED);
	s.up.room = 3;
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_WANT_WRITE);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_OK);
	ck_assert_uint_eq(s.up.len - s.up.taken, 5 + 2 + 16);
	streams_close(&s);
}
END_TEST

START_TEST(stream_errors_nothing_is_heard_after_a_close)
{
	streams_connect(&s);
	ck_assert_int_eq(mbedtls_ssl_close_notify(&s.server.conn->a->ssl), 0);
	ck_assert_int_eq(mbedtls_ssl_write(&s.server.conn->a->ssl, (const unsigned char *)"more", 4), 4);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_CLOSED);
	streams_close(&s);
}
END_TEST

/* ---- the transport fails ---- */

static bool fails_at(struct stream_side *side, unsigned nth, bool sends, int error)
{
	const char *says = sends ? "failed: cannot send: " : "failed: cannot receive: ";
	unsigned last;

	streams_reopen(&s);
	*(sends ? &side->send_fails_at : &side->recv_fails_at) = nth;
	side->fails_with = error;
	streams_handshake(&s);
	last = side->calls;
	if (side->status == DTLS_OK) /* it was done before, or needed no more of them */
		return last >= nth;
	assert_failed(side, -error, says);
	stream_side_assert_error(side, strerror(error));
	ck_assert(last >= nth);
	return true;
}

static void fail_everywhere(struct stream_side *side, int error)
{
	for (int sends = 0; sends < 2; sends++) {
		unsigned nth = 1;

		while (fails_at(side, nth, sends, error))
			nth++;
		ck_assert_uint_gt(nth, 8);
	}
}

START_TEST(stream_errors_of_the_transport)
{
	streams_open(&s);
	fail_everywhere(&s.client, EIO);
	fail_everywhere(&s.server, EHOSTUNREACH);
	streams_close(&s);
}
END_TEST

START_TEST(stream_errors_of_the_transport_in_the_session)
{
	for (int sends = 0; sends < 2; sends++) {
		streams_connect(&s);
		s.client.send_fails_at = s.client.recv_fails_at = 1;
		s.client.fails_with = ENETDOWN;
		if (sends)
			s.client.status = (int)dtls_conn_write(s.client.conn, "x", 1);
		else
			s.client.status = (int)dtls_conn_read(s.client.conn, buf, sizeof(buf));
		assert_failed(&s.client, -ENETDOWN,
		    sends ? "failed: cannot send: Network is down" : "failed: cannot receive: Network is down");
		streams_close(&s);
	}
}
END_TEST

static ssize_t odd_answer;

static ssize_t answers_oddly(void *arg, void *bytes, size_t len)
{
	(void)arg, (void)bytes;
	return odd_answer == 1 ? (ssize_t)len + 1 : odd_answer;
}

static ssize_t sends_oddly(void *arg, const void *bytes, size_t len)
{
	return answers_oddly(arg, (void *)(uintptr_t)bytes, len);
}

/* What a transport may not answer is an error, not a crash or a loop. */
START_TEST(stream_errors_of_an_odd_transport)
{
	static const ssize_t odd[] = {0, 1, DTLS_WANT_READ, DTLS_TOO_BIG, DTLS_FAIL, -1000};
	const struct dtls_transport transport = {.send = sends_oddly, .recv = answers_oddly};

	streams_open(&s);
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		odd_answer = odd[i];
		s.client.conn = dtls_wrap_transport(s.client.ctx, &transport);
		s.client.status = dtls_conn_handshake(s.client.conn);
		assert_failed(&s.client, -EIO, "cannot send: Input/output error");
		streams_reopen(&s);
		s.server.conn = dtls_wrap_transport(s.server.ctx, &transport);
		s.server.status = dtls_conn_handshake(s.server.conn);
		if (odd[i] == 0)
			assert_failed(&s.server, MBEDTLS_ERR_SSL_CONN_EOF, "the peer ended the connection");
		else if (odd[i] == DTLS_WANT_READ)
			ck_assert_int_eq(s.server.status, DTLS_WANT_READ);
		else
			assert_failed(&s.server, -EIO, "cannot receive: Input/output error");
		streams_reopen(&s);
	}
	streams_close(&s);
}
END_TEST

/* ---- the peer says why ---- */

static void no_common_suite(void)
{
	static const char *const other[] = {"TLS-PSK-WITH-AES-128-GCM-SHA256"};

	ck_assert_int_eq(dtls_context_set_ciphers(s.client.ctx, other, 1), DTLS_OK);
}

START_TEST(stream_errors_alert_of_the_handshake)
{
	streams_open(&s);
	no_common_suite();
	streams_handshake(&s);
	ck_assert_int_eq(s.server.status, DTLS_FAIL);
	stream_side_assert_error(&s.server, "none of the peer's cipher suites is enabled here");
	assert_failed(&s.client, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE,
	    "the peer sent the alert handshake_failure: probably none of the cipher suites offered here");
	streams_close(&s);
}
END_TEST

/* The alert of a wrong key, and of an unknown identity: the same, and said to be so. */
START_TEST(stream_errors_wrong_key)
{
	static const struct {
		const char *identity, *key, *server_says;
	} cases[] = {
	    {STREAMS_IDENTITY, "another key 1234", "the pre-shared key for identity \"sensor-17\" probably differs"},
	    {"stranger", STREAMS_KEY, "no pre-shared key is known for identity \"stranger\""},
	};

	for (size_t i = 0; i < 2; i++) {
		streams_open(&s);
		ck_assert_int_eq(dtls_context_set_psk(s.client.ctx, cases[i].identity, strlen(cases[i].identity),
				     cases[i].key, strlen(cases[i].key)),
		    DTLS_OK);
		streams_handshake(&s);
		assert_failed(&s.server, MBEDTLS_ERR_SSL_INVALID_MAC, cases[i].server_says);
		assert_failed(&s.client, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE,
		    "the peer sent the alert bad_record_mac: the pre-shared key for identity");
		streams_close(&s);
	}
}
END_TEST

/* A peer that refuses sends its alert and leaves; our next bytes meet a reset, and its reason is still there. A peer that
 * ended and one that reset stay two things where it gave none. */
START_TEST(stream_errors_alert_behind_a_reset)
{
	static const int errors[] = {EPIPE, ECONNRESET};
	static const uint8_t alert[] = {RECORD_ALERT, 3, 3, 0, 2, 2, MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR};

	for (size_t i = 0; i < 4; i++) {
		streams_open(&s);
		streams_wrap(&s);
		stream_side_step(&s.client);
		stream_side_step(&s.server);
		s.client.send_fails_at = 1;
		s.client.fails_with = errors[i % 2];
		if (i < 2)
			flow_put(&s.down, alert, sizeof(alert));
		s.down.ended = true;
		stream_side_step(&s.client);
		if (i < 2)
			assert_failed(&s.client, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE,
			    "the peer sent the alert 80 internal_error");
		else if (errors[i % 2] == EPIPE)
			assert_failed(&s.client, MBEDTLS_ERR_SSL_CONN_EOF, "the peer ended the connection");
		else
			assert_failed(&s.client, -ECONNRESET, "cannot send: Connection reset by peer");
		streams_close(&s);
	}
}
END_TEST

/* mbed TLS 2.28 does not know a version then. */
START_TEST(stream_errors_alert_before_a_hello)
{
	static const struct {
		uint8_t bytes[16];
		size_t len;
	} no_hellos[] = {
	    {{RECORD_HANDSHAKE, 3, 1, 0, 4, MESSAGE_SERVER_HELLO, 0, 0, 0}, 9},
	    {{RECORD_HANDSHAKE, 3, 3, 0, 6, MESSAGE_CLIENT_HELLO, 0, 0, 2, 3, 3}, 11},
	    {{RECORD_APPLICATION_DATA, 3, 3, 0, 1, 0}, 6},
	};

	for (size_t i = 0; i < sizeof(no_hellos) / sizeof(*no_hellos); i++) {
		streams_open(&s);
		streams_wrap(&s);
		flow_put(&s.up, no_hellos[i].bytes, no_hellos[i].len);
		stream_side_step(&s.server);
		ck_assert_int_eq(s.server.status, DTLS_FAIL);
		ck_assert_uint_eq(s.down.len, 7);
		ck_assert_int_eq(s.down.bytes[0], RECORD_ALERT);
		ck_assert_int_eq(s.down.bytes[1], 3);
		ck_assert_int_eq(s.down.bytes[2], 3);
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_errors_alert_while_we_write)
{
	for (int reset = 0; reset < 2; reset++) {
		streams_connect(&s);
		peer_alerts(&s.server, MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA);
		s.down.ended = true;
		if (reset) {
			s.client.send_fails_at = 1;
			s.client.fails_with = EPIPE;
			s.client.status = (int)dtls_conn_write(s.client.conn, "x", 1);
		} else {
			ck_assert_int_eq(dtls_conn_write(s.client.conn, "x", 1), 1);
			s.client.status = (int)dtls_conn_read(s.client.conn, buf, sizeof(buf));
		}
		assert_failed(&s.client, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE, "the peer sent the alert 48 unknown_ca");
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_errors_close_while_we_write)
{
	streams_connect(&s);
	ck_assert_int_eq(dtls_conn_close(s.server.conn), DTLS_OK);
	s.client.send_fails_at = 1;
	s.client.fails_with = EPIPE;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "x", 1), DTLS_CLOSED);
	streams_close(&s);
	/* Without a word from the peer it is the transport's failure. */
	streams_connect(&s);
	s.client.send_fails_at = 1;
	s.client.fails_with = EPIPE;
	s.client.status = (int)dtls_conn_write(s.client.conn, "x", 1);
	assert_failed(&s.client, -EPIPE, "failed: cannot send: Broken pipe");
	streams_close(&s);
}
END_TEST

/* A forged record ends a stream's session: nothing can be put in its place. */
START_TEST(stream_errors_forged_record)
{
	streams_connect(&s);
	stream_side_says(&s.server, "forged");
	s.down.bytes[s.down.len - 1] ^= 1;
	s.client.status = (int)dtls_conn_read(s.client.conn, buf, sizeof(buf));
	assert_failed(&s.client, MBEDTLS_ERR_SSL_INVALID_MAC, "session with the peer failed");
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), DTLS_FAIL);
	stream_side_assert_error(&s.server, "the peer sent the alert 20 bad_record_mac");
	streams_close(&s);
}
END_TEST

Suite *stream_errors_suite(void)
{
	Suite *suite = suite_create("stream_errors");

	TEST(suite, stream_errors_end_of_the_handshake);
	TEST(suite, stream_errors_truncated);
	TEST(suite, stream_errors_record_cut_anywhere);
	TEST(suite, stream_errors_closed);
	TEST(suite, stream_errors_answer_to_a_close_waits_for_room);
	TEST(suite, stream_errors_nothing_is_heard_after_a_close);
	TEST(suite, stream_errors_of_the_transport);
	TEST(suite, stream_errors_of_the_transport_in_the_session);
	TEST(suite, stream_errors_of_an_odd_transport);
	TEST(suite, stream_errors_alert_of_the_handshake);
	TEST(suite, stream_errors_wrong_key);
	TEST(suite, stream_errors_alert_behind_a_reset);
	TEST(suite, stream_errors_alert_before_a_hello);
	TEST(suite, stream_errors_alert_while_we_write);
	TEST(suite, stream_errors_close_while_we_write);
	TEST(suite, stream_errors_forged_record);
	return suite;
}
