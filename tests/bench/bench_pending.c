/* What does the clock's tick cost while a hundred thousand handshakes are unfinished: one at which nothing is due, one that
 * resends one flight; and for how long does the table of peers keep a caller waiting at most while it grows? */
#include "bench.h"
#include "plain.h"

#include "dtls/peertable.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	RUNS = 7,
	TICKS = 100, /* of a run that resends */
	QUIET_TICKS = 20000,
	FEW = RUNS * TICKS,
	MANY = 100000,
	FIRST_MS = 1000000,
	NEED_EACH = 45 << 10, /* bytes of an unfinished handshake */
};

struct lane { /* an endpoint in memory, and the client that begins all its handshakes */
	struct dtls_context *ctx;
	struct dtls_endpoint *ep;
	struct plain_queue to_server, to_client;
	struct plain_side client;
	struct sockaddr_in addr;
	unsigned sent;
	int64_t began_at;
};

static int64_t now_ms;

static int64_t clock_ms(void *arg)
{
	(void)arg;
	return now_ms;
}

static ssize_t lane_send(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	struct lane *lane = arg;

	(void)to, (void)to_len;
	lane->sent++;
	lane->to_client.head = lane->to_client.tail; /* the server's flight is lost */
	plain_put(&lane->to_client, buf, len);
	return (ssize_t)len;
}

static ssize_t lane_recv(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct lane *lane = arg;
	int n = plain_take(&lane->to_server, buf, len);

	if (n < 0)
		return DTLS_WANT_READ;
	memcpy(from, &lane->addr, sizeof(lane->addr));
	*from_len = sizeof(lane->addr);
	return n;
}

static void serve(struct lane *lane)
{
	struct dtls_peer *peer;
	uint8_t buf[64];

	if (dtls_endpoint_recv(lane->ep, &peer, buf, sizeof(buf)) != DTLS_WANT_READ)
		exit(1);
}

/* One every millisecond. */
static void open_lane(struct lane *lane, unsigned count)
{
	const char *suite[] = {"TLS_PSK_WITH_AES_128_CCM_8"};
	struct dtls_limits limits = {.max_handshakes = count};
	struct dtls_datagrams datagrams = {lane_send, lane_recv, lane};
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	if (ctx == NULL || dtls_context_set_ciphers(ctx, suite, 1) != 0 ||
	    dtls_context_add_psk(ctx, plain_identity, strlen(plain_identity), plain_key, strlen(plain_key)) != 0 ||
	    dtls_context_set_clock(ctx, clock_ms, NULL) != 0 ||
	    dtls_context_set_handshake_timeout(ctx, FIRST_MS, 3600000) != 0 ||
	    dtls_context_set_retransmit(ctx, DTLS_RETRANSMIT_FIXED) != 0)
		exit(1);
	lane->ctx = ctx;
	lane->ep = dtls_endpoint_new_transport(ctx, &datagrams, &limits);
	if (lane->ep == NULL)
		exit(1);
	plain_init(&lane->client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &lane->to_client, &lane->to_server);
	lane->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1000)};
	lane->began_at = now_ms + 1;
	for (unsigned i = 0; i < count; i++) {
		now_ms++;
		lane->addr.sin_addr.s_addr = htonl(0x0a000000 + i);
		lane->to_client.head = lane->to_client.tail;
		plain_reset(&lane->client);
		plain_step(&lane->client);
		serve(lane);
		plain_step(&lane->client);
		serve(lane);
	}
}

static void close_lane(struct lane *lane)
{
	plain_free(&lane->client);
	dtls_endpoint_free(lane->ep);
	dtls_context_free(lane->ctx);
}

static unsigned unfinished(const struct lane *lane)
{
	struct dtls_stats stats = {.size = sizeof(stats)};

	dtls_endpoint_stats(lane->ep, &stats);
	return (unsigned)stats.handshakes;
}

static double quiet_ticks(struct lane *lane)
{
	uint64_t start = bench_now_ns();

	for (unsigned i = 0; i < QUIET_TICKS; i++) {
		dtls_endpoint_handle_timeout(lane->ep);
		if (dtls_endpoint_timeout(lane->ep) <= 0)
			exit(1);
	}
	return (double)(bench_now_ns() - start) / QUIET_TICKS;
}

/* One flight each. */
static double resending_ticks(struct lane *lane, unsigned run)
{
	int64_t came_from = now_ms;
	unsigned sent = lane->sent;
	uint64_t start = bench_now_ns();
	double ns;

	for (unsigned i = 0; i < TICKS; i++) {
		now_ms = lane->began_at + FIRST_MS + (int64_t)(run * TICKS + i);
		dtls_endpoint_handle_timeout(lane->ep);
	}
	ns = (double)(bench_now_ns() - start) / TICKS;
	now_ms = came_from;
	if (lane->sent != sent + TICKS)
		exit(1);
	return ns;
}

static void ticks(unsigned many)
{
	static struct lane small, large;
	static struct bench quiet[2], busy[2];

	open_lane(&small, FEW);
	open_lane(&large, many);
	if (unfinished(&small) != FEW || unfinished(&large) != many)
		exit(1);
	for (unsigned run = 0; run < RUNS; run++) {
		bench_add(&quiet[0], quiet_ticks(&small));
		bench_add(&quiet[1], quiet_ticks(&large));
	}
	for (unsigned run = 0; run < RUNS; run++) {
		bench_add(&busy[0], resending_ticks(&small, run));
		bench_add(&busy[1], resending_ticks(&large, run));
	}
	printf("%d unfinished handshakes, and %u, mbed TLS %s\n", FEW, many, dtls_mbedtls_version());
	bench_print("tick, nothing due, few handshakes pending", &quiet[0]);
	bench_print("tick, nothing due, many handshakes pending", &quiet[1]);
	bench_print("tick, one flight resent, few pending", &busy[0]);
	bench_print("tick, one flight resent, many pending", &busy[1]);
	close_lane(&small);
	close_lane(&large);
}

static double longest_insertion(struct dtls_peer *peers, unsigned count)
{
	static struct peertable table;
	static struct rng rng;
	uint64_t longest = 0;

	if (rng_init(&rng) != 0 || peertable_init(&table, &rng) != 0)
		exit(1);
	for (unsigned i = 0; i < count; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + i)};
		uint64_t start, ns;

		address_set(&peers[i].addr, (struct sockaddr *)&in, sizeof(in));
		start = bench_now_ns();
		peertable_insert(&table, &peers[i]);
		ns = bench_now_ns() - start;
		longest = ns > longest ? ns : longest;
	}
	peertable_free(&table);
	rng_free(&rng);
	return (double)longest;
}

int main(void)
{
	size_t room = (size_t)sysconf(_SC_AVPHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE) / 2 / NEED_EACH;
	struct dtls_peer *peers = calloc(MANY, sizeof(*peers));
	struct bench growth = {0};

	if (peers == NULL)
		return 1;
	bench_pin();
	for (int run = 0; run < RUNS; run++)
		bench_add(&growth, longest_insertion(peers, MANY));
	free(peers);
	ticks(room < MANY ? (unsigned)room : MANY);
	bench_print("longest of 100,000 insertions", &growth);
	return bench_median(&growth) > 1e6;
}
