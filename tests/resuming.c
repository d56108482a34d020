#include "resuming.h"

void resuming_allow(struct pair *p, int64_t lifetime_ms, size_t cache_entries)
{
	ck_assert_msg(dtls_context_set_resumption(p->server.ctx, lifetime_ms, cache_entries) == DTLS_OK, "%s",
	    dtls_context_error(p->server.ctx));
}

void resuming_save(struct pair *p, struct saved *saved)
{
	int status = dtls_conn_session_save(p->client.conn, saved->bytes, sizeof(saved->bytes), &saved->len);

	ck_assert_msg(status == DTLS_OK, "%d: %s", status, dtls_conn_error(p->client.conn));
}

static void side_again(struct side *s)
{
	uint8_t late[PAIR_MESSAGE_MAX];

	dtls_conn_free(s->conn);
	s->status = DTLS_WANT_READ;
	s->done_at = -1;
	s->messages = 0;
	while (sim_link_recv(s->in, late, sizeof(late)) >= 0)
		continue;
}

void resuming_again(struct pair *p)
{
	sim_advance_to(p->sim, sim_now_ms(p->sim) + PAIR_LATENCY_MS);
	side_again(&p->client);
	side_again(&p->server);
	pair_wrap(p);
}

void resuming_load(struct pair *p, const struct saved *saved)
{
	resuming_again(p);
	ck_assert_msg(dtls_conn_session_load(p->client.conn, saved->bytes, saved->len) == DTLS_OK, "%s",
	    dtls_conn_error(p->client.conn));
}
