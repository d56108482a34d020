/* The processes of dtls-load, from the first handshake to the last close_notify. */
#include "lab_workers.h"
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS = 100, CLOSING_MS = 10000 };

struct crew {
	struct load_run *run;
	pid_t pids[LOAD_PROCESSES_MAX]; /* 0: it has ended */
	unsigned alive;
	int stop_fd; /* closed: the processes end */
};

int64_t load_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- processes ---- */

static void start(struct crew *crew, unsigned first, int stop_fd)
{
	struct load_run *run = crew->run;
	pid_t pid = fork();

	if (pid < 0)
		cli_fail("cannot start a process: %s", strerror(errno));
	if (pid == 0) {
		close(crew->stop_fd);
		load_work(run->o, &run->tallies[first], first, run->started_ns, stop_fd);
	}
	crew->pids[first] = pid;
	crew->alive++;
}

static void kill_all(struct crew *crew)
{
	for (int i = 0; i < LOAD_PROCESSES_MAX; i++)
		if (crew->pids[i] > 0)
			kill(crew->pids[i], SIGKILL);
}

/* One that failed has said why. */
static void judge(struct crew *crew, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
		return;
	kill_all(crew);
	if (WIFEXITED(status))
		exit(WEXITSTATUS(status));
	cli_fail("a process was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
}

static void reap(struct crew *crew)
{
	for (int i = 0; i < LOAD_PROCESSES_MAX; i++) {
		int status;

		if (crew->pids[i] == 0 || waitpid(crew->pids[i], &status, WNOHANG) != crew->pids[i])
			continue;
		crew->pids[i] = 0;
		crew->alive--;
		judge(crew, status);
	}
}

/* ---- the time in between ---- */

static bool is_over(const struct load_run *run)
{
	int64_t ms = (load_now_ns() - run->started_ns) / 1000000;
	uint64_t settled = 0, over = 0;

	for (unsigned i = 0; i < run->o->processes; i++) {
		settled += run->tallies[i].settled;
		over += run->tallies[i].over;
	}
	if (over == run->o->clients)
		return true;
	return run->o->duration_ms > 0 ? ms >= run->o->duration_ms : settled == run->o->clients;
}

/* Signals are blocked, to be taken here. True: one came that ends the run. */
static bool wait_a_tick(struct crew *crew, const sigset_t *signals)
{
	static const struct timespec tick = {.tv_nsec = TICK_MS * 1000000};
	int number = sigtimedwait(signals, NULL, &tick);

	if (number == SIGCHLD)
		reap(crew);
	return number > 0 && number != SIGCHLD;
}

static void watch(struct crew *crew, const sigset_t *signals, void (*each_second)(void *arg), void *arg)
{
	struct load_run *run = crew->run;
	int64_t next_ns = run->started_ns + 1000000000;

	while (!is_over(run) && !run->interrupted) {
		run->interrupted = wait_a_tick(crew, signals);
		if (load_now_ns() < next_ns || is_over(run))
			continue;
		each_second(arg);
		next_ns += 1000000000;
	}
}

static void end(struct crew *crew, const sigset_t *signals)
{
	int64_t stop_ns = load_now_ns() + ((int64_t)CLOSING_MS + crew->run->o->clients) * 1000000;

	close(crew->stop_fd);
	while (crew->alive > 0 && load_now_ns() < stop_ns)
		wait_a_tick(crew, signals);
	if (crew->alive == 0)
		return;
	kill_all(crew);
	cli_fail("%u processes did not end in time", crew->alive);
}

void load_run(struct load_run *run, void (*each_second)(void *arg), void *arg)
{
	struct crew crew = {.run = run};
	size_t size = run->o->processes * sizeof(*run->tallies);
	sigset_t signals = lab_ending_signals();
	struct rusage usage;
	int fds[2];

	run->tallies = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->tallies == MAP_FAILED || pipe(fds) != 0)
		cli_fail("cannot start: %s", strerror(errno));
	crew.stop_fd = fds[1];
	sigaddset(&signals, SIGCHLD);
	signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody could be waited for */
	sigprocmask(SIG_BLOCK, &signals, NULL);
	fflush(NULL);
	run->started_ns = load_now_ns();
	for (unsigned i = 0; i < run->o->processes; i++)
		start(&crew, i, fds[0]);
	close(fds[0]);
	watch(&crew, &signals, each_second, arg);
	run->stopped_ns = load_now_ns();
	for (unsigned i = 0; i < run->o->processes; i++)
		run->up += run->tallies[i].up;
	end(&crew, &signals);
	getrusage(RUSAGE_CHILDREN, &usage);
	run->cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void load_run_free(struct load_run *run)
{
	munmap(run->tallies, run->o->processes * sizeof(*run->tallies));
}
