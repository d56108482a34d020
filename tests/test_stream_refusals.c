/* What is left to say when a stream's session ends, or does not begin: the alert that tells the peer why, once; and what
 * the peer said before it left. */
#include "loopback.h"
#include "pki.h"
#include "raw_tls.h"
#include "seeded.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BULK = 200000,
	RECORD = 16384,
	CALLS_MAX = 4000000,
	ALERT_MAX = 16 + 16, /* bytes of an encrypted alert under TLS 1.3, which mbed TLS pads to 16 before the tag */
	ROUNDS_MAX = 100,
	VERSIONS = MBED_1_3 ? 2 : 1 /* 1.2, 1.3 */
};

static struct streams s;
static uint8_t buf[256];

static void allow_1_3(int version)
{
	if (version == 0)
		return;
	ck_assert_int_eq(dtls_context_set_max_version(s.client.ctx, DTLS_VERSION_1_3), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_max_version(s.server.ctx, DTLS_VERSION_1_3), DTLS_OK);
}

static void open_keys(int version)
{
	streams_open(&s);
	allow_1_3(version);
}

static void open_certificates(int version)
{
	streams_open_bare(&s);
	allow_1_3(version);
	pki_load(s.server.ctx, "server.pem", "server.key");
	pki_trust(s.client.ctx, "ca.pem");
}

static void ask_client(enum dtls_verify_mode mode)
{
	pki_trust(s.server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(s.server.ctx, mode), DTLS_OK);
}

/* ---- the fatal alert ---- */

/* Records that are alerts, or may be encrypted ones, from here on in what was sent. */
static unsigned alerts(const struct flow *f, size_t at)
{
	unsigned count = 0;

	while (at + 5 <= f->len) {
		size_t len = (size_t)f->bytes[at + 3] << 8 | f->bytes[at + 4];

		count += f->bytes[at] == RECORD_ALERT || (f->bytes[at] == RECORD_APPLICATION_DATA && len <= ALERT_MAX);
		at += 5 + len;
	}
	ck_assert_uint_eq(at, f->len);
	return count;
}

struct refusal {
	const char *name;
	void (*prepare)(int version);
	bool by_client;
	const char *hostname; /* NULL: none */
};

static void other_name(int version)
{
	open_certificates(version);
}

static void expired_server(int version)
{
	open_certificates(version);
	pki_load(s.server.ctx, "expired.pem", "expired.key");
}

static void stranger_asked(int version)
{
	open_certificates(version);
	ask_client(CERT_REQUIRED);
	pki_load(s.client.ctx, "stranger.pem", "stranger.key");
}

static void stranger_invited(int version)
{
	open_certificates(version);
	ask_client(CERT_OPTIONAL);
	pki_load(s.client.ctx, "stranger.pem", "stranger.key");
}

static void misused(int version)
{
	open_certificates(version);
	ask_client(CERT_OPTIONAL);
	pki_load(s.client.ctx, "signer.pem", "signer.key");
}

static void nothing_shown(int version)
{
	open_certificates(version);
	ask_client(CERT_REQUIRED);
}

static void other_key(int version)
{
	open_keys(version);
	ck_assert_int_eq(
	    dtls_context_set_psk(s.client.ctx, STREAMS_IDENTITY, strlen(STREAMS_IDENTITY), "another", 7), DTLS_OK);
}

static void other_identity(int version)
{
	open_keys(version);
	ck_assert_int_eq(dtls_context_set_psk(s.client.ctx, "stranger", 8, STREAMS_KEY, strlen(STREAMS_KEY)), DTLS_OK);
}

static void other_protocol(int version)
{
	static const char *const coap[] = {"coap"}, *const mqtt[] = {"mqtt"};

	open_certificates(version);
	ck_assert_int_eq(dtls_context_set_alpn(s.client.ctx, coap, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_alpn(s.server.ctx, mqtt, 1), DTLS_OK);
}

static const struct refusal refusals[] = {
    {"a server of another name", other_name, true, "elsewhere.example"},
    {"a server whose certificate has expired", expired_server, true, "localhost"},
    {"a client of another CA", stranger_asked, false, "localhost"},
    {"a client of another CA, where none is needed", stranger_invited, false, "localhost"},
    {"a client with a certificate for something else", misused, false, "localhost"},
    {"a client without a certificate", nothing_shown, false, "localhost"},
    {"another key", other_key, false, NULL},
    {"another identity", other_identity, false, NULL},
    {"another application protocol", other_protocol, false, "localhost"},
};

/* Returns where in its output the step begins in which the judge has refused. */
static size_t judge_steps(struct stream_side *judge, struct stream_side *refused)
{
	size_t before = 0;

	for (int i = 0; i < ROUNDS_MAX && judge->status != DTLS_FAIL; i++) {
		stream_side_step(refused);
		before = judge->out->len;
		stream_side_step(judge);
	}
	return before;
}

static void refuse(const struct refusal *r, int version, size_t chunk)
{
	struct stream_side *judge = r->by_client ? &s.client : &s.server;
	struct stream_side *refused = r->by_client ? &s.server : &s.client;
	unsigned told;
	size_t at;

	r->prepare(version);
	judge->chunk = chunk;
	streams_wrap(&s);
	ck_assert_int_eq(dtls_conn_set_hostname(s.client.conn, r->hostname), DTLS_OK);
	at = judge_steps(judge, refused);
	ck_assert_msg(judge->status == DTLS_FAIL, "%s: %d", r->name, judge->status);
	ck_assert_int_eq(dtls_conn_close(judge->conn), DTLS_OK);
	told = alerts(judge->out, at);
	ck_assert_msg(told == 1, "%s, 1.%d, %zu bytes at once: %u alerts", r->name, 2 + version, chunk, told);
	stream_side_step(refused);
	if (refused->status == DTLS_OK)
		refused->status = (int)dtls_conn_read(refused->conn, buf, sizeof(buf));
	ck_assert_int_eq(refused->status, DTLS_FAIL);
	streams_close(&s);
}

/* However little of it the transport takes at once. */
START_TEST(stream_refusals_are_told_once)
{
	for (int version = 0; version < VERSIONS; version++)
		for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
			for (size_t chunk = 0; chunk < 9; chunk += 2)
				refuse(&refusals[i], version, chunk);
}
END_TEST

START_TEST(stream_refusals_of_keys)
{
	for (int version = 0; version < VERSIONS; version++) {
		other_key(version);
		streams_handshake(&s);
		stream_side_assert_error(&s.server, "the pre-shared key for identity \"sensor-17\" probably differs");
		stream_side_assert_error(&s.client, "the pre-shared key for identity \"sensor-17\" probably differs");
		streams_close(&s);
		other_identity(version);
		streams_handshake(&s);
		stream_side_assert_error(&s.server, "no pre-shared key is known for identity \"stranger\"");
		stream_side_assert_error(&s.client, "the pre-shared key for identity \"stranger\" probably differs");
		streams_close(&s);
	}
}
END_TEST

START_TEST(stream_refusals_of_access)
{
	static const uint8_t alert[] = {RECORD_ALERT, 3, 3, 0, 2, 2, MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED};

	open_certificates(0);
	streams_wrap(&s);
	ck_assert_int_eq(dtls_conn_set_hostname(s.client.conn, "localhost"), DTLS_OK);
	stream_side_step(&s.client);
	flow_put(&s.down, alert, sizeof(alert));
	stream_side_step(&s.client);
	ck_assert_int_eq(s.client.status, DTLS_FAIL);
	stream_side_assert_error(
	    &s.client, "the peer sent the alert access_denied: it does not accept this side's certificate");
	streams_close(&s);
}
END_TEST

/* ---- the peer's last words ---- */

static void connect_keys(int version)
{
	open_keys(version);
	streams_handshake(&s);
	streams_assert_connected(&s);
}

static void deafen(struct stream_side *side, int error)
{
	side->calls = 0;
	side->send_fails_at = 1;
	side->fails_with = error;
}

static void assert_write_refused(struct stream_side *side)
{
	ck_assert_int_eq(dtls_conn_write(side->conn, "GET", 3), DTLS_FAIL);
	stream_side_assert_error(side, "the peer takes nothing any more; what it has sent can still be read");
}

/* The peer has answered before it was asked, and left. */
START_TEST(stream_refusals_leave_what_was_said)
{
	static const int errors[] = {EPIPE, ECONNRESET};

	for (int version = 0; version < VERSIONS; version++)
		for (size_t i = 0; i < 4; i++) {
			connect_keys(version);
			stream_side_says(&s.server, "413 too large, ");
			stream_side_says(&s.server, "go away");
			if (i < 2)
				ck_assert_int_eq(dtls_conn_close(s.server.conn), DTLS_OK);
			s.down.ended = true;
			deafen(&s.client, errors[i % 2]);
			assert_write_refused(&s.client);
			assert_write_refused(&s.client);
			ck_assert_uint_eq(dtls_conn_pending(s.client.conn), 15);
			stream_side_hears(&s.client, "413 too large, ");
			assert_write_refused(&s.client);
			stream_side_hears(&s.client, "go away");
			assert_write_refused(&s.client);
			ck_assert_int_eq(
			    dtls_conn_read(s.client.conn, buf, sizeof(buf)), i < 2 ? DTLS_CLOSED : DTLS_FAIL);
			stream_side_assert_error(&s.client, i < 2 ? "the peer closed the session" : "it was cut off");
			ck_assert_int_lt(dtls_conn_write(s.client.conn, "GET", 3), 0);
			streams_close(&s);
		}
}
END_TEST

START_TEST(stream_refusals_leave_it_in_a_socket)
{
	struct two_sides p;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p.client = loopback_side(PROTOCOL_TLS_CLIENT, fds[0]);
	p.server = loopback_side(PROTOCOL_TLS_SERVER, fds[1]);
	two_sides_handshake(&p);
	ck_assert_int_eq(dtls_conn_write(p.server.conn, "go away", 7), 7);
	ck_assert_int_eq(dtls_conn_close(p.server.conn), DTLS_OK);
	close(p.server.fd);
	p.server.fd = -1;
	ck_assert_int_eq(dtls_conn_write(p.client.conn, "GET", 3), DTLS_FAIL);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), 7);
	ck_assert_mem_eq(buf, "go away", 7);
	ck_assert_int_eq(dtls_conn_read(p.client.conn, buf, sizeof(buf)), DTLS_CLOSED);
	two_sides_free(&p);
}
END_TEST

/* ---- a write takes a record, and no byte twice ---- */

static uint8_t sent[BULK], got[BULK];

static size_t write_some(struct dtls_conn *conn, size_t done)
{
	ssize_t n = done < BULK ? dtls_conn_write(conn, sent + done, BULK - done) : 0;

	ck_assert_msg((n >= 0 && n <= RECORD) || n == DTLS_WANT_WRITE, "%zd %s", n, dtls_conn_error(conn));
	return n > 0 ? (size_t)n : 0;
}

static size_t read_some(struct dtls_conn *conn, size_t done)
{
	ssize_t n = dtls_conn_read(conn, got + done, BULK - done);

	ck_assert_msg(n > 0 || n == DTLS_WANT_READ, "%zd %s", n, dtls_conn_error(conn));
	return n > 0 ? (size_t)n : 0;
}

static void carry(struct dtls_conn *from, struct dtls_conn *to)
{
	size_t written = 0, arrived = 0;

	memset(got, 0, sizeof(got));
	for (int i = 0; arrived < BULK; i++) {
		ck_assert_int_lt(i, CALLS_MAX);
		written += write_some(from, written);
		arrived += read_some(to, arrived);
	}
	ck_assert_uint_eq(written, BULK);
	ck_assert_mem_eq(got, sent, BULK);
}

START_TEST(stream_refusals_to_take_more_than_a_record)
{
	static const size_t chunks[] = {0, 11, 4000}, rooms[] = {7, 1000, 40000, FLOW_MAX};

	seeded_bytes(&(uint64_t){1}, sent, sizeof(sent));
	for (int version = 0; version < VERSIONS; version++)
		for (size_t i = 0; i < 12; i++) {
			connect_keys(version);
			s.client.chunk = s.server.chunk = chunks[i % 3];
			s.up.room = s.down.room = rooms[i / 3];
			carry(s.client.conn, s.server.conn);
			carry(s.server.conn, s.client.conn);
			streams_close(&s);
		}
}
END_TEST

START_TEST(stream_refusals_to_take_more_from_a_socket)
{
	struct two_sides p;
	int fds[2], little = 4096;

	seeded_bytes(&(uint64_t){2}, sent, sizeof(sent));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
	p.client = loopback_side(PROTOCOL_TLS_CLIENT, fds[0]);
	p.server = loopback_side(PROTOCOL_TLS_SERVER, fds[1]);
	two_sides_handshake(&p);
	carry(p.client.conn, p.server.conn);
	carry(p.server.conn, p.client.conn);
	two_sides_free(&p);
}
END_TEST

Suite *stream_refusals_suite(void)
{
	Suite *suite = suite_create("stream_refusals");

	pki_announce();
	TEST(suite, stream_refusals_are_told_once);
	TEST(suite, stream_refusals_of_keys);
	TEST(suite, stream_refusals_of_access);
	TEST(suite, stream_refusals_leave_what_was_said);
	TEST(suite, stream_refusals_leave_it_in_a_socket);
	TEST(suite, stream_refusals_to_take_more_than_a_record);
	TEST(suite, stream_refusals_to_take_more_from_a_socket);
	return suite;
}
