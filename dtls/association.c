#include "association.h"

#include "keylog.h"
#include "mbed.h"
#include "verify.h"

#include <errno.h>
#include <mbedtls/net_sockets.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	HELLO_VERIFY_REQUESTS_MAX = 16, /* a server that never stops asking for cookies is no server */
	RESTART_TRANSMISSIONS = 1 + 2 + 4, /* of min_ms: three hellos */
	STEPS_MAX = 64, /* through the records of one datagram */
};

/* RFC 6347, 4.1: sequence numbers must not wrap; a few are left for the closing alert. */
static const uint64_t last_usable_seq = ((uint64_t)1 << 48) - 16;

/* ---- what passes by ---- */

static void note_sent(struct association *a, const uint8_t *at, size_t left)
{
	struct record r;

	while (record_next(&at, &left, &r)) {
		if (r.epoch != 0)
			a->last_seq = r.seq;
		else if (record_is_client_hello(&r))
			timer_hello_sent(&a->timer, r.seq);
		else if (r.type == RECORD_CHANGE_CIPHER_SPEC)
			a->finished_sent = true;
		if (r.type == RECORD_ALERT && r.epoch == 0 && r.len == 2)
			a->alert_sent = r.body[0] == MBEDTLS_SSL_ALERT_LEVEL_FATAL;
	}
}

static void note_received_message(struct association *a, const struct record *r, const struct message *m)
{
	a->hello_answered |= m->type == MESSAGE_SERVER_HELLO;
	if (m->type != MESSAGE_HELLO_VERIFY_REQUEST)
		return;
	a->hello_verify_requests++;
	if (timer_hello_answered(&a->timer, r->seq))
		story_tell(&a->story, "round trip %lld ms", (long long)a->timer.rtt_ms);
}

static void note_received(struct association *a, const uint8_t *at, size_t left)
{
	struct message m;
	struct record r;

	a->heard = true;
	a->alert_plain = false;
	while (record_next(&at, &left, &r)) {
		if (record_message(&r, &m))
			note_received_message(a, &r, &m);
		if (r.type == RECORD_ALERT && r.epoch == 0 && r.len == 2) {
			a->alert = r.body[1];
			a->alert_plain = true;
		}
	}
}

/* ---- mbed TLS's callbacks ---- */

static int send_datagram(void *arg, const unsigned char *datagram, size_t len)
{
	struct association *a = arg;
	ssize_t sent;

	if (a->quiet && datagram[0] == RECORD_ALERT)
		return (int)len;
	sent = a->send(a->owner, datagram, len);
	if (sent == DTLS_WANT_WRITE)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	if (sent < 0) {
		a->lost_errno = errno;
		a->send_failed = sent != DTLS_AGAIN;
		timer_sent(&a->timer);
		story_tell(&a->story, "a datagram of %zu bytes could not be sent: %s", len, strerror(a->lost_errno));
		return a->send_failed ? MBEDTLS_ERR_NET_SEND_FAILED : (int)len;
	}
	a->unsent_left = true;
	/* Only a lost last flight is sent again after the handshake. */
	if (a->state == ASSOCIATION_OPEN && datagram[0] == RECORD_CHANGE_CIPHER_SPEC)
		a->tally->retransmissions++;
	timer_sent(&a->timer);
	note_sent(a, datagram, len);
	story_sent(&a->story, datagram, len);
	return (int)len;
}

static int recv_datagram(void *arg, unsigned char *buf, size_t len)
{
	struct association *a = arg;
	size_t n = a->in_len < len ? a->in_len : len;

	if (a->in == NULL)
		return MBEDTLS_ERR_SSL_WANT_READ;
	memcpy(buf, a->in, n);
	a->in = NULL;
	return (int)n;
}

/* ---- life ---- */

static int prepare(struct association *a)
{
	const struct options *opt = &a->settings->opt;
	const uint8_t *identity;
	size_t len;
	int code = mbedtls_ssl_setup(&a->ssl, &a->settings->conf);

	if (code != 0)
		return code;
	mbedtls_ssl_set_bio(&a->ssl, a, send_datagram, recv_datagram, NULL);
	mbedtls_ssl_set_timer_cb(&a->ssl, &a->timer, timer_set, timer_get);
	mbedtls_ssl_set_mtu(&a->ssl, (uint16_t)opt->mtu);
	mbedtls_ssl_set_verify(&a->ssl, verify_certificate, a);
	mbed_set_export(&a->ssl, &a->settings->exporter);
	if (settings_is_server(a->settings))
		return 0;
	a->needs_hostname = opt->verify_mode != CERT_NONE && !options_only_psk(opt);
	if (opt->psk.fixed == NULL)
		return association_set_hostname(a, NULL);
	identity = psk_table_identity(opt->psk.fixed, 0, &len);
	return association_keep_identity(a, identity, len);
}

struct association *association_new(const struct association_setup *setup)
{
	struct association *a = calloc(1, sizeof(*a));
	char name[ERROR_NAME_MAX];
	int code = MBEDTLS_ERR_SSL_ALLOC_FAILED;

	if (a != NULL) {
		a->ctx = dtls_context_ref(setup->ctx);
		a->settings = settings_ref(setup->settings);
		a->send = setup->send;
		a->owner = setup->owner;
		a->peer = setup->peer;
		a->tally = setup->tally;
		timer_init(&a->timer, a->settings, &a->ctx->rng, &a->tally->retransmissions);
		story_init(&a->story, &a->settings->opt);
		mbedtls_ssl_init(&a->ssl);
		code = prepare(a);
	}
	if (code == 0)
		return a;
	association_free(a);
	context_fail(setup->ctx, 0, "a session cannot be set up (%s)", error_name(code, name));
	return NULL;
}

void association_free(struct association *a)
{
	if (a == NULL)
		return;
	mbedtls_ssl_free(&a->ssl);
	free(a->identity);
	settings_free(a->settings);
	dtls_context_free(a->ctx);
	free(a);
}

int association_set_hostname(struct association *a, const char *name)
{
	snprintf(a->hostname, sizeof(a->hostname), "%s", name == NULL ? "" : name);
	a->needs_hostname =
	    name == NULL && a->settings->opt.verify_mode != CERT_NONE && !options_only_psk(&a->settings->opt);
	return mbedtls_ssl_set_hostname(&a->ssl, name);
}

void association_feed(struct association *a, const void *datagram, size_t len)
{
	a->in = datagram;
	/* mbed TLS takes up to 12 bytes behind a record for a fault of its own, and would end the session for them. */
	a->in_len = record_without_stub(datagram, len);
	timer_input_waits(&a->timer, true);
	note_received(a, datagram, len);
	story_received(&a->story, datagram, len);
}

static void drop_input(struct association *a)
{
	a->in = NULL;
	timer_input_waits(&a->timer, false);
}

static void count_forgeries(struct association *a)
{
	unsigned seen = mbed_forgeries(&a->ssl);

	/* 3.6 uses the same field for something else until the handshake is done, and a reset clears it. */
	if (seen > a->forgeries)
		a->tally->forgeries += seen - a->forgeries;
	a->forgeries = seen;
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

/* The peer of a failed handshake is told, once; mbed TLS does so for most failures, not for all. */
static void send_fatal_alert(struct association *a)
{
	if (!a->alert_sent && !a->send_failed && a->code != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		mbedtls_ssl_send_alert_message(&a->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, alert_for(a->code));
}

void association_refuse(struct association *a, int code)
{
	a->code = code;
	send_fatal_alert(a);
}

static int handshake_failed(struct association *a, int code)
{
	a->code = code;
	if (a->send_failed) {
		a->code = -a->lost_errno;
		snprintf(a->error, sizeof(a->error), "handshake failed: cannot send: %s", strerror(a->lost_errno));
		return ended(a, DTLS_FAIL);
	}
	if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && !a->alert_plain)
		a->alert = mbed_alert(&a->ssl);
	error_explain(a, "handshake");
	send_fatal_alert(a);
	return ended(a, DTLS_FAIL);
}

static int handshake_timed_out(struct association *a)
{
	/* It was meant: the peer is gone for good. What it sent to the first attempt may still come in. */
	if (a->restarted && a->timer.rtt_ms < 0 && !a->hello_answered) {
		a->alert_plain = true;
		return handshake_failed(a, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
	}
	a->code = MBEDTLS_ERR_SSL_TIMEOUT;
	error_explain_timeout(a);
	send_fatal_alert(a);
	return ended(a, DTLS_TIMEDOUT);
}

/* An alert in the clear may be anybody's: a client tries once more before it believes one. */
static bool start_over(struct association *a, int code)
{
	if ((code != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE && code != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) ||
	    settings_is_server(a->settings) || !a->alert_plain || a->restarted)
		return false;
	story_tell(&a->story, "the alert may be forged: starting over, once");
	if (mbedtls_ssl_session_reset(&a->ssl) != 0)
		return false;
	a->restarted = true;
	a->heard = a->hello_answered = a->finished_sent = false;
	a->forgeries = 0;
	timer_init(&a->timer, a->settings, &a->ctx->rng, &a->tally->retransmissions);
	timer_hurry(&a->timer, RESTART_TRANSMISSIONS * (int64_t)a->settings->opt.min_ms);
	story_init(&a->story, &a->settings->opt);
	return true;
}

static bool suite_is_cbc(const struct association *a)
{
	return strstr(mbedtls_ssl_get_ciphersuite(&a->ssl), "-CBC-") != NULL;
}

static int handshake_done(struct association *a)
{
	char round_trip[48] = "no round trip measured";

	if (suite_is_cbc(a) && !mbed_encrypt_then_mac(&a->ssl)) {
		mbedtls_ssl_send_alert_message(
		    &a->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_INSUFFICIENT_SECURITY);
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_BAD_CONFIG,
		    "handshake failed: the peer takes the CBC suite %s without encrypt-then-MAC (RFC 7366)",
		    mbedtls_ssl_get_ciphersuite(&a->ssl));
	}
	a->state = ASSOCIATION_OPEN;
	a->forgeries = mbed_forgeries(&a->ssl);
	if (a->timer.rtt_ms >= 0)
		snprintf(round_trip, sizeof(round_trip), "round trip %lld ms", (long long)a->timer.rtt_ms);
	story_tell(&a->story, "handshake done: %s, %s; %s; flights resent: %u", mbedtls_ssl_get_version(&a->ssl),
	    mbedtls_ssl_get_ciphersuite(&a->ssl), round_trip, a->timer.resends);
	return DTLS_OK;
}

/* One call takes mbed TLS through all records of the datagram that was fed. */
static int handshake_steps(struct association *a)
{
	int code, steps = 0;

	do
		code = mbedtls_ssl_handshake(&a->ssl);
	while (code == MBEDTLS_ERR_SSL_WANT_READ && (a->in != NULL || mbedtls_ssl_check_pending(&a->ssl)) &&
	       ++steps < STEPS_MAX);
	drop_input(a);
	return code;
}

int association_handshake(struct association *a)
{
	int code;

	if (a->state == ASSOCIATION_OPEN)
		return DTLS_OK;
	if (a->state == ASSOCIATION_ENDED)
		return a->status;
	if (a->needs_hostname)
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_BAD_CONFIG,
		    "CERT_REQUIRED needs the server's hostname: call dtls_conn_set_hostname() first");
	if (a->in == NULL && timer_gave_up(&a->timer))
		return handshake_timed_out(a);
	do
		code = handshake_steps(a);
	while (code != 0 && start_over(a, code));
	if (code == 0)
		return handshake_done(a);
	if (a->hello_verify_requests > HELLO_VERIFY_REQUESTS_MAX)
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED,
		    "handshake failed: the peer answered %u ClientHellos with a HelloVerifyRequest",
		    a->hello_verify_requests);
	if (code == MBEDTLS_ERR_SSL_WANT_READ)
		return DTLS_WANT_READ;
	if (code == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	return code == MBEDTLS_ERR_SSL_TIMEOUT ? handshake_timed_out(a) : handshake_failed(a, code);
}

/* ---- the session ---- */

static ssize_t session_failed(struct association *a, int code)
{
	if (code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return association_end(a, DTLS_CLOSED, 0, "the peer closed the session");
	a->code = a->send_failed ? -a->lost_errno : code;
	if (code == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		a->alert = mbed_alert(&a->ssl);
	if (a->send_failed)
		snprintf(a->error, sizeof(a->error), "session failed: cannot send: %s", strerror(a->lost_errno));
	else
		error_explain(a, "session");
	return ended(a, DTLS_FAIL);
}

/* DTLS_OK when a record is open inside mbed TLS. */
static ssize_t open_record(struct association *a)
{
	unsigned char none;
	int code, steps = 0;

	do
		code = mbedtls_ssl_read(&a->ssl, &none, 0);
	while (code == MBEDTLS_ERR_SSL_WANT_READ && association_has_input(a) && ++steps < STEPS_MAX);
	drop_input(a);
	count_forgeries(a);
	if (code == 0)
		return mbedtls_ssl_get_bytes_avail(&a->ssl) > 0 ? DTLS_OK : DTLS_WANT_READ;
	if (code == MBEDTLS_ERR_SSL_WANT_READ)
		return DTLS_WANT_READ;
	return code == MBEDTLS_ERR_SSL_WANT_WRITE ? DTLS_WANT_WRITE : session_failed(a, code);
}

ssize_t association_read(struct association *a, void *buf, size_t len)
{
	ssize_t status;
	int n;

	if (a->state != ASSOCIATION_OPEN)
		return a->state == ASSOCIATION_ENDED ? a->status : DTLS_FAIL;
	status = mbedtls_ssl_get_bytes_avail(&a->ssl) > 0 ? DTLS_OK : open_record(a);
	if (status != DTLS_OK)
		return status;
	if (mbedtls_ssl_get_bytes_avail(&a->ssl) > len)
		return DTLS_TOO_BIG;
	n = mbedtls_ssl_read(&a->ssl, buf, len);
	return n >= 0 ? n : session_failed(a, n);
}

/* A record that could not leave is sent by the next call of mbed TLS, which may be a read; it must not go twice. */
static ssize_t write_again(struct association *a, const void *buf, size_t len)
{
	int code = a->unsent_left ? 0 : mbedtls_ssl_write(&a->ssl, buf, len);

	if (code == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	a->unsent = false;
	if (code < 0)
		return session_failed(a, code);
	return a->lost_errno == EMSGSIZE ? DTLS_TOO_BIG : (ssize_t)a->unsent_len;
}

ssize_t association_write(struct association *a, const void *buf, size_t len)
{
	int n;

	if (a->state != ASSOCIATION_OPEN)
		return a->state == ASSOCIATION_ENDED ? a->status : DTLS_FAIL;
	if (a->unsent)
		return write_again(a, buf, len);
	if (len > association_max_payload(a))
		return DTLS_TOO_BIG;
	if (a->last_seq >= last_usable_seq) {
		association_close(a);
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_COUNTER_WRAPPING,
		    "the session's sequence numbers are used up: connect again");
	}
	a->lost_errno = 0;
	n = mbedtls_ssl_write(&a->ssl, buf, len);
	if (n == MBEDTLS_ERR_SSL_WANT_WRITE) {
		a->unsent = true;
		a->unsent_left = false;
		a->unsent_len = len;
		return DTLS_WANT_WRITE;
	}
	if (n < 0)
		return session_failed(a, n);
	return a->lost_errno == EMSGSIZE ? DTLS_TOO_BIG : n;
}

int association_close(struct association *a)
{
	/* mbed TLS sends what is left over first, and then it has done enough for one call. */
	bool left_over = a->unsent && !a->unsent_left;
	int code;

	if (a->state != ASSOCIATION_OPEN)
		return DTLS_OK;
	code = mbedtls_ssl_close_notify(&a->ssl);
	if (code == 0 && left_over)
		code = mbedtls_ssl_close_notify(&a->ssl);
	return code == MBEDTLS_ERR_SSL_WANT_WRITE ? DTLS_WANT_WRITE : DTLS_OK;
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
