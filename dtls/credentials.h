/* credentials.h - what this side shows (a certificate chain with its key) and what it trusts (CAs and CRLs), from bytes
 * in PEM or DER. Objects are counted; once a snapshot shares them they never change. */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include "hello.h"
#include "rng.h"

#include <mbedtls/pk.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

enum { CREDENTIALS_FILE_MAX = 8 << 20, HOSTNAME_MAX = 255 };

struct credentials {
	atomic_uint refs;
	mbedtls_x509_crt chain;
	mbedtls_pk_context key;
	char hostname[HOSTNAME_MAX + 1]; /* shown to clients that ask for it; "": to all others */
};

/* The key is parsed first, then the chain, leaf first. password may be NULL. NULL with a clause in why, that names what
 * is wrong: "key: it is encrypted: a password is needed (MBEDTLS_ERR_...)". Key size, and whether the two match, are
 * not judged here. */
struct credentials *credentials_parse(
    struct bytes cert, struct bytes key, const char *password, struct rng *, char *why, size_t why_len);
struct credentials *credentials_ref(struct credentials *);
void credentials_free(struct credentials *);
/* 0 when key and certificate belong together, or an mbed TLS error. */
int credentials_check(struct credentials *, struct rng *);

struct trust {
	atomic_uint refs;
	mbedtls_x509_crt cas;
	mbedtls_x509_crl crls;
	size_t ca_count, crl_count;
};

/* A copy of trust (which may be NULL) with the CAs, or the CRLs, of data added. NULL with a clause in why. */
struct trust *trust_add_cas(const struct trust *, struct bytes data, char *why, size_t why_len);
struct trust *trust_add_crls(const struct trust *, struct bytes data, char *why, size_t why_len);
struct trust *trust_ref(struct trust *);
void trust_free(struct trust *);

#endif
