#include "pair.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(literal) literal, sizeof(literal) - 1

static struct pair pair;
static struct capture up, down; /* client to server, and back */

static void open_captured(void)
{
	pair_open(&pair);
	capture_link(&up, pair.client.out);
	capture_link(&down, pair.server.out);
}

static void set_suite(const char *name)
{
	ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, &name, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(pair.server.ctx, &name, 1), DTLS_OK);
}

START_TEST(handshake_takes_three_round_trips)
{
	open_captured();
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	ck_assert_uint_eq(up.count, 3);
	ck_assert_uint_eq(down.count, 3);
	ck_assert_str_eq(dtls_conn_cipher(pair.client.conn), PAIR_SUITE);
	ck_assert_str_eq(dtls_conn_cipher(pair.server.conn), PAIR_SUITE);
	ck_assert_str_eq(dtls_conn_version(pair.client.conn), "DTLSv1.2");
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* ---- suites */

START_TEST(handshake_every_suite)
{
	static const char *const names[] = {"TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256", "TLS-PSK-WITH-AES-128-CCM-8",
	    "TLS-PSK-WITH-AES-128-CCM", "TLS-PSK-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-256-GCM-SHA384",
	    "TLS-PSK-WITH-CHACHA20-POLY1305-SHA256", "TLS-ECDHE-PSK-WITH-AES-128-CBC-SHA256",
	    "TLS-ECDHE-PSK-WITH-AES-256-CBC-SHA384", "TLS-PSK-WITH-AES-128-CBC-SHA256",
	    "TLS-PSK-WITH-AES-256-CBC-SHA384"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		pair_open(&pair);
		set_suite(names[i]);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		ck_assert_str_eq(dtls_conn_cipher(pair.client.conn), names[i]);
		ck_assert_str_eq(dtls_conn_cipher(pair.server.conn), names[i]);
		pair_assert_exchange(&pair);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(handshake_servers_order_decides)
{
	static const char *const client[] = {"TLS_PSK_WITH_AES_128_CCM", "TLS_PSK_WITH_AES_128_CCM_8"};
	static const char *const server[] = {"TLS_PSK_WITH_AES_128_CCM_8", "TLS_PSK_WITH_AES_128_CCM"};

	pair_open(&pair);
	ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, client, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(pair.server.ctx, server, 2), DTLS_OK);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	ck_assert_str_eq(dtls_conn_cipher(pair.client.conn), "TLS-PSK-WITH-AES-128-CCM-8");
	pair_close(&pair);
}
END_TEST

START_TEST(handshake_no_common_suite)
{
	static const char *const other[] = {"TLS-PSK-WITH-AES-128-GCM-SHA256"};

	open_captured();
	ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, other, 1), DTLS_OK);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.server.status, DTLS_FAIL);
	ck_assert_int_eq(pair.server.done_at, 60);
	assert_error(pair.server.conn, "none of the peer's cipher suites is enabled here");
	/* An alert in the clear may be forged: the client says hello for 7 s more before it believes this one. */
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	ck_assert_int_eq(pair.client.done_at, 80 + 7000);
	assert_error(pair.client.conn, "the peer sent the alert handshake_failure: probably none of the cipher suites");
	ck_assert_uint_eq(up.count, 2 + 3);
	ck_assert_uint_eq(down.count, 2);
	ck_assert_uint_eq(down.datagrams[1].bytes[0], RECORD_ALERT);
	ck_assert_uint_eq(down.datagrams[1].bytes[RECORD_HEADER], MBEDTLS_SSL_ALERT_LEVEL_FATAL);
	ck_assert_uint_eq(down.datagrams[1].bytes[RECORD_HEADER + 1], MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
	pair_close(&pair);
}
END_TEST

/* ---- identities and keys */

static void set_key(struct side *s, const void *identity, size_t len, const char *key)
{
	ck_assert_int_eq(dtls_context_set_psk(s->ctx, identity, len, key, strlen(key)), DTLS_OK);
}

START_TEST(handshake_identities_are_bytes)
{
	static uint8_t longest[DTLS_PSK_IDENTITY_MAX];
	static const struct {
		const void *bytes;
		size_t len;
	} identities[] = {
	    {TEXT("a\0b")}, {TEXT("\0")}, {TEXT("\xff\xfe\xc3\x28")}, {TEXT("x")}, {longest, sizeof(longest)}};
	const uint8_t *seen;
	size_t len;

	memset(longest, 0xe9, sizeof(longest));
	for (size_t i = 0; i < sizeof(identities) / sizeof(*identities); i++) {
		pair_open(&pair);
		set_key(&pair.client, identities[i].bytes, identities[i].len, PAIR_KEY);
		set_key(&pair.server, identities[i].bytes, identities[i].len, PAIR_KEY);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		seen = dtls_conn_psk_identity(pair.server.conn, &len);
		ck_assert_uint_eq(len, identities[i].len);
		ck_assert_mem_eq(seen, identities[i].bytes, len);
		seen = dtls_conn_psk_identity(pair.client.conn, &len);
		ck_assert_uint_eq(len, identities[i].len);
		ck_assert_mem_eq(seen, identities[i].bytes, len);
		pair_close(&pair);
	}
}
END_TEST

struct refusal { /* what the wire and the client tell of a refused key */
	struct capture down;
	unsigned sent;
	int status;
	int64_t done_at;
	char error[512];
};

static void run_refused(struct refusal *r)
{
	open_captured();
	capture_link(&r->down, pair.server.out);
}

static void end_refused(struct refusal *r)
{
	pair_handshake(&pair);
	pair_until(&pair, 200000);
	r->sent = up.count;
	r->status = pair.client.status;
	r->done_at = pair.client.done_at;
	snprintf(r->error, sizeof(r->error), "%s", dtls_conn_error(pair.client.conn));
}

/* RFC 4279, 2: who guesses identities learns nothing. */
START_TEST(handshake_wrong_key_looks_like_unknown_identity)
{
	static struct refusal wrong, unknown;

	run_refused(&wrong);
	set_key(&pair.client, TEXT(PAIR_IDENTITY), "another key");
	end_refused(&wrong);
	assert_error(pair.server.conn, "the pre-shared key for identity \"sensor-17\" probably differs");
	pair_close(&pair);
	run_refused(&unknown);
	set_key(&pair.server, TEXT("sensor-18"), PAIR_KEY);
	end_refused(&unknown);
	assert_error(pair.server.conn, "no pre-shared key is known for identity \"sensor-17\"");
	pair_close(&pair);

	ck_assert_uint_eq(wrong.sent, unknown.sent);
	ck_assert_uint_eq(wrong.down.count, unknown.down.count);
	ck_assert_uint_ge(wrong.down.count, 3);
	ck_assert_uint_eq(wrong.down.datagrams[2].bytes[0], RECORD_ALERT);
	for (unsigned i = 0; i < wrong.down.count; i++)
		ck_assert_uint_eq(wrong.down.datagrams[i].len, unknown.down.datagrams[i].len);
	ck_assert_mem_eq(wrong.down.datagrams[2].bytes, unknown.down.datagrams[2].bytes, wrong.down.datagrams[2].len);
	ck_assert_int_eq(wrong.status, DTLS_FAIL);
	ck_assert_int_eq(unknown.status, wrong.status);
	ck_assert_int_eq(unknown.done_at, wrong.done_at);
	ck_assert_str_eq(unknown.error, wrong.error);
	ck_assert_ptr_nonnull(strstr(wrong.error, "pre-shared key for identity \"sensor-17\""));
}
END_TEST

START_TEST(handshake_settings_are_a_snapshot)
{
	static const char *const other[] = {"TLS-PSK-WITH-AES-128-GCM-SHA256"};
	size_t before;

	open_captured();
	pair_wrap(&pair);
	set_key(&pair.server, TEXT(PAIR_IDENTITY), "another key");
	set_key(&pair.client, TEXT("sensor-18"), "a third key");
	ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, other, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_mtu(pair.client.ctx, 300), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(pair.client.ctx, 1, 1), DTLS_OK);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	ck_assert_str_eq(dtls_conn_cipher(pair.client.conn), PAIR_SUITE);
	before = dtls_conn_max_payload(pair.client.conn);
	ck_assert_uint_eq(before, dtls_conn_max_payload(pair.server.conn));
	ck_assert_uint_gt(before, 300);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* ---- sizes */

START_TEST(handshake_small_mtu)
{
	static const size_t mtus[] = {300, 256};

	for (size_t i = 0; i < 2; i++) {
		open_captured();
		set_suite("TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256");
		ck_assert_int_eq(dtls_context_set_mtu(pair.client.ctx, mtus[i]), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_mtu(pair.server.ctx, mtus[i]), DTLS_OK);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		for (unsigned n = 0; n < up.count; n++)
			ck_assert_uint_le(up.datagrams[n].len, mtus[i]);
		for (unsigned n = 0; n < down.count; n++)
			ck_assert_uint_le(down.datagrams[n].len, mtus[i]);
		/* 13 bytes of header and 16 of tag. */
		ck_assert_uint_eq(dtls_conn_max_payload(pair.client.conn), mtus[i] - 29);
		pair_assert_exchange(&pair);
		pair_close(&pair);
	}
}
END_TEST

/* ---- who becomes the peer of one server connection */

/* A second client over the same links: what it would send is caught. */
static struct datagram hello_of_another(struct pair *other)
{
	static struct capture sent;

	pair_open(other);
	capture_link(&sent, other->client.out);
	pair_step(other);
	ck_assert_uint_eq(sent.count, 1);
	return sent.datagrams[0];
}

START_TEST(handshake_second_hello_disturbs_nobody)
{
	static const int64_t instants[] = {0, 20, 60, 70, 100};
	struct pair other;
	struct datagram hello = hello_of_another(&other);

	for (size_t i = 0; i < sizeof(instants) / sizeof(*instants); i++) {
		open_captured();
		pair_until(&pair, instants[i]);
		sim_link_decide(pair.server.out, pair_drop_all, NULL); /* the other client lives elsewhere */
		pair_inject(&pair, &pair.server, &hello);
		sim_link_decide(pair.server.out, NULL, NULL);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		ck_assert_uint_eq(down.count, instants[i] == 100 ? 3 : 4); /* it gets its HelloVerifyRequest */
		pair_assert_exchange(&pair);
		pair_close(&pair);
	}
	pair_close(&other);
}
END_TEST

/* The new one's cookie holds: the old one's handshake gives way. */
START_TEST(handshake_client_reboots)
{
	static const struct {
		int64_t at_ms, done_at;
	} cases[] = {{10, 160}, {70, 70 + 1120}}; /* what was under way to the old one costs time */

	for (size_t i = 0; i < 2; i++) {
		struct dtls_conn *server;

		open_captured();
		pair_until(&pair, cases[i].at_ms);
		dtls_conn_free(pair.client.conn);
		server = pair.server.conn;
		pair_wrap(&pair);
		dtls_conn_free(pair.server.conn);
		pair.server.conn = server;
		pair_handshake(&pair);
		pair_assert_connected(&pair, cases[i].done_at, cases[i].done_at - PAIR_LATENCY_MS);
		pair_assert_exchange(&pair);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(handshake_cookie_is_bound_to_the_client_id)
{
	struct dtls_conn *first;

	open_captured();
	pair_until(&pair, 60);
	first = pair.server.conn;
	ck_assert_ptr_nonnull(first->a);
	/* The same context, another client id: this hello's cookie is a stranger's. */
	pair.server.conn = NULL;
	dtls_conn_free(pair.client.conn);
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_set_client_id(pair.server.conn, "another", 7), DTLS_OK);
	down.count = 0;
	pair_inject(&pair, &pair.server, &up.datagrams[1]);
	ck_assert_ptr_null(pair.server.conn->a);
	ck_assert_uint_eq(down.count, 1);
	ck_assert_uint_eq(down.datagrams[0].bytes[RECORD_HEADER], MESSAGE_HELLO_VERIFY_REQUEST);
	dtls_conn_free(first);
	pair_close(&pair);
}
END_TEST

Suite *handshake_suite(void)
{
	Suite *s = suite_create("handshake");

	TEST(s, handshake_takes_three_round_trips);
	TEST(s, handshake_every_suite);
	TEST(s, handshake_servers_order_decides);
	TEST(s, handshake_no_common_suite);
	TEST(s, handshake_identities_are_bytes);
	TEST(s, handshake_wrong_key_looks_like_unknown_identity);
	TEST(s, handshake_settings_are_a_snapshot);
	TEST(s, handshake_small_mtu);
	TEST(s, handshake_second_hello_disturbs_nobody);
	TEST(s, handshake_client_reboots);
	TEST(s, handshake_cookie_is_bound_to_the_client_id);
	return s;
}
