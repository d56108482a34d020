#include "lab_messages.h"

enum { RECORD_HEADER = 13, MESSAGE_HEADER = 12, CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22 };
/* Where a ClientHello has the length of its session id: behind its version and its random. */
enum { SESSION_AT = 34 };

static const struct {
	const char *name;
	int type; /* of a handshake message; -1: it is none, or never seen in the clear */
	int flights[DIRECTIONS]; /* to which it belongs */
} kinds[LAB_KINDS] = {
    [LAB_CLIENT_HELLO] = {"ClientHello", 1, {1, 0}},
    [LAB_HELLO_VERIFY_REQUEST] = {"HelloVerifyRequest", 3, {0, 2}},
    [LAB_SERVER_HELLO] = {"ServerHello", 2, {0, 4}},
    [LAB_CERTIFICATE] = {"Certificate", 11, {5, 4}},
    [LAB_SERVER_KEY_EXCHANGE] = {"ServerKeyExchange", 12, {0, 4}},
    [LAB_CERTIFICATE_REQUEST] = {"CertificateRequest", 13, {0, 4}},
    [LAB_SERVER_HELLO_DONE] = {"ServerHelloDone", 14, {0, 4}},
    [LAB_CLIENT_KEY_EXCHANGE] = {"ClientKeyExchange", 16, {5, 0}},
    [LAB_CERTIFICATE_VERIFY] = {"CertificateVerify", 15, {5, 0}},
    [LAB_NEW_SESSION_TICKET] = {"NewSessionTicket", 4, {0, 6}},
    [LAB_CHANGE_CIPHER_SPEC] = {"ChangeCipherSpec", -1, {5, 6}},
    [LAB_FINISHED] = {"Finished", -1, {5, 6}},
    [LAB_ALERT] = {"Alert", -1, {0, 0}},
};

struct reading {
	enum direction direction;
	struct lab_message *messages;
	size_t count;
};

const char *lab_kind_name(int kind)
{
	return kinds[kind].name;
}

enum lab_kind lab_kind_named(const char *name)
{
	int kind = 0;

	while (kind < LAB_KINDS && strcmp(kinds[kind].name, name) != 0)
		kind++;
	return (enum lab_kind)kind;
}

static uint32_t number(const uint8_t *at, size_t size)
{
	uint32_t value = 0;

	while (size-- > 0)
		value = value << 8 | *at++;
	return value;
}

static void add(struct reading *r, struct lab_message message)
{
	if (r->count < LAB_MESSAGES)
		r->messages[r->count++] = message;
}

static void add_other(struct reading *r, enum lab_kind kind, bool encrypted, int alert)
{
	add(r, (struct lab_message){.kind = kind,
		   .encrypted = encrypted,
		   .flight = kinds[kind].flights[r->direction],
		   .seq = -1,
		   .alert = alert});
}

static bool has_cookie(const uint8_t *hello, size_t len)
{
	size_t cookie_at = SESSION_AT + 1;

	if (len > SESSION_AT)
		cookie_at += hello[SESSION_AT];
	return len > cookie_at && hello[cookie_at] > 0;
}

/* The one that begins at header, a fragment of len bytes. False: it has no name. */
static bool add_message(struct reading *r, const uint8_t *header, uint32_t len)
{
	struct lab_message m = {.seq = (int)number(header + 4, 2),
	    .alert = -1,
	    .offset = number(header + 6, 3),
	    .len = len,
	    .total = number(header + 1, 3)};
	int kind = 0;

	while (kind < LAB_KINDS && kinds[kind].type != header[0])
		kind++;
	if (kind == LAB_KINDS)
		return false;
	m.kind = (enum lab_kind)kind;
	m.flight = kinds[kind].flights[r->direction];
	if (kind == LAB_CLIENT_HELLO && has_cookie(header + MESSAGE_HEADER, len))
		m.flight = 3;
	add(r, m);
	return true;
}

static void read_messages(struct reading *r, const uint8_t *at, size_t left)
{
	while (left >= MESSAGE_HEADER) {
		uint32_t len = number(at + 9, 3);

		if (len > left - MESSAGE_HEADER || !add_message(r, at, len))
			return;
		at += MESSAGE_HEADER + len;
		left -= MESSAGE_HEADER + len;
	}
}

static void read_record(struct reading *r, const uint8_t *record, size_t len)
{
	const uint8_t *body = record + RECORD_HEADER;
	bool encrypted = number(record + 3, 2) > 0;

	if (record[0] == CHANGE_CIPHER_SPEC)
		add_other(r, LAB_CHANGE_CIPHER_SPEC, false, -1);
	else if (record[0] == HANDSHAKE && encrypted)
		add_other(r, LAB_FINISHED, true, -1);
	else if (record[0] == HANDSHAKE)
		read_messages(r, body, len);
	else if (record[0] == ALERT && (encrypted || len == 2))
		add_other(r, LAB_ALERT, encrypted, encrypted ? -1 : body[1]);
}

size_t lab_messages_read(
    enum direction direction, const void *datagram, size_t len, struct lab_message messages[LAB_MESSAGES])
{
	struct reading r = {.direction = direction, .messages = messages};
	const uint8_t *record = datagram;

	while (len >= RECORD_HEADER) {
		size_t body = number(record + 11, 2);

		if (body > len - RECORD_HEADER)
			break;
		read_record(&r, record, body);
		record += RECORD_HEADER + body;
		len -= RECORD_HEADER + body;
	}
	return r.count;
}
