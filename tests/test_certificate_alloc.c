/* Allocations fail in turn while certificates are loaded, and in a handshake where both sides show theirs: an error with
 * a sentence, no crash, no leak; what was loaded stays in force, and the next handshake works. */
#include "failing.h"
#include "pair.h"
#include "pki.h"

#include "dtls/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pair pair;

/* ---- the handshake */

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

	s->conn = dtls_wrap_transport(s->ctx, &transport);
	s->status = s->conn == NULL ? DTLS_FAIL : DTLS_WANT_READ;
}

/* Nothing here asserts: the test's own library needs memory, too. */
static void handshake(void)
{
	int64_t until = sim_now_ms(pair.sim) + 8000; /* a client starts over, once */

	wrap(&pair.client);
	wrap(&pair.server);
	if (pair.client.conn == NULL || pair.server.conn == NULL)
		return;
	if (dtls_conn_set_client_id(pair.server.conn, "client", 6) != DTLS_OK ||
	    dtls_conn_set_hostname(pair.client.conn, "localhost") != DTLS_OK)
		return;
	for (int64_t at = sim_now_ms(pair.sim); at <= until; at += PAIR_LATENCY_MS) {
		sim_advance_to(pair.sim, at);
		pair_step(&pair);
		if (pair.client.status != DTLS_WANT_READ && pair.server.status != DTLS_WANT_READ)
			break;
	}
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
	ck_assert_msg(strstr(reason_of(s), "pre-shared key") == NULL, "allocation %u: %s", nth, reason_of(s));
}

static bool connected(void)
{
	return pair.client.status == DTLS_OK && pair.server.status == DTLS_OK;
}

/* Returns whether the nth allocation was reached. Each handshake is the first one after a change of its contexts. */
static bool run_nth(unsigned nth)
{
	bool reached;

	pair_reopen(&pair);
	failing_arm(nth);
	handshake();
	reached = failing_happened();
	failing_arm(0);
	assert_honest(&pair.client, nth);
	assert_honest(&pair.server, nth);
	ck_assert_msg(reached || connected(), "%s%s", reason_of(&pair.client), reason_of(&pair.server));
	pair_reopen(&pair);
	handshake();
	ck_assert_msg(connected(), "after allocation %u: %s%s", nth, reason_of(&pair.client), reason_of(&pair.server));
	return reached;
}

/* From the first on, in steps; returns how many failed. */
static unsigned each_fails(unsigned step)
{
	unsigned count = 0;
	long before;

	pki_open(&pair, "server.pem", "server.key");
	pki_ask_client(&pair, CERT_REQUIRED, "client.pem", "client.key");
	run_nth(0);
	before = failing_live();
	for (unsigned nth = 1; run_nth(nth); nth += step, count++)
		ck_assert_msg(
		    failing_live() == before, "allocation %u: %ld blocks were lost", nth, failing_live() - before);
	pair_close(&pair);
	return count;
}

START_TEST(certificate_alloc_each_fails_in_a_handshake)
{
	failing_spare_numbers(true);
	ck_assert_uint_gt(each_fails(1), 120); /* two snapshots, two connections, a handshake */
}
END_TEST

/* Some of those that compute: a handshake has 56,000 of them with mbed TLS 2.28, 10,000 with 3.6. With EVERY_ALLOCATION
 * in the environment all of them, which takes CK_TIMEOUT_MULTIPLIER=60 and a quarter of an hour. */
START_TEST(certificate_alloc_numbers_fail_in_a_handshake)
{
	ck_assert_uint_gt(each_fails(getenv("EVERY_ALLOCATION") != NULL ? 1 : 251), 30);
}
END_TEST

/* ---- loading */

static int load_chain(struct dtls_context *ctx)
{
	return dtls_context_load_cert_chain(ctx, pki_path("rsa.pem"), pki_path("rsa.key"));
}

static int load_long_chain(struct dtls_context *ctx)
{
	return dtls_context_load_cert_chain(ctx, pki_path("chain.pem"), pki_path("leaf.key"));
}

static int load_encrypted_key(struct dtls_context *ctx)
{
	return dtls_context_load_cert_chain(ctx, pki_path("server.pem"), pki_path("server-encrypted.pem"));
}

static int load_der(struct dtls_context *ctx)
{
	return dtls_context_load_cert_chain(ctx, pki_path("server.der"), pki_path("server-sec1.der"));
}

static int load_for_a_name(struct dtls_context *ctx)
{
	return dtls_context_load_cert_chain_for(ctx, "elsewhere.example", pki_path("wrong.pem"), pki_path("wrong.key"));
}

static int load_ca(struct dtls_context *ctx)
{
	return dtls_context_load_verify_locations(ctx, pki_path("other.pem"));
}

static int load_crl(struct dtls_context *ctx)
{
	return dtls_context_load_crl(ctx, pki_path("ca.crl"));
}

static int replace_trust(struct dtls_context *ctx)
{
	return dtls_context_replace_trust(ctx, pki_path("ca.pem"), pki_path("ca.crl"));
}

struct load {
	const char *name;
	int (*call)(struct dtls_context *);
	unsigned numbers_step; /* how many of them are tried */
};

static const struct load loads[] = {{"chain", load_chain, 7}, {"long chain", load_long_chain, 31},
    {"encrypted key", load_encrypted_key, 31}, {"DER", load_der, 31}, {"chain for a name", load_for_a_name, 31},
    {"CA", load_ca, 1}, {"CRL", load_crl, 1}, {"trust", replace_trust, 1}};

static struct dtls_context *loaded_context(void)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	ck_assert_int_eq(dtls_context_set_key_password(ctx, "secret"), DTLS_OK);
	pki_load(ctx, "server.pem", "server.key");
	pki_trust(ctx, "ca.pem");
	return ctx;
}

static void assert_kept(struct dtls_context *ctx, const struct options *before, const struct load *l, unsigned nth)
{
	const char *why = dtls_context_error(ctx);

	/* What mbed TLS says of a file that it could not take in for want of memory may also be that it is damaged. */
	ck_assert_msg(strstr(why, "emory") != NULL || strstr(why, "MBEDTLS_ERR_") != NULL ||
			  strstr(why, "cannot be parsed") != NULL,
	    "%s, allocation %u: \"%s\"", l->name, nth, why);
	ck_assert_uint_eq(ctx->opt.own_count, before->own_count);
	ck_assert_ptr_eq(ctx->opt.own[0], before->own[0]);
	ck_assert_ptr_eq(ctx->opt.trust, before->trust);
	ck_assert_int_eq(dtls_context_check_key_pair(ctx), DTLS_OK);
}

/* Returns whether the nth allocation was reached. */
static bool load_nth(const struct load *l, unsigned nth)
{
	struct dtls_context *ctx = loaded_context();
	struct options before = ctx->opt;
	bool reached;
	int status;

	failing_arm(nth);
	status = l->call(ctx);
	reached = failing_happened();
	failing_arm(0);
	ck_assert_msg(reached || status == DTLS_OK, "%s: %s", l->name, dtls_context_error(ctx));
	if (status != DTLS_OK)
		assert_kept(ctx, &before, l, nth);
	ck_assert_msg(l->call(ctx) == DTLS_OK, "%s: %s", l->name, dtls_context_error(ctx));
	dtls_context_free(ctx);
	return reached;
}

static unsigned load_fails(const struct load *l, unsigned step)
{
	unsigned count = 0;
	long before;

	load_nth(l, 1); /* makes this thread's place for errors */
	before = failing_live();
	for (unsigned nth = 1; load_nth(l, nth); nth += step, count++)
		ck_assert_msg(failing_live() == before, "%s, allocation %u: %ld blocks were lost", l->name, nth,
		    failing_live() - before);
	return count;
}

START_TEST(certificate_alloc_each_fails_while_loading)
{
	for (size_t i = 0; i < sizeof(loads) / sizeof(*loads); i++) {
		failing_spare_numbers(true);
		ck_assert_uint_ge(load_fails(&loads[i], 1), 8);
		failing_spare_numbers(false);
		ck_assert_uint_ge(load_fails(&loads[i], loads[i].numbers_step), 4);
	}
}
END_TEST

Suite *certificate_alloc_suite(void)
{
	Suite *s = suite_create("certificate_alloc");

	pki_announce();
	TEST_WHERE(
	    FAILING_POSSIBLE, "a sanitizer has its own allocator", s, certificate_alloc_each_fails_in_a_handshake);
	TEST_WHERE(
	    FAILING_POSSIBLE, "a sanitizer has its own allocator", s, certificate_alloc_numbers_fail_in_a_handshake);
	TEST_WHERE(
	    FAILING_POSSIBLE, "a sanitizer has its own allocator", s, certificate_alloc_each_fails_while_loading);
	return s;
}
