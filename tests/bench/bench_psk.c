/* How long does a file of 100,000 pre-shared keys take to load? */
#include "bench.h"

#include <dtls/dtls.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ENTRIES = 100000, BOUND_MS = 1000 };

static void write_keys(const char *path)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		exit(1);
	for (unsigned i = 0; i < ENTRIES; i++)
		fprintf(f, "sensor-%u:%08x%08x%08x%08x\n", i, i, ~i, i * 2654435761U, i ^ 0x5a5a5a5aU);
	if (fclose(f) != 0)
		exit(1);
}

int main(void)
{
	char path[] = "/tmp/bench_psk.XXXXXX";
	int fd = mkstemp(path);
	struct bench load = {0};
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);

	if (fd < 0 || ctx == NULL)
		return 1;
	close(fd);
	write_keys(path);
	for (int i = 0; i < BENCH_RUNS; i++) {
		uint64_t start = bench_now_ns();

		if (dtls_context_load_psk_file(ctx, path) != DTLS_OK) {
			fprintf(stderr, "%s\n", dtls_context_error(ctx));
			return 1;
		}
		bench_add(&load, (double)(bench_now_ns() - start));
	}
	unlink(path);
	dtls_context_free(ctx);
	bench_print("a file of 100,000 keys", &load);
	return bench_at_most("to load a file of 100,000 keys", bench_median(&load) / 1e6, "ms", BOUND_MS);
}
