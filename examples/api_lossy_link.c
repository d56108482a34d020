/* api-lossy-link - a protocol of one's own on a lossy link, in virtual time: a sensor sends one reading after the other,
 * each again every 250 ms until it is acknowledged. Two datagrams are lost, and the last reading must be acknowledged at
 * exactly 740 ms.
 * Usage: api-lossy-link */
#include <dtls/dtls.h>
#include <dtls/sim.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { READINGS = 3, AGAIN_MS = 250, EXPECTED_MS = 740 };

struct sensor {
	struct sim *sim;
	struct sim_link *to_store, *from_store;
	unsigned char reading; /* the one that is not yet acknowledged */
	int64_t again_at;
};

static void send_reading(struct sensor *s)
{
	sim_link_send(s->to_store, &s->reading, 1);
	s->again_at = sim_now_ms(s->sim) + AGAIN_MS;
}

/* The store acknowledges a reading with its number, a repeated one, too. */
static void run_store(const struct sensor *s)
{
	unsigned char number;

	while (sim_link_recv(s->to_store, &number, 1) == 1)
		sim_link_send(s->from_store, &number, 1);
}

static void run_sensor(struct sensor *s)
{
	unsigned char number;

	while (sim_link_recv(s->from_store, &number, 1) == 1) {
		if (number != s->reading)
			continue;
		printf("%4" PRId64 " ms  reading %d is stored\n", sim_now_ms(s->sim), number);
		if (++s->reading <= READINGS)
			send_reading(s);
	}
	if (s->reading <= READINGS && sim_now_ms(s->sim) >= s->again_at)
		send_reading(s);
}

/* Time jumps to whatever comes first: an arrival, or the sensor's timer. */
static void advance(struct sensor *s)
{
	int64_t next_ms = sim_next_ms(s->sim);

	sim_advance_to(s->sim, next_ms < s->again_at ? next_ms : s->again_at);
}

int main(void)
{
	struct sim_weather weather = {.latency_ms = 40};
	struct sensor s = {.sim = sim_new(1), .reading = 1};
	int64_t took_ms;

	if (s.sim == NULL || (s.to_store = sim_link_new(s.sim, &weather)) == NULL ||
	    (s.from_store = sim_link_new(s.sim, &weather)) == NULL)
		return EXIT_FAILURE;
	sim_link_drop_mask(s.to_store, 1 << 0); /* the first reading, when it is first sent */
	sim_link_drop_mask(s.from_store, 1 << 1); /* the second acknowledgement */
	for (send_reading(&s); s.reading <= READINGS; run_sensor(&s)) {
		advance(&s);
		run_store(&s);
	}
	took_ms = sim_now_ms(s.sim);
	sim_free(s.sim);
	if (took_ms == EXPECTED_MS)
		return EXIT_SUCCESS;
	fprintf(stderr, "%" PRId64 " ms instead of %d\n", took_ms, EXPECTED_MS);
	return EXIT_FAILURE;
}
