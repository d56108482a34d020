#include "schedule.h"

#include <stdlib.h>

bool schedule_reserve(struct schedule *s)
{
	size_t room = s->room == 0 ? 64 : 2 * s->room;
	struct dtls_peer **heap;

	if (s->count < s->room)
		return true;
	heap = reallocarray(s->heap, room, sizeof(*heap));
	if (heap == NULL)
		return false;
	s->heap = heap;
	s->room = room;
	return true;
}

static void put(struct schedule *s, size_t at, struct dtls_peer *peer)
{
	s->heap[at] = peer;
	peer->heap_index = at + 1;
}

/* Moves the peer at this place up or down to where it belongs. */
static void settle(struct schedule *s, size_t at)
{
	struct dtls_peer *peer = s->heap[at];

	while (at > 0 && s->heap[(at - 1) / 2]->due_at > peer->due_at) {
		put(s, at, s->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < s->count && s->heap[child + 1]->due_at < s->heap[child]->due_at)
			child++;
		if (child >= s->count || s->heap[child]->due_at >= peer->due_at)
			break;
		put(s, at, s->heap[child]);
		at = child;
	}
	put(s, at, peer);
}

static void take_out(struct schedule *s, struct dtls_peer *peer)
{
	size_t at = peer->heap_index - 1;

	peer->heap_index = 0;
	if (at == --s->count)
		return;
	put(s, at, s->heap[s->count]);
	settle(s, at);
}

void schedule_set(struct schedule *s, struct dtls_peer *peer, int64_t due_at)
{
	peer->due_at = due_at;
	if (due_at == INT64_MAX) {
		if (peer->heap_index != 0)
			take_out(s, peer);
		return;
	}
	if (peer->heap_index == 0)
		put(s, s->count++, peer);
	settle(s, peer->heap_index - 1);
}

struct dtls_peer *schedule_first(const struct schedule *s)
{
	return s->count == 0 ? NULL : s->heap[0];
}

void schedule_free(struct schedule *s)
{
	free(s->heap);
}
