/* load.h - dtls-load in parts: dtls_load.c reads the command line, load_run.c has the processes, load_worker.c the many
 * clients of one of them, load_client.c the life of a client, load_report.c what is told. */
#ifndef LOAD_H
#define LOAD_H

#include "cli_dtls.h"
#include "load_histogram.h"

#include <stdatomic.h>

enum { LOAD_PROCESSES_MAX = 64, LOAD_REASONS = 4, LOAD_SENTENCE = 300, LOAD_MESSAGE_MAX = 16384 };

enum load_probe { LOAD_SILENT, LOAD_ECHO, LOAD_COAP_PING };

struct load_options {
	struct cli_dtls dtls;
	struct cli_address server;
	char name[CLI_ADDRESS_TEXT]; /* of it */
	const char *hostname; /* that it is asked for; NULL: none */
	unsigned clients, processes;
	unsigned sources; /* 0: the kernel chooses the clients' address */
	unsigned pending; /* unfinished handshakes at a time */
	double rate; /* of handshakes that begin, a second; 0: as many as pending lets */
	enum load_probe probe;
	size_t size; /* of a message */
	int64_t interval_ms, patience_ms; /* between messages; for an answer */
	int64_t churn_ms; /* -1: sessions last until the end */
	int64_t duration_ms; /* 0: until every client has connected or failed */
	int64_t timeout_ms; /* of a handshake */
};

/* What one process has counted, in memory shared with the parent, which reads it at any time. */
struct load_tally {
	_Atomic uint64_t begun, done, failed; /* handshakes */
	_Atomic uint64_t settled; /* clients that have connected or failed once */
	_Atomic uint64_t over; /* clients that will do nothing more */
	_Atomic uint64_t up, pending; /* now */
	_Atomic uint64_t sent, back, lost, stray; /* messages; stray: not the answer that was waited for */
	_Atomic uint64_t ended; /* sessions that did not end from here */
	_Atomic uint64_t last_done_ns, first_sent_ns; /* since the start; 0: never */
	struct load_histogram handshakes, echoes;
	struct load_reason { /* why handshakes failed and sessions ended; to be read when the process has ended */
		uint64_t count;
		char sentence[LOAD_SENTENCE];
	} reasons[LOAD_REASONS]; /* those that came first */
};

struct load_run { /* as the parent sees it */
	const struct load_options *o;
	struct load_tally *tallies; /* one for each process */
	int64_t started_ns, stopped_ns;
	uint64_t up; /* sessions when it was stopped */
	double cpu_s; /* that all processes have used */
	bool interrupted;
};

int64_t load_now_ns(void); /* CLOCK_MONOTONIC */

/* load_worker.c: the clients number `first`, `first` + processes, ... until the other end of stop_fd is closed. Does not
 * return. */
void load_work(const struct load_options *o, struct load_tally *tally, unsigned first, int64_t started_ns, int stop_fd)
    __attribute__((noreturn));

/* load_run.c: from the first handshake to the last close_notify. Calls each_second in between. */
void load_run(struct load_run *run, void (*each_second)(void *arg), void *arg);
void load_run_free(struct load_run *run);

#endif
