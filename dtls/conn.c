#include "conn.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not final: the call was wrong, the session goes on. */
static int refuse(struct dtls_conn *c, const char *sentence)
{
	if (c->status == DTLS_OK)
		snprintf(c->error, sizeof(c->error), "%s", sentence);
	return DTLS_FAIL;
}

static bool needs_client_id(const struct dtls_conn *c)
{
	return conn_is_server(c) && !conn_is_stream(c);
}

/* What holds before any call: DTLS_OK to go on. */
static int ready(struct dtls_conn *c)
{
	if (c->generation != fork_generation())
		return conn_fail(c, 0, "this connection was made before fork(): the session belongs to the parent");
	if (c->closed)
		return refuse(c, "the connection was closed on this side");
	if (c->status != DTLS_OK)
		return c->status;
	if (c->over_socket && !c->socket.connected && address_len(&c->peer) == 0) {
		struct address peer;

		if (socket_is_connected(&c->socket, &peer))
			c->peer = peer;
		else if (!conn_is_server(c) && !conn_is_stream(c))
			return refuse(c, "the socket is not connected: connect() it to the server first");
	}
	if (!c->over_socket && needs_client_id(c) && c->client_id_len == 0)
		return refuse(c, "a server over a transport needs dtls_conn_set_client_id() first");
	return DTLS_OK;
}

/* ---- public ---- */

static struct dtls_conn *conn_new(struct dtls_context *ctx)
{
	struct settings *s = context_judge(ctx) ? context_snapshot(ctx) : NULL;
	struct dtls_conn *c;

	if (s == NULL)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		settings_free(s);
		context_fail(ctx, 0, "out of memory");
		return NULL;
	}
	c->ctx = dtls_context_ref(ctx);
	c->settings = s;
	c->timeout_ms = -1;
	c->generation = fork_generation();
	return c;
}

static struct dtls_conn *started(struct dtls_conn *c)
{
	if (needs_client_id(c) || conn_start(c))
		return c;
	dtls_conn_free(c);
	return NULL;
}

struct dtls_conn *dtls_wrap_socket(struct dtls_context *ctx, int fd)
{
	bool stream = options_is_stream(&ctx->opt);
	struct sock s;
	const char *why = stream ? socket_prepare_stream(&s, fd) : socket_prepare(&s, fd);
	struct dtls_conn *c;

	if (why != NULL) {
		context_fail(ctx, 0, "descriptor %d cannot carry %s: %s", fd, stream ? "TLS" : "DTLS", why);
		return NULL;
	}
	c = conn_new(ctx);
	if (c == NULL)
		return NULL;
	c->over_socket = true;
	c->socket = s;
	socket_is_connected(&c->socket, &c->peer);
	return started(c);
}

struct dtls_conn *dtls_wrap_transport(struct dtls_context *ctx, const struct dtls_transport *transport)
{
	struct dtls_conn *c = conn_new(ctx);

	if (c == NULL)
		return NULL;
	c->transport = *transport;
	return started(c);
}

int dtls_conn_set_hostname(struct dtls_conn *c, const char *server_hostname)
{
	int code;

	if (conn_is_server(c))
		return refuse(c, "a server has no server_hostname");
	if (c->a->began)
		return refuse(c, "the hostname must be set before the handshake begins");
	if (c->a->resumption != NULL)
		return refuse(c, "the hostname must be set before a session is loaded");
	if (server_hostname != NULL && (server_hostname[0] == '\0' || strlen(server_hostname) > HOSTNAME_MAX))
		return refuse(c, "a hostname has 1 to 255 bytes");
	code = association_set_hostname(c->a, server_hostname);
	return code == 0 ? DTLS_OK : refuse(c, "out of memory");
}

int dtls_conn_set_client_id(struct dtls_conn *c, const void *id, size_t len)
{
	if (!needs_client_id(c))
		return refuse(c, "only a DTLS server's connection has a client id");
	if (c->a != NULL)
		return refuse(c, "the client id must be set before the handshake begins");
	if (len == 0 || len > CLIENT_ID_MAX)
		return refuse(c, "a client id has 1 to 64 bytes");
	memcpy(c->client_id, id, len);
	c->client_id_len = len;
	return DTLS_OK;
}

int dtls_conn_set_mtu(struct dtls_conn *c, size_t mtu)
{
	if (conn_is_stream(c))
		return refuse(c, "a stream has no MTU");
	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return refuse(c, "an MTU is 256 to 16384 bytes");
	c->mtu = mtu;
	if (c->a != NULL)
		mbedtls_ssl_set_mtu(&c->a->ssl, (uint16_t)mtu);
	return DTLS_OK;
}

int dtls_conn_set_timeout(struct dtls_conn *c, int64_t ms)
{
	if (ms < -1)
		return refuse(c, "a timeout is -1, for none, or a number of milliseconds");
	c->timeout_ms = ms;
	return DTLS_OK;
}

void dtls_conn_set_nonblocking(struct dtls_conn *c)
{
	c->never_blocks = true;
}

static int handshake(struct dtls_conn *c, int64_t stop_at)
{
	int status = ready(c);

	if (status != DTLS_OK)
		return status;
	if (c->a != NULL && c->a->state == ASSOCIATION_OPEN)
		return DTLS_OK;
	return (int)conn_run(c, conn_step_handshake, NULL, 0, stop_at);
}

int dtls_conn_handshake(struct dtls_conn *c)
{
	return handshake(c, conn_stop_at(c));
}

ssize_t dtls_conn_read(struct dtls_conn *c, void *buf, size_t len)
{
	int status = ready(c);

	if (status == DTLS_OK && conn_is_stream(c) && len == 0)
		return refuse(c, "a stream cannot be read into a buffer of 0 bytes");
	return status != DTLS_OK ? status : conn_run(c, conn_step_read, buf, len, conn_stop_at(c));
}

/* A stream takes one record, or one after the other where it may block. */
static ssize_t write_all(struct dtls_conn *c, const uint8_t *bytes, size_t len, int64_t stop_at)
{
	bool blocks = conn_blocks(c);
	ssize_t status = DTLS_OK;
	size_t done = 0;

	while (done < len) {
		status = association_write(c->a, bytes + done, len - done);
		if (status > 0)
			done += (size_t)status;
		else if (status == DTLS_WANT_WRITE && blocks)
			status = conn_wait(c, status, stop_at);
		if (status < 0)
			break;
		if (done > 0 && !(conn_is_stream(c) && blocks))
			break;
	}
	if (status == DTLS_FAIL && done == 0 && c->a->deaf_errno != 0)
		return refuse(c, "the peer takes nothing any more; what it has sent can still be read");
	return done > 0 ? (ssize_t)done : status;
}

ssize_t dtls_conn_write(struct dtls_conn *c, const void *buf, size_t len)
{
	int64_t stop_at = conn_stop_at(c);
	ssize_t status = handshake(c, stop_at);

	if (status != DTLS_OK)
		return status;
	if (len == 0)
		return refuse(c, "an empty message cannot be sent");
	if (c->a->closing)
		return refuse(c, "close_notify was sent: nothing can be written behind it");
	if (c->a->unsent && c->a->unsent_len > len)
		return refuse(c, "after DTLS_WANT_WRITE the same bytes must be written again: some may have left");
	return write_all(c, buf, len, stop_at);
}

int dtls_conn_close(struct dtls_conn *c)
{
	int64_t stop_at = conn_stop_at(c);
	int status = DTLS_OK;

	if (!c->closed && c->a != NULL && c->generation == fork_generation())
		status = association_close(c->a);
	while (status == DTLS_WANT_WRITE && conn_blocks(c)) {
		status = conn_wait(c, DTLS_WANT_WRITE, stop_at);
		if (status != DTLS_OK)
			return status;
		status = association_close(c->a);
	}
	c->closed = status != DTLS_WANT_WRITE;
	return status;
}

int dtls_conn_shutdown(struct dtls_conn *c)
{
	int status = ready(c);

	if (status == DTLS_OK && !conn_is_stream(c))
		return refuse(c, "datagrams have no end to wait for: use dtls_conn_close()");
	return status == DTLS_OK ? association_close(c->a) : status;
}

void dtls_conn_free(struct dtls_conn *c)
{
	if (c == NULL)
		return;
	association_free(c->a);
	settings_free(c->settings);
	dtls_context_free(c->ctx);
	free(c);
}

int dtls_conn_timeout(const struct dtls_conn *c)
{
	bool over = c->a == NULL || c->closed || c->status != DTLS_OK;

	return over ? -1 : timer_poll_ms(association_due_at(c->a), conn_now(c));
}

int dtls_conn_handle_timeout(struct dtls_conn *c)
{
	int status = ready(c);

	if (status == DTLS_OK && (c->a == NULL || c->a->state != ASSOCIATION_OPEN))
		status = (int)conn_drain(c, conn_step_handshake, NULL, 0);
	return status == DTLS_WANT_READ || status == DTLS_WANT_WRITE ? DTLS_OK : status;
}

size_t dtls_conn_max_payload(const struct dtls_conn *c)
{
	return c->a == NULL ? 0 : association_max_payload(c->a);
}

size_t dtls_conn_pending(const struct dtls_conn *c)
{
	return c->a == NULL ? 0 : association_pending(c->a);
}

static bool is_open(const struct dtls_conn *c)
{
	return c->a != NULL && c->a->state == ASSOCIATION_OPEN;
}

int dtls_conn_has_input(const struct dtls_conn *c)
{
	return is_open(c) && association_has_input(c->a);
}

/* The association's cause is the more specific one; a refused call is mentioned only while nothing is final. */
static bool association_tells(const struct dtls_conn *c)
{
	return c->a != NULL && c->a->state == ASSOCIATION_ENDED;
}

const char *dtls_conn_error(const struct dtls_conn *c)
{
	return association_tells(c) ? c->a->error : c->error;
}

int dtls_conn_error_code(const struct dtls_conn *c)
{
	return association_tells(c) ? c->a->code : c->code;
}

const char *dtls_conn_cipher(const struct dtls_conn *c)
{
	return is_open(c) ? mbedtls_ssl_get_ciphersuite(&c->a->ssl) : NULL;
}

const char *dtls_conn_version(const struct dtls_conn *c)
{
	return is_open(c) ? mbedtls_ssl_get_version(&c->a->ssl) : NULL;
}

const char *dtls_conn_alpn(const struct dtls_conn *c)
{
	return is_open(c) ? mbedtls_ssl_get_alpn_protocol(&c->a->ssl) : NULL;
}

const struct sockaddr *dtls_conn_peer_addr(const struct dtls_conn *c, socklen_t *len)
{
	*len = address_len(&c->peer);
	return *len == 0 ? NULL : &c->peer.any;
}

const uint8_t *dtls_conn_peer_cert(const struct dtls_conn *c, size_t *len)
{
	*len = 0;
	return c->a == NULL ? NULL : association_peer_cert(c->a, len);
}

int64_t dtls_conn_verify_result(const struct dtls_conn *c)
{
	return c->a == NULL ? -1 : association_verify_result(c->a);
}

const char *dtls_conn_peer_name(const struct dtls_conn *c)
{
	return c->a == NULL ? NULL : c->a->peer_name;
}

const uint8_t *dtls_conn_psk_identity(const struct dtls_conn *c, size_t *len)
{
	*len = c->a == NULL ? 0 : c->a->identity_len;
	return c->a == NULL ? NULL : c->a->identity;
}
