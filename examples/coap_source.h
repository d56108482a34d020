/* coap_source.h - where a sensor's readings come from: the lines of standard input, or made up at intervals. */
#ifndef COAP_SOURCE_H
#define COAP_SOURCE_H

#include "cli.h"

struct source { /* all zero at first but for the first two, and for lines */
	int64_t interval_ms; /* 0: lines of the input */
	uint64_t count; /* of made up readings; 0: without end */
	struct cli_lines lines;
	bool has_skipped; /* a line that is no reading */
};

/* The first or next line that is a reading. NULL: there is none now. It stays until source_drop(). */
const char *source_line(struct source *s, size_t *len);
void source_drop(struct source *s);
/* The input is readable. */
void source_read(struct source *s);
/* All lines are taken. */
bool source_is_at_end(struct source *s);
/* The nth made up reading, from 1 on; returns its length. */
enum { SOURCE_TEXT = 64 };
size_t source_make(uint64_t nth, char text[SOURCE_TEXT]);

#endif
