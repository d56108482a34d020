/* ssl_servers.h - a server of the ssl module's C face, with a client. A failure inside fails the test. */
#ifndef SSL_SERVERS_H
#define SSL_SERVERS_H

#include "ssl_shim/shim.h"

struct served {
	struct ssl_context *ctx;
	struct ssl_server *server;
	struct ssl_socket *client;
	struct ssl_peer *peer; /* the client's, once it is connected */
	int fd; /* the server's */
};

/* A server's, without credentials. */
struct ssl_context *served_context(void);
/* The server's key lookup: knows "sensor-17" and its "secretPSK". */
ssize_t served_lookup(void *arg, const uint8_t *identity, size_t len, uint8_t *key, size_t key_max);
extern void (*served_within_lookup)(void); /* called within it */
/* A server of its keys on the loopback interface; flags are 0 or SOCK_NONBLOCK. */
struct served served_open(const struct ssl_server_limits *, int flags);
/* The same that does not block, with its client connected. */
struct served served_connected(const struct ssl_server_limits *);
void served_close(struct served *);
/* A client that does not block, and has not begun. */
struct ssl_socket *served_client(const struct served *, const char *key);
/* Finishes both sides' handshake. */
void served_shake(struct served *);
/* The next event of the server, which does not block, while the client shakes hands. */
ssize_t served_event(struct served *, struct ssl_socket *client, struct ssl_peer **peer);
/* The next event, of the client's peer; waits for it. */
ssize_t served_next(struct served *, char *buf, size_t len);
/* The client's next message; "" for its end. */
void served_client_receives(struct served *, const char *text);
void served_assert_ended(struct ssl_peer *, const char *reason);
/* Whether the system takes no datagrams of the library. */
void served_stick(bool yes);

#endif
