/* This library's endpoint with its gate, over the queues, and over a socket of the loopback device. */
#include "stack_certificate.h"
#include "stacks.h"

#include <arpa/inet.h>
#include <dtls/dtls.h>
#include <stdlib.h>
#include <string.h>

enum { MTU = 1400 }; /* for 1200 bytes of payload */

struct ours {
	struct plain_queue *in, *out;
	struct dtls_context *ctx;
	struct dtls_endpoint *ep;
	struct dtls_peer *peer; /* the one that is connected */
	struct sockaddr_in client;
	bool has_wire;
	struct stack_wire wire;
};

static struct dtls_context *make_context(enum stack_suite suite)
{
	static const char *const names[STACK_SUITES] = {
	    [STACK_PSK] = "TLS-PSK-WITH-AES-128-CCM-8",
	    [STACK_ECDHE_PSK] = "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256",
	    [STACK_ECDSA] = "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
	    [STACK_PSK_GCM] = "TLS-PSK-WITH-AES-128-GCM-SHA256",
	};
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_SERVER);
	int status;

	stack_must(ctx != NULL, "a context");
	if (suite == STACK_ECDSA)
		status = dtls_context_load_cert_chain_data(
		    ctx, stack_certificate, strlen(stack_certificate), stack_key, strlen(stack_key));
	else
		status =
		    dtls_context_add_psk(ctx, plain_identity, strlen(plain_identity), plain_key, strlen(plain_key));
	stack_must(status == DTLS_OK && dtls_context_set_ciphers(ctx, &names[suite], 1) == DTLS_OK &&
		       dtls_context_set_mtu(ctx, MTU) == DTLS_OK,
	    dtls_context_error(ctx));
	return ctx;
}

static struct ours *make(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	struct ours *o = stack_memory(sizeof(*o));

	o->in = in;
	o->out = out;
	o->ctx = make_context(suite);
	return o;
}

static ssize_t send_datagram(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	(void)to, (void)to_len;
	plain_put(((struct ours *)arg)->out, buf, len);
	return (ssize_t)len;
}

static ssize_t recv_datagram(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct ours *o = arg;
	int n = plain_take(o->in, buf, len);

	if (n < 0)
		return DTLS_WANT_READ;
	memcpy(from, &o->client, sizeof(o->client));
	*from_len = sizeof(o->client);
	return n;
}

static void *open_queues(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	struct ours *o = make(suite, in, out);
	struct dtls_datagrams datagrams = {send_datagram, recv_datagram, o};

	o->client =
	    (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(1024), .sin_addr.s_addr = htonl(0xc0000207)};
	o->ep = dtls_endpoint_new_transport(o->ctx, &datagrams, NULL);
	stack_must(o->ep != NULL, dtls_context_error(o->ctx));
	return o;
}

static void *open_sockets(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	struct ours *o = make(suite, in, out);

	o->has_wire = true;
	stack_wire_open(&o->wire, in, out);
	o->ep = dtls_endpoint_new(o->ctx, o->wire.server_fd, NULL);
	stack_must(o->ep != NULL, dtls_context_error(o->ctx));
	return o;
}

static void close_server(void *server)
{
	struct ours *o = server;

	dtls_endpoint_free(o->ep);
	dtls_context_free(o->ctx);
	if (o->has_wire)
		stack_wire_close(&o->wire);
	free(o);
}

static void begin(void *server)
{
	(void)server;
}

/* Runs the endpoint dry. */
static bool serve(void *server)
{
	struct ours *o = server;
	struct dtls_peer *peer;
	uint8_t buf[64];
	ssize_t event;

	while ((event = dtls_endpoint_recv(o->ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		stack_must(event == DTLS_CONNECTED, "our handshake");
		o->peer = peer;
	}
	return o->peer != NULL;
}

static void echo(void *server, int count)
{
	struct ours *o = server;
	struct dtls_peer *peer;
	uint8_t buf[PLAIN_DATAGRAM];
	ssize_t n;

	for (; (n = dtls_endpoint_recv(o->ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ; count--)
		stack_must(n > 0 && dtls_peer_send(peer, buf, (size_t)n) == n, "our echo");
	stack_must(count == 0, "our echo of all");
}

static void end(void *server)
{
	struct ours *o = server;

	dtls_peer_close(o->peer);
	o->peer = NULL;
	dtls_endpoint_flush(o->ep);
	o->client.sin_addr.s_addr = htonl(ntohl(o->client.sin_addr.s_addr) + 1);
	if (o->has_wire)
		stack_wire_renew(&o->wire);
}

static void deliver(void *server)
{
	stack_wire_deliver(&((struct ours *)server)->wire);
}

static void collect(void *server)
{
	stack_wire_collect(&((struct ours *)server)->wire);
}

const struct stack stack_ours = {
    .name = "ours, in memory",
    .open = open_queues,
    .close = close_server,
    .begin = begin,
    .serve = serve,
    .echo = echo,
    .end = end,
};

const struct stack stack_ours_udp = {
    .name = "ours, over UDP",
    .open = open_sockets,
    .close = close_server,
    .begin = begin,
    .serve = serve,
    .echo = echo,
    .end = end,
    .deliver = deliver,
    .collect = collect,
};
