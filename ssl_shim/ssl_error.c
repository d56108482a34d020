#include "shim.h"

#include <errno.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <stdarg.h>
#include <stdio.h>

/* Between them lie the codes of mbed TLS's lower modules, which never come alone. */
enum { SMALLEST_MBED_CODE = -0x1000 };

const char *ssl_mbedtls_version(void)
{
	static _Thread_local char text[32];

	mbedtls_version_get_string_full(text);
	return text;
}

static void clear(struct ssl_error *e, enum ssl_kind kind)
{
	e->kind = kind;
	e->code = 0;
	e->text[0] = e->note[0] = e->path[0] = '\0';
}

int ssl_fail(struct ssl_error *e, enum ssl_kind kind, const char *format, ...)
{
	va_list args;

	clear(e, kind);
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
	return SSL_FAILED;
}

int ssl_fail_memory(struct ssl_error *e)
{
	return ssl_fail(e, SSL_KIND_MEMORY, "out of memory");
}

int ssl_fail_os(struct ssl_error *e, int code, const char *note)
{
	char name[128];

	clear(e, SSL_KIND_OS);
	e->code = code;
	if (note != NULL)
		snprintf(e->note, sizeof(e->note), "%s", note);
	snprintf(e->text, sizeof(e->text), "%s",
	    code < 0 ? dtls_error_name(code, name) : strerror_r(code, name, sizeof(name)));
	return SSL_FAILED;
}

int ssl_fail_context(const struct dtls_context *ctx, struct ssl_error *e)
{
	return ssl_fail(e, SSL_KIND_VALUE, "%s", dtls_context_error(ctx));
}

/* The text is mbed TLS's list of what is wrong; people get a sentence beside it. */
static int fail_verify(uint32_t flags, const char *sentence, struct ssl_error *e)
{
	clear(e, SSL_KIND_VALUE);
	mbedtls_x509_crt_verify_info(e->text, sizeof(e->text), "\n", flags);
	snprintf(e->note, sizeof(e->note), "%s", sentence);
	return SSL_FAILED;
}

int ssl_fail_session(int code, int64_t verify_result, const char *sentence, struct ssl_error *e)
{
	if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED && verify_result > 0)
		return fail_verify((uint32_t)verify_result, sentence, e);
	return ssl_fail_os(e, code > SMALLEST_MBED_CODE ? -code : code, sentence);
}

static int missing_credentials(struct ssl_socket *s, int code, struct ssl_error *e)
{
	ssl_fail_os(e, code, NULL);
	snprintf(e->note, sizeof(e->note),
	    "the server has neither a certificate nor a pre-shared key: give it certificate and key, or PSK identities "
	    "and "
	    "keys, before it is wrapped (%s)",
	    dtls_conn_error(s->conn));
	return SSL_FAILED;
}

static int without_code(struct ssl_socket *s, int status)
{
	if (status == DTLS_CLOSED)
		return MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY;
	if (status == DTLS_TOO_BIG)
		return EMSGSIZE;
	return dtls_conn_version(s->conn) != NULL ? EPIPE : EINVAL;
}

int ssl_fail_conn(struct ssl_socket *s, int status, struct ssl_error *e)
{
	int code = dtls_conn_error_code(s->conn);

	if (status == DTLS_TOO_BIG || code == 0)
		return ssl_fail_os(e, without_code(s, status), dtls_conn_error(s->conn));
	s->failed = true;
	if (s->bare && code <= SMALLEST_MBED_CODE && code != MBEDTLS_ERR_SSL_CONN_EOF &&
	    code != MBEDTLS_ERR_SSL_TIMEOUT)
		return missing_credentials(s, code, e);
	return ssl_fail_session(code, dtls_conn_verify_result(s->conn), dtls_conn_error(s->conn), e);
}
