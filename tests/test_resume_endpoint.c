/* Clients that come back to an endpoint: through the gate like everybody, as peers like all others. */
#include "net.h"
#include "suites.h"

#include "dtls/record.h"

#include <string.h>

enum { LIFETIME_MS = 3600000, SAVED_MAX = 1024 };

struct saved {
	uint8_t bytes[SAVED_MAX];
	size_t len;
};

static struct saved saved, other_saved;
static struct dtls_context *other; /* clients with NET_OTHER */

static struct net *new_net(bool by_ticket, const struct dtls_limits *limits)
{
	struct net *n = net_new(1, limits);

	other = net_client_context(n, NET_OTHER, NULL);
	ck_assert_int_eq(dtls_context_set_resumption(n->server_ctx, LIFETIME_MS, by_ticket ? 0 : 100), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_session_tickets(n->client_ctx, by_ticket), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_session_tickets(other, by_ticket), DTLS_OK);
	return n;
}

static void free_net(struct net *n)
{
	dtls_context_free(other);
	net_free(n);
}

static void save(const struct client *c, struct saved *s)
{
	ck_assert_msg(dtls_conn_session_save(c->conn, s->bytes, sizeof(s->bytes), &s->len) == DTLS_OK, "%s",
	    dtls_conn_error(c->conn));
}

static void load(const struct client *c, const struct saved *s)
{
	ck_assert_msg(dtls_conn_session_load(c->conn, s->bytes, s->len) == DTLS_OK, "%s", dtls_conn_error(c->conn));
}

static void assert_peer(const struct client *c, const char *identity, int resumed)
{
	size_t len;
	const uint8_t *found = dtls_peer_psk_identity(client_peer(c), &len);

	ck_assert_uint_eq(len, strlen(identity));
	ck_assert_mem_eq(found, identity, len);
	ck_assert_int_eq(dtls_peer_resumed(client_peer(c)), resumed);
	ck_assert_int_eq(dtls_conn_resumed(c->conn), resumed);
}

static void from_another_address(bool by_ticket)
{
	struct net *n = new_net(by_ticket, NULL);
	struct client *c = client_connected(n, 2, 1, NULL), *again;
	int64_t began;

	assert_peer(c, NET_IDENTITY, 0);
	save(c, &saved);
	began = net_now(n);
	again = client_new(n, 3, 7, NULL);
	load(again, &saved);
	net_run(n, began + 5 * NET_LATENCY_MS);
	ck_assert_int_eq(again->status, DTLS_OK);
	ck_assert_int_eq(again->done_at, began + 4 * NET_LATENCY_MS);
	assert_peer(again, NET_IDENTITY, 1);
	client_echoes(again, "resumed");
	client_echoes(c, "the first one lives");
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CONNECTED);
	ck_assert_int_eq(net_event(n, 1)->at_ms, began + 5 * NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).handshakes_completed, 2);
	ck_assert_uint_eq(net_stats(n).handshakes_resumed, 1);
	ck_assert_uint_eq(net_stats(n).peers, 2);
	free_net(n);
}

START_TEST(resume_endpoint_from_another_address)
{
	from_another_address(true);
	from_another_address(false);
}
END_TEST

/* RFC 6347, 4.2.8, by an abbreviated handshake: the old session goes on until the new Finished has verified. */
static void replaces(bool by_ticket)
{
	struct net *n = new_net(by_ticket, NULL);
	struct client *c = client_connected(n, 2, 1, NULL);
	struct dtls_conn *old;

	save(c, &saved);
	net_run(n, 1000);
	old = client_swap(c, NULL);
	load(c, &saved);
	net_run(n, 1000 + 4 * NET_LATENCY_MS);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	ck_assert_int_eq(dtls_conn_write(old, "old", 3), 3);
	net_run(n, 1000 + 5 * NET_LATENCY_MS);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_REPLACED);
	ck_assert_int_eq(net_event(n, 2)->at_ms, 1000 + 5 * NET_LATENCY_MS);
	assert_peer(c, NET_IDENTITY, 1);
	client_echoes(c, "the new one");
	ck_assert_uint_eq(n->out_alerts, 0);
	dtls_conn_free(old);
	free_net(n);
}

START_TEST(resume_endpoint_replaces)
{
	replaces(true);
	replaces(false);
}
END_TEST

/* Another client's session at the address of this one: the identity is that of the session. */
START_TEST(resume_endpoint_replaces_somebody_else)
{
	struct net *n = new_net(true, NULL);
	struct client *c = client_connected(n, 2, 1, other);

	save(c, &other_saved);
	client_reboot(c, NULL);
	net_run(n, net_now(n) + 200);
	assert_peer(c, NET_IDENTITY, 0);
	client_reboot(c, other);
	load(c, &other_saved);
	net_run(n, net_now(n) + 200);
	assert_peer(c, NET_OTHER, 1);
	client_echoes(c, "x");
	ck_assert_uint_eq(net_stats(n).peers, 1);
	ck_assert_uint_eq(net_stats(n).closed_replaced, 2);
	free_net(n);
}
END_TEST

/* A ticket buys nothing without a cookie. */
START_TEST(resume_endpoint_through_the_gate)
{
	struct net *n = new_net(true, NULL);
	struct client *c = client_connected(n, 2, 1, NULL), *again;
	struct sockaddr_in stranger = net_address(9, 9);
	const struct datagram *hello;
	struct dtls_stats before;

	save(c, &saved);
	again = client_new(n, 3, 7, NULL);
	load(again, &saved);
	net_run(n, net_now(n) + 200);
	assert_peer(again, NET_IDENTITY, 1);
	before = net_stats(n);
	for (int with_cookie = 0; with_cookie < 2; with_cookie++) {
		hello = client_hello(again, with_cookie);
		net_inject(n, &stranger, hello->bytes, hello->len);
		ck_assert_uint_eq(n->out.bytes[13], MESSAGE_HELLO_VERIFY_REQUEST);
		ck_assert_uint_lt(n->out.len, hello->len);
	}
	ck_assert_uint_eq(net_stats(n).handshakes_started, before.handshakes_started);
	ck_assert_uint_eq(net_stats(n).hello_replies, before.hello_replies + 2);
	/* From its own address it is the hello that began the session. */
	hello = client_hello(again, true);
	net_inject(n, &again->addr, hello->bytes, hello->len);
	ck_assert_uint_eq(net_stats(n).drop_replayed_hello, 1);
	client_echoes(again, "still here");
	free_net(n);
}
END_TEST

/* Whoever repeats a hello and its cookie does not get far: the Finished is for other randoms. */
START_TEST(resume_endpoint_by_a_thief_of_tickets)
{
	struct net *n = new_net(true, NULL);
	struct client *c = client_connected(n, 2, 1, NULL), *again;
	const struct datagram *hello, *finished;

	save(c, &saved);
	again = client_new(n, 3, 7, NULL);
	load(again, &saved);
	net_run(n, net_now(n) + 200);
	hello = client_hello(again, true);
	finished = &again->sent[again->sent_count - 1];
	dtls_peer_close(client_peer(again));
	again->frozen = true;
	net_inject(n, &again->addr, hello->bytes, hello->len);
	net_inject(n, &again->addr, finished->bytes, finished->len);
	ck_assert_uint_eq(net_stats(n).handshakes_completed, 2);
	ck_assert_uint_eq(net_stats(n).handshakes_failed, 1);
	client_echoes(c, "still here");
	free_net(n);
}
END_TEST

/* "Change the key first": then neither its sessions nor its tickets are of use, whenever they come. */
static void revoked(bool by_ticket, int64_t ms)
{
	struct net *n = new_net(by_ticket, NULL);
	struct client *c = client_connected(n, 2, 1, NULL), *again;
	int64_t began;

	save(c, &saved);
	began = net_now(n);
	again = client_new(n, 3, 7, NULL);
	load(again, &saved);
	net_run(n, began + ms);
	ck_assert_int_eq(
	    dtls_context_add_psk(n->server_ctx, NET_IDENTITY, strlen(NET_IDENTITY), "another key 1234", 16), DTLS_OK);
	ck_assert_int_ge(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 1);
	net_run(n, began + 20000);
	ck_assert_int_ne(again->status, DTLS_OK);
	ck_assert_uint_eq(net_stats(n).peers, 0);
	free_net(n);
}

START_TEST(resume_endpoint_not_after_a_revocation)
{
	for (int64_t ms = 0; ms <= 4 * NET_LATENCY_MS; ms += NET_LATENCY_MS) {
		revoked(true, ms);
		revoked(false, ms);
	}
}
END_TEST

/* One ticket may be used by several at once; nothing of one session is the other's. */
START_TEST(resume_endpoint_twice_at_the_same_time)
{
	struct net *n = new_net(true, NULL);
	struct client *c = client_connected(n, 2, 1, NULL), *twins[2];

	save(c, &saved);
	for (unsigned i = 0; i < 2; i++) {
		twins[i] = client_new(n, 3, 7 + i, NULL);
		load(twins[i], &saved);
	}
	net_run(n, net_now(n) + 200);
	for (unsigned i = 0; i < 2; i++) {
		assert_peer(twins[i], NET_IDENTITY, 1);
		client_echoes(twins[i], i == 0 ? "one" : "two");
	}
	ck_assert_uint_eq(
	    dtls_peer_generation(client_peer(twins[0])) == dtls_peer_generation(client_peer(twins[1])), 0);
	free_net(n);
}
END_TEST

Suite *resume_endpoint_suite(void)
{
	Suite *s = suite_create("resume_endpoint");

	TEST(s, resume_endpoint_from_another_address);
	TEST(s, resume_endpoint_replaces);
	TEST(s, resume_endpoint_replaces_somebody_else);
	TEST(s, resume_endpoint_through_the_gate);
	TEST(s, resume_endpoint_by_a_thief_of_tickets);
	TEST(s, resume_endpoint_not_after_a_revocation);
	TEST(s, resume_endpoint_twice_at_the_same_time);
	return s;
}
