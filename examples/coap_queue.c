#include "coap_queue.h"

#include <stdlib.h>
#include <string.h>

void queue_init(struct queue *q, size_t max)
{
	*q = (struct queue){.max = max};
	STAILQ_INIT(&q->list);
}

bool queue_add(struct queue *q, const char *text, size_t len, int64_t now_ms)
{
	struct queue_reading *reading = malloc(sizeof(*reading) + len + 1);

	if (reading == NULL)
		return false;
	reading->number = ++q->taken;
	reading->taken_at = now_ms;
	reading->len = len;
	memcpy(reading->text, text, len);
	reading->text[len] = '\0';
	STAILQ_INSERT_TAIL(&q->list, reading, entry);
	q->count++;
	return true;
}

void queue_drop_first(struct queue *q)
{
	struct queue_reading *reading = STAILQ_FIRST(&q->list);

	STAILQ_REMOVE_HEAD(&q->list, entry);
	q->count--;
	free(reading);
}

void queue_free(struct queue *q)
{
	while (q->count > 0)
		queue_drop_first(q);
}
