/* What a parked peer tells, and how it ends: as one that is awake does. */
#include "parking.h"
#include "pki.h"
#include "suites.h"

#include "dtls/endpoint.h"
#include "dtls/record.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The clients 0 and 1 are parked, 2 is awake. */
static struct net *two_parked(struct dtls_limits limits)
{
	struct net *n;

	limits.max_awake = 1;
	n = parking_net(3, &limits);
	parking_expect(n, "ppa");
	return n;
}

static struct dtls_peer *peer_of(const struct net *n, unsigned nth)
{
	return client_peer(parking_client(n, nth));
}

/* ---- what is asked for */

struct told {
	const uint8_t *identity, *cert;
	size_t identity_len, cert_len, max_payload;
	const char *cipher, *alpn;
	int64_t verify_result;
	uint64_t generation;
	const struct sockaddr *addr;
	socklen_t addr_len;
	char name[32], error[32];
};

static struct told ask(const struct dtls_peer *peer)
{
	const char *name = dtls_peer_name(peer);
	struct told t = {.max_payload = dtls_peer_max_payload(peer),
	    .cipher = dtls_peer_cipher(peer),
	    .alpn = dtls_peer_alpn(peer),
	    .verify_result = dtls_peer_verify_result(peer),
	    .generation = dtls_peer_generation(peer)};

	t.identity = dtls_peer_psk_identity(peer, &t.identity_len);
	t.cert = dtls_peer_cert(peer, &t.cert_len);
	t.addr = dtls_peer_addr(peer, &t.addr_len);
	snprintf(t.name, sizeof(t.name), "%s", name == NULL ? "(none)" : name);
	snprintf(t.error, sizeof(t.error), "%s", dtls_peer_error(peer));
	return t;
}

static void assert_same(const struct told *a, const struct told *b)
{
	ck_assert_uint_eq(a->max_payload, b->max_payload);
	ck_assert_str_eq(a->cipher, b->cipher);
	ck_assert_ptr_eq(a->alpn, b->alpn);
	ck_assert_int_eq(a->verify_result, b->verify_result);
	ck_assert_uint_eq(a->generation, b->generation);
	ck_assert_ptr_eq(a->identity, b->identity);
	ck_assert_uint_eq(a->identity_len, b->identity_len);
	ck_assert_uint_eq(a->cert_len, b->cert_len);
	ck_assert_ptr_eq(a->addr, b->addr);
	ck_assert_uint_eq(a->addr_len, b->addr_len);
	ck_assert_str_eq(a->name, b->name);
	ck_assert_str_eq(a->error, b->error);
}

static ssize_t from_nowhere(void *arg, const uint8_t *identity, size_t len, uint8_t *key, size_t max)
{
	(void)arg, (void)identity, (void)len;
	ck_assert_uint_ge(max, 16);
	memcpy(key, "0123456789abcdef", 16);
	return 16;
}

/* Of a table, whose identity is shared, and of a callback, whose identity is kept. */
START_TEST(park_tells_the_same)
{
	static const char *const alpn[] = {"coap", "mqtt"};
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});
	struct dtls_context *other = net_client_context(n, "of-the-callback", "0123456789abcdef");
	struct client *c;

	ck_assert_int_eq(dtls_context_set_psk_lookup(n->server_ctx, from_nowhere, NULL), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(n->server_ctx, alpn, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(other, alpn + 1, 1), DTLS_OK);
	for (unsigned i = 0; i < 2; i++) {
		struct dtls_context *ctx = i == 0 ? n->client_ctx : other;
		struct told awake, parked, again;

		c = parking_add(n, ctx);
		awake = ask(client_peer(c));
		client_echoes(parking_add(n, NULL), "another");
		ck_assert(parking_is_parked(c));
		parked = ask(client_peer(c));
		ck_assert(parking_is_parked(c));
		assert_same(&awake, &parked);
		client_echoes(c, "awake again");
		again = ask(client_peer(c));
		assert_same(&awake, &again);
		ck_assert_int_eq(again.alpn != NULL, i == 1);
		ck_assert_uint_eq(again.identity_len, i == 0 ? strlen(NET_IDENTITY) : strlen("of-the-callback"));
	}
	dtls_context_free(other);
	net_free(n);
}
END_TEST

START_TEST(park_keeps_the_certificate)
{
	static const char *const suite[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CCM-8"};
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct told awake, parked;
	struct client *c;
	uint8_t der[2048];

	pki_load(n->server_ctx, "server.pem", "server.key");
	pki_trust(n->server_ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(n->server_ctx, CERT_REQUIRED), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(n->server_ctx, suite, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_clock(ctx, sim_now_ms, n->sim), DTLS_OK);
	pki_load(ctx, "client.pem", "client.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
	c = parking_add(n, ctx);
	awake = ask(client_peer(c));
	ck_assert_uint_gt(awake.cert_len, 0);
	ck_assert_uint_le(awake.cert_len, sizeof(der));
	ck_assert_int_eq(awake.verify_result, 0);
	ck_assert_str_ne(awake.name, "(none)");
	memcpy(der, awake.cert, awake.cert_len);
	parking_add(n, NULL);
	ck_assert(parking_is_parked(c));
	parked = ask(client_peer(c));
	assert_same(&awake, &parked);
	ck_assert_mem_eq(parked.cert, der, parked.cert_len);
	client_echoes(c, "awake again");
	parked = ask(client_peer(c));
	assert_same(&awake, &parked);
	ck_assert_mem_eq(parked.cert, der, parked.cert_len);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

static struct dtls_context *choose(void *arg, const char *server_name)
{
	ck_assert_str_eq(server_name, "other.example");
	return arg;
}

/* The session of another context, which the program gives up meanwhile. */
START_TEST(park_by_a_chosen_context)
{
	static const char *const alpn[] = {"mqtt", "coap"};
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});
	struct dtls_context *chosen = dtls_context_new(PROTOCOL_DTLS_SERVER);
	struct told awake, parked;
	struct client *c;

	ck_assert_int_eq(dtls_context_set_clock(chosen, sim_now_ms, n->sim), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(chosen, NET_IDENTITY, 8, net_key(NET_IDENTITY), 16), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(chosen, alpn, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(n->server_ctx, alpn, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(n->client_ctx, alpn, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_name_callback(n->server_ctx, choose, chosen), DTLS_OK);
	c = client_new(n, 9, 1, NULL);
	ck_assert_int_eq(dtls_conn_set_hostname(c->conn, "other.example"), DTLS_OK);
	net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
	client_echoes(c, "first");
	ck_assert_ptr_eq(client_peer(c)->a->chosen, chosen);
	awake = ask(client_peer(c));
	ck_assert_str_eq(awake.alpn, "mqtt");
	dtls_context_free(chosen);
	for (unsigned i = 0; i < 3; i++) {
		parking_add(n, NULL);
		ck_assert(parking_is_parked(c));
		parked = ask(client_peer(c));
		assert_same(&awake, &parked);
		client_echoes(c, "again");
		ck_assert_ptr_eq(client_peer(c)->a->chosen, chosen);
	}
	parking_add(n, NULL);
	ck_assert(parking_is_parked(c));
	net_free(n);
}
END_TEST

/* ---- one copy */

static bool is_wiped(const struct parked *p)
{
	for (size_t i = 0; i < p->len; i++)
		if (p->bytes[i] != 0)
			return false;
	return true;
}

START_TEST(park_is_loaded_once)
{
	struct net *n = two_parked((struct dtls_limits){0});
	struct dtls_peer *peer = peer_of(n, 0);
	struct association *a = peer_associate(peer, peer->parked->settings),
			   *b = peer_associate(peer, peer->parked->settings);

	ck_assert(!is_wiped(peer->parked));
	ck_assert_uint_gt(peer->parked->len, 150);
	ck_assert_int_eq(parked_load(peer->parked, a), 0);
	ck_assert(is_wiped(peer->parked));
	ck_assert_int_ne(parked_load(peer->parked, b), 0);
	association_free(a);
	association_free(b);
	net_free(n);
}
END_TEST

/* Nothing else than that peer suffers. */
START_TEST(park_what_cannot_be_loaded_ends)
{
	struct net *n = two_parked((struct dtls_limits){0});
	struct dtls_peer *first = peer_of(n, 0);

	first->parked->bytes[0] ^= 1;
	client_send(parking_client(n, 0), "wake up");
	net_run(n, net_now(n) + NET_LATENCY_MS);
	NET_EXPECT(n, 3, DTLS_FAIL);
	ck_assert_int_eq(net_event(n, 3)->reason, DTLS_REASON_ERROR);
	ck_assert_ptr_nonnull(strstr(net_event(n, 3)->text, "the parked session could not be woken (MBEDTLS_ERR_"));
	peer_of(n, 1)->parked->bytes[0] ^= 1;
	ck_assert_int_eq(dtls_peer_send(peer_of(n, 1), "wake up", 7), DTLS_FAIL);
	net_serve(n);
	NET_EXPECT(n, 3, DTLS_FAIL, DTLS_FAIL);
	ck_assert_uint_eq(net_stats(n).closed_error, 2);
	parking_expect(n, "--p"); /* room was made for the one that was to be woken */
	client_echoes(parking_client(n, 2), "unharmed");
	net_free(n);
}
END_TEST

/* ---- ends */

/* What a peer said of itself when its end was reported. */
static struct told at_end;
static bool wiped_at_end;

static void ask_at_end(struct net *n, const struct net_event *e)
{
	(void)n;
	if (e->reason < 0)
		return;
	at_end = ask(e->peer);
	wiped_at_end = e->peer->parked != NULL && is_wiped(e->peer->parked);
}

static void assert_ended(struct net *n, unsigned nth, enum dtls_reason reason, const char *says)
{
	const struct net_event *e = net_event(n, 3);
	struct client *c = parking_client(n, nth);

	ck_assert_int_eq(e->what, DTLS_CLOSED);
	ck_assert_ptr_eq(e->client, c);
	ck_assert_int_eq(e->reason, (int)reason);
	ck_assert_msg(strstr(e->text, says) != NULL, "%s", e->text);
	ck_assert_uint_eq(at_end.identity_len, strlen(NET_IDENTITY));
	ck_assert_mem_eq(at_end.identity, NET_IDENTITY, at_end.identity_len);
	ck_assert_uint_eq(at_end.max_payload, 0);
	ck_assert(wiped_at_end);
	/* It was told: an authentic close_notify. */
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_int_eq(c->status, DTLS_CLOSED);
}

START_TEST(park_ends_when_idle)
{
	struct net *n = two_parked((struct dtls_limits){.idle_ms = 10000});

	n->on_event = ask_at_end;
	net_run(n, 10000 + 120 + NET_LATENCY_MS);
	assert_ended(n, 0, DTLS_REASON_IDLE, "silent for too long");
	ck_assert_uint_eq(net_stats(n).closed_idle, 1);
	ck_assert_uint_eq(net_stats(n).parked, 1);
	net_free(n);
}
END_TEST

START_TEST(park_ends_when_evicted)
{
	struct net *n = two_parked((struct dtls_limits){.max_peers = 3});

	n->on_event = ask_at_end;
	client_new(n, 9, 1, NULL);
	net_run(n, net_now(n) + 100);
	assert_ended(n, 0, DTLS_REASON_EVICTED, "max_peers");
	ck_assert_uint_eq(net_stats(n).closed_evicted, 1);
	parking_expect(n, "-pa");
	net_free(n);
}
END_TEST

START_TEST(park_ends_when_revoked)
{
	struct net *n = two_parked((struct dtls_limits){0});
	struct dtls_context *other = net_client_context(n, NET_OTHER, NULL);
	struct client *stays = parking_add(n, other);

	client_echoes(parking_client(n, 0), "awake");
	parking_expect(n, "appp");
	n->on_event = ask_at_end;
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, "nobody", 6), 0);
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 3);
	net_serve(n);
	ck_assert_uint_eq(net_stats(n).closed_revoked, 3);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(parking_client(n, i)->status, DTLS_CLOSED);
	ck_assert(parking_is_parked(stays));
	n->on_event = NULL;
	client_echoes(stays, "unharmed");
	dtls_context_free(other);
	net_free(n);
}
END_TEST

START_TEST(park_ends_by_the_programs_hand)
{
	struct net *n = two_parked((struct dtls_limits){0});

	dtls_peer_close(peer_of(n, 1));
	ck_assert_uint_eq(net_stats(n).parked, 1);
	ck_assert_uint_eq(net_stats(n).peers, 2);
	ck_assert_int_eq(dtls_endpoint_close(n->ep), DTLS_OK);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(parking_client(n, i)->status, DTLS_CLOSED);
	ck_assert_uint_eq(net_stats(n).parked + net_stats(n).peers, 0);
	net_free(n);
}
END_TEST

START_TEST(park_ends_when_the_peer_closes)
{
	struct net *n = two_parked((struct dtls_limits){0});

	dtls_conn_close(parking_client(n, 0)->conn);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	NET_EXPECT(n, 3, DTLS_CLOSED);
	ck_assert_int_eq(net_event(n, 3)->reason, DTLS_REASON_CLOSE_NOTIFY);
	ck_assert_uint_eq(net_stats(n).wakes_unused, 0);
	client_echoes(parking_client(n, 1), "unharmed");
	net_free(n);
}
END_TEST

START_TEST(park_freed)
{
	struct net *n = two_parked((struct dtls_limits){0});

	n->on_event = ask_at_end;
	dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY));
	net_free(n); /* the sanitizers watch */
}
END_TEST

/* ---- RFC 6347, 4.2.8 */

START_TEST(park_replaced_while_it_is_parked)
{
	struct net *n = two_parked((struct dtls_limits){0});
	struct client *c = parking_client(n, 0);
	uint64_t wakes = net_stats(n).wakes;

	n->on_event = ask_at_end;
	client_reboot(c, NULL);
	net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
	NET_EXPECT(n, 3, DTLS_CLOSED, DTLS_CONNECTED);
	ck_assert_int_eq(net_event(n, 3)->reason, DTLS_REASON_REPLACED);
	ck_assert_ptr_nonnull(strstr(net_event(n, 3)->text, "a new session from the same address"));
	ck_assert(wiped_at_end);
	ck_assert_uint_eq(net_stats(n).wakes, wakes);
	ck_assert_uint_eq(net_stats(n).parked, 1);
	n->on_event = NULL;
	client_echoes(c, "the new one");
	parking_expect(n, "app");
	net_free(n);
}
END_TEST

/* The new handshake is never finished: the old session sleeps on, and wakes when it is called. */
START_TEST(park_not_replaced)
{
	struct net *n = two_parked((struct dtls_limits){0});
	struct client *c = parking_client(n, 0);
	struct dtls_conn *old = client_swap(c, NULL), *unfinished;

	net_run(n, net_now(n) + 3 * NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	ck_assert(parking_is_parked(c));
	unfinished = c->conn;
	c->conn = old;
	c->status = DTLS_OK;
	c->due_at = INT64_MAX;
	client_echoes(c, "the old one");
	ck_assert(!parking_is_parked(c));
	/* And it may be parked again, beside the unfinished one. */
	client_echoes(parking_client(n, 1), "between");
	parking_expect(n, "pap");
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	net_run(n, net_now(n) + 200000);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	client_echoes(c, "still the old one");
	dtls_conn_free(unfinished);
	net_free(n);
}
END_TEST

START_TEST(park_knows_the_hello_that_began_it)
{
	struct net *n = parking_net(1, &(struct dtls_limits){.max_awake = 1});
	struct client *c = parking_client(n, 0);
	struct datagram hello = *client_hello(c, true);

	parking_add(n, NULL);
	ck_assert(parking_is_parked(c));
	net_inject(n, &c->addr, hello.bytes, hello.len);
	ck_assert_uint_eq(net_stats(n).drop_replayed_hello, 1);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	ck_assert(parking_is_parked(c));
	hello.bytes[NET_HELLO_RANDOM_AT + 31] ^= 1;
	net_inject(n, &c->addr, hello.bytes, hello.len); /* another hello, for which the cookie is wrong */
	ck_assert_uint_eq(net_stats(n).drop_replayed_hello, 1);
	net_free(n);
}
END_TEST

/* ---- fork() */

static void ends_in_the_child(struct net *n)
{
	uint64_t out = n->out_count;

	ck_assert_int_eq(dtls_peer_send(peer_of(n, 0), "x", 1), DTLS_FAIL);
	n->on_event = ask_at_end;
	net_serve(n);
	NET_EXPECT(n, 3, DTLS_FAIL, DTLS_FAIL, DTLS_FAIL);
	for (unsigned i = 3; i < 6; i++)
		ck_assert_ptr_nonnull(strstr(net_event(n, i)->text, "fork"));
	ck_assert_uint_eq(net_stats(n).parked, 0);
	ck_assert_uint_eq(net_stats(n).closed_error, 3);
	ck_assert_uint_eq(n->out_count, out);
}

START_TEST(park_ends_in_a_child)
{
	struct net *n = two_parked((struct dtls_limits){0});
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		ends_in_the_child(n);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child failed: status %#x", (unsigned)status);
	for (unsigned i = 0; i < 3; i++)
		client_echoes(parking_client(n, i), "undisturbed");
	net_free(n);
}
END_TEST

Suite *park_ends_suite(void)
{
	Suite *s = suite_create("park_ends");

	pki_announce();
	TEST(s, park_tells_the_same);
	TEST(s, park_keeps_the_certificate);
	TEST(s, park_by_a_chosen_context);
	TEST(s, park_is_loaded_once);
	TEST(s, park_what_cannot_be_loaded_ends);
	TEST(s, park_ends_when_idle);
	TEST(s, park_ends_when_evicted);
	TEST(s, park_ends_when_revoked);
	TEST(s, park_ends_by_the_programs_hand);
	TEST(s, park_ends_when_the_peer_closes);
	TEST(s, park_freed);
	TEST(s, park_replaced_while_it_is_parked);
	TEST(s, park_not_replaced);
	TEST(s, park_knows_the_hello_that_began_it);
	TEST(s, park_ends_in_a_child);
	return s;
}
