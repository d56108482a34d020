/* socket.h - everything that touches a socket, UDP or a stream. No call blocks but socket_wait(). */
#ifndef SOCKET_H
#define SOCKET_H

#include "address.h"

#include <stdint.h>
#include <sys/types.h>

struct sock {
	int fd;
	bool connected; /* asked when the socket was last prepared */
	bool wildcard; /* bound to any address: datagrams tell which one they came to */
};

/* Looks at the socket and asks for local addresses where it is bound to a wildcard. NULL, or why it will not do. */
const char *socket_prepare(struct sock *, int fd);
/* The same for a stream, which may still be connecting. */
const char *socket_prepare_stream(struct sock *, int fd);
/* Has the socket been connected since? */
bool socket_is_connected(struct sock *, struct address *peer);
bool socket_blocks(const struct sock *); /* fcntl's O_NONBLOCK is not set */

enum socket_result {
	SOCKET_EMPTY = -1, /* nothing to read; or no room to write: wait */
	SOCKET_LOST = -2, /* an error of this datagram or of the path, in errno; the socket still works */
	SOCKET_FAILED = -3, /* errno */
	SOCKET_CUT = -4, /* a datagram longer than the buffer was dropped */
	SOCKET_STRANGE = -5 /* and one from an address that is neither IPv4 nor IPv6 */
};

/* The length of one datagram, or enum socket_result. local is the address it came to, where the socket is a wildcard. */
ssize_t socket_recv(const struct sock *, void *buf, size_t len, struct address *from, struct address *local);
/* len, or SOCKET_EMPTY, SOCKET_LOST, SOCKET_FAILED. to NULL: the connected peer. local may be NULL or unset. */
ssize_t socket_send(
    const struct sock *, const struct address *to, const struct address *local, const void *buf, size_t len);
/* Over a stream: how many bytes, 0 at its end, SOCKET_EMPTY or SOCKET_FAILED. */
ssize_t socket_read(const struct sock *, void *buf, size_t len);
ssize_t socket_write(const struct sock *, const void *buf, size_t len);
/* Until POLLIN or POLLOUT, at most ms (-1: for ever). 1, 0 when the time is over, -1 with errno (EINTR too). */
int socket_wait(const struct sock *, short events, int64_t ms);

#endif
