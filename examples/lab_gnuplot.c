#include "lab_gnuplot.h"

#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_STARTED = 127 };

bool lab_gnuplot_is_there(void)
{
	const char *path = getenv("PATH");
	char *folders = strdup(path != NULL ? path : "/usr/bin:/bin"), *rest = folders, *folder, file[4096];
	bool found = false;

	while (!found && rest != NULL && (folder = strsep(&rest, ":")) != NULL) {
		snprintf(file, sizeof(file), "%s/gnuplot", *folder == '\0' ? "." : folder);
		found = access(file, X_OK) == 0;
	}
	free(folders);
	return found;
}

static void become_gnuplot(int in, int out, int errors)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (lseek(in, 0, SEEK_SET) == 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
	    dup2(errors, STDERR_FILENO) >= 0)
		execlp("gnuplot", "gnuplot", "--default-settings", (char *)NULL);
	_exit(NOT_STARTED);
}

/* The last line that says something. */
static void last_line(FILE *errors, char *line, size_t size)
{
	char read[LAB_GNUPLOT_WHY];

	rewind(errors);
	while (fgets(read, sizeof(read), errors) != NULL) {
		read[strcspn(read, "\n")] = '\0';
		if (read[strspn(read, " \t^")] != '\0')
			snprintf(line, size, "%s", read + strspn(read, " \t"));
	}
}

bool lab_gnuplot_run(FILE *script, FILE *out, char why[LAB_GNUPLOT_WHY])
{
	FILE *errors = tmpfile();
	int status = -1;
	pid_t pid = -1;

	struct stat drawn;

	snprintf(why, LAB_GNUPLOT_WHY, "it cannot be started");
	if (errors != NULL && fflush(script) == 0 && fflush(out) == 0 && (pid = fork()) == 0)
		become_gnuplot(fileno(script), fileno(out), fileno(errors));
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		snprintf(why, LAB_GNUPLOT_WHY, "it was ended by signal %d", WTERMSIG(status));
	if (pid > 0 && status == 0 && (fstat(fileno(out), &drawn) != 0 || drawn.st_size == 0)) {
		snprintf(why, LAB_GNUPLOT_WHY, "it has drawn nothing");
		status = -1;
	}
	if (errors != NULL) {
		last_line(errors, why, LAB_GNUPLOT_WHY);
		fclose(errors);
	}
	return pid > 0 && status == 0;
}
