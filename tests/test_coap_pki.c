/* Certificates as coap_dtls_pki_t asks for them: each switch does what it says, or is refused with a word. */
#include "coap_certs.h"
#include "pki.h"
#include "suites.h"

static struct coap_ends ends;

/* ---- what a client minds ---- */

static const struct {
	const char *cert, *key;
	unsigned rules;
	const char *refused_for;
} server_certs[] = {
    {"server.pem", "server.key", 0, NULL},
    {"server.pem", "server.key", COMMON_CA, NULL},
    {"rsa.pem", "rsa.key", 0, NULL},
    {"expired.pem", "expired.key", SELF_SIGNED | BAD_MD | SHORT_RSA, "expired on 2021-01-01"},
    {"expired.pem", "expired.key", EXPIRED, NULL},
    {"future.pem", "future.key", 0, "is not valid before 2040-01-01"},
    {"future.pem", "future.key", EXPIRED, NULL},
    {"selfsigned.pem", "selfsigned.key", EXPIRED | BAD_MD | SHORT_RSA, "is self-signed"},
    {"selfsigned.pem", "selfsigned.key", SELF_SIGNED, NULL},
    {"selfsigned.pem", "selfsigned.key", SELF_SIGNED | COMMON_CA, "is self-signed"},
    {"sha1.pem", "sha1.key", EXPIRED | SELF_SIGNED | SHORT_RSA, "too weak"},
    {"sha1.pem", "sha1.key", BAD_MD, NULL},
    {"weak.pem", "weak.key", EXPIRED | SELF_SIGNED | BAD_MD, "too weak"},
    {"weak.pem", "weak.key", SHORT_RSA, NULL},
    {"stranger.pem", "stranger.key", EXPIRED | SELF_SIGNED | BAD_MD | SHORT_RSA, "none of the trusted CAs"},
    {"copied.pem", "copied.key", EXPIRED | SELF_SIGNED | BAD_MD | SHORT_RSA, "that CA's key"},
    {"chain.pem", "leaf.key", 0, NULL},
    {"chain.pem", "leaf.key", DEPTH_1, NULL},
    {"chain.pem", "leaf.key", DEPTH_0, "was rejected"},
    {"server.pem", "server.key", DEPTH_0, NULL},
    /* Whose name it is the application judges, in its callback. */
    {"wrong.pem", "wrong.key", 0, NULL},
};

START_TEST(coap_pki_client_rules)
{
	for (size_t i = 0; i < sizeof(server_certs) / sizeof(*server_certs); i++) {
		coap_dtls_pki_t server = certs_pem(server_certs[i].cert, server_certs[i].key, NULL);
		coap_dtls_pki_t client = certs_pem(NULL, NULL, "ca.pem");

		certs_open(&ends, &server);
		certs_rules(&client, server_certs[i].rules);
		client.client_sni = (char[]){"localhost"};
		certs_assert_result(&ends, &client, server_certs[i].refused_for);
		coap_close(&ends);
	}
}
END_TEST

static const struct {
	const char *first, *second, *key, *refused_for;
	unsigned rules;
} chains[] = {
    /* Self-signed is forgiven to the peer itself, not to a CA that it brings along. */
    {"stranger.pem", "other.pem", "stranger.key", "is self-signed", SELF_SIGNED},
    /* Another weak key is not a short RSA key. */
    {"underweak.pem", "weaksub.pem", "underweak.key", "too weak", SHORT_RSA | BAD_MD},
};

START_TEST(coap_pki_chains)
{
	for (size_t i = 0; i < sizeof(chains) / sizeof(*chains); i++) {
		coap_dtls_pki_t server = certs_pem(NULL, chains[i].key, NULL), client = certs_pem(NULL, NULL, "ca.pem");

		server.pki_key.key.pem.public_cert =
		    certs_joined("joined.pem", chains[i].first, chains[i].second, NULL);
		certs_open(&ends, &server);
		certs_rules(&client, chains[i].rules);
		certs_assert_result(&ends, &client, chains[i].refused_for);
		coap_close(&ends);
	}
}
END_TEST

static const struct {
	const char *cas[3];
	const char *cert, *key;
	bool checks, no_crl, expired_crl;
	const char *refused_for;
} revocations[] = {
    {{"ca.pem", "ca.crl"}, "revoked.pem", "revoked.key", true, false, false, "was revoked by its CA"},
    {{"ca.pem", "ca.crl"}, "revoked.pem", "revoked.key", true, true, true, "was revoked by its CA"},
    {{"ca.pem", "ca.crl"}, "revoked.pem", "revoked.key", false, false, false, NULL},
    {{"ca.pem", "ca.crl"}, "server.pem", "server.key", true, false, false, NULL},
    {{"ca.pem", "old.crl"}, "server.pem", "server.key", true, false, false, "its CA's CRL is out of date"},
    {{"ca.pem", "old.crl"}, "server.pem", "server.key", true, false, true, NULL},
    {{"ca.pem", "early.crl"}, "server.pem", "server.key", true, false, true, NULL},
    /* A CRL, but not of the CA that issued it. */
    {{"other.pem", "ca.pem", "ca.crl"}, "stranger.pem", "stranger.key", true, false, false, "The CRL is not correctly"},
    {{"other.pem", "ca.pem", "ca.crl"}, "stranger.pem", "stranger.key", true, true, false, NULL},
    {{"ca.pem", ""}, "server.pem", "server.key", true, true, false, NULL},
};

START_TEST(coap_pki_revocation)
{
	for (size_t i = 0; i < sizeof(revocations) / sizeof(*revocations); i++) {
		coap_dtls_pki_t server = certs_pem(revocations[i].cert, revocations[i].key, NULL),
				client = certs_pem(NULL, NULL, NULL);
		const char *const *cas = revocations[i].cas;

		certs_open(&ends, &server);
		certs_rules(&client, 0);
		client.pki_key.key.pem.ca_file = certs_joined("joined.pem", cas[0], cas[1], cas[2]);
		client.check_cert_revocation = revocations[i].checks;
		client.allow_no_crl = revocations[i].no_crl;
		client.allow_expired_crl = revocations[i].expired_crl;
		certs_assert_result(&ends, &client, revocations[i].refused_for);
		coap_close(&ends);
	}
}
END_TEST

/* ---- the callback ---- */

START_TEST(coap_pki_callback_of_a_client)
{
	coap_dtls_pki_t server = certs_pem("server.pem", "server.key", NULL), client = certs_pem(NULL, NULL, "ca.pem");

	certs_open(&ends, &server);
	certs_rules(&client, 0);
	certs_ask_judge(&client, &ends.client, false);
	certs_assert_result(&ends, &client, NULL);
	certs_assert_judged(0, "Test CA", 1, 1);
	certs_assert_judged(1, "localhost", 0, 1);
	ck_assert_uint_eq(certs_judged(), 2);
	certs_ask_judge(&client, &ends.client, true);
	certs_assert_result(&ends, &client, "was rejected by the verify callback");
	coap_close(&ends);
	/* It is asked about bad ones, too, and cannot accept them. */
	server = certs_pem("expired.pem", "expired.key", NULL);
	certs_open(&ends, &server);
	certs_ask_judge(&client, &ends.client, false);
	certs_assert_result(&ends, &client, "expired on");
	certs_assert_judged(1, "localhost", 0, 0);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_pki_callback_where_nothing_is_verified)
{
	coap_dtls_pki_t server = certs_pem("stranger.pem", "stranger.key", NULL), client = certs_pem(NULL, NULL, NULL);

	certs_open(&ends, &server);
	certs_assert_result(&ends, &client, NULL);
	certs_ask_judge(&client, &ends.client, false);
	certs_assert_result(&ends, &client, NULL);
	certs_assert_judged(0, "localhost", 0, 0);
	certs_ask_judge(&client, &ends.client, true);
	ends.client.event_count = 0;
	certs_assert_result(&ends, &client, "the peer's certificate was rejected by validate_cn_call_back");
	coap_close(&ends);
}
END_TEST

static const struct {
	const char *cert, *key, *name;
} names[] = {
    {"bare.pem", "bare.key", "localhost"}, /* no alternative name: the common one */
    {"address.pem", "address.key", "address"}, /* addresses are no names */
    {"wildcard.pem", "wildcard.key", "*.sensors.example"},
    {"long.pem", "long.key", "localhost"},
    {"server.pem", "server.key", "localhost"},
};

START_TEST(coap_pki_names)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		coap_dtls_pki_t server = certs_pem(names[i].cert, names[i].key, NULL),
				client = certs_pem(NULL, NULL, "ca.pem");

		certs_open(&ends, &server);
		certs_rules(&client, 0);
		certs_ask_judge(&client, &ends.client, false);
		certs_assert_result(&ends, &client, NULL);
		certs_assert_judged(1, names[i].name, 0, 1);
		coap_close(&ends);
	}
}
END_TEST

/* ---- what a server minds ---- */

START_TEST(coap_pki_clients_are_verified)
{
	coap_dtls_pki_t server = certs_pem("server.pem", "server.key", "ca.pem"), client;

	certs_rules(&server, 0);
	certs_ask_judge(&server, &ends.server, false);
	certs_open(&ends, &server);
	client = certs_pem("client.pem", "client.key", "ca.pem");
	certs_assert_result(&ends, &client, NULL);
	certs_assert_judged(0, "Test CA", 1, 1);
	certs_assert_judged(1, "sensor-17", 0, 1);
	client = certs_pem(NULL, NULL, "ca.pem");
	certs_assert_result(&ends, &client, "the client sent no certificate");
	client = certs_pem("stranger.pem", "stranger.key", "ca.pem");
	certs_assert_result(&ends, &client, "none of the trusted CAs");
	certs_ask_judge(&server, &ends.server, true);
	client = certs_pem("client.pem", "client.key", "ca.pem");
	certs_assert_result(&ends, &client, "was rejected by the verify callback");
	coap_close(&ends);
}
END_TEST

Suite *coap_pki_suite(void)
{
	Suite *s = suite_create("coap_pki");

	pki_announce();
	TEST(s, coap_pki_client_rules);
	TEST(s, coap_pki_chains);
	TEST(s, coap_pki_revocation);
	TEST(s, coap_pki_callback_of_a_client);
	TEST(s, coap_pki_callback_where_nothing_is_verified);
	TEST(s, coap_pki_names);
	TEST(s, coap_pki_clients_are_verified);
	return s;
}
