/* coap-server - takes the readings of sensors by CoAP over DTLS, and shows the last of each. */
#include "coap_credentials.h"
#include "coap_resources.h"
#include "coap_start.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OPTION_JOURNAL = CLI_OWN, OPTION_MAX_SENSORS, OPTION_MAX_SESSIONS, OPTION_MAX_HANDSHAKES, OPTION_IDLE };

static const char help[] = "Usage: coap-server [-l ADDR:PORT] --psk=ID:HEX... [OPTION]...\n"
			   "       coap-server [-l ADDR:PORT] --psk-file=FILE [OPTION]...\n"
			   "       coap-server [-l ADDR:PORT] --cert=FILE --key=FILE [OPTION]...\n"
			   "Serves coaps:// (RFC 7252 over DTLS 1.2) and prints each reading that it takes\n"
			   "as a line: IDENTITY /sensors/NAME TEXT. Bytes that are not printable are\n"
			   "printed as \\xHH. Who has no identity is printed by his address.\n"
			   "\n"
			   "  /sensors/NAME   POST or PUT a reading, the first one makes the resource; GET\n"
			   "                  and observe the last one; DELETE\n"
			   "  /time           GET, or observe once a second\n"
			   "  /.well-known/core\n"
			   "Readings and answers of any size go block-wise.\n"
			   "\n"
			   "  -l, --listen=ADDR:PORT   where to listen (default 0.0.0.0:5684)\n"
			   "      --psk=ID:HEX         a client's identity and pre-shared key, the key in\n"
			   "                           hex; may be repeated\n"
			   "      --psk-file=FILE      the same from a file, one ID:HEX on each line\n"
			   "      --cert=FILE          this server's certificate chain, PEM, leaf first\n"
			   "      --key=FILE           its key (default: it is in the --cert file, too)\n"
			   "      --ca=FILE            CAs that clients' certificates must come from\n"
			   "      --verify=HOW         required (default with --ca) or none: do clients show\n"
			   "                           certificates?\n"
			   "      --journal=FILE       append each reading to FILE, then acknowledge it;\n"
			   "                           what FILE has at the start is known\n"
			   "      --max-sensors=N      names below /sensors/ (default 10000)\n"
			   "      --max-sessions=N     sessions at once; a new one ends the longest silent\n"
			   "                           (default 10000)\n"
			   "      --max-handshakes=N   handshakes at once (default 1000)\n"
			   "      --idle=S             seconds of silence that end a session (default 300)\n"
			   "  -q, --quiet              nothing on standard error but errors and the end\n"
			   "  -v, --verbose            what libcoap logs, too\n"
			   "  -h, --help               show this help\n"
			   "  -V, --version            show the version\n"
			   "\n"
			   "Each reading counts once. A confirmable request that is repeated is answered as\n"
			   "before (RFC 7252, 4.5). A sensor that must repeat a reading in a new session\n"
			   "numbers it: POST /sensors/NAME?run=RUN&n=NUMBER, where RUN (letters and digits)\n"
			   "is a new one whenever the sensor starts to count anew, at 1. A number that this\n"
			   "identity has sent before in this run is answered, and not taken again. Numbers\n"
			   "may overtake each other, but not 64 of them. With --journal this holds when the\n"
			   "server is started again, too.\n"
			   "\n"
			   "SIGHUP reads --psk-file, --cert, --key and --ca again, for new sessions.\n"
			   "SIGUSR1 prints the counters. SIGINT and SIGTERM end all sessions and print them.\n"
			   "Exits 0 then, 1 when something failed, 2 for a wrong command line.\n"
			   "\n"
			   "Example: coap-server --psk sensor-17:7365637265745053\n"
			   "         coap-client-openssl -m post -e 21.4 -u sensor-17 -k secretPS \\\n"
			   "             coaps://localhost/sensors/kitchen\n";

struct server {
	coap_context_t *coap;
	struct coap_credentials credentials;
	struct coap_resources resources;
	struct coap_peers peers;
	struct journal journal;
	const char *listen, *journal_path;
	unsigned max_sessions, max_handshakes, idle_s;
	int signals;
	bool quiet, verbose;
};

/* libcoap's events come with a session, and without an argument. */
static struct server *the_server;

/* ---- what is told ---- */

static void tell_counters(const struct server *s, const char *when)
{
	const struct coap_resources *r = &s->resources;

	fprintf(stderr,
	    "counters %s:\n"
	    "  sessions %" PRIu64 ", open %zu, handshakes failed %" PRIu64 "\n"
	    "  readings %" PRIu64 ", sent again %" PRIu64 ": %" PRIu64 " with their message ID, %" PRIu64
	    " with their number\n"
	    "  refused %" PRIu64 ", answers to GET %" PRIu64 ", deleted %" PRIu64 "; sensors %zu\n",
	    when, s->peers.connected, s->peers.open, s->peers.failed, r->counts.taken,
	    r->counts.repeated + r->counts.known, r->counts.repeated, r->counts.known, r->counts.refused,
	    r->counts.read, r->counts.deleted, r->sensors.count);
}

static void tell_session(const struct server *s, const coap_session_t *session, const char *what)
{
	char address[CLI_ADDRESS_TEXT];
	const struct coap_peer *peer = coap_session_get_app_data(session);

	if (s->quiet)
		return;
	fprintf(stderr, "%s ", libcoap_address_text(coap_session_get_addr_remote(session), address));
	if (peer != NULL && peer->name_len > 0) {
		coap_peer_print(stderr, session);
		putc(' ', stderr);
	}
	fprintf(stderr, "%s\n", what);
}

static int hear_event(coap_session_t *session, const coap_event_t event)
{
	struct server *s = the_server;

	switch (event) {
	case COAP_EVENT_DTLS_CONNECTED:
		(void)coap_peer_connected(&s->peers, session);
		tell_session(s, session, "connected");
		break;
	case COAP_EVENT_DTLS_ERROR:
		s->peers.failed++;
		tell_session(s, session, libcoap_complaint()[0] != '\0' ? libcoap_complaint() : "the handshake failed");
		libcoap_forget_complaint();
		break;
	case COAP_EVENT_SERVER_SESSION_DEL:
		coap_peer_gone(&s->peers, session);
		break;
	default:
		break;
	}
	return 0;
}

/* ---- what is done ---- */

/* True when the program is to end. */
static bool handle_signals(struct server *s)
{
	for (;;) {
		switch (cli_take_signal(s->signals)) {
		case 0:
			return false;
		case SIGHUP:
			coap_credentials_reload(&s->credentials, s->coap);
			break;
		case SIGUSR1:
			tell_counters(s, "on SIGUSR1");
			break;
		default:
			return true;
		}
	}
}

/* Until the next second begins, while somebody observes the time. */
static int wait_ms(const struct server *s)
{
	struct timespec now;

	if (!s->resources.time_is_observed)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	return 1000 - (int)(now.tv_nsec / 1000000);
}

static int run(struct server *s)
{
	struct pollfd fds[] = {
	    {.fd = coap_context_get_coap_fd(s->coap), .events = POLLIN}, {.fd = s->signals, .events = POLLIN}};
	time_t second = time(NULL);

	while (!handle_signals(s)) {
		if (time(NULL) != second)
			coap_resources_tick(&s->resources);
		second = time(NULL);
		libcoap_work(s->coap);
		coap_resources_settle(&s->resources);
		if (s->resources.output_error != 0)
			return CLI_FAILED; /* cli_finish() says why */
		if (poll(fds, 2, wait_ms(s)) < 0 && errno != EINTR)
			cli_fail("cannot wait for the socket: %s", strerror(errno));
	}
	return EXIT_SUCCESS;
}

/* ---- the command line ---- */

static void read_option(struct server *s, int option, char *value)
{
	switch (option) {
	case 'l':
		s->listen = value;
		break;
	case 'q':
		s->quiet = true;
		break;
	case 'v':
		s->verbose = true;
		break;
	case OPTION_JOURNAL:
		s->journal_path = value;
		break;
	case OPTION_MAX_SENSORS:
		s->resources.sensors.max = (size_t)cli_number("--max-sensors", value, 1, 1000000);
		break;
	case OPTION_MAX_SESSIONS:
		s->max_sessions = (unsigned)cli_number("--max-sessions", value, 1, 1000000);
		break;
	case OPTION_MAX_HANDSHAKES:
		s->max_handshakes = (unsigned)cli_number("--max-handshakes", value, 1, 1000000);
		break;
	case OPTION_IDLE:
		s->idle_s = (unsigned)cli_number("--idle", value, 1, 10 * 365 * 86400);
		break;
	default:
		coap_credentials_option(&s->credentials, option, value);
	}
}

/* False: the program has done what it was asked to. */
static bool read_options(struct server *s, int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
	    {"journal", required_argument, NULL, OPTION_JOURNAL},
	    {"max-sensors", required_argument, NULL, OPTION_MAX_SENSORS},
	    {"max-sessions", required_argument, NULL, OPTION_MAX_SESSIONS},
	    {"max-handshakes", required_argument, NULL, OPTION_MAX_HANDSHAKES},
	    {"idle", required_argument, NULL, OPTION_IDLE}, {"quiet", no_argument, NULL, 'q'},
	    {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
	    COAP_CREDENTIALS_OPTIONS, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "l:qvhV", options, NULL)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			fputs(help, stdout);
		else if (option == 'V')
			libcoap_print_version();
		else
			read_option(s, option, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	if (optind < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind]);
	return true;
}

static void start(struct server *s)
{
	the_server = s;
	coap_credentials_load(&s->credentials);
	s->coap = libcoap_start(s->verbose);
	coap_credentials_serve(&s->credentials, s->coap);
	coap_context_set_max_idle_sessions(s->coap, s->max_sessions);
	coap_context_set_max_handshake_sessions(s->coap, s->max_handshakes);
	coap_context_set_session_timeout(s->coap, s->idle_s);
	coap_register_event_handler(s->coap, hear_event);
	s->resources.coap = s->coap;
	if (s->journal_path != NULL) {
		journal_open(&s->journal, s->journal_path, coap_resources_restore, &s->resources);
		s->resources.journal = &s->journal;
	}
	coap_resources_start(&s->resources);
	s->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	libcoap_listen(s->coap, "--listen", s->listen);
}

static void end(struct server *s)
{
	libcoap_end(s->coap);
	tell_counters(s, "at the end");
	coap_resources_free(&s->resources);
	coap_peers_free(&s->peers);
	journal_close(&s->journal);
	close(s->signals);
}

int main(int argc, char **argv)
{
	struct server s = {.credentials.given.server = true,
	    .listen = "0.0.0.0:5684",
	    .resources.sensors.max = 10000,
	    .max_sessions = 10000,
	    .max_handshakes = 1000,
	    .idle_s = 300,
	    .journal.fd = -1};
	int status = EXIT_SUCCESS;

	s.credentials.peers = &s.peers;
	cli_guard_standard();
	if (read_options(&s, argc, argv)) {
		start(&s);
		status = run(&s);
		end(&s);
		errno = s.resources.output_error;
	}
	coap_credentials_free(&s.credentials);
	return cli_finish(status);
}
