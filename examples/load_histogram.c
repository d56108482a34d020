#include "load_histogram.h"

/* One writer for each histogram: readers need no order between its numbers. */
static uint64_t get(const _Atomic uint64_t *number)
{
	return atomic_load_explicit(number, memory_order_relaxed);
}

static void put(_Atomic uint64_t *number, uint64_t value)
{
	atomic_store_explicit(number, value, memory_order_relaxed);
}

/* Below 64 each number has a bucket of its own; then each power of two is cut into 64 parts. */
static unsigned bucket_of(uint64_t ns)
{
	unsigned log2, shift;

	if (ns < LOAD_PARTS)
		return (unsigned)ns;
	log2 = 63 - (unsigned)__builtin_clzll(ns);
	if (log2 >= LOAD_TOP_LOG2)
		return LOAD_BUCKETS - 1;
	shift = log2 - LOAD_PARTS_LOG2;
	return (shift + 1) * LOAD_PARTS + (unsigned)(ns >> shift) - LOAD_PARTS;
}

static uint64_t last_of(unsigned bucket)
{
	unsigned shift = bucket / LOAD_PARTS;

	if (shift == 0)
		return bucket;
	shift--;
	return ((uint64_t)(bucket % LOAD_PARTS + LOAD_PARTS + 1) << shift) - 1;
}

void load_histogram_add(struct load_histogram *h, uint64_t ns)
{
	_Atomic uint64_t *count = &h->counts[bucket_of(ns)];

	put(count, get(count) + 1);
	if (ns > get(&h->most_ns))
		put(&h->most_ns, ns);
}

uint64_t load_histogram_count(const struct load_histogram *h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < LOAD_BUCKETS; i++)
		sum += get(&h->counts[i]);
	return sum;
}

uint64_t load_histogram_quantile(const struct load_histogram *h, unsigned per_mille)
{
	uint64_t count = load_histogram_count(h), rank = (count * per_mille + 999) / 1000, seen = 0,
		 most = get(&h->most_ns);

	for (unsigned i = 0; i < LOAD_BUCKETS - 1 && per_mille < 1000 && count > 0; i++) {
		seen += get(&h->counts[i]);
		if (seen >= rank && seen > 0)
			return last_of(i) < most ? last_of(i) : most;
	}
	return count > 0 ? most : 0;
}

void load_histogram_merge(struct load_histogram *to, const struct load_histogram *from)
{
	for (unsigned i = 0; i < LOAD_BUCKETS; i++)
		put(&to->counts[i], get(&to->counts[i]) + get(&from->counts[i]));
	if (get(&from->most_ns) > get(&to->most_ns))
		put(&to->most_ns, get(&from->most_ns));
}

/* What was the most before says nothing of what has come since: its bucket does. */
void load_histogram_subtract(struct load_histogram *to, const struct load_histogram *from)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
		put(&to->counts[i], get(&to->counts[i]) - get(&from->counts[i]));
		if (get(&to->counts[i]) > 0)
			most = last_of(i);
	}
	if (most < get(&to->most_ns))
		put(&to->most_ns, most);
}
