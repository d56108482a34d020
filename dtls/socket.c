#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

union control { /* room for one packet-info message */
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

const char *socket_prepare(struct sock *s, int fd)
{
	struct sockaddr_storage any = {0};
	socklen_t any_len = sizeof(any), type_len = sizeof(int);
	struct address local;
	int type, on = 1, failed;

	*s = (struct sock){.fd = fd};
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) != 0)
		return strerror(errno);
	if (type != SOCK_DGRAM)
		return "it is not a datagram socket";
	if (getsockname(fd, (struct sockaddr *)&any, &any_len) != 0)
		return strerror(errno);
	if (!address_set(&local, (struct sockaddr *)&any, any_len))
		return "it is neither an IPv4 nor an IPv6 socket";
	socket_is_connected(s, NULL);
	s->wildcard = !s->connected && address_is_wildcard(&local);
	if (!s->wildcard)
		return NULL;
	if (local.any.sa_family == AF_INET)
		failed = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
	else
		failed = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	return failed != 0 ? strerror(errno) : NULL;
}

bool socket_is_connected(struct sock *s, struct address *peer)
{
	struct sockaddr_storage any;
	socklen_t len = sizeof(any);
	struct address ignored;

	s->connected = getpeername(s->fd, (struct sockaddr *)&any, &len) == 0;
	return s->connected && address_set(peer != NULL ? peer : &ignored, (struct sockaddr *)&any, len);
}

bool socket_blocks(const struct sock *s)
{
	int flags = fcntl(s->fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

static void read_local(struct msghdr *m, struct address *local)
{
	memset(local, 0, sizeof(*local));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local->in.sin_family = AF_INET;
			local->in.sin_addr = info.ipi_addr;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			local->in6.sin6_family = AF_INET6;
			local->in6.sin6_addr = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				local->in6.sin6_scope_id = info.ipi6_ifindex;
		}
	}
}

/* Only these tell that the socket itself will not do. All others are about one datagram or the path, some of them for
 * what was sent earlier, perhaps to somebody else, and anybody can provoke them with a forged ICMP error. */
static bool is_final(int error)
{
	return error == EBADF || error == ENOTSOCK || error == EFAULT || error == ENOTCONN || error == EDESTADDRREQ;
}

static ssize_t failure(void)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return SOCKET_EMPTY;
	return is_final(errno) ? SOCKET_FAILED : SOCKET_LOST;
}

ssize_t socket_recv(const struct sock *s, void *buf, size_t len, struct address *from, struct address *local)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};
	struct sockaddr_storage any;
	union control control;
	struct msghdr m = {.msg_name = &any, .msg_namelen = sizeof(any), .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (s->wildcard) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
	}
	do
		n = recvmsg(s->fd, &m, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return failure();
	if (!address_set(from, (struct sockaddr *)&any, m.msg_namelen))
		return SOCKET_STRANGE;
	read_local(&m, local);
	return (m.msg_flags & MSG_TRUNC) != 0 ? SOCKET_CUT : n;
}

static void write_local(struct msghdr *m, union control *control, const struct address *local)
{
	struct cmsghdr *c = &control->align;

	memset(control, 0, sizeof(*control));
	m->msg_control = control;
	if (local->any.sa_family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = local->in.sin_addr};

		m->msg_controllen = CMSG_SPACE(sizeof(info));
		*c = (struct cmsghdr){
		    .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct in6_pktinfo info = {.ipi6_addr = local->in6.sin6_addr, .ipi6_ifindex = local->in6.sin6_scope_id};

		m->msg_controllen = CMSG_SPACE(sizeof(info));
		*c = (struct cmsghdr){
		    .cmsg_len = CMSG_LEN(sizeof(info)), .cmsg_level = IPPROTO_IPV6, .cmsg_type = IPV6_PKTINFO};
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

ssize_t socket_send(
    const struct sock *s, const struct address *to, const struct address *local, const void *buf, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t n;

	if (to != NULL) {
		m.msg_name = (void *)(uintptr_t)to;
		m.msg_namelen = address_len(to);
	}
	if (local != NULL && address_len(local) != 0)
		write_local(&m, &control, local);
	do
		n = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : failure();
}

const char *socket_prepare_stream(struct sock *s, int fd)
{
	socklen_t len = sizeof(int);
	int type, listens = 0;

	*s = (struct sock){.fd = fd};
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
		return strerror(errno);
	if (type != SOCK_STREAM)
		return "it is not a stream socket";
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
		return "it listens: accept() a connection, and take that";
	return NULL;
}

static ssize_t stream_failure(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK ? SOCKET_EMPTY : SOCKET_FAILED;
}

ssize_t socket_read(const struct sock *s, void *buf, size_t len)
{
	ssize_t n;

	do
		n = recv(s->fd, buf, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : stream_failure();
}

ssize_t socket_write(const struct sock *s, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = send(s->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : stream_failure();
}

int socket_wait(const struct sock *s, short events, int64_t ms)
{
	struct pollfd p = {.fd = s->fd, .events = events};

	return poll(&p, 1, ms < 0 ? -1 : ms < INT_MAX ? (int)ms : INT_MAX);
}
