/* lab_wire_process.h - a program that the lab runs: in a process group of its own, which ends with it, and with the lab. */
#ifndef LAB_WIRE_PROCESS_H
#define LAB_WIRE_PROCESS_H

#include "cli.h"

#include <sys/types.h>

enum { WIRE_LINE = 400 };

struct wire_process {
	pid_t pid; /* 0: none */
	int errors_fd; /* where its standard error is read; -1: closed */
	struct cli_lines lines;
	char last[WIRE_LINE]; /* the last line of it that was not empty */
};

/* Its standard input is in_fd, its standard output is thrown away. False: errno says why. */
bool wire_process_start(struct wire_process *, const char *const *argv, int in_fd);
/* The next line of its standard error, without its end; NULL: there is none now. */
const char *wire_process_line(struct wire_process *);
/* It has; what it has started may live on. */
bool wire_process_has_ended(const struct wire_process *);
/* Kills what is left of it. The lab must be a subreaper (prctl(2)). */
void wire_process_end(struct wire_process *);

#endif
