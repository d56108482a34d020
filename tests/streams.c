#include "streams.h"

#include "seeded.h"

#include <errno.h>
#include <string.h>

enum { ROUNDS_MAX = 1 << 20 }; /* more than that is a loop */

/* ---- transport ---- */

/* What lies in a flow is moved to its beginning when that is needed. */
static size_t flow_room(struct flow *f)
{
	if (f->len > FLOW_MAX / 2 && f->taken == f->len)
		f->len = f->taken = 0;
	if (f->len - f->taken >= f->room)
		return 0;
	return f->room - (f->len - f->taken) < FLOW_MAX - f->len ? f->room - (f->len - f->taken) : FLOW_MAX - f->len;
}

static void append(struct flow *f, const void *bytes, size_t len)
{
	memcpy(f->bytes + f->len, bytes, len);
	f->len += len;
}

void flow_put(struct flow *f, const void *bytes, size_t len)
{
	ck_assert_uint_le(len, flow_room(f));
	append(f, bytes, len);
}

/* How much of len the script lets one call move. */
static size_t scripted(struct stream_side *s, size_t len)
{
	size_t most = s->chunk == 0 || len < s->chunk ? len : s->chunk;

	if (s->calls == s->want_at)
		return 0;
	return s->seed == 0 ? most : (size_t)seeded_below(&s->seed, most + 1);
}

static bool fails(const struct stream_side *s, unsigned at)
{
	if (at == STREAMS_NEVER || s->calls < at)
		return false;
	errno = s->fails_with;
	return true;
}

ssize_t stream_side_send(void *side, const void *bytes, size_t len)
{
	struct stream_side *s = side;
	size_t n, room = flow_room(s->out);

	s->calls++;
	if (fails(s, s->send_fails_at))
		return DTLS_FAIL;
	if (room == 0)
		return DTLS_WANT_WRITE;
	++*s->events;
	n = scripted(s, len < room ? len : room);
	if (n == 0)
		return DTLS_WANT_WRITE;
	append(s->out, bytes, n);
	return (ssize_t)n;
}

ssize_t stream_side_recv(void *side, void *buf, size_t len)
{
	struct stream_side *s = side;
	struct flow *f = s->in;
	size_t left = f->len - f->taken, before_end = f->ends_at - f->passed, n;

	s->calls++;
	if (fails(s, s->recv_fails_at))
		return DTLS_FAIL;
	if (before_end == 0 || (left == 0 && f->ended))
		return 0;
	if (left == 0)
		return DTLS_WANT_READ;
	++*s->events;
	if (left > before_end)
		left = before_end;
	n = scripted(s, len < left ? len : left);
	if (n == 0)
		return DTLS_WANT_READ;
	memcpy(buf, f->bytes + f->taken, n);
	f->taken += n;
	f->passed += n;
	return (ssize_t)n;
}

/* ---- life ---- */

static void clear(struct flow *f)
{
	f->len = f->taken = f->passed = 0;
	f->ends_at = SIZE_MAX;
	f->ended = false;
	f->room = FLOW_MAX;
}

static void begin(struct streams *s, struct dtls_context *client, struct dtls_context *server)
{
	clear(&s->up);
	clear(&s->down);
	s->events = 0;
	s->client = (struct stream_side){
	    .ctx = client, .out = &s->up, .in = &s->down, .events = &s->events, .status = DTLS_WANT_READ};
	s->server = (struct stream_side){
	    .ctx = server, .out = &s->down, .in = &s->up, .events = &s->events, .status = DTLS_WANT_READ};
}

void streams_open_bare(struct streams *s)
{
	begin(s, dtls_context_new(PROTOCOL_TLS_CLIENT), dtls_context_new(PROTOCOL_TLS_SERVER));
	ck_assert(s->client.ctx != NULL && s->server.ctx != NULL);
}

void streams_open(struct streams *s)
{
	static const char *const suites[] = {STREAMS_SUITE};
	struct dtls_context *both[2];

	streams_open_bare(s);
	both[0] = s->client.ctx;
	both[1] = s->server.ctx;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_context_set_ciphers(both[i], suites, 1), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_psk(both[i], STREAMS_IDENTITY, strlen(STREAMS_IDENTITY), STREAMS_KEY,
				     strlen(STREAMS_KEY)),
		    DTLS_OK);
	}
}

void streams_reopen(struct streams *s)
{
	dtls_conn_free(s->client.conn);
	dtls_conn_free(s->server.conn);
	begin(s, s->client.ctx, s->server.ctx);
}

static void wrap(struct stream_side *s)
{
	struct dtls_transport transport = {.send = stream_side_send, .recv = stream_side_recv, .arg = s};

	s->conn = dtls_wrap_transport(s->ctx, &transport);
	ck_assert_msg(s->conn != NULL, "%s", dtls_context_error(s->ctx));
}

void streams_wrap(struct streams *s)
{
	wrap(&s->client);
	wrap(&s->server);
}

void streams_close(struct streams *s)
{
	streams_reopen(s);
	dtls_context_free(s->client.ctx);
	dtls_context_free(s->server.ctx);
	s->client.ctx = s->server.ctx = NULL;
}

/* ---- what they do ---- */

static bool under_way(const struct stream_side *s)
{
	return s->conn != NULL && (s->status == DTLS_WANT_READ || s->status == DTLS_WANT_WRITE);
}

void stream_side_step(struct stream_side *s)
{
	if (under_way(s))
		s->status = dtls_conn_handshake(s->conn);
}

void streams_handshake(struct streams *s)
{
	unsigned before;

	if (s->client.conn == NULL && s->server.conn == NULL)
		streams_wrap(s);
	do {
		before = s->events;
		if (before > ROUNDS_MAX) /* an assertion would allocate: see test_stream_memory.c */
			ck_abort_msg("the handshake does not end");
		stream_side_step(&s->client);
		stream_side_step(&s->server);
	} while (s->events != before && (under_way(&s->client) || under_way(&s->server)));
}

void streams_assert_connected(const struct streams *s)
{
	ck_assert_msg(s->client.status == DTLS_OK, "client %d: %s", s->client.status, dtls_conn_error(s->client.conn));
	ck_assert_msg(s->server.status == DTLS_OK, "server %d: %s", s->server.status, dtls_conn_error(s->server.conn));
}

void stream_side_says(struct stream_side *s, const char *text)
{
	size_t done = 0, len = strlen(text);

	for (int i = 0; done < len; i++) {
		ssize_t n = dtls_conn_write(s->conn, text + done, len - done);

		ck_assert_int_lt(i, ROUNDS_MAX);
		ck_assert_msg(n > 0 || n == DTLS_WANT_WRITE, "%zd %s", n, dtls_conn_error(s->conn));
		done += n > 0 ? (size_t)n : 0;
	}
}

void stream_side_hears(struct stream_side *s, const char *text)
{
	char got[256];
	size_t done = 0, len = strlen(text);

	ck_assert_uint_le(len, sizeof(got));
	for (int i = 0; done < len; i++) {
		ssize_t n = dtls_conn_read(s->conn, got + done, len - done);

		ck_assert_int_lt(i, ROUNDS_MAX);
		ck_assert_msg(n > 0 || n == DTLS_WANT_READ, "%zd %s", n, dtls_conn_error(s->conn));
		done += n > 0 ? (size_t)n : 0;
	}
	ck_assert_mem_eq(got, text, len);
}

void streams_assert_exchange(struct streams *s)
{
	stream_side_says(&s->client, "reading 21.5");
	stream_side_hears(&s->server, "reading 21.5");
	stream_side_says(&s->server, "stored");
	stream_side_hears(&s->client, "stored");
}

void streams_connect(struct streams *s)
{
	streams_open(s);
	streams_handshake(s);
	streams_assert_connected(s);
	s->client.calls = s->server.calls = 0;
}

void stream_side_assert_error(const struct stream_side *s, const char *part)
{
	const char *error = dtls_conn_error(s->conn);

	ck_assert_msg(strstr(error, part) != NULL, "\"%s\" is not in \"%s\"", part, error);
}
