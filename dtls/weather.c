#include "weather.h"

/* splitmix64 (Steele, Lea and Flood, 2014): any state is a good one. */
uint64_t sim_draw(uint64_t *generator)
{
	uint64_t z = (*generator += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int64_t sim_later(int64_t at_ms, int64_t ms)
{
	return at_ms > INT64_MAX - ms ? INT64_MAX : at_ms + ms;
}

static bool is_probability(double p)
{
	return p >= 0 && p <= 1; /* NaN is not */
}

static bool is_valid(const struct sim_weather *w)
{
	return w->latency_ms >= 0 && w->jitter_ms >= 0 && w->bytes_per_second >= 0 && is_probability(w->loss) &&
	       is_probability(w->duplicate) && is_probability(w->reorder) && is_probability(w->corrupt) &&
	       is_probability(w->burst_loss) && is_probability(w->burst_enter) && is_probability(w->burst_leave);
}

bool sim_sky_set(struct sim_sky *sky, const struct sim_weather *weather)
{
	static const struct sim_weather perfect;
	if (!weather)
		weather = &perfect;
	if (!is_valid(weather))
		return false;
	if (sky->busy_rest > 0 && weather->bytes_per_second != sky->weather.bytes_per_second) {
		sky->busy_ms = sim_later(sky->busy_ms, 1); /* the rest counts in units of the old rate */
		sky->busy_rest = 0;
	}
	sky->weather = *weather;
	return true;
}

static bool chance(struct sim_sky *sky, double probability)
{
	return (double)(sim_draw(&sky->generator) >> 11) * 0x1p-53 < probability;
}

static int64_t jitter(struct sim_sky *sky)
{
	return (int64_t)(sim_draw(&sky->generator) % ((uint64_t)sky->weather.jitter_ms + 1));
}

/* Puts a datagram on the wire behind those that are being sent; returns when its last byte has left. */
static int64_t occupy(struct sim_sky *sky, int64_t now_ms, size_t len)
{
	uint64_t rate = (uint64_t)sky->weather.bytes_per_second;
	if (rate == 0)
		return now_ms;
	if (sky->busy_ms < now_ms) {
		sky->busy_ms = now_ms;
		sky->busy_rest = 0;
	}
	uint64_t work = sky->busy_rest + (uint64_t)len * 1000;
	sky->busy_ms = sim_later(sky->busy_ms, (int64_t)(work / rate));
	sky->busy_rest = work % rate;
	return sim_later(sky->busy_ms, sky->busy_rest > 0);
}

static bool loses(struct sim_sky *sky)
{
	const struct sim_weather *weather = &sky->weather;
	if (chance(sky, sky->is_bad ? weather->burst_leave : weather->burst_enter))
		sky->is_bad = !sky->is_bad;
	return chance(sky, sky->is_bad ? weather->burst_loss : weather->loss);
}

/* Draws the same number of values for every datagram, so that one datagram's fate does not shift the next one's. */
struct sim_verdict sim_sky_judge(struct sim_sky *sky, int64_t now_ms, size_t len)
{
	const struct sim_weather *weather = &sky->weather;
	struct sim_verdict verdict = {.too_big = weather->mtu > 0 && len > weather->mtu};
	verdict.lost = loses(sky);
	verdict.duplicated = chance(sky, weather->duplicate);
	verdict.held = chance(sky, weather->reorder);
	verdict.corrupted = chance(sky, weather->corrupt) && len > 0;
	verdict.damage = sim_draw(&sky->generator);
	int64_t left_ms = verdict.too_big ? now_ms : occupy(sky, now_ms, len);
	int64_t at_ms = sim_later(left_ms, weather->latency_ms);
	verdict.at_ms = sim_later(at_ms, jitter(sky));
	verdict.copy_at_ms = sim_later(at_ms, jitter(sky));
	return verdict;
}

void sim_sky_corrupt(const struct sim_verdict *verdict, uint8_t *bytes, size_t len)
{
	bytes[(verdict->damage >> 8) % len] ^= (uint8_t)(1 + (verdict->damage & 0xff) % 255);
}
