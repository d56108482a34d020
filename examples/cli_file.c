#include "cli_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 4 << 20 };

/* All that there is, or -1. */
static ssize_t read_all(int fd, char *bytes, size_t room)
{
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, bytes + len, room - len);

		if (n == 0)
			return (ssize_t)len;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		len += (size_t)n;
		if (len == room) {
			errno = EFBIG;
			return -1;
		}
	}
}

bool cli_file_read(const char *path, struct cli_file *file)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error;
	ssize_t n;

	*file = (struct cli_file){0};
	if (fd < 0)
		return false;
	file->bytes = calloc(1, FILE_MAX);
	n = file->bytes != NULL ? read_all(fd, file->bytes, FILE_MAX) : -1;
	error = errno;
	close(fd);
	file->len = n < 0 ? FILE_MAX : (size_t)n;
	if (n >= 0)
		return true;
	cli_file_free(file);
	errno = error;
	return false;
}

void cli_file_free(struct cli_file *file)
{
	if (file->bytes != NULL)
		explicit_bzero(file->bytes, file->len);
	free(file->bytes);
	*file = (struct cli_file){0};
}
