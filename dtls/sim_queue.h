/* sim_queue.h - datagrams under way, ordered by arrival.
 *
 * Every receiver (a link's far end, or a host) has a queue of packets; the queues that are not empty are events in turn
 * on one agenda, ordered by their first arrival. Both levels are indexed binary heaps: putting and taking cost
 * O(log n), and the first arrival of the whole simulation is at hand. */
#ifndef DTLS_SIM_QUEUE_H
#define DTLS_SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct sim_event {
	int64_t at_ms;
	uint64_t order; /* of events in the same millisecond */
	size_t index; /* in its heap */
};

struct sim_heap {
	struct sim_event **events;
	size_t count, room;
};

struct sim_agenda {
	struct sim_heap queues; /* those that are not empty */
	size_t queue_count; /* all; queues has room for them */
	uint64_t order;
};

struct sim_queue {
	struct sim_event event; /* first; in agenda->queues unless empty */
	struct sim_heap packets;
	struct sim_agenda *agenda;
};

struct sim_packet {
	struct sim_event event; /* first; in queue->packets */
	struct sim_queue *queue;
	const void *from;
	LIST_ENTRY(sim_packet) held; /* while is_held */
	bool is_held;
	int64_t natural_ms; /* the arrival had it not been held back */
	size_t len;
	uint8_t bytes[];
};

/* Each returns false or NULL when out of memory. */
bool sim_queue_init(struct sim_queue *queue, struct sim_agenda *agenda);
bool sim_queue_reserve(struct sim_queue *queue, size_t more);
struct sim_packet *sim_packet_new(struct sim_queue *to, const void *from, const void *buf, size_t len);

/* Cannot fail: the room was reserved before. */
void sim_queue_put(struct sim_packet *packet, int64_t at_ms);
/* Changes the arrival of a packet in its queue; it comes after all others of the same millisecond. */
void sim_queue_move(struct sim_packet *packet, int64_t at_ms);
/* The first packet that has arrived by now, or NULL. The caller frees it. */
struct sim_packet *sim_queue_take(struct sim_queue *queue, int64_t now_ms);
/* Frees the packets too. */
void sim_queue_clear(struct sim_queue *queue);

int64_t sim_agenda_next_ms(const struct sim_agenda *agenda); /* INT64_MAX when every queue is empty */

#endif
