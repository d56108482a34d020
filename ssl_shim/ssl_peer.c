#include "shim.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- life ---- */

static bool keep_names(struct ssl_peer *peer, const struct dtls_peer *of)
{
	const struct sockaddr *address = dtls_peer_addr(of, &peer->address_len);
	const uint8_t *identity = dtls_peer_psk_identity(of, &peer->identity_len);

	memcpy(&peer->address, address, peer->address_len);
	peer->identity = ssl_copy_bytes(identity, peer->identity_len);
	return identity == NULL || peer->identity != NULL;
}

struct ssl_peer *ssl_peer_new(struct ssl_server *s, struct dtls_peer *of)
{
	struct ssl_peer *peer = calloc(1, sizeof(*peer));

	if (peer == NULL || !keep_names(peer, of)) {
		free(peer);
		return NULL;
	}
	atomic_init(&peer->refs, 1);
	atomic_fetch_add(&s->refs, 1);
	peer->server = s;
	peer->peer = of;
	peer->generation = dtls_peer_generation(of);
	peer->next = s->peers;
	peer->back = &s->peers;
	if (s->peers != NULL)
		s->peers->back = &peer->next;
	s->peers = peer;
	dtls_peer_set_data(of, peer);
	return peer;
}

struct ssl_peer *ssl_peer_ref(struct ssl_peer *peer)
{
	atomic_fetch_add(&peer->refs, 1);
	return peer;
}

void ssl_peer_free(struct ssl_peer *peer)
{
	if (peer == NULL || atomic_fetch_sub(&peer->refs, 1) != 1)
		return;
	ssl_server_unref(peer->server);
	free(peer->identity);
	free(peer->error);
	free(peer);
}

void ssl_peer_ended(struct ssl_peer *peer, const char *reason)
{
	*peer->back = peer->next;
	if (peer->next != NULL)
		peer->next->back = peer->back;
	peer->peer = NULL;
	peer->reason = reason;
	ssl_peer_free(peer);
}

/* What has no code of its own this side has decided. */
static void keep_error(struct ssl_peer *peer, ssize_t status)
{
	const struct dtls_peer *of = peer->peer;
	int code = dtls_peer_error_code(of);

	if (status == DTLS_CLOSED && dtls_peer_reason(of) == DTLS_REASON_CLOSE_NOTIFY)
		return;
	peer->failed = true;
	peer->error = malloc(sizeof(*peer->error));
	if (peer->error == NULL)
		return;
	if (code != 0)
		ssl_fail_session(code, dtls_peer_verify_result(of), dtls_peer_error(of), peer->error);
	else
		ssl_fail_os(peer->error, ECONNABORTED, dtls_peer_error(of));
}

void ssl_peer_tell_end(struct ssl_peer *peer, ssize_t status)
{
	static const char *const names[] = {[DTLS_REASON_CLOSE_NOTIFY] = "close_notify",
	    [DTLS_REASON_REPLACED] = "replaced",
	    [DTLS_REASON_IDLE] = "idle",
	    [DTLS_REASON_EVICTED] = "evicted",
	    [DTLS_REASON_REVOKED] = "revoked",
	    [DTLS_REASON_HANDSHAKE] = "handshake",
	    [DTLS_REASON_ERROR] = "error"};

	keep_error(peer, status);
	ssl_peer_ended(peer, names[dtls_peer_reason(peer->peer)]);
}

int ssl_peer_close(struct ssl_peer *peer, struct ssl_error *e)
{
	struct ssl_server *s = peer->server;

	if (!ssl_server_lock(s, e))
		return SSL_FAILED;
	if (peer->peer != NULL) {
		dtls_peer_close(peer->peer);
		ssl_peer_ended(peer, "closed");
		dtls_endpoint_flush(s->endpoint);
		ssl_server_changed(s);
	}
	ssl_server_unlock(s);
	return 0;
}

/* ---- sending ---- */

static ssize_t refused(struct ssl_peer *peer, ssize_t status, size_t len, struct ssl_error *e)
{
	const struct dtls_peer *of = peer->peer;
	int code = dtls_peer_error_code(of);

	if (status == DTLS_TOO_BIG) {
		ssl_fail_os(e, EMSGSIZE, NULL);
		snprintf(e->note, sizeof(e->note),
		    "%zu bytes do not fit one datagram: at most %zu, and what the path takes", len,
		    dtls_peer_max_payload(of));
		return SSL_FAILED;
	}
	if (code != 0)
		return ssl_fail_session(code, dtls_peer_verify_result(of), dtls_peer_error(of), e);
	return ssl_fail_os(e, EPIPE, dtls_peer_error(of));
}

static ssize_t take(struct ssl_peer *peer, const void *buf, size_t len, struct ssl_error *e)
{
	ssize_t n;

	if (peer->peer == NULL)
		return ssl_fail_os(e, EPIPE, "the peer's session has ended");
	if (len == 0)
		return ssl_fail(e, SSL_KIND_VALUE, "an empty datagram cannot be sent");
	n = dtls_peer_send(peer->peer, buf, len);
	return n > 0 || n == DTLS_WANT_WRITE ? n : refused(peer, n, len, e);
}

/* What was taken is not taken back when its turn to leave has not come in time. */
ssize_t ssl_peer_send(struct ssl_peer *peer, const void *buf, size_t len, struct ssl_error *e)
{
	struct ssl_server *s = peer->server;
	struct ssl_pause w = {.events = POLLOUT, .due_ms = -1};
	bool taken = false, unsent, waits;
	ssize_t n = 0;

	for (;;) {
		if (!ssl_server_lock(s, e))
			return SSL_FAILED;
		if (w.stop_at == 0)
			w.stop_at = ssl_stop_at(s->timeout_ms);
		ssl_server_heard(s, false);
		if (!taken)
			n = take(peer, buf, len, e);
		taken |= n > 0;
		unsent = n == DTLS_WANT_WRITE;
		if (s->endpoint != NULL) {
			unsent |= dtls_endpoint_flush(s->endpoint) != DTLS_OK && taken;
			ssl_server_changed(s);
		}
		waits = unsent && s->endpoint != NULL && ssl_fd_waits(s->fd, s->timeout_ms);
		if (!waits) {
			ssl_server_unlock(s);
			return n == DTLS_WANT_WRITE ? SSL_WOULD_BLOCK : n;
		}
		if (ssl_server_wait(s, &w, e) != 0)
			return taken && e->kind == SSL_KIND_TIMEOUT ? n : SSL_FAILED;
	}
}

/* ---- what it is ---- */

void ssl_peer_set_data(struct ssl_peer *peer, void *data)
{
	peer->data = data;
}

void *ssl_peer_data(const struct ssl_peer *peer)
{
	return peer->data;
}

uint64_t ssl_peer_generation(const struct ssl_peer *peer)
{
	return peer->generation;
}

socklen_t ssl_peer_address(const struct ssl_peer *peer, const struct sockaddr_storage **address)
{
	*address = &peer->address;
	return peer->address_len;
}

struct ssl_bytes ssl_peer_psk_identity(const struct ssl_peer *peer)
{
	return (struct ssl_bytes){peer->identity, peer->identity_len};
}

const char *ssl_peer_reason(struct ssl_peer *peer)
{
	bool locked = ssl_server_look(peer->server);
	const char *reason = peer->reason;

	if (locked)
		ssl_server_unlock(peer->server);
	return reason;
}

bool ssl_peer_error(struct ssl_peer *peer, struct ssl_error *e)
{
	bool locked = ssl_server_look(peer->server), failed = peer->failed;

	if (failed && peer->error != NULL)
		*e = *peer->error;
	else if (failed)
		ssl_fail_memory(e);
	if (locked)
		ssl_server_unlock(peer->server);
	return failed;
}

size_t ssl_peer_max_payload(struct ssl_peer *peer)
{
	bool locked = ssl_server_look(peer->server);
	size_t n = peer->peer == NULL ? 0 : dtls_peer_max_payload(peer->peer);

	if (locked)
		ssl_server_unlock(peer->server);
	return n;
}

const char *ssl_peer_cipher(struct ssl_peer *peer)
{
	bool locked = ssl_server_look(peer->server);
	const char *name = peer->peer == NULL ? NULL : dtls_peer_cipher(peer->peer);

	if (locked)
		ssl_server_unlock(peer->server);
	return name;
}

const char *ssl_peer_version(struct ssl_peer *peer)
{
	return ssl_peer_cipher(peer) == NULL ? NULL : "DTLSv1.2";
}

char *ssl_peer_selected_alpn_protocol(struct ssl_peer *peer)
{
	bool locked = ssl_server_look(peer->server);
	const char *name = peer->peer == NULL ? NULL : dtls_peer_alpn(peer->peer);
	char *copy = name == NULL ? NULL : strdup(name);

	if (locked)
		ssl_server_unlock(peer->server);
	return copy;
}

uint8_t *ssl_peer_getpeercert(struct ssl_peer *peer, size_t *len)
{
	bool locked = ssl_server_look(peer->server);
	const uint8_t *bytes = peer->peer == NULL ? NULL : dtls_peer_cert(peer->peer, len);
	uint8_t *copy = ssl_copy_bytes(bytes, bytes == NULL ? 0 : *len);

	if (locked)
		ssl_server_unlock(peer->server);
	return copy;
}
