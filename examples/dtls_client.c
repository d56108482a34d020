/* dtls-client - sends each line of its input as one message to a DTLS server, and prints what comes back. */
#include "cli.h"
#include "dtls/dtls.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = 16384 };

enum { OPTION_HOSTNAME = CLI_OWN, OPTION_TIMEOUT, OPTION_LINGER, OPTION_CONFIRM };

struct client {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	struct addrinfo *addresses, *next; /* next: to be tried, or NULL */
	char name[CLI_ADDRESS_TEXT]; /* of the one that is tried */
	int fd, signals, status;
	const char *hostname;
	bool has_key, verbose;
	int64_t timeout_ms, linger_ms, confirm_ms; /* confirm_ms 0: nothing is confirmed */
	int64_t started_at;
	int64_t stop_at; /* of the handshake, then of the line that is unconfirmed, at last of the lingering */
	int64_t repeat_at; /* of the line that is unconfirmed */
	bool connected, unconfirmed, lingers, waits_for_output, said_empty;
	bool heard, finished_sent; /* in the handshake */
	int refused; /* errno of an ICMP error, or 0 */
	char summary[200]; /* of the handshake */
	uint64_t sent, repeated, received;
	struct cli_lines in;
	char confirmed[MESSAGE_MAX]; /* the line before */
	size_t confirmed_len;
};

static const char help[] =
    "Usage: dtls-client HOST:PORT --psk=ID:HEX | --psk-file=FILE [OPTION]...\n"
    "Sends each line of standard input as one DTLS 1.2 message and prints what comes back, a line for each message,\n"
    "bytes that are not printable as \\xHH. HOST may be an IPv6 address in brackets.\n\n"
    "%s"
    "      --hostname=NAME        ask the server for this name (SNI)\n"
    "      --timeout=S            seconds that the handshake may take (default 30)\n"
    "      --linger=MS            wait for answers after the end of the input (default 1000)\n"
    "      --confirm=MS           DTLS does not resend messages: send each line again every MS milliseconds until the\n"
    "                             server has sent it back (its --echo or --confirm), then the next; fails when a\n"
    "                             line is not confirmed within --timeout; lines in a row should differ\n"
    "  -v, --verbose              tell the handshake's story on standard error\n"
    "  -h, --help                 show this help\n"
    "  -V, --version              show the version\n\n"
    "Exits 0 when all lines were sent and the session was closed from here, 1 when something failed, 2 for a wrong\n"
    "command line. A server that closes first is a failure. SIGINT and SIGTERM close the session.\n\n"
    "Example: echo 21.4 | dtls-client 127.0.0.1:5684 --psk-file sensor.txt -v\n";

/* ---- what is told ---- */

/* Under --verbose: seconds since the start, then what happened. */
__attribute__((format(printf, 2, 3))) static void tell(const struct client *c, const char *format, ...)
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

/* Something failed, but the session goes on until its end. */
__attribute__((format(printf, 2, 3))) static void complain(struct client *c, const char *format, ...)
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
	tell(c, "%s", event);
}

static void tell_summary(const struct client *c)
{
	tell(c, "sent %" PRIu64 " messages, %" PRIu64 " of them again; received %" PRIu64, c->sent + c->repeated,
	    c->repeated, c->received);
	tell(c, "%s", c->summary[0] != '\0' ? c->summary : "the handshake was not done");
}

/* ---- connecting ---- */

/* Tries the next address. False: there is none, and errno says what became of the last. */
static bool try_next(struct client *c)
{
	for (; c->next != NULL; c->next = c->next->ai_next) {
		struct cli_address to = {.len = c->next->ai_addrlen};
		int fd = socket(c->next->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		memcpy(&to.storage, c->next->ai_addr, to.len);
		cli_address_text(&to, c->name);
		if (fd >= 0 && connect(fd, &to.any, to.len) == 0) {
			c->fd = fd;
			c->next = c->next->ai_next;
			return true;
		}
		if (fd >= 0)
			close(fd);
	}
	return false;
}

/* True once a connection to the next address that has a route was made. */
static bool open_connection(struct client *c)
{
	if (!try_next(c))
		return false;
	c->conn = dtls_wrap_socket(c->ctx, c->fd);
	if (c->conn == NULL)
		cli_usage("%s", dtls_context_error(c->ctx));
	if (c->hostname != NULL && dtls_conn_set_hostname(c->conn, c->hostname) != DTLS_OK)
		cli_usage("--hostname: %s", dtls_conn_error(c->conn));
	tell(c, "connecting to %s", c->name);
	return true;
}

/* An ICMP error says that nobody listens: a name such as localhost may have another address, where somebody does. */
static void notice_refusal(struct client *c)
{
	struct dtls_conn *old = c->conn;
	int error = 0, fd = c->fd;
	socklen_t len = sizeof(error);

	if (c->connected || getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error == 0)
		return;
	c->refused = error;
	tell(c, "%s: %s", c->name, strerror(error));
	if (c->heard || !open_connection(c))
		return;
	dtls_conn_free(old);
	close(fd);
}

static void complain_of_silence(struct client *c)
{
	const char *why = "nothing was received; is a DTLS server listening there?";

	if (c->finished_sent)
		why = "the server fell silent after this side's Finished; the path may be bad, but some servers also "
		      "stay "
		      "silent when the pre-shared key differs or is unknown to them";
	else if (c->heard)
		why = "the server fell silent in the middle of it";
	else if (c->refused != 0)
		why = strerror(c->refused);
	complain(c, "handshake with %s timed out after %" PRId64 ".%03d s: %s", c->name, c->timeout_ms / 1000,
	    (int)(c->timeout_ms % 1000), why);
}

/* ---- the session ---- */

/* A line that cannot be a message is not sent; the program goes on, and tells again by its exit status. */
static bool skip_line(struct client *c, size_t len)
{
	struct cli_lines *in = &c->in;

	if (len > 0)
		complain(c, "line %" PRIu64 " was not sent: it has %s%zu bytes, a message at most %zu", in->line,
		    in->is_cut ? "more than " : "", len, dtls_conn_max_payload(c->conn));
	else if (!c->said_empty)
		fprintf(stderr, "dtls-client: line %" PRIu64 " is empty, and there are no empty messages: skipped\n",
		    in->line);
	c->said_empty |= len == 0;
	c->unconfirmed = false;
	cli_lines_drop(in);
	return true;
}

/* A line that was sent is kept until it is confirmed. */
static void line_sent(struct client *c)
{
	int64_t now_ms = cli_now_ms();

	c->repeat_at = now_ms + c->confirm_ms;
	if (c->unconfirmed)
		return;
	c->sent++;
	c->unconfirmed = c->confirm_ms != 0;
	if (c->unconfirmed)
		c->stop_at = now_ms + c->timeout_ms;
	else
		cli_lines_drop(&c->in);
}

/* Sends the line at hand. False: the session has ended. */
static bool send_line(struct client *c)
{
	const struct cli_lines *in = &c->in;
	ssize_t n;

	if (in->is_cut)
		return skip_line(c, sizeof(in->bytes));
	if (in->len == 0)
		return skip_line(c, 0);
	n = dtls_conn_write(c->conn, in->bytes + in->start, in->len);
	c->waits_for_output = n == DTLS_WANT_WRITE;
	if (n == DTLS_TOO_BIG)
		return skip_line(c, in->len);
	if (n >= 0)
		line_sent(c);
	else if (!c->waits_for_output)
		complain(c, "%s", dtls_conn_error(c->conn));
	return n >= 0 || c->waits_for_output;
}

static bool repeat_line(struct client *c)
{
	int64_t now_ms = cli_now_ms();

	if (now_ms >= c->stop_at) {
		complain(c, "line %" PRIu64 " was not confirmed within %" PRId64 ".%03d s", c->in.line,
		    c->timeout_ms / 1000, (int)(c->timeout_ms % 1000));
		return false;
	}
	if (!c->waits_for_output) {
		if (now_ms < c->repeat_at)
			return true;
		tell(c, "line %" PRIu64 " again: not confirmed yet", c->in.line);
		c->repeated++;
	}
	return send_line(c);
}

static bool equals(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* While a record waits to leave, its line must stay: it will be sent, and confirmed, once more. */
static void take_message(struct client *c, const char *message, size_t len)
{
	struct cli_lines *in = &c->in;

	if (c->unconfirmed && !c->waits_for_output && equals(message, len, in->bytes + in->start, in->len)) {
		memcpy(c->confirmed, message, len);
		c->confirmed_len = len;
		c->unconfirmed = false;
		cli_lines_drop(in);
	} else if (c->confirm_ms != 0 && equals(message, len, c->confirmed, c->confirmed_len)) {
		return; /* the answer to a repetition that was not needed */
	}
	c->received++;
	cli_print_bytes(stdout, message, len);
	putchar('\n');
}

/* Prints all that has come. False: the session has ended. */
static bool receive(struct client *c)
{
	char message[MESSAGE_MAX];
	ssize_t n;

	while ((n = dtls_conn_read(c->conn, message, sizeof(message))) >= 0)
		take_message(c, message, (size_t)n);
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return false; /* cli_finish() says why */
	if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE)
		return true;
	complain(c, "%s", n == DTLS_CLOSED ? "the server closed the session" : dtls_conn_error(c->conn));
	return false;
}

/* At the end of the input, answers may still be under way. False: time is up. */
static bool linger(struct client *c)
{
	if (!c->lingers)
		c->stop_at = cli_now_ms() + (c->confirm_ms == 0 ? c->linger_ms : 0);
	c->lingers = true;
	return cli_now_ms() < c->stop_at;
}

static bool converse(struct client *c)
{
	if (!receive(c))
		return false;
	if (c->unconfirmed && !repeat_line(c))
		return false;
	while (!c->unconfirmed && cli_lines_find(&c->in)) {
		if (!send_line(c))
			return false;
		if (c->waits_for_output)
			return true;
	}
	return c->unconfirmed || !c->in.at_end || linger(c);
}

/* False: it has failed. */
static bool handshake(struct client *c)
{
	int status = dtls_conn_handshake(c->conn);

	c->waits_for_output = status == DTLS_WANT_WRITE;
	if (status == DTLS_OK) {
		c->connected = true;
		c->stop_at = INT64_MAX;
		return converse(c);
	}
	if (status != DTLS_WANT_READ && status != DTLS_WANT_WRITE) {
		complain(c, status == DTLS_TIMEDOUT && c->refused != 0 ? "%s (%s)" : "%s", dtls_conn_error(c->conn),
		    strerror(c->refused));
		return false;
	}
	if (cli_now_ms() < c->stop_at)
		return true;
	complain_of_silence(c);
	return false;
}

/* ---- the loop ---- */

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
	int timeout = dtls_conn_timeout(c->conn);

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
		complain(c, "cannot read standard input: %s", strerror(errno));
}

static void wait(struct client *c)
{
	struct pollfd fds[] = {{.fd = c->fd, .events = (short)(POLLIN | (c->waits_for_output ? POLLOUT : 0))},
	    {.fd = c->signals, .events = POLLIN}, {.fd = wants_input(c) ? STDIN_FILENO : -1, .events = POLLIN}};

	if (poll(fds, 3, wait_ms(c)) < 0 && errno != EINTR)
		cli_fail("cannot wait for the socket: %s", strerror(errno));
	if ((fds[0].revents & POLLERR) != 0)
		notice_refusal(c);
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
		complain(c, "ended by a signal before the handshake with %s was done", c->name);
	return true;
}

static void run(struct client *c)
{
	while (!is_ended_by_signal(c) && (c->connected ? converse(c) : handshake(c)))
		wait(c);
	dtls_conn_close(c->conn);
	tell_summary(c);
}

/* ---- the command line ---- */

static void read_shared_option(struct client *c, int option, const char *name, char *value)
{
	bool is_key = option == CLI_PSK || option == CLI_PSK_FILE;

	if (is_key && c->has_key)
		cli_usage("a client has one key: give --psk or --psk-file, once");
	c->has_key |= is_key;
	cli_dtls_option(c->ctx, option, name, value);
}

static void read_option(struct client *c, int option, const char *name, char *value)
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
	default:
		read_shared_option(c, option, name, value);
	}
}

/* False: the program has done what it was asked to. */
static bool read_options(struct client *c, int argc, char **argv)
{
	static const struct option options[] = {{"hostname", required_argument, NULL, OPTION_HOSTNAME},
	    {"timeout", required_argument, NULL, OPTION_TIMEOUT}, {"linger", required_argument, NULL, OPTION_LINGER},
	    {"confirm", required_argument, NULL, OPTION_CONFIRM}, {"verbose", no_argument, NULL, 'v'},
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, CLI_DTLS_OPTIONS,
	    {NULL, 0, NULL, 0}};
	int option, index = 0;

	while ((option = getopt_long(argc, argv, "vhV", options, &index)) != -1) {
		if (option == '?')
			exit(CLI_USAGE);
		if (option == 'h')
			printf(help, cli_dtls_help);
		else if (option == 'V')
			cli_print_version();
		else
			read_option(c, option, options[index].name, optarg);
		if (option == 'h' || option == 'V')
			return false;
	}
	if (optind == argc)
		cli_usage("no server is given: say where it is with HOST:PORT");
	if (optind + 1 < argc)
		cli_usage("\"%s\" is one argument too many", argv[optind + 1]);
	if (!c->has_key)
		cli_usage("no key to authenticate with: give --psk=ID:HEX or --psk-file=FILE");
	return true;
}

static void start(struct client *c, const char *server)
{
	c->addresses = c->next = cli_resolve_all("the server", server, false);
	dtls_context_set_trace(c->ctx, hear_story, c);
	c->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	if (!open_connection(c))
		cli_fail("cannot reach %s: %s", c->name, strerror(errno));
	c->stop_at = cli_now_ms() + c->timeout_ms;
}

int main(int argc, char **argv)
{
	static struct client c = {.timeout_ms = 30000, .linger_ms = 1000, .in.line = 1};

	cli_guard_standard();
	c.started_at = cli_now_ms();
	c.ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	if (c.ctx == NULL)
		cli_fail("%s", dtls_context_error(NULL));
	if (read_options(&c, argc, argv)) {
		start(&c, argv[optind]);
		run(&c);
		dtls_conn_free(c.conn);
		close(c.fd);
		freeaddrinfo(c.addresses);
	}
	dtls_context_free(c.ctx);
	return cli_finish(c.status);
}
