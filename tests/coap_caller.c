#include "coap_caller.h"

#include "suites.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t put(void *caller, const void *buf, size_t len)
{
	struct caller *c = caller;
	const uint8_t *bytes = buf;

	if (bytes[0] == 22 && bytes[4] == 0 && bytes[13] == 1 && len <= sizeof(c->hello)) {
		memcpy(c->hello, buf, len);
		c->hello_len = len;
	}
	if (!c->gathers)
		return send(c->fd, buf, len, 0);
	memcpy(c->gathered + c->gathered_len, buf, len);
	c->gathered_len += len;
	return (ssize_t)len;
}

static ssize_t get(void *caller, void *buf, size_t len)
{
	struct caller *c = caller;
	ssize_t n = recv(c->fd, buf, len, 0);

	if (n > (ssize_t)c->largest)
		c->largest = (size_t)n;
	return n > 0 ? n : DTLS_WANT_READ;
}

void caller_begin(struct caller *c, struct dtls_context *ctx)
{
	struct dtls_transport transport = {put, get, c};

	dtls_conn_free(c->conn);
	dtls_context_free(c->ctx);
	c->ctx = ctx;
	c->conn = dtls_wrap_transport(ctx, &transport);
	ck_assert_ptr_nonnull(c->conn);
}

void caller_again(struct caller *c, const char *identity, const char *suite)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	ck_assert_int_eq(dtls_context_set_psk(ctx, identity, strlen(identity), COAP_KEY, strlen(COAP_KEY)), DTLS_OK);
	if (suite != NULL)
		ck_assert_int_eq(dtls_context_set_ciphers(ctx, &suite, 1), DTLS_OK);
	caller_begin(c, ctx);
}

void caller_open(struct caller *c, struct coap_ends *ends, const char *identity, const char *suite)
{
	coap_address_t own;

	memset(c, 0, sizeof(*c));
	c->ends = ends;
	c->fd = coap_udp_socket(&own);
	ck_assert_int_eq(connect(c->fd, &ends->address.addr.sa, sizeof(ends->address.addr.sin)), 0);
	caller_again(c, identity, suite);
}

void caller_close(struct caller *c)
{
	dtls_conn_free(c->conn);
	dtls_context_free(c->ctx);
	close(c->fd);
}

void coap_serve(struct coap_ends *ends)
{
	for (int i = 0; i < 4; i++)
		coap_io_process(ends->server.ctx, COAP_IO_NO_WAIT);
}

int caller_shake(struct caller *c)
{
	int status = DTLS_WANT_READ;

	for (int i = 0; i < 100 && status == DTLS_WANT_READ; i++) {
		status = dtls_conn_handshake(c->conn);
		coap_serve(c->ends);
	}
	return status;
}

/* An empty confirmable message, which libcoap answers by 4 bytes, four times a second at most. */
ssize_t caller_ping(struct caller *c)
{
	static uint8_t mid;
	uint8_t message[] = {0x40, 0, 0x77, ++mid}, answer[100];
	ssize_t n = DTLS_WANT_READ;

	coap_pass(c->ends, 300);
	c->largest = 0;
	if (dtls_conn_write(c->conn, message, sizeof(message)) != (ssize_t)sizeof(message))
		return DTLS_FAIL;
	for (int i = 0; i < 20 && n == DTLS_WANT_READ; i++) {
		coap_serve(c->ends);
		n = dtls_conn_read(c->conn, answer, sizeof(answer));
	}
	ck_assert(n < 4 || (answer[0] == 0x70 && answer[3] == mid));
	return n;
}

void caller_send(struct caller *c, const void *datagram, size_t len)
{
	ck_assert_int_eq(send(c->fd, datagram, len, 0), (ssize_t)len);
	coap_serve(c->ends);
}
