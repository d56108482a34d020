#include "rng.h"

#include <pthread.h>

/* Process-wide by nature: fork() tells nobody else. */
static atomic_uint forks;

static void count_fork(void)
{
	atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
	pthread_atfork(NULL, NULL, count_fork);
}

unsigned fork_generation(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	return atomic_load_explicit(&forks, memory_order_relaxed);
}

int rng_init(struct rng *rng)
{
	mbedtls_entropy_init(&rng->entropy);
	mbedtls_ctr_drbg_init(&rng->drbg);
	atomic_init(&rng->generation, fork_generation());
	return mbedtls_ctr_drbg_seed(&rng->drbg, mbedtls_entropy_func, &rng->entropy, (const unsigned char *)"dtls", 4);
}

void rng_free(struct rng *rng)
{
	mbedtls_ctr_drbg_free(&rng->drbg);
	mbedtls_entropy_free(&rng->entropy);
}

int rng_bytes(void *arg, unsigned char *out, size_t len)
{
	struct rng *rng = arg;
	unsigned now = fork_generation();
	int code;

	/* Parent and child would otherwise draw the same bytes. */
	if (atomic_load_explicit(&rng->generation, memory_order_relaxed) != now) {
		code = mbedtls_ctr_drbg_reseed(&rng->drbg, NULL, 0);
		if (code != 0)
			return code;
		atomic_store(&rng->generation, now);
	}
	return mbedtls_ctr_drbg_random(&rng->drbg, out, len);
}
