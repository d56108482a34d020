#include "lab_plot.h"

#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of the picture, in pixels. */
enum { PANEL_WIDTH = 440, WIDTH_MIN = 1000, KEY_WIDTH = 110, HEIGHT = 950, HEAD = 86 };
enum { KEY_MAX = 18, LETTERS_MAX = 140 }; /* what there is room for: losses, letters */
enum { FINEST = 600 }; /* steps of a curve in each direction */

struct drawing {
	const struct lab_plot *plot;
	FILE *script;
	const char *series[LAB_SERIES];
	int series_count;
	bool is_svg; /* which puts labels further away */
	double from_s, to_s; /* the axis of times */
	double max_loss;
};

/* ---- pieces of the script ---- */

/* 1, 2 and 5 times the powers of ten, and more between them where that is little. */
static void set_time_tics(const struct drawing *d, char axis, double from_s, double to_s)
{
	static const double steps[] = {1, 1.5, 2, 3, 5, 7};
	bool finely = to_s < 10 * from_s;
	const char *comma = "";

	fprintf(d->script, "set %ctics (", axis);
	for (int power = -3; power < 8; power++) {
		for (int i = 0; i < 6; i++) {
			double at = steps[i] * pow(10, power);

			if (at < from_s * 0.999 || at > to_s * 1.001 || (!finely && i % 2 != 0))
				continue;
			fprintf(d->script, "%s\"%g\" %g", comma, at, at);
			comma = ", ";
		}
	}
	fprintf(d->script, ")\nset logscale %c\nset %crange [%g:%g]\n", axis, axis, from_s, to_s);
}

/* The larger the hotter: between these colours. */
static unsigned loss_colour(double loss, double max_loss)
{
	static const unsigned stops[] = {0x26358c, 0x2f86c4, 0x2fa58a, 0x8ab33a, 0xe0a526, 0xe06a1f, 0xb01f1f};
	enum { LAST = sizeof(stops) / sizeof(*stops) - 1 };
	double at = max_loss > 0 ? sqrt(loss / max_loss) * LAST : 0;
	int below = at >= LAST ? LAST - 1 : (int)at;
	unsigned colour = 0;

	for (int shift = 16; shift >= 0; shift -= 8) {
		double a = stops[below] >> shift & 0xff, b = stops[below + 1] >> shift & 0xff;

		colour |= (unsigned)lround(a + (b - a) * (at - below)) << shift;
	}
	return colour;
}

static double seconds(int64_t ms)
{
	return ms > 0 ? (double)ms / 1000 : 0.001; /* the axes are logarithmic */
}

static bool is_of(const struct drawing *d, size_t cell, int series)
{
	return strcmp(d->plot->cells[cell].series, d->series[series]) == 0;
}

/* ---- what is to be drawn ---- */

static void find_series(struct drawing *d)
{
	for (size_t i = 0; i < d->plot->count; i++) {
		int s = 0;

		while (s < d->series_count && !is_of(d, i, s))
			s++;
		if (s == d->series_count && s < LAB_SERIES)
			d->series[d->series_count++] = d->plot->cells[i].series;
	}
}

static void find_ranges(struct drawing *d)
{
	double from_s = INFINITY, to_s = 0;

	for (size_t i = 0; i < d->plot->count; i++) {
		const struct lab_cell *cell = &d->plot->cells[i];

		d->max_loss = fmax(d->max_loss, cell->loss);
		if (cell->succeeded == 0)
			continue;
		from_s = fmin(from_s, seconds(cell->times_ms[0]));
		to_s = fmax(to_s, seconds(cell->times_ms[cell->succeeded - 1]));
		to_s = fmax(to_s, (double)cell->cap_ms / 1000);
	}
	d->from_s = to_s > 0 ? from_s / 1.15 : 0.1;
	d->to_s = to_s > 0 ? fmax(to_s * 1.15, d->from_s * 4) : 10;
}

/* A step for each time, but for those that nobody could tell from the step before. */
static void write_distribution(const struct drawing *d, size_t index)
{
	const struct lab_cell *cell = &d->plot->cells[index];
	double height = 0, at = log(d->from_s), finest = log(d->to_s / d->from_s) / FINEST;

	fprintf(d->script, "$distribution%zu << END\n%g 0\n", index, d->from_s);
	for (size_t i = 0; i < cell->succeeded; i++) {
		double s = seconds(cell->times_ms[i]), share = (double)(i + 1) / (double)cell->runs;

		if (i + 1 < cell->succeeded && (cell->times_ms[i + 1] == cell->times_ms[i] ||
						   (share - height < 1.0 / FINEST && log(s) - at < finest)))
			continue;
		fprintf(d->script, "%g %g\n", s, share * 100);
		height = share;
		at = log(s);
	}
	fprintf(d->script, "%g %g\nEND\n", d->to_s, height * 100);
}

static void write_quantile(const struct drawing *d, int series, unsigned per_mille)
{
	fprintf(d->script, "$quantile%d_%u << END\n", series, per_mille);
	for (size_t i = 0; i < d->plot->count; i++) {
		int64_t ms = lab_cell_quantile_of_all(&d->plot->cells[i], per_mille);

		if (is_of(d, i, series) && ms >= 0)
			fprintf(d->script, "%g %g\n", d->plot->cells[i].loss, seconds(ms));
	}
	fputs("END\n", d->script);
}

static void write_intervals(const struct drawing *d, int series)
{
	fprintf(d->script, "$intervals%d << END\n", series);
	for (size_t i = 0; i < d->plot->count; i++) {
		const struct lab_cell *cell = &d->plot->cells[i];

		if (is_of(d, i, series) && cell->high_ms > 0)
			fprintf(d->script, "%g %g %g %g\n", cell->loss,
			    seconds(lab_cell_quantile_of_all(cell, LAB_MEDIAN)), seconds(cell->low_ms),
			    seconds(cell->high_ms));
	}
	fputs("END\n", d->script);
}

static void write_data(const struct drawing *d)
{
	for (size_t i = 0; i < d->plot->count; i++)
		write_distribution(d, i);
	for (int s = 0; s < d->series_count; s++) {
		write_quantile(d, s, LAB_MEDIAN);
		write_quantile(d, s, LAB_P99);
		write_intervals(d, s);
	}
}

/* ---- the panels ---- */

static void set_xlabel(const struct drawing *d, const char *label)
{
	fprintf(d->script, "set xlabel '%s' offset 0,%s\n", label, d->is_svg ? "0.5" : "0");
}

static void place(const struct drawing *d, int width, int left, int right, int top, int bottom)
{
	fprintf(d->script,
	    "set lmargin at screen %g\nset rmargin at screen %g\nset tmargin at screen %g\nset bmargin at screen %g\n",
	    (double)left / width, (double)right / width, 1 - (double)top / HEIGHT, 1 - (double)bottom / HEIGHT);
}

/* Where there are too many for the key, each second, third... is named: colours are in the order of the losses. */
static size_t named_each(const struct drawing *d, int series)
{
	size_t count = 0;

	for (size_t i = 0; i < d->plot->count; i++)
		count += is_of(d, i, series);
	return (count + KEY_MAX - 1) / KEY_MAX;
}

static void draw_distributions(const struct drawing *d, int width, int series)
{
	int share = (width - KEY_WIDTH) / d->series_count;
	bool last = series == d->series_count - 1;
	size_t each = named_each(d, series), nth = 0;
	const char *comma = "";

	place(d, width, series * share + 66, (series + 1) * share - 12, HEAD + 32, HEIGHT / 2 - 15);
	set_time_tics(d, 'x', d->from_s, d->to_s);
	set_xlabel(d, "after (s)");
	fputs("unset logscale y\nset yrange [0:101]\nset ytics 20 format '%g %%'\nset title ", d->script);
	lab_gnuplot_quote(d->script, d->series[series]);
	fprintf(d->script, ".': connected'\n%s\nplot ",
	    last ? "set key at screen 0.995, graph 1 right top title 'loss' samplen 1.5" : "unset key");
	for (size_t i = 0; i < d->plot->count; i++) {
		const struct lab_cell *cell = &d->plot->cells[i];

		if (!is_of(d, i, series))
			continue;
		fprintf(d->script, "%s$distribution%zu using 1:2 with steps lw 2 lc rgb 0x%06x ", comma, i,
		    loss_colour(cell->loss, d->max_loss));
		if (nth++ % each == 0)
			fprintf(d->script, "title '%g %%'", cell->loss);
		else
			fputs("notitle", d->script);
		comma = ", ";
	}
	fputs("\nset key default\n", d->script);
}

static bool has_intervals(const struct drawing *d)
{
	for (size_t i = 0; i < d->plot->count; i++)
		if (d->plot->cells[i].high_ms > 0)
			return true;
	return false;
}

/* False: no cell has so many. */
static bool set_quantile_axes(const struct drawing *d, unsigned per_mille)
{
	double from_s = INFINITY, to_s = 0, to_loss = fmax(d->max_loss, 1);

	for (size_t i = 0; i < d->plot->count; i++) {
		const struct lab_cell *cell = &d->plot->cells[i];
		int64_t ms = lab_cell_quantile_of_all(cell, per_mille);

		if (ms < 0)
			continue;
		from_s = fmin(from_s, seconds(ms));
		to_s = fmax(to_s, seconds(ms));
		if (per_mille == LAB_MEDIAN && cell->high_ms > 0) {
			from_s = fmin(from_s, seconds(cell->low_ms));
			to_s = fmax(to_s, seconds(cell->high_ms));
		}
	}
	set_time_tics(d, 'y', to_s > 0 ? from_s / 1.3 : 0.1, to_s > 0 ? fmax(to_s * 1.3, from_s * 3) : 10);
	fprintf(d->script, "unset logscale x\nset xrange [%g:%g]\nset xtics auto\nset format y '%%h'\n",
	    -0.03 * to_loss, 1.03 * to_loss);
	return to_s > 0;
}

/* Over the loss. */
static void draw_quantiles(const struct drawing *d, int width, bool left, unsigned per_mille, const char *name)
{
	int from = left ? 0 : width / 2, to = left ? width / 2 : width;
	int64_t cap_ms = d->plot->count > 0 ? d->plot->cells[0].cap_ms : 0;

	place(d, width, from + 66, to - 12, HEIGHT / 2 + 85, HEIGHT - 60);
	if (!set_quantile_axes(d, per_mille))
		fprintf(d->script,
		    "set label 'at no loss rate did %g %% of the handshakes succeed' at graph 0.5, graph 0.54 center\n",
		    per_mille / 10.0);
	set_xlabel(d, "loss (%)");
	fputs("set key right bottom\n", d->script);
	if (cap_ms > 0)
		fprintf(d->script, "set title '%s (s), failures as %g s'\nplot NaN notitle", name, seconds(cap_ms));
	else
		fprintf(
		    d->script, "set title '%s (s) of all handshakes, where so many succeed'\nplot NaN notitle", name);
	for (int s = 0; s < d->series_count; s++) {
		if (per_mille == LAB_MEDIAN && has_intervals(d))
			fprintf(d->script, ", $intervals%d with yerrorbars lw 1 pt 0 lc rgb 0x%06x notitle", s,
			    lab_series_colours[s]);
		fprintf(d->script, ", $quantile%d_%u with linespoints lw 2 pt 7 ps 0.8 lc rgb 0x%06x title ", s,
		    per_mille, lab_series_colours[s]);
		lab_gnuplot_quote(d->script, d->series[s]);
	}
	fputs("\nunset label\n", d->script);
}

/* Between two of its parts, as near to its middle as can be; NULL: there is only one. */
static char *middle(char *text)
{
	char *best = NULL;
	ptrdiff_t half = (ptrdiff_t)strlen(text) / 2;

	for (char *at = text; (at = strstr(at, ", ")) != NULL; at++)
		if (best == NULL || labs(at - text - half) < labs(best - text - half))
			best = at;
	return best;
}

static void draw_subtitle(const struct drawing *d, int width)
{
	size_t room = (size_t)(LETTERS_MAX * width / WIDTH_MIN), longest;
	double font = d->is_svg ? 13 : 10;
	char *text = strdup(d->plot->subtitle), *second = NULL;

	if (text == NULL)
		cli_fail("out of memory");
	if (strlen(text) > room && (second = middle(text)) != NULL) {
		second[1] = '\0';
		second += 2;
	}
	longest = second != NULL && strlen(second) > strlen(text) ? strlen(second) : strlen(text);
	if (longest > room)
		font *= (double)room / (double)longest;
	lab_gnuplot_line(d->script, text, 48.0 / HEIGHT, font, "555555");
	if (second != NULL)
		lab_gnuplot_line(d->script, second, 67.0 / HEIGHT, font, "555555");
	free(text);
}

void lab_plot_script(FILE *script, bool is_svg, const void *plot)
{
	struct drawing d = {.plot = plot, .script = script, .is_svg = is_svg};
	int width;

	find_series(&d);
	find_ranges(&d);
	width = d.series_count * PANEL_WIDTH + KEY_WIDTH;
	width = width > WIDTH_MIN ? width : WIDTH_MIN;
	lab_gnuplot_begin(script, is_svg, width, HEIGHT);
	write_data(&d);
	fputs("set multiplot\n", script);
	lab_gnuplot_line(script, d.plot->title, 25.0 / HEIGHT, 17, "000000");
	draw_subtitle(&d, width);
	for (int s = 0; s < d.series_count; s++) {
		draw_distributions(&d, width, s);
		fputs("unset label\n", script);
	}
	draw_quantiles(&d, width, true, LAB_MEDIAN, "median");
	draw_quantiles(&d, width, false, LAB_P99, "99th percentile");
	fputs("unset multiplot\n", script);
}
