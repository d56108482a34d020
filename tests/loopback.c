#include "loopback.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

union endpoint_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

struct dtls_context *loopback_context(enum dtls_protocol protocol)
{
	static const uint8_t key[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
	const char *cipher = LOOPBACK_CIPHER;
	struct dtls_context *ctx = dtls_context_new(protocol);

	ck_assert_ptr_nonnull(ctx);
	ck_assert_int_eq(
	    dtls_context_set_psk(ctx, LOOPBACK_IDENTITY, strlen(LOOPBACK_IDENTITY), key, sizeof(key)), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(ctx, &cipher, 1), DTLS_OK);
	return ctx;
}

static socklen_t set_address(union endpoint_address *a, const char *host, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, host, &a->in.sin_addr) == 1) {
		a->in.sin_family = AF_INET;
		a->in.sin_port = htons(port);
		return sizeof(a->in);
	}
	ck_assert_int_eq(inet_pton(AF_INET6, host, &a->in6.sin6_addr), 1);
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(port);
	return sizeof(a->in6);
}

static int udp_socket(int family, int flags)
{
	int fd = socket(family, SOCK_DGRAM | flags, 0), off = 0;

	ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
	if (family == AF_INET6)
		ck_assert_int_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)), 0);
	return fd;
}

/* Asked before the tests run, when nothing may be asserted. */
bool loopback_has_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

int loopback_bound(const char *host, uint16_t port, int flags)
{
	union endpoint_address a;
	socklen_t len = set_address(&a, host, port);
	int fd = udp_socket(a.any.sa_family, flags), on = 1;

	/* A port that is named may be taken while another socket still has it. Where the kernel chooses, it must not see
	 * this before: it would choose a port of another such socket. */
	if (port != 0)
		ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	ck_assert_msg(bind(fd, &a.any, len) == 0, "bind %s: %s", host, strerror(errno));
	ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	return fd;
}

void loopback_connect(int fd, const char *host, uint16_t port)
{
	union endpoint_address a;
	socklen_t len = set_address(&a, host, port);

	ck_assert_msg(connect(fd, &a.any, len) == 0, "connect %s: %s", host, strerror(errno));
}

int loopback_connected(const char *host, uint16_t port, int flags)
{
	union endpoint_address a;
	int fd;

	set_address(&a, host, port);
	fd = udp_socket(a.any.sa_family, flags);
	loopback_connect(fd, host, port);
	return fd;
}

uint16_t loopback_port(int fd)
{
	union endpoint_address a = {.in6 = {0}};
	socklen_t len = sizeof(a);

	ck_assert_int_eq(getsockname(fd, &a.any, &len), 0);
	return ntohs(a.any.sa_family == AF_INET ? a.in.sin_port : a.in6.sin6_port);
}

int64_t loopback_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void loopback_wait(int fd, int other_fd, int ms)
{
	struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = other_fd, .events = POLLIN}};
	int n = poll(p, 2, ms < 0 ? LOOPBACK_PATIENCE_MS : ms);

	ck_assert_msg(n >= 0, "poll: %s", strerror(errno));
	ck_assert_msg(n > 0 || ms >= 0, "nothing came within %d ms", LOOPBACK_PATIENCE_MS);
}

static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

void loopback_handshake(struct dtls_conn *a, int fd, struct dtls_conn *b, int other_fd)
{
	int64_t stop_at = loopback_now_ms() + LOOPBACK_PATIENCE_MS;

	while (loopback_now_ms() < stop_at) {
		int one = dtls_conn_handshake(a), other = dtls_conn_handshake(b);

		if (one == DTLS_OK && other == DTLS_OK)
			return;
		ck_assert_msg(one == DTLS_OK || one == DTLS_WANT_READ, "%d %s", one, dtls_conn_error(a));
		ck_assert_msg(other == DTLS_OK || other == DTLS_WANT_READ, "%d %s", other, dtls_conn_error(b));
		loopback_wait(fd, other_fd, sooner(dtls_conn_timeout(a), dtls_conn_timeout(b)));
	}
	ck_abort_msg("the handshake did not end in time");
}

ssize_t loopback_read(struct dtls_conn *c, int fd, void *buf, size_t len)
{
	ssize_t n;

	while ((n = dtls_conn_read(c, buf, len)) == DTLS_WANT_READ)
		loopback_wait(fd, -1, -1);
	return n;
}

void loopback_tell(struct dtls_conn *from, struct dtls_conn *to, int to_fd, const char *text)
{
	char buf[2048];
	ssize_t len = (ssize_t)strlen(text);

	ck_assert_int_eq(dtls_conn_write(from, text, (size_t)len), len);
	ck_assert_int_eq(loopback_read(to, to_fd, buf, sizeof(buf)), len);
	ck_assert_mem_eq(buf, text, (size_t)len);
}

struct loopback_side loopback_side(enum dtls_protocol protocol, int fd)
{
	struct loopback_side s = {.ctx = loopback_context(protocol), .fd = fd};

	s.conn = dtls_wrap_socket(s.ctx, fd);
	ck_assert_msg(s.conn != NULL, "%s", dtls_context_error(s.ctx));
	return s;
}

void loopback_side_free(struct loopback_side *s)
{
	dtls_conn_free(s->conn);
	dtls_context_free(s->ctx);
	close(s->fd);
}

/* A server on bind_to, a client of reach, which is a name of the same socket. */
struct two_sides two_sides_new(const char *bind_to, const char *reach, int client_flags)
{
	struct two_sides p;

	p.server = loopback_side(PROTOCOL_DTLS_SERVER, loopback_bound(bind_to, 0, SOCK_NONBLOCK));
	p.client =
	    loopback_side(PROTOCOL_DTLS_CLIENT, loopback_connected(reach, loopback_port(p.server.fd), client_flags));
	return p;
}

void two_sides_free(struct two_sides *p)
{
	loopback_side_free(&p->client);
	loopback_side_free(&p->server);
}

void two_sides_handshake(struct two_sides *p)
{
	loopback_handshake(p->client.conn, p->client.fd, p->server.conn, p->server.fd);
}

void two_sides_talk(struct two_sides *p)
{
	loopback_tell(p->client.conn, p->server.conn, p->server.fd, "21.5");
	loopback_tell(p->server.conn, p->client.conn, p->client.fd, "noted");
}

struct two_sides two_sides_connected(void)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", SOCK_NONBLOCK);

	two_sides_handshake(&p);
	return p;
}
