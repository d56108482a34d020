#include "shim.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A system that takes nothing is not waited for any longer when the server is closed. */
enum { LINGER_MS = 1000 };

/* ---- what it is made of ---- */

static bool refuse(struct ssl_error *e, const char *sentence)
{
	ssl_fail(e, SSL_KIND_VALUE, "%s", sentence);
	return false;
}

static bool judge_fd(const struct ssl_context *ctx, int fd, struct ssl_error *e)
{
	struct sockaddr_in6 local = {0}; /* an IPv4 port is at the same place */
	socklen_t len = sizeof(local);

	if (fd < 0)
		return refuse(e, "a server needs a UDP socket: sock has no descriptor");
	if (!ssl_check_fd(ctx, fd, e))
		return false;
	if (getsockname(fd, (struct sockaddr *)&local, &len) == 0 &&
	    (local.sin6_family == AF_INET || local.sin6_family == AF_INET6) && local.sin6_port == 0)
		return refuse(e, "sock is not bound: bind() it to the address that clients write to");
	return true;
}

static bool judge(struct ssl_context *ctx, int fd, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	if (ctx->protocol != PROTOCOL_DTLS_SERVER)
		return refuse(e, "a server for many clients needs a context of PROTOCOL_DTLS_SERVER");
	if (!ssl_judge(ctx, args, e) || !judge_fd(ctx, fd, e))
		return false;
	if (!ssl_has_credentials(ctx))
		return refuse(e, "the context has neither a certificate nor pre-shared keys: load_cert_chain(), or "
				 "server_psk_keys, is missing");
	return true;
}

static bool take_limit(const char *name, int64_t value, int64_t least, int64_t *limit, struct ssl_error *e)
{
	if (value == SSL_LIMIT_DEFAULT) {
		value = 0;
	} else if (value < least || value > UINT32_MAX) {
		ssl_fail(
		    e, SSL_KIND_VALUE, "%s must be within %lld..%lld", name, (long long)least, (long long)UINT32_MAX);
		return false;
	}
	*limit = value;
	return true;
}

static bool take_limits(const struct ssl_server_limits *given, struct dtls_limits *limits, struct ssl_error *e)
{
	int64_t max_peers = 0, max_handshakes = 0;

	if (!take_limit("max_peers", given->max_peers, 1, &max_peers, e) ||
	    !take_limit("max_handshakes", given->max_handshakes, 1, &max_handshakes, e) ||
	    !take_limit("handshake_ms", given->handshake_ms, 1, &limits->handshake_ms, e) ||
	    !take_limit("idle_ms", given->idle_ms, 0, &limits->idle_ms, e))
		return false;
	limits->max_peers = (unsigned)max_peers;
	limits->max_handshakes = (unsigned)max_handshakes;
	return true;
}

static struct dtls_endpoint *new_endpoint(
    struct ssl_context *ctx, int fd, const struct dtls_limits *limits, struct ssl_error *e)
{
	struct ssl_context_wrap_args args = {.server_side = true};
	struct dtls_endpoint *endpoint = NULL;
	bool relaxed;

	pthread_mutex_lock(&ctx->lock);
	if (judge(ctx, fd, &args, e)) {
		relaxed = ssl_needs_no_ca(ctx, &args);
		if (relaxed)
			dtls_context_set_verify_mode(ctx->dtls, CERT_NONE);
		endpoint = dtls_endpoint_new(ctx->dtls, fd, limits);
		if (endpoint == NULL)
			ssl_fail_context(ctx->dtls, e);
		if (relaxed)
			dtls_context_set_verify_mode(ctx->dtls, (enum dtls_verify_mode)ctx->verify_mode);
	}
	pthread_mutex_unlock(&ctx->lock);
	return endpoint;
}

/* What a parent's threads are woken with is not the child's to read and write. */
static void begin_anew(void *server)
{
	struct ssl_server *s = server;

	ssl_init_lock(&s->lock);
	pthread_cond_init(&s->waited, NULL);
	s->waiters = s->receivers = 0;
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->woken = false;
}

static struct ssl_server *server_of(struct ssl_context *ctx, int fd, struct ssl_error *e)
{
	struct ssl_server *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		ssl_fail_memory(e);
		return NULL;
	}
	s->wake_fd = -1;
	begin_anew(s);
	if (s->wake_fd < 0) {
		ssl_fail_os(e, errno, "no descriptor to wake who waits with");
		free(s);
		return NULL;
	}
	atomic_init(&s->refs, 1);
	atomic_init(&s->process, ssl_forks());
	s->ctx = ssl_context_ref(ctx);
	s->fd = fd;
	s->timeout_ms = SSL_TIMEOUT_OF_FD;
	return s;
}

struct ssl_server *ssl_server_new(
    struct ssl_context *ctx, int fd, const struct ssl_server_limits *given, struct ssl_error *e)
{
	const struct ssl_server_limits defaults = SSL_SERVER_LIMITS;
	struct dtls_limits limits = {0};
	struct ssl_server *s;

	if (!take_limits(given == NULL ? &defaults : given, &limits, e))
		return NULL;
	s = server_of(ctx, fd, e);
	if (s == NULL)
		return NULL;
	s->endpoint = new_endpoint(ctx, fd, &limits, e);
	if (s->endpoint != NULL)
		return s;
	ssl_server_free(s);
	return NULL;
}

void ssl_server_unref(struct ssl_server *s)
{
	if (atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	ssl_context_free(s->ctx);
	pthread_cond_destroy(&s->waited);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---- waiting ---- */

void ssl_server_wake(struct ssl_server *s)
{
	const uint64_t one = 1;

	if (!s->woken)
		s->woken = write(s->wake_fd, &one, sizeof(one)) == sizeof(one);
}

/* Nobody is woken for what is left to those who receive. */
void ssl_server_heard(struct ssl_server *s, bool receives)
{
	uint64_t count;

	if (s->woken && s->endpoint != NULL && (receives || s->receivers == 0))
		s->woken = read(s->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN;
}

void ssl_server_changed(struct ssl_server *s)
{
	if (s->receivers > 0 &&
	    (dtls_endpoint_timeout(s->endpoint) == 0 || dtls_endpoint_events(s->endpoint) != POLLIN))
		ssl_server_wake(s);
}

static void close_wake_fd(struct ssl_server *s)
{
	if (s->endpoint != NULL || s->waiters > 0 || s->wake_fd < 0)
		return;
	close(s->wake_fd);
	s->wake_fd = -1;
}

int ssl_server_wait(struct ssl_server *s, struct ssl_pause *w, struct ssl_error *e)
{
	struct pollfd p[2] = {{.fd = s->fd, .events = w->events}, {.fd = s->wake_fd, .events = POLLIN}};
	int error = 0;

	if (w->ask_at == 0)
		w->ask_at = ssl_ask_at();
	s->waiters++;
	s->receivers += w->receives;
	ssl_server_unlock(s);
	if (w->due_ms != 0)
		error = ssl_poll(p, 2, ssl_ms_until(w->stop_at, w->due_ms));
	pthread_mutex_lock(&s->lock);
	s->receivers -= w->receives;
	s->woken |= p[1].revents != 0;
	if (--s->waiters == 0)
		pthread_cond_broadcast(&s->waited);
	close_wake_fd(s);
	ssl_server_unlock(s);
	return ssl_after_wait(error, w->stop_at, &w->ask_at, s->interrupted, s->interrupted_arg, e);
}

void ssl_server_set_interrupted(struct ssl_server *s, bool (*interrupted)(void *arg), void *arg)
{
	s->interrupted = interrupted;
	s->interrupted_arg = arg;
}

/* ---- events ---- */

/* A peer is one to the caller once it was connected, or at its end. */
static ssize_t tell(
    struct ssl_server *s, struct dtls_peer *of, ssize_t event, struct ssl_peer **peer, struct ssl_error *e)
{
	struct ssl_peer *known = dtls_peer_data(of);

	if (event == DTLS_TOO_BIG)
		return ssl_fail_os(e, EMSGSIZE, "the buffer is too small for a message; 16384 bytes are always enough");
	*peer = known != NULL ? known : ssl_peer_new(s, of);
	if (*peer == NULL) {
		dtls_peer_close(of);
		return ssl_fail_memory(e);
	}
	ssl_peer_ref(*peer);
	if (event > 0)
		return event;
	if (event == DTLS_CONNECTED)
		return SSL_PEER_CONNECTED;
	ssl_peer_tell_end(*peer, event);
	return known != NULL ? SSL_PEER_CLOSED : SSL_PEER_FAILED;
}

static ssize_t attempt(struct ssl_server *s, struct ssl_peer **peer, void *buf, size_t len, struct ssl_error *e)
{
	struct dtls_peer *of = NULL;
	int code;
	ssize_t n;

	if (s->endpoint == NULL)
		return ssl_fail_os(e, EBADF, "the server was closed on this side");
	ssl_server_heard(s, true);
	s->stopped = false;
	n = dtls_endpoint_recv(s->endpoint, &of, buf, len);
	if (n == DTLS_WANT_READ)
		return s->stopped ? ssl_fail(e, SSL_KIND_CALLBACK, "interrupted") : n;
	if (of != NULL)
		return tell(s, of, n, peer, e);
	code = dtls_endpoint_error_code(s->endpoint);
	return ssl_fail_os(e, code != 0 ? -code : EIO, dtls_endpoint_error(s->endpoint));
}

ssize_t ssl_server_recv(struct ssl_server *s, struct ssl_peer **peer, void *buf, size_t len, struct ssl_error *e)
{
	struct ssl_pause w = {.receives = true};
	ssize_t n;

	*peer = NULL;
	for (;;) {
		if (!ssl_server_lock(s, e))
			return SSL_FAILED;
		if (w.stop_at == 0)
			w.stop_at = ssl_stop_at(s->timeout_ms);
		n = attempt(s, peer, buf, len, e);
		if (n != DTLS_WANT_READ || !ssl_fd_waits(s->fd, s->timeout_ms)) {
			/* What is due now is for the next, and so is what they know of the timers. */
			if (s->endpoint != NULL && s->receivers > 0)
				ssl_server_wake(s);
			ssl_server_unlock(s);
			return n == DTLS_WANT_READ ? SSL_WOULD_BLOCK : n;
		}
		w.events = dtls_endpoint_events(s->endpoint);
		w.due_ms = dtls_endpoint_timeout(s->endpoint);
		n = ssl_server_wait(s, &w, e);
		if (n != 0)
			return n;
	}
}

uint64_t ssl_server_handshaking(struct ssl_server *s)
{
	return dtls_endpoint_handshaking(s->endpoint);
}

void ssl_server_stop(struct ssl_server *s)
{
	s->stopped = true;
}

/* ---- the end ---- */

static void send_close_notifies(struct ssl_server *s)
{
	int64_t stop_at = ssl_now_ms() + LINGER_MS;
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	int status;

	while ((status = dtls_endpoint_close(s->endpoint)) != DTLS_OK) {
		if (status == DTLS_WANT_READ)
			continue;
		if (!ssl_fd_waits(s->fd, s->timeout_ms) || ssl_now_ms() >= stop_at)
			return;
		if (poll(&p, 1, ssl_ms_until(stop_at, -1)) < 0 && errno != EINTR)
			return;
	}
}

static void forget(struct ssl_server *s)
{
	ssl_server_stats(s, &s->stats);
	while (s->peers != NULL)
		ssl_peer_ended(s->peers, "closed");
	dtls_endpoint_free(s->endpoint);
	s->endpoint = NULL;
	ssl_server_wake(s);
	close_wake_fd(s);
}

static int finish(struct ssl_server *s, bool closes_fd, struct ssl_error *e)
{
	int fd = -1;

	if (!ssl_server_lock(s, e))
		return SSL_FAILED;
	if (s->endpoint != NULL) {
		fd = s->fd;
		send_close_notifies(s);
		forget(s);
		/* The descriptor's number may be used again once nobody waits for it any more. */
		while (s->waiters > 0)
			pthread_cond_wait(&s->waited, &s->lock);
		s->fd = -1;
	}
	ssl_server_unlock(s);
	if (closes_fd && fd >= 0)
		close(fd);
	return 0;
}

int ssl_server_close(struct ssl_server *s, struct ssl_error *e)
{
	return finish(s, true, e);
}

int ssl_server_end(struct ssl_server *s, struct ssl_error *e)
{
	return finish(s, false, e);
}

void ssl_server_free(struct ssl_server *s)
{
	if (s == NULL)
		return;
	ssl_server_look(s);
	if (s->endpoint != NULL)
		forget(s);
	close_wake_fd(s);
	ssl_server_unlock(s);
	ssl_server_unref(s);
}

/* ---- what is asked of it ---- */

bool ssl_server_lock(struct ssl_server *s, struct ssl_error *e)
{
	ssl_notice_fork(&s->process, begin_anew, s);
	return ssl_take_lock(&s->lock, e);
}

bool ssl_server_look(struct ssl_server *s)
{
	ssl_notice_fork(&s->process, begin_anew, s);
	return pthread_mutex_lock(&s->lock) == 0;
}

void ssl_server_unlock(struct ssl_server *s)
{
	pthread_mutex_unlock(&s->lock);
}

void ssl_server_set_timeout(struct ssl_server *s, int64_t ms)
{
	bool locked = ssl_server_look(s);

	s->timeout_ms = ms;
	if (locked)
		ssl_server_unlock(s);
}

int64_t ssl_server_timeout(struct ssl_server *s)
{
	bool locked = ssl_server_look(s);
	int64_t ms = s->timeout_ms;

	if (ms == SSL_TIMEOUT_OF_FD)
		ms = ssl_fd_waits(s->fd, ms) ? -1 : 0;
	if (locked)
		ssl_server_unlock(s);
	return ms;
}

int ssl_server_close_identity(struct ssl_server *s, const void *identity, size_t len, struct ssl_error *e)
{
	int count = 0;

	if (!ssl_server_lock(s, e))
		return SSL_FAILED;
	if (s->endpoint != NULL) {
		count = dtls_endpoint_close_identity(s->endpoint, identity, len);
		ssl_server_changed(s);
	}
	ssl_server_unlock(s);
	return count;
}

bool ssl_server_is_closed(struct ssl_server *s)
{
	bool locked = ssl_server_look(s), closed = s->endpoint == NULL;

	if (locked)
		ssl_server_unlock(s);
	return closed;
}

int ssl_server_fileno(struct ssl_server *s)
{
	bool locked = ssl_server_look(s);
	int fd = s->endpoint == NULL ? -1 : s->fd;

	if (locked)
		ssl_server_unlock(s);
	return fd;
}

int ssl_server_next_timeout(struct ssl_server *s)
{
	bool locked = ssl_server_look(s);
	int ms = s->endpoint == NULL ? -1 : dtls_endpoint_timeout(s->endpoint);

	if (locked)
		ssl_server_unlock(s);
	return ms;
}

bool ssl_server_unsent(struct ssl_server *s)
{
	bool locked = ssl_server_look(s);
	bool unsent = s->endpoint != NULL && (dtls_endpoint_events(s->endpoint) & POLLOUT) != 0;

	if (locked)
		ssl_server_unlock(s);
	return unsent;
}

int ssl_server_handle_timeout(struct ssl_server *s, struct ssl_error *e)
{
	if (!ssl_server_lock(s, e))
		return SSL_FAILED;
	if (s->endpoint != NULL) {
		dtls_endpoint_handle_timeout(s->endpoint);
		ssl_server_changed(s);
	}
	ssl_server_unlock(s);
	return 0;
}

void ssl_server_stats(struct ssl_server *s, struct dtls_stats *stats)
{
	bool locked = ssl_server_look(s);

	stats->size = sizeof(*stats);
	if (s->endpoint == NULL)
		*stats = s->stats;
	else
		dtls_endpoint_stats(s->endpoint, stats);
	if (locked)
		ssl_server_unlock(s);
}
