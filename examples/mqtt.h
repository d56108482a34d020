/* mqtt.h - the control packets of MQTT 3.1.1 (OASIS Standard of 2014-10-29) that a publisher and a subscriber need, as
 * bytes. No I/O. Sections that are named in comments are those of the standard. */
#ifndef MQTT_H
#define MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mqtt_type { /* 2.2.1 */
	MQTT_CONNECT = 1,
	MQTT_CONNACK,
	MQTT_PUBLISH,
	MQTT_PUBACK,
	MQTT_SUBSCRIBE = 8,
	MQTT_SUBACK,
	MQTT_PINGREQ = 12,
	MQTT_PINGRESP,
	MQTT_DISCONNECT
};

enum { MQTT_STRING_MAX = 65535, MQTT_REMAINING_MAX = 268435455 /* 2.2.3 */, MQTT_REFUSED = 0x80 /* 3.9.3 */ };

struct mqtt_bytes {
	const uint8_t *start; /* may be NULL where len is 0 */
	size_t len;
};

/* Bytes that come in at the end and leave at the start; all zero at first. */
struct mqtt_buffer {
	uint8_t *bytes;
	size_t start, end, room;
};
/* Makes room for len more bytes at the end and returns where they go; the caller adds to end. NULL: out of memory. */
uint8_t *mqtt_buffer_extend(struct mqtt_buffer *, size_t len);
bool mqtt_buffer_append(struct mqtt_buffer *, const void *bytes, size_t len); /* false: out of memory */
void mqtt_buffer_drop(struct mqtt_buffer *, size_t len); /* at the start */
void mqtt_buffer_free(struct mqtt_buffer *); /* wipes it */

/* NULL, or why this is no topic name (4.7), no topic filter (4.7.1), no other string (1.5.3): the end of a sentence. */
const char *mqtt_bad_topic(struct mqtt_bytes);
const char *mqtt_bad_filter(struct mqtt_bytes);
const char *mqtt_bad_string(struct mqtt_bytes);

/* ---- to the broker: each appends one packet. False: out of memory, or too large for a packet. ---- */

struct mqtt_connect { /* always with a clean session */
	struct mqtt_bytes client_id, user, password;
	bool has_user, has_password;
	uint16_t keepalive_s;
};
struct mqtt_publish {
	struct mqtt_bytes topic, payload;
	uint16_t id; /* 0 with QoS 0 */
	uint8_t qos;
	bool retain;
};
bool mqtt_add_connect(struct mqtt_buffer *, const struct mqtt_connect *);
bool mqtt_add_publish(struct mqtt_buffer *, const struct mqtt_publish *);
bool mqtt_add_subscribe(
    struct mqtt_buffer *, uint16_t id, const struct mqtt_bytes filters[], size_t count, uint8_t max_qos);
bool mqtt_add_puback(struct mqtt_buffer *, uint16_t id);
bool mqtt_add_empty(struct mqtt_buffer *, enum mqtt_type type); /* PINGREQ, DISCONNECT */

/* ---- from the broker ---- */

struct mqtt_packet {
	enum mqtt_type type;
	struct mqtt_publish publish; /* PUBLISH */
	struct mqtt_bytes granted; /* SUBACK: a code for each filter, a QoS or MQTT_REFUSED */
	uint16_t id; /* PUBACK, SUBACK */
	uint8_t code; /* CONNACK */
};
/* Takes the first packet apart, with pointers into bytes. Its size; 0: it is not yet whole; -1: it is malformed, or not
 * one that a broker sends to a client that asks for QoS 0 and 1, and *why ends a sentence about it. */
long mqtt_parse(const uint8_t *bytes, size_t len, struct mqtt_packet *packet, const char **why);
/* What a CONNACK's code means (3.2.2.3), with a hint. */
const char *mqtt_connect_refusal(uint8_t code);

#endif
