#include "coap_ends.h"

#include "suites.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- time ---- */

static int64_t
    stopped_ms[CLOCK_MONOTONIC + 1]; /* CLOCK_REALTIME and CLOCK_MONOTONIC when they were stopped; 0: they run */
static int64_t passed_ms; /* since then */

int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);

/* The linker gives every call of clock_gettime() in this program to us. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int64_t now_ms;

	if (clock > CLOCK_MONOTONIC || stopped_ms[clock] == 0)
		return __real_clock_gettime(clock, t);
	now_ms = stopped_ms[clock] + passed_ms;
	t->tv_sec = now_ms / 1000;
	t->tv_nsec = now_ms % 1000 * 1000000;
	return 0;
}

static void stop_clocks(void)
{
	struct timespec t;

	for (clockid_t clock = 0; clock <= CLOCK_MONOTONIC; clock++) {
		__real_clock_gettime(clock, &t);
		stopped_ms[clock] = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + 1; /* never back */
	}
}

/* ---- what is logged ---- */

static char logged[1 << 16];

static void keep_line(coap_log_t level, const char *message)
{
	size_t used = strlen(logged);

	(void)level;
	if (used + strlen(message) + 1 > sizeof(logged))
		used = 0;
	snprintf(logged + used, sizeof(logged) - used, "%s", message);
}

const char *coap_log_text(void)
{
	return logged;
}

void coap_log_clear(void)
{
	logged[0] = '\0';
}

/* ---- what is heard ---- */

static struct coap_end *end_of(const coap_session_t *session)
{
	return coap_get_app_data(coap_session_get_context(session));
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
	struct coap_end *end = end_of(session);

	if (end->event_count < COAP_SEEN_MAX)
		end->events[end->event_count] = event;
	end->event_count++;
	if (coap_session_get_type(session) != COAP_SESSION_TYPE_CLIENT)
		end->session = event == COAP_EVENT_SERVER_SESSION_DEL ? NULL : session;
	if (end->on_event != NULL)
		end->on_event(end, session, event);
	return 0;
}

static void on_nack(
    coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason, const coap_mid_t mid)
{
	struct coap_end *end = end_of(session);

	(void)sent, (void)mid;
	if (end->nack_count < COAP_SEEN_MAX)
		end->nacks[end->nack_count] = reason;
	end->nack_count++;
}

static void keep_body(struct coap_end *end, const coap_pdu_t *pdu)
{
	size_t len, offset, total;
	const uint8_t *data;

	if (!coap_get_data_large(pdu, &len, &data, &offset, &total) || len > sizeof(end->body))
		return;
	memcpy(end->body, data, len);
	end->body_len = len;
}

static coap_response_t on_response(
    coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received, const coap_mid_t mid)
{
	struct coap_end *end = end_of(session);
	int code = coap_pdu_get_code(received);

	(void)sent, (void)mid;
	end->responses++;
	end->code = (code >> 5) * 100 + (code & 0x1f);
	keep_body(end, received);
	return COAP_RESPONSE_OK;
}

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	static uint8_t answer[COAP_BODY_MAX];
	const struct coap_ends *e = coap_resource_get_userdata(resource);
	struct coap_end *end = end_of(session);

	end->requests++;
	end->session = session;
	if (end->on_request != NULL)
		end->on_request(end, session);
	memset(answer, 'a', e->answer_len);
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
	coap_add_data_large_response(resource, session, request, response, query, COAP_MEDIATYPE_TEXT_PLAIN, -1, 0,
	    e->answer_len, answer, NULL, NULL);
}

static void on_put(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
    const coap_string_t *query, coap_pdu_t *response)
{
	struct coap_end *end = end_of(session);

	(void)resource, (void)query;
	end->requests++;
	end->session = session;
	keep_body(end, request);
	coap_pdu_set_code(response, COAP_RESPONSE_CODE_CHANGED);
}

/* ---- life ---- */

static void add_resource(struct coap_ends *e)
{
	coap_resource_t *resource = coap_resource_init(coap_make_str_const("r"), 0);

	coap_resource_set_userdata(resource, e);
	coap_register_request_handler(resource, COAP_REQUEST_GET, on_get);
	coap_register_request_handler(resource, COAP_REQUEST_PUT, on_put);
	coap_add_resource(e->server.ctx, resource);
}

static void open_end(struct coap_end *end)
{
	end->ctx = coap_new_context(NULL);
	ck_assert_ptr_nonnull(end->ctx);
	coap_set_app_data(end->ctx, end);
	coap_context_set_block_mode(end->ctx, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
	coap_register_event_handler(end->ctx, on_event);
	coap_register_nack_handler(end->ctx, on_nack);
	coap_register_response_handler(end->ctx, on_response);
}

void coap_open(struct coap_ends *e)
{
	memset(e, 0, sizeof(*e));
	e->answer_len = 5;
	stop_clocks();
	coap_startup();
	coap_log_clear();
	coap_set_log_handler(keep_line);
	coap_set_log_level(LOG_WARNING);
	coap_set_show_pdu_output(0);
	open_end(&e->server);
	open_end(&e->client);
	add_resource(e);
}

void coap_restart_server(struct coap_ends *e)
{
	coap_free_end(&e->server);
	open_end(&e->server);
	add_resource(e);
}

void coap_serve_psk(struct coap_ends *e)
{
	ck_assert_int_eq(coap_context_set_psk(e->server.ctx, "hint", (const uint8_t *)COAP_KEY, strlen(COAP_KEY)), 1);
}

int coap_udp_socket(coap_address_t *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address->addr.sin);

	coap_address_init(address);
	address->size = len;
	address->addr.sin.sin_family = AF_INET;
	address->addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, &address->addr.sa, len), 0);
	ck_assert_int_eq(getsockname(fd, &address->addr.sa, &len), 0);
	return fd;
}

void coap_listen(struct coap_ends *e)
{
	coap_endpoint_t *endpoint = NULL;

	/* libcoap does not tell which port it got for 0: one that was free a moment ago usually still is. */
	for (int i = 0; i < 20 && endpoint == NULL; i++) {
		close(coap_udp_socket(&e->address));
		endpoint = coap_new_endpoint(e->server.ctx, &e->address, COAP_PROTO_DTLS);
	}
	ck_assert_ptr_nonnull(endpoint);
}

void coap_listen_again(struct coap_ends *e)
{
	ck_assert_ptr_nonnull(coap_new_endpoint(e->server.ctx, &e->address, COAP_PROTO_DTLS));
}

void coap_free_end(struct coap_end *end)
{
	coap_session_t *session = end->session;

	if (session != NULL && coap_session_get_type(session) == COAP_SESSION_TYPE_CLIENT)
		coap_session_release(session);
	end->session = NULL;
	coap_free_context(end->ctx);
	end->ctx = NULL;
}

void coap_close(struct coap_ends *e)
{
	coap_free_end(&e->client);
	coap_free_end(&e->server);
	coap_cleanup();
}

/* ---- clients ---- */

coap_dtls_cpsk_t coap_cpsk(const char *identity, const char *key)
{
	coap_dtls_cpsk_t setup = {.version = COAP_DTLS_CPSK_SETUP_VERSION};

	setup.psk_info.identity = (coap_bin_const_t){strlen(identity), (const uint8_t *)identity};
	setup.psk_info.key = (coap_bin_const_t){strlen(key), (const uint8_t *)key};
	return setup;
}

void coap_call_psk_with(struct coap_ends *e, coap_dtls_cpsk_t *setup)
{
	coap_session_release(e->client.session);
	e->client.session = coap_new_client_session_psk2(e->client.ctx, NULL, &e->address, COAP_PROTO_DTLS, setup);
	ck_assert_ptr_nonnull(e->client.session);
}

void coap_call_psk(struct coap_ends *e, const char *identity, const char *key)
{
	coap_dtls_cpsk_t setup = coap_cpsk(identity, key);

	coap_call_psk_with(e, &setup);
}

void coap_ask(struct coap_ends *e, const void *body, size_t len)
{
	coap_session_t *s = e->client.session;
	coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, body != NULL ? COAP_REQUEST_CODE_PUT : COAP_REQUEST_CODE_GET,
	    coap_new_message_id(s), coap_session_max_pdu_size(s));
	uint8_t token[8];
	size_t token_len;

	ck_assert_ptr_nonnull(pdu);
	coap_session_new_token(s, &token_len, token);
	coap_add_token(pdu, token_len, token);
	coap_add_option(pdu, COAP_OPTION_URI_PATH, 1, (const uint8_t *)"r");
	if (body != NULL)
		coap_add_data_large_request(s, pdu, len, body, NULL, NULL);
	coap_send(s, pdu);
}

/* ---- running ---- */

enum { TURNS = 40, TURN_US = 50, TURNS_MAX = 20000 };

static void turn(struct coap_ends *e)
{
	if (e->client.ctx != NULL)
		coap_io_process(e->client.ctx, COAP_IO_NO_WAIT);
	if (e->server.ctx != NULL)
		coap_io_process(e->server.ctx, COAP_IO_NO_WAIT);
	usleep(TURN_US);
}

void coap_work(struct coap_ends *e)
{
	for (int i = 0; i < TURNS; i++)
		turn(e);
}

void coap_until(struct coap_ends *e, bool (*done)(const struct coap_ends *))
{
	for (int i = 0; i < TURNS_MAX && !done(e); i++)
		turn(e);
	ck_assert_msg(done(e), "it does not come; what was logged: %s", logged);
}

static bool has_answer(const struct coap_ends *e)
{
	return e->client.responses > 0;
}

void coap_assert_served(struct coap_ends *e)
{
	e->client.responses = 0;
	coap_ask(e, NULL, 0);
	coap_until(e, has_answer);
	ck_assert_int_eq(e->client.code, 205);
	ck_assert_uint_eq(e->client.body_len, e->answer_len);
}

void coap_pass(struct coap_ends *e, int64_t ms)
{
	passed_ms += ms;
	coap_work(e);
}

/* ---- assertions ---- */

static const char *event_name(int event)
{
	switch (event) {
	case COAP_EVENT_DTLS_CLOSED:
		return "CLOSED";
	case COAP_EVENT_DTLS_CONNECTED:
		return "CONNECTED";
	case COAP_EVENT_DTLS_RENEGOTIATE:
		return "RENEGOTIATE";
	case COAP_EVENT_DTLS_ERROR:
		return "ERROR";
	case COAP_EVENT_SERVER_SESSION_NEW:
		return "NEW";
	case COAP_EVENT_SERVER_SESSION_DEL:
		return "DEL";
	default:
		return "?";
	}
}

void coap_assert_events(struct coap_end *end, const char *who, ...)
{
	char seen[512] = "", expected[512] = "";
	va_list args;
	int event;

	for (size_t i = 0; i < end->event_count && i < COAP_SEEN_MAX; i++)
		snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s ", event_name((int)end->events[i]));
	va_start(args, who);
	while ((event = va_arg(args, int)) != COAP_EVENTS_END)
		snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s ", event_name(event));
	va_end(args);
	ck_assert_msg(strcmp(seen, expected) == 0, "%s: %s instead of %s", who, seen, expected);
	end->event_count = 0;
}
