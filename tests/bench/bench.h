/* bench.h - timing of small operations: several runs, reported as median with the least and the most. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

enum { BENCH_RUNS = 9 };

struct bench {
	double ns[BENCH_RUNS]; /* of one operation, a value a run */
	int runs;
};

uint64_t bench_now_ns(void); /* CPU time of this thread */
void bench_add(struct bench *, double ns);
double bench_median(struct bench *);
void bench_print(const char *name, struct bench *); /* one line: median, min, max */
void bench_pin(void); /* to one core, where that is possible */
/* Prints the ratio of the two medians beside its bound; 0 when it holds, 1 when not. */
int bench_ratio(const char *what, struct bench *ours, struct bench *theirs, double bound);

#endif
