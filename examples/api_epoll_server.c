/* api-epoll-server - sends each message back to its sender: any number of peers, one UDP socket, one epoll(7) loop.
 * Usage: api-epoll-server PORT IDENTITY:HEXKEY */
#include <dtls/dtls.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

static _Noreturn void die(const char *sentence)
{
	fprintf(stderr, "api-epoll-server: %s\n", sentence);
	exit(EXIT_FAILURE);
}

static int listen_on(const char *port)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0); /* :: takes IPv4 as well */

	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) != 0)
		die(strerror(errno));
	return fd;
}

/* Everything that can be done without waiting. */
static void serve(struct dtls_endpoint *ep)
{
	unsigned char message[16384];
	struct dtls_peer *peer;
	ssize_t n;

	while ((n = dtls_endpoint_recv(ep, &peer, message, sizeof(message))) != DTLS_WANT_READ) {
		if (peer == NULL)
			die(dtls_endpoint_error(ep));
		if (n > 0)
			dtls_peer_send(peer, message, (size_t)n);
		else if (n == DTLS_CONNECTED)
			printf("a peer connected with %s\n", dtls_peer_cipher(peer));
		else
			printf("a peer has ended: %s\n", n == DTLS_CLOSED ? "closed" : dtls_peer_error(peer));
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	struct dtls_limits limits = {.idle_ms = 300000};
	struct dtls_endpoint *ep;
	struct epoll_event event = {.events = EPOLLIN};
	int fd, epoll_fd;

	if (argc != 3)
		die("usage: api-epoll-server PORT IDENTITY:HEXKEY");
	if (ctx == NULL || dtls_context_add_psk_line(ctx, argv[2]) != DTLS_OK)
		die(dtls_context_error(ctx));
	fd = listen_on(argv[1]);
	ep = dtls_endpoint_new(ctx, fd, &limits);
	if (ep == NULL)
		die(dtls_context_error(ctx));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		die(strerror(errno));
	for (;;) {
		serve(ep);
		event.events = (uint32_t)dtls_endpoint_events(ep); /* the bits of poll(2) are those of epoll(7) */
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event);
		epoll_wait(epoll_fd, &event, 1, dtls_endpoint_timeout(ep));
	}
}
