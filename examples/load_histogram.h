/* load_histogram.h - how often an operation took how long: to 1.6 % of the time, in constant memory, and to be read by another
 * process at any time. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

/* Each power of two has 64 buckets; from 2^40 ns on, which is 18 minutes, all is one. */
enum { LOAD_PARTS_LOG2 = 6, LOAD_PARTS = 1 << LOAD_PARTS_LOG2, LOAD_TOP_LOG2 = 40 };
enum { LOAD_BUCKETS = (LOAD_TOP_LOG2 - LOAD_PARTS_LOG2 + 1) * LOAD_PARTS };

struct load_histogram { /* all zero at first */
	_Atomic uint64_t counts[LOAD_BUCKETS];
	_Atomic uint64_t most_ns;
};

void load_histogram_add(struct load_histogram *, uint64_t ns);
uint64_t load_histogram_count(const struct load_histogram *);
/* The least time that at least so many per mille of all do not exceed, or a bit more; 1000: the most, exactly. 0 when there
 * are none. */
uint64_t load_histogram_quantile(const struct load_histogram *, unsigned per_mille);
/* to += from, to -= from: for sums of several, and for what has come since. */
void load_histogram_merge(struct load_histogram *to, const struct load_histogram *from);
void load_histogram_subtract(struct load_histogram *to, const struct load_histogram *from);

#endif
