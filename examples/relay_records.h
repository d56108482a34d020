/* relay_records.h - which DTLS records a datagram carries, for people who follow what passes. */
#ifndef RELAY_RECORDS_H
#define RELAY_RECORDS_H

#include <stddef.h>

enum { RELAY_RECORDS_TEXT = 128 };

/* ": handshake, ChangeCipherSpec", each once, or "" where it is anything but whole records; returns text.
 * DTLS 1.3 hides what its encrypted records are: they are nothing here. */
const char *relay_records(const void *datagram, size_t len, char text[RELAY_RECORDS_TEXT]);

#endif
