#include "lab_sweep.h"

#include "cli.h"
#include "lab.h"
#include "lab_plot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_LOSS = CLI_OWN, OPTION_BURST, OPTION_RUNS, OPTION_PROCESSES };

/* ---- handshakes ---- */

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
	sweep->cell_count = sweep->losses.count * sweep->kind_count;
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

void sweep_run(struct sweep *sweep)
{
	sweep->workers = (struct lab_workers){
	    .processes = sweep->processes,
	    .items = sweep->cell_count * sweep->runs,
	    .result_size = sizeof(struct lab_result),
	    .work = run,
	    .arg = sweep,
	    .what = "handshakes",
	};
	sweep->results = lab_workers_run(&sweep->workers);
	sweep->complete = sweep->results.done / sweep->runs;
}

void sweep_close(struct sweep *sweep)
{
	for (size_t i = 0; i < sweep->kind_count; i++)
		lab_free(sweep->kinds[i].lab);
	if (sweep->results.items != NULL)
		lab_workers_free(&sweep->workers, &sweep->results);
}

const struct lab_result *sweep_results(const struct sweep *sweep, size_t cell)
{
	return (const struct lab_result *)sweep->results.items + cell * sweep->runs;
}

struct lab_cell sweep_cell(const struct sweep *sweep, size_t index)
{
	const struct lab_result *results = sweep_results(sweep, index);
	struct lab_cell cell = {
	    .series = sweep->kinds[index % sweep->kind_count].name,
	    .loss = sweep->losses.percent[index / sweep->kind_count],
	    .runs = sweep->runs,
	    .times_ms = lab_must(calloc(sweep->runs, sizeof(*cell.times_ms))),
	};

	for (size_t i = 0; i < sweep->runs; i++)
		if (results[i].connected)
			cell.times_ms[cell.succeeded++] = results[i].ms;
	lab_sort(cell.times_ms, cell.succeeded);
	return cell;
}

/* ---- the command line ---- */

static const char help[] = "Usage: dtls-lab sweep [OPTION]...\n"
			   "Runs many handshakes in virtual time at each loss rate, and tells how long they\n"
			   "took and what they cost.\n\n"
			   "      --loss=LIST         percent of the datagrams that are lost, each way\n"
			   "                          (default 0,1,2,5,10,20,30,40,50)\n"
			   "      --burst=ENTER,LEAVE the chances that a burst begins or ends at a datagram\n"
			   "                          (Gilbert-Elliott): --loss stays the average, but its\n"
			   "                          losses are gathered in the bursts, as many as these\n"
			   "                          can hold\n"
			   "      --runs=N            handshakes for each loss rate (default 2000)\n"
			   "      --processes=N       that compute (default: as many as cores); the results\n"
			   "                          are the same for any number\n"
			   "      --retransmit=HOW    adaptive (default), fixed, or both, which then meet\n"
			   "                          the same weather\n";

static const char more_help[] = "  -h, --help              show this help\n\n"
				"P is a probability such as 0.2 or 20%, as are ENTER and LEAVE; in LIST, plain\n"
				"numbers are percent.\n"
				"The nth run has the same weather at each loss rate, and with either kind of\n"
				"retransmission.\n\n"
				"The times (least, median, 90th and 99th percentile, most) are of the handshakes\n"
				"that succeeded, until the client is connected. What they cost is the mean of\n"
				"all, until the client is connected or has given up: datagrams that each side\n"
				"sent, flights that either side sent again, and spurious ones among these, for\n"
				"which everything had arrived unharmed or was on its way. --csv and --json tell\n"
				"both sides apart, count bytes as well (but not IP and UDP headers), and name the\n"
				"seed of each row's worst run. dtls-lab trace shows it, if it is given this\n"
				"--seed, the row's --loss and --retransmit, and what else was given: --burst,\n"
				"--delay, --suite and so on. SIGINT ends the sweep, with the rows so far.\n\n"
				"Example: dtls-lab sweep --loss 0,10,20,30 --retransmit both --plot loss.svg\n";

static void set_option(struct sweep *sweep, int option, char *value)
{
	switch (option) {
	case OPTION_LOSS:
		lab_losses_parse(&sweep->losses, "--loss", value);
		break;
	case OPTION_BURST:
		lab_bursts_parse("--burst", value, &sweep->burst_enter, &sweep->burst_leave);
		break;
	case OPTION_RUNS:
		sweep->runs = (size_t)cli_number("--runs", value, 1, SWEEP_RUNS);
		break;
	case OPTION_PROCESSES:
		sweep->processes = (int)cli_number("--processes", value, 1, LAB_PROCESSES_MAX);
		break;
	case LAB_CSV:
	case LAB_JSON:
	case LAB_PLOT:
		lab_output_option(&sweep->output, option, value);
		break;
	case 'h':
		printf("%s%s%s%s%s", help, lab_setup_help, lab_link_help, lab_output_help, more_help);
		exit(cli_finish(EXIT_SUCCESS));
	default:
		lab_option(&sweep->options, option, value);
	}
}

static void parse(struct sweep *sweep, int argc, char **argv)
{
	static const struct option known[] = {LAB_SETUP_OPTIONS, LAB_LINK_OPTIONS, LAB_OUTPUT_OPTIONS,
	    {"loss", required_argument, NULL, OPTION_LOSS}, {"burst", required_argument, NULL, OPTION_BURST},
	    {"runs", required_argument, NULL, OPTION_RUNS}, {"processes", required_argument, NULL, OPTION_PROCESSES},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	char losses[] = "0,1,2,5,10,20,30,40,50";

	lab_losses_parse(&sweep->losses, "--loss", losses);
	for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;)
		set_option(sweep, option, optarg);
	if (optind < argc)
		cli_usage("unexpected argument \"%s\"; see dtls-lab sweep --help", argv[optind]);
}

/* ---- all of it ---- */

static void complain(const struct sweep *sweep)
{
	fprintf(stderr, "%s: ended after %zu of %zu handshakes: ", program_invocation_short_name, sweep->results.done,
	    sweep->workers.items);
	if (sweep->complete > 0)
		fprintf(stderr, "incomplete, with %zu of %zu rows\n", sweep->complete, sweep->cell_count);
	else
		fputs("no row was complete, and nothing is written\n", stderr);
}

static int tell(struct sweep *sweep)
{
	struct lab_cell *cells = lab_must(calloc(sweep->complete, sizeof(*cells)));
	struct lab_report *report;
	char description[512];
	FILE *line = lab_must(fmemopen(description, sizeof(description), "w"));
	int status;

	sweep_describe(sweep, line);
	fclose(line);
	for (size_t i = 0; i < sweep->complete; i++)
		cells[i] = sweep_cell(sweep, i);
	report = sweep_report(sweep, cells);
	printf("%s\n\n", description);
	status = lab_output_write(&sweep->output, report, lab_plot_script,
	    &(struct lab_plot){"DTLS handshakes under loss", description, cells, sweep->complete});
	status = cli_finish(status);
	lab_report_free(report);
	for (size_t i = 0; i < sweep->complete; i++)
		free(cells[i].times_ms);
	free(cells);
	return status;
}

int lab_sweep(int argc, char **argv)
{
	struct sweep sweep = {.options = lab_defaults, .runs = 2000};
	int status = EXIT_SUCCESS;

	sweep.options.compares = true;
	parse(&sweep, argc, argv);
	sweep_open(&sweep);
	lab_output_open(&sweep.output);
	sweep_run(&sweep);
	if (sweep.results.signal != 0)
		complain(&sweep);
	if (sweep.complete > 0)
		status = tell(&sweep);
	if (sweep.results.signal != 0)
		status = 128 + sweep.results.signal;
	sweep_close(&sweep);
	return status;
}
