/* Many TCP connections with TLS: who is accepted, whose turn it is, and who must go. */
#include "server_streams.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	EVENTS_AT_ONCE = 64,
	ACCEPTED_AT_ONCE = 64,
	TELL_FULL_MS = 60000,
	RETRY_ACCEPT_MS = 1000, /* where no descriptor is free, somebody else's may be what comes free */
	DEFAULT_MAX_PEERS = 100000,
	DEFAULT_MAX_HANDSHAKES = 1000,
};

/* ---- a stream's place ---- */

static int64_t due_at(const struct stream *st)
{
	const struct streams *all = st->all;
	int64_t idle_ms = all->server->limits.idle_ms;
	int ms;

	switch (st->state) {
	case STREAM_HANDSHAKE:
		ms = dtls_conn_timeout(st->conn);
		return ms < 0 ? INT64_MAX : all->now_ms + (ms > 0 ? ms : 1);
	case STREAM_OPEN:
		return idle_ms == 0 ? INT64_MAX : st->heard_at + idle_ms;
	default:
		return st->heard_at + SERVER_CLOSING_MS;
	}
}

static void set_due(struct stream *st)
{
	st->due.at_ms = due_at(st);
	heap_update(&st->all->due, &st->due);
}

static void leave_list(struct stream *st)
{
	TAILQ_REMOVE(&st->all->in[st->state], st, list);
	st->all->count[st->state]--;
}

static void enter_list(struct stream *st, enum stream_state state)
{
	st->state = state;
	TAILQ_INSERT_TAIL(&st->all->in[state], st, list);
	st->all->count[state]++;
}

static void be_busy(struct stream *st, bool busy)
{
	struct streams *all = st->all;

	if (busy == st->is_busy)
		return;
	st->is_busy = busy;
	if (busy)
		TAILQ_INSERT_TAIL(&all->busy, st, busy);
	else
		TAILQ_REMOVE(&all->busy, st, busy);
}

/* Events of the same batch may still point to it: it is freed after them. */
static void let_go(struct stream *st)
{
	struct streams *all = st->all;

	heap_remove(&all->due, &st->due);
	be_busy(st, false);
	close(st->fd);
	st->state = STREAM_GONE;
	TAILQ_INSERT_TAIL(&all->gone, st, list);
	all->accept_at = all->now_ms;
}

void stream_enter(struct stream *st, enum stream_state state)
{
	struct streams *all = st->all;

	leave_list(st);
	st->heard_at = all->now_ms;
	if (state == STREAM_GONE) {
		let_go(st);
		return;
	}
	enter_list(st, state);
	set_due(st);
	be_busy(st, true);
	if (state == STREAM_OPEN && all->count[STREAM_OPEN] > all->server->limits.max_peers)
		stream_evict(TAILQ_FIRST(&all->in[STREAM_OPEN]));
}

void stream_heard(struct stream *st)
{
	st->heard_at = st->all->now_ms;
	leave_list(st);
	enter_list(st, STREAM_OPEN);
}

static void watch(struct stream *st)
{
	struct epoll_event event = {.events = st->wanted, .data.ptr = st};

	if (st->wanted != st->watched && epoll_ctl(st->all->epoll_fd, EPOLL_CTL_MOD, st->fd, &event) != 0)
		cli_fail("cannot wait for a socket: %s", strerror(errno));
	st->watched = st->wanted;
}

static void run(struct stream *st)
{
	bool more;

	if (st->state == STREAM_GONE)
		return;
	be_busy(st, false);
	more = stream_run(st);
	if (st->state == STREAM_GONE)
		return;
	be_busy(st, more);
	watch(st);
	set_due(st);
}

/* ---- new ones ---- */

static bool watch_new(struct stream *st)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = st};

	st->wanted = st->watched = EPOLLIN;
	st->due.at_ms = INT64_MAX;
	if (!heap_add(&st->all->due, &st->due))
		return false;
	if (epoll_ctl(st->all->epoll_fd, EPOLL_CTL_ADD, st->fd, &event) == 0)
		return true;
	heap_remove(&st->all->due, &st->due);
	return false;
}

/* NULL: there is no memory for it. */
static struct stream *stream_new(struct streams *all, int fd, const struct cli_address *address)
{
	struct stream *st = calloc(1, sizeof(*st));

	if (st == NULL)
		return NULL;
	*st = (struct stream){.all = all, .fd = fd, .address = *address};
	st->conn = dtls_wrap_socket(all->server->dtls.ctx, fd);
	if (st->conn != NULL && watch_new(st))
		return st;
	dtls_conn_free(st->conn);
	free(st);
	return NULL;
}

static void admit(struct streams *all, int fd, const struct cli_address *address)
{
	struct stream *st = stream_new(all, fd, address);
	const struct server_name name = {.address = *address};
	int on = 1;

	if (st == NULL) {
		server_begin_line(&name);
		fprintf(stderr, "is turned away: out of memory\n");
		close(fd);
		return;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	all->counters.accepted++;
	enter_list(st, STREAM_HANDSHAKE);
	if (all->count[STREAM_HANDSHAKE] > all->server->limits.max_handshakes)
		stream_displace(TAILQ_FIRST(&all->in[STREAM_HANDSHAKE]));
	run(st);
}

static void listen_again(struct streams *all, bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0};

	all->full = !on;
	if (epoll_ctl(all->epoll_fd, EPOLL_CTL_MOD, all->listen_fd, &event) != 0)
		cli_fail("cannot wait for clients: %s", strerror(errno));
}

/* Clients wait in the kernel's queue until a descriptor comes free; to ask again and again would change nothing. */
static void wait_for_descriptor(struct streams *all)
{
	if (!all->server->quiet && (all->told_full_at == 0 || all->now_ms - all->told_full_at > TELL_FULL_MS)) {
		fprintf(stderr, "no new clients for now: %s\n", strerror(errno));
		all->told_full_at = all->now_ms;
	}
	all->accept_at = all->now_ms + RETRY_ACCEPT_MS;
	listen_again(all, false);
}

static void accept_some(struct streams *all)
{
	for (int i = 0; i < ACCEPTED_AT_ONCE; i++) {
		struct cli_address from = {.len = sizeof(from.storage)};
		int fd = accept4(all->listen_fd, &from.any, &from.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			admit(all, fd, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			wait_for_descriptor(all);
		else if (errno != EAGAIN) /* a client that is gone already */
			continue;
		return;
	}
}

/* ---- turns ---- */

static void run_busy(struct streams *all)
{
	struct stream *st;

	for (int i = 0; i < EVENTS_AT_ONCE && (st = TAILQ_FIRST(&all->busy)) != NULL; i++)
		run(st);
}

static void run_due(struct streams *all)
{
	while (heap_first_ms(&all->due) <= all->now_ms) {
		struct stream *st = (struct stream *)all->due.nodes[0];

		stream_late(st);
		run(st);
	}
}

static void free_gone(struct streams *all)
{
	struct stream *st;

	while ((st = TAILQ_FIRST(&all->gone)) != NULL) {
		TAILQ_REMOVE(&all->gone, st, list);
		dtls_conn_free(st->conn);
		free(st->echo);
		free(st->line);
		free(st);
	}
}

static void serve(struct server *s)
{
	struct streams *all = s->streams;
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(all->epoll_fd, events, EVENTS_AT_ONCE, 0);
	bool listening = false;

	all->now_ms = cli_now_ms();
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr == NULL)
			listening = true;
		else
			run(events[i].data.ptr);
	}
	run_busy(all);
	run_due(all);
	if (listening)
		accept_some(all);
	free_gone(all);
	if (all->full && all->now_ms >= all->accept_at)
		listen_again(all, true);
}

static short events_of(const struct server *s)
{
	(void)s;
	return POLLIN;
}

static int timeout(const struct server *s)
{
	const struct streams *all = s->streams;
	int64_t at_ms = heap_first_ms(&all->due), left;

	if (all->full && all->accept_at < at_ms)
		at_ms = all->accept_at;
	if (!TAILQ_EMPTY(&all->busy))
		return 0;
	if (at_ms == INT64_MAX)
		return -1;
	left = at_ms - cli_now_ms();
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* ---- beginning and end ---- */

static int start(struct server *s)
{
	struct streams *all = calloc(1, sizeof(*all));
	struct epoll_event event = {.events = EPOLLIN};

	if (all == NULL)
		cli_fail("out of memory");
	s->streams = all;
	s->limits.max_peers = s->limits.max_peers != 0 ? s->limits.max_peers : DEFAULT_MAX_PEERS;
	s->limits.max_handshakes = s->limits.max_handshakes != 0 ? s->limits.max_handshakes : DEFAULT_MAX_HANDSHAKES;
	all->server = s;
	all->listen_fd = s->fd;
	for (int i = 0; i < STREAM_STATES; i++)
		TAILQ_INIT(&all->in[i]);
	TAILQ_INIT(&all->busy);
	TAILQ_INIT(&all->gone);
	cli_raise_descriptors();
	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (all->epoll_fd < 0 || epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, s->fd, &event) != 0)
		cli_fail("cannot wait for clients: %s", strerror(errno));
	return all->epoll_fd;
}

static void tell_counters(const struct server *s)
{
	const struct streams *all = s->streams;
	const struct stream_counters *n = &all->counters;

	fprintf(stderr, "  peers %" PRIu64 "; unfinished handshakes %" PRIu64 "\n", all->count[STREAM_OPEN],
	    all->count[STREAM_HANDSHAKE]);
	fprintf(stderr, "  bytes in %" PRIu64 ", out %" PRIu64 "\n", n->bytes_in, n->bytes_out);
	fprintf(stderr,
	    "  handshakes started %" PRIu64 ", completed %" PRIu64 ", failed %" PRIu64 ", timed out %" PRIu64
	    ", displaced %" PRIu64 "\n",
	    n->accepted, n->completed, n->failed, n->timedout, n->displaced);
	fprintf(stderr, "  sessions resumed %" PRIu64 "\n", n->resumed);
	fprintf(stderr,
	    "  closed by the peer %" PRIu64 ", idle %" PRIu64 ", evicted %" PRIu64 ", by an error %" PRIu64 "\n",
	    n->closed_by_peer, n->closed_idle, n->closed_evicted, n->closed_error);
}

static void close_each(struct streams *all, enum stream_state state)
{
	struct stream *st, *next;

	for (st = TAILQ_FIRST(&all->in[state]); st != NULL; st = next) {
		next = TAILQ_NEXT(st, list);
		stream_close(st);
	}
}

static void close_all(struct server *s)
{
	struct streams *all = s->streams;
	struct pollfd p = {.fd = all->epoll_fd, .events = POLLIN};
	int64_t stop_at = cli_now_ms() + SERVER_CLOSING_MS;

	all->now_ms = cli_now_ms();
	all->full = false;
	(void)epoll_ctl(all->epoll_fd, EPOLL_CTL_DEL, all->listen_fd, NULL);
	close_each(all, STREAM_HANDSHAKE);
	close_each(all, STREAM_OPEN);
	for (;;) {
		serve(s);
		if (all->now_ms >= stop_at || all->count[STREAM_CLOSING] + all->count[STREAM_DRAINING] == 0)
			break;
		poll(&p, 1, timeout(s));
	}
}

static void free_streams(struct server *s)
{
	struct streams *all = s->streams;

	for (int i = 0; i < STREAM_STATES; i++)
		while (!TAILQ_EMPTY(&all->in[i]))
			stream_enter(TAILQ_FIRST(&all->in[i]), STREAM_GONE);
	free_gone(all);
	free(all->due.nodes);
	close(all->epoll_fd);
	free(all);
}

const struct service server_streams = {
    .socket_type = SOCK_STREAM | SOCK_NONBLOCK,
    .start = start,
    .serve = serve,
    .events = events_of,
    .timeout = timeout,
    .tell_counters = tell_counters,
    .close = close_all,
    .free = free_streams,
};
