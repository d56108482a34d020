#include "carrier.h"
#include "mbed.h"
#include "resume.h"

#include <errno.h>
#include <mbedtls/net_sockets.h>

enum { HEADER = 5, PLAIN_ALERT = HEADER + 2 }; /* bytes of a record */
/* mbed TLS goes on for as long as there are warnings, tickets or empty records to read: so much of it in one call. */
enum { RECEIVES_AT_ONCE = 1024 };

/* ---- mbed TLS's callbacks ---- */

static bool is_gone(int error)
{
	return error == EPIPE || error == ECONNRESET;
}

/* What is left of a record is given to the transport again, until all has left: only its beginning is of interest. */
static void note_sent(struct association *a, const uint8_t *bytes, size_t left, size_t sent)
{
	bool begins = a->story.unsent == 0;

	a->story.unsent = left - sent;
	if (!begins || a->state != ASSOCIATION_HANDSHAKE)
		return;
	if (bytes[0] == RECORD_ALERT)
		a->alert_sent = left != PLAIN_ALERT || bytes[HEADER] == MBEDTLS_SSL_ALERT_LEVEL_FATAL;
	story_stream_sent(&a->story, bytes, left);
}

/* In the clear, so not under TLS 1.3: there an alert of its own says that a certificate is missing. */
static bool asks_for_certificate(const uint8_t *record, size_t len)
{
	enum { MESSAGE = 4 };

	if (record[0] != RECORD_HANDSHAKE)
		return false;
	for (size_t at = HEADER; at + MESSAGE <= len;
	     at += MESSAGE + ((size_t)record[at + 1] << 16 | (size_t)record[at + 2] << 8 | record[at + 3]))
		if (record[at] == MESSAGE_CERTIFICATE_REQUEST)
			return true;
	return false;
}

static void note_hello(struct association *a, const uint8_t *record, size_t len)
{
	enum { MESSAGE = HEADER + 4 };

	if (record[0] == RECORD_HANDSHAKE && len >= MESSAGE && get_24(record + HEADER + 1) <= len - MESSAGE)
		resume_note_hello(a, record[HEADER], (struct bytes){record + MESSAGE, get_24(record + HEADER + 1)});
}

/* mbed TLS asks for a record's header, then for its body, each until it has all of it. */
static void note_received(struct association *a, const uint8_t *bytes, size_t len)
{
	const uint8_t *record = a->ssl.MBED_FIELD(in_hdr);
	size_t have = (size_t)(bytes - record) + len;

	a->heard |= len > 0;
	if (a->state != ASSOCIATION_HANDSHAKE || have <= HEADER ||
	    have != HEADER + ((size_t)record[3] << 8 | record[4]))
		return;
	a->certificate_asked |= asks_for_certificate(record, have);
	note_hello(a, record, have);
	story_stream_received(&a->story, record, have);
}

static int send_bytes(void *arg, const unsigned char *bytes, size_t len)
{
	struct association *a = arg;
	ssize_t n;

	if (a->story.unsent == 0 && association_has_told(a) && (bytes[0] == RECORD_ALERT || mbed_is_1_3(&a->ssl)))
		return (int)len;
	n = a->send(a->owner, bytes, len);
	if (n == DTLS_WANT_WRITE)
		return MBEDTLS_ERR_SSL_WANT_WRITE;
	if (n >= 0) {
		note_sent(a, bytes, len, (size_t)n);
		return (int)n;
	}
	a->lost_errno = errno;
	/* A peer that refuses sends an alert and leaves: its reason is still to be read. A reset that a send was told of
	 * looks to who reads like the end. */
	if (a->state == ASSOCIATION_HANDSHAKE && is_gone(errno)) {
		a->reset |= errno == ECONNRESET;
		return (int)len;
	}
	a->broken = "send";
	return MBEDTLS_ERR_NET_SEND_FAILED;
}

static int recv_bytes(void *arg, unsigned char *buf, size_t len)
{
	struct association *a = arg;
	ssize_t n;

	if (a->receives_left == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	a->receives_left--;
	n = a->recv(a->owner, buf, len);
	if (n == DTLS_WANT_READ)
		return MBEDTLS_ERR_SSL_WANT_READ;
	a->at_end = n == 0;
	if (n == 0 && a->reset && a->state == ASSOCIATION_HANDSHAKE) {
		a->lost_errno = ECONNRESET;
		a->broken = "send";
		return MBEDTLS_ERR_NET_RECV_FAILED;
	}
	if (n >= 0) {
		note_received(a, buf, (size_t)n);
		return (int)n;
	}
	a->lost_errno = errno;
	a->broken = "receive";
	return MBEDTLS_ERR_NET_RECV_FAILED;
}

static void stream_attach(struct association *a)
{
	mbedtls_ssl_set_bio(&a->ssl, a, send_bytes, recv_bytes, NULL);
	mbed_set_first_version(&a->ssl);
}

/* ---- the handshake ---- */

/* mbed TLS 2.28 takes what is no record at all for a bad ClientHello. */
static bool is_not_tls(const struct association *a, int code)
{
	const uint8_t *header = a->ssl.MBED_FIELD(in_hdr);
	bool is_record =
	    header[0] >= RECORD_CHANGE_CIPHER_SPEC && header[0] <= RECORD_APPLICATION_DATA && header[1] == 3;

	return a->heard && a->broken == NULL && code != MBEDTLS_ERR_SSL_CONN_EOF && !is_record;
}

/* An mbed TLS client that refuses its server under TLS 1.3 says why in the clear, where mbed TLS decrypts. */
static bool is_plain_alert(const struct association *a, int code)
{
	const uint8_t *record = a->ssl.MBED_FIELD(in_hdr);

	return code == MBEDTLS_ERR_SSL_INVALID_MAC && record[0] == RECORD_ALERT && record[3] == 0 && record[4] == 2;
}

static int handshake_failed(struct association *a, int code)
{
	if (is_not_tls(a, code))
		code = MBEDTLS_ERR_SSL_INVALID_RECORD;
	if (is_plain_alert(a, code)) {
		code = MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE;
		a->alert_plain = true;
		a->alert = a->ssl.MBED_FIELD(in_hdr)[PLAIN_ALERT - 1];
	}
	return association_handshake_failed(a, code);
}

static int stream_handshake(struct association *a)
{
	int code;

	timer_begin(&a->timer);
	a->receives_left = RECEIVES_AT_ONCE;
	code = mbedtls_ssl_handshake(&a->ssl);
	if (code == 0)
		return association_handshake_done(a);
	if (code != MBEDTLS_ERR_SSL_WANT_READ && code != MBEDTLS_ERR_SSL_WANT_WRITE)
		return handshake_failed(a, code);
	if (timer_gave_up(&a->timer))
		return association_handshake_timed_out(a);
	return code == MBEDTLS_ERR_SSL_WANT_READ ? DTLS_WANT_READ : DTLS_WANT_WRITE;
}

/* ---- the session ---- */

/* An alert that found no room must not wait for a write that may never come. Whether the transport still sends is for a
 * write to find out: there may be something to read. */
static void flush_alert(struct association *a)
{
	if (a->unsent)
		return;
	association_flush(a);
	a->broken = NULL;
}

/* Two empty records look like the end of the stream. */
static bool is_nothing(const struct association *a, int read)
{
	return mbed_is_session_ticket(read) || (read == 0 && !a->at_end && mbedtls_ssl_get_bytes_avail(&a->ssl) == 0);
}

static ssize_t stream_read(struct association *a, void *buf, size_t len)
{
	int n;

	flush_alert(a);
	a->receives_left = RECEIVES_AT_ONCE;
	do
		n = mbedtls_ssl_read(&a->ssl, buf, len);
	while (is_nothing(a, n));
	if (n == MBEDTLS_ERR_SSL_WANT_READ)
		return DTLS_WANT_READ;
	if (n == MBEDTLS_ERR_SSL_WANT_WRITE)
		return DTLS_WANT_WRITE;
	if (n > 0)
		return n;
	/* Without close_notify anybody may have cut it off (RFC 5246, 7.2.1). */
	return association_session_failed(a, n == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : n);
}

/* The peer may have said why before it left, or more than that: then only the writing has come to its end. */
static ssize_t write_failed(struct association *a, int code)
{
	const char *broken = a->broken;
	int error = a->lost_errno, said;
	unsigned char none;

	a->broken = NULL;
	a->receives_left = RECEIVES_AT_ONCE;
	do
		said = mbedtls_ssl_read(&a->ssl, &none, 0);
	while (is_nothing(a, said));
	if (mbedtls_ssl_get_bytes_avail(&a->ssl) > 0 || (said == MBEDTLS_ERR_SSL_WANT_READ && a->receives_left == 0)) {
		a->deaf_errno = error;
		return DTLS_FAIL;
	}
	if (said == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE || said == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
		return association_session_failed(a, said);
	a->broken = broken;
	a->lost_errno = error;
	return association_session_failed(a, code);
}

static ssize_t stream_write(struct association *a, const void *buf, size_t len)
{
	size_t max = association_max_payload(a);
	int n;

	if (a->deaf_errno != 0)
		return DTLS_FAIL;
	n = association_flush(a);
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
