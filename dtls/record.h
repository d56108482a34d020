/* record.h - reading the plain parts of DTLS records (RFC 6347, 4.1 and 4.2.2): headers, and handshake messages that
 * are not encrypted. Nothing here trusts a length. */
#ifndef RECORD_H
#define RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_type { RECORD_CHANGE_CIPHER_SPEC = 20, RECORD_ALERT, RECORD_HANDSHAKE, RECORD_APPLICATION_DATA };
enum message_type {
	MESSAGE_HELLO_REQUEST = 0,
	MESSAGE_CLIENT_HELLO = 1,
	MESSAGE_SERVER_HELLO = 2,
	MESSAGE_HELLO_VERIFY_REQUEST = 3,
	MESSAGE_SERVER_KEY_EXCHANGE = 12,
	MESSAGE_CERTIFICATE_REQUEST = 13,
	MESSAGE_SERVER_HELLO_DONE = 14
};

enum { RECORD_HEADER = 13, MESSAGE_HEADER = 12, RECORD_PLAIN_MAX = 16384 };
enum { RECORD_MAX = RECORD_HEADER + RECORD_PLAIN_MAX + 2048 };

struct record {
	uint8_t type;
	uint16_t version, epoch;
	uint64_t seq;
	const uint8_t *start, *body;
	size_t len; /* of the body */
};

/* Takes the next record off *at / *left. False at the end, and for bytes that are no record. */
bool record_next(const uint8_t **at, size_t *left, struct record *);

struct message { /* a handshake message, or a fragment of one */
	uint8_t type;
	uint16_t seq;
	size_t length, offset, len; /* of the whole; of the fragment body */
	const uint8_t *body;
};

/* The first handshake message in a plain record; false for other records and for encrypted ones. */
bool record_message(const struct record *, struct message *);
/* The next one behind it, which is taken off *at / *left: the rest of a record's body. */
bool message_next(const uint8_t **at, size_t *left, struct message *);
bool record_is_client_hello(const struct record *);
/* How many bytes stand in front of the datagram's first ClientHello; len when it has none. */
size_t record_before_hello(const uint8_t *datagram, size_t len);
/* The length without the incomplete header behind the last whole record; len when there is none. */
size_t record_without_stub(const uint8_t *datagram, size_t len);

uint16_t get_16(const uint8_t *);
size_t get_24(const uint8_t *);
/* Return what is behind. */
uint8_t *put_16(uint8_t *, size_t);
uint8_t *put_24(uint8_t *, size_t);
uint64_t get_48(const uint8_t *);

#endif
