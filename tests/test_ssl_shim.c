/* The ssl module's C face: the one call, contexts, and their errors. */
#include "loopback.h"
#include "ssl_shim/ssl_shim.h"
#include "suites.h"

#include <errno.h>
#include <mbedtls/ssl.h>
#include <poll.h>
#include <unistd.h>

struct both {
	struct ssl_socket *client, *server;
};

static struct ssl_wrap_args deferred(bool server)
{
	struct ssl_wrap_args args = SSL_WRAP_ARGS;

	args.server_side = server;
	args.do_handshake = false;
	args.psk_ident = ssl_text("sensor-17");
	args.psk_key = ssl_text("secretPSK");
	return args;
}

static struct ssl_socket *wrapped(int fd, const struct ssl_wrap_args *args)
{
	struct ssl_error e;
	struct ssl_socket *s = ssl_wrap_socket(fd, args, &e);

	ck_assert_msg(s != NULL, "%s: %s", e.text, e.note);
	ssl_socket_set_timeout(s, 0);
	return s;
}

static struct both over(int client_fd, int server_fd)
{
	struct ssl_wrap_args client = deferred(false), server = deferred(true);

	return (struct both){wrapped(client_fd, &client), wrapped(server_fd, &server)};
}

static struct both over_stream(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	return over(fds[0], fds[1]);
}

static struct both over_datagrams(void)
{
	int server = loopback_bound("127.0.0.1", 0, 0);
	int client = loopback_connected("127.0.0.1", loopback_port(server), 0);

	return over(client, server);
}

static void shake(struct both *b)
{
	struct pollfd p[2] = {{ssl_socket_fileno(b->client), POLLIN, 0}, {ssl_socket_fileno(b->server), POLLIN, 0}};
	struct ssl_error e;
	int client, server;

	for (;;) {
		client = ssl_socket_do_handshake(b->client, &e);
		server = ssl_socket_do_handshake(b->server, &e);
		ck_assert_msg(client != SSL_FAILED && server != SSL_FAILED, "%s: %s", e.text, e.note);
		if (client == 0 && server == 0)
			return;
		ck_assert_int_gt(poll(p, 2, LOOPBACK_PATIENCE_MS), 0);
	}
}

static void assert_talks(struct both *b)
{
	char buf[16];
	struct ssl_error e;

	shake(b);
	ck_assert_int_eq(ssl_socket_write(b->client, "21.4", 4, &e), 4);
	ssl_socket_set_timeout(b->server, LOOPBACK_PATIENCE_MS);
	ck_assert_int_eq(ssl_socket_recv(b->server, buf, 2, &e), 2);
	ck_assert_mem_eq(buf, "21", 2);
	ck_assert_uint_eq(ssl_socket_pending(b->server), 2);
	ck_assert_int_eq(ssl_socket_recv(b->server, buf, sizeof(buf), &e), 2);
	ck_assert_int_eq(ssl_socket_close(b->client, &e), 0);
	ck_assert_int_eq(ssl_socket_recv(b->server, buf, sizeof(buf), &e), 0);
	ck_assert_int_eq(ssl_socket_close(b->server, &e), 0);
	ck_assert_int_eq(ssl_socket_close(b->server, &e), 0);
	ck_assert_int_eq(ssl_socket_recv(b->server, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EBADF);
	ssl_socket_free(b->client);
	ssl_socket_free(b->server);
}

START_TEST(shim_a_key_over_a_stream)
{
	struct both b = over_stream();

	assert_talks(&b);
}
END_TEST

START_TEST(shim_a_key_over_datagrams)
{
	struct both b = over_datagrams();

	assert_talks(&b);
}
END_TEST

START_TEST(shim_nothing_now_is_no_failure)
{
	struct both b = over_stream();
	struct ssl_error e;
	char buf[4];

	shake(&b);
	ck_assert_int_eq(ssl_socket_recv(b.client, buf, sizeof(buf), &e), SSL_WOULD_BLOCK);
	ssl_socket_set_timeout(b.client, 1);
	ck_assert_int_eq(ssl_socket_recv(b.client, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_TIMEOUT);
	ssl_socket_set_timeout(b.client, 0);
	assert_talks(&b);
}
END_TEST

/* What does not wait counts, what waits has taken all: nothing is lost unheard. */
START_TEST(shim_sendall_takes_all_or_counts)
{
	static uint8_t bulk[1 << 20];
	struct both b = over_stream();
	struct ssl_error e;
	ssize_t sent;

	shake(&b);
	ck_assert_int_eq(ssl_socket_sendall(b.client, "x", 1, &e), 1);
	sent = ssl_socket_sendall(b.client, bulk, sizeof(bulk), &e);
	ck_assert_int_gt(sent, 0);
	ck_assert_int_lt(sent, sizeof(bulk));
	ck_assert_int_eq(ssl_socket_sendall(b.client, bulk, sizeof(bulk), &e), SSL_WOULD_BLOCK);
	while (ssl_socket_read(b.server, bulk, sizeof(bulk), &e) > 0)
		continue;
	ssl_socket_set_timeout(b.client, 1);
	ck_assert_int_eq(ssl_socket_sendall(b.client, bulk, sizeof(bulk), &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_TIMEOUT);
	ck_assert_msg(strstr(e.note, " of 1048576 bytes were taken") != NULL, "%s", e.note);
	while (ssl_socket_read(b.server, bulk, sizeof(bulk), &e) > 0)
		continue;
	ssl_socket_set_timeout(b.client, LOOPBACK_PATIENCE_MS);
	ck_assert_int_eq(ssl_socket_sendall(b.client, bulk, sizeof(bulk) / 64, &e), 0);
	ssl_socket_close(b.client, &e);
	ssl_socket_close(b.server, &e);
	ssl_socket_free(b.client);
	ssl_socket_free(b.server);
}
END_TEST

/* ---- transports ---- */

struct carried { /* what its next receive gives: bytes, or nothing when there are none */
	const void *bytes;
	size_t len;
	int send_errno;
	bool ended;
};

static ssize_t carried_send(void *arg, const void *buf, size_t len)
{
	struct carried *c = arg;

	(void)buf;
	errno = c->send_errno;
	return c->send_errno != 0 ? DTLS_FAIL : (ssize_t)len;
}

static ssize_t carried_recv(void *arg, void *buf, size_t len)
{
	struct carried *c = arg;
	size_t n = c->len < len ? c->len : len;

	if (n == 0)
		return c->ended ? 0 : DTLS_WANT_READ;
	memcpy(buf, c->bytes, n);
	c->len -= n;
	return (ssize_t)n;
}

static struct ssl_socket *carry(int protocol, struct carried *carried, bool handshake, struct ssl_error *e)
{
	struct ssl_transport transport = {carried_send, carried_recv, NULL, carried};
	struct ssl_context_wrap_args args = SSL_CONTEXT_WRAP_ARGS;
	struct ssl_context *ctx = ssl_context_new(protocol, e);
	struct ssl_socket *s;

	args.do_handshake_on_connect = handshake;
	ck_assert_int_eq(ssl_context_set_verify_mode(ctx, CERT_NONE, e), 0);
	s = ssl_context_wrap_transport(ctx, &transport, &args, e);
	ssl_context_free(ctx);
	return s;
}

START_TEST(shim_a_nameless_datagram_server)
{
	/* A record with a ClientHello of a random, no session, no cookie, a suite and no compression. */
	uint8_t hello[13 + 12 + 42] = {
	    22, 0xfe, 0xfd, [12] = 12 + 42, 1, [16] = 42, [24] = 42, 0xfe, 0xfd, [13 + 12 + 37] = 2, 0xc0, 0xac, 1};
	struct carried carried = {.len = 0};
	struct ssl_error e;
	struct ssl_socket *s = carry(PROTOCOL_DTLS_SERVER, &carried, false, &e);

	ck_assert_int_eq(ssl_socket_do_handshake(s, &e), SSL_WOULD_BLOCK);
	carried = (struct carried){.bytes = "junk", .len = 4};
	ck_assert_int_eq(ssl_socket_do_handshake(s, &e), SSL_WOULD_BLOCK);
	carried = (struct carried){.bytes = hello, .len = sizeof(hello)};
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(ssl_socket_do_handshake(s, &e), SSL_FAILED);
		ck_assert_int_eq(e.code, MBEDTLS_ERR_SSL_BAD_INPUT_DATA);
		ck_assert_msg(strstr(e.note, "needs client_id") != NULL, "%s", e.note);
	}
	ck_assert_int_eq(ssl_socket_poll(s, 1, &e), 32);
	ssl_socket_free(s);
	/* Nothing that could come would do: it is not waited for. */
	ck_assert_ptr_null(carry(PROTOCOL_DTLS_SERVER, &carried, true, &e));
	ck_assert_int_eq(e.code, MBEDTLS_ERR_SSL_BAD_INPUT_DATA);
}
END_TEST

START_TEST(shim_the_first_cause_is_told_again)
{
	struct carried resets = {.send_errno = ECONNRESET, .ended = true}, ends = {.send_errno = EPIPE, .ended = true};
	struct ssl_error e;
	struct ssl_socket *reset = carry(PROTOCOL_TLS_CLIENT, &resets, false, &e);
	struct ssl_socket *ended = carry(PROTOCOL_TLS_CLIENT, &ends, false, &e);

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(ssl_socket_do_handshake(reset, &e), SSL_FAILED);
		ck_assert_int_eq(e.code, ECONNRESET);
		ck_assert_int_eq(ssl_socket_do_handshake(ended, &e), SSL_FAILED);
		ck_assert_int_eq(e.code, MBEDTLS_ERR_SSL_CONN_EOF);
	}
	ssl_socket_free(reset);
	ssl_socket_free(ended);
}
END_TEST

START_TEST(shim_ciphers_before_there_are_credentials)
{
	const char *names[64], *first;
	struct ssl_error e;
	struct ssl_context *ctx = ssl_context_new(PROTOCOL_TLS_SERVER, &e);
	size_t count = ssl_context_get_ciphers(ctx, names, 64);

	ck_assert_uint_gt(count, 2);
	first = names[0];
	ck_assert_ptr_null(strstr(first, "PSK"));
	ck_assert_ptr_nonnull(strstr(names[count - 1], "PSK"));
	ck_assert_uint_ge(ssl_context_get_ciphers(ctx, names, 1), 1);
	ck_assert_str_eq(names[0], first);
	ssl_context_free(ctx);
}
END_TEST

/* ---- arguments ---- */

/* Asserts what the one call says of these arguments. */
static void refused(const struct ssl_wrap_args *args, enum ssl_kind kind, const char *part)
{
	struct ssl_error e;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_ptr_null(ssl_wrap_socket(fds[0], args, &e));
	ck_assert_int_eq(e.kind, kind);
	ck_assert_msg(strstr(e.text, part) != NULL, "%s", e.text);
	ck_assert_int_eq(close(fds[0]), 0); /* it was left open */
	close(fds[1]);
}

START_TEST(shim_arguments_that_cannot_be_honoured)
{
	struct ssl_wrap_args args = SSL_WRAP_ARGS;

	args.key = ssl_text("no key");
	refused(&args, SSL_KIND_VALUE, "invalid key");
	args.keyfile.path = "/nowhere";
	refused(&args, SSL_KIND_TYPE, "keyfile");
	args = deferred(false);
	args.psk_key.at = NULL;
	refused(&args, SSL_KIND_TYPE, "psk_key");
	args = deferred(false);
	args.cert_reqs = 3;
	refused(&args, SSL_KIND_VALUE, "cert_reqs");
	args = (struct ssl_wrap_args)SSL_WRAP_ARGS;
	args.cert_reqs = CERT_REQUIRED;
	refused(&args, SSL_KIND_VALUE, "CERT_REQUIRED requires server_hostname");
	args.server_side = true;
	args.server_hostname = "localhost";
	refused(&args, SSL_KIND_VALUE, "server_hostname");
}
END_TEST

START_TEST(shim_a_pair_of_identity_and_key_is_judged)
{
	struct ssl_error e;
	struct ssl_context *ctx = ssl_context_new(PROTOCOL_TLS_CLIENT, &e);
	struct ssl_bytes none = {NULL, 0}, empty = {"", 0}, key = ssl_text("secretPSK");

	ck_assert_int_eq(ssl_context_set_psk(ctx, &empty, &none, &e), 0);
	ck_assert_int_eq(ssl_context_set_psk(ctx, &empty, &key, &e), SSL_FAILED);
	ck_assert_int_eq(e.code, MBEDTLS_ERR_SSL_BAD_INPUT_DATA);
	ck_assert_str_eq(e.text, "MBEDTLS_ERR_SSL_BAD_INPUT_DATA");
	ssl_context_free(ctx);
}
END_TEST

/* The hello is refused at once, and the sentence says what is missing. */
START_TEST(shim_a_server_without_credentials)
{
	struct ssl_wrap_args client = deferred(false), server = deferred(true);
	struct ssl_error e;
	struct both b;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	server.psk_ident.at = server.psk_key.at = NULL;
	b = (struct both){wrapped(fds[0], &client), wrapped(fds[1], &server)};
	ck_assert_int_eq(ssl_socket_do_handshake(b.server, &e), SSL_WOULD_BLOCK);
	ck_assert_int_eq(ssl_socket_do_handshake(b.client, &e), SSL_WOULD_BLOCK);
	ck_assert_int_eq(ssl_socket_do_handshake(b.server, &e), SSL_FAILED);
	ck_assert_msg(strstr(e.note, "neither a certificate nor a pre-shared key") != NULL, "%s", e.note);
	ck_assert_int_eq(ssl_socket_do_handshake(b.client, &e), SSL_FAILED);
	ck_assert_int_eq(e.code, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
	ck_assert_int_eq(ssl_socket_poll(b.server, 1, &e), 32);
	ssl_socket_close(b.client, &e);
	ssl_socket_close(b.server, &e);
	ssl_socket_free(b.client);
	ssl_socket_free(b.server);
}
END_TEST

Suite *ssl_shim_suite(void)
{
	Suite *s = suite_create("ssl_shim");

	TEST(s, shim_a_key_over_a_stream);
	TEST(s, shim_a_key_over_datagrams);
	TEST(s, shim_nothing_now_is_no_failure);
	TEST(s, shim_sendall_takes_all_or_counts);
	TEST(s, shim_a_nameless_datagram_server);
	TEST(s, shim_the_first_cause_is_told_again);
	TEST(s, shim_ciphers_before_there_are_credentials);
	TEST(s, shim_arguments_that_cannot_be_honoured);
	TEST(s, shim_a_pair_of_identity_and_key_is_judged);
	TEST(s, shim_a_server_without_credentials);
	return s;
}
