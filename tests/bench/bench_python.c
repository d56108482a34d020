/* Both sides of a connection over a descriptor that is inherited, one a process: those that the Python module is
 * measured beside, and the peers of either. bench_python.py runs it. */
#include "bench.h"

#include <dtls/dtls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BULK = 16384, MESSAGE = 64, WARM_UP = 500 };

static uint8_t buf[BULK];

static void fail(const char *what, const char *why)
{
	fprintf(stderr, "bench-python: cannot %s: %s\n", what, why);
	exit(1);
}

static ssize_t read_some(struct dtls_conn *c, size_t len)
{
	ssize_t n = dtls_conn_read(c, buf, len);

	if (n < 0)
		fail("read", dtls_conn_error(c));
	return n;
}

static void read_all(struct dtls_conn *c, size_t left)
{
	while (left > 0)
		left -= (size_t)read_some(c, left < sizeof(buf) ? left : sizeof(buf));
}

static void write_all(struct dtls_conn *c, size_t len)
{
	if (dtls_conn_write(c, buf, len) != (ssize_t)len)
		fail("write", dtls_conn_error(c));
}

static void write_bulks(struct dtls_conn *c, size_t count)
{
	for (size_t i = 0; i < count; i++)
		write_all(c, BULK);
}

/* ---- the sides that are measured ---- */

static void round_trips(struct dtls_conn *c, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		write_all(c, MESSAGE);
		read_some(c, sizeof(buf));
	}
}

static void write_to_sink(struct dtls_conn *c, size_t count)
{
	write_bulks(c, count);
	read_all(c, 1);
}

static void read_from_source(struct dtls_conn *c, size_t count)
{
	write_all(c, 1);
	read_all(c, count * BULK);
}

/* ---- their peers ---- */

static void sink(struct dtls_conn *c, size_t count)
{
	read_all(c, count * BULK);
	write_all(c, 1);
}

static void source(struct dtls_conn *c, size_t count)
{
	read_all(c, 1);
	write_bulks(c, count);
}

static void echo(struct dtls_conn *c, size_t count)
{
	for (size_t i = 0; i < count; i++)
		write_all(c, (size_t)read_some(c, sizeof(buf)));
}

static const struct role {
	const char *name;
	enum dtls_protocol protocol;
	void (*run)(struct dtls_conn *, size_t count);
} roles[] = {
    {"write", PROTOCOL_TLS_CLIENT, write_to_sink},
    {"read", PROTOCOL_TLS_CLIENT, read_from_source},
    {"round_trip", PROTOCOL_DTLS_CLIENT, round_trips},
    {"sink", PROTOCOL_TLS_SERVER, sink},
    {"source", PROTOCOL_TLS_SERVER, source},
    {"echo", PROTOCOL_DTLS_SERVER, echo},
};

static const struct role *role_of(const char *name)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
		if (strcmp(roles[i].name, name) == 0)
			return &roles[i];
	return NULL;
}

static struct dtls_conn *connect_as(enum dtls_protocol protocol, int fd, const char *suite)
{
	struct dtls_context *ctx = dtls_context_new(protocol);
	struct dtls_conn *c;

	if (ctx == NULL || dtls_context_set_psk(ctx, "bench", 5, "0123456789abcdef", 16) != DTLS_OK ||
	    dtls_context_set_ciphers(ctx, &suite, 1) != DTLS_OK || (c = dtls_wrap_socket(ctx, fd)) == NULL)
		fail("begin", dtls_context_error(ctx));
	dtls_context_free(ctx);
	if (dtls_conn_handshake(c) != DTLS_OK)
		fail("shake hands", dtls_conn_error(c));
	return c;
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	const struct role *role = argc == 5 ? role_of(argv[1]) : NULL;
	uint64_t wall, cpu;
	struct dtls_conn *c;

	if (role == NULL) {
		fprintf(stderr, "usage: python write|read|round_trip|sink|source|echo FD COUNT SUITE\n");
		return 2;
	}
	c = connect_as(role->protocol, atoi(argv[2]), argv[4]);
	role->run(c, WARM_UP);
	wall = wall_ns();
	cpu = bench_now_ns();
	role->run(c, strtoul(argv[3], NULL, 10));
	cpu = bench_now_ns() - cpu;
	printf("%llu %llu\n", (unsigned long long)(wall_ns() - wall), (unsigned long long)cpu);
	dtls_conn_close(c);
	dtls_conn_free(c);
	return 0;
}
