/* lab_output.h - where a sweep's results go: the options --csv, --json and --plot, for getopt_long(3). */
#ifndef LAB_OUTPUT_H
#define LAB_OUTPUT_H

#include "lab_file.h"
#include "lab_gnuplot.h"
#include "lab_report.h"

enum { LAB_CSV = 896, LAB_JSON, LAB_PLOT, LAB_OUTPUTS = LAB_PLOT + 1 - LAB_CSV };
#define LAB_OUTPUT_OPTIONS                                                                                             \
	{"csv", required_argument, NULL, LAB_CSV}, {"json", required_argument, NULL, LAB_JSON},                        \
	{                                                                                                              \
		"plot", required_argument, NULL, LAB_PLOT                                                              \
	}
extern const char lab_output_help[];

struct lab_output { /* all zero at first */
	struct lab_file files[LAB_OUTPUTS];
};

void lab_output_option(struct lab_output *, int option, const char *value);
/* After the last option, and last of what is judged: can the files be written? New ones are there once results are. */
void lab_output_open(struct lab_output *);
/* Writes the files, where the picture is one of plot, and prints the table, each whatever becomes of the others. Returns the
 * program's exit status, but for cli_finish(). */
int lab_output_write(struct lab_output *, const struct lab_report *report, lab_script *plot_script, const void *plot);

#endif
