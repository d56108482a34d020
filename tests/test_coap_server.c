/* libcoap's server on the backend, and clients that are not libcoap's: what a stranger leaves, what a record costs, and
 * clients that come back from the same address. */
#include "coap_ends.h"
#include "dtls/dtls.h"
#include "hellos.h"
#include "suites.h"

#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct coap_ends ends;

#define NEW         COAP_EVENT_SERVER_SESSION_NEW
#define DEL         COAP_EVENT_SERVER_SESSION_DEL
#define CONNECTED   COAP_EVENT_DTLS_CONNECTED
#define CLOSED      COAP_EVENT_DTLS_CLOSED
#define ERROR       COAP_EVENT_DTLS_ERROR
#define RENEGOTIATE COAP_EVENT_DTLS_RENEGOTIATE

static void open_psk(void)
{
	coap_open(&ends);
	coap_serve_psk(&ends);
	coap_listen(&ends);
}

/* ---- a client of this library alone ---- */

struct caller {
	struct dtls_context *ctx;
	struct dtls_conn *conn;
	int fd;
	size_t largest; /* of the datagrams that came since the last message */
};

static ssize_t put(void *caller, const void *buf, size_t len)
{
	return send(((struct caller *)caller)->fd, buf, len, 0);
}

static ssize_t get(void *caller, void *buf, size_t len)
{
	struct caller *c = caller;
	ssize_t n = recv(c->fd, buf, len, 0);

	if (n > (ssize_t)c->largest)
		c->largest = (size_t)n;
	return n > 0 ? n : DTLS_WANT_READ;
}

/* A new session over the same socket; the old one is forgotten without a word. */
static void call_again(struct caller *c, const char *identity, const char *suite)
{
	struct dtls_transport transport = {put, get, c};

	dtls_conn_free(c->conn);
	dtls_context_free(c->ctx);
	c->ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	ck_assert_int_eq(dtls_context_set_psk(c->ctx, identity, strlen(identity), COAP_KEY, strlen(COAP_KEY)), DTLS_OK);
	if (suite != NULL)
		ck_assert_int_eq(dtls_context_set_ciphers(c->ctx, &suite, 1), DTLS_OK);
	c->conn = dtls_wrap_transport(c->ctx, &transport);
	ck_assert_ptr_nonnull(c->conn);
}

static void call(struct caller *c, const char *identity, const char *suite)
{
	coap_address_t own;

	memset(c, 0, sizeof(*c));
	c->fd = coap_udp_socket(&own);
	ck_assert_int_eq(connect(c->fd, &ends.address.addr.sa, sizeof(ends.address.addr.sin)), 0);
	call_again(c, identity, suite);
}

static void hang_up(struct caller *c)
{
	dtls_conn_free(c->conn);
	dtls_context_free(c->ctx);
	close(c->fd);
}

static void serve(void)
{
	for (int i = 0; i < 4; i++)
		coap_io_process(ends.server.ctx, COAP_IO_NO_WAIT);
}

static int shake(struct caller *c)
{
	int status = DTLS_WANT_READ;

	for (int i = 0; i < 100 && status == DTLS_WANT_READ; i++) {
		status = dtls_conn_handshake(c->conn);
		serve();
	}
	return status;
}

/* An empty confirmable message, which libcoap answers by 4 bytes, four times a second at most. */
static ssize_t ping(struct caller *c)
{
	static uint8_t mid;
	uint8_t message[] = {0x40, 0, 0x77, ++mid}, answer[100];
	ssize_t n = DTLS_WANT_READ;

	coap_pass(&ends, 300);
	c->largest = 0;
	if (dtls_conn_write(c->conn, message, sizeof(message)) != (ssize_t)sizeof(message))
		return DTLS_FAIL;
	for (int i = 0; i < 20 && n == DTLS_WANT_READ; i++) {
		serve();
		n = dtls_conn_read(c->conn, answer, sizeof(answer));
	}
	ck_assert(n < 4 || (answer[0] == 0x70 && answer[3] == mid));
	return n;
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
		call(&c, "a", suites[i].suite);
		dtls_conn_handshake(c.conn);
		serve();
		dtls_conn_handshake(c.conn);
		serve();
		ck_assert_uint_eq(coap_dtls_get_overhead(ends.server.session), 29); /* what libcoap begins with */
		ck_assert_int_eq(shake(&c), DTLS_OK);
		ck_assert_int_eq(ping(&c), 4);
		ck_assert_uint_eq(c.largest, 4 + suites[i].overhead);
		ck_assert_uint_eq(coap_dtls_get_overhead(ends.server.session), suites[i].overhead);
		ck_assert_uint_eq(
		    coap_session_max_pdu_size(ends.server.session), COAP_DEFAULT_MTU - suites[i].overhead - 4);
		hang_up(&c);
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
		serve();
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
	call(&c, "a", suites[0].suite);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ck_assert_uint_le(c.largest, 300);
	ask(&c);
	ck_assert_uint_le(c.largest, 300);
	ck_assert_uint_gt(c.largest, 150);
	coap_session_set_mtu(ends.server.session, 1400);
	ask(&c);
	ck_assert_uint_le(c.largest, 1400);
	ck_assert_uint_gt(c.largest, 1000);
	hang_up(&c);
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
		serve();
		close(fd);
	}
	serve();
}

START_TEST(coap_server_hello_flood)
{
	struct raw_hello hello, stale;
	uint8_t cookie[16] = {1};
	size_t before;
	struct caller c;

	open_psk();
	ends.server.on_event = count;
	hello_capture(&hello);
	hello_with_cookie(&hello, cookie, sizeof(cookie), &stale);
	send_from_many(hello.bytes, hello.len, 10); /* what is made once */
	before = mallinfo2().uordblks;
	made = gone = 0;
	send_from_many(hello.bytes, hello.len, 300);
	send_from_many(stale.bytes, stale.len, 300);
	hello.bytes[hello.len - 1] ^= 0xff;
	send_from_many(hello.bytes, hello.len - 3, 300); /* cut */
	ck_assert_uint_eq(made, 900);
	ck_assert_uint_eq(gone, 900);
	ck_assert_uint_le(mallinfo2().uordblks, before);
	/* libcoap's own limit of 100 unfinished handshakes has not been used up. */
	call(&c, "a", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ck_assert_int_eq(ping(&c), 4);
	hang_up(&c);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_server_junk)
{
	static const uint8_t junk[][20] = {{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0, 0},
	    {23, 0xfe, 0xfd, 0, 1}, {0}, {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1}};
	struct caller c;

	open_psk();
	call(&c, "a", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	for (size_t i = 0; i < sizeof(junk) / sizeof(*junk); i++)
		for (size_t len = 0; len <= sizeof(junk[i]); len++) {
			send_from_many(junk[i], len, 1);
			ck_assert_int_eq(send(c.fd, junk[i], len, 0), (ssize_t)len); /* into the open session */
			serve();
		}
	ck_assert_int_eq(ping(&c), 4);
	hang_up(&c);
	coap_close(&ends);
}
END_TEST

/* ---- clients that come back ---- */

static void assert_came_back(const char *identity)
{
	const coap_bin_const_t *id = coap_session_get_psk_identity(ends.server.session);

	ck_assert_uint_eq(id->length, strlen(identity));
	ck_assert_mem_eq(id->s, identity, id->length);
}

START_TEST(coap_server_same_client_returns)
{
	coap_session_t *session;
	struct caller c;

	open_psk();
	call(&c, "a", suites[0].suite);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ck_assert_int_eq(ping(&c), 4);
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, CONNECTED, COAP_EVENTS_END);
	session = ends.server.session;
	for (int i = 0; i < 3; i++) {
		call_again(&c, "a", suites[1].suite);
		ck_assert_int_eq(shake(&c), DTLS_OK);
		ck_assert_int_eq(ping(&c), 4);
		coap_assert_events(&ends.server, "server", RENEGOTIATE, COAP_EVENTS_END);
		ck_assert_ptr_eq(ends.server.session, session);
		assert_came_back("a");
		ck_assert_uint_eq(coap_dtls_get_overhead(session), suites[1].overhead);
	}
	dtls_conn_close(c.conn);
	serve();
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	hang_up(&c);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_server_another_client_returns)
{
	struct caller c;

	open_psk();
	call(&c, "a", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ck_assert_int_eq(ping(&c), 4);
	ends.server.event_count = 0;
	call_again(&c, "b", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	/* What libcoap knows of the first must not be the second's: both end, and the second may call again. */
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	ck_assert_int_eq(ping(&c), DTLS_CLOSED);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "another client came from this address"));
	call_again(&c, "b", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ck_assert_int_eq(ping(&c), 4);
	assert_came_back("b");
	hang_up(&c);
	coap_close(&ends);
}
END_TEST

static const coap_bin_const_t *end_it(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	static const coap_bin_const_t key = {sizeof(COAP_KEY) - 1, (const uint8_t *)COAP_KEY};

	(void)identity;
	if (*(bool *)arg)
		coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
	return &key;
}

START_TEST(coap_server_ends_in_the_second_handshake)
{
	coap_dtls_spsk_t setup = {.version = 1};
	bool ends_it = false;
	struct caller c;

	open_psk();
	setup.validate_id_call_back = end_it;
	setup.id_call_back_arg = &ends_it;
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &setup), 1);
	call(&c, "a", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ends.server.event_count = 0;
	ends_it = true;
	call_again(&c, "a", NULL);
	ck_assert_int_ne(shake(&c), DTLS_OK);
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	ends_it = false;
	call_again(&c, "a", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ck_assert_int_eq(ping(&c), 4);
	/* And with a second one under way when the server goes. */
	call_again(&c, "a", NULL);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_conn_handshake(c.conn), DTLS_WANT_READ);
		serve();
	}
	hang_up(&c);
	coap_close(&ends);
}
END_TEST

/* Nothing but a verified Finished ends the session that there is. */
START_TEST(coap_server_session_survives_hellos)
{
	struct caller c, forger;
	uint8_t captured[2000];
	struct raw_hello hello, second;
	ssize_t len;

	open_psk();
	call(&c, "a", NULL);
	ck_assert_int_eq(shake(&c), DTLS_OK);
	ends.server.event_count = 0;
	hello_capture(&hello);
	ck_assert_int_eq(send(c.fd, hello.bytes, hello.len, 0), (ssize_t)hello.len);
	serve();
	/* It is answered by a cookie, which somebody who hears it may use: but then cannot finish. */
	len = recv(c.fd, captured, sizeof(captured), 0);
	ck_assert_int_gt(len, 25 + 3);
	hello_with_cookie(&hello, captured + 28, captured[27], &second);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(send(c.fd, second.bytes, second.len, 0), (ssize_t)second.len);
		serve();
		ck_assert_int_eq(ping(&c), 4);
	}
	ck_assert_uint_eq(ends.server.event_count, 0);
	/* With the wrong key, all the way: the forger has the same socket, and its own. */
	forger = c;
	forger.conn = NULL;
	forger.ctx = NULL;
	call_again(&forger, "a", NULL);
	ck_assert_int_eq(dtls_context_set_psk(forger.ctx, "a", 1, "guess", 5), DTLS_OK);
	dtls_conn_free(forger.conn);
	forger.conn = dtls_wrap_transport(forger.ctx, &(struct dtls_transport){put, get, &forger});
	ck_assert_int_eq(shake(&forger), DTLS_WANT_READ); /* no alert: it would be for the session that there is */
	dtls_conn_free(forger.conn);
	dtls_context_free(forger.ctx);
	ck_assert_int_eq(ping(&c), 4);
	assert_came_back("a");
	ck_assert_uint_eq(ends.server.event_count, 0);
	hang_up(&c);
	coap_close(&ends);
}
END_TEST

Suite *coap_server_suite(void)
{
	Suite *s = suite_create("coap_server");

	TEST(s, coap_server_overhead);
	TEST(s, coap_server_mtu);
	TEST(s, coap_server_hello_flood);
	TEST(s, coap_server_junk);
	TEST(s, coap_server_same_client_returns);
	TEST(s, coap_server_another_client_returns);
	TEST(s, coap_server_ends_in_the_second_handshake);
	TEST(s, coap_server_session_survives_hellos);
	return s;
}
