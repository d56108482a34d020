/* What do a hundred thousand peers on one socket cost? Memory for each, awake and parked; a datagram for one that is awake,
 * for one that is parked, and for one of a few; and do all of them still answer? Through real sockets; the clients are in
 * another process. Beside it a plain mbed TLS echo over one connected socket. */
#include "bench.h"
#include "crowd.h"
#include "plain.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	RUNS = 7,
	FEW = 100, /* peers of the small endpoint */
	AWAKE = 32, /* of the large one */
	WANDERERS = 10000, /* parked peers that speak in random order */
	IDLE_AWAKE = 2000,
	MESSAGES = 16384, /* of a run with peers that are awake; fewer with parked ones */
	PARKED_MESSAGES = 8192,
};

struct server {
	struct dtls_endpoint *ep;
	int fd;
};

static struct crowd crowd;

static int bound_socket(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		exit(1);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in at = {0};
	socklen_t len = sizeof(at);

	if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		exit(1);
	return ntohs(at.sin_port);
}

static struct dtls_context *server_context(void)
{
	const char *suite[] = {"TLS_PSK_WITH_AES_128_CCM_8"};
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	if (ctx == NULL || dtls_context_set_ciphers(ctx, suite, 1) != 0 ||
	    dtls_context_add_psk(ctx, plain_identity, strlen(plain_identity), plain_key, strlen(plain_key)) != 0)
		exit(1);
	return ctx;
}

static struct server server_new(struct dtls_context *ctx, unsigned max_awake)
{
	struct dtls_limits limits = {.max_awake = max_awake};
	struct server s = {.fd = bound_socket()};

	s.ep = dtls_endpoint_new(ctx, s.fd, &limits);
	if (s.ep == NULL) {
		fprintf(stderr, "%s\n", dtls_context_error(ctx));
		exit(1);
	}
	return s;
}

static struct dtls_stats stats_of(const struct server *s)
{
	struct dtls_stats stats = {.size = sizeof(stats)};

	dtls_endpoint_stats(s->ep, &stats);
	return stats;
}

static void echo(struct dtls_endpoint *ep)
{
	struct dtls_peer *peer;
	uint8_t buf[2048];
	ssize_t n;

	while ((n = dtls_endpoint_recv(ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ)
		if (n > 0)
			dtls_peer_send(peer, buf, (size_t)n);
		else if (n != DTLS_CONNECTED) {
			fprintf(stderr, "%s\n", peer == NULL ? dtls_endpoint_error(ep) : dtls_peer_error(peer));
			exit(1);
		}
}

/* Serves the crowd until it reports; CPU time of this side for each message, in ns. */
static double serve(const struct server *s, struct crowd_command c, unsigned *errors)
{
	struct pollfd p[] = {{.fd = s->fd}, {.fd = crowd.reports, .events = POLLIN}};
	uint64_t start;
	struct crowd_report r;

	c.port = port_of(s->fd);
	crowd_tell(&crowd, &c);
	start = bench_now_ns();
	do {
		echo(s->ep);
		p[0].events = dtls_endpoint_events(s->ep);
		poll(p, 2, dtls_endpoint_timeout(s->ep));
	} while (p[1].revents == 0);
	r = crowd_hear(&crowd);
	*errors += r.errors;
	return (double)(bench_now_ns() - start) / (r.done + r.errors);
}

static size_t resident(void)
{
	unsigned long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%lu %lu", &size, &pages) != 2)
		exit(1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* ---- the plain one ---- */

static int plain_fd;
static bool plain_ready;

static int plain_send(void *arg, const unsigned char *buf, size_t len)
{
	(void)arg;
	return (int)send(plain_fd, buf, len, 0);
}

static int plain_recv(void *arg, unsigned char *buf, size_t len)
{
	ssize_t n = recv(plain_fd, buf, len, 0);

	(void)arg;
	return n < 0 ? MBEDTLS_ERR_SSL_WANT_READ : (int)n;
}

/* To where its first datagram comes from. */
static void plain_connect(void)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char byte;

	if (recvfrom(plain_fd, &byte, 1, MSG_PEEK, (struct sockaddr *)&from, &len) != 1 ||
	    connect(plain_fd, (struct sockaddr *)&from, len) != 0)
		exit(1);
}

static void plain_echo(struct plain_side *side)
{
	uint8_t buf[2048];
	int n;

	while (!plain_ready && (n = plain_step(side)) != MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED) {
		if (n != 0)
			return;
		plain_ready = true;
	}
	while ((n = mbedtls_ssl_read(&side->ssl, buf, sizeof(buf))) > 0)
		mbedtls_ssl_write(&side->ssl, buf, (size_t)n);
}

static double plain_serve(struct plain_side *side, struct crowd_command c, unsigned *errors)
{
	struct pollfd p[] = {{.fd = plain_fd, .events = POLLIN}, {.fd = crowd.reports, .events = POLLIN}};
	uint64_t start;
	struct crowd_report r;

	c.port = port_of(plain_fd);
	crowd_tell(&crowd, &c);
	start = bench_now_ns();
	while (poll(p, 2, -1) > 0 && p[1].revents == 0) {
		if (!plain_ready)
			plain_connect();
		plain_echo(side);
	}
	r = crowd_hear(&crowd);
	*errors += r.errors;
	return (double)(bench_now_ns() - start) / (r.done + r.errors);
}

static void plain_open(struct plain_side *side)
{
	static struct plain_queue unused;

	plain_fd = bound_socket();
	plain_init(side, true, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &unused, &unused);
	mbedtls_ssl_set_bio(&side->ssl, NULL, plain_send, plain_recv, NULL);
}

/* ---- questions ---- */

static int at_most(const char *what, double value, const char *unit, double bound)
{
	printf(
	    "%-52s %9.1f %s   (at most %.1f: %s)\n", what, value, unit, bound, value <= bound ? "holds" : "EXCEEDED");
	return value > bound;
}

static void tell(const char *what, double value, const char *unit)
{
	printf("%-52s %9.1f %s\n", what, value, unit);
}

/* Of one idle peer, everything included that its endpoint takes. */
static double memory_of(const struct server *s, size_t before, unsigned first, unsigned count, unsigned *errors)
{
	struct crowd_command connect = {.what = CROWD_CONNECT, .first = first, .count = count};

	tell("handshake and first message, server's CPU", serve(s, connect, errors) / 1000, "us");
	return (double)(resident() - before) / count;
}

static int compare(const struct server *few, const struct server *many, struct plain_side *plain, unsigned *errors)
{
	struct crowd_command among_few = {
	    .what = CROWD_ECHO, .first = CROWD_MAX - FEW, .count = AWAKE, .messages = MESSAGES};
	struct crowd_command awake = {.what = CROWD_ECHO, .first = CROWD_MAX / 2, .count = AWAKE, .messages = MESSAGES};
	struct crowd_command parked = {
	    .what = CROWD_ECHO, .first = 1, .count = WANDERERS, .messages = PARKED_MESSAGES, .shuffled = true};
	struct crowd_command alone = {
	    .what = CROWD_PLAIN, .first = CROWD_MAX - FEW - 1, .count = 1, .messages = MESSAGES};
	struct bench b_few = {0}, b_awake = {0}, b_parked = {0}, b_plain = {0};
	struct crowd_command wake_them = awake;
	int missed;

	wake_them.messages = AWAKE;
	for (int run = 0; run < RUNS; run++) {
		bench_add(&b_plain, plain_serve(plain, alone, errors));
		bench_add(&b_few, serve(few, among_few, errors));
		serve(many, wake_them, errors);
		bench_add(&b_awake, serve(many, awake, errors));
		bench_add(&b_parked, serve(many, parked, errors));
	}
	bench_print("64-byte echo: plain mbed TLS, connected", &b_plain);
	bench_print("64-byte echo: awake among a hundred", &b_few);
	bench_print("64-byte echo: awake among a hundred thousand", &b_awake);
	bench_print("64-byte echo: 10,000 parked, at random", &b_parked);
	tell("a wake, and the parking of another", (bench_median(&b_parked) - bench_median(&b_awake)) / 1000, "us");
	missed = bench_ratio("awake among 100,000 / among 100", &b_awake, &b_few, 1.15);
	return missed + bench_ratio("10,000 parked at random / plain mbed TLS", &b_parked, &b_plain, 12);
}

int main(void)
{
	struct crowd_command all = {.what = CROWD_ECHO, .count = CROWD_MAX - FEW - 1, .messages = CROWD_MAX - FEW - 1};
	struct crowd_command one = {.what = CROWD_CONNECT, .first = CROWD_MAX - FEW - 1, .count = 1};
	unsigned many_count = CROWD_MAX - FEW - 1, errors = 0;
	static struct plain_side plain;
	struct server few, many, idle;
	struct dtls_context *ctx;
	size_t before;
	int missed = 0;

	crowd_start(&crowd);
	ctx = server_context();
	printf("peers on one socket, mbed TLS %s\n", dtls_mbedtls_version());
	plain_open(&plain);
	plain_serve(&plain, one, &errors);
	few = server_new(ctx, FEW);
	serve(&few, (struct crowd_command){.what = CROWD_CONNECT, .first = CROWD_MAX - FEW, .count = FEW}, &errors);
	before = resident();
	many = server_new(ctx, AWAKE);
	missed += at_most("RSS of an idle peer, parked, among 100,000",
	    memory_of(&many, before, 0, many_count, &errors), "bytes", 480);
	printf("parked: %llu, awake: %d\n", (unsigned long long)stats_of(&many).parked, AWAKE);
	missed += compare(&few, &many, &plain, &errors);
	tell("all woken one after the other and echoed", serve(&many, all, &errors) / 1000, "us each");
	tell("RSS of an idle peer behind all that", (double)(resident() - before) / many_count, "bytes");
	missed += at_most("errors", errors, "", 0);
	dtls_endpoint_free(many.ep);
	malloc_trim(0);
	before = resident();
	idle = server_new(ctx, IDLE_AWAKE);
	tell("RSS of an idle peer, awake, among 2,000", memory_of(&idle, before, 0, IDLE_AWAKE, &errors), "bytes");
	dtls_endpoint_free(idle.ep);
	dtls_endpoint_free(few.ep);
	dtls_context_free(ctx);
	plain_free(&plain);
	crowd_end(&crowd);
	return missed != 0;
}
