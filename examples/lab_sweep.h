/* lab_sweep.h - what dtls-lab sweep is asked for, and what comes of it. */
#ifndef LAB_SWEEP_H
#define LAB_SWEEP_H

#include "lab_options.h"
#include "lab_output.h"
#include "lab_stats.h"
#include "lab_workers.h"

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
	size_t kind_count, cell_count;

	struct lab_workers workers;
	struct lab_results results; /* of all runs, cell after cell */
	size_t complete; /* so many of the first cells have all of theirs */
};

/* Ends the program where the library does not take the setup. */
void sweep_open(struct sweep *sweep);
/* Once. */
void sweep_run(struct sweep *sweep);
void sweep_close(struct sweep *sweep);
/* What a loss rate in percent means where losses come in bursts. */
struct sim_weather sweep_weather(const struct sweep *sweep, double loss);
/* The results of a cell's runs, until the sweep is closed. */
const struct lab_result *sweep_results(const struct sweep *sweep, size_t cell);
/* What they come to; its times are for free(). */
struct lab_cell sweep_cell(const struct sweep *sweep, size_t index);
/* One line, without its end. */
void sweep_describe(const struct sweep *sweep, FILE *out);
/* Of the cells that are complete. */
struct lab_report *sweep_report(const struct sweep *sweep, const struct lab_cell *cells);

#endif
