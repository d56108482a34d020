#include "shim.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>

/* ---- what a socket is ---- */

static int type_of(int fd, struct ssl_error *e)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return ssl_fail_os(e, errno, "sock is no socket, and no object with readinto and write");
	return type;
}

bool ssl_check_fd(const struct ssl_context *ctx, int fd, struct ssl_error *e)
{
	bool stream = ssl_protocol_is_stream(ctx->protocol);
	int type = type_of(fd, e);

	if (type < 0)
		return false;
	if (type == (stream ? SOCK_STREAM : SOCK_DGRAM))
		return true;
	ssl_fail(e, SSL_KIND_VALUE, "sock is not a %s socket, which %s needs", stream ? "stream" : "datagram",
	    stream ? "TLS" : "DTLS");
	return false;
}

/* ---- wrapping ---- */

/* Longer ones are hashed: a name with an IPv6 scope may be. */
static bool set_client_id(struct ssl_socket *s, struct ssl_bytes id, struct ssl_error *e)
{
	if (id.at == NULL)
		return true;
	if (id.len == 0) {
		ssl_fail_os(
		    e, MBEDTLS_ERR_SSL_BAD_INPUT_DATA, "client_id must be bytes that name the peer, at least one");
		return false;
	}
	s->client_id_len = id.len <= CLIENT_ID_MAX ? id.len : 32;
	if (id.len <= CLIENT_ID_MAX)
		memcpy(s->client_id, id.at, id.len);
	else
		mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), id.at, id.len, s->client_id);
	return true;
}

static ssize_t knows_nobody(void *arg, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max)
{
	(void)arg, (void)identity, (void)identity_len, (void)key, (void)key_max;
	return 0;
}

/* mbed TLS refuses every ClientHello of a server that has only certificate suites, and no certificate. */
static struct dtls_context *bare_context(struct ssl_context *ctx)
{
	static const char *const suites[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
	    "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256", "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8"};

	if (ctx->bare == NULL)
		ctx->bare = dtls_context_new((enum dtls_protocol)ctx->protocol);
	if (ctx->bare == NULL)
		return NULL;
	dtls_context_set_psk_lookup(ctx->bare, knows_nobody, NULL);
	dtls_context_set_ciphers(ctx->bare, suites, sizeof(suites) / sizeof(*suites));
	dtls_context_set_handshake_timeout(ctx->bare, ctx->min_ms, ctx->max_ms);
	return ctx->bare;
}

static bool attach_as_judged(
    struct ssl_socket *s, struct ssl_context *ctx, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	bool relaxed = ssl_needs_no_ca(ctx, args), ok;

	if (relaxed)
		dtls_context_set_verify_mode(ctx->dtls, CERT_NONE);
	ok = ssl_attach(s, ctx->dtls, e);
	if (relaxed)
		dtls_context_set_verify_mode(ctx->dtls, (enum dtls_verify_mode)ctx->verify_mode);
	return ok;
}

static bool attach(
    struct ssl_socket *s, struct ssl_context *ctx, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	struct ssl_bytes id = args->psk_identity, key = args->psk_key;
	bool ok;

	s->bare = s->server && !ssl_has_credentials(ctx);
	if (s->bare && bare_context(ctx) == NULL)
		return ssl_fail_memory(e) == 0;
	if (s->bare)
		return ssl_attach(s, ctx->bare, e);
	if (id.at != NULL && dtls_context_set_psk(ctx->dtls, id.at, id.len, key.at, key.len) != DTLS_OK)
		return ssl_fail_os(e, MBEDTLS_ERR_SSL_BAD_INPUT_DATA, dtls_context_error(ctx->dtls)) == 0;
	ok = attach_as_judged(s, ctx, args, e);
	if (id.at != NULL)
		dtls_context_set_psk(ctx->dtls, NULL, 0, NULL, 0);
	return ok;
}

static bool connect_now(struct ssl_socket *s, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	if (args->server_hostname != NULL && dtls_conn_set_hostname(s->conn, args->server_hostname) != DTLS_OK) {
		ssl_fail(e, SSL_KIND_VALUE, "server_hostname: %s", dtls_conn_error(s->conn));
		return false;
	}
	return !args->do_handshake_on_connect || ssl_socket_do_handshake_waiting(s, e) == 0;
}

static struct ssl_socket *wrap(struct ssl_context *ctx, const struct ssl_transport *transport, int fd,
    const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	struct ssl_socket *s = NULL;
	bool ok;

	pthread_mutex_lock(&ctx->lock);
	ok = ssl_judge(ctx, args, e) && (transport != NULL || ssl_check_fd(ctx, fd, e));
	if (ok) {
		s = ssl_socket_new(ctx, transport, fd);
		if (s == NULL)
			ssl_fail_memory(e);
		ok = s != NULL && set_client_id(s, args->client_id, e) && attach(s, ctx, args, e);
	}
	pthread_mutex_unlock(&ctx->lock);
	if (ok && connect_now(s, args, e))
		return s;
	ssl_socket_free(s);
	return NULL;
}

struct ssl_socket *ssl_context_wrap_socket(
    struct ssl_context *ctx, int fd, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	return wrap(ctx, NULL, fd, args, e);
}

struct ssl_socket *ssl_context_wrap_transport(struct ssl_context *ctx, const struct ssl_transport *transport,
    const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	return wrap(ctx, transport, -1, args, e);
}

/* ---- the one call ---- */

static bool given(const struct ssl_source *source)
{
	return source->path != NULL || source->data.at != NULL;
}

static struct ssl_source either(const struct ssl_source *a, struct ssl_bytes b)
{
	return given(a) ? *a : (struct ssl_source){.data = b};
}

static bool one_generation(const struct ssl_wrap_args *a, struct ssl_error *e)
{
	if ((given(&a->keyfile) || given(&a->certfile)) && (a->key.at != NULL || a->cert.at != NULL)) {
		ssl_fail(e, SSL_KIND_TYPE, "keyfile and certfile exclude key and cert: use one pair of them");
		return false;
	}
	if (given(&a->ca_certs) && a->cadata.at != NULL) {
		ssl_fail(e, SSL_KIND_TYPE, "ca_certs excludes cadata: use one of them");
		return false;
	}
	return true;
}

/* A certificate without a key is read all the same: what is wrong with it is told first. */
static bool load_chain(struct ssl_context *ctx, const struct ssl_wrap_args *a, struct ssl_error *e)
{
	struct ssl_source key = either(&a->keyfile, a->key), cert = either(&a->certfile, a->cert);
	struct ssl_context *scratch;
	bool ok;

	if (given(&key))
		return ssl_context_load_cert_chain(ctx, &cert, &key, NULL, e) == 0;
	if (!given(&cert))
		return true;
	scratch = ssl_context_new(PROTOCOL_TLS_CLIENT, e);
	ok = scratch != NULL && ssl_context_load_verify_locations(scratch, &cert, e) == 0;
	ssl_context_free(scratch);
	if (ok)
		ssl_fail(e, SSL_KIND_TYPE, "a certificate needs its key: keyfile, or key, is missing");
	return false;
}

static bool load_psk(struct ssl_context *ctx, const struct ssl_wrap_args *a, struct ssl_error *e)
{
	if ((a->psk_ident.at == NULL) != (a->psk_key.at == NULL)) {
		ssl_fail(e, SSL_KIND_TYPE, "psk_ident and psk_key belong together: %s is missing",
		    a->psk_key.at == NULL ? "psk_key" : "psk_ident");
		return false;
	}
	ctx->either_side = true;
	return ssl_context_set_psk(ctx, &a->psk_ident, &a->psk_key, e) == 0;
}

static struct ssl_context *context_for(int protocol, const struct ssl_wrap_args *a, struct ssl_error *e)
{
	struct ssl_context *ctx = ssl_context_new(protocol, e);
	struct ssl_source ca = either(&a->ca_certs, a->cadata);

	if (ctx != NULL && one_generation(a, e) && load_chain(ctx, a, e) &&
	    (!given(&ca) || ssl_context_load_verify_locations(ctx, &ca, e) == 0) && load_psk(ctx, a, e) &&
	    ssl_context_set_verify_mode(ctx, a->cert_reqs, e) == 0)
		return ctx;
	ssl_context_free(ctx);
	return NULL;
}

static struct ssl_socket *wrap_once(
    const struct ssl_transport *transport, int fd, int protocol, const struct ssl_wrap_args *a, struct ssl_error *e)
{
	struct ssl_context_wrap_args args = {.server_side = a->server_side,
	    .do_handshake_on_connect = a->do_handshake,
	    .server_hostname = a->server_hostname};
	struct ssl_context *ctx = context_for(protocol, a, e);
	struct ssl_socket *s = ctx == NULL ? NULL : wrap(ctx, transport, fd, &args, e);

	ssl_context_free(ctx);
	return s;
}

struct ssl_socket *ssl_wrap_socket(int fd, const struct ssl_wrap_args *a, struct ssl_error *e)
{
	int type = type_of(fd, e);
	int client = type == SOCK_DGRAM ? PROTOCOL_DTLS_CLIENT : PROTOCOL_TLS_CLIENT;
	int server = type == SOCK_DGRAM ? PROTOCOL_DTLS_SERVER : PROTOCOL_TLS_SERVER;

	return type < 0 ? NULL : wrap_once(NULL, fd, a->server_side ? server : client, a, e);
}

struct ssl_socket *ssl_wrap_transport(
    const struct ssl_transport *transport, const struct ssl_wrap_args *a, struct ssl_error *e)
{
	return wrap_once(transport, -1, a->server_side ? PROTOCOL_TLS_SERVER : PROTOCOL_TLS_CLIENT, a, e);
}
