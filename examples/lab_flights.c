#include "lab_flights.h"

enum { RECORD_HEADER = 13, MESSAGE_HEADER = 12, CHANGE_CIPHER_SPEC = 20, HANDSHAKE = 22 };
/* Beside the numbers of messages, which have 16 bits. */
enum { A_CHANGE_CIPHER_SPEC = 0x10000, ENCRYPTED };

static uint32_t number(const uint8_t *at, size_t size)
{
	uint32_t value = 0;

	while (size-- > 0)
		value = value << 8 | *at++;
	return value;
}

static void note(struct lab_flights *f, uint32_t message, uint32_t offset, uint32_t len, bool delivered)
{
	struct lab_fragment *known = f->fragments, *end = known + f->count;

	f->carries = true;
	while (known < end && (known->message != message || known->offset != offset || known->len != len))
		known++;
	if (known == end) {
		f->sent_before = false;
		if (f->count == LAB_FRAGMENTS)
			return;
		f->count++;
		*known = (struct lab_fragment){.message = message, .offset = offset, .len = len};
	}
	f->needless &= known->delivered;
	known->delivered |= delivered;
}

static void note_record(struct lab_flights *f, const uint8_t *record, size_t len, bool delivered)
{
	uint32_t epoch = number(record + 3, 2);
	const uint8_t *message = record + RECORD_HEADER;

	if (record[0] == CHANGE_CIPHER_SPEC)
		note(f, A_CHANGE_CIPHER_SPEC, epoch, 0, delivered);
	else if (record[0] == HANDSHAKE && epoch > 0)
		note(f, ENCRYPTED, epoch, 0, delivered);
	if (record[0] != HANDSHAKE || epoch > 0)
		return;
	for (len -= RECORD_HEADER; len >= MESSAGE_HEADER;) {
		uint32_t part = number(message + 9, 3);

		note(f, number(message + 4, 2), number(message + 6, 3), part, delivered);
		if (part > len - MESSAGE_HEADER)
			return;
		message += MESSAGE_HEADER + part;
		len -= MESSAGE_HEADER + part;
	}
}

void lab_flights_end(struct lab_flights *f)
{
	if (!f->open)
		return;
	f->open = false;
	f->retransmissions += f->carries && f->sent_before;
	f->spurious += f->carries && f->sent_before && f->needless;
}

static bool all_delivered(const struct lab_flights *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (!f->fragments[i].delivered)
			return false;
	return true;
}

void lab_flights_sent(struct lab_flights *f, const struct lab_flights *peer, int64_t now_ms, const uint8_t *datagram,
    size_t len, bool delivered)
{
	if (f->open && f->at_ms != now_ms)
		lab_flights_end(f);
	if (!f->open) {
		f->open = f->sent_before = true;
		f->carries = false;
		f->needless = all_delivered(peer);
		f->at_ms = now_ms;
	}
	while (len >= RECORD_HEADER) {
		size_t record = RECORD_HEADER + number(datagram + 11, 2);

		if (record > len)
			return;
		note_record(f, datagram, record, delivered);
		datagram += record;
		len -= record;
	}
}
