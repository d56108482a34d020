/* What a certificate is trusted for, over DTLS and TLS: its uses, its key, the names that count, and the settings that
 * would trust without a reason. */
#include "ends.h"
#include "failing.h"
#include "pki.h"
#include "suites.h"

#include "dtls/settings.h"

#include <mbedtls/oid.h>
#include <stdio.h>
#include <string.h>

#define SUBJECT "the peer's certificate \"CN=localhost\" "

static struct ends e;

static const char *const certificate_suite[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256"};

/* A server with a certificate and a client that trusts its CA. */
static void open_certificates(enum protocol protocol, const char *cert, const char *key)
{
	ends_open(&e, protocol);
	pki_load(e.server.ctx, cert, key);
	pki_trust(e.client.ctx, "ca.pem");
}

static void ask_client(enum dtls_verify_mode mode, const char *cert, const char *key)
{
	pki_trust(e.server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(e.server.ctx, mode), DTLS_OK);
	pki_load(e.client.ctx, cert, key);
}

/* ---- what a certificate is for (RFC 5280, 4.2.1.3 and 4.2.1.12) ---- */

static void refuse_client(enum protocol protocol, enum dtls_verify_mode mode, const char *cert, const char *key)
{
	open_certificates(protocol, "server.pem", "server.key");
	ask_client(mode, cert, key);
	ends_handshake(&e, "localhost");
	ends_assert_client_refused(&e, SUBJECT "is not meant for a TLS client");
	ck_assert_int_gt(dtls_conn_verify_result(e.server.conn), 0);
	ck_assert_ptr_null(dtls_conn_peer_name(e.server.conn));
	ends_close(&e);
}

START_TEST(trust_no_client_with_a_certificate_for_something_else)
{
	static const char *const cases[][2] = {{"servers.pem", "servers.key"}, {"signer.pem", "signer.key"}};

	for (int protocol = 0; protocol < PROTOCOLS; protocol++)
		for (size_t i = 0; i < 2; i++) {
			refuse_client((enum protocol)protocol, CERT_OPTIONAL, cases[i][0], cases[i][1]);
			refuse_client((enum protocol)protocol, CERT_REQUIRED, cases[i][0], cases[i][1]);
		}
}
END_TEST

/* An mbed TLS server does not show such a certificate while it knows better; others do. */
static void hide_uses(struct dtls_context *server)
{
	server->opt.own[0]->chain.MBED_FIELD(ext_types) &=
	    ~(MBEDTLS_X509_EXT_KEY_USAGE | MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE);
}

static void refuse_server(enum protocol protocol, enum dtls_verify_mode mode, const char *cert, const char *key)
{
	open_certificates(protocol, cert, key);
	hide_uses(e.server.ctx);
	ck_assert_int_eq(dtls_context_set_verify_mode(e.client.ctx, mode), DTLS_OK);
	ends_handshake(&e, "localhost");
	ck_assert_int_eq(e.client.status, DTLS_FAIL);
	end_assert_error(&e.client, SUBJECT "is not meant for a TLS server");
	ck_assert_int_gt(dtls_conn_verify_result(e.client.conn), 0);
	ck_assert_int_eq(e.server.status, DTLS_FAIL);
	ends_close(&e);
}

START_TEST(trust_no_server_with_a_certificate_for_something_else)
{
	static const char *const cases[][2] = {{"clients.pem", "clients.key"}, {"signer.pem", "signer.key"}};

	for (int protocol = 0; protocol < PROTOCOLS; protocol++)
		for (size_t i = 0; i < 2; i++) {
			refuse_server((enum protocol)protocol, CERT_OPTIONAL, cases[i][0], cases[i][1]);
			refuse_server((enum protocol)protocol, CERT_REQUIRED, cases[i][0], cases[i][1]);
		}
}
END_TEST

/* The key of the certificate is on secp256k1, which nobody offers. */
START_TEST(trust_no_key_on_a_curve_that_was_not_offered)
{
	static const enum dtls_verify_mode modes[] = {CERT_OPTIONAL, CERT_REQUIRED};

	for (int protocol = 0; protocol < PROTOCOLS; protocol++)
		for (size_t i = 0; i < 2; i++) {
			open_certificates((enum protocol)protocol, "server.pem", "server.key");
			ask_client(modes[i], "koblitz.pem", "koblitz.key");
			ends_handshake(&e, "localhost");
			ends_assert_client_refused(&e, SUBJECT "has a key or a signature that is too weak");
			ck_assert_int_gt(dtls_conn_verify_result(e.server.conn), 0);
			ends_close(&e);
		}
}
END_TEST

/* ---- settings that would trust without a reason ---- */

static int accept_any(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags)
{
	(void)arg, (void)der, (void)der_len, (void)depth, (void)flags;
	return 0;
}

static void assert_not_wrapped(struct dtls_context *ctx, const char *says)
{
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &(struct dtls_transport){0}));
	ck_assert_msg(strstr(dtls_context_error(ctx), says) != NULL, "%s", dtls_context_error(ctx));
}

START_TEST(trust_no_callback_that_is_not_called)
{
	for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
		ends_open(&e, (enum protocol)protocol);
		pki_load(e.server.ctx, "server.pem", "server.key");
		ck_assert_int_eq(dtls_context_set_verify_mode(e.client.ctx, CERT_NONE), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_ciphers(e.client.ctx, certificate_suite, 1), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_verify_callback(e.client.ctx, accept_any, NULL), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_verify_callback(e.server.ctx, accept_any, NULL), DTLS_OK);
		assert_not_wrapped(
		    e.client.ctx, "a verify callback is set that the verify mode CERT_NONE would not call");
		assert_not_wrapped(
		    e.server.ctx, "a verify callback is set that the verify mode CERT_NONE would not call");
		ck_assert_int_eq(dtls_context_set_verify_callback(e.client.ctx, NULL, NULL), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_verify_callback(e.server.ctx, NULL, NULL), DTLS_OK);
		ends_handshake(&e, NULL);
		ends_assert_connected(&e);
		ends_close(&e);
	}
}
END_TEST

START_TEST(trust_no_list_of_revoked_in_place_of_a_ca)
{
	for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
		ends_open(&e, (enum protocol)protocol);
		ck_assert_int_eq(dtls_context_set_ciphers(e.client.ctx, certificate_suite, 1), DTLS_OK);
		pki_revoke(e.client.ctx, "ca.crl");
		assert_not_wrapped(e.client.ctx, "CERT_REQUIRED needs a CA to verify the server with");
		pki_load(e.server.ctx, "server.pem", "server.key");
		pki_revoke(e.server.ctx, "ca.crl");
		ck_assert_int_eq(dtls_context_set_verify_mode(e.server.ctx, CERT_OPTIONAL), DTLS_OK);
		assert_not_wrapped(e.server.ctx, "clients are to be verified, but no CA is loaded");
		pki_trust(e.client.ctx, "ca.pem");
		pki_trust(e.server.ctx, "ca.pem");
		ends_handshake(&e, "localhost");
		ends_assert_connected(&e);
		ends_close(&e);
	}
}
END_TEST

/* The name of an earlier call is gone by then: without a name any certificate of the CA would do. */
START_TEST(trust_no_server_whose_name_was_lost)
{
	for (int named = 0; named < 2; named++) {
		struct dtls_transport none = {0};
		struct dtls_conn *conn;
		int status;

		open_certificates(OVER_TLS, "server.pem", "server.key");
		conn = dtls_wrap_transport(e.client.ctx, &none);
		ck_assert_ptr_nonnull(conn);
		if (named)
			ck_assert_int_eq(dtls_conn_set_hostname(conn, "localhost"), DTLS_OK);
		failing_arm(1);
		status = dtls_conn_set_hostname(conn, "sensor.example");
		ck_assert(failing_happened());
		failing_arm(0);
		ck_assert_int_eq(status, DTLS_FAIL);
		ck_assert_str_eq(dtls_conn_error(conn), "out of memory");
		ck_assert_int_eq(dtls_conn_handshake(conn), DTLS_FAIL);
		ck_assert_ptr_nonnull(strstr(dtls_conn_error(conn), "needs the server's hostname"));
		dtls_conn_free(conn);
		ends_close(&e);
	}
}
END_TEST

/* ---- the name that a certificate is served for, and the name in it ---- */

static bool shows(const struct dtls_conn *conn, const char *der_file)
{
	static uint8_t file[2000];
	size_t len, file_len;
	const uint8_t *der = dtls_conn_peer_cert(conn, &len);
	FILE *f = fopen(pki_path(der_file), "rb");

	ck_assert_ptr_nonnull(f);
	file_len = fread(file, 1, sizeof(file), f);
	fclose(f);
	ck_assert_ptr_nonnull(der);
	return len == file_len && memcmp(der, file, len) == 0;
}

static void load_for(const char *hostname, const char *cert, const char *key)
{
	ck_assert_msg(
	    dtls_context_load_cert_chain_for(e.server.ctx, hostname, pki_path(cert), pki_path(key)) == DTLS_OK, "%s",
	    dtls_context_error(e.server.ctx));
}

/* RFC 4343: names that differ in case alone are one. */
START_TEST(trust_a_name_in_any_case_is_the_same)
{
	for (int protocol = 0; protocol < PROTOCOLS; protocol++)
		for (int replaced = 0; replaced < 2; replaced++) {
			open_certificates((enum protocol)protocol, "rsa.pem", "rsa.key");
			load_for("Sensor.Example", "stranger.pem", "stranger.key");
			for (int i = 0; i < OWN_MAX - 2; i++) {
				char other[32];

				snprintf(other, sizeof(other), "sensor%d.example", i);
				load_for(other, "wrong.pem", "wrong.key");
			}
			ck_assert_int_eq(dtls_context_load_cert_chain_for(e.server.ctx, "one.more.example",
					     pki_path("wrong.pem"), pki_path("wrong.key")),
			    DTLS_FAIL);
			if (replaced)
				load_for("sENSOR.eXAMPLE", "server.pem", "server.key");
			ends_handshake(&e, "sensor.example");
			if (replaced) {
				ends_assert_connected(&e);
				ck_assert(shows(e.client.conn, "server.der"));
			} else {
				ck_assert_int_eq(e.client.status, DTLS_FAIL);
				end_assert_error(&e.client, "was issued by \"CN=Other CA\"");
			}
			ends_close(&e);
		}
}
END_TEST

static const char *name_of(const char *cert, const char *key)
{
	open_certificates(e.protocol, cert, key);
	ends_handshake(&e, "localhost");
	ends_assert_connected(&e);
	return dtls_conn_peer_name(e.client.conn);
}

START_TEST(trust_a_name_is_printable_whatever_is_in_it)
{
	static const char fish[] = "\\xf0\\x9f\\x90\\x9f";

	for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
		const char *name;

		e.protocol = (enum protocol)protocol;
		ck_assert_str_eq(name_of("odd.pem", "odd.key"), "caf\\xc3\\xa9 \\x01\\x09\\x7f \"\\x5cx41\"");
		ends_close(&e);
		e.protocol = (enum protocol)protocol;
		name = name_of("long.pem", "long.key"); /* RFC 5280, appendix A: ub-common-name is 64 characters */
		ck_assert_uint_eq(strlen(name), 64 * strlen(fish));
		for (size_t i = 0; i < 64; i++)
			ck_assert_mem_eq(name + i * strlen(fish), fish, strlen(fish));
		ends_close(&e);
	}
}
END_TEST

START_TEST(trust_no_name_that_nobody_verified)
{
	for (int protocol = 0; protocol < PROTOCOLS; protocol++) {
		e.protocol = (enum protocol)protocol;
		ck_assert_ptr_null(name_of("nameless.pem", "nameless.key"));
		ck_assert_int_eq(dtls_conn_verify_result(e.client.conn), 0);
		ck_assert_ptr_null(dtls_conn_peer_name(e.server.conn));
		ends_close(&e);
		ends_open(&e, (enum protocol)protocol);
		pki_load(e.server.ctx, "server.pem", "server.key");
		ck_assert_int_eq(dtls_context_set_verify_mode(e.client.ctx, CERT_NONE), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_ciphers(e.client.ctx, certificate_suite, 1), DTLS_OK);
		ends_handshake(&e, NULL);
		ends_assert_connected(&e);
		ck_assert_ptr_null(dtls_conn_peer_name(e.client.conn));
		ck_assert_int_eq(dtls_conn_verify_result(e.client.conn), -1);
		ends_close(&e);
	}
}
END_TEST

Suite *trust_suite(void)
{
	Suite *s = suite_create("trust");

	pki_announce();
	TEST(s, trust_no_client_with_a_certificate_for_something_else);
	TEST(s, trust_no_server_with_a_certificate_for_something_else);
	TEST(s, trust_no_key_on_a_curve_that_was_not_offered);
	TEST(s, trust_no_callback_that_is_not_called);
	TEST(s, trust_no_list_of_revoked_in_place_of_a_ca);
	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", s, trust_no_server_whose_name_was_lost);
	TEST(s, trust_a_name_in_any_case_is_the_same);
	TEST(s, trust_a_name_is_printable_whatever_is_in_it);
	TEST(s, trust_no_name_that_nobody_verified);
	return s;
}
