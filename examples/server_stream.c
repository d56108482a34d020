/* One TCP connection with TLS: handshake, lines or echo, and an end that lets the client read the last bytes. */
#include "server_streams.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	READS_IN_A_TURN = 16,
	LINE_MAX_BYTES = 16384, /* longer ones are printed in parts */
};

static struct server_name name_of(const struct stream *st)
{
	struct server_name name = {.address = st->address};

	name.identity = dtls_conn_psk_identity(st->conn, &name.identity_len);
	server_name_by_certificate(&name, dtls_conn_peer_name(st->conn));
	return name;
}

__attribute__((format(printf, 2, 3))) static void tell(const struct stream *st, const char *format, ...)
{
	const struct server_name name = name_of(st);
	va_list args;

	if (st->all->server->quiet)
		return;
	server_begin_line(&name);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
}

/* ---- ends ---- */

/* The session has ended; the socket stays for a moment. To close it while the client's bytes are unread would make the
 * kernel throw away those that are on their way to the client: an alert, the end of an echo. */
static void drain_from_now(struct stream *st)
{
	dtls_conn_free(st->conn);
	st->conn = NULL;
	(void)shutdown(st->fd, SHUT_WR);
	stream_enter(st, STREAM_DRAINING);
}

static void print_line(struct stream *st)
{
	const struct server_name name = name_of(st);

	server_print(&name, st->line, st->line_len);
	st->line_len = 0;
	free(st->line);
	st->line = NULL;
}

static void stop_listening(struct stream *st)
{
	if (st->line != NULL)
		print_line(st);
	free(st->echo);
	st->echo = NULL;
	st->echo_start = st->echo_end = 0;
}

void stream_close(struct stream *st)
{
	if (st->state == STREAM_HANDSHAKE)
		stream_enter(st, STREAM_GONE);
	if (st->state != STREAM_OPEN)
		return;
	stop_listening(st);
	stream_enter(st, STREAM_CLOSING);
}

void stream_evict(struct stream *st)
{
	tell(st, "was closed: it had been silent longest when --max-peers was reached");
	st->all->counters.closed_evicted++;
	stream_close(st);
}

void stream_displace(struct stream *st)
{
	tell(st, "ended: its handshake was the oldest unfinished one when --max-handshakes was reached");
	st->all->counters.displaced++;
	stream_enter(st, STREAM_GONE);
}

static void fail(struct stream *st, ssize_t status)
{
	struct stream_counters *n = &st->all->counters;

	if (st->state == STREAM_OPEN)
		n->closed_error++;
	else if (status == DTLS_TIMEDOUT)
		n->timedout++;
	else
		n->failed++;
	stop_listening(st);
	tell(st, "ended: %s", dtls_conn_error(st->conn));
	drain_from_now(st);
}

static void close_session(struct stream *st)
{
	st->wanted = EPOLLOUT;
	if (dtls_conn_close(st->conn) != DTLS_WANT_WRITE)
		drain_from_now(st);
}

static void drain(struct stream *st)
{
	char bytes[4096];
	ssize_t n;

	st->wanted = EPOLLIN;
	for (int i = 0; i < READS_IN_A_TURN; i++) {
		n = recv(st->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n <= 0)
			break;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		stream_enter(st, STREAM_GONE);
}

/* ---- what is read ---- */

static void out_of_memory(struct stream *st)
{
	tell(st, "was closed: out of memory");
	st->all->counters.closed_error++;
	stream_close(st);
}

/* Bytes that belong to a line whose end has not come. */
static void keep_line(struct stream *st, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t part;

		if (st->line == NULL && (st->line = malloc(LINE_MAX_BYTES)) == NULL) {
			out_of_memory(st);
			return;
		}
		part = LINE_MAX_BYTES - st->line_len;
		part = part < len ? part : len;
		memcpy(st->line + st->line_len, bytes, part);
		st->line_len += part;
		bytes += part;
		len -= part;
		if (st->line_len == LINE_MAX_BYTES)
			print_line(st);
	}
}

static void print_lines(struct stream *st, const char *bytes, size_t len)
{
	const struct server_name name = name_of(st);
	const char *newline;

	while ((newline = memchr(bytes, '\n', len)) != NULL && st->state == STREAM_OPEN) {
		size_t part = (size_t)(newline - bytes);

		if (st->line == NULL) {
			server_print(&name, bytes, part);
		} else {
			keep_line(st, bytes, part);
			if (st->line != NULL)
				print_line(st);
		}
		bytes = newline + 1;
		len -= part + 1;
	}
	if (st->state == STREAM_OPEN)
		keep_line(st, bytes, len);
}

/* What the socket does not take now is kept. */
static void send_back(struct stream *st, const char *bytes, size_t len)
{
	st->echo = malloc(len);
	if (st->echo == NULL) {
		out_of_memory(st);
		return;
	}
	memcpy(st->echo, bytes, len);
	st->echo_start = 0;
	st->echo_end = len;
}

/* True when nothing is left to be sent back. */
static bool flush_echo(struct stream *st)
{
	while (st->echo_start < st->echo_end) {
		ssize_t n = dtls_conn_write(st->conn, st->echo + st->echo_start, st->echo_end - st->echo_start);

		if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE) {
			st->wanted = n == DTLS_WANT_READ ? EPOLLIN : EPOLLOUT;
			return false;
		}
		if (n < 0) {
			fail(st, n);
			return false;
		}
		st->echo_start += (size_t)n;
		st->all->counters.bytes_out += (uint64_t)n;
	}
	free(st->echo);
	st->echo = NULL;
	return true;
}

static void take(struct stream *st, const char *bytes, size_t len)
{
	const struct server *s = st->all->server;

	st->all->counters.bytes_in += len;
	stream_heard(st);
	if (!s->echo)
		print_lines(st, bytes, len);
	if ((s->echo || s->confirm) && st->state == STREAM_OPEN)
		send_back(st, bytes, len);
}

static void end(struct stream *st, ssize_t status)
{
	if (status != DTLS_CLOSED) {
		fail(st, status);
		return;
	}
	st->all->counters.closed_by_peer++;
	tell(st, "has closed");
	stream_close(st);
}

static bool converse(struct stream *st)
{
	char bytes[SERVER_MESSAGE_MAX];
	ssize_t n;

	for (int i = 0; i < READS_IN_A_TURN; i++) {
		if (!flush_echo(st))
			return false;
		n = dtls_conn_read(st->conn, bytes, sizeof(bytes));
		if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE) {
			st->wanted = n == DTLS_WANT_READ ? EPOLLIN : EPOLLOUT;
			return false;
		}
		if (n >= 0)
			take(st, bytes, (size_t)n);
		else
			end(st, n);
		if (st->state != STREAM_OPEN)
			return false;
	}
	return true;
}

/* ---- its life ---- */

static void shake_hands(struct stream *st)
{
	int status = dtls_conn_handshake(st->conn);

	if (status == DTLS_WANT_READ || status == DTLS_WANT_WRITE) {
		st->wanted = status == DTLS_WANT_READ ? EPOLLIN : EPOLLOUT;
	} else if (status == DTLS_OK) {
		const struct server_name name = name_of(st);
		size_t len;
		const struct server_session session = {.cipher = dtls_conn_cipher(st->conn),
		    .alpn = dtls_conn_alpn(st->conn),
		    .verify_result = dtls_conn_verify_result(st->conn),
		    .has_certificate = dtls_conn_peer_cert(st->conn, &len) != NULL,
		    .resumed = dtls_conn_resumed(st->conn)};

		st->all->counters.completed++;
		st->all->counters.resumed += session.resumed;
		server_tell_connected(st->all->server, &name, &session);
		stream_enter(st, STREAM_OPEN);
	} else {
		fail(st, status);
	}
}

void stream_late(struct stream *st)
{
	if (st->state == STREAM_OPEN) {
		tell(st, "was closed: silent for too long");
		st->all->counters.closed_idle++;
		stream_close(st);
	} else if (st->state != STREAM_HANDSHAKE) { /* whose end is the library's to tell */
		stream_enter(st, STREAM_GONE);
	}
}

bool stream_run(struct stream *st)
{
	bool more = false;

	if (st->state == STREAM_HANDSHAKE)
		shake_hands(st);
	if (st->state == STREAM_OPEN)
		more = converse(st);
	if (st->state == STREAM_CLOSING)
		close_session(st);
	if (st->state == STREAM_DRAINING)
		drain(st);
	return more;
}
