#include "lab_sweep.h"

#include <inttypes.h>
#include <string.h>

static const struct lab_column columns[] = {
    {"loss_percent", "loss %", NULL, false},
    {"retransmit", "timers", NULL, true},
    {"runs", NULL, NULL, false},
    {"succeeded", NULL, NULL, false},
    {"success_percent", "success %", NULL, false},
    {"min_ms", "min", "handshake, ms", false},
    {"median_ms", "median", NULL, false},
    {"p90_ms", "90 %", NULL, false},
    {"p99_ms", "99 %", NULL, false},
    {"max_ms", "max", NULL, false},
    {"client_datagrams", "client", "datagrams", false},
    {"server_datagrams", "server", NULL, false},
    {"client_bytes", NULL, NULL, false},
    {"server_bytes", NULL, NULL, false},
    {"client_lost", NULL, NULL, false},
    {"server_lost", NULL, NULL, false},
    {"client_retransmissions", NULL, NULL, false},
    {"server_retransmissions", NULL, NULL, false},
    {"retransmissions", "resent", "flights", false},
    {"client_spurious", NULL, NULL, false},
    {"server_spurious", NULL, NULL, false},
    {"spurious", "spurious", NULL, false},
    {"worst_seed", NULL, NULL, false},
};

static void report_times(struct lab_report *report, const struct lab_cell *cell)
{
	static const unsigned quantiles[] = {0, LAB_MEDIAN, LAB_P90, LAB_P99, 1000};

	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++) {
		int64_t ms = lab_cell_quantile(cell, quantiles[i]);

		if (ms < 0)
			lab_report_none(report);
		else
			lab_report_number(report, (double)ms, 0);
	}
}

static void report_costs(struct lab_report *report, const struct sweep *sweep, const struct lab_result *results)
{
	struct lab_lane sums[DIRECTIONS] = {{0}, {0}}, *client = &sums[TO_SERVER], *server = &sums[TO_CLIENT];
	double runs = (double)sweep->runs;

	for (size_t i = 0; i < sweep->runs; i++) {
		for (int d = 0; d < DIRECTIONS; d++) {
			const struct lab_lane *lane = &results[i].lanes[d];

			sums[d].datagrams += lane->datagrams;
			sums[d].bytes += lane->bytes;
			sums[d].lost += lane->lost;
			sums[d].retransmissions += lane->retransmissions;
			sums[d].spurious += lane->spurious;
		}
	}
	lab_report_number(report, (double)client->datagrams / runs, 2);
	lab_report_number(report, (double)server->datagrams / runs, 2);
	lab_report_number(report, (double)client->bytes / runs, 1);
	lab_report_number(report, (double)server->bytes / runs, 1);
	lab_report_number(report, (double)client->lost / runs, 3);
	lab_report_number(report, (double)server->lost / runs, 3);
	lab_report_number(report, (double)client->retransmissions / runs, 3);
	lab_report_number(report, (double)server->retransmissions / runs, 3);
	lab_report_number(report, (double)(client->retransmissions + server->retransmissions) / runs, 3);
	lab_report_number(report, (double)client->spurious / runs, 3);
	lab_report_number(report, (double)server->spurious / runs, 3);
	lab_report_number(report, (double)(client->spurious + server->spurious) / runs, 3);
}

/* The first that failed, or else that took longest. */
static size_t worst_run(const struct sweep *sweep, const struct lab_result *results)
{
	size_t worst = 0;

	for (size_t i = 0; i < sweep->runs; i++) {
		if (!results[i].connected)
			return i;
		if (results[i].ms > results[worst].ms)
			worst = i;
	}
	return worst;
}

static void report_settings(struct lab_report *report, const struct sweep *sweep)
{
	const struct lab_setup *setup = &sweep->options.setup;

	lab_report_setting_text(report, "suite", setup->suite);
	lab_report_setting_number(report, "handshake_timeout_min_ms", setup->min_ms);
	lab_report_setting_number(report, "handshake_timeout_max_ms", setup->max_ms);
	lab_report_setting_number(report, "mtu", (double)setup->mtu);
	lab_report_weather(report, &sweep->options.weather);
	lab_report_setting_number(report, "burst_enter", sweep->burst_enter);
	lab_report_setting_number(report, "burst_leave", sweep->burst_leave);
	lab_report_setting_number(report, "runs", (double)sweep->runs);
	lab_report_seed(report, sweep->options.seed);
}

void sweep_describe(const struct sweep *sweep, FILE *out)
{
	const struct lab_setup *setup = &sweep->options.setup;

	fprintf(out, "%s, ", strcmp(setup->suite, "cert") == 0 ? "certificates" : setup->suite);
	lab_describe_weather(&sweep->options.weather, out);
	if (sweep->burst_enter > 0)
		fprintf(out, ", losses in bursts (%g, %g)", sweep->burst_enter, sweep->burst_leave);
	fprintf(out, ", timers %d to %d ms, MTU %zu, %zu handshake%s each, seed %" PRIu64, setup->min_ms, setup->max_ms,
	    setup->mtu, sweep->runs, sweep->runs == 1 ? "" : "s", sweep->options.seed);
	if (sweep->complete < sweep->cell_count)
		fputs(", incomplete", out);
}

struct lab_report *sweep_report(const struct sweep *sweep, const struct lab_cell *cells)
{
	struct lab_report *report = lab_report_new(columns, sizeof(columns) / sizeof(*columns));

	report_settings(report, sweep);
	for (size_t i = 0; i < sweep->complete; i++) {
		const struct lab_result *results = sweep_results(sweep, i);

		lab_report_number(report, cells[i].loss, -1);
		lab_report_text(report, cells[i].series);
		lab_report_number(report, (double)cells[i].runs, 0);
		lab_report_number(report, (double)cells[i].succeeded, 0);
		lab_report_number(report, 100 * (double)cells[i].succeeded / (double)cells[i].runs, 2);
		report_times(report, &cells[i]);
		report_costs(report, sweep, results);
		lab_report_number(report, (double)lab_run_seed(sweep->options.seed, worst_run(sweep, results)), 0);
	}
	return report;
}
