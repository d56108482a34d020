/* What does a full handshake cost the server, cookie included? This library's endpoint beside mbed TLS, OpenSSL and GnuTLS
 * alone, all of them over queues in memory; and beside mbed TLS where both use UDP. All serve the same client of plain mbed
 * TLS; only the server's calls are timed, from the first hello to the session, not the end of it. */
#include "bench.h"
#include "stacks.h"

#include <dtls/dtls.h>
#include <gnutls/gnutls.h>
#include <openssl/crypto.h>
#include <stdio.h>

/* The stacks take turns within a run, so that all meet the same disturbances. */
enum { TURNS = 5 };
enum { OURS, MBEDTLS, OPENSSL, GNUTLS, OURS_UDP, MBEDTLS_UDP, STACKS };

static const struct stack *const stacks[STACKS] = {
    &stack_ours, &stack_mbedtls, &stack_openssl, &stack_gnutls, &stack_ours_udp, &stack_mbedtls_udp};

static double turn(struct stack_lane *lane, int handshakes)
{
	double spent = 0;

	for (int i = 0; i < handshakes; i++) {
		spent += stack_lane_shake(lane);
		lane->stack->end(lane->server);
	}
	return spent / handshakes / TURNS;
}

static void measure(enum stack_suite suite, int handshakes, struct bench results[STACKS])
{
	static struct stack_lane lanes[STACKS];

	for (int i = 0; i < STACKS; i++)
		stack_lane_open(&lanes[i], stacks[i], suite);
	for (int run = -1; run < BENCH_RUNS; run++) {
		double ns[STACKS] = {0};

		for (int t = 0; t < TURNS; t++)
			for (int i = 0; i < STACKS; i++)
				ns[i] += turn(&lanes[i], handshakes);
		for (int i = 0; i < STACKS && run >= 0; i++) /* the first run warms up */
			bench_add(&results[i], ns[i]);
	}
	for (int i = 0; i < STACKS; i++)
		stack_lane_close(&lanes[i]);
}

/* 0: all that is promised holds. */
static int compare(const char *suite, struct bench results[STACKS], double bound)
{
	char over_udp[80];
	int missed;

	snprintf(over_udp, sizeof(over_udp), "%s, over UDP", suite);
	for (int i = 0; i < STACKS; i++)
		bench_print(stacks[i]->name, &results[i]);
	missed = bench_ratio(suite, &results[OURS], &results[MBEDTLS], bound);
	bench_compare(suite, &results[OURS], &results[OPENSSL]);
	bench_compare(suite, &results[OURS], &results[GNUTLS]);
	bench_compare(over_udp, &results[OURS_UDP], &results[MBEDTLS_UDP]);
	return missed;
}

int main(void)
{
	static const struct {
		enum stack_suite suite;
		int handshakes; /* in a turn */
		double bound;
	} parts[] = {{STACK_PSK, 100, 1.10}, {STACK_ECDHE_PSK, 3, 1.10}, {STACK_ECDSA, 3, 1.10}};
	int missed = 0;

	bench_pin();
	printf("full handshakes with cookie, server side; mbed TLS %s, OpenSSL %s, GnuTLS %s\n", dtls_mbedtls_version(),
	    OpenSSL_version(OPENSSL_VERSION_STRING), gnutls_check_version(NULL));
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		struct bench results[STACKS] = {0};

		printf("-- %s\n", stack_suite_names[parts[i].suite]);
		measure(parts[i].suite, parts[i].handshakes, results);
		missed += compare(stack_suite_names[parts[i].suite], results, parts[i].bound);
	}
	return missed > 0;
}
