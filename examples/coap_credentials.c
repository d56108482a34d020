#include "coap_credentials.h"

#include "cli_file.h"
#include "coap_start.h"

#include <mbedtls/x509_crt.h>
#include <stdlib.h>
#include <string.h>

void coap_credentials_option(struct coap_credentials *c, int option, char *value)
{
	cli_dtls_option(&c->given, option, value);
}

/* ---- pre-shared keys ---- */

static void free_keys(struct coap_keys *keys)
{
	for (size_t i = 0; i < keys->count; i++) {
		explicit_bzero(keys->list[i].key, keys->list[i].key_len);
		free(keys->list[i].identity);
	}
	free(keys->list);
	*keys = (struct coap_keys){0};
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdefABCDEF";
	const char *found = c != '\0' ? strchr(digits, c) : NULL;

	if (found == NULL)
		return -1;
	return found - digits < 16 ? (int)(found - digits) : (int)(found - digits) - 6;
}

static bool parse_hex(const char *hex, size_t len, uint8_t *bytes)
{
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* identity:hexkey, which the library has judged. False: it is something else, or there is no memory. */
static bool add_key(struct coap_keys *keys, const char *line, size_t len)
{
	const char *colon = memrchr(line, ':', len);
	size_t identity_len = colon != NULL ? (size_t)(colon - line) : 0;
	size_t key_len = colon != NULL ? (len - identity_len - 1) / 2 : 0;
	struct coap_key *more, key = {.identity_len = identity_len, .key_len = key_len};

	if (identity_len == 0 || key_len == 0)
		return false;
	more = reallocarray(keys->list, keys->count + 1, sizeof(*more));
	if (more == NULL)
		return false;
	keys->list = more;
	key.identity = malloc(identity_len + key_len);
	if (key.identity == NULL)
		return false;
	key.key = key.identity + identity_len;
	memcpy(key.identity, line, identity_len);
	more[keys->count++] = key;
	return parse_hex(colon + 1, key_len, key.key);
}

/* All of a file that the library has just judged. False: it has changed since, or there is no memory. */
static bool add_keys(struct coap_keys *keys, const char *path)
{
	struct cli_file file;
	bool done = cli_file_read(path, &file);
	char *next = file.bytes;

	while (done && next != NULL && *next != '\0') {
		char *line = strsep(&next, "\n");
		size_t len = strlen(line);

		if (len > 0 && line[len - 1] == '\r')
			len--;
		done = line[0] == '#' || strspn(line, " \t\v\f\r") >= len || add_key(keys, line, len);
	}
	cli_file_free(&file);
	return done && keys->count > 0;
}

static const struct coap_key *find_key(const struct coap_keys *keys, const uint8_t *identity, size_t len)
{
	for (size_t i = keys->count; i > 0; i--) {
		const struct coap_key *key = &keys->list[i - 1];

		if (key->identity_len == len && memcmp(key->identity, identity, len) == 0)
			return key;
	}
	return NULL;
}

/* ---- what was given, judged ---- */

static void load_keys(struct coap_keys *keys, const char *path)
{
	if (!add_keys(keys, path))
		cli_usage("%s was changed while it was read", path);
}

/* Only the library's word on the file counts: as a server's, which has any number of keys. */
static void load_fleet(struct coap_credentials *c)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	c->given.ctx = ctx; /* which frees it */
	if (ctx == NULL)
		cli_fail("%s", dtls_context_error(NULL));
	if (c->given.given_count > 0)
		cli_usage("--fleet has the keys: give no other credentials");
	if (dtls_context_load_psk_file(ctx, c->fleet) != DTLS_OK)
		cli_usage("%s", dtls_context_error(ctx));
	load_keys(&c->file, c->fleet);
}

/* What libcoap has no words for is refused, not ignored. */
static void check_options(const struct cli_dtls *given)
{
	const char *verify = cli_dtls_value(given, CLI_VERIFY, 0);

	if (verify != NULL && strcmp(verify, "none") != 0 && strcmp(verify, "required") != 0)
		cli_usage("--verify takes none or required, not \"%s\"", verify);
	if (cli_dtls_value(given, CLI_CA, 1) != NULL)
		cli_usage("--ca is given twice: put the CAs into one file");
}

/* --psk, before their keys are struck out of the command line. */
static void keep_options(struct coap_credentials *c)
{
	const char *line;

	for (size_t n = 0; (line = cli_dtls_value(&c->given, CLI_PSK, n)) != NULL; n++)
		(void)add_key(&c->keys, line, strlen(line)); /* a bad one will be judged */
}

void coap_credentials_load(struct coap_credentials *c)
{
	const char *psk_file = cli_dtls_value(&c->given, CLI_PSK_FILE, 0);

	if (c->fleet != NULL) {
		load_fleet(c);
		return;
	}
	check_options(&c->given);
	keep_options(c);
	unsetenv("SSLKEYLOGFILE"); /* libcoap has no place for a key log */
	cli_dtls_apply(&c->given, c->hostname);
	if (psk_file != NULL)
		load_keys(&c->file, psk_file);
}

void coap_credentials_free(struct coap_credentials *c)
{
	free_keys(&c->keys);
	free_keys(&c->file);
	cli_dtls_free(&c->given);
}

/* ---- servers ---- */

static const coap_bin_const_t *look_up(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	struct coap_credentials *c = arg;
	const struct coap_key *key = find_key(&c->keys, identity->s, identity->length);

	if (key == NULL)
		key = find_key(&c->file, identity->s, identity->length);
	if (key == NULL)
		return NULL;
	coap_peer_claims(c->peers, session, identity->s, identity->length);
	c->answer = (coap_bin_const_t){.length = key->key_len, .s = key->key};
	return &c->answer;
}

/* libcoap leaves the server's name to the application. */
static bool has_name(const uint8_t *der, size_t len, const char *name)
{
	mbedtls_x509_crt crt;
	uint32_t flags = 0;
	bool parsed;

	mbedtls_x509_crt_init(&crt);
	parsed = mbedtls_x509_crt_parse_der(&crt, der, len) == 0;
	if (parsed)
		(void)mbedtls_x509_crt_verify(&crt, &crt, NULL, name, &flags, NULL, NULL);
	mbedtls_x509_crt_free(&crt);
	return parsed && (flags & MBEDTLS_X509_BADCERT_CN_MISMATCH) == 0;
}

/* Of the certificates of a chain, the peer's own: its name is what matters. 0: refused. */
static int judge_name(const char *subject, const uint8_t *der, size_t der_len, coap_session_t *session, unsigned depth,
    int validated, void *arg)
{
	struct coap_credentials *c = arg;

	if (depth > 0 || !validated)
		return validated;
	if (c->peers != NULL)
		coap_peer_claims(c->peers, session, subject, strlen(subject));
	return c->hostname == NULL || has_name(der, der_len, c->hostname);
}

static bool verifies(const struct coap_credentials *c)
{
	const char *how = cli_dtls_value(&c->given, CLI_VERIFY, 0);

	return cli_dtls_has(&c->given, CLI_CA) && (how == NULL || strcmp(how, "none") != 0);
}

static coap_dtls_pki_t pki_of(struct coap_credentials *c)
{
	const char *cert = cli_dtls_value(&c->given, CLI_CERT, 0), *key = cli_dtls_value(&c->given, CLI_KEY, 0);
	coap_dtls_pki_t pki = {.version = COAP_DTLS_PKI_SETUP_VERSION};

	pki.verify_peer_cert = verifies(c);
	pki.check_common_ca = verifies(c);
	pki.validate_cn_call_back = verifies(c) ? judge_name : NULL;
	pki.cn_call_back_arg = c;
	pki.client_sni = (char *)(uintptr_t)c->hostname;
	pki.pki_key.key_type = COAP_PKI_KEY_PEM;
	pki.pki_key.key.pem.ca_file = cli_dtls_value(&c->given, CLI_CA, 0);
	pki.pki_key.key.pem.public_cert = cert;
	pki.pki_key.key.pem.private_key = key != NULL ? key : cert;
	return pki;
}

static bool serve_certificates(struct coap_credentials *c, coap_context_t *coap)
{
	coap_dtls_pki_t pki = pki_of(c);

	return coap_context_set_pki(coap, &pki) == 1;
}

void coap_credentials_serve(struct coap_credentials *c, coap_context_t *coap)
{
	coap_dtls_spsk_t psk = {
	    .version = COAP_DTLS_SPSK_SETUP_VERSION, .validate_id_call_back = look_up, .id_call_back_arg = c};

	if (!cli_dtls_by_certificate(&c->given) && coap_context_set_psk2(coap, &psk) != 1)
		cli_fail("libcoap takes no pre-shared keys: %s", libcoap_complaint());
	if (cli_dtls_has(&c->given, CLI_CERT) && !serve_certificates(c, coap))
		cli_fail("libcoap does not take the certificate: %s", libcoap_complaint());
}

/* ---- on SIGHUP ---- */

static void tell_kept(const char *why, const char *what)
{
	fprintf(stderr, "SIGHUP: ");
	cli_print_bytes(stderr, why, strlen(why));
	fprintf(stderr, "; the %s stay as they were\n", what);
}

static void reload_keys(struct coap_credentials *c, struct dtls_context *judge, const char *path)
{
	struct coap_keys keys = {0};

	if (dtls_context_load_psk_file(judge, path) != DTLS_OK) {
		tell_kept(dtls_context_error(judge), "keys");
	} else if (!add_keys(&keys, path)) {
		tell_kept("the file was changed while it was read", "keys");
		free_keys(&keys);
	} else {
		free_keys(&c->file);
		c->file = keys;
		fprintf(stderr, "SIGHUP: %s was read again\n", path);
	}
}

static void reload_certificates(struct coap_credentials *c, struct dtls_context *judge, coap_context_t *coap)
{
	const char *cert = cli_dtls_value(&c->given, CLI_CERT, 0), *key = cli_dtls_value(&c->given, CLI_KEY, 0);
	const char *ca = cli_dtls_value(&c->given, CLI_CA, 0);

	if (dtls_context_load_cert_chain(judge, cert, key != NULL ? key : cert) != DTLS_OK ||
	    dtls_context_check_key_pair(judge) != DTLS_OK ||
	    (ca != NULL && dtls_context_load_verify_locations(judge, ca) != DTLS_OK))
		tell_kept(dtls_context_error(judge), "certificates");
	else if (!serve_certificates(c, coap))
		tell_kept(libcoap_complaint(), "certificates");
	else
		fprintf(stderr, "SIGHUP: %s was read again\n", cert);
}

void coap_credentials_reload(struct coap_credentials *c, coap_context_t *coap)
{
	const char *psk_file = cli_dtls_value(&c->given, CLI_PSK_FILE, 0);
	bool has_certificate = cli_dtls_has(&c->given, CLI_CERT);
	struct dtls_context *judge = dtls_context_new(PROTOCOL_DTLS_SERVER);

	if (judge == NULL) {
		tell_kept(dtls_context_error(NULL), "credentials");
		return;
	}
	if (psk_file != NULL)
		reload_keys(c, judge, psk_file);
	if (has_certificate)
		reload_certificates(c, judge, coap);
	if (psk_file == NULL && !has_certificate)
		fprintf(stderr, "SIGHUP: there is no file to read again: no --psk-file, no --cert\n");
	dtls_context_free(judge);
}

/* ---- clients ---- */

coap_session_t *coap_credentials_connect(
    struct coap_credentials *c, coap_context_t *coap, const coap_address_t *server, const struct coap_key *key)
{
	coap_dtls_cpsk_t psk = {.version = COAP_DTLS_CPSK_SETUP_VERSION};
	coap_dtls_pki_t pki;

	if (key == NULL) {
		pki = pki_of(c);
		return coap_new_client_session_pki(coap, NULL, server, COAP_PROTO_DTLS, &pki);
	}
	psk.client_sni = (char *)(uintptr_t)c->hostname;
	psk.psk_info.identity = (coap_bin_const_t){.length = key->identity_len, .s = key->identity};
	psk.psk_info.key = (coap_bin_const_t){.length = key->key_len, .s = key->key};
	return coap_new_client_session_psk2(coap, NULL, server, COAP_PROTO_DTLS, &psk);
}
