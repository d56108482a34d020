#include "schedule.h"

#include <stdlib.h>

bool schedule_reserve(struct schedule *s)
{
	size_t room = s->room == 0 ? 64 : 2 * s->room;
	struct due **heap;

	if (s->count < s->room)
		return true;
	heap = reallocarray(s->heap, room, sizeof(*heap));
	if (heap == NULL)
		return false;
	s->heap = heap;
	s->room = room;
	return true;
}

static void put(struct schedule *s, size_t place, struct due *who)
{
	s->heap[place] = who;
	who->heap_index = place + 1;
}

/* Moves the one at this place up or down to where it belongs. */
static void settle(struct schedule *s, size_t at)
{
	struct due *who = s->heap[at];

	while (at > 0 && s->heap[(at - 1) / 2]->at > who->at) {
		put(s, at, s->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < s->count && s->heap[child + 1]->at < s->heap[child]->at)
			child++;
		if (child >= s->count || s->heap[child]->at >= who->at)
			break;
		put(s, at, s->heap[child]);
		at = child;
	}
	put(s, at, who);
}

static void take_out(struct schedule *s, struct due *who)
{
	size_t at = who->heap_index - 1;

	who->heap_index = 0;
	if (at == --s->count)
		return;
	put(s, at, s->heap[s->count]);
	settle(s, at);
}

void schedule_set(struct schedule *s, struct due *who, int64_t at)
{
	who->at = at;
	if (at == INT64_MAX) {
		if (who->heap_index != 0)
			take_out(s, who);
		return;
	}
	if (who->heap_index == 0)
		put(s, s->count++, who);
	settle(s, who->heap_index - 1);
}

struct due *schedule_first(const struct schedule *s)
{
	return s->count == 0 ? NULL : s->heap[0];
}

void schedule_free(struct schedule *s)
{
	free(s->heap);
}
