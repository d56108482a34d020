/* faulty_rng.h - a random generator whose entropy can be made to fail. */
#ifndef FAULTY_RNG_H
#define FAULTY_RNG_H

#include "dtls/rng.h"

#include <stdbool.h>
#include <string.h>

static inline int faulty_entropy(void *broken, unsigned char *out, size_t len)
{
	memset(out, 0x5c, len);
	return *(const bool *)broken ? MBEDTLS_ERR_ENTROPY_SOURCE_FAILED : 0;
}

/* Seeds rng anew; while *broken, what is drawn after rng_needs_entropy() fails. Returns 0 or an mbed TLS error. */
static inline int rng_make_faulty(struct rng *rng, bool *broken)
{
	mbedtls_ctr_drbg_free(&rng->drbg);
	mbedtls_ctr_drbg_init(&rng->drbg);
	return mbedtls_ctr_drbg_seed(&rng->drbg, faulty_entropy, broken, NULL, 0);
}

/* As after a fork(). */
static inline void rng_needs_entropy(struct rng *rng)
{
	atomic_store(&rng->generation, fork_generation() + 1);
}

#endif
