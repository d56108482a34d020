#include "shim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A peer that reads nothing is not waited for any longer when the socket is closed. */
enum { LINGER_MS = 1000 };

void ssl_socket_begin_anew(void *socket)
{
	struct ssl_socket *s = socket;
	pthread_condattr_t clock;

	ssl_init_lock(&s->lock);
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &clock);
	pthread_condattr_destroy(&clock);
	s->waiters = 0;
	s->writing = false;
}

struct ssl_socket *ssl_socket_new(struct ssl_context *ctx, const struct ssl_transport *transport, int fd)
{
	struct ssl_socket *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	ssl_socket_begin_anew(s);
	atomic_init(&s->process, ssl_forks());
	s->ctx = ssl_context_ref(ctx);
	s->fd = fd;
	s->over_fd = transport == NULL;
	s->stream = ssl_protocol_is_stream(ctx->protocol);
	s->server = ssl_protocol_is_server(ctx->protocol);
	s->timeout_ms = SSL_TIMEOUT_OF_FD;
	if (transport != NULL)
		s->transport = *transport;
	return s;
}

void ssl_socket_free(struct ssl_socket *s)
{
	if (s == NULL)
		return;
	dtls_conn_free(s->conn);
	ssl_context_free(s->ctx);
	free(s->hello);
	free(s->ahead);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void ssl_socket_set_interrupted(struct ssl_socket *s, bool (*interrupted)(void *arg), void *arg)
{
	s->interrupted = interrupted;
	s->interrupted_arg = arg;
}

void ssl_socket_set_timeout(struct ssl_socket *s, int64_t ms)
{
	bool locked = ssl_look(s);

	s->timeout_ms = ms;
	if (locked)
		ssl_unlock(s);
}

int64_t ssl_socket_timeout(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	int64_t ms = s->timeout_ms;

	if (ms == SSL_TIMEOUT_OF_FD)
		ms = !s->over_fd || ssl_waits(s) ? -1 : 0;
	if (locked)
		ssl_unlock(s);
	return ms;
}

/* ---- the end ---- */

static void send_close_notify(struct ssl_socket *s)
{
	int64_t stop_at = ssl_now_ms() + LINGER_MS;
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};

	while (dtls_conn_close(s->conn) == DTLS_WANT_WRITE && ssl_waits(s) && ssl_now_ms() < stop_at)
		if (poll(&p, 1, (int)(stop_at - ssl_now_ms())) < 0 && errno != EINTR)
			return;
}

/* The descriptor may be closed, and its number used again, once nobody waits for it any more. */
static void wake_waiters(struct ssl_socket *s)
{
	if (s->waiters > 0 && s->over_fd)
		shutdown(s->fd, SHUT_RDWR);
	while (s->waiters > 0)
		pthread_cond_wait(&s->changed, &s->lock);
}

static void forget(struct ssl_socket *s)
{
	struct dtls_conn *conn = s->conn;

	s->conn = NULL;
	wake_waiters(s);
	dtls_conn_free(conn);
	if (s->timeout_ms == SSL_TIMEOUT_OF_FD)
		s->timeout_ms = ssl_waits(s) ? -1 : 0;
	s->fd = -1;
}

static int finish(struct ssl_socket *s, bool closes_fd, struct ssl_error *e)
{
	int fd;

	if (!ssl_lock(s, e))
		return SSL_FAILED;
	fd = s->fd;
	if (s->conn != NULL) {
		send_close_notify(s);
		forget(s);
		if (closes_fd && fd >= 0)
			close(fd);
	}
	ssl_unlock(s);
	return 0;
}

int ssl_socket_close(struct ssl_socket *s, struct ssl_error *e)
{
	return finish(s, true, e);
}

int ssl_socket_end(struct ssl_socket *s, struct ssl_error *e)
{
	return finish(s, false, e);
}

/* What the peer sent before it learnt of it is dropped, as after any close_notify (RFC 5246, 7.2.1). */
static ssize_t step_unwrap(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	uint8_t dropped[4096];
	ssize_t n;

	(void)job;
	if (!s->stream || dtls_conn_version(s->conn) == NULL)
		return dtls_conn_close(s->conn);
	n = dtls_conn_shutdown(s->conn);
	if (n == DTLS_OK)
		do
			n = dtls_conn_read(s->conn, dropped, sizeof(dropped));
		while (n > 0);
	if (n == DTLS_CLOSED)
		return 0;
	return n == DTLS_WANT_READ || n == DTLS_WANT_WRITE ? n : ssl_fail_conn(s, (int)n, e);
}

int ssl_socket_unwrap(struct ssl_socket *s, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_unwrap, .ends = true};
	ssize_t status = ssl_run(s, &job, e);

	if (status != 0)
		return (int)status;
	if (!ssl_lock(s, e))
		return SSL_FAILED;
	if (s->conn != NULL)
		forget(s);
	ssl_unlock(s);
	return 0;
}

/* ---- what it is ---- */

bool ssl_socket_is_closed(struct ssl_socket *s)
{
	bool locked = ssl_look(s), closed = s->conn == NULL;

	if (locked)
		ssl_unlock(s);
	return closed;
}

int ssl_socket_fileno(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	int fd = s->fd;

	if (locked)
		ssl_unlock(s);
	return fd;
}

socklen_t ssl_socket_peer_address(struct ssl_socket *s, struct sockaddr_storage *address)
{
	bool locked = ssl_look(s);
	socklen_t len = s->peer_len;
	const struct sockaddr *peer = (struct sockaddr *)&s->peer;

	if (len == 0 && s->conn != NULL && !s->stream)
		peer = dtls_conn_peer_addr(s->conn, &len);
	if (len > 0)
		memcpy(address, peer, len);
	if (locked)
		ssl_unlock(s);
	return len;
}

static size_t pending(struct ssl_socket *s)
{
	return s->conn == NULL ? 0 : s->ahead_len - s->ahead_at + dtls_conn_pending(s->conn);
}

size_t ssl_socket_pending(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	size_t n = pending(s);

	if (locked)
		ssl_unlock(s);
	return n;
}

const char *ssl_socket_cipher(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	const char *name = s->conn == NULL ? NULL : dtls_conn_cipher(s->conn);

	if (locked)
		ssl_unlock(s);
	return name;
}

const char *ssl_socket_version(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	const char *name = s->conn == NULL ? NULL : dtls_conn_version(s->conn);

	if (locked)
		ssl_unlock(s);
	return name;
}

char *ssl_socket_selected_alpn_protocol(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	const char *name = s->conn == NULL ? NULL : dtls_conn_alpn(s->conn);
	char *copy = name == NULL ? NULL : strdup(name);

	if (locked)
		ssl_unlock(s);
	return copy;
}

uint8_t *ssl_copy_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = bytes == NULL ? NULL : malloc(len + 1);

	return copy == NULL ? NULL : memcpy(copy, bytes, len);
}

uint8_t *ssl_socket_getpeercert(struct ssl_socket *s, size_t *len)
{
	bool locked = ssl_look(s);
	const uint8_t *bytes = s->conn == NULL ? NULL : dtls_conn_peer_cert(s->conn, len);
	uint8_t *copy = ssl_copy_bytes(bytes, bytes == NULL ? 0 : *len);

	if (locked)
		ssl_unlock(s);
	return copy;
}

uint8_t *ssl_socket_psk_identity(struct ssl_socket *s, size_t *len)
{
	bool locked = ssl_look(s);
	const uint8_t *bytes = s->conn == NULL ? NULL : dtls_conn_psk_identity(s->conn, len);
	uint8_t *copy = ssl_copy_bytes(bytes, bytes == NULL ? 0 : *len);

	if (locked)
		ssl_unlock(s);
	return copy;
}

int ssl_socket_next_timeout(struct ssl_socket *s)
{
	bool locked = ssl_look(s);
	int ms = s->conn == NULL || s->stream ? -1 : dtls_conn_timeout(s->conn);

	if (locked)
		ssl_unlock(s);
	return ms;
}

int ssl_socket_handle_timeout(struct ssl_socket *s, struct ssl_error *e)
{
	int status = 0;

	if (!ssl_lock(s, e))
		return SSL_FAILED;
	if (s->conn != NULL && !s->stream && !s->awaits_hello && dtls_conn_timeout(s->conn) == 0)
		status = dtls_conn_handle_timeout(s->conn);
	if (status != DTLS_OK)
		status = ssl_fail_conn(s, status, e);
	ssl_unlock(s);
	return status;
}

/* The bits that are known without asking; *ask: what remains to be asked. */
static int poll_inside(struct ssl_socket *s, int mask, int *ask)
{
	int wanted = mask & (POLL_READ | POLL_WRITE);

	*ask = 0;
	if (s->conn == NULL || s->failed)
		return POLL_INVALID;
	if ((mask & POLL_READ) != 0 && (pending(s) > 0 || dtls_conn_has_input(s->conn))) {
		*ask = mask & ~POLL_READ;
		return POLL_READ;
	}
	*ask = s->needs != 0 && wanted != 0 ? (mask & ~wanted) | s->needs : mask;
	return 0;
}

int ssl_socket_poll(struct ssl_socket *s, int mask, struct ssl_error *e)
{
	int wanted = mask & (POLL_READ | POLL_WRITE), ask, bits, answer = 0, needs;
	struct ssl_transport *t = &s->transport;

	if (!ssl_lock(s, e))
		return SSL_FAILED;
	bits = poll_inside(s, mask, &ask);
	needs = bits == 0 && wanted != 0 ? s->needs : 0;
	if (bits != POLL_INVALID && (bits == 0 || ask != 0) && s->over_fd)
		answer = t->poll(t->arg, ask);
	ssl_unlock(s);
	if (bits == POLL_INVALID || (bits != 0 && ask == 0))
		return bits;
	if (!s->over_fd)
		answer = t->poll == NULL ? ask : t->poll(t->arg, ask);
	if (answer < 0)
		return ssl_fail(e, SSL_KIND_CALLBACK, "the transport cannot tell");
	if (needs != 0 && (answer & needs) != 0)
		return (answer & ~(POLL_READ | POLL_WRITE)) | wanted;
	return bits | answer;
}
