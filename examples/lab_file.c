#include "lab_file.h"

#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void refuse(const char *option, const char *other)
{
	cli_usage("%s and %s cannot both write to one file", option, other);
}

void lab_file_refuse_same(const char *option, int fd, const char *other, int other_fd)
{
	struct stat a, b;

	if (fstat(fd, &a) == 0 && fstat(other_fd, &b) == 0 && S_ISREG(a.st_mode) && a.st_dev == b.st_dev &&
	    a.st_ino == b.st_ino)
		refuse(option, other);
}

void lab_files_refuse_same(
    const char *option, const struct lab_file *file, const char *other, const struct lab_file *other_file)
{
	if (file->stream != NULL && other_file->stream != NULL)
		lab_file_refuse_same(option, fileno(file->stream), other, fileno(other_file->stream));
	if (file->real_path[0] != '\0' && strcmp(file->real_path, other_file->real_path) == 0)
		refuse(option, other);
}

void lab_file_open(struct lab_file *file, const char *option, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	file->path = path;
	file->is_new = fd >= 0;
	if (fd < 0 && errno == EEXIST)
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666); /* the name may be a link's that leads nowhere */
	file->stream = fd < 0 ? NULL : fdopen(fd, "w");
	if (file->stream == NULL)
		cli_usage("%s: cannot write to \"%s\": %s", option, path, strerror(errno));
	lab_file_refuse_same(option, fd, "standard output", STDOUT_FILENO);
}

void lab_file_put_off(struct lab_file *file)
{
	char real_path[PATH_MAX];

	if (!file->is_new || realpath(file->path, real_path) == NULL)
		return;
	strcpy(file->real_path, real_path);
	fclose(file->stream);
	file->stream = NULL;
	unlink(file->path);
}

static bool complain(const struct lab_file *file)
{
	fprintf(stderr, "%s: cannot write to \"%s\": %s\n", program_invocation_short_name, file->path, strerror(errno));
	return false;
}

bool lab_file_begin(struct lab_file *file)
{
	if (file->stream == NULL)
		file->stream = fopen(file->path, "we");
	else if (ftruncate(fileno(file->stream), 0) != 0)
		return true; /* a pipe, or a device */
	return file->stream != NULL || complain(file);
}

bool lab_file_end(struct lab_file *file)
{
	bool failed = ferror(file->stream) != 0;

	failed |= fclose(file->stream) != 0;
	file->stream = NULL;
	return !failed || complain(file);
}
