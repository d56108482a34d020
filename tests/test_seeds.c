/* Random weather in both directions, from seeds: a failing seed is printed, and repeats the run. */
#include "pair.h"
#include "seeded.h"

#include <string.h>

enum { SEEDS = 300, MESSAGES = 20, PATIENCE_MS = 123000, RESTART_MS = 7000 };

struct storm {
	struct pair pair;
	bool corrupts;
	unsigned arrived[MESSAGES], echoed[MESSAGES];
};

static double upto(uint64_t *state, double most)
{
	return (double)seeded_below(state, 1001) / 1000 * most;
}

static struct sim_weather weather_of(uint64_t *state, bool corrupts)
{
	struct sim_weather w = {.latency_ms = (int64_t)seeded_below(state, 100),
	    .jitter_ms = (int64_t)seeded_below(state, 50),
	    .loss = upto(state, 0.3),
	    .duplicate = upto(state, 0.2),
	    .reorder = upto(state, 0.2),
	    .corrupt = upto(state, corrupts ? 0.1 : 0)};

	if (seeded_below(state, 4) == 0) {
		w.burst_enter = 0.05;
		w.burst_leave = 0.3;
		w.burst_loss = 0.9;
	}
	return w;
}

static void open_storm(struct storm *s, uint64_t seed)
{
	struct side *sides[] = {&s->pair.client, &s->pair.server};
	bool corrupts = seed % 3 != 0;
	uint64_t state = seed;
	struct sim_weather up = weather_of(&state, corrupts), down = weather_of(&state, corrupts);

	memset(s, 0, sizeof(*s));
	s->corrupts = corrupts;
	pair_open_in(&s->pair, seed, &up);
	ck_assert_int_eq(sim_link_set_weather(s->pair.server.out, &down), DTLS_OK);
	for (int i = 0; i < 2; i++) {
		if (seed % 2 == 0)
			ck_assert_int_eq(dtls_context_set_retransmit(sides[i]->ctx, DTLS_RETRANSMIT_ADAPTIVE), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_retransmit_jitter(sides[i]->ctx, 0), DTLS_OK);
	}
	pair_wrap(&s->pair);
}

/* ---- messages: a number and bytes that follow from it */

static size_t make_message(unsigned number, uint8_t *out)
{
	uint64_t state = number;
	size_t len = 1 + (size_t)number * 55;

	out[0] = (uint8_t)number;
	seeded_bytes(&state, out + 1, len - 1);
	return len;
}

static void count_message(unsigned counts[MESSAGES], const uint8_t *message, size_t len)
{
	uint8_t expected[PAIR_MESSAGE_MAX];

	ck_assert_uint_gt(len, 0);
	ck_assert_uint_lt(message[0], MESSAGES);
	ck_assert_uint_eq(make_message(message[0], expected), len);
	ck_assert_mem_eq(message, expected, len);
	counts[message[0]]++;
}

static void server_heard(struct side *server, const uint8_t *message, size_t len)
{
	struct storm *s = server->arg;

	count_message(s->arrived, message, len);
	ck_assert_int_eq(dtls_conn_write(server->conn, message, len), (ssize_t)len);
}

static void client_heard(struct side *client, const uint8_t *message, size_t len)
{
	struct storm *s = client->arg;

	count_message(s->echoed, message, len);
}

static void exchange(struct storm *s)
{
	uint8_t message[PAIR_MESSAGE_MAX];

	s->pair.server.heard = server_heard;
	s->pair.client.heard = client_heard;
	s->pair.server.arg = s->pair.client.arg = s;
	for (unsigned i = 0; i < MESSAGES; i++) {
		size_t len = make_message(i, message);

		ck_assert_int_eq(dtls_conn_write(s->pair.client.conn, message, len), (ssize_t)len);
		pair_for(&s->pair, 10);
	}
	pair_for(&s->pair, 2000);
}

/* ---- what must hold */

/* Three flights, and once over: after an alert that may be forged. */
static void assert_ended_in_time(const struct side *s, uint64_t seed)
{
	ck_assert_msg(s->done_at <= 5 * PATIENCE_MS + RESTART_MS, "seed %llu: ended at %lld ms",
	    (unsigned long long)seed, (long long)s->done_at);
	/* A server that never saw a cookie has nothing to end. */
	ck_assert_msg(s->status != DTLS_WANT_READ || s->conn->a == NULL, "seed %llu: hangs", (unsigned long long)seed);
	if (s->status != DTLS_OK && s->status != DTLS_WANT_READ)
		ck_assert_str_ne(dtls_conn_error(s->conn), "");
}

/* Nothing but silence ends a handshake on a path that only loses, repeats and reorders. */
static void assert_end(const struct storm *s, uint64_t seed)
{
	assert_ended_in_time(&s->pair.client, seed);
	assert_ended_in_time(&s->pair.server, seed);
	if (!s->corrupts)
		ck_assert_msg(s->pair.client.status == DTLS_OK || s->pair.client.status == DTLS_TIMEDOUT,
		    "seed %llu: %s", (unsigned long long)seed, dtls_conn_error(s->pair.client.conn));
}

static void assert_once(const struct storm *s, uint64_t seed)
{
	for (int i = 0; i < MESSAGES; i++)
		ck_assert_msg(s->arrived[i] <= 1 && s->echoed[i] <= s->arrived[i],
		    "seed %llu: message %d came %u times, its echo %u times", (unsigned long long)seed, i,
		    s->arrived[i], s->echoed[i]);
}

static unsigned sum(const unsigned counts[MESSAGES])
{
	unsigned n = 0;

	for (int i = 0; i < MESSAGES; i++)
		n += counts[i];
	return n;
}

struct totals {
	unsigned connected, arrived, echoed;
	uint64_t forgeries;
};

static void run_seed(uint64_t seed, struct totals *totals)
{
	static struct storm s;

	open_storm(&s, seed);
	pair_handshake(&s.pair);
	assert_end(&s, seed);
	if (s.pair.client.status == DTLS_OK && s.pair.server.status == DTLS_OK) {
		exchange(&s);
		assert_once(&s, seed);
		/* Corruption and loss end no session. */
		ck_assert_msg(s.pair.client.status == DTLS_OK && s.pair.server.status == DTLS_OK, "seed %llu: %s%s",
		    (unsigned long long)seed, dtls_conn_error(s.pair.client.conn), dtls_conn_error(s.pair.server.conn));
		pair_assert_exchange(&s.pair);
		totals->connected++;
		totals->arrived += sum(s.arrived);
		totals->echoed += sum(s.echoed);
		totals->forgeries += s.pair.server.conn->tally.forgeries;
	}
	pair_close(&s.pair);
}

START_TEST(seeds_every_handshake_ends)
{
	struct totals totals = {0, 0, 0, 0};

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		run_seed(seed, &totals);
	ck_assert_uint_ge(totals.connected, SEEDS * 8 / 10);
	ck_assert_uint_ge(totals.arrived, totals.connected * MESSAGES * 7 / 10);
	ck_assert_uint_ge(totals.echoed, totals.connected * MESSAGES * 5 / 10);
	ck_assert_uint_gt(totals.forgeries, 0);
}
END_TEST

/* ---- one seed, one story */

struct fates { /* when each datagram left, and whether it arrived; not its bytes, which are random */
	int64_t count;
	struct {
		int64_t at_ms, len, copies;
	} sent[200];
};

static void note(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	struct fates *f = arg;

	(void)datagram;
	ck_assert_int_lt(f->count, 200);
	f->sent[f->count].at_ms = now_ms;
	f->sent[f->count].len = (int64_t)len;
	f->sent[f->count++].copies = delivered;
}

static void run_noted(uint64_t seed, struct fates *up, struct fates *down)
{
	static struct storm s;

	memset(up, 0, sizeof(*up));
	memset(down, 0, sizeof(*down));
	open_storm(&s, seed);
	sim_link_tap(s.pair.client.out, note, up);
	sim_link_tap(s.pair.server.out, note, down);
	pair_handshake(&s.pair);
	if (s.pair.client.status == DTLS_OK)
		exchange(&s);
	pair_close(&s.pair);
}

START_TEST(seeds_repeat)
{
	static struct fates up[2], down[2];

	for (uint64_t seed = 1; seed <= 40; seed++) {
		run_noted(seed, &up[0], &down[0]);
		run_noted(seed, &up[1], &down[1]);
		ck_assert_msg(memcmp(&up[0], &up[1], sizeof(up[0])) == 0, "seed %llu", (unsigned long long)seed);
		ck_assert_msg(memcmp(&down[0], &down[1], sizeof(down[0])) == 0, "seed %llu", (unsigned long long)seed);
	}
}
END_TEST

Suite *seeds_suite(void)
{
	Suite *s = suite_create("seeds");

	TEST(s, seeds_every_handshake_ends);
	TEST(s, seeds_repeat);
	return s;
}
