/* hellos.h - ClientHellos for the tests: a real client's, and ones put together from parts. */
#ifndef HELLOS_H
#define HELLOS_H

#include "dtls/hello.h"

struct raw_hello {
	uint8_t bytes[2048];
	size_t len;
};

struct hello_parts {
	uint64_t record_seq;
	uint16_t message_seq;
	uint8_t version[2], random[HELLO_RANDOM];
	struct bytes session_id, cookie, suites, compression;
	struct bytes extensions; /* with their length in front; may be empty */
};

/* What a client connection sends first. */
void hello_capture(struct raw_hello *out);
/* The parts point into the datagram. */
void hello_take_apart(const struct raw_hello *, struct hello_parts *);
void hello_build(const struct hello_parts *, struct raw_hello *out);
/* The same hello as a client repeats it: with this cookie, and the next sequence numbers. */
void hello_with_cookie(const struct raw_hello *hello, const void *cookie, size_t len, struct raw_hello *out);
/* Runs the body to where record and message end now: sets their three lengths. */
void hello_set_lengths(struct raw_hello *);
/* A copy with nothing behind it, so that the address sanitizer sees each byte read too many; the caller frees it. */
uint8_t *exact_copy(const void *bytes, size_t len);

#endif
