/* What the path says: ports that nobody has, and messages that it does not take. */
#include "loopback.h"
#include "suites.h"

#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static uint16_t closed_port(void)
{
	int fd = loopback_bound("127.0.0.1", 0, 0);
	uint16_t port = loopback_port(fd);

	close(fd);
	return port;
}

START_TEST(closed_port_ends_at_the_deadline)
{
	struct loopback_side s = {.ctx = loopback_context(PROTOCOL_DTLS_CLIENT)};
	int64_t began_at = loopback_now_ms(), took;

	/* 20 + 40 + 80 ms, and then it gives up. */
	ck_assert_int_eq(dtls_context_set_handshake_timeout(s.ctx, 20, 80), DTLS_OK);
	s.fd = loopback_connected("127.0.0.1", closed_port(), 0);
	s.conn = dtls_wrap_socket(s.ctx, s.fd);
	ck_assert_int_eq(dtls_conn_handshake(s.conn), DTLS_TIMEDOUT);
	took = loopback_now_ms() - began_at;
	ck_assert_msg(took >= 140 && took < LOOPBACK_PATIENCE_MS, "%lld ms", (long long)took);
	ck_assert_msg(strstr(dtls_conn_error(s.conn), "Connection refused") != NULL, "%s", dtls_conn_error(s.conn));
	ck_assert_int_eq(dtls_conn_handshake(s.conn), DTLS_TIMEDOUT);
	loopback_side_free(&s);
}
END_TEST

START_TEST(server_that_comes_late_is_found)
{
	uint16_t port = closed_port();
	struct two_sides p;

	p.client.ctx = loopback_context(PROTOCOL_DTLS_CLIENT);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(p.client.ctx, 50, 2000), DTLS_OK);
	p.client.fd = loopback_connected("127.0.0.1", port, SOCK_NONBLOCK);
	p.client.conn = dtls_wrap_socket(p.client.ctx, p.client.fd);
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_WANT_READ);
	loopback_wait(p.client.fd, -1, -1); /* the ICMP error */
	ck_assert_int_eq(dtls_conn_handshake(p.client.conn), DTLS_WANT_READ);
	p.server = loopback_side(PROTOCOL_DTLS_SERVER, loopback_bound("127.0.0.1", port, SOCK_NONBLOCK));
	two_sides_handshake(&p);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

START_TEST(refused_datagrams_do_not_end_the_session)
{
	struct two_sides p = two_sides_connected();
	uint16_t port = loopback_port(p.server.fd);
	int elsewhere = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK), back;
	struct pollfd error = {.fd = p.client.fd};
	char buf[64];

	/* Nobody has the server's port for a while. */
	ck_assert_int_eq(dup2(elsewhere, p.server.fd), p.server.fd);
	ck_assert_int_eq(dtls_conn_write(p.client.conn, "lost", 4), 4);
	ck_assert_int_eq(poll(&error, 1, LOOPBACK_PATIENCE_MS), 1);
	ck_assert_int_eq(error.revents & POLLERR, POLLERR);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	/* And now the error meets a send. */
	ck_assert_int_eq(dtls_conn_write(p.client.conn, "lost", 4), 4);
	ck_assert_int_eq(poll(&error, 1, LOOPBACK_PATIENCE_MS), 1);
	ck_assert_int_eq(dtls_conn_write(p.client.conn, "lost", 4), 4);
	ck_assert_str_eq(dtls_conn_error(p.client.conn), "");

	back = loopback_bound("127.0.0.1", port, SOCK_NONBLOCK);
	ck_assert_int_eq(dup2(back, p.server.fd), p.server.fd);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	two_sides_talk(&p);
	close(back);
	close(elsewhere);
	two_sides_free(&p);
}
END_TEST

/* RFC 6347, 4.1.1.1: the application is told what the path does not take. */
START_TEST(message_larger_than_the_path)
{
	struct two_sides p;
	int on = 1, path = 1280;
	char big[3000], got[4000];

	p.server.ctx = loopback_context(PROTOCOL_DTLS_SERVER);
	p.client.ctx = loopback_context(PROTOCOL_DTLS_CLIENT);
	ck_assert_int_eq(dtls_context_set_mtu(p.client.ctx, 4000), DTLS_OK);
	p.server.fd = loopback_bound("::1", 0, SOCK_NONBLOCK);
	p.client.fd = loopback_connected("::1", loopback_port(p.server.fd), SOCK_NONBLOCK);
	ck_assert_int_eq(setsockopt(p.client.fd, IPPROTO_IPV6, IPV6_MTU, &path, sizeof(path)), 0);
	ck_assert_int_eq(setsockopt(p.client.fd, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof(on)), 0);
	p.server.conn = dtls_wrap_socket(p.server.ctx, p.server.fd);
	p.client.conn = dtls_wrap_socket(p.client.ctx, p.client.fd);
	two_sides_handshake(&p);

	memset(big, 'b', sizeof(big));
	ck_assert_int_eq(dtls_conn_write(p.client.conn, big, sizeof(big)), DTLS_TOO_BIG);
	ck_assert_int_eq(dtls_conn_read(p.server.conn, got, sizeof(got)), DTLS_WANT_READ);
	ck_assert_int_eq(dtls_conn_write(p.client.conn, big, 1000), 1000);
	ck_assert_int_eq(loopback_read(p.server.conn, p.server.fd, got, sizeof(got)), 1000);
	two_sides_talk(&p);
	two_sides_free(&p);
}
END_TEST

Suite *icmp_suite(void)
{
	Suite *s = suite_create("icmp");

	TEST(s, closed_port_ends_at_the_deadline);
	TEST(s, server_that_comes_late_is_found);
	TEST(s, refused_datagrams_do_not_end_the_session);
	TEST_WHERE(loopback_has_ipv6(), "the kernel has no IPv6", s, message_larger_than_the_path);
	return s;
}
