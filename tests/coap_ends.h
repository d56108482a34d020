/* coap_ends.h - a server and a client of libcoap on the backend, over loopback sockets, in one process. Clocks stand
 * still until they are put forward: nobody waits for timers, and none fires before its time. */
#ifndef COAP_ENDS_H
#define COAP_ENDS_H

#include "dtls/coap/libcoap.h"

#include <stdbool.h>

enum { COAP_SEEN_MAX = 64, COAP_BODY_MAX = 16384 };

struct coap_end {
	coap_context_t *ctx; /* its application data is this struct */
	coap_session_t *session; /* a client's; of a server the one that was last heard of */
	coap_event_t events[COAP_SEEN_MAX];
	size_t event_count; /* may be more than are kept */
	coap_nack_reason_t nacks[COAP_SEEN_MAX];
	size_t nack_count;
	unsigned requests, responses;
	int code; /* of the last response: 205 */
	uint8_t body[COAP_BODY_MAX]; /* of the last request or response that had one */
	size_t body_len;
	/* Called first, and told the event. May be NULL. */
	void (*on_event)(struct coap_end *, coap_session_t *, coap_event_t);
	void (*on_request)(struct coap_end *, coap_session_t *);
};

struct coap_ends {
	struct coap_end server, client;
	coap_address_t address; /* the server's */
	size_t answer_len; /* bytes that GET returns; 5 at first */
};

#define COAP_KEY      "secretPSK"
#define COAP_IDENTITY "sensor-17"

/* Contexts without keys, and a resource /r: GET returns answer_len bytes, PUT keeps what comes. */
void coap_open(struct coap_ends *);
/* The server has COAP_KEY for everybody. */
void coap_serve_psk(struct coap_ends *);
/* At a port that is free; the keys must be set. */
void coap_listen(struct coap_ends *);
void coap_listen_again(struct coap_ends *); /* at the same port */
void coap_close(struct coap_ends *);
void coap_free_end(struct coap_end *);
void coap_restart_server(struct coap_ends *); /* another one, without keys, that does not listen yet */

coap_dtls_cpsk_t coap_cpsk(const char *identity, const char *key);
/* Asserts that a session is made, and keeps it. */
void coap_call_psk(struct coap_ends *, const char *identity, const char *key);
void coap_call_psk_with(struct coap_ends *, coap_dtls_cpsk_t *);
/* Sends a confirmable request for /r; PUT when there is a body. */
void coap_ask(struct coap_ends *, const void *body, size_t len);

/* Lets both work for a while: what is under way arrives. */
void coap_work(struct coap_ends *);
/* Until it is true; asserts that it gets there. */
void coap_until(struct coap_ends *, bool (*done)(const struct coap_ends *));
/* Asks, and asserts that 2.05 comes. */
void coap_assert_served(struct coap_ends *);
/* Puts the clocks forward; both work then. */
void coap_pass(struct coap_ends *, int64_t ms);

/* Asserts that these were the events since the last call, in this order; ends with COAP_EVENTS_END. */
#define COAP_EVENTS_END (-1)
void coap_assert_events(struct coap_end *, const char *who, ...);
/* What libcoap has logged since it was opened or cleared; not all of more than 64 KB. */
const char *coap_log_text(void);
void coap_log_clear(void);

/* A UDP socket on 127.0.0.1; *address is filled in. */
int coap_udp_socket(coap_address_t *address);

#endif
