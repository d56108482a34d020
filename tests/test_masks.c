/* Every way to lose some of the first five datagrams of each direction: 1,024 handshakes, each held against a model of
 * RFC 6347, 4.2.4 that knows flights, timers and nothing else. And 1,024 more that resume a session (figure 2). */
#include "pair.h"

#include <string.h>
#include <time.h>

enum { LOSSES = 5, MASKS = 1 << (2 * LOSSES) };
enum { MIN_MS = 1000, MAX_MS = 60000, GIVE_UP_MS = 123000, RESTART_MS = 7000 };
enum { RESUMED_AT_MS = 5000 }; /* the clock goes on behind the session's first handshake */

/* ---- the model */

enum flight { NO_FLIGHT, HELLO, VERIFY_REQUEST, COOKIE_HELLO, SERVER_FIRST, CLIENT_LAST, SERVER_LAST, ALERT };

struct party {
	enum flight flight; /* the one that waits for its answer */
	int64_t due_at, delay_ms, give_up_at;
	int status;
	int64_t done_at;
	/* What this party sent: everything takes 20 ms, first in, first out. */
	unsigned mask, sent, queued, taken;
	struct {
		int64_t at;
		enum flight flight;
	} queue[64];
};

struct model {
	int64_t now;
	struct party client, server;
	bool restarted;
	bool resumes; /* the server's first flight is its last, and the client's ends the handshake */
};

static void transmit(const struct model *m, struct party *p, enum flight flight)
{
	unsigned n = p->sent++;

	if (n < LOSSES && (p->mask >> n & 1) != 0)
		return;
	ck_assert_uint_lt(p->queued, 64);
	p->queue[p->queued].flight = flight;
	p->queue[p->queued++].at = m->now + PAIR_LATENCY_MS;
}

static void resend(const struct model *m, struct party *p)
{
	transmit(m, p, p->flight);
	p->due_at = m->now + p->delay_ms;
}

static void new_flight(const struct model *m, struct party *p, enum flight flight)
{
	p->flight = flight;
	p->delay_ms = MIN_MS;
	p->give_up_at = m->now + GIVE_UP_MS;
	resend(m, p);
}

static void end(const struct model *m, struct party *p, int status)
{
	p->status = status;
	p->done_at = m->now;
	p->due_at = p->give_up_at = INT64_MAX;
}

static void client_takes(struct model *m, enum flight flight)
{
	struct party *c = &m->client;

	if (flight == VERIFY_REQUEST && c->flight == HELLO) {
		new_flight(m, c, COOKIE_HELLO);
	} else if (flight == SERVER_FIRST && c->flight == COOKIE_HELLO) {
		new_flight(m, c, CLIENT_LAST);
		if (m->resumes)
			end(m, c, DTLS_OK);
	} else if (flight == SERVER_FIRST && c->flight == CLIENT_LAST && m->resumes) {
		transmit(m, c, CLIENT_LAST); /* no timer of its own */
	} else if (flight == SERVER_FIRST && c->flight == CLIENT_LAST) {
		resend(m, c); /* the server has not seen it */
	} else if (flight == SERVER_LAST && c->flight == CLIENT_LAST) {
		end(m, c, DTLS_OK);
	} else if (flight == ALERT && !m->restarted) {
		m->restarted = true; /* it may be forged */
		new_flight(m, c, HELLO);
		c->give_up_at = m->now + RESTART_MS;
	}
}

static void server_takes(struct model *m, enum flight flight)
{
	struct party *s = &m->server;

	if (flight == HELLO) {
		transmit(m, s, VERIFY_REQUEST);
	} else if (flight == COOKIE_HELLO && s->flight == NO_FLIGHT) {
		new_flight(m, s, SERVER_FIRST);
	} else if (flight == COOKIE_HELLO && s->flight == SERVER_FIRST) {
		resend(m, s);
	} else if (flight == CLIENT_LAST && s->flight == SERVER_FIRST) {
		s->flight = m->resumes ? NO_FLIGHT : SERVER_LAST;
		if (!m->resumes)
			transmit(m, s, SERVER_LAST);
		end(m, s, DTLS_OK);
	} else if (flight == CLIENT_LAST && s->flight == SERVER_LAST) {
		transmit(m, s, SERVER_LAST);
	} else if (flight == ALERT && s->flight == SERVER_FIRST) {
		end(m, s, DTLS_FAIL);
	}
}

static void take_arrivals(
    struct model *m, struct party *from, const struct party *to, void (*takes)(struct model *, enum flight))
{
	while (from->taken < from->queued && from->queue[from->taken].at <= m->now) {
		enum flight flight = from->queue[from->taken++].flight;

		if (to->status == DTLS_WANT_READ || to->status == DTLS_OK)
			takes(m, flight);
	}
}

static void fire_timers(const struct model *m, struct party *p, bool told_before)
{
	if (m->now >= p->give_up_at) {
		end(m, p, told_before ? DTLS_FAIL : DTLS_TIMEDOUT);
		if (!told_before)
			transmit(m, p, ALERT);
	} else if (m->now >= p->due_at) {
		p->delay_ms = p->delay_ms * 2 < MAX_MS ? p->delay_ms * 2 : MAX_MS;
		resend(m, p);
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t next_event(const struct party *p)
{
	int64_t arrival = p->taken < p->queued ? p->queue[p->taken].at : INT64_MAX;

	return earlier(arrival, earlier(p->due_at, p->give_up_at));
}

static void run_model(struct model *m, bool resumes, unsigned up_mask, unsigned down_mask)
{
	*m = (struct model){.resumes = resumes,
	    .now = resumes ? RESUMED_AT_MS : 0,
	    .client = {.mask = up_mask, .status = DTLS_WANT_READ, .done_at = -1},
	    .server = {.mask = down_mask, .status = DTLS_WANT_READ, .done_at = -1}};
	m->server.due_at = m->server.give_up_at = INT64_MAX;
	new_flight(m, &m->client, HELLO);
	while (m->client.status == DTLS_WANT_READ || m->server.status == DTLS_WANT_READ) {
		m->now = earlier(next_event(&m->client), next_event(&m->server));
		if (m->now == INT64_MAX)
			break;
		take_arrivals(m, &m->server, &m->client, client_takes);
		fire_timers(m, &m->client, m->restarted);
		take_arrivals(m, &m->client, &m->server, server_takes);
		fire_timers(m, &m->server, false);
	}
}

/* ---- the real thing */

struct tally_of_masks {
	unsigned connected, few_lost, few_connected;
};

static void assert_as_modelled(const struct pair *pair, const struct model *m, unsigned mask)
{
	ck_assert_msg(pair->client.status == m->client.status && pair->client.done_at == m->client.done_at,
	    "mask %#x: client %d at %lld ms, not %d at %lld ms (%s)", mask, pair->client.status,
	    (long long)pair->client.done_at, m->client.status, (long long)m->client.done_at,
	    dtls_conn_error(pair->client.conn));
	ck_assert_msg(pair->server.status == m->server.status && pair->server.done_at == m->server.done_at,
	    "mask %#x: server %d at %lld ms, not %d at %lld ms (%s)", mask, pair->server.status,
	    (long long)pair->server.done_at, m->server.status, (long long)m->server.done_at,
	    dtls_conn_error(pair->server.conn));
}

struct session {
	uint8_t bytes[1024];
	size_t len; /* 0: none */
};

static void bring(struct pair *pair, const struct session *session)
{
	sim_advance_to(pair->sim, RESUMED_AT_MS);
	pair_wrap(pair);
	ck_assert_int_eq(dtls_conn_session_load(pair->client.conn, session->bytes, session->len), DTLS_OK);
}

static void run_mask(struct pair *pair, const struct session *session, unsigned mask, struct tally_of_masks *tally)
{
	struct model model;
	bool few = __builtin_popcount(mask) < 7;

	pair_reopen(pair);
	sim_link_drop_mask(pair->client.out, mask & ((1 << LOSSES) - 1));
	sim_link_drop_mask(pair->server.out, mask >> LOSSES);
	if (session->len > 0)
		bring(pair, session);
	pair_handshake(pair);
	run_model(&model, session->len > 0, mask & ((1 << LOSSES) - 1), mask >> LOSSES);
	assert_as_modelled(pair, &model, mask);
	tally->few_lost += few;
	if (pair->client.status == DTLS_OK && pair->server.status == DTLS_OK) {
		tally->connected++;
		tally->few_connected += few;
		ck_assert_int_eq(dtls_conn_resumed(pair->client.conn), session->len > 0);
		ck_assert_int_eq(dtls_conn_resumed(pair->server.conn), session->len > 0);
		pair_assert_exchange(pair);
	}
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct tally_of_masks run_all(struct pair *pair, const struct session *session)
{
	struct tally_of_masks tally = {0, 0, 0};
	double before = cpu_s();

	for (unsigned mask = 0; mask < MASKS; mask++)
		run_mask(pair, session, mask, &tally);
	/* Two seconds; a sanitized build is given more time by the makefile. */
	ck_assert_double_lt(cpu_s() - before, 2.0 * TEST_TIMEOUT_S / 60);
	return tally;
}

START_TEST(masks_all)
{
	struct tally_of_masks tally;
	struct pair pair;

	pair_open(&pair);
	tally = run_all(&pair, &(struct session){.len = 0});
	pair_close(&pair);
	ck_assert_uint_eq(tally.few_lost, 848);
	ck_assert_uint_eq(tally.few_connected, 848);
	ck_assert_uint_eq(tally.connected, 966);
}
END_TEST

static struct tally_of_masks resume_all(bool by_ticket)
{
	struct tally_of_masks tally;
	struct session session;
	struct pair pair;

	pair_open(&pair);
	ck_assert_int_eq(dtls_context_set_resumption(pair.server.ctx, 3600000, by_ticket ? 0 : 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_session_tickets(pair.client.ctx, by_ticket), DTLS_OK);
	pair_handshake(&pair);
	ck_assert_int_eq(
	    dtls_conn_session_save(pair.client.conn, session.bytes, sizeof(session.bytes), &session.len), DTLS_OK);
	tally = run_all(&pair, &session);
	pair_close(&pair);
	return tally;
}

START_TEST(masks_resumed_by_ticket)
{
	struct tally_of_masks tally = resume_all(true);

	ck_assert_uint_eq(tally.few_lost, 848);
	ck_assert_uint_eq(tally.few_connected, 848);
	ck_assert_uint_eq(tally.connected, 966);
}
END_TEST

START_TEST(masks_resumed_by_id)
{
	struct tally_of_masks tally = resume_all(false);

	ck_assert_uint_eq(tally.few_connected, 848);
	ck_assert_uint_eq(tally.connected, 966);
}
END_TEST

Suite *masks_suite(void)
{
	Suite *s = suite_create("masks");

	TEST(s, masks_all);
	TEST(s, masks_resumed_by_ticket);
	TEST(s, masks_resumed_by_id);
	return s;
}
