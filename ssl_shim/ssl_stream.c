#include "shim.h"

#include <errno.h>
#include <mbedtls/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINE_CHUNK = 4096, TURN_SLICE_MS = 100 };

static bool is_want(ssize_t status)
{
	return status == DTLS_WANT_READ || status == DTLS_WANT_WRITE;
}

/* ---- the handshake ---- */

static ssize_t step_handshake(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	int status = dtls_conn_handshake(s->conn);

	(void)job;
	return status == DTLS_OK || is_want(status) ? status : ssl_fail_conn(s, status, e);
}

int ssl_socket_do_handshake(struct ssl_socket *s, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_handshake};

	return (int)ssl_run(s, &job, e);
}

int ssl_socket_do_handshake_waiting(struct ssl_socket *s, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_handshake, .waits = true};

	return (int)ssl_run(s, &job, e);
}

/* ---- reading ---- */

static size_t take_ahead(struct ssl_socket *s, void *buf, size_t len)
{
	size_t n = s->ahead_len - s->ahead_at;

	if (n > len)
		n = len;
	if (n > 0)
		memcpy(buf, s->ahead + s->ahead_at, n);
	s->ahead_at += n;
	return n;
}

static bool room_ahead(struct ssl_socket *s, size_t len)
{
	uint8_t *larger;

	if (s->ahead_at > 0) {
		memmove(s->ahead, s->ahead + s->ahead_at, s->ahead_len - s->ahead_at);
		s->ahead_len -= s->ahead_at;
		s->ahead_at = 0;
	}
	if (s->ahead_size - s->ahead_len >= len)
		return true;
	larger = realloc(s->ahead, s->ahead_len + len);
	if (larger == NULL)
		return false;
	s->ahead = larger;
	s->ahead_size = s->ahead_len + len;
	return true;
}

/* Reads from the library behind what is ahead. */
static ssize_t fetch(struct ssl_socket *s, size_t len, struct ssl_error *e)
{
	ssize_t n;

	if (!room_ahead(s, len))
		return ssl_fail_memory(e);
	n = dtls_conn_read(s->conn, s->ahead + s->ahead_len, len);
	if (n > 0)
		s->ahead_len += (size_t)n;
	if (n == DTLS_CLOSED)
		return 0;
	return n > 0 || is_want(n) ? n : ssl_fail_conn(s, (int)n, e);
}

/* One read: 0 at the end. What does not fit is kept ahead. */
static ssize_t step_recv(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	ssize_t n = (ssize_t)take_ahead(s, job->buf, job->len);

	if (n > 0)
		return n;
	n = dtls_conn_read(s->conn, job->buf, job->len);
	if (n == DTLS_CLOSED)
		return 0;
	if (n == DTLS_TOO_BIG) {
		n = fetch(s, dtls_conn_pending(s->conn), e);
		return n > 0 ? (ssize_t)take_ahead(s, job->buf, job->len) : n;
	}
	return n > 0 || is_want(n) ? n : ssl_fail_conn(s, (int)n, e);
}

ssize_t ssl_socket_recv(struct ssl_socket *s, void *buf, size_t len, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_recv, .buf = buf, .len = len, .reads = true};

	if (len == 0 && !ssl_socket_is_closed(s))
		return 0;
	return ssl_run(s, &job, e);
}

ssize_t ssl_socket_read(struct ssl_socket *s, void *buf, size_t len, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_recv, .reads = true};
	size_t done = 0;
	ssize_t n;

	if (!s->stream || len == 0)
		return ssl_socket_recv(s, buf, len, e);
	do {
		job.buf = (uint8_t *)buf + done;
		job.len = len - done;
		n = ssl_run(s, &job, e);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && done < len);
	/* A signal's handler must be heard at once; all else the next call tells again. */
	return done > 0 && !(n == SSL_FAILED && e->kind == SSL_KIND_CALLBACK) ? (ssize_t)done : n;
}

/* Until there is a whole line ahead, or len bytes. */
static ssize_t step_line(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	size_t have = s->ahead_len - s->ahead_at, len;
	const uint8_t *at, *end;
	ssize_t n = 1;

	for (;;) {
		at = s->ahead + s->ahead_at;
		len = have < job->len ? have : job->len;
		end = len == 0 ? NULL : memchr(at, '\n', len);
		if (end != NULL || len == job->len)
			return (ssize_t)take_ahead(s, job->buf, end != NULL ? (size_t)(end - at) + 1 : len);
		n = fetch(s, s->stream ? LINE_CHUNK : DATAGRAM_MAX, e);
		if (n <= 0)
			break;
		have = s->ahead_len - s->ahead_at;
	}
	/* Where nobody waits, and at the end, a line is what there is of it. */
	if (len > 0 && (!is_want(n) || !ssl_waits(s)))
		return (ssize_t)take_ahead(s, job->buf, len);
	return n;
}

ssize_t ssl_socket_readline(struct ssl_socket *s, void *buf, size_t len, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_line, .buf = buf, .len = len, .reads = true};

	if (len == 0 && !ssl_socket_is_closed(s))
		return 0;
	return ssl_run(s, &job, e);
}

/* ---- writing ---- */

static ssize_t step_send(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	ssize_t n = dtls_conn_write(s->conn, job->bytes, job->len);

	return n > 0 || is_want(n) ? n : ssl_fail_conn(s, (int)n, e);
}

static ssize_t write_some(struct ssl_socket *s, const void *buf, size_t len, bool all, struct ssl_error *e)
{
	struct ssl_job job = {.step = step_send, .writes = true};
	size_t done = 0;
	ssize_t n;

	do {
		job.bytes = (const uint8_t *)buf + done;
		job.len = len - done;
		n = ssl_run(s, &job, e);
		if (n > 0)
			done += (size_t)n;
	} while (n > 0 && all && done < len);
	if (n == SSL_FAILED && (e->kind != SSL_KIND_TIMEOUT || done == 0))
		return n;
	return done > 0 ? (ssize_t)done : n;
}

static int wait_for_turn(struct ssl_socket *s, struct ssl_error *e)
{
	int64_t until = ssl_now_ms() + TURN_SLICE_MS;
	struct timespec t = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};

	if (pthread_equal(s->writer, pthread_self()))
		return ssl_fail_os(e, EDEADLK, "a write waits, and a signal's handler must not write within it");
	if (!ssl_waits(s))
		return SSL_WOULD_BLOCK;
	pthread_cond_timedwait(&s->changed, &s->lock, &t);
	return 0;
}

static int take_turn(struct ssl_socket *s, struct ssl_error *e)
{
	int64_t stop_at = 0, ask_at = 0;
	bool mine;
	int status = 0;

	while (status == 0) {
		if (!ssl_lock(s, e))
			return SSL_FAILED;
		if (stop_at == 0)
			stop_at = ssl_stop_at(s->timeout_ms);
		mine = !s->writing;
		if (mine) {
			s->writing = true;
			s->writer = pthread_self();
		} else {
			status = wait_for_turn(s, e);
		}
		ssl_unlock(s);
		if (mine)
			return 0;
		if (status == 0)
			status = ssl_after_wait(EINTR, stop_at, &ask_at, s->interrupted, s->interrupted_arg, e);
	}
	return status;
}

static void give_turn(struct ssl_socket *s)
{
	pthread_mutex_lock(&s->lock);
	s->writing = false;
	pthread_cond_broadcast(&s->changed);
	ssl_unlock(s);
}

static ssize_t write_in_order(struct ssl_socket *s, const void *buf, size_t len, bool all, struct ssl_error *e)
{
	ssize_t n;

	if (len == 0 && ssl_socket_is_closed(s))
		return ssl_fail_os(e, EBADF, "the socket was closed on this side");
	if (len == 0 && !s->stream)
		return ssl_fail(e, SSL_KIND_VALUE, "an empty datagram cannot be sent");
	if (len == 0)
		return 0;
	n = take_turn(s, e);
	if (n != 0)
		return n;
	n = write_some(s, buf, len, all, e);
	give_turn(s);
	return n;
}

ssize_t ssl_socket_send(struct ssl_socket *s, const void *buf, size_t len, struct ssl_error *e)
{
	return write_in_order(s, buf, len, false, e);
}

ssize_t ssl_socket_write(struct ssl_socket *s, const void *buf, size_t len, struct ssl_error *e)
{
	return write_in_order(s, buf, len, s->stream, e);
}

ssize_t ssl_socket_sendall(struct ssl_socket *s, const void *buf, size_t len, struct ssl_error *e)
{
	bool waits = ssl_socket_timeout(s) != 0 && s->over_fd;
	ssize_t n = ssl_socket_write(s, buf, len, e);

	if (!waits || n < 0)
		return n;
	if ((size_t)n == len)
		return 0;
	ssl_fail(e, SSL_KIND_TIMEOUT, "timed out");
	snprintf(e->note, sizeof(e->note), "%zd of %zu bytes were taken: go on with the rest", n, len);
	return SSL_FAILED;
}
