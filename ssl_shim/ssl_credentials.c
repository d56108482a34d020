#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 16 << 20 };

struct content { /* of a source; what was read from a file is wiped */
	struct ssl_bytes bytes;
	uint8_t *owned;
	size_t size;
};

static void content_free(struct content *c)
{
	if (c->owned != NULL)
		mbedtls_platform_zeroize(c->owned, c->size);
	free(c->owned);
}

/* Not realloc: it would leave a copy of a key behind. */
static bool grow(struct content *c)
{
	size_t size = c->size == 0 ? 8192 : 2 * c->size;
	uint8_t *larger = size > FILE_MAX ? NULL : malloc(size);

	if (larger == NULL)
		return false;
	if (c->owned != NULL) {
		memcpy(larger, c->owned, c->size);
		mbedtls_platform_zeroize(c->owned, c->size);
		free(c->owned);
	}
	c->owned = larger;
	c->size = size;
	return true;
}

static ssize_t read_all(int fd, struct content *c)
{
	size_t len = 0;
	ssize_t n;

	do {
		if (len == c->size && !grow(c)) {
			errno = c->size >= FILE_MAX ? EFBIG : ENOMEM;
			return -1;
		}
		n = read(fd, c->owned + len, c->size - len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	c->bytes = (struct ssl_bytes){c->owned, len};
	return n;
}

static int content_of(const struct ssl_source *source, struct content *c, struct ssl_error *e)
{
	int fd, error = 0;

	*c = (struct content){.bytes = source->data};
	if (source->path == NULL)
		return 0;
	fd = open(source->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read_all(fd, c) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	if (error == 0)
		return 0;
	ssl_fail_os(e, error, NULL);
	snprintf(e->path, sizeof(e->path), "%s", source->path);
	return SSL_FAILED;
}

static int invalid(const struct dtls_context *ctx, const char *what, struct ssl_error *e)
{
	ssl_fail(e, SSL_KIND_VALUE, "invalid %s", what);
	snprintf(e->note, sizeof(e->note), "%s", dtls_context_error(ctx));
	return SSL_FAILED;
}

static int load_cert(struct ssl_context *ctx, const struct ssl_source *cert, struct ssl_bytes key, struct ssl_error *e)
{
	struct content c;
	int status;

	if (cert->path == NULL && cert->data.at == NULL)
		return ssl_fail(e, SSL_KIND_TYPE, "a key needs its certificate: certfile, or cert, is missing");
	if (content_of(cert, &c, e) != 0) {
		content_free(&c);
		return SSL_FAILED;
	}
	status = dtls_context_load_cert_chain_data(ctx->dtls, c.bytes.at, c.bytes.len, key.at, key.len);
	content_free(&c);
	if (status != DTLS_OK)
		return invalid(ctx->dtls, "cert", e);
	ctx->has_chain = true;
	return 0;
}

static int load_both(
    struct ssl_context *ctx, const struct ssl_source *cert, const struct ssl_source *key, struct ssl_error *e)
{
	struct content k;
	int status = content_of(key, &k, e);

	if (status == 0 && dtls_context_check_key(ctx->dtls, k.bytes.at, k.bytes.len) != DTLS_OK)
		status = invalid(ctx->dtls, "key", e);
	if (status == 0)
		status = load_cert(ctx, cert, k.bytes, e);
	content_free(&k);
	return status;
}

int ssl_context_load_cert_chain(struct ssl_context *ctx, const struct ssl_source *cert, const struct ssl_source *key,
    const char *password, struct ssl_error *e)
{
	int status;

	if (key->path == NULL && key->data.at == NULL)
		return ssl_fail(e, SSL_KIND_TYPE, "a certificate needs its key: keyfile, or key, is missing");
	pthread_mutex_lock(&ctx->lock);
	if (dtls_context_set_key_password(ctx->dtls, password) != DTLS_OK) {
		status = ssl_fail_context(ctx->dtls, e);
	} else {
		status = load_both(ctx, cert, key, e);
		dtls_context_set_key_password(ctx->dtls, NULL);
	}
	pthread_mutex_unlock(&ctx->lock);
	return status;
}

int ssl_context_load_verify_locations(struct ssl_context *ctx, const struct ssl_source *ca, struct ssl_error *e)
{
	struct content c;
	int status = content_of(ca, &c, e);

	pthread_mutex_lock(&ctx->lock);
	if (status == 0 &&
	    dtls_context_load_verify_data(ctx->dtls, c.bytes.at == NULL ? "" : c.bytes.at, c.bytes.len) != DTLS_OK)
		status = invalid(ctx->dtls, "cert", e);
	ctx->has_ca |= status == 0;
	pthread_mutex_unlock(&ctx->lock);
	content_free(&c);
	return status;
}
