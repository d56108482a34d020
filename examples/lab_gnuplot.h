/* lab_gnuplot.h - pictures by gnuplot(1), a process of its own: SVG or PNG, as the file's name ends. */
#ifndef LAB_GNUPLOT_H
#define LAB_GNUPLOT_H

#include "lab_file.h"

#include <stdbool.h>

/* Writes the commands for a picture of arg. */
typedef void lab_script(FILE *script, bool is_svg, const void *arg);

/* Before anything is computed: ends the program where path does not end in .svg or .png, or gnuplot is missing. */
void lab_gnuplot_check(const char *option, const char *path);
/* The first command. Sizes are in pixels. */
void lab_gnuplot_begin(FILE *script, bool is_svg, int width, int height);
/* The colours of what is compared, in their order. */
enum { LAB_SERIES = 8 };
extern const unsigned lab_series_colours[LAB_SERIES];
/* A line in the middle of the picture's width, from_top of its height from the top. */
void lab_gnuplot_line(FILE *script, const char *text, double from_top, double font, const char *colour);
/* Text in gnuplot's quotes. */
void lab_gnuplot_quote(FILE *script, const char *text);
/* Says why when it fails. Closes the file. */
bool lab_gnuplot_draw(struct lab_file *file, lab_script *write, const void *arg);

#endif
