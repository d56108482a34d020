#include "shim.h"

#include <errno.h>
#include <mbedtls/md.h>
#include <mbedtls/ssl.h>
#include <poll.h>
#include <stdlib.h>

enum { INPUTS_AT_ONCE = 64 };

/* ---- a descriptor whose datagrams the library does not read itself ---- */

/* All other errors are about one datagram or the path, and anybody can provoke them. */
static bool is_final(int error)
{
	return error == EBADF || error == ENOTSOCK || error == EFAULT || error == ENOTCONN || error == EDESTADDRREQ;
}

static ssize_t fd_send(void *arg, const void *buf, size_t len)
{
	struct ssl_socket *s = arg;
	ssize_t n;

	do
		n = sendto(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL,
		    s->peer_len == 0 ? NULL : (struct sockaddr *)&s->peer, s->peer_len);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return DTLS_WANT_WRITE;
	if (errno == EMSGSIZE)
		return DTLS_TOO_BIG;
	return is_final(errno) ? DTLS_FAIL : (ssize_t)len;
}

static bool is_connected(int fd)
{
	struct sockaddr_storage any;
	socklen_t len = sizeof(any);

	return getpeername(fd, (struct sockaddr *)&any, &len) == 0;
}

static ssize_t fd_recv(void *arg, void *buf, size_t len)
{
	struct ssl_socket *s = arg;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t n;

	do
		n = recvfrom(s->fd, buf, len, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &from_len);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return DTLS_WANT_READ;
	if (n < 0)
		return is_final(errno) ? DTLS_FAIL : 0;
	if (s->awaits_hello && !is_connected(s->fd)) {
		s->peer = from;
		s->peer_len = from_len;
	}
	if (s->peer_len != 0 && (from_len != s->peer_len || memcmp(&from, &s->peer, from_len) != 0))
		return 0;
	return n;
}

static int fd_poll(void *arg, int mask)
{
	struct ssl_socket *s = arg;
	struct pollfd p = {.fd = s->fd, .events = (short)mask};

	return poll(&p, 1, 0) < 0 ? 0 : p.revents;
}

/* ---- the transport that the library gets ---- */

static ssize_t pass_send(void *arg, const void *buf, size_t len)
{
	struct ssl_socket *s = arg;
	ssize_t n;

	errno = 0;
	n = s->transport.send(s->transport.arg, buf, len);
	if (n == DTLS_FAIL)
		s->send_errno = errno != 0 ? errno : EIO;
	return n;
}

/* The hello that was judged comes first. */
static ssize_t pass_recv(void *arg, void *buf, size_t len)
{
	struct ssl_socket *s = arg;
	size_t n = s->hello_len;

	if (s->hello == NULL)
		return s->transport.recv(s->transport.arg, buf, len);
	if (n <= len)
		memcpy(buf, s->hello, n);
	free(s->hello);
	s->hello = NULL;
	return (ssize_t)n;
}

static int domain_of(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 ? domain : 0;
}

/* The library names peers by their IP addresses, and reads the first datagram itself. */
static bool library_reads(const struct ssl_socket *s)
{
	int domain = domain_of(s->fd);

	return s->over_fd && (s->stream || (s->client_id_len == 0 && (domain == AF_INET || domain == AF_INET6)));
}

/* The id serves to know a ClientHello by. */
static void make_nameless(struct ssl_socket *s)
{
	s->nameless = true;
	s->client_id_len = 1;
}

bool ssl_attach(struct ssl_socket *s, struct dtls_context *dtls, struct ssl_error *e)
{
	struct dtls_transport transport = {pass_send, pass_recv, s};

	if (s->over_fd)
		s->transport = (struct ssl_transport){fd_send, fd_recv, fd_poll, s};
	if (library_reads(s)) {
		s->conn = dtls_wrap_socket(dtls, s->fd);
	} else {
		if (s->server && !s->stream && s->client_id_len == 0)
			make_nameless(s);
		s->conn = dtls_wrap_transport(dtls, &transport);
	}
	if (s->conn == NULL) {
		ssl_fail_context(dtls, e);
		return false;
	}
	dtls_conn_set_nonblocking(s->conn);
	if (s->client_id_len != 0)
		dtls_conn_set_client_id(s->conn, s->client_id, s->client_id_len);
	s->awaits_hello = s->client_id_len != 0;
	return true;
}

/* ---- a DTLS server with a client id: the first datagram ---- */

static int gate_failed(struct ssl_socket *s, int code, const char *note, struct ssl_error *e)
{
	s->failed = true;
	s->gate_code = code;
	s->gate_note = note;
	return ssl_fail_os(e, code, note);
}

int ssl_fail_nameless(struct ssl_socket *s, struct ssl_error *e)
{
	return gate_failed(s, MBEDTLS_ERR_SSL_BAD_INPUT_DATA,
	    "a DTLS server over something without an IP address needs client_id, bytes that name the peer", e);
}

static int answered(struct ssl_socket *s, const uint8_t *reply, size_t len, struct ssl_error *e)
{
	s->transport.send(s->transport.arg, reply, len); /* what is lost here the client asks for again */
	return ssl_fail_os(e, MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED,
	    "a ClientHello without a valid cookie was answered with one: wrap the socket again for the next");
}

static int keep_hello(struct ssl_socket *s, const uint8_t *datagram, size_t len, struct ssl_error *e)
{
	s->hello = malloc(len);
	if (s->hello == NULL)
		return ssl_fail_memory(e);
	memcpy(s->hello, datagram, len);
	s->hello_len = len;
	s->awaits_hello = false;
	return DTLS_OK;
}

int ssl_pass_gate(struct ssl_socket *s, struct ssl_error *e)
{
	struct dtls_context *dtls = s->bare ? s->ctx->bare : s->ctx->dtls;
	uint8_t datagram[DATAGRAM_MAX], reply[128];
	size_t reply_len;
	ssize_t n;

	if (s->gate_code != 0)
		return ssl_fail_os(e, s->gate_code, s->gate_note);
	for (int i = 0; s->awaits_hello && i < INPUTS_AT_ONCE; i++) {
		errno = 0;
		n = s->transport.recv(s->transport.arg, datagram, sizeof(datagram));
		if (n == DTLS_WANT_READ)
			return DTLS_WANT_READ;
		if (n < 0)
			return gate_failed(s, errno != 0 ? errno : EIO, "no datagram could be received", e);
		if (n == 0 || (size_t)n > sizeof(datagram))
			continue;
		switch (
		    dtls_hello_check(dtls, s->client_id, s->client_id_len, datagram, (size_t)n, reply, &reply_len)) {
		case DTLS_HELLO_REPLY:
			return s->nameless ? ssl_fail_nameless(s, e) : answered(s, reply, reply_len, e);
		case DTLS_HELLO_VERIFIED:
			return s->nameless ? ssl_fail_nameless(s, e) : keep_hello(s, datagram, (size_t)n, e);
		default:
			break;
		}
	}
	return s->awaits_hello ? DTLS_WANT_READ : DTLS_OK;
}
