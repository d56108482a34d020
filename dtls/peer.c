#include "peer.h"

#include "endpoint.h"
#include "mbed.h"

#include <stdlib.h>
#include <string.h>

void peer_list_append(struct peer_list *list, struct dtls_peer *peer)
{
	peer->older = list->newest;
	peer->newer = NULL;
	if (list->newest != NULL)
		list->newest->newer = peer;
	else
		list->oldest = peer;
	list->newest = peer;
}

void peer_list_remove(struct peer_list *list, struct dtls_peer *peer)
{
	if (peer->older != NULL)
		peer->older->newer = peer->newer;
	else
		list->oldest = peer->newer;
	if (peer->newer != NULL)
		peer->newer->older = peer->older;
	else
		list->newest = peer->older;
	peer->older = peer->newer = NULL;
}

void peer_give_way(struct dtls_peer *peer, const char *why)
{
	association_end(peer->a, DTLS_FAIL, 0, "the handshake gave way: %s", why);
	peer->ep->stats.handshakes_displaced++;
	peer_end(peer, DTLS_FAIL, DTLS_REASON_HANDSHAKE);
}

void peer_turn_away(struct dtls_peer *peer, const char *why)
{
	association_refuse(peer->a, MBEDTLS_ERR_SSL_ALLOC_FAILED);
	peer_give_way(peer, why);
}

static void make_room(struct dtls_endpoint *ep)
{
	if (ep->handshakes.count >= ep->limits.max_handshakes)
		peer_turn_away(handshakes_victim(&ep->handshakes), "max_handshakes were unfinished");
}

struct association *peer_associate(struct dtls_peer *peer, struct settings *settings)
{
	struct dtls_endpoint *ep = peer->ep;
	struct association_setup setup = {.size = sizeof(struct active),
	    .ctx = ep->ctx,
	    .settings = settings,
	    .send = endpoint_send,
	    .owner = peer,
	    .peer = &peer->addr,
	    .tally = &ep->tally};
	struct association *a = park_take_spare(&ep->park, settings);
	struct active *active;

	if (a != NULL)
		association_renew(a, peer, &peer->addr);
	else
		a = association_new(&setup);
	if (a == NULL)
		return NULL;
	active = (struct active *)a;
	memset((char *)active + sizeof(*a), 0, sizeof(*active) - sizeof(*a));
	active->peer = peer;
	return a;
}

/* With the settings as they are now: a new key serves new handshakes. */
static struct association *new_association(struct dtls_peer *peer)
{
	struct settings *settings = context_snapshot(peer->ep->ctx);
	struct association *a = settings == NULL ? NULL : peer_associate(peer, settings);

	settings_free(settings);
	return a;
}

static struct dtls_peer *out_of_memory(struct dtls_peer *peer, struct dtls_endpoint *ep)
{
	ep->stats.drop_memory++;
	if (peer != NULL)
		association_free(peer->a);
	free(peer);
	return NULL;
}

struct dtls_peer *peer_new(struct dtls_endpoint *ep, const struct address *addr, const struct address *local,
    const struct hello *hello, struct dtls_peer *predecessor)
{
	struct dtls_peer *peer;

	make_room(ep);
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return out_of_memory(NULL, ep);
	peer->ep = ep;
	peer->addr = *addr;
	peer->local = *local;
	memcpy(peer->random, hello->random + HELLO_RANDOM - PEER_RANDOM, PEER_RANDOM);
	peer->a = new_association(peer);
	if (peer->a == NULL || !schedule_reserve(&ep->schedule) || !handshakes_add(&ep->handshakes, peer))
		return out_of_memory(peer, ep);
	peer->heard_at = endpoint_now(ep);
	peer_active(peer)->deadline_at = timer_later(peer->heard_at, ep->limits.handshake_ms);
	peer->generation = ++ep->generations;
	peer->predecessor = predecessor;
	if (predecessor == NULL)
		peertable_insert(&ep->table, peer);
	else
		predecessor->successor = peer;
	/* What an alert would end is the established session's peer, who knows nothing of this. */
	peer->a->quiet = predecessor != NULL;
	ep->stats.handshakes_started++;
	return peer;
}

static void reschedule(struct dtls_peer *peer)
{
	struct active *active = peer_active(peer);
	int64_t due_at = association_due_at(peer->a);

	schedule_set(&peer->ep->schedule, &active->due, due_at < active->deadline_at ? due_at : active->deadline_at);
}

/* Why a peer has ended for which there is nobody else to say it. */
static const char *sentence_for(enum dtls_reason reason)
{
	switch (reason) {
	case DTLS_REASON_REPLACED:
		return "a new session from the same address took its place";
	case DTLS_REASON_IDLE:
		return "closed here: it was silent for too long";
	case DTLS_REASON_EVICTED:
		return "closed here: it was silent longest when max_peers was reached";
	case DTLS_REASON_REVOKED:
		return "closed here: its identity was revoked";
	default:
		return "the parked session could not be woken: out of memory";
	}
}

void peer_close_for(struct dtls_peer *peer, enum dtls_reason reason)
{
	struct dtls_stats *stats = &peer->ep->stats;
	uint64_t *const counters[] = {
	    [DTLS_REASON_REPLACED] = &stats->closed_replaced,
	    [DTLS_REASON_IDLE] = &stats->closed_idle,
	    [DTLS_REASON_EVICTED] = &stats->closed_evicted,
	    [DTLS_REASON_REVOKED] = &stats->closed_revoked,
	};

	if (reason != DTLS_REASON_REPLACED)
		peer_say_goodbye(peer);
	if (peer->a != NULL)
		association_end(peer->a, DTLS_CLOSED, 0, "%s", sentence_for(reason));
	++*counters[reason];
	peer_end(peer, DTLS_CLOSED, reason);
}

static void connected(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;

	handshakes_remove(&ep->handshakes, peer);
	schedule_set(&ep->schedule, &peer_active(peer)->due, INT64_MAX);
	/* The end of the old one puts its successor into the table. */
	if (peer->predecessor != NULL)
		peer_close_for(peer->predecessor, DTLS_REASON_REPLACED);
	if (ep->open_count >= ep->limits.max_peers)
		peer_close_for(ep->open.oldest, DTLS_REASON_EVICTED);
	peer->state = PEER_OPEN;
	peer->heard_at = endpoint_now(ep);
	peer_list_append(&ep->open, peer);
	ep->open_count++;
	ep->stats.handshakes_completed++;
	peer->resumed = peer->a->resumed;
	ep->stats.handshakes_resumed += peer->resumed;
	endpoint_report(peer, DTLS_CONNECTED);
	ep->reading = peer;
	ep->reading_gave = true;
}

void peer_handshake(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;
	int status;

	ep->handshaking = peer->generation;
	status = association_handshake(peer->a);
	ep->handshaking = 0;
	if (status == DTLS_OK) {
		connected(peer);
		return;
	}
	if (status == DTLS_WANT_READ && endpoint_now(ep) >= peer_active(peer)->deadline_at) {
		association_refuse(peer->a, MBEDTLS_ERR_SSL_TIMEOUT);
		status = association_end(peer->a, DTLS_TIMEDOUT, MBEDTLS_ERR_SSL_TIMEOUT,
		    "the handshake was unfinished after %lld ms", (long long)ep->limits.handshake_ms);
	}
	if (status == DTLS_WANT_READ || status == DTLS_WANT_WRITE) {
		reschedule(peer);
		return;
	}
	if (status == DTLS_TIMEDOUT)
		ep->stats.handshakes_timedout++;
	else
		ep->stats.handshakes_failed++;
	peer_end(peer, status, DTLS_REASON_HANDSHAKE);
}

void peer_heard(struct dtls_peer *peer)
{
	struct peer_list *open = &peer->ep->open;

	peer->heard_at = endpoint_now(peer->ep);
	if (open->newest != peer) {
		peer_list_remove(open, peer);
		peer_list_append(open, peer);
	}
	park_used(peer);
}

static void leave_the_table(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;
	struct dtls_peer *next;

	if (peer->state == PEER_HANDSHAKE && peer->predecessor != NULL) {
		peer->predecessor->successor = NULL;
		peer->predecessor = NULL;
		return;
	}
	peertable_remove(&ep->table, peer);
	next = peer->successor;
	if (next == NULL)
		return;
	peer->successor = NULL;
	next->predecessor = NULL;
	next->a->quiet = false;
	peertable_insert(&ep->table, next);
}

static void unlink_everywhere(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;

	if (peer->state == PEER_ENDED)
		return;
	leave_the_table(peer);
	if (peer->state == PEER_HANDSHAKE) {
		schedule_set(&ep->schedule, &peer_active(peer)->due, INT64_MAX);
		handshakes_remove(&ep->handshakes, peer);
	} else {
		park_leave(peer);
		peer_list_remove(&ep->open, peer);
		ep->open_count--;
	}
	if (ep->reading == peer)
		ep->reading = NULL;
	outbox_forget(&ep->outbox, peer);
	peer->state = PEER_ENDED;
}

void peer_end(struct dtls_peer *peer, int event, enum dtls_reason reason)
{
	unlink_everywhere(peer);
	peer->reason = reason;
	endpoint_report(peer, event);
}

void peer_failed(struct dtls_peer *peer)
{
	peer->ep->stats.closed_error++;
	peer_end(peer, DTLS_FAIL, DTLS_REASON_ERROR);
}

void peer_say_goodbye(struct dtls_peer *peer)
{
	if (peer->a != NULL)
		association_close(peer->a);
	else
		park_say_goodbye(peer);
}

void peer_free(struct dtls_peer *peer)
{
	unlink_everywhere(peer);
	endpoint_forget_event(peer);
	if (peer->ep->reported == peer)
		peer->ep->reported = NULL;
	association_free(peer->a);
	parked_free(peer->parked);
	free(peer);
}

static const char not_ours[] = "the session was made before fork(): it belongs to the parent";

void peer_disown(struct dtls_peer *peer)
{
	peer->disowned = true;
	if (peer->a != NULL)
		association_end(peer->a, DTLS_FAIL, 0, "%s", not_ours);
	peer->ep->stats.closed_error += peer->state == PEER_OPEN;
	peer_end(peer, DTLS_FAIL, DTLS_REASON_ERROR);
}

/* ---- public ---- */

enum dtls_reason dtls_peer_reason(const struct dtls_peer *peer)
{
	return peer->reason;
}

void dtls_peer_set_data(struct dtls_peer *peer, void *data)
{
	peer->data = data;
}

void *dtls_peer_data(const struct dtls_peer *peer)
{
	return peer->data;
}

const struct sockaddr *dtls_peer_addr(const struct dtls_peer *peer, socklen_t *len)
{
	*len = address_len(&peer->addr);
	return &peer->addr.any;
}

const uint8_t *peer_identity(const struct dtls_peer *peer, size_t *len)
{
	*len = peer->a != NULL ? peer->a->identity_len : peer->parked->identity_len;
	return peer->a != NULL ? peer->a->identity : peer->parked->identity;
}

const uint8_t *dtls_peer_psk_identity(const struct dtls_peer *peer, size_t *len)
{
	return peer_identity(peer, len);
}

const char *dtls_peer_error(const struct dtls_peer *peer)
{
	if (peer->a != NULL)
		return peer->a->error;
	if (peer->state != PEER_ENDED)
		return "";
	return peer->disowned ? not_ours : sentence_for(peer->reason);
}

int dtls_peer_error_code(const struct dtls_peer *peer)
{
	if (peer->a != NULL)
		return peer->a->code;
	return peer->state == PEER_ENDED && peer->reason == DTLS_REASON_ERROR && !peer->disowned
		   ? MBEDTLS_ERR_SSL_ALLOC_FAILED
		   : 0;
}

size_t dtls_peer_max_payload(const struct dtls_peer *peer)
{
	if (peer->a != NULL)
		return association_max_payload(peer->a);
	return peer->state == PEER_OPEN ? peer->parked->max_payload : 0;
}

const char *dtls_peer_cipher(const struct dtls_peer *peer)
{
	if (peer->a == NULL)
		return parked_cipher(peer->parked);
	return peer->a->state == ASSOCIATION_HANDSHAKE ? NULL : mbedtls_ssl_get_ciphersuite(&peer->a->ssl);
}

const uint8_t *dtls_peer_cert(const struct dtls_peer *peer, size_t *len)
{
	return peer->a != NULL ? association_peer_cert(peer->a, len) : parked_cert(peer->parked, len);
}

const char *dtls_peer_alpn(const struct dtls_peer *peer)
{
	if (peer->a == NULL)
		return parked_alpn(peer->parked);
	return peer->a->state == ASSOCIATION_HANDSHAKE ? NULL : mbedtls_ssl_get_alpn_protocol(&peer->a->ssl);
}

const char *dtls_peer_name(const struct dtls_peer *peer)
{
	return peer->a != NULL ? peer->a->peer_name : parked_peer_name(peer->parked);
}

int64_t dtls_peer_verify_result(const struct dtls_peer *peer)
{
	return peer->a != NULL ? association_verify_result(peer->a) : parked_verify_result(peer->parked);
}

int dtls_peer_resumed(const struct dtls_peer *peer)
{
	return peer->resumed;
}

uint64_t dtls_peer_generation(const struct dtls_peer *peer)
{
	return peer->generation;
}
