/* Connections over real sockets on the loopback interface. */
#include "loopback.h"
#include "suites.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void whole_session(const char *bind_to, const char *reach)
{
	struct two_sides p = two_sides_new(bind_to, reach, SOCK_NONBLOCK);
	char buf[64];

	two_sides_handshake(&p);
	ck_assert_str_eq(dtls_conn_cipher(p.client.conn), LOOPBACK_CIPHER);
	ck_assert_str_eq(dtls_conn_cipher(p.server.conn), LOOPBACK_CIPHER);
	two_sides_talk(&p);
	ck_assert_int_eq(dtls_conn_close(p.client.conn), DTLS_OK);
	ck_assert_int_eq(loopback_read(p.server.conn, p.server.fd, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_int_eq(dtls_conn_read(p.server.conn, buf, sizeof(buf)), DTLS_CLOSED);
	two_sides_free(&p);
}

START_TEST(ipv4)
{
	whole_session("127.0.0.1", "127.0.0.1");
}
END_TEST

START_TEST(ipv6)
{
	whole_session("::1", "::1");
}
END_TEST

/* The client's socket is connected: it sees answers from the address that it wrote to, and no others. */
START_TEST(wildcard_answers_from_the_address_written_to)
{
	whole_session("0.0.0.0", "127.0.0.1");
	whole_session("0.0.0.0", "127.0.0.2");
}
END_TEST

START_TEST(wildcard_ipv6_answers_from_the_address_written_to)
{
	whole_session("::", "::1");
	whole_session("::", "127.0.0.1");
	whole_session("::", "127.0.0.2");
	whole_session("::", "::ffff:127.0.0.3");
}
END_TEST

START_TEST(server_on_a_connected_socket)
{
	int client_fd = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK);
	int server_fd = loopback_connected("127.0.0.1", loopback_port(client_fd), SOCK_NONBLOCK);
	struct two_sides p;

	loopback_connect(client_fd, "127.0.0.1", loopback_port(server_fd));
	p.client = loopback_side(PROTOCOL_DTLS_CLIENT, client_fd);
	p.server = loopback_side(PROTOCOL_DTLS_SERVER, server_fd);
	two_sides_handshake(&p);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

START_TEST(client_may_connect_its_socket_after_the_wrap)
{
	struct two_sides p;

	p.server = loopback_side(PROTOCOL_DTLS_SERVER, loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK));
	p.client = loopback_side(PROTOCOL_DTLS_CLIENT, loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK));
	loopback_connect(p.client.fd, "127.0.0.1", loopback_port(p.server.fd));
	two_sides_handshake(&p);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

START_TEST(client_needs_a_connected_socket)
{
	struct loopback_side client = loopback_side(PROTOCOL_DTLS_CLIENT, loopback_bound("127.0.0.1", 0, 0));

	ck_assert_int_eq(dtls_conn_handshake(client.conn), DTLS_FAIL);
	ck_assert_str_eq(dtls_conn_error(client.conn), "the socket is not connected: connect() it to the server first");
	loopback_side_free(&client);
}
END_TEST

/* ---- blocking ---- */

struct echo {
	struct loopback_side side;
	int messages;
	ssize_t ended; /* what the last call returned */
};

static void *echo_until_closed(void *arg)
{
	struct echo *e = arg;
	char buf[2048];

	e->ended = dtls_conn_handshake(e->side.conn);
	while (e->ended >= 0) {
		e->ended = dtls_conn_read(e->side.conn, buf, sizeof(buf));
		if (e->ended <= 0)
			break;
		e->messages++;
		e->ended = dtls_conn_write(e->side.conn, buf, (size_t)e->ended);
	}
	return NULL;
}

static void blocking_session(const char *host)
{
	struct echo e = {.side = loopback_side(PROTOCOL_DTLS_SERVER, loopback_bound(host, 0, 0))};
	struct loopback_side client =
	    loopback_side(PROTOCOL_DTLS_CLIENT, loopback_connected(host, loopback_port(e.side.fd), 0));
	size_t largest;
	char sent[2048], got[2048];
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, echo_until_closed, &e), 0);
	ck_assert_int_eq(dtls_conn_handshake(client.conn), DTLS_OK);
	largest = dtls_conn_max_payload(client.conn);
	ck_assert_uint_gt(largest, 1000);
	for (size_t len = 1; len <= largest; len += 127) {
		memset(sent, (int)len, len);
		ck_assert_int_eq(dtls_conn_write(client.conn, sent, len), (ssize_t)len);
		ck_assert_int_eq(dtls_conn_read(client.conn, got, sizeof(got)), (ssize_t)len);
		ck_assert_mem_eq(sent, got, len);
	}
	ck_assert_int_eq(dtls_conn_close(client.conn), DTLS_OK);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(e.ended, DTLS_CLOSED);
	ck_assert_int_eq(e.messages, (int)((largest - 1) / 127 + 1));
	loopback_side_free(&client);
	loopback_side_free(&e.side);
}

START_TEST(blocking_client_and_server)
{
	blocking_session("127.0.0.1");
}
END_TEST

START_TEST(blocking_client_and_server_ipv6)
{
	blocking_session("::1");
}
END_TEST

/* Both sides on this thread: each of the client's calls ends at its timeout, then the server has its turn. */
START_TEST(timeout_gives_again_and_the_next_call_goes_on)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", 0);
	int64_t began_at = loopback_now_ms();
	int status, again = 0;
	char buf[64];

	ck_assert_int_eq(dtls_conn_set_timeout(p.client.conn, 30), DTLS_OK);
	while ((status = dtls_conn_handshake(p.client.conn)) == DTLS_AGAIN) {
		int64_t waited = loopback_now_ms() - began_at;

		ck_assert_msg(waited >= 30 && waited < LOOPBACK_PATIENCE_MS, "%lld ms", (long long)waited);
		ck_assert_str_eq(dtls_conn_error(p.client.conn), "");
		again++;
		ck_assert_int_ne(dtls_conn_handshake(p.server.conn), DTLS_FAIL);
		began_at = loopback_now_ms();
	}
	ck_assert_int_eq(status, DTLS_OK);
	ck_assert_int_eq(again, 3); /* for the HelloVerifyRequest, for the server's flight, for its Finished */
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_AGAIN);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

START_TEST(timeout_of_zero_does_not_wait)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", 0);

	ck_assert_int_eq(dtls_conn_set_timeout(p.client.conn, 0), DTLS_OK);
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_AGAIN);
	ck_assert_int_eq(dtls_conn_set_timeout(p.client.conn, -2), DTLS_FAIL);
	two_sides_free(&p);
}
END_TEST

START_TEST(set_nonblocking_asks_the_descriptor_no_more)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", 0);
	char buf[64];

	dtls_conn_set_nonblocking(p.client.conn);
	dtls_conn_set_nonblocking(p.server.conn);
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_WANT_READ);
	two_sides_handshake(&p);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

static void no_op(int number)
{
	(void)number;
}

/* The timer repeats, so that a signal between the calls cannot leave the next one waiting for ever. */
START_TEST(signal_gives_again)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", 0);
	struct sigaction action = {.sa_handler = no_op, .sa_flags = SA_RESTART};
	struct itimerval every_20_ms = {.it_interval.tv_usec = 20000, .it_value.tv_usec = 20000}, none = {0};
	char buf[64];

	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &every_20_ms, NULL), 0);
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_AGAIN);
	while (dtls_conn_handshake(p.client.conn) == DTLS_AGAIN)
		ck_assert_int_ne(dtls_conn_handshake(p.server.conn), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_AGAIN);
	ck_assert_str_eq(dtls_conn_error(p.client.conn), "");
	ck_assert_int_eq(setitimer(ITIMER_REAL, &none, NULL), 0);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

/* ---- one server connection, several addresses ---- */

/* What came to a plain socket; -1: nothing. */
static ssize_t heard(int fd)
{
	char buf[2048];

	return recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
}

START_TEST(junk_from_strangers_is_not_answered)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", SOCK_NONBLOCK);
	int stranger = loopback_connected("127.0.0.1", loopback_port(p.server.fd), SOCK_NONBLOCK);

	ck_assert_int_eq(send(stranger, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	ck_assert_int_eq(send(stranger, "", 0, 0), 0);
	ck_assert_int_eq(dtls_conn_handshake(p.server.conn), DTLS_WANT_READ);
	ck_assert_int_eq(heard(stranger), -1);
	two_sides_handshake(&p);
	ck_assert_int_eq(send(stranger, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	two_sides_talk(&p);
	ck_assert_int_eq(heard(stranger), -1);
	close(stranger);
	two_sides_free(&p);
}
END_TEST

START_TEST(first_address_with_a_cookie_becomes_the_peer)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side late = loopback_side(
	    PROTOCOL_DTLS_CLIENT, loopback_connected("127.0.0.1", loopback_port(p.server.fd), SOCK_NONBLOCK));

	/* This one asks first, but does not bring its cookie back. */
	ck_assert_int_eq(dtls_conn_handshake(late.conn), DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_handshake(p.server.conn), DTLS_WANT_READ);
	two_sides_handshake(&p);
	ck_assert_int_eq(dtls_conn_handshake(late.conn), DTLS_WANT_READ);
	two_sides_talk(&p);
	ck_assert_int_eq(heard(late.fd), -1);
	ck_assert_int_eq(dtls_conn_handshake(late.conn), DTLS_WANT_READ);
	loopback_side_free(&late);
	two_sides_free(&p);
}
END_TEST

/* One whose handshake has begun is not pushed aside by the next one. */
START_TEST(second_address_waits_while_the_first_is_unfinished)
{
	struct two_sides p = two_sides_new("127.0.0.1", "127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side late = loopback_side(
	    PROTOCOL_DTLS_CLIENT, loopback_connected("127.0.0.1", loopback_port(p.server.fd), SOCK_NONBLOCK));

	/* Both have a cookie, and the first returns it first. */
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_handshake(late.conn), DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_handshake(p.server.conn), DTLS_WANT_READ);
	loopback_wait(p.client.fd, -1, -1);
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_WANT_READ);
	loopback_wait(late.fd, -1, -1);
	ck_assert_int_eq(dtls_conn_handshake(late.conn), DTLS_WANT_READ);
	two_sides_handshake(&p);
	ck_assert_int_eq(heard(late.fd), -1);
	two_sides_talk(&p);
	loopback_side_free(&late);
	two_sides_free(&p);
}
END_TEST

START_TEST(second_client_on_the_port_of_the_first)
{
	struct two_sides p = two_sides_connected();
	uint16_t server_port = loopback_port(p.server.fd), client_port = loopback_port(p.client.fd);
	char buf[64];
	int fd;

	dtls_conn_close(p.client.conn);
	loopback_side_free(&p.client);
	ck_assert_int_eq(loopback_read(p.server.conn, p.server.fd, buf, sizeof(buf)), DTLS_CLOSED);
	dtls_conn_free(p.server.conn);
	p.server.conn = dtls_wrap_socket(p.server.ctx, p.server.fd);
	fd = loopback_bound("127.0.0.1", client_port, SOCK_NONBLOCK);
	loopback_connect(fd, "127.0.0.1", server_port);
	p.client = loopback_side(PROTOCOL_DTLS_CLIENT, fd);
	two_sides_handshake(&p);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

/* ---- descriptors that will not do ---- */

static void refused(int fd, const char *why)
{
	static const enum dtls_protocol sides[] = {PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER};

	for (int i = 0; i < 2; i++) {
		struct dtls_context *ctx = loopback_context(sides[i]);

		ck_assert_ptr_null(dtls_wrap_socket(ctx, fd));
		ck_assert_msg(strstr(dtls_context_error(ctx), why) != NULL, "%s", dtls_context_error(ctx));
		if (sides[i] == PROTOCOL_DTLS_SERVER) {
			ck_assert_ptr_null(dtls_endpoint_new(ctx, fd, NULL));
			ck_assert_msg(strstr(dtls_context_error(ctx), why) != NULL, "%s", dtls_context_error(ctx));
		}
		dtls_context_free(ctx);
	}
}

START_TEST(stream_socket_is_refused)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	refused(fd, "it is not a datagram socket");
	close(fd);
}
END_TEST

START_TEST(unix_socket_is_refused)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	refused(fd, "it is neither an IPv4 nor an IPv6 socket");
	close(fd);
}
END_TEST

START_TEST(what_is_no_socket_is_refused)
{
	int fd = loopback_bound("127.0.0.1", 0, 0), ends[2];

	close(fd);
	refused(fd, strerror(EBADF));
	refused(-1, strerror(EBADF));
	ck_assert_int_eq(pipe(ends), 0);
	refused(ends[0], strerror(ENOTSOCK));
	close(ends[0]);
	close(ends[1]);
}
END_TEST

START_TEST(descriptor_closed_under_a_session)
{
	struct two_sides p = two_sides_connected();
	char buf[64];

	close(p.client.fd);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_msg(
	    strstr(dtls_conn_error(p.client.conn), strerror(EBADF)) != NULL, "%s", dtls_conn_error(p.client.conn));
	ck_assert_int_eq(dtls_conn_error_code(p.client.conn), -EBADF);
	p.client.fd = -1;
	two_sides_free(&p);
}
END_TEST

Suite *socket_suite(void)
{
	Suite *s = suite_create("socket");
	bool has_ipv6 = loopback_has_ipv6();

	TEST(s, ipv4);
	TEST(s, wildcard_answers_from_the_address_written_to);
	TEST(s, server_on_a_connected_socket);
	TEST(s, client_may_connect_its_socket_after_the_wrap);
	TEST(s, client_needs_a_connected_socket);
	TEST(s, blocking_client_and_server);
	TEST(s, timeout_gives_again_and_the_next_call_goes_on);
	TEST(s, timeout_of_zero_does_not_wait);
	TEST(s, set_nonblocking_asks_the_descriptor_no_more);
	TEST(s, signal_gives_again);
	TEST(s, junk_from_strangers_is_not_answered);
	TEST(s, first_address_with_a_cookie_becomes_the_peer);
	TEST(s, second_address_waits_while_the_first_is_unfinished);
	TEST(s, second_client_on_the_port_of_the_first);
	TEST(s, stream_socket_is_refused);
	TEST(s, unix_socket_is_refused);
	TEST(s, what_is_no_socket_is_refused);
	TEST(s, descriptor_closed_under_a_session);
	TEST_WHERE(has_ipv6, "the kernel has no IPv6", s, ipv6);
	TEST_WHERE(has_ipv6, "the kernel has no IPv6", s, wildcard_ipv6_answers_from_the_address_written_to);
	TEST_WHERE(has_ipv6, "the kernel has no IPv6", s, blocking_client_and_server_ipv6);
	return s;
}
