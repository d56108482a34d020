#include "coap_certs.h"

#include "pki.h"
#include "suites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* pki_path()'s, for the whole test. */
const char *certs_path(const char *name)
{
	static char paths[400][64];
	static unsigned used;

	if (name == NULL)
		return NULL;
	ck_assert_uint_lt(used, 400);
	snprintf(paths[used], sizeof(paths[0]), "%s", pki_path(name));
	return paths[used++];
}

coap_dtls_pki_t certs_pem(const char *cert, const char *key, const char *ca)
{
	coap_dtls_pki_t setup = {.version = COAP_DTLS_PKI_SETUP_VERSION};

	setup.pki_key.key_type = COAP_PKI_KEY_PEM;
	setup.pki_key.key.pem.public_cert = certs_path(cert);
	setup.pki_key.key.pem.private_key = certs_path(key);
	setup.pki_key.key.pem.ca_file = certs_path(ca);
	return setup;
}

/* What a file of several others has; in the folder of the certificates. */
const char *certs_joined(const char *name, const char *first, const char *second, const char *third)
{
	char command[4096];

	snprintf(command, sizeof(command), "cd $(dirname %s) && cat %s %s %s >%s", pki_path(first), first, second,
	    third == NULL ? "" : third, name);
	ck_assert_int_eq(system(command), 0);
	return certs_path(name);
}

void certs_open(struct coap_ends *e, const coap_dtls_pki_t *server)
{
	coap_open(e);
	ck_assert_msg(coap_context_set_pki(e->server.ctx, server) == 1, "%s", coap_log_text());
	coap_listen(e);
}

static void call_pki(struct coap_ends *e, coap_dtls_pki_t *client)
{
	coap_session_release(e->client.session);
	e->client.nack_count = 0;
	e->client.session = coap_new_client_session_pki(e->client.ctx, NULL, &e->address, COAP_PROTO_DTLS, client);
	ck_assert_msg(e->client.session != NULL, "%s", coap_log_text());
}

static bool is_decided(const struct coap_ends *e)
{
	return e->client.nack_count > 0 || e->client.responses > 0;
}

/* Asserts that this client is served, or else that it is not, and that this is why. */
void certs_assert_result(struct coap_ends *e, coap_dtls_pki_t *client, const char *refused_for)
{
	coap_log_clear();
	call_pki(e, client);
	if (refused_for == NULL) {
		coap_assert_served(e);
		return;
	}
	e->client.responses = 0;
	coap_ask(e, NULL, 0);
	coap_until(e, is_decided);
	ck_assert_msg(e->client.responses == 0, "served, and not refused: %s", refused_for);
	ck_assert_int_eq(e->client.nacks[0], COAP_NACK_TLS_FAILED);
	ck_assert_msg(strstr(coap_log_text(), refused_for) != NULL, "'%s' is not in: %s", refused_for, coap_log_text());
}

static struct {
	unsigned calls;
	char names[4][64];
	unsigned depths[4];
	int validated[4];
	bool refuses;
	const struct coap_end *end;
} judge;

static int by_name(
    const char *cn, const uint8_t *cert, size_t len, coap_session_t *session, unsigned depth, int validated, void *arg)
{
	ck_assert_ptr_eq(arg, &judge);
	ck_assert_ptr_eq(coap_get_app_data(coap_session_get_context(session)), judge.end);
	ck_assert_uint_gt(len, 100);
	ck_assert_uint_eq(cert[0], 0x30);
	if (judge.calls < 4) {
		snprintf(judge.names[judge.calls], sizeof(judge.names[0]), "%s", cn);
		judge.depths[judge.calls] = depth;
		judge.validated[judge.calls] = validated;
	}
	judge.calls++;
	return depth > 0 || !judge.refuses;
}

void certs_ask_judge(coap_dtls_pki_t *setup, const struct coap_end *end, bool refuses)
{
	memset(&judge, 0, sizeof(judge));
	judge.end = end;
	judge.refuses = refuses;
	setup->validate_cn_call_back = by_name;
	setup->cn_call_back_arg = &judge;
}

void certs_assert_judged(unsigned nth, const char *name, unsigned depth, int validated)
{
	ck_assert_uint_gt(judge.calls, nth);
	ck_assert_str_eq(judge.names[nth], name);
	ck_assert_uint_eq(judge.depths[nth], depth);
	ck_assert_int_eq(judge.validated[nth], validated);
}

void certs_rules(coap_dtls_pki_t *setup, unsigned rules)
{
	setup->verify_peer_cert = 1;
	setup->allow_expired_certs = (rules & EXPIRED) != 0;
	setup->allow_self_signed = (rules & SELF_SIGNED) != 0;
	setup->allow_bad_md_hash = (rules & BAD_MD) != 0;
	setup->allow_short_rsa_length = (rules & SHORT_RSA) != 0;
	setup->check_common_ca = (rules & COMMON_CA) != 0;
	setup->cert_chain_validation = (rules & (DEPTH_0 | DEPTH_1)) != 0;
	setup->cert_chain_verify_depth = (rules & DEPTH_1) != 0;
}

unsigned certs_judged(void)
{
	return judge.calls;
}
