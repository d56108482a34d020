/* coap_target.h - where a sensor sends its readings: coaps://HOST[:PORT][/PATH][?QUERY] (RFC 7252, 6.1). */
#ifndef COAP_TARGET_H
#define COAP_TARGET_H

#include "cli.h"

#include <coap3/coap.h>

enum { COAP_TARGET_ADDRESSES = 8 };

struct coap_target {
	coap_uri_t uri; /* points into the text */
	char *host, *host_and_port;
	bool host_is_address;
	coap_address_t addresses[COAP_TARGET_ADDRESSES];
	size_t address_count;
};

/* What is wrong with the text ends the program. The text is to stay. */
void coap_target_parse(struct coap_target *t, const char *text);
/* Asks for the host's addresses. False: why says why not; the old ones, if any, stay. */
bool coap_target_resolve(struct coap_target *t, char *why, size_t why_len);
bool coap_target_has_path(const struct coap_target *t);
/* The options of a request to the path, or to /sensors/NAME where there is none, without a number: Uri-Host, Uri-Path,
 * Content-Format, Uri-Query with run. For coap_delete_optlist(). */
coap_optlist_t *coap_target_options(const struct coap_target *t, const uint8_t *name, size_t name_len, const char *run);
void coap_target_free(struct coap_target *t);

#endif
