/* timer.h - what mbed TLS's two-deadline timer means: the retransmission schedule (RFC 6347, 4.2.4), adaptive or fixed,
 * and when to give up. Callers report what happened; only this file arms anything. */
#ifndef TIMER_H
#define TIMER_H

#include "settings.h"

enum { HELLO_TIMES = 8 };
/* mbed TLS is configured to begin with this; what it doubles it to tells how often the flight was sent. Small, since it
 * stops doubling at INT32_MAX: 1 ms reaches 3,600,000 at the 22nd time. */
enum { TIMER_UNIT_MS = 100 };

struct timer {
	const struct settings *settings;
	struct rng *rng;
	uint64_t *retransmissions; /* counts flights resent */
	int64_t intermediate_at, final_at; /* INT64_MAX: not armed */
	int64_t flight_at; /* when the present flight was first sent */
	int64_t left_at; /* when it was last sent */
	int64_t give_up_at;
	int64_t give_up_ms; /* of the next new flight; later ones have the settings' */
	unsigned resends; /* of all flights so far */
	int64_t rtt_ms; /* the last measured round trip; -1: none yet */
	int64_t hello_at[HELLO_TIMES]; /* by record sequence number: the latest ClientHellos */
	uint64_t hello_seq[HELLO_TIMES]; /* plus 1; 0: empty */
	bool sent; /* something left since the timer was last set */
	bool outstanding, fired, resent; /* of the present flight */
	bool done; /* what is resent from now on is the last flight */
	bool input_waits, heard; /* heard: something came in since the flight left */
	bool early; /* the input came within a round trip of what left last */
};

void timer_init(struct timer *, const struct settings *, struct rng *, uint64_t *retransmissions);
/* mbed TLS's callbacks. */
void timer_set(void *timer, uint32_t intermediate_ms, uint32_t final_ms);
int timer_get(void *timer);
/* While input waits an overdue timer holds its fire: the answer may be in it. */
void timer_input_waits(struct timer *, bool waits);
/* A datagram of the flight has left: the next arming is for it, or for its retransmission. */
void timer_sent(struct timer *);
/* True when the flight that mbed TLS is about to resend, since the peer repeats its own, is to stay here. */
bool timer_holds(const struct timer *);
/* The handshake is done: no timer resends its last flight, the peer's repeated one does. */
void timer_done(struct timer *);
void timer_measured(struct timer *, int64_t rtt_ms); /* elsewhere; -1: it was not */
void timer_hello_sent(struct timer *, uint64_t record_seq);
/* A HelloVerifyRequest and the first ServerHello copy the sequence number of the very ClientHello they answer (RFC 6347,
 * 4.2.1), so that this round trip is known even after retransmissions. True when it was measured. */
bool timer_hello_answered(struct timer *, uint64_t record_seq);
/* The next flight is given this long at most. */
void timer_hurry(struct timer *, int64_t give_up_ms);
/* Over a stream nothing is resent: from the first call on, the whole handshake has the time of one flight. */
void timer_begin(struct timer *);
bool timer_gave_up(const struct timer *);
int64_t timer_due_at(const struct timer *); /* INT64_MAX: never */

/* The sum of the fixed schedule: min_ms, doubling up to max_ms. */
int64_t timer_schedule_sum(int min_ms, int max_ms);

/* at plus ms, where either may mean for ever. */
int64_t timer_later(int64_t at, int64_t ms);

/* poll(2)'s timeout until due_at: 0 overdue, -1 never. */
int timer_poll_ms(int64_t due_at, int64_t now_ms);

#endif
