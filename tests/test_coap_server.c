/* libcoap's server on the backend: what a record costs, and what strangers leave behind. */
#include "coap_caller.h"
#include "coap_certs.h"
#include "failing.h"
#include "hellos.h"
#include "pki.h"
#include "suites.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct coap_ends ends;

#define NEW COAP_EVENT_SERVER_SESSION_NEW
#define DEL COAP_EVENT_SERVER_SESSION_DEL

static void open_psk(void)
{
	coap_open(&ends);
	coap_serve_psk(&ends);
	coap_listen(&ends);
}

/* ---- what a record costs ---- */

static const struct {
	const char *suite;
	unsigned overhead;
} suites[] = {
    {"TLS-PSK-WITH-AES-128-CCM-8", 13 + 8 + 8},
    {"TLS-PSK-WITH-AES-128-CCM", 13 + 8 + 16},
    {"TLS-PSK-WITH-AES-128-GCM-SHA256", 13 + 8 + 16},
    {"TLS-PSK-WITH-AES-256-GCM-SHA384", 13 + 8 + 16},
    {"TLS-PSK-WITH-CHACHA20-POLY1305-SHA256", 13 + 16},
    {"TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256", 13 + 16},
};

START_TEST(coap_server_overhead)
{
	struct caller c;

	open_psk();
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
		caller_open(&c, &ends, "a", suites[i].suite);
		dtls_conn_handshake(c.conn);
		coap_serve(&ends);
		dtls_conn_handshake(c.conn);
		coap_serve(&ends);
		ck_assert_uint_eq(coap_dtls_get_overhead(ends.server.session), 29); /* what libcoap begins with */
		ck_assert_int_eq(caller_shake(&c), DTLS_OK);
		ck_assert_int_eq(caller_ping(&c), 4);
		ck_assert_uint_eq(c.largest, 4 + suites[i].overhead);
		ck_assert_uint_eq(coap_dtls_get_overhead(ends.server.session), suites[i].overhead);
		ck_assert_uint_eq(
		    coap_session_max_pdu_size(ends.server.session), COAP_DEFAULT_MTU - suites[i].overhead - 4);
		caller_close(&c);
	}
	coap_close(&ends);
}
END_TEST

static size_t ask(struct caller *c)
{
	static const uint8_t get_r[] = {0x40, 1, 0x12, 0x34, 0xb1, 'r'};
	uint8_t answer[16384];
	ssize_t n = DTLS_WANT_READ;

	c->largest = 0;
	ck_assert_int_eq(dtls_conn_write(c->conn, get_r, sizeof(get_r)), sizeof(get_r));
	for (int i = 0; i < 20 && n == DTLS_WANT_READ; i++) {
		coap_serve(&ends);
		n = dtls_conn_read(c->conn, answer, sizeof(answer));
	}
	ck_assert_int_gt(n, 0);
	return (size_t)n;
}

/* The endpoint's MTU is that of the handshake, too; the application may change a session's later. */
START_TEST(coap_server_mtu)
{
	struct caller c;
	coap_endpoint_t *endpoint;

	coap_open(&ends);
	coap_serve_psk(&ends);
	close(coap_udp_socket(&ends.address));
	endpoint = coap_new_endpoint(ends.server.ctx, &ends.address, COAP_PROTO_DTLS);
	ck_assert_ptr_nonnull(endpoint);
	coap_endpoint_set_default_mtu(endpoint, 300);
	ends.answer_len = 5000;
	caller_open(&c, &ends, "a", suites[0].suite);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_uint_le(c.largest, 300);
	ask(&c);
	ck_assert_uint_le(c.largest, 300);
	ck_assert_uint_gt(c.largest, 150);
	coap_session_set_mtu(ends.server.session, 1400);
	ask(&c);
	ck_assert_uint_le(c.largest, 1400);
	ck_assert_uint_gt(c.largest, 1000);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

/* A flight with a certificate does not fit a datagram of the endpoint's MTU. */
START_TEST(coap_server_mtu_of_a_flight)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	coap_dtls_pki_t setup = certs_pem("server.pem", "server.key", NULL);
	coap_endpoint_t *endpoint;
	struct caller c;

	coap_open(&ends);
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &setup), 1);
	close(coap_udp_socket(&ends.address));
	endpoint = coap_new_endpoint(ends.server.ctx, &ends.address, COAP_PROTO_DTLS);
	coap_endpoint_set_default_mtu(endpoint, 300);
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
	caller_begin(&c, ctx);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_uint_le(c.largest, 300);
	ck_assert_uint_gt(c.largest, 200);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_server_two_messages_in_a_datagram)
{
	static const uint8_t first[] = {0x40, 1, 0x12, 0x34, 0xb1, 'r'}, second[] = {0x40, 1, 0x12, 0x35, 0xb1, 'r'};
	struct caller c;

	open_psk();
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	c.gathers = true;
	ck_assert_int_eq(dtls_conn_write(c.conn, first, sizeof(first)), sizeof(first));
	ck_assert_int_eq(dtls_conn_write(c.conn, second, sizeof(second)), sizeof(second));
	caller_send(&c, c.gathered, c.gathered_len);
	ck_assert_uint_eq(ends.server.requests, 2);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_server_sessions_leave_nothing)
{
	struct caller callers[10];
	long before = 0;

	open_psk();
	for (int round = 0; round < 2; round++) {
		int count = round == 0 ? 1 : 10;

		for (int i = 0; i < count; i++) {
			caller_open(&callers[i], &ends, "a", NULL);
			ck_assert_int_eq(caller_shake(&callers[i]), DTLS_OK);
		}
		for (int i = 0; i < count; i++) {
			dtls_conn_close(callers[i].conn);
			coap_serve(&ends);
			caller_close(&callers[i]);
		}
		coap_serve(&ends);
		if (round == 0)
			before = failing_live();
	}
	ck_assert_int_le(failing_live(), before);
	coap_close(&ends);
}
END_TEST

/* ---- strangers ---- */

static unsigned made, gone;

static void count(struct coap_end *end, coap_session_t *session, coap_event_t event)
{
	(void)end, (void)session;
	made += event == NEW;
	gone += event == DEL;
}

static void send_from_many(const uint8_t *datagram, size_t len, unsigned times)
{
	coap_address_t own;

	for (unsigned i = 0; i < times; i++) {
		int fd = coap_udp_socket(&own);

		ck_assert_int_eq(
		    sendto(fd, datagram, len, 0, &ends.address.addr.sa, sizeof(ends.address.addr.sin)), (ssize_t)len);
		coap_serve(&ends);
		close(fd);
	}
	coap_serve(&ends);
}

START_TEST(coap_server_hello_flood)
{
	struct raw_hello hello, stale;
	uint8_t cookie[16] = {1};
	long before;
	struct caller c;

	open_psk();
	ends.server.on_event = count;
	hello_capture(&hello);
	hello_with_cookie(&hello, cookie, sizeof(cookie), &stale);
	send_from_many(hello.bytes, hello.len, 10); /* what is made once */
	before = failing_live();
	made = gone = 0;
	send_from_many(hello.bytes, hello.len, 300);
	send_from_many(stale.bytes, stale.len, 300);
	hello.bytes[hello.len - 1] ^= 0xff;
	send_from_many(hello.bytes, hello.len - 3, 300); /* cut */
	ck_assert_uint_eq(made, 900);
	ck_assert_uint_eq(gone, 900);
	ck_assert_int_le(failing_live(), before);
	/* libcoap's own limit of 100 unfinished handshakes has not been used up. */
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_int_eq(caller_ping(&c), 4);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

/* A cookie is for one address and one port. */
START_TEST(coap_server_cookie_of_another)
{
	uint8_t reply[2000];
	struct raw_hello hello, second;
	struct caller a, b;

	open_psk();
	caller_open(&a, &ends, "a", NULL);
	caller_open(&b, &ends, "a", NULL);
	hello_capture(&hello);
	caller_send(&a, hello.bytes, hello.len);
	ck_assert_int_gt(recv(a.fd, reply, sizeof(reply), 0), 28);
	hello_with_cookie(&hello, reply + 28, reply[27], &second);
	caller_send(&b, second.bytes, second.len);
	ck_assert_int_gt(recv(b.fd, reply, sizeof(reply), 0), 28);
	ck_assert_uint_eq(reply[13], 3); /* HelloVerifyRequest */
	ck_assert_ptr_null(ends.server.session);
	caller_send(&a, second.bytes, second.len);
	ck_assert_ptr_nonnull(ends.server.session);
	caller_close(&a);
	caller_close(&b);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_server_junk)
{
	static const uint8_t junk[][20] = {{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0},
	    {23, 0xfe, 0xfd, 0, 1}, {0}, {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1}};
	struct caller c;

	open_psk();
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++)
		for (size_t len = 0; len <= sizeof(junk[i]); len++) {
			send_from_many(junk[i], len, 1);
			ck_assert_int_eq(send(c.fd, junk[i], len, 0), (ssize_t)len); /* into the open session */
			coap_serve(&ends);
		}
	ck_assert_int_eq(caller_ping(&c), 4);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

Suite *coap_server_suite(void)
{
	Suite *s = suite_create("coap_server");

	pki_announce();
	TEST(s, coap_server_overhead);
	TEST(s, coap_server_mtu);
	TEST(s, coap_server_mtu_of_a_flight);
	TEST(s, coap_server_two_messages_in_a_datagram);
	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", s, coap_server_sessions_leave_nothing);
	TEST(s, coap_server_hello_flood);
	TEST(s, coap_server_cookie_of_another);
	TEST(s, coap_server_junk);
	return s;
}
