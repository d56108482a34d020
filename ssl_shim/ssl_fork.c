#include "shim.h"

/* Process-wide by nature, as fork() is. */
static pthread_mutex_t beginning = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint forks;

static void before_fork(void)
{
	pthread_mutex_lock(&beginning);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&beginning);
}

static void in_child(void)
{
	atomic_fetch_add(&forks, 1);
	pthread_mutex_unlock(&beginning);
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

unsigned ssl_forks(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	return atomic_load(&forks);
}

void ssl_notice_fork(atomic_uint *process, void (*begin_anew)(void *object), void *object)
{
	unsigned now = ssl_forks();

	if (atomic_load(process) == now)
		return;
	pthread_mutex_lock(&beginning);
	if (atomic_load(process) != now) {
		begin_anew(object);
		atomic_store(process, now);
	}
	pthread_mutex_unlock(&beginning);
}
