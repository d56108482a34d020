/* DTLS peers on several threads, which share the context and nothing else: each has an endpoint of its own on a socket of
 * its own. All sockets are bound to one address, and the kernel gives the datagrams of one client to always the same. */
#include "server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker {
	pthread_t thread;
	struct server_threads *all;
	struct server server; /* its share of the one that the command line describes */
	pthread_mutex_t lock;
	struct dtls_stats stats; /* as of its last turn; under the lock */
};

struct server_threads {
	int stop_fd; /* readable: the workers are to end */
	int end_fd; /* readable: one of them could not go on */
	unsigned count;
	struct worker workers[];
};

/* ---- one thread ---- */

/* An endpoint is its thread's alone: others see what it has left here. */
static void leave_stats(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->stats.size = sizeof(w->stats);
	dtls_endpoint_stats(w->server.ep, &w->stats);
	pthread_mutex_unlock(&w->lock);
}

static bool one_turn(struct worker *w)
{
	server_peers.serve(&w->server);
	leave_stats(w);
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return true;
	w->server.output_error = errno;
	return false;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct pollfd fds[] = {{.fd = w->server.fd}, {.fd = w->all->stop_fd, .events = POLLIN}};

	while (fds[1].revents == 0 && one_turn(w)) {
		fds[0].events = server_peers.events(&w->server);
		if (poll(fds, 2, server_peers.timeout(&w->server)) < 0 && errno != EINTR)
			cli_fail("cannot wait for the socket: %s", strerror(errno));
	}
	if (fds[1].revents == 0)
		eventfd_write(w->all->end_fd, 1);
	server_peers.close(&w->server);
	leave_stats(w);
	return NULL;
}

/* ---- all of them ---- */

/* The limits are those of the whole server. */
static unsigned share(unsigned limit, unsigned usual, unsigned count)
{
	return (limit == 0 ? usual : limit) / count + ((limit == 0 ? usual : limit) % count != 0);
}

static void share_limits(struct dtls_limits *limits, unsigned count)
{
	limits->max_peers = share(limits->max_peers, 100000, count);
	limits->max_handshakes = share(limits->max_handshakes, 1000, count);
	limits->hellos_per_s = share(limits->hellos_per_s, 2000, count);
	limits->handshakes_per_s = share(limits->handshakes_per_s, 200, count);
}

/* The first socket was bound while nobody else could have the address; only then does it allow company. */
static int join(int first)
{
	struct cli_address address = {.len = sizeof(address.storage)};
	char text[CLI_ADDRESS_TEXT];
	int fd, on = 1;

	if (getsockname(first, &address.any, &address.len) != 0 ||
	    setsockopt(first, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		cli_fail("cannot share the socket's address: %s", strerror(errno));
	fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
	    bind(fd, &address.any, address.len) != 0)
		cli_usage(
		    "cannot listen on %s with another thread: %s", cli_address_text(&address, text), strerror(errno));
	return fd;
}

static int start(struct server *s)
{
	struct server_threads *all = calloc(1, sizeof(*all) + s->threads * sizeof(*all->workers));

	if (all == NULL)
		cli_fail("out of memory");
	s->workers = all;
	all->count = s->threads;
	all->stop_fd = eventfd(0, EFD_CLOEXEC);
	all->end_fd = eventfd(0, EFD_CLOEXEC);
	if (all->stop_fd < 0 || all->end_fd < 0)
		cli_fail("eventfd: %s", strerror(errno));
	/* All sockets before the first datagram is taken: with each that joins, the kernel deals anew. */
	for (unsigned i = 0; i < all->count; i++) {
		struct worker *w = &all->workers[i];

		w->all = all;
		w->server = *s;
		w->server.fd = i == 0 ? s->fd : join(s->fd);
		share_limits(&w->server.limits, all->count);
		pthread_mutex_init(&w->lock, NULL);
		server_peers.start(&w->server);
		leave_stats(w);
	}
	return all->end_fd;
}

/* From the main thread's first turn on, when it has blocked the signals that it takes: its threads inherit that. */
static void serve(struct server *s)
{
	struct server_threads *all = s->workers;

	for (; s->threads_running < all->count; s->threads_running++) {
		struct worker *w = &all->workers[s->threads_running];
		int error = pthread_create(&w->thread, NULL, work, w);

		if (error != 0)
			cli_fail("cannot start a thread: %s", strerror(error));
	}
}

static short events(const struct server *s)
{
	(void)s;
	return POLLIN;
}

static int timeout(const struct server *s)
{
	(void)s;
	return -1;
}

static void tell_counters(const struct server *s)
{
	struct dtls_stats sum = {.size = sizeof(sum)};

	for (unsigned i = 0; i < s->workers->count; i++) {
		struct worker *w = &s->workers->workers[i];

		pthread_mutex_lock(&w->lock);
		dtls_stats_add(&sum, &w->stats);
		pthread_mutex_unlock(&w->lock);
	}
	server_peers_tell(&sum);
}

static void close_all(struct server *s)
{
	eventfd_write(s->workers->stop_fd, 1);
	while (s->threads_running > 0) {
		struct worker *w = &s->workers->workers[--s->threads_running];

		pthread_join(w->thread, NULL);
		if (w->server.output_error != 0)
			s->output_error = w->server.output_error;
	}
}

static void free_all(struct server *s)
{
	struct server_threads *all = s->workers;

	for (unsigned i = 0; i < all->count; i++) {
		server_peers.free(&all->workers[i].server);
		pthread_mutex_destroy(&all->workers[i].lock);
		if (i > 0)
			close(all->workers[i].server.fd);
	}
	close(all->stop_fd);
	close(all->end_fd);
	free(all);
}

const struct service server_threads = {
    .socket_type = SOCK_DGRAM | SOCK_NONBLOCK,
    .start = start,
    .serve = serve,
    .events = events,
    .timeout = timeout,
    .tell_counters = tell_counters,
    .close = close_all,
    .free = free_all,
};
