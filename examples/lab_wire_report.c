#include "lab_plot.h"
#include "lab_wire.h"
#include "lab_wire_bootstrap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct lab_column columns[] = {
    {"loss_percent", "loss %", NULL, false},
    {"peer", "peer", NULL, true},
    {"runs", "runs", NULL, false},
    {"succeeded", NULL, NULL, false},
    {"success_percent", "success %", NULL, false},
    {"success_low", NULL, NULL, false},
    {"success_high", NULL, NULL, false},
    {"min_ms", "min", "handshake, ms", false},
    {"median_ms", "median", NULL, false},
    {"median_low_ms", "from", NULL, false},
    {"median_high_ms", "to", NULL, false},
    {"p90_ms", "90 %", NULL, false},
    {"p90_low_ms", "from", NULL, false},
    {"p90_high_ms", "to", NULL, false},
    {"max_ms", "max", NULL, false},
    {"client_datagrams", "client", "datagrams", false},
    {"server_datagrams", "server", NULL, false},
    {"worst_seed", NULL, NULL, false},
};

static const struct lab_column difference_columns[] = {
    {"loss_percent", "loss %", NULL, false},
    {"less", "difference", NULL, true},
    {"median_ms", "median", "ms", false},
    {"median_low_ms", "from", NULL, false},
    {"median_high_ms", "to", NULL, false},
    {"p90_ms", "90 %", NULL, false},
    {"p90_low_ms", "from", NULL, false},
    {"p90_high_ms", "to", NULL, false},
    {"successes", "successes", NULL, false},
    {"successes_low", "from", NULL, false},
    {"successes_high", "to", NULL, false},
    {"significant", "significant", NULL, true},
};

enum {
	COLUMNS = sizeof(columns) / sizeof(*columns),
	DIFFERENCE_COLUMNS = sizeof(difference_columns) / sizeof(*difference_columns)
};

/* ---- cells ---- */

static int64_t time_of(const struct wire *wire, const struct wire_result *result)
{
	return result->connected ? result->ms : wire->cap_ms;
}

/* The times of the runs that both cells have had, in their order; returns how many. */
static size_t paired_times(const struct wire *wire, size_t cell, size_t other, int64_t *ms, int64_t *other_ms)
{
	const struct wire_result *a = wire_cell_results(wire, cell), *b = wire_cell_results(wire, other);
	size_t count = 0;

	for (size_t i = 0; i < wire->runs; i++) {
		if (!a[i].done || !b[i].done)
			continue;
		ms[count] = time_of(wire, &a[i]);
		other_ms[count++] = time_of(wire, &b[i]);
	}
	return count;
}

static struct lab_cell cell_of(const struct wire *wire, size_t index)
{
	const struct wire_result *results = wire_cell_results(wire, index);
	struct lab_cell cell = {
	    .series = wire->pairs[index % wire->pair_count].name,
	    .loss = wire->losses.percent[index / wire->pair_count],
	    .times_ms = lab_must(calloc(wire->runs, sizeof(*cell.times_ms))),
	    .cap_ms = wire->cap_ms,
	};

	for (size_t i = 0; i < wire->runs; i++) {
		cell.runs += results[i].done;
		if (results[i].connected)
			cell.times_ms[cell.succeeded++] = results[i].ms;
	}
	lab_sort(cell.times_ms, cell.succeeded);
	return cell;
}

/* ---- the table ---- */

static void report_interval(struct lab_report *report, const struct wire_interval *interval)
{
	lab_report_number(report, (double)interval->value, 0);
	lab_report_number(report, (double)interval->low, 0);
	lab_report_number(report, (double)interval->high, 0);
}

static void report_datagrams(struct lab_report *report, const struct wire *wire, size_t index)
{
	const struct wire_result *results = wire_cell_results(wire, index);

	for (int d = 0; d < DIRECTIONS; d++) {
		double sum = 0, runs = 0;

		for (size_t i = 0; i < wire->runs; i++) {
			sum += results[i].done ? results[i].datagrams[d] : 0;
			runs += results[i].done;
		}
		lab_report_number(report, sum / runs, 2);
	}
}

/* The first that failed, or else that took longest, of those that are done. */
static size_t worst_run(const struct wire *wire, size_t index)
{
	const struct wire_result *results = wire_cell_results(wire, index);
	size_t worst = 0;

	while (!results[worst].done)
		worst++;
	for (size_t i = worst; i < wire->runs; i++)
		if (results[i].done && time_of(wire, &results[i]) > time_of(wire, &results[worst]))
			worst = i;
	return worst;
}

static void report_cell(struct lab_report *report, const struct wire *wire, size_t index, struct lab_cell *cell)
{
	struct wire_interval intervals[WIRE_STATISTICS];
	int64_t *ms = lab_must(calloc(2 * wire->runs, sizeof(*ms)));
	double percent = 100 / (double)cell->runs;

	paired_times(wire, index, index, ms, ms + wire->runs);
	wire_bootstrap(ms, NULL, cell->runs, wire->cap_ms, wire->seed, intervals);
	free(ms);
	cell->low_ms = intervals[WIRE_MEDIAN].low;
	cell->high_ms = intervals[WIRE_MEDIAN].high;
	lab_report_number(report, cell->loss, -1);
	lab_report_text(report, cell->series);
	lab_report_number(report, (double)cell->runs, 0);
	lab_report_number(report, (double)cell->succeeded, 0);
	lab_report_number(report, percent * (double)intervals[WIRE_SUCCESSES].value, 2);
	lab_report_number(report, percent * (double)intervals[WIRE_SUCCESSES].low, 2);
	lab_report_number(report, percent * (double)intervals[WIRE_SUCCESSES].high, 2);
	lab_report_number(report, (double)lab_cell_quantile(cell, 0), 0);
	report_interval(report, &intervals[WIRE_MEDIAN]);
	report_interval(report, &intervals[WIRE_P90]);
	lab_report_number(report, (double)lab_cell_quantile(cell, 1000), 0);
	report_datagrams(report, wire, index);
	lab_report_number(report, (double)lab_run_seed(wire->seed, worst_run(wire, index)), 0);
}

static void report_settings(struct lab_report *report, const struct wire *wire)
{
	lab_report_weather(report, &wire->weather);
	lab_report_setting_number(report, "runs", (double)wire->runs);
	lab_report_setting_number(report, "cap_ms", (double)wire->cap_ms);
	lab_report_seed(report, wire->seed);
}

static void describe(const struct wire *wire, char *text, size_t size)
{
	FILE *out = lab_must(fmemopen(text, size, "w"));

	lab_describe_weather(&wire->weather, out);
	fprintf(out, ", %zu handshakes each, those not done after %g s as %g s, seed %" PRIu64, wire->runs,
	    (double)wire->cap_ms / 1000, (double)wire->cap_ms / 1000, wire->seed);
	fclose(out);
}

/* ---- the comparison ---- */

static const char *judgement(const struct wire_interval *i, const char *less, const char *more)
{
	return i->high < 0 ? less : i->low > 0 ? more : NULL;
}

static void report_significance(struct lab_report *report, const struct wire_interval intervals[WIRE_STATISTICS])
{
	const char *const judgements[] = {
	    judgement(&intervals[WIRE_MEDIAN], "median lower", "median higher"),
	    judgement(&intervals[WIRE_P90], "90 % lower", "90 % higher"),
	    judgement(&intervals[WIRE_SUCCESSES], "fewer succeed", "more succeed"),
	};
	char text[64] = "";

	for (size_t i = 0; i < sizeof(judgements) / sizeof(*judgements); i++) {
		size_t len = strlen(text);

		if (judgements[i] != NULL)
			snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? ", " : "", judgements[i]);
	}
	if (text[0] == '\0')
		lab_report_none(report);
	else
		lab_report_text(report, text);
}

static void report_difference(struct lab_report *report, const struct wire *wire, size_t cell, size_t other)
{
	const char *name = wire->pairs[cell % wire->pair_count].name;
	const char *other_name = wire->pairs[other % wire->pair_count].name;
	int64_t *ms = lab_must(calloc(2 * wire->runs, sizeof(*ms)));
	struct wire_interval intervals[WIRE_STATISTICS];
	size_t count = paired_times(wire, cell, other, ms, ms + wire->runs);
	char names[128];

	snprintf(names, sizeof(names), "%s - %s", name, other_name);
	if (count > 0) {
		wire_bootstrap(ms, ms + wire->runs, count, wire->cap_ms, wire->seed, intervals);
		lab_report_number(report, wire->losses.percent[cell / wire->pair_count], -1);
		lab_report_text(report, names);
		for (int s = 0; s < WIRE_STATISTICS; s++)
			report_interval(report, &intervals[s]);
		report_significance(report, intervals);
	}
	free(ms);
}

static void compare(const struct wire *wire)
{
	struct lab_report *report = lab_report_new(difference_columns, DIFFERENCE_COLUMNS);

	for (size_t loss = 0; loss < wire->losses.count; loss++)
		for (size_t a = 0; a < wire->pair_count; a++)
			for (size_t b = a + 1; b < wire->pair_count; b++)
				report_difference(
				    report, wire, loss * wire->pair_count + a, loss * wire->pair_count + b);
	if (report->value_count > 0) {
		puts("\nDifferences in the same weather, run by run, and where 95 % of them lie when runs are "
		     "resampled; "
		     "significant\nwhere that leaves 0 out:\n");
		lab_report_print(report, stdout);
	}
	lab_report_free(report);
}

static void tell_who_ended(const struct wire *wire)
{
	for (size_t i = 0; i < wire->pair_count; i++) {
		const struct wire_pair *pair = &wire->pairs[i];

		if (pair->ended == 0)
			continue;
		printf("\n%u handshake%s of %s failed since the client ended; %s: ", pair->ended,
		    pair->ended == 1 ? "" : "s", pair->name, pair->ended == 1 ? "it said" : "the first one said");
		cli_print_bytes(stdout, pair->why, strlen(pair->why));
		putchar('\n');
	}
}

/* ---- all of it ---- */

int wire_tell(struct wire *wire)
{
	struct lab_cell *cells = lab_must(calloc(wire_cell_count(wire), sizeof(*cells)));
	struct lab_report *report = lab_report_new(columns, COLUMNS);
	char description[512];
	size_t count = 0;
	int status;

	describe(wire, description, sizeof(description));
	report_settings(report, wire);
	for (size_t i = 0; i < wire_cell_count(wire); i++) {
		cells[count] = cell_of(wire, i);
		if (cells[count].runs > 0)
			report_cell(report, wire, i, &cells[count++]);
		else
			free(cells[count].times_ms); /* the sweep did not come so far */
	}
	printf("%s\n\n", description);
	status = lab_output_write(&wire->output, report, lab_plot_script,
	    &(struct lab_plot){"DTLS handshakes under loss, in real time", description, cells, count});
	compare(wire);
	tell_who_ended(wire);
	lab_report_free(report);
	for (size_t i = 0; i < count; i++)
		free(cells[i].times_ms);
	free(cells);
	return cli_finish(status);
}
