/* lab_wire_bootstrap.h - how far chance may have moved what was measured: 95 % intervals by resampling the runs (the
 * percentile bootstrap). */
#ifndef LAB_WIRE_BOOTSTRAP_H
#define LAB_WIRE_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

enum { WIRE_MEDIAN, WIRE_P90, WIRE_SUCCESSES, WIRE_STATISTICS };

struct wire_interval {
	int64_t value, low, high;
};

/* Of these times, in the order of the runs; those of cap_ms are failures. With other_ms, the times of another in the same
 * weather, run by run: of the differences, ms less other_ms, where both are resampled together. The same seed gives the
 * same intervals. */
void wire_bootstrap(const int64_t *ms, const int64_t *other_ms, size_t count, int64_t cap_ms, uint64_t seed,
    struct wire_interval intervals[WIRE_STATISTICS]);

#endif
