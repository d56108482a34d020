/* loopback.h - what the tests on real sockets share: sockets on the loopback interface, contexts with one key, bounded
 * waiting. A failure inside fails the test. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include "dtls/dtls.h"

#include <stdbool.h>

#define LOOPBACK_IDENTITY "sensor-17"
#define LOOPBACK_CIPHER   "TLS-PSK-WITH-AES-128-CCM-8"

enum { LOOPBACK_PATIENCE_MS = 10000 };

/* With the key of LOOPBACK_IDENTITY and LOOPBACK_CIPHER alone. */
struct dtls_context *loopback_context(enum dtls_protocol);

bool loopback_has_ipv6(void);
/* UDP sockets; flags are 0 or SOCK_NONBLOCK. Port 0: any. host: 127.0.0.1, ::1, ... */
int loopback_bound(const char *host, uint16_t port, int flags);
int loopback_connected(const char *host, uint16_t port, int flags);
void loopback_connect(int fd, const char *host, uint16_t port);
uint16_t loopback_port(int fd);

struct loopback_side {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	int fd;
};
struct loopback_side loopback_side(enum dtls_protocol, int fd); /* takes fd over */
void loopback_side_free(struct loopback_side *);

struct two_sides {
	struct loopback_side client, server;
};
/* A non-blocking server on bind_to, and a client of the address reach. */
struct two_sides two_sides_new(const char *bind_to, const char *reach, int client_flags);
struct two_sides two_sides_connected(void);
void two_sides_free(struct two_sides *);
void two_sides_handshake(struct two_sides *);
/* A message each way. */
void two_sides_talk(struct two_sides *);

int64_t loopback_now_ms(void);
/* Waits for input on one of both sockets, at most ms (-1: LOOPBACK_PATIENCE_MS, and then the test has failed). */
void loopback_wait(int fd, int other_fd, int ms);
/* Runs both sides of a handshake over non-blocking sockets. */
void loopback_handshake(struct dtls_conn *a, int fd, struct dtls_conn *b, int other_fd);
/* One read of a non-blocking connection, after waiting for it. */
ssize_t loopback_read(struct dtls_conn *, int fd, void *buf, size_t len);
/* A message from one to the other arrives as it is. */
void loopback_tell(struct dtls_conn *from, struct dtls_conn *to, int to_fd, const char *text);

#endif
