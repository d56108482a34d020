/* Peers that speak something else, or want what this library does not do: clear sentences, the right alerts, and no
 * harm to a session. */
#include "dtls/mbed.h"
#include "raw_tls.h"
#include "seeded.h"

#include <string.h>

enum { TLS_1_0 = 0x0301, TLS_1_1 = 0x0302, TLS_1_2 = 0x0303, PSK_CCM_8 = 0xc0a8, PSK_CBC_SHA256 = 0x00ae };

static struct streams s;
static struct raw_tls raw;
static uint8_t buf[256];

/* The fatal alert in the clear at the end of a flow; 0: none. */
static unsigned last_alert(const struct flow *f)
{
	const uint8_t *r = f->bytes + f->len - 7;

	if (f->len < 7 || r[0] != RECORD_ALERT || r[4] != 2 || r[5] != MBEDTLS_SSL_ALERT_LEVEL_FATAL)
		return 0;
	return r[6];
}

static void open_server(void)
{
	streams_open(&s);
	streams_wrap(&s);
}

/* A client of ours that has sent its hello. */
static void open_client(void)
{
	streams_open(&s);
	streams_wrap(&s);
	stream_side_step(&s.client);
}

static void assert_refuses(struct stream_side *side, const char *part, unsigned alert)
{
	stream_side_step(side);
	ck_assert_msg(side->status == DTLS_FAIL, "%d", side->status);
	stream_side_assert_error(side, part);
	ck_assert_uint_eq(last_alert(side->out), alert);
}

/* ---- hellos by hand ---- */

static size_t put(uint8_t *p, unsigned value, size_t size)
{
	for (size_t i = size; i > 0; value >>= 8)
		p[--i] = (uint8_t)value;
	return size;
}

static void put_record(struct flow *f, unsigned version, uint8_t type, const uint8_t *body, size_t len)
{
	uint8_t record[512] = {RECORD_HANDSHAKE};

	ck_assert_uint_le(len, sizeof(record) - 9);
	put(record + 1, version, 2);
	put(record + 3, (unsigned)len + 4, 2);
	record[5] = type;
	put(record + 6, (unsigned)len, 3);
	memcpy(record + 9, body, len);
	flow_put(f, record, len + 9);
}

static void put_client_hello(struct flow *f, unsigned version, unsigned suite)
{
	uint8_t body[128];
	size_t n = put(body, version, 2);

	memset(body + n, 0x55, 32);
	n += 32;
	body[n++] = 0; /* no session */
	n += put(body + n, 2, 2);
	n += put(body + n, suite, 2);
	n += put(body + n, 0x0100, 2); /* one compression method: none */
	put_record(f, TLS_1_0, 1, body, n);
}

static void put_server_hello(struct flow *f, unsigned version, unsigned suite)
{
	uint8_t body[128];
	size_t n = put(body, version, 2);

	memset(body + n, 0x55, 32);
	n += 32;
	body[n++] = 0;
	n += put(body + n, suite, 2);
	body[n++] = 0;
	put_record(f, version, 2, body, n);
}

/* ---- other protocols, other versions ---- */

START_TEST(stream_peers_that_speak_http)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
			  answer[] = "HTTP/1.1 400 Bad Request\r\n";

	open_server();
	flow_put(&s.up, request, strlen(request));
	assert_refuses(&s.server, "what the peer sent is not TLS: is this the right port?", 40);
	streams_close(&s);
	open_client();
	flow_put(&s.down, answer, strlen(answer));
	assert_refuses(&s.client, "what the peer sent is not TLS: is this the right port?", 40);
	streams_close(&s);
}
END_TEST

START_TEST(stream_peers_that_speak_dtls)
{
	static const uint8_t hello[13 + 12 + 40] = {RECORD_HANDSHAKE, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 52, 1};

	open_server();
	flow_put(&s.up, hello, sizeof(hello));
	assert_refuses(&s.server, "what the peer sent is not TLS: is this the right port?", 40);
	streams_close(&s);
}
END_TEST

START_TEST(stream_peers_of_older_versions)
{
	static const unsigned versions[] = {0x0300, TLS_1_0, TLS_1_1};

	for (size_t i = 0; i < 3; i++) {
		open_server();
		put_client_hello(&s.up, versions[i], PSK_CCM_8);
		assert_refuses(&s.server, "the peer does not speak TLS 1.2", MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION);
		streams_close(&s);
		open_client();
		put_server_hello(&s.down, versions[i], PSK_CCM_8);
		assert_refuses(&s.client, "the peer does not speak TLS 1.2", MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION);
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_peers_with_a_foreign_suite)
{
	open_server();
	put_client_hello(&s.up, TLS_1_2, PSK_CBC_SHA256);
	assert_refuses(
	    &s.server, "none of the peer's cipher suites is enabled here", MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
	streams_close(&s);
	open_client();
	put_server_hello(&s.down, TLS_1_2, PSK_CBC_SHA256);
	stream_side_step(&s.client);
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	ck_assert_uint_eq(last_alert(&s.up), MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER);
	streams_close(&s);
}
END_TEST

/* The suite is named, and still it takes encrypt-then-MAC (RFC 7366). */
START_TEST(stream_peers_without_encrypt_then_mac)
{
	static const char *const cbc[] = {"TLS-PSK-WITH-AES-128-CBC-SHA256"};

	for (int etm = 0; etm < 2; etm++) {
		streams_open(&s);
		ck_assert_int_eq(dtls_context_set_ciphers(s.server.ctx, cbc, 1), DTLS_OK);
		streams_wrap(&s);
		raw_tls_open(&raw, MBEDTLS_SSL_IS_CLIENT);
		mbedtls_ssl_conf_encrypt_then_mac(&raw.conf, etm ? MBEDTLS_SSL_ETM_ENABLED : MBEDTLS_SSL_ETM_DISABLED);
		raw_tls_start(&raw, &s.client);
		raw_tls_handshake(&raw, &s.server);
		ck_assert_int_eq(s.server.status, etm ? DTLS_OK : DTLS_FAIL);
		if (!etm)
			stream_side_assert_error(&s.server, "without encrypt-then-MAC (RFC 7366)");
		raw_tls_close(&raw);
		streams_close(&s);
	}
}
END_TEST

/* Whatever comes first, a server ends, waits, or has something to answer: it does not crash, and says why it ends. */
START_TEST(stream_peers_that_send_junk)
{
	uint64_t seed = 1;
	uint8_t junk[200];

	streams_open(&s);
	for (int i = 0; i < 3000; i++) {
		size_t len = 5 + seeded_below(&seed, sizeof(junk) - 5);

		seeded_bytes(&seed, junk, len);
		if (i % 2 == 0) { /* at least a record */
			memcpy(junk, (uint8_t[]){(uint8_t)(20 + i % 5), 3, (uint8_t)(i % 4)}, 3);
			put(junk + 3, (unsigned)len - 5, 2);
		}
		streams_reopen(&s);
		streams_wrap(&s);
		stream_side_step(&s.client);
		flow_put(&s.down, junk, len);
		s.up.taken = s.up.len;
		flow_put(&s.up, junk, len);
		s.up.ended = s.down.ended = true;
		stream_side_step(&s.client);
		stream_side_step(&s.server);
		ck_assert_int_eq(s.client.status, DTLS_FAIL);
		ck_assert_int_eq(s.server.status, DTLS_FAIL);
		ck_assert_str_ne(dtls_conn_error(s.server.conn), "");
	}
	streams_close(&s);
}
END_TEST

/* ---- renegotiation ---- */

static void connect_raw(struct stream_side *side, struct stream_side *ours, int endpoint)
{
	streams_open(&s);
	streams_wrap(&s);
	raw_tls_open(&raw, endpoint);
	raw_tls_start(&raw, side);
	ck_assert_int_eq(raw_tls_handshake(&raw, ours), 0);
	ck_assert_int_eq(ours->status, DTLS_OK);
}

static void close_raw(void)
{
	raw_tls_close(&raw);
	streams_close(&s);
}

static void raw_says(const char *text)
{
	ck_assert_int_eq(mbedtls_ssl_write(&raw.ssl, (const unsigned char *)text, strlen(text)), (int)strlen(text));
}

static void raw_hears(const char *text)
{
	int n = MBEDTLS_ERR_SSL_WANT_READ;

	for (int i = 0; i < 3 && n == MBEDTLS_ERR_SSL_WANT_READ; i++)
		n = mbedtls_ssl_read(&raw.ssl, buf, sizeof(buf));
	ck_assert_int_eq(n, (int)strlen(text));
	ck_assert_mem_eq(buf, text, strlen(text));
}

/* Records of this type in what lies unread. */
static unsigned waiting(const struct flow *f, uint8_t type)
{
	unsigned count = 0;

	for (size_t at = f->taken; at + 5 <= f->len; at += 5 + ((size_t)f->bytes[at + 3] << 8 | f->bytes[at + 4]))
		count += f->bytes[at] == type;
	return count;
}

START_TEST(stream_peers_that_ask_for_renegotiation)
{
	connect_raw(&s.server, &s.client, MBEDTLS_SSL_IS_SERVER);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&raw.ssl), 0); /* a HelloRequest */
	ck_assert_uint_eq(waiting(&s.down, RECORD_HANDSHAKE), 1);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	ck_assert_uint_eq(waiting(&s.up, RECORD_HANDSHAKE), 0);
	ck_assert_uint_eq(waiting(&s.up, RECORD_ALERT), 1);
	stream_side_says(&s.client, "still here");
	raw_hears("still here");
	raw_says("so am I");
	stream_side_hears(&s.client, "so am I");
	close_raw();
}
END_TEST

/* DTLS_WANT_READ means that the transport has nothing more: who waits for an edge would wait for ever. */
START_TEST(stream_peers_that_ask_and_go_on)
{
	connect_raw(&s.server, &s.client, MBEDTLS_SSL_IS_SERVER);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&raw.ssl), 0);
	raw_says("news");
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), 4);
	close_raw();
}
END_TEST

START_TEST(stream_peers_that_begin_renegotiation)
{
	connect_raw(&s.client, &s.server, MBEDTLS_SSL_IS_CLIENT);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&raw.ssl), MBEDTLS_ERR_SSL_WANT_READ);
	ck_assert_uint_eq(waiting(&s.up, RECORD_HANDSHAKE), 1);
	ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	ck_assert_uint_eq(waiting(&s.down, RECORD_HANDSHAKE), 0);
	ck_assert_uint_eq(waiting(&s.down, RECORD_ALERT), 1);
	stream_side_says(&s.server, "still here");
	raw_hears("still here");
	close_raw();
}
END_TEST

/* The refusal finds no room. It neither displaces what is written next, nor is it lost. */
START_TEST(stream_peers_are_refused_when_there_is_room)
{
	connect_raw(&s.server, &s.client, MBEDTLS_SSL_IS_SERVER);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&raw.ssl), 0);
	s.up.room = 3;
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_WANT_WRITE);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen", 9), DTLS_WANT_WRITE);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "eighteen", 8), 8);
	ck_assert_uint_eq(waiting(&s.up, RECORD_ALERT), 1);
	raw_hears("eighteen");
	close_raw();
}
END_TEST

START_TEST(stream_peers_are_refused_by_a_reader)
{
	connect_raw(&s.server, &s.client, MBEDTLS_SSL_IS_SERVER);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&raw.ssl), 0);
	s.up.room = 3;
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_WANT_WRITE);
	s.up.room = FLOW_MAX;
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	ck_assert_uint_eq(waiting(&s.up, RECORD_ALERT), 1);
	ck_assert_uint_eq(s.up.len - s.up.taken, 5 + 2 + 16);
	close_raw();
}
END_TEST

/* Between a write that was not taken whole and its repetition. */
START_TEST(stream_peers_are_refused_between_two_writes)
{
	connect_raw(&s.server, &s.client, MBEDTLS_SSL_IS_SERVER);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&raw.ssl), 0);
	s.up.room = 10;
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen", 9), DTLS_WANT_WRITE);
	ck_assert_int_lt(dtls_conn_read(s.client.conn, buf, sizeof(buf)), 0);
	s.up.room = FLOW_MAX;
	ck_assert_int_lt(dtls_conn_read(s.client.conn, buf, sizeof(buf)), 0);
	ck_assert_int_eq(dtls_conn_write(s.client.conn, "seventeen", 9), 9);
	raw_hears("seventeen");
	stream_side_says(&s.client, "eighteen");
	raw_hears("eighteen");
	raw_says("nineteen");
	stream_side_hears(&s.client, "nineteen");
	close_raw();
}
END_TEST

Suite *stream_peers_suite(void)
{
	Suite *suite = suite_create("stream_peers");

	TEST(suite, stream_peers_that_speak_http);
	TEST(suite, stream_peers_that_speak_dtls);
	TEST(suite, stream_peers_of_older_versions);
	TEST(suite, stream_peers_with_a_foreign_suite);
	TEST(suite, stream_peers_without_encrypt_then_mac);
	TEST(suite, stream_peers_that_send_junk);
	TEST(suite, stream_peers_that_ask_for_renegotiation);
	TEST(suite, stream_peers_that_ask_and_go_on);
	TEST(suite, stream_peers_that_begin_renegotiation);
	TEST(suite, stream_peers_are_refused_when_there_is_room);
	TEST(suite, stream_peers_are_refused_by_a_reader);
	TEST(suite, stream_peers_are_refused_between_two_writes);
	return suite;
}
