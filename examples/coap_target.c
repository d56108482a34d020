#include "coap_target.h"

#include "coap_start.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PORT = 5684, OPTIONS_MAX = 1024 };

/* ---- the address ---- */

void coap_target_parse(struct coap_target *t, const char *text)
{
	uint8_t address[sizeof(struct in6_addr)];

	*t = (struct coap_target){0};
	if (coap_split_uri((const uint8_t *)text, strlen(text), &t->uri) != 0 || t->uri.host.length == 0)
		cli_usage("the server is named as coaps://HOST:PORT/PATH, not as \"%s\"", text);
	if (t->uri.scheme != COAP_URI_SCHEME_COAPS)
		cli_usage("\"%s\" is not CoAP over DTLS: the name begins with coaps://", text);
	t->host = strndup((const char *)t->uri.host.s, t->uri.host.length);
	if (t->host == NULL)
		cli_fail("out of memory");
	t->host_is_address = inet_pton(AF_INET, t->host, address) == 1 || inet_pton(AF_INET6, t->host, address) == 1;
	if (asprintf(&t->host_and_port, strchr(t->host, ':') != NULL ? "[%s]:%u" : "%s:%u", t->host, t->uri.port) < 0)
		cli_fail("out of memory");
}

bool coap_target_resolve(struct coap_target *t, char *why, size_t why_len)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found;
	char port[8];
	int error;

	snprintf(port, sizeof(port), "%u", t->uri.port);
	error = getaddrinfo(t->host, port, &hints, &found);
	if (error != 0) {
		snprintf(why, why_len, "cannot resolve \"%s\": %s", t->host,
		    error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
		return false;
	}
	t->address_count = 0;
	for (const struct addrinfo *a = found; a != NULL && t->address_count < COAP_TARGET_ADDRESSES; a = a->ai_next)
		t->addresses[t->address_count++] = libcoap_address_of(a->ai_addr, a->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

bool coap_target_has_path(const struct coap_target *t)
{
	return t->uri.path.length > 0;
}

void coap_target_free(struct coap_target *t)
{
	free(t->host);
	free(t->host_and_port);
}

/* ---- a request's options ---- */

static void add(coap_optlist_t **list, uint16_t number, const void *bytes, size_t len)
{
	if (coap_insert_optlist(list, coap_new_optlist(number, len, bytes)) == 0)
		cli_fail("out of memory");
}

typedef int split_function(const uint8_t *text, size_t len, unsigned char *options, size_t *options_len);

/* The parts of a path or a query, without their percent signs. */
static void add_parts(coap_optlist_t **list, uint16_t number, coap_str_const_t text, split_function *split)
{
	unsigned char options[OPTIONS_MAX], *option = options;
	size_t len = sizeof(options);
	int count = text.length < OPTIONS_MAX / 4 ? split(text.s, text.length, options, &len) : -1;

	if (count < 0)
		cli_usage("the path or the query is too long: \"%.*s\"", (int)text.length, (const char *)text.s);
	for (; count > 0; count--) {
		add(list, number, coap_opt_value(option), coap_opt_length(option));
		option += coap_opt_size(option);
	}
}

coap_optlist_t *coap_target_options(const struct coap_target *t, const uint8_t *name, size_t name_len, const char *run)
{
	coap_optlist_t *list = NULL;
	char query[64];

	if (!t->host_is_address) /* RFC 7252, 6.4 */
		add(&list, COAP_OPTION_URI_HOST, t->host, strlen(t->host));
	if (coap_target_has_path(t)) {
		add_parts(&list, COAP_OPTION_URI_PATH, t->uri.path, coap_split_path);
	} else {
		add(&list, COAP_OPTION_URI_PATH, "sensors", sizeof("sensors") - 1);
		add(&list, COAP_OPTION_URI_PATH, name, name_len);
	}
	add(&list, COAP_OPTION_CONTENT_FORMAT, NULL, 0); /* text/plain */
	if (t->uri.query.length > 0)
		add_parts(&list, COAP_OPTION_URI_QUERY, t->uri.query, coap_split_query);
	add(&list, COAP_OPTION_URI_QUERY, query, (size_t)snprintf(query, sizeof(query), "run=%s", run));
	return list;
}
