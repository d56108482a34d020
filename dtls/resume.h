/* resume.h - abbreviated handshakes (RFC 5246, 7.3; RFC 5077): what a server asks before it resumes a session, what it
 * gives its clients to come back with, and what both note on the way. */
#ifndef RESUME_H
#define RESUME_H

#include "association.h"

/* Who has its turn in mbed TLS, in this thread, for callbacks that are not told; NULL: nobody. Returns who had it. */
struct association *resume_turn(struct association *);
/* mbed TLS's f_rng for both sides. */
int resume_rng(void *rng, unsigned char *out, size_t len);
/* Gives a snapshot's configuration its callbacks, and its fingerprint; 0 or an mbed TLS error. */
int resume_configure(struct settings *);

/* The body of a ClientHello or ServerHello that came. */
void resume_note_hello(struct association *, uint8_t type, struct bytes hello);
/* Marks what a server's session rests on: settings, name and key, as resumable_mark() does. */
int resume_mark(const struct association *, struct bytes key, uint8_t mark[RESUMABLE_MARK]);
/* A client, before its handshake: offers this session. False where memory ends: then it is as before. */
bool resume_offer(struct association *, const mbedtls_ssl_session *);
/* The handshake is complete: may it stand? Then: fills resumed, and what the peer is known by. 0 or an mbed TLS error. */
bool resume_is_sound(const struct association *);
int resume_done(struct association *);
/* Of a client: was this ticket offered, and not taken? */
bool resume_is_stale(const struct association *, struct bytes ticket);
void resume_free(struct association *);

#endif
