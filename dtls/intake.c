#include "endpoint.h"
#include "mbed.h"

#include <string.h>

static const char newer_hello[] = "a newer one began at the same address";

struct arrival { /* one datagram on its way in */
	struct dtls_endpoint *ep;
	const struct address *from, *local;
	const uint8_t *datagram;
	size_t len;
};

/* Asks the gate, answers for it, and counts. */
static bool passes_the_gate(const struct arrival *in, struct hello *hello)
{
	struct dtls_stats *stats = &in->ep->stats;
	uint8_t reply[HELLO_VERIFY_REQUEST_MAX], key[ADDRESS_PAIR_KEY];
	struct bytes id = {key, address_pair_key(in->from, in->local, key)};
	int64_t now = endpoint_now(in->ep);
	size_t reply_len;

	switch (gate_judge(in->ep->ctx, now, id, in->datagram, in->len, hello, reply, &reply_len)) {
	case GATE_JUNK:
		stats->drop_junk++;
		return false;
	case GATE_MALFORMED:
		stats->drop_malformed_hello++;
		return false;
	case GATE_FRAGMENTED:
		stats->drop_fragmented_hello++;
		return false;
	case GATE_NO_SECRET:
		stats->drop_memory++;
		return false;
	case GATE_REPLY_BAD:
		stats->cookies_rejected++;
		break;
	case GATE_REPLY:
		break;
	case GATE_VERIFIED:
		stats->cookies_accepted++;
		return true;
	}
	if (!sources_take(&in->ep->hello_sources, in->from, now)) {
		stats->drop_source_hellos++;
		return false;
	}
	stats->hello_replies++;
	endpoint_reply(in->ep, in->from, in->local, reply, reply_len);
	return false;
}

static bool may_begin(const struct arrival *in)
{
	bool may = sources_take(&in->ep->handshake_sources, in->from, endpoint_now(in->ep));

	in->ep->stats.drop_source_handshakes += !may;
	return may;
}

static void begin(const struct arrival *in, const struct hello *hello, struct dtls_peer *predecessor)
{
	struct dtls_peer *peer = peer_new(in->ep, in->from, in->local, hello, predecessor);

	if (peer == NULL)
		return;
	timer_measured(&peer->a->timer, hello->rtt_ms);
	association_feed(peer->a, in->datagram, in->len);
	peer_handshake(peer);
}

static bool began_with(const struct dtls_peer *peer, const struct hello *hello)
{
	return memcmp(peer->random, hello->random + HELLO_RANDOM - PEER_RANDOM, PEER_RANDOM) == 0;
}

static void feed_handshake(struct dtls_peer *peer, const uint8_t *records, size_t len)
{
	association_feed(peer->a, records, len);
	peer_handshake(peer);
}

/* The peer of this address has not finished its handshake. */
static void to_unfinished(const struct arrival *in, struct dtls_peer *peer)
{
	size_t before_hello = record_before_hello(in->datagram, in->len);
	struct hello hello;

	if (before_hello > 0) {
		feed_handshake(peer, in->datagram, before_hello);
		return;
	}
	if (!passes_the_gate(in, &hello))
		return;
	if (began_with(peer, &hello)) {
		feed_handshake(peer, in->datagram, in->len);
		return;
	}
	if (!may_begin(in))
		return;
	/* The client rebooted in the middle, and its address is proven. */
	peer_give_way(peer, newer_hello);
	begin(in, &hello, NULL);
}

/* RFC 6347, 4.2.8: a verified hello opens a second handshake; the session goes on until the new Finished verifies. */
static void to_successor_by_hello(const struct arrival *in, struct dtls_peer *peer)
{
	struct hello hello;

	if (!passes_the_gate(in, &hello))
		return;
	if (began_with(peer, &hello)) {
		in->ep->stats.drop_replayed_hello++;
		return;
	}
	if (peer->successor != NULL && began_with(peer->successor, &hello)) {
		feed_handshake(peer->successor, in->datagram, in->len);
		return;
	}
	if (!may_begin(in))
		return;
	if (peer->successor != NULL)
		peer_give_way(peer->successor, newer_hello);
	begin(in, &hello, peer);
}

/* Is this encrypted handshake record the successor's Finished? mbed TLS must see it on a copy: it changes what it
 * checks, and a record of the old session would end the new handshake. */
static bool belongs_to(struct dtls_peer *successor, const struct record *r)
{
	uint8_t copy[RECORD_MAX];
	size_t len = RECORD_HEADER + r->len;

	if (len > sizeof(copy))
		return false;
	memcpy(copy, r->start, len);
	return mbedtls_ssl_check_record(&successor->a->ssl, copy, len) == 0;
}

static bool goes_to_successor(struct dtls_peer *peer, const struct record *r)
{
	struct dtls_peer *next = peer->successor;

	if (next == NULL)
		return false;
	return r->epoch == 0 || (r->type == RECORD_HANDSHAKE && belongs_to(next, r));
}

/* Takes out the records that are not the session's, and moves the others together: returns their length. */
static size_t sort_records(const struct arrival *in, struct dtls_peer **session, uint8_t *datagram)
{
	const uint8_t *at = in->datagram;
	size_t left = in->len, kept = 0;
	struct record r;

	while (record_next(&at, &left, &r)) {
		size_t len = RECORD_HEADER + r.len;
		struct arrival one = {in->ep, in->from, in->local, r.start, len};
		struct dtls_peer *next = (*session)->successor;

		if (record_is_client_hello(&r)) {
			to_successor_by_hello(&one, *session);
		} else if ((*session)->state == PEER_OPEN && goes_to_successor(*session, &r)) {
			feed_handshake(next, r.start, len);
			/* What follows its Finished in the same datagram is the new session's. */
			if (next->state == PEER_OPEN)
				*session = next;
		} else {
			memmove(datagram + kept, r.start, len);
			kept += len;
		}
	}
	return kept;
}

/* A parked session is woken only for what could be its own. */
static bool is_awake_for(const struct arrival *in, struct dtls_peer *session, const uint8_t *datagram, size_t len)
{
	if (session->a != NULL)
		return true;
	if (!park_could_read(session, datagram, len)) {
		in->ep->stats.drop_forged++;
		return false;
	}
	if (park_wake_to_read(session))
		return true;
	in->ep->stats.drop_memory++;
	return false;
}

static void to_established(const struct arrival *in, struct dtls_peer *peer, uint8_t *datagram)
{
	struct dtls_peer *session = peer;
	size_t kept = sort_records(in, &session, datagram);
	const uint8_t *at = datagram;
	size_t left = in->len;
	struct record r;

	if (kept == 0) {
		if (!record_next(&at, &left, &r))
			in->ep->stats.drop_forged++;
		return;
	}
	if (session->state != PEER_OPEN || !is_awake_for(in, session, datagram, kept))
		return;
	association_feed(session->a, datagram, kept);
	in->ep->reading = session;
	in->ep->reading_gave = false;
}

void intake(
    struct dtls_endpoint *ep, const struct address *from, const struct address *local, uint8_t *datagram, size_t len)
{
	struct arrival in = {ep, from, local, datagram, len};
	struct dtls_peer *peer = peertable_find(&ep->table, from, local);
	struct hello hello;

	ep->stats.datagrams_in++;
	if (peer == NULL) {
		if (passes_the_gate(&in, &hello) && may_begin(&in))
			begin(&in, &hello, NULL);
	} else if (peer->state == PEER_HANDSHAKE) {
		to_unfinished(&in, peer);
	} else {
		to_established(&in, peer, datagram);
	}
}
