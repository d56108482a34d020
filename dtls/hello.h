/* hello.h - what the gate reads and writes: ClientHello and HelloVerifyRequest (RFC 6347, 4.2.1). */
#ifndef HELLO_H
#define HELLO_H

#include "record.h"

enum hello_kind { HELLO_OK, HELLO_NONE, HELLO_MALFORMED, HELLO_FRAGMENTED };

struct bytes {
	const uint8_t *at;
	size_t len;
};

struct hello { /* points into the datagram */
	struct record record;
	uint16_t message_seq;
	const uint8_t *version, *random; /* 2 and 32 bytes */
	struct bytes session_id, cookie, suites, compression;
	int64_t rtt_ms; /* from the HelloVerifyRequest to this, as the gate measured it; -1: unknown */
};

enum { HELLO_RANDOM = 32, HELLO_COOKIE_MAX = 32, HELLO_VERIFY_REQUEST_MAX = 128 };

/* HELLO_NONE: not a ClientHello in epoch 0 at all. Only HELLO_OK fills the struct. */
enum hello_kind hello_parse(const void *datagram, size_t len, struct hello *);
/* What stands in the body of a whole ClientHello or ServerHello, of DTLS or TLS; false where it does not. */
enum hello_of { HELLO_OF_DTLS_CLIENT, HELLO_OF_TLS_CLIENT, HELLO_OF_SERVER };
bool hello_suites(enum hello_of, struct bytes hello, struct bytes *suites); /* of a client, 2 bytes each */
/* The body of an extension (RFC 5246, 7.4.1.4). */
bool hello_extension(enum hello_of, struct bytes hello, uint16_t type, struct bytes *out);
/* Returns its length, at most HELLO_VERIFY_REQUEST_MAX and less than the hello's. */
size_t hello_verify_request(const struct hello *, const uint8_t *cookie, size_t cookie_len, uint8_t *out);

#endif
