/* dtls-load - many DTLS clients at once: how many handshakes and messages a second a server takes, and how long they are. */
#include "lab_workers.h"
#include "load_report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	OPTION_HOSTNAME = CLI_OWN,
	OPTION_RATE,
	OPTION_PENDING,
	OPTION_SOURCES,
	OPTION_ECHO,
	OPTION_COAP_PING,
	OPTION_INTERVAL,
	OPTION_PATIENCE,
	OPTION_CHURN,
	OPTION_DURATION,
	OPTION_TIMEOUT,
	OPTION_CSV,
	OPTION_JSON,
};

enum { CLIENTS_MAX = 1000000, SOURCES_MAX = 65000, SOURCES = 250, DURATION_MS = 10000, DESCRIPTORS_BESIDE = 32 };

static const char help[] = "Usage: dtls-load HOST:PORT --psk=ID:HEX | --psk-file=FILE | --ca=FILE\n"
			   "                 [OPTION]...\n"
			   "Connects many clients to a DTLS 1.2 server, this library's or any other, and\n"
			   "tells how many handshakes and messages a second it took, and how long they\n"
			   "lasted: the median, 90 %, 99 %, and the longest.\n\n"
			   "  -c, --clients=N        clients (default 100)\n"
			   "  -p, --processes=N      to spread them over (default: one for each core)\n"
			   "      --sources=N        they come from 127.0.0.1, 127.0.0.2, ... in turn, where\n"
			   "                         the server is at such an address, too (default 250)\n"
			   "      --rate=R           handshakes that begin each second (default: as many\n"
			   "                         as --pending lets)\n"
			   "      --pending=N        unfinished handshakes at a time (default 100; with\n"
			   "                         --rate: as many as there are clients)\n"
			   "      --echo=SIZE        send messages of SIZE bytes, which the server sends\n"
			   "                         back, one at a time in each session\n"
			   "      --coap-ping        or CoAP pings, which every CoAP server answers, libcoap\n"
			   "                         four a second in each session\n"
			   "      --interval=MS      from one message to the next (default 1000; 0: the\n"
			   "                         next one leaves when the last one came back)\n"
			   "      --patience=MS      a message that is not back by then is lost\n"
			   "                         (default 1000)\n"
			   "      --churn=S          close each session after S seconds, at the earliest\n"
			   "                         when one message is back, and connect anew from\n"
			   "                         another port\n"
			   "      --duration=S       stop after S seconds (default 10 with --echo,\n"
			   "                         --coap-ping or --churn; else when every client has\n"
			   "                         connected, or failed)\n"
			   "      --timeout=S        a handshake that lasts longer has failed (default 30)\n"
			   "      --csv=FILE         write a row for each second to FILE, and a last one\n"
			   "      --json=FILE        for the whole time\n"
			   "      --psk=ID:HEX       identity and pre-shared key, the key in hex\n"
			   "      --psk-file=FILE    the same from a file\n"
			   "      --cert=FILE        the clients' certificate chain, leaf first\n"
			   "      --key=FILE         its key (default: it is in the --cert file, too)\n"
			   "      --key-password-file=FILE\n"
			   "                         the password of an encrypted key\n"
			   "      --ca=FILE          CAs to verify the server with; may be repeated\n"
			   "      --crl=FILE         revocation lists of these CAs; may be repeated\n"
			   "      --verify=HOW       none, optional or required\n"
			   "      --hostname=NAME    the name in the server's certificate (default HOST)\n"
			   "      --ciphers=A,B      cipher suites by their IANA names\n"
			   "      --alpn=A,B         application protocols\n"
			   "      --handshake-timeout=MIN-MAX\n"
			   "                         retransmission timers in ms (default 1000-60000)\n"
			   "      --retransmit=HOW   adaptive (default) or fixed\n"
			   "      --mtu=BYTES        that a datagram may fill (default 1200)\n"
			   "      --keylog=FILE      append the secrets of each session to FILE\n"
			   "  -h, --help             show this help\n"
			   "  -V, --version          show the version\n\n"
			   "All clients have the same key or certificate, and take HOST's first address. A\n"
			   "session takes 37 KB here, and a descriptor. Ctrl-C ends the run early, with its\n"
			   "results.\n"
			   "Exits 0 when all went well, 1 when a handshake failed, the server ended a\n"
			   "session or no message at all came back, 2 for a wrong command line. Some lost\n"
			   "messages are no failure: datagrams may get lost.\n\n"
			   "Examples: dtls-load 127.0.0.1:5684 --psk-file keys --clients 1000 --echo 64\n"
			   "          dtls-load 127.0.0.1:5684 --psk-file keys --churn 0\n";

struct load { /* the command line */
	struct load_options o;
	struct load_report report;
	char *host; /* as the command line has it */
	const char *csv, *json;
	bool interval, patience; /* are given */
};

static double read_rate(const char *text)
{
	char *end;
	double rate = strtod(text, &end);

	if (text[strspn(text, "0123456789.")] != '\0' || end == text || *end != '\0' || rate < 0.001 || rate > 1e6)
		cli_usage("--rate takes a number from 0.001 to 1000000, not \"%s\"", text);
	return rate;
}

static void set_probe(struct load_options *o, enum load_probe probe)
{
	if (o->probe != LOAD_SILENT && o->probe != probe)
		cli_usage("--echo and --coap-ping are two kinds of messages: give one of them");
	o->probe = probe;
}

static void read_time(struct load *l, int option, const char *value)
{
	struct load_options *o = &l->o;

	switch (option) {
	case OPTION_INTERVAL:
		o->interval_ms = cli_number("--interval", value, 0, 86400000);
		l->interval = true;
		break;
	case OPTION_PATIENCE:
		o->patience_ms = cli_number("--patience", value, 1, 86400000);
		l->patience = true;
		break;
	case OPTION_CHURN:
		o->churn_ms = cli_seconds("--churn", value, 86400);
		break;
	case OPTION_DURATION:
		o->duration_ms = cli_seconds("--duration", value, 10 * 86400);
		if (o->duration_ms == 0)
			cli_usage("--duration takes more than 0 seconds");
		break;
	case OPTION_TIMEOUT:
		o->timeout_ms = cli_seconds("--timeout", value, 86400);
		break;
	default:
		cli_dtls_option(&o->dtls, option, optarg);
	}
}

static void read_option(struct load *l, int option, const char *value)
{
	struct load_options *o = &l->o;

	switch (option) {
	case 'c':
		o->clients = (unsigned)cli_number("--clients", value, 1, CLIENTS_MAX);
		break;
	case 'p':
		o->processes = (unsigned)cli_number("--processes", value, 1, LOAD_PROCESSES_MAX);
		break;
	case OPTION_HOSTNAME:
		o->hostname = value;
		break;
	case OPTION_RATE:
		o->rate = read_rate(value);
		break;
	case OPTION_PENDING:
		o->pending = (unsigned)cli_number("--pending", value, 1, CLIENTS_MAX);
		break;
	case OPTION_SOURCES:
		o->sources = (unsigned)cli_number("--sources", value, 1, SOURCES_MAX);
		break;
	case OPTION_ECHO:
		o->size = (size_t)cli_number("--echo", value, 1, LOAD_MESSAGE_MAX);
		set_probe(o, LOAD_ECHO);
		break;
	case OPTION_COAP_PING:
		set_probe(o, LOAD_COAP_PING);
		break;
	case OPTION_CSV:
		l->csv = value;
		break;
	case OPTION_JSON:
		l->json = value;
		break;
	default:
		read_time(l, option, value);
	}
}

/* False: the program has done what it was asked to. */
static bool read_options(struct load *l, int argc, char **argv)
{
	static const struct option options[] = {{"clients", required_argument, NULL, 'c'},
	    {"processes", required_argument, NULL, 'p'}, {"hostname", required_argument, NULL, OPTION_HOSTNAME},
	    {"rate", required_argument, NULL, OPTION_RATE}, {"pending", required_argument, NULL, OPTION_PENDING},
	    {"sources", required_argument, NULL, OPTION_SOURCES}, {"echo", required_argument, NULL, OPTION_ECHO},
	    {"coap-ping", no_argument, NULL, OPTION_COAP_PING}, {"interval", required_argument, NULL, OPTION_INTERVAL},
	    {"patience", required_argument, NULL, OPTION_PATIENCE}, {"churn", required_argument, NULL, OPTION_CHURN},
	    {"duration", required_argument, NULL, OPTION_DURATION},
	    {"timeout", required_argument, NULL, OPTION_TIMEOUT}, {"csv", required_argument, NULL, OPTION_CSV},
	    {"json", required_argument, NULL, OPTION_JSON}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, CLI_DTLS_OPTIONS, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "c:p:hV", options, NULL)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			fputs(help, stdout);
		else if (option == 'V')
			cli_print_version();
		else
			read_option(l, option, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	return true;
}

/* ---- what goes together ---- */

static void check_options(const struct load *l, int argc, char **argv)
{
	if (optind == argc)
		cli_usage("no server is given: say where it is with HOST:PORT");
	if (optind + 1 < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind + 1]);
	if (l->o.dtls.tls || cli_dtls_has(&l->o.dtls, CLI_MAX_VERSION))
		cli_usage("--tls and --max-version are not for this program: it speaks DTLS 1.2 alone");
	if (l->o.probe == LOAD_SILENT && (l->interval || l->patience))
		cli_usage(
		    "%s is for messages: --echo or --coap-ping is missing", l->interval ? "--interval" : "--patience");
	if (l->csv != NULL && l->json != NULL && strcmp(l->csv, l->json) == 0)
		cli_usage("--csv and --json cannot both write to \"%s\"", l->csv);
}

static unsigned cores(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return count < LOAD_PROCESSES_MAX ? (unsigned)count : LOAD_PROCESSES_MAX;
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static void fill_in(struct load_options *o)
{
	if (o->pending == 0)
		o->pending = o->rate > 0 ? o->clients : 100;
	if (o->processes == 0)
		o->processes = least(cores(), o->clients);
	if (o->processes > o->clients)
		cli_usage(
		    "--processes: there are %u, but %u client%s", o->processes, o->clients, o->clients == 1 ? "" : "s");
	if (o->processes > o->pending)
		cli_usage(
		    "--pending: %u unfinished handshakes are too few for %u processes, which have one each at least",
		    o->pending, o->processes);
	if (o->duration_ms == 0 && (o->probe != LOAD_SILENT || o->churn_ms >= 0))
		o->duration_ms = DURATION_MS;
}

static void check_descriptors(const struct load_options *o)
{
	unsigned most = (o->clients + o->processes - 1) / o->processes + DESCRIPTORS_BESIDE;
	struct rlimit limit;

	cli_raise_descriptors();
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= most)
		return;
	cli_usage("a process may have %" PRIu64 " descriptors, and %u clients in %u processes need %u: raise it with "
		  "`ulimit -n`, or give more --processes",
	    (uint64_t)limit.rlim_cur, o->clients, o->processes, most);
}

static void choose_sources(struct load_options *o)
{
	bool loopback = o->server.any.sa_family == AF_INET &&
			ntohl(o->server.in.sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;

	if (o->sources > 0 && !loopback)
		cli_usage("--sources are addresses such as 127.0.0.1, from which nobody reaches %s", o->name);
	if (o->sources == 0 && loopback)
		o->sources = SOURCES;
}

static void start(struct load *l, const char *server)
{
	struct load_options *o = &l->o;

	l->host = cli_host(server);
	fill_in(o);
	if (o->hostname == NULL && cli_dtls_by_certificate(&o->dtls))
		o->hostname = l->host;
	cli_dtls_apply(&o->dtls, o->hostname);
	o->server = cli_resolve("the server", server, false);
	cli_address_text(&o->server, o->name);
	choose_sources(o);
	check_descriptors(o);
	signal(SIGPIPE, SIG_IGN); /* cli_finish() tells it */
	if (l->csv != NULL)
		lab_file_open(&l->report.csv, "--csv", l->csv);
	if (l->json != NULL)
		lab_file_open(&l->report.json, "--json", l->json);
	if (l->csv != NULL && l->json != NULL)
		lab_file_refuse_same("--csv", fileno(l->report.csv.stream), "--json", fileno(l->report.json.stream));
	l->report.run.o = o;
}

int main(int argc, char **argv)
{
	static struct load l = {
	    .o = {.clients = 100, .interval_ms = 1000, .patience_ms = 1000, .churn_ms = -1, .timeout_ms = 30000}};
	int status = EXIT_SUCCESS;

	cli_guard_standard();
	if (read_options(&l, argc, argv)) {
		check_options(&l, argc, argv);
		start(&l, argv[optind]);
		load_report_start(&l.report);
		load_run(&l.report.run, load_report_second, &l.report);
		status = load_report_end(&l.report);
		load_run_free(&l.report.run);
	}
	cli_dtls_free(&l.o.dtls);
	free(l.host);
	return cli_finish(status);
}
