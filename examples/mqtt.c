#include "mqtt.h"

#include <stdlib.h>
#include <string.h>

/* ---- buffers ---- */

uint8_t *mqtt_buffer_extend(struct mqtt_buffer *buffer, size_t len)
{
	size_t used = buffer->end - buffer->start, room = buffer->room > 0 ? buffer->room : 1024;
	uint8_t *bytes;

	if (len <= buffer->room - buffer->end)
		return buffer->bytes + buffer->end;
	while (room - used < len)
		room *= 2;
	/* Not realloc(3): what it leaves behind may be a password. */
	bytes = malloc(room);
	if (bytes == NULL)
		return NULL;
	if (used > 0)
		memcpy(bytes, buffer->bytes + buffer->start, used);
	mqtt_buffer_free(buffer);
	*buffer = (struct mqtt_buffer){.bytes = bytes, .end = used, .room = room};
	return bytes + used;
}

bool mqtt_buffer_append(struct mqtt_buffer *buffer, const void *bytes, size_t len)
{
	uint8_t *at = mqtt_buffer_extend(buffer, len);

	if (at == NULL)
		return false;
	if (len > 0)
		memcpy(at, bytes, len);
	buffer->end += len;
	return true;
}

void mqtt_buffer_drop(struct mqtt_buffer *buffer, size_t len)
{
	buffer->start += len;
	if (buffer->start == buffer->end)
		buffer->start = buffer->end = 0;
}

void mqtt_buffer_free(struct mqtt_buffer *buffer)
{
	if (buffer->bytes != NULL)
		explicit_bzero(buffer->bytes, buffer->room);
	free(buffer->bytes);
	*buffer = (struct mqtt_buffer){0};
}

/* ---- strings ---- */

/* The length of the well-formed UTF-8 sequence at the start (RFC 3629, 4), or 0. */
static size_t sequence_len(const uint8_t *s, size_t len)
{
	/* By first byte: the last of this row, its length, and what the second byte may be. */
	static const struct {
		uint8_t last, len, low, high;
	} rows[] = {{0x7f, 1, 0, 0}, {0xc1, 0, 0, 0}, {0xdf, 2, 0x80, 0xbf}, {0xe0, 3, 0xa0, 0xbf},
	    {0xec, 3, 0x80, 0xbf}, {0xed, 3, 0x80, 0x9f}, {0xef, 3, 0x80, 0xbf}, {0xf0, 4, 0x90, 0xbf},
	    {0xf3, 4, 0x80, 0xbf}, {0xf4, 4, 0x80, 0x8f}, {0xff, 0, 0, 0}};
	size_t row = 0;

	while (s[0] > rows[row].last)
		row++;
	if (rows[row].len > len || (rows[row].len > 1 && (s[1] < rows[row].low || s[1] > rows[row].high)))
		return 0;
	for (size_t i = 2; i < rows[row].len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return rows[row].len;
}

const char *mqtt_bad_string(struct mqtt_bytes text)
{
	size_t n;

	if (text.len > MQTT_STRING_MAX)
		return "is longer than 65535 bytes";
	for (size_t i = 0; i < text.len; i += n) {
		if (text.start[i] == '\0')
			return "contains the character U+0000";
		n = sequence_len(text.start + i, text.len - i);
		if (n == 0)
			return "is not UTF-8";
	}
	return NULL;
}

const char *mqtt_bad_topic(struct mqtt_bytes topic)
{
	if (topic.len == 0)
		return "is empty";
	if (memchr(topic.start, '#', topic.len) != NULL || memchr(topic.start, '+', topic.len) != NULL)
		return "contains a wildcard, '#' or '+', which only a subscription may have";
	return mqtt_bad_string(topic);
}

const char *mqtt_bad_filter(struct mqtt_bytes filter)
{
	if (filter.len == 0)
		return "is empty";
	for (size_t i = 0; i < filter.len; i++) {
		bool begins = i == 0 || filter.start[i - 1] == '/';
		bool ends = i + 1 == filter.len || filter.start[i + 1] == '/';

		if (filter.start[i] == '#' && !(begins && i + 1 == filter.len))
			return "has '#' elsewhere than as the last level: write \"a/#\"";
		if (filter.start[i] == '+' && !(begins && ends))
			return "has '+' as a part of a level: it stands for a whole one, as in \"a/+/b\"";
	}
	return mqtt_bad_string(filter);
}

/* ---- to the broker ---- */

/* Appends the fixed header (2.2) of a packet and returns where its remaining bytes go, or NULL. */
static uint8_t *begin(struct mqtt_buffer *out, enum mqtt_type type, uint8_t flags, size_t remaining)
{
	uint8_t header[5] = {(uint8_t)(type << 4 | flags)};
	size_t len = 1, rest = remaining;
	uint8_t *at;

	if (remaining > MQTT_REMAINING_MAX)
		return NULL;
	do {
		header[len++] = (uint8_t)(rest % 128 | (rest >= 128 ? 0x80 : 0));
		rest /= 128;
	} while (rest > 0);
	at = mqtt_buffer_extend(out, len + remaining);
	if (at == NULL)
		return NULL;
	memcpy(at, header, len);
	out->end += len + remaining;
	return at + len;
}

static uint8_t *put_16(uint8_t *at, size_t value)
{
	*at++ = (uint8_t)(value >> 8);
	*at++ = (uint8_t)value;
	return at;
}

static uint8_t *put_bytes(uint8_t *at, struct mqtt_bytes bytes)
{
	if (bytes.len > 0)
		memcpy(at, bytes.start, bytes.len);
	return at + bytes.len;
}

static uint8_t *put_string(uint8_t *at, struct mqtt_bytes text)
{
	return put_bytes(put_16(at, text.len), text);
}

bool mqtt_add_connect(struct mqtt_buffer *out, const struct mqtt_connect *connect)
{
	static const uint8_t protocol[] = {0, 4, 'M', 'Q', 'T', 'T', 4}; /* 3.1.2.1, 3.1.2.2 */
	enum { CLEAN_SESSION = 0x02, PASSWORD = 0x40, USER_NAME = 0x80 }; /* 3.1.2.3 */
	size_t len = sizeof(protocol) + 3 + 2 + connect->client_id.len;
	uint8_t *at;

	len += connect->has_user ? 2 + connect->user.len : 0;
	len += connect->has_password ? 2 + connect->password.len : 0;
	at = begin(out, MQTT_CONNECT, 0, len);
	if (at == NULL)
		return false;
	at = put_bytes(at, (struct mqtt_bytes){protocol, sizeof(protocol)});
	*at++ = (uint8_t)(CLEAN_SESSION | (connect->has_user ? USER_NAME : 0) | (connect->has_password ? PASSWORD : 0));
	at = put_string(put_16(at, connect->keepalive_s), connect->client_id);
	if (connect->has_user)
		at = put_string(at, connect->user);
	if (connect->has_password)
		put_string(at, connect->password);
	return true;
}

bool mqtt_add_publish(struct mqtt_buffer *out, const struct mqtt_publish *publish)
{
	size_t len = 2 + publish->topic.len + (publish->qos > 0 ? 2 : 0);
	uint8_t *at;

	if (publish->payload.len > MQTT_REMAINING_MAX - len)
		return false;
	at = begin(out, MQTT_PUBLISH, (uint8_t)(publish->qos << 1 | publish->retain), len + publish->payload.len);
	if (at == NULL)
		return false;
	at = put_string(at, publish->topic);
	if (publish->qos > 0)
		at = put_16(at, publish->id);
	put_bytes(at, publish->payload);
	return true;
}

bool mqtt_add_subscribe(
    struct mqtt_buffer *out, uint16_t id, const struct mqtt_bytes filters[], size_t count, uint8_t max_qos)
{
	size_t len = 2;
	uint8_t *at;

	for (size_t i = 0; i < count; i++)
		len += 2 + filters[i].len + 1;
	at = begin(out, MQTT_SUBSCRIBE, 2 /* 3.8.1 */, len);
	if (at == NULL)
		return false;
	at = put_16(at, id);
	for (size_t i = 0; i < count; i++) {
		at = put_string(at, filters[i]);
		*at++ = max_qos;
	}
	return true;
}

bool mqtt_add_puback(struct mqtt_buffer *out, uint16_t id)
{
	uint8_t *at = begin(out, MQTT_PUBACK, 0, 2);

	if (at != NULL)
		put_16(at, id);
	return at != NULL;
}

bool mqtt_add_empty(struct mqtt_buffer *out, enum mqtt_type type)
{
	return begin(out, type, 0, 0) != NULL;
}

/* ---- from the broker ---- */

static uint16_t get_16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t qos_of(uint8_t first)
{
	return first >> 1 & 3;
}

/* NULL, or what is wrong with the first byte of a packet. */
static const char *judge_first(uint8_t first)
{
	enum { DUPLICATE = 8 };
	unsigned type = first >> 4;

	if (type == MQTT_PUBLISH && qos_of(first) == 2)
		return "a message with QoS 2, which was not asked for";
	if (type == MQTT_PUBLISH && (qos_of(first) == 3 || (qos_of(first) == 0 && (first & DUPLICATE) != 0)))
		return "a PUBLISH with flags that it cannot have"; /* 3.3.1.1, 3.3.1.2 */
	if (type == MQTT_PUBLISH)
		return NULL;
	if (type != MQTT_CONNACK && type != MQTT_PUBACK && type != MQTT_SUBACK && type != MQTT_PINGRESP)
		return "what no MQTT 3.1.1 broker sends to this client";
	return (first & 0x0f) == 0 ? NULL : "a packet with reserved flags"; /* 2.2.2 */
}

/* NULL, or what is wrong with its remaining length. */
static const char *judge_length(enum mqtt_type type, size_t len)
{
	switch (type) {
	case MQTT_CONNACK:
		return len == 2 ? NULL : "a CONNACK of the wrong length";
	case MQTT_PUBACK:
		return len == 2 ? NULL : "a PUBACK of the wrong length";
	case MQTT_SUBACK:
		return len >= 3 ? NULL : "a SUBACK of the wrong length";
	case MQTT_PINGRESP:
		return len == 0 ? NULL : "a PINGRESP of the wrong length";
	default:
		return len >= 2 ? NULL : "a PUBLISH without a topic";
	}
}

static const char *parse_connack(struct mqtt_packet *packet, struct mqtt_bytes rest)
{
	/* Bit 0 tells of a session that was kept: there is none after a clean one was asked for (3.2.2.2). */
	if (rest.start[0] != 0)
		return "a CONNACK with flags that it cannot have";
	packet->code = rest.start[1];
	return NULL;
}

static const char *parse_publish(struct mqtt_packet *packet, struct mqtt_bytes rest, uint8_t first)
{
	struct mqtt_publish *publish = &packet->publish;
	size_t topic_len = get_16(rest.start), header_len;

	*publish = (struct mqtt_publish){.qos = qos_of(first), .retain = (first & 1) != 0};
	header_len = 2 + topic_len + (publish->qos > 0 ? 2 : 0);
	if (rest.len < header_len)
		return "a PUBLISH that is shorter than its own topic";
	publish->topic = (struct mqtt_bytes){rest.start + 2, topic_len};
	if (mqtt_bad_topic(publish->topic) != NULL)
		return "a message whose topic is empty, has wildcards or is not UTF-8";
	if (publish->qos > 0) {
		publish->id = get_16(rest.start + 2 + topic_len);
		if (publish->id == 0)
			return "a PUBLISH with the packet identifier 0"; /* 2.3.1 */
	}
	publish->payload = (struct mqtt_bytes){rest.start + header_len, rest.len - header_len};
	return NULL;
}

static const char *parse_suback(struct mqtt_packet *packet, struct mqtt_bytes rest)
{
	packet->id = get_16(rest.start);
	packet->granted = (struct mqtt_bytes){rest.start + 2, rest.len - 2};
	for (size_t i = 2; i < rest.len; i++)
		if (rest.start[i] > 2 && rest.start[i] != MQTT_REFUSED)
			return "a SUBACK with an unknown code";
	return NULL;
}

static const char *parse_rest(struct mqtt_packet *packet, struct mqtt_bytes rest, uint8_t first)
{
	if (packet->type == MQTT_PUBLISH)
		return parse_publish(packet, rest, first);
	if (packet->type == MQTT_CONNACK)
		return parse_connack(packet, rest);
	if (packet->type == MQTT_SUBACK)
		return parse_suback(packet, rest);
	if (packet->type == MQTT_PUBACK)
		packet->id = get_16(rest.start);
	return NULL;
}

/* Reads the remaining length behind the first byte (2.2.3). The size of the header, 0: not yet whole, -1: too long. */
static int parse_length(const uint8_t *bytes, size_t len, size_t *remaining)
{
	*remaining = 0;
	for (size_t i = 1; i < len && i <= 4; i++) {
		*remaining |= (size_t)(bytes[i] & 0x7f) << 7 * (i - 1);
		if ((bytes[i] & 0x80) == 0)
			return (int)i + 1;
	}
	return len > 4 ? -1 : 0;
}

long mqtt_parse(const uint8_t *bytes, size_t len, struct mqtt_packet *packet, const char **why)
{
	size_t remaining;
	int header_len;

	if (len == 0)
		return 0;
	*why = judge_first(bytes[0]);
	if (*why != NULL)
		return -1;
	header_len = parse_length(bytes, len, &remaining);
	if (header_len < 0)
		*why = "a packet whose length has more than four bytes";
	if (header_len <= 0)
		return header_len;
	*packet = (struct mqtt_packet){.type = (enum mqtt_type)(bytes[0] >> 4)};
	*why = judge_length(packet->type, remaining);
	if (*why == NULL && remaining > len - (size_t)header_len)
		return 0;
	if (*why == NULL)
		*why = parse_rest(packet, (struct mqtt_bytes){bytes + header_len, remaining}, bytes[0]);
	return *why == NULL ? header_len + (long)remaining : -1;
}

const char *mqtt_connect_refusal(uint8_t code)
{
	static const char *const meanings[] = {"accepted",
	    "it does not speak MQTT 3.1.1 (unacceptable protocol version)",
	    "it does not like the client identifier (identifier rejected); give another with --client-id",
	    "its MQTT service is not available (server unavailable); try again later",
	    "wrong user name or password (bad user name or password); give them with --user and --password-file",
	    "this client may not connect (not authorized); see the broker's settings for this identity or user"};

	return code < sizeof(meanings) / sizeof(*meanings) ? meanings[code] : "with an unknown code";
}
