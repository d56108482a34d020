#include "conn.h"

#include <errno.h>

/* What a transport may not answer ends the connection like an error of its own. */
static ssize_t checked(ssize_t n, size_t len, int want)
{
	if (n == want || (n > 0 && (size_t)n <= len))
		return n;
	if (n >= 0 || errno == 0)
		errno = EIO;
	return DTLS_FAIL;
}

ssize_t conn_stream_send(void *owner, const uint8_t *bytes, size_t len)
{
	struct dtls_conn *c = owner;
	ssize_t n;

	if (!c->over_socket) {
		errno = 0;
		return checked(c->transport.send(c->transport.arg, bytes, len), len, DTLS_WANT_WRITE);
	}
	n = socket_write(&c->socket, bytes, len);
	return n == SOCKET_EMPTY ? DTLS_WANT_WRITE : n < 0 ? DTLS_FAIL : n;
}

ssize_t conn_stream_recv(void *owner, uint8_t *buf, size_t len)
{
	struct dtls_conn *c = owner;
	ssize_t n;

	if (!c->over_socket) {
		errno = 0;
		n = c->transport.recv(c->transport.arg, buf, len);
		return n == 0 ? 0 : checked(n, len, DTLS_WANT_READ);
	}
	n = socket_read(&c->socket, buf, len);
	return n == SOCKET_EMPTY ? DTLS_WANT_READ : n < 0 ? DTLS_FAIL : n;
}
