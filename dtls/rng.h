/* rng.h - one random generator a context, safe to share between threads and across fork(). */
#ifndef RNG_H
#define RNG_H

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <pthread.h>
#include <stdatomic.h>

struct rng {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context drbg;
	pthread_mutex_t reseeding;
	atomic_uint generation; /* of the process that it was seeded in */
};

int rng_init(struct rng *); /* 0, or an mbed TLS error; rng_free() is due in both cases */
void rng_free(struct rng *);
/* mbed TLS's f_rng: 0 or an error. */
int rng_bytes(void *rng, unsigned char *out, size_t len);

/* Counts the fork()s between the first process and this one. */
unsigned fork_generation(void);

#endif
