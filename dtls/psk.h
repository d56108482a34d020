/* psk.h - tables of pre-shared keys (RFC 4279): identity -> key, and the identity:hexkey text form of their files.
 *
 * A table is filled with add, sealed, and from then on read only: any number of threads may share it. What fails leaves
 * one clause in why, without a key in it, and without a final stop. */
#ifndef PSK_H
#define PSK_H

#include "dtls.h"

#include <stddef.h>
#include <stdint.h>

enum { PSK_FILE_MAX = 64 << 20 };

struct psk_table; /* counted; keys are wiped when they are replaced or freed */

struct psk_table *psk_table_new(void);
struct psk_table *psk_table_ref(struct psk_table *);
void psk_table_free(struct psk_table *); /* gives one reference back */
/* DTLS_FAIL: out of memory, or lengths that psk_check() refuses; the table is as it was. Not after sealing. */
int psk_table_add(struct psk_table *, const void *identity, size_t identity_len, const void *key, size_t key_len);
struct psk_table *psk_table_copy(const struct psk_table *); /* unsealed: it may be added to */
/* Makes find, count and identity work. Of equal identities the one added last stays. Always 0; a second call does
 * nothing. */
int psk_table_seal(struct psk_table *);

/* Of a sealed table. NULL: unknown. The key lives as long as the table; the table may be NULL, which has no keys. */
const uint8_t *psk_table_find(const struct psk_table *, const void *identity, size_t identity_len, size_t *key_len);
/* The table's own copy of the identity that a key was found for. */
const uint8_t *psk_identity_of(const uint8_t *key, size_t identity_len);
size_t psk_table_count(const struct psk_table *);
const uint8_t *psk_table_identity(const struct psk_table *, size_t index, size_t *len);

/* NULL when both lengths are allowed, else why. */
const char *psk_check(size_t identity_len, size_t key_len, char *why, size_t why_len);
/* Adds one identity:hexkey, of which the last colon separates; the line has no line end. 0 or DTLS_FAIL. */
int psk_parse_line(const char *line, size_t len, struct psk_table *, char *why, size_t why_len);
/* A sealed table of everything in the file (or pipe) of at most PSK_FILE_MAX bytes; NULL with "PATH:LINE: clause" or
 * "cannot read PATH: clause". */
struct psk_table *psk_file_read(const char *path, char *why, size_t why_len);

#endif
