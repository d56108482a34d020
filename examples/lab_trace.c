#include "cli.h"
#include "cli_keylog.h"
#include "lab.h"
#include "lab_ladder.h"
#include "lab_message_drops.h"
#include "lab_options.h"
#include "lab_pcap.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	OPTION_LOSS = CLI_OWN,
	OPTION_BURST,
	OPTION_DROP,
	OPTION_DROP_MESSAGE,
	OPTION_PCAP,
	OPTION_KEYLOG,
	OPTION_ASCII
};

static const char *const names[DIRECTIONS] = {"client", "server"};

struct trace {
	struct lab_options options;
	double loss; /* in percent; -1: not given */
	double burst_enter, burst_leave; /* 0: losses are independent */
	struct drops drops;
	struct lab_message_drops message_drops;
	const char *pcap_path, *keylog_path;
	bool ascii;

	struct lab_pcap pcap;
	int keylog_fd;
	bool key_unlogged;
	struct lab_ladder ladder;
	int64_t connected_at[DIRECTIONS], failed_at[DIRECTIONS]; /* -1: never */
};

/* ---- what happens ---- */

static enum sim_fate decide(
    const struct trace *t, enum direction direction, unsigned nth, const void *datagram, size_t len)
{
	bool lost = drops_include(&t->drops, direction, nth) ||
		    lab_message_drops_include(&t->message_drops, direction, datagram, len);

	return lost ? SIM_DROP : SIM_DELIVER;
}

static enum sim_fate decide_to_server(void *arg, unsigned nth, const void *datagram, size_t len)
{
	return decide(arg, TO_SERVER, nth, datagram, len);
}

static enum sim_fate decide_to_client(void *arg, unsigned nth, const void *datagram, size_t len)
{
	return decide(arg, TO_CLIENT, nth, datagram, len);
}

static void sent(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct trace *t = arg;

	lab_message_drops_sent(&t->message_drops, direction, datagram, len);
	lab_ladder_sent(&t->ladder, now_ms, direction, datagram, len, delivered);
	if (t->pcap_path != NULL && direction == TO_SERVER)
		lab_pcap_add(&t->pcap, now_ms, direction, datagram, len);
}

static void arrived(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len)
{
	struct trace *t = arg;

	lab_ladder_arrived(&t->ladder, now_ms, direction, datagram, len);
	if (t->pcap_path != NULL && direction == TO_CLIENT)
		lab_pcap_add(&t->pcap, now_ms, direction, datagram, len);
}

static void told(void *arg, int64_t now_ms, enum direction direction, const char *event)
{
	struct trace *t = arg;

	lab_ladder_told(&t->ladder, now_ms, direction, event);
	if (strncmp(event, "handshake done", 14) == 0)
		t->connected_at[direction] = now_ms;
}

static void timer(void *arg, int64_t now_ms, enum direction direction, int due_ms)
{
	struct trace *t = arg;

	lab_ladder_timer(&t->ladder, now_ms, direction, due_ms);
}

static void failed(void *arg, int64_t now_ms, enum direction direction, const char *sentence)
{
	struct trace *t = arg;

	lab_ladder_failed(&t->ladder, now_ms, direction, sentence);
	t->failed_at[direction] = now_ms;
}

static void log_key(void *arg, const char *line)
{
	struct trace *t = arg;

	t->key_unlogged |= !cli_keylog_write(t->keylog_fd, line);
}

/* ---- what is told of it ---- */

static void print_side(const struct trace *t, enum direction direction, const struct lab_lane *lane)
{
	int64_t connected_at = t->connected_at[direction], failed_at = t->failed_at[direction];

	printf("%s: ", names[direction]);
	if (connected_at < 0 && failed_at < 0)
		fputs("no handshake began", stdout);
	if (connected_at >= 0)
		printf("connected at %" PRId64 " ms", connected_at);
	if (failed_at >= 0)
		printf("%sfailed at %" PRId64 " ms", connected_at >= 0 ? ", " : "", failed_at);
	printf("; sent %" PRIu64 " datagram%s, %" PRIu64 " lost; %" PRIu64 " flight%s again, %" PRIu64 " needlessly\n",
	    lane->datagrams, lane->datagrams == 1 ? "" : "s", lane->lost, lane->retransmissions,
	    lane->retransmissions == 1 ? "" : "s", lane->spurious);
}

static void print_unused_drops(const struct trace *t)
{
	for (size_t i = 0; i < t->drops.count; i++) {
		const unsigned first = t->drops.list[i].first, last = t->drops.list[i].last;
		const bool *to = t->drops.list[i].to;
		bool used = false;

		for (int d = 0; d < DIRECTIONS; d++)
			used |= to[d] && t->ladder.sides[d].sent >= first;
		if (used)
			continue;
		printf("--drop %s%u", !to[TO_CLIENT] ? "c" : !to[TO_SERVER] ? "s" : "", first);
		if (last > first)
			printf("-%u", last);
		puts(": that was not sent");
	}
}

static void print_result(const struct trace *t, const struct lab_result *result)
{
	const char *unused;
	size_t next = 0;

	lab_describe(&t->options, stdout);
	putchar('\n');
	lab_ladder_draw(&t->ladder, stdout, t->ascii);
	putchar('\n');
	for (int d = 0; d < DIRECTIONS; d++)
		print_side(t, (enum direction)d, &result->lanes[d]);
	print_unused_drops(t);
	while ((unused = lab_message_drops_unused(&t->message_drops, &next)) != NULL)
		printf("--drop-message %s: that was not sent\n", unused);
}

/* ---- the command line ---- */

static const char help[] = "Usage: dtls-lab trace [OPTION]...\n"
			   "Runs one handshake in virtual time, and draws what client and server did.\n\n"
			   "      --drop=1,3-5,c7,s9  lose these datagrams, counted from 1 for each side;\n"
			   "                          c: only the client's, s: only the server's\n"
			   "      --drop-message=NAME#N,...\n"
			   "                          lose the datagrams that carry a message, such as\n"
			   "                          ServerHelloDone, the Nth time that it is sent; #N-M:\n"
			   "                          from the Nth to the Mth time; neither: always; c and s\n"
			   "                          as above, for what both sides send: cFinished#1\n"
			   "      --loss=PERCENT      of the datagrams are lost, each way (default 0)\n"
			   "      --burst=ENTER,LEAVE the chances that a burst begins or ends at a datagram\n"
			   "                          (Gilbert-Elliott): --loss stays the average, but its\n"
			   "                          losses are gathered in the bursts, as many as these\n"
			   "                          can hold\n"
			   "      --retransmit=HOW    adaptive (default) or fixed\n";

static const char more_help[] = "      --pcap=FILE         write a capture for Wireshark, as taken at the client:\n"
				"                          all that it sends, and what reaches it; the times are\n"
				"                          virtual, and the server has port 5684\n"
				"      --keylog=FILE       append the session's secrets to FILE, with which\n"
				"                          Wireshark decrypts the capture\n"
				"      --ascii             draw with - and |, as is done where the locale is not\n"
				"                          UTF-8\n"
				"  -h, --help              show this help\n\n"
				"P is a probability such as 0.2 or 20%, as are ENTER and LEAVE. A rung of the\n"
				"diagram is one datagram, with the time at which it was sent on the sender's side\n"
				"and that of its arrival on the other. It stands where it was sent: what stands\n"
				"below it may have happened before it arrived. A part of a message is shown as\n"
				"Certificate(2)[0-800/1200]. A HelloVerifyRequest, which answers each hello\n"
				"without a cookie, does not count as a flight that was sent again.\n"
				"The handshake may fail, and so much is told: the exit status is 0.\n\n"
				"Example: dtls-lab trace --suite cert --drop c2 --drop-message ServerHelloDone#1\n";

static void set_option(struct trace *t, int option, char *value)
{
	switch (option) {
	case OPTION_LOSS:
		t->loss = lab_percent("--loss", value);
		break;
	case OPTION_BURST:
		lab_bursts_parse("--burst", value, &t->burst_enter, &t->burst_leave);
		break;
	case OPTION_DROP:
		drops_add(&t->drops, "--drop", value);
		break;
	case OPTION_DROP_MESSAGE:
		lab_message_drops_add(&t->message_drops, "--drop-message", value);
		break;
	case OPTION_PCAP:
		t->pcap_path = value;
		break;
	case OPTION_KEYLOG:
		t->keylog_path = value;
		break;
	case OPTION_ASCII:
		t->ascii = true;
		break;
	case 'h':
		printf("%s%s%s%s", help, lab_setup_help, lab_link_help, more_help);
		exit(cli_finish(EXIT_SUCCESS));
	default:
		lab_option(&t->options, option, value);
	}
}

static void parse(struct trace *t, int argc, char **argv)
{
	static const struct option known[] = {LAB_SETUP_OPTIONS, LAB_LINK_OPTIONS,
	    {"loss", required_argument, NULL, OPTION_LOSS}, {"burst", required_argument, NULL, OPTION_BURST},
	    {"drop", required_argument, NULL, OPTION_DROP},
	    {"drop-message", required_argument, NULL, OPTION_DROP_MESSAGE},
	    {"pcap", required_argument, NULL, OPTION_PCAP}, {"keylog", required_argument, NULL, OPTION_KEYLOG},
	    {"ascii", no_argument, NULL, OPTION_ASCII}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};

	for (int option; (option = getopt_long(argc, argv, "h", known, NULL)) != -1;)
		set_option(t, option, optarg);
	if (optind < argc)
		cli_usage("unexpected argument \"%s\"; see dtls-lab trace --help", argv[optind]);
	if (t->burst_enter > 0 && t->loss < 0)
		cli_usage("--burst has no effect without --loss, the percentage of datagrams that are lost");
	if (t->loss > 0)
		t->options.weather = lab_weather(&t->options.weather, t->loss, t->burst_enter, t->burst_leave);
	if (t->pcap_path != NULL && t->keylog_path != NULL && strcmp(t->pcap_path, t->keylog_path) == 0)
		cli_usage("--pcap and --keylog cannot both write to \"%s\"", t->pcap_path);
	t->ascii = t->ascii || setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
}

static void open_files(struct trace *t)
{
	if (t->pcap_path != NULL)
		lab_pcap_open(&t->pcap, "--pcap", t->pcap_path);
	if (t->keylog_path != NULL)
		t->keylog_fd = cli_keylog_file("--keylog", t->keylog_path);
	if (t->pcap_path != NULL && t->keylog_path != NULL)
		lab_file_refuse_same("--keylog", t->keylog_fd, "--pcap", fileno(t->pcap.file.stream));
	if (t->pcap_path != NULL)
		lab_pcap_begin(&t->pcap);
}

int lab_trace(int argc, char **argv)
{
	struct trace t = {
	    .options = lab_defaults, .loss = -1, .keylog_fd = -1, .connected_at = {-1, -1}, .failed_at = {-1, -1}};
	struct lab_watch watch = {.decide = {decide_to_server, decide_to_client},
	    .sent = sent,
	    .arrived = arrived,
	    .told = told,
	    .timer = timer,
	    .failed = failed,
	    .arg = &t,
	    .stays = true};
	struct lab_result result;
	struct lab *lab;
	bool well;

	parse(&t, argc, argv);
	lab = lab_new(&t.options.setup);
	open_files(&t);
	watch.keylog = t.keylog_fd >= 0 ? log_key : NULL;
	result = lab_run(lab, &t.options.weather, t.options.seed, &watch);
	well = (t.pcap_path == NULL || lab_pcap_end(&t.pcap)) && !t.key_unlogged;
	print_result(&t, &result);
	lab_ladder_free(&t.ladder);
	if (t.keylog_fd >= 0)
		close(t.keylog_fd);
	lab_free(lab);
	return cli_finish(well ? EXIT_SUCCESS : CLI_FAILED);
}
