/* seeded.h - random numbers for tests that can be repeated (splitmix64). */
#ifndef SEEDED_H
#define SEEDED_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t seeded_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15U;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

static inline uint64_t seeded_below(uint64_t *state, uint64_t limit)
{
	return seeded_next(state) % limit;
}

static inline void seeded_bytes(uint64_t *state, uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)seeded_next(state);
}

#endif
