/* Handshakes in which both sides show certificates, through loss and small datagrams; and a long chain with a key of 4096
 * bits. Runs are repeated by their seeds. */
#include "pair.h"
#include "pki.h"
#include "watch.h"

#include <stdio.h>
#include <string.h>

enum { SEEDS = 20, BIG_SEEDS = 6, BIG_MTU = 300 };

static struct pair pair;

struct chain {
	const char *cert, *key;
};

struct run {
	struct chain server, client; /* client: may show none */
	uint64_t seed;
	double loss;
	size_t mtu;
	struct watch up, down;
	int64_t client_at, server_at;
};

static void handshake(struct run *r)
{
	struct sim_weather weather = {.latency_ms = PAIR_LATENCY_MS, .loss = r->loss};

	pki_open_in(&pair, r->seed, &weather, r->server.cert, r->server.key);
	if (r->client.cert != NULL)
		pki_ask_client(&pair, CERT_REQUIRED, r->client.cert, r->client.key);
	ck_assert_int_eq(dtls_context_set_mtu(pair.client.ctx, r->mtu), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_mtu(pair.server.ctx, r->mtu), DTLS_OK);
	watch_link(&r->up, pair.client.out);
	watch_link(&r->down, pair.server.out);
	pki_handshake(&pair, "localhost");
	ck_assert_msg(pair.client.status == DTLS_OK && pair.server.status == DTLS_OK, "seed %u, MTU %zu: %s; %s",
	    (unsigned)r->seed, r->mtu, dtls_conn_error(pair.client.conn), dtls_conn_error(pair.server.conn));
	ck_assert_uint_le(r->up.largest, r->mtu);
	ck_assert_uint_le(r->down.largest, r->mtu);
	ck_assert_uint_eq(r->up.alerts + r->down.alerts, 0);
	r->client_at = pair.client.done_at;
	r->server_at = pair.server.done_at;
	pki_assert_connected(&pair);
	ck_assert_int_eq(dtls_conn_verify_result(pair.client.conn), 0);
	ck_assert_int_eq(dtls_conn_verify_result(pair.server.conn), r->client.cert != NULL ? 0 : -1);
	pair_close(&pair);
}

/* An ECDSA signature may have a byte less or more; those of RSA make every length the same. */
static void assert_same(const struct run *a, const struct run *b, bool to_the_byte)
{
	unsigned seed = (unsigned)a->seed;

	ck_assert_msg(a->client_at == b->client_at && a->server_at == b->server_at,
	    "seed %u: %lld and %lld ms, then %lld and %lld", seed, (long long)a->client_at, (long long)a->server_at,
	    (long long)b->client_at, (long long)b->server_at);
	ck_assert_msg(a->up.datagrams == b->up.datagrams && a->down.datagrams == b->down.datagrams,
	    "seed %u: %u and %u datagrams, then %u and %u", seed, a->up.datagrams, a->down.datagrams, b->up.datagrams,
	    b->down.datagrams);
	if (to_the_byte)
		ck_assert_msg(
		    a->up.lengths == b->up.lengths && a->down.lengths == b->down.lengths, "seed %u differs", seed);
}

static void each_seed(struct chain server, struct chain client, bool to_the_byte)
{
	static const size_t mtus[] = {1200, 512, 256};
	unsigned late = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		for (size_t i = 0; i < sizeof(mtus) / sizeof(*mtus); i++) {
			struct run first = {
			    .server = server, .client = client, .seed = seed, .loss = 0.2, .mtu = mtus[i]};
			struct run second = first;

			handshake(&first);
			handshake(&second);
			assert_same(&first, &second, to_the_byte);
			late += first.client_at > 6 * PAIR_LATENCY_MS;
		}
	ck_assert_uint_gt(late, SEEDS); /* most lose something */
}

START_TEST(certificate_loss_ecdsa)
{
	each_seed((struct chain){"server.pem", "server.key"}, (struct chain){"client.pem", "client.key"}, false);
}
END_TEST

START_TEST(certificate_loss_rsa)
{
	each_seed((struct chain){"rsa.pem", "rsa.key"}, (struct chain){"rsa.pem", "rsa.key"}, true);
}
END_TEST

/* ---- three certificates, the leaf's with an RSA key of 4096 bits */

static const struct chain none = {NULL, NULL}, small = {"server.pem", "server.key"}, big = {"big-chain.pem", "big.key"};

static void big_chains(struct chain server, struct chain client)
{
	struct run perfect = {.server = server, .client = client, .seed = 1, .mtu = BIG_MTU};

	pki_make_big();
	handshake(&perfect);
	ck_assert_int_eq(perfect.client_at, 6 * PAIR_LATENCY_MS);
	ck_assert_uint_eq(server.cert == big.cert ? perfect.down.largest : perfect.up.largest, BIG_MTU);
	for (uint64_t seed = 1; seed <= BIG_SEEDS; seed++) {
		struct run lossy = {.server = server, .client = client, .seed = seed, .loss = 0.2, .mtu = BIG_MTU};

		handshake(&lossy);
	}
}

START_TEST(certificate_loss_big_chain_of_the_server)
{
	big_chains(big, none);
}
END_TEST

START_TEST(certificate_loss_big_chain_of_the_client)
{
	big_chains(small, big);
}
END_TEST

START_TEST(certificate_loss_big_chains_of_both)
{
	big_chains(big, big);
}
END_TEST

Suite *certificate_loss_suite(void)
{
	Suite *s = suite_create("certificate_loss");

	pki_announce();
	TEST(s, certificate_loss_ecdsa);
	TEST(s, certificate_loss_rsa);
	TEST(s, certificate_loss_big_chain_of_the_server);
	TEST(s, certificate_loss_big_chain_of_the_client);
	TEST(s, certificate_loss_big_chains_of_both);
	return s;
}
