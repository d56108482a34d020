/* lab_file.h - a file for results, opened before they are computed: what cannot be written is known at the start. */
#ifndef LAB_FILE_H
#define LAB_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

struct lab_file { /* all zero: there is none */
	const char *path;
	FILE *stream; /* NULL: it was put off */
	bool is_new; /* there was none of this name */
	char real_path[PATH_MAX]; /* of a new one that was put off; "": it was not */
};

/* Ends the program with a sentence about option. What is in the file stays until the results replace it. */
void lab_file_open(struct lab_file *file, const char *option, const char *path);
/* Results will take their time, or may never come: until they do, no new file is there. One that was there, a device or a
 * pipe stays open. */
void lab_file_put_off(struct lab_file *file);
/* Ends the program where both are the same regular file, which may have two names. */
void lab_file_refuse_same(const char *option, int fd, const char *other, int other_fd);
/* The same of files that may have been put off. */
void lab_files_refuse_same(
    const char *option, const struct lab_file *file, const char *other, const struct lab_file *other_file);
/* Empties it, to be written through stream. False: that cannot be, which is said. */
bool lab_file_begin(struct lab_file *file);
/* Closes it. False: not all could be written, which is said. */
bool lab_file_end(struct lab_file *file);

#endif
