/* verify.h - what becomes of the peer's certificate: the caller's callback, and a sentence about the first fault. */
#ifndef VERIFY_H
#define VERIFY_H

#include "association.h"

/* mbed TLS's f_vrfy; the argument is the association. */
int verify_certificate(void *association, mbedtls_x509_crt *, int depth, uint32_t *flags);
/* Would the peer's chain, from an earlier handshake, be accepted now? If not, why has the sentence, or is empty. */
bool verify_again(struct association *, mbedtls_x509_crt *chain, char *why, size_t why_len);
/* RFC 6066, 3: an address is no host name. */
bool verify_is_address(const char *hostname);

#endif
