/* coap_queue.h - the readings of a sensor that no server has acknowledged, in the order in which they were taken. A full
 * queue takes no more; what it has taken it never drops. */
#ifndef COAP_QUEUE_H
#define COAP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct queue_reading {
	STAILQ_ENTRY(queue_reading) entry;
	uint64_t number; /* from 1 on */
	int64_t taken_at;
	size_t len;
	char text[]; /* followed by a NUL */
};

struct queue {
	STAILQ_HEAD(, queue_reading) list;
	size_t count, max;
	uint64_t taken; /* the last number */
};

void queue_init(struct queue *q, size_t max);
static inline bool queue_is_full(const struct queue *q)
{
	return q->count >= q->max;
}
/* False: no memory; q must not be full. */
bool queue_add(struct queue *q, const char *text, size_t len, int64_t now_ms);
/* The oldest; NULL: it is empty. */
static inline const struct queue_reading *queue_first(const struct queue *q)
{
	return STAILQ_FIRST(&q->list);
}
void queue_drop_first(struct queue *q);
void queue_free(struct queue *q);

#endif
