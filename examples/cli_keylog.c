#include "cli_keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int cli_keylog_file(const char *option, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0)
		cli_usage("%s: cannot write %s: %s", option, path, strerror(errno));
	return fd;
}

/* One call of the kernel for a line, so that lines of several programs do not mix. */
bool cli_keylog_write(int fd, const char *line)
{
	struct iovec parts[] = {{(char *)(uintptr_t)line, strlen(line)}, {(char[]){'\n'}, 1}};
	ssize_t n = writev(fd, parts, 2);

	if (n < 0)
		fprintf(
		    stderr, "%s: the key log was not written: %s\n", program_invocation_short_name, strerror(errno));
	return n >= 0;
}

static void write_line(void *arg, const char *line)
{
	const struct cli_dtls *o = arg;

	(void)cli_keylog_write(o->keylog_fd, line);
}

void cli_keylog_open(struct cli_dtls *o)
{
	const char *path = cli_dtls_value(o, CLI_KEYLOG, 0), *name = "--keylog";

	if (path == NULL) {
		path = getenv("SSLKEYLOGFILE");
		name = "SSLKEYLOGFILE";
	}
	if (path == NULL || path[0] == '\0')
		return;
	o->keylog_fd = cli_keylog_file(name, path);
	dtls_context_set_keylog(o->ctx, write_line, o);
}
