#include "lab_workers.h"

#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 64, PROGRESS_MS = 200 };

struct shared { /* in front of the results */
	_Alignas(HEADER) atomic_size_t next; /* the first item that nobody has taken */
};

struct crew {
	const struct lab_workers *workers;
	struct shared *shared;
	pid_t pids[LAB_PROCESSES_MAX]; /* 0: it has ended */
	int count, alive;
	int64_t started_at;
	bool is_watched; /* on a terminal */
	size_t done; /* items; they are taken in their order */
	int signal; /* that has ended the work; 0: none has */
};

static char *results_of(struct shared *shared)
{
	return (char *)shared + sizeof(*shared);
}

static size_t shared_size(const struct lab_workers *workers)
{
	return sizeof(struct shared) + workers->items * workers->result_size;
}

static int processes_for(const struct lab_workers *workers)
{
	cpu_set_t cores;
	int count = workers->processes;

	if (count == 0)
		count = sched_getaffinity(0, sizeof(cores), &cores) == 0 ? CPU_COUNT(&cores) : 1;
	if (count > LAB_PROCESSES_MAX)
		count = LAB_PROCESSES_MAX;
	return workers->items < (size_t)count ? (int)workers->items : count;
}

/* ---- a worker ---- */

static void work(const struct lab_workers *workers, struct shared *shared)
{
	size_t item;

	while ((item = atomic_fetch_add(&shared->next, 1)) < workers->items)
		workers->work(workers->arg, item, results_of(shared) + item * workers->result_size);
	_exit(EXIT_SUCCESS);
}

static bool start(struct crew *crew)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0 && crew->alive == 0)
		cli_fail("cannot start a process: %s", strerror(errno));
	if (pid < 0)
		return false; /* those that there are do all the work */
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(CLI_FAILED);
		work(crew->workers, crew->shared);
	}
	crew->pids[crew->count++] = pid;
	crew->alive++;
	return true;
}

/* ---- their parent ---- */

static void show_progress(const struct crew *crew)
{
	size_t items = crew->workers->items, taken = atomic_load(&crew->shared->next),
	       done = taken < items ? taken : items;
	int64_t ms = cli_now_ms() - crew->started_at;

	if (crew->is_watched && done > 0 && crew->signal == 0)
		fprintf(stderr, "\r\033[K%zu of %zu %s, %.0f s left ", done, items, crew->workers->what,
		    (double)ms / 1000 * (double)(items - done) / (double)done);
}

static void clear_progress(const struct crew *crew)
{
	if (crew->is_watched)
		fputs("\r\033[K", stderr);
}

static void end_all(struct crew *crew)
{
	for (int i = 0; i < crew->count; i++)
		if (crew->pids[i] > 0)
			kill(crew->pids[i], SIGKILL);
	for (int i = 0; i < crew->count; i++)
		if (crew->pids[i] > 0)
			waitpid(crew->pids[i], NULL, 0);
	clear_progress(crew);
}

static void judge(struct crew *crew, int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
		return;
	end_all(crew);
	if (WIFEXITED(status))
		exit(WEXITSTATUS(status)); /* it has said why */
	cli_fail("a process that computed %s was ended by signal %d (%s)", crew->workers->what, WTERMSIG(status),
	    strsignal(WTERMSIG(status)));
}

static void reap(struct crew *crew)
{
	for (int i = 0; i < crew->count; i++) {
		int status;

		if (crew->pids[i] == 0 || waitpid(crew->pids[i], &status, WNOHANG) != crew->pids[i])
			continue;
		crew->pids[i] = 0;
		crew->alive--;
		judge(crew, status);
	}
}

/* Each process still finishes the item that it has taken. */
static void stop(struct crew *crew, int signal)
{
	size_t items = crew->workers->items, taken;

	if (crew->signal != 0) {
		end_all(crew);
		exit(128 + signal);
	}
	taken = atomic_exchange(&crew->shared->next, items);
	crew->done = taken < items ? taken : items;
	crew->signal = signal;
}

static void wait_for_all(struct crew *crew, const sigset_t *signals)
{
	static const struct timespec period = {.tv_nsec = PROGRESS_MS * 1000000};

	while (crew->alive > 0) {
		int signal = sigtimedwait(signals, NULL, &period);

		if (signal == SIGCHLD)
			reap(crew);
		else if (signal > 0)
			stop(crew, signal);
		show_progress(crew);
	}
	clear_progress(crew);
}

sigset_t lab_ending_signals(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action;
	sigset_t signals;

	sigemptyset(&signals);
	for (size_t i = 0; i < sizeof(ending) / sizeof(*ending); i++)
		if (sigaction(ending[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&signals, ending[i]);
	return signals;
}

struct lab_results lab_workers_run(const struct lab_workers *workers)
{
	struct crew crew = {.workers = workers,
	    .started_at = cli_now_ms(),
	    .is_watched = isatty(STDERR_FILENO),
	    .done = workers->items};
	int processes = processes_for(workers);
	sigset_t signals = lab_ending_signals(), before;

	crew.shared =
	    mmap(NULL, shared_size(workers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (crew.shared == MAP_FAILED)
		cli_fail("no memory for the results of %zu %s", workers->items, workers->what);
	sigaddset(&signals, SIGCHLD);
	signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody could be waited for */
	sigprocmask(SIG_BLOCK, &signals, &before);
	fflush(NULL);
	while (crew.count < processes && start(&crew))
		continue;
	wait_for_all(&crew, &signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return (struct lab_results){results_of(crew.shared), crew.done, crew.done < workers->items ? crew.signal : 0};
}

void lab_workers_free(const struct lab_workers *workers, const struct lab_results *results)
{
	munmap((char *)results->items - sizeof(struct shared), shared_size(workers));
}
