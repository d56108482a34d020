/* api-blocking-client - sends one message to a DTLS server and prints its answer. The socket blocks, so every call
 * waits for what it needs, and resends what was lost while it waits.
 * Usage: api-blocking-client HOST PORT IDENTITY:HEXKEY MESSAGE */
#include <dtls/dtls.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A UDP socket that is connected to host and port; negative: there is none. */
static int connect_to(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *first;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &first) != 0)
		return -1;
	for (struct addrinfo *a = first; a != NULL && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(first);
	return fd;
}

static int exchange(struct dtls_conn *c, const char *message)
{
	char answer[16384];
	ssize_t n;

	dtls_conn_set_timeout(c, 10000);
	n = dtls_conn_write(c, message, strlen(message)); /* handshakes first */
	if (n >= 0)
		n = dtls_conn_read(c, answer, sizeof(answer));
	if (n == DTLS_AGAIN)
		fprintf(stderr, "no answer within 10 s\n");
	else if (n < 0)
		fprintf(stderr, "%s\n", dtls_conn_error(c));
	else
		printf("%.*s\n", (int)n, answer);
	dtls_conn_close(c);
	return n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct dtls_conn *c = NULL;
	int fd = -1, status = EXIT_FAILURE;

	if (argc != 5)
		fprintf(stderr, "usage: api-blocking-client HOST PORT IDENTITY:HEXKEY MESSAGE\n");
	else if (ctx == NULL || dtls_context_add_psk_line(ctx, argv[3]) != DTLS_OK)
		fprintf(stderr, "%s\n", dtls_context_error(ctx));
	else if ((fd = connect_to(argv[1], argv[2])) < 0)
		fprintf(stderr, "cannot reach %s, port %s\n", argv[1], argv[2]);
	else if ((c = dtls_wrap_socket(ctx, fd)) == NULL)
		fprintf(stderr, "%s\n", dtls_context_error(ctx));
	else
		status = exchange(c, argv[4]);
	dtls_conn_free(c);
	dtls_context_free(ctx);
	if (fd >= 0)
		close(fd);
	return status;
}
