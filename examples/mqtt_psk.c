/* mqtt-psk - publishes to an MQTT broker, and subscribes, over TLS with a pre-shared key or certificates. */
#include "cli.h"
#include "mqtt_options.h"
#include "mqtt_session.h"
#include "mqtt_tcp.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <mbedtls/x509.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { RECORD_MAX = 16384, READS_AT_ONCE = 64 };

struct client {
	struct mqtt_options options;
	struct mqtt_session session;
	struct dtls_conn *conn;
	int fd, signals, status;
	char name[CLI_ADDRESS_TEXT]; /* the broker's address */
	int64_t started_at, connect_by;
	bool is_secured; /* the TLS handshake is done */
	bool waits_for_output, has_more; /* has_more: to read, without waiting */
	size_t attempt; /* length of a write to be repeated */
	int signals_taken;
	struct mqtt_buffer in; /* of standard input */
	size_t searched; /* bytes of it that have no '\n' */
	bool at_end;
	uint64_t received;
};

/* ---- what is told ---- */

/* Under --verbose: seconds since the start, then what happened. */
__attribute__((format(printf, 2, 3))) static void tell(const struct client *c, const char *format, ...)
{
	int64_t ms = cli_now_ms() - c->started_at;
	va_list args;

	if (!c->options.verbose)
		return;
	fprintf(stderr, "%3" PRId64 ".%03d ", ms / 1000, (int)(ms % 1000));
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
}

static void hear_story(void *arg, int64_t now_ms, const char *event)
{
	(void)now_ms;
	tell(arg, "%s", event);
}

__attribute__((format(printf, 2, 3))) static void complain(struct client *c, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "mqtt-psk: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
	c->status = CLI_FAILED;
}

/* The session has ended: with what has become of the messages that the broker has not confirmed. */
static bool give_up(struct client *c, const char *why)
{
	const struct mqtt_session *s = &c->session;

	if (s->unconfirmed_count > 0)
		complain(c, "%s; unconfirmed: %zu of %" PRIu64 " messages, the first of them message %" PRIu64, why,
		    s->unconfirmed_count, s->messages, s->unconfirmed[0].message);
	else
		complain(c, "%s", why);
	return false;
}

static void tell_filter(const struct client *c, size_t i, uint8_t granted)
{
	if (!c->options.verbose || granted == MQTT_REFUSED)
		return;
	tell(c, "subscribed to \"%.*s\" with QoS %u", (int)c->options.topics[i].len, c->options.topics[i].start,
	    granted);
}

/* ---- publishing ---- */

/* The next message is taken from the input. False: there is none yet. */
static bool next_message(struct client *c, struct mqtt_bytes *message)
{
	const uint8_t *start = c->in.bytes + c->in.start, *newline = NULL;
	size_t len = c->in.end - c->in.start;

	if (c->options.message != NULL) {
		*message = (struct mqtt_bytes){(const uint8_t *)c->options.message, strlen(c->options.message)};
		return c->session.messages == 0;
	}
	if (len > c->searched)
		newline = memchr(start + c->searched, '\n', len - c->searched);
	c->searched = len;
	*message = (struct mqtt_bytes){start, newline != NULL ? (size_t)(newline - start) : len};
	return newline != NULL || (len > 0 && (c->at_end || len > MQTT_REMAINING_MAX));
}

static void drop_line(struct client *c, size_t len)
{
	bool has_newline = c->in.start + len < c->in.end;

	mqtt_buffer_drop(&c->in, len + has_newline);
	c->searched = 0;
}

/* All that the session takes now. False: it has failed. */
static bool publish(struct client *c)
{
	struct mqtt_publish message = {
	    .topic = c->options.topics[0], .qos = c->options.qos, .retain = c->options.retain};
	size_t max = MQTT_REMAINING_MAX - 4 - message.topic.len;

	while (mqtt_session_may_publish(&c->session) && next_message(c, &message.payload)) {
		if (message.payload.len > max) {
			complain(c,
			    "message %" PRIu64 " was not published: it has more than %zu bytes, which MQTT allows",
			    c->session.messages + 1, max);
			mqtt_buffer_free(&c->in);
			c->at_end = true;
			return true;
		}
		if (!mqtt_session_publish(&c->session, message, cli_now_ms()))
			return false;
		if (c->options.message == NULL)
			drop_line(c, message.payload.len);
	}
	return true;
}

static bool is_all_published(const struct client *c)
{
	bool is_read = c->options.message != NULL ? c->session.messages > 0 : c->at_end && c->in.start == c->in.end;

	return is_read && c->session.unconfirmed_count == 0;
}

static void read_input(struct client *c)
{
	uint8_t *at = mqtt_buffer_extend(&c->in, 65536);
	ssize_t n = at != NULL ? read(STDIN_FILENO, at, 65536) : 0;

	if (at == NULL)
		complain(c, "out of memory");
	if (n > 0)
		c->in.end += (size_t)n;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n < 0)
		complain(c, "cannot read standard input: %s", strerror(errno));
	c->at_end = n <= 0;
}

/* ---- subscribing ---- */

/* True when the broker has accepted them all. */
static bool take_grants(struct client *c, struct mqtt_bytes granted)
{
	for (size_t i = 0; i < granted.len; i++) {
		tell_filter(c, i, granted.start[i]);
		if (granted.start[i] != MQTT_REFUSED)
			continue;
		complain(c, "the broker refused the subscription to \"%.*s\"; may this client read it?",
		    (int)c->options.topics[i].len, c->options.topics[i].start);
		return mqtt_session_end(&c->session, cli_now_ms());
	}
	return true;
}

/* Printed first, acknowledged then. */
static bool take_message(struct client *c, const struct mqtt_publish *message)
{
	cli_print_bytes(stdout, message->topic.start, message->topic.len);
	putchar(' ');
	cli_print_bytes(stdout, message->payload.start, message->payload.len);
	putchar('\n');
	if (ferror(stdout) || (message->qos > 0 && fflush(stdout) != 0))
		return mqtt_session_end(&c->session, cli_now_ms()); /* cli_finish() says why */
	if (!mqtt_session_acknowledge(&c->session, message, cli_now_ms()))
		return false;
	c->received++;
	return c->received != c->options.count || mqtt_session_end(&c->session, cli_now_ms());
}

/* ---- the session ---- */

static bool take_connected(struct client *c)
{
	const struct mqtt_options *o = &c->options;

	tell(c, "the broker has accepted client \"%.*s\"", (int)o->connect.client_id.len, o->connect.client_id.start);
	return o->publishes || mqtt_session_subscribe(&c->session, o->topics, o->topic_count, o->qos, cli_now_ms());
}

/* What has come. False: the session has failed. */
static bool take_events(struct client *c)
{
	struct mqtt_packet packet;

	for (;;) {
		switch (mqtt_session_next(&c->session, &packet, cli_now_ms())) {
		case MQTT_EVENT_CONNECTED:
			if (!take_connected(c))
				return false;
			break;
		case MQTT_EVENT_SUBSCRIBED:
			if (!take_grants(c, packet.granted))
				return false;
			break;
		case MQTT_EVENT_MESSAGE:
			if (!take_message(c, &packet.publish))
				return false;
			break;
		case MQTT_EVENT_PONG:
			tell(c, "received PINGRESP");
			break;
		case MQTT_EVENT_CONFIRMED:
			break;
		case MQTT_EVENT_NONE:
			return true;
		case MQTT_EVENT_FAILED:
			return false;
		}
	}
}

static bool lose_connection(struct client *c, ssize_t status)
{
	const char *why = status == DTLS_CLOSED ? "the broker closed the connection" : dtls_conn_error(c->conn);
	char sentence[600];

	if (c->session.state == MQTT_CONNECTING)
		snprintf(sentence, sizeof(sentence), "%s; it has not answered CONNECT: its log may say why", why);
	else
		snprintf(sentence, sizeof(sentence), "%s%s", why, status == DTLS_CLOSED ? "; its log may say why" : "");
	return give_up(c, sentence);
}

/* False: the session has ended. */
static bool receive(struct client *c)
{
	char bytes[RECORD_MAX];
	ssize_t n = 0;
	int reads = 0;

	while (c->session.state != MQTT_ENDED && reads++ < READS_AT_ONCE) {
		n = dtls_conn_read(c->conn, bytes, sizeof(bytes));
		if (n < 0)
			break;
		if (!mqtt_session_received(&c->session, bytes, (size_t)n, cli_now_ms()) || !take_events(c))
			return give_up(c, c->session.error);
	}
	fflush(stdout);
	c->has_more = n > 0 && c->session.state != MQTT_ENDED;
	return n >= 0 || n == DTLS_WANT_READ || n == DTLS_WANT_WRITE || lose_connection(c, n);
}

/* Whatever the socket takes. A write that could not be finished is repeated with the same length. */
static bool send_output(struct client *c)
{
	struct mqtt_buffer *out = &c->session.out;

	c->waits_for_output = false;
	while (out->start < out->end) {
		size_t len = out->end - out->start;
		ssize_t n;

		if (c->attempt > 0)
			len = c->attempt;
		else if (len > RECORD_MAX)
			len = RECORD_MAX;
		n = dtls_conn_write(c->conn, out->bytes + out->start, len);
		if (n == DTLS_WANT_WRITE || n == DTLS_WANT_READ) {
			c->waits_for_output = n == DTLS_WANT_WRITE;
			c->attempt = len;
			return true;
		}
		if (n < 0)
			return lose_connection(c, n);
		c->attempt = 0;
		mqtt_session_sent(&c->session, (size_t)n, cli_now_ms());
	}
	return true;
}

static bool tick(struct client *c)
{
	bool was_asked = c->session.pong.until != INT64_MAX;

	if (!mqtt_session_tick(&c->session, cli_now_ms()))
		return give_up(c, c->session.error);
	if (!was_asked && c->session.pong.until != INT64_MAX)
		tell(c, "sending PINGREQ");
	return true;
}

/* False: the session has ended. */
static bool converse(struct client *c)
{
	struct mqtt_session *s = &c->session;

	if (s->state != MQTT_ENDED && !receive(c))
		return false;
	if (!tick(c))
		return false;
	if (s->state == MQTT_IDLE && c->options.publishes) {
		if (!publish(c))
			return give_up(c, s->error);
		if (is_all_published(c) && !mqtt_session_end(s, cli_now_ms()))
			return give_up(c, s->error);
	}
	return send_output(c) && (s->state != MQTT_ENDED || s->out.start < s->out.end);
}

static bool fail_handshake(struct client *c)
{
	int64_t found = dtls_conn_verify_result(c->conn);
	bool names_differ = found > 0 && (found & MBEDTLS_X509_BADCERT_CN_MISMATCH) != 0;

	complain(c, "%s%s", dtls_conn_error(c->conn),
	    names_differ ? "; --hostname=NAME says which name the certificate must have" : "");
	return false;
}

/* False: it has failed. */
static bool handshake(struct client *c)
{
	int status = dtls_conn_handshake(c->conn);
	int64_t now_ms = cli_now_ms();

	c->waits_for_output = status == DTLS_WANT_WRITE;
	if (status == DTLS_OK) {
		c->is_secured = true;
		if (!mqtt_session_begin(&c->session, &c->options.connect, c->options.timeout_ms, now_ms))
			return give_up(c, c->session.error);
		return converse(c);
	}
	if (status != DTLS_WANT_READ && status != DTLS_WANT_WRITE)
		return fail_handshake(c);
	if (now_ms < c->connect_by)
		return true;
	complain(c, "the handshake with %s was not done within %" PRId64 ".%03d s; does it speak TLS there?", c->name,
	    c->options.timeout_ms / 1000, (int)(c->options.timeout_ms % 1000));
	return false;
}

/* ---- the loop ---- */

static bool wants_input(const struct client *c)
{
	return c->is_secured && c->options.publishes && c->options.message == NULL && !c->at_end &&
	       mqtt_session_may_publish(&c->session);
}

static int wait_ms(const struct client *c)
{
	int64_t due_at = c->is_secured ? mqtt_session_due_at(&c->session) : c->connect_by;
	int64_t now_ms = cli_now_ms();
	int timeout = dtls_conn_timeout(c->conn);

	if (timeout >= 0 && now_ms + timeout < due_at)
		due_at = now_ms + timeout;
	if (c->has_more || due_at <= now_ms)
		return 0;
	return due_at - now_ms > INT_MAX ? -1 : (int)(due_at - now_ms);
}

static void wait(struct client *c)
{
	short events = c->waits_for_output ? POLLIN | POLLOUT : POLLIN;
	struct pollfd fds[] = {{.fd = c->fd, .events = events}, {.fd = c->signals, .events = POLLIN},
	    {.fd = wants_input(c) ? STDIN_FILENO : -1, .events = POLLIN}};

	if (poll(fds, 3, wait_ms(c)) < 0 && errno != EINTR)
		cli_fail("cannot wait for the socket: %s", strerror(errno));
	if (fds[2].revents != 0)
		read_input(c);
}

/* Of lines that were read, only those that are whole are still published. */
static void end_input(struct client *c)
{
	const uint8_t *start = c->in.bytes + c->in.start, *last = NULL;
	size_t len = c->in.end - c->in.start;

	if (len > 0)
		last = memrchr(start, '\n', len);
	if (len > 0 && last != start + len - 1)
		complain(c, "ended by a signal in the middle of a line, which was not published");
	c->in.end = c->in.start + (last != NULL ? (size_t)(last - start) + 1 : 0);
	c->searched = 0;
	c->at_end = true;
}

/* True: the program ends at once. */
static bool take_signal(struct client *c)
{
	int number = cli_take_signal(c->signals);

	if (number == 0 || number == SIGUSR1)
		return false;
	if (!c->is_secured || c->session.state == MQTT_CONNECTING || c->signals_taken++ > 0) {
		give_up(c, c->is_secured ? "ended by a signal before the session was over"
					 : "ended by a signal before the handshake was done");
		return true;
	}
	if (c->options.publishes && c->session.state == MQTT_IDLE)
		end_input(c);
	else if (c->session.state != MQTT_ENDED)
		mqtt_session_end(&c->session, cli_now_ms());
	return false;
}

/* Closing a socket while unread bytes wait resets the connection, and the broker may lose what it has not read yet: so
 * the broker's end is waited for, which DISCONNECT asks for (3.14.4). */
static void close_session(struct client *c)
{
	int64_t until = cli_now_ms() + 2000;
	char bytes[4096];
	struct pollfd fd = {.fd = c->fd, .events = POLLOUT};

	while (dtls_conn_close(c->conn) == DTLS_WANT_WRITE && poll(&fd, 1, 1000) > 0)
		;
	if (c->session.state != MQTT_ENDED || shutdown(c->fd, SHUT_WR) != 0)
		return;
	fd.events = POLLIN;
	while (cli_now_ms() < until && poll(&fd, 1, (int)(until - cli_now_ms())) > 0 &&
	       recv(c->fd, bytes, sizeof(bytes), 0) > 0)
		;
}

static void start(struct client *c)
{
	c->signals = cli_signals();
	signal(SIGPIPE, SIG_IGN);
	c->connect_by = c->started_at + c->options.timeout_ms;
	c->fd = mqtt_tcp_connect(c->options.broker, c->signals, c->connect_by, c->name);
	tell(c, "connected to %s", c->name);
	dtls_context_set_trace(c->options.dtls.ctx, hear_story, c);
	c->conn = dtls_wrap_socket(c->options.dtls.ctx, c->fd);
	if (c->conn == NULL)
		cli_usage("%s", dtls_context_error(c->options.dtls.ctx));
	if (c->options.hostname != NULL && dtls_conn_set_hostname(c->conn, c->options.hostname) != DTLS_OK)
		cli_usage("--hostname: %s", dtls_conn_error(c->conn));
}

static void run(struct client *c)
{
	while (!take_signal(c) && (c->is_secured ? converse(c) : handshake(c)))
		wait(c);
	close_session(c);
	tell(c, "messages %s: %" PRIu64, c->options.publishes ? "published" : "received",
	    c->options.publishes ? c->session.messages : c->received);
}

int main(int argc, char **argv)
{
	static struct client c;

	cli_guard_standard();
	c.started_at = cli_now_ms();
	if (mqtt_options_read(&c.options, argc, argv)) {
		start(&c);
		run(&c);
		dtls_conn_free(c.conn);
		close(c.fd);
	}
	mqtt_session_free(&c.session);
	mqtt_buffer_free(&c.in);
	mqtt_options_free(&c.options);
	return cli_finish(c.status);
}
