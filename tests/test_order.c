/* Every call at the wrong time, and every order of freeing. */
#include "pair.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct pair pair;
static uint8_t buf[PAIR_MESSAGE_MAX];

/* What holds outside of a session. */
static void assert_no_session(const struct dtls_conn *conn)
{
	ck_assert_uint_eq(dtls_conn_max_payload(conn), 0);
	ck_assert_uint_eq(dtls_conn_pending(conn), 0);
	ck_assert_ptr_null(dtls_conn_cipher(conn));
	ck_assert_ptr_null(dtls_conn_version(conn));
}

/* ---- before the handshake */

START_TEST(order_before_the_handshake)
{
	size_t len = 1;

	pair_open(&pair);
	pair_wrap(&pair);
	assert_no_session(pair.client.conn);
	assert_no_session(pair.server.conn);
	ck_assert_str_eq(dtls_conn_error(pair.client.conn), "");
	ck_assert_str_eq(dtls_conn_error(pair.server.conn), "");
	ck_assert_int_eq(dtls_conn_error_code(pair.client.conn), 0);
	ck_assert_int_eq(dtls_conn_error_code(pair.server.conn), 0);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), -1);
	ck_assert_int_eq(dtls_conn_timeout(pair.server.conn), -1);
	ck_assert_ptr_null(dtls_conn_psk_identity(pair.server.conn, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(dtls_conn_handle_timeout(pair.server.conn), DTLS_OK);
	pair_close(&pair);
}
END_TEST

/* Each of these begins the handshake, and then waits like any other. */
START_TEST(order_read_and_write_imply_the_handshake)
{
	for (int first = 0; first < 3; first++) {
		ssize_t status;

		pair_open(&pair);
		pair_wrap(&pair);
		if (first == 0)
			status = dtls_conn_read(pair.client.conn, buf, sizeof(buf));
		else if (first == 1)
			status = dtls_conn_write(pair.client.conn, "x", 1);
		else
			status = dtls_conn_handle_timeout(pair.client.conn);
		ck_assert_int_eq(status, first == 2 ? DTLS_OK : DTLS_WANT_READ);
		ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), 1000);
		ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
		ck_assert_int_eq(dtls_conn_write(pair.server.conn, "x", 1), DTLS_WANT_READ);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		pair_assert_exchange(&pair);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(order_whole_handshake_by_reading)
{
	pair_open(&pair);
	pair_wrap(&pair);
	for (int64_t at = 0; at <= 120; at += 20) {
		sim_advance_to(pair.sim, at);
		ck_assert_int_eq(dtls_conn_read(pair.client.conn, buf, sizeof(buf)), DTLS_WANT_READ);
		ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_WANT_READ);
	}
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

START_TEST(order_close_before_the_handshake)
{
	struct sim_link_stats stats;

	pair_open(&pair);
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_close(pair.server.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_FAIL);
	assert_error(pair.client.conn, "the connection was closed on this side");
	ck_assert_int_eq(dtls_conn_read(pair.server.conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_handle_timeout(pair.client.conn), DTLS_FAIL);
	assert_no_session(pair.client.conn);
	sim_link_stats(pair.client.out, &stats);
	ck_assert_uint_eq(stats.sent, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(order_close_during_the_handshake)
{
	pair_open(&pair);
	pair_until(&pair, 70);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), -1);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	ck_assert_int_eq(pair.server.status, DTLS_TIMEDOUT);
	ck_assert_int_eq(pair.server.done_at, 60 + 123000);
	pair_close(&pair);
}
END_TEST

/* ---- after */

START_TEST(order_after_close)
{
	pair_open(&pair);
	pair_handshake(&pair);
	ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_read(pair.client.conn, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_handle_timeout(pair.client.conn), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "name"), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), -1);
	ck_assert_uint_eq(dtls_conn_pending(pair.client.conn), 0);
	pair_close(&pair);
}
END_TEST

START_TEST(order_after_failure)
{
	char cause[512];
	int code;

	pair_open(&pair);
	ck_assert_int_eq(dtls_context_set_psk(pair.server.ctx, "other", 5, "key", 3), DTLS_OK);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	snprintf(cause, sizeof(cause), "%s", dtls_conn_error(pair.client.conn));
	code = dtls_conn_error_code(pair.client.conn);
	ck_assert_int_ne(code, 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_read(pair.client.conn, buf, sizeof(buf)), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 1), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_write(pair.client.conn, "x", 0), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_handle_timeout(pair.client.conn), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "name"), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_set_client_id(pair.server.conn, "late", 4), DTLS_FAIL);
		ck_assert_int_eq(dtls_conn_set_timeout(pair.client.conn, -2), DTLS_FAIL);
		assert_no_session(pair.client.conn);
		ck_assert_int_eq(dtls_conn_timeout(pair.client.conn), -1);
		/* The first cause wins. */
		ck_assert_str_eq(dtls_conn_error(pair.client.conn), cause);
		ck_assert_int_eq(dtls_conn_error_code(pair.client.conn), code);
		ck_assert_int_eq(dtls_conn_close(pair.client.conn), DTLS_OK);
	}
	pair_close(&pair);
}
END_TEST

START_TEST(order_handshake_again)
{
	pair_open(&pair);
	pair_handshake(&pair);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_OK);
		ck_assert_int_eq(dtls_conn_handle_timeout(pair.client.conn), DTLS_OK);
		ck_assert_int_eq(dtls_conn_handshake(pair.server.conn), DTLS_OK);
	}
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* ---- settings of a connection */

START_TEST(order_client_id)
{
	static const uint8_t id[65];
	struct dtls_transport transport = {.send = sim_link_send, .recv = sim_link_recv};
	struct dtls_conn *server;

	pair_open(&pair);
	transport.arg = pair.server.out;
	server = dtls_wrap_transport(pair.server.ctx, &transport);
	ck_assert_int_eq(dtls_conn_handshake(server), DTLS_FAIL);
	assert_error(server, "needs dtls_conn_set_client_id() first");
	ck_assert_int_eq(dtls_conn_set_client_id(server, id, 0), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_set_client_id(server, id, 65), DTLS_FAIL);
	assert_error(server, "a client id has 1 to 64 bytes");
	ck_assert_int_eq(dtls_conn_handshake(server), DTLS_FAIL);
	/* Not final: the call was wrong. */
	ck_assert_int_eq(dtls_conn_set_client_id(server, id, 64), DTLS_OK);
	ck_assert_int_eq(dtls_conn_set_client_id(server, id, 1), DTLS_OK);
	ck_assert_int_eq(dtls_conn_handshake(server), DTLS_WANT_READ);
	dtls_conn_free(server);

	pair_until(&pair, 70);
	ck_assert_int_eq(dtls_conn_set_client_id(pair.client.conn, "x", 1), DTLS_FAIL);
	assert_error(pair.client.conn, "only a DTLS server's connection has a client id");
	ck_assert_int_eq(dtls_conn_set_client_id(pair.server.conn, "x", 1), DTLS_FAIL);
	assert_error(pair.server.conn, "must be set before the handshake begins");
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_close(&pair);
}
END_TEST

START_TEST(order_hostname)
{
	static char too_long[257];

	memset(too_long, 'x', sizeof(too_long) - 1);
	pair_open(&pair);
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.server.conn, "name"), DTLS_FAIL);
	assert_error(pair.server.conn, "a server has no server_hostname");
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, too_long), DTLS_FAIL);
	assert_error(pair.client.conn, "a hostname has 1 to 255 bytes");
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "one.example"), DTLS_OK);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, NULL), DTLS_OK);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "two.example"), DTLS_OK);
	pair_step(&pair);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "three.example"), DTLS_FAIL);
	assert_error(pair.client.conn, "must be set before the handshake begins");
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "three.example"), DTLS_FAIL);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

static bool contains(const struct datagram *d, const char *text)
{
	return memmem(d->bytes, d->len, text, strlen(text)) != NULL;
}

/* RFC 6066, 3: the name goes into every ClientHello; without a name there is none. */
START_TEST(order_hostname_is_sent)
{
	static struct capture up;

	for (int named = 0; named < 2; named++) {
		pair_open(&pair);
		capture_link(&up, pair.client.out);
		pair_wrap(&pair);
		if (named)
			ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "sensor.example"), DTLS_OK);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		ck_assert_int_eq(contains(&up.datagrams[0], "sensor.example"), named);
		ck_assert_int_eq(contains(&up.datagrams[1], "sensor.example"), named);
		ck_assert(!contains(&up.datagrams[0], PAIR_IDENTITY));
		pair_close(&pair);
	}
}
END_TEST

START_TEST(order_set_timeout)
{
	pair_open(&pair);
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_set_timeout(pair.client.conn, -2), DTLS_FAIL);
	assert_error(pair.client.conn, "a timeout is -1, for none, or a number of milliseconds");
	ck_assert_int_eq(dtls_conn_set_timeout(pair.client.conn, 0), DTLS_OK);
	ck_assert_int_eq(dtls_conn_set_timeout(pair.client.conn, -1), DTLS_OK);
	/* Over a transport nothing blocks. */
	ck_assert_int_eq(dtls_conn_set_timeout(pair.client.conn, 5000), DTLS_OK);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_close(&pair);
}
END_TEST

/* ---- making */

START_TEST(order_wrap_without_a_key)
{
	static const enum dtls_protocol sides[] = {PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER};
	struct dtls_transport transport = {.send = sim_link_send, .recv = sim_link_recv};

	for (int i = 0; i < 2; i++) {
		struct dtls_context *ctx = dtls_context_new(sides[i]);

		ck_assert_str_eq(dtls_context_error(ctx), "");
		ck_assert_ptr_null(dtls_wrap_transport(ctx, &transport));
		ck_assert_ptr_nonnull(strstr(dtls_context_error(ctx), "needs a pre-shared key"));
		dtls_context_free(ctx);
	}
}
END_TEST

START_TEST(order_wrap_no_datagram_socket)
{
	int stream = socket(AF_INET, SOCK_STREAM, 0);

	pair_open(&pair);
	ck_assert_ptr_null(dtls_wrap_socket(pair.client.ctx, -1));
	ck_assert_str_eq(dtls_context_error(pair.client.ctx), "descriptor -1 cannot carry DTLS: Bad file descriptor");
	ck_assert_int_ge(stream, 0);
	ck_assert_ptr_null(dtls_wrap_socket(pair.client.ctx, stream));
	ck_assert_ptr_nonnull(strstr(dtls_context_error(pair.client.ctx), "it is not a datagram socket"));
	close(stream);
	pair_close(&pair);
}
END_TEST

/* On the clock of the simulation, over a real socket that nobody answers. */
START_TEST(order_client_over_unconnected_socket)
{
	struct sockaddr_in discard = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct dtls_conn *conn;

	discard.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_ge(fd, 0);
	pair_open(&pair);
	conn = dtls_wrap_socket(pair.client.ctx, fd);
	ck_assert_ptr_nonnull(conn);
	ck_assert_int_eq(dtls_conn_handshake(conn), DTLS_FAIL);
	assert_error(conn, "the socket is not connected: connect() it to the server first");
	ck_assert_int_eq(dtls_conn_write(conn, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_timeout(conn), -1);
	/* Not final. */
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&discard, sizeof(discard)), 0);
	ck_assert_int_eq(dtls_conn_handshake(conn), DTLS_WANT_READ);
	dtls_conn_free(conn);
	close(fd);
	pair_close(&pair);
}
END_TEST

START_TEST(order_wrong_side)
{
	struct dtls_datagrams datagrams = {.send = sim_host_send, .recv = sim_host_recv};
	uint8_t reply[128];
	size_t len = 1;

	pair_open(&pair);
	ck_assert_ptr_null(dtls_endpoint_new_transport(pair.client.ctx, &datagrams, NULL));
	ck_assert_str_eq(dtls_context_error(pair.client.ctx), "an endpoint needs a context of PROTOCOL_DTLS_SERVER");
	ck_assert_int_eq(dtls_hello_check(pair.client.ctx, "x", 1, "y", 1, reply, &len), DTLS_HELLO_DROP);
	ck_assert_uint_eq(len, 0);
	ck_assert_ptr_null(dtls_context_new((enum dtls_protocol)4));
	ck_assert_ptr_nonnull(strstr(dtls_context_error(NULL), "protocol 4 is none of"));
	pair_close(&pair);
}
END_TEST

START_TEST(order_idle_endpoint)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(5684)};
	struct dtls_datagrams datagrams = {.send = sim_host_send, .recv = sim_host_recv};
	struct dtls_stats stats = {.size = sizeof(stats)};
	struct dtls_endpoint *ep;
	struct dtls_peer *peer;

	pair_open(&pair);
	datagrams.arg = sim_host_new(pair.sim, (struct sockaddr *)&at, sizeof(at), NULL);
	ep = dtls_endpoint_new_transport(pair.server.ctx, &datagrams, NULL);
	ck_assert_ptr_nonnull(ep);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_endpoint_timeout(ep), -1);
		ck_assert_int_eq(dtls_endpoint_handle_timeout(ep), DTLS_OK);
		ck_assert_int_eq(dtls_endpoint_flush(ep), DTLS_OK);
		ck_assert_int_eq(dtls_endpoint_close_identity(ep, "nobody", 6), 0);
		ck_assert_int_eq(dtls_endpoint_recv(ep, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
		ck_assert_ptr_null(peer);
		ck_assert_int_eq(dtls_endpoint_stats(ep, &stats), DTLS_OK);
		ck_assert_uint_eq(stats.peers + stats.handshakes, 0);
		ck_assert_str_eq(dtls_endpoint_error(ep), "");
		ck_assert_int_eq(dtls_endpoint_close(ep), DTLS_OK);
	}
	stats.size = 0;
	ck_assert_int_eq(dtls_endpoint_stats(ep, &stats), DTLS_FAIL);
	dtls_endpoint_free(ep);
	pair_close(&pair);
}
END_TEST

/* ---- freeing */

START_TEST(order_free_nothing)
{
	for (int i = 0; i < 2; i++) {
		dtls_context_free(NULL);
		dtls_conn_free(NULL);
		dtls_endpoint_free(NULL);
		sim_free(NULL);
	}
}
END_TEST

enum { OBJECTS = 5 };

static void free_object(int which)
{
	switch (which) {
	case 0:
		dtls_context_free(pair.client.ctx);
		break;
	case 1:
		dtls_context_free(pair.server.ctx);
		break;
	case 2:
		dtls_conn_free(pair.client.conn);
		break;
	case 3:
		dtls_conn_free(pair.server.conn);
		break;
	default:
		sim_free(pair.sim);
	}
}

/* The nth order of the objects; false when there are fewer orders. */
static bool order_of(int n, int order[OBJECTS])
{
	int left[OBJECTS] = {0, 1, 2, 3, 4};

	for (int i = 0, count = OBJECTS; i < OBJECTS; i++, count--) {
		int take = n % count;

		order[i] = left[take];
		memmove(&left[take], &left[take + 1], (size_t)(count - take - 1) * sizeof(*left));
		n /= count;
	}
	return n == 0;
}

START_TEST(order_free_every_order)
{
	static const int64_t instants[] = {0, 30, 70, 90, 200};
	int order[OBJECTS];

	for (size_t i = 0; i < sizeof(instants) / sizeof(*instants); i++) {
		for (int n = 0; order_of(n, order); n++) {
			pair_open(&pair);
			pair_until(&pair, instants[i]);
			for (int k = 0; k < OBJECTS; k++)
				free_object(order[k]);
		}
	}
}
END_TEST

START_TEST(order_context_is_counted)
{
	pair_open(&pair);
	ck_assert_ptr_eq(dtls_context_ref(pair.client.ctx), pair.client.ctx);
	pair_wrap(&pair);
	dtls_context_free(pair.client.ctx);
	dtls_context_free(pair.client.ctx);
	dtls_context_free(pair.server.ctx);
	pair.client.ctx = pair.server.ctx = NULL;
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

Suite *order_suite(void)
{
	Suite *s = suite_create("order");

	TEST(s, order_before_the_handshake);
	TEST(s, order_read_and_write_imply_the_handshake);
	TEST(s, order_whole_handshake_by_reading);
	TEST(s, order_close_before_the_handshake);
	TEST(s, order_close_during_the_handshake);
	TEST(s, order_after_close);
	TEST(s, order_after_failure);
	TEST(s, order_handshake_again);
	TEST(s, order_client_id);
	TEST(s, order_hostname);
	TEST(s, order_hostname_is_sent);
	TEST(s, order_set_timeout);
	TEST(s, order_wrap_without_a_key);
	TEST(s, order_wrap_no_datagram_socket);
	TEST(s, order_client_over_unconnected_socket);
	TEST(s, order_wrong_side);
	TEST(s, order_idle_endpoint);
	TEST(s, order_free_nothing);
	TEST(s, order_free_every_order);
	TEST(s, order_context_is_counted);
	return s;
}
