#include "bench.h"

#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TEXT = 64 };

uint64_t bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void bench_pin(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* ---- the runs of one operation ---- */

void bench_add(struct bench *b, double ns)
{
	if (b->runs == BENCH_RUNS) {
		fprintf(stderr, "a benchmark has more than %d runs\n", BENCH_RUNS);
		exit(1);
	}
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

	b->name = name;
	printf("%-44s %9.0f ns   (min %.0f, max %.0f, %d runs)\n", name, median, b->ns[0], b->ns[b->runs - 1], b->runs);
}

/* ---- the table ---- */

static void add_row(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void add_row(const char *format, ...)
{
	const char *path = getenv("BENCH_RESULTS");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;
	va_list args;
	bool well;

	if (path == NULL)
		return;
	va_start(args, format);
	well = f != NULL && vfprintf(f, format, args) > 0;
	va_end(args);
	if (f != NULL && fclose(f) == 0 && well)
		return;
	fprintf(stderr, "cannot write to %s\n", path);
	exit(1);
}

/* Three digits tell what can be told. */
static const char *figure(double value, char text[TEXT])
{
	int decimals = value >= 100 || value == 0 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;

	snprintf(text, TEXT, "%.*f", decimals, value);
	return text;
}

/* Median, least and most in a unit that suits the median. */
static const char *times(struct bench *b, char text[TEXT])
{
	static const char *const units[] = {"ns", "µs", "ms", "s"};
	double median = bench_median(b), scale = 1;
	char mid[TEXT], low[TEXT], high[TEXT];
	int unit = 0;

	for (; median / scale >= 1000 && unit < 3; unit++)
		scale *= 1000;
	snprintf(text, TEXT, "%.12s %s (%.12s-%.12s)", figure(median / scale, mid), units[unit],
	    figure(b->ns[0] / scale, low), figure(b->ns[b->runs - 1] / scale, high));
	return text;
}

static double ratio_of(struct bench *ours, struct bench *theirs)
{
	return bench_median(ours) / bench_median(theirs);
}

static const char *named(const struct bench *b)
{
	return b->name != NULL ? b->name : "";
}

/* ---- comparisons ---- */

int bench_ratio(const char *what, struct bench *ours, struct bench *theirs, double bound)
{
	char our_times[TEXT], their_times[TEXT];
	double ratio = ratio_of(ours, theirs);
	bool holds = ratio <= bound;

	printf("%-44s %9.3f x   (at most %.2f: %s)\n", what, ratio, bound, holds ? "holds" : "EXCEEDED");
	add_row("| %s | %s | %s | %s | %.3f | ≤ %.2f | %s |\n", what, times(ours, our_times), named(theirs),
	    times(theirs, their_times), ratio, bound, holds ? "yes" : "**no**");
	return holds ? 0 : 1;
}

void bench_compare(const char *what, struct bench *ours, struct bench *theirs)
{
	char our_times[TEXT], their_times[TEXT];
	double ratio = ratio_of(ours, theirs);

	printf("%-44s %9.3f x\n", what, ratio);
	add_row("| %s | %s | %s | %s | %.3f | | |\n", what, times(ours, our_times), named(theirs),
	    times(theirs, their_times), ratio);
}

static int judge(const char *what, double value, const char *unit, double bound, bool at_most)
{
	bool holds = at_most ? value <= bound : value >= bound;
	char value_text[TEXT], bound_text[TEXT];

	figure(value, value_text);
	figure(bound, bound_text);
	printf("%-44s %9s %s   (at %s %s: %s)\n", what, value_text, unit, at_most ? "most" : "least", bound_text,
	    holds     ? "holds"
	    : at_most ? "EXCEEDED"
		      : "NOT REACHED");
	add_row("| %s | %s %s | | | | %s %s %s | %s |\n", what, value_text, unit, at_most ? "≤" : "≥", bound_text, unit,
	    holds ? "yes" : "**no**");
	return holds ? 0 : 1;
}

int bench_at_most(const char *what, double value, const char *unit, double bound)
{
	return judge(what, value, unit, bound, true);
}

int bench_at_least(const char *what, double value, const char *unit, double bound)
{
	return judge(what, value, unit, bound, false);
}

void bench_figure(const char *what, double value, const char *unit)
{
	char text[TEXT];

	printf("%-44s %9s %s\n", what, figure(value, text), unit);
	add_row("| %s | %s %s | | | | | |\n", what, text, unit);
}
