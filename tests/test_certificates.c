/* Certificates over DTLS: who is accepted, who is refused, and what is said about it. */
#include "pair.h"
#include "pki.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pair pair;

START_TEST(certificates_every_form)
{
	static const char *const forms[][2] = {{"server.pem", "server.key"}, {"server.der", "server-sec1.der"},
	    {"server.pem", "server-pkcs8.pem"}, {"rsa.pem", "rsa.key"}, {"rsa.pem", "rsa-pkcs1.pem"},
	    {"chain.pem", "leaf.key"}};

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		pki_open(&pair, forms[i][0], forms[i][1]);
		ck_assert_int_eq(dtls_context_check_key_pair(pair.server.ctx), DTLS_OK);
		pki_handshake(&pair, "localhost");
		pki_assert_connected(&pair);
		ck_assert_int_eq(dtls_conn_verify_result(pair.client.conn), 0);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(certificates_encrypted_key)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	ck_assert_int_eq(
	    dtls_context_load_cert_chain(ctx, pki_path("server.pem"), pki_path("server-encrypted.pem")), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_context_error(ctx), "a password is needed"));
	ck_assert_int_eq(dtls_context_set_key_password(ctx, "wrong"), DTLS_OK);
	ck_assert_int_eq(
	    dtls_context_load_cert_chain(ctx, pki_path("server.pem"), pki_path("server-encrypted.pem")), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_context_error(ctx), "the password does not open it"));
	ck_assert_int_eq(dtls_context_set_key_password(ctx, "secret"), DTLS_OK);
	ck_assert_int_eq(
	    dtls_context_load_cert_chain(ctx, pki_path("server.pem"), pki_path("server-encrypted.pem")), DTLS_OK);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(certificates_bad_files)
{
	static const struct {
		const char *cert, *key, *says;
	} cases[] = {
	    {"server.pem", "none", "No such file"},
	    {"none", "server.key", "No such file"},
	    {"server.pem", "ca.cnf", "key:"},
	    {"ca.cnf", "server.key", "certificate:"},
	    {"server.key", "server.key", "certificate:"},
	};
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	pki_load(ctx, "server.pem", "server.key");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_int_eq(
		    dtls_context_load_cert_chain(ctx, pki_path(cases[i].cert), pki_path(cases[i].key)), DTLS_FAIL);
		ck_assert_msg(strstr(dtls_context_error(ctx), cases[i].says) != NULL, "%s", dtls_context_error(ctx));
	}
	ck_assert_int_eq(dtls_context_load_verify_locations(ctx, pki_path("ca.cnf")), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_load_crl(ctx, pki_path("ca.pem")), DTLS_FAIL);
	/* What was loaded before stays. */
	ck_assert_int_eq(dtls_context_check_key_pair(ctx), DTLS_OK);
	pki_load(ctx, "server.pem", "client.key");
	ck_assert_int_eq(dtls_context_check_key_pair(ctx), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_context_error(ctx), "does not belong"));
	dtls_context_free(ctx);
}
END_TEST

START_TEST(certificates_refused_by_the_client)
{
	static const struct {
		const char *cert, *key, *says;
	} cases[] = {
	    {"expired.pem", "expired.key", "expired on 2021-01-01; today is 20"},
	    {"future.pem", "future.key", "is not valid before 2040-01-01, and the clock says 20"},
	    {"wrong.pem", "wrong.key", "is for \"elsewhere.example\", and \"localhost\" was asked for"},
	    {"weak.pem", "weak.key", "too weak"},
	    {"other.pem", "other.key", "none of the trusted CAs"},
	    {"leaf.pem", "leaf.key", "was issued by \"CN=Test Sub CA\", which is none of the trusted CAs"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		pki_open(&pair, cases[i].cert, cases[i].key);
		pki_handshake(&pair, "localhost");
		ck_assert_int_eq(pair.client.status, DTLS_FAIL);
		assert_error(pair.client.conn, cases[i].says);
		ck_assert_int_eq(pair.server.status, DTLS_FAIL);
		assert_error(pair.server.conn, "the peer sent the alert");
		ck_assert_int_gt(dtls_conn_verify_result(pair.client.conn), 0);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(certificates_revoked)
{
	pki_open(&pair, "revoked.pem", "revoked.key");
	ck_assert_int_eq(dtls_context_load_crl(pair.client.ctx, pki_path("ca.crl")), DTLS_OK);
	pki_handshake(&pair, "localhost");
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	assert_error(pair.client.conn, "was revoked by its CA");
	pair_close(&pair);
	pki_open(&pair, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_load_crl(pair.client.ctx, pki_path("ca.crl")), DTLS_OK);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(certificates_of_clients)
{
	static const struct {
		enum dtls_verify_mode mode;
		const char *cert, *key, *says; /* NULL: connects */
	} cases[] = {
	    {CERT_REQUIRED, "client.pem", "client.key", NULL},
	    {CERT_REQUIRED, NULL, NULL, "the client sent no certificate"},
	    {CERT_REQUIRED, "other.pem", "other.key", "none of the trusted CAs"},
	    {CERT_OPTIONAL, "client.pem", "client.key", NULL},
	    {CERT_OPTIONAL, NULL, NULL, NULL},
	    {CERT_OPTIONAL, "expired.pem", "expired.key", "expired on 2021-01-01"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		pki_open(&pair, "server.pem", "server.key");
		pki_trust(pair.server.ctx, "ca.pem");
		ck_assert_int_eq(dtls_context_set_verify_mode(pair.server.ctx, cases[i].mode), DTLS_OK);
		if (cases[i].cert != NULL)
			pki_load(pair.client.ctx, cases[i].cert, cases[i].key);
		pki_handshake(&pair, "localhost");
		if (cases[i].says == NULL) {
			size_t len;

			pki_assert_connected(&pair);
			ck_assert((dtls_conn_peer_cert(pair.server.conn, &len) != NULL) == (cases[i].cert != NULL));
		} else {
			ck_assert_int_eq(pair.server.status, DTLS_FAIL);
			assert_error(pair.server.conn, cases[i].says);
			ck_assert_int_eq(pair.client.status, DTLS_FAIL);
		}
		pair_close(&pair);
	}
}
END_TEST

START_TEST(certificates_judged_when_wrapped)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct dtls_transport none = {0};

	ck_assert_int_eq(dtls_context_verify_mode(ctx), CERT_REQUIRED);
	pki_load(ctx, "client.pem", "client.key");
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &none));
	ck_assert_ptr_nonnull(strstr(dtls_context_error(ctx), "CERT_REQUIRED needs a CA"));
	pki_trust(ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &none));
	ck_assert_ptr_nonnull(strstr(dtls_context_error(ctx), "CERT_NONE would not use"));
	dtls_context_free(ctx);

	pki_open(&pair, "server.pem", "server.key");
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_FAIL);
	assert_error(pair.client.conn, "needs the server's hostname");
	pair_close(&pair);
}
END_TEST

START_TEST(certificates_unverified)
{
	pki_open(&pair, "expired.pem", "expired.key");
	pki_context(&pair, &pair.client, PROTOCOL_DTLS_CLIENT);
	pki_load(pair.client.ctx, "client.pem", "client.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(pair.client.ctx, CERT_NONE), DTLS_OK);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	ck_assert_int_eq(dtls_conn_verify_result(pair.client.conn), -1);
	pair_close(&pair);
}
END_TEST

static int count_and_reject(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags)
{
	int *calls = arg;

	ck_assert_ptr_nonnull(der);
	ck_assert_uint_gt(der_len, 100);
	ck_assert_uint_eq(flags, 0);
	calls[depth]++;
	return calls[3] != 0 && depth == 0;
}

START_TEST(certificates_verify_callback)
{
	for (int reject = 0; reject < 2; reject++) {
		int calls[4] = {0, 0, 0, reject};

		pki_open(&pair, "chain.pem", "leaf.key");
		ck_assert_int_eq(dtls_context_set_verify_callback(pair.client.ctx, count_and_reject, calls), DTLS_OK);
		pki_handshake(&pair, "localhost");
		ck_assert_int_eq(calls[0], 1);
		ck_assert_int_eq(calls[1], 1);
		ck_assert_int_eq(calls[2], 1);
		ck_assert_int_eq(pair.client.status, reject ? DTLS_FAIL : DTLS_OK);
		if (reject)
			assert_error(pair.client.conn, "rejected by the verify callback");
		pair_close(&pair);
	}
}
END_TEST

START_TEST(certificates_chosen_by_name)
{
	static const struct {
		const char *hostname;
		bool connects;
	} cases[] = {{"localhost", true}, {"ELSEWHERE.example", true}, {"nowhere.example", false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		pki_open(&pair, "server.pem", "server.key");
		ck_assert_int_eq(dtls_context_load_cert_chain_for(pair.server.ctx, "elsewhere.example",
				     pki_path("wrong.pem"), pki_path("wrong.key")),
		    DTLS_OK);
		pki_handshake(&pair, cases[i].hostname);
		ck_assert_int_eq(pair.client.status, cases[i].connects ? DTLS_OK : DTLS_FAIL);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(certificates_alpn)
{
	static const char *const both[] = {"coap", "mqtt"}, *const other[] = {"h2"};

	pki_open(&pair, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_alpn(pair.server.ctx, &both[1], 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(pair.client.ctx, both, 2), DTLS_OK);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	ck_assert_str_eq(dtls_conn_alpn(pair.client.conn), "mqtt");
	ck_assert_str_eq(dtls_conn_alpn(pair.server.conn), "mqtt");
	pair_close(&pair);
	pki_open(&pair, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_alpn(pair.server.ctx, both, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(pair.client.ctx, other, 1), DTLS_OK);
	pki_handshake(&pair, "localhost");
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	assert_error(pair.client.conn, "no_application_protocol");
	pair_close(&pair);
}
END_TEST

START_TEST(certificates_suites)
{
	static const char *const ecdsa[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
	    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
	    "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256"};
	static const char *const rsa[] = {"TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
	    "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"};

	for (size_t i = 0; i < 8; i++) {
		const char *suite = i < 5 ? ecdsa[i] : rsa[i - 5];

		pki_open(&pair, i < 5 ? "server.pem" : "rsa.pem", i < 5 ? "server.key" : "rsa.key");
		ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, &suite, 1), DTLS_OK);
		pki_handshake(&pair, "localhost");
		pki_assert_connected(&pair);
		pair_close(&pair);
	}
}
END_TEST

static void keep_line(void *arg, const char *line)
{
	snprintf(arg, 300, "%s", line);
}

START_TEST(certificates_key_log)
{
	char client[300] = "", server[300] = "";

	pki_open(&pair, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_keylog(pair.client.ctx, keep_line, client), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_keylog(pair.server.ctx, keep_line, server), DTLS_OK);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	ck_assert_uint_eq(strlen(client), strlen("CLIENT_RANDOM ") + 64 + 1 + 96);
	ck_assert_str_eq(client, server);
	pair_close(&pair);
}
END_TEST

START_TEST(certificates_replaced_while_sessions_live)
{
	pki_open(&pair, "server.pem", "server.key");
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	pki_load(pair.server.ctx, "rsa.pem", "rsa.key");
	ck_assert_int_eq(
	    dtls_context_load_cert_chain(pair.server.ctx, pki_path("ca.cnf"), pki_path("rsa.key")), DTLS_FAIL);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(certificates_small_mtu)
{
	static const size_t mtus[] = {256, 300, 512};

	for (size_t i = 0; i < sizeof(mtus) / sizeof(*mtus); i++) {
		pki_open(&pair, "chain.pem", "leaf.key");
		ck_assert_int_eq(dtls_context_set_mtu(pair.server.ctx, mtus[i]), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_mtu(pair.client.ctx, mtus[i]), DTLS_OK);
		pki_handshake(&pair, "localhost");
		pki_assert_connected(&pair);
		ck_assert_int_eq(pair.client.done_at, 120);
		pair_close(&pair);
	}
}
END_TEST

Suite *certificates_suite(void)
{
	Suite *s = suite_create("certificates");

	pki_announce();
	TEST(s, certificates_every_form);
	TEST(s, certificates_encrypted_key);
	TEST(s, certificates_bad_files);
	TEST(s, certificates_refused_by_the_client);
	TEST(s, certificates_revoked);
	TEST(s, certificates_of_clients);
	TEST(s, certificates_judged_when_wrapped);
	TEST(s, certificates_unverified);
	TEST(s, certificates_verify_callback);
	TEST(s, certificates_chosen_by_name);
	TEST(s, certificates_alpn);
	TEST(s, certificates_suites);
	TEST(s, certificates_key_log);
	TEST(s, certificates_replaced_while_sessions_live);
	TEST(s, certificates_small_mtu);
	return s;
}
