/* TLS 1.3, where mbed TLS has it: by explicit maximum version, for both kinds of credentials. */
#include "dtls/mbed.h"
#include "pki.h"
#include "raw_tls.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KEY_SHARE = 51, KEY_BYTES = 32, LINES = 16 };

static struct streams s;
static uint8_t buf[256];

static void allow(struct stream_side *side)
{
	ck_assert_msg(
	    dtls_context_set_max_version(side->ctx, DTLS_VERSION_1_3) == DTLS_OK, "%s", dtls_context_error(side->ctx));
}

static void open_psk(void)
{
	streams_open(&s);
	allow(&s.client);
	allow(&s.server);
}

static void open_certificates(void)
{
	streams_open_bare(&s);
	pki_load(s.server.ctx, "chain.pem", "leaf.key");
	pki_trust(s.client.ctx, "ca.pem");
	allow(&s.client);
	allow(&s.server);
}

static void shake_hands(void)
{
	streams_wrap(&s);
	ck_assert_int_eq(dtls_conn_set_hostname(s.client.conn, "localhost"), DTLS_OK);
	streams_handshake(&s);
}

static void assert_connected(const char *version)
{
	streams_assert_connected(&s);
	ck_assert_str_eq(dtls_conn_version(s.client.conn), version);
	ck_assert_str_eq(dtls_conn_version(s.server.conn), version);
	streams_assert_exchange(&s);
}

START_TEST(stream_1_3_pre_shared_keys)
{
	const uint8_t *identity;
	size_t len;

	open_psk();
	shake_hands();
	assert_connected("TLSv1.3");
	identity = dtls_conn_psk_identity(s.server.conn, &len);
	ck_assert_uint_eq(len, strlen(STREAMS_IDENTITY));
	ck_assert_mem_eq(identity, STREAMS_IDENTITY, len);
	ck_assert_int_eq(strncmp(dtls_conn_cipher(s.client.conn), "TLS1-3-", 7), 0);
	streams_close(&s);
}
END_TEST

START_TEST(stream_1_3_certificates)
{
	open_certificates();
	shake_hands();
	assert_connected("TLSv1.3");
	ck_assert_int_eq(dtls_conn_verify_result(s.client.conn), 0);
	ck_assert_str_eq(dtls_conn_peer_name(s.client.conn), "localhost");
	streams_close(&s);
}
END_TEST

START_TEST(stream_1_3_mutual_certificates)
{
	open_certificates();
	pki_trust(s.server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(s.server.ctx, CERT_REQUIRED), DTLS_OK);
	pki_load(s.client.ctx, "client.pem", "client.key");
	shake_hands();
	assert_connected("TLSv1.3");
	ck_assert_str_eq(dtls_conn_peer_name(s.server.conn), "sensor-17");
	streams_close(&s);
}
END_TEST

START_TEST(stream_1_3_other_version)
{
	for (int old = 0; old < 2; old++) {
		open_certificates();
		ck_assert_int_eq(
		    dtls_context_set_max_version(old ? s.server.ctx : s.client.ctx, DTLS_VERSION_1_2), DTLS_OK);
		shake_hands();
		assert_connected("TLSv1.2");
		streams_close(&s);
		open_psk();
		ck_assert_int_eq(
		    dtls_context_set_max_version(old ? s.server.ctx : s.client.ctx, DTLS_VERSION_1_2), DTLS_OK);
		shake_hands();
		assert_connected("TLSv1.2");
		streams_close(&s);
	}
}
END_TEST

/* ---- refusals ---- */

START_TEST(stream_1_3_wrong_server_certificate)
{
	open_certificates();
	pki_load(s.server.ctx, "expired.pem", "expired.key");
	shake_hands();
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	stream_side_assert_error(&s.client, "expired on 2021-01-01");
	ck_assert_int_eq(s.server.status, DTLS_FAIL);
	stream_side_assert_error(&s.server, "the peer sent the alert certificate_expired");
	streams_close(&s);
}
END_TEST

/* A client of TLS 1.3 has finished before it is judged. It learns of it when it reads, though not why: an mbed TLS server
 * writes that alert under keys that no client reads by then (RFC 8446, 4.4.4). */
START_TEST(stream_1_3_wrong_client_certificate)
{
	static const struct {
		const char *cert, *key, *server_says;
	} cases[] = {
	    {"stranger.pem", "stranger.key", "none of the trusted CAs"},
	    {NULL, NULL, "the client sent no certificate"},
	};

	for (size_t i = 0; i < 2; i++) {
		open_certificates();
		pki_trust(s.server.ctx, "ca.pem");
		ck_assert_int_eq(dtls_context_set_verify_mode(s.server.ctx, CERT_REQUIRED), DTLS_OK);
		if (cases[i].cert != NULL)
			pki_load(s.client.ctx, cases[i].cert, cases[i].key);
		shake_hands();
		ck_assert_int_eq(s.server.status, DTLS_FAIL);
		stream_side_assert_error(&s.server, cases[i].server_says);
		ck_assert_int_eq(s.client.status, DTLS_OK);
		s.down.ended = true;
		ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_FAIL);
		stream_side_assert_error(&s.client, "a server that refuses this side's certificate may say so");
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_1_3_wrong_key)
{
	open_psk();
	ck_assert_int_eq(
	    dtls_context_set_psk(s.client.ctx, STREAMS_IDENTITY, strlen(STREAMS_IDENTITY), "another", 7), DTLS_OK);
	shake_hands();
	ck_assert_int_eq(s.server.status, DTLS_FAIL);
	stream_side_assert_error(&s.server, "pre-shared key");
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	stream_side_assert_error(&s.client, "pre-shared key");
	streams_close(&s);
}
END_TEST

/* ---- the stream ---- */

START_TEST(stream_1_3_in_small_pieces)
{
	open_psk();
	for (size_t chunk = 1; chunk < 40; chunk += 3) {
		streams_reopen(&s);
		s.client.chunk = s.server.chunk = chunk;
		shake_hands();
		assert_connected("TLSv1.3");
	}
	streams_close(&s);
}
END_TEST

static void want_everywhere(struct stream_side *side)
{
	unsigned nth = 1;

	do {
		streams_reopen(&s);
		side->want_at = nth;
		shake_hands();
		assert_connected("TLSv1.3");
	} while (side->calls >= nth++);
	ck_assert_uint_gt(nth, 8);
}

START_TEST(stream_1_3_would_block_at_every_call)
{
	open_psk();
	want_everywhere(&s.client);
	want_everywhere(&s.server);
	streams_close(&s);
}
END_TEST

static void end_everywhere(struct stream_side *side)
{
	size_t total;

	streams_reopen(&s);
	shake_hands();
	total = side->in->passed;
	for (size_t at = 0; at < total; at += 3) {
		streams_reopen(&s);
		side->in->ends_at = at;
		shake_hands();
		ck_assert_int_eq(side->status, DTLS_FAIL);
		stream_side_assert_error(side, "the peer ended the connection in the middle of it");
	}
}

START_TEST(stream_1_3_cut_anywhere)
{
	open_psk();
	end_everywhere(&s.client);
	end_everywhere(&s.server);
	streams_close(&s);
}
END_TEST

START_TEST(stream_1_3_ends)
{
	for (int cut = 0; cut < 2; cut++) {
		open_psk();
		shake_hands();
		assert_connected("TLSv1.3");
		if (!cut)
			ck_assert_int_eq(dtls_conn_close(s.server.conn), DTLS_OK);
		s.down.ended = true;
		ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), cut ? DTLS_FAIL : DTLS_CLOSED);
		stream_side_assert_error(&s.client, cut ? "it was cut off" : "the peer closed");
		streams_close(&s);
	}
}
END_TEST

/* ---- what is told ---- */

struct log {
	char lines[LINES][300];
	unsigned count;
};

static void log_key(void *arg, const char *line)
{
	struct log *l = arg;

	ck_assert_uint_lt(l->count, LINES);
	snprintf(l->lines[l->count++], sizeof(l->lines[0]), "%s", line);
}

static const char *line_of(const struct log *l, const char *label)
{
	for (unsigned i = 0; i < l->count; i++)
		if (strncmp(l->lines[i], label, strlen(label)) == 0)
			return l->lines[i];
	ck_abort_msg("no line for %s", label);
	return NULL;
}

START_TEST(stream_1_3_key_log)
{
	static const char *const labels[] = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET ", "SERVER_HANDSHAKE_TRAFFIC_SECRET ",
	    "CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
	static struct log client, server;

	open_certificates();
	ck_assert_int_eq(dtls_context_set_keylog(s.client.ctx, log_key, &client), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_keylog(s.server.ctx, log_key, &server), DTLS_OK);
	shake_hands();
	assert_connected("TLSv1.3");
	ck_assert_uint_eq(client.count, 4);
	ck_assert_uint_eq(server.count, 4);
	for (size_t i = 0; i < 4; i++) {
		ck_assert_str_eq(line_of(&client, labels[i]), line_of(&server, labels[i]));
		ck_assert_uint_eq(strlen(line_of(&client, labels[i])), strlen(labels[i]) + 64 + 1 + 64);
	}
	streams_close(&s);
}
END_TEST

static void tell(void *arg, int64_t now_ms, const char *event)
{
	(void)now_ms;
	log_key(arg, event);
}

static void expect(const struct log *l, const char *const *lines, size_t count)
{
	for (size_t i = 0; i < l->count && i < count; i++)
		ck_assert_msg(strncmp(l->lines[i], lines[i], strlen(lines[i])) == 0, "%s", l->lines[i]);
	ck_assert_uint_eq(l->count, count);
}

START_TEST(stream_1_3_story)
{
	static const char *const of_client[] = {"sent ClientHello, ", "received ServerHello, ",
	    "received ChangeCipherSpec, ", "received an encrypted record, ", "received an encrypted record, ",
	    "sent ChangeCipherSpec, ", "sent an encrypted record, ", "handshake done: TLSv1.3, TLS1-3-"};
	static const char *const of_server[] = {"received ClientHello, ", "sent ServerHello, ",
	    "sent ChangeCipherSpec, ", "sent an encrypted record, ", "sent an encrypted record, ",
	    "received ChangeCipherSpec, ", "received an encrypted record, ", "handshake done: TLSv1.3, TLS1-3-"};
	static struct log client, server;

	open_psk();
	ck_assert_int_eq(dtls_context_set_trace(s.client.ctx, tell, &client), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_trace(s.server.ctx, tell, &server), DTLS_OK);
	for (size_t chunk = 0; chunk < 10; chunk++) {
		client.count = server.count = 0;
		streams_reopen(&s);
		s.client.chunk = s.server.chunk = chunk;
		shake_hands();
		expect(&client, of_client, sizeof(of_client) / sizeof(*of_client));
		expect(&server, of_server, sizeof(of_server) / sizeof(*of_server));
	}
	streams_close(&s);
}
END_TEST

/* ---- tickets ---- */

#if MBED_1_3
#include <mbedtls/ssl_ticket.h>

static void open_ticketer(struct raw_tls *raw, mbedtls_ssl_ticket_context *tickets)
{
	raw_tls_open(raw, MBEDTLS_SSL_IS_SERVER);
	mbedtls_ssl_conf_max_tls_version(&raw->conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_ticket_init(tickets);
	ck_assert_int_eq(mbedtls_ssl_ticket_setup(tickets, raw_tls_random, NULL, MBEDTLS_CIPHER_AES_256_GCM, 3600), 0);
	mbedtls_ssl_conf_session_tickets_cb(&raw->conf, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, tickets);
	mbedtls_ssl_conf_new_session_tickets(&raw->conf, 3);
	raw_tls_start(raw, &s.server);
}

/* They come with the first bytes, and are none of the caller's business. */
START_TEST(stream_1_3_tickets)
{
	mbedtls_ssl_ticket_context tickets;
	struct raw_tls raw;
	size_t before;

	open_psk();
	streams_wrap(&s);
	open_ticketer(&raw, &tickets);
	ck_assert_int_eq(raw_tls_handshake(&raw, &s.client), 0);
	ck_assert_int_eq(s.client.status, DTLS_OK);
	ck_assert_str_eq(dtls_conn_version(s.client.conn), "TLSv1.3");
	before = s.down.len - s.down.taken;
	ck_assert_uint_gt(before, 300); /* three tickets */
	ck_assert_int_eq(mbedtls_ssl_write(&raw.ssl, (const unsigned char *)"data", 4), 4);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), 4);
	ck_assert_mem_eq(buf, "data", 4);
	ck_assert_int_eq(dtls_conn_read(s.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	mbedtls_ssl_ticket_free(&tickets);
	raw_tls_close(&raw);
	streams_close(&s);
}
END_TEST
#else
START_TEST(stream_1_3_tickets)
{
	ck_abort_msg("is not run");
}
END_TEST
#endif

/* ---- fork ---- */

/* The key of the first key share in the hello at the beginning of a flow. */
static void find_key(const struct flow *f, uint8_t key[KEY_BYTES])
{
	bool is_client = f->bytes[5] == 1;

	for (size_t at = 9 + 2 + 32; at + 8 + KEY_BYTES < f->len; at++) {
		const uint8_t *p = f->bytes + at;
		size_t len = (size_t)p[2] << 8 | p[3];

		/* Type and length of the extension, length of the list, group, length of the key. */
		if (p[0] != 0 || p[1] != KEY_SHARE || len < 4 + 32 || len > 300)
			continue;
		memcpy(key, p + 4 + (is_client ? 2 : 0) + 4 + 1, KEY_BYTES);
		return;
	}
	ck_abort_msg("no key share");
}

/* The keys that both sides show in a handshake of their own. */
static void draw(uint8_t keys[2 * KEY_BYTES])
{
	streams_reopen(&s);
	shake_hands();
	streams_assert_connected(&s);
	find_key(&s.up, keys);
	find_key(&s.down, keys + KEY_BYTES);
}

START_TEST(stream_1_3_fork_draws_other_keys)
{
	uint8_t before[2 * KEY_BYTES], ours[2 * KEY_BYTES], theirs[2 * KEY_BYTES];
	int fds[2], status;
	pid_t pid;

	open_psk();
	draw(before);
	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		draw(theirs);
		_exit(write(fds[1], theirs, sizeof(theirs)) == sizeof(theirs) ? 0 : 2);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	ck_assert_int_eq(read(fds[0], theirs, sizeof(theirs)), sizeof(theirs));
	draw(ours);
	ck_assert_mem_ne(before, ours, KEY_BYTES);
	ck_assert_mem_ne(theirs, ours, KEY_BYTES);
	ck_assert_mem_ne(theirs + KEY_BYTES, ours + KEY_BYTES, KEY_BYTES);
	close(fds[0]);
	close(fds[1]);
	streams_close(&s);
}
END_TEST

#define TEST_1_3(suite, function) TEST_WHERE(MBED_1_3, "this mbed TLS has no TLS 1.3", suite, function)

Suite *stream_1_3_suite(void)
{
	Suite *suite = suite_create("stream_1_3");

	pki_announce();
	TEST_1_3(suite, stream_1_3_pre_shared_keys);
	TEST_1_3(suite, stream_1_3_certificates);
	TEST_1_3(suite, stream_1_3_mutual_certificates);
	TEST_1_3(suite, stream_1_3_other_version);
	TEST_1_3(suite, stream_1_3_wrong_server_certificate);
	TEST_1_3(suite, stream_1_3_wrong_client_certificate);
	TEST_1_3(suite, stream_1_3_wrong_key);
	TEST_1_3(suite, stream_1_3_in_small_pieces);
	TEST_1_3(suite, stream_1_3_would_block_at_every_call);
	TEST_1_3(suite, stream_1_3_cut_anywhere);
	TEST_1_3(suite, stream_1_3_ends);
	TEST_1_3(suite, stream_1_3_key_log);
	TEST_1_3(suite, stream_1_3_story);
	TEST_1_3(suite, stream_1_3_tickets);
	TEST_1_3(suite, stream_1_3_fork_draws_other_keys);
	return suite;
}
