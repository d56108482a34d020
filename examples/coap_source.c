#include "coap_source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static void skip_line(struct source *s, const char *why)
{
	fprintf(stderr, "%s: line %" PRIu64 " is no reading: %s\n", program_invocation_short_name, s->lines.line, why);
	s->has_skipped = true;
	cli_lines_drop(&s->lines);
}

const char *source_line(struct source *s, size_t *len)
{
	while (cli_lines_find(&s->lines)) {
		if (!s->lines.is_cut && s->lines.len > 0) {
			*len = s->lines.len;
			return s->lines.bytes + s->lines.start;
		}
		skip_line(s, s->lines.is_cut ? "it is too long" : "it is empty");
	}
	return NULL;
}

void source_drop(struct source *s)
{
	cli_lines_drop(&s->lines);
}

void source_read(struct source *s)
{
	if (!cli_lines_read(&s->lines, STDIN_FILENO))
		cli_fail("cannot read standard input: %s", strerror(errno));
}

bool source_is_at_end(struct source *s)
{
	size_t len;

	return s->lines.at_end && source_line(s, &len) == NULL;
}

size_t source_make(uint64_t nth, char text[SOURCE_TEXT])
{
	return (size_t)snprintf(
	    text, SOURCE_TEXT, "reading %" PRIu64 ": %" PRIu64 ".%" PRIu64, nth, 18 + nth * 7 % 5, nth * 3 % 10);
}
