#include "mqtt_session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const struct mqtt_wait nothing = {.until = INT64_MAX};

__attribute__((format(printf, 2, 3))) static bool fail(struct mqtt_session *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->error, sizeof(s->error), format, args);
	va_end(args);
	s->state = MQTT_FAILED;
	s->answer = s->pong = s->output = nothing;
	return false;
}

/* ---- what is asked ---- */

static bool is_awaited(const struct mqtt_wait *wait)
{
	return wait->until != INT64_MAX;
}

/* A packet was added to the output, if is_added; wait: for the answer to it, or NULL. */
static bool ask(struct mqtt_session *s, bool is_added, struct mqtt_wait *wait, int64_t now_ms)
{
	uint64_t asked = s->sent + (s->out.end - s->out.start);

	if (!is_added)
		return fail(s, "out of memory");
	if (!is_awaited(&s->output))
		s->output.until = now_ms + s->timeout_ms;
	if (wait != NULL)
		*wait = (struct mqtt_wait){now_ms + s->timeout_ms, asked};
	return true;
}

bool mqtt_session_begin(struct mqtt_session *s, const struct mqtt_connect *connect, int64_t timeout_ms, int64_t now_ms)
{
	*s = (struct mqtt_session){.state = MQTT_CONNECTING,
	    .timeout_ms = timeout_ms,
	    .keepalive_ms = connect->keepalive_s * INT64_C(1000),
	    .sent_at = now_ms,
	    .heard_at = now_ms,
	    .answer = nothing,
	    .pong = nothing,
	    .output = nothing};
	return ask(s, mqtt_add_connect(&s->out, connect), &s->answer, now_ms);
}

bool mqtt_session_subscribe(
    struct mqtt_session *s, const struct mqtt_bytes filters[], size_t count, uint8_t max_qos, int64_t now_ms)
{
	s->state = MQTT_SUBSCRIBING;
	s->filters = count;
	return ask(s, mqtt_add_subscribe(&s->out, ++s->last_id, filters, count, max_qos), &s->answer, now_ms);
}

bool mqtt_session_may_publish(const struct mqtt_session *s)
{
	return s->state == MQTT_IDLE && s->unconfirmed_count < MQTT_UNCONFIRMED_MAX &&
	       s->out.end - s->out.start < MQTT_WAITING_MAX;
}

/* An identifier that no unconfirmed message has, and not 0 (2.3.1). */
static uint16_t unused_id(struct mqtt_session *s)
{
	size_t i;

	do {
		if (++s->last_id == 0)
			s->last_id = 1;
		for (i = 0; i < s->unconfirmed_count && s->unconfirmed[i].id != s->last_id; i++)
			;
	} while (i < s->unconfirmed_count);
	return s->last_id;
}

bool mqtt_session_publish(struct mqtt_session *s, struct mqtt_publish message, int64_t now_ms)
{
	struct mqtt_wait wait = nothing;
	size_t last = s->unconfirmed_count;

	message.id = message.qos > 0 ? unused_id(s) : 0;
	s->messages++;
	if (!ask(s, mqtt_add_publish(&s->out, &message), &wait, now_ms))
		return false;
	if (message.qos == 0)
		return true;
	s->unconfirmed[last].id = message.id;
	s->unconfirmed[last].message = s->messages;
	s->unconfirmed[last].asked = wait.asked;
	s->unconfirmed_count++;
	if (last == 0)
		s->answer = wait;
	return true;
}

bool mqtt_session_end(struct mqtt_session *s, int64_t now_ms)
{
	s->state = MQTT_ENDED;
	s->answer = s->pong = nothing;
	return ask(s, mqtt_add_empty(&s->out, MQTT_DISCONNECT), NULL, now_ms);
}

void mqtt_session_free(struct mqtt_session *s)
{
	mqtt_buffer_free(&s->in);
	mqtt_buffer_free(&s->out);
}

/* ---- what has moved ---- */

bool mqtt_session_received(struct mqtt_session *s, const void *bytes, size_t len, int64_t now_ms)
{
	s->heard_at = now_ms;
	/* Any byte is a sign of life: a long message may be under way before the answer to a ping. */
	if (is_awaited(&s->pong))
		s->pong.until = now_ms + s->timeout_ms;
	return mqtt_buffer_append(&s->in, bytes, len) || fail(s, "out of memory");
}

void mqtt_session_sent(struct mqtt_session *s, size_t len, int64_t now_ms)
{
	struct mqtt_wait *const waits[] = {&s->answer, &s->pong};

	for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++)
		if (is_awaited(waits[i]) && s->sent < waits[i]->asked)
			waits[i]->until = now_ms + s->timeout_ms;
	s->sent += len;
	s->sent_at = now_ms;
	mqtt_buffer_drop(&s->out, len);
	s->output.until = s->out.start == s->out.end ? INT64_MAX : now_ms + s->timeout_ms;
}

/* ---- what has happened ---- */

static enum mqtt_event take_connack(struct mqtt_session *s, const struct mqtt_packet *packet)
{
	if (s->state != MQTT_CONNECTING) {
		fail(s, "the broker sent a second CONNACK");
		return MQTT_EVENT_FAILED;
	}
	if (packet->code != 0) {
		fail(s, "the broker refused the connection, code %u: %s", packet->code,
		    mqtt_connect_refusal(packet->code));
		return MQTT_EVENT_FAILED;
	}
	s->state = MQTT_IDLE;
	s->answer = nothing;
	return MQTT_EVENT_CONNECTED;
}

static enum mqtt_event take_suback(struct mqtt_session *s, const struct mqtt_packet *packet)
{
	if (s->state != MQTT_SUBSCRIBING || packet->id != s->last_id || packet->granted.len != s->filters) {
		fail(s, "the broker sent a SUBACK that answers no SUBSCRIBE of this client");
		return MQTT_EVENT_FAILED;
	}
	s->state = MQTT_SUBSCRIBED;
	s->answer = nothing;
	return MQTT_EVENT_SUBSCRIBED;
}

static enum mqtt_event take_puback(struct mqtt_session *s, const struct mqtt_packet *packet, int64_t now_ms)
{
	size_t i = 0;

	while (i < s->unconfirmed_count && s->unconfirmed[i].id != packet->id)
		i++;
	if (i == s->unconfirmed_count) {
		fail(s, "the broker confirmed packet %u, which was not sent to it", packet->id);
		return MQTT_EVENT_FAILED;
	}
	s->unconfirmed_count--;
	for (; i < s->unconfirmed_count; i++)
		s->unconfirmed[i] = s->unconfirmed[i + 1];
	if (s->unconfirmed_count == 0)
		s->answer = nothing;
	else
		s->answer = (struct mqtt_wait){now_ms + s->timeout_ms, s->unconfirmed[0].asked};
	return MQTT_EVENT_CONFIRMED;
}

static enum mqtt_event take(struct mqtt_session *s, const struct mqtt_packet *packet, int64_t now_ms)
{
	if (s->state == MQTT_CONNECTING && packet->type != MQTT_CONNACK) {
		fail(s, "the broker's first packet is not a CONNACK"); /* 3.2 */
		return MQTT_EVENT_FAILED;
	}
	switch (packet->type) {
	case MQTT_CONNACK:
		return take_connack(s, packet);
	case MQTT_SUBACK:
		return take_suback(s, packet);
	case MQTT_PUBACK:
		return take_puback(s, packet, now_ms);
	case MQTT_PUBLISH: /* may come before the SUBACK (3.8.4) */
		if (s->state == MQTT_SUBSCRIBING || s->state == MQTT_SUBSCRIBED)
			return MQTT_EVENT_MESSAGE;
		fail(s, "the broker sent a message, though nothing was subscribed to");
		return MQTT_EVENT_FAILED;
	default:
		s->pong = nothing;
		return MQTT_EVENT_PONG;
	}
}

enum mqtt_event mqtt_session_next(struct mqtt_session *s, struct mqtt_packet *packet, int64_t now_ms)
{
	const char *why;
	long len;

	mqtt_buffer_drop(&s->in, s->taken);
	s->taken = 0;
	if (s->state == MQTT_FAILED)
		return MQTT_EVENT_FAILED;
	if (s->in.start == s->in.end || s->state == MQTT_ENDED)
		return MQTT_EVENT_NONE;
	len = mqtt_parse(s->in.bytes + s->in.start, s->in.end - s->in.start, packet, &why);
	if (len == 0)
		return MQTT_EVENT_NONE;
	if (len < 0) {
		fail(s, "the broker sent %s%s", why,
		    s->state == MQTT_CONNECTING ? "; does a broker for MQTT 3.1.1 listen there?" : "");
		return MQTT_EVENT_FAILED;
	}
	s->taken = (size_t)len;
	return take(s, packet, now_ms);
}

bool mqtt_session_acknowledge(struct mqtt_session *s, const struct mqtt_publish *message, int64_t now_ms)
{
	return message->qos == 0 || ask(s, mqtt_add_puback(&s->out, message->id), NULL, now_ms);
}

/* ---- time ---- */

/* From when on a PINGREQ is due: early, because a late one ends the session at the broker (3.1.2.10), and also when
 * only the broker was silent, to see whether it is still there. */
static int64_t ping_at(const struct mqtt_session *s)
{
	int64_t quiet_since = s->sent_at < s->heard_at ? s->sent_at : s->heard_at;
	bool is_on = s->state == MQTT_IDLE || s->state == MQTT_SUBSCRIBING || s->state == MQTT_SUBSCRIBED;

	return is_on && s->keepalive_ms > 0 && !is_awaited(&s->pong) ? quiet_since + s->keepalive_ms * 3 / 4
								     : INT64_MAX;
}

int64_t mqtt_session_due_at(const struct mqtt_session *s)
{
	const int64_t times[] = {s->answer.until, s->pong.until, s->output.until};
	int64_t due_at = ping_at(s);

	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++)
		if (times[i] < due_at)
			due_at = times[i];
	return due_at;
}

static bool fail_late(struct mqtt_session *s)
{
	char what[60];

	if (s->state == MQTT_CONNECTING)
		snprintf(what, sizeof(what), "answer CONNECT");
	else if (s->state == MQTT_SUBSCRIBING)
		snprintf(what, sizeof(what), "answer SUBSCRIBE");
	else
		snprintf(what, sizeof(what), "confirm message %" PRIu64, s->unconfirmed[0].message);
	return fail(s, "the broker did not %s within %" PRId64 ".%03d s", what, s->timeout_ms / 1000,
	    (int)(s->timeout_ms % 1000));
}

bool mqtt_session_tick(struct mqtt_session *s, int64_t now_ms)
{
	if (s->state == MQTT_FAILED)
		return false;
	if (now_ms >= s->output.until)
		return fail(s, "the broker took no byte for %" PRId64 ".%03d s", s->timeout_ms / 1000,
		    (int)(s->timeout_ms % 1000));
	if (now_ms >= s->answer.until)
		return fail_late(s);
	if (now_ms >= s->pong.until)
		return fail(s, "the broker fell silent: nothing came for %" PRId64 ".%03d s after a ping",
		    s->timeout_ms / 1000, (int)(s->timeout_ms % 1000));
	if (now_ms >= ping_at(s))
		return ask(s, mqtt_add_empty(&s->out, MQTT_PINGREQ), &s->pong, now_ms);
	return true;
}
