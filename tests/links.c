#include "links.h"

#include "dtls/dtls.h"

#include <check.h>
#include <math.h>
#include <string.h>

struct sim_link *new_link(struct sim *sim, struct sim_weather weather)
{
	struct sim_link *link = sim_link_new(sim, &weather);

	ck_assert_ptr_nonnull(link);
	return link;
}

void send_number(struct sim_link *link, unsigned number)
{
	ck_assert_int_eq(sim_link_send(link, &number, sizeof(number)), sizeof(number));
}

void assert_number(struct sim_link *link, unsigned expected)
{
	unsigned number;

	ck_assert_int_eq(sim_link_recv(link, &number, sizeof(number)), sizeof(number));
	ck_assert_uint_eq(number, expected);
}

void assert_nothing(struct sim_link *link)
{
	char byte;

	ck_assert_int_eq(sim_link_recv(link, &byte, 1), DTLS_WANT_READ);
}

void assert_number_at(struct sim *sim, struct sim_link *link, int64_t at_ms, unsigned expected)
{
	ck_assert_int_eq(sim_next_ms(sim), at_ms);
	if (at_ms > sim_now_ms(sim)) {
		sim_advance_to(sim, at_ms - 1);
		assert_nothing(link);
		sim_advance_to(sim, at_ms);
	}
	assert_number(link, expected);
}

void assert_stats(struct sim_link *link, uint64_t sent, uint64_t delivered, uint64_t lost)
{
	struct sim_link_stats stats;

	sim_link_stats(link, &stats);
	ck_assert_uint_eq(stats.sent, sent);
	ck_assert_uint_eq(stats.delivered, delivered);
	ck_assert_uint_eq(stats.lost, lost);
}

/* Within five standard deviations of what trials of this probability give. */
void assert_rate(uint64_t hits, double trials, double probability)
{
	double deviation = sqrt(trials * probability * (1 - probability));

	ck_assert_double_le(fabs((double)hits - trials * probability), 5 * deviation);
}

void count_arrivals(struct sim_link *link, unsigned arrivals[MANY])
{
	unsigned number;

	memset(arrivals, 0, MANY * sizeof(*arrivals));
	while (sim_link_recv(link, &number, sizeof(number)) != DTLS_WANT_READ) {
		ck_assert_uint_lt(number, MANY);
		arrivals[number]++;
	}
}

void send_many(struct sim_link *link, unsigned arrivals[MANY])
{
	for (unsigned i = 0; i < MANY; i++)
		send_number(link, i);
	count_arrivals(link, arrivals);
}
