/* links.h - for tests of simulated links: datagrams that are numbers, and what is expected of them. */
#ifndef LINKS_H
#define LINKS_H

#include "dtls/sim.h"

enum { MANY = 20000 };

struct sim_link *new_link(struct sim *sim, struct sim_weather weather);
void send_number(struct sim_link *link, unsigned number);
void assert_number(struct sim_link *link, unsigned expected);
void assert_nothing(struct sim_link *link);
/* It is the next arrival of the simulation, at that instant and not before. */
void assert_number_at(struct sim *sim, struct sim_link *link, int64_t at_ms, unsigned expected);
void assert_stats(struct sim_link *link, uint64_t sent, uint64_t delivered, uint64_t lost);
/* Within five standard deviations of what trials of this probability give. */
void assert_rate(uint64_t hits, double trials, double probability);
/* How often each of the numbers 0..MANY-1 arrives. */
void count_arrivals(struct sim_link *link, unsigned arrivals[MANY]);
void send_many(struct sim_link *link, unsigned arrivals[MANY]); /* 0..MANY-1, and counts them */

#endif
