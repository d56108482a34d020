/* file.h - reading a whole file of credentials: judged before it replaces anything, wiped when done. */
#ifndef FILE_H
#define FILE_H

#include <stddef.h>
#include <stdint.h>

struct file {
	uint8_t *bytes; /* a NUL stands behind them */
	size_t len, size;
};

/* Regular files and pipes of at most max bytes. 0, or DTLS_FAIL with "cannot read PATH: clause" in why. file_free() is
 * due in both cases. */
int file_read(const char *path, size_t max, struct file *, char *why, size_t why_len);
void file_free(struct file *);

#endif
