/* What a stream costs: each allocation of a handshake fails in turn without harm, and a session leaves nothing behind. */
#include "failing.h"
#include "streams.h"

#include <string.h>

static struct streams s;

/* As far as memory allows; NULL where it did not. No assertions while memory is short: they allocate. */
static struct dtls_conn *wrapped(struct stream_side *side)
{
	struct dtls_transport transport = {.send = stream_side_send, .recv = stream_side_recv, .arg = side};

	return dtls_wrap_transport(side->ctx, &transport);
}

static void assert_honest(const struct stream_side *side, unsigned nth)
{
	const char *error = side->conn == NULL ? dtls_context_error(side->ctx) : dtls_conn_error(side->conn);

	if (side->conn != NULL && side->status != DTLS_FAIL)
		return;
	ck_assert_msg(error[0] != '\0', "allocation %u: no reason is given", nth);
	/* mbed TLS may swallow the error and compute a wrong Finished. */
	ck_assert_msg(strstr(error, "BAD_HS_FINISHED") == NULL || strstr(error, "pre-shared key") == NULL,
	    "allocation %u: %s", nth, error);
}

/* Two connections, a handshake, and bytes each way; returns whether the nth allocation was reached. */
static bool run_nth(unsigned nth)
{
	char buf[16];
	bool reached;

	streams_reopen(&s);
	failing_arm(nth);
	s.client.conn = wrapped(&s.client);
	s.server.conn = wrapped(&s.server);
	if (s.client.conn != NULL || s.server.conn != NULL)
		streams_handshake(&s);
	if (s.client.status == DTLS_OK)
		dtls_conn_write(s.client.conn, "x", 1);
	if (s.server.status == DTLS_OK)
		dtls_conn_read(s.server.conn, buf, sizeof(buf));
	reached = failing_happened();
	failing_arm(0);
	if (reached) {
		assert_honest(&s.client, nth);
		assert_honest(&s.server, nth);
	} else {
		streams_assert_connected(&s);
	}
	streams_reopen(&s);
	return reached;
}

START_TEST(stream_memory_each_allocation_fails)
{
	unsigned nth = 1;
	long before;

	streams_open(&s);
	run_nth(0);
	before = failing_live();
	for (; run_nth(nth); nth++) {
		ck_assert_msg(
		    failing_live() == before, "allocation %u: %ld blocks were lost", nth, failing_live() - before);
		streams_handshake(&s);
		streams_assert_connected(&s);
		streams_assert_exchange(&s);
		streams_reopen(&s);
	}
	ck_assert_uint_gt(nth, 20);
	streams_close(&s);
}
END_TEST

/* Whichever way a session ends. */
START_TEST(stream_memory_is_given_back)
{
	long before;
	char buf[16];

	streams_open(&s);
	streams_handshake(&s);
	streams_reopen(&s);
	before = failing_live();
	for (int how = 0; how < 4; how++) {
		streams_wrap(&s);
		ck_assert_int_gt(failing_live(), before);
		if (how > 0)
			streams_handshake(&s);
		if (how > 1) {
			streams_assert_exchange(&s);
			ck_assert_int_eq(dtls_conn_close(s.client.conn), DTLS_OK);
			ck_assert_int_eq(dtls_conn_read(s.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
		}
		if (how > 2)
			ck_assert_int_eq(dtls_conn_close(s.server.conn), DTLS_OK);
		streams_reopen(&s);
		ck_assert_int_eq(failing_live(), before);
	}
	streams_close(&s);
}
END_TEST

Suite *stream_memory_suite(void)
{
	Suite *suite = suite_create("stream_memory");

	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", suite, stream_memory_each_allocation_fails);
	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", suite, stream_memory_is_given_back);
	return suite;
}
