#include "mqtt_tcp.h"

#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* 0, or why there is no connection yet. */
static int finish(int fd, int signals, int64_t deadline_ms)
{
	int64_t left_ms = deadline_ms - cli_now_ms();
	struct pollfd fds[] = {{.fd = fd, .events = POLLOUT}, {.fd = signals, .events = POLLIN}};
	int error = 0, n = poll(fds, 2, left_ms < 0 ? 0 : left_ms < INT_MAX ? (int)left_ms : INT_MAX);
	socklen_t len = sizeof(error);

	if (n == 0)
		return ETIMEDOUT;
	if (n < 0)
		return errno;
	if (fds[1].revents != 0)
		return EINTR;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : errno;
}

/* The descriptor, or -1 with errno. */
static int try_one(const struct addrinfo *to, int signals, int64_t deadline_ms)
{
	int fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0, on = 1;

	if (fd < 0)
		return -1;
	/* What is written is meant to leave now, not when the broker has acknowledged what left before. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, to->ai_addr, to->ai_addrlen) != 0)
		error = errno != EINPROGRESS ? errno : finish(fd, signals, deadline_ms);
	if (error == 0)
		return fd;
	close(fd);
	errno = error;
	return -1;
}

int mqtt_tcp_connect(const char *broker, int signals, int64_t deadline_ms, char name[CLI_ADDRESS_TEXT])
{
	struct addrinfo *addresses = cli_resolve_all("the broker", broker, false);
	int fd = -1;

	for (const struct addrinfo *to = addresses; to != NULL && fd < 0; to = to->ai_next) {
		struct cli_address address = {.len = to->ai_addrlen};

		memcpy(&address.storage, to->ai_addr, address.len);
		cli_address_text(&address, name);
		fd = try_one(to, signals, deadline_ms);
		if (fd < 0 && errno == EINTR)
			cli_fail("ended by a signal before there was a connection to %s", name);
	}
	if (fd < 0)
		cli_fail("cannot connect to %s: %s%s", name, strerror(errno),
		    errno == ECONNREFUSED ? "; does a broker listen there?" : "");
	freeaddrinfo(addresses);
	return fd;
}
