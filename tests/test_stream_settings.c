/* What may be set for a stream and what not; what is told about one: its story, and the lines of a key log. */
#include "loopback.h"
#include "streams.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINES = 64, LINE = 400 };

static struct streams s;

static void assert_refused(const struct dtls_context *ctx, int status, const char *part)
{
	ck_assert_int_eq(status, DTLS_FAIL);
	ck_assert_msg(strstr(dtls_context_error(ctx), part) != NULL, "%s", dtls_context_error(ctx));
}

START_TEST(stream_settings_of_datagrams)
{
	static const enum dtls_protocol protocols[] = {PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER};

	for (size_t i = 0; i < 2; i++) {
		struct dtls_context *ctx = dtls_context_new(protocols[i]);

		assert_refused(ctx, dtls_context_set_mtu(ctx, 1200), "an MTU is a setting for DTLS");
		assert_refused(ctx, dtls_context_set_retransmit(ctx, DTLS_RETRANSMIT_FIXED),
		    "retransmission is a setting for DTLS");
		assert_refused(ctx, dtls_context_set_retransmit_jitter(ctx, 5), "is a setting for DTLS");
		dtls_context_free(ctx);
	}
}
END_TEST

START_TEST(stream_settings_of_endpoints)
{
	struct dtls_datagrams none = {0};
	uint8_t reply[128];
	size_t len;

	streams_open(&s);
	ck_assert_ptr_null(dtls_endpoint_new_transport(s.server.ctx, &none, NULL));
	ck_assert_ptr_nonnull(strstr(dtls_context_error(s.server.ctx), "PROTOCOL_DTLS_SERVER"));
	ck_assert_int_eq(dtls_hello_check(s.server.ctx, "id", 2, "hello", 5, reply, &len), DTLS_HELLO_DROP);
	ck_assert_ptr_nonnull(strstr(dtls_context_error(s.server.ctx), "PROTOCOL_DTLS_SERVER"));
	streams_wrap(&s);
	ck_assert_int_eq(dtls_conn_set_client_id(s.server.conn, "client", 6), DTLS_FAIL);
	stream_side_assert_error(&s.server, "only a DTLS server's connection has a client id");
	ck_assert_int_eq(dtls_conn_set_client_id(s.client.conn, "client", 6), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_set_hostname(s.server.conn, "localhost"), DTLS_FAIL);
	stream_side_assert_error(&s.server, "a server has no server_hostname");
	streams_handshake(&s);
	streams_assert_connected(&s);
	ck_assert_int_eq(dtls_conn_set_hostname(s.client.conn, "localhost"), DTLS_FAIL);
	stream_side_assert_error(&s.client, "before the handshake begins");
	streams_assert_exchange(&s);
	streams_close(&s);
}
END_TEST

START_TEST(stream_settings_of_versions)
{
	static const enum dtls_protocol datagrams[] = {PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER};

	for (size_t i = 0; i < 2; i++) {
		struct dtls_context *ctx = dtls_context_new(datagrams[i]);

		assert_refused(ctx, dtls_context_set_max_version(ctx, DTLS_VERSION_1_3), "DTLS 1.3 is not in mbed TLS");
		ck_assert_int_eq(dtls_context_set_max_version(ctx, DTLS_VERSION_1_2), DTLS_OK);
		dtls_context_free(ctx);
	}
	streams_open(&s);
	assert_refused(s.client.ctx, dtls_context_set_max_version(s.client.ctx, (enum dtls_version)2),
	    "version 2 is neither 1.2 nor 1.3");
	if (strncmp(dtls_mbedtls_version(), "2.", 2) == 0)
		assert_refused(s.client.ctx, dtls_context_set_max_version(s.client.ctx, DTLS_VERSION_1_3),
		    "TLS 1.3 needs mbed TLS 3.6.6 or later, and this is 2.");
	else
		ck_assert_int_eq(dtls_context_set_max_version(s.client.ctx, DTLS_VERSION_1_3), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_max_version(s.client.ctx, DTLS_VERSION_1_2), DTLS_OK);
	streams_handshake(&s);
	streams_assert_connected(&s);
	ck_assert_str_eq(dtls_conn_version(s.client.conn), "TLSv1.2");
	streams_close(&s);
}
END_TEST

/* ---- which descriptors ---- */

static void assert_cannot_carry(struct dtls_context *ctx, int fd, const char *part)
{
	ck_assert_ptr_null(dtls_wrap_socket(ctx, fd));
	ck_assert_msg(strstr(dtls_context_error(ctx), part) != NULL, "%s", dtls_context_error(ctx));
}

START_TEST(stream_settings_of_sockets)
{
	struct dtls_context *datagrams = loopback_context(PROTOCOL_DTLS_SERVER);
	int udp = loopback_bound("127.0.0.1", 0, 0), tcp = socket(AF_INET, SOCK_STREAM, 0), pipes[2];

	streams_open(&s);
	assert_cannot_carry(s.server.ctx, udp, "cannot carry TLS: it is not a stream socket");
	assert_cannot_carry(datagrams, tcp, "cannot carry DTLS: it is not a datagram socket");
	ck_assert_int_eq(listen(tcp, 1), 0);
	assert_cannot_carry(s.server.ctx, tcp, "cannot carry TLS: it listens: accept() a connection");
	assert_cannot_carry(s.server.ctx, -1, "descriptor -1 cannot carry TLS: Bad file descriptor");
	ck_assert_int_eq(pipe(pipes), 0);
	assert_cannot_carry(s.client.ctx, pipes[0], "cannot carry TLS: Socket operation on non-socket");
	close(pipes[0]);
	close(pipes[1]);
	close(udp);
	close(tcp);
	streams_close(&s);
	dtls_context_free(datagrams);
}
END_TEST

/* ---- what is told ---- */

struct told {
	char lines[LINES][LINE];
	unsigned count;
};

static void tell(void *arg, int64_t now_ms, const char *event)
{
	struct told *t = arg;

	(void)now_ms;
	ck_assert_uint_lt(t->count, LINES);
	snprintf(t->lines[t->count++], LINE, "%s", event);
}

static void log_key(void *arg, const char *line)
{
	tell(arg, 0, line);
}

/* Lines may go on: mbed TLS versions write hellos of different sizes. */
static void expect(const struct told *t, const char *const *lines, size_t count)
{
	for (size_t i = 0; i < t->count && i < count; i++)
		ck_assert_msg(strncmp(t->lines[i], lines[i], strlen(lines[i])) == 0, "%s", t->lines[i]);
	ck_assert_uint_eq(t->count, count);
}

static const char *const client_story[] = {
    "sent ClientHello, ",
    "received ServerHello, 90 bytes",
    "received ServerHelloDone, 9 bytes",
    "sent ClientKeyExchange, 20 bytes",
    "sent ChangeCipherSpec, 6 bytes",
    "sent Finished (encrypted), 37 bytes",
    "received ChangeCipherSpec, 6 bytes",
    "received Finished (encrypted), 37 bytes",
    "handshake done: TLSv1.2, TLS-PSK-WITH-AES-128-CCM-8",
};
static const char *const server_story[] = {
    "received ClientHello, ",
    "sent ServerHello, 90 bytes",
    "sent ServerHelloDone, 9 bytes",
    "received ClientKeyExchange, 20 bytes",
    "received ChangeCipherSpec, 6 bytes",
    "received Finished (encrypted), 37 bytes",
    "sent ChangeCipherSpec, 6 bytes",
    "sent Finished (encrypted), 37 bytes",
    "handshake done: TLSv1.2, TLS-PSK-WITH-AES-128-CCM-8",
};
enum { STORY = sizeof(client_story) / sizeof(*client_story) };

static void tell_story(struct told *client, struct told *server)
{
	client->count = server->count = 0;
	streams_open(&s);
	ck_assert_int_eq(dtls_context_set_trace(s.client.ctx, tell, client), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_trace(s.server.ctx, tell, server), DTLS_OK);
}

START_TEST(stream_settings_story)
{
	static struct told client, server;

	tell_story(&client, &server);
	streams_handshake(&s);
	streams_assert_connected(&s);
	streams_assert_exchange(&s);
	expect(&client, client_story, STORY);
	expect(&server, server_story, STORY);
	streams_close(&s);
}
END_TEST

/* The same story, in whatever pieces the records come and leave. */
START_TEST(stream_settings_story_of_pieces)
{
	static struct told client, server;

	for (size_t chunk = 1; chunk < 100; chunk++) {
		tell_story(&client, &server);
		s.client.chunk = s.server.chunk = chunk;
		s.client.want_at = s.server.want_at = (unsigned)chunk;
		streams_handshake(&s);
		expect(&client, client_story, STORY);
		expect(&server, server_story, STORY);
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_settings_story_of_an_alert)
{
	static const char *const expected[] = {"sent ClientHello, ", "received alert 40 handshake_failure, 7 bytes"};
	static const char *const other[] = {"TLS-PSK-WITH-AES-128-GCM-SHA256"};
	static struct told client, server;

	tell_story(&client, &server);
	ck_assert_int_eq(dtls_context_set_ciphers(s.server.ctx, other, 1), DTLS_OK);
	streams_handshake(&s);
	expect(&client, expected, 2);
	ck_assert_str_eq(server.lines[1], "sent alert 40 handshake_failure, 7 bytes");
	streams_close(&s);
}
END_TEST

START_TEST(stream_settings_key_log)
{
	static struct told client, server;
	const char *label = "CLIENT_RANDOM ";

	streams_open(&s);
	ck_assert_int_eq(dtls_context_set_keylog(s.client.ctx, log_key, &client), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_keylog(s.server.ctx, log_key, &server), DTLS_OK);
	streams_handshake(&s);
	streams_assert_connected(&s);
	ck_assert_uint_eq(client.count, 1);
	ck_assert_uint_eq(server.count, 1);
	ck_assert_str_eq(client.lines[0], server.lines[0]);
	ck_assert_int_eq(strncmp(client.lines[0], label, strlen(label)), 0);
	ck_assert_uint_eq(strlen(client.lines[0]), strlen(label) + 2 * 32 + 1 + 2 * 48);
	streams_close(&s);
}
END_TEST

Suite *stream_settings_suite(void)
{
	Suite *suite = suite_create("stream_settings");

	TEST(suite, stream_settings_of_datagrams);
	TEST(suite, stream_settings_of_endpoints);
	TEST(suite, stream_settings_of_versions);
	TEST(suite, stream_settings_of_sockets);
	TEST(suite, stream_settings_story);
	TEST(suite, stream_settings_story_of_pieces);
	TEST(suite, stream_settings_story_of_an_alert);
	TEST(suite, stream_settings_key_log);
	return suite;
}
