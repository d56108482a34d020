/* cli_file.h - a small file as a whole, wiped when it is freed. */
#ifndef CLI_FILE_H
#define CLI_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct cli_file {
	char *bytes; /* followed by a NUL */
	size_t len;
};

/* False: errno says why. */
bool cli_file_read(const char *path, struct cli_file *file);
void cli_file_free(struct cli_file *file);

#endif
