/* dtls-client - sends its input to a DTLS server as messages, or to a TLS server as it is; prints what comes back. */
#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_HOSTNAME = CLI_OWN, OPTION_TIMEOUT, OPTION_LINGER, OPTION_CONFIRM, OPTION_SESSION };

static const char help[] = "Usage: dtls-client HOST:PORT --psk=ID:HEX|--psk-file=FILE|--ca=FILE [OPTION]...\n"
			   "       dtls-client HOST:PORT --tls [OPTION]...\n"
			   "Sends each line of standard input as one DTLS 1.2 message and prints what comes\n"
			   "back, a line for each message, bytes that are not printable as \\xHH. With --tls\n"
			   "the input is sent as it is, and what comes back is printed in lines. HOST may be\n"
			   "an IPv6 address in brackets.\n\n"
			   "%s"
			   "      --hostname=NAME        ask the server for this name (SNI), which its\n"
			   "                             certificate must have (default where certificates\n"
			   "                             are used: HOST)\n"
			   "      --timeout=S            seconds that the handshake may take (default 30)\n"
			   "      --linger=MS            wait for answers after the end of the input\n"
			   "                             (default 1000); with --tls, until nothing has come\n"
			   "                             for so long\n"
			   "      --confirm=MS           DTLS does not resend messages: send each line again\n"
			   "                             every MS milliseconds until the server has sent it\n"
			   "                             back (its --echo or --confirm), then the next;\n"
			   "                             fails when a line is not confirmed within\n"
			   "                             --timeout; lines in a row should differ\n"
			   "      --session=FILE         resume the session in FILE, and keep the one of now\n"
			   "                             there for the next time; FILE is as secret as a\n"
			   "                             key, and made so that only its owner can read it\n"
			   "  -v, --verbose              tell the handshake's story on standard error\n"
			   "  -h, --help                 show this help\n"
			   "  -V, --version              show the version\n\n"
			   "The server's certificate must verify unless --verify=none is given. With --tls\n"
			   "and neither --psk, --psk-file nor --ca, the system's CAs are trusted.\n"
			   "Exits 0 when all lines were sent and the session was closed from here, 1 when\n"
			   "something failed, 2 for a wrong command line. A server that closes first is a\n"
			   "failure, but with --tls it may do so when the input has ended; one that ends the\n"
			   "connection without saying so (close_notify) fails. SIGINT and SIGTERM close the\n"
			   "session.\n\n"
			   "Examples: echo 21.4 | dtls-client 127.0.0.1:5684 --psk-file sensor.txt -v\n"
			   "          printf 'GET / HTTP/1.0\\r\\n\\r\\n' | dtls-client --tls example.org:443\n";

/* ---- what is told ---- */

void client_tell(const struct client *c, const char *format, ...)
{
	int64_t ms = cli_now_ms() - c->started_at;
	va_list args;

	if (!c->verbose)
		return;
	fprintf(stderr, "%3" PRId64 ".%03d ", ms / 1000, (int)(ms % 1000));
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
}

void client_complain(struct client *c, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "dtls-client: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
	c->status = CLI_FAILED;
}

/* The library's story; some of it says why a handshake has not come further. */
static void hear_story(void *arg, int64_t now_ms, const char *event)
{
	static const char done[] = "handshake done: ";
	struct client *c = arg;

	(void)now_ms;
	c->heard |= strncmp(event, "received ", 9) == 0;
	c->finished_sent |= strncmp(event, "sent flight 5", 13) == 0;
	if (strncmp(event, done, sizeof(done) - 1) == 0)
		snprintf(c->summary, sizeof(c->summary), "%s", event + sizeof(done) - 1);
	client_tell(c, "%s", event);
}

static void tell_session(const struct client *c)
{
	const char *alpn = dtls_conn_alpn(c->conn), *subject = dtls_conn_peer_name(c->conn);
	size_t len;
	bool has_certificate = dtls_conn_peer_cert(c->conn, &len) != NULL;

	client_tell(c, "connected with %s, %s%s%s", dtls_conn_version(c->conn), dtls_conn_cipher(c->conn),
	    alpn != NULL ? ", protocol " : "", alpn != NULL ? alpn : "");
	if (has_certificate)
		client_tell(c, "the server's certificate%s%s is %s", subject != NULL ? " for " : "",
		    subject != NULL ? subject : "", cli_verify_text(dtls_conn_verify_result(c->conn)));
}

static void tell_summary(const struct client *c)
{
	if (c->dtls.tls)
		client_tell(c, "sent %" PRIu64 " bytes; received %" PRIu64, c->sent, c->received);
	else
		client_tell(c, "sent %" PRIu64 " messages, %" PRIu64 " of them again; received %" PRIu64,
		    c->sent + c->repeated, c->repeated, c->received);
	if (!c->connected)
		client_tell(c, "the handshake was not done");
	else if (c->summary[0] != '\0')
		client_tell(c, "%s", c->summary);
}

/* ---- the loop ---- */

/* At the end of the input, answers may still be under way. False: time is up. */
bool client_linger(struct client *c)
{
	if (!c->lingers)
		c->stop_at = cli_now_ms() + (c->confirm_ms == 0 ? c->linger_ms : 0);
	c->lingers = true;
	return cli_now_ms() < c->stop_at;
}

static bool converse(struct client *c)
{
	return c->dtls.tls ? client_converse_bytes(c) : client_converse_messages(c);
}

/* False: it has failed. */
static bool handshake(struct client *c)
{
	int status = c->conn != NULL ? dtls_conn_handshake(c->conn) : DTLS_WANT_WRITE;

	c->waits_for_output = status == DTLS_WANT_WRITE;
	if (status == DTLS_OK) {
		tell_session(c);
		client_save_session(c);
		c->connected = true;
		c->stop_at = INT64_MAX;
		return converse(c);
	}
	if (status != DTLS_WANT_READ && status != DTLS_WANT_WRITE) {
		client_complain_of_failure(c, status);
		return false;
	}
	if (cli_now_ms() < c->stop_at)
		return true;
	client_complain_of_silence(c);
	return false;
}

/* False: the session has ended, or will never be. */
static bool go_on(struct client *c)
{
	if (c->conn == NULL && !client_finish_connecting(c))
		return false;
	return c->connected ? converse(c) : handshake(c);
}

static bool wants_input(const struct client *c)
{
	return c->connected && !c->unconfirmed && !c->waits_for_output && !c->in.at_end;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int wait_ms(const struct client *c)
{
	int64_t due_at = c->stop_at, now_ms = cli_now_ms();
	int timeout = c->conn != NULL ? dtls_conn_timeout(c->conn) : -1;

	if (c->more)
		return 0;
	if (c->unconfirmed && !c->waits_for_output)
		due_at = earlier(due_at, c->repeat_at);
	if (timeout >= 0)
		due_at = earlier(due_at, now_ms + timeout);
	if (due_at == INT64_MAX)
		return -1;
	return due_at <= now_ms ? 0 : (int)earlier(due_at - now_ms, INT_MAX);
}

static void read_input(struct client *c)
{
	if (!cli_lines_read(&c->in, STDIN_FILENO))
		client_complain(c, "cannot read standard input: %s", strerror(errno));
}

static void wait(struct client *c)
{
	short events = c->waits_for_output ? POLLOUT : 0;
	struct pollfd fds[] = {{.fd = c->fd, .events = (short)(c->conn != NULL ? events | POLLIN : events)},
	    {.fd = c->signals, .events = POLLIN}, {.fd = wants_input(c) ? STDIN_FILENO : -1, .events = POLLIN}};

	if (poll(fds, 3, wait_ms(c)) < 0 && errno != EINTR)
		cli_fail("cannot wait for the socket: %s", strerror(errno));
	if ((fds[0].revents & POLLERR) != 0)
		client_notice_refusal(c);
	if (fds[2].revents != 0)
		read_input(c);
}

/* With success once there is a session. */
static bool is_ended_by_signal(struct client *c)
{
	int number = cli_take_signal(c->signals);

	if (number == 0 || number == SIGUSR1)
		return false;
	if (!c->connected)
		client_complain(c, "ended by a signal before the handshake with %s was done", c->name);
	return true;
}

static void run(struct client *c)
{
	while (!is_ended_by_signal(c) && go_on(c))
		wait(c);
	if (c->dtls.tls)
		client_close_stream(c);
	else
		dtls_conn_close(c->conn);
	tell_summary(c);
}

/* ---- the command line ---- */

static void read_option(struct client *c, int option, char *value)
{
	switch (option) {
	case 'v':
		c->verbose = true;
		break;
	case OPTION_HOSTNAME:
		c->hostname = value;
		break;
	case OPTION_TIMEOUT:
		c->timeout_ms = cli_seconds("--timeout", value, 86400);
		break;
	case OPTION_LINGER:
		c->linger_ms = cli_number("--linger", value, 0, 86400000);
		break;
	case OPTION_CONFIRM:
		c->confirm_ms = cli_number("--confirm", value, 1, 86400000);
		break;
	case OPTION_SESSION:
		c->session = value;
		break;
	default:
		cli_dtls_option(&c->dtls, option, value);
	}
}

static void check_options(const struct client *c, int argc, char **argv)
{
	if (optind == argc)
		cli_usage("no server is given: say where it is with HOST:PORT");
	if (optind + 1 < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind + 1]);
	if (c->dtls.tls && c->confirm_ms != 0)
		cli_usage("--confirm is for datagrams, which may get lost; --tls does without");
}

/* False: the program has done what it was asked to. */
static bool read_options(struct client *c, int argc, char **argv)
{
	static const struct option options[] = {{"hostname", required_argument, NULL, OPTION_HOSTNAME},
	    {"timeout", required_argument, NULL, OPTION_TIMEOUT}, {"linger", required_argument, NULL, OPTION_LINGER},
	    {"confirm", required_argument, NULL, OPTION_CONFIRM}, {"session", required_argument, NULL, OPTION_SESSION},
	    {"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'},
	    CLI_DTLS_OPTIONS, {NULL, 0, NULL, 0}};
	int option;

	while ((option = getopt_long(argc, argv, "vhV", options, NULL)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			printf(help, cli_dtls_help);
		else if (option == 'V')
			cli_print_version();
		else
			read_option(c, option, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	check_options(c, argc, argv);
	return true;
}

static void start(struct client *c, const char *server)
{
	c->host = cli_host(server);
	if (c->hostname == NULL && cli_dtls_by_certificate(&c->dtls))
		c->hostname = c->host;
	cli_dtls_apply(&c->dtls, c->hostname);
	c->addresses = c->next = cli_resolve_all("the server", server, false);
	dtls_context_set_trace(c->dtls.ctx, hear_story, c);
	dtls_context_set_session_tickets(c->dtls.ctx, c->session != NULL);
	c->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	if (!client_open(c))
		cli_fail("cannot reach %s: %s", c->name, strerror(errno));
	c->stop_at = cli_now_ms() + c->timeout_ms;
}

int main(int argc, char **argv)
{
	static struct client c = {.timeout_ms = 30000, .linger_ms = 1000, .in.line = 1, .fd = -1};

	cli_guard_standard();
	c.started_at = cli_now_ms();
	if (read_options(&c, argc, argv)) {
		start(&c, argv[optind]);
		run(&c);
		dtls_conn_free(c.conn);
		close(c.fd);
		freeaddrinfo(c.addresses);
	}
	cli_dtls_free(&c.dtls);
	free(c.host);
	return cli_finish(c.status);
}
