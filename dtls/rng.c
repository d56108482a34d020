#include "rng.h"

#include "mbed.h"

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
	pthread_mutex_init(&rng->reseeding, NULL);
	atomic_init(&rng->generation, fork_generation());
	return mbedtls_ctr_drbg_seed(&rng->drbg, mbedtls_entropy_func, &rng->entropy, (const unsigned char *)"dtls", 4);
}

void rng_free(struct rng *rng)
{
	mbedtls_ctr_drbg_free(&rng->drbg);
	mbedtls_entropy_free(&rng->entropy);
	pthread_mutex_destroy(&rng->reseeding);
}

/* Parent and child would otherwise draw the same bytes. mbed TLS locks a draw, but not a reseeding. */
static int reseed(struct rng *rng, unsigned process)
{
	int code = 0;

	pthread_mutex_lock(&rng->reseeding);
	mbed_after_fork();
	if (atomic_load(&rng->generation) != process)
		code = mbedtls_ctr_drbg_reseed(&rng->drbg, NULL, 0);
	if (code == 0)
		atomic_store(&rng->generation, process);
	pthread_mutex_unlock(&rng->reseeding);
	return code;
}

int rng_bytes(void *arg, unsigned char *out, size_t len)
{
	struct rng *rng = arg;
	unsigned process = fork_generation();
	int code = 0;

	if (atomic_load(&rng->generation) != process)
		code = reseed(rng, process);
	return code != 0 ? code : mbedtls_ctr_drbg_random(&rng->drbg, out, len);
}
