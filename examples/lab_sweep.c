#include "lab_sweep.h"

#include "cli.h"
#include "lab.h"
#include "lab_workers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_LOSS = CLI_OWN, OPTION_BURST, OPTION_RUNS, OPTION_PROCESSES };

static const char help[] =
    "Usage: dtls-lab sweep [OPTION]...\n"
    "Runs many handshakes in virtual time at each loss rate, and tells how long they took and what they cost.\n\n"
    "      --loss=LIST         percent of the datagrams that are lost, each way (default 0,1,2,5,10,20,30,40,50)\n"
    "      --burst=ENTER,LEAVE the chances that a burst begins or ends at a datagram (Gilbert-Elliott): --loss stays\n"
    "                          the average, but its losses are gathered in the bursts, as many as these can hold\n"
    "      --runs=N            handshakes for each loss rate (default 2000)\n"
    "      --processes=N       that compute (default: as many as cores); the results are the same for any number\n"
    "      --retransmit=HOW    adaptive (default), fixed, or both, which then meet the same weather\n";

static const char more_help[] =
    "  -h, --help              show this help\n\n"
    "P is a probability such as 0.2 or 20%, as are ENTER and LEAVE; in LIST, plain numbers are percent.\n"
    "The nth run has the same weather at each loss rate, and with either kind of retransmission.\n\n"
    "The times (least, median, 90th and 99th percentile, most) are of the handshakes that succeeded, until the client\n"
    "is connected. What they cost is the mean of all, until the client is connected or has given up: datagrams that\n"
    "each side sent, flights that either side sent again, and spurious ones among these, for which everything had\n"
    "arrived, even if corrupted, or was on its way. --csv and --json tell both sides apart, count bytes as well (but\n"
    "not IP and UDP headers), and name the seed of each row's worst run. dtls-lab trace shows it, if it is given\n"
    "this --seed, the row's --loss and --retransmit, and what else was given: --burst, --delay, --suite and so on.\n\n"
    "Example: dtls-lab sweep --loss 0,10,20,30 --delay 50 --retransmit both --plot loss.svg\n";

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

static int tell(struct sweep *sweep, const struct lab_result *results)
{
	struct lab_cell *cells = calloc(sweep_cell_count(sweep), sizeof(*cells));
	struct lab_report *report;
	char description[512];
	FILE *line = fmemopen(description, sizeof(description), "w");
	int status;

	if (cells == NULL || line == NULL)
		cli_fail("out of memory");
	sweep_describe(sweep, line);
	fclose(line);
	for (size_t i = 0; i < sweep_cell_count(sweep); i++)
		cells[i] = sweep_cell(sweep, results + i * sweep->runs, i);
	report = sweep_report(sweep, results, cells);
	printf("%s\n\n", description);
	status = lab_output_write(&sweep->output, report,
	    &(struct lab_plot){"DTLS handshakes under loss", description, cells, sweep_cell_count(sweep)});
	status = cli_finish(status);
	lab_report_free(report);
	for (size_t i = 0; i < sweep_cell_count(sweep); i++)
		free(cells[i].times_ms);
	free(cells);
	return status;
}

int lab_sweep(int argc, char **argv)
{
	struct sweep sweep = {.options = lab_defaults, .runs = 2000};
	int status;

	sweep.options.compares = true;
	parse(&sweep, argc, argv);
	sweep_open(&sweep);
	lab_output_open(&sweep.output);
	status = tell(&sweep, sweep_run(&sweep));
	sweep_close(&sweep);
	return status;
}
