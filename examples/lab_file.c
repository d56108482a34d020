#include "lab_file.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void lab_file_refuse_same(const char *option, int fd, const char *other, int other_fd)
{
	struct stat a, b;

	if (fstat(fd, &a) == 0 && fstat(other_fd, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		cli_usage("%s and %s cannot both write to one file", option, other);
}

void lab_file_open(struct lab_file *file, const char *option, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	file->path = path;
	file->stream = fd < 0 ? NULL : fdopen(fd, "w");
	if (file->stream == NULL)
		cli_usage("%s: cannot write to \"%s\": %s", option, path, strerror(errno));
	lab_file_refuse_same(option, fd, "standard output", STDOUT_FILENO);
}

void lab_file_begin(struct lab_file *file)
{
	if (ftruncate(fileno(file->stream), 0) != 0)
		return; /* a pipe, or a device */
}

bool lab_file_end(struct lab_file *file)
{
	bool failed = ferror(file->stream) != 0;

	failed |= fclose(file->stream) != 0;
	file->stream = NULL;
	if (failed)
		fprintf(stderr, "%s: cannot write to \"%s\": %s\n", program_invocation_short_name, file->path,
		    strerror(errno));
	return !failed;
}
