#include "lab_sweep.h"

#include "cli.h"
#include "lab_workers.h"

#include <stdlib.h>

size_t sweep_cell_count(const struct sweep *sweep)
{
	return sweep->losses.count * sweep->kind_count;
}

static void add_kind(struct sweep *sweep, const char *name, enum dtls_retransmit retransmit)
{
	struct lab_setup setup = sweep->options.setup;

	setup.retransmit = retransmit;
	sweep->kinds[sweep->kind_count].name = name;
	sweep->kinds[sweep->kind_count++].lab = lab_new(&setup);
}

void sweep_open(struct sweep *sweep)
{
	enum dtls_retransmit chosen = sweep->options.setup.retransmit;

	if (sweep->options.both || chosen == DTLS_RETRANSMIT_FIXED)
		add_kind(sweep, "fixed", DTLS_RETRANSMIT_FIXED);
	if (sweep->options.both || chosen == DTLS_RETRANSMIT_ADAPTIVE)
		add_kind(sweep, "adaptive", DTLS_RETRANSMIT_ADAPTIVE);
}

void sweep_close(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->kind_count; i++)
		lab_free(sweep->kinds[i].lab);
}

struct sim_weather sweep_weather(const struct sweep *sweep, double loss)
{
	return lab_weather(&sweep->options.weather, loss, sweep->burst_enter, sweep->burst_leave);
}

static void run(void *arg, size_t item, void *result)
{
	const struct sweep *sweep = arg;
	size_t cell = item / sweep->runs;
	const struct sim_weather weather = sweep_weather(sweep, sweep->losses.percent[cell / sweep->kind_count]);

	*(struct lab_result *)result = lab_run(sweep->kinds[cell % sweep->kind_count].lab, &weather,
	    lab_run_seed(sweep->options.seed, item % sweep->runs), NULL);
}

const struct lab_result *sweep_run(const struct sweep *sweep)
{
	const struct lab_workers workers = {
	    .processes = sweep->processes,
	    .items = sweep_cell_count(sweep) * sweep->runs,
	    .result_size = sizeof(struct lab_result),
	    .work = run,
	    .arg = (void *)(uintptr_t)sweep,
	    .what = "handshakes",
	};

	return lab_workers_run(&workers);
}

struct lab_cell sweep_cell(const struct sweep *sweep, const struct lab_result *results, size_t index)
{
	struct lab_cell cell = {
	    .series = sweep->kinds[index % sweep->kind_count].name,
	    .loss = sweep->losses.percent[index / sweep->kind_count],
	    .runs = sweep->runs,
	    .times_ms = calloc(sweep->runs, sizeof(*cell.times_ms)),
	};

	if (cell.times_ms == NULL)
		cli_fail("out of memory");
	for (size_t i = 0; i < sweep->runs; i++)
		if (results[i].connected)
			cell.times_ms[cell.succeeded++] = results[i].ms;
	lab_sort(cell.times_ms, cell.succeeded);
	return cell;
}
