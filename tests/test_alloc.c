/* Each allocation of a handshake fails in turn: an error, no crash, no leak, and the next handshake works. */
#include "failing.h"
#include "pair.h"

#include <string.h>

enum side_name { CLIENT, SERVER, SIDES };

struct party {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	struct sim_link *out, *in;
	int status;
	char error[512]; /* of what failed first */
};

struct run {
	struct sim *sim;
	struct party party[SIDES];
	enum side_name victim; /* on whose side the allocation failed */
};

/* The simulation's memory never runs out. */
static ssize_t paused_send(void *arg, const void *buf, size_t len)
{
	struct party *p = arg;
	ssize_t n;

	failing_pause(true);
	n = sim_link_send(p->out, buf, len);
	failing_pause(false);
	return n;
}

static ssize_t paused_recv(void *arg, void *buf, size_t len)
{
	struct party *p = arg;
	ssize_t n;

	failing_pause(true);
	n = sim_link_recv(p->in, buf, len);
	failing_pause(false);
	return n;
}

static void give_up(struct party *p, const char *error)
{
	p->status = DTLS_FAIL;
	snprintf(p->error, sizeof(p->error), "%s", error);
}

/* The settings of one side; memory may end anywhere. */
static void make_context(struct run *r, enum side_name side)
{
	static const char *const suites[] = {PAIR_SUITE};
	struct party *p = &r->party[side];

	p->status = DTLS_WANT_READ;
	p->ctx = dtls_context_new(side == CLIENT ? PROTOCOL_DTLS_CLIENT : PROTOCOL_DTLS_SERVER);
	if (p->ctx == NULL) {
		give_up(p, dtls_context_error(NULL));
		return;
	}
	dtls_context_set_clock(p->ctx, sim_now_ms, r->sim);
	dtls_context_set_retransmit(p->ctx, DTLS_RETRANSMIT_FIXED);
	if (dtls_context_set_ciphers(p->ctx, suites, 1) != DTLS_OK ||
	    dtls_context_set_psk(p->ctx, PAIR_IDENTITY, strlen(PAIR_IDENTITY), PAIR_KEY, strlen(PAIR_KEY)) != DTLS_OK)
		give_up(p, dtls_context_error(p->ctx));
}

static void make_conn(struct run *r, enum side_name side)
{
	struct party *p = &r->party[side];
	struct dtls_transport transport = {.send = paused_send, .recv = paused_recv, .arg = p};

	if (p->status != DTLS_WANT_READ)
		return;
	p->conn = dtls_wrap_transport(p->ctx, &transport);
	if (p->conn == NULL)
		give_up(p, dtls_context_error(p->ctx));
	else if (side == SERVER)
		dtls_conn_set_client_id(p->conn, "client", 6);
}

static void step(struct run *r, enum side_name side)
{
	struct party *p = &r->party[side];
	uint8_t sink[16];

	if (p->conn == NULL)
		return;
	if (p->status == DTLS_OK)
		dtls_conn_read(p->conn, sink, sizeof(sink));
	if (p->status != DTLS_WANT_READ)
		return;
	p->status = dtls_conn_handshake(p->conn);
	if (p->status < 0 && p->status != DTLS_WANT_READ)
		give_up(p, dtls_conn_error(p->conn));
}

/* One call for each side in turn; notes on whose side memory ended. */
static void both(struct run *r, void (*call)(struct run *, enum side_name))
{
	for (enum side_name side = CLIENT; side < SIDES; side++) {
		bool before = failing_happened();

		call(r, side);
		if (!before && failing_happened())
			r->victim = side;
	}
}

static void run_open(struct run *r, unsigned nth)
{
	struct sim_weather weather = {.latency_ms = PAIR_LATENCY_MS};
	struct party *client = &r->party[CLIENT], *server = &r->party[SERVER];

	memset(r, 0, sizeof(*r));
	r->victim = SIDES;
	r->sim = sim_new(1);
	client->out = server->in = sim_link_new(r->sim, &weather);
	client->in = server->out = sim_link_new(r->sim, &weather);
	failing_arm(nth);
	both(r, make_context);
}

static void run_handshake(struct run *r, int64_t from_ms)
{
	both(r, make_conn);
	for (int64_t at = from_ms; at <= from_ms + 10000; at += PAIR_LATENCY_MS) {
		sim_advance_to(r->sim, at);
		both(r, step);
	}
}

static void run_close(struct run *r)
{
	for (enum side_name side = CLIENT; side < SIDES; side++) {
		dtls_conn_free(r->party[side].conn);
		dtls_context_free(r->party[side].ctx);
	}
	sim_free(r->sim);
}

static bool connected(const struct run *r)
{
	return r->party[CLIENT].status == DTLS_OK && r->party[SERVER].status == DTLS_OK;
}

/* mbed TLS may swallow the error and compute a wrong Finished: even then the key is not blamed. */
static void assert_honest(const struct run *r, unsigned nth)
{
	const struct party *p = &r->party[r->victim];

	if (p->status == DTLS_OK || p->status == DTLS_WANT_READ)
		return;
	ck_assert_msg(p->error[0] != '\0', "allocation %u: no reason is given", nth);
	ck_assert_msg(strstr(p->error, "BAD_HS_FINISHED") == NULL || strstr(p->error, "pre-shared key") == NULL,
	    "allocation %u: %s", nth, p->error);
}

/* Over the same contexts, with memory again. */
static void assert_next_one_works(struct run *r, unsigned nth)
{
	for (enum side_name side = CLIENT; side < SIDES; side++) {
		struct party *p = &r->party[side];
		bool is_set_up = p->conn != NULL;

		dtls_conn_free(p->conn);
		p->conn = NULL;
		p->status = DTLS_WANT_READ;
		if (is_set_up)
			continue;
		dtls_context_free(p->ctx);
		make_context(r, side);
	}
	while (sim_link_recv(r->party[CLIENT].in, &(char){0}, 1) >= 0 ||
	       sim_link_recv(r->party[SERVER].in, &(char){0}, 1) >= 0)
		continue;
	run_handshake(r, 20000);
	ck_assert_msg(connected(r), "after allocation %u: %s%s", nth, r->party[CLIENT].error, r->party[SERVER].error);
}

/* Returns whether the nth allocation was reached. */
static bool run_nth(unsigned nth)
{
	struct run r;
	bool reached;

	run_open(&r, nth);
	run_handshake(&r, 0);
	reached = failing_happened();
	failing_arm(0);
	if (reached)
		assert_honest(&r, nth);
	else
		ck_assert(connected(&r));
	assert_next_one_works(&r, nth);
	run_close(&r);
	return reached;
}

START_TEST(alloc_each_one_fails)
{
	unsigned nth = 1;
	long before;

	run_nth(0);
	before = failing_live();
	for (; run_nth(nth); nth++)
		ck_assert_msg(
		    failing_live() == before, "allocation %u: %ld blocks were lost", nth, failing_live() - before);
	ck_assert_uint_gt(nth, 40); /* two contexts, two connections, a handshake */
}
END_TEST

/* What is only lost is asked for again: the gate, and a datagram that finds no room for a session. */
START_TEST(alloc_some_do_no_harm)
{
	unsigned harmless = 0;
	bool reached = true;
	struct run r;

	for (unsigned nth = 1; reached; nth++) {
		run_open(&r, nth);
		run_handshake(&r, 0);
		reached = failing_happened();
		failing_arm(0);
		harmless += reached && r.victim == SERVER && connected(&r);
		run_close(&r);
	}
	ck_assert_uint_ge(harmless, 5);
}
END_TEST

Suite *alloc_suite(void)
{
	Suite *s = suite_create("alloc");

	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", s, alloc_each_one_fails);
	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", s, alloc_some_do_no_harm);
	return s;
}
