/* Whose session it is: an identity belongs to a session only when the session rests on its key. */
#include "ends.h"
#include "net.h"
#include "pki.h"
#include "raw_tls.h"

#include <string.h>

static struct ends e;

static const char *const certificate_suite[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"};
static const char *const both_kinds[] = {
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"};

#define IDENTITY "admin"
#define KEY      "the key of admin"

static void share_key(struct dtls_context *ctx)
{
	ck_assert_int_eq(dtls_context_set_psk(ctx, IDENTITY, strlen(IDENTITY), KEY, strlen(KEY)), DTLS_OK);
}

static void assert_identity(const struct dtls_conn *conn, const char *identity)
{
	size_t len = 99;
	const uint8_t *got = dtls_conn_psk_identity(conn, &len);

	ck_assert_uint_eq(len, identity == NULL ? 0 : strlen(identity));
	ck_assert((got == NULL) == (identity == NULL));
	if (identity != NULL)
		ck_assert_mem_eq(got, identity, len);
}

/* ---- of a client that may use either ---- */

static void open_either(enum protocol protocol)
{
	ends_open(&e, protocol);
	pki_trust(e.client.ctx, "ca.pem");
	share_key(e.client.ctx);
	ck_assert_int_eq(dtls_context_set_ciphers(e.client.ctx, both_kinds, 2), DTLS_OK);
}

START_TEST(identities_of_the_key_that_was_used)
{
	for (int protocol = OVER_DTLS; protocol <= OVER_TLS; protocol++) {
		open_either((enum protocol)protocol);
		share_key(e.server.ctx);
		ck_assert_int_eq(dtls_context_set_ciphers(e.server.ctx, both_kinds, 2), DTLS_OK);
		ends_handshake(&e, "localhost");
		ends_assert_connected(&e);
		assert_identity(e.client.conn, IDENTITY);
		assert_identity(e.server.conn, IDENTITY);
		ends_close(&e);
	}
}
END_TEST

/* The server knows the key too; the session rests on its certificate. */
START_TEST(identities_not_of_a_session_with_a_certificate)
{
	for (int protocol = OVER_DTLS; protocol <= OVER_TLS; protocol++) {
		open_either((enum protocol)protocol);
		share_key(e.server.ctx);
		pki_load(e.server.ctx, "server.pem", "server.key");
		ck_assert_int_eq(dtls_context_set_ciphers(e.server.ctx, both_kinds, 2), DTLS_OK);
		ends_handshake(&e, "localhost");
		ends_assert_connected(&e);
		ck_assert_str_eq(dtls_conn_cipher(e.client.conn), certificate_suite[0]);
		assert_identity(e.client.conn, NULL);
		assert_identity(e.server.conn, NULL);
		ck_assert_int_eq(dtls_conn_verify_result(e.client.conn), 0);
		ends_close(&e);
	}
}
END_TEST

/* ---- certificates alone are enabled ---- */

static void open_certificates_with_keys(enum protocol protocol)
{
	ends_open(&e, protocol);
	pki_load(e.server.ctx, "server.pem", "server.key");
	pki_trust(e.client.ctx, "ca.pem");
	share_key(e.client.ctx);
	share_key(e.server.ctx);
	ck_assert_int_eq(dtls_context_set_ciphers(e.client.ctx, certificate_suite, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(e.server.ctx, certificate_suite, 1), DTLS_OK);
}

START_TEST(identities_not_where_only_certificates_are_enabled)
{
	for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
		open_certificates_with_keys((enum protocol)protocol);
		ends_handshake(&e, "localhost");
		ends_assert_connected(&e);
		assert_identity(e.client.conn, NULL);
		assert_identity(e.server.conn, NULL);
		ck_assert_int_eq(dtls_conn_verify_result(e.client.conn), 0);
		ends_close(&e);
		/* The key is no way around the certificate's name. */
		open_certificates_with_keys((enum protocol)protocol);
		ends_handshake(&e, "no.such.name");
		ck_assert_int_eq(e.client.status, DTLS_FAIL);
		end_assert_error(&e.client, "\"no.such.name\" was asked for");
		assert_identity(e.client.conn, NULL);
		ends_close(&e);
	}
}
END_TEST

/* A server that asks for certificates gets them, whatever keys it knows. */
START_TEST(identities_do_not_stand_in_for_a_certificate)
{
	for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
		open_certificates_with_keys((enum protocol)protocol);
		pki_trust(e.server.ctx, "ca.pem");
		ck_assert_int_eq(dtls_context_set_verify_mode(e.server.ctx, CERT_REQUIRED), DTLS_OK);
		ends_handshake(&e, "localhost");
		ends_assert_client_refused(&e, "the client sent no certificate, and one is required");
		ends_close(&e);
	}
}
END_TEST

/* ---- TLS 1.3: one or the other ---- */

START_TEST(identities_1_3_needs_one_kind)
{
	struct dtls_transport none = {0};
	struct end *ends[] = {&e.client, &e.server};

	ends_open(&e, OVER_TLS_1_3);
	pki_load(e.server.ctx, "server.pem", "server.key");
	pki_trust(e.client.ctx, "ca.pem");
	for (size_t i = 0; i < 2; i++) {
		struct dtls_context *ctx = ends[i]->ctx;

		share_key(ctx);
		ck_assert_int_eq(dtls_context_set_ciphers(ctx, both_kinds, 2), DTLS_OK);
		ck_assert_ptr_null(dtls_wrap_transport(ctx, &none));
		ck_assert_str_eq(dtls_context_error(ctx),
		    "TLS 1.3 takes either pre-shared keys or certificates: name cipher suites of one kind");
		ck_assert_int_eq(dtls_context_set_max_version(ctx, DTLS_VERSION_1_2), DTLS_OK);
	}
	ends_handshake(&e, "localhost");
	ck_assert_int_eq(e.client.status, DTLS_OK);
	ck_assert_int_eq(e.server.status, DTLS_OK);
	ends_close(&e);
}
END_TEST

enum { PSK_KE = 1, PSK_DHE_KE = 2, DHE = 4, EVERY_WAY = 8 }; /* how keys may be agreed on (RFC 8446, 2.2 and 4.2.9) */

static struct streams s;
static struct raw_tls raw;

static void offer(int ways)
{
#if MBED_1_3
	mbedtls_ssl_conf_max_tls_version(&raw.conf, MBEDTLS_SSL_VERSION_TLS1_3);
	mbedtls_ssl_conf_authmode(&raw.conf, MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_conf_tls13_key_exchange_modes(
	    &raw.conf, ((ways & PSK_KE) != 0 ? MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK : 0) |
			   ((ways & PSK_DHE_KE) != 0 ? MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL : 0) |
			   ((ways & DHE) != 0 ? MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL : 0));
#else
	(void)ways;
#endif
}

static void allow_1_3(struct dtls_context *ctx)
{
	ck_assert_msg(dtls_context_set_max_version(ctx, DTLS_VERSION_1_3) == DTLS_OK, "%s", dtls_context_error(ctx));
}

/* A client that says it is STREAMS_IDENTITY and has STREAMS_KEY, before a server. */
static void open_pretence(int ways, const char *servers_key, bool certificate)
{
	streams_open_bare(&s);
	allow_1_3(s.server.ctx);
	if (certificate)
		pki_load(s.server.ctx, "server.pem", "server.key");
	if (servers_key != NULL)
		ck_assert_int_eq(dtls_context_add_psk(s.server.ctx, STREAMS_IDENTITY, strlen(STREAMS_IDENTITY),
				     servers_key, strlen(servers_key)),
		    DTLS_OK);
	allow_1_3(s.client.ctx); /* has no connection */
	raw_tls_open(&raw, MBEDTLS_SSL_IS_CLIENT);
	offer(ways);
}

static void pretend(void)
{
	raw_tls_start(&raw, &s.client);
	s.server.conn = dtls_wrap_transport(s.server.ctx,
	    &(struct dtls_transport){.send = stream_side_send, .recv = stream_side_recv, .arg = &s.server});
	ck_assert_msg(s.server.conn != NULL, "%s", dtls_context_error(s.server.ctx));
	raw_tls_handshake(&raw, &s.server);
}

static void end_pretence(void)
{
	raw_tls_close(&raw);
	streams_close(&s);
}

START_TEST(identities_1_3_not_of_a_claim_to_a_server_with_a_certificate)
{
	for (int ways = 1; ways < EVERY_WAY; ways++) {
		open_pretence(ways, NULL, true);
		pretend();
		ck_assert_msg((s.server.status == DTLS_OK) == ((ways & DHE) != 0), "%d: %s", ways,
		    dtls_conn_error(s.server.conn));
		assert_identity(s.server.conn, NULL);
		end_pretence();
	}
}
END_TEST

/* The server has a certificate, too, which must not carry a session that looks like the identity's. */
START_TEST(identities_1_3_not_without_the_key)
{
	for (int certificate = 0; certificate < 2; certificate++)
		for (int ways = 1; ways < EVERY_WAY; ways++) {
			open_pretence(ways, "another key 1234", certificate);
			pretend();
			ck_assert_msg(s.server.status == DTLS_FAIL, "%d: %d", ways, s.server.status);
			ck_assert_ptr_null(dtls_conn_version(s.server.conn));
			end_pretence();
		}
}
END_TEST

/* Not even with the key, where the server's suites are those of certificates. */
START_TEST(identities_1_3_not_where_only_certificates_are_enabled)
{
	for (int ways = 1; ways < EVERY_WAY; ways++) {
		open_pretence(ways, STREAMS_KEY, true);
		ck_assert_int_eq(dtls_context_set_ciphers(s.server.ctx, certificate_suite, 1), DTLS_OK);
		pretend();
		ck_assert_msg((s.server.status == DTLS_OK) == ((ways & DHE) != 0), "%d: %d %s", ways, s.server.status,
		    dtls_conn_error(s.server.conn));
		assert_identity(s.server.conn, NULL);
		end_pretence();
	}
}
END_TEST

/* With the key, and with forward secrecy only. */
START_TEST(identities_1_3_with_the_key)
{
	for (int ways = 1; ways < EVERY_WAY; ways++) {
		open_pretence(ways, STREAMS_KEY, false);
		pretend();
		ck_assert_msg((s.server.status == DTLS_OK) == ((ways & PSK_DHE_KE) != 0), "%d: %d %s", ways,
		    s.server.status, dtls_conn_error(s.server.conn));
		if (s.server.status == DTLS_OK)
			assert_identity(s.server.conn, STREAMS_IDENTITY);
		end_pretence();
	}
}
END_TEST

/* A server that takes no notice of the key offers its certificate: the client wants the key or nothing. */
START_TEST(identities_1_3_of_a_server_that_has_not_the_key)
{
	ends_open(&e, OVER_TLS_1_3);
	pki_load(e.server.ctx, "server.pem", "server.key");
	share_key(e.client.ctx);
	ends_handshake(&e, NULL);
	ck_assert_int_eq(e.client.status, DTLS_FAIL);
	ck_assert_int_eq(e.server.status, DTLS_FAIL);
	ends_close(&e);
}
END_TEST

/* ---- of an endpoint's peers ---- */

/* Peers with certificates have an identity of no bytes at all, and still are not meant by one. */
START_TEST(identities_of_no_bytes_are_nobodys)
{
	static const char *const suites[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-PSK-WITH-AES-128-CCM-8"};
	struct net *n = net_new(1, NULL);
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct client *with_certificate, *with_key;

	pki_load(n->server_ctx, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_ciphers(n->server_ctx, suites, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_clock(ctx, sim_now_ms, n->sim), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(ctx, suites, 1), DTLS_OK);
	with_certificate = client_connected(n, 2, 2000, ctx);
	with_key = client_connected(n, 3, 3000, NULL);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, "", 0), 0);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NULL, 0), 0);
	net_serve(n);
	ck_assert_uint_eq(net_stats(n).peers, 2);
	client_echoes(with_certificate, "still here");
	client_echoes(with_key, "so am I");
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 1);
	net_serve(n);
	client_echoes(with_certificate, "and now");
	net_free(n);
	dtls_context_free(ctx);
}
END_TEST

#define TEST_1_3(suite, function) TEST_WHERE(MBED_1_3, "this mbed TLS has no TLS 1.3", suite, function)

Suite *identities_suite(void)
{
	Suite *suite = suite_create("identities");

	pki_announce();
	TEST(suite, identities_of_the_key_that_was_used);
	TEST(suite, identities_not_of_a_session_with_a_certificate);
	TEST(suite, identities_not_where_only_certificates_are_enabled);
	TEST(suite, identities_do_not_stand_in_for_a_certificate);
	TEST_1_3(suite, identities_1_3_needs_one_kind);
	TEST_1_3(suite, identities_1_3_not_of_a_claim_to_a_server_with_a_certificate);
	TEST_1_3(suite, identities_1_3_not_without_the_key);
	TEST_1_3(suite, identities_1_3_not_where_only_certificates_are_enabled);
	TEST_1_3(suite, identities_1_3_with_the_key);
	TEST_1_3(suite, identities_1_3_of_a_server_that_has_not_the_key);
	TEST(suite, identities_of_no_bytes_are_nobodys);
	return suite;
}
