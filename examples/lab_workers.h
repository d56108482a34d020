/* lab_workers.h - work in several processes, which leave their results in shared memory. */
#ifndef LAB_WORKERS_H
#define LAB_WORKERS_H

#include <signal.h>
#include <stddef.h>

enum { LAB_PROCESSES_MAX = 256 };

struct lab_workers {
	int processes; /* 0: as many as there are cores */
	size_t items, result_size;
	/* Called once for each item, from 0 on, in any order, with room for its result, which is all zero. */
	void (*work)(void *arg, size_t item, void *result);
	void *arg;
	const char *what; /* "handshakes", for the line on a terminal that tells how far they are */
};

/* The results of all items in their order, for lab_workers_free(). When a process dies, or at SIGINT, SIGTERM or
 * SIGHUP, all of them end and the program, too: with 128 plus the signal's number. */
void *lab_workers_run(const struct lab_workers *workers);
/* SIGINT, SIGTERM and SIGHUP, but for those that are ignored, as nohup(1) has it: they are blocked for sigtimedwait(2), which
 * would take them even so. */
sigset_t lab_ending_signals(void);
void lab_workers_free(const struct lab_workers *workers, void *results);

#endif
