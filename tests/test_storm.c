/* Many clients at once through bad weather: each ends well or by its deadline, and nothing is left of them. */
#include "net.h"
#include "suites.h"

#include "dtls/endpoint.h"

#include <stdlib.h>

enum { CLIENTS = 500, SEEDS = 3, ROUNDS = 20 };

/* Three flights of a client, each unanswered for the sum of the fixed schedule at most. */
static const int64_t deadline_ms = 3 * 123000;

static const struct sim_weather lossy = {.latency_ms = NET_LATENCY_MS, .loss = 0.2};
static const struct sim_weather wild = {
    .latency_ms = NET_LATENCY_MS, .jitter_ms = 30, .loss = 0.2, .duplicate = 0.1, .reorder = 0.1};

static struct net *storm_of(uint64_t seed, const struct sim_weather *w, const struct dtls_limits *limits)
{
	struct net *n = net_new(seed, limits);

	sim_link_set_weather(sim_host_link(n->host), w);
	for (unsigned i = 0; i < CLIENTS; i++)
		sim_link_set_weather(sim_host_link(client_new(n, 2 + i, 40000, NULL)->host), w);
	return n;
}

static unsigned count_status(const struct net *n, int status)
{
	unsigned count = 0;

	for (const struct client *c = n->clients; c != NULL; c = c->next)
		count += c->status == status;
	return count;
}

static void assert_ended(const struct net *n, uint64_t seed)
{
	struct dtls_stats s = net_stats(n);
	unsigned long long number = seed;

	for (const struct client *c = n->clients; c != NULL; c = c->next) {
		ck_assert_msg(c->status == DTLS_OK || c->status == DTLS_TIMEDOUT, "seed %llu: status %d: %s", number,
		    c->status, dtls_conn_error(c->conn));
		ck_assert_msg(c->done_at <= deadline_ms, "seed %llu: done at %lld", number, (long long)c->done_at);
	}
	ck_assert_msg(s.handshakes == 0, "seed %llu", number);
	ck_assert_msg(s.handshakes_started ==
			  s.handshakes_completed + s.handshakes_failed + s.handshakes_timedout + s.handshakes_displaced,
	    "seed %llu", number);
}

/* An established client has a peer that answers, sooner or later. */
static void assert_served(struct net *n, uint64_t seed)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (struct client *c = n->clients; c != NULL; c = c->next)
			if (c->status == DTLS_OK && c->messages == 0)
				client_send(c, "21.4");
		net_run(n, net_now(n) + 1000);
	}
	for (struct client *c = n->clients; c != NULL; c = c->next)
		ck_assert_msg(c->status != DTLS_OK || c->messages > 0, "seed %llu", (unsigned long long)seed);
}

static void assert_tables_empty(struct net *n, uint64_t seed)
{
	unsigned long long number = seed;
	int status;

	while ((status = dtls_endpoint_close(n->ep)) == DTLS_WANT_READ)
		;
	ck_assert_int_eq(status, DTLS_OK);
	ck_assert_msg(net_stats(n).peers == 0 && net_stats(n).handshakes == 0, "seed %llu", number);
	ck_assert_msg(n->ep->table.count == 0, "seed %llu", number);
	ck_assert_msg(n->ep->schedule.count == 0, "seed %llu", number);
	ck_assert_msg(n->ep->open.oldest == NULL && n->ep->open.newest == NULL, "seed %llu", number);
	ck_assert_msg(n->ep->outbox.first == NULL, "seed %llu", number);
	for (size_t i = 0; i < (size_t)1 << (64 - n->ep->handshakes.shift); i++)
		ck_assert_msg(n->ep->handshakes.buckets[i] == NULL, "seed %llu", number);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), -1);
}

static void storm(uint64_t seed, const struct sim_weather *w)
{
	struct net *n = storm_of(seed, w, NULL);
	unsigned completed;

	net_run(n, 2 * deadline_ms);
	assert_ended(n, seed);
	completed = count_status(n, DTLS_OK);
	/* Seven transmissions through 36 % loss of a round trip: one in a thousand exchanges fails. */
	ck_assert_msg(completed >= CLIENTS - 10, "seed %llu: %u", (unsigned long long)seed, completed);
	ck_assert_uint_ge(net_count(n, DTLS_CONNECTED), completed);
	assert_served(n, seed);
	assert_tables_empty(n, seed);
	net_free(n);
}

START_TEST(storm_through_loss)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		storm(seed, &lossy);
}
END_TEST

START_TEST(storm_through_loss_duplicates_and_reordering)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		storm(seed, &wild);
}
END_TEST

/* Corruption may end a handshake: in the clear, a changed byte is as good as an attacker's. */
START_TEST(storm_through_corruption)
{
	static const struct sim_weather corrupting = {.latency_ms = NET_LATENCY_MS,
	    .jitter_ms = 30,
	    .loss = 0.1,
	    .duplicate = 0.1,
	    .reorder = 0.1,
	    .corrupt = 0.1};

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct net *n = storm_of(seed, &corrupting, NULL);

		net_run(n, 2 * deadline_ms);
		ck_assert_msg(count_status(n, DTLS_WANT_READ) == 0, "seed %llu", (unsigned long long)seed);
		ck_assert_msg(net_stats(n).handshakes == 0, "seed %llu", (unsigned long long)seed);
		ck_assert_msg(count_status(n, DTLS_OK) > CLIENTS / 2, "seed %llu", (unsigned long long)seed);
		assert_tables_empty(n, seed);
		net_free(n);
	}
}
END_TEST

/* A fleet that is larger than the limits: who gave way, or was evicted, is told, and nobody waits for ever. */
START_TEST(storm_beyond_the_limits)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct net *n = storm_of(seed, &lossy, &(struct dtls_limits){.max_peers = 100, .max_handshakes = 50});
		uint64_t most = 0;

		for (unsigned step = 0; step < 1000; step++) {
			net_run(n, net_now(n) + 5);
			most = net_stats(n).handshakes > most ? net_stats(n).handshakes : most;
			ck_assert_uint_le(net_stats(n).peers, 100);
		}
		ck_assert_uint_eq(most, 50);
		net_run(n, 2 * deadline_ms);
		ck_assert_msg(count_status(n, DTLS_WANT_READ) == 0, "seed %llu", (unsigned long long)seed);
		ck_assert_msg(net_stats(n).handshakes == 0, "seed %llu", (unsigned long long)seed);
		/* Where the last flight never arrived, the client gives up in the end, and says so. */
		ck_assert_msg(
		    net_stats(n).peers + net_stats(n).closed_error >= 100, "seed %llu", (unsigned long long)seed);
		assert_tables_empty(n, seed);
		net_free(n);
	}
}
END_TEST

START_TEST(storm_of_one_seed_repeats_itself)
{
	int64_t done_at[CLIENTS] = {0};

	for (int run = 0; run < 2; run++) {
		struct net *n = storm_of(42, &wild, NULL);
		unsigned i = 0;

		net_run(n, 60000);
		for (const struct client *c = n->clients; c != NULL; c = c->next, i++) {
			if (run == 1)
				ck_assert_int_eq(c->done_at, done_at[i]);
			done_at[i] = c->done_at;
		}
		net_free(n);
	}
}
END_TEST

Suite *storm_suite(void)
{
	Suite *s = suite_create("storm");

	TEST(s, storm_through_loss);
	TEST(s, storm_through_loss_duplicates_and_reordering);
	TEST(s, storm_through_corruption);
	TEST(s, storm_beyond_the_limits);
	TEST(s, storm_of_one_seed_repeats_itself);
	return s;
}
