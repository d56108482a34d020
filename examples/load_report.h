/* load_report.h - what dtls-load tells: how far it is, the table at the end, and files with a row for each second. */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include "lab_file.h"
#include "lab_report.h"
#include "load.h"

struct load_sum { /* over all processes, since the start */
	int64_t at_ns; /* since the start */
	uint64_t begun, done, failed, up, sent, back, lost, stray, ended;
	struct load_histogram handshakes, echoes;
};

struct load_report { /* all zero at first, but for run */
	struct load_run run;
	struct lab_file csv, json;
	struct lab_report *rows;
	struct load_sum last; /* as it was at the last second */
	bool watched; /* on a terminal */
};

void load_report_start(struct load_report *r);
void load_report_second(void *report);
/* Prints the summary and writes the files. Returns the program's exit status, but for cli_finish(). */
int load_report_end(struct load_report *r);

#endif
