#include "hello.h"

#include <string.h>

static bool take(const uint8_t **at, size_t *left, size_t len, const uint8_t **out)
{
	if (len > *left)
		return false;
	*out = *at;
	*at += len;
	*left -= len;
	return true;
}

/* A vector behind its length in size bytes (1 or 2). */
static bool take_vector(const uint8_t **at, size_t *left, size_t size, struct bytes *out)
{
	const uint8_t *len;

	if (!take(at, left, size, &len))
		return false;
	out->len = size == 1 ? len[0] : get_16(len);
	return take(at, left, out->len, &out->at);
}

static bool parse_body(const uint8_t *at, size_t left, struct hello *h)
{
	struct bytes extensions;

	if (!take(&at, &left, 2, &h->version) || !take(&at, &left, HELLO_RANDOM, &h->random) ||
	    !take_vector(&at, &left, 1, &h->session_id) || !take_vector(&at, &left, 1, &h->cookie) ||
	    !take_vector(&at, &left, 2, &h->suites) || !take_vector(&at, &left, 1, &h->compression))
		return false;
	if (h->version[0] != 0xfe || h->session_id.len > 32 || h->suites.len < 2 || h->suites.len % 2 != 0 ||
	    h->compression.len < 1)
		return false;
	return left == 0 || (take_vector(&at, &left, 2, &extensions) && left == 0);
}

enum hello_kind hello_parse(const void *datagram, size_t len, struct hello *h)
{
	const uint8_t *at = datagram;
	struct message m;

	if (!record_next(&at, &len, &h->record) || !record_is_client_hello(&h->record))
		return HELLO_NONE;
	if (h->record.len > RECORD_PLAIN_MAX || !record_message(&h->record, &m))
		return HELLO_MALFORMED;
	/* Reassembly needs state, and state is what an unproven address does not get. */
	if (m.offset != 0 || m.len != m.length)
		return HELLO_FRAGMENTED;
	if (m.len + MESSAGE_HEADER != h->record.len || len != 0 || !parse_body(m.body, m.len, h))
		return HELLO_MALFORMED;
	h->message_seq = m.seq;
	h->rtt_ms = -1;
	return HELLO_OK;
}

size_t hello_verify_request(const struct hello *h, const uint8_t *cookie, size_t cookie_len, uint8_t *out)
{
	size_t body = 3 + cookie_len;
	uint8_t *p = out;

	*p++ = RECORD_HANDSHAKE;
	p = put_16(p, 0xfeff);
	/* RFC 6347, 4.2.1: the record sequence number of the ClientHello, so that nothing has to be remembered. */
	memcpy(p, h->record.start + 3, 8);
	p = put_16(p + 8, MESSAGE_HEADER + body);
	*p++ = MESSAGE_HELLO_VERIFY_REQUEST;
	p = put_24(p, body);
	p = put_16(p, h->message_seq);
	p = put_24(p, 0);
	p = put_24(p, body);
	p = put_16(p, 0xfeff);
	*p++ = (uint8_t)cookie_len;
	memcpy(p, cookie, cookie_len);
	return (size_t)(p - out) + cookie_len;
}
