/* lab_sweep.h - what dtls-lab sweep is asked for, and what comes of it. */
#ifndef LAB_SWEEP_H
#define LAB_SWEEP_H

#include "lab_options.h"
#include "lab_output.h"
#include "lab_stats.h"

enum { SWEEP_RUNS = 100000, SWEEP_KINDS = 2 };

struct sweep {
	struct lab_options options;
	struct lab_output output;
	struct lab_losses losses;
	double burst_enter, burst_leave; /* 0: losses are independent */
	size_t runs;
	int processes;
	/* What is compared; cells are numbered by loss first. */
	struct {
		const char *name;
		struct lab *lab;
	} kinds[SWEEP_KINDS];
	size_t kind_count;
};

size_t sweep_cell_count(const struct sweep *sweep);
/* Ends the program where the library does not take the setup. */
void sweep_open(struct sweep *sweep);
void sweep_close(struct sweep *sweep);
/* What a loss rate in percent means where losses come in bursts. */
struct sim_weather sweep_weather(const struct sweep *sweep, double loss);
/* The results of all runs, cell after cell. They stay until the program ends. */
const struct lab_result *sweep_run(const struct sweep *sweep);
/* What these results of a cell come to; its times are for free(). */
struct lab_cell sweep_cell(const struct sweep *sweep, const struct lab_result *results, size_t index);
/* One line, without its end. */
void sweep_describe(const struct sweep *sweep, FILE *out);
struct lab_report *sweep_report(
    const struct sweep *sweep, const struct lab_result *results, const struct lab_cell *cells);

#endif
