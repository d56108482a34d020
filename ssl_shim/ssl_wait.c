#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <time.h>

/* Over a transport there is nothing to wait for but time. */
enum { FIRST_NAP_MS = 1, LONGEST_NAP_MS = 20 };
enum { ASK_EVERY_MS = 100 };

struct wait {
	ssize_t want;
	int64_t stop_at; /* INT64_MAX: never */
	int due_ms; /* of a retransmission; -1: none */
	int nap_ms;
};

int64_t ssl_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void ssl_init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t checks;

	pthread_mutexattr_init(&checks);
	pthread_mutexattr_settype(&checks, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(lock, &checks);
	pthread_mutexattr_destroy(&checks);
}

bool ssl_take_lock(pthread_mutex_t *lock, struct ssl_error *e)
{
	int error = pthread_mutex_lock(lock);

	if (error != 0)
		ssl_fail_os(e, error, "a callback must not call back into the socket or server that it is called for");
	return error == 0;
}

bool ssl_lock(struct ssl_socket *s, struct ssl_error *e)
{
	ssl_notice_fork(&s->process, ssl_socket_begin_anew, s);
	return ssl_take_lock(&s->lock, e);
}

bool ssl_look(struct ssl_socket *s)
{
	ssl_notice_fork(&s->process, ssl_socket_begin_anew, s);
	return pthread_mutex_lock(&s->lock) == 0;
}

void ssl_unlock(struct ssl_socket *s)
{
	pthread_mutex_unlock(&s->lock);
}

bool ssl_fd_waits(int fd, int64_t timeout_ms)
{
	int flags;

	if (timeout_ms != SSL_TIMEOUT_OF_FD)
		return timeout_ms != 0;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

bool ssl_waits(struct ssl_socket *s)
{
	return s->over_fd && ssl_fd_waits(s->fd, s->timeout_ms);
}

int64_t ssl_stop_at(int64_t timeout_ms)
{
	return timeout_ms > 0 ? ssl_now_ms() + timeout_ms : INT64_MAX;
}

int ssl_ms_until(int64_t stop_at, int due_ms)
{
	int64_t ms = stop_at == INT64_MAX ? -1 : stop_at - ssl_now_ms();

	if (stop_at != INT64_MAX && ms < 0)
		ms = 0;
	if (due_ms >= 0 && (ms < 0 || due_ms < ms))
		ms = due_ms;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

int ssl_poll(struct pollfd *p, nfds_t count, int ms)
{
	return poll(p, count, ms) < 0 ? errno : 0;
}

/* Called without the lock, but counted as a waiter. */
static int sleep_or_poll(struct ssl_socket *s, struct wait *w)
{
	struct pollfd p = {.fd = s->fd, .events = w->want == DTLS_WANT_WRITE ? POLLOUT : POLLIN};
	struct timespec nap = {.tv_nsec = w->nap_ms * 1000000L};

	if (s->over_fd)
		return ssl_poll(&p, 1, ssl_ms_until(w->stop_at, w->due_ms));
	nanosleep(&nap, NULL);
	w->nap_ms = w->nap_ms < LONGEST_NAP_MS ? w->nap_ms + 1 : LONGEST_NAP_MS;
	return EINTR; /* it is always asked: the transport itself may have interrupted the call */
}

int64_t ssl_ask_at(void)
{
	return ssl_now_ms() + ASK_EVERY_MS;
}

int ssl_after_wait(
    int error, int64_t stop_at, int64_t *ask_at, bool (*interrupted)(void *arg), void *arg, struct ssl_error *e)
{
	int64_t now = ssl_now_ms();

	if (error != 0 && error != EINTR)
		return ssl_fail_os(e, error, "cannot wait for the socket");
	if (error == EINTR || now >= *ask_at) {
		if (interrupted != NULL && interrupted(arg))
			return ssl_fail(e, SSL_KIND_CALLBACK, "interrupted");
		*ask_at = ssl_ask_at();
	}
	return now >= stop_at ? ssl_fail(e, SSL_KIND_TIMEOUT, "timed out") : 0;
}

/* A stream that was never connected would fail for good. One that still connects shows no event. */
static bool is_unconnected(struct ssl_socket *s)
{
	struct sockaddr_storage any;
	socklen_t len = sizeof(any);
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};

	if (!s->over_fd || getpeername(s->fd, (struct sockaddr *)&any, &len) == 0 || errno != ENOTCONN)
		return false;
	if (!s->stream)
		return !s->server;
	return poll(&p, 1, 0) > 0 && (p.revents & POLLHUP) != 0 && (p.revents & POLLERR) == 0;
}

static ssize_t attempt(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	ssize_t status;

	s->needs = 0;
	if (s->conn == NULL)
		return ssl_fail_os(e, EBADF, "the socket was closed on this side");
	if (!s->began && !job->ends && is_unconnected(s))
		return ssl_fail_os(e, ENOTCONN, "connect() the socket to the server first");
	s->began = true;
	if (s->nameless && job->waits)
		return ssl_fail_nameless(s, e);
	status = s->awaits_hello && !job->ends ? ssl_pass_gate(s, e) : DTLS_OK;
	if (status == DTLS_OK)
		status = job->step(s, job, e);
	if (status == DTLS_WANT_READ && s->send_errno != 0) {
		s->failed = true;
		return ssl_fail_os(e, s->send_errno, "the transport cannot send");
	}
	if (job->reads && status == DTLS_WANT_WRITE)
		s->needs = POLL_WRITE;
	if (job->writes && status == DTLS_WANT_READ)
		s->needs = POLL_READ;
	return status;
}

static void forget_waiter(struct ssl_socket *s)
{
	pthread_mutex_lock(&s->lock);
	if (--s->waiters == 0)
		pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

ssize_t ssl_run(struct ssl_socket *s, struct ssl_job *job, struct ssl_error *e)
{
	struct wait w = {.nap_ms = FIRST_NAP_MS};
	ssize_t status;
	int error;

	for (;;) {
		if (!ssl_lock(s, e))
			return SSL_FAILED;
		if (w.stop_at == 0)
			w.stop_at = ssl_stop_at(s->timeout_ms);
		status = attempt(s, job, e);
		if (status != DTLS_WANT_READ && status != DTLS_WANT_WRITE) {
			ssl_unlock(s);
			return status;
		}
		if (!job->waits && !ssl_waits(s)) {
			ssl_unlock(s);
			return SSL_WOULD_BLOCK;
		}
		w.want = status;
		w.due_ms = dtls_conn_timeout(s->conn);
		if (job->ask_at == 0)
			job->ask_at = ssl_ask_at();
		s->waiters++;
		ssl_unlock(s);
		error = sleep_or_poll(s, &w);
		forget_waiter(s);
		/* A signal's handler may close the socket, which waits for those that wait. */
		status = ssl_after_wait(error, w.stop_at, &job->ask_at, s->interrupted, s->interrupted_arg, e);
		if (status != 0)
			return status;
	}
}
