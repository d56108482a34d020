#include "ends.h"

#include "pair.h"
#include "pki.h"
#include "streams.h"

#include <string.h>

static struct pair pair;
static struct streams streams;

const char *ends_version(enum protocol protocol)
{
	static const char *const versions[] = {"DTLSv1.2", "TLSv1.2", "TLSv1.3"};

	return versions[protocol];
}

void ends_open(struct ends *e, enum protocol protocol)
{
	memset(e, 0, sizeof(*e));
	e->protocol = protocol;
	if (protocol == OVER_DTLS) {
		e->pair = &pair;
		pair_open(&pair);
		e->client.ctx = pki_context(&pair, &pair.client, PROTOCOL_DTLS_CLIENT);
		e->server.ctx = pki_context(&pair, &pair.server, PROTOCOL_DTLS_SERVER);
		return;
	}
	e->streams = &streams;
	streams_open_bare(&streams);
	e->client.ctx = streams.client.ctx;
	e->server.ctx = streams.server.ctx;
	if (protocol != OVER_TLS_1_3)
		return;
	ck_assert_int_eq(dtls_context_set_max_version(e->client.ctx, DTLS_VERSION_1_3), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_max_version(e->server.ctx, DTLS_VERSION_1_3), DTLS_OK);
}

void ends_wrap(struct ends *e, const char *hostname)
{
	if (e->protocol == OVER_DTLS)
		pair_wrap(&pair);
	else
		streams_wrap(&streams);
	e->client.conn = e->protocol == OVER_DTLS ? pair.client.conn : streams.client.conn;
	e->server.conn = e->protocol == OVER_DTLS ? pair.server.conn : streams.server.conn;
	ck_assert_int_eq(dtls_conn_set_hostname(e->client.conn, hostname), DTLS_OK);
}

void ends_run(struct ends *e)
{
	if (e->protocol == OVER_DTLS)
		pair_handshake(&pair);
	else
		streams_handshake(&streams);
	e->client.status = e->protocol == OVER_DTLS ? pair.client.status : streams.client.status;
	e->server.status = e->protocol == OVER_DTLS ? pair.server.status : streams.server.status;
}

void ends_handshake(struct ends *e, const char *hostname)
{
	ends_wrap(e, hostname);
	ends_run(e);
}

static void side_again(struct side *s, struct dtls_context *ctx)
{
	uint8_t late[PAIR_MESSAGE_MAX];

	dtls_conn_free(s->conn);
	s->conn = NULL;
	s->ctx = ctx;
	s->status = DTLS_WANT_READ;
	s->done_at = -1;
	s->messages = 0;
	while (sim_link_recv(s->in, late, sizeof(late)) >= 0)
		continue;
}

void ends_again(struct ends *e)
{
	if (e->protocol != OVER_DTLS) {
		streams.client.ctx = e->client.ctx;
		streams.server.ctx = e->server.ctx;
		streams_reopen(&streams);
		return;
	}
	sim_advance_to(pair.sim, sim_now_ms(pair.sim) + PAIR_LATENCY_MS);
	side_again(&pair.client, e->client.ctx);
	side_again(&pair.server, e->server.ctx);
}

void ends_assert_connected(struct ends *e)
{
	ck_assert_msg(
	    e->client.status == DTLS_OK, "%s: %s", ends_version(e->protocol), dtls_conn_error(e->client.conn));
	ck_assert_msg(
	    e->server.status == DTLS_OK, "%s: %s", ends_version(e->protocol), dtls_conn_error(e->server.conn));
	ck_assert_str_eq(dtls_conn_version(e->client.conn), ends_version(e->protocol));
	if (e->protocol == OVER_DTLS)
		pair_assert_exchange(&pair);
	else
		streams_assert_exchange(&streams);
}

void end_assert_error(const struct end *end, const char *part)
{
	assert_error(end->conn, part);
}

/* Under TLS 1.3 a client has finished before it is judged: it is told when it reads, if it can read the alert. */
void ends_assert_client_refused(struct ends *e, const char *says)
{
	char buf[8];

	ck_assert_msg(
	    e->server.status == DTLS_FAIL, "%s: %d, and not: %s", ends_version(e->protocol), e->server.status, says);
	end_assert_error(&e->server, says);
	if (e->protocol != OVER_TLS_1_3)
		end_assert_error(&e->client, "handshake with the peer failed: the peer sent the alert");
	else if (e->client.status == DTLS_OK)
		e->client.status = (int)dtls_conn_read(e->client.conn, buf, sizeof(buf));
	ck_assert_int_eq(e->client.status, DTLS_FAIL);
	ck_assert_str_ne(dtls_conn_error(e->client.conn), "");
}

void ends_close(struct ends *e)
{
	if (e->protocol == OVER_DTLS)
		pair_close(&pair);
	else
		streams_close(&streams);
	memset(e, 0, sizeof(*e));
}
