/* Certificates over TLS. What is judged, and what is said of it, is tests/test_certificates.c's: the code is the same. Here
 * are a few of each kind, and what a stream does to the messages. */
#include "pki.h"
#include "streams.h"

#include <errno.h>
#include <string.h>

static struct streams s;

static void open_with(const char *cert, const char *key)
{
	streams_open_bare(&s);
	pki_load(s.server.ctx, cert, key);
	pki_trust(s.client.ctx, "ca.pem");
}

static void shake_hands(const char *hostname)
{
	streams_wrap(&s);
	ck_assert_int_eq(dtls_conn_set_hostname(s.client.conn, hostname), DTLS_OK);
	streams_handshake(&s);
}

static void assert_refused(
    const struct stream_side *by, const char *part, const struct stream_side *told, const char *alert)
{
	ck_assert_int_eq(by->status, DTLS_FAIL);
	stream_side_assert_error(by, part);
	ck_assert_int_eq(told->status, DTLS_FAIL);
	stream_side_assert_error(told, "the peer sent the alert");
	stream_side_assert_error(told, alert);
}

START_TEST(stream_certificates_every_suite)
{
	static const struct {
		const char *suite, *cert, *key;
	} cases[] = {
	    {"TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8", "server.pem", "server.key"},
	    {"TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "chain.pem", "leaf.key"},
	    {"TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "server.pem", "server.key"},
	    {"TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384", "server.pem", "server.key"},
	    {"TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256", "server.pem", "server.key"},
	    {"TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256", "rsa.pem", "rsa.key"},
	    {"TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384", "rsa.pem", "rsa.key"},
	    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "rsa.pem", "rsa.key"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		open_with(cases[i].cert, cases[i].key);
		ck_assert_int_eq(dtls_context_set_ciphers(s.client.ctx, &cases[i].suite, 1), DTLS_OK);
		shake_hands("localhost");
		streams_assert_connected(&s);
		streams_assert_exchange(&s);
		ck_assert_int_eq(dtls_conn_verify_result(s.client.conn), 0);
		ck_assert_str_eq(dtls_conn_peer_name(s.client.conn), "localhost");
		ck_assert_str_eq(dtls_conn_version(s.server.conn), "TLSv1.2");
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_certificates_refused_by_the_client)
{
	static const struct {
		const char *cert, *key, *says, *alert;
	} cases[] = {
	    {"expired.pem", "expired.key", "expired on 2021-01-01", "certificate_expired"},
	    {"wrong.pem", "wrong.key", "\"localhost\" was asked for", "bad_certificate"},
	    {"stranger.pem", "stranger.key", "none of the trusted CAs", "unknown_ca"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		open_with(cases[i].cert, cases[i].key);
		shake_hands("localhost");
		assert_refused(&s.client, cases[i].says, &s.server, cases[i].alert);
		streams_close(&s);
	}
}
END_TEST

static void ask_client(enum dtls_verify_mode mode, const char *cert, const char *key)
{
	open_with("server.pem", "server.key");
	pki_trust(s.server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(s.server.ctx, mode), DTLS_OK);
	if (cert != NULL)
		pki_load(s.client.ctx, cert, key);
}

START_TEST(stream_certificates_of_clients)
{
	static const struct {
		enum dtls_verify_mode mode;
		const char *cert, *key, *says, *alert; /* says NULL: connects */
	} cases[] = {
	    {CERT_REQUIRED, "client.pem", "client.key", NULL, NULL},
	    {CERT_REQUIRED, NULL, NULL, "the client sent no certificate", ""},
	    {CERT_REQUIRED, "other.pem", "other.key", "none of the trusted CAs", "unknown_ca"},
	    {CERT_OPTIONAL, "client.pem", "client.key", NULL, NULL},
	    {CERT_OPTIONAL, NULL, NULL, NULL, NULL},
	    {CERT_OPTIONAL, "expired.pem", "expired.key", "expired on 2021-01-01", ""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ask_client(cases[i].mode, cases[i].cert, cases[i].key);
		shake_hands("localhost");
		if (cases[i].says != NULL) {
			assert_refused(&s.server, cases[i].says, &s.client, cases[i].alert);
		} else {
			size_t len;

			streams_assert_connected(&s);
			streams_assert_exchange(&s);
			ck_assert((dtls_conn_peer_cert(s.server.conn, &len) != NULL) == (cases[i].cert != NULL));
		}
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_certificates_unverified)
{
	streams_open_bare(&s);
	pki_load(s.server.ctx, "expired.pem", "expired.key");
	pki_load(s.client.ctx, "client.pem", "client.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(s.client.ctx, CERT_NONE), DTLS_OK);
	streams_handshake(&s);
	streams_assert_connected(&s);
	ck_assert_int_eq(dtls_conn_verify_result(s.client.conn), -1);
	streams_close(&s);
}
END_TEST

START_TEST(stream_certificates_need_a_hostname)
{
	open_with("server.pem", "server.key");
	streams_handshake(&s);
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	stream_side_assert_error(&s.client, "needs the server's hostname");
	ck_assert_uint_eq(s.up.len, 0);
	streams_close(&s);
}
END_TEST

START_TEST(stream_certificates_chosen_by_name)
{
	static const struct {
		const char *hostname;
		bool connects;
	} cases[] = {{"localhost", true}, {"ELSEWHERE.example", true}, {"nowhere.example", false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		open_with("server.pem", "server.key");
		ck_assert_int_eq(dtls_context_load_cert_chain_for(
				     s.server.ctx, "elsewhere.example", pki_path("wrong.pem"), pki_path("wrong.key")),
		    DTLS_OK);
		shake_hands(cases[i].hostname);
		ck_assert_int_eq(s.client.status, cases[i].connects ? DTLS_OK : DTLS_FAIL);
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_certificates_alpn)
{
	static const char *const both[] = {"mqtt", "h2"}, *const other[] = {"coap"};

	open_with("server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_alpn(s.server.ctx, &both[1], 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(s.client.ctx, both, 2), DTLS_OK);
	shake_hands("localhost");
	streams_assert_connected(&s);
	ck_assert_str_eq(dtls_conn_alpn(s.client.conn), "h2");
	ck_assert_str_eq(dtls_conn_alpn(s.server.conn), "h2");
	streams_close(&s);
	open_with("server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_alpn(s.server.ctx, both, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(s.client.ctx, other, 1), DTLS_OK);
	shake_hands("localhost");
	ck_assert_int_eq(s.server.status, DTLS_FAIL);
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	stream_side_assert_error(&s.client, "no_application_protocol");
	streams_close(&s);
}
END_TEST

static int count_and_judge(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags)
{
	unsigned *calls = arg;

	(void)der, (void)der_len, (void)flags;
	calls[0]++;
	return calls[1] != 0 && depth == 0;
}

START_TEST(stream_certificates_verify_callback)
{
	for (unsigned reject = 0; reject < 2; reject++) {
		unsigned calls[2] = {0, reject};

		open_with("chain.pem", "leaf.key");
		ck_assert_int_eq(dtls_context_set_verify_callback(s.client.ctx, count_and_judge, calls), DTLS_OK);
		shake_hands("localhost");
		ck_assert_uint_eq(calls[0], 3);
		if (reject)
			assert_refused(&s.client, "rejected by the verify callback", &s.server, "");
		else
			streams_assert_connected(&s);
		streams_close(&s);
	}
}
END_TEST

/* ---- what a stream does to them ---- */

static void again(size_t chunk)
{
	streams_reopen(&s);
	s.client.chunk = s.server.chunk = chunk;
	shake_hands("localhost");
}

START_TEST(stream_certificates_in_small_pieces)
{
	ask_client(CERT_REQUIRED, "client.pem", "client.key");
	for (size_t chunk = 1; chunk < 2000; chunk = chunk * 3 + 1) {
		again(chunk);
		streams_assert_connected(&s);
		streams_assert_exchange(&s);
	}
	streams_close(&s);
}
END_TEST

START_TEST(stream_certificates_would_block_at_every_call)
{
	ask_client(CERT_REQUIRED, "client.pem", "client.key");
	for (int i = 0; i < 2; i++) {
		struct stream_side *side = i == 0 ? &s.client : &s.server;

		for (unsigned nth = 1; nth == 1 || side->calls >= nth - 1; nth++) {
			streams_reopen(&s);
			side->want_at = nth;
			shake_hands("localhost");
			streams_assert_connected(&s);
		}
		ck_assert_uint_gt(side->calls, 15);
	}
	streams_close(&s);
}
END_TEST

/* At places all over the handshake. */
START_TEST(stream_certificates_cut_anywhere)
{
	ask_client(CERT_REQUIRED, "client.pem", "client.key");
	again(0);
	streams_assert_connected(&s);
	for (int i = 0; i < 2; i++) {
		struct stream_side *side = i == 0 ? &s.client : &s.server;
		size_t total;

		again(0);
		total = side->in->passed;
		for (size_t at = 0; at < total; at += 29) {
			streams_reopen(&s);
			side->in->ends_at = at;
			shake_hands("localhost");
			ck_assert_int_eq(side->status, DTLS_FAIL);
			stream_side_assert_error(side, "the peer ended the connection in the middle of it");
		}
	}
	streams_close(&s);
}
END_TEST

/* The client still sends its flight when the server has judged its certificate and left: the reason is heard. */
START_TEST(stream_certificates_refusal_behind_a_reset)
{
	ask_client(CERT_REQUIRED, "other.pem", "other.key");
	streams_wrap(&s);
	ck_assert_int_eq(dtls_conn_set_hostname(s.client.conn, "localhost"), DTLS_OK);
	s.up.room = 1000; /* the certificate, and not all that follows it */
	streams_handshake(&s);
	ck_assert_int_eq(s.server.status, DTLS_FAIL);
	s.down.ended = true;
	s.client.send_fails_at = s.client.calls + 1;
	s.client.fails_with = ECONNRESET;
	s.client.status = dtls_conn_handshake(s.client.conn);
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	stream_side_assert_error(
	    &s.client, "the peer sent the alert unknown_ca: it does not accept this side's certificate");
	streams_close(&s);
}
END_TEST

Suite *stream_certificates_suite(void)
{
	Suite *suite = suite_create("stream_certificates");

	pki_announce();
	TEST(suite, stream_certificates_every_suite);
	TEST(suite, stream_certificates_refused_by_the_client);
	TEST(suite, stream_certificates_of_clients);
	TEST(suite, stream_certificates_unverified);
	TEST(suite, stream_certificates_need_a_hostname);
	TEST(suite, stream_certificates_chosen_by_name);
	TEST(suite, stream_certificates_alpn);
	TEST(suite, stream_certificates_verify_callback);
	TEST(suite, stream_certificates_in_small_pieces);
	TEST(suite, stream_certificates_would_block_at_every_call);
	TEST(suite, stream_certificates_cut_anywhere);
	TEST(suite, stream_certificates_refusal_behind_a_reset);
	return suite;
}
