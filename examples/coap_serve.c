/* coap-sensor, serving: the last reading is a resource that clients fetch and observe (RFC 7641). */
#include "coap_sensor.h"
#include "coap_sensors.h"
#include "coap_start.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct serving {
	struct sensor_options *options;
	struct coap_peers peers;
	coap_context_t *coap;
	coap_resource_t *resource;
	struct sensor_value *value; /* NULL: no reading yet */
	uint64_t taken, fetched;
	int64_t next_at;
	int signals;
};

/* libcoap's events come with a session, and without an argument. */
static struct serving *the_serving;

/* ---- what is told ---- */

static void tell_counters(const struct serving *s, const char *when)
{
	fprintf(stderr,
	    "counters %s:\n"
	    "  readings %" PRIu64 ", sent to clients %" PRIu64 " times\n"
	    "  sessions %" PRIu64 ", open %zu, handshakes failed %" PRIu64 "\n",
	    when, s->taken, s->fetched, s->peers.connected, s->peers.open, s->peers.failed);
}

static void tell_session(const struct serving *s, const coap_session_t *session, const char *what)
{
	if (s->options->quiet)
		return;
	coap_peer_print(stderr, session);
	fprintf(stderr, " %s\n", what);
}

static int hear_event(coap_session_t *session, const coap_event_t event)
{
	struct serving *s = the_serving;

	if (event == COAP_EVENT_DTLS_CONNECTED) {
		(void)coap_peer_connected(&s->peers, session);
		tell_session(s, session, "connected");
	} else if (event == COAP_EVENT_DTLS_ERROR) {
		s->peers.failed++;
		tell_session(s, session, libcoap_complaint()[0] != '\0' ? libcoap_complaint() : "the handshake failed");
		libcoap_forget_complaint();
	} else if (event == COAP_EVENT_SERVER_SESSION_DEL) {
		coap_peer_gone(&s->peers, session);
	}
	return 0;
}

/* ---- the resource ---- */

static void release(coap_session_t *session, void *value)
{
	(void)session;
	sensor_value_release(value);
}

static void get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	struct serving *s = coap_resource_get_userdata(resource);

	if (s->value == NULL) {
		coap_pdu_set_code(response, COAP_RESPONSE_CODE_SERVICE_UNAVAILABLE);
		return;
	}
	s->fetched++;
	s->value->references++;
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
	coap_add_data_large_response(resource, session, request, response, query, s->value->format, -1, 0,
	    s->value->len, s->value->bytes, release, s->value);
}

static void make_resource(struct serving *s)
{
	const char *path = s->options->resource + (s->options->resource[0] == '/');

	s->resource = coap_resource_init(coap_make_str_const(path), COAP_RESOURCE_FLAGS_NOTIFY_CON);
	if (s->resource == NULL)
		cli_fail("out of memory");
	coap_register_request_handler(s->resource, COAP_REQUEST_GET, get);
	coap_resource_set_get_observable(s->resource, 1);
	coap_resource_set_userdata(s->resource, s);
	coap_add_attr(s->resource, coap_make_str_const("rt"), coap_make_str_const("\"reading\""), 0);
	coap_add_resource(s->coap, s->resource);
}

/* ---- readings ---- */

static void take(struct serving *s, const char *text, size_t len)
{
	struct sensor_value *value = malloc(sizeof(*value) + len);

	if (value == NULL)
		cli_fail("out of memory");
	*value = (struct sensor_value){.references = 1, .format = COAP_MEDIATYPE_TEXT_PLAIN, .len = len};
	memcpy(value->bytes, text, len);
	sensor_value_release(s->value);
	s->value = value;
	s->taken++;
	coap_resource_notify_observers(s->resource, NULL);
}

/* The newest is what counts: of several lines that have come, only the last is seen by anybody. */
static void take_lines(struct serving *s)
{
	struct source *source = &s->options->source;
	const char *line;
	size_t len;

	while ((line = source_line(source, &len)) != NULL) {
		take(s, line, len);
		source_drop(source);
	}
}

static bool has_made_all(const struct serving *s)
{
	return s->options->source.count > 0 && s->taken >= s->options->source.count;
}

static void make_up(struct serving *s)
{
	char text[SOURCE_TEXT];
	size_t len;

	if (has_made_all(s) || cli_now_ms() < s->next_at)
		return;
	len = source_make(s->taken + 1, text);
	take(s, text, len);
	s->next_at = cli_now_ms() + s->options->source.interval_ms;
}

/* ---- the loop ---- */

/* True when the program is to end. */
static bool handle_signals(struct serving *s)
{
	for (;;) {
		switch (cli_take_signal(s->signals)) {
		case 0:
			return false;
		case SIGHUP:
			coap_credentials_reload(&s->options->credentials, s->coap);
			break;
		case SIGUSR1:
			tell_counters(s, "on SIGUSR1");
			break;
		default:
			return true;
		}
	}
}

static int wait_ms(const struct serving *s)
{
	int64_t left = s->next_at - cli_now_ms();

	if (s->options->source.interval_ms == 0 || has_made_all(s))
		return -1;
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* The last reading is served when no new ones come, too. */
static void run(struct serving *s)
{
	struct source *source = &s->options->source;
	struct pollfd fds[] = {{.fd = coap_context_get_coap_fd(s->coap), .events = POLLIN},
	    {.fd = s->signals, .events = POLLIN}, {.events = POLLIN}};

	while (!handle_signals(s)) {
		if (source->interval_ms > 0)
			make_up(s);
		else
			take_lines(s);
		libcoap_work(s->coap);
		fds[2].fd = source->interval_ms == 0 && !source->lines.at_end ? STDIN_FILENO : -1;
		if (poll(fds, 3, wait_ms(s)) < 0 && errno != EINTR)
			cli_fail("cannot wait for the socket: %s", strerror(errno));
		if (fds[2].fd >= 0 && fds[2].revents != 0)
			source_read(source);
	}
}

int sensor_serve(struct sensor_options *o)
{
	struct serving s = {.options = o, .next_at = cli_now_ms()};

	the_serving = &s;
	o->credentials.given.server = true;
	o->credentials.peers = &s.peers;
	coap_credentials_load(&o->credentials);
	s.coap = libcoap_start(o->verbose);
	coap_credentials_serve(&o->credentials, s.coap);
	coap_register_event_handler(s.coap, hear_event);
	make_resource(&s);
	s.signals = cli_signals();
	libcoap_listen(s.coap, "--serve", o->serve);
	run(&s);
	libcoap_end(s.coap);
	tell_counters(&s, "at the end");
	coap_peers_free(&s.peers);
	sensor_value_release(s.value);
	close(s.signals);
	return o->source.has_skipped ? CLI_FAILED : EXIT_SUCCESS;
}
