#include "dtls.h"

#include <string.h>

void dtls_stats_add(struct dtls_stats *sum, const struct dtls_stats *more)
{
	size_t size = sum->size < more->size ? sum->size : more->size;

	for (size_t at = offsetof(struct dtls_stats, datagrams_in); at + sizeof(uint64_t) <= size;
	     at += sizeof(uint64_t)) {
		uint64_t a, b;

		memcpy(&a, (const char *)sum + at, sizeof(a));
		memcpy(&b, (const char *)more + at, sizeof(b));
		a += b;
		memcpy((char *)sum + at, &a, sizeof(a));
	}
}
