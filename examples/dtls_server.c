/* dtls-server - serves any number of DTLS peers on one UDP socket; prints what they send, or sends it back. */
#include "cli.h"
#include "dtls/dtls.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	MESSAGE_MAX = 16384,
	EVENTS_BEFORE_SIGNALS = 256,
	CLOSING_MS = 2000, /* for the last datagrams to leave */
};

enum {
	OPTION_ECHO = CLI_OWN,
	OPTION_CONFIRM,
	OPTION_MAX_PEERS,
	OPTION_MAX_HANDSHAKES,
	OPTION_IDLE,
	OPTION_STATS,
};

struct server {
	struct dtls_context *ctx;
	struct dtls_endpoint *ep;
	int fd, signals;
	const char *listen, *psk_file;
	bool has_key, echo, confirm, quiet;
	struct dtls_limits limits;
	int64_t stats_ms; /* 0: never */
	int64_t started_at, stats_at;
};

static const char help[] =
    "Usage: dtls-server [OPTION]... --psk=ID:HEX | --psk-file=FILE\n"
    "Serves any number of DTLS 1.2 peers on one UDP socket. Each message is printed on standard output as a line\n"
    "IDENTITY TEXT, bytes that are not printable as \\xHH; who comes and goes is told on standard error.\n\n"
    "  -l, --listen=ADDR:PORT     where (default 0.0.0.0:5684; IPv6 as [::]:5684; port 0: any free one)\n"
    "      --echo                 send each message back to its sender instead of printing it\n"
    "      --confirm              print each message and send it back too, for dtls-client --confirm\n"
    "%s"
    "      --max-peers=N          sessions; beyond that the longest silent is closed (default 100000)\n"
    "      --max-handshakes=N     unfinished handshakes (default 1000)\n"
    "      --idle=S               close a session that was silent for S seconds (default: never)\n"
    "      --stats=S              print the counters every S seconds\n"
    "  -q, --quiet                do not tell who comes and goes\n"
    "  -v, --verbose              tell every handshake's story on standard error\n"
    "  -h, --help                 show this help\n"
    "  -V, --version              show the version\n\n"
    "--psk may be repeated, and goes together with --psk-file. A PSK file has identity:hexkey lines, as dtls-genpsk\n"
    "prints them. SIGHUP reads it again, for new handshakes; SIGUSR1 prints the counters; SIGINT and SIGTERM close "
    "all\n"
    "sessions and end the program.\n\n"
    "Example: dtls-server -l 127.0.0.1:5684 --psk-file psk.txt\n";

/* ---- what is told ---- */

static void tell_stats(const struct server *s, const char *when)
{
	struct dtls_stats n = {.size = sizeof(n)};
	int64_t ms = cli_now_ms() - s->started_at;

	dtls_endpoint_stats(s->ep, &n);
	fprintf(stderr, "counters %s, after %" PRId64 ".%03d s:\n", when, ms / 1000, (int)(ms % 1000));
	fprintf(stderr, "  peers %" PRIu64 "; unfinished handshakes %" PRIu64 "\n", n.peers, n.handshakes);
	fprintf(stderr, "  messages in %" PRIu64 ", out %" PRIu64 "; datagrams in %" PRIu64 ", out %" PRIu64 "\n",
	    n.messages_in, n.messages_out, n.datagrams_in, n.datagrams_out);
	fprintf(stderr, "  hello replies %" PRIu64 "; cookies accepted %" PRIu64 ", rejected %" PRIu64 "\n",
	    n.hello_replies, n.cookies_accepted, n.cookies_rejected);
	fprintf(stderr,
	    "  handshakes started %" PRIu64 ", completed %" PRIu64 ", failed %" PRIu64 ", timed out %" PRIu64
	    ", displaced %" PRIu64 "\n",
	    n.handshakes_started, n.handshakes_completed, n.handshakes_failed, n.handshakes_timedout,
	    n.handshakes_displaced);
	fprintf(stderr, "  flights resent %" PRIu64 "; records forged %" PRIu64 "\n", n.retransmissions, n.forgeries);
	fprintf(stderr,
	    "  closed by the peer %" PRIu64 ", idle %" PRIu64 ", replaced %" PRIu64 ", evicted %" PRIu64
	    ", revoked %" PRIu64 ", by an error %" PRIu64 "\n",
	    n.closed_by_peer, n.closed_idle, n.closed_replaced, n.closed_evicted, n.closed_revoked, n.closed_error);
	fprintf(stderr,
	    "  dropped: junk %" PRIu64 ", malformed hello %" PRIu64 ", fragmented hello %" PRIu64
	    ", replayed hello %" PRIu64 ", forged %" PRIu64 ", too long %" PRIu64 ", no memory %" PRIu64
	    ", not sent %" PRIu64 ", odd address %" PRIu64 "\n",
	    n.drop_junk, n.drop_malformed_hello, n.drop_fragmented_hello, n.drop_replayed_hello, n.drop_forged,
	    n.drop_truncated, n.drop_memory, n.drop_send, n.drop_address);
}

/* "ADDRESS IDENTITY "; the identity only where there is one. */
static void begin_line(const struct dtls_peer *peer)
{
	struct cli_address address = {.len = sizeof(address.storage)};
	char text[CLI_ADDRESS_TEXT];
	const struct sockaddr *sa = dtls_peer_addr(peer, &address.len);
	size_t len;
	const uint8_t *identity = dtls_peer_psk_identity(peer, &len);

	memcpy(&address.storage, sa, address.len);
	fprintf(stderr, "%s ", cli_address_text(&address, text));
	if (identity == NULL)
		return;
	cli_print_bytes(stderr, identity, len);
	putc(' ', stderr);
}

static const char *ending(const struct dtls_peer *peer)
{
	switch (dtls_peer_reason(peer)) {
	case DTLS_REASON_CLOSE_NOTIFY:
		return "has closed";
	case DTLS_REASON_REPLACED:
		return "was replaced by a new session from the same address";
	case DTLS_REASON_IDLE:
		return "was closed: silent for too long";
	case DTLS_REASON_EVICTED:
		return "was closed: it had been silent longest when --max-peers was reached";
	case DTLS_REASON_REVOKED:
		return "was closed: its key was revoked";
	default:
		return NULL;
	}
}

static void tell_event(const struct server *s, const struct dtls_peer *peer, ssize_t event)
{
	if (s->quiet)
		return;
	begin_line(peer);
	if (event == DTLS_CONNECTED)
		fprintf(stderr, "connected with %s\n", dtls_peer_cipher(peer));
	else if (ending(peer) != NULL)
		fprintf(stderr, "%s\n", ending(peer));
	else
		fprintf(stderr, "ended: %s\n", dtls_peer_error(peer));
}

static void tell_story(void *arg, int64_t now_ms, const char *event)
{
	int64_t ms = now_ms - ((const struct server *)arg)->started_at;

	fprintf(stderr, "%3" PRId64 ".%03d %s\n", ms / 1000, (int)(ms % 1000), event);
}

/* ---- what is done ---- */

static void print_message(const struct dtls_peer *peer, const uint8_t *message, size_t len)
{
	size_t identity_len;
	const uint8_t *identity = dtls_peer_psk_identity(peer, &identity_len);

	cli_print_bytes(stdout, identity, identity_len);
	putchar(' ');
	cli_print_bytes(stdout, message, len);
	putchar('\n');
}

static void send_back(const struct server *s, struct dtls_peer *peer, const uint8_t *message, size_t len)
{
	ssize_t n = dtls_peer_send(peer, message, len);

	if (n >= 0 || n == DTLS_FAIL || s->quiet) /* DTLS_FAIL: its end is reported next */
		return;
	begin_line(peer);
	if (n == DTLS_TOO_BIG)
		fprintf(stderr, "gets no answer: %zu bytes are more than the %zu of a message here\n", len,
		    dtls_peer_max_payload(peer));
	else
		fprintf(stderr, "gets no answer: too many datagrams wait to be sent\n");
}

/* One event. False: there is none now. */
static bool serve_one(struct server *s)
{
	uint8_t message[MESSAGE_MAX];
	struct dtls_peer *peer;
	ssize_t n = dtls_endpoint_recv(s->ep, &peer, message, sizeof(message));

	if (n == DTLS_WANT_READ)
		return false;
	if (peer == NULL)
		cli_fail("%s", dtls_endpoint_error(s->ep));
	if (n < 0) {
		tell_event(s, peer, n);
		return true;
	}
	if (!s->echo)
		print_message(peer, message, (size_t)n);
	if (s->echo || s->confirm)
		send_back(s, peer, message, (size_t)n);
	return true;
}

static void reload(const struct server *s)
{
	if (s->psk_file == NULL)
		fprintf(stderr, "SIGHUP: there is no --psk-file to read again\n");
	else if (dtls_context_load_psk_file(s->ctx, s->psk_file) == DTLS_OK)
		fprintf(stderr, "SIGHUP: %s was read again\n", s->psk_file);
	else
		fprintf(stderr, "SIGHUP: %s; the keys stay as they were\n", dtls_context_error(s->ctx));
}

/* True when the program is to end. */
static bool handle_signals(const struct server *s)
{
	for (;;) {
		switch (cli_take_signal(s->signals)) {
		case 0:
			return false;
		case SIGHUP:
			reload(s);
			break;
		case SIGUSR1:
			tell_stats(s, "on SIGUSR1");
			break;
		default:
			return true;
		}
	}
}

static int wait_ms(const struct server *s)
{
	int timeout = dtls_endpoint_timeout(s->ep);
	int64_t left;

	if (s->stats_ms == 0)
		return timeout;
	left = s->stats_at - cli_now_ms();
	left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
	return timeout < 0 || left < timeout ? (int)left : timeout;
}

static void tell_stats_in_time(struct server *s)
{
	int64_t now_ms = cli_now_ms();

	if (s->stats_ms == 0 || now_ms < s->stats_at)
		return;
	tell_stats(s, "in between");
	s->stats_at = now_ms + s->stats_ms;
}

static int run(struct server *s)
{
	struct pollfd fds[] = {{.fd = s->fd}, {.fd = s->signals, .events = POLLIN}};

	while (!handle_signals(s)) {
		for (int i = 0; i < EVENTS_BEFORE_SIGNALS && serve_one(s); i++)
			;
		if (fflush(stdout) != 0 || ferror(stdout) != 0)
			return CLI_FAILED; /* cli_finish() says why */
		tell_stats_in_time(s);
		fds[0].events = dtls_endpoint_events(s->ep);
		if (poll(fds, 2, wait_ms(s)) < 0 && errno != EINTR)
			cli_fail("cannot wait for the socket: %s", strerror(errno));
	}
	return EXIT_SUCCESS;
}

static void close_all(struct server *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	int64_t stop_at = cli_now_ms() + CLOSING_MS;
	int status;

	while ((status = dtls_endpoint_close(s->ep)) != DTLS_OK && cli_now_ms() < stop_at) {
		if (status == DTLS_WANT_WRITE)
			poll(&p, 1, CLOSING_MS);
	}
	tell_stats(s, "at the end");
}

/* ---- the command line ---- */

static void read_shared_option(struct server *s, int option, const char *name, char *value)
{
	if (option == CLI_PSK_FILE && s->psk_file != NULL)
		cli_usage("--psk-file is given twice");
	if (option == CLI_PSK_FILE)
		s->psk_file = value;
	cli_dtls_option(s->ctx, option, name, value);
	s->has_key |= option == CLI_PSK || option == CLI_PSK_FILE;
}

static void read_option(struct server *s, int option, const char *name, char *value)
{
	switch (option) {
	case 'l':
		s->listen = value;
		break;
	case 'q':
		s->quiet = true;
		break;
	case 'v':
		dtls_context_set_trace(s->ctx, tell_story, s);
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
	case OPTION_IDLE:
		s->limits.idle_ms = cli_seconds("--idle", value, 10 * 365 * 86400);
		break;
	case OPTION_STATS:
		s->stats_ms = cli_seconds("--stats", value, 10 * 365 * 86400);
		break;
	default:
		read_shared_option(s, option, name, value);
	}
}

/* False: the program has done what it was asked to. */
static bool read_options(struct server *s, int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
	    {"echo", no_argument, NULL, OPTION_ECHO}, {"confirm", no_argument, NULL, OPTION_CONFIRM},
	    {"max-peers", required_argument, NULL, OPTION_MAX_PEERS},
	    {"max-handshakes", required_argument, NULL, OPTION_MAX_HANDSHAKES},
	    {"idle", required_argument, NULL, OPTION_IDLE}, {"stats", required_argument, NULL, OPTION_STATS},
	    {"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, CLI_DTLS_OPTIONS, {NULL, 0, NULL, 0}};
	int option, index = 0;

	while ((option = getopt_long(argc, argv, "l:qvhV", options, &index)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			printf(help, cli_dtls_help);
		else if (option == 'V')
			cli_print_version();
		else
			read_option(s, option, options[index].name, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	if (optind < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind]);
	if (s->echo && s->confirm)
		cli_usage("--echo prints nothing, --confirm prints and echoes: give one of them");
	if (!s->has_key)
		cli_usage("no key to authenticate peers with: give --psk=ID:HEX or --psk-file=FILE");
	return true;
}

static void start(struct server *s)
{
	struct cli_address address = cli_resolve("--listen", s->listen, true);

	s->fd = cli_bind(&address, SOCK_DGRAM | SOCK_NONBLOCK);
	s->ep = dtls_endpoint_new(s->ctx, s->fd, &s->limits);
	if (s->ep == NULL)
		cli_usage("%s", dtls_context_error(s->ctx));
	s->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	s->stats_at = s->started_at + s->stats_ms;
	cli_announce(s->fd);
}

int main(int argc, char **argv)
{
	struct server s = {.listen = "0.0.0.0:5684", .started_at = cli_now_ms()};
	int status = EXIT_SUCCESS;

	cli_guard_standard();
	s.ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	if (s.ctx == NULL)
		cli_fail("%s", dtls_context_error(NULL));
	if (read_options(&s, argc, argv)) {
		start(&s);
		status = run(&s);
		close_all(&s);
		dtls_endpoint_free(s.ep);
		close(s.fd);
	}
	dtls_context_free(s.ctx);
	return cli_finish(status);
}
