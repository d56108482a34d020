/* load_worker.h - the clients of one process, and what each of them does. */
#ifndef LOAD_WORKER_H
#define LOAD_WORKER_H

#include "heap.h"
#include "load.h"

#include <sys/queue.h>

struct load_client {
	struct heap_node due; /* first: when it is its turn again, whatever comes */
	STAILQ_ENTRY(load_client) next;
	enum load_state {
		LOAD_QUEUED, /* until it may begin */
		LOAD_RESTING, /* until it is queued again */
		LOAD_SHAKING,
		LOAD_UP,
		LOAD_OVER
	} state;
	unsigned number; /* of all clients of all processes */
	bool settled;
	struct dtls_conn *conn;
	int fd;
	int64_t began_ns, sent_ns; /* its handshake, its last message */
	bool asked; /* its last message is not answered */
	bool served; /* this session has seen an answer, or done without one */
	int64_t next_at_ms; /* the next message */
	int64_t end_at_ms; /* of the handshake, at the latest; of the session */
	uint32_t messages; /* sent in its life: tells them apart */
};

struct load_worker {
	const struct load_options *o;
	struct load_tally *tally;
	unsigned first; /* client's number; this process has every o->processes-th from there on */
	int64_t started_ns, now_ms;
	int epoll;
	unsigned pending_max;
	unsigned asked; /* messages that are not answered */
	bool stopping; /* what is under way comes to its end, and nothing begins */
	struct load_client *clients;
	unsigned count;
	STAILQ_HEAD(, load_client) queued;
	struct heap due; /* of those that are not queued */
	uint8_t message[LOAD_MESSAGE_MAX], buf[LOAD_MESSAGE_MAX];
};

/* Its turn: it begins, something came, or it is due. */
void load_client_begin(struct load_worker *w, struct load_client *c);
void load_client_turn(struct load_worker *w, struct load_client *c);
/* An ICMP error is there for it: nobody listens, or there is no way. */
void load_client_refused(struct load_worker *w, struct load_client *c);
/* close_notify, where there is a session. */
void load_client_end(struct load_worker *w, struct load_client *c);

/* load_worker.c: puts it where its state and times say. */
void load_worker_place(struct load_worker *w, struct load_client *c, int64_t at_ms);
void load_worker_queue(struct load_worker *w, struct load_client *c);

void load_add(_Atomic uint64_t *number, int64_t change);

#endif
