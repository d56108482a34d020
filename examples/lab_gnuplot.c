#include "lab_gnuplot.h"

#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_STARTED = 127, WHY_MAX = 256 };

const unsigned lab_series_colours[LAB_SERIES] = {
    0xd55e00, 0x0072b2, 0x009e73, 0xcc79a7, 0xe69f00, 0x56b4e9, 0x7f7f7f, 0x000000};

static bool ends_in(const char *path, const char *ending)
{
	size_t len = strlen(path), ending_len = strlen(ending);

	return len > ending_len && strcasecmp(path + len - ending_len, ending) == 0;
}

static bool is_there(void)
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
	char read[WHY_MAX];

	rewind(errors);
	while (fgets(read, sizeof(read), errors) != NULL) {
		read[strcspn(read, "\n")] = '\0';
		if (read[strspn(read, " \t^")] != '\0')
			snprintf(line, size, "%s", read + strspn(read, " \t"));
	}
}

/* What it draws goes to out, an empty file. False: why says what was wrong. */
static bool run(FILE *script, FILE *out, char why[WHY_MAX])
{
	FILE *errors = tmpfile();
	int status = -1;
	pid_t pid = -1;
	struct stat drawn;

	snprintf(why, WHY_MAX, "it cannot be started");
	if (errors != NULL && fflush(script) == 0 && fflush(out) == 0 && (pid = fork()) == 0)
		become_gnuplot(fileno(script), fileno(out), fileno(errors));
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		snprintf(why, WHY_MAX, "it was ended by signal %d", WTERMSIG(status));
	if (pid > 0 && status == 0 && (fstat(fileno(out), &drawn) != 0 || drawn.st_size == 0)) {
		snprintf(why, WHY_MAX, "it has drawn nothing");
		status = -1;
	}
	if (errors != NULL) {
		last_line(errors, why, WHY_MAX);
		fclose(errors);
	}
	return pid > 0 && status == 0;
}

static void copy(FILE *picture, FILE *out)
{
	char bytes[4096];
	size_t len;

	rewind(picture);
	while ((len = fread(bytes, 1, sizeof(bytes), picture)) > 0)
		fwrite(bytes, 1, len, out);
}

/* ---- for the lab ---- */

void lab_gnuplot_check(const char *option, const char *path)
{
	if (!ends_in(path, ".svg") && !ends_in(path, ".png"))
		cli_usage("%s takes a file that ends in .svg or .png, not \"%s\"", option, path);
	if (!is_there())
		cli_usage("%s needs the program gnuplot, which is not installed (Debian: gnuplot-nox)", option);
}

void lab_gnuplot_begin(FILE *script, bool is_svg, int width, int height)
{
	fprintf(script, "set terminal %s size %d,%d noenhanced font 'sans-serif,%s' background rgb 'white'\n",
	    is_svg ? "svg" : "pngcairo", width, height, is_svg ? "13" : "10");
	fputs("set encoding utf8\nset grid lc rgb 0xdddddd lw 1 lt 1\nset border 3 lc rgb 0x888888\nset tics nomirror "
	      "out textcolor rgb 0x333333\n",
	    script);
}

/* In single quotes nothing is special but these. */
void lab_gnuplot_quote(FILE *script, const char *text)
{
	fputc('\'', script);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			fputc('\'', script);
		fputc((unsigned char)*text < ' ' ? ' ' : *text, script);
	}
	fputc('\'', script);
}

void lab_gnuplot_line(FILE *script, const char *text, double from_top, double font, const char *colour)
{
	fputs("set label ", script);
	lab_gnuplot_quote(script, text);
	fprintf(script, " at screen 0.5, screen %g center font ',%g' textcolor rgb 0x%s\n", 1 - from_top, font, colour);
}

bool lab_gnuplot_draw(struct lab_file *file, lab_script *write, const void *arg)
{
	FILE *script = tmpfile(),
	     *picture = tmpfile(); /* gnuplot would not tell that the disk is full, and it may fail */
	char why[WHY_MAX];
	bool drawn;

	if (script == NULL || picture == NULL)
		cli_fail("cannot make a temporary file: %s", strerror(errno));
	write(script, ends_in(file->path, ".svg"), arg);
	drawn = run(script, picture, why);
	if (!drawn)
		fprintf(stderr, "%s: gnuplot cannot draw \"%s\": %s\n", program_invocation_short_name, file->path, why);
	else if ((drawn = lab_file_begin(file)))
		copy(picture, file->stream);
	fclose(script);
	fclose(picture);
	return (file->stream == NULL || lab_file_end(file)) && drawn;
}
