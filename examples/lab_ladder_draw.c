#include "lab_ladder.h"

#include <inttypes.h>
#include <stdlib.h>

/* Between the uprights; on each side, beyond them, there is room for a time. */
enum { TIME = 9, INSIDE = LAB_LADDER_WIDTH - 2 * (TIME + 2), MARGIN = 1 };
/* A rung: at least so many dashes in front of its text and behind it; where it breaks off, it does so in its last part. */
enum { DASHES = 3, RUNG_TEXT = INSIDE - 2 * (DASHES + 2), BREAK_AT = INSIDE * 3 / 4 };

enum glyph { UPRIGHT = 1, DASH, TO_RIGHT, TO_LEFT, LOST, GLYPHS }; /* among the cells of a line, which are ASCII */

struct drawing {
	FILE *out;
	const char *const *glyphs;
	char cells[INSIDE];
};

static void clear(struct drawing *d)
{
	memset(d->cells, ' ', sizeof(d->cells));
}

/* A time below 0 is left out. */
static void print_line(const struct drawing *d, int64_t left_ms, int64_t right_ms)
{
	if (left_ms >= 0)
		fprintf(d->out, "%*" PRId64 " %s", TIME, left_ms, d->glyphs[UPRIGHT]);
	else
		fprintf(d->out, "%*s %s", TIME, "", d->glyphs[UPRIGHT]);
	for (size_t i = 0; i < sizeof(d->cells); i++) {
		if (d->cells[i] < GLYPHS)
			fputs(d->glyphs[(int)d->cells[i]], d->out);
		else
			putc(d->cells[i], d->out);
	}
	fputs(d->glyphs[UPRIGHT], d->out);
	if (right_ms >= 0)
		fprintf(d->out, " %" PRId64, right_ms);
	putc('\n', d->out);
}

/* How much of a text a line takes that has room for max: it ends at a word's end where it can. */
static size_t fit(const char *text, size_t max)
{
	size_t len = strlen(text);

	if (len <= max)
		return len;
	for (len = max; len > 0 && text[len] != ' '; len--)
		continue;
	return len > 0 ? len : max;
}

static const char *rest_of(const char *text, size_t taken)
{
	return text + taken + (text[taken] == ' ');
}

/* What happens at a side stands beside its upright. */
static void draw_event(struct drawing *d, const struct lab_ladder_row *row)
{
	bool at_left = row->direction == TO_SERVER;
	int64_t at_ms = row->at_ms;

	for (const char *text = row->text; *text != '\0'; at_ms = -1) {
		size_t len = fit(text, INSIDE - 2 * MARGIN);

		clear(d);
		memcpy(d->cells + (at_left ? MARGIN : INSIDE - MARGIN - len), text, len);
		print_line(d, at_left ? at_ms : -1, at_left ? -1 : at_ms);
		text = rest_of(text, len);
	}
}

static void draw_dashes(struct drawing *d, bool to_right, bool is_lost, size_t text_at, size_t text_len)
{
	size_t first = to_right ? 0 : 1, end = to_right ? INSIDE - 1 : INSIDE;

	clear(d);
	if (is_lost && to_right) {
		end = text_at + text_len + 1 + DASHES;
		end = end > BREAK_AT ? end : BREAK_AT;
	} else if (is_lost) {
		first = text_at - 1 - DASHES;
		first = first < INSIDE - BREAK_AT ? first : INSIDE - BREAK_AT;
	}
	memset(d->cells + first, DASH, end - first);
	d->cells[to_right ? end : first - 1] = is_lost ? LOST : to_right ? TO_RIGHT : TO_LEFT;
}

/* Text stands near the sender; what a rung has no room for follows below. */
static void draw_rung(
    struct drawing *d, const struct lab_ladder_row *row, const char *text, int64_t sent_ms, int64_t arrived_ms)
{
	bool to_right = row->direction == TO_SERVER;
	size_t len = fit(text, RUNG_TEXT), at = to_right ? DASHES + 1 : INSIDE - DASHES - 1 - len;

	draw_dashes(d, to_right, row->delivered == 0, at, len);
	d->cells[at - 1] = d->cells[at + len] = ' ';
	memcpy(d->cells + at, text, len);
	print_line(d, to_right ? sent_ms : arrived_ms, to_right ? arrived_ms : sent_ms);
	for (text = rest_of(text, len); *text != '\0'; text = rest_of(text, len)) {
		clear(d);
		len = fit(text, INSIDE - at - MARGIN);
		memcpy(d->cells + at, text, len);
		print_line(d, -1, -1);
	}
}

static void draw_datagram(struct drawing *d, const struct lab_ladder_row *row)
{
	char *text;

	for (int copy = 0; copy == 0 || copy < row->delivered; copy++) {
		int64_t arrived_ms = copy < row->arrived ? row->arrivals[copy] : -1;

		if (asprintf(&text, "%c%u %s%s", row->direction == TO_SERVER ? 'c' : 's', row->nth,
			copy > 0         ? "duplicated"
			: row->corrupted ? "corrupted, "
					 : "",
			copy > 0 ? "" : row->text) < 0)
			cli_fail("out of memory");
		draw_rung(d, row, text, copy == 0 ? row->at_ms : -1, arrived_ms);
		free(text);
	}
}

void lab_ladder_draw(const struct lab_ladder *ladder, FILE *out, bool ascii)
{
	static const char *const glyphs[2][GLYPHS] = {
	    {"", "\u2502", "\u2500", "\u25ba", "\u25c4", "\u2717"}, {"", "|", "-", ">", "<", "X"}};
	struct drawing d = {.out = out, .glyphs = glyphs[ascii]};

	fprintf(out, "%*s%*s\n", TIME + 4, "client", INSIDE + 1, "server");
	for (size_t i = 0; i < ladder->count; i++) {
		if (ladder->rows[i].is_datagram)
			draw_datagram(&d, &ladder->rows[i]);
		else
			draw_event(&d, &ladder->rows[i]);
	}
}
