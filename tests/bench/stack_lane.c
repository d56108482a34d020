#include "bench.h"
#include "stacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 20 };

const char *const stack_suite_names[STACK_SUITES] = {
    [STACK_PSK] = "PSK-AES128-CCM8",
    [STACK_ECDHE_PSK] = "ECDHE-PSK-CHACHA20-POLY1305",
    [STACK_ECDSA] = "ECDHE-ECDSA-AES128-GCM-SHA256",
    [STACK_PSK_GCM] = "PSK-AES128-GCM-SHA256",
};

void stack_must(bool well, const char *what)
{
	if (well)
		return;
	fprintf(stderr, "the benchmark has failed: %s\n", what);
	exit(1);
}

void *stack_memory(size_t size)
{
	void *memory = calloc(1, size);

	stack_must(memory != NULL, "out of memory");
	return memory;
}

void stack_lane_open(struct stack_lane *lane, const struct stack *stack, enum stack_suite suite)
{
	memset(lane, 0, sizeof(*lane));
	lane->stack = stack;
	lane->server = stack->open(suite, &lane->to_server, &lane->to_client);
	stack_plain_init(&lane->client, false, suite, &lane->to_client, &lane->to_server);
}

void stack_lane_close(struct stack_lane *lane)
{
	lane->stack->close(lane->server);
	plain_free(&lane->client);
}

/* What it takes to read the clock is no work of the server's. */
static double since(uint64_t start)
{
	enum { READINGS = 1001 };
	static double reading_ns;
	double spent = (double)(bench_now_ns() - start);
	uint64_t begin;

	if (reading_ns == 0) {
		begin = bench_now_ns();
		for (int i = 1; i < READINGS; i++)
			bench_now_ns();
		reading_ns = (double)(bench_now_ns() - begin) / READINGS;
	}
	return spent - reading_ns;
}

static void deliver(struct stack_lane *lane)
{
	if (lane->stack->deliver != NULL)
		lane->stack->deliver(lane->server);
}

static void collect(struct stack_lane *lane)
{
	if (lane->stack->collect != NULL)
		lane->stack->collect(lane->server);
}

/* RFC 6347, 4.2.1: what a stack does without would be no comparison. */
static bool is_hello_verify_request(const struct plain_queue *q)
{
	enum { HANDSHAKE = 22, HELLO_VERIFY_REQUEST = 3, RECORD_HEADER = 13 };
	const uint8_t *datagram = q->slots[q->head % PLAIN_QUEUE].bytes;

	return q->tail == q->head + 1 && datagram[0] == HANDSHAKE && datagram[RECORD_HEADER] == HELLO_VERIFY_REQUEST;
}

double stack_lane_shake(struct stack_lane *lane)
{
	bool served = false;
	int client = MBEDTLS_ERR_SSL_WANT_READ;
	uint64_t start;
	double spent;

	lane->to_client.head = lane->to_client.tail;
	lane->to_server.head = lane->to_server.tail;
	plain_reset(&lane->client);
	start = bench_now_ns();
	lane->stack->begin(lane->server);
	spent = since(start);
	for (int i = 0; i < STEPS_MAX && (client != 0 || !served); i++) {
		client = client == 0 ? 0 : plain_step(&lane->client);
		deliver(lane);
		start = bench_now_ns();
		served |= lane->stack->serve(lane->server);
		spent += since(start);
		collect(lane);
		stack_must(i > 0 || is_hello_verify_request(&lane->to_client), "a cookie's request");
		stack_must(client == 0 || client == MBEDTLS_ERR_SSL_WANT_READ, "a client's handshake");
	}
	stack_must(client == 0 && served, lane->stack->name);
	return spent;
}

double stack_lane_echo(struct stack_lane *lane, const uint8_t *message, size_t len)
{
	uint8_t answer[PLAIN_DATAGRAM];
	uint64_t start;
	double spent;

	for (int i = 0; i < STACK_ECHOES; i++)
		stack_must(mbedtls_ssl_write(&lane->client.ssl, message, len) == (int)len, "to send a message");
	deliver(lane);
	start = bench_now_ns();
	lane->stack->echo(lane->server, STACK_ECHOES);
	spent = since(start);
	collect(lane);
	for (int i = 0; i < STACK_ECHOES; i++)
		stack_must(mbedtls_ssl_read(&lane->client.ssl, answer, sizeof(answer)) == (int)len &&
			       memcmp(answer, message, len) == 0,
		    "to get a message back");
	return spent / STACK_ECHOES;
}
