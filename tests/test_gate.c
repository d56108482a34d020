#include "dtls/gate.h"
#include "dtls/sim.h"
#include "faulty_rng.h"
#include "hellos.h"
#include "seeded.h"
#include "suites.h"

#include <stdlib.h>
#include <string.h>

#define CLIENT "192.0.2.7:1000"
enum { CLIENT_LEN = sizeof(CLIENT) - 1, REPLY_LEN = 48, COOKIE_AT = 28 };

static int64_t fake_now;
static struct dtls_context *server;
static struct raw_hello hello;
static uint8_t reply[HELLO_VERIFY_REQUEST_MAX];
static size_t reply_len;

static int64_t fake_clock(void *arg)
{
	(void)arg;
	return fake_now;
}

/* No key: the gate needs none. */
static void begin(void)
{
	fake_now = 0;
	server = dtls_context_new(PROTOCOL_DTLS_SERVER);
	ck_assert_int_eq(dtls_context_set_clock(server, fake_clock, NULL), DTLS_OK);
	hello_capture(&hello);
}

static void end(void)
{
	dtls_context_free(server);
}

static enum dtls_hello check_as(const void *id, size_t id_len, const void *bytes, size_t len)
{
	uint8_t *copy = exact_copy(bytes, len);
	enum dtls_hello verdict;

	reply_len = 12345;
	memset(reply, 0x77, sizeof(reply));
	verdict = dtls_hello_check(server, id, id_len, copy, len, reply, &reply_len);
	ck_assert_uint_eq(reply_len, verdict == DTLS_HELLO_REPLY ? REPLY_LEN : 0);
	free(copy);
	return verdict;
}

static enum dtls_hello check(const struct raw_hello *d)
{
	return check_as(CLIENT, CLIENT_LEN, d->bytes, d->len);
}

/* The hello repeated with the cookie of the last reply. */
static struct raw_hello answer_reply(void)
{
	struct raw_hello second;

	hello_with_cookie(&hello, reply + COOKIE_AT, COOKIE_LEN, &second);
	return second;
}

START_TEST(gate_replies_then_verifies)
{
	struct raw_hello second;

	begin();
	ck_assert_int_eq(check(&hello), DTLS_HELLO_REPLY);
	ck_assert_uint_lt(reply_len, hello.len);
	ck_assert_mem_eq(
	    reply, "\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x23\3\0\0\x17\0\0\0\0\0\0\0\x17\xfe\xff\x14", COOKIE_AT);
	second = answer_reply();
	ck_assert_int_eq(check(&second), DTLS_HELLO_VERIFIED);
	/* The gate keeps nothing: the same again is the same again. */
	ck_assert_int_eq(check(&second), DTLS_HELLO_VERIFIED);
	ck_assert_str_eq(dtls_context_error(server), "");
	end();
}
END_TEST

START_TEST(gate_binds_the_cookie_to_the_client)
{
	struct raw_hello second;

	begin();
	ck_assert_int_eq(check(&hello), DTLS_HELLO_REPLY);
	second = answer_reply();
	ck_assert_int_eq(check_as("192.0.2.7:1001", CLIENT_LEN, second.bytes, second.len), DTLS_HELLO_REPLY);
	ck_assert_int_eq(check_as("192.0.2.8:1000", CLIENT_LEN, second.bytes, second.len), DTLS_HELLO_REPLY);
	ck_assert_int_eq(check_as(CLIENT, CLIENT_LEN - 1, second.bytes, second.len), DTLS_HELLO_REPLY);
	ck_assert_int_eq(check(&second), DTLS_HELLO_VERIFIED);
	end();
}
END_TEST

/* RFC 6347, 4.2.1: an invalid cookie is treated as none. */
START_TEST(gate_answers_a_wrong_cookie_as_none)
{
	struct raw_hello wrong;

	begin();
	hello_with_cookie(&hello, "0123456789abcdefghij", COOKIE_LEN, &wrong);
	ck_assert_int_eq(check(&wrong), DTLS_HELLO_REPLY);
	ck_assert_uint_eq(reply[10], 1); /* the record sequence number of this hello */
	ck_assert_uint_eq(reply[18], 1); /* and its message_seq */
	wrong = answer_reply();
	ck_assert_int_eq(check(&wrong), DTLS_HELLO_VERIFIED);
	end();
}
END_TEST

START_TEST(gate_cookie_grows_old)
{
	struct raw_hello second;

	begin();
	ck_assert_int_eq(check(&hello), DTLS_HELLO_REPLY);
	second = answer_reply();
	fake_now = 119999;
	ck_assert_int_eq(check(&second), DTLS_HELLO_VERIFIED);
	fake_now = 120000;
	ck_assert_int_eq(check(&second), DTLS_HELLO_REPLY);
	end();
}
END_TEST

START_TEST(gate_drops_every_truncation)
{
	struct raw_hello second;

	begin();
	ck_assert_int_eq(check(&hello), DTLS_HELLO_REPLY);
	second = answer_reply();
	for (size_t len = 0; len < hello.len; len++)
		ck_assert_int_eq(check_as(CLIENT, CLIENT_LEN, hello.bytes, len), DTLS_HELLO_DROP);
	for (size_t len = 0; len < second.len; len++)
		ck_assert_int_eq(check_as(CLIENT, CLIENT_LEN, second.bytes, len), DTLS_HELLO_DROP);
	end();
}
END_TEST

START_TEST(gate_drops_what_is_no_whole_hello)
{
	uint64_t seed = 3;
	uint8_t *noise = malloc(65507);
	struct raw_hello d;

	begin();
	ck_assert_int_eq(check_as(CLIENT, CLIENT_LEN, "GET / HTTP/1.1\r\n\r\n", 18), DTLS_HELLO_DROP);
	seeded_bytes(&seed, noise, 65507);
	ck_assert_int_eq(check_as(CLIENT, CLIENT_LEN, noise, 65507), DTLS_HELLO_DROP);
	d = hello;
	d.bytes[4] = 1; /* epoch */
	ck_assert_int_eq(check(&d), DTLS_HELLO_DROP);
	d = hello;
	d.bytes[16]++; /* only a fragment */
	ck_assert_int_eq(check(&d), DTLS_HELLO_DROP);
	d = hello;
	memcpy(d.bytes + d.len, "\x15\xfe\xfd\0\0\0\0\0\0\0\1\0\2\1\0", 15); /* a trailing alert */
	d.len += 15;
	ck_assert_int_eq(check(&d), DTLS_HELLO_DROP);
	/* Our own answer: two servers pointed at each other fall silent. */
	ck_assert_int_eq(check(&hello), DTLS_HELLO_REPLY);
	memcpy(d.bytes, reply, reply_len);
	d.len = reply_len;
	ck_assert_int_eq(check(&d), DTLS_HELLO_DROP);
	ck_assert_str_eq(dtls_context_error(server), "");
	free(noise);
	end();
}
END_TEST

START_TEST(gate_judges_client_ids)
{
	uint8_t id[65] = {1};

	begin();
	ck_assert_int_eq(check_as(id, 0, hello.bytes, hello.len), DTLS_HELLO_DROP);
	ck_assert_str_eq(dtls_context_error(server), "a client id of 0 bytes is not within 1..64");
	ck_assert_int_eq(check_as(id, 65, hello.bytes, hello.len), DTLS_HELLO_DROP);
	ck_assert_str_eq(dtls_context_error(server), "a client id of 65 bytes is not within 1..64");
	ck_assert_int_eq(check_as(id, 1, hello.bytes, hello.len), DTLS_HELLO_REPLY);
	ck_assert_int_eq(check_as(id, 64, hello.bytes, hello.len), DTLS_HELLO_REPLY);
	end();
}
END_TEST

START_TEST(gate_is_a_servers)
{
	struct dtls_context *client = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	begin();
	ck_assert_int_eq(
	    dtls_hello_check(client, CLIENT, CLIENT_LEN, hello.bytes, hello.len, reply, &reply_len), DTLS_HELLO_DROP);
	ck_assert_uint_eq(reply_len, 0);
	ck_assert_str_eq(dtls_context_error(client), "only a context of PROTOCOL_DTLS_SERVER has a gate");
	dtls_context_free(client);
	end();
}
END_TEST

START_TEST(gate_contexts_do_not_share_cookies)
{
	struct dtls_context *first;
	struct raw_hello second;

	begin();
	first = server;
	ck_assert_int_eq(check(&hello), DTLS_HELLO_REPLY);
	second = answer_reply();
	server = dtls_context_new(PROTOCOL_DTLS_SERVER);
	ck_assert_int_eq(check(&second), DTLS_HELLO_REPLY);
	dtls_context_free(first);
	end();
}
END_TEST

static enum gate_verdict judge(const struct raw_hello *d)
{
	struct bytes id = {(const uint8_t *)CLIENT, CLIENT_LEN};
	struct hello h;

	return gate_judge(server, fake_now, id, d->bytes, d->len, &h, reply, &reply_len);
}

START_TEST(gate_names_each_cause)
{
	struct raw_hello d;
	bool broken = false;

	begin();
	ck_assert_int_eq(rng_make_faulty(&server->rng, &broken), 0);
	broken = true;
	rng_needs_entropy(&server->rng);
	ck_assert_int_eq(judge(&hello), GATE_NO_SECRET);
	ck_assert_uint_eq(reply_len, 0);
	broken = false;
	ck_assert_int_eq(judge(&hello), GATE_REPLY);
	d = answer_reply();
	ck_assert_int_eq(judge(&d), GATE_VERIFIED);
	ck_assert_uint_eq(reply_len, 0);
	hello_with_cookie(&hello, "x", 1, &d);
	ck_assert_int_eq(judge(&d), GATE_REPLY_BAD);
	ck_assert_uint_eq(reply_len, REPLY_LEN);
	d = hello;
	d.bytes[16]++;
	ck_assert_int_eq(judge(&d), GATE_FRAGMENTED);
	d = hello;
	d.bytes[25] = 3; /* client_version */
	ck_assert_int_eq(judge(&d), GATE_MALFORMED);
	d.len = 5;
	ck_assert_int_eq(judge(&d), GATE_JUNK);
	ck_assert_uint_eq(reply_len, 0);
	end();
}
END_TEST

START_TEST(gate_ten_thousand_spoofed_hellos)
{
	struct hello_parts parts;
	struct raw_hello d;
	uint64_t seed = 4;
	char id[16];

	begin();
	hello_take_apart(&hello, &parts);
	for (unsigned i = 0; i < 10000; i++) {
		seeded_bytes(&seed, parts.random, sizeof(parts.random));
		seeded_bytes(&seed, (uint8_t *)id, sizeof(id));
		hello_build(&parts, &d);
		ck_assert_int_eq(check_as(id, sizeof(id), d.bytes, d.len), DTLS_HELLO_REPLY);
	}
	ck_assert_ptr_null(server->snapshot);
	end();
}
END_TEST

/* A program that does its own demultiplexing: gate first, then a connection with the same client id. */
struct demux {
	struct sim_link *up, *down;
	struct dtls_conn *conn;
	struct raw_hello verified; /* handed to the connection once */
};

static ssize_t demux_send(void *arg, const void *buf, size_t len)
{
	return sim_link_send(((struct demux *)arg)->down, buf, len);
}

static ssize_t demux_recv(void *arg, void *buf, size_t len)
{
	struct demux *d = arg;
	size_t n = d->verified.len;

	if (n == 0)
		return sim_link_recv(d->up, buf, len);
	memcpy(buf, d->verified.bytes, n);
	d->verified.len = 0;
	return (ssize_t)n;
}

static void demux_run(struct demux *d)
{
	struct dtls_transport transport = {demux_send, demux_recv, d};

	while (d->conn == NULL) {
		ssize_t n = sim_link_recv(d->up, d->verified.bytes, sizeof(d->verified.bytes));

		if (n < 0)
			return;
		d->verified.len = (size_t)n;
		switch (check(&d->verified)) {
		case DTLS_HELLO_REPLY:
			ck_assert_int_eq(sim_link_send(d->down, reply, reply_len), (ssize_t)reply_len);
			break;
		case DTLS_HELLO_VERIFIED:
			d->conn = dtls_wrap_transport(server, &transport);
			ck_assert_int_eq(dtls_conn_set_client_id(d->conn, CLIENT, CLIENT_LEN), DTLS_OK);
			break;
		case DTLS_HELLO_DROP:
			break;
		}
	}
	ck_assert_int_ge(dtls_conn_handshake(d->conn), DTLS_WANT_READ);
}

static ssize_t client_send(void *arg, const void *buf, size_t len)
{
	return sim_link_send(((struct demux *)arg)->up, buf, len);
}

static ssize_t client_recv(void *arg, void *buf, size_t len)
{
	return sim_link_recv(((struct demux *)arg)->down, buf, len);
}

START_TEST(gate_in_front_of_a_connection)
{
	struct sim *sim = sim_new(1);
	struct sim_weather weather = {.latency_ms = 20};
	struct demux d = {.up = sim_link_new(sim, &weather), .down = sim_link_new(sim, &weather)};
	struct dtls_context *client_ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct dtls_transport transport = {client_send, client_recv, &d};
	struct dtls_conn *client;
	char text[8];

	begin();
	ck_assert_int_eq(dtls_context_set_clock(server, sim_now_ms, sim), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_clock(client_ctx, sim_now_ms, sim), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(server, "a", 1, "key", 3), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_psk(client_ctx, "a", 1, "key", 3), DTLS_OK);
	client = dtls_wrap_transport(client_ctx, &transport);
	while (dtls_conn_handshake(client) == DTLS_WANT_READ) {
		demux_run(&d);
		ck_assert_int_lt(sim_next_ms(sim), 200);
		sim_advance_to(sim, sim_next_ms(sim));
		demux_run(&d);
	}
	ck_assert_int_eq(sim_now_ms(sim), 120);
	ck_assert_int_eq(dtls_conn_write(client, "hello", 5), 5);
	sim_advance_to(sim, sim_next_ms(sim));
	ck_assert_int_eq(dtls_conn_read(d.conn, text, sizeof(text)), 5);
	dtls_conn_free(client);
	dtls_conn_free(d.conn);
	dtls_context_free(client_ctx);
	end();
	sim_free(sim);
}
END_TEST

Suite *gate_suite(void)
{
	Suite *suite = suite_create("gate");

	TEST(suite, gate_replies_then_verifies);
	TEST(suite, gate_binds_the_cookie_to_the_client);
	TEST(suite, gate_answers_a_wrong_cookie_as_none);
	TEST(suite, gate_cookie_grows_old);
	TEST(suite, gate_drops_every_truncation);
	TEST(suite, gate_drops_what_is_no_whole_hello);
	TEST(suite, gate_judges_client_ids);
	TEST(suite, gate_is_a_servers);
	TEST(suite, gate_contexts_do_not_share_cookies);
	TEST(suite, gate_names_each_cause);
	TEST(suite, gate_ten_thousand_spoofed_hellos);
	TEST(suite, gate_in_front_of_a_connection);
	return suite;
}
