#include "hellos.h"

#include "dtls/dtls.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static ssize_t keep(void *arg, const void *buf, size_t len)
{
	struct raw_hello *d = arg;

	ck_assert_uint_le(len, sizeof(d->bytes));
	memcpy(d->bytes, buf, len);
	d->len = len;
	return (ssize_t)len;
}

static ssize_t nothing(void *arg, void *buf, size_t len)
{
	(void)arg, (void)buf, (void)len;
	return DTLS_WANT_READ;
}

void hello_capture(struct raw_hello *out)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct dtls_transport transport = {.send = keep, .recv = nothing, .arg = out};
	struct dtls_conn *c;

	out->len = 0;
	ck_assert_int_eq(dtls_context_set_psk(ctx, "sensor-17", 9, "0123456789abcdef", 16), DTLS_OK);
	c = dtls_wrap_transport(ctx, &transport);
	ck_assert_int_eq(dtls_conn_handshake(c), DTLS_WANT_READ);
	ck_assert_uint_gt(out->len, 100);
	dtls_conn_free(c);
	dtls_context_free(ctx);
}

void hello_take_apart(const struct raw_hello *d, struct hello_parts *parts)
{
	struct hello h;
	const uint8_t *end;

	ck_assert_int_eq(hello_parse(d->bytes, d->len, &h), HELLO_OK);
	*parts = (struct hello_parts){.record_seq = h.record.seq,
	    .message_seq = h.message_seq,
	    .session_id = h.session_id,
	    .cookie = h.cookie,
	    .suites = h.suites,
	    .compression = h.compression};
	memcpy(parts->version, h.version, 2);
	memcpy(parts->random, h.random, HELLO_RANDOM);
	end = h.compression.at + h.compression.len;
	parts->extensions = (struct bytes){end, (size_t)(d->bytes + d->len - end)};
}

static void put(struct raw_hello *d, const void *bytes, size_t len)
{
	ck_assert_uint_le(d->len + len, sizeof(d->bytes));
	if (len != 0)
		memcpy(d->bytes + d->len, bytes, len);
	d->len += len;
}

static void put_number(struct raw_hello *d, uint64_t value, unsigned size)
{
	while (size-- > 0)
		put(d, &(uint8_t){(uint8_t)(value >> 8 * size)}, 1);
}

static void put_vector(struct raw_hello *d, struct bytes v, unsigned size)
{
	put_number(d, v.len, size);
	put(d, v.at, v.len);
}

void hello_build(const struct hello_parts *p, struct raw_hello *d)
{
	d->len = 0;
	put(d, "\x16\xfe\xfd\0\0", 5);
	put_number(d, p->record_seq, 6);
	put_number(d, 0, 2);
	put_number(d, MESSAGE_CLIENT_HELLO, 1);
	put_number(d, 0, 3);
	put_number(d, p->message_seq, 2);
	put_number(d, 0, 6);
	put(d, p->version, 2);
	put(d, p->random, HELLO_RANDOM);
	put_vector(d, p->session_id, 1);
	put_vector(d, p->cookie, 1);
	put_vector(d, p->suites, 2);
	put_vector(d, p->compression, 1);
	put(d, p->extensions.at, p->extensions.len);
	hello_set_lengths(d);
}

void hello_set_lengths(struct raw_hello *d)
{
	size_t message = d->len - RECORD_HEADER, body = message - MESSAGE_HEADER;
	uint8_t *len = d->bytes + 11;

	len[0] = (uint8_t)(message >> 8);
	len[1] = (uint8_t)message;
	for (size_t at = 14; at <= 22; at += 8) {
		d->bytes[at] = 0;
		d->bytes[at + 1] = (uint8_t)(body >> 8);
		d->bytes[at + 2] = (uint8_t)body;
	}
}

void hello_with_cookie(const struct raw_hello *hello, const void *cookie, size_t len, struct raw_hello *out)
{
	struct hello_parts parts;

	hello_take_apart(hello, &parts);
	parts.cookie = (struct bytes){cookie, len};
	parts.record_seq++;
	parts.message_seq++;
	hello_build(&parts, out);
}

uint8_t *exact_copy(const void *bytes, size_t len)
{
	uint8_t *copy = malloc(len);

	ck_assert(copy != NULL || len == 0);
	if (len != 0)
		memcpy(copy, bytes, len);
	return copy;
}
