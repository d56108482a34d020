#include "endpoint.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum {
	INPUTS_BETWEEN_TIMERS = 64, /* an endless stream of datagrams must not stop the timers... */
	ROUNDS_AT_ONCE = 16, /* ...nor keep the caller for ever... */
	BUSY_MS = 10, /* ...nor by what is expensive, as handshakes are */
};

/* ---- events ---- */

void endpoint_report(struct dtls_peer *peer, int event)
{
	struct dtls_endpoint *ep = peer->ep;

	peer->event = (int8_t)event;
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

/* What is due when stop_at comes stays due. */
static void run_timers(struct dtls_endpoint *ep, int64_t stop_at)
{
	int64_t now = endpoint_now(ep);
	size_t turns = ep->schedule.count; /* nobody gets a second one, whatever the clock says */
	struct due *first;

	ep->inputs = 0;
	for (; turns > 0 && (first = schedule_first(&ep->schedule)) != NULL && first->at <= now; turns--) {
		peer_handshake(active_of(first)->peer);
		if (endpoint_now(ep) >= stop_at)
			return;
	}
	while (idle_at(ep) <= now) {
		peer_close_for(ep->open.oldest, DTLS_REASON_IDLE);
		if (endpoint_now(ep) >= stop_at)
			return;
	}
}

static int64_t due_at(const struct dtls_endpoint *ep)
{
	const struct due *first = schedule_first(&ep->schedule);
	int64_t idle = idle_at(ep);

	return first != NULL && first->at < idle ? first->at : idle;
}

int dtls_endpoint_timeout(const struct dtls_endpoint *ep)
{
	if (ep->first_event != NULL || ep->reading != NULL || ep->more || ep->process != fork_generation())
		return 0;
	if (ep->inbox != NULL && !inbox_is_empty(ep->inbox))
		return 0;
	return timer_poll_ms(due_at(ep), endpoint_now(ep));
}

int dtls_endpoint_handle_timeout(struct dtls_endpoint *ep)
{
	endpoint_notice_fork(ep);
	run_timers(ep, endpoint_now(ep) + BUSY_MS);
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

	if (status != DTLS_CLOSED) {
		peer_failed(peer);
		return 0;
	}
	ep->stats.closed_by_peer++;
	peer_end(peer, DTLS_CLOSED, DTLS_REASON_CLOSE_NOTIFY);
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

/* One that another thread handed over. */
static bool take_delivered(struct dtls_endpoint *ep)
{
	struct address from, local;
	ssize_t n;

	if (ep->inbox == NULL)
		return false;
	n = inbox_take(ep->inbox, &from, &local, ep->input, sizeof(ep->input));
	if (n < 0)
		return false;
	if (!ep->over_socket || !ep->socket.wildcard)
		local = (struct address){0};
	ep->inputs++;
	intake(ep, &from, &local, ep->input, (size_t)n);
	return true;
}

static bool take_received(struct dtls_endpoint *ep)
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

/* Takes one datagram in, from where it is not the other's turn. False when there is none. */
static bool take_datagram(struct dtls_endpoint *ep)
{
	ep->inbox_first = !ep->inbox_first;
	if (ep->inbox_first)
		return take_delivered(ep) || take_received(ep);
	return take_received(ep) || take_delivered(ep);
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
		run_timers(ep, stop_at);
		dtls_endpoint_flush(ep);
		if (ep->first_event == NULL && (!ep->more || late || ++ep->rounds >= ROUNDS_AT_ONCE))
			return DTLS_WANT_READ;
	}
}

static void say_why_not(struct dtls_peer *peer, const char *why)
{
	if (peer->a != NULL && peer->a->error[0] == '\0')
		snprintf(peer->a->error, sizeof(peer->a->error), "%s", why);
}

ssize_t dtls_peer_send(struct dtls_peer *peer, const void *buf, size_t len)
{
	struct dtls_endpoint *ep = peer->ep;
	ssize_t n;

	if (peer->state != PEER_OPEN || ep->process != fork_generation() || len == 0) {
		say_why_not(peer, len == 0 ? "an empty message cannot be sent" : "there is no session to send in");
		return DTLS_FAIL;
	}
	if (peer->waiting >= OUTBOX_PER_PEER && dtls_endpoint_flush(ep) != DTLS_OK && peer->waiting >= OUTBOX_PER_PEER)
		return DTLS_WANT_WRITE;
	if (len > dtls_peer_max_payload(peer))
		return DTLS_TOO_BIG;
	if (!park_wake_to_send(peer))
		return DTLS_FAIL;
	n = association_write(peer->a, buf, len);
	if (n >= 0)
		ep->stats.messages_out++;
	else if (n == DTLS_FAIL)
		session_ended(peer, n);
	if (n != DTLS_FAIL)
		park_used(peer);
	return n;
}

void dtls_peer_close(struct dtls_peer *peer)
{
	if (peer->state == PEER_OPEN && peer->ep->process == fork_generation())
		peer_say_goodbye(peer);
	peer_free(peer);
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
	if (ep->inbox != NULL) {
		stats.drop_inbox = inbox_dropped(ep->inbox);
		stats.datagrams_in += stats.drop_inbox;
	}
	stats.parked = ep->park.parked;
	stats.pinned = ep->open_count - ep->park.parked - ep->park.count - (ep->park.suspect != NULL);
	stats.size = size;
	memcpy(out, &stats, size < sizeof(stats) ? size : sizeof(stats));
	return DTLS_OK;
}
