/* dtls-server - serves any number of DTLS peers, or of TLS clients; prints what they send, or sends it back. */
#include "cli_credentials.h"
#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	OPTION_ECHO = CLI_OWN,
	OPTION_CONFIRM,
	OPTION_MAX_PEERS,
	OPTION_MAX_HANDSHAKES,
	OPTION_IDLE,
	OPTION_STATS,
	OPTION_THREADS,
	OPTION_SOURCE_HELLOS,
	OPTION_SOURCE_HANDSHAKES,
	OPTION_RESUME,
};
enum { THREADS_MAX = 256, RESUME_S = 3600, CACHED_SESSIONS = 10000 };

static const char help[] = "Usage: dtls-server [OPTION]... --psk=ID:HEX | --psk-file=FILE\n"
			   "       dtls-server [OPTION]... --cert=FILE --key=FILE\n"
			   "Serves any number of DTLS 1.2 peers on one UDP socket, or of TLS clients with\n"
			   "--tls. Each message, with --tls each line, is printed on standard output as\n"
			   "IDENTITY TEXT: bytes that are not printable as \\xHH; the identity is that of the\n"
			   "pre-shared key or the name in the verified certificate, else the address. Who\n"
			   "comes and goes is told on standard error.\n\n"
			   "  -l, --listen=ADDR:PORT     where (default 0.0.0.0:5684; IPv6 as [::]:5684;\n"
			   "                             port 0: any free one)\n"
			   "      --echo                 send each message back to its sender instead of\n"
			   "                             printing it\n"
			   "      --confirm              print each message and send it back too, for\n"
			   "                             dtls-client --confirm\n"
			   "%s"
			   "      --max-peers=N          sessions; beyond that the longest silent is closed\n"
			   "                             (default 100000)\n"
			   "      --max-handshakes=N     unfinished handshakes (default 1000)\n"
			   "      --source-hellos=N      hellos to answer each second of one IPv4 address or\n"
			   "                             IPv6 /64, ten times as many at once (default 2000)\n"
			   "      --source-handshakes=N  the same of handshakes to begin (default 200)\n"
			   "      --threads=N            that serve; the limits are for all of them together\n"
			   "                             (default 1)\n"
			   "      --idle=S               close a session that was silent for S seconds\n"
			   "                             (default: never)\n"
			   "      --resume=S             clients may resume a session for S seconds, by a\n"
			   "                             ticket or by its id (default 3600; 0: never)\n"
			   "      --stats=S              print the counters every S seconds\n"
			   "  -q, --quiet                do not tell who comes and goes\n"
			   "  -v, --verbose              tell every handshake's story on standard error\n"
			   "  -h, --help                 show this help\n"
			   "  -V, --version              show the version\n\n"
			   "--psk may be repeated, and goes together with --psk-file. A PSK file has\n"
			   "identity:hexkey lines, as dtls-genpsk prints them. With --ca every client must\n"
			   "have a certificate that verifies, unless --verify=optional allows none.\n"
			   "SIGHUP reads the files of keys, certificates, CAs and revocation lists again,\n"
			   "for new handshakes; SIGUSR1 prints the counters; SIGINT and SIGTERM close all\n"
			   "sessions and end the program.\n\n"
			   "Examples: dtls-server -l 127.0.0.1:5684 --psk-file psk.txt\n"
			   "          dtls-server --tls -l 127.0.0.1:8883 --cert server.pem \\\n"
			   "              --key server.key --ca clients.pem\n";

/* ---- what is told ---- */

static void tell_counters(const struct server *s, const char *when)
{
	int64_t ms = cli_now_ms() - s->started_at;

	flockfile(stderr);
	fprintf(stderr, "counters %s, after %" PRId64 ".%03d s:\n", when, ms / 1000, (int)(ms % 1000));
	s->service->tell_counters(s);
	funlockfile(stderr);
}

static void tell_story(void *arg, int64_t now_ms, const char *event)
{
	int64_t ms = now_ms - ((const struct server *)arg)->started_at;

	fprintf(stderr, "%3" PRId64 ".%03d %s\n", ms / 1000, (int)(ms % 1000), event);
}

/* ---- what is done ---- */

/* True when the program is to end. */
static bool handle_signals(const struct server *s)
{
	for (;;) {
		switch (cli_take_signal(s->signals)) {
		case 0:
			return false;
		case SIGHUP:
			cli_credentials_reload(&s->dtls);
			break;
		case SIGUSR1:
			tell_counters(s, "on SIGUSR1");
			break;
		default:
			return true;
		}
	}
}

static int wait_ms(const struct server *s)
{
	int timeout = s->service->timeout(s);
	int64_t left;

	if (s->stats_ms == 0)
		return timeout;
	left = s->stats_at - cli_now_ms();
	left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
	return timeout < 0 || left < timeout ? (int)left : timeout;
}

static void tell_counters_in_time(struct server *s)
{
	int64_t now_ms = cli_now_ms();

	if (s->stats_ms == 0 || now_ms < s->stats_at)
		return;
	tell_counters(s, "in between");
	s->stats_at = now_ms + s->stats_ms;
}

static int run(struct server *s)
{
	struct pollfd fds[] = {{.fd = s->wait_fd}, {.fd = s->signals, .events = POLLIN}};

	while (!handle_signals(s)) {
		s->service->serve(s);
		if (fflush(stdout) != 0 || ferror(stdout) != 0)
			return CLI_FAILED; /* cli_finish() says why */
		tell_counters_in_time(s);
		fds[0].events = s->service->events(s);
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
	case OPTION_ECHO:
		s->echo = true;
		break;
	case OPTION_CONFIRM:
		s->confirm = true;
		break;
	case OPTION_MAX_PEERS:
		s->limits.max_peers = (unsigned)cli_number("--max-peers", value, 1, UINT_MAX);
		break;
	case OPTION_MAX_HANDSHAKES:
		s->limits.max_handshakes = (unsigned)cli_number("--max-handshakes", value, 1, UINT_MAX);
		break;
	case OPTION_SOURCE_HELLOS:
		s->limits.hellos_per_s = (unsigned)cli_number("--source-hellos", value, 1, UINT_MAX);
		break;
	case OPTION_SOURCE_HANDSHAKES:
		s->limits.handshakes_per_s = (unsigned)cli_number("--source-handshakes", value, 1, UINT_MAX);
		break;
	case OPTION_THREADS:
		s->threads = (unsigned)cli_number("--threads", value, 1, THREADS_MAX);
		break;
	case OPTION_IDLE:
		s->limits.idle_ms = cli_seconds("--idle", value, 10 * 365 * 86400);
		break;
	case OPTION_STATS:
		s->stats_ms = cli_seconds("--stats", value, 10 * 365 * 86400);
		break;
	case OPTION_RESUME:
		s->resume_ms = cli_number("--resume", value, 0, 604800) * 1000;
		break;
	default:
		cli_dtls_option(&s->dtls, option, value);
	}
}

/* False: the program has done what it was asked to. */
static bool read_options(struct server *s, int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
	    {"echo", no_argument, NULL, OPTION_ECHO}, {"confirm", no_argument, NULL, OPTION_CONFIRM},
	    {"max-peers", required_argument, NULL, OPTION_MAX_PEERS},
	    {"max-handshakes", required_argument, NULL, OPTION_MAX_HANDSHAKES},
	    {"source-hellos", required_argument, NULL, OPTION_SOURCE_HELLOS},
	    {"source-handshakes", required_argument, NULL, OPTION_SOURCE_HANDSHAKES},
	    {"threads", required_argument, NULL, OPTION_THREADS}, {"idle", required_argument, NULL, OPTION_IDLE},
	    {"stats", required_argument, NULL, OPTION_STATS}, {"resume", required_argument, NULL, OPTION_RESUME},
	    {"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, CLI_DTLS_OPTIONS, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "l:qvhV", options, NULL)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			printf(help, cli_dtls_help);
		else if (option == 'V')
			cli_print_version();
		else
			read_option(s, option, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	if (optind < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind]);
	if (s->echo && s->confirm)
		cli_usage("--echo prints nothing, --confirm prints and echoes: give one of them");
	if (s->threads > 1 && s->dtls.tls)
		cli_usage("--threads are for DTLS: run more than one server with --tls");
	return true;
}

static void start(struct server *s)
{
	struct cli_address address;

	cli_dtls_apply(&s->dtls, NULL);
	if (dtls_context_set_resumption(s->dtls.ctx, s->resume_ms, s->resume_ms > 0 ? CACHED_SESSIONS : 0) != DTLS_OK)
		cli_fail("%s", dtls_context_error(s->dtls.ctx));
	if (s->verbose)
		dtls_context_set_trace(s->dtls.ctx, tell_story, s);
	s->service = s->dtls.tls ? &server_streams : s->threads > 1 ? &server_threads : &server_peers;
	address = cli_resolve("--listen", s->listen, true);
	s->fd = cli_bind(&address, s->service->socket_type);
	s->wait_fd = s->service->start(s);
	s->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	s->stats_at = s->started_at + s->stats_ms;
	cli_announce(s->fd);
}

int main(int argc, char **argv)
{
	struct server s = {.dtls.server = true,
	    .listen = "0.0.0.0:5684",
	    .threads = 1,
	    .resume_ms = RESUME_S * 1000,
	    .started_at = cli_now_ms()};
	int status = EXIT_SUCCESS;

	cli_guard_standard();
	if (read_options(&s, argc, argv)) {
		start(&s);
		status = run(&s);
		s.service->close(&s);
		tell_counters(&s, "at the end");
		s.service->free(&s);
		close(s.fd);
	}
	cli_dtls_free(&s.dtls);
	if (s.output_error != 0)
		errno = s.output_error;
	return cli_finish(status);
}
