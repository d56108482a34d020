/* lab_file.h - a file for results, opened before they are computed: what cannot be written is known at the start. */
#ifndef LAB_FILE_H
#define LAB_FILE_H

#include <stdbool.h>
#include <stdio.h>

struct lab_file { /* all zero: there is none */
	const char *path;
	FILE *stream;
};

/* Ends the program with a sentence about option. What is in the file stays until the results replace it. */
void lab_file_open(struct lab_file *file, const char *option, const char *path);
/* Ends the program where both are the same regular file, which may have two names. */
void lab_file_refuse_same(const char *option, int fd, const char *other, int other_fd);
/* Empties it, to be written through stream. */
void lab_file_begin(struct lab_file *file);
/* Closes it. False: not all could be written, which is said. */
bool lab_file_end(struct lab_file *file);

#endif
