#include "coap_uplink.h"

#include "coap_start.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	PAUSE_MIN_MS = 1000,
	PAUSE_MAX_MS = 60000,
	EXCHANGE_LIFETIME_MS = 247000, /* RFC 7252, 4.8.2 */
	BLOCK = 1024,
	REFUSALS_MAX = 2, /* one may be forged: it comes in the clear */
};

/* ---- what is told ---- */

__attribute__((format(printf, 2, 3))) static void tell(const struct uplink *u, const char *format, ...)
{
	int64_t ms = cli_now_ms() - u->all->started_at;
	va_list args;

	if (u->all->quiet)
		return;
	fprintf(stderr, "%3" PRId64 ".%03d %s%s", ms / 1000, (int)(ms % 1000), u->name != NULL ? u->name : "",
	    u->name != NULL ? ": " : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
}

static const char *why_lost(const struct uplink *u)
{
	switch (u->reason) {
	case COAP_NACK_TOO_MANY_RETRIES:
		return "there is no answer";
	case COAP_NACK_RST:
		return "the server does not know what the session is about";
	case COAP_NACK_ICMP_ISSUE:
		return "nobody listens there";
	case COAP_NACK_NOT_DELIVERABLE:
		return u->is_connected ? "it cannot be reached" : "nobody answers the handshake";
	default:
		return u->complaint[0] != '\0' ? u->complaint : "the server has ended the session";
	}
}

/* ---- sessions ---- */

static coap_fixed_point_t seconds(unsigned s)
{
	return (coap_fixed_point_t){.integer_part = (uint16_t)s, .fractional_part = 0};
}

/* Between half and one and a half of it. */
static int64_t spread(int64_t ms)
{
	uint16_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return ms;
	return ms / 2 + ms * random / 65536;
}

static int64_t back_off(struct uplink *u)
{
	int64_t pause_ms = spread(u->pause_ms);

	u->retry_at = cli_now_ms() + pause_ms;
	u->pause_ms = u->pause_ms * 2 < PAUSE_MAX_MS ? u->pause_ms * 2 : PAUSE_MAX_MS;
	return pause_ms;
}

void uplink_close(struct uplink *u)
{
	coap_session_t *session = u->session;

	u->session = NULL;
	u->is_connected = u->is_sent = u->is_lost = u->is_refused = false;
	u->code = 0;
	u->complaint[0] = '\0';
	if (session == NULL)
		return;
	coap_session_set_app_data(session, NULL);
	/* What waits for an answer has references to the session. */
	coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
	coap_session_release(session);
}

/* A server that refuses twice, and has never accepted, will not accept later. True: this was the first time. */
static bool notice_refusal(struct uplink *u)
{
	if (!u->is_refused || u->was_connected)
		return false;
	if (++u->refusals < REFUSALS_MAX)
		return true;
	cli_fail("%s%s%s: %s", u->name != NULL ? u->name : "", u->name != NULL ? ": " : "",
	    u->all->target->host_and_port, why_lost(u));
}

/* A host with several addresses: those that are left are tried at once. */
static bool has_another_address(struct uplink *u)
{
	if (u->is_connected)
		return false;
	u->address = (u->address + 1) % u->all->target->address_count;
	return u->address != 0;
}

static void lose_session(struct uplink *u)
{
	const char *what = u->is_connected ? "disconnected" : "not connected";
	int64_t pause_ms;

	if (notice_refusal(u)) {
		back_off(u);
	} else if (has_another_address(u)) {
		if (u->all->verbose)
			tell(u, "%s: %s; the next address of %s", what, why_lost(u), u->all->target->host);
	} else if (queue_first(&u->queue) == NULL) {
		tell(u, "%s: %s", what, why_lost(u));
	} else {
		pause_ms = back_off(u);
		tell(u, "%s: %s; again in %" PRId64 ".%" PRId64 " s", what, why_lost(u), pause_ms / 1000,
		    pause_ms % 1000 / 100);
	}
	uplink_close(u);
}

static void fail_session(struct uplink *u, coap_nack_reason_t reason)
{
	u->is_lost = true;
	u->reason = reason;
	snprintf(u->complaint, sizeof(u->complaint), "%s", libcoap_complaint());
	libcoap_forget_complaint();
}

/* False: not now. */
static bool open_session(struct uplink *u)
{
	struct coap_target *t = u->all->target;
	char why[256];

	if (!coap_target_resolve(t, why, sizeof(why)) && t->address_count == 0) {
		back_off(u);
		tell(u, "not connected: %s", why);
		return false;
	}
	libcoap_forget_complaint();
	u->session = coap_credentials_connect(
	    u->all->credentials, u->all->coap, &t->addresses[u->address % t->address_count], u->key);
	if (u->session == NULL) {
		fail_session(u, COAP_NACK_TLS_FAILED);
		return false;
	}
	coap_session_set_app_data(u->session, u);
	coap_session_set_ack_timeout(u->session, seconds(u->all->ack_timeout_s));
	coap_session_set_max_retransmit(u->session, (uint16_t)u->all->max_retransmit);
	return true;
}

/* ---- readings ---- */

static void release(coap_session_t *session, void *text)
{
	(void)session;
	free(text);
}

/* The reading's number comes after the other options. False: no memory, or the reading does not fit. */
static bool fill_request(struct uplink *u, coap_pdu_t *request, const struct queue_reading *reading)
{
	char number[32], *text = malloc(reading->len);

	coap_session_new_token(u->session, &u->token_len, u->token);
	if (text == NULL || coap_add_token(request, u->token_len, u->token) == 0 ||
	    coap_add_optlist_pdu(request, &u->options) == 0 ||
	    coap_add_option(request, COAP_OPTION_URI_QUERY,
		(size_t)snprintf(number, sizeof(number), "n=%" PRIu64, reading->number), (uint8_t *)number) == 0) {
		free(text);
		return false;
	}
	memcpy(text, reading->text, reading->len);
	return coap_add_data_large_request(u->session, request, reading->len, (uint8_t *)text, release, text) != 0;
}

static bool send_reading(struct uplink *u, const struct queue_reading *reading, int64_t now_ms)
{
	coap_pdu_t *request = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, u->session);

	if (request == NULL)
		return false;
	if (!fill_request(u, request, reading)) {
		coap_delete_pdu(request);
		return false;
	}
	u->is_sent = true;
	u->sent_at = now_ms;
	return coap_send(u->session, request) != COAP_INVALID_MID;
}

static void take_acknowledgement(struct uplink *u, const struct queue_reading *reading)
{
	int64_t ms = cli_now_ms() - u->sent_at;

	u->all->counts.acknowledged++;
	u->pause_ms = PAUSE_MIN_MS;
	if (u->all->verbose)
		tell(u, "reading %" PRIu64 " acknowledged after %" PRId64 ".%03d s", reading->number, ms / 1000,
		    (int)(ms % 1000));
	u->all->acknowledged(u, reading);
	queue_drop_first(&u->queue);
}

/* Another client error than these will not go away by sending it again. */
static bool is_for_good(unsigned code)
{
	return code >> 5 == 4 && code != COAP_RESPONSE_CODE_INCOMPLETE && code != COAP_RESPONSE_CODE_TOO_MANY_REQUESTS;
}

static void take_answer(struct uplink *u)
{
	const struct queue_reading *reading = queue_first(&u->queue);
	char code[64];
	int64_t pause_ms;

	libcoap_code_text(u->code, code);
	if (u->code >> 5 == 2) {
		take_acknowledgement(u, reading);
	} else if (is_for_good(u->code)) {
		fprintf(stderr, "%s: the server refuses reading %" PRIu64 "%s%s: %s\n", program_invocation_short_name,
		    reading->number, u->name != NULL ? " of " : "", u->name != NULL ? u->name : "", code);
		u->all->counts.refused++;
		queue_drop_first(&u->queue);
	} else {
		pause_ms = back_off(u);
		tell(u, "reading %" PRIu64 " is not taken now: %s; again in %" PRId64 ".%" PRId64 " s", reading->number,
		    code, pause_ms / 1000, pause_ms % 1000 / 100);
	}
	u->is_sent = false;
	u->code = 0;
}

/* libcoap ends each attempt; but an answer that was announced may never come. */
static int64_t answer_due_at(const struct uplink *u)
{
	return u->sent_at + EXCHANGE_LIFETIME_MS * (1 + (int64_t)(queue_first(&u->queue)->len / BLOCK));
}

static int64_t wait_for_answer(struct uplink *u, int64_t now_ms)
{
	if (now_ms < answer_due_at(u))
		return answer_due_at(u);
	u->is_lost = true;
	u->reason = COAP_NACK_TOO_MANY_RETRIES;
	return now_ms;
}

int64_t uplink_step(struct uplink *u, int64_t now_ms)
{
	if (u->code != 0)
		take_answer(u);
	if (u->is_lost)
		lose_session(u);
	if (queue_first(&u->queue) == NULL)
		return INT64_MAX;
	if (u->is_sent)
		return wait_for_answer(u, now_ms);
	if (now_ms < u->retry_at)
		return u->retry_at;
	if (u->session == NULL && !open_session(u))
		return u->is_lost ? now_ms : u->retry_at;
	if (!send_reading(u, queue_first(&u->queue), now_ms)) {
		fail_session(u, COAP_NACK_NOT_DELIVERABLE);
		return now_ms;
	}
	return answer_due_at(u);
}

bool uplink_is_due(const struct uplink *u, int64_t now_ms)
{
	return u->code != 0 || u->is_lost ||
	       (u->session != NULL && !u->is_sent && queue_first(&u->queue) != NULL && now_ms >= u->retry_at);
}

/* ---- what libcoap tells: noted here, done by the next step, outside of it ---- */

static coap_response_t hear_answer(
    coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received, const coap_mid_t mid)
{
	struct uplink *u = coap_session_get_app_data(session);
	coap_bin_const_t token = coap_pdu_get_token(received);

	(void)sent, (void)mid;
	if (u != NULL && u->is_sent && token.length == u->token_len && memcmp(token.s, u->token, token.length) == 0)
		u->code = (unsigned)coap_pdu_get_code(received);
	return COAP_RESPONSE_OK;
}

static void hear_nack(
    coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason, const coap_mid_t mid)
{
	struct uplink *u = coap_session_get_app_data(session);

	(void)sent, (void)mid;
	if (u == NULL)
		return;
	u->is_lost = true;
	u->reason = reason;
}

static void notice_connection(struct uplink *u)
{
	u->is_connected = u->was_connected = true;
	u->sent_at = cli_now_ms(); /* what waited for it leaves now */
	u->all->counts.sessions++;
	tell(u, "connected to %s", u->all->target->host_and_port);
}

static int hear_event(coap_session_t *session, const coap_event_t event)
{
	struct uplink *u = coap_session_get_app_data(session);

	if (u == NULL)
		return 0;
	if (event == COAP_EVENT_DTLS_ERROR) {
		u->is_refused = !u->is_connected;
		fail_session(u, COAP_NACK_TLS_FAILED);
	}
	if (event == COAP_EVENT_DTLS_CLOSED && !u->is_lost) {
		fail_session(u, COAP_NACK_TLS_FAILED); /* hear_nack() may know better */
		if (u->is_connected)
			u->complaint[0] = '\0'; /* what was logged before is about something else */
	}
	if (event == COAP_EVENT_DTLS_CONNECTED)
		notice_connection(u);
	return 0;
}

void uplinks_hear(coap_context_t *coap)
{
	coap_register_response_handler(coap, hear_answer);
	coap_register_nack_handler(coap, hear_nack);
	coap_register_event_handler(coap, hear_event);
}

/* ---- its life ---- */

char *uplink_make_run(char run[17])
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		cli_fail("no randomness: %s", strerror(errno));
	snprintf(run, 17, "%016" PRIx64, random);
	return run;
}

void uplink_start(struct uplink *u, const char *run)
{
	const struct coap_key *key = u->key;

	queue_init(&u->queue, u->all->queue_max);
	u->options = coap_target_options(
	    u->all->target, key != NULL ? key->identity : NULL, key != NULL ? key->identity_len : 0, run);
	u->pause_ms = PAUSE_MIN_MS;
}

void uplink_free(struct uplink *u)
{
	uplink_close(u);
	coap_delete_optlist(u->options);
	queue_free(&u->queue);
}
