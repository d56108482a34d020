#include "lab_wire_bootstrap.h"

#include "cli.h"
#include "lab_stats.h"

#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 2000, LOW = 25, HIGH = 975 }; /* LOW, HIGH: per mille */

struct side { /* times, and how often a resample has taken each */
	int64_t *sorted_ms;
	size_t *ranks; /* of each run's time in sorted_ms */
	unsigned *taken; /* by rank */
	size_t count;
};

static void *must(void *memory)
{
	if (memory == NULL)
		cli_fail("out of memory");
	return memory;
}

static size_t rank_of(const struct side *s, int64_t ms)
{
	size_t low = 0, high = s->count - 1;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (s->sorted_ms[middle] < ms)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void side_open(struct side *s, const int64_t *ms, size_t count)
{
	s->count = count;
	s->sorted_ms = must(calloc(count, sizeof(*s->sorted_ms)));
	s->ranks = must(calloc(count, sizeof(*s->ranks)));
	s->taken = must(calloc(count, sizeof(*s->taken)));
	memcpy(s->sorted_ms, ms, count * sizeof(*ms));
	lab_sort(s->sorted_ms, count);
	for (size_t i = 0; i < count; i++)
		s->ranks[i] = rank_of(s, ms[i]);
}

static void side_close(struct side *s)
{
	free(s->sorted_ms);
	free(s->ranks);
	free(s->taken);
}

/* The quantile of what was taken. */
static int64_t quantile(const struct side *s, unsigned per_mille)
{
	size_t nth = (s->count * per_mille + 999) / 1000, i = 0;

	for (size_t passed = s->taken[0]; passed < nth; passed += s->taken[i])
		i++;
	return s->sorted_ms[i];
}

static int64_t successes(const struct side *s, int64_t cap_ms)
{
	int64_t sum = 0;

	for (size_t i = 0; i < s->count && s->sorted_ms[i] < cap_ms; i++)
		sum += s->taken[i];
	return sum;
}

static void measure(const struct side *s, int64_t cap_ms, int64_t sign, int64_t values[WIRE_STATISTICS])
{
	values[WIRE_MEDIAN] += sign * quantile(s, LAB_MEDIAN);
	values[WIRE_P90] += sign * quantile(s, LAB_P90);
	values[WIRE_SUCCESSES] += sign * successes(s, cap_ms);
}

/* Of both sides, the second one's less. */
static void measure_all(const struct side *sides, int side_count, int64_t cap_ms, int64_t values[WIRE_STATISTICS])
{
	memset(values, 0, WIRE_STATISTICS * sizeof(*values));
	for (int i = 0; i < side_count; i++)
		measure(&sides[i], cap_ms, i == 0 ? 1 : -1, values);
}

/* As many runs as there are, each any of them, and the same ones on both sides. */
static void resample(struct side *sides, int side_count, uint64_t seed, uint64_t nth)
{
	size_t count = sides[0].count;

	for (int i = 0; i < side_count; i++)
		memset(sides[i].taken, 0, count * sizeof(*sides[i].taken));
	for (size_t n = 0; n < count; n++) {
		uint64_t random = lab_run_seed(seed, nth * count + n) >> 21; /* 32 bits */
		size_t run = (size_t)(random * count >> 32);

		for (int i = 0; i < side_count; i++)
			sides[i].taken[sides[i].ranks[run]]++;
	}
}

void wire_bootstrap(const int64_t *ms, const int64_t *other_ms, size_t count, int64_t cap_ms, uint64_t seed,
    struct wire_interval intervals[WIRE_STATISTICS])
{
	static int64_t values[WIRE_STATISTICS][RESAMPLES];
	int side_count = other_ms == NULL ? 1 : 2;
	struct side sides[2];
	int64_t found[WIRE_STATISTICS];

	for (int i = 0; i < side_count; i++) {
		side_open(&sides[i], i == 0 ? ms : other_ms, count);
		for (size_t n = 0; n < count; n++)
			sides[i].taken[sides[i].ranks[n]]++;
	}
	measure_all(sides, side_count, cap_ms, found);
	for (int s = 0; s < WIRE_STATISTICS; s++)
		intervals[s].value = found[s];
	for (uint64_t i = 0; i < RESAMPLES; i++) {
		resample(sides, side_count, seed, i);
		measure_all(sides, side_count, cap_ms, found);
		for (int s = 0; s < WIRE_STATISTICS; s++)
			values[s][i] = found[s];
	}
	for (int s = 0; s < WIRE_STATISTICS; s++) {
		lab_sort(values[s], RESAMPLES);
		intervals[s].low = lab_quantile(values[s], RESAMPLES, LOW);
		intervals[s].high = lab_quantile(values[s], RESAMPLES, HIGH);
	}
	for (int i = 0; i < side_count; i++)
		side_close(&sides[i]);
}
