#include "carrier.h"
#include "choice.h"
#include "mbed.h"
#include "resume.h"

#include <errno.h>
#include <mbedtls/net_sockets.h>
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
	if ((m->type == MESSAGE_CLIENT_HELLO || m->type == MESSAGE_SERVER_HELLO) && m->offset == 0)
		resume_note_hello(a, m->type, (struct bytes){m->body, m->len});
	if (m->type == MESSAGE_SERVER_HELLO && !a->hello_answered)
		timer_hello_answered(&a->timer, r->seq);
	a->hello_answered |= m->type == MESSAGE_SERVER_HELLO;
	a->certificate_asked |= m->type == MESSAGE_CERTIFICATE_REQUEST;
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
		const uint8_t *message = r.body;
		size_t rest = r.len;

		if (record_message(&r, &m))
			note_received_message(a, &r, &m);
		while (r.type == RECORD_HANDSHAKE && r.epoch == 0 && message_next(&message, &rest, &m))
			choice_by_hint(a, &m);
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

	if (datagram[0] == RECORD_ALERT && (a->quiet || association_has_told(a)))
		return (int)len;
	if (datagram[0] != RECORD_ALERT && timer_holds(&a->timer))
		return (int)len;
	sent = a->send(a->owner, datagram, len);
	if (sent == DTLS_WANT_WRITE)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	if (sent < 0) {
		a->lost_errno = errno;
		a->broken = sent != DTLS_AGAIN ? "send" : NULL;
		timer_sent(&a->timer);
		story_tell(&a->story, "a datagram of %zu bytes could not be sent: %s", len, strerror(a->lost_errno));
		return a->broken != NULL ? MBEDTLS_ERR_NET_SEND_FAILED : (int)len;
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

static void datagram_attach(struct association *a)
{
	mbedtls_ssl_set_bio(&a->ssl, a, send_datagram, recv_datagram, NULL);
	mbedtls_ssl_set_timer_cb(&a->ssl, &a->timer, timer_set, timer_get);
	mbedtls_ssl_set_mtu(&a->ssl, (uint16_t)a->settings->opt.mtu);
}

/* ---- the handshake ---- */

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
	choice_forget(a);
	resume_free(a);
	a->heard = a->hello_answered = a->finished_sent = a->hello_noted = false;
	a->verify_ran = false;
	a->verify_flags = 0;
	a->error[0] = '\0';
	a->forgeries = 0;
	timer_init(&a->timer, a->settings, &a->ctx->rng, &a->tally->retransmissions);
	timer_hurry(&a->timer, RESTART_TRANSMISSIONS * (int64_t)a->settings->opt.min_ms);
	story_init(&a->story, &a->settings->opt);
	return true;
}

static int handshake_timed_out(struct association *a)
{
	/* It was meant: the peer is gone for good. What it sent to the first attempt may still come in. */
	if (a->restarted && a->timer.rtt_ms < 0 && !a->hello_answered) {
		a->alert_plain = true;
		return association_handshake_failed(a, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
	}
	return association_handshake_timed_out(a);
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

static int datagram_handshake(struct association *a)
{
	int code;

	if (a->in == NULL && timer_gave_up(&a->timer))
		return handshake_timed_out(a);
	if (a->choice_failed) {
		drop_input(a);
		return association_handshake_failed(a, MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED);
	}
	do
		code = handshake_steps(a);
	while (code != 0 && start_over(a, code));
	if (code == 0) {
		timer_done(&a->timer);
		return association_handshake_done(a);
	}
	if (a->hello_verify_requests > HELLO_VERIFY_REQUESTS_MAX)
		return association_end(a, DTLS_FAIL, MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED,
		    "handshake failed: the peer answered %u ClientHellos with a HelloVerifyRequest",
		    a->hello_verify_requests);
	if (code == MBEDTLS_ERR_SSL_WANT_READ)
		return DTLS_WANT_READ;
	if (code == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	return code == MBEDTLS_ERR_SSL_TIMEOUT ? handshake_timed_out(a) : association_handshake_failed(a, code);
}

/* ---- the session ---- */

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
	return code == MBEDTLS_ERR_SSL_WANT_WRITE ? DTLS_WANT_WRITE : association_session_failed(a, code);
}

static ssize_t datagram_read(struct association *a, void *buf, size_t len)
{
	ssize_t status;
	int n;

	status = mbedtls_ssl_get_bytes_avail(&a->ssl) > 0 ? DTLS_OK : open_record(a);
	if (status != DTLS_OK)
		return status;
	if (mbedtls_ssl_get_bytes_avail(&a->ssl) > len)
		return DTLS_TOO_BIG;
	n = mbedtls_ssl_read(&a->ssl, buf, len);
	return n >= 0 ? n : association_session_failed(a, n);
}

/* A record that could not leave is sent by the next call of mbed TLS, which may be a read; it must not go twice. */
static ssize_t write_again(struct association *a, const void *buf, size_t len)
{
	int code = a->unsent_left ? 0 : mbedtls_ssl_write(&a->ssl, buf, len);

	if (code == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	a->unsent = false;
	if (code < 0)
		return association_session_failed(a, code);
	return a->lost_errno == EMSGSIZE ? DTLS_TOO_BIG : (ssize_t)a->unsent_len;
}

static ssize_t datagram_write(struct association *a, const void *buf, size_t len)
{
	int n;

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
		return association_session_failed(a, n);
	return a->lost_errno == EMSGSIZE ? DTLS_TOO_BIG : n;
}

static int datagram_close(struct association *a)
{
	/* mbed TLS sends what is left over first, and then it has done enough for one call. */
	bool left_over = a->unsent && !a->unsent_left;
	int code;

	code = mbedtls_ssl_close_notify(&a->ssl);
	if (code == 0 && left_over)
		code = mbedtls_ssl_close_notify(&a->ssl);
	return code == MBEDTLS_ERR_SSL_WANT_WRITE ? DTLS_WANT_WRITE : DTLS_OK;
}

const struct carrier datagram_carrier = {
    datagram_attach, datagram_handshake, datagram_read, datagram_write, datagram_close};
