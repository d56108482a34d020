/* mqtt_session.h - a clean MQTT session of one connection: bytes in, bytes out, and when something is due. No I/O and no
 * clock: the caller moves the bytes and says what time it is, in ms. */
#ifndef MQTT_SESSION_H
#define MQTT_SESSION_H

#include "mqtt.h"

enum { MQTT_UNCONFIRMED_MAX = 64, MQTT_WAITING_MAX = 262144 /* bytes of output, with which no message is added */ };

/* Something that must happen within the session's timeout, counted from when the bytes that ask for it have left. */
struct mqtt_wait {
	int64_t until; /* INT64_MAX: nothing is awaited */
	uint64_t asked; /* the output's length with the question */
};

struct mqtt_session {
	struct mqtt_buffer in, out; /* out: for the caller to send; see mqtt_session_sent() */
	enum { MQTT_CONNECTING, MQTT_IDLE, MQTT_SUBSCRIBING, MQTT_SUBSCRIBED, MQTT_ENDED, MQTT_FAILED } state;
	int64_t timeout_ms, keepalive_ms; /* keepalive_ms 0: no pings */
	int64_t sent_at, heard_at;
	struct mqtt_wait answer, pong, output; /* CONNACK, SUBACK or PUBACK; PINGRESP; that any byte leaves */
	uint64_t sent; /* bytes that have left */
	size_t taken; /* of in, by the packet that was returned last */
	size_t filters; /* that were subscribed to */
	uint16_t last_id;
	uint64_t messages; /* published so far */
	struct {
		uint16_t id;
		uint64_t message; /* its number, from 1 */
		uint64_t asked; /* as above */
	} unconfirmed[MQTT_UNCONFIRMED_MAX]; /* oldest first */
	size_t unconfirmed_count;
	char error[200]; /* when FAILED: a sentence */
};

/* Begins with a CONNECT. timeout_ms: what the broker may take for any answer. False, here and below: it has failed. */
bool mqtt_session_begin(struct mqtt_session *, const struct mqtt_connect *, int64_t timeout_ms, int64_t now_ms);
bool mqtt_session_subscribe(
    struct mqtt_session *, const struct mqtt_bytes filters[], size_t count, uint8_t max_qos, int64_t now_ms);
/* Connected, and neither too many unconfirmed messages nor too much output waits. */
bool mqtt_session_may_publish(const struct mqtt_session *);
/* The message's id is chosen here. */
bool mqtt_session_publish(struct mqtt_session *, struct mqtt_publish message, int64_t now_ms);
bool mqtt_session_end(struct mqtt_session *, int64_t now_ms); /* with DISCONNECT */
void mqtt_session_free(struct mqtt_session *);

bool mqtt_session_received(struct mqtt_session *, const void *bytes, size_t len, int64_t now_ms);
void mqtt_session_sent(struct mqtt_session *, size_t len, int64_t now_ms); /* so much of out has left */

/* What has happened. Pointers in packet are valid until the next call. */
enum mqtt_event {
	MQTT_EVENT_NONE, /* more must be received */
	MQTT_EVENT_CONNECTED,
	MQTT_EVENT_SUBSCRIBED, /* packet->granted */
	MQTT_EVENT_MESSAGE, /* packet->publish; with QoS 1, to be acknowledged by mqtt_session_acknowledge() */
	MQTT_EVENT_CONFIRMED, /* a published message */
	MQTT_EVENT_PONG,
	MQTT_EVENT_FAILED
};
enum mqtt_event mqtt_session_next(struct mqtt_session *, struct mqtt_packet *packet, int64_t now_ms);
bool mqtt_session_acknowledge(struct mqtt_session *, const struct mqtt_publish *message, int64_t now_ms);

int64_t mqtt_session_due_at(const struct mqtt_session *); /* INT64_MAX: never */
bool mqtt_session_tick(struct mqtt_session *, int64_t now_ms); /* when it is due: pings, and judges who is late */

#endif
