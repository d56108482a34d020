/* pki.h - the certificates of tests/pki.sh, and pairs that use them. */
#ifndef PKI_H
#define PKI_H

#include "dtls/dtls.h"
#include "dtls/sim.h"

struct pair;
struct side;

/* Called by every suite that uses the others: names the folder and has it removed at the end. The first test that needs
 * the certificates makes them. */
void pki_announce(void);
/* Valid until the eighth call from now. */
const char *pki_path(const char *name);
/* big-chain.pem and big.key, which take seconds to make. */
void pki_make_big(void);

void pki_load(struct dtls_context *, const char *cert, const char *key);
void pki_trust(struct dtls_context *, const char *ca);
void pki_revoke(struct dtls_context *, const char *crl);
/* A context without credentials in place of this side's. */
struct dtls_context *pki_context(struct pair *, struct side *, enum dtls_protocol);
/* A server with this certificate, and a client that trusts "ca.pem". */
void pki_open(struct pair *, const char *cert, const char *key);
void pki_open_in(struct pair *, uint64_t seed, const struct sim_weather *, const char *cert, const char *key);
/* The server verifies its client too, against "ca.pem"; the client shows this certificate, or none where it is NULL. */
void pki_ask_client(struct pair *, enum dtls_verify_mode, const char *cert, const char *key);
/* The handshake of a client that asks for this name. */
void pki_handshake(struct pair *, const char *hostname);
void pki_assert_connected(struct pair *);

#endif
