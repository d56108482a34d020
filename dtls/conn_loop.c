#include "conn.h"
#include "gate.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	INPUTS_BETWEEN_TIMERS = 64, /* an endless stream of datagrams must not stop the timers... */
	ROUNDS_AT_ONCE = 16, /* ...nor keep the caller for ever */
};

int conn_fail(struct dtls_conn *c, int code, const char *format, ...)
{
	va_list args;

	if (c->status != DTLS_OK)
		return c->status;
	va_start(args, format);
	vsnprintf(c->error, sizeof(c->error), format, args);
	va_end(args);
	c->code = code;
	c->status = DTLS_FAIL;
	return DTLS_FAIL;
}

/* ---- output ---- */

static ssize_t send_on_socket(struct dtls_conn *c, const uint8_t *datagram, size_t len)
{
	const struct address *to = c->socket.connected ? NULL : &c->peer;

	switch (socket_send(&c->socket, to, &c->local, datagram, len)) {
	case SOCKET_EMPTY:
		return DTLS_WANT_WRITE;
	case SOCKET_LOST:
		return DTLS_AGAIN;
	case SOCKET_FAILED:
		return DTLS_FAIL;
	default:
		return (ssize_t)len;
	}
}

static ssize_t send_datagram(void *owner, const uint8_t *datagram, size_t len)
{
	struct dtls_conn *c = owner;
	ssize_t n;

	if (c->over_socket)
		return send_on_socket(c, datagram, len);
	errno = 0;
	n = c->transport.send(c->transport.arg, datagram, len);
	if (n >= 0 || n == DTLS_WANT_WRITE)
		return n;
	if (n == DTLS_TOO_BIG) {
		errno = EMSGSIZE;
		return DTLS_AGAIN;
	}
	if (errno == 0)
		errno = EIO;
	return DTLS_FAIL;
}

/* ---- input ---- */

bool conn_start(struct dtls_conn *c)
{
	struct association_setup setup = {.ctx = c->ctx,
	    .settings = c->settings,
	    .send = conn_is_stream(c) ? conn_stream_send : send_datagram,
	    .recv = conn_is_stream(c) ? conn_stream_recv : NULL,
	    .owner = c,
	    .peer = c->over_socket ? &c->peer : NULL,
	    .tally = &c->tally};
	struct association *a = association_new(&setup);

	if (a == NULL)
		return false;
	association_free(c->a);
	c->a = a;
	if (c->mtu != 0)
		mbedtls_ssl_set_mtu(&a->ssl, (uint16_t)c->mtu);
	return true;
}

static struct bytes client_id(const struct dtls_conn *c, const struct address *from, uint8_t key[ADDRESS_PAIR_KEY])
{
	if (c->client_id_len != 0)
		return (struct bytes){c->client_id, c->client_id_len};
	return (struct bytes){key, address_pair_key(from, &c->local, key)};
}

static void reply_to(struct dtls_conn *c, const struct address *from, const uint8_t *reply, size_t len)
{
	/* What is lost here the client asks for again. */
	if (!c->over_socket)
		c->transport.send(c->transport.arg, reply, len);
	else
		socket_send(&c->socket, c->socket.connected ? NULL : from, &c->local, reply, len);
}

/* A ClientHello came. True when the association is to be fed with it. */
static bool admit(struct dtls_conn *c, const struct address *from, const uint8_t *datagram, size_t len)
{
	uint8_t reply[HELLO_VERIFY_REQUEST_MAX], key[ADDRESS_PAIR_KEY];
	struct hello hello;
	size_t reply_len;
	enum gate_verdict verdict;

	/* RFC 6347, 4.2.8 asks for proof before a session is given up; one connection has no room for two. */
	if (c->a != NULL && c->a->state != ASSOCIATION_HANDSHAKE)
		return false;
	verdict = gate_judge(c->ctx, conn_now(c), client_id(c, from, key), datagram, len, &hello, reply, &reply_len);
	if (reply_len != 0)
		reply_to(c, from, reply, reply_len);
	if (verdict != GATE_VERIFIED)
		return false;
	if (c->a != NULL && memcmp(c->random, hello.random, HELLO_RANDOM) == 0)
		return true;
	c->peer = *from;
	memcpy(c->random, hello.random, HELLO_RANDOM);
	if (!conn_start(c))
		return false;
	timer_measured(&c->a->timer, hello.rtt_ms);
	return true;
}

/* Judges one datagram and feeds it where it belongs. True when something was fed. */
static bool take(struct dtls_conn *c, const struct address *from, const uint8_t *datagram, size_t len)
{
	const uint8_t *at = datagram;
	size_t left = len;
	struct record r;
	bool stranger = c->over_socket && address_len(&c->peer) != 0 && !address_equal(from, &c->peer);

	if (conn_is_server(c)) {
		if (stranger && c->a != NULL)
			return false;
		if (record_next(&at, &left, &r) && record_is_client_hello(&r)) {
			if (!admit(c, from, datagram, len))
				return false;
		} else {
			len = record_before_hello(datagram, len);
		}
	}
	if (c->a == NULL || len == 0)
		return false;
	association_feed(c->a, datagram, len);
	return true;
}

/* Reads one datagram: its length, 0 for one to forget, DTLS_WANT_READ, or final. */
static ssize_t receive(struct dtls_conn *c, struct address *from, uint8_t *buf, size_t len)
{
	struct address local;
	ssize_t n;

	if (!c->over_socket) {
		memset(from, 0, sizeof(*from));
		errno = 0;
		n = c->transport.recv(c->transport.arg, buf, len);
		if (n > (ssize_t)len)
			return 0; /* cut, as MSG_TRUNC tells it */
		if (n >= 0 || n == DTLS_WANT_READ)
			return n;
		return conn_fail(c, -(errno != 0 ? errno : EIO), "the transport's recv failed");
	}
	n = socket_recv(&c->socket, buf, len, from, &local);
	if (n >= 0 && (c->a == NULL || address_len(&c->peer) == 0))
		c->local = local;
	if (n == SOCKET_EMPTY)
		return DTLS_WANT_READ;
	if (n == SOCKET_LOST && c->a != NULL)
		c->a->lost_errno = errno;
	if (n == SOCKET_FAILED)
		return conn_fail(c, -errno, "cannot receive: %s", strerror(errno));
	return n < 0 ? 0 : n;
}

/* ---- the loop that every call goes through ---- */

ssize_t conn_step_handshake(struct dtls_conn *c, void *buf, size_t len)
{
	(void)buf, (void)len;
	return c->a == NULL ? DTLS_WANT_READ : association_handshake(c->a);
}

ssize_t conn_step_read(struct dtls_conn *c, void *buf, size_t len)
{
	ssize_t status = conn_step_handshake(c, NULL, 0);

	return status != DTLS_OK ? status : association_read(c->a, buf, len);
}

/* Feeds a number of datagrams, until one makes the step report something; *more tells whether input may be left. */
static ssize_t feed_some(struct dtls_conn *c, conn_step *what, void *buf, size_t len, bool *more)
{
	uint8_t datagram[RECORD_MAX];
	struct address from;
	ssize_t status, n;

	for (int i = 0; i < INPUTS_BETWEEN_TIMERS; i++) {
		n = receive(c, &from, datagram, sizeof(datagram));
		*more = n != DTLS_WANT_READ;
		if (n < 0)
			return n;
		if (n == 0 || !take(c, &from, datagram, (size_t)n))
			continue;
		status = what(c, buf, len);
		if (status != DTLS_WANT_READ)
			return status;
	}
	return DTLS_WANT_READ;
}

ssize_t conn_drain(struct dtls_conn *c, conn_step *what, void *buf, size_t len)
{
	ssize_t status = DTLS_WANT_READ;
	bool more = true;

	if (conn_is_stream(c))
		return what(c, buf, len);
	for (int i = 0; status == DTLS_WANT_READ && more && i < ROUNDS_AT_ONCE; i++) {
		status = feed_some(c, what, buf, len, &more);
		if (status == DTLS_WANT_READ)
			status = what(c, buf, len); /* nothing is fed: the timers fire */
	}
	return status;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* DTLS_OK when it is worth trying again. */
int conn_wait(struct dtls_conn *c, ssize_t want, int64_t stop_at)
{
	int64_t due_at = c->a != NULL ? association_due_at(c->a) : INT64_MAX;
	int ready, ms = timer_poll_ms(earlier(due_at, stop_at), conn_now(c));

	ready = socket_wait(&c->socket, want == DTLS_WANT_WRITE ? POLLOUT : POLLIN, ms);
	if (ready < 0 && errno == EINTR)
		return DTLS_AGAIN;
	if (ready < 0)
		return conn_fail(c, -errno, "cannot wait for the socket: %s", strerror(errno));
	return conn_now(c) >= stop_at ? DTLS_AGAIN : DTLS_OK;
}

int64_t conn_stop_at(const struct dtls_conn *c)
{
	return c->timeout_ms < 0 ? INT64_MAX : timer_later(conn_now(c), c->timeout_ms);
}

static bool is_want(ssize_t status)
{
	return status == DTLS_WANT_READ || status == DTLS_WANT_WRITE;
}

ssize_t conn_run(struct dtls_conn *c, conn_step *what, void *buf, size_t len, int64_t stop_at)
{
	ssize_t status;
	int waited;

	/* What is left of an earlier datagram comes before the next one. */
	if (c->a != NULL && c->a->state == ASSOCIATION_OPEN && association_has_input(c->a)) {
		status = what(c, buf, len);
		if (status != DTLS_WANT_READ)
			return status;
	}
	for (;;) {
		status = conn_drain(c, what, buf, len);
		if (!is_want(status) || !conn_blocks(c))
			return status;
		waited = conn_wait(c, status, stop_at);
		if (waited != DTLS_OK)
			return waited;
	}
}
