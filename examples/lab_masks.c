#include "cli.h"
#include "lab.h"
#include "lab_file.h"
#include "lab_options.h"
#include "lab_stats.h"
#include "lab_workers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { OPTION_CSV = CLI_OWN, OPTION_PROCESSES };
enum { LOSSES_MAX = 8, BAR = 60 };

struct masks {
	struct lab_options options;
	unsigned losses; /* the first so many datagrams of each side may be lost */
	int processes;
	const char *csv_path;
	struct lab_file csv;
	struct lab *lab;
};

struct outcome { /* of the mask that is its index: the client's datagrams are the low bits */
	bool connected;
	int64_t ms;
};

struct steering {
	const struct masks *masks;
	unsigned mask;
};

/* ---- handshakes ---- */

static enum sim_fate decide(const struct steering *s, enum direction direction, unsigned nth)
{
	unsigned bit = nth - 1 + (direction == TO_CLIENT ? s->masks->losses : 0);

	return nth <= s->masks->losses && (s->mask >> bit & 1) != 0 ? SIM_DROP : SIM_DELIVER;
}

static enum sim_fate decide_to_server(void *arg, unsigned nth, const void *datagram, size_t len)
{
	(void)datagram, (void)len;
	return decide(arg, TO_SERVER, nth);
}

static enum sim_fate decide_to_client(void *arg, unsigned nth, const void *datagram, size_t len)
{
	(void)datagram, (void)len;
	return decide(arg, TO_CLIENT, nth);
}

static void run(void *arg, size_t mask, void *outcome)
{
	const struct masks *m = arg;
	struct steering steering = {m, (unsigned)mask};
	struct lab_watch watch = {.decide = {decide_to_server, decide_to_client}, .arg = &steering};
	struct lab_result result = lab_run(m->lab, &m->options.weather, m->options.seed, &watch);

	*(struct outcome *)outcome = (struct outcome){result.connected, result.ms};
}

/* ---- what is told of them ---- */

/* What a mask loses, such as c1,c3,s2. */
static void print_lost(const struct masks *m, size_t mask, const char *between, FILE *out)
{
	const char *separator = "";

	for (unsigned bit = 0; bit < 2 * m->losses; bit++) {
		if ((mask >> bit & 1) == 0)
			continue;
		fprintf(out, "%s%c%u", separator, bit < m->losses ? 'c' : 's', bit % m->losses + 1);
		separator = between;
	}
}

static size_t same_from(const int64_t *times, size_t count, size_t first)
{
	size_t end = first;

	while (end < count && times[end] == times[first])
		end++;
	return end - first;
}

static void print_times(int64_t *times, size_t count)
{
	size_t most = 0, same;

	lab_sort(times, count);
	for (size_t i = 0; i < count; i += same_from(times, count, i))
		most = same_from(times, count, i) > most ? same_from(times, count, i) : most;
	if (count > 0)
		puts("\n       ms  masks");
	for (size_t i = 0; i < count; i += same) {
		same = same_from(times, count, i);
		printf("%9" PRId64 " %6zu  ", times[i], same);
		for (size_t bar = (same * BAR + most - 1) / most; bar > 0; bar--)
			putchar('#');
		putchar('\n');
	}
}

static void print_failures(const struct masks *m, const struct outcome *outcomes, size_t count)
{
	const char *title = "\nnever, and when the client gives up:";

	for (size_t mask = 0; mask < count; mask++) {
		if (outcomes[mask].connected)
			continue;
		if (title != NULL)
			puts(title);
		title = NULL;
		printf("%9" PRId64 " ms  lost: ", outcomes[mask].ms);
		print_lost(m, mask, ",", stdout);
		putchar('\n');
	}
}

/* Of the first so many masks; all: how many there are. */
static void print_outcomes(const struct masks *m, const struct outcome *outcomes, size_t count, size_t all)
{
	int64_t *times = calloc(count, sizeof(*times));
	size_t connected = 0;

	if (times == NULL)
		cli_fail("out of memory");
	for (size_t mask = 0; mask < count; mask++)
		if (outcomes[mask].connected)
			times[connected++] = outcomes[mask].ms;
	lab_describe(&m->options, stdout);
	printf("\n%zu ", count);
	if (count < all)
		printf("of %zu ", all);
	printf("ways to lose datagrams among the first %u of each side: %zu connect, %zu never do\n", m->losses,
	    connected, count - connected);
	print_times(times, connected);
	print_failures(m, outcomes, count);
	free(times);
}

static bool write_csv(struct masks *m, const struct outcome *outcomes, size_t count)
{
	if (m->csv_path == NULL)
		return true;
	if (!lab_file_begin(&m->csv))
		return false;
	fputs("lost,connected,ms\n", m->csv.stream);
	for (size_t mask = 0; mask < count; mask++) {
		print_lost(m, mask, " ", m->csv.stream);
		fprintf(m->csv.stream, ",%d,%" PRId64 "\n", outcomes[mask].connected, outcomes[mask].ms);
	}
	return lab_file_end(&m->csv);
}

static int tell(struct masks *m, const struct outcome *outcomes, size_t count, size_t all)
{
	bool well = write_csv(m, outcomes, count);

	print_outcomes(m, outcomes, count, all);
	return cli_finish(well ? EXIT_SUCCESS : CLI_FAILED);
}

/* ---- the command line ---- */

static const char help[] = "Usage: dtls-lab masks [OPTION]... N\n"
			   "Loses the first N datagrams of each side in every possible way, 4^N in all, N\n"
			   "from 1 to 8: one handshake each, in virtual time. Tells how many connect, when,\n"
			   "and which never do.\n\n"
			   "      --delay=MS          one way (default 50)\n"
			   "      --csv=FILE          write each handshake's outcome to FILE as\n"
			   "                          comma-separated values: the datagrams lost (c1: the\n"
			   "                          client's first), 1 if it connected, and the time of\n"
			   "                          the client's end\n"
			   "      --processes=N       that compute (default: as many as cores); the results\n"
			   "                          are the same for any number\n"
			   "      --retransmit=HOW    adaptive (default) or fixed\n";

static const char more_help[] = "  -h, --help              show this help\n\n"
				"The times are those at which the client is connected, in ms. A datagram that is\n"
				"not sent, since the handshake ended before, is not lost: so several ways may\n"
				"come to the same. To see one of them: dtls-lab trace --drop c1,c2,s1\n"
				"SIGINT ends it, with the ways that were tried so far.\n\n"
				"Example: dtls-lab masks 5 --retransmit fixed --delay 20\n";

static void set_option(struct masks *m, int option, char *value)
{
	switch (option) {
	case OPTION_CSV:
		m->csv_path = value;
		break;
	case OPTION_PROCESSES:
		m->processes = (int)cli_number("--processes", value, 1, LAB_PROCESSES_MAX);
		break;
	case 'h':
		printf("%s%s%s", help, lab_setup_help, more_help);
		exit(cli_finish(EXIT_SUCCESS));
	default:
		lab_option(&m->options, option, value);
	}
}

static void parse(struct masks *m, int argc, char **argv)
{
	static const struct option known[] = {LAB_SETUP_OPTIONS, {"delay", required_argument, NULL, CLI_DELAY},
	    {"csv", required_argument, NULL, OPTION_CSV}, {"processes", required_argument, NULL, OPTION_PROCESSES},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;)
		set_option(m, option, optarg);
	if (optind == argc)
		cli_usage("N is missing, the number of datagrams of each side; see dtls-lab masks --help");
	m->losses = (unsigned)cli_number("N", argv[optind], 1, LOSSES_MAX);
	if (optind + 1 < argc)
		cli_usage("unexpected argument \"%s\"; see dtls-lab masks --help", argv[optind + 1]);
}

int lab_masks(int argc, char **argv)
{
	struct masks m = {.options = lab_defaults};
	struct lab_workers workers = {
	    .result_size = sizeof(struct outcome), .work = run, .arg = &m, .what = "handshakes"};
	struct lab_results outcomes;
	int status = EXIT_SUCCESS;

	parse(&m, argc, argv);
	m.lab = lab_new(&m.options.setup);
	if (m.csv_path != NULL)
		lab_file_open(&m.csv, "--csv", m.csv_path);
	lab_file_put_off(&m.csv);
	workers.processes = m.processes;
	workers.items = (size_t)1 << (2 * m.losses);
	outcomes = lab_workers_run(&workers);
	if (outcomes.signal != 0)
		fprintf(stderr, "%s: ended after %zu of %zu handshakes\n", program_invocation_short_name, outcomes.done,
		    workers.items);
	if (outcomes.done > 0)
		status = tell(&m, outcomes.items, outcomes.done, workers.items);
	if (outcomes.signal != 0)
		status = 128 + outcomes.signal;
	lab_workers_free(&workers, &outcomes);
	lab_free(m.lab);
	return status;
}
