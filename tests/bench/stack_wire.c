#include "stacks.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESSES = 250 };

void stack_wire_open(struct stack_wire *wire, struct plain_queue *in, struct plain_queue *out)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	wire->in = in;
	wire->out = out;
	wire->client_fd = -1;
	wire->server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	stack_must(wire->server_fd >= 0 && bind(wire->server_fd, (struct sockaddr *)&at, sizeof(at)) == 0, "a socket");
	stack_wire_renew(wire);
}

void stack_wire_renew(struct stack_wire *wire)
{
	struct sockaddr_in at, from = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);

	if (wire->client_fd >= 0)
		close(wire->client_fd);
	from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + wire->clients++ % ADDRESSES);
	wire->client_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	stack_must(wire->client_fd >= 0 && bind(wire->client_fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
		       getsockname(wire->server_fd, (struct sockaddr *)&at, &len) == 0 &&
		       connect(wire->client_fd, (struct sockaddr *)&at, len) == 0,
	    "a client's socket");
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
