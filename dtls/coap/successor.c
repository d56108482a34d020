#include "backend.h"

#include <stdlib.h>
#include <string.h>

/* RFC 6347, 4.2.8: a client that has lost its session begins a new one from the same address. That runs in a second
 * session beside the first, which goes on until the new Finished has verified; nothing that anybody else sends ends it.
 * To libcoap, who has one coap_session_t for an address, it is the same one when the same client came back. */

enum { RECORD_HEADER = 13, MESSAGE_HEADER = 12, HANDSHAKE = 22, ALERT = 21, CLIENT_HELLO = 1 };

static bool is_hello(const uint8_t *record, size_t len)
{
	return len > RECORD_HEADER && record[0] == HANDSHAKE && record[3] == 0 && record[4] == 0 &&
	       record[RECORD_HEADER] == CLIENT_HELLO;
}

void hello_random(const uint8_t *hello, size_t len, uint8_t random[HELLO_RANDOM])
{
	const size_t at = RECORD_HEADER + MESSAGE_HEADER + 2;

	memset(random, 0, HELLO_RANDOM);
	if (len >= at + HELLO_RANDOM)
		memcpy(random, hello + at, HELLO_RANDOM);
}

/* What an alert would end is the established session's peer, who knows nothing of this. */
bool successor_is_quiet(const struct session *s, const uint8_t *datagram)
{
	return s->is_next && !s->open && datagram[0] == ALERT;
}

void successor_drop(struct session *s)
{
	struct session *next = s->next;

	s->next = NULL;
	if (next != NULL)
		session_let_go(next);
}

static void begin(struct session *s, const uint8_t *hello, size_t len)
{
	struct session *next = session_alloc(s->backend, s->coap);

	successor_drop(s);
	if (next == NULL)
		return;
	next->is_next = true;
	s->next = next;
	session_hold(next);
	if (!hello_serve(next, hello, len) && s->next == next)
		successor_drop(s);
	session_release(next);
}

static bool is_same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	return a != NULL && b != NULL && a_len == b_len && memcmp(a, b, a_len) == 0;
}

/* By its identity, or its certificate. One that shows neither is nobody to be recognized. */
static bool is_same_client(const struct session *a, const struct session *b)
{
	size_t a_len, b_len;
	const uint8_t *of_a = dtls_conn_psk_identity(a->conn, &a_len), *of_b = dtls_conn_psk_identity(b->conn, &b_len);

	if (is_same(of_a, a_len, of_b, b_len))
		return true;
	of_a = dtls_conn_peer_cert(a->conn, &a_len);
	of_b = dtls_conn_peer_cert(b->conn, &b_len);
	return is_same(of_a, a_len, of_b, b_len);
}

/* The new Finished has verified. */
static void take_over(struct session *s)
{
	struct session *next = s->next;

	next->is_next = false;
	if (!is_same_client(s, next)) {
		log_line(LOG_WARNING,
		    "***%s: DTLS: another client came from this address: both sessions end, it may call again\n",
		    coap_session_str(s->coap));
		dtls_conn_close(next->conn);
		successor_drop(s);
		coap_session_disconnected(s->coap, COAP_NACK_TLS_FAILED);
		return;
	}
	s->next = NULL;
	session_replace(s, next);
	if (next->key != NULL)
		coap_session_refresh_psk_key(next->coap, next->key);
	session_opened(next, COAP_EVENT_DTLS_RENEGOTIATE);
}

static void feed(struct session *s, const uint8_t *record, size_t len)
{
	struct session *next = s->next;
	int status;

	session_hold(next);
	status = session_feed(next, record, len);
	if (status == DTLS_OK && s->next == next)
		take_over(s);
	else if (!session_goes_on(status) && s->next == next)
		successor_drop(s);
	session_release(next);
}

static void take_hello(struct session *s, const uint8_t *hello, size_t len)
{
	uint8_t random[HELLO_RANDOM];

	hello_random(hello, len, random);
	/* A replay of the one that this session began with. */
	if (memcmp(random, s->random, sizeof(random)) == 0 || !hello_is_verified(s->backend, s->coap, hello, len))
		return;
	if (s->next != NULL && memcmp(random, s->next->random, sizeof(random)) == 0)
		feed(s, hello, len);
	else
		begin(s, hello, len);
}

/* The successor's own: what is not encrypted, and its Finished. */
static bool take(struct session *s, const uint8_t *record, size_t len)
{
	bool is_plain = record[3] == 0 && record[4] == 0, taken = true;

	session_hold(s); /* a callback may end it */
	if (is_hello(record, len))
		take_hello(s, record, len);
	else if (s->next != NULL && (is_plain || record[0] == HANDSHAKE))
		feed(s, record, len);
	else
		taken = false;
	session_release(s);
	return taken;
}

size_t successor_filter(coap_session_t *coap, uint8_t *datagram, size_t len)
{
	size_t at = 0, kept = 0, n;
	struct session *s;

	while (len - at > RECORD_HEADER && (s = session_find(coap)) != NULL && s->open) {
		n = RECORD_HEADER + ((size_t)datagram[at + 11] << 8 | datagram[at + 12]);
		if (n > len - at)
			break;
		if (!take(s, datagram + at, n)) {
			memmove(datagram + kept, datagram + at, n);
			kept += n;
		}
		at += n;
	}
	return kept;
}

bool successor_concerns(const struct session *s, const uint8_t *datagram, size_t len)
{
	return !s->is_client && s->open && (s->next != NULL || is_hello(datagram, len));
}
