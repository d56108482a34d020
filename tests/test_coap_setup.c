/* Where the certificates of coap_dtls_pki_t come from, whom they are for, and what is refused when it is set. */
#include "coap_certs.h"
#include "pki.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct coap_ends ends;

/* ---- where certificates come from ---- */

struct blob {
	uint8_t bytes[4096];
	size_t len;
};

static struct blob read_all(const char *name)
{
	struct blob b = {.len = 0};
	FILE *f = fopen(pki_path(name), "r");

	ck_assert_ptr_nonnull(f);
	b.len = fread(b.bytes, 1, sizeof(b.bytes) - 1, f);
	fclose(f);
	return b;
}

START_TEST(coap_setup_from_memory)
{
	struct blob cert = read_all("server.pem"), key = read_all("server.key"), ca = read_all("ca.pem");
	coap_dtls_pki_t server = {.version = 1}, client = {.version = 1};

	/* With, and without the NUL at the end; that of a key that is freed right after. */
	for (size_t nul = 0; nul < 2; nul++) {
		server.pki_key.key_type = client.pki_key.key_type = COAP_PKI_KEY_PEM_BUF;
		server.pki_key.key.pem_buf = (coap_pki_key_pem_buf_t){.public_cert = cert.bytes,
		    .public_cert_len = cert.len + nul,
		    .private_key = key.bytes,
		    .private_key_len = key.len + nul};
		client.pki_key.key.pem_buf = (coap_pki_key_pem_buf_t){.ca_cert = ca.bytes, .ca_cert_len = ca.len + nul};
		certs_rules(&client, COMMON_CA);
		certs_open(&ends, &server);
		certs_assert_result(&ends, &client, NULL);
		coap_close(&ends);
	}
	cert = read_all("server.der");
	key = read_all("server-sec1.der");
	ca = read_all("ca.der");
	server.pki_key.key_type = client.pki_key.key_type = COAP_PKI_KEY_ASN1;
	server.pki_key.key.asn1 = (coap_pki_key_asn1_t){.public_cert = cert.bytes,
	    .public_cert_len = cert.len,
	    .private_key = key.bytes,
	    .private_key_len = key.len,
	    .private_key_type = COAP_ASN1_PKEY_EC};
	client.pki_key.key.asn1 = (coap_pki_key_asn1_t){.ca_cert = ca.bytes, .ca_cert_len = ca.len};
	certs_open(&ends, &server);
	memset(key.bytes, 0, sizeof(key.bytes));
	certs_assert_result(&ends, &client, NULL);
	coap_close(&ends);
}
END_TEST

static const char *folder_of(const char *name, const char *file)
{
	char command[4096];

	snprintf(command, sizeof(command), "cd $(dirname %s) && mkdir -p %s && cp %s ca.key %s", pki_path(file), name,
	    file, name);
	ck_assert_int_eq(system(command), 0);
	return pki_path(name);
}

/* A name with a NUL within is no name: what stands before it could be somebody else's. */
START_TEST(coap_setup_name_with_a_nul)
{
	char command[4096];
	struct blob cert, key = read_all("bare.key");
	coap_dtls_pki_t server = {.version = 1}, client = {.version = 1};
	uint8_t *cn;

	snprintf(command, sizeof(command), "openssl x509 -in %s -outform DER -out %s.der", pki_path("bare.pem"),
	    pki_path("bare"));
	ck_assert_int_eq(system(command), 0);
	cert = read_all("bare.der");
	cn = memmem(cert.bytes, cert.len, "localhost", 9);
	ck_assert_ptr_nonnull(cn);
	cn[5] = '\0';
	server.pki_key.key_type = COAP_PKI_KEY_PEM_BUF;
	server.pki_key.key.pem_buf = (coap_pki_key_pem_buf_t){.public_cert = cert.bytes,
	    .public_cert_len = cert.len,
	    .private_key = key.bytes,
	    .private_key_len = key.len};
	client.pki_key.key_type = COAP_PKI_KEY_PEM;
	certs_open(&ends, &server);
	certs_ask_judge(&client, &ends.client, false);
	certs_assert_result(&ends, &client, NULL);
	certs_assert_judged(0, "", 0, 0);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_setup_root_cas)
{
	coap_dtls_pki_t server = certs_pem("server.pem", "server.key", NULL), client = certs_pem(NULL, NULL, NULL);

	certs_rules(&client, 0);
	certs_open(&ends, &server);
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, pki_path("other.pem"), NULL), 1);
	certs_assert_result(&ends, &client, "none of the trusted CAs");
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, pki_path("ca.pem"), NULL), 1);
	certs_assert_result(&ends, &client, NULL);
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, NULL, folder_of("others", "other.pem")), 1);
	certs_assert_result(&ends, &client, "none of the trusted CAs");
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, NULL, folder_of("roots", "ca.pem")), 1);
	certs_assert_result(&ends, &client, NULL);
	/* The CA in common is the one in pki_key, and no other. */
	client = certs_pem(NULL, NULL, "other.pem");
	certs_rules(&client, COMMON_CA);
	certs_assert_result(&ends, &client, "none of the trusted CAs");
	client.check_common_ca = 0;
	certs_assert_result(&ends, &client, NULL);
	coap_close(&ends);
	/* A server that is set up already. */
	server = certs_pem("server.pem", "server.key", "other.pem");
	certs_rules(&server, 0);
	certs_open(&ends, &server);
	client = certs_pem("client.pem", "client.key", "ca.pem");
	certs_rules(&client, 0);
	certs_assert_result(&ends, &client, "none of the trusted CAs");
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.server.ctx, pki_path("ca.pem"), NULL), 1);
	certs_assert_result(&ends, &client, NULL);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_setup_root_cas_refused)
{
	coap_open(&ends);
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, NULL, NULL), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "neither a file nor a directory"));
	coap_log_clear();
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, pki_path("none"), NULL), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "No such file"));
	coap_log_clear();
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, NULL, pki_path("none")), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "no file there has a certificate"));
	coap_log_clear();
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.client.ctx, NULL, folder_of("keys", "server.key")), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "no file there has a certificate"));
	coap_close(&ends);
}
END_TEST

/* ---- names ---- */

static unsigned asked;

static coap_dtls_key_t *certificate_for(const char *name, void *arg)
{
	static coap_dtls_pki_t one, two, bad, token;

	ck_assert_ptr_eq(arg, &asked);
	asked++;
	/* A server that verifies its clients needs a CA in the key for each name. */
	one = certs_pem("server.pem", "server.key", "other.pem");
	two = certs_pem("wrong.pem", "wrong.key", "other.pem");
	bad = certs_pem("server.pem", "client.key", NULL);
	if (strcmp(name, "localhost") == 0)
		return &one.pki_key;
	if (strcmp(name, "elsewhere.example") == 0)
		return &two.pki_key;
	token.pki_key.key_type = COAP_PKI_KEY_PKCS11;
	if (strcmp(name, "token.example") == 0)
		return &token.pki_key;
	return strcmp(name, "bad.example") == 0 ? &bad.pki_key : NULL;
}

static void call_name(coap_dtls_pki_t *client, const char *name, const char *shown, const char *refused_for)
{
	client->client_sni = (char *)(uintptr_t)name;
	certs_ask_judge(client, &ends.client, false);
	certs_assert_result(&ends, client, refused_for);
	if (refused_for == NULL)
		certs_assert_judged(1, shown, 0, 1);
}

START_TEST(coap_setup_certificates_by_name)
{
	coap_dtls_pki_t server = certs_pem("bare.pem", "bare.key", NULL), client = certs_pem(NULL, NULL, "ca.pem");
	char made_up[32];

	server.validate_sni_call_back = certificate_for;
	server.sni_call_back_arg = &asked;
	certs_rules(&client, 0);
	certs_open(&ends, &server);
	call_name(&client, "localhost", "localhost", NULL);
	call_name(&client, "elsewhere.example", "elsewhere.example", NULL);
	call_name(&client, "ELSEWHERE.example", "elsewhere.example", NULL);
	ck_assert_uint_eq(asked, 2); /* once for each */
	call_name(
	    &client, "other.example", NULL, "the client asks for the server \"other.example\", which is not here");
	call_name(&client, "bad.example", NULL, "the key does not belong to the certificate");
	call_name(&client, "token.example", NULL, "validate_sni_call_back: key_type: PKCS#11");
	call_name(&client, NULL, "localhost", NULL); /* bare.pem */
	for (int i = 0; i < 3; i++) {
		snprintf(made_up, sizeof(made_up), "%d.example", i);
		call_name(&client, made_up, NULL, "which is not here");
	}
	asked = 0;
	call_name(&client, "localhost", "localhost", NULL);
	ck_assert_uint_eq(asked, 0);
	/* What was said before the server was set up anew, or trusts others, may hold no more. */
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &server), 1);
	call_name(&client, "localhost", "localhost", NULL);
	ck_assert_uint_eq(asked, 1);
	coap_close(&ends);
	server = certs_pem("bare.pem", "bare.key", "other.pem");
	certs_rules(&server, 0);
	server.validate_sni_call_back = certificate_for;
	server.sni_call_back_arg = &asked;
	client = certs_pem("client.pem", "client.key", "ca.pem");
	certs_rules(&client, 0);
	certs_open(&ends, &server);
	call_name(&client, "localhost", NULL, "none of the trusted CAs");
	ck_assert_int_eq(coap_context_set_pki_root_cas(ends.server.ctx, pki_path("ca.pem"), NULL), 1);
	call_name(&client, "localhost", "localhost", NULL);
	coap_close(&ends);
}
END_TEST

static bool is_nacked(const struct coap_ends *e)
{
	return e->client.nack_count > 0;
}

static const coap_dtls_spsk_info_t *no_key(const char *name, coap_session_t *session, void *arg)
{
	(void)name, (void)session, (void)arg;
	return NULL;
}

/* A server with both: who asks for a name may have one of them. */
START_TEST(coap_setup_beside_keys)
{
	coap_dtls_pki_t server = certs_pem("server.pem", "server.key", NULL), client = certs_pem(NULL, NULL, "ca.pem");
	coap_dtls_spsk_t spsk = {.psk_info = {.key = {strlen(COAP_KEY), (const uint8_t *)COAP_KEY}}};
	coap_dtls_cpsk_t cpsk = coap_cpsk("a", COAP_KEY);

	certs_rules(&client, 0);
	for (int order = 0; order < 2; order++) {
		coap_open(&ends);
		if (order == 0)
			coap_serve_psk(&ends);
		ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &server), 1);
		if (order == 1)
			coap_serve_psk(&ends);
		coap_listen(&ends);
		certs_assert_result(&ends, &client, NULL);
		coap_call_psk(&ends, "a", COAP_KEY);
		coap_assert_served(&ends);
		coap_close(&ends);
	}
	server.validate_sni_call_back = certificate_for;
	server.sni_call_back_arg = &asked;
	certs_open(&ends, &server);
	client.client_sni = cpsk.client_sni = (char[]){"localhost"};
	certs_assert_result(&ends, &client, NULL);
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &spsk), 1);
	coap_call_psk_with(&ends, &cpsk);
	coap_assert_served(&ends);
	cpsk.client_sni = (char[]){"other.example"};
	coap_call_psk_with(&ends, &cpsk);
	coap_assert_served(&ends);
	client.client_sni = (char[]){"other.example"};
	certs_assert_result(&ends, &client, "none of the peer's cipher suites is enabled here");
	client.client_sni = (char[]){"localhost"};
	certs_assert_result(&ends, &client, NULL);
	spsk.validate_sni_call_back = no_key;
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &spsk), 1);
	certs_assert_result(&ends, &client, NULL);
	client.client_sni = (char[]){"other.example"};
	certs_assert_result(&ends, &client, "which is not here");
	/* Where there is a certificate for a name, and no key: keys are refused. */
	cpsk.client_sni = (char[]){"localhost"};
	coap_call_psk_with(&ends, &cpsk);
	ends.client.nack_count = 0;
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, is_nacked);
	coap_close(&ends);
}
END_TEST

/* Each session keeps what it was made with, whatever the context was told since. */
START_TEST(coap_setup_stays_with_its_session)
{
	coap_dtls_pki_t server = certs_pem("server.pem", "server.key", "ca.pem"), client, other;
	coap_session_t *first;

	certs_rules(&server, 0);
	certs_ask_judge(&server, &ends.server, false);
	certs_open(&ends, &server);
	client = certs_pem("client.pem", "client.key", "ca.pem");
	certs_assert_result(&ends, &client, NULL);
	first = coap_session_reference(ends.client.session);
	other = certs_pem("stranger.pem", "stranger.key", "ca.pem");
	certs_assert_result(&ends, &other, "none of the trusted CAs");
	coap_session_release(ends.client.session);
	ends.client.session = first;
	coap_session_disconnected(first, COAP_NACK_NOT_DELIVERABLE);
	certs_ask_judge(&server, &ends.server, false);
	coap_assert_served(&ends);
	certs_assert_judged(1, "sensor-17", 0, 1);
	coap_close(&ends);
}
END_TEST

/* ---- what is refused ---- */

static int change_tls(void *tls, coap_dtls_pki_t *setup)
{
	(void)tls, (void)setup;
	return 1;
}

static void assert_set_refused(const coap_dtls_pki_t *setup, const char *says)
{
	coap_log_clear();
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, setup), 0);
	ck_assert_msg(strstr(coap_log_text(), says) != NULL, "'%s' is not in: %s", says, coap_log_text());
	ck_assert_int_eq(coap_dtls_context_check_keys_enabled(ends.server.ctx), 0);
	ck_assert_ptr_null(coap_new_client_session_pki(
	    ends.client.ctx, NULL, &ends.address, COAP_PROTO_DTLS, (coap_dtls_pki_t *)(uintptr_t)setup));
}

START_TEST(coap_setup_refused)
{
	coap_dtls_pki_t ok = certs_pem("server.pem", "server.key", NULL), setup;

	coap_open(&ends);
	close(coap_udp_socket(&ends.address));
	setup = ok;
	setup.is_rpk_not_cert = 1;
	assert_set_refused(&setup, "is_rpk_not_cert");
	setup = ok;
	setup.additional_tls_setup_call_back = change_tls;
	assert_set_refused(&setup, "additional_tls_setup_call_back");
	setup = ok;
	setup.reserved[1] = 1;
	assert_set_refused(&setup, "reserved must be 0");
	setup = ok;
	setup.pki_key.key_type = COAP_PKI_KEY_PKCS11;
	assert_set_refused(&setup, "PKCS#11");
	setup.pki_key.key_type = (coap_pki_key_t)77;
	assert_set_refused(&setup, "key_type: it is none of");
	setup.pki_key.key_type = COAP_PKI_KEY_ASN1;
	setup.pki_key.key.asn1 = (coap_pki_key_asn1_t){.private_key_type = COAP_ASN1_PKEY_DSA};
	assert_set_refused(&setup, "private_key_type");
	setup = ok;
	setup.pki_key.key.pem.private_key = NULL;
	assert_set_refused(&setup, "a certificate and its private key are needed");
	setup = ok;
	setup.pki_key.key.pem.public_cert = "";
	assert_set_refused(&setup, "a certificate and its private key are needed");
	setup = certs_pem("server.pem", "client.key", NULL);
	assert_set_refused(&setup, "the key does not belong to the certificate");
	setup = certs_pem("none.pem", "server.key", NULL);
	assert_set_refused(&setup, "No such file");
	setup = certs_pem("server.pem", "server.key", "server.key");
	certs_rules(&setup, 0);
	assert_set_refused(&setup, "server.key");
	setup = ok;
	certs_rules(&setup, 0);
	assert_set_refused(&setup, "verify_peer_cert: there is no CA to verify with");
	certs_rules(&setup, COMMON_CA | SELF_SIGNED);
	assert_set_refused(&setup, "check_common_ca: pki_key has no CA");
	setup = certs_pem("server.pem", "server.key", "ca.pem");
	certs_rules(&setup, 0);
	setup.check_cert_revocation = 1;
	assert_set_refused(&setup, "check_cert_revocation: there is no CRL");
	coap_close(&ends);
}
END_TEST

START_TEST(coap_setup_server_needs_a_certificate)
{
	coap_dtls_pki_t setup = certs_pem(NULL, NULL, "ca.pem");

	coap_open(&ends);
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &setup), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "a certificate and its private key are needed"));
	coap_close(&ends);
}
END_TEST

/* What was there before stays. */
START_TEST(coap_setup_replaced)
{
	coap_dtls_pki_t first = certs_pem("server.pem", "server.key", NULL),
			bad = certs_pem("server.pem", "client.key", NULL),
			second = certs_pem("wrong.pem", "wrong.key", NULL), client = certs_pem(NULL, NULL, "ca.pem");

	certs_rules(&client, 0);
	certs_open(&ends, &first);
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &bad), 0);
	certs_ask_judge(&client, &ends.client, false);
	certs_assert_result(&ends, &client, NULL);
	certs_assert_judged(1, "localhost", 0, 1);
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &second), 1);
	coap_assert_served(&ends);
	certs_ask_judge(&client, &ends.client, false);
	certs_assert_result(&ends, &client, NULL);
	certs_assert_judged(1, "elsewhere.example", 0, 1);
	coap_close(&ends);
}
END_TEST

Suite *coap_setup_suite(void)
{
	Suite *s = suite_create("coap_setup");

	pki_announce();
	TEST(s, coap_setup_from_memory);
	TEST(s, coap_setup_name_with_a_nul);
	TEST(s, coap_setup_root_cas);
	TEST(s, coap_setup_root_cas_refused);
	TEST(s, coap_setup_certificates_by_name);
	TEST(s, coap_setup_beside_keys);
	TEST_WHERE(LIBCOAP_VERSION < 4003004U, "libcoap 4.3.4 has no second handshake for a client's session", s,
	    coap_setup_stays_with_its_session);
	TEST(s, coap_setup_refused);
	TEST(s, coap_setup_server_needs_a_certificate);
	TEST(s, coap_setup_replaced);
	return s;
}
