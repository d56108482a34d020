#include "dtls/endpoint.h"
#include "net.h"
#include "suites.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>

static struct rng rng;
static struct sources sources;

static void begin(unsigned per_s, unsigned burst)
{
	ck_assert_int_eq(rng_init(&rng), 0);
	ck_assert_int_eq(sources_init(&sources, &rng, per_s, burst), 0);
}

static void end(void)
{
	sources_free(&sources);
	rng_free(&rng);
}

static struct address host(unsigned n)
{
	struct sockaddr_in in = net_address(n, 1);
	struct address a;

	ck_assert(address_set(&a, (struct sockaddr *)&in, sizeof(in)));
	return a;
}

/* From this host, at this time. */
static bool take(unsigned n, int64_t now)
{
	struct address a = host(n);

	return sources_take(&sources, &a, now);
}

static unsigned take_all(unsigned n, int64_t now)
{
	unsigned count = 0;

	while (take(n, now))
		count++;
	return count;
}

/* ---- one bucket ---- */

START_TEST(sources_a_burst_then_the_rate)
{
	begin(2, 5);
	ck_assert_uint_eq(take_all(1, 0), 5);
	ck_assert_uint_eq(take_all(1, 499), 0);
	ck_assert_uint_eq(take_all(1, 500), 1);
	ck_assert_uint_eq(take_all(1, 1999), 2);
	ck_assert_uint_eq(take_all(1, 2000), 1);
	ck_assert_uint_eq(take_all(1, 4499), 4);
	ck_assert_uint_eq(take_all(1, 4500), 1);
	ck_assert_uint_eq(take_all(1, 100000), 5);
	end();
}
END_TEST

/* A third of a second is no whole number of milliseconds: nothing is lost, however often it is asked. */
START_TEST(sources_rates_are_exact)
{
	static const unsigned rates[] = {1, 3, 7, 999, 1000, 1001, 4000};

	for (unsigned i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		uint64_t count = 0;

		begin(rates[i], 10);
		take_all(1, 0);
		for (int64_t now = 1; now <= 30000; now++)
			count += take_all(1, now);
		ck_assert_uint_eq(count, 30 * rates[i]);
		end();
	}
}
END_TEST

START_TEST(sources_the_largest_rate_limits_nobody)
{
	unsigned count = 0;

	begin(UINT_MAX, UINT_MAX);
	while (count < 1000000 && take(1, 0))
		count++;
	ck_assert_uint_eq(count, 1000000);
	end();
}
END_TEST

START_TEST(sources_any_clock)
{
	static const int64_t starts[] = {INT64_MIN, -1000000, 0, 1700000000000, INT64_MAX - 1000};

	for (unsigned i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		begin(1, 2);
		ck_assert_uint_eq(take_all(1, starts[i]), 2);
		ck_assert_uint_eq(take_all(1, starts[i] + 999), 0);
		ck_assert_uint_eq(take_all(1, starts[i] + 1000), 1);
		end();
	}
	begin(1, 2);
	ck_assert_uint_eq(take_all(1, INT64_MIN), 2);
	ck_assert_uint_eq(take_all(1, INT64_MAX), 2);
	ck_assert_uint_eq(take_all(1, 0), 0); /* back: nothing comes of it */
	end();
}
END_TEST

/* ---- many ---- */

START_TEST(sources_others_have_buckets_of_their_own)
{
	begin(1, 3);
	ck_assert_uint_eq(take_all(1, 0), 3);
	for (unsigned n = 2; n < 100; n++)
		ck_assert_uint_eq(take_all(n, 0), 3);
	ck_assert_uint_eq(take_all(1, 999), 0);
	end();
}
END_TEST

START_TEST(sources_ports_share_and_a_64_does)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct address a = host(1);
	unsigned count = 0;

	begin(1, 10);
	for (uint16_t port = 1; port <= 20; port++) {
		a.in.sin_port = htons(port);
		count += sources_take(&sources, &a, 0);
	}
	ck_assert_uint_eq(count, 10);
	ck_assert_int_eq(inet_pton(AF_INET6, "2001:db8::", &in6.sin6_addr), 1);
	for (uint8_t i = 1; i <= 20; i++) {
		in6.sin6_addr.s6_addr[8 + i % 8] = i;
		ck_assert(address_set(&a, (struct sockaddr *)&in6, sizeof(in6)));
		count += sources_take(&sources, &a, 0);
	}
	ck_assert_uint_eq(count, 20);
	in6.sin6_addr.s6_addr[7] = 1;
	ck_assert(address_set(&a, (struct sockaddr *)&in6, sizeof(in6)));
	ck_assert(sources_take(&sources, &a, 0));
	end();
}
END_TEST

/* Ten times more sources than there is room for: none of them is limited by what the others do, and the one that
 * has used up its own is not forgotten. */
START_TEST(sources_a_crowd_hides_nobody_and_limits_nobody)
{
	unsigned limited = 0;

	begin(1, 3);
	ck_assert_uint_eq(take_all(1, 0), 3);
	for (unsigned n = 2; n < 10 * SOURCE_SETS * SOURCE_WAYS; n++)
		limited += !take(n, 0);
	ck_assert_uint_eq(limited, 0);
	ck_assert_uint_eq(take_all(1, 0), 0);
	end();
}
END_TEST

static bool has_place(const struct sources *s, unsigned n, size_t *set)
{
	struct address a = host(n);
	uint64_t prefix = address_prefix(&a);

	for (*set = 0; *set < SOURCE_SETS; ++*set)
		for (size_t i = 0; i < SOURCE_WAYS; i++)
			if (s->sets[*set][i].prefix == prefix)
				return true;
	return false;
}

/* Else somebody could choose addresses that crowd out another. */
START_TEST(sources_places_are_secret_and_even)
{
	enum { COUNT = SOURCE_SETS };
	size_t first[COUNT + 1], set;
	unsigned in_set[SOURCE_SETS] = {0}, most = 0, same = 0;

	begin(1, 3);
	for (unsigned n = 1; n <= COUNT; n++) {
		ck_assert(take(n, 0));
		ck_assert(has_place(&sources, n, &first[n]));
		in_set[first[n]]++;
	}
	for (size_t i = 0; i < SOURCE_SETS; i++)
		most = in_set[i] > most ? in_set[i] : most;
	ck_assert_uint_le(most, SOURCE_WAYS);
	end();
	begin(1, 3);
	for (unsigned n = 1; n <= COUNT; n++) {
		ck_assert(take(n, 0));
		ck_assert(has_place(&sources, n, &set));
		same += set == first[n];
	}
	ck_assert_uint_lt(same, COUNT / 8);
	end();
}
END_TEST

/* ---- hellos, through an endpoint ---- */

static const struct datagram *some_hello(struct net *n)
{
	struct client *c = client_new(n, 9, 9999, NULL);

	net_serve(n);
	sim_link_drop_mask(sim_host_link(c->host), ~0U);
	net_run(n, net_now(n));
	c->frozen = true;
	return client_hello(c, false);
}

/* How many answers so many hellos from one host get, each from another port. */
static uint64_t answers(struct net *n, unsigned from, unsigned hellos, const struct datagram *hello)
{
	uint64_t out = n->out_count;

	for (unsigned i = 0; i < hellos; i++) {
		struct sockaddr_in addr = net_address(from, 1000 + i);

		net_inject(n, &addr, hello->bytes, hello->len);
	}
	return n->out_count - out;
}

START_TEST(sources_hellos_beyond_the_rate_are_not_answered)
{
	struct net *n = net_new(1, &(struct dtls_limits){.hellos_per_s = 2, .hellos_at_once = 3});
	const struct datagram *hello = some_hello(n);

	ck_assert_uint_eq(answers(n, 5, 10, hello), 3);
	ck_assert_uint_eq(net_stats(n).drop_source_hellos, 7);
	ck_assert_uint_eq(net_stats(n).hello_replies, 3);
	ck_assert_uint_eq(answers(n, 6, 10, hello), 3);
	net_run(n, 499);
	ck_assert_uint_eq(answers(n, 5, 10, hello), 0);
	net_run(n, 500);
	ck_assert_uint_eq(answers(n, 5, 10, hello), 1);
	ck_assert_uint_eq(net_stats(n).drop_source_hellos, 33);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 0);
	net_free(n);
}
END_TEST

/* Who is spoofed is served by his next hello that finds a token; and once he has a cookie, nobody stops him. */
START_TEST(sources_a_spoofed_client_is_served_later)
{
	struct net *n = net_new(1, &(struct dtls_limits){.hellos_per_s = 1, .hellos_at_once = 1});
	const struct datagram *hello = some_hello(n);
	struct client *late = client_new(n, 5, 40000, NULL), *in_time;

	ck_assert_uint_eq(answers(n, 5, 10, hello), 1);
	net_run(n, 45);
	ck_assert_uint_eq(net_stats(n).drop_source_hellos, 10);
	in_time = client_new(n, 6, 40000, NULL);
	net_run(n, 85);
	ck_assert_uint_eq(answers(n, 6, 10, hello), 0);
	net_run(n, 1500);
	ck_assert_int_eq(late->status, DTLS_OK);
	ck_assert_int_eq(late->done_at, 1000 + 6 * NET_LATENCY_MS);
	ck_assert_int_eq(in_time->status, DTLS_OK);
	ck_assert_int_eq(in_time->done_at, 45 + 6 * NET_LATENCY_MS);
	net_free(n);
}
END_TEST

START_TEST(sources_stale_cookies_count_as_none)
{
	struct net *n = net_new(1, &(struct dtls_limits){.hellos_per_s = 1, .hellos_at_once = 4});
	struct client *c = client_connected(n, 9, 9999, NULL);
	const struct datagram *hello = client_hello(c, true);

	ck_assert_uint_eq(answers(n, 5, 10, hello), 4);
	ck_assert_uint_eq(net_stats(n).cookies_rejected, 10);
	ck_assert_uint_eq(net_stats(n).drop_source_hellos, 6);
	net_free(n);
}
END_TEST

/* ---- handshakes ---- */

START_TEST(sources_handshakes_beyond_the_rate_begin_later)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshakes_per_s = 1, .handshakes_at_once = 2});
	struct client *c[3], *other;

	for (unsigned i = 0; i < 3; i++)
		c[i] = client_new(n, 5, 1000 + i, NULL);
	other = client_new(n, 6, 1000, NULL);
	net_run(n, 70);
	ck_assert_uint_eq(net_stats(n).handshakes_started, 3);
	ck_assert_uint_eq(net_stats(n).handshakes, 3);
	ck_assert_uint_eq(net_stats(n).cookies_accepted, 4);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 1);
	ck_assert_uint_eq(net_stats(n).drop_source_hellos, 0);
	net_run(n, 2000);
	ck_assert_int_eq(other->done_at, 6 * NET_LATENCY_MS);
	/* The clients are served in the order they were made, the latest first. */
	ck_assert_int_eq(c[2]->done_at, 6 * NET_LATENCY_MS);
	ck_assert_int_eq(c[1]->done_at, 6 * NET_LATENCY_MS);
	ck_assert_int_eq(c[0]->done_at, 1000 + 6 * NET_LATENCY_MS);
	ck_assert_int_eq(c[0]->status, DTLS_OK);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 1);
	net_free(n);
}
END_TEST

/* A lost answer costs nothing: the same handshake goes on. */
START_TEST(sources_repetitions_are_free)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshakes_per_s = 1, .handshakes_at_once = 1});
	struct client *c = client_new(n, 5, 1000, NULL);

	net_run(n, 70);
	for (unsigned i = 0; i < 5; i++)
		net_inject(n, &c->addr, client_hello(c, true)->bytes, client_hello(c, true)->len);
	net_run(n, 200);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 6 * NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 0);
	net_free(n);
}
END_TEST

/* So that a client's next hello comes before the server repeats what it told the one before. */
static struct dtls_context *impatient(struct net *n)
{
	struct dtls_context *ctx = net_client_context(n, NET_IDENTITY, NULL);

	ck_assert_int_eq(dtls_context_set_handshake_timeout(ctx, 300, 60000), DTLS_OK);
	return ctx;
}

/* Runs on with a client that hears nothing any more. */
static void deaf(struct client *c, int64_t until)
{
	c->frozen = true;
	net_run(c->net, until);
	c->frozen = false;
}

/* A client that starts over and over again: what it has begun goes on. */
START_TEST(sources_a_reboot_too_many_displaces_nothing)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshakes_per_s = 4, .handshakes_at_once = 1});
	struct dtls_context *ctx = impatient(n);
	struct client *c = client_new(n, 5, 1000, ctx);

	net_run(n, 70);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	deaf(c, 90);
	client_reboot(c, ctx);
	net_run(n, 160);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 1);
	ck_assert_uint_eq(net_stats(n).handshakes_displaced, 0);
	ck_assert_uint_eq(net_stats(n).handshakes_started, 1);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	net_run(n, 2000);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 90 + 300 + 6 * NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).handshakes_displaced, 1);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

START_TEST(sources_a_session_outlives_a_replacement_too_many)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshakes_per_s = 4, .handshakes_at_once = 2});
	struct dtls_context *ctx = impatient(n);
	struct client *c = client_connected(n, 5, 1000, ctx);
	struct dtls_conn *old = client_swap(c, ctx), *second;

	net_run(n, 190);
	ck_assert_uint_eq(net_stats(n).handshakes, 1); /* the successor */
	deaf(c, 210);
	second = client_swap(c, ctx);
	net_run(n, 280);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 1);
	ck_assert_uint_eq(net_stats(n).handshakes_displaced, 0);
	ck_assert_uint_eq(net_stats(n).handshakes, 1);
	ck_assert_uint_eq(net_stats(n).closed_replaced, 0);
	net_run(n, 2000);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 210 + 300 + 6 * NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).closed_replaced, 1);
	client_echoes(c, "the new one");
	dtls_conn_free(old);
	dtls_conn_free(second);
	dtls_context_free(ctx);
	net_free(n);
}
END_TEST

/* What is unproven must not make room for who is proven. */
START_TEST(sources_a_flood_forgives_no_handshake)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshakes_per_s = 1, .handshakes_at_once = 1});
	const struct datagram *hello = some_hello(n);
	struct client *first = client_new(n, 5, 1000, NULL), *second;

	net_run(n, 65);
	second = client_new(n, 5, 1001, NULL);
	for (unsigned i = 0; i < 3 * SOURCE_SETS * SOURCE_WAYS; i++)
		ck_assert_uint_eq(answers(n, 100 + i, 1, hello), 1);
	net_run(n, 500);
	ck_assert_int_eq(first->status, DTLS_OK);
	ck_assert_int_eq(second->status, DTLS_WANT_READ);
	ck_assert_uint_eq(net_stats(n).drop_source_handshakes, 1);
	net_free(n);
}
END_TEST

/* ---- the defaults ---- */

START_TEST(sources_defaults)
{
	struct net *n = net_new(1, NULL);

	ck_assert_uint_eq(n->ep->limits.hellos_per_s, 2000);
	ck_assert_uint_eq(n->ep->limits.hellos_at_once, 20000);
	ck_assert_uint_eq(n->ep->limits.handshakes_per_s, 200);
	ck_assert_uint_eq(n->ep->limits.handshakes_at_once, 2000);
	net_free(n);
	n = net_new(1, &(struct dtls_limits){.handshakes_per_s = 7, .hellos_per_s = UINT_MAX});
	ck_assert_uint_eq(n->ep->limits.hellos_at_once, UINT_MAX);
	ck_assert_uint_eq(n->ep->limits.handshakes_at_once, 70);
	net_free(n);
	n = net_new(1, &(struct dtls_limits){.hellos_per_s = UINT_MAX / 10 + 1, .handshakes_at_once = 5});
	ck_assert_uint_eq(n->ep->limits.hellos_at_once, UINT_MAX);
	ck_assert_uint_eq(n->ep->limits.handshakes_per_s, 200);
	ck_assert_uint_eq(n->ep->limits.handshakes_at_once, 5);
	net_free(n);
}
END_TEST

/* All sensors behind one carrier's address, after the mains came back. */
START_TEST(sources_defaults_hurt_no_crowd_behind_one_address)
{
	enum { SENSORS = 500 };
	struct net *n = net_new(1, NULL);

	for (unsigned i = 0; i < SENSORS; i++)
		client_new(n, 5, 1000 + i, NULL);
	net_run(n, 6 * NET_LATENCY_MS);
	ck_assert_uint_eq(net_stats(n).peers, SENSORS);
	for (struct client *c = n->clients; c != NULL; c = c->next)
		ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_uint_eq(net_stats(n).drop_source_hellos + net_stats(n).drop_source_handshakes, 0);
	net_free(n);
}
END_TEST

Suite *sources_suite(void)
{
	Suite *s = suite_create("sources");

	TEST(s, sources_a_burst_then_the_rate);
	TEST(s, sources_rates_are_exact);
	TEST(s, sources_the_largest_rate_limits_nobody);
	TEST(s, sources_any_clock);
	TEST(s, sources_others_have_buckets_of_their_own);
	TEST(s, sources_ports_share_and_a_64_does);
	TEST(s, sources_a_crowd_hides_nobody_and_limits_nobody);
	TEST(s, sources_places_are_secret_and_even);
	TEST(s, sources_hellos_beyond_the_rate_are_not_answered);
	TEST(s, sources_a_spoofed_client_is_served_later);
	TEST(s, sources_stale_cookies_count_as_none);
	TEST(s, sources_handshakes_beyond_the_rate_begin_later);
	TEST(s, sources_repetitions_are_free);
	TEST(s, sources_a_reboot_too_many_displaces_nothing);
	TEST(s, sources_a_session_outlives_a_replacement_too_many);
	TEST(s, sources_a_flood_forgives_no_handshake);
	TEST(s, sources_defaults);
	TEST(s, sources_defaults_hurt_no_crowd_behind_one_address);
	return s;
}
