/* What does a second thread bring? 64-byte messages of 32 peers are echoed by endpoints on sockets of one address, one a
 * thread. The client, another process, has encrypted all messages beforehand, so that it needs little of the cores; the
 * server's CPU time for each message tells its rate where the cores are its own. */
#include "bench.h"
#include "plain.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, PEERS = 32, MESSAGE = 64, RECORD = 128 };
enum { EACH = 2500, ECHOES = PEERS * EACH, BURST = 8, OUTSTANDING = 256 };

static struct shared {
	struct thread {
		atomic_uint peers; /* as of now... */
		atomic_uint echoes; /* ...and so far */
		pthread_t id;
		struct dtls_context *ctx;
		uint8_t apart[64]; /* no cache line is of two threads */
		int fd;
	} threads[THREADS];
	double cpu_ns; /* of the server from the first to the last echo */
	double wall_ns;
	atomic_bool stop;
} * shared;

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-threads: cannot %s: %s\n", what, why);
	exit(1);
}

static double clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
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

static unsigned echo_all(struct dtls_endpoint *ep, struct thread *t)
{
	uint8_t message[MESSAGE];
	struct dtls_peer *peer;
	unsigned count = 0;
	ssize_t n;

	while ((n = dtls_endpoint_recv(ep, &peer, message, sizeof(message))) != DTLS_WANT_READ) {
		if (peer == NULL)
			fail("receive", dtls_endpoint_error(ep));
		if (n > 0) {
			dtls_peer_send(peer, message, (size_t)n);
			count++;
		} else {
			atomic_fetch_add(&t->peers, n == DTLS_CONNECTED ? 1U : -1U);
		}
	}
	return count;
}

static void *serve(void *arg)
{
	struct thread *t = arg;
	struct dtls_limits limits = {.hellos_per_s = 100000, .handshakes_per_s = 100000};
	struct dtls_endpoint *ep = dtls_endpoint_new(t->ctx, t->fd, &limits);
	struct pollfd p = {.fd = t->fd};

	if (ep == NULL)
		fail("serve", dtls_context_error(t->ctx));
	while (!atomic_load(&shared->stop)) {
		int ms = dtls_endpoint_timeout(ep);

		p.events = dtls_endpoint_events(ep);
		poll(&p, 1, ms < 0 || ms > 20 ? 20 : ms);
		atomic_fetch_add(&t->echoes, echo_all(ep, t));
	}
	dtls_endpoint_free(ep);
	return NULL;
}

static unsigned sum_of_echoes(void)
{
	return atomic_load(&shared->threads[0].echoes) + atomic_load(&shared->threads[1].echoes);
}

static void pause_us(long us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static void serve_on(unsigned threads)
{
	struct dtls_context *ctx = context(PROTOCOL_DTLS_SERVER);
	double cpu_ns = 0, wall_ns = 0;

	for (unsigned i = 0; i < threads; i++) {
		shared->threads[i].ctx = ctx;
		if (pthread_create(&shared->threads[i].id, NULL, serve, &shared->threads[i]) != 0)
			fail("start a thread", strerror(errno));
	}
	while (!atomic_load(&shared->stop)) {
		pause_us(1000);
		if (cpu_ns == 0 && sum_of_echoes() > 0) {
			cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
			wall_ns = clock_ns(CLOCK_MONOTONIC);
		}
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(shared->threads[i].id, NULL);
	shared->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
	shared->wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_ns;
	dtls_context_free(ctx);
}

/* ---- the client ---- */

struct peer {
	struct dtls_conn *conn;
	size_t len;
	int fd;
	unsigned kept, sent;
	bool keeps; /* what it is to send is kept for later */
	uint8_t records[EACH][RECORD];
};
static struct peer peers[PEERS];

static ssize_t send_or_keep(void *arg, const void *buf, size_t len)
{
	struct peer *p = arg;

	if (!p->keeps)
		return send(p->fd, buf, len, 0);
	if (len > RECORD || p->kept == EACH)
		fail("keep a record", "it is too long, or one too many");
	memcpy(p->records[p->kept++], buf, len);
	p->len = len;
	return (ssize_t)len;
}

static ssize_t receive(void *arg, void *buf, size_t len)
{
	ssize_t n = recv(((struct peer *)arg)->fd, buf, len, MSG_DONTWAIT);

	return n < 0 ? DTLS_WANT_READ : n;
}

static void connect_to(struct peer *p, struct dtls_context *ctx, const struct sockaddr_in *to)
{
	struct dtls_transport transport = {send_or_keep, receive, p};
	struct pollfd wait = {.events = POLLIN};
	int status;

	p->fd = socket(AF_INET, SOCK_DGRAM, 0);
	p->conn = dtls_wrap_transport(ctx, &transport);
	if (p->fd < 0 || connect(p->fd, (const struct sockaddr *)to, sizeof(*to)) != 0 || p->conn == NULL)
		fail("connect", strerror(errno));
	wait.fd = p->fd;
	while ((status = dtls_conn_handshake(p->conn)) == DTLS_WANT_READ)
		poll(&wait, 1, dtls_conn_timeout(p->conn));
	if (status != DTLS_OK)
		fail("shake hands", dtls_conn_error(p->conn));
}

static void leave(struct peer *p)
{
	dtls_conn_close(p->conn);
	dtls_conn_free(p->conn);
	close(p->fd);
}

static unsigned peers_of(unsigned thread)
{
	return atomic_load(&shared->threads[thread].peers);
}

static void await_peers(unsigned count)
{
	while (peers_of(0) + peers_of(1) != count)
		pause_us(100);
}

/* As many for each thread: the kernel deals them by their ports. */
static void connect_all(struct dtls_context *ctx, const struct sockaddr_in *to, unsigned threads)
{
	for (unsigned i = 0; i < PEERS;) {
		memset(&peers[i], 0, sizeof(peers[i]));
		connect_to(&peers[i], ctx, to);
		await_peers(i + 1);
		if (peers_of(0) <= PEERS / threads && peers_of(1) <= PEERS / threads) {
			i++;
			continue;
		}
		leave(&peers[i]);
		await_peers(i);
	}
}

static void encrypt_all(void)
{
	static const uint8_t message[MESSAGE];

	for (unsigned i = 0; i < PEERS; i++) {
		peers[i].keeps = true;
		while (peers[i].kept < EACH)
			if (dtls_conn_write(peers[i].conn, message, sizeof(message)) != MESSAGE)
				fail("encrypt", dtls_conn_error(peers[i].conn));
	}
}

/* Echoes are never read: they fill the buffers of these sockets, and are then lost. */
static void send_all(void)
{
	unsigned sent = 0;

	for (unsigned i = 0; sent < ECHOES; i = (i + 1) % PEERS) {
		struct peer *p = &peers[i];

		while (sent - sum_of_echoes() > OUTSTANDING)
			pause_us(20);
		for (unsigned n = 0; n < BURST && p->sent < EACH; n++, sent++)
			send(p->fd, p->records[p->sent++], p->len, 0);
	}
	for (unsigned patience = 0; sum_of_echoes() < ECHOES && patience < 2000; patience++)
		pause_us(1000);
}

/* ---- */

static void listen_on(unsigned threads, struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int on = 1, room = 4 << 20;

	*at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	for (unsigned i = 0; i < threads; i++) {
		int fd = shared->threads[i].fd = socket(AF_INET, SOCK_DGRAM, 0);

		if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) != 0 ||
		    bind(fd, (struct sockaddr *)at, len) != 0 || getsockname(fd, (struct sockaddr *)at, &len) != 0)
			fail("listen", strerror(errno));
	}
}

/* Nanoseconds of the server's CPU for one echo. */
static double one_run(unsigned threads, double *wall_ns)
{
	struct dtls_context *ctx = context(PROTOCOL_DTLS_CLIENT);
	struct sockaddr_in at;
	unsigned echoes;
	int status;
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	listen_on(threads, &at);
	pid = fork();
	if (pid == 0) {
		serve_on(threads);
		_exit(0);
	}
	for (unsigned i = 0; i < threads; i++)
		close(shared->threads[i].fd);
	connect_all(ctx, &at, threads);
	encrypt_all();
	send_all();
	echoes = sum_of_echoes();
	atomic_store(&shared->stop, true);
	if (waitpid(pid, &status, 0) != pid || status != 0 || echoes < ECHOES * 9 / 10)
		fail("measure", "the server has failed, or lost more than a tenth");
	for (unsigned i = 0; i < PEERS; i++) {
		dtls_conn_free(peers[i].conn);
		close(peers[i].fd);
	}
	dtls_context_free(ctx);
	*wall_ns = shared->wall_ns / echoes;
	return shared->cpu_ns / echoes;
}

int main(void)
{
	struct bench cpu[THREADS] = {{.runs = 0}, {.runs = 0}}, wall[THREADS] = {{.runs = 0}, {.runs = 0}};

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		fail("share memory", strerror(errno));
	for (int i = 0; i < BENCH_RUNS; i++)
		for (unsigned t = 0; t < THREADS; t++) {
			double wall_ns, cpu_ns = one_run(t + 1, &wall_ns);

			bench_add(&cpu[t], cpu_ns);
			bench_add(&wall[t], wall_ns);
		}
	printf("64-byte echoes of 32 peers\n");
	bench_print("CPU for each, 1 thread", &cpu[0]);
	bench_print("CPU for each, 2 threads", &cpu[1]);
	bench_print("time for each, 1 thread, client beside it", &wall[0]);
	bench_print("time for each, 2 threads, client beside them", &wall[1]);
	bench_compare("2 threads / 1 thread, CPU for each echo", &cpu[1], &cpu[0]);
	return bench_at_least(
	    "threads: rate of 2 by that", 2 * bench_median(&cpu[0]) / bench_median(&cpu[1]), "x that of 1", 1.7);
}
