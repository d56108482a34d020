/* coap_uplink.h - a sensor's way to its server, through any weather. Readings are sent one at a time as confirmable POST
 * requests, with the times and repetitions of RFC 7252, 4.2 and 4.8 (NSTART 1): libcoap's. When libcoap gives one up, or
 * the session ends, whatever the reason, the reading stays the first of the queue; a new session is made from a new
 * socket, for the own address may have changed, after a pause of 1 s that doubles to 60 s until a reading is
 * acknowledged, spread by half, so that a fleet does not march in step. The number that a reading had it keeps, so that
 * the server knows it. */
#ifndef COAP_UPLINK_H
#define COAP_UPLINK_H

#include "coap_credentials.h"
#include "coap_queue.h"
#include "coap_target.h"

#include <coap3/coap.h>

struct uplink;

struct uplinks { /* what all of a program share */
	coap_context_t *coap;
	struct coap_target *target;
	struct coap_credentials *credentials;
	size_t queue_max;
	unsigned ack_timeout_s, max_retransmit; /* RFC 7252, 4.8 */
	bool quiet, verbose;
	int64_t started_at;
	/* A reading was acknowledged, and will be dropped. */
	void (*acknowledged)(const struct uplink *u, const struct queue_reading *reading);
	struct { /* of all of them */
		uint64_t acknowledged, refused, sessions;
	} counts;
};

struct uplink { /* all zero at first */
	struct uplinks *all;
	const struct coap_key *key; /* NULL: certificates */
	const char *name; /* what its lines on stderr begin with; NULL: nothing */
	struct queue queue;
	coap_optlist_t *options;
	coap_session_t *session; /* NULL: none */
	size_t address; /* of the target's, the one in use or the next one */
	bool is_connected, is_sent; /* is_sent: the first of the queue */
	bool was_connected; /* once at least */
	unsigned refusals; /* handshakes that the server has refused, before the first that it has not */
	uint8_t token[8];
	size_t token_len;
	int64_t sent_at, retry_at, pause_ms;
	/* What libcoap has told since the last step. */
	bool is_lost, is_refused; /* is_refused: the handshake */
	coap_nack_reason_t reason;
	char complaint[256]; /* of libcoap, when the session failed; "": none */
	unsigned code; /* of an answer; 0: none */
};

/* A fresh random name for this run of the program, 16 digits; returns run. */
char *uplink_make_run(char run[17]);
/* all and key are given, name may be; what goes wrong ends the program. */
void uplink_start(struct uplink *u, const char *run);
/* After libcoap_start(): libcoap's answers and events go to the uplinks. */
void uplinks_hear(coap_context_t *coap);
/* Does what is to be done now. Returns the instant at which it is to be called again; INT64_MAX: when libcoap has worked. A
 * server that refuses the credentials ends the program. */
int64_t uplink_step(struct uplink *u, int64_t now_ms);
/* Has libcoap told something that the next step is to act on? */
bool uplink_is_due(const struct uplink *u, int64_t now_ms);
/* Ends the session, with a close_notify. */
void uplink_close(struct uplink *u);
void uplink_free(struct uplink *u);

#endif
