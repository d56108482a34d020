/* TLS over real sockets: TCP on the loopback interface, and AF_UNIX pairs. */
#include "dtls/conn.h"
#include "loopback.h"
#include "seeded.h"
#include "suites.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { BULK = 1 << 20, SHORT_MS = 20 };

static char buf[256];

/* ---- sockets ---- */

static int listener(int backlog)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	ck_assert_int_eq(listen(fd, backlog), 0);
	return fd;
}

static int begin_connect(int listening, int flags)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	ck_assert_int_ge(fd, 0);
	to.sin_port = htons(loopback_port(listening));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		ck_assert_int_eq(errno, EINPROGRESS);
	return fd;
}

static struct two_sides tcp_sides(int client_flags, int server_flags)
{
	int listening = listener(1), client = begin_connect(listening, 0), server = accept(listening, NULL, NULL);

	ck_assert_int_ge(server, 0);
	close(listening);
	ck_assert_int_eq(fcntl(client, F_SETFL, client_flags), 0);
	ck_assert_int_eq(fcntl(server, F_SETFL, server_flags), 0);
	return (struct two_sides){
	    .client = loopback_side(PROTOCOL_TLS_CLIENT, client), .server = loopback_side(PROTOCOL_TLS_SERVER, server)};
}

static struct two_sides tcp_connected(void)
{
	struct two_sides p = tcp_sides(O_NONBLOCK, O_NONBLOCK);

	two_sides_handshake(&p);
	return p;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	ck_assert_int_eq(poll(&p, 1, LOOPBACK_PATIENCE_MS), 1);
}

START_TEST(stream_socket_over_tcp)
{
	struct two_sides p = tcp_connected();

	two_sides_talk(&p);
	ck_assert_int_eq(dtls_conn_close(p.client.conn), DTLS_OK);
	ck_assert_int_eq(loopback_read(p.server.conn, p.server.fd, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_int_eq(dtls_conn_close(p.server.conn), DTLS_OK);
	two_sides_free(&p);
}
END_TEST

START_TEST(stream_socket_names_the_peer)
{
	struct two_sides p = tcp_sides(O_NONBLOCK, O_NONBLOCK);

	close(p.client.fd);
	p.client.fd = -1;
	ck_assert_int_eq(dtls_conn_handshake(p.server.conn), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_conn_error(p.server.conn), "handshake with 127.0.0.1:"));
	two_sides_free(&p);
}
END_TEST

START_TEST(stream_socket_over_a_unix_pair)
{
	struct two_sides p;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p.client = loopback_side(PROTOCOL_TLS_CLIENT, fds[0]);
	p.server = loopback_side(PROTOCOL_TLS_SERVER, fds[1]);
	two_sides_handshake(&p);
	two_sides_talk(&p);
	close(p.client.fd);
	p.client.fd = -1;
	ck_assert_int_eq(loopback_read(p.server.conn, p.server.fd, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_conn_error(p.server.conn), "it was cut off"));
	two_sides_free(&p);
}
END_TEST

/* ---- blocking ---- */

/* A thread does not assert: what went wrong is told to the test. */
struct reader {
	struct dtls_conn *conn;
	uint8_t bytes[BULK];
	size_t got;
	char wrong[300];
};

static uint8_t content[BULK];

static void *reads_slowly(void *arg)
{
	struct reader *r = arg;
	uint64_t seed = 5;
	ssize_t n = dtls_conn_handshake(r->conn);

	while (n >= 0 && r->got < BULK) {
		size_t len = 1 + seeded_below(&seed, 3000);

		n = dtls_conn_read(r->conn, r->bytes + r->got, len < BULK - r->got ? len : BULK - r->got);
		r->got += n > 0 ? (size_t)n : 0;
	}
	if (n >= 0)
		n = dtls_conn_write(r->conn, "thanks", 6);
	if (n < 0)
		snprintf(r->wrong, sizeof(r->wrong), "%zd %.200s", n, dtls_conn_error(r->conn));
	return NULL;
}

START_TEST(stream_socket_blocking_megabyte)
{
	static struct reader r;
	struct two_sides p = tcp_sides(0, 0);
	pthread_t thread;

	seeded_bytes(&(uint64_t){9}, content, sizeof(content));
	r.conn = p.server.conn;
	ck_assert_int_eq(pthread_create(&thread, NULL, reads_slowly, &r), 0);
	ck_assert_int_eq(dtls_conn_write(p.client.conn, content, BULK), BULK);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), 6);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_str_eq(r.wrong, "");
	ck_assert_mem_eq(r.bytes, content, BULK);
	two_sides_free(&p);
}
END_TEST

START_TEST(stream_socket_calls_time_out_and_go_on)
{
	struct two_sides p = tcp_sides(0, O_NONBLOCK);

	ck_assert_int_eq(dtls_conn_set_timeout(p.client.conn, SHORT_MS), DTLS_OK);
	while (dtls_conn_handshake(p.client.conn) != DTLS_OK) {
		int status = dtls_conn_handshake(p.client.conn);

		ck_assert_msg(status == DTLS_AGAIN || status == DTLS_OK, "%s", dtls_conn_error(p.client.conn));
		status = dtls_conn_handshake(p.server.conn);
		ck_assert(status == DTLS_OK || status == DTLS_WANT_READ);
	}
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_AGAIN);
	ck_assert_int_eq(dtls_conn_write(p.server.conn, "late", 4), 4);
	ck_assert_int_eq(dtls_conn_set_timeout(p.client.conn, LOOPBACK_PATIENCE_MS), DTLS_OK);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), 4);
	two_sides_free(&p);
}
END_TEST

/* Nobody reads: the write gives up in time with what was taken, and can be continued. */
START_TEST(stream_socket_write_times_out_and_goes_on)
{
	struct two_sides p = tcp_connected();
	size_t sent = 0, got = 0;
	ssize_t n;

	seeded_bytes(&(uint64_t){9}, content, sizeof(content));
	ck_assert_int_eq(fcntl(p.client.fd, F_SETFL, 0), 0);
	ck_assert_int_eq(setsockopt(p.client.fd, SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int)), 0);
	ck_assert_int_eq(dtls_conn_set_timeout(p.client.conn, SHORT_MS), DTLS_OK);
	while ((n = dtls_conn_write(p.client.conn, content + sent % BULK, BULK - sent % BULK)) > 0)
		sent += (size_t)n;
	ck_assert_int_eq(n, DTLS_AGAIN);
	for (size_t more = 0; more == 0 || got<sent; more += n> 0 ? (size_t)n : 0) {
		uint8_t block[20000];

		n = dtls_conn_read(p.server.conn, block, sizeof(block));
		ck_assert(n > 0 || n == DTLS_WANT_READ);
		for (ssize_t i = 0; i < n; i++, got++)
			ck_assert(block[i] == content[got % BULK]);
		n = more != 0 ? 0 : dtls_conn_write(p.client.conn, content + sent % BULK, BULK - sent % BULK);
		ck_assert_msg(n >= 0 || n == DTLS_AGAIN, "%zd %s", n, dtls_conn_error(p.client.conn));
		sent += n > 0 ? (size_t)n : 0;
	}
	two_sides_free(&p);
}
END_TEST

START_TEST(stream_socket_handshake_deadline)
{
	int listening = listener(1), fd = begin_connect(listening, 0);
	struct loopback_side client = {.fd = fd, .ctx = loopback_context(PROTOCOL_TLS_CLIENT)};

	ck_assert_int_eq(dtls_context_set_handshake_timeout(client.ctx, 10, 20), DTLS_OK);
	client.conn = dtls_wrap_socket(client.ctx, fd);
	ck_assert_int_eq(dtls_conn_handshake(client.conn), DTLS_TIMEDOUT);
	ck_assert_ptr_nonnull(strstr(dtls_conn_error(client.conn), "nothing was received within 0.030 s"));
	loopback_side_free(&client);
	close(listening);
}
END_TEST

static void ignore_signal(int number)
{
	(void)number;
}

START_TEST(stream_socket_signals_interrupt)
{
	struct itimerval often = {.it_interval = {.tv_usec = 10000}, .it_value = {.tv_usec = 10000}},
			 never = {.it_value = {0}};
	struct sigaction action = {.sa_handler = ignore_signal};
	struct two_sides p = tcp_connected();

	ck_assert_int_eq(fcntl(p.client.fd, F_SETFL, 0), 0);
	ck_assert_int_eq(sigaction(SIGALRM, &action, NULL), 0);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_AGAIN);
	ck_assert_int_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

/* ---- connections that are not there yet, or never will be ---- */

/* Beside one that nobody has accepted, no other connection fits the queue: it stays under way. */
static int under_way(int listening, int *first)
{
	*first = begin_connect(listening, 0);
	return begin_connect(listening, SOCK_NONBLOCK);
}

START_TEST(stream_socket_still_connecting)
{
	int listening = listener(0), first, fd = under_way(listening, &first), status;
	struct two_sides p = {.client = loopback_side(PROTOCOL_TLS_CLIENT, fd)};

	status = dtls_conn_handshake(p.client.conn);
	ck_assert_msg(status == DTLS_WANT_WRITE, "%d %s", status, dtls_conn_error(p.client.conn));
	close(accept(listening, NULL, NULL));
	close(first);
	wait_for(fd, POLLOUT);
	p.server = loopback_side(PROTOCOL_TLS_SERVER, accept(listening, NULL, NULL));
	ck_assert_int_eq(fcntl(p.server.fd, F_SETFL, O_NONBLOCK), 0);
	two_sides_handshake(&p);
	two_sides_talk(&p);
	two_sides_free(&p);
	close(listening);
}
END_TEST

START_TEST(stream_socket_refused_while_connecting)
{
	int listening = listener(0), first, fd = under_way(listening, &first);
	struct loopback_side client = loopback_side(PROTOCOL_TLS_CLIENT, fd);

	ck_assert_int_eq(dtls_conn_handshake(client.conn), DTLS_WANT_WRITE);
	close(listening);
	close(first);
	wait_for(fd, POLLOUT);
	ck_assert_int_eq(dtls_conn_handshake(client.conn), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_conn_error(client.conn), "Connection refused"));
	ck_assert_int_eq(dtls_conn_error_code(client.conn), -ECONNREFUSED);
	loopback_side_free(&client);
}
END_TEST

START_TEST(stream_socket_never_connected)
{
	struct loopback_side client = loopback_side(PROTOCOL_TLS_CLIENT, socket(AF_INET, SOCK_STREAM, 0));

	ck_assert_int_eq(dtls_conn_handshake(client.conn), DTLS_FAIL);
	ck_assert_msg(
	    strstr(dtls_conn_error(client.conn), "not connected") != NULL, "%s", dtls_conn_error(client.conn));
	loopback_side_free(&client);
}
END_TEST

/* ---- resets ---- */

/* A close with input unread resets the connection; what was sent before is still there to be read. */
static void reset_by_server(struct two_sides *p, int alert)
{
	ck_assert_int_eq(dtls_conn_write(p->client.conn, "unread", 6), 6);
	wait_for(p->server.fd, POLLIN);
	if (alert != 0)
		mbedtls_ssl_send_alert_message(
		    &p->server.conn->a->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, (unsigned char)alert);
	close(p->server.fd);
	p->server.fd = -1;
	wait_for(p->client.fd, POLLHUP);
}

START_TEST(stream_socket_reset)
{
	struct two_sides p = tcp_connected();

	reset_by_server(&p, 0);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_error_code(p.client.conn), -ECONNRESET);
	two_sides_free(&p);
}
END_TEST

/* The client's hello is what meets it: who then reads is told no more of it than that the stream has ended. */
START_TEST(stream_socket_reset_before_the_hello)
{
	struct linger at_once = {.l_onoff = 1};
	struct two_sides p = tcp_sides(O_NONBLOCK, O_NONBLOCK);

	ck_assert_int_eq(setsockopt(p.server.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(p.server.fd);
	p.server.fd = -1;
	wait_for(p.client.fd, POLLHUP);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_error_code(p.client.conn), -ECONNRESET);
	}
	two_sides_free(&p);
}
END_TEST

/* Without a signal, and with the reason. */
START_TEST(stream_socket_reset_with_a_reason)
{
	struct two_sides p = tcp_connected();
	ssize_t n;

	reset_by_server(&p, MBEDTLS_SSL_ALERT_MSG_USER_CANCELED);
	while ((n = dtls_conn_write(p.client.conn, "x", 1)) == 1)
		continue;
	ck_assert_int_eq(n, DTLS_FAIL);
	ck_assert_msg(strstr(dtls_conn_error(p.client.conn), "the peer sent the alert 90 user_canceled") != NULL, "%s",
	    dtls_conn_error(p.client.conn));
	two_sides_free(&p);
}
END_TEST

Suite *stream_socket_suite(void)
{
	Suite *suite = suite_create("stream_socket");

	TEST(suite, stream_socket_over_tcp);
	TEST(suite, stream_socket_names_the_peer);
	TEST(suite, stream_socket_over_a_unix_pair);
	TEST(suite, stream_socket_blocking_megabyte);
	TEST(suite, stream_socket_calls_time_out_and_go_on);
	TEST(suite, stream_socket_write_times_out_and_goes_on);
	TEST(suite, stream_socket_handshake_deadline);
	TEST(suite, stream_socket_signals_interrupt);
	TEST(suite, stream_socket_still_connecting);
	TEST(suite, stream_socket_refused_while_connecting);
	TEST(suite, stream_socket_never_connected);
	TEST(suite, stream_socket_reset);
	TEST(suite, stream_socket_reset_before_the_hello);
	TEST(suite, stream_socket_reset_with_a_reason);
	return suite;
}
