/* Certificates that are refused over DTLS: which one, for which reason, what is said of it on both sides, and the alert
 * that tells the peer (RFC 5246, 7.2.2). */
#include "pair.h"
#include "pki.h"
#include "watch.h"

#include "dtls/story.h"

#include <mbedtls/oid.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <string.h>

static struct pair pair;
static struct watch up, down;

#define SUBJECT      "the peer's certificate \"CN=localhost\" "
#define WEAK_KEY     "too weak: it needs an RSA key of 2048 bits or an EC key on P-256 or a larger curve"
#define NOT_ACCEPTED "it does not accept this side's certificate"

static void begin(const char *cert, const char *key)
{
	pki_open(&pair, cert, key);
	watch_link(&up, pair.client.out);
	watch_link(&down, pair.server.out);
}

/* The side that judges says why and sends this alert; the other one names the alert, and what it means. */
static void assert_refused(const struct side *judge, const struct side *refused, const struct watch *sent,
    const char *says, uint8_t alert, const char *means)
{
	char heard[200];

	ck_assert_msg(judge->status == DTLS_FAIL, "it should say: %s", says);
	assert_error(judge->conn, "handshake with the peer failed: ");
	assert_error(judge->conn, says);
	ck_assert_uint_eq(sent->alerts, 1);
	ck_assert_msg(sent->alert == alert, "%s: alert %u %s, not %u %s", says, sent->alert, alert_name(sent->alert),
	    alert, alert_name(alert));
	ck_assert_int_eq(refused->status, DTLS_FAIL);
	snprintf(heard, sizeof(heard), "the peer sent the alert %s: %s", alert_name(alert), means);
	assert_error(refused->conn, heard);
}

struct refusal {
	const char *cert, *key, *hostname, *crl; /* crl may be NULL */
	const char *says;
	uint8_t alert;
};

static const struct refusal refusals[] = {
    {"expired.pem", "expired.key", "localhost", NULL, SUBJECT "expired on 2021-01-01; today is 20",
	MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED},
    {"future.pem", "future.key", "localhost", NULL, SUBJECT "is not valid before 2040-01-01, and the clock says 20",
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"future.pem", "future.key", "localhost", NULL, ": is the clock set?", MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"wrong.pem", "wrong.key", "localhost", NULL, "is for \"elsewhere.example\", and \"localhost\" was asked for",
	MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"server.pem", "server.key", "example", NULL,
	SUBJECT "is for \"localhost\", \"sensor.example\", and \"example\" was asked for",
	MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"bare.pem", "bare.key", "elsewhere.example", NULL,
	SUBJECT "is for \"localhost\", and \"elsewhere.example\" was asked for", MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"wildcard.pem", "wildcard.key", "sensors.example", NULL,
	"is for \"*.sensors.example\", and \"sensors.example\" was asked for", MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"wildcard.pem", "wildcard.key", "one.two.sensors.example", NULL, "is for \"*.sensors.example\"",
	MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"address.pem", "address.key", "127.0.0.2", NULL, "is for 127.0.0.1, ::1, and \"127.0.0.2\" was asked for",
	MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"server.pem", "server.key", "127.0.0.1", NULL,
	SUBJECT "is for \"localhost\", \"sensor.example\", and \"127.0.0.1\" was asked for",
	MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {"stranger.pem", "stranger.key", "localhost", NULL,
	SUBJECT "was issued by \"CN=Other CA\", which is none of the trusted CAs", MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"selfsigned.pem", "selfsigned.key", "localhost", NULL, SUBJECT "is self-signed, and none of the trusted CAs",
	MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"copied.pem", "copied.key", "localhost", NULL,
	SUBJECT "names \"CN=Test CA\" as its issuer, but that CA's key, as it is loaded here, did not sign it",
	MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"leaf.pem", "leaf.key", "localhost", NULL,
	SUBJECT "was issued by \"CN=Test Sub CA\", which is none of the trusted CAs", MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"misled-chain.pem", "misled.key", "localhost", NULL,
	"was issued by \"CN=sensor-17\", which is none of the trusted CAs", MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"revoked.pem", "revoked.key", "localhost", "ca.crl", SUBJECT "was revoked by its CA",
	MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED},
    {"orphan-chain.pem", "orphan.key", "localhost", "ca.crl",
	"the issuing certificate \"CN=Test Gone CA\" was revoked by its CA", MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED},
    {"server.pem", "server.key", "localhost", "old.crl",
	"cannot be checked for revocation: its CA's CRL is out of date, load a new one",
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"server.pem", "server.key", "localhost", "early.crl",
	SUBJECT "cannot be checked for revocation: its CA's CRL is out of date, load a new one",
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"weak.pem", "weak.key", "localhost", NULL, SUBJECT "has a key or a signature that is " WEAK_KEY,
	MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT},
    {"sha1.pem", "sha1.key", "localhost", NULL, SUBJECT "has a key or a signature that is " WEAK_KEY,
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
};

static void client_refuses(const struct refusal *r)
{
	begin(r->cert, r->key);
	if (r->crl != NULL)
		pki_revoke(pair.client.ctx, r->crl);
	pki_handshake(&pair, r->hostname);
	assert_refused(&pair.client, &pair.server, &up, r->says, r->alert, NOT_ACCEPTED);
	ck_assert_int_gt(dtls_conn_verify_result(pair.client.conn), 0);
	pair_close(&pair);
}

START_TEST(refusals_of_servers)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		client_refuses(&refusals[i]);
}
END_TEST

/* What a server has to hold against its clients; without a crl, none is loaded. */
static const struct refusal of_clients[] = {
    {"expired.pem", "expired.key", NULL, NULL, SUBJECT "expired on 2021-01-01; today is 20",
	MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED},
    {"future.pem", "future.key", NULL, NULL, SUBJECT "is not valid before 2040-01-01, and the clock says 20",
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"stranger.pem", "stranger.key", NULL, NULL,
	SUBJECT "was issued by \"CN=Other CA\", which is none of the trusted CAs", MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"selfsigned.pem", "selfsigned.key", NULL, NULL, SUBJECT "is self-signed", MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"leaf.pem", "leaf.key", NULL, NULL, SUBJECT "was issued by \"CN=Test Sub CA\", which is none of the trusted CAs",
	MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"misled-chain.pem", "misled.key", NULL, NULL,
	SUBJECT "was issued by \"CN=sensor-17\", which is none of the trusted CAs", MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
    {"revoked.pem", "revoked.key", NULL, "ca.crl", SUBJECT "was revoked by its CA", MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED},
    {"orphan-chain.pem", "orphan.key", NULL, "ca.crl",
	"the issuing certificate \"CN=Test Gone CA\" was revoked by its CA", MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED},
    {"client.pem", "client.key", NULL, "old.crl",
	"cannot be checked for revocation: its CA's CRL is out of date, load a new one",
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"weak.pem", "weak.key", NULL, NULL, SUBJECT "has a key or a signature that is " WEAK_KEY,
	MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT},
    {"sha1.pem", "sha1.key", NULL, NULL, SUBJECT "has a key or a signature that is " WEAK_KEY,
	MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN},
    {"servers.pem", "servers.key", NULL, NULL, SUBJECT "is not meant for a TLS client: its key usage",
	MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT},
    {"signless.pem", "signless.key", NULL, NULL, SUBJECT "is not meant for a TLS client: its key usage",
	MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT},
};

static void server_refuses(const struct refusal *r, enum dtls_verify_mode mode)
{
	begin("server.pem", "server.key");
	pki_ask_client(&pair, mode, r->cert, r->key);
	if (r->crl != NULL)
		pki_revoke(pair.server.ctx, r->crl);
	pki_handshake(&pair, "localhost");
	assert_refused(&pair.server, &pair.client, &down, r->says, r->alert, NOT_ACCEPTED);
	pair_close(&pair);
}

START_TEST(refusals_of_clients_without)
{
	begin("server.pem", "server.key");
	pki_ask_client(&pair, CERT_REQUIRED, NULL, NULL);
	pki_handshake(&pair, "localhost");
	assert_refused(&pair.server, &pair.client, &down, "the client sent no certificate, and one is required",
	    MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE, "it asks for a certificate, and none is loaded here");
	ck_assert_int_eq(dtls_conn_verify_result(pair.server.conn), -1);
	pair_close(&pair);
}
END_TEST

START_TEST(refusals_of_clients)
{
	for (size_t i = 0; i < sizeof(of_clients) / sizeof(*of_clients); i++)
		server_refuses(&of_clients[i], CERT_REQUIRED);
}
END_TEST

/* It does without a certificate, but a bad one is refused as ever. */
START_TEST(refusals_where_certificates_are_optional)
{
	for (size_t i = 0; i < sizeof(of_clients) / sizeof(*of_clients); i++)
		server_refuses(&of_clients[i], CERT_OPTIONAL);
}
END_TEST

/* ---- certificates for the other side ---- */

/* mbed TLS does not show such a certificate; other servers do. */
static void hide_usages(struct dtls_context *server)
{
	server->opt.own[0]->chain.MBED_FIELD(ext_types) &=
	    ~(MBEDTLS_X509_EXT_KEY_USAGE | MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE);
}

START_TEST(refusals_by_usage_of_servers)
{
	static const struct refusal cases[] = {
	    {"clients.pem", "clients.key", NULL, NULL, SUBJECT "is not meant for a TLS server", 0},
	    {"signless.pem", "signless.key", NULL, NULL, SUBJECT "is not meant for a TLS server", 0},
	};

	for (size_t i = 0; i < 2; i++) {
		begin(cases[i].cert, cases[i].key);
		hide_usages(pair.server.ctx);
		pki_handshake(&pair, "localhost");
		assert_refused(&pair.client, &pair.server, &up, cases[i].says, MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT,
		    NOT_ACCEPTED);
		pair_close(&pair);
		begin(cases[i].cert, cases[i].key);
		pki_handshake(&pair, "localhost");
		assert_refused(&pair.server, &pair.client, &down,
		    "none of the peer's cipher suites is enabled here, or fits this side's certificate and its key "
		    "usage",
		    MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE, "probably none of the cipher suites offered here");
		pair_close(&pair);
	}
}
END_TEST

START_TEST(refusals_not_by_usage)
{
	begin("servers.pem", "servers.key");
	pki_ask_client(&pair, CERT_OPTIONAL, "clients.pem", "clients.key");
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	pair_close(&pair);
}
END_TEST

/* ---- who is trusted, and who is meant ---- */

START_TEST(refusals_not_of_a_trusted_self_signed)
{
	begin("selfsigned.pem", "selfsigned.key");
	pki_trust(pair.client.ctx, "selfsigned.pem");
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	ck_assert_int_eq(dtls_conn_verify_result(pair.client.conn), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(refusals_not_of_these_names)
{
	static const char *const cases[][3] = {{"bare.pem", "bare.key", "localhost"},
	    {"server.pem", "server.key", "SENSOR.example"}, {"wildcard.pem", "wildcard.key", "one.sensors.example"},
	    {"address.pem", "address.key", "127.0.0.1"}, {"address.pem", "address.key", "::1"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		begin(cases[i][0], cases[i][1]);
		pki_handshake(&pair, cases[i][2]);
		pki_assert_connected(&pair);
		ck_assert_int_eq(dtls_conn_verify_result(pair.client.conn), 0);
		pair_close(&pair);
	}
}
END_TEST

/* RFC 6066, 3: no address is sent as a server's name. */
START_TEST(refusals_no_address_is_a_server_name)
{
	static const char *const names[] = {"localhost", "127.0.0.1"};
	static struct capture hello;

	for (size_t i = 0; i < 2; i++) {
		pki_open(&pair, "server.pem", "server.key");
		capture_link(&hello, pair.client.out);
		pki_handshake(&pair, names[i]);
		ck_assert_uint_gt(hello.count, 0);
		ck_assert_int_eq(
		    memmem(hello.datagrams[0].bytes, hello.datagrams[0].len, names[i], strlen(names[i])) != NULL,
		    i == 0);
		pair_close(&pair);
	}
}
END_TEST

/* ---- the verify callback ---- */

struct judgement {
	int depth; /* of what it rejects */
	uint32_t flags; /* that it saw there */
};

static int reject_at(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags)
{
	struct judgement *j = arg;

	(void)der, (void)der_len;
	if (depth != j->depth)
		return 0;
	j->flags = flags;
	return 1;
}

START_TEST(refusals_by_the_verify_callback)
{
	static const char *const says[] = {SUBJECT "was rejected by the verify callback",
	    "the issuing certificate \"CN=Test Sub CA\" was rejected by the verify callback",
	    "the issuing certificate \"CN=Test CA\" was rejected by the verify callback"};

	for (int depth = 0; depth < 3; depth++) {
		struct judgement j = {.depth = depth, .flags = 0xff};

		begin("chain.pem", "leaf.key");
		ck_assert_int_eq(dtls_context_set_verify_callback(pair.client.ctx, reject_at, &j), DTLS_OK);
		pki_handshake(&pair, "localhost");
		assert_refused(
		    &pair.client, &pair.server, &up, says[depth], MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED, NOT_ACCEPTED);
		ck_assert_uint_eq(j.flags, 0);
		pair_close(&pair);
	}
}
END_TEST

static int accept_all(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags)
{
	(void)der, (void)der_len;
	if (depth == 0)
		*(uint32_t *)arg = flags;
	return 0;
}

/* It is told what is wrong, and cannot make it good. */
START_TEST(refusals_stay_whatever_the_callback_says)
{
	static const enum dtls_verify_mode modes[] = {CERT_OPTIONAL, CERT_REQUIRED};

	for (size_t i = 0; i < 2; i++) {
		uint32_t seen = 0;

		begin("server.pem", "server.key");
		pki_ask_client(&pair, modes[i], "expired.pem", "expired.key");
		ck_assert_int_eq(dtls_context_set_verify_callback(pair.server.ctx, accept_all, &seen), DTLS_OK);
		pki_handshake(&pair, "localhost");
		assert_refused(&pair.server, &pair.client, &down, SUBJECT "expired on 2021-01-01",
		    MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, NOT_ACCEPTED);
		ck_assert_uint_eq(seen, MBEDTLS_X509_BADCERT_EXPIRED);
		ck_assert_int_eq(dtls_conn_verify_result(pair.server.conn), MBEDTLS_X509_BADCERT_EXPIRED);
		pair_close(&pair);
	}
}
END_TEST

/* A client has no use for an unverified server: CERT_OPTIONAL is CERT_REQUIRED there. */
START_TEST(refusals_by_a_client_that_says_optional)
{
	begin("expired.pem", "expired.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(pair.client.ctx, CERT_OPTIONAL), DTLS_OK);
	pki_handshake(&pair, "localhost");
	assert_refused(&pair.client, &pair.server, &up, SUBJECT "expired on 2021-01-01",
	    MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED, NOT_ACCEPTED);
	pair_close(&pair);
}
END_TEST

/* A refused handshake costs the context nothing. */
START_TEST(refusals_leave_the_context_alone)
{
	begin("expired.pem", "expired.key");
	pki_handshake(&pair, "localhost");
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	pki_load(pair.server.ctx, "server.pem", "server.key");
	pair_reopen(&pair);
	pki_handshake(&pair, "localhost");
	pki_assert_connected(&pair);
	pair_close(&pair);
}
END_TEST

Suite *refusals_suite(void)
{
	Suite *s = suite_create("refusals");

	pki_announce();
	TEST(s, refusals_of_servers);
	TEST(s, refusals_of_clients_without);
	TEST(s, refusals_of_clients);
	TEST(s, refusals_where_certificates_are_optional);
	TEST(s, refusals_by_usage_of_servers);
	TEST(s, refusals_not_by_usage);
	TEST(s, refusals_not_of_a_trusted_self_signed);
	TEST(s, refusals_not_of_these_names);
	TEST(s, refusals_no_address_is_a_server_name);
	TEST(s, refusals_by_the_verify_callback);
	TEST(s, refusals_stay_whatever_the_callback_says);
	TEST(s, refusals_by_a_client_that_says_optional);
	TEST(s, refusals_leave_the_context_alone);
	return s;
}
