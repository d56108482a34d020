#include "net.h"
#include "suites.h"

#include "dtls/endpoint.h"

#include <malloc.h>
#include <string.h>

enum { SPOOFED = 10000, FIRST_SPOOFED_HOST = 100000 };

/* A sanitizer's allocator counts for itself. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated_bytes(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes != NULL)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* glibc keeps a few freed blocks of each size aside, and counts them as allocated. */
START_TEST(flood_allocations_are_seen)
{
	void *volatile blocks[1000];
	size_t before = allocated_bytes();

	for (unsigned i = 0; i < 1000; i++)
		blocks[i] = malloc(10);
	ck_assert_uint_ge(allocated_bytes(), before + 10 * 900);
	for (unsigned i = 0; i < 1000; i++)
		free(blocks[i]);
}
END_TEST

/* A ClientHello of a client that is not in the net. */
static struct datagram some_hello(struct net *n, bool cookie)
{
	struct client *c = client_new(n, 9, 9999, NULL);

	sim_link_drop_mask(sim_host_link(c->host), 2); /* the one with the cookie does not get through */
	net_run(n, net_now(n) + 50);
	c->frozen = true;
	return *client_hello(c, cookie);
}

static void spoof(struct net *n, unsigned nth, struct datagram *hello)
{
	struct sockaddr_in from = net_address(FIRST_SPOOFED_HOST + nth, 1024 + nth % 60000);
	uint64_t out = n->out_count;

	memcpy(hello->bytes + NET_HELLO_RANDOM_AT, &nth, sizeof(nth));
	net_inject(n, &from, hello->bytes, hello->len);
	ck_assert_uint_eq(n->out_count, out + 1);
	ck_assert_uint_le(n->out.len, hello->len);
	ck_assert_mem_eq(&n->out_to, &from, sizeof(from));
}

/* Less than a byte for each; what there is comes from libcheck, whose blocks glibc keeps aside or does not. */
static void spoof_many(struct net *n, unsigned first, unsigned count, struct datagram *hello)
{
	size_t before = allocated_bytes();

	for (unsigned i = 0; i < count; i++)
		spoof(n, first + i, hello);
	ck_assert_uint_lt(allocated_bytes(), before + count / 2);
}

static void flood(bool cookie)
{
	struct net *n = net_new(1, NULL);
	struct datagram hello = some_hello(n, cookie);
	struct dtls_stats before, after;
	struct client *honest;
	int64_t began_at = net_now(n);

	before = net_stats(n);
	ck_assert_uint_eq(before.handshakes, 0);
	honest = client_new(n, 2, 40000, NULL);
	for (unsigned phase = 0; phase < 5; phase++) {
		spoof_many(n, phase * SPOOFED / 5, SPOOFED / 5, &hello);
		ck_assert_uint_eq(net_stats(n).handshakes, n->ep->table.count);
		ck_assert_uint_eq(n->ep->table.count, phase >= 3); /* the honest one has proven itself */
		net_run(n, net_now(n) + NET_LATENCY_MS);
	}
	net_run(n, net_now(n) + NET_LATENCY_MS);
	ck_assert_int_eq(honest->status, DTLS_OK);
	ck_assert_int_eq(honest->done_at, began_at + 6 * NET_LATENCY_MS);
	after = net_stats(n);
	ck_assert_uint_eq(after.peers, 1);
	ck_assert_uint_eq(after.handshakes, 0);
	ck_assert_uint_eq(after.hello_replies - before.hello_replies, SPOOFED + 1);
	ck_assert_uint_eq(after.cookies_rejected - before.cookies_rejected, cookie ? SPOOFED : 0);
	ck_assert_uint_eq(after.handshakes_started - before.handshakes_started, 1);
	client_echoes(honest, "unimpressed");
	net_free(n);
}

START_TEST(flood_of_hellos_leaves_nothing)
{
	flood(false);
}
END_TEST

START_TEST(flood_of_foreign_cookies_leaves_nothing)
{
	flood(true);
}
END_TEST

START_TEST(flood_of_one_address_leaves_nothing)
{
	struct net *n = net_new(1, NULL);
	struct datagram hello = some_hello(n, false);
	struct sockaddr_in from = net_address(2, 40000);
	struct client *honest;

	for (unsigned i = 0; i < 1000; i++)
		net_inject(n, &from, hello.bytes, hello.len);
	honest = client_connected(n, 2, 40000, NULL);
	for (unsigned i = 0; i < 1000; i++)
		net_inject(n, &from, hello.bytes, hello.len);
	client_echoes(honest, "unimpressed");
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	ck_assert_uint_eq(net_count(n, DTLS_CONNECTED), 1);
	net_free(n);
}
END_TEST

/* ---- two servers that were pointed at each other */

static ssize_t send_datagram(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	return sim_host_send(arg, to, to_len, buf, len);
}

START_TEST(flood_two_servers_fall_silent)
{
	struct net *n = net_new(1, NULL);
	struct sockaddr_in addr = net_address(7, 5684);
	struct sim_host *host = sim_host_new(n->sim, (struct sockaddr *)&addr, sizeof(addr), NULL);
	struct dtls_datagrams datagrams = {send_datagram, sim_host_recv, host};
	struct dtls_endpoint *other = dtls_endpoint_new_transport(n->server_ctx, &datagrams, NULL);
	struct datagram hello = some_hello(n, false);
	struct dtls_stats s = {.size = sizeof(s)};
	struct dtls_peer *peer;
	uint64_t out = n->out_count;
	char buf[64];

	net_inject(n, &addr, hello.bytes, hello.len);
	ck_assert_uint_eq(n->out_count, out + 1);
	for (int64_t ms = 0; ms < 1000; ms++) {
		sim_advance_to(n->sim, net_now(n) + 1);
		net_serve(n);
		ck_assert_int_eq(dtls_endpoint_recv(other, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
	}
	dtls_endpoint_stats(other, &s);
	ck_assert_uint_eq(s.datagrams_in, 1);
	ck_assert_uint_eq(s.datagrams_out, 0);
	ck_assert_uint_eq(s.drop_junk, 1);
	ck_assert_uint_eq(n->out_count, out + 1);
	dtls_endpoint_free(other);
	net_free(n);
}
END_TEST

/* A server's every answer, sent to another server: its alerts and flights too. */
START_TEST(flood_no_answer_of_a_server_gets_an_answer)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *wrong = net_client_context(n, NET_IDENTITY, "wrong-wrong-1234");
	struct sockaddr_in stranger = net_address(7, 5684);
	struct datagram answers[16];
	unsigned count = 0;

	client_new(n, 2, 40000, NULL);
	client_new(n, 3, 40000, wrong);
	for (uint64_t seen = 0; net_now(n) < 200; net_run(n, net_now(n) + 1)) {
		if (n->out_count == seen)
			continue;
		ck_assert_uint_lt(count, 16);
		answers[count++] = n->out;
		seen = n->out_count;
	}
	ck_assert_uint_ge(count, 3);
	for (unsigned i = 0; i < count; i++) {
		uint64_t out = n->out_count, junk = net_stats(n).drop_junk;

		net_inject(n, &stranger, answers[i].bytes, answers[i].len);
		ck_assert_uint_eq(n->out_count, out);
		ck_assert_uint_eq(net_stats(n).drop_junk, junk + 1);
	}
	dtls_context_free(wrong);
	net_free(n);
}
END_TEST

Suite *flood_suite(void)
{
	Suite *s = suite_create("flood");

	TEST(s, flood_allocations_are_seen);
	TEST(s, flood_of_hellos_leaves_nothing);
	TEST(s, flood_of_foreign_cookies_leaves_nothing);
	TEST(s, flood_of_one_address_leaves_nothing);
	TEST(s, flood_two_servers_fall_silent);
	TEST(s, flood_no_answer_of_a_server_gets_an_answer);
	return s;
}
