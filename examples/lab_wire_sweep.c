/* All runs of a sweep: many at once, for they mostly wait, but never so many that they wait for the processors. */
#include "lab_wire_ports.h"
#include "lab_wire_run.h"
#include "lab_workers.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* FIRST_CPU_MS: what a run is taken to cost until one was measured. */
enum { JOBS_PER_CORE = 50, LOOK_MS = 20, PROGRESS_MS = 200, FIRST_CPU_MS = 100 };

struct crew {
	struct wire *wire;
	struct wire_run *slots;
	size_t next; /* of all runs */
	size_t *order; /* of the cells, for the runs that are next */
	int busy; /* slots */
	int64_t started_at, next_at, told_at; /* next_at: when a run may start */
	int cores;
	int server_in[2]; /* nothing is written: servers wait for their input */
	bool is_watched; /* on a terminal */
	int status;
	char why[WIRE_SENTENCE]; /* where that is not the number of a signal */
};

static size_t run_count(const struct wire *wire)
{
	return wire_cell_count(wire) * wire->runs;
}

/* The nth draw of what does not concern the weather. */
static size_t draw(const struct crew *c, size_t nth, size_t below)
{
	return (size_t)(lab_run_seed(~c->wire->seed, nth) % below);
}

/* ---- pace ---- */

static int count_cores(void)
{
	cpu_set_t cores;

	return sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

/* What the programs of one run have cost on average. */
static double cpu_ms(const struct crew *c)
{
	struct rusage usage;

	if (c->wire->done == 0 || getrusage(RUSAGE_CHILDREN, &usage) != 0)
		return FIRST_CPU_MS;
	return ((double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
		   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000) /
	       (double)c->wire->done;
}

/* Most of it is the start of the programs: starts are spaced so that they take a quarter of what there is. Not evenly, for
 * then they would always strike the others at the same point of their handshakes. */
static int64_t gap_ms(const struct crew *c)
{
	double mean = 4 * cpu_ms(c) / c->cores;

	return (int64_t)(2 * mean * (double)draw(c, c->next, 1000) / 1000);
}

/* ---- runs ---- */

/* The nth runs of all cells follow each other: what else happens on this machine strikes all cells alike. But they do so in
 * an order of their own for each n: no cell is always struck by the same other one. */
static void shuffle(struct crew *c)
{
	size_t cells = wire_cell_count(c->wire);

	for (size_t i = 0; i < cells; i++) {
		size_t other = draw(c, c->next + i, i + 1);

		c->order[i] = c->order[other];
		c->order[other] = i;
	}
}

static void start_next(struct crew *c, struct wire_run *slot)
{
	size_t cells = wire_cell_count(c->wire);

	if (c->next % cells == 0)
		shuffle(c);
	wire_run_start(slot, c->wire, c->order[c->next % cells], c->next / cells, c->server_in[0]);
	c->next++;
	c->busy++;
}

static void start_due(struct crew *c, int64_t now_ms)
{
	for (int i = 0; i < c->wire->jobs && c->next < run_count(c->wire) && now_ms >= c->next_at; i++) {
		if (c->slots[i].state != WIRE_IDLE)
			continue;
		start_next(c, &c->slots[i]);
		c->next_at += gap_ms(c);
		if (c->next_at < now_ms - LOOK_MS)
			c->next_at = now_ms; /* what was not used before gives no right to haste */
	}
}

static void collect(struct crew *c, struct wire_run *slot)
{
	if (slot->result.done) {
		c->wire->results[slot->cell * c->wire->runs + slot->nth] = slot->result;
		c->wire->done++;
	} else if (c->status == EXIT_SUCCESS) {
		c->status = c->wire->done > 0 ? CLI_FAILED : CLI_USAGE;
		snprintf(c->why, sizeof(c->why), "%s", slot->why);
	}
	wire_run_end(slot);
	c->busy--;
}

static void look(struct crew *c, int64_t now_ms)
{
	wire_ports_look();
	for (int i = 0; i < c->wire->jobs; i++) {
		wire_run_look(&c->slots[i], now_ms);
		if (c->slots[i].state == WIRE_OVER)
			collect(c, &c->slots[i]);
	}
}

/* ---- the sweep ---- */

static void show_progress(struct crew *c, int64_t now_ms)
{
	size_t left = run_count(c->wire) - c->wire->done;

	if (!c->is_watched || c->wire->done == 0 || now_ms < c->told_at + PROGRESS_MS)
		return;
	c->told_at = now_ms;
	fprintf(stderr, "\r\033[K%zu of %zu handshakes, %d under way, %.0f s left ", c->wire->done, run_count(c->wire),
	    c->busy, (double)(now_ms - c->started_at) / 1000 * (double)left / (double)c->wire->done);
}

static void run_all(struct crew *c, const sigset_t *signals)
{
	static const struct timespec period = {.tv_nsec = LOOK_MS * 1000000};

	while (c->status == EXIT_SUCCESS && c->wire->done < run_count(c->wire)) {
		int64_t now_ms = cli_now_ms();
		int signal;

		start_due(c, now_ms);
		show_progress(c, now_ms);
		signal = sigtimedwait(signals, NULL, &period);
		if (signal > 0)
			c->status = 128 + signal;
		else
			look(c, cli_now_ms());
	}
}

static void open_crew(struct crew *c)
{
	if (c->wire->jobs == 0)
		c->wire->jobs = c->cores * JOBS_PER_CORE;
	c->slots = calloc((size_t)c->wire->jobs, sizeof(*c->slots));
	c->order = calloc(wire_cell_count(c->wire), sizeof(*c->order));
	if (c->slots == NULL || c->order == NULL)
		cli_fail("out of memory");
	for (int i = 0; i < c->wire->jobs; i++)
		wire_run_init(&c->slots[i]);
	if (pipe2(c->server_in, O_CLOEXEC) != 0)
		cli_fail("cannot make a pipe: %s", strerror(errno));
	cli_raise_descriptors();
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* wire_process_end() waits for what programs have started, too */
	signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody could be waited for */
	c->started_at = c->next_at = cli_now_ms();
}

static void close_crew(struct crew *c)
{
	for (int i = 0; i < c->wire->jobs; i++)
		wire_run_end(&c->slots[i]);
	free(c->slots);
	free(c->order);
	close(c->server_in[0]);
	close(c->server_in[1]);
	if (c->is_watched)
		fputs("\r\033[K", stderr);
}

static void complain(const struct crew *c)
{
	if (c->status == EXIT_SUCCESS)
		return;
	fprintf(stderr, "%s: ", program_invocation_short_name);
	cli_print_bytes(stderr, c->why, strlen(c->why));
	fprintf(stderr, "%s after %zu of %zu handshakes\n", c->why[0] == '\0' ? "ended" : ";", c->wire->done,
	    run_count(c->wire));
}

int wire_sweep(struct wire *wire)
{
	struct crew c = {.wire = wire, .cores = count_cores(), .is_watched = isatty(STDERR_FILENO)};
	sigset_t signals = lab_ending_signals(), before;

	sigprocmask(SIG_BLOCK, &signals, &before);
	open_crew(&c);
	run_all(&c, &signals);
	close_crew(&c);
	complain(&c);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return c.status;
}
