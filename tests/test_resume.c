/* A client comes back with a session: by ticket and by session id, and what must make it begin from scratch. */
#include "resuming.h"

#include <string.h>

static void assert_both(const struct pair *p, int resumed)
{
	ck_assert_msg(p->client.status == DTLS_OK, "%s", dtls_conn_error(p->client.conn));
	ck_assert_msg(p->server.status == DTLS_OK, "%s", dtls_conn_error(p->server.conn));
	ck_assert_int_eq(dtls_conn_resumed(p->client.conn), resumed);
	ck_assert_int_eq(dtls_conn_resumed(p->server.conn), resumed);
}

START_TEST(resume_ticket)
{
	struct pair p;
	struct saved saved;

	pair_open(&p);
	resuming_allow(&p, 3600000, 0);
	ck_assert_int_eq(dtls_context_set_session_tickets(p.client.ctx, 1), DTLS_OK);
	pair_handshake(&p);
	assert_both(&p, 0);
	resuming_save(&p, &saved);
	resuming_load(&p, &saved);
	pair_handshake(&p);
	assert_both(&p, 1);
	pair_assert_exchange(&p);
	pair_close(&p);
}
END_TEST

START_TEST(resume_id)
{
	struct pair p;
	struct saved saved;

	pair_open(&p);
	resuming_allow(&p, 3600000, 10);
	pair_handshake(&p);
	assert_both(&p, 0);
	resuming_save(&p, &saved);
	resuming_load(&p, &saved);
	pair_handshake(&p);
	assert_both(&p, 1);
	pair_assert_exchange(&p);
	pair_close(&p);
}
END_TEST

Suite *resume_suite(void)
{
	Suite *s = suite_create("resume");

	TEST(s, resume_ticket);
	TEST(s, resume_id);
	return s;
}
