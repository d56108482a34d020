/* What do honest clients notice of a flood of ClientHellos from spoofed addresses? Four processes: a server with one
 * endpoint, the flood, the clients, who begin handshakes at a steady rate, and this one, which watches. */
#include "bench.h"
#include "plain.h"
#include "spoof.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	FLOOD_PER_S = 200000,
	FLOOD_S = 10,
	HONEST_PER_S = 100,
	CALM_S = 3,
	CROWD = 600,
	IDLE_MS = 2000,
	GIVE_UP_MS = 60000
};
enum { CLIENTS_MAX = FLOOD_S * HONEST_PER_S + CROWD, RANDOM_AT = 13 + 12 + 2, GROWTH_KB = 256 };

struct honest {
	unsigned begun, completed;
	int32_t ms[CLIENTS_MAX]; /* of those completed */
};

static struct shared { /* by all processes */
	atomic_bool serve, flood, begin;
	atomic_uint asked, told; /* for the server's state */
	struct dtls_stats stats;
	double cpu_s;
	uint32_t overflown; /* datagrams that the socket's buffer had no room for */
	uint64_t sent; /* by the flood... */
	double flood_s; /* ...in so many seconds */
	struct honest honest;
} * shared;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-flood: cannot %s: %s\n", what, why);
	exit(1);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_ms(int64_t ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static struct dtls_context *context(enum dtls_protocol protocol)
{
	static const char *const suite[] = {"TLS_PSK_WITH_AES_128_CCM_8"};
	struct dtls_context *ctx = dtls_context_new(protocol);

	if (ctx == NULL || dtls_context_set_ciphers(ctx, suite, 1) != DTLS_OK ||
	    dtls_context_set_psk(ctx, plain_identity, strlen(plain_identity), plain_key, strlen(plain_key)) != DTLS_OK)
		fail("begin", dtls_context_error(ctx));
	return ctx;
}

/* ---- the server ---- */

static void tell_state(const struct dtls_endpoint *ep, int fd)
{
	struct rusage usage;
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof(memory);

	if (atomic_load(&shared->asked) == atomic_load(&shared->told))
		return;
	shared->stats.size = sizeof(shared->stats);
	dtls_endpoint_stats(ep, &shared->stats);
	getrusage(RUSAGE_SELF, &usage);
	shared->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &len);
	shared->overflown = memory[SK_MEMINFO_DROPS];
	atomic_store(&shared->told, atomic_load(&shared->asked));
}

static void serve(int fd)
{
	struct dtls_context *ctx = context(PROTOCOL_DTLS_SERVER);
	/* All honest clients are of one address, and none says goodbye. */
	struct dtls_limits limits = {.handshakes_per_s = 2 * HONEST_PER_S, .idle_ms = IDLE_MS};
	struct dtls_endpoint *ep = dtls_endpoint_new(ctx, fd, &limits);
	struct pollfd p = {.fd = fd};
	struct dtls_peer *peer;
	uint8_t buf[2048];

	if (ep == NULL)
		fail("serve", dtls_context_error(ctx));
	while (atomic_load(&shared->serve)) {
		int ms = dtls_endpoint_timeout(ep);

		p.events = dtls_endpoint_events(ep);
		poll(&p, 1, ms < 0 || ms > 20 ? 20 : ms);
		while (dtls_endpoint_recv(ep, &peer, buf, sizeof(buf)) != DTLS_WANT_READ)
			if (peer == NULL)
				fail("receive", dtls_endpoint_error(ep));
		tell_state(ep, fd);
	}
	dtls_endpoint_free(ep);
	dtls_context_free(ctx);
}

/* ---- the flood ---- */

/* Half of the hellos come with a cookie that is none: they cost the gate most. */
static void flood(uint16_t port)
{
	static struct plain_queue in, out;
	static struct plain_side client;
	static struct spoof spoof = {.random_at = RANDOM_AT};
	static uint8_t hellos[2][SPOOF_DATAGRAM];
	uint8_t reply[128];
	size_t reply_len;
	struct dtls_context *ctx = context(PROTOCOL_DTLS_SERVER);
	int64_t began_at;

	plain_init(&client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &in, &out);
	for (int i = 0; i < 2; i++) {
		int len;

		plain_step(&client);
		len = plain_take(&out, hellos[i], sizeof(hellos[i]));
		if (len <= 0)
			fail("make a hello", "mbed TLS sent none");
		spoof.templates[i] = hellos[i];
		spoof.lens[i] = (size_t)len;
		if (i == 0 &&
		    dtls_hello_check(ctx, "x", 1, hellos[0], (size_t)len, reply, &reply_len) == DTLS_HELLO_REPLY)
			plain_put(&in, reply, reply_len);
	}
	plain_free(&client);
	dtls_context_free(ctx);
	spoof.to = port;
	spoof_init(&spoof);
	began_at = now_ms();
	shared->sent = spoof_run(&spoof, FLOOD_PER_S, &shared->flood);
	shared->flood_s = (double)(now_ms() - began_at) / 1000;
}

/* ---- the honest ---- */

struct client {
	struct dtls_conn *conn;
	int64_t began_at;
};

static void begin_one(struct client *c, struct pollfd *p, struct dtls_context *ctx, uint16_t port)
{
	struct sockaddr_in to = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	p->events = POLLIN;
	if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("open a socket", strerror(errno));
	c->conn = dtls_wrap_socket(ctx, p->fd);
	if (c->conn == NULL)
		fail("begin a handshake", dtls_context_error(ctx));
	c->began_at = now_ms();
	shared->honest.begun++;
}

/* True when it has ended, well or not. */
static bool go_on(struct client *c)
{
	struct honest *h = &shared->honest;
	int status = dtls_conn_handshake(c->conn);

	if (status == DTLS_WANT_READ && now_ms() - c->began_at < GIVE_UP_MS)
		return false;
	if (status == DTLS_OK)
		h->ms[h->completed++] = (int32_t)(now_ms() - c->began_at);
	return true;
}

static unsigned go_on_with_all(struct client *clients, struct pollfd *fds, unsigned count)
{
	for (unsigned i = 0; i < count;) {
		if ((fds[i].revents == 0 && dtls_conn_timeout(clients[i].conn) != 0) || !go_on(&clients[i])) {
			i++;
			continue;
		}
		dtls_conn_free(clients[i].conn);
		close(fds[i].fd);
		clients[i] = clients[--count];
		fds[i] = fds[count];
	}
	return count;
}

/* While this lasts, at this rate; then until the last one is done. */
static void honest(uint16_t port, unsigned per_s, unsigned at_once, int seconds)
{
	static struct client clients[CLIENTS_MAX];
	static struct pollfd fds[CLIENTS_MAX];
	struct dtls_context *ctx = context(PROTOCOL_DTLS_CLIENT);
	int64_t start = now_ms();
	unsigned count = 0, begun = 0;

	shared->honest.begun = shared->honest.completed = 0;
	do {
		int64_t passed = now_ms() - start;
		unsigned due = passed < seconds * 1000 ? at_once + (unsigned)(passed * per_s / 1000)
						       : at_once + per_s * (unsigned)seconds;

		for (; begun < due; begun++, count++) {
			begin_one(&clients[count], &fds[count], ctx, port);
			fds[count].revents = POLLIN;
		}
		count = go_on_with_all(clients, fds, count);
		poll(fds, count, 2);
	} while (count > 0 || now_ms() - start < seconds * 1000);
	dtls_context_free(ctx);
}

/* ---- who watches ---- */

static long rss_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid); /* statm is too coarse */
	f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "Rss: %ld kB", &kb) == 1)
			break;
	if (f != NULL)
		fclose(f);
	if (kb < 0)
		fail("read the server's memory", strerror(errno));
	return kb;
}

static pid_t begin_process(void)
{
	pid_t pid = fork();

	if (pid < 0)
		fail("fork", strerror(errno));
	return pid;
}

static void await(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status != 0) {
		atomic_store(&shared->serve, false);
		atomic_store(&shared->flood, true);
		exit(1);
	}
}

/* The peak of the server's memory in the meantime. */
static long await_honest(uint16_t port, unsigned per_s, unsigned at_once, int seconds, pid_t server)
{
	pid_t pid = begin_process();
	long peak = 0;
	siginfo_t info;

	if (pid == 0) {
		honest(port, per_s, at_once, seconds);
		exit(0);
	}
	do {
		long kb = rss_kb(server);

		peak = kb > peak ? kb : peak;
		pause_ms(200);
		info.si_pid = 0;
	} while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0);
	await(pid);
	return peak;
}

static struct shared state(void)
{
	atomic_fetch_add(&shared->asked, 1);
	while (atomic_load(&shared->told) != atomic_load(&shared->asked))
		pause_ms(1);
	return *shared;
}

static int compare(const void *a, const void *b)
{
	return *(const int32_t *)a - *(const int32_t *)b;
}

/* Of the handshakes that were completed, when sorted. */
static int32_t within_ms(unsigned percent)
{
	const struct honest *h = &shared->honest;
	unsigned last = h->completed > 0 ? h->completed - 1 : 0;

	return h->ms[last * percent / 100];
}

static void print_honest(const char *when)
{
	struct honest *h = &shared->honest;

	qsort(h->ms, h->completed, sizeof(*h->ms), compare);
	printf("%s: %u of %u handshakes, in %d ms (median), %d (90 %%), %d (99 %%), %d (longest)\n", when, h->completed,
	    h->begun, within_ms(50), within_ms(90), within_ms(99), within_ms(100));
	fflush(stdout);
}

static int judge(const struct shared *before, const struct shared *after, long rss_before, long rss_after, long peak)
{
	const struct honest *h = &shared->honest; /* sorted */
	double hellos = (double)(after->stats.datagrams_in - before->stats.datagrams_in);
	double cpu_us = (after->cpu_s - before->cpu_s) * 1e6 / hellos;
	int missed = 0;

	bench_figure("flood: spoofed hellos sent", (double)after->sent / after->flood_s, "a second");
	bench_figure("flood: CPU of the server", cpu_us, "µs for each datagram");
	bench_figure("flood: lost where the socket's buffer was full",
	    100.0 * (after->overflown - before->overflown) / (double)after->sent, "%");
	bench_figure("flood: median honest handshake", within_ms(50), "ms");
	bench_figure("flood: 99 % of the honest handshakes within", within_ms(99), "ms");
	missed |= bench_at_least("flood: honest handshakes completed", 100.0 * h->completed / h->begun, "%", 99);
	printf("memory of the server: %ld KB before, %ld after, %ld at most\n", rss_before, rss_after, peak);
	missed |= bench_at_most("flood: growth of the server",
	    rss_after > rss_before ? (double)(rss_after - rss_before) : 0, "KB in RSS", GROWTH_KB);
	return missed;
}

static int wide_socket(uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 || getsockname(fd, (struct sockaddr *)&at, &len) != 0)
		fail("listen", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	*port = ntohs(at.sin_port);
	return fd;
}

int main(void)
{
	long rss_before, rss_after, peak;
	struct shared before, after;
	pid_t server, flooding;
	uint16_t port;
	int fd = wide_socket(&port);

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("share memory", strerror(errno));
	atomic_store(&shared->serve, true);
	server = begin_process();
	if (server == 0) {
		serve(fd);
		exit(0);
	}
	/* A crowd first: the memory of as many unfinished handshakes as there ever are is then the server's already. */
	await_honest(port, HONEST_PER_S, CROWD, CALM_S, server);
	print_honest("in peace");
	pause_ms(2 * IDLE_MS);
	before = state();
	rss_before = rss_kb(server);
	flooding = begin_process();
	if (flooding == 0) {
		flood(port);
		exit(0);
	}
	peak = await_honest(port, HONEST_PER_S, 0, FLOOD_S, server);
	atomic_store(&shared->flood, true);
	await(flooding);
	pause_ms(2 * IDLE_MS);
	print_honest("in the flood");
	after = state();
	rss_after = rss_kb(server);
	atomic_store(&shared->serve, false);
	await(server);
	return judge(&before, &after, rss_before, rss_after, peak);
}
