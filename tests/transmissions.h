/* transmissions.h - when each flight of a pair's handshake leaves, on links without loss; timers without jitter, so that
 * every instant is exact. */
#ifndef TRANSMISSIONS_H
#define TRANSMISSIONS_H

#include "pair.h"

enum flight { HELLO, COOKIE_HELLO, SERVER_HELLO, KEY_EXCHANGE, SERVER_FINISHED, FLIGHTS };
enum { TRANSMISSIONS_MAX = 16 };

struct transmissions {
	unsigned count; /* may be more than are kept */
	int64_t at_ms[TRANSMISSIONS_MAX];
};

extern const char *const flight_names[FLIGHTS];
extern struct transmissions sent[FLIGHTS]; /* since note_flights; each flight is one datagram */

void set_delay(struct pair *, int64_t latency_ms, int64_t jitter_ms);
void set_retransmit(struct pair *, enum dtls_retransmit);
void note_flights(struct pair *); /* from now on */
void open_quiet(struct pair *, enum dtls_retransmit, int64_t latency_ms);
int64_t client_rtt_ms(const struct pair *);
void assert_sent(enum flight, const int64_t *at_ms, unsigned count);
/* The instants it left at, and no other. */
#define ASSERT_SENT(flight, ...)                                                                                       \
	assert_sent(flight, (const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

#endif
