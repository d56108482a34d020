/* heap.h - things ordered by the instant at which they are due: an intrusive, indexed binary heap. */
#ifndef HEAP_H
#define HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct heap_node {
	int64_t at_ms;
	size_t index;
};

struct heap {
	struct heap_node **nodes; /* the first is due first */
	size_t count, room;
};

/* When the first is due; INT64_MAX when there is none. */
static inline int64_t heap_first_ms(const struct heap *heap)
{
	return heap->count > 0 ? heap->nodes[0]->at_ms : INT64_MAX;
}

static inline void heap_place(struct heap *heap, size_t index, struct heap_node *node)
{
	heap->nodes[index] = node;
	node->index = index;
}

/* Moves a node to where its at_ms belongs. */
static inline void heap_update(struct heap *heap, struct heap_node *node)
{
	size_t i = node->index, child;

	for (; i > 0 && node->at_ms < heap->nodes[(i - 1) / 2]->at_ms; i = (i - 1) / 2)
		heap_place(heap, i, heap->nodes[(i - 1) / 2]);
	for (; (child = 2 * i + 1) < heap->count; i = child) {
		if (child + 1 < heap->count && heap->nodes[child + 1]->at_ms < heap->nodes[child]->at_ms)
			child++;
		if (heap->nodes[child]->at_ms >= node->at_ms)
			break;
		heap_place(heap, i, heap->nodes[child]);
	}
	heap_place(heap, i, node);
}

/* False: out of memory. */
static inline bool heap_add(struct heap *heap, struct heap_node *node)
{
	if (heap->count == heap->room) {
		size_t room = heap->room > 0 ? heap->room * 2 : 64;
		struct heap_node **nodes = realloc(heap->nodes, room * sizeof(*nodes));

		if (nodes == NULL)
			return false;
		heap->nodes = nodes;
		heap->room = room;
	}
	heap_place(heap, heap->count++, node);
	heap_update(heap, node);
	return true;
}

static inline void heap_remove(struct heap *heap, const struct heap_node *node)
{
	struct heap_node *last = heap->nodes[--heap->count];

	if (last == node)
		return;
	heap_place(heap, node->index, last);
	heap_update(heap, last);
}

#endif
