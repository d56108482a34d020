/* server.h - dtls-server in parts: dtls_server.c reads the command line and waits, server_peers.c serves DTLS peers,
 * server_threads.c does so on several threads, server_streams.c and server_stream.c serve TLS clients. */
#ifndef SERVER_H
#define SERVER_H

#include "cli_dtls.h"

struct server;

struct service { /* over one protocol */
	int socket_type;
	int (*start)(struct server *s); /* with s->fd; returns the descriptor to wait for */
	void (*serve)(struct server *s); /* what can be done now, within bounds */
	short (*events)(const struct server *s); /* that serve() waits for */
	int (*timeout)(const struct server *s); /* in ms, 0 overdue, -1 none */
	void (*tell_counters)(const struct server *s);
	void (*close)(struct server *s); /* all sessions */
	void (*free)(struct server *s); /* what start() made */
};
extern const struct service server_peers, server_threads, server_streams;

struct server {
	struct cli_dtls dtls;
	const struct service *service;
	int fd, wait_fd, signals;
	const char *listen;
	bool echo, confirm, quiet, verbose;
	struct dtls_limits limits;
	unsigned threads; /* 1 where the command line names no number */
	int64_t stats_ms; /* 0: never */
	int64_t started_at, stats_at;
	struct dtls_endpoint *ep;
	struct server_threads *workers;
	unsigned threads_running;
	int output_error; /* errno of a thread that could not write to standard output */
	struct streams *streams;
};

enum {
	SERVER_MESSAGE_MAX = 16384,
	SERVER_CLOSING_MS = 2000, /* for the last bytes to leave */
};

/* The counters of endpoints on standard error. */
void server_peers_tell(const struct dtls_stats *n);

/* Who somebody is: the identity of the pre-shared key, or the name in the certificate; else the address stands for him. */
struct server_name {
	struct cli_address address;
	const uint8_t *identity; /* NULL: by the address alone */
	size_t identity_len;
};
/* Where there is no other identity: the name in a certificate, which may be NULL. */
void server_name_by_certificate(struct server_name *name, const char *subject);
/* What the application has sent, as a line on standard output. */
void server_print(const struct server_name *name, const void *text, size_t len);
/* "ADDRESS IDENTITY " on standard error. */
void server_begin_line(const struct server_name *name);
/* The rest of the line about a new session, and of a certificate under --verbose. */
struct server_session {
	const char *cipher, *alpn;
	int64_t verify_result;
	bool has_certificate;
};
void server_tell_connected(const struct server *s, const struct server_name *name, const struct server_session *what);

#endif
