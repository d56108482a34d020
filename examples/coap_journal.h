/* coap_journal.h - coap-server's file of readings, a line for each: what a server that starts anew must know, so that it
 * takes no reading twice. TIME NAME PATH RUN NUMBER FORMAT TEXT, with single spaces between; bytes that would be mistaken
 * are written as \xHH. A name that begins with '@' is the address of somebody without a name; RUN is "-" and NUMBER 0
 * where the reading had none; FORMAT is "-" where the sensor was deleted. */
#ifndef COAP_JOURNAL_H
#define COAP_JOURNAL_H

#include "coap_sensors.h"

#include <stdio.h>
#include <sys/types.h>

struct journal {
	const char *path;
	int fd;
	off_t end; /* of the last whole line */
	char *line; /* the one that is being written */
	size_t line_size;
};

/* Opens the file, makes it where there is none, and locks it; take() gets every line's reading. A last line without '\n'
 * was not written to its end: it is cut off. What is wrong ends the program with a sentence. */
void journal_open(
    struct journal *j, const char *path, bool (*take)(void *arg, const struct sensor_reading *), void *arg);
/* The line has reached the kernel: it outlives this process. False: errno says why, and nothing of it is in the file. */
bool journal_write(struct journal *j, const struct sensor_reading *reading, time_t now);
void journal_close(struct journal *j);

/* One line, without '\n', as the file has it; and back, in place: the reading points into line. False: it has another
 * form. */
bool journal_format(FILE *out, const struct sensor_reading *reading, time_t now);
bool journal_parse(char *line, struct sensor_reading *reading);

#endif
