#include "story.h"

#include <stdio.h>
#include <string.h>

enum { HEADER = 5, PREFIX = 4 /* of a message: type and length */, LINE = 200 };

struct line {
	char text[LINE];
	size_t len;
};

static void add(struct line *line, const char *what)
{
	int n = snprintf(line->text + line->len, LINE - line->len, "%s%s", line->len == 0 ? "" : ", ", what);

	line->len += (size_t)n < LINE - line->len ? (size_t)n : 0;
}

/* A message may begin in one record and end in another: rest is what the next one begins with. */
static void add_messages(struct line *line, const uint8_t *at, size_t left, size_t *rest)
{
	size_t skipped = left < *rest ? left : *rest;

	at += skipped;
	left -= skipped;
	*rest -= skipped;
	while (left >= PREFIX) {
		size_t len = PREFIX + ((size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3]);

		add(line, handshake_name(at[0]));
		*rest = len > left ? len - left : 0;
		len -= *rest;
		at += len;
		left -= len;
	}
}

static void tell(struct story *story, const char *verb, struct story_lane *lane, const uint8_t *record, size_t len)
{
	const uint8_t *body = record + HEADER;
	struct line line = {.text = ""};
	uint8_t type = record[0];
	char alert[40];

	if (story->opt->trace == NULL || len < HEADER)
		return;
	if (type == RECORD_HANDSHAKE && !lane->encrypted) {
		add_messages(&line, body, len - HEADER, &lane->rest);
	} else if (type == RECORD_HANDSHAKE) {
		add(&line, "Finished (encrypted)");
	} else if (type == RECORD_CHANGE_CIPHER_SPEC) {
		add(&line, "ChangeCipherSpec");
		lane->encrypted = true;
	} else if (type == RECORD_ALERT && len == HEADER + 2) {
		snprintf(alert, sizeof(alert), "alert %u %s", body[1], alert_name(body[1]));
		add(&line, alert);
	} else {
		add(&line, type == RECORD_ALERT ? "an alert (encrypted)" : "an encrypted record");
	}
	if (line.len != 0)
		story_tell(story, "%s %s, %zu bytes", verb, line.text, len);
}

void story_stream_sent(struct story *story, const uint8_t *record, size_t len)
{
	tell(story, "sent", &story->out, record, len);
}

void story_stream_received(struct story *story, const uint8_t *record, size_t len)
{
	tell(story, "received", &story->in, record, len);
}
