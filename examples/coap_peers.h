/* coap_peers.h - who is behind a server's session of libcoap, and which of his requests were answered. */
#ifndef COAP_PEERS_H
#define COAP_PEERS_H

#include "cli.h"
#include "coap_messages.h"
#include "coap_sensors.h"

#include <coap3/coap.h>
#include <sys/queue.h>

struct coap_peer {
	LIST_ENTRY(coap_peer) entry;
	/* The name that this handshake claims; it is the session's when the handshake is done: before, anybody may claim
	 * it. */
	uint8_t claim[SENSORS_NAME_MAX], name[SENSORS_NAME_MAX];
	size_t claim_len, name_len;
	struct messages *messages; /* NULL: none yet */
};

struct coap_peers {
	LIST_HEAD(, coap_peer) list;
	size_t open;
	uint64_t connected, failed;
};

/* A handshake names an identity, or a certificate a subject. */
void coap_peer_claims(struct coap_peers *peers, coap_session_t *session, const void *name, size_t len);
/* The handshake is done: a new DTLS session begins, though libcoap's may be an old one. NULL: no memory. */
struct coap_peer *coap_peer_connected(struct coap_peers *peers, coap_session_t *session);
/* libcoap's session ends. */
void coap_peer_gone(struct coap_peers *peers, coap_session_t *session);
void coap_peers_free(struct coap_peers *peers); /* after libcoap's context */

/* "NAME", or "ADDR:PORT" where there is none. */
void coap_peer_print(FILE *out, const coap_session_t *session);

/* The code that this request was answered with before; 0: it is new. */
uint8_t coap_peer_answer(const coap_session_t *session, const coap_pdu_t *request);
void coap_peer_answered(coap_session_t *session, const coap_pdu_t *request, uint8_t code);

#endif
