#include "changes.h"

#include <pthread.h>

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned count;
} changes = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

void changes_made(unsigned number)
{
	pthread_mutex_lock(&changes.lock);
	changes.count = number;
	pthread_cond_broadcast(&changes.more);
	pthread_mutex_unlock(&changes.lock);
}

void changes_await(unsigned number)
{
	pthread_mutex_lock(&changes.lock);
	while (changes.count < number)
		pthread_cond_wait(&changes.more, &changes.lock);
	pthread_mutex_unlock(&changes.lock);
}
