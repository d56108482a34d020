/* Servers that want what a client of this library does not do: CBC suites, DTLS 1.0, renegotiation. */
#include "pair.h"
#include "pki.h"
#include "raw_peer.h"
#include "watch.h"

#include <string.h>

struct ends { /* of two links */
	struct sim_link *out, *in;
};

static struct pair pair; /* its client, and mbed TLS alone in the place of its server */
static struct ends client_ends, server_ends;
static struct raw_peer server;
static struct watch up;

static ssize_t ends_send(void *arg, const void *buf, size_t len)
{
	return sim_link_send(((struct ends *)arg)->out, buf, len);
}

static ssize_t ends_recv(void *arg, void *buf, size_t len)
{
	return sim_link_recv(((struct ends *)arg)->in, buf, len);
}

static void begin(void)
{
	struct dtls_transport of_client = {ends_send, ends_recv, &client_ends};
	struct dtls_transport of_server = {ends_send, ends_recv, &server_ends};

	pair_open(&pair);
	client_ends = (struct ends){pair.client.out, pair.client.in};
	server_ends = (struct ends){pair.server.out, pair.server.in};
	watch_link(&up, pair.client.out);
	pki_trust(pki_context(&pair, &pair.client, PROTOCOL_DTLS_CLIENT), "ca.pem");
	pair.client.conn = dtls_wrap_transport(pair.client.ctx, &of_client);
	ck_assert_ptr_nonnull(pair.client.conn);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "localhost"), DTLS_OK);
	raw_init(&server, MBEDTLS_SSL_IS_SERVER, pair.sim, &pair.server.ctx->rng, &of_server);
	raw_load(&server, pki_path("server.pem"), pki_path("server.key"), &pair.server.ctx->rng);
}

static void end(void)
{
	raw_free(&server);
	pair_close(&pair);
}

static void client_step(void)
{
	struct side *c = &pair.client;
	uint8_t message[64];
	ssize_t n;

	if (c->status == DTLS_WANT_READ)
		c->status = dtls_conn_handshake(c->conn);
	while (c->status == DTLS_OK && (n = dtls_conn_read(c->conn, message, sizeof(message))) != DTLS_WANT_READ) {
		if (n < 0)
			c->status = (int)n;
		else
			c->messages++;
	}
}

static void run_for(int64_t ms)
{
	for (int64_t until = sim_now_ms(pair.sim) + ms; sim_now_ms(pair.sim) <= until;) {
		client_step();
		raw_step(&server);
		sim_advance_to(pair.sim, sim_now_ms(pair.sim) + 5);
	}
}

/* ---- no CBC suite is offered, so that there is none to choose */

START_TEST(foreign_server_with_cbc_suites)
{
	static const int suites[] = {
	    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, 0};

	begin();
	mbedtls_ssl_conf_ciphersuites(&server.conf, suites);
	raw_start(&server);
	run_for(10000); /* the client believes an alert in the clear when nothing contradicts it */
	ck_assert_int_ne(server.code, 0);
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	assert_error(pair.client.conn, "handshake with the peer failed: the peer sent the alert handshake_failure: "
				       "probably none of the cipher suites offered here is enabled there");
	end();
}
END_TEST

/* What a server answers that has a mind of its own. */
static struct datagram server_hello(uint8_t minor, uint16_t suite)
{
	uint8_t body[38] = {0xfe, minor};
	struct message m = {.type = MESSAGE_SERVER_HELLO, .length = sizeof(body), .len = sizeof(body), .body = body};

	memset(body + 2, 0x5a, 32);
	body[35] = (uint8_t)(suite >> 8);
	body[36] = (uint8_t)suite;
	return plain_message(0, &m);
}

START_TEST(foreign_server_chooses_what_was_not_offered)
{
	static const struct {
		uint8_t minor;
		uint16_t suite;
		uint8_t alert;
		const char *says;
	} cases[] = {
	    {0xfd, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, MBEDTLS_SSL_ALERT_MSG_ILLEGAL_PARAMETER,
		"handshake with the peer failed: "},
	    {0xff, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8, MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION,
		"the peer does not speak DTLS 1.2"},
	};

	for (size_t i = 0; i < 2; i++) {
		struct datagram d = server_hello(cases[i].minor, cases[i].suite);

		begin();
		client_step();
		ck_assert_uint_eq(up.datagrams, 1);
		ck_assert_int_gt(sim_link_send(pair.server.out, d.bytes, d.len), 0);
		sim_advance_to(pair.sim, 100);
		client_step();
		ck_assert_int_eq(pair.client.status, DTLS_FAIL);
		assert_error(pair.client.conn, cases[i].says);
		ck_assert_uint_eq(up.alerts, 1);
		ck_assert_uint_eq(up.alert, cases[i].alert);
		end();
	}
}
END_TEST

/* ---- a HelloRequest (RFC 5246, 7.4.1.1) is answered with the warning no_renegotiation */

START_TEST(foreign_server_renegotiates)
{
	const char *cipher;
	unsigned sent;

	begin();
	mbedtls_ssl_conf_renegotiation(&server.conf, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
	mbedtls_ssl_conf_renegotiation_enforced(&server.conf, MBEDTLS_SSL_RENEGOTIATION_NOT_ENFORCED);
	raw_start(&server);
	run_for(300);
	ck_assert_int_eq(server.code, 0);
	ck_assert_int_eq(pair.client.status, DTLS_OK);
	cipher = dtls_conn_cipher(pair.client.conn);
	for (unsigned i = 0; i < 30; i++) {
		sent = up.datagrams;
		ck_assert_int_eq(mbedtls_ssl_renegotiate(&server.ssl), 0);
		run_for(60);
		ck_assert_uint_eq(up.datagrams, sent + 1);
		ck_assert_int_eq(dtls_conn_write(pair.client.conn, "goes on", 7), 7);
		run_for(60);
		ck_assert_int_eq(server.code, 0);
		ck_assert_uint_eq(server.messages, i + 1);
	}
	raw_write(&server, "and back");
	run_for(60);
	ck_assert_uint_eq(pair.client.messages, 1);
	ck_assert_int_eq(pair.client.status, DTLS_OK);
	ck_assert_str_eq(dtls_conn_cipher(pair.client.conn), cipher);
	ck_assert_uint_eq(up.alerts, 0); /* in the clear */
	end();
}
END_TEST

Suite *foreign_servers_suite(void)
{
	Suite *s = suite_create("foreign_servers");

	pki_announce();
	TEST(s, foreign_server_with_cbc_suites);
	TEST(s, foreign_server_chooses_what_was_not_offered);
	TEST(s, foreign_server_renegotiates);
	return s;
}
