#include "cli.h"
#include "lab.h"
#include "lab_flights.h"
#include "lab_options.h"
#include "lab_output.h"

#include <inttypes.h>
#include <stdlib.h>

enum { OPTION_TO = CLI_OWN };
enum { POSITIONS = LAB_FLIGHTS - 1, KINDS = 2 };
enum { WIDTH = 1000, HEIGHT = 370 }; /* of the picture, in pixels */

struct growth {
	struct lab_options options;
	int64_t to_ms;
	struct lab_output output;
	struct kind {
		const char *name;
		enum dtls_retransmit retransmit;
	} kinds[KINDS];
	int kind_count;
	char description[256];
	struct row {
		unsigned transmissions[LAB_FLIGHTS + 1], all;
		int64_t connected_ms; /* the client; -1: never */
	} rows[POSITIONS][KINDS]; /* the first one: the delay grows behind flight 1 */
};

struct steering {
	int after; /* this flight */
	bool grown;
	struct sim_weather weather; /* from then on */
	struct lab_flights flights[DIRECTIONS];
};

/* ---- handshakes ---- */

static const struct sim_weather *grow(void *arg, enum direction direction, const void *datagram, size_t len)
{
	struct steering *s = arg;
	struct lab_message messages[LAB_MESSAGES];

	if (lab_messages_read(direction, datagram, len, messages) > 0 && messages[0].flight > s->after)
		s->grown = true;
	return s->grown ? &s->weather : NULL;
}

static void sent(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct steering *s = arg;

	lab_flights_sent(
	    &s->flights[direction], &s->flights[1 - direction], now_ms, direction, datagram, len, delivered > 0);
}

/* To the end: also what is sent behind the client's handshake. */
static struct row run(const struct growth *g, struct lab *lab, int after)
{
	struct steering s = {.after = after, .weather = g->options.weather};
	struct lab_watch watch = {.weather = grow, .sent = sent, .arg = &s, .stays = true};
	struct row row = {.connected_ms = -1};
	struct lab_result result;

	s.weather.latency_ms = g->to_ms;
	result = lab_run(lab, &g->options.weather, 0, &watch);
	if (result.connected)
		row.connected_ms = result.ms;
	for (int flight = 1; flight <= LAB_FLIGHTS; flight++) {
		row.transmissions[flight] =
		    s.flights[TO_SERVER].transmissions[flight] + s.flights[TO_CLIENT].transmissions[flight];
		row.all += row.transmissions[flight];
	}
	return row;
}

static void choose(struct growth *g)
{
	static const struct kind kinds[KINDS] = {
	    {"fixed", DTLS_RETRANSMIT_FIXED}, {"adaptive", DTLS_RETRANSMIT_ADAPTIVE}};

	for (int i = 0; i < KINDS; i++)
		if (g->options.both || g->options.setup.retransmit == kinds[i].retransmit)
			g->kinds[g->kind_count++] = kinds[i];
}

static void run_all(struct growth *g)
{
	for (int k = 0; k < g->kind_count; k++) {
		struct lab *lab;

		g->options.setup.retransmit = g->kinds[k].retransmit;
		lab = lab_new(&g->options.setup);
		for (int i = 0; i < POSITIONS; i++)
			g->rows[i][k] = run(g, lab, i + 1);
		lab_free(lab);
	}
}

/* ---- what is told of them ---- */

static const struct lab_column columns[] = {
    {"grows_after", "after", NULL, false},
    {"retransmit", "timers", NULL, true},
    {"flight1", "1", "flight", false},
    {"flight2", "2", NULL, false},
    {"flight3", "3", NULL, false},
    {"flight4", "4", NULL, false},
    {"flight5", "5", NULL, false},
    {"flight6", "6", NULL, false},
    {"transmissions", "all", NULL, false},
    {"extra", "extra", NULL, false},
    {"connected_ms", "connected, ms", NULL, false},
};

/* More than the fixed timers make. */
static void report_extra(struct lab_report *report, const struct growth *g, int position, int kind)
{
	if (kind == 0)
		lab_report_none(report);
	else
		lab_report_number(report, (double)g->rows[position][kind].all - (double)g->rows[position][0].all, 0);
}

static struct lab_report *report_new(const struct growth *g)
{
	struct lab_report *report = lab_report_new(columns, sizeof(columns) / sizeof(*columns));
	const struct lab_setup *setup = &g->options.setup;

	lab_report_setting_text(report, "suite", setup->suite);
	lab_report_setting_number(report, "handshake_timeout_min_ms", setup->min_ms);
	lab_report_setting_number(report, "handshake_timeout_max_ms", setup->max_ms);
	lab_report_setting_number(report, "mtu", (double)setup->mtu);
	lab_report_setting_number(report, "delay_ms", (double)g->options.weather.latency_ms);
	lab_report_setting_number(report, "to_ms", (double)g->to_ms);
	for (int i = 0; i < POSITIONS * g->kind_count; i++) {
		int position = i / g->kind_count, kind = i % g->kind_count;
		const struct row *row = &g->rows[position][kind];

		lab_report_number(report, position + 1, 0);
		lab_report_text(report, g->kinds[kind].name);
		for (int flight = 1; flight <= LAB_FLIGHTS; flight++)
			lab_report_number(report, row->transmissions[flight], 0);
		lab_report_number(report, row->all, 0);
		report_extra(report, g, position, kind);
		if (row->connected_ms < 0)
			lab_report_none(report);
		else
			lab_report_number(report, (double)row->connected_ms, 0);
	}
	return report;
}

static void describe(struct growth *g)
{
	const struct lab_setup *setup = &g->options.setup;

	snprintf(g->description, sizeof(g->description),
	    "%s, %" PRId64 " ms each way, %" PRId64 " ms behind a flight, timers %d to %d ms, MTU %zu",
	    strcmp(setup->suite, "cert") == 0 ? "certificates" : setup->suite, g->options.weather.latency_ms, g->to_ms,
	    setup->min_ms, setup->max_ms, setup->mtu);
}

/* ---- the picture ---- */

static unsigned most_transmissions(const struct growth *g)
{
	unsigned most = 0;

	for (int i = 0; i < POSITIONS * KINDS; i++)
		for (int flight = 1; flight <= LAB_FLIGHTS; flight++)
			if (g->rows[i / KINDS][i % KINDS].transmissions[flight] > most)
				most = g->rows[i / KINDS][i % KINDS].transmissions[flight];
	return most;
}

static void write_rows(FILE *script, const struct growth *g, int position)
{
	for (int k = 0; k < g->kind_count; k++) {
		fprintf(script, "$rows%d_%d << END\n", position, k);
		for (int flight = 1; flight <= LAB_FLIGHTS; flight++)
			fprintf(script, "%d %u\n", flight, g->rows[position][k].transmissions[flight]);
		fputs("END\n", script);
	}
}

/* What travels the longer way is on grey. */
static void draw_panel(FILE *script, const struct growth *g, int position)
{
	double width = 0.8 / g->kind_count;

	fprintf(script,
	    "set title 'behind flight %d'\nset object 1 rectangle from first %g, graph 0 to graph 1, graph 1 "
	    "behind fillcolor rgb 0xeeeeee fillstyle solid noborder\n%s\nplot NaN notitle",
	    position + 1, position + 1.5,
	    position == POSITIONS - 1 ? "set key at graph 0.03, graph 0.98 left top Left reverse samplen 1"
				      : "unset key");
	for (int k = 0; k < g->kind_count; k++)
		fprintf(script, ", $rows%d_%d using ($1 + %g):2:(%g) with boxes lc rgb 0x%06x title '%s'", position, k,
		    (k - (g->kind_count - 1) / 2.0) * width, width, lab_series_colours[k], g->kinds[k].name);
	fputs("\nunset label\nunset ylabel\n", script);
}

static void write_script(FILE *script, bool is_svg, const void *arg)
{
	const struct growth *g = arg;
	const struct {
		const char *text, *colour;
		double y, font;
	} lines[] = {
	    {"How often each flight is sent when the delay grows", "000000", 25, 17},
	    {g->description, "555555", 48, 13},
	    {"1 ClientHello, 2 HelloVerifyRequest, 3 ClientHello with the cookie, 4 ServerHello to ServerHelloDone,",
		"333333", HEIGHT - 36, 13},
	    {"5 the client's last flight, 6 the server's; on grey: when the delay has grown", "333333", HEIGHT - 16,
		13},
	};

	lab_gnuplot_begin(script, is_svg, WIDTH, HEIGHT);
	for (int i = 0; i < POSITIONS; i++)
		write_rows(script, g, i);
	fprintf(script,
	    "set multiplot layout 1,%d margins 0.06,0.99,0.25,0.72 spacing 0.03\nset xrange [0.4:6.6]\nset xtics 1\n"
	    "set yrange [0:%u]\nset ytics %u\nset ylabel 'transmissions' textcolor rgb 0x333333\nset style fill "
	    "solid\n",
	    POSITIONS, most_transmissions(g) + 1, most_transmissions(g) / 8 + 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		lab_gnuplot_line(
		    script, lines[i].text, lines[i].y / HEIGHT, lines[i].font * (is_svg ? 1 : 0.8), lines[i].colour);
	for (int i = 0; i < POSITIONS; i++)
		draw_panel(script, g, i);
	fputs("unset multiplot\n", script);
}

/* ---- the command line ---- */

static const char help[] = "Usage: dtls-lab growth [OPTION]...\n"
			   "Lets the delay grow in the middle of a handshake, behind each of its flights in\n"
			   "turn, and tells how often each flight is sent, until nothing is under way: one\n"
			   "handshake in virtual time for each, by the fixed and by the adaptive timers.\n\n"
			   "      --delay=MS          one way, at first (default 50)\n"
			   "      --to=MS             one way, for all that is sent later (default 2000)\n"
			   "      --retransmit=HOW    adaptive, fixed, or both (default)\n";

static const char more_help[] = "  -h, --help              show this help\n\n"
				"The flights (RFC 6347, 4.2.4): 1 ClientHello, 2 HelloVerifyRequest, 3 the\n"
				"ClientHello with the cookie, 4 ServerHello to ServerHelloDone, 5 from the\n"
				"client's Certificate or ClientKeyExchange to its Finished, 6 the server's\n"
				"Finished.\n\n"
				"Example: dtls-lab growth --delay 50 --to 2000 --plot growth.svg\n";

static void set_option(struct growth *g, int option, char *value)
{
	switch (option) {
	case OPTION_TO:
		g->to_ms = cli_number("--to", value, 0, 3600000);
		break;
	case LAB_CSV:
	case LAB_JSON:
	case LAB_PLOT:
		lab_output_option(&g->output, option, value);
		break;
	case 'h':
		printf("%s%s%s%s", help, lab_setup_help, lab_output_help, more_help);
		exit(cli_finish(EXIT_SUCCESS));
	default:
		lab_option(&g->options, option, value);
	}
}

static void parse(struct growth *g, int argc, char **argv)
{
	static const struct option known[] = {LAB_SETUP_OPTIONS, LAB_OUTPUT_OPTIONS,
	    {"delay", required_argument, NULL, CLI_DELAY}, {"to", required_argument, NULL, OPTION_TO},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;)
		set_option(g, option, optarg);
	if (optind < argc)
		cli_usage("unexpected argument \"%s\"; see dtls-lab growth --help", argv[optind]);
	if (g->to_ms < g->options.weather.latency_ms)
		cli_usage("--to=%" PRId64 " is less than --delay=%" PRId64 ": the delay is to grow", g->to_ms,
		    g->options.weather.latency_ms);
}

int lab_growth(int argc, char **argv)
{
	struct growth g = {.options = lab_defaults, .to_ms = 2000};
	struct lab_report *report;
	int status;

	g.options.compares = g.options.both = true;
	parse(&g, argc, argv);
	choose(&g);
	describe(&g);
	lab_output_open(&g.output);
	run_all(&g);
	report = report_new(&g);
	printf("%s\n\n", g.description);
	status = lab_output_write(&g.output, report, write_script, &g);
	lab_report_free(report);
	return cli_finish(status);
}
