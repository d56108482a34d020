#include "record.h"

uint16_t get_16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

size_t get_24(const uint8_t *p)
{
	return (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
}

uint64_t get_48(const uint8_t *p)
{
	return (uint64_t)get_24(p) << 24 | get_24(p + 3);
}

uint8_t *put_16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
	return p + 2;
}

uint8_t *put_24(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 16);
	return put_16(p + 1, value);
}

bool record_next(const uint8_t **at, size_t *left, struct record *r)
{
	const uint8_t *p = *at;

	if (*left < RECORD_HEADER)
		return false;
	*r = (struct record){.type = p[0],
	    .version = get_16(p + 1),
	    .epoch = get_16(p + 3),
	    .seq = get_48(p + 5),
	    .start = p,
	    .body = p + RECORD_HEADER,
	    .len = get_16(p + 11)};
	if (r->type < RECORD_CHANGE_CIPHER_SPEC || r->type > RECORD_APPLICATION_DATA || r->version >> 8 != 0xfe ||
	    r->len > *left - RECORD_HEADER)
		return false;
	*at += RECORD_HEADER + r->len;
	*left -= RECORD_HEADER + r->len;
	return true;
}

bool message_next(const uint8_t **at, size_t *left, struct message *m)
{
	const uint8_t *p = *at;

	if (*left < MESSAGE_HEADER)
		return false;
	*m = (struct message){.type = p[0],
	    .length = get_24(p + 1),
	    .seq = get_16(p + 4),
	    .offset = get_24(p + 6),
	    .len = get_24(p + 9),
	    .body = p + MESSAGE_HEADER};
	if (m->len > *left - MESSAGE_HEADER || m->offset + m->len > m->length)
		return false;
	*at += MESSAGE_HEADER + m->len;
	*left -= MESSAGE_HEADER + m->len;
	return true;
}

bool record_message(const struct record *r, struct message *m)
{
	const uint8_t *at = r->body;
	size_t left = r->len;

	return r->type == RECORD_HANDSHAKE && r->epoch == 0 && message_next(&at, &left, m);
}

/* By its first byte, as mbed TLS's reconnection check judges it: a malformed hello must not reach a session either. */
bool record_is_client_hello(const struct record *r)
{
	return r->type == RECORD_HANDSHAKE && r->epoch == 0 && r->len > 0 && r->body[0] == MESSAGE_CLIENT_HELLO;
}

/* Of any version: mbed TLS 3.6 takes many for its own, and a session reset by a hello is lost. */
size_t record_before_hello(const uint8_t *datagram, size_t len)
{
	size_t at = 0;

	while (len - at > RECORD_HEADER) {
		const uint8_t *p = datagram + at;
		size_t record = RECORD_HEADER + (size_t)get_16(p + 11);

		if (record > len - at)
			break;
		if (p[0] == RECORD_HANDSHAKE && get_16(p + 3) == 0 && p[RECORD_HEADER] == MESSAGE_CLIENT_HELLO)
			return at;
		at += record;
	}
	return len;
}

size_t record_without_stub(const uint8_t *datagram, size_t len)
{
	size_t at = 0;

	while (len - at >= RECORD_HEADER) {
		size_t record = RECORD_HEADER + (size_t)get_16(datagram + at + 11);

		if (record > len - at)
			return len;
		at += record;
	}
	return at != 0 ? at : len;
}
