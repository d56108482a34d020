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

struct lab_results {
	void *items; /* their results, in their order */
	size_t done; /* so many of the first ones are there... */
	int signal; /* ...which is all, unless this one came before; 0: none did */
};

/* For lab_workers_free(). At SIGINT, SIGTERM or SIGHUP nothing more is begun; a second one ends the program at once, with
 * status 128 plus its number. When a process dies all of them end, and the program, too. */
struct lab_results lab_workers_run(const struct lab_workers *workers);
/* SIGINT, SIGTERM and SIGHUP, but for those that are ignored, as nohup(1) has it: they are blocked for sigtimedwait(2), which
 * would take them even so. */
sigset_t lab_ending_signals(void);
void lab_workers_free(const struct lab_workers *workers, const struct lab_results *results);

#endif
