#include "carrier.h"
#include "mbed.h"

#include <errno.h>
#include <mbedtls/net_sockets.h>

enum { PLAIN_ALERT = 5 + 2 }; /* bytes of a record */

/* ---- mbed TLS's callbacks ---- */

static bool is_gone(int error)
{
	return error == EPIPE || error == ECONNRESET;
}

static void note_sent(struct association *a, const uint8_t *bytes, size_t len)
{
	if (a->state != ASSOCIATION_HANDSHAKE)
		return;
	if (bytes[0] == RECORD_ALERT)
		a->alert_sent = len != PLAIN_ALERT || bytes[5] == MBEDTLS_SSL_ALERT_LEVEL_FATAL;
	story_stream_sent(&a->story, bytes, len);
}

static int send_bytes(void *arg, const unsigned char *bytes, size_t len)
{
	struct association *a = arg;
	ssize_t n = a->send(a->owner, bytes, len);

	if (n == DTLS_WANT_WRITE)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	if (n >= 0) {
		if ((size_t)n == len)
			note_sent(a, bytes, len);
		return (int)n;
	}
	a->lost_errno = errno;
	/* A peer that refuses sends an alert and leaves: its reason is still to be read. */
	if (a->state == ASSOCIATION_HANDSHAKE && is_gone(errno))
		return (int)len;
	a->broken = "send";
	return MBEDTLS_ERR_NET_SEND_FAILED;
}

static int recv_bytes(void *arg, unsigned char *buf, size_t len)
{
	struct association *a = arg;
	ssize_t n = a->recv(a->owner, buf, len);

	if (n == DTLS_WANT_READ)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (n >= 0) {
		a->heard |= n > 0;
		if (a->state == ASSOCIATION_HANDSHAKE)
			story_stream_received(&a->story, buf, (size_t)n);
		return (int)n;
	}
	a->lost_errno = errno;
	a->broken = "receive";
	return MBEDTLS_ERR_NET_RECV_FAILED;
}

static void stream_attach(struct association *a)
{
	mbedtls_ssl_set_bio(&a->ssl, a, send_bytes, recv_bytes, NULL);
}

/* ---- the handshake ---- */

static int stream_handshake(struct association *a)
{
	int code;

	timer_begin(&a->timer);
	code = mbedtls_ssl_handshake(&a->ssl);
	if (code == 0)
		return association_handshake_done(a);
	if (code != MBEDTLS_ERR_SSL_WANT_READ && code != MBEDTLS_ERR_SSL_WANT_WRITE)
		return association_handshake_failed(a, code);
	if (timer_gave_up(&a->timer))
		return association_handshake_timed_out(a);
	return code == MBEDTLS_ERR_SSL_WANT_READ ? DTLS_WANT_READ : DTLS_WANT_WRITE;
}

/* ---- the session ---- */

static ssize_t stream_read(struct association *a, void *buf, size_t len)
{
	int n;

	do
		n = mbedtls_ssl_read(&a->ssl, buf, len);
	while (mbed_is_session_ticket(n));
	if (n == MBEDTLS_ERR_SSL_WANT_READ)
		return DTLS_WANT_READ;
	if (n == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	if (n > 0)
		return n;
	/* 0 is the end of the stream. Without close_notify anybody may have cut it off (RFC 5246, 7.2.1). */
	return association_session_failed(a, n == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : n);
}

/* The peer may have said why before it left. */
static ssize_t write_failed(struct association *a, int code)
{
	const char *broken = a->broken;
	int error = a->lost_errno, said;
	unsigned char none;

	a->broken = NULL;
	said = mbedtls_ssl_read(&a->ssl, &none, 0);
	if (said == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE || said == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return association_session_failed(a, said);
	a->broken = broken;
	a->lost_errno = error;
	return association_session_failed(a, code);
}

static ssize_t stream_write(struct association *a, const void *buf, size_t len)
{
	size_t max = association_max_payload(a);
	int n = association_flush(a);

	if (n == 0 && a->unsent) {
		a->unsent = false;
		return (ssize_t)a->unsent_len;
	}
	if (n == 0) {
		a->unsent_len = len < max ? len : max;
		n = mbedtls_ssl_write(&a->ssl, buf, a->unsent_len);
		a->unsent = n == MBEDTLS_ERR_SSL_WANT_WRITE;
	}
	if (n == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	return n >= 0 ? n : write_failed(a, n);
}

static int stream_close(struct association *a)
{
	int code = association_flush(a);

	if (code == 0 && !a->closing) {
		a->closing = true;
		code = mbedtls_ssl_close_notify(&a->ssl);
	}
	return code == MBEDTLS_ERR_SSL_WANT_WRITE ? DTLS_WANT_WRITE : DTLS_OK;
}

const struct carrier stream_carrier = {stream_attach, stream_handshake, stream_read, stream_write, stream_close};
