#include "lab_ladder.h"

#include "lab_messages.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* ---- rows ---- */

static struct lab_ladder_row *add_row(struct lab_ladder *ladder, int64_t now_ms, enum direction direction,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

static struct lab_ladder_row *add_row(
    struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const char *format, ...)
{
	struct lab_ladder_row *row;
	va_list args;

	ladder->rows = reallocarray(ladder->rows, ladder->count + 1, sizeof(*ladder->rows));
	if (ladder->rows == NULL)
		cli_fail("out of memory");
	row = &ladder->rows[ladder->count++];
	*row = (struct lab_ladder_row){.at_ms = now_ms, .direction = direction};
	va_start(args, format);
	if (vasprintf(&row->text, format, args) < 0)
		cli_fail("out of memory");
	va_end(args);
	return row;
}

void lab_ladder_free(struct lab_ladder *ladder)
{
	for (size_t i = 0; i < ladder->count; i++) {
		free(ladder->rows[i].text);
		free(ladder->rows[i].bytes);
	}
	free(ladder->rows);
}

/* ---- datagrams ---- */

static void print_message(FILE *out, const struct lab_message *m, int seq)
{
	fputs(lab_kind_name(m->kind), out);
	if (seq >= 0)
		fprintf(out, "(%d)", seq);
	else if (m->alert >= 0)
		fprintf(out, " %d", m->alert);
	if (m->len < m->total)
		fprintf(out, "[%" PRIu32 "-%" PRIu32 "/%" PRIu32 "]", m->offset, m->offset + m->len, m->total);
}

static void print_messages(FILE *out, struct lab_ladder_side *side, const struct lab_message *messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct lab_message *m = &messages[i];

		/* A server sends HelloVerifyRequests without remembering them. */
		if (m->seq >= 0 && m->kind != LAB_HELLO_VERIFY_REQUEST)
			side->seq = m->seq;
		if (i == 0 && m->flight > 0)
			fprintf(out, "flight %d: ", m->flight);
		print_message(out, m, m->kind == LAB_FINISHED ? side->seq + 1 : m->seq);
		if (i + 1 < count)
			fputs(", ", out);
	}
	if (count == 0)
		fputs("an encrypted record", out);
}

/* What made a side send, where it was its timer: neither something new to say, nor the peer that repeats itself. */
static void tell_timer(struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const struct lab_message *m)
{
	struct lab_ladder_side *side = &ladder->sides[direction];

	if (!side->is_armed || now_ms < side->due_at || now_ms == side->heard_at ||
	    (m->flight != side->flight && m->kind != LAB_ALERT))
		return;
	side->is_armed = false;
	if (m->kind == LAB_ALERT)
		add_row(ladder, now_ms, direction, "timer fires: it gives up");
	else
		add_row(ladder, now_ms, direction, "timer fires: flight %d again", m->flight);
}

void lab_ladder_sent(struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const void *datagram,
    size_t len, int delivered)
{
	struct lab_ladder_side *side = &ladder->sides[direction];
	struct lab_message messages[LAB_MESSAGES];
	size_t count = lab_messages_read(direction, datagram, len, messages), text_len;
	struct lab_ladder_row *row;
	char *text = NULL;
	FILE *out = open_memstream(&text, &text_len);

	if (out == NULL)
		cli_fail("out of memory");
	if (count > 0)
		tell_timer(ladder, now_ms, direction, &messages[0]);
	print_messages(out, side, messages, count);
	fclose(out);
	if (count > 0 && messages[0].flight > 0 && messages[0].kind != LAB_HELLO_VERIFY_REQUEST)
		side->flight = messages[0].flight;
	row = add_row(ladder, now_ms, direction, "%s", text);
	free(text);
	row->is_datagram = true;
	row->nth = ++side->sent;
	row->delivered = delivered;
	row->len = len;
	row->bytes = malloc(len);
	if (row->bytes == NULL)
		cli_fail("out of memory");
	memcpy(row->bytes, datagram, len);
}

static size_t difference(const struct lab_ladder_row *row, const uint8_t *datagram, size_t len)
{
	size_t differ = 0;

	for (size_t i = 0; i < len; i++)
		differ += row->bytes[i] != datagram[i];
	return differ;
}

/* The datagram that was sent as these bytes, but for one of them at most; the latest, where there are several. */
void lab_ladder_arrived(
    struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const void *datagram, size_t len)
{
	struct lab_ladder_row *found = NULL;
	size_t least = 2;

	ladder->sides[1 - direction].heard_at = now_ms;
	for (size_t i = ladder->count; i-- > 0 && least > 0;) {
		struct lab_ladder_row *row = &ladder->rows[i];

		if (!row->is_datagram || row->direction != direction || row->len != len ||
		    row->arrived == row->delivered || row->arrived == sizeof(row->arrivals) / sizeof(*row->arrivals) ||
		    difference(row, datagram, len) >= least)
			continue;
		least = difference(row, datagram, len);
		found = row;
	}
	if (found == NULL)
		return;
	found->arrivals[found->arrived++] = now_ms;
	found->corrupted |= least > 0;
}

/* ---- what the sides tell ---- */

/* "handshake done: DTLSv1.2, TLS-PSK-WITH-AES-128-CCM-8; round trip 100 ms; flights resent: 0": what is not always the
 * same, and not in the diagram anyway. */
static void tell_connected(struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const char *event)
{
	const char *comma = strchr(event, ','), *suite = comma != NULL ? comma + 2 : event;
	const char *resent = strstr(suite, "; flights resent");

	add_row(ladder, now_ms, direction, "connected: %.*s", (int)(resent != NULL ? resent - suite : INT_MAX), suite);
}

void lab_ladder_told(struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const char *event)
{
	static const char *const datagrams[] = {"sent ", "resent ", "received flight "};

	for (size_t i = 0; i < sizeof(datagrams) / sizeof(*datagrams); i++)
		if (strncmp(event, datagrams[i], strlen(datagrams[i])) == 0)
			return;
	if (strncmp(event, "handshake done", 14) == 0)
		tell_connected(ladder, now_ms, direction, event);
	else
		add_row(ladder, now_ms, direction, "%s", event);
}

void lab_ladder_timer(struct lab_ladder *ladder, int64_t now_ms, enum direction direction, int due_ms)
{
	struct lab_ladder_side *side = &ladder->sides[direction];

	side->is_armed = due_ms >= 0;
	side->due_at = now_ms + due_ms;
	if (due_ms > 0)
		add_row(ladder, now_ms, direction, "timer %d ms", due_ms);
}

void lab_ladder_failed(struct lab_ladder *ladder, int64_t now_ms, enum direction direction, const char *sentence)
{
	add_row(ladder, now_ms, direction, "%s", sentence);
}

/* ---- drawing ---- */

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

	fprintf(
	    out, "c1: the client's first datagram; (0): a message's number; %s: lost; times in ms;\n", d.glyphs[LOST]);
	fputs("a rung stands where its datagram was sent: what is below may have happened before it arrived\n\n", out);
	fprintf(out, "%*s%*s\n", TIME + 4, "client", INSIDE + 1, "server");
	for (size_t i = 0; i < ladder->count; i++) {
		if (ladder->rows[i].is_datagram)
			draw_datagram(&d, &ladder->rows[i]);
		else
			draw_event(&d, &ladder->rows[i]);
	}
}
