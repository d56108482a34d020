#include "endpoint.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	DEFAULT_MAX_PEERS = 100000,
	DEFAULT_MAX_HANDSHAKES = 1000,
	INPUTS_BETWEEN_TIMERS = 64, /* an endless stream of datagrams must not stop the timers... */
	ROUNDS_AT_ONCE = 16, /* ...nor keep the caller for ever... */
	BUSY_MS = 10, /* ...nor by what is expensive, as handshakes are */
	CLOSED_AT_ONCE = 64,
};

/* ---- output ---- */

static ssize_t put_out(struct dtls_endpoint *ep, const struct address *to, const struct address *local,
    const uint8_t *datagram, size_t len)
{
	ssize_t n;

	if (ep->over_socket)
		return socket_send(&ep->socket, to, local, datagram, len);
	errno = 0;
	n = ep->datagrams.send(ep->datagrams.arg, &to->any, address_len(to), datagram, len);
	if (n >= 0 || n == DTLS_WANT_WRITE)
		return n >= 0 ? n : SOCKET_EMPTY;
	errno = n == DTLS_TOO_BIG ? EMSGSIZE : errno != 0 ? errno : EIO;
	return SOCKET_LOST;
}

/* Counts what became of a datagram; a socket that fails for one peer still serves the others. */
static ssize_t sent(struct dtls_endpoint *ep, ssize_t result)
{
	if (result >= 0)
		ep->stats.datagrams_out++;
	else if (result != SOCKET_EMPTY)
		ep->stats.drop_send++;
	return result;
}

ssize_t endpoint_send(void *owner, const uint8_t *datagram, size_t len)
{
	struct dtls_peer *peer = owner;
	struct dtls_endpoint *ep = peer->ep;
	ssize_t n = SOCKET_EMPTY;

	if (ep->outbox.first == NULL)
		n = sent(ep, put_out(ep, &peer->addr, &peer->local, datagram, len));
	if (n >= 0 || (n == SOCKET_EMPTY && outbox_put(&ep->outbox, peer, datagram, len)))
		return (ssize_t)len;
	if (n == SOCKET_EMPTY) {
		ep->stats.drop_send++;
		errno = ENOBUFS;
	}
	return DTLS_AGAIN;
}

void endpoint_reply(struct dtls_endpoint *ep, const struct address *to, const struct address *local,
    const uint8_t *datagram, size_t len)
{
	if (sent(ep, put_out(ep, to, local, datagram, len)) == SOCKET_EMPTY)
		ep->stats.drop_send++;
}

/* ---- fork ---- */

static void disown_all(struct dtls_endpoint *ep)
{
	struct dtls_peer *peer;

	ep->process = fork_generation();
	while ((peer = handshakes_victim(&ep->handshakes)) != NULL)
		peer_free(peer);
	while (ep->open.oldest != NULL)
		peer_disown(ep->open.oldest);
	outbox_free(&ep->outbox);
	outbox_init(&ep->outbox);
}

void endpoint_notice_fork(struct dtls_endpoint *ep)
{
	if (ep->process != fork_generation())
		disown_all(ep);
}

int dtls_endpoint_flush(struct dtls_endpoint *ep)
{
	endpoint_notice_fork(ep);
	while (ep->outbox.first != NULL) {
		const struct outgoing *out = ep->outbox.first;

		if (sent(ep, put_out(ep, &out->to, &out->local, out->datagram, out->len)) == SOCKET_EMPTY)
			return DTLS_WANT_WRITE;
		outbox_drop_first(&ep->outbox);
	}
	return DTLS_OK;
}

/* ---- events ---- */

void endpoint_report(struct dtls_peer *peer, int event)
{
	struct dtls_endpoint *ep = peer->ep;

	peer->event = event;
	if (peer->event_queued)
		return;
	peer->event_queued = true;
	peer->next_event = NULL;
	*ep->last_event = peer;
	ep->last_event = &peer->next_event;
}

void endpoint_forget_event(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;
	struct dtls_peer **at = &ep->first_event;

	if (!peer->event_queued)
		return;
	while (*at != peer)
		at = &(*at)->next_event;
	*at = peer->next_event;
	if (ep->last_event == &peer->next_event)
		ep->last_event = at;
	peer->event_queued = false;
}

static int next_event(struct dtls_endpoint *ep, struct dtls_peer **peer)
{
	*peer = ep->first_event;
	endpoint_forget_event(*peer);
	if ((*peer)->state == PEER_ENDED)
		ep->reported = *peer;
	return (*peer)->event;
}

/* ---- timers ---- */

static int64_t idle_at(const struct dtls_endpoint *ep)
{
	if (ep->limits.idle_ms == 0 || ep->open.oldest == NULL)
		return INT64_MAX;
	return timer_later(ep->open.oldest->heard_at, ep->limits.idle_ms);
}

static void run_timers(struct dtls_endpoint *ep)
{
	int64_t now = endpoint_now(ep);
	size_t turns = ep->schedule.count; /* nobody gets a second one, whatever the clock says */
	struct dtls_peer *peer;

	ep->inputs = 0;
	for (; turns > 0 && (peer = schedule_first(&ep->schedule)) != NULL && peer->due_at <= now; turns--)
		peer_handshake(peer);
	while (idle_at(ep) <= now)
		peer_close_for(ep->open.oldest, DTLS_REASON_IDLE);
}

static int64_t due_at(const struct dtls_endpoint *ep)
{
	const struct dtls_peer *first = schedule_first(&ep->schedule);
	int64_t idle = idle_at(ep);

	return first != NULL && first->due_at < idle ? first->due_at : idle;
}

int dtls_endpoint_timeout(const struct dtls_endpoint *ep)
{
	if (ep->first_event != NULL || ep->reading != NULL || ep->more || ep->process != fork_generation())
		return 0;
	return timer_poll_ms(due_at(ep), endpoint_now(ep));
}

int dtls_endpoint_handle_timeout(struct dtls_endpoint *ep)
{
	endpoint_notice_fork(ep);
	run_timers(ep);
	return DTLS_OK;
}

short dtls_endpoint_events(const struct dtls_endpoint *ep)
{
	return (short)(POLLIN | (ep->outbox.first != NULL ? POLLOUT : 0));
}

/* ---- input ---- */

/* What ended a session that was open. */
static ssize_t session_ended(struct dtls_peer *peer, ssize_t status)
{
	struct dtls_endpoint *ep = peer->ep;

	if (status == DTLS_CLOSED)
		ep->stats.closed_by_peer++;
	else
		ep->stats.closed_error++;
	peer_end(peer, (int)status, status == DTLS_CLOSED ? DTLS_REASON_CLOSE_NOTIFY : DTLS_REASON_ERROR);
	return 0;
}

/* The next message of the last datagram; 0 when there is none. */
static ssize_t read_message(struct dtls_endpoint *ep, void *buf, size_t len)
{
	struct dtls_peer *peer = ep->reading;
	uint64_t resent = ep->tally.retransmissions;
	ssize_t n = association_read(peer->a, buf, len);

	if (n == DTLS_TOO_BIG)
		return n;
	if (n <= 0 || !association_has_input(peer->a))
		ep->reading = NULL;
	if (n > 0) {
		peer_heard(peer);
		ep->stats.messages_in++;
		ep->reading_gave = true;
		return n;
	}
	if (n == DTLS_WANT_READ || n == DTLS_WANT_WRITE) {
		ep->stats.drop_forged += !ep->reading_gave && ep->tally.retransmissions == resent;
		return 0;
	}
	return session_ended(peer, n);
}

static ssize_t receive_over_transport(struct dtls_endpoint *ep, struct address *from)
{
	struct sockaddr_storage any = {0};
	socklen_t any_len = sizeof(any);
	ssize_t n =
	    ep->datagrams.recv(ep->datagrams.arg, (struct sockaddr *)&any, &any_len, ep->input, sizeof(ep->input));

	if (n == DTLS_WANT_READ)
		return SOCKET_EMPTY;
	if (n < 0)
		return SOCKET_FAILED;
	if (!address_set(from, (struct sockaddr *)&any, any_len))
		return SOCKET_STRANGE;
	return n > RECORD_MAX ? SOCKET_CUT : n;
}

/* Takes one datagram in. False when there is none. */
static bool take_datagram(struct dtls_endpoint *ep)
{
	struct address from, local = {0};
	ssize_t n;

	errno = 0;
	n = ep->over_socket ? socket_recv(&ep->socket, ep->input, sizeof(ep->input), &from, &local)
			    : receive_over_transport(ep, &from);
	if (n == SOCKET_EMPTY)
		return false;
	ep->inputs++;
	if (n >= 0) {
		intake(ep, &from, &local, ep->input, (size_t)n);
	} else if (n == SOCKET_CUT) {
		ep->stats.datagrams_in++;
		ep->stats.drop_truncated++;
	} else if (n == SOCKET_STRANGE) {
		ep->stats.datagrams_in++;
		ep->stats.drop_address++;
	} else if (n == SOCKET_FAILED) {
		ep->code = -errno;
		snprintf(ep->error, sizeof(ep->error), "cannot receive: %s",
		    errno != 0 ? strerror(errno) : "the transport failed");
		ep->failed = true;
		return false;
	}
	/* An error of the path (ICMP) is about a datagram sent earlier: it is nobody's end. */
	return true;
}

static void begin(struct dtls_endpoint *ep)
{
	if (ep->reported != NULL)
		peer_free(ep->reported);
	endpoint_notice_fork(ep);
}

ssize_t dtls_endpoint_recv(struct dtls_endpoint *ep, struct dtls_peer **peer, void *buf, size_t len)
{
	int64_t stop_at;
	bool late = false;
	ssize_t n;

	begin(ep);
	ep->rounds = 0;
	stop_at = endpoint_now(ep) + BUSY_MS;
	for (;;) {
		if (ep->first_event != NULL)
			return next_event(ep, peer);
		*peer = ep->reading;
		if (ep->reading != NULL) {
			n = read_message(ep, buf, len);
			if (n != 0)
				return n;
			continue;
		}
		if (ep->inputs < INPUTS_BETWEEN_TIMERS && !late && take_datagram(ep)) {
			late = endpoint_now(ep) >= stop_at;
			continue;
		}
		if (ep->failed)
			return DTLS_FAIL;
		/* Drained, or overdue: an answer that had come was taken before a timer fires for it. */
		ep->more = late || ep->inputs >= INPUTS_BETWEEN_TIMERS;
		run_timers(ep);
		dtls_endpoint_flush(ep);
		if (ep->first_event == NULL && (!ep->more || late || ++ep->rounds >= ROUNDS_AT_ONCE))
			return DTLS_WANT_READ;
	}
}

ssize_t dtls_peer_send(struct dtls_peer *peer, const void *buf, size_t len)
{
	struct dtls_endpoint *ep = peer->ep;
	ssize_t n;

	if (peer->state != PEER_OPEN || ep->process != fork_generation() || len == 0) {
		if (peer->a->error[0] == '\0')
			snprintf(peer->a->error, sizeof(peer->a->error), "%s",
			    len == 0 ? "an empty message cannot be sent" : "there is no session to send in");
		return DTLS_FAIL;
	}
	if (peer->waiting >= OUTBOX_PER_PEER && dtls_endpoint_flush(ep) != DTLS_OK && peer->waiting >= OUTBOX_PER_PEER)
		return DTLS_WANT_WRITE;
	n = association_write(peer->a, buf, len);
	if (n >= 0)
		ep->stats.messages_out++;
	else if (n == DTLS_FAIL)
		session_ended(peer, n);
	return n;
}

void dtls_peer_close(struct dtls_peer *peer)
{
	if (peer->state == PEER_OPEN && peer->ep->process == fork_generation())
		association_close(peer->a);
	peer_free(peer);
}

/* ---- life ---- */

static bool take_limits(struct dtls_endpoint *ep, const struct dtls_limits *limits)
{
	struct dtls_limits *l = &ep->limits;

	if (limits != NULL)
		*l = *limits;
	if (l->handshake_ms < 0 || l->idle_ms < 0) {
		context_fail(ep->ctx, 0, "the limits handshake_ms and idle_ms cannot be negative");
		return false;
	}
	if (l->max_peers == 0)
		l->max_peers = DEFAULT_MAX_PEERS;
	if (l->max_handshakes == 0)
		l->max_handshakes = DEFAULT_MAX_HANDSHAKES;
	if (l->handshake_ms == 0)
		l->handshake_ms = ep->settings->give_up_ms;
	return true;
}

static struct dtls_endpoint *endpoint_new(struct dtls_context *ctx, const struct dtls_limits *limits)
{
	struct settings *s;
	struct dtls_endpoint *ep;

	if (ctx->opt.protocol != PROTOCOL_DTLS_SERVER) {
		context_fail(ctx, 0, "an endpoint needs a context of PROTOCOL_DTLS_SERVER");
		return NULL;
	}
	s = context_judge(ctx) ? context_snapshot(ctx) : NULL;
	if (s == NULL)
		return NULL;
	ep = calloc(1, sizeof(*ep));
	if (ep == NULL) {
		settings_free(s);
		context_fail(ctx, 0, "out of memory");
		return NULL;
	}
	ep->ctx = dtls_context_ref(ctx);
	ep->settings = s;
	ep->process = fork_generation();
	ep->last_event = &ep->first_event;
	outbox_init(&ep->outbox);
	if (peertable_init(&ep->table, &ctx->rng) != 0) {
		context_fail(ctx, 0, "no memory or no randomness for the table of peers");
	} else if (take_limits(ep, limits)) {
		return ep;
	}
	dtls_endpoint_free(ep);
	return NULL;
}

struct dtls_endpoint *dtls_endpoint_new(struct dtls_context *ctx, int fd, const struct dtls_limits *limits)
{
	struct sock s;
	const char *why = socket_prepare(&s, fd);
	struct dtls_endpoint *ep;

	if (why != NULL) {
		context_fail(ctx, 0, "descriptor %d cannot carry DTLS: %s", fd, why);
		return NULL;
	}
	ep = endpoint_new(ctx, limits);
	if (ep == NULL)
		return NULL;
	ep->over_socket = true;
	ep->socket = s;
	return ep;
}

struct dtls_endpoint *dtls_endpoint_new_transport(
    struct dtls_context *ctx, const struct dtls_datagrams *datagrams, const struct dtls_limits *limits)
{
	struct dtls_endpoint *ep = endpoint_new(ctx, limits);

	if (ep != NULL)
		ep->datagrams = *datagrams;
	return ep;
}

static void free_all_peers(struct dtls_endpoint *ep)
{
	struct dtls_peer *peer;

	while (ep->first_event != NULL)
		peer_free(ep->first_event);
	while ((peer = handshakes_victim(&ep->handshakes)) != NULL)
		peer_free(peer);
	while (ep->open.oldest != NULL)
		peer_free(ep->open.oldest);
	if (ep->reported != NULL)
		peer_free(ep->reported);
}

int dtls_endpoint_close(struct dtls_endpoint *ep)
{
	for (int i = 0; i < CLOSED_AT_ONCE && ep->open.oldest != NULL; i++)
		dtls_peer_close(ep->open.oldest);
	if (ep->open.oldest != NULL)
		return DTLS_WANT_READ;
	free_all_peers(ep);
	return dtls_endpoint_flush(ep);
}

void dtls_endpoint_free(struct dtls_endpoint *ep)
{
	if (ep == NULL)
		return;
	free_all_peers(ep);
	outbox_free(&ep->outbox);
	peertable_free(&ep->table);
	schedule_free(&ep->schedule);
	settings_free(ep->settings);
	dtls_context_free(ep->ctx);
	free(ep);
}

const char *dtls_endpoint_error(const struct dtls_endpoint *ep)
{
	return ep->error;
}

int dtls_endpoint_error_code(const struct dtls_endpoint *ep)
{
	return ep->code;
}

uint64_t dtls_endpoint_handshaking(const struct dtls_endpoint *ep)
{
	return ep->handshaking;
}

int dtls_endpoint_stats(const struct dtls_endpoint *ep, struct dtls_stats *out)
{
	struct dtls_stats stats = ep->stats;
	size_t size = out->size;

	if (size < sizeof(size))
		return DTLS_FAIL;
	stats.retransmissions = ep->tally.retransmissions;
	stats.forgeries = ep->tally.forgeries;
	stats.peers = ep->open_count;
	stats.handshakes = ep->handshakes.count;
	stats.size = size;
	memcpy(out, &stats, size < sizeof(stats) ? size : sizeof(stats));
	return DTLS_OK;
}
