/* What does it cost a server to open a record and to protect one of the same length? This library's endpoint beside mbed
 * TLS, OpenSSL and GnuTLS alone, over queues in memory: a message of the same client of plain mbed TLS is sent back; only
 * the server's calls are timed. */
#include "bench.h"
#include "stacks.h"

#include <dtls/dtls.h>
#include <stdio.h>

/* The stacks take turns within a run, so that all meet the same disturbances. */
enum { TURNS = 20, ROUNDS = 10 };
enum { OURS, MBEDTLS, OPENSSL, GNUTLS, STACKS };

static const struct stack *const stacks[STACKS] = {&stack_ours, &stack_mbedtls, &stack_openssl, &stack_gnutls};

static void measure(struct stack_lane lanes[STACKS], size_t len, struct bench results[STACKS])
{
	static const uint8_t message[PLAIN_DATAGRAM];

	for (int run = -1; run < BENCH_RUNS; run++) {
		double ns[STACKS] = {0};

		for (int t = 0; t < TURNS * STACKS; t++)
			for (int i = 0; i < ROUNDS; i++)
				ns[t % STACKS] += stack_lane_echo(&lanes[t % STACKS], message, len);
		for (int i = 0; i < STACKS && run >= 0; i++) /* the first run warms up */
			bench_add(&results[i], ns[i] / TURNS / ROUNDS);
	}
}

static void compare(const char *suite, size_t len, struct bench results[STACKS])
{
	char what[80];

	snprintf(what, sizeof(what), "%s, %zu bytes", suite, len);
	printf("-- %s\n", what);
	for (int i = 0; i < STACKS; i++)
		bench_print(stacks[i]->name, &results[i]);
	bench_compare(what, &results[OURS], &results[MBEDTLS]);
	bench_compare(what, &results[OURS], &results[OPENSSL]);
	bench_compare(what, &results[OURS], &results[GNUTLS]);
}

int main(void)
{
	static const enum stack_suite suites[] = {STACK_PSK, STACK_PSK_GCM};
	static const size_t sizes[] = {64, 256, 1200};
	static struct stack_lane lanes[STACKS];

	bench_pin();
	printf("one record opened and one protected; mbed TLS %s\n", dtls_mbedtls_version());
	for (int s = 0; s < 2; s++) {
		for (int i = 0; i < STACKS; i++) {
			stack_lane_open(&lanes[i], stacks[i], suites[s]);
			stack_lane_shake(&lanes[i]);
		}
		for (int size = 0; size < 3; size++) {
			struct bench results[STACKS] = {0};

			measure(lanes, sizes[size], results);
			compare(stack_suite_names[suites[s]], sizes[size], results);
		}
		for (int i = 0; i < STACKS; i++) {
			lanes[i].stack->end(lanes[i].server);
			stack_lane_close(&lanes[i]);
		}
	}
	return 0;
}
