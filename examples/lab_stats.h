/* lab_stats.h - what the runs of a sweep come to. A cell is all runs of one series at one loss rate. */
#ifndef LAB_STATS_H
#define LAB_STATS_H

#include <stddef.h>
#include <stdint.h>

enum { LAB_MEDIAN = 500, LAB_P90 = 900, LAB_P99 = 990 }; /* quantiles, per mille */

struct lab_cell {
	const char *series; /* what is compared: "fixed", "adaptive", "openssl" */
	double loss; /* percent */
	size_t runs, succeeded;
	int64_t *times_ms; /* of the runs that succeeded, sorted */
	int64_t cap_ms; /* for quantiles, a run that failed took so long; 0: they are of those that succeeded */
	int64_t low_ms, high_ms; /* an interval for the median, where high_ms > 0 */
};

void lab_sort(int64_t *times_ms, size_t count);
/* The smallest time that at least so many per mille of them do not exceed; -1 when there is none. */
int64_t lab_quantile(const int64_t *sorted_ms, size_t count, unsigned per_mille);
int64_t lab_cell_quantile(const struct lab_cell *cell, unsigned per_mille);
/* Of all runs, where a failure took longer than any success: -1 when it is that of a failure, and there is no cap. */
int64_t lab_cell_quantile_of_all(const struct lab_cell *cell, unsigned per_mille);
/* The seed of one run: every series and loss rate meets the same weather. Below 2^53, for the sake of JSON's readers. */
uint64_t lab_run_seed(uint64_t seed, uint64_t run);

#endif
