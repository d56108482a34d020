/* coap-sensor - sends readings to a CoAP server over DTLS until each is acknowledged, or serves them. */
#include "coap_sensor.h"
#include "coap_start.h"

#include <stdlib.h>
#include <string.h>

enum {
	OPTION_SERVE = CLI_OWN,
	OPTION_RESOURCE,
	OPTION_FLEET,
	OPTION_HOSTNAME,
	OPTION_INTERVAL,
	OPTION_COUNT,
	OPTION_QUEUE,
	OPTION_ACK_TIMEOUT,
	OPTION_MAX_RETRANSMIT
};

static const char help[] = "Usage: coap-sensor coaps://HOST[:PORT][/PATH] --psk=ID:HEX [OPTION]...\n"
			   "       coap-sensor coaps://HOST[:PORT][/PATH] --psk-file=FILE [OPTION]...\n"
			   "       coap-sensor coaps://HOST[:PORT]/PATH --ca=FILE [OPTION]...\n"
			   "       coap-sensor coaps://HOST[:PORT] --fleet=FILE --interval=S [OPTION]...\n"
			   "       coap-sensor --serve=ADDR:PORT --psk=ID:HEX... [OPTION]...\n"
			   "Sends each line of standard input as a reading, a confirmable POST of CoAP (RFC\n"
			   "7252) over DTLS 1.2, to /sensors/ID or PATH, and prints each one when the server\n"
			   "has acknowledged it. Or serves the last reading, to be fetched and observed.\n"
			   "\n"
			   "      --psk=ID:HEX         identity and pre-shared key, the key in hex; with\n"
			   "                           --serve a client's, may be repeated\n"
			   "      --psk-file=FILE      the same from a file\n"
			   "      --ca=FILE            CAs that the other side's certificate must come from\n"
			   "      --cert=FILE          certificate chain of this side, PEM, leaf first\n"
			   "      --key=FILE           its key (default: it is in the --cert file, too)\n"
			   "      --verify=HOW         required (default) or none: the other's certificate\n"
			   "      --hostname=NAME      the name in the server's certificate (default: HOST)\n"
			   "      --fleet=FILE         be many sensors: one for each ID:HEX line of FILE\n"
			   "      --serve=ADDR:PORT    listen there instead of sending\n"
			   "      --resource=PATH      of what is served (default /reading)\n"
			   "      --interval=S         make readings up, one every S seconds, and read none\n"
			   "      --count=N            make up N of them, then end (default: without end)\n"
			   "      --queue=N            keep up to N readings that wait (default 10000)\n"
			   "      --ack-timeout=S      first wait for an acknowledgement, RFC 7252's\n"
			   "                           ACK_TIMEOUT (default 2)\n"
			   "      --max-retransmit=N   repetitions, each after twice the time, before a new\n"
			   "                           session is tried: MAX_RETRANSMIT (default 4)\n"
			   "  -q, --quiet              nothing on standard error but errors and the end\n"
			   "  -v, --verbose            tell of each reading, and what libcoap logs\n"
			   "  -h, --help               show this help\n"
			   "  -V, --version            show the version\n"
			   "\n"
			   "A reading that was taken is not dropped before the server has acknowledged it,\n"
			   "however long that takes: a new session is made when the old one is of no use, as\n"
			   "after a restart of the server or with a new address here, at once or after a\n"
			   "pause of 1 s that doubles to 60 s. Readings are sent in order, one at a time, as\n"
			   "?run=RUN&n=NUMBER, with a new RUN for each run of this program, so that a server\n"
			   "can tell one that comes again. When the queue is full no input is read; readings\n"
			   "that would be made up are counted instead. A reading that the server refuses for\n"
			   "good (4.xx) is told, and dropped.\n"
			   "\n"
			   "SIGUSR1 prints the counters. SIGINT and SIGTERM end the session and print them.\n"
			   "With --serve SIGHUP reads the files again, for new sessions.\n"
			   "Exits 0 when all readings were acknowledged, 1 when not or when something\n"
			   "failed, 2 for a wrong command line.\n"
			   "\n"
			   "Example: echo 21.4 | coap-sensor coaps://localhost/sensors/kitchen \\\n"
			   "             --psk sensor-17:7365637265745053\n";

/* ---- the command line ---- */

static void read_option(struct sensor_options *o, int option, char *value)
{
	switch (option) {
	case 'q':
		o->quiet = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case OPTION_SERVE:
		o->serve = value;
		break;
	case OPTION_RESOURCE:
		o->resource = value;
		break;
	case OPTION_FLEET:
		o->credentials.fleet = value;
		break;
	case OPTION_HOSTNAME:
		o->credentials.hostname = value;
		break;
	case OPTION_INTERVAL:
		o->source.interval_ms = cli_seconds("--interval", value, 365 * 86400);
		if (o->source.interval_ms == 0)
			cli_usage("--interval takes a number of seconds from 0.001 on, not \"%s\"", value);
		break;
	case OPTION_COUNT:
		o->source.count = (uint64_t)cli_number("--count", value, 1, INT64_MAX);
		break;
	case OPTION_QUEUE:
		o->queue_max = (size_t)cli_number("--queue", value, 1, 10000000);
		break;
	case OPTION_ACK_TIMEOUT:
		o->ack_timeout_s = (unsigned)cli_number("--ack-timeout", value, 1, 60);
		break;
	case OPTION_MAX_RETRANSMIT:
		o->max_retransmit = (unsigned)cli_number("--max-retransmit", value, 0, 10);
		break;
	default:
		coap_credentials_option(&o->credentials, option, value);
	}
}

static void check_options(const struct sensor_options *o)
{
	if (o->uri == NULL && o->serve == NULL)
		cli_usage("there is no server: give coaps://HOST:PORT/PATH, or --serve=ADDR:PORT");
	if (o->uri != NULL && o->serve != NULL)
		cli_usage("--serve waits for clients, a server is sent to: give one of them");
	if (o->serve == NULL && o->resource != NULL)
		cli_usage("--resource names what --serve serves; to send, give the path behind coaps://HOST:PORT");
	if (o->serve != NULL && (o->credentials.fleet != NULL || o->credentials.hostname != NULL))
		cli_usage("--fleet and --hostname are for sending, not for --serve");
	if (o->credentials.fleet != NULL && o->source.interval_ms == 0)
		cli_usage("--fleet makes its readings up: give --interval");
	if (o->source.count > 0 && o->source.interval_ms == 0)
		cli_usage("--count is of readings that are made up: give --interval");
}

/* False: the program has done what it was asked to. */
static bool read_options(struct sensor_options *o, int argc, char **argv)
{
	static const struct option options[] = {{"serve", required_argument, NULL, OPTION_SERVE},
	    {"resource", required_argument, NULL, OPTION_RESOURCE}, {"fleet", required_argument, NULL, OPTION_FLEET},
	    {"hostname", required_argument, NULL, OPTION_HOSTNAME},
	    {"interval", required_argument, NULL, OPTION_INTERVAL}, {"count", required_argument, NULL, OPTION_COUNT},
	    {"queue", required_argument, NULL, OPTION_QUEUE},
	    {"ack-timeout", required_argument, NULL, OPTION_ACK_TIMEOUT},
	    {"max-retransmit", required_argument, NULL, OPTION_MAX_RETRANSMIT}, {"quiet", no_argument, NULL, 'q'},
	    {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
	    COAP_CREDENTIALS_OPTIONS, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "qvhV", options, NULL)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			fputs(help, stdout);
		else if (option == 'V')
			libcoap_print_version();
		else
			read_option(o, option, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	if (optind + 1 < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind + 1]);
	o->uri = argv[optind];
	check_options(o);
	return true;
}

int main(int argc, char **argv)
{
	static struct sensor_options o = {
	    .queue_max = 10000, .ack_timeout_s = 2, .max_retransmit = 4, .source.lines.line = 1};
	int status = EXIT_SUCCESS;

	cli_guard_standard();
	o.started_at = cli_now_ms();
	if (read_options(&o, argc, argv)) {
		if (o.resource == NULL)
			o.resource = "/reading";
		status = o.serve != NULL ? sensor_serve(&o) : sensor_send(&o);
	}
	coap_credentials_free(&o.credentials);
	return cli_finish(status);
}
