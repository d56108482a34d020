#include "inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct parcel {
	struct address from, local;
	size_t len, room; /* of the datagram; of the parcel */
	uint8_t datagram[];
};

struct inbox *inbox_new(void)
{
	struct inbox *in = calloc(1, sizeof(*in));

	if (in == NULL)
		return NULL;
	in->filling = malloc(INBOX_ROOM);
	in->draining = malloc(INBOX_ROOM);
	in->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&in->lock, NULL);
	if (in->filling != NULL && in->draining != NULL && in->fd >= 0)
		return in;
	inbox_free(in);
	return NULL;
}

void inbox_free(struct inbox *in)
{
	int error = errno;

	if (in == NULL)
		return;
	if (in->fd >= 0)
		close(in->fd);
	pthread_mutex_destroy(&in->lock);
	free(in->filling);
	free(in->draining);
	free(in);
	errno = error;
}

void inbox_disown(struct inbox *in)
{
	int fresh = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	/* A thread that is not in this process may have held the lock. */
	pthread_mutex_init(&in->lock, NULL);
	if (fresh >= 0) {
		dup3(fresh, in->fd, O_CLOEXEC);
		close(fresh);
	}
	atomic_store(&in->told, false);
	in->filled = in->to_drain = in->drained = 0;
}

bool inbox_put(
    struct inbox *in, const struct address *from, const struct address *local, const void *datagram, size_t len)
{
	size_t align = _Alignof(struct parcel), room = (sizeof(struct parcel) + len + align - 1) / align * align;
	struct parcel parcel = {.from = *from, .local = *local, .len = len, .room = room};
	bool fits;

	pthread_mutex_lock(&in->lock);
	fits = room <= INBOX_ROOM - in->filled;
	if (fits) {
		memcpy(in->filling + in->filled, &parcel, sizeof(parcel));
		memcpy(in->filling + in->filled + sizeof(parcel), datagram, len);
		in->filled += room;
	} else {
		in->dropped++;
	}
	/* Under the lock: the descriptor is readable exactly while told is true. */
	if (fits && !atomic_load(&in->told))
		atomic_store(&in->told, eventfd_write(in->fd, 1) == 0);
	pthread_mutex_unlock(&in->lock);
	return fits;
}

/* Everything that was put in so far is then the endpoint's alone. */
static void take_over(struct inbox *in)
{
	uint8_t *drained = in->draining;
	eventfd_t count;

	pthread_mutex_lock(&in->lock);
	(void)eventfd_read(in->fd, &count);
	atomic_store(&in->told, false);
	in->draining = in->filling;
	in->to_drain = in->filled;
	in->drained = 0;
	in->filling = drained;
	in->filled = 0;
	pthread_mutex_unlock(&in->lock);
}

bool inbox_is_empty(const struct inbox *in)
{
	return in->drained == in->to_drain && !atomic_load(&in->told);
}

ssize_t inbox_take(struct inbox *in, struct address *from, struct address *local, void *buf, size_t len)
{
	const struct parcel *parcel;

	if (in->drained == in->to_drain && atomic_load(&in->told))
		take_over(in);
	if (in->drained == in->to_drain)
		return -1;
	parcel = (const struct parcel *)(const void *)(in->draining + in->drained);
	in->drained += parcel->room;
	len = parcel->len < len ? parcel->len : len;
	*from = parcel->from;
	*local = parcel->local;
	memcpy(buf, parcel->datagram, len);
	return (ssize_t)len;
}

uint64_t inbox_dropped(struct inbox *in)
{
	uint64_t dropped;

	pthread_mutex_lock(&in->lock);
	dropped = in->dropped;
	pthread_mutex_unlock(&in->lock);
	return dropped;
}
