#include "backend.h"

#include <mbedtls/version.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

enum { LINE_MAX_LEN = 512 };

static atomic_int dtls_level;

void coap_dtls_set_log_level(coap_level level)
{
	dtls_level = (int)level;
}

coap_level coap_dtls_get_log_level(void)
{
	return (coap_level)dtls_level;
}

void log_line(coap_level level, const char *format, ...)
{
	char line[LINE_MAX_LEN];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	coap_log(level, "%s", line);
}

void log_session(const struct session *s, coap_level level, const char *format, ...)
{
	char line[LINE_MAX_LEN];
	va_list args;

	if ((int)level > dtls_level)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	coap_dtls_log(level, "*  %s: %s\n", coap_session_str(s->coap), line);
}

static void trace(void *backend, int64_t now_ms, const char *event)
{
	const struct backend *b = backend;

	(void)now_ms;
	if (b->current != NULL)
		log_session(b->current, LOG_DEBUG, "%s", event);
}

/* Only where it is read: the story costs a line of text for each datagram. */
void log_trace(struct keyring *k)
{
	bool wanted = dtls_level >= LOG_DEBUG;

	if (wanted != k->traces)
		dtls_context_set_trace(k->ctx, wanted ? trace : NULL, k->backend);
	k->traces = wanted;
}

coap_tls_version_t *coap_get_tls_library_version(void)
{
	static _Thread_local coap_tls_version_t version;

	version = (coap_tls_version_t){.type = COAP_TLS_LIBRARY_MBEDTLS,
	    .version = mbedtls_version_get_number(),
	    .built_version = MBEDTLS_VERSION_NUMBER};
	return &version;
}
