/* parked.h - a session at rest: what mbed TLS saves of it, in one piece of memory with what its peer is asked for.
 *
 * There is one copy. It is bound to its peer, whose it is, and to the settings that it was made with, to which it keeps a
 * reference; loading consumes and wipes it; it never leaves the process, and a child of fork() drops it. */
#ifndef PARKED_H
#define PARKED_H

#include "association.h"
#include "record.h"

/* Its owner may have room for it: for what 2.28 (217 bytes) and 3.6 (220) save where no certificate was shown. What is small
 * and stays, allocated in the midst of handshakes, would leave a hole each. */
enum { PARKED_ROOM = 248 };

struct parked {
	struct settings *settings;
	const uint8_t *identity;
	uint16_t suite, max_payload;
	uint16_t len; /* of the session */
	uint8_t identity_len;
	uint8_t alpn; /* which of the settings' names, from 1; 0: none */
	bool in_room : 1; /* not in memory of its own */
	bool identity_owned : 1, has_further : 1, window_known : 1;
	uint8_t bytes[]; /* the session; behind it struct further, and the certificate */
};

/* Is it not to be parked yet, since its last flight may have to be sent again? */
bool parked_keeps_flight(const struct association *);

enum parked_result {
	PARKED_OK,
	PARKED_REFUSED, /* mbed TLS cannot save it, as none with a CBC suite */
	PARKED_NOT_NOW /* something waits in it, or there is no memory */
};
/* Takes the session out of an association, which then is to be renewed, if reusable, or freed. Otherwise it is as it was. */
enum parked_result parked_take(struct parked **, uint64_t room[PARKED_ROOM / 8], struct association *, bool *reusable);
/* Puts it into a fresh association of its settings: 0 or an mbed TLS error. Either way it is consumed; the rest of what is
 * parked stays, for whoever asks for it. */
int parked_load(struct parked *, struct association *);
/* Frees what is left behind parked_load(), whose association gets the names. */
void parked_give(struct parked *, struct association *);
void parked_wipe(struct parked *); /* its session; what else it tells stays */
void parked_free(struct parked *);

/* Could this be a record of the session, by its header, its length, and the replay window (RFC 6347, 4.1.2.6)? */
bool parked_could_read(const struct parked *, const struct record *);

const char *parked_cipher(const struct parked *);
const char *parked_alpn(const struct parked *);
const uint8_t *parked_cert(const struct parked *, size_t *len);
const char *parked_peer_name(const struct parked *);
int64_t parked_verify_result(const struct parked *);

#endif
