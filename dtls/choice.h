/* choice.h - who the peer asks for decides which settings its handshake goes by: a server's for the name in a client's
 * hello (SNI), a client's for the identity hint of a server (RFC 4279, 5.2). */
#ifndef CHOICE_H
#define CHOICE_H

#include "association.h"
#include "record.h"

/* mbed TLS's f_sni, with the settings as argument. */
int choice_by_name(void *settings, mbedtls_ssl_context *, const unsigned char *name, size_t len);
/* The handshake begins again: by its first settings. */
void choice_forget(struct association *);
/* A client received this message in the clear. */
void choice_by_hint(struct association *, const struct message *);

#endif
