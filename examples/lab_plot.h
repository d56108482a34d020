/* lab_plot.h - a sweep as a picture: for each series the distribution of the handshake times at each
 * loss rate, and below them the median and the 99th percentile over the loss. */
#ifndef LAB_PLOT_H
#define LAB_PLOT_H

#include "lab_gnuplot.h"
#include "lab_stats.h"

struct lab_plot {
	const char *title, *subtitle;
	const struct lab_cell *cells; /* in the order in which they are to be drawn */
	size_t count;
};

/* For lab_gnuplot_draw(): the arg is a struct lab_plot. */
lab_script lab_plot_script;

#endif
