#include "lab_stats.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void lab_sort(int64_t *times_ms, size_t count)
{
	if (count > 0)
		qsort(times_ms, count, sizeof(*times_ms), compare);
}

/* From 1 on. */
static size_t rank(size_t count, unsigned per_mille)
{
	size_t nth = (count * per_mille + 999) / 1000;

	return nth > 0 ? nth : 1;
}

int64_t lab_quantile(const int64_t *sorted_ms, size_t count, unsigned per_mille)
{
	return count == 0 ? -1 : sorted_ms[rank(count, per_mille) - 1];
}

int64_t lab_cell_quantile(const struct lab_cell *cell, unsigned per_mille)
{
	if (cell->cap_ms == 0)
		return lab_quantile(cell->times_ms, cell->succeeded, per_mille);
	return lab_cell_quantile_of_all(cell, per_mille);
}

int64_t lab_cell_quantile_of_all(const struct lab_cell *cell, unsigned per_mille)
{
	if (rank(cell->runs, per_mille) > cell->succeeded)
		return cell->cap_ms > 0 ? cell->cap_ms : -1;
	return lab_quantile(cell->times_ms, cell->runs, per_mille);
}

/* splitmix64's finish: neighbours have nothing in common. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t lab_run_seed(uint64_t seed, uint64_t run)
{
	return mix(mix(seed + UINT64_C(0x9e3779b97f4a7c15)) + run) >> 11;
}
