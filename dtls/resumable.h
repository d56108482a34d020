/* resumable.h - a session that may be resumed, as a server keeps it: what mbed TLS needs of it, and a mark of what it
 * rests on, so that it is resumed only while that holds. In as few bytes as can be: what is in a ticket passes every hash
 * function that mbed TLS has, and every radio that a sensor has. Its own form has twice as many. */
#ifndef RESUMABLE_H
#define RESUMABLE_H

#include "hello.h"

#include <mbedtls/ssl.h>

enum { RESUMABLE_MASTER = 48, RESUMABLE_DIGEST = 32, RESUMABLE_MARK = 8 };
enum { RESUMABLE_FIXED = 5 + 4 + RESUMABLE_MARK + 2 + 1 + RESUMABLE_MASTER + 1 }; /* bytes without identity and chain */

struct resumable { /* points into the bytes */
	int64_t made_at; /* by its full handshake; parsed, it has the lower 40 bits */
	uint32_t serial; /* of the server's settings, where nothing but they and its own key counts; otherwise 0 */
	const uint8_t *mark; /* of the server's settings, the name that the client asked for, and its pre-shared key */
	struct bytes identity; /* of that key; len 0: it rests on certificates, or on nothing */
	uint16_t suite;
	uint8_t max_fragment;
	bool encrypt_then_mac;
	const uint8_t *master;
	struct bytes chain; /* of the client, as resumable_pack_chain() writes it */
};

/* SHA-256 of bytes that stand together; 0 or an mbed TLS error. */
int resumable_digest(struct bytes, uint8_t digest[RESUMABLE_DIGEST]);
/* Marks settings that have this fingerprint, a name and a key; either may be empty. 0 or an mbed TLS error. */
int resumable_mark(
    const uint8_t fingerprint[RESUMABLE_DIGEST], struct bytes name, struct bytes key, uint8_t mark[RESUMABLE_MARK]);
/* Of one from its bytes: ms since it was made. */
int64_t resumable_age(const struct resumable *, int64_t now_ms);

/* Writes made_at, serial, mark and identity, which the caller fills, and the rest from the session. Returns the length, which
 * may be more than size: then not all was written. */
size_t resumable_pack(const struct resumable *, const mbedtls_ssl_session *, uint8_t *out, size_t size);
bool resumable_parse(struct bytes, struct resumable *);
/* Into an initialized session; 0 or an mbed TLS error. */
int resumable_load(const struct resumable *, mbedtls_ssl_session *);

/* Certificates in DER, each behind its length in 3 bytes. first may be NULL, for none; chain is initialized, and may
 * have certificates already. */
size_t resumable_pack_chain(const mbedtls_x509_crt *first, uint8_t *out, size_t size);
int resumable_load_chain(struct bytes, mbedtls_x509_crt *chain);

#endif
