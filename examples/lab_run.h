/* lab_run.h - handshakes in virtual time: this library's client and endpoint on two simulated hosts. */
#ifndef LAB_RUN_H
#define LAB_RUN_H

#include "drops.h"
#include "dtls/dtls.h"
#include "dtls/sim.h"

#define LAB_PSK_SUITE "TLS-PSK-WITH-AES-128-CCM-8"

struct lab_setup {
	const char *suite; /* a name, or "cert" for certificates with the library's own choice */
	enum dtls_retransmit retransmit;
	int min_ms, max_ms; /* the handshake timeout */
	size_t mtu; /* of both sides' flights */
};

struct lab_lane { /* what one side sent until the client's handshake ended */
	uint64_t datagrams, bytes, lost;
	uint64_t retransmissions; /* flights of which everything had been sent before... */
	uint64_t spurious; /* ...needlessly; lab_flights.h */
};

struct lab_result {
	bool connected; /* the client is, and so then is the server */
	int64_t ms; /* when its handshake ended, well or not */
	struct lab_lane lanes[DIRECTIONS]; /* TO_SERVER: what the client sent */
};

/* What else wants to see or steer a run; every function may be NULL. */
struct lab_watch {
	sim_decide *decide[DIRECTIONS]; /* on top of the weather; with arg */
	/* A datagram is about to be sent: the weather for it and those behind it in this direction. NULL: as before. */
	const struct sim_weather *(*weather)(void *arg, enum direction, const void *datagram, size_t len);
	/* A datagram is sent: delivered copies will arrive. */
	void (*sent)(void *arg, int64_t now_ms, enum direction, const void *datagram, size_t len, int delivered);
	/* A datagram has arrived and is taken. */
	void (*arrived)(void *arg, int64_t now_ms, enum direction, const void *datagram, size_t len);
	/* A line of the story of the side whose datagrams go in this direction. */
	void (*told)(void *arg, int64_t now_ms, enum direction, const char *event);
	/* A side's timer: due in this many ms from now, -1 when none runs. Told when it is set or stopped. */
	void (*timer)(void *arg, int64_t now_ms, enum direction, int due_ms);
	/* A side's handshake has failed, or its session behind that. */
	void (*failed)(void *arg, int64_t now_ms, enum direction, const char *sentence);
	dtls_keylog *keylog;
	void *arg;
	bool
	    stays; /* goes on behind the result, until nothing is under way and the server's handshake has ended, too */
};

struct lab;
/* Ends the program with a sentence where the library does not take the setup. */
struct lab *lab_new(const struct lab_setup *);
void lab_free(struct lab *);
/* The same seed gives the same result. Timers have no jitter. watch may be NULL. */
struct lab_result lab_run(
    struct lab *, const struct sim_weather *weather, uint64_t seed, const struct lab_watch *watch);

#endif
