/* mbed TLS alone: one context, which is reset for each client. */
#include "stack_certificate.h"
#include "stacks.h"

#include <mbedtls/pk.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

int stack_suite_code(enum stack_suite suite)
{
	static const int codes[STACK_SUITES] = {
	    [STACK_PSK] = MBEDTLS_TLS_PSK_WITH_AES_128_CCM_8,
	    [STACK_ECDHE_PSK] = MBEDTLS_TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256,
	    [STACK_ECDSA] = MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	    [STACK_PSK_GCM] = MBEDTLS_TLS_PSK_WITH_AES_128_GCM_SHA256,
	};

	return codes[suite];
}

static void take_p256(struct plain_side *side)
{
#if MBEDTLS_VERSION_NUMBER < 0x03000000
	static const mbedtls_ecp_group_id curves[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_NONE};

	mbedtls_ssl_conf_curves(&side->conf, curves);
#else
	static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

	mbedtls_ssl_conf_groups(&side->conf, groups);
#endif
}

static void certify(struct plain_side *side)
{
	static mbedtls_x509_crt certificate; /* for the life of the program */
	static mbedtls_pk_context key;

	if (certificate.version == 0) {
		mbedtls_x509_crt_init(&certificate);
		mbedtls_pk_init(&key);
		stack_must(mbedtls_x509_crt_parse(
			       &certificate, (const unsigned char *)stack_certificate, sizeof(stack_certificate)) == 0,
		    "mbed TLS's certificate");
#if MBEDTLS_VERSION_NUMBER < 0x03000000
		stack_must(
		    mbedtls_pk_parse_key(&key, (const unsigned char *)stack_key, sizeof(stack_key), NULL, 0) == 0,
		    "mbed TLS's key");
#else
		stack_must(mbedtls_pk_parse_key(&key, (const unsigned char *)stack_key, sizeof(stack_key), NULL, 0,
			       mbedtls_ctr_drbg_random, &side->drbg) == 0,
		    "mbed TLS's key");
#endif
	}
	stack_must(mbedtls_ssl_conf_own_cert(&side->conf, &certificate, &key) == 0, "mbed TLS's own certificate");
}

void stack_plain_init(
    struct plain_side *side, bool server, enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	plain_init(side, server, stack_suite_code(suite), in, out);
	take_p256(side);
	if (suite == STACK_ECDSA && server)
		certify(side);
	if (server) {
		plain_reset(side);
		return;
	}
	mbedtls_ssl_conf_authmode(&side->conf, MBEDTLS_SSL_VERIFY_NONE);
	mbedtls_ssl_conf_session_tickets(&side->conf, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
	plain_reset(side);
}

struct server {
	struct plain_side side; /* first */
	bool has_wire;
	struct stack_wire wire;
};

static void *open_server(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	struct server *server = stack_memory(sizeof(*server));

	stack_plain_init(&server->side, true, suite, in, out);
	return server;
}

static int send_on_socket(void *fd, const unsigned char *buf, size_t len)
{
	return send(*(int *)fd, buf, len, 0) == (ssize_t)len ? (int)len : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int recv_on_socket(void *fd, unsigned char *buf, size_t len)
{
	ssize_t n = recv(*(int *)fd, buf, len, 0);

	return n < 0 ? MBEDTLS_ERR_SSL_WANT_READ : (int)n;
}

/* The server's socket is connected, too, as that of mbed TLS's own programs. */
static void connect_server(struct stack_wire *wire)
{
	struct sockaddr_in client;
	socklen_t len = sizeof(client);

	stack_must(getsockname(wire->client_fd, (struct sockaddr *)&client, &len) == 0 &&
		       connect(wire->server_fd, (struct sockaddr *)&client, len) == 0,
	    "to connect a socket");
}

static void *open_sockets(enum stack_suite suite, struct plain_queue *in, struct plain_queue *out)
{
	struct server *server = open_server(suite, in, out);

	server->has_wire = true;
	stack_wire_open(&server->wire, in, out);
	connect_server(&server->wire);
	mbedtls_ssl_set_bio(&server->side.ssl, &server->wire.server_fd, send_on_socket, recv_on_socket, NULL);
	return server;
}

static void close_server(void *server)
{
	struct server *s = server;

	plain_free(&s->side);
	if (s->has_wire)
		stack_wire_close(&s->wire);
	free(s);
}

static void begin(void *server)
{
	plain_reset(server);
}

static bool serve(void *server)
{
	int code = plain_step(server);

	return (code == MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED ? plain_step(server) : code) == 0;
}

static void echo(void *server, int count)
{
	struct plain_side *side = server;
	unsigned char buf[PLAIN_DATAGRAM];

	for (int i = 0; i < count; i++) {
		int n = mbedtls_ssl_read(&side->ssl, buf, sizeof(buf));

		stack_must(n > 0 && mbedtls_ssl_write(&side->ssl, buf, (size_t)n) == n, "mbed TLS's echo");
	}
}

static void end(void *server)
{
	struct server *s = server;

	if (!s->has_wire)
		return;
	stack_wire_renew(&s->wire);
	connect_server(&s->wire);
}

static void deliver(void *server)
{
	stack_wire_deliver(&((struct server *)server)->wire);
}

static void collect(void *server)
{
	stack_wire_collect(&((struct server *)server)->wire);
}

const struct stack stack_mbedtls = {
    .name = "mbed TLS alone",
    .open = open_server,
    .close = close_server,
    .begin = begin,
    .serve = serve,
    .echo = echo,
    .end = end,
};

const struct stack stack_mbedtls_udp = {
    .name = "mbed TLS alone, over UDP",
    .open = open_sockets,
    .close = close_server,
    .begin = begin,
    .serve = serve,
    .echo = echo,
    .end = end,
    .deliver = deliver,
    .collect = collect,
};
