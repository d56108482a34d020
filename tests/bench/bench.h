/* bench.h - timing of small operations: several runs, reported as median with the least and the most.
 * Every line that compares goes to standard output, and as a row of a Markdown table to the end of the file that the
 * environment variable BENCH_RESULTS names, where there is one: | question | ours | peer | its | ratio | goal | held |.
 * tests/bench.sh collects them. */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>

enum { BENCH_RUNS = 9 };

struct bench {
	double ns[BENCH_RUNS]; /* of one operation, a value a run */
	int runs;
	const char *name; /* that it was printed under */
};

uint64_t bench_now_ns(void); /* CPU time of this thread */
void bench_add(struct bench *, double ns); /* at most BENCH_RUNS times */
double bench_median(struct bench *); /* sorts the values */
void bench_print(const char *name, struct bench *); /* one line: median, min, max */
void bench_pin(void); /* to one core, where that is possible */
/* Prints the ratio of the two medians beside its bound; 0 when it holds, 1 when not. Print both before: the table tells
 * their names. */
int bench_ratio(const char *what, struct bench *ours, struct bench *theirs, double bound);
/* The same where nothing is promised. */
void bench_compare(const char *what, struct bench *ours, struct bench *theirs);
/* A figure that is no ratio, in this unit, beside its bound; 0 when it holds, 1 when not. */
int bench_at_most(const char *what, double value, const char *unit, double bound);
int bench_at_least(const char *what, double value, const char *unit, double bound);
/* The same where nothing is promised. */
void bench_figure(const char *what, double value, const char *unit);

#endif
