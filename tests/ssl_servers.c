#include "ssl_servers.h"

#include "loopback.h"

#include <check.h>
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

/* While this holds, the system takes no datagrams: the library's calls find this in place of the C library's. */
static atomic_bool stuck;

void served_stick(bool yes)
{
	stuck = yes;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (!stuck)
		return syscall(SYS_sendmsg, fd, m, flags);
	errno = EAGAIN;
	return -1;
}

struct ssl_context *served_context(void)
{
	struct ssl_error e;
	struct ssl_context *ctx = ssl_context_new(PROTOCOL_DTLS_SERVER, &e);

	ck_assert_ptr_nonnull(ctx);
	return ctx;
}

/* Knows one identity and its key; what a test sets is done in the handshake. */
void (*served_within_lookup)(void);

ssize_t served_lookup(void *arg, const uint8_t *identity, size_t len, uint8_t *key, size_t key_max)
{
	(void)arg;
	if (served_within_lookup != NULL)
		served_within_lookup();
	if (key_max < 9 || len != 9 || memcmp(identity, "sensor-17", 9) != 0)
		return 0;
	memcpy(key, "secretPSK", 9);
	return 9;
}

struct served served_open(const struct ssl_server_limits *limits, int flags)
{
	struct served f = {.ctx = served_context(), .fd = loopback_bound("127.0.0.1", 0, flags)};
	struct ssl_error e;

	ssl_context_set_psk_lookup(f.ctx, served_lookup, NULL);
	f.server = ssl_server_new(f.ctx, f.fd, limits, &e);
	ck_assert_msg(f.server != NULL, "%s: %s", e.text, e.note);
	return f;
}

void served_close(struct served *f)
{
	struct ssl_error e;

	served_within_lookup = NULL;
	stuck = false;
	ssl_peer_free(f->peer);
	if (f->client != NULL)
		ssl_socket_close(f->client, &e);
	ssl_socket_free(f->client);
	if (f->server != NULL)
		ssl_server_close(f->server, &e);
	ssl_server_free(f->server);
	ssl_context_free(f->ctx);
}

struct ssl_socket *served_client(const struct served *f, const char *key)
{
	struct ssl_wrap_args args = SSL_WRAP_ARGS;
	struct ssl_socket *client;
	struct ssl_error e;

	args.do_handshake = false;
	args.psk_ident = ssl_text("sensor-17");
	args.psk_key = ssl_text(key);
	client = ssl_wrap_socket(loopback_connected("127.0.0.1", loopback_port(f->fd), 0), &args, &e);
	ck_assert_msg(client != NULL, "%s: %s", e.text, e.note);
	ssl_socket_set_timeout(client, 0);
	return client;
}

/* The next event of the server, which does not block, while the client shakes hands. */
ssize_t served_event(struct served *f, struct ssl_socket *client, struct ssl_peer **peer)
{
	struct pollfd p[2] = {{ssl_socket_fileno(client), POLLIN, 0}, {f->fd, POLLIN, 0}};
	struct ssl_error e;
	char buf[64];
	ssize_t n;

	for (;;) {
		ssl_socket_do_handshake(client, &e);
		n = ssl_server_recv(f->server, peer, buf, sizeof(buf), &e);
		ck_assert_msg(n != SSL_FAILED, "%s: %s", e.text, e.note);
		if (n != SSL_WOULD_BLOCK)
			return n;
		ck_assert_int_gt(poll(p, 2, LOOPBACK_PATIENCE_MS), 0);
	}
}

void served_shake(struct served *f)
{
	struct ssl_error e;

	ck_assert_int_eq(served_event(f, f->client, &f->peer), SSL_PEER_CONNECTED);
	ck_assert_msg(ssl_socket_do_handshake_waiting(f->client, &e) == 0, "%s: %s", e.text, e.note);
}

struct served served_connected(const struct ssl_server_limits *limits)
{
	struct served f = served_open(limits, SOCK_NONBLOCK);

	f.client = served_client(&f, "secretPSK");
	served_shake(&f);
	return f;
}

/* The next event of a server that waits for it; of a peer that is known. */
ssize_t served_next(struct served *f, char *buf, size_t len)
{
	struct ssl_peer *peer;
	struct ssl_error e;
	ssize_t n;

	ssl_server_set_timeout(f->server, LOOPBACK_PATIENCE_MS);
	n = ssl_server_recv(f->server, &peer, buf, len, &e);
	ck_assert_msg(n != SSL_FAILED, "%s: %s", e.text, e.note);
	ck_assert_ptr_eq(peer, f->peer);
	ssl_peer_free(peer);
	return n;
}

void served_client_receives(struct served *f, const char *text)
{
	struct ssl_error e;
	char buf[64];

	ssl_socket_set_timeout(f->client, LOOPBACK_PATIENCE_MS);
	ck_assert_int_eq(ssl_socket_recv(f->client, buf, sizeof(buf), &e), (ssize_t)strlen(text));
	ck_assert_mem_eq(buf, text, strlen(text));
}

void served_assert_ended(struct ssl_peer *peer, const char *reason)
{
	const struct sockaddr_storage *address;
	struct ssl_error e;
	size_t len;

	ck_assert_str_eq(ssl_peer_reason(peer), reason);
	ck_assert_int_gt(ssl_peer_address(peer, &address), 0);
	ck_assert_int_eq(address->ss_family, AF_INET);
	ck_assert_mem_eq(ssl_peer_psk_identity(peer).at, "sensor-17", 9);
	ck_assert_uint_eq(ssl_peer_max_payload(peer), 0);
	ck_assert_ptr_null(ssl_peer_cipher(peer));
	ck_assert_ptr_null(ssl_peer_version(peer));
	ck_assert_ptr_null(ssl_peer_selected_alpn_protocol(peer));
	ck_assert_ptr_null(ssl_peer_getpeercert(peer, &len));
	ck_assert_int_eq(ssl_peer_send(peer, "x", 1, &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EPIPE);
	ck_assert_int_eq(ssl_peer_close(peer, &e), 0);
	ck_assert_str_eq(ssl_peer_reason(peer), reason);
}
