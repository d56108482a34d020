/* The ssl module's C face: a server for many clients, and its peers. */
#include "loopback.h"
#include "ssl_servers.h"
#include "suites.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

/* ---- one client ---- */

START_TEST(server_carries_messages_both_ways)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;
	char buf[64];

	ck_assert_ptr_null(ssl_peer_reason(f.peer));
	ck_assert_str_eq(ssl_peer_version(f.peer), "DTLSv1.2");
	ck_assert_str_eq(ssl_peer_cipher(f.peer), ssl_socket_cipher(f.client));
	ck_assert_uint_gt(ssl_peer_max_payload(f.peer), 1000);
	ck_assert_uint_ne(ssl_peer_generation(f.peer), 0);
	ck_assert_int_eq(ssl_socket_write(f.client, "21.4", 4, &e), 4);
	ck_assert_int_eq(served_next(&f, buf, sizeof(buf)), 4);
	ck_assert_mem_eq(buf, "21.4", 4);
	ck_assert_int_eq(ssl_peer_send(f.peer, "on", 2, &e), 2);
	served_client_receives(&f, "on");
	served_close(&f);
}
END_TEST

START_TEST(server_keeps_a_message_that_does_not_fit)
{
	struct served f = served_connected(NULL);
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_socket_write(f.client, "21.4", 4, &e), 4);
	ssl_server_set_timeout(f.server, LOOPBACK_PATIENCE_MS);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, 3, &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EMSGSIZE);
	ck_assert_ptr_null(peer);
	ck_assert_int_eq(ssl_server_next_timeout(f.server), 0);
	ck_assert_int_eq(served_next(&f, buf, sizeof(buf)), 4);
	served_close(&f);
}
END_TEST

START_TEST(server_refuses_messages_that_cannot_be_sent)
{
	struct served f = served_connected(NULL);
	static const char large[2000];
	struct ssl_error e;

	ck_assert_int_eq(ssl_peer_send(f.peer, large, sizeof(large), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EMSGSIZE);
	ck_assert_msg(strstr(e.note, "2000 bytes") != NULL, "%s", e.note);
	ck_assert_int_eq(ssl_peer_send(f.peer, large, 0, &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_VALUE);
	ck_assert_int_eq(ssl_peer_send(f.peer, "on", 2, &e), 2);
	served_client_receives(&f, "on");
	served_close(&f);
}
END_TEST

START_TEST(server_tells_that_nothing_is_there)
{
	struct served f = served_open(NULL, SOCK_NONBLOCK);
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_server_timeout(f.server), 0);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_WOULD_BLOCK);
	ck_assert_ptr_null(peer);
	ck_assert_int_eq(ssl_server_next_timeout(f.server), -1);
	ssl_server_set_timeout(f.server, 1);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_TIMEOUT);
	ssl_server_set_timeout(f.server, SSL_TIMEOUT_OF_FD);
	f.client = served_client(&f, "secretPSK");
	served_shake(&f);
	served_close(&f);
}
END_TEST

/* ---- ends ---- */

START_TEST(server_tells_that_a_peer_has_closed)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_socket_close(f.client, &e), 0);
	ck_assert_int_eq(served_next(&f, buf, sizeof(buf)), SSL_PEER_CLOSED);
	ck_assert(!ssl_peer_error(f.peer, &e));
	served_assert_ended(f.peer, "close_notify");
	served_close(&f);
}
END_TEST

START_TEST(server_tells_whom_it_has_revoked)
{
	struct served f = served_connected(NULL);
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_server_close_identity(f.server, "sensor-1", 8, &e), 0);
	ck_assert_int_eq(ssl_server_close_identity(f.server, "sensor-17", 9, &e), 1);
	ck_assert_int_eq(ssl_server_next_timeout(f.server), 0);
	ck_assert_uint_eq(ssl_peer_max_payload(f.peer), 0);
	ck_assert_int_eq(ssl_peer_send(f.peer, "x", 1, &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EPIPE);
	ck_assert_int_eq(served_next(&f, buf, sizeof(buf)), SSL_PEER_CLOSED);
	ck_assert(ssl_peer_error(f.peer, &e));
	ck_assert_int_eq(e.code, ECONNABORTED);
	ck_assert_msg(strstr(e.note, "revoked") != NULL, "%s", e.note);
	served_assert_ended(f.peer, "revoked");
	served_client_receives(&f, "");
	served_close(&f);
}
END_TEST

START_TEST(server_tells_no_event_of_a_peer_that_is_closed_here)
{
	struct served f = served_connected(NULL);
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_peer_close(f.peer, &e), 0);
	served_assert_ended(f.peer, "closed");
	ck_assert(!ssl_peer_error(f.peer, &e));
	served_client_receives(&f, "");
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_WOULD_BLOCK);
	served_close(&f);
}
END_TEST

/* What a socket would have told, its server tells of its peer. */
START_TEST(server_tells_of_a_handshake_that_failed_as_a_socket_does)
{
	struct served f = served_open(NULL, SOCK_NONBLOCK);
	struct ssl_wrap_args args = SSL_WRAP_ARGS;
	int fd = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK), status = SSL_WOULD_BLOCK;
	struct ssl_socket *alone, *client;
	struct ssl_error of_socket, of_peer, e;

	f.client = served_client(&f, "wrong");
	ck_assert_int_eq(served_event(&f, f.client, &f.peer), SSL_PEER_FAILED);
	ck_assert(ssl_peer_error(f.peer, &of_peer));
	served_assert_ended(f.peer, "handshake");

	args.server_side = true;
	args.do_handshake = false;
	args.psk_ident = ssl_text("sensor-17");
	args.psk_key = ssl_text("secretPSK");
	alone = ssl_wrap_socket(fd, &args, &e);
	client = served_client(&(struct served){.fd = fd}, "wrong");
	while (status == SSL_WOULD_BLOCK) {
		struct pollfd p[2] = {{fd, POLLIN, 0}, {ssl_socket_fileno(client), POLLIN, 0}};

		ssl_socket_do_handshake(client, &e);
		status = ssl_socket_do_handshake(alone, &of_socket);
		ck_assert(status != SSL_WOULD_BLOCK || poll(p, 2, LOOPBACK_PATIENCE_MS) > 0);
	}
	ck_assert_int_eq(of_peer.kind, of_socket.kind);
	ck_assert_int_eq(of_peer.code, of_socket.code);
	ck_assert_str_eq(of_peer.text, of_socket.text);
	ck_assert_msg(strstr(of_peer.note, "sensor-17") != NULL, "%s", of_peer.note);
	ssl_socket_close(client, &e);
	ssl_socket_close(alone, &e);
	ssl_socket_free(client);
	ssl_socket_free(alone);
	served_close(&f);
}
END_TEST

START_TEST(server_that_is_closed_tells_its_peers_and_keeps_its_counters)
{
	struct served f = served_connected(NULL);
	struct dtls_stats stats;
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	ck_assert_int_eq(ssl_server_close(f.server, &e), 0);
	ck_assert_int_eq(ssl_server_close(f.server, &e), 0);
	ck_assert(ssl_server_is_closed(f.server));
	ck_assert_int_eq(ssl_server_fileno(f.server), -1);
	ck_assert_int_eq(fcntl(f.fd, F_GETFD), -1);
	served_assert_ended(f.peer, "closed");
	served_client_receives(&f, "");
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EBADF);
	ck_assert_int_eq(ssl_server_close_identity(f.server, "sensor-17", 9, &e), 0);
	ck_assert_int_eq(ssl_server_handle_timeout(f.server, &e), 0);
	ck_assert_int_eq(ssl_server_next_timeout(f.server), -1);
	ck_assert_int_eq(ssl_server_timeout(f.server), 0);
	ssl_server_stats(f.server, &stats);
	ck_assert_uint_eq(stats.handshakes_completed, 1);
	served_close(&f);
}
END_TEST

START_TEST(server_that_is_freed_leaves_peers_behind_and_the_descriptor_open)
{
	struct served f = served_connected(NULL);
	struct pollfd p = {ssl_socket_fileno(f.client), POLLIN, 0};

	ssl_server_free(f.server);
	f.server = NULL;
	served_assert_ended(f.peer, "closed");
	ck_assert_int_eq(poll(&p, 1, 0), 0);
	ck_assert_int_eq(close(f.fd), 0);
	ssl_peer_free(f.peer);
	ssl_socket_free(f.client);
	close(p.fd);
	ssl_context_free(f.ctx);
}
END_TEST

START_TEST(server_whose_socket_was_closed_under_it)
{
	struct served f = served_connected(NULL);
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	close(f.fd);
	ck_assert_int_eq(ssl_server_recv(f.server, &peer, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EBADF);
	ck_assert_msg(strstr(e.note, "cannot receive") != NULL, "%s", e.note);
	ssl_server_end(f.server, &e);
	served_close(&f);
}
END_TEST

/* ---- what cannot be honoured ---- */

static void refused(struct ssl_context *ctx, int fd, const struct ssl_server_limits *limits, const char *part)
{
	struct ssl_error e;

	ck_assert_ptr_null(ssl_server_new(ctx, fd, limits, &e));
	ck_assert_int_eq(e.kind, SSL_KIND_VALUE);
	ck_assert_msg(strstr(e.text, part) != NULL, "%s", e.text);
}

START_TEST(server_refuses_limits_out_of_range)
{
	struct served f = served_open(NULL, 0);
	struct ssl_server_limits limits = SSL_SERVER_LIMITS, none = SSL_SERVER_LIMITS;
	int64_t *each[] = {&limits.max_peers, &limits.max_handshakes, &limits.handshake_ms, &limits.idle_ms};
	const char *const names[] = {"max_peers", "max_handshakes", "handshake_ms", "idle_ms"};
	const int64_t bad[] = {-1, INT64_MAX, (int64_t)UINT32_MAX + 1};

	for (int i = 0; i < 4; i++) {
		for (int j = 0; j < 3; j++) {
			*each[i] = bad[j];
			refused(f.ctx, f.fd, &limits, names[i]);
		}
		limits = none;
	}
	for (int i = 0; i < 3; i++) {
		*each[i] = 0;
		refused(f.ctx, f.fd, &limits, names[i]);
		limits = none;
	}
	served_close(&f);
}
END_TEST

START_TEST(server_refuses_what_it_cannot_serve_with)
{
	struct served f = served_open(NULL, 0);
	struct ssl_context *bare = served_context();
	struct ssl_error e;
	struct ssl_context *client = ssl_context_new(PROTOCOL_DTLS_CLIENT, &e);
	struct ssl_context *tls = ssl_context_new(PROTOCOL_TLS_SERVER, &e);
	int unbound = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0);
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	refused(client, f.fd, NULL, "PROTOCOL_DTLS_SERVER");
	refused(tls, f.fd, NULL, "PROTOCOL_DTLS_SERVER");
	refused(bare, f.fd, NULL, "neither a certificate nor pre-shared keys");
	refused(f.ctx, -1, NULL, "no descriptor");
	refused(f.ctx, unbound, NULL, "not bound");
	refused(f.ctx, stream, NULL, "not a datagram socket");
	refused(f.ctx, pair[0], NULL, "neither an IPv4 nor an IPv6 socket");
	ck_assert_ptr_null(ssl_server_new(f.ctx, 1000000, NULL, &e));
	ck_assert_int_eq(e.code, EBADF);
	ssl_context_set_verify_mode(f.ctx, CERT_REQUIRED, &e);
	ck_assert_int_eq(close(unbound), 0);
	close(stream);
	close(pair[0]);
	close(pair[1]);
	ssl_context_free(bare);
	ssl_context_free(client);
	ssl_context_free(tls);
	served_close(&f);
}
END_TEST

/* Nobody shows a certificate where only pre-shared keys are offered. */
START_TEST(server_with_keys_alone_needs_no_ca_to_demand_certificates)
{
	struct served f = {.ctx = served_context(), .fd = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK)};
	struct ssl_error e;

	ssl_context_set_psk_lookup(f.ctx, served_lookup, NULL);
	ssl_context_set_verify_mode(f.ctx, CERT_REQUIRED, &e);
	f.server = ssl_server_new(f.ctx, f.fd, NULL, &e);
	ck_assert_msg(f.server != NULL, "%s", e.text);
	ck_assert_int_eq(ssl_context_verify_mode(f.ctx), CERT_REQUIRED);
	f.client = served_client(&f, "secretPSK");
	served_shake(&f);
	served_close(&f);
}
END_TEST

/* ---- callbacks ---- */

static struct ssl_server *called_for;
static uint64_t handshaking;

static void call_back(void)
{
	struct ssl_peer *peer;
	struct ssl_error e;
	char buf[4];

	handshaking = ssl_server_handshaking(called_for);
	ck_assert_int_eq(ssl_server_recv(called_for, &peer, buf, sizeof(buf), &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EDEADLK);
	ck_assert_int_eq(ssl_server_close(called_for, &e), SSL_FAILED);
	ck_assert_int_eq(e.code, EDEADLK);
	ck_assert_int_eq(ssl_server_close_identity(called_for, "sensor-17", 9, &e), SSL_FAILED);
	ck_assert_int_eq(ssl_server_handle_timeout(called_for, &e), SSL_FAILED);
	ck_assert_int_ge(ssl_server_fileno(called_for), 0);
	ck_assert(!ssl_server_is_closed(called_for));
}

START_TEST(server_refuses_what_a_callback_asks_of_it)
{
	struct served f = served_open(NULL, SOCK_NONBLOCK);

	called_for = f.server;
	served_within_lookup = call_back;
	f.client = served_client(&f, "secretPSK");
	served_shake(&f);
	ck_assert_uint_eq(handshaking, ssl_peer_generation(f.peer));
	ck_assert_uint_eq(ssl_server_handshaking(f.server), 0);
	served_close(&f);
}
END_TEST

static void stop(void)
{
	ssl_server_stop(called_for);
}

/* A client's transport that loses the encrypted records, its Finished. */
static ssize_t send_in_the_clear(void *arg, const void *buf, size_t len)
{
	const uint8_t *record = buf, *end = record + len;

	while (end - record >= 13) {
		size_t size = 13 + (size_t)(record[11] << 8 | record[12]);

		if (record[4] == 0)
			ck_assert_int_eq(send(*(int *)arg, record, size, 0), (ssize_t)size);
		record += size;
	}
	return (ssize_t)len;
}

static ssize_t receive(void *arg, void *buf, size_t len)
{
	ssize_t n = recv(*(int *)arg, buf, len, MSG_DONTWAIT);

	return n < 0 ? DTLS_WANT_READ : n;
}

START_TEST(server_that_a_callback_stops_waits_no_more)
{
	struct served f = served_open(NULL, SOCK_NONBLOCK);
	int fd = loopback_connected("127.0.0.1", loopback_port(f.fd), 0);
	struct ssl_transport lossy = {send_in_the_clear, receive, NULL, &fd};
	struct ssl_bytes identity = ssl_text("sensor-17"), key = ssl_text("secretPSK");
	struct ssl_context_wrap_args args = {0};
	struct pollfd p = {f.fd, POLLIN, 0};
	struct ssl_error e;
	struct ssl_context *ctx = ssl_context_new(PROTOCOL_DTLS_CLIENT, &e);
	ssize_t n = SSL_WOULD_BLOCK;
	char buf[4];

	called_for = f.server;
	served_within_lookup = stop;
	ssl_context_set_psk(ctx, &identity, &key, &e);
	f.client = ssl_context_wrap_transport(ctx, &lossy, &args, &e);
	while (n == SSL_WOULD_BLOCK) {
		ssl_socket_do_handshake(f.client, &e);
		ck_assert_int_gt(poll(&p, 1, LOOPBACK_PATIENCE_MS), 0);
		n = ssl_server_recv(f.server, &f.peer, buf, sizeof(buf), &e);
	}
	ck_assert_int_eq(n, SSL_FAILED);
	ck_assert_int_eq(e.kind, SSL_KIND_CALLBACK);
	ck_assert_int_eq(ssl_server_recv(f.server, &f.peer, buf, sizeof(buf), &e), SSL_WOULD_BLOCK);
	served_close(&f);
	ssl_context_free(ctx);
	close(fd);
}
END_TEST

Suite *ssl_server_suite(void)
{
	Suite *s = suite_create("ssl_server");

	TEST(s, server_carries_messages_both_ways);
	TEST(s, server_keeps_a_message_that_does_not_fit);
	TEST(s, server_refuses_messages_that_cannot_be_sent);
	TEST(s, server_tells_that_nothing_is_there);
	TEST(s, server_tells_that_a_peer_has_closed);
	TEST(s, server_tells_whom_it_has_revoked);
	TEST(s, server_tells_no_event_of_a_peer_that_is_closed_here);
	TEST(s, server_tells_of_a_handshake_that_failed_as_a_socket_does);
	TEST(s, server_that_is_closed_tells_its_peers_and_keeps_its_counters);
	TEST(s, server_that_is_freed_leaves_peers_behind_and_the_descriptor_open);
	TEST(s, server_whose_socket_was_closed_under_it);
	TEST(s, server_refuses_limits_out_of_range);
	TEST(s, server_refuses_what_it_cannot_serve_with);
	TEST(s, server_with_keys_alone_needs_no_ca_to_demand_certificates);
	TEST(s, server_refuses_what_a_callback_asks_of_it);
	TEST(s, server_that_a_callback_stops_waits_no_more);
	return s;
}
