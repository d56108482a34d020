/* dtls-relay on real sockets: each impairment's statistics, with numbered datagrams, and thousands of clients. */
#include "links.h"
#include "loopback.h"
#include "suites.h"

#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 8000, AT_ONCE = 100, PAYLOAD = 64, LARGEST = 1200, OPTIONS_MAX = 16, CLIENTS = 3000 };

struct relay {
	pid_t pid;
	FILE *told; /* its standard error */
	uint16_t port;
	int client, server; /* sockets on its two sides; the server's is connected once a datagram came */
};

struct datagram {
	uint32_t number;
	uint8_t filling[LARGEST - sizeof(uint32_t)];
};

struct arrivals {
	unsigned total, late; /* behind a later one */
	unsigned copies[COUNT], changed; /* changed: one byte is another */
	uint32_t newest;
};

/* ---- the program ---- */

static const char *relay_path(void)
{
	static char path[PATH_MAX];
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	ck_assert_int_gt(len, 0);
	self[len] = '\0';
	snprintf(path, sizeof(path), "%s/../bin/dtls-relay", dirname(self));
	return path;
}

static void exec_relay(int told, char **options)
{
	char *argv[OPTIONS_MAX + 6] = {"dtls-relay", "-l", "127.0.0.1:0"};

	for (int i = 0; options[i] != NULL; i++)
		argv[3 + i] = options[i];
	dup2(told, STDERR_FILENO);
	execv(relay_path(), argv);
	_exit(127);
}

static void widen(int fd)
{
	int size = 4 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* In front of a socket of ours. */
static struct relay relay_start(const char *more)
{
	struct relay r = {.server = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK)};
	char target[32], line[128] = "", *rest = strdup(more), *next = rest, *options[OPTIONS_MAX] = {"-t", target};
	int told[2];

	snprintf(target, sizeof(target), "127.0.0.1:%u", loopback_port(r.server));
	for (int i = 2; next != NULL && *next != '\0'; i++) {
		ck_assert_int_lt(i, OPTIONS_MAX - 1);
		options[i] = strsep(&next, " ");
	}
	ck_assert_int_eq(pipe(told), 0);
	r.pid = fork();
	if (r.pid == 0)
		exec_relay(told[1], options);
	free(rest);
	close(told[1]);
	r.told = fdopen(told[0], "r");
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), r.told));
	ck_assert_msg(sscanf(line, "listening on 127.0.0.1:%hu", &r.port) == 1, "%s", line);
	r.client = loopback_connected("127.0.0.1", r.port, SOCK_NONBLOCK);
	widen(r.server);
	widen(r.client);
	return r;
}

/* Nothing was lost but by the weather: what was sent, it has received. */
static void relay_stop(struct relay *r, unsigned to_server, unsigned to_client)
{
	char line[256];
	unsigned received, lines = 0;
	int status;

	ck_assert_int_eq(kill(r->pid, SIGTERM), 0);
	while (fgets(line, sizeof(line), r->told) != NULL) {
		if (sscanf(line, "client to server: %u received", &received) == 1)
			ck_assert_uint_eq(received, to_server);
		else if (sscanf(line, "server to client: %u received", &received) == 1)
			ck_assert_uint_eq(received, to_client);
		else
			continue;
		lines++;
	}
	ck_assert_uint_eq(lines, 2);
	ck_assert_int_eq(waitpid(r->pid, &status, 0), r->pid);
	ck_assert_int_eq(status, 0);
	fclose(r->told);
	close(r->client);
	close(r->server);
}

/* ---- numbered datagrams ---- */

static uint8_t filling_of(uint32_t number)
{
	return (uint8_t)(number * 7 + 1);
}

static void send_datagram(int fd, uint32_t number, size_t len)
{
	struct datagram d = {.number = number};

	memset(d.filling, filling_of(number), sizeof(d.filling));
	ck_assert_int_eq(send(fd, &d, len, 0), (ssize_t)len);
}

/* A byte of another value, or another number, is a change. */
static void note(struct arrivals *a, const struct datagram *d, size_t len)
{
	unsigned wrong = 0;
	uint8_t expected = filling_of(d->number);

	a->total++;
	for (size_t i = 0; i < len - sizeof(d->number); i++)
		wrong += d->filling[i] != expected;
	if (wrong == len - sizeof(d->number) || d->number >= COUNT) { /* the number is what has changed */
		a->changed++;
		return;
	}
	ck_assert_uint_le(wrong, 1);
	a->changed += wrong;
	a->late += d->number < a->newest;
	a->newest = d->number > a->newest ? d->number : a->newest;
	a->copies[d->number]++;
}

static bool take(int fd, struct arrivals *a)
{
	struct datagram d;
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	ssize_t n = recvfrom(fd, &d, sizeof(d), 0, (struct sockaddr *)&from, &from_len);

	if (n < 0)
		return false;
	ck_assert_int_gt(n, (ssize_t)sizeof(d.number));
	if (a->total == 0)
		ck_assert_int_eq(connect(fd, (struct sockaddr *)&from, from_len), 0);
	note(a, &d, (size_t)n);
	return true;
}

/* Until nothing has come for so long. */
static void take_all(int fd, struct arrivals *a, int quiet_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, quiet_ms) > 0)
		while (take(fd, a))
			continue;
}

/* COUNT datagrams, a few at a time, so that no buffer of the kernel overflows. */
static struct arrivals carry(int from, int to, int quiet_ms)
{
	struct arrivals a = {0};

	for (uint32_t i = 0; i < COUNT; i++) {
		send_datagram(from, i, PAYLOAD);
		if (i % AT_ONCE == AT_ONCE - 1)
			take_all(to, &a, 1);
	}
	take_all(to, &a, quiet_ms);
	return a;
}

static unsigned with_copies(const struct arrivals *a, unsigned copies)
{
	unsigned count = 0;

	for (int i = 0; i < COUNT; i++)
		count += a->copies[i] == copies;
	return count;
}

/* ---- tests ---- */

START_TEST(relay_passes_everything_in_order)
{
	struct relay r = relay_start("");
	struct arrivals there = carry(r.client, r.server, 200), back = carry(r.server, r.client, 200);

	for (struct arrivals *a = &there; a != NULL; a = a == &there ? &back : NULL) {
		ck_assert_uint_eq(with_copies(a, 1), COUNT);
		ck_assert_uint_eq(a->late + a->changed, 0);
	}
	relay_stop(&r, COUNT, COUNT);
}
END_TEST

START_TEST(relay_loses_independently_each_way)
{
	struct relay r = relay_start("--loss 20%");
	struct arrivals there = carry(r.client, r.server, 200), back = carry(r.server, r.client, 200);
	unsigned both = 0;

	assert_rate(with_copies(&there, 0), COUNT, 0.2);
	assert_rate(with_copies(&back, 0), COUNT, 0.2);
	for (int i = 0; i < COUNT; i++)
		both += there.copies[i] == 0 && back.copies[i] == 0;
	assert_rate(both, COUNT, 0.2 * 0.2);
	ck_assert_uint_eq(there.late + there.changed + back.late + back.changed, 0);
	relay_stop(&r, COUNT, COUNT);
}
END_TEST

/* One begins at 0.02 of those that pass, and lasts for 1 / 0.18 = 5.6 datagrams. */
START_TEST(relay_loses_in_bursts)
{
	struct relay r = relay_start("--burst-loss 1 --burst-enter 0.02 --burst-leave 0.18");
	struct arrivals a = carry(r.client, r.server, 200);
	unsigned lost = with_copies(&a, 0), bursts = 0;

	for (int i = 1; i < COUNT; i++)
		bursts += a.copies[i - 1] == 1 && a.copies[i] == 0;
	assert_rate(bursts, COUNT - lost, 0.02);
	ck_assert_double_le(4.2, (double)lost / bursts);
	ck_assert_double_le((double)lost / bursts, 7.5);
	relay_stop(&r, COUNT, 0);
}
END_TEST

START_TEST(relay_duplicates)
{
	struct relay r = relay_start("--duplicate 0.1");
	struct arrivals a = carry(r.client, r.server, 200);

	assert_rate(with_copies(&a, 2), COUNT, 0.1);
	ck_assert_uint_eq(with_copies(&a, 1) + with_copies(&a, 2), COUNT);
	relay_stop(&r, COUNT, 0);
}
END_TEST

START_TEST(relay_reorders)
{
	struct relay r = relay_start("--reorder 0.1 --delay 5");
	struct arrivals a = carry(r.client, r.server, 200);

	assert_rate(a.late, COUNT, 0.1);
	ck_assert_uint_eq(with_copies(&a, 1), COUNT);
	relay_stop(&r, COUNT, 0);
}
END_TEST

START_TEST(relay_corrupts_one_byte)
{
	struct relay r = relay_start("--corrupt 0.1");
	struct arrivals a = carry(r.client, r.server, 200);

	assert_rate(a.changed, COUNT, 0.1);
	ck_assert_uint_eq(a.total, COUNT);
	relay_stop(&r, COUNT, 0);
}
END_TEST

START_TEST(relay_loses_what_is_larger_than_the_mtu)
{
	struct relay r = relay_start("--mtu 600");
	struct arrivals a = {0};

	for (uint32_t i = 0; i < 10; i++)
		send_datagram(r.client, i, i % 2 == 0 ? 600 : 601);
	take_all(r.server, &a, 200);
	for (uint32_t i = 0; i < 10; i++)
		ck_assert_uint_eq(a.copies[i], i % 2 == 0);
	relay_stop(&r, 10, 0);
}
END_TEST

START_TEST(relay_loses_by_number)
{
	struct relay r = relay_start("--drop 2,c4-5,s1");
	struct arrivals there = {0}, back = {0};

	for (uint32_t i = 0; i < 6; i++)
		send_datagram(r.client, i, PAYLOAD);
	take_all(r.server, &there, 200);
	for (uint32_t i = 0; i < 6; i++)
		send_datagram(r.server, i, PAYLOAD);
	take_all(r.client, &back, 200);
	for (uint32_t i = 0; i < 6; i++) {
		ck_assert_uint_eq(there.copies[i], i + 1 != 2 && i + 1 != 4 && i + 1 != 5);
		ck_assert_uint_eq(back.copies[i], i + 1 != 2 && i + 1 != 1);
	}
	relay_stop(&r, 6, 6);
}
END_TEST

/* A datagram waits for those before it: 20 of 500 bytes at 50,000 bytes a second take 200 ms. */
START_TEST(relay_queues_for_its_rate)
{
	struct relay r = relay_start("--rate 50000");
	struct arrivals a = {0};
	int64_t began = loopback_now_ms();

	for (uint32_t i = 0; i < 20; i++)
		send_datagram(r.client, i, 500);
	take_all(r.server, &a, 300);
	ck_assert_uint_eq(a.total, 20);
	ck_assert_int_ge(loopback_now_ms() - began, 200);
	relay_stop(&r, 20, 0);
}
END_TEST

/* Never early; and spread over the jitter: of 200 datagrams some take its first quarter, and some its last. */
START_TEST(relay_delays_and_jitters)
{
	struct relay r = relay_start("--delay 100 --jitter 400");
	struct arrivals a = {0};
	struct pollfd p = {.fd = r.server, .events = POLLIN};
	int64_t began = loopback_now_ms(), first, last = 0;

	for (uint32_t i = 0; i < 200; i++)
		send_datagram(r.client, i, PAYLOAD);
	for (first = 0; a.total < 200; last = loopback_now_ms() - began) {
		ck_assert_int_eq(poll(&p, 1, LOOPBACK_PATIENCE_MS), 1);
		first = first == 0 ? loopback_now_ms() - began : first;
		while (take(r.server, &a))
			continue;
	}
	ck_assert_int_ge(first, 100);
	ck_assert_int_ge(last, 400);
	ck_assert_uint_gt(a.late, 50);
	relay_stop(&r, 200, 0);
}
END_TEST

START_TEST(relay_repeats_the_weather_of_a_seed)
{
	struct arrivals runs[3];
	const char *seeds[] = {"--loss 0.5 --seed 7", "--loss 0.5 --seed 7", "--loss 0.5 --seed 8"};

	for (int i = 0; i < 3; i++) {
		struct relay r = relay_start(seeds[i]);

		runs[i] = carry(r.client, r.server, 200);
		relay_stop(&r, COUNT, 0);
	}
	ck_assert_mem_eq(runs[0].copies, runs[1].copies, sizeof(runs[0].copies));
	ck_assert_mem_ne(runs[0].copies, runs[2].copies, sizeof(runs[0].copies));
}
END_TEST

static void echo_all(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char buf[64];
	ssize_t n;

	while ((n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len)) >= 0)
		ck_assert_int_eq(sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len), n);
}

/* Each gets its own answer, through its own socket. */
START_TEST(relay_serves_thousands_of_clients)
{
	struct relay r = relay_start("--delay 20");
	struct rlimit limit;
	struct pollfd server = {.fd = r.server, .events = POLLIN};
	static int clients[CLIENTS];
	uint32_t answer;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		clients[i] = loopback_connected("127.0.0.1", r.port, 0);
		ck_assert_int_eq(send(clients[i], &i, sizeof(i), 0), sizeof(i));
		if (i % AT_ONCE == 0 && poll(&server, 1, 30) > 0)
			echo_all(r.server);
	}
	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct pollfd p[] = {{.fd = clients[i], .events = POLLIN}, server};

		while (p[0].revents == 0) {
			ck_assert_int_gt(poll(p, 2, LOOPBACK_PATIENCE_MS), 0);
			echo_all(r.server);
		}
		ck_assert_int_eq(recv(clients[i], &answer, sizeof(answer), 0), sizeof(answer));
		ck_assert_uint_eq(answer, i);
		close(clients[i]);
	}
	relay_stop(&r, CLIENTS, CLIENTS);
}
END_TEST

Suite *relay_suite(void)
{
	Suite *suite = suite_create("relay");

	TEST(suite, relay_passes_everything_in_order);
	TEST(suite, relay_loses_independently_each_way);
	TEST(suite, relay_loses_in_bursts);
	TEST(suite, relay_duplicates);
	TEST(suite, relay_reorders);
	TEST(suite, relay_corrupts_one_byte);
	TEST(suite, relay_loses_what_is_larger_than_the_mtu);
	TEST(suite, relay_loses_by_number);
	TEST(suite, relay_queues_for_its_rate);
	TEST(suite, relay_delays_and_jitters);
	TEST(suite, relay_repeats_the_weather_of_a_seed);
	TEST(suite, relay_serves_thousands_of_clients);
	return suite;
}
