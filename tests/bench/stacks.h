/* stacks.h - servers that are measured side by side: this library's endpoint, mbed TLS, OpenSSL and GnuTLS alone. All of them
 * serve the same client, plain mbed TLS, over queues in memory; two of them over UDP, too. */
#ifndef STACKS_H
#define STACKS_H

#include "plain.h"

enum stack_suite { STACK_PSK, STACK_ECDHE_PSK, STACK_ECDSA, STACK_PSK_GCM, STACK_SUITES };

struct stack {
	const char *name;
	/* With one suite, P-256, cookies, and neither tickets nor a session cache. Exits when it cannot be done. */
	void *(*open)(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out);
	void (*close)(void *server);
	/* The work that is measured: makes room for a client where the stack needs that; takes what came, and is true once
	 * the handshake is done; takes so many messages and sends each back. */
	void (*begin)(void *server);
	bool (*serve)(void *server);
	void (*echo)(void *server, int count);
	/* The rest: forgets the client; moves datagrams between the queues and a socket, where there is one. */
	void (*end)(void *server);
	void (*deliver)(void *server);
	void (*collect)(void *server);
};

extern const struct stack stack_ours, stack_ours_udp, stack_mbedtls, stack_mbedtls_udp, stack_openssl, stack_gnutls;

/* Their names for a suite. */
extern const char *const stack_suite_names[STACK_SUITES];
int stack_suite_code(enum stack_suite suite); /* MBEDTLS_TLS_... */

/* A client or a server for it of plain mbed TLS, without tickets; the client takes any certificate. */
void stack_plain_init(
    struct plain_side *side, bool server, enum stack_suite suite, struct plain_queue *in, struct plain_queue *out);
/* Both end the program, where well is false, and where there is no memory, which comes zeroed. */
void stack_must(bool well, const char *what);
void *stack_memory(size_t size);

struct stack_wire { /* two sockets of the loopback device between the queues and a server */
	struct plain_queue *in, *out;
	int server_fd, client_fd; /* the client's is connected */
	unsigned clients;
};

void stack_wire_open(struct stack_wire *wire, struct plain_queue *in, struct plain_queue *out);
void stack_wire_close(struct stack_wire *wire);
/* Another client, from another address: an endpoint grants each only so many handshakes. */
void stack_wire_renew(struct stack_wire *wire);
void stack_wire_deliver(struct stack_wire *wire); /* in -> the server's socket */
void stack_wire_collect(struct stack_wire *wire); /* the client's socket -> out */

struct stack_lane { /* a client, its server, and what is between them */
	const struct stack *stack;
	void *server;
	struct plain_queue to_server, to_client;
	struct plain_side client;
};

void stack_lane_open(struct stack_lane *lane, const struct stack *stack, enum stack_suite suite);
void stack_lane_close(struct stack_lane *lane);
/* One handshake; the CPU time that the server took, in ns. It is left to the caller to end it. */
double stack_lane_shake(struct stack_lane *lane);
/* STACK_ECHOES messages from the client and back; the CPU time that the server took for one, in ns. */
enum { STACK_ECHOES = PLAIN_QUEUE };
double stack_lane_echo(struct stack_lane *lane, const uint8_t *message, size_t len);

#endif
