/* What does forward secrecy cost? A full handshake of the default suite, ECDHE_PSK with ChaCha20-Poly1305, cookie
 * included, client and server together: ours, which names P-256 first, beside mbed TLS with its own order of curves. */
#include "bench.h"
#include "plain.h"

#include <dtls/dtls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS = 5, HANDSHAKES = 2, STEPS_MAX = 20 };

struct lane { /* what a side of ours sends and receives by */
	struct plain_queue *in, *out;
};

static ssize_t lane_send(void *arg, const void *buf, size_t len)
{
	plain_put(((struct lane *)arg)->out, buf, len);
	return (ssize_t)len;
}

static ssize_t lane_recv(void *arg, void *buf, size_t len)
{
	int n = plain_take(((struct lane *)arg)->in, buf, len);

	return n < 0 ? DTLS_WANT_READ : n;
}

static struct dtls_context *context(enum dtls_protocol protocol)
{
	struct dtls_context *ctx = dtls_context_new(protocol);

	if (ctx == NULL ||
	    dtls_context_set_psk(ctx, plain_identity, strlen(plain_identity), plain_key, strlen(plain_key)) != DTLS_OK)
		exit(1);
	return ctx;
}

static struct dtls_conn *wrap(struct dtls_context *ctx, struct lane *lane)
{
	struct dtls_transport transport = {lane_send, lane_recv, lane};
	struct dtls_conn *conn = dtls_wrap_transport(ctx, &transport);

	if (conn == NULL)
		exit(1);
	return conn;
}

static double our_turn(struct dtls_context *client_ctx, struct dtls_context *server_ctx)
{
	static struct plain_queue up, down;
	struct lane lanes[2] = {{&down, &up}, {&up, &down}};
	uint64_t start = bench_now_ns();

	for (int i = 0; i < HANDSHAKES; i++) {
		struct dtls_conn *client = wrap(client_ctx, &lanes[0]), *server = wrap(server_ctx, &lanes[1]);
		int told = DTLS_WANT_READ, heard = DTLS_WANT_READ;

		if (dtls_conn_set_client_id(server, "client", 6) != DTLS_OK)
			exit(1);
		for (int n = 0; n < STEPS_MAX && (told != DTLS_OK || heard != DTLS_OK); n++) {
			told = dtls_conn_handshake(client);
			heard = dtls_conn_handshake(server);
		}
		if (told != DTLS_OK || heard != DTLS_OK)
			exit(1);
		dtls_conn_free(client);
		dtls_conn_free(server);
	}
	return (double)(bench_now_ns() - start) / HANDSHAKES / TURNS;
}

static double plain_turn(struct plain_side *client, struct plain_side *server)
{
	uint64_t start = bench_now_ns();

	for (int i = 0; i < HANDSHAKES; i++) {
		int told = -1, heard = -1;

		plain_reset(client);
		plain_reset(server);
		for (int n = 0; n < STEPS_MAX && (told != 0 || heard != 0); n++) {
			told = told == 0 ? 0 : plain_step(client);
			heard = heard == 0 ? 0 : plain_step(server);
		}
		if (told != 0 || heard != 0)
			exit(1);
	}
	return (double)(bench_now_ns() - start) / HANDSHAKES / TURNS;
}

int main(void)
{
	static struct plain_queue up, down;
	static struct plain_side client, server;
	struct bench ours = {0}, plain = {0};
	struct dtls_context *client_ctx = context(PROTOCOL_DTLS_CLIENT), *server_ctx = context(PROTOCOL_DTLS_SERVER);

	bench_pin();
	plain_init(&client, false, MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, &down, &up);
	plain_init(&server, true, MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, &up, &down);
	for (int i = 0; i < BENCH_RUNS; i++) {
		double our_ns = 0, plain_ns = 0;

		for (int turn = 0; turn < TURNS; turn++) {
			our_ns += our_turn(client_ctx, server_ctx);
			plain_ns += plain_turn(&client, &server);
		}
		bench_add(&ours, our_ns);
		bench_add(&plain, plain_ns);
	}
	printf("full ECDHE_PSK handshake with cookie, both sides together, mbed TLS %s\n", dtls_mbedtls_version());
	bench_print("ours, P-256 first", &ours);
	bench_print("mbed TLS, its own order", &plain);
	plain_free(&client);
	plain_free(&server);
	dtls_context_free(client_ctx);
	dtls_context_free(server_ctx);
	return bench_ratio("ECDHE-PSK-CHACHA20-POLY1305, both sides", &ours, &plain, 1.00);
}
