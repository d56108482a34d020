/* DTLS: each line of the input is a message; with --confirm it is sent until it comes back. */
#include "client.h"

#include <inttypes.h>
#include <string.h>

/* A line that cannot be a message is not sent; the program goes on, and tells again by its exit status. */
static bool skip_line(struct client *c, size_t len)
{
	struct cli_lines *in = &c->in;

	if (len > 0)
		client_complain(c, "line %" PRIu64 " was not sent: it has %s%zu bytes, a message at most %zu", in->line,
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
		client_complain(c, "%s", dtls_conn_error(c->conn));
	return n >= 0 || c->waits_for_output;
}

static bool repeat_line(struct client *c)
{
	int64_t now_ms = cli_now_ms();

	if (now_ms >= c->stop_at) {
		client_complain(c, "line %" PRIu64 " was not confirmed within %" PRId64 ".%03d s", c->in.line,
		    c->timeout_ms / 1000, (int)(c->timeout_ms % 1000));
		return false;
	}
	if (!c->waits_for_output) {
		if (now_ms < c->repeat_at)
			return true;
		client_tell(c, "line %" PRIu64 " again: not confirmed yet", c->in.line);
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
	char message[CLIENT_MESSAGE_MAX];
	ssize_t n;

	while ((n = dtls_conn_read(c->conn, message, sizeof(message))) >= 0)
		take_message(c, message, (size_t)n);
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return false; /* cli_finish() says why */
	if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE)
		return true;
	client_complain(c, "%s", n == DTLS_CLOSED ? "the server closed the session" : dtls_conn_error(c->conn));
	return false;
}

bool client_converse_messages(struct client *c)
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
	return c->unconfirmed || !c->in.at_end || client_linger(c);
}
