/* What does it cost to answer a ClientHello that has no cookie? Our gate, beside an mbed TLS context that listens. */
#include "bench.h"
#include "plain.h"

#include <dtls/dtls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELLOS = 20000 };

static size_t capture_hello(uint8_t *hello, size_t max)
{
	static struct plain_queue in, out;
	static struct plain_side client;
	int n;

	plain_init(&client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &in, &out);
	plain_step(&client);
	n = plain_take(&out, hello, max);
	plain_free(&client);
	return n < 0 ? 0 : (size_t)n;
}

static double gate_run(struct dtls_context *ctx, const uint8_t *hello, size_t len)
{
	uint8_t id[6] = {192, 0, 2, 7}, reply[128];
	uint64_t start = bench_now_ns();
	size_t reply_len;

	for (unsigned i = 0; i < HELLOS; i++) {
		id[4] = (uint8_t)(i >> 8);
		id[5] = (uint8_t)i;
		if (dtls_hello_check(ctx, id, sizeof(id), hello, len, reply, &reply_len) != DTLS_HELLO_REPLY)
			exit(1);
	}
	return (double)(bench_now_ns() - start) / HELLOS;
}

static double listener_run(struct plain_side *server, const uint8_t *hello, size_t len)
{
	uint64_t start = bench_now_ns();
	uint8_t reply[PLAIN_DATAGRAM];

	for (unsigned i = 0; i < HELLOS; i++) {
		plain_put(server->in, hello, len);
		if (plain_step(server) != MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED)
			exit(1);
		plain_take(server->out, reply, sizeof(reply));
	}
	return (double)(bench_now_ns() - start) / HELLOS;
}

int main(void)
{
	static struct plain_queue in, out;
	static struct plain_side server;
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	struct bench gate = {0}, listener = {0};
	uint8_t hello[PLAIN_DATAGRAM];
	size_t len = capture_hello(hello, sizeof(hello));

	if (ctx == NULL || len == 0)
		return 1;
	bench_pin();
	plain_init(&server, true, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &in, &out);
	for (int i = 0; i < BENCH_RUNS; i++) {
		bench_add(&gate, gate_run(ctx, hello, len));
		bench_add(&listener, listener_run(&server, hello, len));
	}
	printf("ClientHello of %zu bytes -> HelloVerifyRequest, mbed TLS %s\n", len, dtls_mbedtls_version());
	bench_print("dtls_hello_check", &gate);
	bench_print("mbed TLS listener context", &listener);
	plain_free(&server);
	dtls_context_free(ctx);
	return bench_ratio("gate / listener", &gate, &listener, 0.10);
}
