/* One process: whose turn it is, and when the next handshake may begin. */
#include "load_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { EVENTS = 64, GRACE_MS = 1000, CLOSE_AT_ONCE = 20 };

void load_add(_Atomic uint64_t *number, int64_t change)
{
	uint64_t value = atomic_load_explicit(number, memory_order_relaxed);

	atomic_store_explicit(number, value + (uint64_t)change, memory_order_relaxed);
}

void load_worker_place(struct load_worker *w, struct load_client *c, int64_t at_ms)
{
	c->due.at_ms = at_ms;
	heap_update(&w->due, &c->due);
}

void load_worker_queue(struct load_worker *w, struct load_client *c)
{
	load_worker_place(w, c, INT64_MAX);
	STAILQ_INSERT_TAIL(&w->queued, c, next);
}

/* ---- beginning ---- */

/* When the next handshake may begin; the processes take turns. */
static int64_t next_begin_ms(const struct load_worker *w)
{
	double before;

	if (w->stopping || STAILQ_EMPTY(&w->queued) || w->tally->pending >= w->pending_max)
		return INT64_MAX;
	if (w->o->rate == 0)
		return w->now_ms;
	before = ((double)w->tally->begun * w->o->processes + w->first) / w->o->rate;
	return (w->started_ns + (int64_t)(before * 1e9)) / 1000000;
}

static void begin_clients(struct load_worker *w)
{
	while (next_begin_ms(w) <= w->now_ms) {
		struct load_client *c = STAILQ_FIRST(&w->queued);

		STAILQ_REMOVE_HEAD(&w->queued, next);
		load_client_begin(w, c);
	}
}

static void make_clients(struct load_worker *w)
{
	const struct load_options *o = w->o;

	w->count = (o->clients - w->first + o->processes - 1) / o->processes;
	w->clients = calloc(w->count, sizeof(*w->clients));
	if (w->clients == NULL)
		cli_fail("out of memory");
	STAILQ_INIT(&w->queued);
	for (unsigned i = 0; i < w->count; i++) {
		struct load_client *c = &w->clients[i];

		c->number = w->first + i * o->processes;
		c->due.at_ms = INT64_MAX;
		if (!heap_add(&w->due, &c->due))
			cli_fail("out of memory");
		STAILQ_INSERT_TAIL(&w->queued, c, next);
	}
}

/* ---- the loop ---- */

static int wait_ms(const struct load_worker *w)
{
	int64_t at_ms = next_begin_ms(w), due_ms = heap_first_ms(&w->due), left;

	at_ms = due_ms < at_ms ? due_ms : at_ms;
	left = at_ms == INT64_MAX ? GRACE_MS : at_ms - w->now_ms;
	return left < 0 ? 0 : left > GRACE_MS ? GRACE_MS : (int)left;
}

static void see_now(struct load_worker *w)
{
	w->now_ms = load_now_ns() / 1000000;
}

/* Those that are due now, each once. */
static void take_turns(struct load_worker *w)
{
	for (unsigned i = 0; i < w->count && heap_first_ms(&w->due) <= w->now_ms; i++)
		load_client_turn(w, (struct load_client *)w->due.nodes[0]);
}

/* False: the parent wants no more. */
static bool wait_and_serve(struct load_worker *w)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(w->epoll, events, EVENTS, wait_ms(w));

	if (count < 0 && errno != EINTR)
		cli_fail("cannot wait for the sockets: %s", strerror(errno));
	see_now(w);
	for (int i = 0; i < count; i++) {
		struct load_client *c = events[i].data.ptr;

		if (c == NULL)
			return false;
		if ((events[i].events & EPOLLERR) != 0)
			load_client_refused(w, c);
		if (c->state == LOAD_SHAKING || c->state == LOAD_UP)
			load_client_turn(w, c);
	}
	return true;
}

/* A server that serves one peer at a time would wait for one that went away in its handshake. */
static void finish(struct load_worker *w, int stop_fd)
{
	static const struct timespec pause = {.tv_nsec = 1000000};
	int64_t stop_ms = w->now_ms + GRACE_MS;

	w->stopping = true;
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, stop_fd, NULL);
	while ((w->tally->pending > 0 || w->asked > 0) && w->now_ms < stop_ms) {
		take_turns(w);
		wait_and_serve(w);
	}
	for (unsigned i = 0; i < w->count; i++) {
		load_client_end(w, &w->clients[i]);
		if (i % CLOSE_AT_ONCE == CLOSE_AT_ONCE - 1) /* the server's buffer has an end */
			nanosleep(&pause, NULL);
	}
}

void load_work(const struct load_options *o, struct load_tally *tally, unsigned first, int64_t started_ns, int stop_fd)
{
	static struct load_worker w;
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	w.o = o;
	w.tally = tally;
	w.first = first;
	w.started_ns = started_ns;
	w.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w.epoll < 0 || epoll_ctl(w.epoll, EPOLL_CTL_ADD, stop_fd, &event) != 0)
		cli_fail("cannot wait for sockets: %s", strerror(errno));
	w.pending_max = (o->pending + o->processes - 1 - first) / o->processes;
	make_clients(&w);
	see_now(&w);
	do {
		begin_clients(&w);
		take_turns(&w);
	} while (wait_and_serve(&w));
	finish(&w, stop_fd);
	free(w.clients);
	free(w.due.nodes);
	exit(EXIT_SUCCESS);
}
