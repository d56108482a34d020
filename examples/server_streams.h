/* server_streams.h - dtls-server --tls: server_stream.c leads the life of one TCP connection, server_streams.c accepts
 * them, wakes them and ends those that are too many. */
#ifndef SERVER_STREAMS_H
#define SERVER_STREAMS_H

#include "heap.h"
#include "server.h"

#include <sys/queue.h>

enum stream_state {
	STREAM_HANDSHAKE,
	STREAM_OPEN,
	STREAM_CLOSING, /* close_notify is to leave */
	STREAM_DRAINING, /* all is sent; what the client still sends is thrown away until it closes, too */
	STREAM_STATES,
	STREAM_GONE = STREAM_STATES,
};

struct stream {
	struct heap_node due; /* first: when it runs, should nothing come */
	struct streams *all;
	struct dtls_conn *conn;
	int fd;
	struct cli_address address;
	enum stream_state state;
	uint32_t wanted, watched; /* EPOLL... events: that it waits for, that epoll was told */
	bool is_busy; /* it runs again soon, whatever the socket says */
	TAILQ_ENTRY(stream) list; /* of its state */
	TAILQ_ENTRY(stream) busy;
	int64_t heard_at;
	char *echo; /* what could not be sent back yet; meanwhile nothing is read */
	size_t echo_start, echo_end;
	char *line; /* the beginning of one whose end has not come; NULL for none */
	size_t line_len;
};
TAILQ_HEAD(stream_list, stream);

struct stream_counters {
	uint64_t accepted, bytes_in, bytes_out;
	uint64_t completed, failed, timedout, displaced, resumed;
	uint64_t closed_by_peer, closed_idle, closed_evicted, closed_error;
};

struct streams {
	const struct server *server;
	int listen_fd, epoll_fd;
	int64_t now_ms;
	struct stream_list in[STREAM_STATES]; /* the oldest first; of STREAM_OPEN the longest silent */
	uint64_t count[STREAM_STATES];
	struct stream_list busy, gone;
	struct heap due;
	struct stream_counters counters;
	bool full; /* no descriptor is free: nobody is accepted until accept_at, or until one is */
	int64_t accept_at, told_full_at;
};

/* server_stream.c */
/* Does what can be done now. True when it has stopped in favour of the others and can go on. */
bool stream_run(struct stream *stream);
void stream_late(struct stream *stream); /* its due time has come; stream_run() comes next */
void stream_evict(struct stream *stream);
void stream_displace(struct stream *stream);
void stream_close(struct stream *stream);

/* server_streams.c */
void stream_enter(struct stream *stream, enum stream_state state);
void stream_heard(struct stream *stream); /* of its client: it is the least silent now */

#endif
