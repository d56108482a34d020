#include "cli_credentials.h"

#include "cli_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pair { /* --cert and --key, as the files are now */
	const char *cert_name, *key_name;
	struct cli_file cert, key, password;
};

enum { SENTENCE = 1200, TRUST_FILES = 64 };

static bool read_file(const char *path, struct cli_file *file, char why[SENTENCE])
{
	if (cli_file_read(path, file))
		return true;
	snprintf(why, SENTENCE, "cannot read %s: %s", path, strerror(errno));
	return false;
}

/* ---- certificate and key ---- */

static bool pair_read(const struct cli_dtls *o, struct pair *p, char why[SENTENCE])
{
	const char *password = cli_dtls_value(o, CLI_KEY_PASSWORD_FILE, 0);

	*p = (struct pair){.cert_name = cli_dtls_value(o, CLI_CERT, 0), .key_name = cli_dtls_value(o, CLI_KEY, 0)};
	if (p->key_name == NULL)
		p->key_name = p->cert_name;
	if (!read_file(p->cert_name, &p->cert, why) || !read_file(p->key_name, &p->key, why))
		return false;
	if (password == NULL)
		return true;
	if (!read_file(password, &p->password, why))
		return false;
	p->password.bytes[strcspn(p->password.bytes, "\r\n")] = '\0';
	return true;
}

static void pair_free(struct pair *p)
{
	cli_file_free(&p->cert);
	cli_file_free(&p->key);
	cli_file_free(&p->password);
}

static bool pair_load(const struct pair *p, struct dtls_context *ctx, char why[SENTENCE])
{
	const char *name = p->cert_name;

	if (dtls_context_set_key_password(ctx, p->password.bytes) == DTLS_OK &&
	    dtls_context_load_cert_chain_data(ctx, p->cert.bytes, p->cert.len, p->key.bytes, p->key.len) == DTLS_OK &&
	    dtls_context_check_key_pair(ctx) == DTLS_OK)
		return true;
	if (p->key_name == p->cert_name)
		snprintf(why, SENTENCE, "%s: %s", name, dtls_context_error(ctx));
	else
		snprintf(why, SENTENCE, "%s with %s: %s", name, p->key_name, dtls_context_error(ctx));
	return false;
}

/* ---- CAs and their revocation lists ---- */

struct trust { /* --ca and --crl, as the files are now */
	struct trust_file {
		const char *path;
		int (*load)(struct dtls_context *ctx, const void *bytes, size_t len);
		struct cli_file file;
	} files[TRUST_FILES];
	size_t count;
};

static bool trust_read_option(const struct cli_dtls *o, int option, struct trust *t, char why[SENTENCE])
{
	const char *path;

	for (size_t n = 0; (path = cli_dtls_value(o, option, n)) != NULL; n++) {
		struct trust_file *f = &t->files[t->count];

		if (t->count == TRUST_FILES) {
			snprintf(why, SENTENCE, "--ca and --crl name more than %d files", TRUST_FILES);
			return false;
		}
		if (!read_file(path, &f->file, why))
			return false;
		f->path = path;
		f->load = option == CLI_CA ? dtls_context_load_verify_data : dtls_context_load_crl_data;
		t->count++;
	}
	return true;
}

static bool trust_read(const struct cli_dtls *o, struct trust *t, char why[SENTENCE])
{
	*t = (struct trust){0};
	return trust_read_option(o, CLI_CA, t, why) && trust_read_option(o, CLI_CRL, t, why);
}

static void trust_free(struct trust *t)
{
	for (size_t i = 0; i < t->count; i++)
		cli_file_free(&t->files[i].file);
}

/* All but these two, which may be NULL. */
static bool trust_load(
    const struct trust *t, struct dtls_context *ctx, const char *ca, const char *crl, char why[SENTENCE])
{
	for (size_t i = 0; i < t->count; i++) {
		const struct trust_file *f = &t->files[i];

		if (f->path == ca || f->path == crl || f->load(ctx, f->file.bytes, f->file.len) == DTLS_OK)
			continue;
		snprintf(why, SENTENCE, "%s: %s", f->path, dtls_context_error(ctx));
		return false;
	}
	return true;
}

static bool is_without_verification(const struct cli_dtls *o)
{
	const char *mode = cli_dtls_value(o, CLI_VERIFY, 0);

	return mode != NULL && strcmp(mode, "none") == 0;
}

/* A TLS client that was told nothing about trust meets servers of the public. */
static bool uses_default_cas(const struct cli_dtls *o)
{
	return o->tls && !o->server && cli_dtls_by_certificate(o) && !cli_dtls_has(o, CLI_CA) &&
	       !is_without_verification(o);
}

/* ---- at the start ---- */

static void check_client(const struct cli_dtls *o)
{
	if (cli_dtls_has(o, CLI_PSK) + cli_dtls_has(o, CLI_PSK_FILE) + (cli_dtls_value(o, CLI_PSK, 1) != NULL) > 1)
		cli_usage("a client has one key: give --psk or --psk-file, once");
	if (cli_dtls_by_certificate(o) && !cli_dtls_has(o, CLI_CA) && !uses_default_cas(o) &&
	    !is_without_verification(o))
		cli_usage("no key to authenticate with: give --psk=ID:HEX or --psk-file=FILE, or, for certificates, "
			  "--ca=FILE to verify the server's with");
}

static void check_server(const struct cli_dtls *o)
{
	if (cli_dtls_by_certificate(o) && !cli_dtls_has(o, CLI_CERT))
		cli_usage(
		    "no key to authenticate peers with: give --psk=ID:HEX or --psk-file=FILE, or --cert=FILE with "
		    "--key=FILE");
	if (cli_dtls_has(o, CLI_VERIFY) && !is_without_verification(o) && !cli_dtls_has(o, CLI_CA))
		cli_usage("--verify=%s needs --ca=FILE, to verify the clients' certificates with",
		    cli_dtls_value(o, CLI_VERIFY, 0));
}

static void check_combination(const struct cli_dtls *o)
{
	if (cli_dtls_has(o, CLI_KEY) && !cli_dtls_has(o, CLI_CERT))
		cli_usage("--key is given without --cert, the certificate that it belongs to");
	if (cli_dtls_has(o, CLI_KEY_PASSWORD_FILE) && !cli_dtls_has(o, CLI_CERT))
		cli_usage("--key-password-file is given without --cert and --key, the key that it opens");
	if (cli_dtls_has(o, CLI_CRL) && !cli_dtls_has(o, CLI_CA) && !uses_default_cas(o))
		cli_usage("--crl is given without --ca, the CAs that revoked");
	if (cli_dtls_has(o, CLI_CA) && is_without_verification(o))
		cli_usage("--ca has CAs to verify with, and --verify=none would not use them: give one of them");
	if (o->server)
		check_server(o);
	else
		check_client(o);
}

static void load_psk(const struct cli_dtls *o, char *line)
{
	char *colon = strrchr(line, ':');

	if (dtls_context_add_psk_line(o->ctx, line) != DTLS_OK)
		cli_usage("--psk: %s", dtls_context_error(o->ctx));
	/* Others may read a command line: see ps(1). */
	memset(colon + 1, 'x', strlen(colon + 1));
}

static void load_pair(const struct cli_dtls *o)
{
	char why[SENTENCE];
	struct pair p;
	bool loaded = pair_read(o, &p, why) && pair_load(&p, o->ctx, why);

	pair_free(&p);
	if (!loaded)
		cli_usage("%s", why);
}

static void load_trust(const struct cli_dtls *o)
{
	char why[SENTENCE];
	struct trust t;

	if (uses_default_cas(o) && dtls_context_load_default_certs(o->ctx) != DTLS_OK)
		cli_usage(
		    "the system's CAs: %s; install ca-certificates, or give --ca=FILE", dtls_context_error(o->ctx));
	if (!trust_read(o, &t, why) || !trust_load(&t, o->ctx, NULL, NULL, why))
		cli_usage("%s", why);
	trust_free(&t);
	/* A server's default is to ask for no certificate; CAs are given to verify some. */
	if (o->server && cli_dtls_has(o, CLI_CA))
		dtls_context_set_verify_mode(o->ctx, CERT_REQUIRED);
}

void cli_credentials_load(const struct cli_dtls *o)
{
	const char *psk_file = cli_dtls_value(o, CLI_PSK_FILE, 0);
	char *line;

	check_combination(o);
	for (size_t n = 0; (line = cli_dtls_value(o, CLI_PSK, n)) != NULL; n++)
		load_psk(o, line);
	if (psk_file != NULL && dtls_context_load_psk_file(o->ctx, psk_file) != DTLS_OK)
		cli_usage("%s", dtls_context_error(o->ctx));
	if (cli_dtls_has(o, CLI_CERT))
		load_pair(o);
	load_trust(o);
}

/* ---- on SIGHUP ---- */

static void tell_kept(const char *why, const char *what)
{
	fprintf(stderr, "SIGHUP: ");
	cli_print_bytes(stderr, why, strlen(why));
	fprintf(stderr, "; the %s stay as they were\n", what);
}

static void reload_psk_file(const struct cli_dtls *o, const char *path)
{
	if (dtls_context_load_psk_file(o->ctx, path) == DTLS_OK)
		fprintf(stderr, "SIGHUP: %s was read again\n", path);
	else
		tell_kept(dtls_context_error(o->ctx), "keys");
}

/* What is loaded is what was checked: the same bytes go to a context that nobody uses, then to the real one. */
static void reload_pair(const struct cli_dtls *o, struct dtls_context *scratch)
{
	char why[SENTENCE];
	struct pair p;

	if (pair_read(o, &p, why) && pair_load(&p, scratch, why) && pair_load(&p, o->ctx, why))
		fprintf(stderr, "SIGHUP: %s with %s was read again\n", p.cert_name, p.key_name);
	else
		tell_kept(why, "certificate and key");
	pair_free(&p);
}

/* The first of each replaces what there was; the others, which are known to be good, add to it. No handshake begins in
 * between: the program has one thread. */
static bool replace_trust(const struct cli_dtls *o, const struct trust *t, char why[SENTENCE])
{
	const char *ca = cli_dtls_value(o, CLI_CA, 0), *crl = cli_dtls_value(o, CLI_CRL, 0);

	if (dtls_context_replace_trust(o->ctx, ca, crl) == DTLS_OK)
		return trust_load(t, o->ctx, ca, crl, why);
	snprintf(why, SENTENCE, "%s", dtls_context_error(o->ctx));
	return false;
}

static void reload_trust(const struct cli_dtls *o, struct dtls_context *scratch)
{
	char why[SENTENCE];
	struct trust t;

	if (trust_read(o, &t, why) && trust_load(&t, scratch, NULL, NULL, why) && replace_trust(o, &t, why))
		fprintf(stderr, "SIGHUP: the CAs%s were read again\n",
		    cli_dtls_has(o, CLI_CRL) ? " and revocation lists" : "");
	else
		tell_kept(why, "CAs and revocation lists");
	trust_free(&t);
}

void cli_credentials_reload(const struct cli_dtls *o)
{
	const char *psk_file = cli_dtls_value(o, CLI_PSK_FILE, 0);
	bool has_pair = cli_dtls_has(o, CLI_CERT), has_trust = cli_dtls_has(o, CLI_CA);
	struct dtls_context *scratch = dtls_context_new(PROTOCOL_DTLS_SERVER);

	if (psk_file != NULL)
		reload_psk_file(o, psk_file);
	if (has_pair && scratch != NULL)
		reload_pair(o, scratch);
	if (has_trust && scratch != NULL)
		reload_trust(o, scratch);
	if (scratch == NULL)
		tell_kept(dtls_context_error(NULL), "certificates");
	else if (psk_file == NULL && !has_pair && !has_trust)
		fprintf(stderr, "SIGHUP: there is no file to read again: no --psk-file, --cert or --ca\n");
	dtls_context_free(scratch);
}
