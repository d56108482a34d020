/* endpoint.h - many peers on one socket: endpoint.c has the loop and the calls about peers, endpoint_life.c begins and ends
 * an endpoint, intake.c judges each datagram, output.c sends, peer.c follows each peer's life. */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "gate.h"
#include "handshakes.h"
#include "inbox.h"
#include "outbox.h"
#include "park.h"
#include "peertable.h"
#include "schedule.h"
#include "socket.h"
#include "sources.h"

struct dtls_endpoint {
	struct dtls_context *ctx;
	struct settings *settings; /* as they were when the endpoint was made: its clock */
	struct dtls_limits limits;

	bool over_socket;
	struct sock socket;
	struct dtls_datagrams datagrams;
	struct inbox *inbox; /* NULL until somebody asks for it */
	bool inbox_first; /* of the two, it has the next turn */
	struct outbox outbox;

	struct peertable table;
	struct schedule schedule;
	struct handshakes handshakes;
	struct sources hello_sources, handshake_sources; /* apart: who is not proven must not crowd out who is */
	struct peer_list open; /* the longest silent first */
	uint64_t open_count, generations;
	struct park park;

	struct dtls_peer *first_event, **last_event;
	struct dtls_peer *reported; /* ended, and valid until the next call */
	struct dtls_peer *reading; /* may have messages of the last datagram */
	bool reading_gave; /* something came of that datagram */
	unsigned inputs; /* since the timers had their turn */
	unsigned rounds; /* of timers since the caller had his turn */
	bool more; /* input is left over */

	struct dtls_stats stats;
	struct tally tally;
	unsigned process; /* generation of the process that owns the sessions */
	bool failed;
	char error[ERROR_MAX];
	int code; /* -errno, of what failed */
	uint64_t handshaking; /* the generation of the peer whose handshake has its turn; or 0 */
	uint8_t input[RECORD_MAX + 1]; /* one more, to see that a transport has cut a datagram */
};

static inline int64_t endpoint_now(const struct dtls_endpoint *ep)
{
	return options_now(&ep->settings->opt);
}

/* An association's send: the owner is its peer. */
association_send endpoint_send;
/* One datagram to an address that may have no peer: what cannot leave now is lost. */
void endpoint_reply(
    struct dtls_endpoint *, const struct address *to, const struct address *local, const uint8_t *datagram, size_t len);
/* Reports event for the peer with one of the next calls of recv. */
void endpoint_report(struct dtls_peer *, int event);
void endpoint_forget_event(struct dtls_peer *);

/* Before anything is sent: a record from a forked child would repeat its parent's nonces. */
void endpoint_notice_fork(struct dtls_endpoint *);

/* intake.c: brings one datagram to where it belongs; it may be changed. */
void intake(
    struct dtls_endpoint *, const struct address *from, const struct address *local, uint8_t *datagram, size_t len);

#endif
