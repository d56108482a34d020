#include "relay_records.h"

#include <stdint.h>
#include <string.h>

enum { HEADER = 13, FIRST_TYPE = 20 };

static const char *const names[] = {"ChangeCipherSpec", "alert", "handshake", "application data"};

enum { NAMES = sizeof(names) / sizeof(*names) };

/* RFC 6347, 4.1: type, version, epoch, sequence number, length. */
static size_t record_len(const uint8_t *record, size_t len)
{
	size_t whole;

	if (len < HEADER || record[0] < FIRST_TYPE || record[0] >= FIRST_TYPE + NAMES || record[1] != 0xfe)
		return 0;
	whole = HEADER + (size_t)(record[11] << 8 | record[12]);
	return whole <= len ? whole : 0;
}

const char *relay_records(const void *datagram, size_t len, char text[RELAY_RECORDS_TEXT])
{
	const uint8_t *at = datagram;
	unsigned listed = 0;

	text[0] = '\0';
	while (len > 0) {
		size_t record = record_len(at, len);
		unsigned kind = record > 0 ? 1u << (at[0] - FIRST_TYPE) : 0;

		if (record == 0) {
			text[0] = '\0';
			return text;
		}
		if ((listed & kind) == 0) {
			strcat(text, listed == 0 ? ": " : ", ");
			strcat(text, names[at[0] - FIRST_TYPE]);
		}
		listed |= kind;
		at += record;
		len -= record;
	}
	return text;
}
