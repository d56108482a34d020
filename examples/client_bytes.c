/* TLS: what comes in on standard input is sent as it is, and what the server sends is printed in lines. */
#include "client.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { READS_IN_A_TURN = 64, CLOSING_MS = 2000 };

static void print(struct client *c, const char *bytes, size_t len)
{
	const char *newline;

	c->received += len;
	c->in_line = bytes[len - 1] != '\n';
	while ((newline = memchr(bytes, '\n', len)) != NULL) {
		size_t part = (size_t)(newline - bytes);

		cli_print_bytes(stdout, bytes, part);
		putchar('\n');
		bytes = newline + 1;
		len -= part + 1;
	}
	cli_print_bytes(stdout, bytes, len);
}

static bool is_all_sent(const struct client *c)
{
	return c->in.at_end && c->in.start == c->in.end;
}

static bool receive(struct client *c)
{
	char bytes[CLIENT_MESSAGE_MAX];
	ssize_t n = DTLS_WANT_READ;
	int i;

	for (i = 0; i < READS_IN_A_TURN; i++) {
		n = dtls_conn_read(c->conn, bytes, sizeof(bytes));
		if (n < 0)
			break;
		if (n > 0)
			print(c, bytes, (size_t)n);
		if (c->lingers) /* the answer is not over while it comes */
			c->stop_at = cli_now_ms() + c->linger_ms;
	}
	c->more = i == READS_IN_A_TURN;
	if (fflush(stdout) != 0 || ferror(stdout) != 0)
		return false; /* cli_finish() says why */
	if (n >= 0 || n == DTLS_WANT_READ || n == DTLS_WANT_WRITE)
		return true;
	if (n != DTLS_CLOSED)
		client_complain(c, "%s", dtls_conn_error(c->conn));
	else if (!is_all_sent(c))
		client_complain(c, "the server closed the session");
	return false;
}

static bool send_input(struct client *c)
{
	struct cli_lines *in = &c->in;

	c->waits_for_output = false;
	while (in->start < in->end) {
		ssize_t n = dtls_conn_write(c->conn, in->bytes + in->start, in->end - in->start);

		c->waits_for_output = n == DTLS_WANT_WRITE;
		if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE)
			return true;
		if (n < 0) {
			client_complain(c, "%s", dtls_conn_error(c->conn));
			return false;
		}
		in->start += (size_t)n;
		c->sent += (uint64_t)n;
	}
	return true;
}

bool client_converse_bytes(struct client *c)
{
	return receive(c) && send_input(c) && (!is_all_sent(c) || client_linger(c));
}

void client_close_stream(struct client *c)
{
	int64_t stop_at = cli_now_ms() + CLOSING_MS;
	struct pollfd fds[] = {{.fd = c->fd, .events = POLLOUT}, {.fd = c->signals, .events = POLLIN}};
	char bytes[4096];

	if (c->in_line)
		putchar('\n');
	while (c->conn != NULL && dtls_conn_close(c->conn) == DTLS_WANT_WRITE && cli_now_ms() < stop_at)
		poll(fds, 1, CLOSING_MS);
	if (!c->connected || shutdown(c->fd, SHUT_WR) != 0)
		return;
	/* To close the socket while the server's bytes are unread would make the kernel throw away ours. */
	fds[0].events = POLLIN;
	while (cli_now_ms() < stop_at && poll(fds, 2, CLOSING_MS) > 0 && fds[1].revents == 0)
		if (recv(c->fd, bytes, sizeof(bytes), 0) <= 0)
			break;
}
