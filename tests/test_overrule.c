/* dtls_context_set_verify_overrule(): a program's last word on certificates. */
#include "ends.h"
#include "pair.h"
#include "pki.h"

#include <string.h>

static struct pair pair;
static struct ends ends;

static struct {
	unsigned calls;
	uint32_t flags[3];
	int depths[3];
	uint32_t off, on; /* at depth 0 */
} word;

static uint32_t overrule(void *arg, const uint8_t *der, size_t len, int depth, uint32_t flags)
{
	ck_assert_ptr_eq(arg, &word);
	ck_assert_uint_gt(len, 100);
	ck_assert_uint_eq(der[0], 0x30);
	if (word.calls < 3) {
		word.flags[word.calls] = flags;
		word.depths[word.calls] = depth;
	}
	word.calls++;
	return depth == 0 ? (flags & ~word.off) | word.on : flags;
}

static void set(struct dtls_context *ctx, uint32_t off, uint32_t on)
{
	memset(&word, 0, sizeof(word));
	word.off = off;
	word.on = on;
	ck_assert_int_eq(dtls_context_set_verify_overrule(ctx, overrule, &word), DTLS_OK);
}

START_TEST(overrule_accepts)
{
	for (enum protocol p = OVER_DTLS; p < PROTOCOLS; p++) {
		ends_open(&ends, p);
		pki_load(ends.server.ctx, "expired.pem", "expired.key");
		pki_trust(ends.client.ctx, "ca.pem");
		set(ends.client.ctx, MBEDTLS_X509_BADCERT_EXPIRED, 0);
		ends_handshake(&ends, "localhost");
		ends_assert_connected(&ends);
		ck_assert_uint_eq(word.calls, 2);
		ck_assert_int_eq(word.depths[0], 1);
		ck_assert_uint_eq(word.flags[0], 0);
		ck_assert_int_eq(word.depths[1], 0);
		ck_assert_uint_eq(word.flags[1], MBEDTLS_X509_BADCERT_EXPIRED);
		ck_assert_int_eq(dtls_conn_verify_result(ends.client.conn), 0);
		ends_close(&ends);
	}
}
END_TEST

START_TEST(overrule_accepts_only_what_it_says)
{
	pki_open(&pair, "expired.pem", "expired.key");
	set(pair.client.ctx, MBEDTLS_X509_BADCERT_FUTURE | MBEDTLS_X509_BADCERT_CN_MISMATCH, 0);
	pki_handshake(&pair, "localhost");
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	assert_error(pair.client.conn, "expired on 2021-01-01");
	pair_close(&pair);
	pki_open(&pair, "wrong.pem", "wrong.key");
	set(pair.client.ctx, MBEDTLS_X509_BADCERT_CN_MISMATCH, 0);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(overrule_rejects)
{
	pki_open(&pair, "server.pem", "server.key");
	set(pair.client.ctx, 0, MBEDTLS_X509_BADCERT_OTHER);
	pki_handshake(&pair, "localhost");
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	assert_error(pair.client.conn, "was rejected by the verify callback");
	ck_assert_int_eq(dtls_conn_verify_result(pair.client.conn), MBEDTLS_X509_BADCERT_OTHER);
	pair_close(&pair);
}
END_TEST

static int reject(void *arg, const uint8_t *der, size_t len, int depth, uint32_t flags)
{
	(void)arg, (void)der, (void)len, (void)flags;
	return depth == 0;
}

START_TEST(overrule_comes_last)
{
	pki_open(&pair, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_verify_callback(pair.client.ctx, reject, NULL), DTLS_OK);
	set(pair.client.ctx, MBEDTLS_X509_BADCERT_OTHER, 0);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	ck_assert_uint_eq(word.flags[1], MBEDTLS_X509_BADCERT_OTHER);
	pair_close(&pair);
}
END_TEST

/* Neither CA nor name: everything is flagged, and it is the callback's to accept it. */
START_TEST(overrule_without_a_ca)
{
	for (int accepts = 0; accepts < 2; accepts++) {
		pair_open(&pair);
		pki_load(pki_context(&pair, &pair.server, PROTOCOL_DTLS_SERVER), "selfsigned.pem", "selfsigned.key");
		pki_context(&pair, &pair.client, PROTOCOL_DTLS_CLIENT);
		set(pair.client.ctx, accepts ? MBEDTLS_X509_BADCERT_NOT_TRUSTED : 0, 0);
		pair_handshake(&pair);
		ck_assert_uint_eq(word.calls, 1);
		ck_assert_uint_eq(word.flags[0], MBEDTLS_X509_BADCERT_NOT_TRUSTED);
		if (accepts)
			pki_assert_connected(&pair);
		else
			assert_error(pair.client.conn, "is self-signed, and none of the trusted CAs");
		pair_close(&pair);
	}
}
END_TEST

START_TEST(overrule_of_a_server)
{
	static const enum dtls_verify_mode modes[] = {CERT_OPTIONAL, CERT_REQUIRED};

	for (size_t i = 0; i < 4; i++) {
		uint32_t off = i < 2 ? MBEDTLS_X509_BADCERT_NOT_TRUSTED : 0;

		pki_open(&pair, "server.pem", "server.key");
		pki_load(pair.client.ctx, "selfsigned.pem", "selfsigned.key");
		ck_assert_int_eq(dtls_context_set_verify_mode(pair.server.ctx, modes[i % 2]), DTLS_OK);
		set(pair.server.ctx, off, 0);
		pki_handshake(&pair, "localhost");
		if (off != 0)
			pki_assert_connected(&pair);
		else
			assert_error(pair.server.conn, "is self-signed, and none of the trusted CAs");
		pair_close(&pair);
	}
}
END_TEST

/* A client without a certificate is not one that the callback could accept. */
START_TEST(overrule_needs_a_certificate)
{
	pki_open(&pair, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(pair.server.ctx, CERT_REQUIRED), DTLS_OK);
	set(pair.server.ctx, UINT32_MAX, 0);
	pki_handshake(&pair, "localhost");
	assert_error(pair.server.conn, "the client sent no certificate, and one is required");
	ck_assert_uint_eq(word.calls, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(overrule_needs_a_verify_mode)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	set(ctx, 0, 0);
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &(struct dtls_transport){0}));
	ck_assert_ptr_nonnull(
	    strstr(dtls_context_error(ctx), "an overruling callback is set that the verify mode CERT_NONE"));
	/* Without it a CA is needed again. */
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_REQUIRED), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_verify_overrule(ctx, NULL, NULL), DTLS_OK);
	ck_assert_ptr_null(dtls_wrap_transport(ctx, &(struct dtls_transport){0}));
	dtls_context_free(ctx);
}
END_TEST

Suite *overrule_suite(void)
{
	Suite *s = suite_create("overrule");

	pki_announce();
	TEST(s, overrule_accepts);
	TEST(s, overrule_accepts_only_what_it_says);
	TEST(s, overrule_rejects);
	TEST(s, overrule_comes_last);
	TEST(s, overrule_without_a_ca);
	TEST(s, overrule_of_a_server);
	TEST(s, overrule_needs_a_certificate);
	TEST(s, overrule_needs_a_verify_mode);
	return s;
}
