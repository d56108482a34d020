#include "dtls/story.h"
#include "pair.h"

#include <stdio.h>
#include <string.h>

enum { LINES_MAX = 32 };

static char lines[LINES_MAX][320];
static unsigned count;

/* The instant, who tells it, and the line without its number of bytes: that differs between versions of mbed TLS. */
static void keep(void *who, int64_t now_ms, const char *event)
{
	const char *bytes = strstr(event, " bytes") != NULL ? strrchr(event, ',') : NULL;
	int len = bytes == NULL ? (int)strlen(event) : (int)(bytes - event);

	ck_assert_uint_lt(count, LINES_MAX);
	ck_assert_ptr_null(strchr(event, '\n'));
	snprintf(lines[count++], sizeof(lines[0]), "%s %lld %.*s", (const char *)who, (long long)now_ms, len, event);
}

static void listen_to(struct pair *p)
{
	count = 0;
	ck_assert_int_eq(dtls_context_set_trace(p->client.ctx, keep, "client"), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_trace(p->server.ctx, keep, "server"), DTLS_OK);
}

static void assert_lines(const char *const *expected, unsigned expected_count)
{
	for (unsigned i = 0; i < count && i < expected_count; i++)
		ck_assert_str_eq(lines[i], expected[i]);
	ck_assert_uint_eq(count, expected_count);
}

#define ASSERT_LINES(expected) assert_lines(expected, sizeof(expected) / sizeof(*(expected)))

START_TEST(story_of_a_whole_handshake)
{
	static const char *const expected[] = {
	    "client 0 sent flight 1: ClientHello (0 bytes of cookie)",
	    "client 40 round trip 40 ms",
	    "client 40 received flight 2: HelloVerifyRequest (20 bytes of cookie)",
	    "client 40 sent flight 3: ClientHello (20 bytes of cookie)",
	    "server 60 received flight 3: ClientHello (20 bytes of cookie)",
	    "server 60 sent flight 4: ServerHello, ServerHelloDone",
	    "client 80 received flight 4: ServerHello, ServerHelloDone",
	    "client 80 sent flight 5: ClientKeyExchange, ChangeCipherSpec, Finished (encrypted)",
	    "server 100 received flight 5: ClientKeyExchange, ChangeCipherSpec, Finished (encrypted)",
	    "server 100 sent flight 6: ChangeCipherSpec, Finished (encrypted)",
	    "server 100 handshake done: DTLSv1.2, TLS-PSK-WITH-AES-128-CCM-8; round trip 40 ms; flights resent: 0",
	    "client 120 received flight 6: ChangeCipherSpec, Finished (encrypted)",
	    "client 120 handshake done: DTLSv1.2, TLS-PSK-WITH-AES-128-CCM-8; round trip 40 ms; flights resent: 0",
	    "client 120 sent an alert (encrypted)",
	    "server 140 received an alert (encrypted)",
	};
	struct pair p;

	pair_open(&p);
	listen_to(&p);
	pair_handshake(&p);
	ck_assert_int_eq(dtls_conn_close(p.client.conn), DTLS_OK);
	pair_for(&p, 20);
	ck_assert_int_eq(p.server.status, DTLS_CLOSED);
	ASSERT_LINES(expected);
	pair_close(&p);
}
END_TEST

/* The first hello, the one with the cookie's answer, and the client's last flight are lost. */
START_TEST(story_of_losses)
{
	static const char *const expected[] = {
	    "client 0 sent flight 1: ClientHello (0 bytes of cookie)",
	    "client 1000 resent flight 1 after 1000 ms: ClientHello (0 bytes of cookie)",
	    "client 1040 round trip 40 ms",
	    "client 1040 received flight 2: HelloVerifyRequest (20 bytes of cookie)",
	    "client 1040 sent flight 3: ClientHello (20 bytes of cookie)",
	    "server 1060 received flight 3: ClientHello (20 bytes of cookie)",
	    "server 1060 sent flight 4: ServerHello, ServerHelloDone",
	    "client 2040 resent flight 3 after 1000 ms: ClientHello (20 bytes of cookie)",
	    "server 2060 resent flight 4 after 1000 ms: ServerHello, ServerHelloDone",
	    "client 2080 received flight 4: ServerHello, ServerHelloDone",
	    "client 2080 sent flight 5: ClientKeyExchange, ChangeCipherSpec, Finished (encrypted)",
	    "server 2100 received flight 5: ClientKeyExchange, ChangeCipherSpec, Finished (encrypted)",
	    "server 2100 sent flight 6: ChangeCipherSpec, Finished (encrypted)",
	    ("server 2100 handshake done: DTLSv1.2, TLS-PSK-WITH-AES-128-CCM-8; round trip 40 ms; "
	     "flights resent: 1"),
	    "client 2120 received flight 6: ChangeCipherSpec, Finished (encrypted)",
	    "client 2120 handshake done: DTLSv1.2, TLS-PSK-WITH-AES-128-CCM-8; round trip 40 ms; flights resent: 2",
	};
	struct pair p;

	pair_open(&p);
	listen_to(&p);
	sim_link_drop_mask(p.client.out, 1 << 0 | 1 << 3);
	sim_link_drop_mask(p.server.out, 1 << 1);
	pair_handshake(&p);
	ASSERT_LINES(expected);
	pair_close(&p);
}
END_TEST

START_TEST(story_of_a_wrong_key)
{
	static const char *const expected[] = {
	    "client 0 sent flight 1: ClientHello (0 bytes of cookie)",
	    "client 40 round trip 40 ms",
	    "client 40 received flight 2: HelloVerifyRequest (20 bytes of cookie)",
	    "client 40 sent flight 3: ClientHello (20 bytes of cookie)",
	    "client 80 received flight 4: ServerHello, ServerHelloDone",
	    "client 80 sent flight 5: ClientKeyExchange, ChangeCipherSpec, Finished (encrypted)",
	    "client 120 received alert 20 bad_record_mac",
	    "client 120 the alert may be forged: starting over, once",
	    "client 120 sent flight 1: ClientHello (0 bytes of cookie)",
	};
	struct pair p;

	pair_open(&p);
	ck_assert_int_eq(dtls_context_set_psk(p.client.ctx, "a", 1, "wrong", 5), DTLS_OK);
	count = 0;
	ck_assert_int_eq(dtls_context_set_trace(p.client.ctx, keep, "client"), DTLS_OK);
	pair_wrap(&p);
	pair_until(&p, 120);
	ASSERT_LINES(expected);
	pair_close(&p);
}
END_TEST

/* ---- single datagrams */

static int64_t fake_now;

static int64_t fake_clock(void *arg)
{
	(void)arg;
	return fake_now;
}

static struct options options;
static struct story story;

static void begin(enum dtls_protocol protocol)
{
	options = (struct options){.protocol = protocol, .clock = fake_clock, .trace = keep, .trace_arg = "it"};
	fake_now = 0;
	count = 0;
	story_init(&story, &options);
}

static void put_message(struct datagram *d, uint8_t type, uint16_t seq, size_t length, size_t offset, size_t len)
{
	static const uint8_t body[64];
	const struct message m = {
	    .type = type, .seq = seq, .length = length, .offset = offset, .len = len, .body = body};
	struct datagram one = plain_message(0, &m);

	memcpy(d->bytes + d->len, one.bytes, one.len);
	d->len += one.len;
}

START_TEST(story_is_silent_without_a_listener)
{
	struct datagram d = {0};

	begin(PROTOCOL_DTLS_CLIENT);
	options.trace = NULL;
	put_message(&d, 2, 0, 10, 0, 10);
	story_sent(&story, d.bytes, d.len);
	story_received(&story, d.bytes, d.len);
	story_tell(&story, "something");
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(story_of_fragments)
{
	static const char *const expected[] = {
	    "it 0 received flight 4: ServerHello, Certificate (bytes 0-20 of 50)",
	    "it 0 received flight 4: Certificate (bytes 20-50 of 50), ServerKeyExchange, CertificateRequest",
	    "it 0 received flight 4: ServerHelloDone, unknown message",
	};
	struct datagram d = {0};

	begin(PROTOCOL_DTLS_CLIENT);
	put_message(&d, 2, 0, 40, 0, 40);
	put_message(&d, 11, 1, 50, 0, 20);
	story_received(&story, d.bytes, d.len);
	d.len = 0;
	put_message(&d, 11, 1, 50, 20, 30);
	put_message(&d, 12, 2, 5, 0, 5);
	put_message(&d, 13, 3, 5, 0, 5);
	story_received(&story, d.bytes, d.len);
	d.len = 0;
	put_message(&d, 14, 4, 0, 0, 0);
	put_message(&d, 99, 5, 0, 0, 0);
	story_received(&story, d.bytes, d.len);
	ASSERT_LINES(expected);
}
END_TEST

START_TEST(story_of_a_flight_in_two_datagrams)
{
	static const char *const expected[] = {
	    "it 0 sent flight 4: ServerHello",
	    "it 0 sent flight 4: ServerHelloDone",
	    "it 1000 resent flight 4 after 1000 ms: ServerHello",
	    "it 1000 resent flight 4 after 0 ms: ServerHelloDone",
	};
	struct datagram one = {0}, two = {0};

	begin(PROTOCOL_DTLS_SERVER);
	put_message(&one, 2, 0, 40, 0, 40);
	put_message(&two, 14, 1, 0, 0, 0);
	for (; fake_now <= 1000; fake_now += 1000) {
		story_sent(&story, one.bytes, one.len);
		story_sent(&story, two.bytes, two.len);
	}
	ASSERT_LINES(expected);
}
END_TEST

START_TEST(story_says_nothing_of_data_and_junk)
{
	struct datagram data = plain_record(RECORD_APPLICATION_DATA, 1, "secret", 6);

	begin(PROTOCOL_DTLS_CLIENT);
	story_sent(&story, data.bytes, data.len);
	story_received(&story, data.bytes, data.len);
	story_received(&story, (const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18);
	story_received(&story, NULL, 0);
	ck_assert_uint_eq(count, 0);
}
END_TEST

/* A datagram full of messages must not write past the end of a line. */
START_TEST(story_lines_are_cut)
{
	struct datagram d = {0};

	begin(PROTOCOL_DTLS_CLIENT);
	for (uint16_t i = 0; i < 50; i++)
		put_message(&d, 13, i, 0, 0, 0);
	story_received(&story, d.bytes, d.len);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_lt(strlen(lines[0]), 320);
	ck_assert_int_eq(strncmp(lines[0], "it 0 received flight 4: CertificateRequest, ", 44), 0);
}
END_TEST

START_TEST(story_alert_names)
{
	ck_assert_str_eq(alert_name(0), "close_notify");
	ck_assert_str_eq(alert_name(20), "bad_record_mac");
	ck_assert_str_eq(alert_name(40), "handshake_failure");
	ck_assert_str_eq(alert_name(70), "protocol_version");
	ck_assert_str_eq(alert_name(115), "unknown_psk_identity");
	ck_assert_str_eq(alert_name(120), "no_application_protocol");
	ck_assert_str_eq(alert_name(1), "unknown");
	ck_assert_str_eq(alert_name(255), "unknown");
}
END_TEST

Suite *story_suite(void)
{
	Suite *suite = suite_create("story");

	TEST(suite, story_of_a_whole_handshake);
	TEST(suite, story_of_losses);
	TEST(suite, story_of_a_wrong_key);
	TEST(suite, story_is_silent_without_a_listener);
	TEST(suite, story_of_fragments);
	TEST(suite, story_of_a_flight_in_two_datagrams);
	TEST(suite, story_says_nothing_of_data_and_junk);
	TEST(suite, story_lines_are_cut);
	TEST(suite, story_alert_names);
	return suite;
}
