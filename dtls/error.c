#include "error.h"

#include "association.h"
#include "mbed.h"
#include "mbed_errors.h" /* made from the headers that this is compiled against */

#include <mbedtls/error.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_code(const void *key, const void *entry)
{
	int a = *(const int *)key, b = ((const struct mbed_error *)entry)->code;

	return (a > b) - (a < b);
}

static const char *macro_name(int code)
{
	const struct mbed_error *e =
	    bsearch(&code, mbed_errors, sizeof(mbed_errors) / sizeof(*mbed_errors), sizeof(*mbed_errors), compare_code);

	return e == NULL ? NULL : e->name;
}

char *error_name(int code, char text[ERROR_NAME_MAX])
{
	/* A module's code may carry the code of the one below in its low seven bits. */
	int high = -code & ~0x7f, low = -code & 0x7f;
	const char *whole = macro_name(-code), *a = macro_name(high), *b = macro_name(low);

	if (whole != NULL)
		snprintf(text, ERROR_NAME_MAX, "%s", whole);
	else if (a != NULL && b != NULL)
		snprintf(text, ERROR_NAME_MAX, "%s + %s", a, b);
	else
		snprintf(text, ERROR_NAME_MAX, "mbed TLS error -0x%04x", (unsigned)-code);
	return text;
}

char *dtls_error_name(int code, char text[128])
{
	return error_name(code, text);
}

bool error_is_memory(int code)
{
	char name[ERROR_NAME_MAX];

	return strstr(error_name(code, name), "ALLOC_FAILED") != NULL;
}

char *error_bytes(const void *bytes, size_t len, char *text, size_t size)
{
	const unsigned char *p = bytes;
	size_t at = 0;

	for (size_t i = 0; i < len; i++) {
		if (at + ERROR_BYTES_ROOM > size) {
			snprintf(text + at, size - at, "...");
			return text;
		}
		if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\')
			text[at++] = (char)p[i];
		else
			at += (size_t)snprintf(text + at, size - at, "\\x%02x", p[i]);
	}
	text[at] = '\0';
	return text;
}

struct sentence { /* what the causes below are told about */
	const struct association *a;
	bool server, stream;
	const char *protocol;
	char identity[160];
	char cause[ERROR_MAX - 100];
};

static void say(struct sentence *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct sentence *s, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->cause, sizeof(s->cause), format, args);
	va_end(args);
}

static bool lacks_certificate(const struct association *a)
{
	return a->certificate_asked && a->settings->opt.own_count == 0;
}

static void say_alert(struct sentence *s)
{
	uint8_t alert = s->a->alert;

	/* Whichever it is: GnuTLS sends decode_error. */
	if (lacks_certificate(s->a) && alert != MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC &&
	    alert != MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR) {
		say(s, "the peer sent the alert %s: it asks for a certificate, and none is loaded here",
		    alert_name(alert));
		return;
	}
	switch (alert) {
	case MBEDTLS_SSL_ALERT_MSG_BAD_RECORD_MAC:
	case MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR:
		if (s->identity[0] == '\0')
			break;
		say(s,
		    "the peer sent the alert %s: the pre-shared key for identity \"%s\" probably differs, or the peer "
		    "does not know this identity",
		    alert_name(alert), s->identity);
		return;
	case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_PSK_IDENTITY:
		if (s->identity[0] == '\0')
			break;
		say(s, "the peer sent the alert %s: it does not know the identity \"%s\"", alert_name(alert),
		    s->identity);
		return;
	case MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE:
	case MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY:
		say(s,
		    "the peer sent the alert %s: probably none of the cipher suites offered here is enabled there, or "
		    "it has no key for them, or does not speak %s 1.2",
		    alert_name(alert), s->protocol);
		return;
	case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
	case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
	case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
	case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
	case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
	case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
	case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
		say(s, "the peer sent the alert %s: it does not accept this side's certificate", alert_name(alert));
		return;
	case MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION:
		say(s, "the peer sent the alert protocol_version: it does not speak %s 1.2", s->protocol);
		return;
	default:
		break;
	}
	say(s, "the peer sent the alert %u %s", alert, alert_name(alert));
}

static void say_mac(struct sentence *s)
{
	if (s->a->identity_unknown)
		say(s, "no pre-shared key is known for identity \"%s\"", s->identity);
	else if (s->identity[0] != '\0')
		say(s, "the peer's Finished did not decrypt: the pre-shared key for identity \"%s\" probably differs",
		    s->identity);
	else
		say(s, "the peer's Finished did not decrypt: the keys differ");
}

static bool say_handshake_cause(struct sentence *s, int code)
{
	switch (code) {
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		say_alert(s);
		return true;
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		say_mac(s);
		return true;
	case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
	case MBEDTLS_ERR_X509_FATAL_ERROR:
		if (s->a->verify_flags == 0)
			return false;
		say(s, "%s", s->a->error); /* verify.c left it there */
		return true;
	case MBED_ERR_CERT:
		say(s, "the peer's certificate cannot be used: it is damaged, or has a key of a kind that is not "
		       "accepted");
		return true;
	case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
		say(s, "the client sent no certificate, and one is required");
		return true;
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
		say(s, "the peer closed before the handshake was done");
		return true;
	case MBEDTLS_ERR_SSL_CONN_EOF:
		say(s, "the peer ended the connection in the middle of it, and sent no alert that says why");
		return true;
	case MBEDTLS_ERR_SSL_INVALID_RECORD:
		if (s->stream)
			say(s, "what the peer sent is not TLS: is this the right port?");
		return s->stream;
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
		say(s, "the peer sent a message out of turn");
		return true;
	case MBED_ERR_VERSION:
		say(s, "the peer does not speak %s 1.2", s->protocol);
		return true;
	case MBED_ERR_NO_CIPHER:
		if (mbed_is_1_3(&s->a->ssl) && s->identity[0] != '\0') {
			say_mac(
			    s); /* the same code tells that the binder, by which a client proves its key, is wrong */
			return true;
		}
		say(s, "none of the peer's cipher suites is enabled here%s",
		    s->server ? ", or fits this side's certificate and its key usage" : ", or it chose another");
		return true;
	case MBED_ERR_ALPN:
		if (!s->server || s->a->settings->opt.alpn_count == 0)
			return false;
		say(s, "the peer probably offers none of the application protocols that are enabled here (ALPN)");
		return true;
	default:
		return false;
	}
}

static void begin(struct sentence *s, struct association *a)
{
	*s = (struct sentence){
	    .a = a, .server = settings_is_server(a->settings), .stream = settings_is_stream(a->settings)};
	s->protocol = s->stream ? "TLS" : "DTLS";
	if (a->identity != NULL)
		error_bytes(a->identity, a->identity_len, s->identity, sizeof(s->identity));
}

static void finish(const struct sentence *s, struct association *a, const char *stage, const char *name)
{
	char peer[ADDRESS_TEXT] = "the peer";

	if (a->peer != NULL && address_len(a->peer) != 0)
		address_text(a->peer, peer);
	if (name == NULL)
		snprintf(a->error, sizeof(a->error), "%s with %s failed: %s", stage, peer, s->cause);
	else
		snprintf(a->error, sizeof(a->error), "%s with %s failed: %s (%s)", stage, peer, s->cause, name);
}

static void say_session_cause(struct sentence *s, int code)
{
	const char *hint = "";
	char prose[128];

	if (code == MBEDTLS_ERR_SSL_INVALID_MAC && mbed_is_1_3(&s->a->ssl) && !s->server)
		hint =
		    "; under TLS 1.3 a server that refuses this side's certificate may say so in a way that cannot be "
		    "read here";
	switch (code) {
	case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
		/* A server of TLS 1.3 judges the client after that has finished. */
		if (mbed_is_1_3(&s->a->ssl))
			say_alert(s);
		else
			say(s, "the peer sent the alert %u %s", s->a->alert, alert_name(s->a->alert));
		break;
	case MBEDTLS_ERR_SSL_CONN_EOF:
		say(s, "it was cut off: the stream ended without close_notify, so the end of what the peer said may be "
		       "missing");
		break;
	default:
		mbedtls_strerror(code, prose, sizeof(prose));
		say(s, "%s%s", prose, hint);
	}
}

void error_explain(struct association *a, const char *stage)
{
	char name[ERROR_NAME_MAX];
	struct sentence s;

	begin(&s, a);
	if (a->broken != NULL) {
		a->code = -a->lost_errno;
		say(&s, "cannot %s: %s", a->broken, strerror(a->lost_errno));
		finish(&s, a, stage, NULL);
		return;
	}
	if (error_is_memory(a->code)) {
		say(&s, "out of memory");
	} else if (a->choice_failed) {
		say(&s, "%s", a->error); /* choice.c left it there */
	} else if (a->state != ASSOCIATION_HANDSHAKE || !say_handshake_cause(&s, mbed_same_meaning(a->code))) {
		say_session_cause(&s, a->code);
	}
	finish(&s, a, stage, error_name(a->code, name));
}

void error_explain_timeout(struct association *a)
{
	long long seconds = a->settings->give_up_ms / 1000, ms = a->settings->give_up_ms % 1000;
	struct sentence s;

	begin(&s, a);
	if (a->lost_errno != 0)
		say(&s, "no answer within %lld.%03lld s; the last send said: %s", seconds, ms, strerror(a->lost_errno));
	else if (!a->heard)
		say(&s, "nothing was received within %lld.%03lld s: is a %s server listening there?", seconds, ms,
		    s.protocol);
	else if (a->finished_sent && s.identity[0] != '\0' && !s.server)
		say(&s,
		    "the peer fell silent after this side's Finished: the path may be bad, but some servers also stay "
		    "silent when the pre-shared key for identity \"%s\" differs or is unknown",
		    s.identity);
	else if (a->finished_sent && lacks_certificate(a))
		say(&s,
		    "the peer fell silent after this side's Finished: it asks for a certificate, and none is loaded "
		    "here");
	else if (s.stream)
		say(&s, "it was not done within %lld.%03lld s", seconds, ms);
	else
		say(&s, "the peer fell silent for %lld.%03lld s in the middle of it", seconds, ms);
	finish(&s, a, "handshake", NULL);
}
