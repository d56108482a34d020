#include "pair.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MAX = 200000 }; /* more than that is a loop */

/* ---- transport ---- */

static ssize_t side_send(void *arg, const void *buf, size_t len)
{
	struct side *s = arg;
	const uint8_t *at = buf;
	size_t left = len;
	struct record r;

	if (!s->split)
		return sim_link_send(s->out, buf, len);
	while (record_next(&at, &left, &r))
		ck_assert_int_gt(sim_link_send(s->out, r.start, RECORD_HEADER + r.len), 0);
	ck_assert_uint_eq(left, 0);
	return (ssize_t)len;
}

static ssize_t side_recv(void *arg, void *buf, size_t len)
{
	struct side *s = arg;
	const struct datagram *d = s->injected;

	if (d == NULL)
		return sim_link_recv(s->in, buf, len);
	ck_assert_uint_le(d->len, len);
	memcpy(buf, d->bytes, d->len);
	s->injected = NULL;
	return (ssize_t)d->len;
}

/* ---- life ---- */

static struct dtls_context *make_context(enum dtls_protocol protocol)
{
	static const char *const suites[] = {PAIR_SUITE};
	struct dtls_context *ctx = dtls_context_new(protocol);

	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(dtls_context_set_retransmit(ctx, DTLS_RETRANSMIT_FIXED), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(ctx, suites, 1), DTLS_OK);
	ck_assert_int_eq(
	    dtls_context_set_psk(ctx, PAIR_IDENTITY, strlen(PAIR_IDENTITY), PAIR_KEY, strlen(PAIR_KEY)), DTLS_OK);
	return ctx;
}

static void begin(struct pair *p, struct dtls_context *client, struct dtls_context *server, uint64_t seed,
    const struct sim_weather *weather)
{
	struct side *sides[] = {&p->client, &p->server};

	memset(p, 0, sizeof(*p));
	p->sim = sim_new(seed);
	ck_assert_ptr_nonnull(p->sim);
	p->client.ctx = client;
	p->server.ctx = server;
	p->client.out = p->server.in = sim_link_new(p->sim, weather);
	p->client.in = p->server.out = sim_link_new(p->sim, weather);
	ck_assert(p->client.out != NULL && p->client.in != NULL);
	for (int i = 0; i < 2; i++) {
		sides[i]->sim = p->sim;
		sides[i]->status = DTLS_WANT_READ;
		sides[i]->done_at = -1;
		ck_assert_int_eq(dtls_context_set_clock(sides[i]->ctx, sim_now_ms, p->sim), DTLS_OK);
	}
}

void pair_open_in(struct pair *p, uint64_t seed, const struct sim_weather *weather)
{
	begin(p, make_context(PROTOCOL_DTLS_CLIENT), make_context(PROTOCOL_DTLS_SERVER), seed, weather);
}

void pair_open(struct pair *p)
{
	pair_open_in(p, 1, &(struct sim_weather){.latency_ms = PAIR_LATENCY_MS});
}

static void end(struct pair *p)
{
	dtls_conn_free(p->client.conn);
	dtls_conn_free(p->server.conn);
	sim_free(p->sim);
}

void pair_reopen(struct pair *p)
{
	end(p);
	begin(p, p->client.ctx, p->server.ctx, 1, &(struct sim_weather){.latency_ms = PAIR_LATENCY_MS});
}

static void side_wrap(struct side *s)
{
	struct dtls_transport transport = {.send = side_send, .recv = side_recv, .arg = s};

	s->conn = dtls_wrap_transport(s->ctx, &transport);
	ck_assert_msg(s->conn != NULL, "%s", dtls_context_error(s->ctx));
}

void pair_wrap(struct pair *p)
{
	side_wrap(&p->client);
	side_wrap(&p->server);
	ck_assert_int_eq(dtls_conn_set_client_id(p->server.conn, "client", 6), DTLS_OK);
}

void pair_close(struct pair *p)
{
	end(p);
	dtls_context_free(p->client.ctx);
	dtls_context_free(p->server.ctx);
}

/* ---- time ---- */

static void side_step(struct side *s)
{
	uint8_t message[PAIR_MESSAGE_MAX];
	ssize_t n;

	if (s->status == DTLS_WANT_READ) {
		s->status = dtls_conn_handshake(s->conn);
		if (s->status != DTLS_WANT_READ)
			s->done_at = sim_now_ms(s->sim);
	}
	/* Nobody listens to a dead connection's port. */
	while (s->status != DTLS_OK && s->status != DTLS_WANT_READ && side_recv(s, message, sizeof(message)) >= 0)
		continue;
	while (s->status == DTLS_OK) {
		n = dtls_conn_read(s->conn, message, sizeof(message));
		if (n == DTLS_WANT_READ)
			break;
		if (n < 0) {
			s->status = (int)n;
			break;
		}
		s->messages++;
		if (s->heard != NULL)
			s->heard(s, message, (size_t)n);
	}
}

void pair_step(struct pair *p)
{
	if (p->client.conn == NULL)
		pair_wrap(p);
	side_step(&p->client);
	side_step(&p->server);
}

static int64_t due_at(const struct pair *p, const struct side *s)
{
	int ms = dtls_conn_timeout(s->conn);

	return ms < 0 ? INT64_MAX : sim_now_ms(p->sim) + ms;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* One step, then on to what is due next; false when that is later than at_ms. */
static bool advance(struct pair *p, int64_t at_ms)
{
	int64_t next;

	pair_step(p);
	next = earlier(sim_next_ms(p->sim), earlier(due_at(p, &p->client), due_at(p, &p->server)));
	if (next > at_ms || next == INT64_MAX)
		return false;
	sim_advance_to(p->sim, next);
	return true;
}

void pair_handshake(struct pair *p)
{
	for (int rounds = 0; advance(p, INT64_MAX); rounds++) {
		ck_assert_int_lt(rounds, ROUNDS_MAX);
		if (p->client.status != DTLS_WANT_READ && p->server.status != DTLS_WANT_READ)
			break;
	}
}

void pair_until(struct pair *p, int64_t at_ms)
{
	for (int rounds = 0; advance(p, at_ms); rounds++)
		ck_assert_int_lt(rounds, ROUNDS_MAX);
	sim_advance_to(p->sim, at_ms);
	pair_step(p);
}

void pair_for(struct pair *p, int64_t ms)
{
	pair_until(p, sim_now_ms(p->sim) + ms);
}

void pair_inject(struct pair *p, struct side *s, const struct datagram *d)
{
	s->injected = d;
	pair_step(p);
	ck_assert_ptr_null(s->injected);
}

/* ---- assertions ---- */

static void make_perfect(struct sim_link *link)
{
	ck_assert_int_eq(sim_link_set_weather(link, &(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}), DTLS_OK);
	sim_link_drop_mask(link, 0);
	sim_link_decide(link, NULL, NULL);
}

static void assert_crosses(struct pair *p, struct side *from, struct side *to, const char *message)
{
	uint8_t buf[64];
	ssize_t len = (ssize_t)strlen(message);

	pair_step(p);
	ck_assert_int_eq(dtls_conn_write(from->conn, message, (size_t)len), len);
	sim_advance_to(p->sim, sim_now_ms(p->sim) + PAIR_LATENCY_MS);
	ck_assert_int_eq(dtls_conn_read(to->conn, buf, sizeof(buf)), len);
	ck_assert_mem_eq(buf, message, (size_t)len);
	ck_assert_int_eq(dtls_conn_read(to->conn, buf, sizeof(buf)), DTLS_WANT_READ);
}

void pair_assert_exchange(struct pair *p)
{
	make_perfect(p->client.out);
	make_perfect(p->client.in);
	assert_crosses(p, &p->client, &p->server, "reading 21.5");
	assert_crosses(p, &p->server, &p->client, "stored");
}

void pair_assert_connected(const struct pair *p, int64_t client_at, int64_t server_at)
{
	ck_assert_msg(p->client.status == DTLS_OK, "client %d: %s", p->client.status, dtls_conn_error(p->client.conn));
	ck_assert_msg(p->server.status == DTLS_OK, "server %d: %s", p->server.status, dtls_conn_error(p->server.conn));
	ck_assert_int_eq(p->client.done_at, client_at);
	ck_assert_int_eq(p->server.done_at, server_at);
}

void assert_error(const struct dtls_conn *conn, const char *part)
{
	ck_assert_msg(
	    strstr(dtls_conn_error(conn), part) != NULL, "\"%s\" is not in \"%s\"", part, dtls_conn_error(conn));
}

/* ---- datagrams ---- */

enum sim_fate pair_drop_all(void *arg, unsigned nth, const void *datagram, size_t len)
{
	(void)arg, (void)nth, (void)datagram, (void)len;
	return SIM_DROP;
}

void capture_tap(void *capture, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	struct capture *c = capture;
	struct datagram *d = &c->datagrams[c->count];

	if (c->count++ >= CAPTURE_MAX)
		return;
	ck_assert_uint_le(len, sizeof(d->bytes));
	d->at_ms = now_ms;
	d->delivered = delivered;
	d->len = len;
	memcpy(d->bytes, datagram, len);
}

void capture_link(struct capture *c, struct sim_link *link)
{
	c->count = 0;
	sim_link_tap(link, capture_tap, c);
}

static void put_number(uint8_t *p, size_t size, uint64_t value)
{
	for (; size > 0; value >>= 8)
		p[--size] = (uint8_t)value;
}

struct datagram plain_record(uint8_t type, uint64_t seq, const void *body, size_t len)
{
	struct datagram d = {.len = RECORD_HEADER + len};

	ck_assert_uint_le(d.len, sizeof(d.bytes));
	d.bytes[0] = type;
	put_number(d.bytes + 1, 2, 0xfefd);
	put_number(d.bytes + 5, 6, seq);
	put_number(d.bytes + 11, 2, len);
	if (len > 0)
		memcpy(d.bytes + RECORD_HEADER, body, len);
	return d;
}

struct datagram plain_message(uint64_t seq, const struct message *m)
{
	uint8_t body[MESSAGE_HEADER + 1024];

	ck_assert_uint_le(m->len, sizeof(body) - MESSAGE_HEADER);
	body[0] = m->type;
	put_number(body + 1, 3, m->length);
	put_number(body + 4, 2, m->seq);
	put_number(body + 6, 3, m->offset);
	put_number(body + 9, 3, m->len);
	if (m->len > 0)
		memcpy(body + MESSAGE_HEADER, m->body, m->len);
	return plain_record(RECORD_HANDSHAKE, seq, body, MESSAGE_HEADER + m->len);
}
