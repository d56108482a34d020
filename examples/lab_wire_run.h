/* lab_wire_run.h - one handshake between two programs through dtls-relay: three processes, made for this run.
 *
 * How long a handshake took must mean the same for every program, and only what is on the wire is common to all. So it is
 * what dtls-relay -v saw, by its clock: from the client's first datagram until the client's first record of application
 * data, which a DTLS 1.2 client sends once it has verified the server's Finished. For this the client has a line on its
 * standard input from the start. What does not count, thus: how long the programs take to start, to look up names, to print.
 * The server's Finished as it reaches the client would not do: that record is encrypted, may have come too early, and be
 * a copy of one that was there before. The relay knows of the line as it enters, whether or not it is to be lost. */
#ifndef LAB_WIRE_RUN_H
#define LAB_WIRE_RUN_H

#include "lab_wire.h"
#include "lab_wire_process.h"

enum { WIRE_SENTENCE = 512 };
enum { WIRE_SERVER, WIRE_RELAY, WIRE_CLIENT, WIRE_PROCESSES };

struct wire_run {
	struct wire_process processes[WIRE_PROCESSES];
	enum { WIRE_IDLE, WIRE_OPENING, WIRE_CALLING, WIRE_SHAKING, WIRE_OVER } state;
	struct wire *wire;
	size_t cell, nth;
	struct wire_pair *pair;
	unsigned server_port, relay_port;
	int64_t stop_at; /* of cli_now_ms() */
	int port_lock_fd; /* server_port is this lab's */
	int client_in_fd; /* what is written here, the client reads; -1: none */
	int64_t first_ms; /* of the relay's clock */
	struct wire_result result;
	char why[WIRE_SENTENCE]; /* WIRE_OVER without a result */
};

/* Idle; with nothing open. */
void wire_run_init(struct wire_run *);
/* server_in_fd: the server's standard input. */
void wire_run_start(struct wire_run *, struct wire *wire, size_t cell, size_t nth, int server_in_fd);
/* Every few ms, after wire_ports_look(): reads what the programs have said, and goes on. */
void wire_run_look(struct wire_run *, int64_t now_ms);
/* Ends what is left, and makes it idle. */
void wire_run_end(struct wire_run *);

#endif
