#include "resuming.h"

#include "dtls/resumable.h"

#include <string.h>

void resuming_allow(struct dtls_context *client, struct dtls_context *server, enum way way)
{
	ck_assert_msg(
	    dtls_context_set_resumption(server, RESUMING_LIFETIME_MS, way == BY_ID ? RESUMING_CACHE : 0) == DTLS_OK,
	    "%s", dtls_context_error(server));
	ck_assert_int_eq(dtls_context_set_session_tickets(client, way == BY_TICKET), DTLS_OK);
}

void resuming_open_bare(struct ends *e, enum protocol protocol, enum way way)
{
	ends_open(e, protocol);
	resuming_allow(e->client.ctx, e->server.ctx, way);
}

void resuming_key(struct dtls_context *ctx, const char *key)
{
	ck_assert_int_eq(
	    dtls_context_set_psk(ctx, RESUMING_IDENTITY, strlen(RESUMING_IDENTITY), key, strlen(key)), DTLS_OK);
}

void resuming_suite(struct dtls_context *ctx, const char *suite)
{
	ck_assert_msg(dtls_context_set_ciphers(ctx, &suite, 1) == DTLS_OK, "%s", dtls_context_error(ctx));
}

void resuming_open(struct ends *e, enum protocol protocol, enum way way)
{
	resuming_open_bare(e, protocol, way);
	resuming_key(e->client.ctx, RESUMING_KEY);
	resuming_key(e->server.ctx, RESUMING_KEY);
	resuming_suite(e->client.ctx, "TLS-PSK-WITH-AES-128-CCM-8");
	resuming_suite(e->server.ctx, "TLS-PSK-WITH-AES-128-CCM-8");
}

static void assert_resumed(const struct ends *e, int resumed)
{
	ck_assert_int_eq(dtls_conn_resumed(e->client.conn), resumed);
	ck_assert_int_eq(dtls_conn_resumed(e->server.conn), resumed);
}

void resuming_save(struct ends *e, struct saved *saved)
{
	int status = dtls_conn_session_save(e->client.conn, saved->bytes, sizeof(saved->bytes), &saved->len);

	ck_assert_msg(status == DTLS_OK, "%d: %s", status, dtls_conn_error(e->client.conn));
}

void resuming_first(struct ends *e, const char *hostname, struct saved *saved)
{
	ends_again(e);
	ends_handshake(e, hostname);
	ends_assert_connected(e);
	assert_resumed(e, 0);
	if (saved != NULL)
		resuming_save(e, saved);
}

void resuming_return(struct ends *e, const char *hostname, const struct saved *saved)
{
	ends_again(e);
	ends_wrap(e, hostname);
	ck_assert_msg(dtls_conn_session_load(e->client.conn, saved->bytes, saved->len) == DTLS_OK, "%s",
	    dtls_conn_error(e->client.conn));
	ends_run(e);
}

void resuming_assert(struct ends *e, const char *hostname, const struct saved *saved, int resumed)
{
	resuming_return(e, hostname, saved);
	ends_assert_connected(e);
	assert_resumed(e, resumed);
}

void resuming_assert_refused(struct ends *e, const char *hostname, const struct saved *saved, const char *says)
{
	ends_again(e);
	ends_wrap(e, hostname);
	ck_assert_int_eq(dtls_conn_session_load(e->client.conn, saved->bytes, saved->len), DTLS_FAIL);
	end_assert_error(&e->client, says);
	ends_run(e);
	ends_assert_connected(e);
	assert_resumed(e, 0);
}

void saved_change(struct saved *saved, size_t at, uint8_t xor)
{
	size_t len = saved->len - RESUMABLE_DIGEST;

	ck_assert_uint_lt(at, len);
	saved->bytes[at] ^= xor;
	ck_assert_int_eq(resumable_digest((struct bytes){saved->bytes, len}, saved->bytes + len), 0);
}
