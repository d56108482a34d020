/* What does a full PSK-AES128-CCM-8 handshake cost the server, cookie included? Through the endpoint and its gate,
 * beside one mbed TLS context alone. Both serve the same plain mbed TLS client in memory; only the server's calls are
 * timed. */
#include "bench.h"
#include "plain.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run alternates between the two in short turns, so that both meet the same disturbances. */
enum { TURNS = 20, HANDSHAKES = 50 };

struct lane { /* a client and the two queues to its server */
	struct plain_queue to_server, to_client;
	struct plain_side client;
	struct sockaddr_in addr;
};

static double plain_turn(struct lane *lane, struct plain_side *server)
{
	uint64_t spent = 0, start;
	int client, served;

	for (int i = 0; i < HANDSHAKES; i++) {
		plain_reset(&lane->client);
		start = bench_now_ns();
		plain_reset(server);
		spent += bench_now_ns() - start;
		do {
			client = plain_step(&lane->client);
			start = bench_now_ns();
			served = plain_step(server);
			if (served == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED)
				served = plain_step(server);
			spent += bench_now_ns() - start;
		} while (client == MBEDTLS_ERR_SSL_WANT_READ);
		if (client != 0 || served != 0)
			exit(1);
	}
	return (double)spent / HANDSHAKES / TURNS;
}

static ssize_t endpoint_send(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	(void)to, (void)to_len;
	plain_put(&((struct lane *)arg)->to_client, buf, len);
	return (ssize_t)len;
}

static ssize_t endpoint_recv(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct lane *lane = arg;
	int n = plain_take(&lane->to_server, buf, len);

	if (n < 0)
		return DTLS_WANT_READ;
	memcpy(from, &lane->addr, sizeof(lane->addr));
	*from_len = sizeof(lane->addr);
	return n;
}

/* Runs the endpoint dry; the peer that connected, if one did. */
static struct dtls_peer *serve(struct dtls_endpoint *ep)
{
	struct dtls_peer *peer, *connected = NULL;
	uint8_t buf[64];
	ssize_t event;

	while ((event = dtls_endpoint_recv(ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		if (event != DTLS_CONNECTED)
			exit(1);
		connected = peer;
	}
	return connected;
}

static double endpoint_turn(struct lane *lane, struct dtls_endpoint *ep)
{
	uint64_t spent = 0, start;
	struct dtls_peer *peer;
	int client;

	for (int i = 0; i < HANDSHAKES; i++) {
		plain_reset(&lane->client);
		lane->addr.sin_port = htons((uint16_t)(1024 + i));
		do {
			client = plain_step(&lane->client);
			start = bench_now_ns();
			peer = serve(ep);
			spent += bench_now_ns() - start;
		} while (client == MBEDTLS_ERR_SSL_WANT_READ);
		if (client != 0)
			exit(1);
		if (peer != NULL)
			exit(1); /* it connected before the client's last step */
		dtls_endpoint_close_identity(ep, plain_identity, strlen(plain_identity));
		while (dtls_endpoint_recv(ep, &peer, NULL, 0) != DTLS_WANT_READ)
			;
		lane->to_client.head = lane->to_client.tail;
	}
	return (double)spent / HANDSHAKES / TURNS;
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

int main(void)
{
	static struct lane alone, through;
	static struct plain_side server;
	struct bench plain = {0}, ours = {0};
	struct dtls_context *ctx = server_context();
	struct dtls_datagrams datagrams = {endpoint_send, endpoint_recv, &through};
	struct dtls_limits limits = {
	    .hellos_per_s = UINT_MAX, .handshakes_per_s = UINT_MAX}; /* they all come from one address */
	struct dtls_endpoint *ep = dtls_endpoint_new_transport(ctx, &datagrams, &limits);

	if (ep == NULL)
		return 1;
	bench_pin();
	through.addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000207)};
	plain_init(&alone.client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &alone.to_client, &alone.to_server);
	plain_init(&through.client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &through.to_client, &through.to_server);
	plain_init(&server, true, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &alone.to_server, &alone.to_client);
	for (int i = 0; i < BENCH_RUNS; i++) {
		double plain_ns = 0, our_ns = 0;

		for (int turn = 0; turn < TURNS; turn++) {
			plain_ns += plain_turn(&alone, &server);
			our_ns += endpoint_turn(&through, ep);
		}
		bench_add(&plain, plain_ns);
		bench_add(&ours, our_ns);
	}
	printf("full PSK-AES128-CCM-8 handshake with cookie, server side, mbed TLS %s\n", dtls_mbedtls_version());
	bench_print("through endpoint and gate", &ours);
	bench_print("mbed TLS alone", &plain);
	dtls_endpoint_free(ep);
	dtls_context_free(ctx);
	plain_free(&alone.client);
	plain_free(&through.client);
	plain_free(&server);
	return bench_ratio("endpoint / mbed TLS alone", &ours, &plain, 1.10);
}
