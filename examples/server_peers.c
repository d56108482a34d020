/* DTLS peers on one UDP socket. */
#include "server.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

enum { EVENTS_BEFORE_SIGNALS = 256 };

/* ---- what is told ---- */

void server_peers_tell(const struct dtls_stats *n)
{
	fprintf(stderr, "  peers %" PRIu64 "; unfinished handshakes %" PRIu64 "\n", n->peers, n->handshakes);
	fprintf(stderr, "  messages in %" PRIu64 ", out %" PRIu64 "; datagrams in %" PRIu64 ", out %" PRIu64 "\n",
	    n->messages_in, n->messages_out, n->datagrams_in, n->datagrams_out);
	fprintf(stderr, "  hello replies %" PRIu64 "; cookies accepted %" PRIu64 ", rejected %" PRIu64 "\n",
	    n->hello_replies, n->cookies_accepted, n->cookies_rejected);
	fprintf(stderr,
	    "  handshakes started %" PRIu64 ", completed %" PRIu64 ", failed %" PRIu64 ", timed out %" PRIu64
	    ", displaced %" PRIu64 "\n",
	    n->handshakes_started, n->handshakes_completed, n->handshakes_failed, n->handshakes_timedout,
	    n->handshakes_displaced);
	fprintf(stderr, "  flights resent %" PRIu64 "; records forged %" PRIu64 "\n", n->retransmissions, n->forgeries);
	fprintf(stderr,
	    "  closed by the peer %" PRIu64 ", idle %" PRIu64 ", replaced %" PRIu64 ", evicted %" PRIu64
	    ", revoked %" PRIu64 ", by an error %" PRIu64 "\n",
	    n->closed_by_peer, n->closed_idle, n->closed_replaced, n->closed_evicted, n->closed_revoked,
	    n->closed_error);
	fprintf(stderr,
	    "  dropped: junk %" PRIu64 ", malformed hello %" PRIu64 ", fragmented hello %" PRIu64
	    ", replayed hello %" PRIu64 ", forged %" PRIu64 ", too long %" PRIu64 ", no memory %" PRIu64
	    ", not sent %" PRIu64 ", odd address %" PRIu64 "\n",
	    n->drop_junk, n->drop_malformed_hello, n->drop_fragmented_hello, n->drop_replayed_hello, n->drop_forged,
	    n->drop_truncated, n->drop_memory, n->drop_send, n->drop_address);
	fprintf(stderr, "  beyond the rate of their source: hellos %" PRIu64 ", handshakes %" PRIu64 "\n",
	    n->drop_source_hellos, n->drop_source_handshakes);
}

static void tell_counters(const struct server *s)
{
	struct dtls_stats n = {.size = sizeof(n)};

	dtls_endpoint_stats(s->ep, &n);
	server_peers_tell(&n);
}

static struct server_name name_of(const struct dtls_peer *peer)
{
	struct server_name name = {.address.len = sizeof(name.address.storage)};
	const struct sockaddr *address = dtls_peer_addr(peer, &name.address.len);

	memcpy(&name.address.storage, address, name.address.len);
	name.identity = dtls_peer_psk_identity(peer, &name.identity_len);
	server_name_by_certificate(&name, dtls_peer_name(peer));
	return name;
}

static const char *ending(const struct dtls_peer *peer)
{
	switch (dtls_peer_reason(peer)) {
	case DTLS_REASON_CLOSE_NOTIFY:
		return "has closed";
	case DTLS_REASON_REPLACED:
		return "was replaced by a new session from the same address";
	case DTLS_REASON_IDLE:
		return "was closed: silent for too long";
	case DTLS_REASON_EVICTED:
		return "was closed: it had been silent longest when --max-peers was reached";
	case DTLS_REASON_REVOKED:
		return "was closed: its key was revoked";
	default:
		return NULL;
	}
}

static void tell_line(const struct server *s, const struct dtls_peer *peer, ssize_t event)
{
	const struct server_name name = name_of(peer);
	struct server_session session;
	size_t len;

	if (event == DTLS_CONNECTED) {
		session = (struct server_session){.cipher = dtls_peer_cipher(peer),
		    .alpn = dtls_peer_alpn(peer),
		    .verify_result = dtls_peer_verify_result(peer),
		    .has_certificate = dtls_peer_cert(peer, &len) != NULL};
		server_tell_connected(s, &name, &session);
		return;
	}
	server_begin_line(&name);
	if (ending(peer) != NULL)
		fprintf(stderr, "%s\n", ending(peer));
	else
		fprintf(stderr, "ended: %s\n", dtls_peer_error(peer));
}

static void tell_event(const struct server *s, const struct dtls_peer *peer, ssize_t event)
{
	if (s->quiet)
		return;
	flockfile(stderr); /* a line has several parts, and there may be other threads */
	tell_line(s, peer, event);
	funlockfile(stderr);
}

/* ---- what is done ---- */

static void send_back(const struct server *s, struct dtls_peer *peer, const uint8_t *message, size_t len)
{
	ssize_t n = dtls_peer_send(peer, message, len);
	struct server_name name;

	if (n >= 0 || n == DTLS_FAIL || s->quiet) /* DTLS_FAIL: its end is reported next */
		return;
	name = name_of(peer);
	flockfile(stderr);
	server_begin_line(&name);
	if (n == DTLS_TOO_BIG)
		fprintf(stderr, "gets no answer: %zu bytes are more than the %zu of a message here\n", len,
		    dtls_peer_max_payload(peer));
	else
		fprintf(stderr, "gets no answer: too many datagrams wait to be sent\n");
	funlockfile(stderr);
}

/* One event. False: there is none now. */
static bool serve_one(struct server *s)
{
	uint8_t message[SERVER_MESSAGE_MAX];
	struct dtls_peer *peer;
	ssize_t n = dtls_endpoint_recv(s->ep, &peer, message, sizeof(message));

	if (n == DTLS_WANT_READ)
		return false;
	if (peer == NULL)
		cli_fail("%s", dtls_endpoint_error(s->ep));
	if (n < 0) {
		tell_event(s, peer, n);
		return true;
	}
	if (!s->echo) {
		const struct server_name name = name_of(peer);

		server_print(&name, message, (size_t)n);
	}
	if (s->echo || s->confirm)
		send_back(s, peer, message, (size_t)n);
	return true;
}

static void serve(struct server *s)
{
	for (int i = 0; i < EVENTS_BEFORE_SIGNALS && serve_one(s); i++)
		;
}

static int start(struct server *s)
{
	cli_widen(s->fd);
	s->ep = dtls_endpoint_new(s->dtls.ctx, s->fd, &s->limits);
	if (s->ep == NULL)
		cli_usage("%s", dtls_context_error(s->dtls.ctx));
	return s->fd;
}

static short events(const struct server *s)
{
	return dtls_endpoint_events(s->ep);
}

static int timeout(const struct server *s)
{
	return dtls_endpoint_timeout(s->ep);
}

static void close_all(struct server *s)
{
	struct pollfd p = {.fd = s->fd, .events = POLLOUT};
	int64_t stop_at = cli_now_ms() + SERVER_CLOSING_MS;
	int status;

	while ((status = dtls_endpoint_close(s->ep)) != DTLS_OK && cli_now_ms() < stop_at) {
		if (status == DTLS_WANT_WRITE)
			poll(&p, 1, SERVER_CLOSING_MS);
	}
}

static void free_endpoint(struct server *s)
{
	dtls_endpoint_free(s->ep);
}

const struct service server_peers = {
    .socket_type = SOCK_DGRAM | SOCK_NONBLOCK,
    .start = start,
    .serve = serve,
    .events = events,
    .timeout = timeout,
    .tell_counters = tell_counters,
    .close = close_all,
    .free = free_endpoint,
};
