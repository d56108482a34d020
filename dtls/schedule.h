/* schedule.h - the earliest of many instants: a binary heap. Whatever has one embeds a struct due. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due {
	int64_t at;
	size_t heap_index; /* in the schedule, plus 1; 0: not in it */
};

struct schedule {
	struct due **heap;
	size_t count, room;
};

/* Makes room for one more; false when there is no memory. schedule_set() then needs none. */
bool schedule_reserve(struct schedule *);
void schedule_set(struct schedule *, struct due *, int64_t at); /* INT64_MAX: takes it out */
struct due *schedule_first(const struct schedule *); /* NULL: nothing is due ever */
void schedule_free(struct schedule *);

#endif
