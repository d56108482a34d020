#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { DEFAULT_MIN_MS = 1000, DEFAULT_MAX_MS = 60000, DEFAULT_MTU = 1200 };

struct ssl_context *ssl_context_new(int protocol, struct ssl_error *e)
{
	struct ssl_context *ctx;

	if (protocol < PROTOCOL_TLS_CLIENT || protocol > PROTOCOL_DTLS_SERVER) {
		ssl_fail(e, SSL_KIND_VALUE,
		    "protocol %d is none of PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER, PROTOCOL_DTLS_CLIENT, "
		    "PROTOCOL_DTLS_SERVER",
		    protocol);
		return NULL;
	}
	ctx = calloc(1, sizeof(*ctx));
	if (ctx == NULL) {
		ssl_fail_memory(e);
		return NULL;
	}
	atomic_init(&ctx->refs, 1);
	pthread_mutex_init(&ctx->lock, NULL);
	ctx->protocol = protocol;
	ctx->keylog_fd = -1;
	ctx->min_ms = DEFAULT_MIN_MS;
	ctx->max_ms = DEFAULT_MAX_MS;
	ctx->mtu = ssl_protocol_is_stream(protocol) ? 0 : DEFAULT_MTU;
	ctx->dtls = dtls_context_new((enum dtls_protocol)protocol);
	if (ctx->dtls == NULL) {
		ssl_fail_context(NULL, e);
		e->kind = SSL_KIND_MEMORY;
		ssl_context_free(ctx);
		return NULL;
	}
	ctx->verify_mode = dtls_context_verify_mode(ctx->dtls);
	return ctx;
}

struct ssl_context *ssl_context_ref(struct ssl_context *ctx)
{
	atomic_fetch_add(&ctx->refs, 1);
	return ctx;
}

void ssl_context_free(struct ssl_context *ctx)
{
	if (ctx == NULL || atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	dtls_context_free(ctx->dtls);
	dtls_context_free(ctx->bare);
	if (ctx->keylog_fd >= 0)
		close(ctx->keylog_fd);
	pthread_mutex_destroy(&ctx->lock);
	free(ctx);
}

int ssl_context_protocol(const struct ssl_context *ctx)
{
	return ctx->protocol;
}

/* ---- suites and verification ---- */

/* Nothing could come of it yet, and what it will have may be of either kind. */
static bool is_undecided(const struct ssl_context *ctx)
{
	bool asks = ssl_protocol_is_server(ctx->protocol) || ctx->verify_mode != CERT_NONE;

	return asks && !ctx->names_ciphers && !ssl_has_credentials(ctx) && !ctx->has_ca;
}

static size_t certificate_ciphers(const char *names[], size_t max)
{
	struct dtls_context *any = dtls_context_new(PROTOCOL_TLS_CLIENT);
	size_t count = 0;

	if (any != NULL) {
		dtls_context_set_verify_mode(any, CERT_NONE);
		count = dtls_context_get_ciphers(any, names, max);
	}
	dtls_context_free(any);
	return count;
}

size_t ssl_context_get_ciphers(struct ssl_context *ctx, const char *names[], size_t max)
{
	size_t first = 0;

	pthread_mutex_lock(&ctx->lock);
	if (is_undecided(ctx))
		first = certificate_ciphers(names, max);
	pthread_mutex_unlock(&ctx->lock);
	if (first >= max)
		return first;
	return first + dtls_context_get_ciphers(ctx->dtls, names + first, max - first);
}

int ssl_context_set_ciphers(struct ssl_context *ctx, const char *const names[], size_t count, struct ssl_error *e)
{
	int status;

	pthread_mutex_lock(&ctx->lock);
	status = dtls_context_set_ciphers(ctx->dtls, names, count);
	ctx->names_ciphers |= status == DTLS_OK;
	pthread_mutex_unlock(&ctx->lock);
	return status == DTLS_OK ? 0 : ssl_fail_os(e, MBEDTLS_ERR_SSL_BAD_CONFIG, dtls_context_error(ctx->dtls));
}

int ssl_context_set_verify_mode(struct ssl_context *ctx, long mode, struct ssl_error *e)
{
	if (mode < CERT_NONE || mode > CERT_REQUIRED)
		return ssl_fail(e, SSL_KIND_VALUE,
		    "verify mode (verify_mode, cert_reqs) %ld is none of CERT_NONE (0), CERT_OPTIONAL (1), "
		    "CERT_REQUIRED (2)",
		    mode);
	pthread_mutex_lock(&ctx->lock);
	dtls_context_set_verify_mode(ctx->dtls, (enum dtls_verify_mode)mode);
	ctx->verify_mode = (int)mode;
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

int ssl_context_verify_mode(struct ssl_context *ctx)
{
	int mode;

	pthread_mutex_lock(&ctx->lock);
	mode = ctx->verify_mode;
	pthread_mutex_unlock(&ctx->lock);
	return mode;
}

int ssl_context_set_verify_callback(struct ssl_context *ctx, dtls_verify *verify, void *arg, struct ssl_error *e)
{
	(void)e;
	pthread_mutex_lock(&ctx->lock);
	dtls_context_set_verify_callback(ctx->dtls, verify, arg);
	ctx->has_verify_callback = verify != NULL;
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

/* ---- pre-shared keys ---- */

int ssl_context_set_psk(
    struct ssl_context *ctx, const struct ssl_bytes *identity, const struct ssl_bytes *key, struct ssl_error *e)
{
	bool both = identity->at != NULL && key->at != NULL;
	int status;

	pthread_mutex_lock(&ctx->lock);
	if (both)
		status = dtls_context_set_psk(ctx->dtls, identity->at, identity->len, key->at, key->len);
	else
		status = dtls_context_set_psk(ctx->dtls, NULL, 0, NULL, 0);
	if (status == DTLS_OK) {
		ctx->has_identity = identity->at != NULL;
		ctx->has_key = key->at != NULL;
	}
	pthread_mutex_unlock(&ctx->lock);
	return status == DTLS_OK ? 0 : ssl_fail_os(e, MBEDTLS_ERR_SSL_BAD_INPUT_DATA, dtls_context_error(ctx->dtls));
}

int ssl_context_set_psk_lookup(struct ssl_context *ctx, dtls_psk_lookup *lookup, void *arg)
{
	pthread_mutex_lock(&ctx->lock);
	ctx->lookup = lookup;
	ctx->lookup_arg = arg;
	if (ssl_protocol_is_server(ctx->protocol))
		dtls_context_set_psk_lookup(ctx->dtls, lookup, arg);
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

/* ---- the rest ---- */

int ssl_context_set_alpn_protocols(
    struct ssl_context *ctx, const char *const names[], size_t count, struct ssl_error *e)
{
	return dtls_context_set_alpn(ctx->dtls, names, count) == DTLS_OK ? 0 : ssl_fail_context(ctx->dtls, e);
}

/* One write(2) a line, so that the lines of several processes stay whole. */
static void log_line(void *arg, const char *line)
{
	struct ssl_context *ctx = arg;
	char text[512];
	int len = snprintf(text, sizeof(text), "%s\n", line);
	ssize_t written = 0;

	pthread_mutex_lock(&ctx->lock);
	if (ctx->keylog_fd >= 0 && len > 0 && (size_t)len < sizeof(text))
		written = write(ctx->keylog_fd, text, (size_t)len);
	pthread_mutex_unlock(&ctx->lock);
	(void)written; /* a full disk must not end the session */
}

int ssl_context_set_keylog_filename(struct ssl_context *ctx, const char *path, struct ssl_error *e)
{
	int fd = -1;

	if (path != NULL) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0) {
			ssl_fail_os(e, errno, NULL);
			snprintf(e->path, sizeof(e->path), "%s", path);
			return SSL_FAILED;
		}
	}
	pthread_mutex_lock(&ctx->lock);
	if (ctx->keylog_fd >= 0)
		close(ctx->keylog_fd);
	ctx->keylog_fd = fd;
	dtls_context_set_keylog(ctx->dtls, path == NULL ? NULL : log_line, ctx);
	pthread_mutex_unlock(&ctx->lock);
	return 0;
}

int ssl_context_set_handshake_timeout(struct ssl_context *ctx, int min_ms, int max_ms, struct ssl_error *e)
{
	int status;

	pthread_mutex_lock(&ctx->lock);
	status = dtls_context_set_handshake_timeout(ctx->dtls, min_ms, max_ms);
	if (status == DTLS_OK) {
		ctx->min_ms = min_ms;
		ctx->max_ms = max_ms;
	}
	pthread_mutex_unlock(&ctx->lock);
	return status == DTLS_OK ? 0 : ssl_fail_context(ctx->dtls, e);
}

void ssl_context_handshake_timeout(struct ssl_context *ctx, int *min_ms, int *max_ms)
{
	pthread_mutex_lock(&ctx->lock);
	*min_ms = ctx->min_ms;
	*max_ms = ctx->max_ms;
	pthread_mutex_unlock(&ctx->lock);
}

int ssl_context_set_mtu(struct ssl_context *ctx, size_t mtu, struct ssl_error *e)
{
	int status;

	pthread_mutex_lock(&ctx->lock);
	status = dtls_context_set_mtu(ctx->dtls, mtu);
	if (status == DTLS_OK)
		ctx->mtu = mtu;
	pthread_mutex_unlock(&ctx->lock);
	return status == DTLS_OK ? 0 : ssl_fail_context(ctx->dtls, e);
}

size_t ssl_context_mtu(struct ssl_context *ctx)
{
	size_t mtu;

	pthread_mutex_lock(&ctx->lock);
	mtu = ctx->mtu;
	pthread_mutex_unlock(&ctx->lock);
	return mtu;
}
