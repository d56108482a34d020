/* The life of a client: a handshake, messages and their answers, the end, and the next handshake. */
#include "load_worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { RETRY_MS = 1000, MESSAGES_AT_ONCE = 64, COAP_PING = 4 };

static void explain(struct load_worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Counts one more failure for this reason. */
static void explain(struct load_worker *w, const char *format, ...)
{
	char sentence[LOAD_SENTENCE];
	va_list args;

	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	for (int i = 0; i < LOAD_REASONS; i++) {
		struct load_reason *reason = &w->tally->reasons[i];

		if (reason->count > 0 && strcmp(reason->sentence, sentence) != 0)
			continue;
		memcpy(reason->sentence, sentence, sizeof(sentence));
		reason->count++;
		return;
	}
}

/* ---- beginning ---- */

static int open_socket(const struct load_options *o, unsigned number)
{
	int fd = socket(o->server.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = {.sin_family = AF_INET};

	if (fd < 0)
		cli_fail("client %u has no socket: %s; `ulimit -n` says how many descriptors a process may have",
		    number, strerror(errno));
	if (o->sources > 0) {
		from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number % o->sources);
		if (bind(fd, (struct sockaddr *)&from, sizeof(from)) != 0)
			cli_fail("client %u cannot use the address %s: %s; more --sources have more ports", number,
			    inet_ntoa(from.sin_addr), strerror(errno));
	}
	if (connect(fd, &o->server.any, o->server.len) != 0)
		cli_fail("cannot reach %s: %s", o->name, strerror(errno));
	return fd;
}

void load_client_begin(struct load_worker *w, struct load_client *c)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

	c->began_ns = load_now_ns();
	c->fd = open_socket(w->o, c->number);
	c->conn = dtls_wrap_socket(w->o->dtls.ctx, c->fd);
	if (c->conn == NULL)
		cli_fail("%s", dtls_context_error(w->o->dtls.ctx));
	if (w->o->hostname != NULL && dtls_conn_set_hostname(c->conn, w->o->hostname) != DTLS_OK)
		cli_fail("--hostname: %s", dtls_conn_error(c->conn));
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
		cli_fail("cannot wait for client %u: %s", c->number, strerror(errno));
	c->state = LOAD_SHAKING;
	c->served = false;
	c->end_at_ms = w->now_ms + w->o->timeout_ms;
	load_add(&w->tally->begun, 1);
	load_add(&w->tally->pending, 1);
	load_client_turn(w, c);
}

/* ---- the end ---- */

static void set_asked(struct load_worker *w, struct load_client *c, bool asked)
{
	w->asked += (unsigned)asked - (unsigned)c->asked;
	c->asked = asked;
}

static void settle(struct load_worker *w, struct load_client *c)
{
	if (!c->settled)
		load_add(&w->tally->settled, 1);
	c->settled = true;
}

/* Leaves its state to the caller. */
static void hang_up(struct load_worker *w, struct load_client *c)
{
	load_add(c->state == LOAD_UP ? &w->tally->up : &w->tally->pending, -1);
	set_asked(w, c, false);
	dtls_conn_free(c->conn);
	close(c->fd);
	c->conn = NULL;
}

static void rest(struct load_worker *w, struct load_client *c)
{
	bool again = w->o->churn_ms >= 0;

	if (!again)
		load_add(&w->tally->over, 1);
	c->state = again ? LOAD_RESTING : LOAD_OVER;
	c->next_at_ms = again ? w->now_ms + RETRY_MS : INT64_MAX;
}

static void fail(struct load_worker *w, struct load_client *c)
{
	load_add(&w->tally->failed, 1);
	settle(w, c);
	hang_up(w, c);
	rest(w, c);
}

/* The session has ended, but not from here. */
static void lose_session(struct load_worker *w, struct load_client *c, ssize_t status)
{
	if (status == DTLS_TOO_BIG)
		explain(w, "a message of %zu bytes is too long: this session's have at most %zu", w->o->size,
		    dtls_conn_max_payload(c->conn));
	else if (status == DTLS_CLOSED)
		explain(w, "%s closed the session", w->o->name);
	else
		explain(w, "%s", dtls_conn_error(c->conn));
	load_add(&w->tally->ended, 1);
	hang_up(w, c);
	rest(w, c);
}

void load_client_end(struct load_worker *w, struct load_client *c)
{
	if (c->state != LOAD_UP && c->state != LOAD_SHAKING)
		return;
	if (c->state == LOAD_UP)
		dtls_conn_close(c->conn);
	hang_up(w, c);
	c->state = LOAD_OVER;
}

void load_client_refused(struct load_worker *w, struct load_client *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (c->state != LOAD_SHAKING || getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error == 0)
		return;
	explain(w, "cannot reach %s: %s; is a DTLS server listening there?", w->o->name, strerror(error));
	fail(w, c);
	load_worker_place(w, c, c->next_at_ms);
}

/* ---- messages ---- */

/* A CoAP ping, an empty confirmable message, is answered by a reset (RFC 7252, 4.3). An echo is text, for the sake of
 * servers that print it: the client's number and the message's, their ends where there is little room. */
static size_t compose(const struct load_worker *w, const struct load_client *c, bool answer, uint8_t *message)
{
	size_t size = w->o->size;
	char name[24];
	size_t len;

	if (w->o->probe == LOAD_COAP_PING) {
		message[0] = answer ? 0x70 : 0x40;
		message[1] = 0;
		message[2] = (uint8_t)(c->messages >> 8);
		message[3] = (uint8_t)c->messages;
		return COAP_PING;
	}
	len = (size_t)snprintf(name, sizeof(name), "%u/%u", c->number, c->messages);
	memset(message, '.', size);
	if (len > size)
		memcpy(message, name + len - size, size);
	else
		memcpy(message, name, len);
	return size;
}

/* False: the session has ended. */
static bool ask(struct load_worker *w, struct load_client *c)
{
	size_t len;
	ssize_t n;

	c->messages++;
	len = compose(w, c, false, w->message);
	c->sent_ns = load_now_ns();
	n = dtls_conn_write(c->conn, w->message, len);
	if (n == DTLS_WANT_WRITE) {
		c->next_at_ms = w->now_ms + 1;
		return true;
	}
	if (n < 0) {
		lose_session(w, c, n);
		return false;
	}
	if (atomic_load_explicit(&w->tally->first_sent_ns, memory_order_relaxed) == 0)
		atomic_store_explicit(
		    &w->tally->first_sent_ns, (uint64_t)(c->sent_ns - w->started_ns), memory_order_relaxed);
	load_add(&w->tally->sent, 1);
	set_asked(w, c, true);
	c->next_at_ms += w->o->interval_ms;
	if (c->next_at_ms < w->now_ms)
		c->next_at_ms = w->now_ms;
	return true;
}

static void hear(struct load_worker *w, struct load_client *c, size_t len)
{
	if (!c->asked || len != compose(w, c, true, w->message) || memcmp(w->message, w->buf, len) != 0) {
		load_add(&w->tally->stray, 1);
		return;
	}
	set_asked(w, c, false);
	c->served = true;
	load_add(&w->tally->back, 1);
	load_histogram_add(&w->tally->echoes, (uint64_t)(load_now_ns() - c->sent_ns));
}

/* False: the session has ended. */
static bool listen_to(struct load_worker *w, struct load_client *c)
{
	for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
		ssize_t n = dtls_conn_read(c->conn, w->buf, sizeof(w->buf));

		if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE)
			return true;
		if (n < 0) {
			lose_session(w, c, n);
			return false;
		}
		hear(w, c, (size_t)n);
	}
	return true;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t patience_at_ms(const struct load_worker *w, const struct load_client *c)
{
	return c->sent_ns / 1000000 + w->o->patience_ms;
}

static void give_up_answer(struct load_worker *w, struct load_client *c)
{
	if (!c->asked || w->now_ms < patience_at_ms(w, c))
		return;
	load_add(&w->tally->lost, 1);
	set_asked(w, c, false);
	c->served = true;
}

static void converse(struct load_worker *w, struct load_client *c)
{
	if (!listen_to(w, c))
		return;
	give_up_answer(w, c);
	if (w->stopping)
		return;
	if (w->now_ms >= c->end_at_ms && !c->asked && c->served) {
		load_client_end(w, c);
		c->state = LOAD_QUEUED;
		return;
	}
	if (w->o->probe != LOAD_SILENT && !c->asked && w->now_ms >= c->next_at_ms)
		ask(w, c);
}

/* ---- the handshake ---- */

static void connected(struct load_worker *w, struct load_client *c)
{
	int64_t now_ns = load_now_ns();

	load_histogram_add(&w->tally->handshakes, (uint64_t)(now_ns - c->began_ns));
	atomic_store_explicit(&w->tally->last_done_ns, (uint64_t)(now_ns - w->started_ns), memory_order_relaxed);
	load_add(&w->tally->done, 1);
	load_add(&w->tally->pending, -1);
	load_add(&w->tally->up, 1);
	settle(w, c);
	c->state = LOAD_UP;
	c->served = w->o->probe == LOAD_SILENT;
	c->next_at_ms = w->now_ms;
	c->end_at_ms = w->o->churn_ms >= 0 ? w->now_ms + w->o->churn_ms : INT64_MAX;
}

static void shake(struct load_worker *w, struct load_client *c)
{
	int status = dtls_conn_handshake(c->conn);

	if (status == DTLS_OK) {
		connected(w, c);
		converse(w, c);
		return;
	}
	if (status == DTLS_WANT_READ || status == DTLS_WANT_WRITE) {
		if (w->now_ms < c->end_at_ms)
			return;
		explain(w, "a handshake with %s was not done within %" PRId64 ".%03d s", w->o->name,
		    w->o->timeout_ms / 1000, (int)(w->o->timeout_ms % 1000));
	} else {
		explain(w, "%s", dtls_conn_error(c->conn));
	}
	fail(w, c);
}

/* ---- turns ---- */

static int64_t due_at_ms(const struct load_worker *w, const struct load_client *c)
{
	int64_t at_ms = INT64_MAX;
	int timeout;

	switch (c->state) {
	case LOAD_UP:
		if (c->asked)
			at_ms = patience_at_ms(w, c);
		else if (w->o->probe != LOAD_SILENT && !w->stopping)
			at_ms = c->next_at_ms;
		if (!c->asked && c->served && !w->stopping)
			at_ms = earlier(at_ms, c->end_at_ms);
		break;
	case LOAD_SHAKING:
		at_ms = c->end_at_ms;
		break;
	default:
		return c->next_at_ms;
	}
	timeout = dtls_conn_timeout(c->conn);
	return timeout < 0 ? at_ms : earlier(at_ms, w->now_ms + timeout);
}

void load_client_turn(struct load_worker *w, struct load_client *c)
{
	if (c->state == LOAD_RESTING)
		c->state = LOAD_QUEUED;
	else if (c->state == LOAD_SHAKING)
		shake(w, c);
	else if (c->state == LOAD_UP)
		converse(w, c);
	if (c->state == LOAD_QUEUED)
		load_worker_queue(w, c);
	else
		load_worker_place(w, c, due_at_ms(w, c));
}
