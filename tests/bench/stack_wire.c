#include "stacks.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

void stack_wire_open(struct stack_wire *wire, struct plain_queue *in, struct plain_queue *out)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	wire->in = in;
	wire->out = out;
	wire->server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	wire->client_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	stack_must(wire->server_fd >= 0 && wire->client_fd >= 0 &&
		       bind(wire->server_fd, (struct sockaddr *)&at, len) == 0 &&
		       getsockname(wire->server_fd, (struct sockaddr *)&at, &len) == 0 &&
		       connect(wire->client_fd, (struct sockaddr *)&at, len) == 0,
	    "sockets");
}

void stack_wire_close(struct stack_wire *wire)
{
	close(wire->server_fd);
	close(wire->client_fd);
}

void stack_wire_deliver(struct stack_wire *wire)
{
	uint8_t datagram[PLAIN_DATAGRAM];
	int n;

	while ((n = plain_take(wire->in, datagram, sizeof(datagram))) >= 0)
		stack_must(send(wire->client_fd, datagram, (size_t)n, 0) == n, "to send over the loopback device");
}

void stack_wire_collect(struct stack_wire *wire)
{
	uint8_t datagram[PLAIN_DATAGRAM];
	ssize_t n;

	while ((n = recv(wire->client_fd, datagram, sizeof(datagram), 0)) >= 0)
		plain_put(wire->out, datagram, (size_t)n);
}
