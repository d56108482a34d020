#include "coap_journal.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { FIELDS = 7, TIME_TEXT = 32 };

/* ---- lines ---- */

/* also: one more byte that is to be escaped, at the start only if at_start. */
static void put_field(FILE *out, const void *bytes, size_t len, bool is_last)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < len; i++) {
		if (byte[i] > ' ' && byte[i] <= '~' && byte[i] != '\\' && (byte[i] != '@' || i > 0 || is_last))
			putc(byte[i], out);
		else if (byte[i] == ' ' && is_last)
			putc(' ', out);
		else
			fprintf(out, "\\x%02x", byte[i]);
	}
}

bool journal_format(FILE *out, const struct sensor_reading *reading, time_t now)
{
	char when[TIME_TEXT];
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	fprintf(out, "%s ", when);
	if (reading->name != NULL)
		put_field(out, reading->name, reading->name_len, false);
	else
		fprintf(out, "@%s", reading->address);
	putc(' ', out);
	put_field(out, reading->path, strlen(reading->path), false);
	fprintf(out, " %s %" PRIu64 " ", reading->run[0] != '\0' ? reading->run : "-", reading->number);
	if (reading->is_deletion)
		fprintf(out, "- ");
	else
		fprintf(out, "%u ", reading->format);
	if (!reading->is_deletion)
		put_field(out, reading->text, reading->len, true);
	return ferror(out) == 0;
}

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef", *found = c != '\0' ? strchr(digits, c) : NULL;

	return found != NULL ? (int)(found - digits) : -1;
}

/* In place. -1: a backslash begins something else than \xHH. */
static ssize_t unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0'; from++) {
		int high, low;

		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		high = from[1] == 'x' ? hex_digit(from[2]) : -1;
		low = high >= 0 ? hex_digit(from[3]) : -1;
		if (low < 0)
			return -1;
		*to++ = (char)(high << 4 | low);
		from += 3;
	}
	*to = '\0';
	return to - text;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *number <= max;
}

static bool parse_name(char *field, struct sensor_reading *reading)
{
	ssize_t len;

	if (field[0] == '@') {
		reading->address = field + 1;
		return true;
	}
	len = unescape(field);
	reading->name = (const uint8_t *)field;
	reading->name_len = (size_t)len;
	return len > 0 && len <= SENSORS_NAME_MAX;
}

static bool parse_text(char *format, char *text, struct sensor_reading *reading)
{
	ssize_t len = unescape(text);
	uint64_t number = 0;

	reading->is_deletion = strcmp(format, "-") == 0;
	if (len < 0 || (!reading->is_deletion && !parse_number(format, UINT16_MAX, &number)))
		return false;
	reading->format = (uint16_t)number;
	reading->text = (const uint8_t *)text;
	reading->len = (size_t)len;
	return true;
}

bool journal_parse(char *line, struct sensor_reading *reading)
{
	char *field[FIELDS];
	ssize_t path_len;

	*reading = (struct sensor_reading){.run = ""};
	for (size_t i = 0; i < FIELDS; i++) {
		field[i] = line;
		line = i + 1 < FIELDS ? strchr(line, ' ') : NULL;
		if (i + 1 < FIELDS && line == NULL)
			return false;
		if (line != NULL)
			*line++ = '\0';
	}
	path_len = unescape(field[2]);
	reading->path = field[2];
	if (strcmp(field[3], "-") != 0)
		reading->run = field[3];
	return parse_name(field[1], reading) && path_len > 0 && path_len <= SENSORS_PATH_MAX &&
	       (size_t)path_len == strlen(field[2]) && strlen(reading->run) <= SENSORS_RUN_MAX &&
	       parse_number(field[4], UINT64_MAX, &reading->number) && parse_text(field[5], field[6], reading);
}

/* ---- the file ---- */

static void read_lines(struct journal *j, FILE *in, bool (*take)(void *arg, const struct sensor_reading *), void *arg)
{
	struct sensor_reading reading;
	unsigned long number = 0;
	ssize_t len;

	while ((len = getline(&j->line, &j->line_size, in)) > 0 && j->line[len - 1] == '\n') {
		number++;
		j->line[len - 1] = '\0';
		j->end += len;
		if (strlen(j->line) != (size_t)len - 1 || !journal_parse(j->line, &reading))
			cli_usage("%s:%lu is no line of a journal of readings", j->path, number);
		if (!take(arg, &reading))
			cli_usage("%s:%lu has one sensor more than --max-sensors allows", j->path, number);
	}
	if (ferror(in))
		cli_usage("cannot read %s: %s", j->path, strerror(errno));
}

void journal_open(
    struct journal *j, const char *path, bool (*take)(void *arg, const struct sensor_reading *), void *arg)
{
	FILE *in;

	*j = (struct journal){.path = path, .fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
	if (j->fd < 0)
		cli_usage("cannot open %s: %s", path, strerror(errno));
	if (flock(j->fd, LOCK_EX | LOCK_NB) != 0)
		cli_usage("%s %s", path, errno == EWOULDBLOCK ? "is in use by another server" : strerror(errno));
	in = fopen(path, "re");
	if (in == NULL)
		cli_usage("cannot read %s: %s", path, strerror(errno));
	read_lines(j, in, take, arg);
	fclose(in);
	if (ftruncate(j->fd, j->end) != 0)
		cli_usage("cannot write %s: %s", path, strerror(errno));
}

static bool make_line(struct journal *j, const struct sensor_reading *reading, time_t now, size_t *len)
{
	FILE *out;
	bool done;

	free(j->line);
	j->line = NULL;
	out = open_memstream(&j->line, &j->line_size);
	if (out == NULL)
		return false;
	done = journal_format(out, reading, now);
	putc('\n', out);
	done &= fclose(out) == 0;
	*len = j->line_size;
	return done;
}

bool journal_write(struct journal *j, const struct sensor_reading *reading, time_t now)
{
	size_t len = 0;
	ssize_t n;

	if (!make_line(j, reading, now, &len))
		return false;
	n = write(j->fd, j->line, len);
	if (n == (ssize_t)len) {
		j->end += n;
		return true;
	}
	if (n >= 0)
		errno = ENOSPC; /* a part of it was written */
	if (n > 0 && ftruncate(j->fd, j->end) != 0)
		cli_fail("%s ends in a part of a line: %s", j->path, strerror(errno));
	return false;
}

void journal_close(struct journal *j)
{
	free(j->line);
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
}
