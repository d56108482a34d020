#include "lab_report.h"

#include "cli.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void *lab_must(void *memory)
{
	if (memory == NULL)
		cli_fail("out of memory");
	return memory;
}

struct lab_report *lab_report_new(const struct lab_column *columns, size_t count)
{
	struct lab_report *r = lab_must(calloc(1, sizeof(*r)));

	r->columns = columns;
	r->column_count = count;
	return r;
}

void lab_report_free(struct lab_report *r)
{
	for (size_t i = 0; i < r->value_count; i++)
		free(r->values[i].text);
	for (size_t i = 0; i < r->setting_count; i++)
		free(r->settings[i].value.text);
	free(r->values);
	free(r->settings);
	free(r);
}

/* ---- values ---- */

static struct lab_value value_of_text(const char *text)
{
	return (struct lab_value){lab_must(strdup(text)), true};
}

static struct lab_value value_of_number(double number, int decimals)
{
	char text[350]; /* the largest double has 309 digits */

	if (decimals < 0)
		snprintf(text, sizeof(text), "%.15g", number);
	else
		snprintf(text, sizeof(text), "%.*f", decimals, number);
	return (struct lab_value){lab_must(strdup(text)), false};
}

static void add(struct lab_report *r, struct lab_value value)
{
	r->values = lab_must(reallocarray(r->values, r->value_count + 1, sizeof(*r->values)));
	r->values[r->value_count++] = value;
}

void lab_report_text(struct lab_report *r, const char *text)
{
	add(r, value_of_text(text));
}

void lab_report_number(struct lab_report *r, double number, int decimals)
{
	add(r, value_of_number(number, decimals));
}

void lab_report_none(struct lab_report *r)
{
	add(r, (struct lab_value){NULL, false});
}

static void add_setting(struct lab_report *r, const char *name, struct lab_value value)
{
	r->settings = lab_must(reallocarray(r->settings, r->setting_count + 1, sizeof(*r->settings)));
	r->settings[r->setting_count++] = (struct lab_setting){name, value};
}

void lab_report_setting_text(struct lab_report *r, const char *name, const char *text)
{
	add_setting(r, name, value_of_text(text));
}

void lab_report_setting_number(struct lab_report *r, const char *name, double number)
{
	add_setting(r, name, value_of_number(number, -1));
}

void lab_report_weather(struct lab_report *r, const struct sim_weather *weather)
{
	lab_report_setting_number(r, "delay_ms", (double)weather->latency_ms);
	lab_report_setting_number(r, "jitter_ms", (double)weather->jitter_ms);
	lab_report_setting_number(r, "duplicate", weather->duplicate);
	lab_report_setting_number(r, "reorder", weather->reorder);
	lab_report_setting_number(r, "corrupt", weather->corrupt);
	lab_report_setting_number(r, "rate_bytes_per_second", (double)weather->bytes_per_second);
	lab_report_setting_number(r, "path_mtu", (double)weather->mtu);
}

void lab_report_seed(struct lab_report *r, uint64_t seed)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, seed);
	lab_report_setting_text(r, "seed", text); /* a number of more than 53 bits would not be read as it is */
}

void lab_describe_weather(const struct sim_weather *weather, FILE *out)
{
	const struct {
		const char *name;
		double value;
	} chances[] = {
	    {"duplicated", weather->duplicate}, {"held back", weather->reorder}, {"corrupted", weather->corrupt}};

	fprintf(out, "%" PRId64, weather->latency_ms);
	if (weather->jitter_ms > 0)
		fprintf(out, " to %" PRId64, weather->latency_ms + weather->jitter_ms);
	fputs(" ms each way", out);
	for (size_t i = 0; i < sizeof(chances) / sizeof(*chances); i++)
		if (chances[i].value > 0)
			fprintf(out, ", %g %% %s", 100 * chances[i].value, chances[i].name);
	if (weather->bytes_per_second > 0)
		fprintf(out, ", %" PRId64 " bytes/s", weather->bytes_per_second);
	if (weather->mtu > 0)
		fprintf(out, ", path MTU %zu", weather->mtu);
}

static const struct lab_value *value_at(const struct lab_report *r, size_t row, size_t column)
{
	return &r->values[row * r->column_count + column];
}

static size_t rows(const struct lab_report *r)
{
	return r->column_count == 0 ? 0 : r->value_count / r->column_count;
}

/* ---- the table ---- */

static const char *shown(const struct lab_value *value)
{
	return value->text == NULL ? "-" : value->text;
}

static size_t width(const struct lab_report *r, size_t column)
{
	size_t widest = strlen(r->columns[column].title);

	for (size_t row = 0; row < rows(r); row++) {
		size_t len = strlen(shown(value_at(r, row, column)));

		widest = len > widest ? len : widest;
	}
	return widest;
}

/* Pads before what follows, so that no line ends in blanks. */
static void print_groups(const struct lab_report *r, FILE *out)
{
	size_t at = 0, printed = 0;

	for (size_t c = 0; c < r->column_count; c++) {
		const struct lab_column *column = &r->columns[c];

		if (column->title == NULL)
			continue;
		if (column->group != NULL) {
			fprintf(out, "%*s%s", (int)(at - printed), "", column->group);
			printed = at + strlen(column->group);
		}
		at += width(r, c) + 2;
	}
	if (printed > 0)
		fputc('\n', out);
}

static void print_cell(const struct lab_report *r, size_t column, const char *text, size_t *pending, FILE *out)
{
	size_t blanks = width(r, column) - strlen(text);
	bool left = r->columns[column].is_text;

	fprintf(out, "%*s%s", (int)(*pending + (left ? 0 : blanks)), "", text);
	*pending = 2 + (left ? blanks : 0);
}

static void print_line(const struct lab_report *r, bool titles, size_t row, FILE *out)
{
	size_t pending = 0;

	for (size_t c = 0; c < r->column_count; c++)
		if (r->columns[c].title != NULL)
			print_cell(r, c, titles ? r->columns[c].title : shown(value_at(r, row, c)), &pending, out);
	fputc('\n', out);
}

void lab_report_print(const struct lab_report *r, FILE *out)
{
	print_groups(r, out);
	print_line(r, true, 0, out);
	for (size_t row = 0; row < rows(r); row++)
		print_line(r, false, row, out);
}

/* ---- CSV (RFC 4180, but for the ends of lines) ---- */

static void csv_field(const char *text, FILE *out)
{
	bool quoted = text[strcspn(text, ",\"\r\n")] != '\0';

	if (quoted)
		fputc('"', out);
	for (; *text != '\0'; text++) {
		if (*text == '"')
			fputc('"', out);
		fputc(*text, out);
	}
	if (quoted)
		fputc('"', out);
}

void lab_report_csv(const struct lab_report *r, FILE *out)
{
	for (size_t c = 0; c < r->column_count; c++)
		fprintf(out, "%s%s", c == 0 ? "" : ",", r->columns[c].name);
	fputc('\n', out);
	for (size_t row = 0; row < rows(r); row++) {
		for (size_t c = 0; c < r->column_count; c++) {
			const struct lab_value *value = value_at(r, row, c);

			fputs(c == 0 ? "" : ",", out);
			if (value->text != NULL)
				csv_field(value->text, out);
		}
		fputc('\n', out);
	}
}

/* ---- JSON (RFC 8259) ---- */

static void json_text(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			fprintf(out, "\\%c", byte);
		else if (byte < ' ')
			fprintf(out, "\\u%04x", byte);
		else
			fputc(byte, out);
	}
	fputc('"', out);
}

static void json_member(const char *name, const struct lab_value *value, FILE *out)
{
	json_text(name, out);
	fputs(": ", out);
	if (value->text == NULL)
		fputs("null", out);
	else if (value->is_text)
		json_text(value->text, out);
	else
		fputs(value->text, out);
}

void lab_report_json(const struct lab_report *r, FILE *out)
{
	fputs("{\n\t\"settings\": {", out);
	for (size_t i = 0; i < r->setting_count; i++) {
		fputs(i == 0 ? "" : ", ", out);
		json_member(r->settings[i].name, &r->settings[i].value, out);
	}
	fputs("},\n\t\"cells\": [", out);
	for (size_t row = 0; row < rows(r); row++) {
		fputs(row == 0 ? "\n\t\t{" : ",\n\t\t{", out);
		for (size_t c = 0; c < r->column_count; c++) {
			fputs(c == 0 ? "" : ", ", out);
			json_member(r->columns[c].name, value_at(r, row, c), out);
		}
		fputc('}', out);
	}
	fputs("\n\t]\n}\n", out);
}
