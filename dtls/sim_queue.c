#include "sim_queue.h"

#include <stdlib.h>
#include <string.h>

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static bool heap_reserve(struct sim_heap *heap, size_t room)
{
	if (room <= heap->room)
		return true;
	size_t larger = heap->room * 2 > room ? heap->room * 2 : room;
	struct sim_event **events = realloc(heap->events, larger * sizeof(*events));
	if (!events)
		return false;
	heap->events = events;
	heap->room = larger;
	return true;
}

static void heap_place(struct sim_heap *heap, size_t index, struct sim_event *event)
{
	heap->events[index] = event;
	event->index = index;
}

static void heap_sift(struct sim_heap *heap, struct sim_event *event)
{
	size_t i = event->index;
	for (; i > 0 && before(event, heap->events[(i - 1) / 2]); i = (i - 1) / 2)
		heap_place(heap, i, heap->events[(i - 1) / 2]);
	for (size_t child; (child = 2 * i + 1) < heap->count; i = child) {
		if (child + 1 < heap->count && before(heap->events[child + 1], heap->events[child]))
			child++;
		if (!before(heap->events[child], event))
			break;
		heap_place(heap, i, heap->events[child]);
	}
	heap_place(heap, i, event);
}

static void heap_push(struct sim_heap *heap, struct sim_event *event)
{
	heap_place(heap, heap->count++, event);
	heap_sift(heap, event);
}

static void heap_remove(struct sim_heap *heap, struct sim_event *event)
{
	struct sim_event *last = heap->events[--heap->count];
	if (last == event)
		return;
	heap_place(heap, event->index, last);
	heap_sift(heap, last);
}

/* Moves a queue that was not empty before the change and is not after it. */
static void queue_changed(struct sim_queue *queue)
{
	queue->event.at_ms = queue->packets.events[0]->at_ms;
	heap_sift(&queue->agenda->queues, &queue->event);
}

bool sim_queue_init(struct sim_queue *queue, struct sim_agenda *agenda)
{
	if (!heap_reserve(&agenda->queues, agenda->queue_count + 1))
		return false;
	queue->agenda = agenda;
	queue->event.order = ++agenda->queue_count;
	return true;
}

bool sim_queue_reserve(struct sim_queue *queue, size_t more)
{
	return heap_reserve(&queue->packets, queue->packets.count + more);
}

struct sim_packet *sim_packet_new(struct sim_queue *to, const void *from, const void *buf, size_t len)
{
	if (len > SIZE_MAX - sizeof(struct sim_packet))
		return NULL;
	struct sim_packet *packet = calloc(1, sizeof(*packet) + len);
	if (!packet)
		return NULL;
	packet->queue = to;
	packet->from = from;
	packet->len = len;
	if (len > 0)
		memcpy(packet->bytes, buf, len);
	return packet;
}

void sim_queue_put(struct sim_packet *packet, int64_t at_ms)
{
	struct sim_queue *queue = packet->queue;
	packet->event.at_ms = at_ms;
	packet->event.order = ++queue->agenda->order;
	heap_push(&queue->packets, &packet->event);
	if (queue->packets.count > 1) {
		queue_changed(queue);
	} else {
		queue->event.at_ms = at_ms;
		heap_push(&queue->agenda->queues, &queue->event);
	}
}

void sim_queue_move(struct sim_packet *packet, int64_t at_ms)
{
	struct sim_queue *queue = packet->queue;
	packet->event.at_ms = at_ms;
	packet->event.order = ++queue->agenda->order;
	heap_sift(&queue->packets, &packet->event);
	queue_changed(queue);
}

struct sim_packet *sim_queue_take(struct sim_queue *queue, int64_t now_ms)
{
	if (queue->packets.count == 0 || queue->event.at_ms > now_ms)
		return NULL;
	struct sim_packet *packet = (struct sim_packet *)queue->packets.events[0];
	heap_remove(&queue->packets, &packet->event);
	if (queue->packets.count > 0)
		queue_changed(queue);
	else
		heap_remove(&queue->agenda->queues, &queue->event);
	if (packet->is_held)
		LIST_REMOVE(packet, held);
	return packet;
}

void sim_queue_clear(struct sim_queue *queue)
{
	for (size_t i = 0; i < queue->packets.count; i++)
		free(queue->packets.events[i]);
	free(queue->packets.events);
}

int64_t sim_agenda_next_ms(const struct sim_agenda *agenda)
{
	return agenda->queues.count > 0 ? agenda->queues.events[0]->at_ms : INT64_MAX;
}
