/* What a stranger, or a strange server, can do to a handshake. Links of 20 ms: hellos leave at 0 and 40 ms, the server's
 * first flight at 60, the client's last at 80, the server's last at 100. */
#include "dtls/hello.h"
#include "pair.h"
#include "seeded.h"

#include <string.h>

static struct pair pair;
static struct capture up, down;
static const uint8_t handshake_failure[] = {2, 40}, close_notify[] = {1, 0};

static void open_captured(void)
{
	pair_open(&pair);
	capture_link(&up, pair.client.out);
	capture_link(&down, pair.server.out);
}

/* ---- alerts in the clear */

/* RFC 6347, 4.1.2.7: such an alert may be anybody's. The client says hello again at once. */
static void assert_starts_over(const uint8_t alert[2], int64_t at_ms, int64_t done_at)
{
	struct datagram forged = plain_record(RECORD_ALERT, 60, alert, 2);

	open_captured();
	pair_until(&pair, at_ms);
	pair_inject(&pair, &pair.client, &forged);
	ck_assert_int_eq(pair.client.status, DTLS_WANT_READ);
	pair_handshake(&pair);
	pair_assert_connected(&pair, done_at, done_at - PAIR_LATENCY_MS);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}

static void assert_starts_over_any_time(const uint8_t alert[2])
{
	/* The answer to the first hello comes at 40 ms: its cookie does not fit the second one, and is asked for again. */
	for (int64_t at_ms = 1; at_ms < 40; at_ms += 13)
		assert_starts_over(alert, at_ms, 160);
	/* The first attempt's flight comes at 80 ms, with record numbers that the second attempt's then repeats: those
	 * are taken for replays, and their retransmission is not. */
	for (int64_t at_ms = 40; at_ms < 80; at_ms += 13)
		assert_starts_over(alert, at_ms, at_ms + 1120);
}

START_TEST(inject_forged_fatal_alert)
{
	assert_starts_over_any_time(handshake_failure);
}
END_TEST

START_TEST(inject_forged_close_notify)
{
	assert_starts_over_any_time(close_notify);
}
END_TEST

/* The server is done when the second hello comes, and one connection has no room for two sessions. */
START_TEST(inject_alert_before_the_last_flight)
{
	struct datagram forged = plain_record(RECORD_ALERT, 60, handshake_failure, 2);

	open_captured();
	pair_until(&pair, 90);
	pair_inject(&pair, &pair.client, &forged);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.server.status, DTLS_OK);
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	ck_assert_int_eq(pair.client.done_at, 90 + 7000);
	assert_error(pair.client.conn, "the peer sent the alert handshake_failure");
	pair_close(&pair);
}
END_TEST

START_TEST(inject_same_alert_again)
{
	static const struct {
		const uint8_t *alert;
		const char *cause;
	} cases[] = {{handshake_failure, "the peer sent the alert handshake_failure"},
	    {close_notify, "the peer closed before the handshake was done"}};
	struct datagram forged;

	for (int i = 0; i < 2; i++) {
		forged = plain_record(RECORD_ALERT, 60, cases[i].alert, 2);
		open_captured();
		pair_until(&pair, 30);
		pair_inject(&pair, &pair.client, &forged);
		ck_assert_int_eq(pair.client.status, DTLS_WANT_READ);
		pair_inject(&pair, &pair.client, &forged);
		ck_assert_int_eq(pair.client.status, DTLS_FAIL);
		ck_assert_int_eq(pair.client.done_at, 30);
		assert_error(pair.client.conn, cases[i].cause);
		pair_close(&pair);
	}
}
END_TEST

/* Before a cookie held the server has nothing that an alert could end. */
START_TEST(inject_alert_before_the_cookie)
{
	struct datagram forged = plain_record(RECORD_ALERT, 60, handshake_failure, 2);

	open_captured();
	for (int64_t at_ms = 0; at_ms < 60; at_ms += 10) {
		pair_until(&pair, at_ms);
		pair_inject(&pair, &pair.server, &forged);
	}
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_close(&pair);
}
END_TEST

START_TEST(inject_alert_at_the_server)
{
	struct datagram forged = plain_record(RECORD_ALERT, 60, handshake_failure, 2);

	open_captured();
	pair_until(&pair, 70);
	pair_inject(&pair, &pair.server, &forged);
	ck_assert_int_eq(pair.server.status, DTLS_FAIL);
	assert_error(pair.server.conn, "the peer sent the alert handshake_failure");
	pair_close(&pair);
}
END_TEST

START_TEST(inject_warning_alert)
{
	static const uint8_t warning[] = {1, 90};
	struct datagram forged = plain_record(RECORD_ALERT, 60, warning, 2);

	open_captured();
	for (int64_t at_ms = 10; at_ms < 120; at_ms += 30) {
		pair_until(&pair, at_ms);
		forged.bytes[10]++; /* of its sequence number */
		pair_inject(&pair, &pair.client, &forged);
		pair_inject(&pair, &pair.server, &forged);
	}
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_close(&pair);
}
END_TEST

/* ---- a scripted server that answers hellos as told */

static bool next_hello(struct hello *hello)
{
	static uint8_t datagram[2048];
	ssize_t n;

	sim_advance_to(pair.sim, sim_now_ms(pair.sim) + PAIR_LATENCY_MS);
	n = sim_link_recv(pair.client.out, datagram, sizeof(datagram));
	return n > 0 && hello_parse(datagram, (size_t)n, hello) == HELLO_OK;
}

static void ask_for_cookie(const struct hello *hello, const uint8_t *cookie, size_t len)
{
	uint8_t reply[512];

	sim_link_send(pair.server.out, reply, hello_verify_request(hello, cookie, len, reply));
	sim_advance_to(pair.sim, sim_now_ms(pair.sim) + PAIR_LATENCY_MS);
}

START_TEST(inject_cookies_are_echoed)
{
	static const size_t sizes[] = {0, 1, 16, 20, 32, 255};
	uint8_t cookie[255];
	struct hello hello;

	for (size_t i = 0; i < sizeof(cookie); i++)
		cookie[i] = (uint8_t)(i + 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		pair_open(&pair);
		pair_wrap(&pair);
		ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_READ);
		ck_assert(next_hello(&hello));
		ck_assert_uint_eq(hello.cookie.len, 0);
		ask_for_cookie(&hello, cookie, sizes[i]);
		ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_READ);
		ck_assert(next_hello(&hello));
		ck_assert_uint_eq(hello.cookie.len, sizes[i]);
		ck_assert_mem_eq(hello.cookie.at, cookie, sizes[i]);
		ck_assert_uint_eq(hello.message_seq, 1);
		pair_close(&pair);
	}
}
END_TEST

START_TEST(inject_endless_verify_requests)
{
	struct hello hello;
	unsigned hellos = 0;
	int status;

	pair_open(&pair);
	pair_wrap(&pair);
	while ((status = dtls_conn_handshake(pair.client.conn)) == DTLS_WANT_READ) {
		uint8_t cookie = (uint8_t)++hellos;

		ck_assert_uint_le(hellos, 100);
		ck_assert(next_hello(&hello));
		ask_for_cookie(&hello, &cookie, 1);
	}
	ck_assert_int_eq(status, DTLS_FAIL);
	ck_assert_uint_eq(hellos, 17);
	assert_error(pair.client.conn, "the peer answered 17 ClientHellos with a HelloVerifyRequest");
	pair_close(&pair);
}
END_TEST

START_TEST(inject_several_verify_requests)
{
	struct hello hello;

	pair_open(&pair);
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_READ);
	for (uint8_t cookie = 1; cookie <= 3; cookie++) {
		ck_assert(next_hello(&hello));
		ask_for_cookie(&hello, &cookie, 1);
		ck_assert_int_eq(dtls_conn_handshake(pair.client.conn), DTLS_WANT_READ);
	}
	/* The real server takes over: another HelloVerifyRequest, and then all goes on. */
	pair_handshake(&pair);
	pair_assert_connected(&pair, 240, 220);
	pair_close(&pair);
}
END_TEST

/* ---- what is no record */

START_TEST(inject_garbage)
{
	struct datagram garbage = {.len = 0};
	uint64_t state = 3;

	open_captured();
	for (int64_t at_ms = 5; at_ms < 120; at_ms += 5) {
		pair_until(&pair, at_ms);
		for (int i = 0; i < 20; i++) {
			garbage.len = 1 + seeded_below(&state, 300);
			seeded_bytes(&state, garbage.bytes, garbage.len);
			pair_inject(&pair, &pair.client, &garbage);
			pair_inject(&pair, &pair.server, &garbage);
		}
	}
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}
END_TEST

/* A datagram that is cut comes just before the whole one, at every length. */
static void run_truncated(bool at_server, int64_t at_ms, size_t cut)
{
	struct side *side = at_server ? &pair.server : &pair.client;
	const struct capture *from = at_server ? &up : &down;
	struct datagram d;

	open_captured();
	pair_until(&pair, at_ms);
	d = from->datagrams[from->count - 1];
	if (cut < d.len) {
		d.len = cut;
		pair_inject(&pair, side, &d);
	}
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	pair_close(&pair);
}

START_TEST(inject_truncations)
{
	for (size_t cut = 1; cut < 135; cut++) {
		for (int64_t at_ms = 10; at_ms < 100; at_ms += 40) {
			run_truncated(true, at_ms, cut);
			run_truncated(false, at_ms + 20, cut);
		}
	}
}
END_TEST

Suite *inject_suite(void)
{
	Suite *s = suite_create("inject");

	TEST(s, inject_forged_fatal_alert);
	TEST(s, inject_forged_close_notify);
	TEST(s, inject_alert_before_the_last_flight);
	TEST(s, inject_same_alert_again);
	TEST(s, inject_alert_before_the_cookie);
	TEST(s, inject_alert_at_the_server);
	TEST(s, inject_warning_alert);
	TEST(s, inject_cookies_are_echoed);
	TEST(s, inject_endless_verify_requests);
	TEST(s, inject_several_verify_requests);
	TEST(s, inject_garbage);
	TEST(s, inject_truncations);
	return s;
}
