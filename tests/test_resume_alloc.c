/* Allocations fail in turn while a session is made that can be resumed, while it is saved and loaded, and while it is
 * resumed: a full handshake or an error with a sentence, no crash, no leak, and the next one works. */
#include "ends.h"
#include "failing.h"
#include "pair.h"
#include "pki.h"
#include "suites.h"

#include <string.h>

enum { LIFETIME_MS = 604800000, SAVED_MAX = 8192, PATIENCE_MS = 8000 /* a client starts over, once */ };

struct saved {
	uint8_t bytes[SAVED_MAX];
	size_t len; /* 0: none */
};

static struct pair pair;
static struct saved saved;

/* The simulation's memory never runs out. */
static ssize_t paused_send(void *arg, const void *buf, size_t len)
{
	ssize_t n;

	failing_pause(true);
	n = sim_link_send(((struct side *)arg)->out, buf, len);
	failing_pause(false);
	return n;
}

static ssize_t paused_recv(void *arg, void *buf, size_t len)
{
	ssize_t n;

	failing_pause(true);
	n = sim_link_recv(((struct side *)arg)->in, buf, len);
	failing_pause(false);
	return n;
}

static void wrap(struct side *s)
{
	struct dtls_transport transport = {.send = paused_send, .recv = paused_recv, .arg = s};
	char late[64];

	dtls_conn_free(s->conn);
	while (paused_recv(s, late, sizeof(late)) >= 0)
		continue;
	s->conn = dtls_wrap_transport(s->ctx, &transport);
	s->status = s->conn == NULL ? DTLS_FAIL : DTLS_WANT_READ;
}

static bool connected(void)
{
	return pair.client.status == DTLS_OK && pair.server.status == DTLS_OK;
}

/* Nothing here asserts: the test's own library needs memory, too. */
static void visit(const struct saved *with, struct saved *keep)
{
	int64_t until = sim_now_ms(pair.sim) + PATIENCE_MS;

	keep->len = 0;
	wrap(&pair.client);
	wrap(&pair.server);
	if (pair.client.conn == NULL || pair.server.conn == NULL ||
	    dtls_conn_set_client_id(pair.server.conn, "client", 6) != DTLS_OK ||
	    dtls_conn_set_hostname(pair.client.conn, "localhost") != DTLS_OK)
		return;
	if (with->len > 0)
		(void)dtls_conn_session_load(pair.client.conn, with->bytes, with->len);
	for (int64_t at = sim_now_ms(pair.sim); at <= until; at += PAIR_LATENCY_MS) {
		sim_advance_to(pair.sim, at);
		pair_step(&pair);
		if (pair.client.status != DTLS_WANT_READ && pair.server.status != DTLS_WANT_READ)
			break;
	}
	if (connected() &&
	    dtls_conn_session_save(pair.client.conn, keep->bytes, sizeof(keep->bytes), &keep->len) != DTLS_OK)
		keep->len = 0;
	sim_advance_to(pair.sim, sim_now_ms(pair.sim) + PAIR_LATENCY_MS);
}

static const char *reason_of(const struct side *s)
{
	return s->conn == NULL ? dtls_context_error(s->ctx) : dtls_conn_error(s->conn);
}

static void assert_honest(const struct side *s, unsigned nth)
{
	if (s->status == DTLS_OK || s->status == DTLS_WANT_READ)
		return;
	ck_assert_msg(reason_of(s)[0] != '\0', "allocation %u: status %d, and no reason is given", nth, s->status);
}

/* With memory: a session that can be resumed, which it is. */
static void assert_works(unsigned nth)
{
	static const struct saved none;
	struct saved again;

	visit(&none, &saved);
	ck_assert_msg(connected() && saved.len > 0, "after allocation %u: %s%s", nth, reason_of(&pair.client),
	    reason_of(&pair.server));
	visit(&saved, &again);
	ck_assert_msg(connected() && dtls_conn_resumed(pair.client.conn) && dtls_conn_resumed(pair.server.conn),
	    "after allocation %u: %s%s", nth, reason_of(&pair.client), reason_of(&pair.server));
}

/* Returns whether the nth allocation of a visit was reached. */
static bool run_nth(unsigned nth, bool first)
{
	static const struct saved none;
	struct saved kept;
	bool reached;

	failing_arm(nth);
	visit(first ? &none : &saved, &kept);
	reached = failing_happened();
	failing_arm(0);
	assert_honest(&pair.client, nth);
	assert_honest(&pair.server, nth);
	/* What was saved although an allocation has failed must be of use, or be none. */
	if (kept.len > 0) {
		visit(&kept, &saved);
		ck_assert_msg(connected(), "allocation %u, when it comes back: %s%s", nth, reason_of(&pair.client),
		    reason_of(&pair.server));
	}
	assert_works(nth);
	return reached;
}

static unsigned each_fails(bool first)
{
	unsigned count = 0;
	long before;

	failing_spare_numbers(true);
	assert_works(0);
	before = failing_live();
	for (unsigned nth = 1; run_nth(nth, first); nth++, count++)
		ck_assert_msg(
		    failing_live() == before, "allocation %u: %ld blocks were lost", nth, failing_live() - before);
	failing_spare_numbers(false);
	return count;
}

static void allow(size_t cache_entries)
{
	ck_assert_int_eq(dtls_context_set_resumption(pair.server.ctx, LIFETIME_MS, cache_entries), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_session_tickets(pair.client.ctx, cache_entries == 0), DTLS_OK);
}

START_TEST(resume_alloc_each_fails_with_a_key)
{
	for (size_t entries = 0; entries <= 1; entries++) {
		pair_open(&pair);
		allow(entries);
		ck_assert_uint_gt(each_fails(true), 25);
		ck_assert_uint_gt(each_fails(false), 25);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(resume_alloc_each_fails_with_certificates)
{
	pki_open(&pair, "chain.pem", "leaf.key");
	pki_ask_client(&pair, CERT_REQUIRED, "subclient-chain.pem", "subclient.key");
	allow(1);
	ck_assert_uint_gt(each_fails(false), 60);
	pair_close(&pair);
}
END_TEST

static void set_it(struct dtls_context *ctx, unsigned *failed)
{
	*failed += dtls_context_set_resumption(ctx, LIFETIME_MS, 100) != DTLS_OK;
}

START_TEST(resume_alloc_each_fails_when_it_is_set)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	unsigned failed = 0;
	long before;

	ck_assert_int_eq(dtls_context_set_resumption(ctx, LIFETIME_MS, 10), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_resumption(ctx, LIFETIME_MS, 100), DTLS_OK);
	before = failing_live();
	for (unsigned nth = 1; nth <= 3; nth++) {
		failing_arm(nth);
		set_it(ctx, &failed);
		ck_assert(failing_happened());
		failing_arm(0);
		ck_assert_uint_eq(failed, nth);
		ck_assert_str_eq(dtls_context_error(ctx), "out of memory");
		ck_assert_int_eq(failing_live(), before);
	}
	dtls_context_free(ctx);
}
END_TEST

Suite *resume_alloc_suite(void)
{
	static const char why[] = "a sanitizer has its own allocator";
	Suite *s = suite_create("resume_alloc");

	pki_announce();
	TEST_WHERE(FAILING_POSSIBLE, why, s, resume_alloc_each_fails_with_a_key);
	TEST_WHERE(FAILING_POSSIBLE, why, s, resume_alloc_each_fails_with_certificates);
	TEST_WHERE(FAILING_POSSIBLE, why, s, resume_alloc_each_fails_when_it_is_set);
	return s;
}
