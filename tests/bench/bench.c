#include "bench.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void bench_add(struct bench *b, double ns)
{
	b->ns[b->runs++] = ns;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(struct bench *b)
{
	qsort(b->ns, (size_t)b->runs, sizeof(*b->ns), compare);
	return b->ns[b->runs / 2];
}

void bench_print(const char *name, struct bench *b)
{
	double median = bench_median(b);

	printf("%-44s %9.0f ns   (min %.0f, max %.0f, %d runs)\n", name, median, b->ns[0], b->ns[b->runs - 1], b->runs);
}

void bench_pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

int bench_ratio(const char *what, struct bench *ours, struct bench *theirs, double bound)
{
	double ratio = bench_median(ours) / bench_median(theirs);

	printf("%-44s %9.3f x   (at most %.2f: %s)\n", what, ratio, bound, ratio <= bound ? "holds" : "EXCEEDED");
	return ratio > bound;
}
