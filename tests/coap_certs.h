/* coap_certs.h - coap_dtls_pki_t for tests with the certificates of pki.h, and what becomes of them. */
#ifndef COAP_CERTS_H
#define COAP_CERTS_H

#include "coap_ends.h"

/* pki_path()'s, for the whole test; NULL for NULL. */
const char *certs_path(const char *name);
/* From files; each may be NULL. */
coap_dtls_pki_t certs_pem(const char *cert, const char *key, const char *ca);
/* What a file of several others has; in the folder of the certificates. The third may be NULL. */
const char *certs_joined(const char *name, const char *first, const char *second, const char *third);

/* Switches; verify_peer_cert is on with all of them. */
enum { EXPIRED = 1, SELF_SIGNED = 2, BAD_MD = 4, SHORT_RSA = 8, COMMON_CA = 16, DEPTH_0 = 32, DEPTH_1 = 64 };
void certs_rules(coap_dtls_pki_t *, unsigned rules);

/* A server that listens with this. */
void certs_open(struct coap_ends *, const coap_dtls_pki_t *server);
/* Asserts that a client with this is served, or else that it is not, and that this is why. */
void certs_assert_result(struct coap_ends *, coap_dtls_pki_t *client, const char *refused_for);

/* validate_cn_call_back, which remembers what it was asked, and may refuse the leaf. */
void certs_ask_judge(coap_dtls_pki_t *, const struct coap_end *asked_by, bool refuses);
void certs_assert_judged(unsigned nth, const char *name, unsigned depth, int validated);
unsigned certs_judged(void); /* how often */

#endif
