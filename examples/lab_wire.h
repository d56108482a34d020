/* lab_wire.h - what dtls-lab wire is asked for, and what comes of it. */
#ifndef LAB_WIRE_H
#define LAB_WIRE_H

#include "drops.h"
#include "dtls/sim.h"
#include "lab_options.h"
#include "lab_output.h"
#include "lab_stats.h"

enum { WIRE_PAIRS = 8, WIRE_RUNS = 100000, WIRE_JOBS = 1000, WIRE_WHY = 400 };

struct wire_pair { /* what is compared: a client and its server, as commands for sh */
	const char *name;
	const char *server, *client; /* {port} stands for a port */
	unsigned ended; /* handshakes that failed since the client ended... */
	char why[WIRE_WHY]; /* ...and the last line of the first one's standard error */
};

struct wire_result {
	bool done, connected;
	int64_t ms;
	unsigned datagrams[DIRECTIONS]; /* until the client was connected, or the end */
};

struct wire {
	struct sim_weather weather; /* but for the loss */
	struct lab_losses losses;
	uint64_t seed;
	size_t runs;
	int jobs; /* runs at once; 0: by the cores */
	int64_t cap_ms;
	struct wire_pair pairs[WIRE_PAIRS];
	size_t pair_count;
	const char *relay; /* the program's path */
	struct lab_output output;
	size_t done; /* of all runs */
	struct wire_result *results; /* cell after cell; cells are numbered by loss first */
};

static inline size_t wire_cell_count(const struct wire *wire)
{
	return wire->losses.count * wire->pair_count;
}

static inline const struct wire_result *wire_cell_results(const struct wire *wire, size_t cell)
{
	return wire->results + cell * wire->runs;
}

/* Runs all there is to run, as far as it comes. Returns the program's exit status: 128 plus the number of the signal that
 * ended it, or another where a pair could not be started, which is said. */
int wire_sweep(struct wire *wire);
/* Prints the table and the comparison and writes the files. Returns the program's exit status. */
int wire_tell(struct wire *wire);

#endif
