/* coap_start.h - what coap-server and coap-sensor do with libcoap itself: a context, where it listens, what it logs. */
#ifndef COAP_START_H
#define COAP_START_H

#include "cli.h"

#include <coap3/coap.h>

/* A context whose messages are put together from blocks (RFC 7959). libcoap's log goes to standard error if verbose;
 * without a context, the program ends with a sentence. */
coap_context_t *libcoap_start(bool verbose);
void libcoap_end(coap_context_t *coap); /* NULL: nothing */
/* The last thing that the log complained of since libcoap_forget_complaint(); "": nothing. */
const char *libcoap_complaint(void);
void libcoap_forget_complaint(void);

/* Listens for DTLS on HOST:PORT, and prints "listening on ADDR:PORT". What is wrong ends the program with a sentence. */
void libcoap_listen(coap_context_t *coap, const char *option, const char *where);
/* All that can be done now; libcoap's own timers included. */
void libcoap_work(coap_context_t *coap);

coap_address_t libcoap_address_of(const struct sockaddr *address, socklen_t len);
/* "192.0.2.7:5684"; returns text. */
char *libcoap_address_text(const coap_address_t *address, char text[CLI_ADDRESS_TEXT]);

/* "4.04 Not Found"; returns text. */
char *libcoap_code_text(unsigned code, char text[64]);
/* That of cli.h, and libcoap's. */
void libcoap_print_version(void);

#endif
