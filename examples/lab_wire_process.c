#include "lab_wire_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_STARTED = 127 };

static void become(const char *const *argv, int in_fd, int errors_fd, pid_t lab)
{
	int out_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	sigset_t none;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != lab)
		_exit(NOT_STARTED);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(errors_fd, STDERR_FILENO) >= 0 && dup2(in_fd, STDIN_FILENO) >= 0 && dup2(out_fd, STDOUT_FILENO) >= 0) {
		execv(argv[0], (char *const *)(uintptr_t)argv);
		fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	}
	_exit(NOT_STARTED);
}

bool wire_process_start(struct wire_process *p, const char *const *argv, int in_fd)
{
	pid_t lab = getpid();
	int errors[2];

	if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) != 0)
		return false;
	fcntl(errors[1], F_SETFL, 0); /* the program's end blocks, as it will expect */
	p->lines = (struct cli_lines){.line = 1};
	p->last[0] = '\0';
	p->pid = fork();
	if (p->pid == 0)
		become(argv, in_fd, errors[1], lab);
	close(errors[1]);
	p->errors_fd = errors[0];
	if (p->pid > 0)
		setpgid(p->pid, p->pid); /* here as well: it may not have come to it when it is to be killed */
	else
		wire_process_end(p);
	return p->pid > 0;
}

static void close_errors(struct wire_process *p)
{
	if (p->errors_fd >= 0)
		close(p->errors_fd);
	p->errors_fd = -1;
}

/* False: nothing came. */
static bool read_errors(struct wire_process *p)
{
	size_t had = p->lines.end - p->lines.start;

	if (p->errors_fd < 0)
		return false;
	cli_lines_read(&p->lines, p->errors_fd);
	if (p->lines.at_end)
		close_errors(p);
	return p->lines.at_end || p->lines.end - p->lines.start > had;
}

const char *wire_process_line(struct wire_process *p)
{
	size_t len;

	do {
		while (!cli_lines_find(&p->lines))
			if (!read_errors(p))
				return NULL;
		len = p->lines.len < WIRE_LINE ? p->lines.len : WIRE_LINE - 1;
		if (len > 0)
			memcpy(p->last, p->lines.bytes + p->lines.start, len);
		cli_lines_drop(&p->lines);
	} while (len == 0);
	p->last[len] = '\0';
	return p->last;
}

/* Its number stays taken: no other process can get it before this one is waited for. */
bool wire_process_has_ended(const struct wire_process *p)
{
	siginfo_t info = {.si_pid = 0};

	return p->pid > 0 && waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

void wire_process_end(struct wire_process *p)
{
	if (p->pid > 0) {
		kill(-p->pid, SIGKILL);
		while (waitpid(-p->pid, NULL, 0) > 0)
			continue;
	}
	p->pid = 0;
	close_errors(p);
}
