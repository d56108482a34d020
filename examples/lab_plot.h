/* lab_plot.h - a sweep as a picture, drawn by gnuplot: for each series the distribution of the handshake times at each
 * loss rate, and below them the median and the 99th percentile over the loss. */
#ifndef LAB_PLOT_H
#define LAB_PLOT_H

#include "lab_file.h"
#include "lab_stats.h"

#include <stdbool.h>

struct lab_plot {
	const char *title, *subtitle;
	const struct lab_cell *cells; /* in the order in which they are to be drawn */
	size_t count;
};

/* Before anything is computed: ends the program where path does not end in .svg or .png, or gnuplot is missing. */
void lab_plot_check(const char *option, const char *path);
/* Says why when it fails. Closes the file. */
bool lab_plot_draw(const struct lab_plot *plot, struct lab_file *file);

#endif
