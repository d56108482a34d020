/* weather.h - what the weather of one simulated link does to each datagram that is sent on it. */
#ifndef DTLS_WEATHER_H
#define DTLS_WEATHER_H

#include "sim.h"

#include <stdbool.h>

struct sim_sky { /* a link's weather and what it remembers from one datagram to the next */
	struct sim_weather weather;
	uint64_t generator;
	bool is_bad; /* the Gilbert-Elliott state */
	int64_t busy_ms; /* the link is occupied until busy_ms... */
	uint64_t busy_rest; /* ...plus busy_rest / bytes_per_second ms */
};

struct sim_verdict {
	bool lost, too_big, held, duplicated, corrupted;
	int64_t at_ms, copy_at_ms; /* the arrivals, if it arrives */
	uint64_t damage; /* for sim_sky_corrupt() */
};

uint64_t sim_draw(uint64_t *generator);
int64_t sim_later(int64_t at_ms, int64_t ms); /* their sum, or INT64_MAX; neither is negative */
/* NULL weather is perfect. False: a value is out of range, and nothing changes. */
bool sim_sky_set(struct sim_sky *sky, const struct sim_weather *weather);
struct sim_verdict sim_sky_judge(struct sim_sky *sky, int64_t now_ms, size_t len);
void sim_sky_corrupt(const struct sim_verdict *verdict, uint8_t *bytes, size_t len);

#endif
