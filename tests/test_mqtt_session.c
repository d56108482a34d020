#include "examples/mqtt_session.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

#define TEXT(literal) ((struct mqtt_bytes){(const uint8_t *)(literal), sizeof(literal) - 1})

enum { TIMEOUT = 30000, KEEPALIVE_S = 60, PING_AFTER = 45000 };

struct client {
	struct mqtt_session s;
	struct mqtt_packet packet; /* the last one that came */
};

static void begin_with(struct client *c, uint16_t keepalive_s, int64_t timeout_ms)
{
	const struct mqtt_connect connect = {.client_id = TEXT("c"), .keepalive_s = keepalive_s};

	ck_assert(mqtt_session_begin(&c->s, &connect, timeout_ms, 0));
}

static struct client begun(void)
{
	struct client c;

	begin_with(&c, KEEPALIVE_S, TIMEOUT);
	return c;
}

static void end(struct client *c)
{
	mqtt_session_free(&c->s);
}

static size_t waiting(const struct client *c)
{
	return c->s.out.end - c->s.out.start;
}

#define WAITS(c, literal) waits(c, literal, sizeof(literal) - 1)

/* This is what is to be sent. */
static void waits(const struct client *c, const char *expected, size_t len)
{
	ck_assert_uint_eq(waiting(c), len);
	ck_assert_mem_eq(c->s.out.bytes + c->s.out.start, expected, len);
}

/* All of it leaves. */
static void leave(struct client *c, int64_t now_ms)
{
	mqtt_session_sent(&c->s, waiting(c), now_ms);
}

#define HEAR(c, literal, now_ms) hear(c, literal, sizeof(literal) - 1, now_ms)

static enum mqtt_event hear(struct client *c, const char *bytes, size_t len, int64_t now_ms)
{
	ck_assert(mqtt_session_received(&c->s, bytes, len, now_ms));
	return mqtt_session_next(&c->s, &c->packet, now_ms);
}

#define CONNACK  "\x20\x02\0\0"
#define PINGRESP "\xd0\0"
#define MESSAGE  "\x32\x06\0\x01t\0\x09m"

static void connect_at(struct client *c, int64_t now_ms)
{
	leave(c, now_ms);
	ck_assert_int_eq(HEAR(c, CONNACK, now_ms), MQTT_EVENT_CONNECTED);
}

static struct client connected(void)
{
	struct client c = begun();

	connect_at(&c, 0);
	return c;
}

static void publish(struct client *c, uint8_t qos, int64_t now_ms)
{
	const struct mqtt_publish message = {.topic = TEXT("t"), .payload = TEXT("m"), .qos = qos};

	ck_assert(mqtt_session_may_publish(&c->s));
	ck_assert(mqtt_session_publish(&c->s, message, now_ms));
}

static enum mqtt_event hear_puback(struct client *c, uint16_t id, int64_t now_ms)
{
	const char bytes[] = {0x40, 2, (char)(id >> 8), (char)id};

	return hear(c, bytes, sizeof(bytes), now_ms);
}

static void subscribe(struct client *c, int64_t now_ms)
{
	const struct mqtt_bytes filters[] = {TEXT("a"), TEXT("b")};

	ck_assert(mqtt_session_subscribe(&c->s, filters, 2, 1, now_ms));
}

/* This is the end of it. */
static void failed(struct client *c, const char *words)
{
	ck_assert_int_eq(c->s.state, MQTT_FAILED);
	ck_assert_int_eq(mqtt_session_next(&c->s, &c->packet, 0), MQTT_EVENT_FAILED);
	ck_assert(!mqtt_session_tick(&c->s, 0));
	ck_assert_msg(strstr(c->s.error, words) != NULL, "\"%s\" is not in \"%s\"", words, c->s.error);
	end(c);
}

/* Nothing is due before this time, and then it has failed with these words. */
static void fails_at(struct client *c, int64_t due_at, const char *words)
{
	ck_assert_int_eq(mqtt_session_due_at(&c->s), due_at);
	ck_assert(mqtt_session_tick(&c->s, due_at - 1));
	ck_assert(!mqtt_session_tick(&c->s, due_at));
	failed(c, words);
}

/* ---- answers ---- */

START_TEST(mqtt_connack_is_awaited)
{
	struct client c = begun();

	leave(&c, 100);
	fails_at(&c, 100 + TIMEOUT, "did not answer CONNECT within 30.000 s");
}
END_TEST

START_TEST(mqtt_connect_that_cannot_leave)
{
	struct client c = begun();

	fails_at(&c, TIMEOUT, "took no byte for 30.000 s");
}
END_TEST

START_TEST(mqtt_first_packet_must_be_a_connack)
{
	struct client c = begun();

	ck_assert_int_eq(HEAR(&c, PINGRESP, 0), MQTT_EVENT_FAILED);
	failed(&c, "first packet is not a CONNACK");
}
END_TEST

START_TEST(mqtt_refused_connection_is_explained)
{
	struct client c = begun();

	ck_assert_int_eq(HEAR(&c, "\x20\x02\0\x05", 0), MQTT_EVENT_FAILED);
	failed(&c, "code 5: this client may not connect (not authorized)");
}
END_TEST

START_TEST(mqtt_connack_comes_once)
{
	struct client c = connected();

	ck_assert_int_eq(HEAR(&c, CONNACK, 0), MQTT_EVENT_FAILED);
	failed(&c, "second CONNACK");
}
END_TEST

START_TEST(mqtt_malformed_bytes_end_the_session)
{
	struct client c = begun();

	ck_assert_int_eq(HEAR(&c, "SSH-2.0", 0), MQTT_EVENT_FAILED);
	failed(&c, "does a broker for MQTT 3.1.1 listen there?");
}
END_TEST

START_TEST(mqtt_packets_in_single_bytes)
{
	struct client c = begun();

	leave(&c, 0);
	ck_assert_int_eq(HEAR(&c, "\x20", 0), MQTT_EVENT_NONE);
	ck_assert_int_eq(HEAR(&c, "\x02", 0), MQTT_EVENT_NONE);
	ck_assert_int_eq(HEAR(&c, "\0", 0), MQTT_EVENT_NONE);
	ck_assert_int_eq(HEAR(&c, "\0", 0), MQTT_EVENT_CONNECTED);
	ck_assert_int_eq(mqtt_session_next(&c.s, &c.packet, 0), MQTT_EVENT_NONE);
	end(&c);
}
END_TEST

/* ---- publishing ---- */

START_TEST(mqtt_qos_0_awaits_no_answer)
{
	struct client c = connected();

	publish(&c, 0, 10);
	WAITS(&c, "\x30\x04\0\x01tm");
	leave(&c, 20);
	ck_assert_uint_eq(c.s.unconfirmed_count, 0);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), PING_AFTER);
	end(&c);
}
END_TEST

START_TEST(mqtt_each_qos_1_message_is_awaited)
{
	struct client c = connected();

	publish(&c, 1, 0);
	publish(&c, 1, 0);
	publish(&c, 1, 0);
	leave(&c, 50);
	ck_assert_int_eq(hear_puback(&c, 2, 100), MQTT_EVENT_CONFIRMED); /* in any order */
	ck_assert_int_eq(hear_puback(&c, 1, 200), MQTT_EVENT_CONFIRMED);
	ck_assert_uint_eq(c.s.unconfirmed_count, 1);
	fails_at(&c, 200 + TIMEOUT, "did not confirm message 3 within");
}
END_TEST

/* The clock of an answer begins when its question has left, however long that takes. */
START_TEST(mqtt_slow_output_is_not_a_slow_answer)
{
	struct client c;
	int64_t now_ms = 0;

	begin_with(&c, 0, TIMEOUT);
	connect_at(&c, 0);
	publish(&c, 1, 0);
	while (waiting(&c) > 0) {
		ck_assert_int_eq(mqtt_session_due_at(&c.s), now_ms + TIMEOUT);
		now_ms += TIMEOUT - 1;
		ck_assert(mqtt_session_tick(&c.s, now_ms));
		mqtt_session_sent(&c.s, 1, now_ms);
	}
	ck_assert_int_eq(now_ms, 8 * (TIMEOUT - 1));
	fails_at(&c, now_ms + TIMEOUT, "did not confirm message 1");
}
END_TEST

/* A ping and its answer are no sign that a message arrived. */
START_TEST(mqtt_pings_do_not_stand_for_a_confirmation)
{
	struct client c;

	begin_with(&c, 4, 10000);
	connect_at(&c, 0);
	publish(&c, 1, 0);
	leave(&c, 0);
	for (int64_t now_ms = 3000; now_ms <= 9000; now_ms += 3000) {
		ck_assert_int_eq(mqtt_session_due_at(&c.s), now_ms);
		ck_assert(mqtt_session_tick(&c.s, now_ms));
		leave(&c, now_ms);
		ck_assert_int_eq(HEAR(&c, PINGRESP, now_ms), MQTT_EVENT_PONG);
	}
	fails_at(&c, 10000, "did not confirm message 1 within 10.000 s");
}
END_TEST

START_TEST(mqtt_messages_wait_for_confirmations)
{
	struct client c = connected();

	for (int i = 0; i < MQTT_UNCONFIRMED_MAX; i++)
		publish(&c, 1, 0);
	ck_assert(!mqtt_session_may_publish(&c.s));
	ck_assert_int_eq(hear_puback(&c, 1, 0), MQTT_EVENT_CONFIRMED);
	ck_assert(mqtt_session_may_publish(&c.s));
	end(&c);
}
END_TEST

START_TEST(mqtt_messages_wait_for_the_output)
{
	static uint8_t payload[MQTT_WAITING_MAX];
	const struct mqtt_publish message = {.topic = TEXT("t"), .payload = {payload, sizeof(payload)}};
	struct client c = connected();

	ck_assert(mqtt_session_publish(&c.s, message, 0));
	ck_assert(!mqtt_session_may_publish(&c.s));
	mqtt_session_sent(&c.s, 100, 0);
	ck_assert(mqtt_session_may_publish(&c.s));
	end(&c);
}
END_TEST

/* 70,000 messages: no identifier is 0 (2.3.1), nor that of a message that is still unconfirmed, here the first one's. */
START_TEST(mqtt_identifiers_are_used_again)
{
	struct client c = connected();

	publish(&c, 1, 0);
	for (int i = 0; i < 70000; i++) {
		publish(&c, 1, 0);
		ck_assert_uint_eq(c.s.unconfirmed_count, 2);
		ck_assert_uint_ne(c.s.unconfirmed[1].id, 0);
		ck_assert_uint_ne(c.s.unconfirmed[1].id, 1);
		leave(&c, 0);
		ck_assert_int_eq(hear_puback(&c, c.s.unconfirmed[1].id, 0), MQTT_EVENT_CONFIRMED);
	}
	end(&c);
}
END_TEST

START_TEST(mqtt_confirmation_of_nothing)
{
	struct client c = connected();

	publish(&c, 1, 0);
	ck_assert_int_eq(hear_puback(&c, 2, 0), MQTT_EVENT_FAILED);
	failed(&c, "confirmed packet 2, which was not sent");
}
END_TEST

/* ---- subscribing ---- */

START_TEST(mqtt_messages_may_come_before_the_suback)
{
	struct client c = connected();

	subscribe(&c, 0);
	leave(&c, 0);
	ck_assert_int_eq(HEAR(&c, MESSAGE "\x90\x04\0\x01\x01\x80", 0), MQTT_EVENT_MESSAGE);
	ck_assert(mqtt_session_acknowledge(&c.s, &c.packet.publish, 0));
	ck_assert_int_eq(mqtt_session_next(&c.s, &c.packet, 0), MQTT_EVENT_SUBSCRIBED);
	ck_assert_mem_eq(c.packet.granted.start, "\x01\x80", 2);
	WAITS(&c, "\x40\x02\0\x09");
	end(&c);
}
END_TEST

START_TEST(mqtt_suback_is_awaited)
{
	struct client c = connected();

	subscribe(&c, 0);
	leave(&c, 5);
	fails_at(&c, 5 + TIMEOUT, "did not answer SUBSCRIBE within");
}
END_TEST

START_TEST(mqtt_suback_of_another_subscription)
{
	static const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {{"\x90\x04\0\x02\0\0", 6}, {"\x90\x03\0\x01\0", 5}, {"\x90\x05\0\x01\0\0\0", 7}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct client c = connected();

		subscribe(&c, 0);
		ck_assert_int_eq(hear(&c, wrong[i].bytes, wrong[i].len, 0), MQTT_EVENT_FAILED);
		failed(&c, "answers no SUBSCRIBE");
	}
}
END_TEST

START_TEST(mqtt_message_without_a_subscription)
{
	struct client c = connected();

	ck_assert_int_eq(HEAR(&c, MESSAGE, 0), MQTT_EVENT_FAILED);
	failed(&c, "nothing was subscribed to");
}
END_TEST

START_TEST(mqtt_qos_0_is_not_acknowledged)
{
	struct client c = connected();

	subscribe(&c, 0);
	leave(&c, 0);
	ck_assert_int_eq(HEAR(&c, "\x30\x04\0\x01tm", 0), MQTT_EVENT_MESSAGE);
	ck_assert(mqtt_session_acknowledge(&c.s, &c.packet.publish, 0));
	ck_assert_uint_eq(waiting(&c), 0);
	end(&c);
}
END_TEST

/* ---- keeping alive ---- */

START_TEST(mqtt_ping_when_all_is_quiet)
{
	struct client c = begun();

	connect_at(&c, 1000);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), 1000 + PING_AFTER);
	ck_assert(mqtt_session_tick(&c.s, 999 + PING_AFTER));
	ck_assert_uint_eq(waiting(&c), 0);
	ck_assert(mqtt_session_tick(&c.s, 1000 + PING_AFTER));
	WAITS(&c, "\xc0\0");
	leave(&c, 1000 + PING_AFTER);
	ck_assert_int_eq(HEAR(&c, PINGRESP, 1100 + PING_AFTER), MQTT_EVENT_PONG);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), 1000 + 2 * PING_AFTER);
	end(&c);
}
END_TEST

/* A publisher with QoS 0 hears nothing, a subscriber says nothing: each asks. */
START_TEST(mqtt_ping_when_one_side_is_quiet)
{
	struct client c = connected();

	publish(&c, 0, 40000);
	leave(&c, 40000);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), PING_AFTER);
	ck_assert(mqtt_session_tick(&c.s, PING_AFTER));
	ck_assert_uint_eq(waiting(&c), 2);
	leave(&c, PING_AFTER);
	ck_assert_int_eq(HEAR(&c, PINGRESP, 80000), MQTT_EVENT_PONG);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), 2 * PING_AFTER);
	end(&c);
}
END_TEST

START_TEST(mqtt_silence_after_a_ping)
{
	struct client c = connected();

	ck_assert(mqtt_session_tick(&c.s, PING_AFTER));
	leave(&c, PING_AFTER);
	fails_at(&c, PING_AFTER + TIMEOUT, "fell silent");
}
END_TEST

START_TEST(mqtt_any_byte_is_a_sign_of_life)
{
	struct client c = connected();

	subscribe(&c, 0);
	leave(&c, 0);
	ck_assert_int_eq(HEAR(&c, "\x90\x04\0\x01\0\0", 0), MQTT_EVENT_SUBSCRIBED);
	ck_assert(mqtt_session_tick(&c.s, PING_AFTER));
	leave(&c, PING_AFTER);
	ck_assert_int_eq(HEAR(&c, "\x30\xff\x01\0\x01t", PING_AFTER + TIMEOUT - 1), MQTT_EVENT_NONE);
	fails_at(&c, PING_AFTER + 2 * TIMEOUT - 1, "fell silent");
}
END_TEST

START_TEST(mqtt_no_pings_without_keepalive)
{
	struct client c;

	begin_with(&c, 0, TIMEOUT);
	connect_at(&c, 0);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), INT64_MAX);
	end(&c);
}
END_TEST

START_TEST(mqtt_no_pings_after_the_end)
{
	struct client c = connected();

	ck_assert(mqtt_session_end(&c.s, 10));
	WAITS(&c, "\xe0\0");
	ck_assert_int_eq(mqtt_session_due_at(&c.s), 10 + TIMEOUT); /* for it to leave */
	leave(&c, 20);
	ck_assert_int_eq(mqtt_session_due_at(&c.s), INT64_MAX);
	ck_assert_int_eq(HEAR(&c, PINGRESP, 30), MQTT_EVENT_NONE);
	end(&c);
}
END_TEST

Suite *mqtt_session_suite(void)
{
	Suite *suite = suite_create("mqtt_session");

	TEST(suite, mqtt_connack_is_awaited);
	TEST(suite, mqtt_connect_that_cannot_leave);
	TEST(suite, mqtt_first_packet_must_be_a_connack);
	TEST(suite, mqtt_refused_connection_is_explained);
	TEST(suite, mqtt_connack_comes_once);
	TEST(suite, mqtt_malformed_bytes_end_the_session);
	TEST(suite, mqtt_packets_in_single_bytes);
	TEST(suite, mqtt_qos_0_awaits_no_answer);
	TEST(suite, mqtt_each_qos_1_message_is_awaited);
	TEST(suite, mqtt_slow_output_is_not_a_slow_answer);
	TEST(suite, mqtt_pings_do_not_stand_for_a_confirmation);
	TEST(suite, mqtt_messages_wait_for_confirmations);
	TEST(suite, mqtt_messages_wait_for_the_output);
	TEST(suite, mqtt_identifiers_are_used_again);
	TEST(suite, mqtt_confirmation_of_nothing);
	TEST(suite, mqtt_messages_may_come_before_the_suback);
	TEST(suite, mqtt_suback_is_awaited);
	TEST(suite, mqtt_suback_of_another_subscription);
	TEST(suite, mqtt_message_without_a_subscription);
	TEST(suite, mqtt_qos_0_is_not_acknowledged);
	TEST(suite, mqtt_ping_when_all_is_quiet);
	TEST(suite, mqtt_ping_when_one_side_is_quiet);
	TEST(suite, mqtt_silence_after_a_ping);
	TEST(suite, mqtt_any_byte_is_a_sign_of_life);
	TEST(suite, mqtt_no_pings_without_keepalive);
	TEST(suite, mqtt_no_pings_after_the_end);
	return suite;
}
