/* Sessions that rest on certificates: the peer's is judged again before one is resumed. */
#include "pair.h"
#include "pki.h"
#include "resuming.h"

#include <string.h>

static struct ends ends;
static struct saved saved;

static void each(void (*test)(enum protocol, enum way))
{
	for (enum protocol p = OVER_DTLS; p <= OVER_TLS; p++)
		for (enum way way = BY_TICKET; way < WAYS; way++)
			test(p, way);
}

static void both(void (*test)(enum protocol))
{
	for (enum protocol p = OVER_DTLS; p <= OVER_TLS; p++)
		test(p);
}

static void open_ends(enum protocol protocol, enum way way, const char *cert, const char *key)
{
	resuming_open_bare(&ends, protocol, way);
	pki_load(ends.server.ctx, cert, key);
	pki_trust(ends.client.ctx, "ca.pem");
}

/* Where clients are asked for certificates there are no tickets. */
static void open_mutual(enum protocol protocol, const char *cert, const char *key)
{
	open_ends(protocol, BY_ID, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_session_tickets(ends.client.ctx, 1), DTLS_OK);
	pki_trust(ends.server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.server.ctx, CERT_REQUIRED), DTLS_OK);
	if (cert != NULL)
		pki_load(ends.client.ctx, cert, key);
}

static void assert_same_certificate(const struct end *end, const uint8_t *cert, size_t len)
{
	size_t now_len;
	const uint8_t *now = dtls_conn_peer_cert(end->conn, &now_len);

	ck_assert_uint_eq(now_len, len);
	ck_assert_mem_eq(now, cert, len);
}

/* ---- the server's */

static void of_the_server(enum protocol protocol, enum way way)
{
	static uint8_t cert[4096];
	const uint8_t *der;
	size_t len;

	open_ends(protocol, way, "chain.pem", "leaf.key");
	resuming_first(&ends, "localhost", &saved);
	der = dtls_conn_peer_cert(ends.client.conn, &len);
	ck_assert_uint_lt(len, sizeof(cert));
	memcpy(cert, der, len);
	resuming_assert(&ends, "localhost", &saved, 1);
	assert_same_certificate(&ends.client, cert, len);
	ck_assert_int_eq((int)dtls_conn_verify_result(ends.client.conn), 0);
	ck_assert_str_eq(dtls_conn_peer_name(ends.client.conn), "localhost");
	ck_assert_ptr_null(dtls_conn_psk_identity(ends.client.conn, &len));
	/* The intermediate is saved again, too. */
	resuming_save(&ends, &saved);
	resuming_assert(&ends, "localhost", &saved, 1);
	ends_close(&ends);
}

START_TEST(resume_certificates_of_the_server)
{
	each(of_the_server);
}
END_TEST

static void replaced(enum protocol protocol, enum way way)
{
	open_ends(protocol, way, "server.pem", "server.key");
	resuming_first(&ends, "localhost", &saved);
	pki_load(ends.server.ctx, "rsa.pem", "rsa.key");
	resuming_assert(&ends, "localhost", &saved, 0);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	resuming_assert(&ends, "localhost", &saved, 1);
	ends_close(&ends);
}

START_TEST(resume_certificates_not_after_it_was_replaced)
{
	each(replaced);
}
END_TEST

/* A client goes by what it trusts now. */
static void trusted_no_more(enum protocol protocol)
{
	open_ends(protocol, BY_TICKET, "server.pem", "server.key");
	resuming_first(&ends, "localhost", &saved);
	ck_assert_int_eq(dtls_context_replace_trust(ends.client.ctx, pki_path("other.pem"), NULL), DTLS_OK);
	ends_again(&ends);
	ends_wrap(&ends, "localhost");
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_FAIL);
	end_assert_error(&ends.client,
	    "the session was made with a certificate that is not accepted any more: the peer's "
	    "certificate \"CN=localhost\" was issued by \"CN=Test CA\", which is none of the "
	    "trusted CAs");
	ck_assert_int_eq((int)dtls_conn_verify_result(ends.client.conn), -1);
	ends_run(&ends);
	ck_assert_int_eq(ends.client.status, DTLS_FAIL);
	ends_close(&ends);
}

START_TEST(resume_certificates_not_of_a_ca_that_is_gone)
{
	both(trusted_no_more);
}
END_TEST

static void revoked(enum protocol protocol)
{
	open_ends(protocol, BY_TICKET, "revoked.pem", "revoked.key");
	resuming_first(&ends, "localhost", &saved);
	pki_revoke(ends.client.ctx, "ca.crl");
	ends_again(&ends);
	ends_wrap(&ends, "localhost");
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_FAIL);
	end_assert_error(&ends.client, "was revoked by its CA");
	ends_close(&ends);
}

START_TEST(resume_certificates_not_after_a_revocation)
{
	both(revoked);
}
END_TEST

/* What was not verified then must not pass for verified now. */
static void unverified(enum protocol protocol)
{
	open_ends(protocol, BY_TICKET, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.client.ctx, CERT_REQUIRED), DTLS_OK);
	ends_close(&ends);
	resuming_open_bare(&ends, protocol, BY_TICKET);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.client.ctx, CERT_NONE), DTLS_OK);
	resuming_first(&ends, "localhost", &saved);
	resuming_assert(&ends, "localhost", &saved, 1);
	ck_assert_int_eq((int)dtls_conn_verify_result(ends.client.conn), -1);
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.client.ctx, CERT_REQUIRED), DTLS_OK);
	pki_trust(ends.client.ctx, "ca.pem");
	resuming_assert_refused(&ends, "localhost", &saved,
	    "the session was made without verifying the server's certificate, which is asked for here");
	ends_close(&ends);
}

START_TEST(resume_certificates_not_of_an_unverified_session)
{
	both(unverified);
}
END_TEST

static struct witness {
	int calls, depths;
	int answer; /* for the leaf */
} witness;

static int watch(void *arg, const uint8_t *der, size_t len, int depth, uint32_t flags)
{
	struct witness *w = arg;

	ck_assert(der != NULL && len > 0 && flags == 0);
	w->calls++;
	w->depths += depth;
	return depth == 0 ? w->answer : 0;
}

/* It sees the whole chain again, and may refuse. */
static void asked_again(enum protocol protocol)
{
	open_ends(protocol, BY_TICKET, "chain.pem", "leaf.key");
	ck_assert_int_eq(dtls_context_set_verify_callback(ends.client.ctx, watch, &witness), DTLS_OK);
	witness = (struct witness){0, 0, 0};
	resuming_first(&ends, "localhost", &saved);
	ck_assert_int_eq(witness.calls, 3);
	witness = (struct witness){0, 0, 0};
	resuming_assert(&ends, "localhost", &saved, 1);
	ck_assert_int_eq(witness.calls, 3);
	ck_assert_int_eq(witness.depths, 3);
	witness = (struct witness){0, 0, 1};
	ends_again(&ends);
	ends_wrap(&ends, "localhost");
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_FAIL);
	end_assert_error(&ends.client, "was rejected by the verify callback");
	ends_close(&ends);
}

START_TEST(resume_certificates_asks_the_callback_again)
{
	both(asked_again);
}
END_TEST

static uint32_t forgive(void *arg, const uint8_t *der, size_t len, int depth, uint32_t flags)
{
	(void)der, (void)len, (void)depth;
	return *(const bool *)arg ? 0 : flags;
}

/* Without any CA, by the overruling callback's word alone. */
static void overruled(enum protocol protocol)
{
	bool forgiving = true;

	resuming_open_bare(&ends, protocol, BY_TICKET);
	pki_load(ends.server.ctx, "selfsigned.pem", "selfsigned.key");
	ck_assert_int_eq(dtls_context_set_verify_overrule(ends.client.ctx, forgive, &forgiving), DTLS_OK);
	resuming_first(&ends, "localhost", &saved);
	resuming_assert(&ends, "localhost", &saved, 1);
	forgiving = false;
	ends_again(&ends);
	ends_wrap(&ends, "localhost");
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_FAIL);
	end_assert_error(&ends.client, "is self-signed");
	ends_close(&ends);
}

START_TEST(resume_certificates_asks_the_overruling_callback_again)
{
	both(overruled);
}
END_TEST

/* A name must be set first: the certificate is held against it. */
START_TEST(resume_certificates_needs_the_name)
{
	open_ends(OVER_DTLS, BY_TICKET, "server.pem", "server.key");
	resuming_first(&ends, "localhost", &saved);
	ends_again(&ends);
	pair_wrap(ends.pair);
	ends.client.conn = ends.pair->client.conn;
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_FAIL);
	end_assert_error(&ends.client, "CERT_REQUIRED needs the server's hostname");
	ends_close(&ends);
}
END_TEST

/* ---- the client's */

static void of_the_client(enum protocol protocol)
{
	static uint8_t cert[4096];
	const uint8_t *der;
	size_t len;

	open_mutual(protocol, "subclient-chain.pem", "subclient.key");
	resuming_first(&ends, "localhost", &saved);
	der = dtls_conn_peer_cert(ends.server.conn, &len);
	ck_assert_uint_lt(len, sizeof(cert));
	memcpy(cert, der, len);
	resuming_assert(&ends, "localhost", &saved, 1);
	assert_same_certificate(&ends.server, cert, len);
	ck_assert_str_eq(dtls_conn_peer_name(ends.server.conn), "sensor-19");
	ck_assert_int_eq((int)dtls_conn_verify_result(ends.server.conn), 0);
	resuming_assert(&ends, "localhost", &saved, 1);
	ends_close(&ends);
}

START_TEST(resume_certificates_of_the_client)
{
	both(of_the_client);
}
END_TEST

static void client_revoked(enum protocol protocol)
{
	open_mutual(protocol, "revoked.pem", "revoked.key");
	resuming_first(&ends, "localhost", &saved);
	resuming_assert(&ends, "localhost", &saved, 1);
	pki_revoke(ends.server.ctx, "ca.crl");
	resuming_return(&ends, "localhost", &saved);
	ends_assert_client_refused(&ends, "was revoked by its CA");
	ends_close(&ends);
}

START_TEST(resume_certificates_not_of_a_revoked_client)
{
	both(client_revoked);
}
END_TEST

static void client_of_another_ca(enum protocol protocol)
{
	open_mutual(protocol, "client.pem", "client.key");
	resuming_first(&ends, "localhost", &saved);
	ck_assert_int_eq(dtls_context_replace_trust(ends.server.ctx, pki_path("other.pem"), NULL), DTLS_OK);
	resuming_return(&ends, "localhost", &saved);
	ends_assert_client_refused(&ends, "was issued by \"CN=Test CA\", which is none of the trusted CAs");
	/* The client has another certificate meanwhile: a full handshake, which succeeds. */
	pki_load(ends.client.ctx, "stranger.pem", "stranger.key");
	resuming_assert(&ends, "localhost", &saved, 0);
	ck_assert_int_eq((int)dtls_conn_verify_result(ends.server.conn), 0);
	ends_close(&ends);
}

START_TEST(resume_certificates_not_of_a_client_that_is_trusted_no_more)
{
	both(client_of_another_ca);
}
END_TEST

/* From none to required: who showed no certificate then is asked for one. */
static void asked_later(enum protocol protocol)
{
	open_ends(protocol, BY_ID, "server.pem", "server.key");
	resuming_first(&ends, "localhost", &saved);
	pki_trust(ends.server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.server.ctx, CERT_OPTIONAL), DTLS_OK);
	resuming_assert(&ends, "localhost", &saved, 0);
	resuming_save(&ends, &saved);
	/* Optional does without; then it is required. */
	resuming_assert(&ends, "localhost", &saved, 1);
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.server.ctx, CERT_REQUIRED), DTLS_OK);
	resuming_return(&ends, "localhost", &saved);
	ends_assert_client_refused(&ends, "the client sent no certificate, and one is required");
	ends_close(&ends);
}

START_TEST(resume_certificates_not_under_a_stricter_mode)
{
	both(asked_later);
}
END_TEST

/* Under CERT_OPTIONAL a bad certificate is refused with an alert; one that has become bad must not send any yet. */
static void optional_revoked(enum protocol protocol)
{
	open_mutual(protocol, "revoked.pem", "revoked.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(ends.server.ctx, CERT_OPTIONAL), DTLS_OK);
	resuming_first(&ends, "localhost", &saved);
	resuming_assert(&ends, "localhost", &saved, 1);
	pki_revoke(ends.server.ctx, "ca.crl");
	pki_load(ends.client.ctx, "client.pem", "client.key");
	resuming_assert(&ends, "localhost", &saved, 0);
	ck_assert_int_eq((int)dtls_conn_verify_result(ends.server.conn), 0);
	ck_assert_str_eq(dtls_conn_peer_name(ends.server.conn), "sensor-17");
	ends_close(&ends);
}

START_TEST(resume_certificates_full_handshake_after_a_silent_judgement)
{
	both(optional_revoked);
}
END_TEST

/* A certificate beside a key: with CERT_REQUIRED, who has shown a key need show nothing else. */
START_TEST(resume_certificates_beside_a_key)
{
	static const char *const suites[] = {"TLS-PSK-WITH-AES-128-CCM-8", "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8"};

	open_mutual(OVER_DTLS, "client.pem", "client.key");
	resuming_key(ends.client.ctx, RESUMING_KEY);
	resuming_key(ends.server.ctx, RESUMING_KEY);
	ck_assert_int_eq(dtls_context_set_ciphers(ends.server.ctx, suites, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(ends.client.ctx, suites, 2), DTLS_OK);
	resuming_first(&ends, "localhost", &saved);
	ck_assert_str_eq(dtls_conn_cipher(ends.server.conn), suites[0]);
	resuming_assert(&ends, "localhost", &saved, 1);
	resuming_suite(ends.client.ctx, suites[1]);
	resuming_assert_refused(&ends, "localhost", &saved, "which is not enabled here");
	resuming_save(&ends, &saved);
	ck_assert_str_eq(dtls_conn_peer_name(ends.server.conn), "sensor-17");
	resuming_assert(&ends, "localhost", &saved, 1);
	ck_assert_str_eq(dtls_conn_peer_name(ends.server.conn), "sensor-17");
	ends_close(&ends);
}
END_TEST

/* The name that is asked for may choose the context: the session is of the one that was chosen. */
static struct dtls_context *chosen;

static struct dtls_context *choose(void *arg, const char *name)
{
	(void)name;
	return *(struct dtls_context **)arg;
}

static void by_name(enum protocol protocol, enum way way)
{
	struct dtls_context *second =
	    dtls_context_new(protocol == OVER_DTLS ? PROTOCOL_DTLS_SERVER : PROTOCOL_TLS_SERVER);

	open_ends(protocol, way, "rsa.pem", "rsa.key");
	pki_load(second, "server.pem", "server.key");
	resuming_allow(ends.client.ctx, second, way);
	chosen = second;
	ck_assert_int_eq(dtls_context_set_name_callback(ends.server.ctx, choose, &chosen), DTLS_OK);
	resuming_first(&ends, "localhost", &saved);
	resuming_assert(&ends, "localhost", &saved, 1);
	chosen = ends.server.ctx;
	resuming_assert(&ends, "localhost", &saved, 0);
	chosen = second;
	resuming_assert(&ends, "localhost", &saved, 1);
	ck_assert_int_eq(dtls_context_set_resumption(second, 0, 0), DTLS_OK);
	resuming_assert(&ends, "localhost", &saved, 0);
	dtls_context_free(second);
	ends_close(&ends);
}

START_TEST(resume_certificates_of_the_context_that_a_name_chose)
{
	each(by_name);
}
END_TEST

Suite *resume_certificates_suite(void)
{
	Suite *s = suite_create("resume_certificates");

	pki_announce();
	TEST(s, resume_certificates_of_the_server);
	TEST(s, resume_certificates_not_after_it_was_replaced);
	TEST(s, resume_certificates_not_of_a_ca_that_is_gone);
	TEST(s, resume_certificates_not_after_a_revocation);
	TEST(s, resume_certificates_not_of_an_unverified_session);
	TEST(s, resume_certificates_asks_the_callback_again);
	TEST(s, resume_certificates_asks_the_overruling_callback_again);
	TEST(s, resume_certificates_needs_the_name);
	TEST(s, resume_certificates_of_the_client);
	TEST(s, resume_certificates_not_of_a_revoked_client);
	TEST(s, resume_certificates_not_of_a_client_that_is_trusted_no_more);
	TEST(s, resume_certificates_not_under_a_stricter_mode);
	TEST(s, resume_certificates_full_handshake_after_a_silent_judgement);
	TEST(s, resume_certificates_beside_a_key);
	TEST(s, resume_certificates_of_the_context_that_a_name_chose);
	return s;
}
