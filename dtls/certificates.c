#include "error.h"
#include "file.h"
#include "settings.h"

#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_CAS "/etc/ssl/certs/ca-certificates.crt"

/* ---- what this side shows ---- */

/* The place for a name: that of the chain it replaces, or a new one; -1 when all are taken. */
static int place_for(const struct options *opt, const char *hostname)
{
	for (size_t i = 0; i < opt->own_count; i++)
		if (strcasecmp(opt->own[i]->hostname, hostname) == 0)
			return (int)i;
	return opt->own_count < OWN_MAX ? (int)opt->own_count : -1;
}

static int keep(struct dtls_context *ctx, struct credentials *c)
{
	struct options *opt = &ctx->opt;
	int place;

	context_change(ctx);
	place = place_for(opt, c->hostname);
	if (place >= 0) {
		bool fresh = (size_t)place == opt->own_count;

		credentials_free(fresh ? NULL : opt->own[place]);
		opt->own[place] = c;
		opt->own_count += fresh;
	}
	context_changed(ctx);
	if (place >= 0)
		return DTLS_OK;
	credentials_free(c);
	return context_fail(ctx, DTLS_FAIL, "%d certificate chains are loaded already, the most there may be", OWN_MAX);
}

/* A key alone where there is no certificate. */
static struct credentials *parse(
    struct dtls_context *ctx, struct bytes cert, struct bytes key, char *why, size_t why_len)
{
	char password[KEY_PASSWORD_MAX];
	struct credentials *c;
	bool has_password;

	pthread_mutex_lock(&ctx->lock);
	has_password = ctx->has_key_password;
	memcpy(password, ctx->key_password, sizeof(password));
	pthread_mutex_unlock(&ctx->lock);
	c = credentials_parse(cert, key, has_password ? password : NULL, &ctx->rng, why, why_len);
	mbedtls_platform_zeroize(password, sizeof(password));
	return c;
}

int dtls_context_check_key(struct dtls_context *ctx, const void *key, size_t len)
{
	char why[ERROR_MAX];
	struct credentials *c = parse(ctx, (struct bytes){NULL, 0}, (struct bytes){key, len}, why, sizeof(why));
	bool parsed = c != NULL;

	credentials_free(c);
	return parsed ? DTLS_OK : context_fail(ctx, DTLS_FAIL, "%s", why);
}

static int load_chain(struct dtls_context *ctx, const char *hostname, struct bytes cert, struct bytes key,
    const char *cert_name, const char *key_name)
{
	char why[ERROR_MAX];
	struct credentials *c = parse(ctx, cert, key, why, sizeof(why));

	if (c == NULL && cert_name == NULL)
		return context_fail(ctx, DTLS_FAIL, "%s", why);
	if (c == NULL)
		return context_fail(ctx, DTLS_FAIL, "%s, %s: %s", cert_name, key_name, why);
	snprintf(c->hostname, sizeof(c->hostname), "%s", hostname);
	return keep(ctx, c);
}

static int load_chain_files(struct dtls_context *ctx, const char *hostname, const char *certfile, const char *keyfile)
{
	char why[ERROR_MAX];
	struct file cert = {0}, key = {0};
	int status = DTLS_FAIL;

	if (file_read(keyfile, CREDENTIALS_FILE_MAX, &key, why, sizeof(why)) != 0 ||
	    file_read(certfile, CREDENTIALS_FILE_MAX, &cert, why, sizeof(why)) != 0)
		context_fail(ctx, 0, "%s", why);
	else
		status = load_chain(ctx, hostname, (struct bytes){cert.bytes, cert.len},
		    (struct bytes){key.bytes, key.len}, certfile, keyfile);
	file_free(&cert);
	file_free(&key);
	return status;
}

int dtls_context_load_cert_chain(struct dtls_context *ctx, const char *certfile, const char *keyfile)
{
	return load_chain_files(ctx, "", certfile, keyfile);
}

int dtls_context_load_cert_chain_data(
    struct dtls_context *ctx, const void *cert, size_t cert_len, const void *key, size_t key_len)
{
	return load_chain(
	    ctx, "", (struct bytes){cert == NULL ? "" : cert, cert_len}, (struct bytes){key, key_len}, NULL, NULL);
}

int dtls_context_load_cert_chain_for(
    struct dtls_context *ctx, const char *hostname, const char *certfile, const char *keyfile)
{
	size_t loaded;

	if (!options_is_server(&ctx->opt))
		return context_fail(ctx, DTLS_FAIL, "only a server has certificates for several names");
	if (hostname[0] == '\0' || strlen(hostname) > HOSTNAME_MAX)
		return context_fail(ctx, DTLS_FAIL, "a hostname has 1 to %d bytes", HOSTNAME_MAX);
	pthread_mutex_lock(&ctx->lock);
	loaded = ctx->opt.own_count;
	pthread_mutex_unlock(&ctx->lock);
	if (loaded == 0)
		return context_fail(ctx, DTLS_FAIL,
		    "the certificate for all other names comes first: call "
		    "dtls_context_load_cert_chain() before");
	return load_chain_files(ctx, hostname, certfile, keyfile);
}

int dtls_context_set_key_password(struct dtls_context *ctx, const char *password)
{
	if (password != NULL && strlen(password) >= KEY_PASSWORD_MAX)
		return context_fail(ctx, DTLS_FAIL, "a password has at most %d bytes", KEY_PASSWORD_MAX - 1);
	context_change(ctx);
	mbedtls_platform_zeroize(ctx->key_password, sizeof(ctx->key_password));
	ctx->has_key_password = password != NULL;
	if (password != NULL)
		memcpy(ctx->key_password, password, strlen(password) + 1);
	return context_changed(ctx);
}

static int check_each(struct dtls_context *ctx, const struct options *opt)
{
	char name[ERROR_NAME_MAX];

	for (size_t i = 0; i < opt->own_count; i++) {
		const char *hostname = opt->own[i]->hostname;
		int code = credentials_check(opt->own[i], &ctx->rng);

		if (code != 0)
			return context_fail(ctx, DTLS_FAIL, "the key does not belong to the certificate%s%s (%s)",
			    hostname[0] == '\0' ? "" : " for ", hostname, error_name(code, name));
	}
	return opt->own_count > 0 ? DTLS_OK : context_fail(ctx, DTLS_FAIL, "no certificate is loaded");
}

int dtls_context_check_key_pair(struct dtls_context *ctx)
{
	struct options opt;
	int status;

	pthread_mutex_lock(&ctx->lock);
	opt = ctx->opt;
	options_hold(&opt);
	pthread_mutex_unlock(&ctx->lock);
	status = check_each(ctx, &opt);
	options_release(&opt);
	return status;
}

/* ---- what it trusts ---- */

typedef struct trust *trust_add(const struct trust *, struct bytes data, char *why, size_t why_len);

static int add_trust(struct dtls_context *ctx, trust_add *add, struct bytes data, const char *path)
{
	char why[ERROR_MAX];
	struct trust *t;

	context_change(ctx);
	t = add(ctx->opt.trust, data, why, sizeof(why));
	if (t != NULL) {
		trust_free(ctx->opt.trust);
		ctx->opt.trust = t;
	}
	context_changed(ctx);
	if (t != NULL)
		return DTLS_OK;
	return path == NULL ? context_fail(ctx, DTLS_FAIL, "%s", why)
			    : context_fail(ctx, DTLS_FAIL, "%s: %s", path, why);
}

static int add_trust_file(struct dtls_context *ctx, trust_add *add, const char *path)
{
	char why[ERROR_MAX];
	struct file f;
	int status;

	if (file_read(path, CREDENTIALS_FILE_MAX, &f, why, sizeof(why)) != 0)
		status = context_fail(ctx, DTLS_FAIL, "%s", why);
	else
		status = add_trust(ctx, add, (struct bytes){f.bytes, f.len}, path);
	file_free(&f);
	return status;
}

int dtls_context_load_verify_locations(struct dtls_context *ctx, const char *cafile)
{
	return add_trust_file(ctx, trust_add_cas, cafile);
}

int dtls_context_load_verify_data(struct dtls_context *ctx, const void *cadata, size_t len)
{
	return add_trust(ctx, trust_add_cas, (struct bytes){cadata, len}, NULL);
}

int dtls_context_load_default_certs(struct dtls_context *ctx)
{
	return add_trust_file(ctx, trust_add_cas, DEFAULT_CAS);
}

int dtls_context_load_crl(struct dtls_context *ctx, const char *crlfile)
{
	return add_trust_file(ctx, trust_add_crls, crlfile);
}

int dtls_context_load_crl_data(struct dtls_context *ctx, const void *crl, size_t len)
{
	return add_trust(ctx, trust_add_crls, (struct bytes){crl, len}, NULL);
}

/* A copy of trust with what a file adds; NULL with the reason in the context's error. */
static struct trust *with_file(struct dtls_context *ctx, const struct trust *from, trust_add *add, const char *path)
{
	char why[ERROR_MAX];
	struct trust *t = NULL;
	struct file f;

	if (file_read(path, CREDENTIALS_FILE_MAX, &f, why, sizeof(why)) != 0) {
		context_fail(ctx, 0, "%s", why);
	} else {
		t = add(from, (struct bytes){f.bytes, f.len}, why, sizeof(why));
		if (t == NULL)
			context_fail(ctx, 0, "%s: %s", path, why);
	}
	file_free(&f);
	return t;
}

int dtls_context_replace_trust(struct dtls_context *ctx, const char *cafile, const char *crlfile)
{
	struct trust *t = with_file(ctx, NULL, trust_add_cas, cafile), *with_crls;

	if (t != NULL && crlfile != NULL) {
		with_crls = with_file(ctx, t, trust_add_crls, crlfile);
		trust_free(t);
		t = with_crls;
	}
	if (t == NULL)
		return DTLS_FAIL;
	context_change(ctx);
	trust_free(ctx->opt.trust);
	ctx->opt.trust = t;
	return context_changed(ctx);
}

int dtls_context_set_verify_mode(struct dtls_context *ctx, enum dtls_verify_mode mode)
{
	if (mode != CERT_NONE && mode != CERT_OPTIONAL && mode != CERT_REQUIRED)
		return context_fail(
		    ctx, DTLS_FAIL, "verify mode %d is none of CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED", (int)mode);
	context_change(ctx);
	ctx->opt.verify_mode = mode;
	return context_changed(ctx);
}

enum dtls_verify_mode dtls_context_verify_mode(const struct dtls_context *ctx)
{
	enum dtls_verify_mode mode;
	pthread_mutex_t *lock = &((struct dtls_context *)(uintptr_t)ctx)->lock;

	pthread_mutex_lock(lock);
	mode = ctx->opt.verify_mode;
	pthread_mutex_unlock(lock);
	return mode;
}

int dtls_context_set_verify_callback(struct dtls_context *ctx, dtls_verify *verify, void *arg)
{
	context_change(ctx);
	ctx->opt.verify = verify;
	ctx->opt.verify_arg = arg;
	return context_changed(ctx);
}

int dtls_context_set_verify_overrule(struct dtls_context *ctx, dtls_overrule *overrule, void *arg)
{
	context_change(ctx);
	ctx->opt.overrule = overrule;
	ctx->opt.overrule_arg = arg;
	return context_changed(ctx);
}

/* ---- what is agreed on beside them ---- */

int dtls_context_set_alpn(struct dtls_context *ctx, const char *const names[], size_t count)
{
	char text[ALPN_BYTES] = {0};
	size_t at = 0;

	if (count > ALPN_MAX)
		return context_fail(ctx, DTLS_FAIL, "%zu application protocols are more than %d", count, ALPN_MAX);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(names[i]);

		if (len == 0 || len > 255)
			return context_fail(
			    ctx, DTLS_FAIL, "an application protocol's name of %zu bytes is not within 1..255", len);
		if (at + len + 1 > sizeof(text))
			return context_fail(
			    ctx, DTLS_FAIL, "the names of the application protocols are too long together");
		memcpy(text + at, names[i], len + 1);
		at += len + 1;
	}
	context_change(ctx);
	memcpy(ctx->opt.alpn, text, sizeof(text));
	ctx->opt.alpn_count = count;
	return context_changed(ctx);
}
