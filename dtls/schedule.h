/* schedule.h - the earliest deadline over all peers: a binary heap by due_at. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include "peer.h"

struct schedule {
	struct active **heap;
	size_t count, room;
};

/* Makes room for one more peer; false when there is no memory. schedule_set() then needs none. */
bool schedule_reserve(struct schedule *);
void schedule_set(struct schedule *, struct active *, int64_t due_at); /* INT64_MAX: takes it out */
struct active *schedule_first(const struct schedule *); /* NULL: nothing is due ever */
void schedule_free(struct schedule *);

#endif
