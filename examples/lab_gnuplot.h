/* lab_gnuplot.h - gnuplot(1) as a process of its own. */
#ifndef LAB_GNUPLOT_H
#define LAB_GNUPLOT_H

#include <stdbool.h>
#include <stdio.h>

enum { LAB_GNUPLOT_WHY = 256 };

bool lab_gnuplot_is_there(void);
/* What it draws goes to out, an empty file. False: why says what was wrong. */
bool lab_gnuplot_run(FILE *script, FILE *out, char why[LAB_GNUPLOT_WHY]);

#endif
