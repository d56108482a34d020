/* What does it cost to answer a ClientHello that has no cookie, and to accept one that has? Our gate, beside GnuTLS's
 * functions for the same job and an mbed TLS context that listens. */
#include "bench.h"
#include "plain.h"

#include <dtls/dtls.h>
#include <gnutls/dtls.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run alternates between all of them in short turns, so that they meet the same disturbances. */
enum { TURNS = 20, HELLOS = 1000 };

struct hello {
	size_t len;
	uint8_t bytes[PLAIN_DATAGRAM];
};

static struct hello first; /* of one client, which asks both */
static struct dtls_context *ctx;
static gnutls_datum_t gnutls_key;
static struct plain_queue in, out;
static struct plain_side listener;

static struct hello taken(struct plain_queue *from)
{
	struct hello h;
	int n = plain_take(from, h.bytes, sizeof(h.bytes));

	if (n <= 0)
		exit(1);
	h.len = (size_t)n;
	return h;
}

/* What stands for the client: an address and a port. */
static const uint8_t *client_id(unsigned n)
{
	static uint8_t id[6] = {192, 0, 2, 7};

	id[4] = (uint8_t)(n >> 8);
	id[5] = (uint8_t)n;
	return id;
}

/* ---- the three of them: one hello answered */

static void gate_answers(unsigned n)
{
	uint8_t reply[128];
	size_t reply_len;

	if (dtls_hello_check(ctx, client_id(n), 6, first.bytes, first.len, reply, &reply_len) != DTLS_HELLO_REPLY)
		exit(1);
}

static ssize_t gnutls_push(gnutls_transport_ptr_t queue, const void *bytes, size_t len)
{
	struct hello *reply = queue;

	memcpy(reply->bytes, bytes, len);
	reply->len = len;
	return (ssize_t)len;
}

static int gnutls_judges(unsigned n, struct hello *h, gnutls_dtls_prestate_st *state)
{
	memset(state, 0, sizeof(*state));
	return gnutls_dtls_cookie_verify(&gnutls_key, (void *)(uintptr_t)client_id(n), 6, h->bytes, h->len, state);
}

static void gnutls_answers(unsigned n)
{
	gnutls_dtls_prestate_st state;
	struct hello reply;

	if (gnutls_judges(n, &first, &state) != GNUTLS_E_BAD_COOKIE ||
	    gnutls_dtls_cookie_send(&gnutls_key, (void *)(uintptr_t)client_id(n), 6, &state, &reply, gnutls_push) < 0)
		exit(1);
}

static void listener_answers(unsigned n)
{
	uint8_t reply[PLAIN_DATAGRAM];

	(void)n;
	plain_put(&in, first.bytes, first.len);
	if (plain_step(&listener) != MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED)
		exit(1);
	plain_take(&out, reply, sizeof(reply));
}

/* ---- two of them: one hello accepted */

static struct hello to_gate, to_gnutls; /* with its cookie */

static void gate_accepts(unsigned n)
{
	uint8_t reply[128];
	size_t len;

	(void)n;
	if (dtls_hello_check(ctx, client_id(0), 6, to_gate.bytes, to_gate.len, reply, &len) != DTLS_HELLO_VERIFIED)
		exit(1);
}

static void gnutls_accepts(unsigned n)
{
	gnutls_dtls_prestate_st state;

	(void)n;
	if (gnutls_judges(0, &to_gnutls, &state) != 0)
		exit(1);
}

/* ---- how they come by their hellos */

static void init_client(struct plain_side *client, struct plain_queue *from, struct plain_queue *to)
{
	plain_init(client, false, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, from, to);
	plain_step(client);
	first = taken(to);
}

/* The hello that a client sends when it has this answer to its first. */
static struct hello with_cookie(void (*answer)(struct hello *reply))
{
	static struct plain_queue from, to;
	static struct plain_side client;
	struct hello reply, second;

	init_client(&client, &from, &to);
	answer(&reply);
	plain_put(&from, reply.bytes, reply.len);
	plain_step(&client);
	second = taken(&to);
	plain_free(&client);
	return second;
}

static void answer_of_gate(struct hello *reply)
{
	if (dtls_hello_check(ctx, client_id(0), 6, first.bytes, first.len, reply->bytes, &reply->len) !=
	    DTLS_HELLO_REPLY)
		exit(1);
}

static void answer_of_gnutls(struct hello *reply)
{
	gnutls_dtls_prestate_st state;

	if (gnutls_judges(0, &first, &state) != GNUTLS_E_BAD_COOKIE ||
	    gnutls_dtls_cookie_send(&gnutls_key, (void *)(uintptr_t)client_id(0), 6, &state, reply, gnutls_push) < 0)
		exit(1);
}

/* ---- */

static struct contender {
	const char *name;
	void (*work)(unsigned n);
	struct bench bench;
} contenders[] = {
    {.name = "dtls_hello_check, no cookie", .work = gate_answers},
    {.name = "gnutls_dtls_cookie_verify + _send", .work = gnutls_answers},
    {.name = "mbed TLS listener context", .work = listener_answers},
    {.name = "dtls_hello_check, with a cookie", .work = gate_accepts},
    {.name = "gnutls_dtls_cookie_verify, with a cookie", .work = gnutls_accepts},
};
enum { CONTENDERS = sizeof(contenders) / sizeof(*contenders) };

static void one_run(void)
{
	double ns[CONTENDERS] = {0};

	for (unsigned turn = 0; turn < TURNS; turn++)
		for (unsigned c = 0; c < CONTENDERS; c++) {
			uint64_t start = bench_now_ns();

			for (unsigned i = 0; i < HELLOS; i++)
				contenders[c].work(turn * HELLOS + i);
			ns[c] += (double)(bench_now_ns() - start);
		}
	for (unsigned c = 0; c < CONTENDERS; c++)
		bench_add(&contenders[c].bench, ns[c] / TURNS / HELLOS);
}

int main(void)
{
	int missed;

	ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	if (ctx == NULL || gnutls_key_generate(&gnutls_key, GNUTLS_COOKIE_KEY_SIZE) != 0)
		return 1;
	bench_pin();
	plain_init(&listener, true, MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8, &in, &out);
	to_gate = with_cookie(answer_of_gate);
	to_gnutls = with_cookie(answer_of_gnutls);
	for (int i = 0; i < BENCH_RUNS; i++)
		one_run();
	printf("ClientHello of %zu bytes, mbed TLS %s, GnuTLS %s\n", first.len, dtls_mbedtls_version(),
	    gnutls_check_version(NULL));
	for (unsigned c = 0; c < CONTENDERS; c++)
		bench_print(contenders[c].name, &contenders[c].bench);
	plain_free(&listener);
	gnutls_free(gnutls_key.data);
	dtls_context_free(ctx);
	missed = bench_ratio("answered: gate / GnuTLS", &contenders[0].bench, &contenders[1].bench, 1.00);
	missed |= bench_ratio("answered: gate / mbed TLS", &contenders[0].bench, &contenders[2].bench, 0.10);
	missed |= bench_ratio("accepted: gate / GnuTLS", &contenders[3].bench, &contenders[4].bench, 1.00);
	return missed;
}
