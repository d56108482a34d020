#include "backend.h"

#include <errno.h>
#include <string.h>

enum { MESSAGE_MAX = 16384, DATAGRAM_MAX = MESSAGE_MAX + 256, HEADER = 4, MTU_MIN = 256, MTU_MAX = 16384 };

/* ---- the connection's transport ---- */

/* A datagram that did not leave is a lost one: a handshake sends it again, and coap_dtls_send() tells of a message. */
static ssize_t send_datagram(void *session, const void *buf, size_t len)
{
	struct session *s = session;

	if (successor_is_quiet(s, buf))
		return (ssize_t)len;
	errno = 0;
	if (coap_netif_dgrm_write(s->coap, buf, len) == (ssize_t)len)
		return (ssize_t)len;
	s->unsent = true;
	return errno == EMSGSIZE ? DTLS_TOO_BIG : (ssize_t)len;
}

static ssize_t recv_datagram(void *session, void *buf, size_t len)
{
	struct session *s = session;
	size_t came = s->in_len;

	if (s->in == NULL)
		return DTLS_WANT_READ;
	memcpy(buf, s->in, came < len ? came : len);
	s->in = NULL;
	return (ssize_t)came;
}

/* A server's endpoint may have another than the default. There is no function to ask for it, but one that tells what it
 * leaves for a message; a client's cannot be set before its handshake. */
static size_t mtu_of(const struct session *s)
{
	size_t mtu = s->is_client ? COAP_DEFAULT_MTU : coap_session_max_pdu_size(s->coap) + HEADER + OVERHEAD;

	return mtu < MTU_MIN ? MTU_MIN : mtu > MTU_MAX ? MTU_MAX : mtu;
}

bool session_connect(struct session *s, struct keyring *keys)
{
	struct dtls_transport transport = {send_datagram, recv_datagram, s};

	log_trace(keys);
	s->keys = keyring_ref(keys);
	s->mtu = mtu_of(s);
	s->conn = dtls_wrap_transport(keys->ctx, &transport);
	return s->conn != NULL ? dtls_conn_set_mtu(s->conn, s->mtu) == DTLS_OK : keyring_failed(keys);
}

/* ---- what became of a call ---- */

bool session_goes_on(ssize_t status)
{
	return status >= 0 || status == DTLS_WANT_READ || status == DTLS_WANT_WRITE || status == DTLS_AGAIN;
}

static void warn(const struct session *s)
{
	const char *why = s->conn == NULL ? "" : dtls_conn_error(s->conn);

	if (why[0] != '\0')
		log_line(LOG_WARNING, "***%s: %s\n", coap_session_str(s->coap), why);
}

/* Ends the session for libcoap: its events and NACKs. */
static void end(struct session *s, ssize_t status)
{
	coap_context_t *context = s->backend->coap;

	if (status == DTLS_CLOSED) {
		log_session(s, LOG_INFO, "%s", dtls_conn_error(s->conn));
	} else {
		warn(s);
		if (status != DTLS_TIMEDOUT)
			coap_handle_event(context, COAP_EVENT_DTLS_ERROR, s->coap);
	}
	if (s->conn != NULL && !s->ended)
		coap_session_disconnected(s->coap, COAP_NACK_TLS_FAILED);
}

void session_opened(struct session *s, coap_event_t event)
{
	s->open = true;
	s->overhead = (unsigned)(s->mtu - dtls_conn_max_payload(s->conn));
	dtls_conn_set_mtu(s->conn, MTU_MAX); /* from now on libcoap sees to it that messages fit */
	log_line(COAP_LOG_CIPHERS, "*  %s: Using cipher: %s\n", coap_session_str(s->coap), dtls_conn_cipher(s->conn));
	session_hold(s);
	coap_handle_event(s->backend->coap, event, s->coap);
	if (s->open)
		coap_session_connected(s->coap);
	session_release(s);
}

static int handshake(struct session *s)
{
	struct session *outer = session_enter(s);
	int status = dtls_conn_handshake(s->conn);

	if (status == DTLS_OK && !verify_shown(s)) {
		log_line(LOG_WARNING, "***%s: DTLS: the peer's certificate was rejected by validate_cn_call_back\n",
		    coap_session_str(s->coap));
		dtls_conn_close(s->conn);
		status = DTLS_FAIL;
	}
	session_leave(s, outer);
	return status;
}

static ssize_t read_message(struct session *s, uint8_t *buf, size_t len)
{
	struct session *outer = session_enter(s);
	ssize_t n = dtls_conn_read(s->conn, buf, len);

	session_leave(s, outer);
	return n;
}

/* Hands over what came, message by message, as long as its receiver leaves the session alive. */
static int deliver(struct session *s)
{
	uint8_t message[MESSAGE_MAX];
	int result = 0;
	ssize_t n;

	while (s->open) {
		n = read_message(s, message, sizeof(message));
		if (n > 0)
			result = coap_handle_dgram(s->backend->coap, s->coap, message, (size_t)n);
		if (n > 0)
			continue;
		if (session_goes_on(n))
			return result;
		end(s, n);
		return -1;
	}
	return result;
}

int session_feed(struct session *s, const uint8_t *datagram, size_t len)
{
	int status;

	s->in = datagram;
	s->in_len = len;
	status = handshake(s);
	s->in = NULL;
	if (!session_goes_on(status))
		warn(s);
	return status;
}

/* ---- libcoap's calls ---- */

static int receive(struct session *s, const uint8_t *datagram, size_t len)
{
	int status = DTLS_OK, result = 0;

	session_hold(s);
	s->in = datagram;
	s->in_len = len;
	if (!s->open) {
		status = handshake(s);
		if (s->conn != NULL && status == DTLS_OK)
			session_opened(s, COAP_EVENT_DTLS_CONNECTED);
		else if (s->conn != NULL && !session_goes_on(status))
			end(s, status);
	}
	if (s->open)
		result = deliver(s);
	s->in = NULL;
	session_release(s);
	return session_goes_on(status) ? result : -1;
}

int coap_dtls_receive(coap_session_t *coap, const uint8_t *datagram, size_t len)
{
	struct session *s = session_find(coap);
	uint8_t rest[DATAGRAM_MAX];

	if (s == NULL || s->conn == NULL || s->ended || len > sizeof(rest))
		return -1;
	if (!successor_concerns(s, datagram, len))
		return receive(s, datagram, len);
	memcpy(rest, datagram, len);
	len = successor_filter(coap, rest, len);
	s = session_find(coap);
	return s == NULL || s->conn == NULL || len == 0 ? 0 : receive(s, rest, len);
}

coap_sent coap_dtls_send(coap_session_t *coap, const uint8_t *message, size_t len)
{
	struct session *s = session_find(coap), *outer;
	ssize_t n;

	if (s == NULL || !s->open)
		return -1;
	session_hold(s);
	s->unsent = false;
	outer = session_enter(s);
	n = dtls_conn_write(s->conn, message, len);
	session_leave(s, outer);
	if (n == DTLS_TOO_BIG || s->unsent)
		log_line(LOG_WARNING, "***%s: DTLS: a message of %zu bytes could not be sent\n", coap_session_str(coap),
		    len);
	else if (!session_goes_on(n) && s->open)
		end(s, n);
	if (s->unsent || n < 0)
		n = -1;
	session_release(s);
	return (coap_sent)n;
}

/* What a record adds to a message. */
unsigned int coap_dtls_get_overhead(coap_session_t *coap)
{
	const struct session *s = session_find(coap);

	return s == NULL || !s->open ? OVERHEAD : s->overhead;
}

/* The MTU of the handshake is COAP_DEFAULT_MTU; what follows libcoap cuts to the one that it was given. */
void coap_dtls_session_update_mtu(coap_session_t *coap)
{
	(void)coap;
}

int coap_dtls_is_context_timeout(void)
{
	return 0;
}

coap_tick_t coap_dtls_get_context_timeout(void *backend)
{
	(void)backend;
	return 0;
}

coap_tick_t coap_dtls_get_timeout(coap_session_t *coap, coap_tick_t now)
{
	const struct session *s = session_find(coap);
	int ms = s == NULL || s->conn == NULL || s->ended ? -1 : dtls_conn_timeout(s->conn);

	return ms < 0 ? 0 : now + (coap_tick_t)ms * COAP_TICKS_PER_SECOND / 1000;
}

int coap_dtls_handle_timeout(coap_session_t *coap)
{
	struct session *s = session_find(coap), *outer;
	int status;

	if (s == NULL || s->conn == NULL || s->ended)
		return 0;
	session_hold(s);
	outer = session_enter(s);
	status = dtls_conn_handle_timeout(s->conn);
	session_leave(s, outer);
	if (!session_goes_on(status) && s->conn != NULL)
		end(s, status);
	session_release(s);
	return !session_goes_on(status);
}
