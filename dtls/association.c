#include "carrier.h"
#include "keylog.h"
#include "mbed.h"
#include "record.h"
#include "resume.h"
#include "verify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

static int prepare(struct association *a)
{
	const struct options *opt = &a->settings->opt;
	const uint8_t *identity;
	size_t len;
	int code = mbedtls_ssl_setup(&a->ssl, &a->settings->conf);

	if (code != 0)
		return code;
	a->carrier->attach(a);
	mbedtls_ssl_set_verify(&a->ssl, verify_certificate, a);
	mbed_set_export(&a->ssl, &a->settings->exporter);
	if (settings_is_server(a->settings))
		return 0;
	code = association_set_hostname(a, NULL);
	if (code != 0 || opt->psk.fixed == NULL || !options_any_psk(opt))
		return code;
	identity = psk_table_identity(opt->psk.fixed, 0, &len);
	return association_keep_identity(a, identity, len);
}

/* All but mbed TLS's context; the references are held. */
static void furnish(struct association *a, const struct association_setup *setup)
{
	a->ctx = setup->ctx;
	a->settings = setup->settings;
	a->carrier = settings_is_stream(a->settings) ? &stream_carrier : &datagram_carrier;
	a->send = setup->send;
	a->recv = setup->recv;
	a->owner = setup->owner;
	a->peer = setup->peer;
	a->tally = setup->tally;
	timer_init(&a->timer, a->settings, &a->ctx->rng, &a->tally->retransmissions);
	story_init(&a->story, &a->settings->opt);
}

struct association *association_new(const struct association_setup *setup)
{
	struct association *a = calloc(1, setup->size != 0 ? setup->size : sizeof(*a));
	char name[ERROR_NAME_MAX];
	int code = MBEDTLS_ERR_SSL_ALLOC_FAILED;

	if (a != NULL) {
		dtls_context_ref(setup->ctx);
		settings_ref(setup->settings);
		furnish(a, setup);
		mbedtls_ssl_init(&a->ssl);
		code = prepare(a);
	}
	if (code == 0)
		return a;
	association_free(a);
	context_fail(setup->ctx, 0, "a session cannot be set up (%s)", error_name(code, name));
	return NULL;
}

void association_renew(struct association *a, void *owner, const struct address *peer)
{
	struct association_setup setup = {.ctx = a->ctx,
	    .settings = a->settings,
	    .send = a->send,
	    .recv = a->recv,
	    .owner = owner,
	    .peer = peer,
	    .tally = a->tally};

	association_forget_identity(a);
	free(a->peer_name);
	memset((char *)a + offsetof(struct association, ctx), 0, sizeof(*a) - offsetof(struct association, ctx));
	furnish(a, &setup);
	a->carrier->attach(a);
}

void association_free(struct association *a)
{
	if (a == NULL)
		return;
	mbedtls_ssl_free(&a->ssl);
	resume_free(a);
	association_forget_identity(a);
	free(a->peer_name);
	settings_free(a->settings);
	settings_free(a->first_settings);
	dtls_context_free(a->chosen);
	dtls_context_free(a->ctx);
	free(a);
}

int association_set_hostname(struct association *a, const char *name)
{
	int code;

	snprintf(a->hostname, sizeof(a->hostname), "%s", name == NULL ? "" : name);
	a->needs_hostname = a->settings->opt.verify_mode != CERT_NONE && a->settings->opt.overrule == NULL &&
			    !options_only_psk(&a->settings->opt);
	code = mbedtls_ssl_set_hostname(&a->ssl, name != NULL && verify_is_address(name) ? NULL : name);
	if (code == 0 && name != NULL)
		a->needs_hostname = false;
	return code;
}

static int ended(struct association *a, int status)
{
	a->state = ASSOCIATION_ENDED;
	a->status = status;
	return status;
}

int association_end(struct association *a, int status, int code, const char *format, ...)
{
	va_list args;

	if (a->state == ASSOCIATION_ENDED)
		return a->status;
	va_start(args, format);
	vsnprintf(a->error, sizeof(a->error), format, args);
	va_end(args);
	a->code = code;
	return ended(a, status);
}

/* ---- the handshake ---- */

static unsigned char alert_for(int code)
{
	if (error_is_memory(code))
		return MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR;
	switch (code) {
	case MBED_ERR_VERSION:
		return MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION;
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
		return MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE;
	default:
		return MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
	}
}

/* The peer of a failed handshake is told, once; mbed TLS does so for most failures, not for all. Under TLS 1.3 it always
 * does, encrypted, so that alert_sent does not tell. */
static void send_fatal_alert(struct association *a)
{
	if (mbed_is_1_3(&a->ssl) && a->code != MBEDTLS_ERR_SSL_TIMEOUT && !error_is_memory(a->code))
		return;
	if (!a->alert_sent && a->broken == NULL && a->code != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		mbedtls_ssl_send_alert_message(&a->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_for(a->code));
}

void association_refuse(struct association *a, int code)
{
	a->code = code;
	send_fatal_alert(a);
}

int association_handshake_failed(struct association *a, int code)
{
	/* What the callback makes mbed TLS refuse is a failed verification like any other. */
	if (code == MBEDTLS_ERR_X509_FATAL_ERROR && a->verify_flags != 0)
		code = MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
	a->code = code;
	if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && !a->alert_plain)
		a->alert = mbed_alert(&a->ssl);
	error_explain(a, "handshake");
	send_fatal_alert(a);
	return ended(a, DTLS_FAIL);
}

int association_handshake_timed_out(struct association *a)
{
	a->code = MBEDTLS_ERR_SSL_TIMEOUT;
	error_explain_timeout(a);
	send_fatal_alert(a);
	return ended(a, DTLS_TIMEDOUT);
}

static bool suite_is_cbc(const struct association *a)
{
	return strstr(mbedtls_ssl_get_ciphersuite(&a->ssl), "-CBC-") != NULL;
}

/* What mbed TLS checks of a certificate after the callback it forgives under CERT_OPTIONAL. */
static bool is_forgiven(const struct association *a)
{
	return a->settings->opt.verify_mode != CERT_NONE && mbedtls_ssl_get_peer_cert(&a->ssl) != NULL &&
	       mbedtls_ssl_get_verify_result(&a->ssl) != 0;
}

/* A client names itself before it is known what the session will rest on. */
static bool rests_on_psk(const struct association *a)
{
	return mbed_is_1_3(&a->ssl) ? options_only_psk(&a->settings->opt)
				    : strstr(mbedtls_ssl_get_ciphersuite(&a->ssl), "PSK-") != NULL;
}

static void refuse_done(struct association *a, unsigned char alert)
{
	mbedtls_ssl_send_alert_message(&a->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert);
}

static void tell_done(const struct association *a)
{
	const char *version = mbedtls_ssl_get_version(&a->ssl), *suite = mbedtls_ssl_get_ciphersuite(&a->ssl);
	const char *how = a->resumed ? ", resumed" : "";
	char round_trip[48] = "no round trip measured";

	if (a->timer.rtt_ms >= 0)
		snprintf(round_trip, sizeof(round_trip), "round trip %lld ms", (long long)a->timer.rtt_ms);
	if (settings_is_stream(a->settings))
		story_tell(&a->story, "handshake done: %s, %s%s", version, suite, how);
	else
		story_tell(&a->story, "handshake done: %s, %s%s; %s; flights resent: %u", version, suite, how,
		    round_trip, a->timer.resends);
}

int association_handshake_done(struct association *a)
{
	if (suite_is_cbc(a) && !mbed_encrypt_then_mac(&a->ssl)) {
		refuse_done(a, MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY);
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_BAD_CONFIG,
		    "handshake failed: the peer takes the CBC suite %s without encrypt-then-MAC (RFC 7366)",
		    mbedtls_ssl_get_ciphersuite(&a->ssl));
	}
	if (is_forgiven(a)) {
		refuse_done(a, MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT);
		a->verify_flags |= mbedtls_ssl_get_verify_result(&a->ssl);
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_X509_CERT_VERIFY_FAILED,
		    "handshake failed: the peer's certificate is not meant for this use, or has a key of a kind that "
		    "is "
		    "not accepted");
	}
	if (!resume_is_sound(a)) {
		refuse_done(a, MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_BAD_CONFIG,
		    "handshake failed: the peer resumes the session without its extended master secret (RFC 7627, "
		    "5.3)");
	}
	if (resume_done(a) != 0 || association_name_peer(a) != 0)
		return association_handshake_failed(a, MBEDTLS_ERR_SSL_ALLOC_FAILED);
	if (!rests_on_psk(a))
		association_forget_identity(a);
	a->state = ASSOCIATION_OPEN;
	a->forgeries = mbed_forgeries(&a->ssl);
	tell_done(a);
	return DTLS_OK;
}

int association_handshake(struct association *a)
{
	struct association *previous;
	int status;

	if (a->state == ASSOCIATION_OPEN)
		return DTLS_OK;
	if (a->state == ASSOCIATION_ENDED)
		return a->status;
	if (a->needs_hostname)
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_BAD_CONFIG,
		    "CERT_REQUIRED needs the server's hostname: call dtls_conn_set_hostname() first");
	a->began = true;
	previous = resume_turn(a);
	status = a->carrier->handshake(a);
	resume_turn(previous);
	return status;
}

void association_reopen(struct association *a)
{
	uint64_t next = get_48(mbed_out_counter(&a->ssl) + 2);

	a->began = a->heard = true;
	a->state = ASSOCIATION_OPEN;
	a->forgeries = mbed_forgeries(&a->ssl);
	a->last_seq = next > 0 ? next - 1 : 0;
	timer_done(&a->timer);
}

/* ---- the session ---- */

ssize_t association_session_failed(struct association *a, int code)
{
	if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return association_end(a, DTLS_CLOSED, 0, "the peer closed the session");
	a->code = code;
	if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		a->alert = mbed_alert(&a->ssl);
	error_explain(a, "session");
	return ended(a, DTLS_FAIL);
}

/* With output left over, mbed TLS sends that instead of the alert. */
int association_flush(struct association *a)
{
	if (mbed_unsent(&a->ssl) == 0)
		return 0;
	return mbedtls_ssl_send_alert_message(
	    &a->ssl, MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_CLOSE_NOTIFY);
}

/* DTLS_OK in an open session. */
static int not_open(const struct association *a)
{
	if (a->state == ASSOCIATION_OPEN)
		return DTLS_OK;
	return a->state == ASSOCIATION_ENDED ? a->status : DTLS_FAIL;
}

ssize_t association_read(struct association *a, void *buf, size_t len)
{
	int status = not_open(a);

	return status != DTLS_OK ? status : a->carrier->read(a, buf, len);
}

ssize_t association_write(struct association *a, const void *buf, size_t len)
{
	int status = not_open(a);

	return status != DTLS_OK ? status : a->carrier->write(a, buf, len);
}

int association_close(struct association *a)
{
	/* RFC 5246, 7.2.1: a close_notify is answered, before the stream is closed. */
	bool answers = settings_is_stream(a->settings) && a->status == DTLS_CLOSED;

	return a->state == ASSOCIATION_OPEN || answers ? a->carrier->close(a) : DTLS_OK;
}

size_t association_pending(const struct association *a)
{
	return a->state == ASSOCIATION_OPEN ? mbedtls_ssl_get_bytes_avail(&a->ssl) : 0;
}

const uint8_t *association_peer_cert(const struct association *a, size_t *len)
{
	const mbedtls_x509_crt *cert = a->state == ASSOCIATION_HANDSHAKE ? NULL : mbedtls_ssl_get_peer_cert(&a->ssl);

	*len = cert == NULL ? 0 : cert->raw.len;
	return cert == NULL ? NULL : cert->raw.p;
}

int64_t association_verify_result(const struct association *a)
{
	return a->verify_ran ? (int64_t)a->verify_flags : -1;
}

size_t association_max_payload(const struct association *a)
{
	int n = a->state == ASSOCIATION_OPEN ? mbedtls_ssl_get_max_out_record_payload(&a->ssl) : 0;

	return n < 0 ? 0 : (size_t)n;
}

bool association_has_input(const struct association *a)
{
	return a->in != NULL || mbedtls_ssl_check_pending(&a->ssl) != 0;
}

int64_t association_due_at(const struct association *a)
{
	return a->state == ASSOCIATION_HANDSHAKE ? timer_due_at(&a->timer) : INT64_MAX;
}
