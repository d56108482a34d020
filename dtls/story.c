#include "story.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 256 };

struct summary { /* of one datagram */
	int flight; /* RFC 6347, figure 1; 0: no handshake in it */
	int top_seq; /* highest message_seq in the clear; -1: none */
	char text[LINE];
};

const char *alert_name(unsigned char description)
{
	static const struct {
		unsigned char number;
		const char *name;
	} names[] = {{0, "close_notify"}, {10, "unexpected_message"}, {20, "bad_record_mac"}, {22, "record_overflow"},
	    {40, "handshake_failure"}, {42, "bad_certificate"}, {43, "unsupported_certificate"},
	    {44, "certificate_revoked"}, {45, "certificate_expired"}, {46, "certificate_unknown"},
	    {47, "illegal_parameter"}, {48, "unknown_ca"}, {49, "access_denied"}, {50, "decode_error"},
	    {51, "decrypt_error"}, {70, "protocol_version"}, {71, "insufficient_security"}, {80, "internal_error"},
	    {86, "inappropriate_fallback"}, {90, "user_canceled"}, {100, "no_renegotiation"},
	    {110, "unsupported_extension"}, {112, "unrecognized_name"}, {115, "unknown_psk_identity"},
	    {120, "no_application_protocol"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].number == description)
			return names[i].name;
	return "unknown";
}

const char *handshake_name(uint8_t type)
{
	switch (type) {
	case MESSAGE_HELLO_REQUEST:
		return "HelloRequest";
	case MESSAGE_CLIENT_HELLO:
		return "ClientHello";
	case MESSAGE_SERVER_HELLO:
		return "ServerHello";
	case MESSAGE_HELLO_VERIFY_REQUEST:
		return "HelloVerifyRequest";
	case 4:
		return "NewSessionTicket";
	case 11:
		return "Certificate";
	case 12:
		return "ServerKeyExchange";
	case 13:
		return "CertificateRequest";
	case 14:
		return "ServerHelloDone";
	case 15:
		return "CertificateVerify";
	case 16:
		return "ClientKeyExchange";
	case 20:
		return "Finished";
	default:
		return "unknown message";
	}
}

/* Bytes of cookie in a ClientHello or HelloVerifyRequest body. */
static unsigned cookie_len(const struct message *m)
{
	size_t at = m->type == MESSAGE_CLIENT_HELLO ? 34 : 2;

	if (m->type == MESSAGE_CLIENT_HELLO && m->len > at)
		at += 1U + m->body[at];
	return m->len > at ? m->body[at] : 0;
}

static int flight_of(const struct message *m, bool from_server)
{
	if (m->type == MESSAGE_CLIENT_HELLO)
		return cookie_len(m) == 0 ? 1 : 3;
	if (m->type == MESSAGE_HELLO_VERIFY_REQUEST)
		return 2;
	return !from_server ? 5 : m->type == 4 ? 6 : 4;
}

static void add(struct summary *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct summary *s, const char *format, ...)
{
	size_t used = strlen(s->text);
	va_list args;

	if (used != 0 && used < sizeof(s->text) - 2)
		used += (size_t)snprintf(s->text + used, sizeof(s->text) - used, ", ");
	va_start(args, format);
	vsnprintf(s->text + used, sizeof(s->text) - used, format, args);
	va_end(args);
}

static void add_messages(struct summary *s, const struct record *r, bool from_server)
{
	const uint8_t *at = r->body;
	size_t left = r->len;
	struct message m;

	while (message_next(&at, &left, &m)) {
		if (s->flight == 0)
			s->flight = flight_of(&m, from_server);
		if (m.seq > s->top_seq)
			s->top_seq = m.seq;
		if (m.len != m.length)
			add(s, "%s (bytes %zu-%zu of %zu)", handshake_name(m.type), m.offset, m.offset + m.len,
			    m.length);
		else if (m.type == MESSAGE_CLIENT_HELLO || m.type == MESSAGE_HELLO_VERIFY_REQUEST)
			add(s, "%s (%u bytes of cookie)", handshake_name(m.type), cookie_len(&m));
		else
			add(s, "%s", handshake_name(m.type));
	}
}

static void add_record(struct summary *s, const struct record *r, bool from_server)
{
	if (r->type == RECORD_HANDSHAKE && r->epoch == 0) {
		add_messages(s, r, from_server);
	} else if (r->type == RECORD_HANDSHAKE || r->type == RECORD_CHANGE_CIPHER_SPEC) {
		if (s->flight == 0)
			s->flight = from_server ? 6 : 5;
		add(s, r->type == RECORD_HANDSHAKE ? "Finished (encrypted)" : "ChangeCipherSpec");
	} else if (r->type == RECORD_ALERT && r->epoch == 0 && r->len == 2) {
		add(s, "alert %u %s", r->body[1], alert_name(r->body[1]));
	} else if (r->type == RECORD_ALERT) {
		add(s, "an alert (encrypted)");
	}
}

static void summarize(const uint8_t *at, size_t left, bool from_server, struct summary *s)
{
	struct record r;

	*s = (struct summary){.top_seq = -1};
	while (record_next(&at, &left, &r))
		add_record(s, &r, from_server);
}

void story_init(struct story *story, const struct options *opt)
{
	*story = (struct story){.opt = opt, .top_sent = -1};
	story->server = options_is_server(opt);
}

void story_tell(const struct story *story, const char *format, ...)
{
	char line[LINE + 64];
	va_list args;

	if (story->opt->trace == NULL)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	story->opt->trace(story->opt->trace_arg, options_now(story->opt), line);
}

void story_sent(struct story *story, const uint8_t *datagram, size_t len)
{
	struct summary s;
	int64_t now;
	bool again;

	if (story->opt->trace == NULL)
		return;
	summarize(datagram, len, story->server, &s);
	now = options_now(story->opt);
	if (s.flight == 0) {
		if (s.text[0] != '\0')
			story_tell(story, "sent %s", s.text);
		return;
	}
	/* A flight of several datagrams is resent from its first message on. */
	again = s.top_seq >= 0 ? s.top_seq <= story->top_sent : s.flight == story->last_flight && now != story->sent_at;
	if (again)
		story_tell(story, "resent flight %d after %lld ms: %s, %zu bytes", s.flight,
		    (long long)(now - story->sent_at), s.text, len);
	else
		story_tell(story, "sent flight %d: %s, %zu bytes", s.flight, s.text, len);
	if (s.top_seq > story->top_sent)
		story->top_sent = s.top_seq;
	story->last_flight = s.flight;
	story->sent_at = now;
}

void story_received(struct story *story, const uint8_t *datagram, size_t len)
{
	struct summary s;

	if (story->opt->trace == NULL)
		return;
	summarize(datagram, len, !story->server, &s);
	if (s.flight != 0)
		story_tell(story, "received flight %d: %s, %zu bytes", s.flight, s.text, len);
	else if (s.text[0] != '\0')
		story_tell(story, "received %s", s.text);
}
