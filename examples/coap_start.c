#include "coap_start.h"

#include "dtls/dtls.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* libcoap's log has no argument to carry them. */
static bool is_verbose;
static char complaint[512];

/* ---- the log ---- */

static void hear(coap_log_t level, const char *message)
{
	static const char before[] = " DTLS: "; /* the session's addresses */
	const char *text = strstr(message, before);
	int len = (int)strcspn(message, "\n");

	if (level <= LOG_WARNING) {
		text = text != NULL ? text + sizeof(before) - 1 : message;
		snprintf(complaint, sizeof(complaint), "%.*s", (int)strcspn(text, "\n"), text);
	}
	if (!is_verbose)
		return;
	fprintf(stderr, "libcoap: ");
	cli_print_bytes(stderr, message, (size_t)len);
	putc('\n', stderr);
}

const char *libcoap_complaint(void)
{
	return complaint;
}

void libcoap_forget_complaint(void)
{
	complaint[0] = '\0';
}

/* ---- the context ---- */

coap_context_t *libcoap_start(bool verbose)
{
	coap_context_t *coap;

	is_verbose = verbose;
	coap_startup();
	coap_set_log_handler(hear);
	coap_set_log_level(verbose ? LOG_NOTICE : LOG_WARNING);
	coap_dtls_set_log_level(verbose ? LOG_NOTICE : LOG_WARNING);
	if (!coap_dtls_is_supported())
		cli_fail("this libcoap has no DTLS");
	coap = coap_new_context(NULL);
	if (coap == NULL)
		cli_fail("libcoap gives no context: %s", complaint);
	coap_context_set_block_mode(coap, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
	return coap;
}

void libcoap_end(coap_context_t *coap)
{
	if (coap == NULL)
		return;
	coap_free_context(coap);
	coap_cleanup();
}

void libcoap_work(coap_context_t *coap)
{
	if (coap_io_process(coap, COAP_IO_NO_WAIT) < 0)
		cli_fail("libcoap cannot go on: %s", complaint);
}

/* ---- addresses ---- */

coap_address_t libcoap_address_of(const struct sockaddr *address, socklen_t len)
{
	coap_address_t made;

	coap_address_init(&made);
	memcpy(&made.addr, address, len);
	made.size = len;
	return made;
}

char *libcoap_address_text(const coap_address_t *address, char text[CLI_ADDRESS_TEXT])
{
	struct cli_address plain = {.len = (socklen_t)address->size};

	memcpy(&plain.storage, &address->addr, address->size);
	return cli_address_text(&plain, text);
}

/* libcoap lets two servers share a port, and does not say why it could not bind; so bind first. */
static void try_to_bind(const struct cli_address *address)
{
	close(cli_bind(address, SOCK_DGRAM));
}

void libcoap_listen(coap_context_t *coap, const char *option, const char *where)
{
	struct cli_address address = cli_resolve(option, where, true);
	coap_address_t at = libcoap_address_of(&address.any, address.len);
	const coap_endpoint_t *endpoint;
	const char *name;

	try_to_bind(&address);
	endpoint = coap_new_endpoint(coap, &at, COAP_PROTO_DTLS);
	if (endpoint == NULL)
		cli_usage("cannot listen on %s: %s", where, complaint);
	name = coap_endpoint_str(endpoint); /* "ADDR:PORT DTLS" */
	fprintf(stderr, "listening on %.*s\n", (int)strcspn(name, " "), name);
}

/* ---- codes ---- */

char *libcoap_code_text(unsigned code, char text[64])
{
	const char *phrase = coap_response_phrase((unsigned char)code);

	snprintf(text, 64, "%u.%02u%s%.40s", code >> 5, code & 0x1f, phrase != NULL ? " " : "",
	    phrase != NULL ? phrase : "");
	return text;
}

void libcoap_print_version(void)
{
	const char *version = coap_package_version();
	size_t skipped = strcspn(version, "0123456789");

	printf("%s %s, mbed TLS %s, libcoap %s\n", program_invocation_short_name, dtls_version(),
	    dtls_mbedtls_version(), version + skipped);
}
