/* Endpoints over real sockets on the loopback interface. */
#include "loopback.h"
#include "suites.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct server { /* an echo server, and what it saw */
	struct dtls_context *ctx;
	struct dtls_endpoint *ep;
	int fd;
	uint16_t port;
	unsigned connected, messages, ended;
	enum dtls_reason reason; /* of the last end */
};

static struct server server_new(const char *host, int flags)
{
	struct server s = {.ctx = loopback_context(PROTOCOL_DTLS_SERVER), .fd = loopback_bound(host, 0, flags)};

	s.port = loopback_port(s.fd);
	s.ep = dtls_endpoint_new(s.ctx, s.fd, NULL);
	ck_assert_msg(s.ep != NULL, "%s", dtls_context_error(s.ctx));
	return s;
}

static void server_free(struct server *s)
{
	dtls_endpoint_free(s->ep);
	dtls_context_free(s->ctx);
	close(s->fd);
}

/* Until there is nothing more to do now. */
static void serve(struct server *s)
{
	struct dtls_peer *peer;
	char buf[2048];
	ssize_t n;

	while ((n = dtls_endpoint_recv(s->ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		ck_assert_msg(peer != NULL, "%zd %s", n, dtls_endpoint_error(s->ep));
		if (n > 0) {
			s->messages++;
			ck_assert_int_eq(dtls_peer_send(peer, buf, (size_t)n), n);
		} else if (n == DTLS_CONNECTED) {
			s->connected++;
		} else {
			ck_assert_msg(n == DTLS_CLOSED, "%zd %s", n, dtls_peer_error(peer));
			s->ended++;
			s->reason = dtls_peer_reason(peer);
		}
	}
}

static struct dtls_stats stats_of(const struct server *s)
{
	struct dtls_stats stats = {.size = sizeof(stats)};

	ck_assert_int_eq(dtls_endpoint_stats(s->ep, &stats), DTLS_OK);
	return stats;
}

/* One turn for each side; then waits. */
static ssize_t take_turns(struct server *s, struct loopback_side *client, bool reading, char *buf, size_t len)
{
	int64_t stop_at = loopback_now_ms() + LOOPBACK_PATIENCE_MS;

	for (;;) {
		ssize_t n = reading ? dtls_conn_read(client->conn, buf, len) : dtls_conn_handshake(client->conn);

		serve(s);
		if (n != DTLS_WANT_READ)
			return n;
		ck_assert_msg(loopback_now_ms() < stop_at, "nothing came in time");
		loopback_wait(client->fd, s->fd, 100);
	}
}

static void echo(struct server *s, struct loopback_side *client, const char *text)
{
	size_t len = strlen(text);
	char buf[2048];

	ck_assert_int_eq(dtls_conn_write(client->conn, text, len), (ssize_t)len);
	ck_assert_int_eq(take_turns(s, client, true, buf, sizeof(buf)), (ssize_t)len);
	ck_assert_mem_eq(buf, text, len);
}

static struct loopback_side client_on(struct server *s, int fd)
{
	struct loopback_side c = loopback_side(PROTOCOL_DTLS_CLIENT, fd);
	ssize_t status = take_turns(s, &c, false, NULL, 0);

	ck_assert_msg(status == DTLS_OK, "%zd %s", status, dtls_conn_error(c.conn));
	return c;
}

static struct loopback_side client_of(struct server *s, const char *host)
{
	return client_on(s, loopback_connected(host, s->port, SOCK_NONBLOCK));
}

static void leave(struct server *s, struct loopback_side *client)
{
	unsigned ended = s->ended;

	ck_assert_int_eq(dtls_conn_close(client->conn), DTLS_OK);
	while (s->ended == ended) {
		loopback_wait(s->fd, -1, -1);
		serve(s);
	}
	ck_assert_uint_eq(s->ended, ended + 1);
	ck_assert_int_eq(s->reason, DTLS_REASON_CLOSE_NOTIFY);
	loopback_side_free(client);
}

static void serve_until_taken(struct server *s, uint64_t datagrams)
{
	while (stats_of(s).datagrams_in < datagrams) {
		loopback_wait(s->fd, -1, -1);
		serve(s);
	}
	ck_assert_uint_eq(stats_of(s).datagrams_in, datagrams);
}

static void three_at_once(const char *bind_to, const char *one, const char *two, const char *three)
{
	struct server s = server_new(bind_to, SOCK_NONBLOCK);
	struct loopback_side c[3] = {client_of(&s, one), client_of(&s, two), client_of(&s, three)};

	for (int i = 0; i < 3; i++)
		echo(&s, &c[i], "21.5");
	ck_assert_uint_eq(s.connected, 3);
	ck_assert_uint_eq(stats_of(&s).peers, 3);
	for (int i = 0; i < 3; i++)
		leave(&s, &c[i]);
	ck_assert_uint_eq(stats_of(&s).peers, 0);
	ck_assert_uint_eq(stats_of(&s).closed_by_peer, 3);
	server_free(&s);
}

START_TEST(endpoint_ipv4)
{
	three_at_once("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1");
}
END_TEST

START_TEST(endpoint_ipv6)
{
	three_at_once("::1", "::1", "::1", "::1");
}
END_TEST

START_TEST(endpoint_on_a_wildcard)
{
	three_at_once("0.0.0.0", "127.0.0.1", "127.0.0.2", "127.3.2.1");
}
END_TEST

START_TEST(endpoint_on_an_ipv6_wildcard)
{
	three_at_once("::", "::1", "127.0.0.2", "::ffff:127.0.0.3");
}
END_TEST

/* The address that was written to belongs to the peer: one client port may hold a session with each. */
START_TEST(one_client_port_and_two_server_addresses)
{
	struct server s = server_new("0.0.0.0", SOCK_NONBLOCK);
	int one = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK), two;
	struct loopback_side c[2];

	loopback_connect(one, "127.0.0.1", s.port);
	two = loopback_bound("127.0.0.1", loopback_port(one), SOCK_NONBLOCK);
	loopback_connect(two, "127.0.0.2", s.port);
	c[0] = client_on(&s, one);
	c[1] = client_on(&s, two);
	ck_assert_uint_eq(stats_of(&s).peers, 2);
	ck_assert_uint_eq(stats_of(&s).closed_replaced, 0);
	echo(&s, &c[0], "to the first");
	echo(&s, &c[1], "to the second");
	leave(&s, &c[0]);
	echo(&s, &c[1], "still here");
	leave(&s, &c[1]);
	server_free(&s);
}
END_TEST

struct wanderer { /* the server's address changes under a client */
	int fd;
	struct sockaddr_in to;
};

static ssize_t wanderer_send(void *arg, const void *buf, size_t len)
{
	struct wanderer *w = arg;

	return sendto(w->fd, buf, len, 0, (struct sockaddr *)&w->to, sizeof(w->to));
}

static ssize_t wanderer_recv(void *arg, void *buf, size_t len)
{
	ssize_t n = recv(((struct wanderer *)arg)->fd, buf, len, 0);

	return n >= 0 ? n : DTLS_WANT_READ;
}

START_TEST(cookie_of_one_server_address_is_none_at_another)
{
	struct server s = server_new("0.0.0.0", SOCK_NONBLOCK);
	struct wanderer w = {.fd = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK),
	    .to = {.sin_family = AF_INET, .sin_port = htons(s.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	struct dtls_transport transport = {wanderer_send, wanderer_recv, &w};
	struct loopback_side c = {.ctx = loopback_context(PROTOCOL_DTLS_CLIENT), .fd = w.fd};

	c.conn = dtls_wrap_transport(c.ctx, &transport);
	ck_assert_int_eq(dtls_conn_handshake(c.conn), DTLS_WANT_READ);
	serve_until_taken(&s, 1);
	w.to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	ck_assert_int_eq(take_turns(&s, &c, false, NULL, 0), DTLS_OK);
	ck_assert_uint_eq(stats_of(&s).cookies_rejected, 1);
	ck_assert_uint_eq(stats_of(&s).cookies_accepted, 1);
	ck_assert_uint_eq(stats_of(&s).hello_replies, 2);
	leave(&s, &c);
	server_free(&s);
}
END_TEST

START_TEST(endpoint_never_blocks_on_a_blocking_socket)
{
	struct server s = server_new("127.0.0.1", 0);
	int64_t began_at = loopback_now_ms();
	struct dtls_peer *peer;
	char buf[64];

	ck_assert_int_eq(dtls_endpoint_recv(s.ep, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
	ck_assert_int_eq(dtls_endpoint_events(s.ep), POLLIN);
	ck_assert_int_eq(dtls_endpoint_timeout(s.ep), -1);
	ck_assert_int_eq(dtls_endpoint_flush(s.ep), DTLS_OK);
	ck_assert_int_lt(loopback_now_ms() - began_at, LOOPBACK_PATIENCE_MS);
	server_free(&s);
}
END_TEST

START_TEST(endpoint_in_an_epoll_loop)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side c =
	    loopback_side(PROTOCOL_DTLS_CLIENT, loopback_connected("127.0.0.1", s.port, SOCK_NONBLOCK));
	int loop = epoll_create1(0), ms;
	/* POLLIN and POLLOUT are EPOLLIN and EPOLLOUT. */
	struct epoll_event event = {.events = (uint32_t)dtls_endpoint_events(s.ep), .data.fd = s.fd};

	ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, s.fd, &event), 0);
	event = (struct epoll_event){.events = EPOLLIN, .data.fd = c.fd};
	ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, c.fd, &event), 0);
	while (dtls_conn_handshake(c.conn) == DTLS_WANT_READ) {
		ck_assert_int_eq(epoll_wait(loop, &event, 1, LOOPBACK_PATIENCE_MS), 1);
		if (event.data.fd != s.fd)
			continue;
		serve(&s);
		/* Its handshake is the only thing that the endpoint waits for. */
		ms = dtls_endpoint_timeout(s.ep);
		if (stats_of(&s).handshakes == 1)
			ck_assert_msg(ms > 0 && ms <= 1100, "%d", ms);
		else
			ck_assert_int_eq(ms, -1);
	}
	ck_assert_uint_eq(s.connected, 1);
	echo(&s, &c, "21.5");
	close(loop);
	leave(&s, &c);
	server_free(&s);
}
END_TEST

/* ---- what others send ---- */

START_TEST(largest_datagram_there_is)
{
	static char huge[65507];
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side c = client_of(&s, "127.0.0.1");
	int stranger = loopback_connected("127.0.0.1", s.port, 0);
	uint64_t before = stats_of(&s).datagrams_in;

	memset(huge, 23, sizeof(huge));
	ck_assert_int_eq(send(stranger, huge, sizeof(huge), 0), (ssize_t)sizeof(huge));
	serve_until_taken(&s, before + 1);
	/* And one from the address of a peer, who is none the worse for it. */
	ck_assert_int_eq(send(c.fd, huge, sizeof(huge), 0), (ssize_t)sizeof(huge));
	serve_until_taken(&s, before + 2);
	ck_assert_uint_eq(stats_of(&s).drop_truncated, 2);
	ck_assert_uint_eq(stats_of(&s).drop_junk + stats_of(&s).drop_forged, 0);
	echo(&s, &c, "21.5");
	close(stranger);
	leave(&s, &c);
	server_free(&s);
}
END_TEST

START_TEST(junk_on_the_socket_is_not_answered)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	int stranger = loopback_connected("127.0.0.1", s.port, SOCK_NONBLOCK);
	char buf[64];

	for (size_t len = 0; len <= 18; len++)
		ck_assert_int_eq(send(stranger, "GET / HTTP/1.1\r\n\r\n", len, 0), (ssize_t)len);
	serve_until_taken(&s, 19);
	ck_assert_uint_eq(stats_of(&s).drop_junk, 19);
	ck_assert_uint_eq(stats_of(&s).datagrams_out, 0);
	ck_assert_int_eq(recv(stranger, buf, sizeof(buf), 0), -1);
	close(stranger);
	server_free(&s);
}
END_TEST

/* An ICMP error is about one peer at most, and it is never known which. */
START_TEST(peer_that_is_gone_does_not_end_another)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side gone = client_of(&s, "127.0.0.1"), stays = client_of(&s, "127.0.0.1");
	uint64_t before = stats_of(&s).datagrams_in;
	char buf[64];

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(dtls_conn_write(gone.conn, "answer me", 9), 9);
	loopback_side_free(&gone);
	serve_until_taken(&s, before + 3); /* three answers to a port that nobody has */
	ck_assert_uint_eq(s.messages, 3);
	for (int i = 0; i < 3; i++)
		echo(&s, &stays, "21.5");
	ck_assert_uint_eq(stats_of(&s).peers, 2);
	ck_assert_uint_eq(s.ended, 0);
	ck_assert_int_eq(dtls_conn_read(stays.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	leave(&s, &stays);
	server_free(&s);
}
END_TEST

START_TEST(peer_whose_path_is_narrow)
{
	struct server s = {.ctx = loopback_context(PROTOCOL_DTLS_SERVER)};
	int on = 1, path = 1280;
	struct dtls_peer *peer = NULL;
	struct loopback_side c;
	char big[3000] = {0}, buf[2048];

	ck_assert_int_eq(dtls_context_set_mtu(s.ctx, 4000), DTLS_OK);
	s.fd = loopback_bound("::1", 0, SOCK_NONBLOCK);
	s.port = loopback_port(s.fd);
	ck_assert_int_eq(setsockopt(s.fd, IPPROTO_IPV6, IPV6_MTU, &path, sizeof(path)), 0);
	ck_assert_int_eq(setsockopt(s.fd, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on)), 0);
	s.ep = dtls_endpoint_new(s.ctx, s.fd, NULL);
	c = client_of(&s, "::1");
	ck_assert_int_eq(dtls_conn_write(c.conn, "x", 1), 1);
	loopback_wait(s.fd, -1, -1);
	ck_assert_int_eq(dtls_endpoint_recv(s.ep, &peer, buf, sizeof(buf)), 1);
	ck_assert_int_eq(dtls_peer_send(peer, big, sizeof(big)), DTLS_TOO_BIG);
	ck_assert_uint_eq(stats_of(&s).drop_send, 1);
	ck_assert_int_eq(dtls_peer_send(peer, big, 1000), 1000);
	ck_assert_int_eq(loopback_read(c.conn, c.fd, buf, sizeof(buf)), 1000);
	leave(&s, &c);
	server_free(&s);
}
END_TEST

/* ---- coming back, and going ---- */

static struct loopback_side client_from(struct server *s, uint16_t port)
{
	int fd = loopback_bound("127.0.0.1", port, SOCK_NONBLOCK);

	loopback_connect(fd, "127.0.0.1", s->port);
	return client_on(s, fd);
}

START_TEST(second_client_from_the_port_of_one_that_left)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side c = client_of(&s, "127.0.0.1");
	uint16_t port = loopback_port(c.fd);

	leave(&s, &c);
	c = client_from(&s, port);
	echo(&s, &c, "21.5");
	ck_assert_uint_eq(s.connected, 2);
	ck_assert_uint_eq(stats_of(&s).closed_replaced, 0);
	leave(&s, &c);
	server_free(&s);
}
END_TEST

/* RFC 6347, 4.2.8. */
START_TEST(client_that_rebooted_on_its_port)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side c = client_of(&s, "127.0.0.1");
	uint16_t port = loopback_port(c.fd);

	loopback_side_free(&c); /* without a close_notify */
	c = client_from(&s, port);
	ck_assert_uint_eq(s.connected, 2);
	ck_assert_uint_eq(s.ended, 1);
	ck_assert_int_eq(s.reason, DTLS_REASON_REPLACED);
	echo(&s, &c, "21.5");
	ck_assert_uint_eq(stats_of(&s).peers, 1);
	leave(&s, &c);
	server_free(&s);
}
END_TEST

enum { MANY = 150 };

START_TEST(close_tells_every_client)
{
	static struct loopback_side c[MANY];
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	int status, calls = 0;
	char buf[64];

	for (int i = 0; i < MANY; i++)
		c[i] = client_of(&s, "127.0.0.1");
	while ((status = dtls_endpoint_close(s.ep)) == DTLS_WANT_READ)
		calls++;
	ck_assert_int_eq(status, DTLS_OK);
	ck_assert_int_gt(calls, 0);
	for (int i = 0; i < MANY; i++) {
		ck_assert_int_eq(loopback_read(c[i].conn, c[i].fd, buf, sizeof(buf)), DTLS_CLOSED);
		loopback_side_free(&c[i]);
	}
	ck_assert_uint_eq(stats_of(&s).peers, 0);
	serve(&s);
	ck_assert_uint_eq(s.ended, 0);
	server_free(&s);
}
END_TEST

START_TEST(free_is_silent)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct loopback_side c = client_of(&s, "127.0.0.1");
	struct pollfd p = {.fd = c.fd, .events = POLLIN};
	char buf[64];

	dtls_endpoint_free(s.ep);
	ck_assert_int_eq(poll(&p, 1, 50), 0);
	ck_assert_int_eq(dtls_conn_read(c.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	s.ep = NULL;
	loopback_side_free(&c);
	server_free(&s);
}
END_TEST

START_TEST(socket_closed_under_an_endpoint)
{
	struct server s = server_new("127.0.0.1", SOCK_NONBLOCK);
	struct dtls_peer *peer;
	char buf[64];

	close(s.fd);
	ck_assert_int_eq(dtls_endpoint_recv(s.ep, &peer, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_ptr_null(peer);
	ck_assert_str_eq(dtls_endpoint_error(s.ep), "cannot receive: Bad file descriptor");
	s.fd = -1;
	server_free(&s);
}
END_TEST

Suite *socket_endpoint_suite(void)
{
	static const char no_ipv6[] = "the kernel has no IPv6";
	Suite *s = suite_create("socket_endpoint");
	bool has_ipv6 = loopback_has_ipv6();

	TEST(s, endpoint_ipv4);
	TEST_WHERE(has_ipv6, no_ipv6, s, endpoint_ipv6);
	TEST(s, endpoint_on_a_wildcard);
	TEST_WHERE(has_ipv6, no_ipv6, s, endpoint_on_an_ipv6_wildcard);
	TEST(s, one_client_port_and_two_server_addresses);
	TEST(s, cookie_of_one_server_address_is_none_at_another);
	TEST(s, endpoint_never_blocks_on_a_blocking_socket);
	TEST(s, endpoint_in_an_epoll_loop);
	TEST(s, largest_datagram_there_is);
	TEST(s, junk_on_the_socket_is_not_answered);
	TEST(s, peer_that_is_gone_does_not_end_another);
	TEST_WHERE(has_ipv6, no_ipv6, s, peer_whose_path_is_narrow);
	TEST(s, second_client_from_the_port_of_one_that_left);
	TEST(s, client_that_rebooted_on_its_port);
	TEST(s, close_tells_every_client);
	TEST(s, free_is_silent);
	TEST(s, socket_closed_under_an_endpoint);
	return s;
}
