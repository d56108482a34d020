#include "lab_plot.h"

#include "cli.h"
#include "lab_gnuplot.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Of the picture, in pixels. */
enum { PANEL_WIDTH = 440, WIDTH_MIN = 1000, KEY_WIDTH = 110, HEIGHT = 950, HEAD = 86, SERIES_MAX = 8 };
enum { KEY_MAX = 18, LINE_MAX = 140 }; /* what there is room for: losses, letters */
enum { FINEST = 600 }; /* steps of a curve in each direction */

struct drawing {
	const struct lab_plot *plot;
	FILE *script;
	const char *series[SERIES_MAX];
	int series_count;
	bool is_svg; /* which puts labels further away */
	double from_s, to_s; /* the axis of times */
	double max_loss;
};

static bool ends_in(const char *path, const char *ending)
{
	size_t len = strlen(path), ending_len = strlen(ending);

	return len > ending_len && strcasecmp(path + len - ending_len, ending) == 0;
}

void lab_plot_check(const char *option, const char *path)
{
	if (!ends_in(path, ".svg") && !ends_in(path, ".png"))
		cli_usage("%s takes a file that ends in .svg or .png, not \"%s\"", option, path);
	if (!lab_gnuplot_is_there())
		cli_usage("%s needs the program gnuplot, which is not installed (Debian: gnuplot-nox)", option);
}

/* ---- pieces of the script ---- */

/* In single quotes nothing is special but these. */
static void quote(FILE *out, const char *text)
{
	fputc('\'', out);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputc('\'', out);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
	}
	fputc('\'', out);
}

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

static const unsigned series_colours[SERIES_MAX] = {
    0xd55e00, 0x0072b2, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x7f7f7f, 0x000000};

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
		if (s == d->series_count && s < SERIES_MAX)
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
	quote(d->script, d->series[series]);
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

static void set_quantile_axes(const struct drawing *d, unsigned per_mille)
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
}

/* Over the loss. */
static void draw_quantiles(const struct drawing *d, int width, bool left, unsigned per_mille, const char *name)
{
	int from = left ? 0 : width / 2, to = left ? width / 2 : width;
	int64_t cap_ms = d->plot->count > 0 ? d->plot->cells[0].cap_ms : 0;

	place(d, width, from + 66, to - 12, HEIGHT / 2 + 85, HEIGHT - 60);
	set_quantile_axes(d, per_mille);
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
			    series_colours[s]);
		fprintf(d->script, ", $quantile%d_%u with linespoints lw 2 pt 7 ps 0.8 lc rgb 0x%06x title ", s,
		    per_mille, series_colours[s]);
		quote(d->script, d->series[s]);
	}
	fputc('\n', d->script);
}

static void draw_line(const struct drawing *d, const char *text, double y, double font)
{
	fputs("set label ", d->script);
	quote(d->script, text);
	fprintf(d->script, " at screen 0.5, screen %g center font ',%g' textcolor rgb 0x%s\n", 1 - y / HEIGHT, font,
	    2 * y < HEAD ? "000000" : "555555");
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
	size_t room = (size_t)(LINE_MAX * width / WIDTH_MIN), longest;
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
	draw_line(d, text, 48, font);
	if (second != NULL)
		draw_line(d, second, 67, font);
	free(text);
}

static void write_script(const struct drawing *d)
{
	int width = d->series_count * PANEL_WIDTH + KEY_WIDTH;

	width = width > WIDTH_MIN ? width : WIDTH_MIN;
	fprintf(d->script, "set terminal %s size %d,%d noenhanced font 'sans-serif,%s' background rgb 'white'\n",
	    d->is_svg ? "svg" : "pngcairo", width, HEIGHT, d->is_svg ? "13" : "10");
	write_data(d);
	fputs("set encoding utf8\nset grid lc rgb 0xdddddd lw 1 lt 1\nset border 3 lc rgb 0x888888\nset tics nomirror "
	      "out textcolor rgb 0x333333\n",
	    d->script);
	fputs("set multiplot\n", d->script);
	draw_line(d, d->plot->title, 25, 17);
	draw_subtitle(d, width);
	for (int s = 0; s < d->series_count; s++) {
		draw_distributions(d, width, s);
		fputs("unset label\n", d->script);
	}
	draw_quantiles(d, width, true, LAB_MEDIAN, "median");
	draw_quantiles(d, width, false, LAB_P99, "99th percentile");
	fputs("unset multiplot\n", d->script);
}

static void copy(FILE *picture, struct lab_file *file)
{
	char bytes[4096];
	size_t len;

	lab_file_begin(file);
	rewind(picture);
	while ((len = fread(bytes, 1, sizeof(bytes), picture)) > 0)
		fwrite(bytes, 1, len, file->stream);
}

bool lab_plot_draw(const struct lab_plot *plot, struct lab_file *file)
{
	struct drawing d = {.plot = plot, .script = tmpfile(), .is_svg = ends_in(file->path, ".svg")};
	FILE *picture = tmpfile(); /* gnuplot would not tell that the disk is full, and it may fail */
	char why[LAB_GNUPLOT_WHY];
	bool drawn;

	if (d.script == NULL || picture == NULL)
		cli_fail("cannot make a temporary file: %s", strerror(errno));
	find_series(&d);
	find_ranges(&d);
	write_script(&d);
	drawn = lab_gnuplot_run(d.script, picture, why);
	if (drawn)
		copy(picture, file);
	else
		fprintf(stderr, "%s: gnuplot cannot draw \"%s\": %s\n", program_invocation_short_name, file->path, why);
	fclose(d.script);
	fclose(picture);
	return lab_file_end(file) && drawn;
}
