/* Peers of a stream that flood: one call returns, the deadlines hold, and what comes after the flood is there. */
#include "loopback.h"
#include "raw_tls.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	FLOOD = 2000, /* records, of two receives each... */
	CALLS_MAX = 2500, /* ...and so many of the transport's calls may one of ours make */
	DEADLINE_MS = 7000,
	VERSIONS = MBED_1_3 ? 2 : 1 /* 1.2, 1.3 */
};

static struct streams s;
static struct raw_tls raw;
static int64_t fake_now;
static uint8_t buf[256];

static int64_t now(void *arg)
{
	(void)arg;
	return fake_now;
}

static void allow_1_3(int version)
{
	if (version == 0)
		return;
	ck_assert_int_eq(dtls_context_set_max_version(s.client.ctx, DTLS_VERSION_1_3), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_max_version(s.server.ctx, DTLS_VERSION_1_3), DTLS_OK);
}

static void open_timed(int version)
{
	struct dtls_context *both[2];

	streams_open(&s);
	allow_1_3(version);
	both[0] = s.client.ctx;
	both[1] = s.server.ctx;
	fake_now = 0;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_context_set_clock(both[i], now, NULL), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_handshake_timeout(both[i], 1000, 4000), DTLS_OK);
	}
}

/* ---- floods without an end, in the clear ---- */

static const struct record_kind {
	const char *name;
	uint8_t bytes[8];
	size_t len;
} kinds[] = {
    {"a warning", {RECORD_ALERT, 3, 3, 0, 2, MBEDTLS_SSL_ALERT_LEVEL_WARNING, 90}, 7},
    {"no certificate", {RECORD_ALERT, 3, 3, 0, 2, MBEDTLS_SSL_ALERT_LEVEL_WARNING, 41}, 7},
    {"ChangeCipherSpec", {RECORD_CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1}, 6},
    {"nothing of a handshake", {RECORD_HANDSHAKE, 3, 3, 0, 0}, 5},
    {"nothing", {RECORD_APPLICATION_DATA, 3, 3, 0, 0}, 5},
    {"a HelloRequest", {RECORD_HANDSHAKE, 3, 3, 0, 4, 0, 0, 0}, 8},
};
enum { KINDS = sizeof(kinds) / sizeof(*kinds) };

struct flood { /* behind what the side is sent */
	struct stream_side *side;
	const struct record_kind *kind;
	size_t at;
	unsigned calls;
};

static ssize_t flood_send(void *arg, const void *bytes, size_t len)
{
	return stream_side_send(((struct flood *)arg)->side, bytes, len);
}

static ssize_t flood_recv(void *arg, void *bytes, size_t len)
{
	struct flood *f = arg;
	size_t n = f->kind->len - f->at;

	if (f->side->in->taken < f->side->in->len)
		return stream_side_recv(f->side, bytes, len);
	f->calls++;
	n = n < len ? n : len;
	memcpy(bytes, f->kind->bytes + f->at, n);
	f->at = (f->at + n) % f->kind->len;
	return (ssize_t)n;
}

static void flood_step(struct flood *f)
{
	f->calls = 0;
	stream_side_step(f->side);
	ck_assert_msg(f->calls < CALLS_MAX, "%s: %u calls", f->kind->name, f->calls);
}

/* Whether the side put up with the flood until its deadline; otherwise it has refused it, or was done before. */
static bool endures(struct flood *f)
{
	static const int64_t instants[] = {0, 0, 1, DEADLINE_MS - 1};

	for (size_t i = 0; i < 4; i++) {
		fake_now = instants[i];
		flood_step(f);
		if (f->side->status == DTLS_FAIL || f->side->status == DTLS_OK)
			return false;
		ck_assert_msg(f->side->status == DTLS_WANT_READ, "%s: %d", f->kind->name, f->side->status);
		ck_assert_int_eq(dtls_conn_timeout(f->side->conn), (int)(DEADLINE_MS - fake_now));
	}
	fake_now = DEADLINE_MS;
	flood_step(f);
	ck_assert_msg(f->side->status == DTLS_TIMEDOUT, "%s: %d", f->kind->name, f->side->status);
	stream_side_assert_error(f->side, "it was not done within 7.000 s");
	return true;
}

static void read_flood(struct flood *f)
{
	ssize_t n;

	f->calls = 0;
	n = dtls_conn_read(f->side->conn, buf, sizeof(buf));
	ck_assert_msg(n == DTLS_FAIL || n == DTLS_WANT_READ, "%s: %zd", f->kind->name, n);
	ck_assert_msg(f->calls < CALLS_MAX, "%s: %u calls", f->kind->name, f->calls);
}

static void wrap_flooded(struct flood *f)
{
	struct dtls_transport transport = {.send = flood_send, .recv = flood_recv, .arg = f};

	streams_wrap(&s);
	dtls_conn_free(f->side->conn);
	f->side->conn = dtls_wrap_transport(f->side->ctx, &transport);
	ck_assert_ptr_nonnull(f->side->conn);
}

/* A warning is no reason for a client to give up. A server may refuse what is no hello. */
START_TEST(stream_hostile_flood_instead_of_a_handshake)
{
	for (int version = 0; version < VERSIONS; version++)
		for (size_t i = 0; i < 2 * KINDS; i++) {
			struct flood f = {.side = i < KINDS ? &s.client : &s.server, .kind = &kinds[i % KINDS]};
			bool endured;

			open_timed(version);
			wrap_flooded(&f);
			endured = endures(&f);
			if (i < KINDS && kinds[i].bytes[0] == RECORD_ALERT)
				ck_assert_msg(endured, "%s", dtls_conn_error(f.side->conn));
			streams_close(&s);
		}
}
END_TEST

START_TEST(stream_hostile_flood_amid_the_handshake)
{
	for (int version = 0; version < VERSIONS; version++)
		for (size_t i = 0; i < 2 * KINDS; i++) {
			struct flood f = {.side = i < KINDS ? &s.client : &s.server, .kind = &kinds[i % KINDS]};

			open_timed(version);
			streams_wrap(&s);
			stream_side_step(&s.client); /* its hello is under way */
			if (i < KINDS) {
				stream_side_step(&s.server); /* its flight, too */
				ck_assert_uint_gt(s.down.len, 80);
			}
			/* The transport is what changes, not the connection. */
			f.side->conn->transport =
			    (struct dtls_transport){.send = flood_send, .recv = flood_recv, .arg = &f};
			if (!endures(&f) && f.side->status == DTLS_OK)
				read_flood(&f);
			ck_assert_uint_eq(f.side->in->taken, f.side->in->len);
			streams_close(&s);
		}
}
END_TEST

/* ---- over a socket that blocks ---- */

static int64_t tick(void *arg)
{
	return ++*(int64_t *)arg;
}

static void *send_warnings(void *arg)
{
	const struct record_kind *k = &kinds[0];
	uint8_t many[64 * 7];

	for (size_t i = 0; i < 64; i++)
		memcpy(many + i * k->len, k->bytes, k->len);
	while (send(*(int *)arg, many, sizeof(many), MSG_NOSIGNAL) == (ssize_t)sizeof(many))
		continue;
	return NULL;
}

static void handshake_in_a_flood(int64_t timeout_ms, int status)
{
	int64_t ticks = 0;
	struct loopback_side side;
	pthread_t thread;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	side = loopback_side(PROTOCOL_TLS_CLIENT, fds[0]);
	dtls_conn_free(side.conn);
	ck_assert_int_eq(dtls_context_set_clock(side.ctx, tick, &ticks), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_handshake_timeout(side.ctx, 200, 200), DTLS_OK);
	side.conn = dtls_wrap_socket(side.ctx, fds[0]);
	ck_assert_ptr_nonnull(side.conn);
	ck_assert_int_eq(dtls_conn_set_timeout(side.conn, timeout_ms), DTLS_OK);
	ck_assert_int_eq(pthread_create(&thread, NULL, send_warnings, &fds[1]), 0);
	ck_assert_int_eq(dtls_conn_handshake(side.conn), status);
	loopback_side_free(&side);
	pthread_join(thread, NULL);
	close(fds[1]);
}

/* The clock goes on by 1 ms whenever it is asked. */
START_TEST(stream_hostile_flood_of_a_blocking_socket)
{
	handshake_in_a_flood(50, DTLS_AGAIN);
	handshake_in_a_flood(-1, DTLS_TIMEDOUT);
}
END_TEST

/* ---- floods in a session ---- */

static void connect_raw(int version, int endpoint)
{
	struct stream_side *side = endpoint == MBEDTLS_SSL_IS_SERVER ? &s.server : &s.client;

	streams_open(&s);
	allow_1_3(version);
	streams_wrap(&s);
	raw_tls_open(&raw, endpoint);
	mbed_conf_versions(&raw.conf, version == 1);
	raw_tls_start(&raw, side);
}

static struct stream_side *shake_hands(int version, int endpoint)
{
	struct stream_side *ours = endpoint == MBEDTLS_SSL_IS_SERVER ? &s.client : &s.server;

	ck_assert_int_eq(raw_tls_handshake(&raw, ours), 0);
	ck_assert_int_eq(ours->status, DTLS_OK);
	ck_assert_str_eq(dtls_conn_version(ours->conn), version == 1 ? "TLSv1.3" : "TLSv1.2");
	return ours;
}

static void close_raw(void)
{
	raw_tls_close(&raw);
	streams_close(&s);
}

static void raw_says(const char *text)
{
	ck_assert_int_eq(mbedtls_ssl_write(&raw.ssl, (const unsigned char *)text, strlen(text)), (int)strlen(text));
}

static void raw_warns(void)
{
	ck_assert_int_eq(mbedtls_ssl_send_alert_message(
			     &raw.ssl, MBEDTLS_SSL_ALERT_LEVEL_WARNING, MBEDTLS_SSL_ALERT_MSG_USER_CANCELED),
	    0);
}

/* Asserts that "data" comes, after more than one bounded call. */
static void hears_after_flood(struct stream_side *ours)
{
	ssize_t n;
	unsigned reads = 0;

	do {
		ours->calls = 0;
		n = dtls_conn_read(ours->conn, buf, sizeof(buf));
		ck_assert_uint_lt(ours->calls, CALLS_MAX);
		reads++;
	} while (n == DTLS_WANT_READ && ours->in->taken < ours->in->len);
	ck_assert_msg(n == 4, "%zd %s", n, dtls_conn_error(ours->conn));
	ck_assert_mem_eq(buf, "data", 4);
	ck_assert_uint_gt(reads, 1);
}

START_TEST(stream_hostile_flood_in_the_session)
{
	static const int endpoints[] = {MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_IS_CLIENT};

	for (int version = 0; version < VERSIONS; version++)
		for (size_t i = 0; i < 2; i++) {
			struct stream_side *ours;

			connect_raw(version, endpoints[i]);
			ours = shake_hands(version, endpoints[i]);
			for (int k = 0; k < FLOOD; k++)
				raw_warns();
			raw_says("data");
			hears_after_flood(ours);
			close_raw();
		}
}
END_TEST

/* ---- empty records ---- */

/* Some peers send them (RFC 5246, 6.2.1). They are not the end; more than three in a row mbed TLS takes for an attack. */
START_TEST(stream_hostile_empty_records)
{
	for (int version = 0; version < VERSIONS; version++)
		for (int count = 0; count < 8; count++) {
			struct stream_side *ours;
			bool closes = count < 4;

			connect_raw(version, MBEDTLS_SSL_IS_CLIENT);
			ours = shake_hands(version, MBEDTLS_SSL_IS_CLIENT);
			for (int i = 0; i < count % 4; i++) {
				raw_says("");
				ck_assert_int_eq(dtls_conn_read(ours->conn, buf, sizeof(buf)), DTLS_WANT_READ);
			}
			raw_says("first");
			for (int i = 0; i < count % 4; i++)
				raw_says("");
			raw_says("second");
			for (int i = 0; i < count % 4; i++)
				raw_says("");
			stream_side_hears(ours, "first");
			stream_side_hears(ours, "second");
			/* The end is what it was: announced, or cut off. */
			if (closes)
				ck_assert_int_eq(mbedtls_ssl_close_notify(&raw.ssl), 0);
			ours->in->ended = true;
			ck_assert_int_eq(
			    dtls_conn_read(ours->conn, buf, sizeof(buf)), closes ? DTLS_CLOSED : DTLS_FAIL);
			stream_side_assert_error(ours, closes ? "the peer closed" : "it was cut off");
			close_raw();
		}
}
END_TEST

/* ---- a write that fails looks for the peer's reason ---- */

static struct stream_side *deafened(int version, void (*send_one)(void), int count)
{
	struct stream_side *ours;

	connect_raw(version, MBEDTLS_SSL_IS_SERVER);
	ours = shake_hands(version, MBEDTLS_SSL_IS_SERVER);
	for (int i = 0; i < count; i++)
		send_one();
	raw_says("data");
	ck_assert_int_eq(mbedtls_ssl_close_notify(&raw.ssl), 0);
	ours->in->ended = true;
	ours->calls = 0;
	ours->send_fails_at = 1;
	ours->fails_with = EPIPE;
	return ours;
}

static void raw_says_nothing(void)
{
	raw_says("");
}

/* Whatever lies before the data. */
START_TEST(stream_hostile_last_words_behind_nothing)
{
	static void (*const before[])(void) = {raw_warns, raw_says_nothing};

	for (int version = 0; version < VERSIONS; version++)
		for (int i = 0; i < 6; i++) {
			struct stream_side *ours = deafened(version, before[i % 2], 1 + i / 2);

			ck_assert_int_eq(dtls_conn_write(ours->conn, "x", 1), DTLS_FAIL);
			stream_side_assert_error(ours, "what it has sent can still be read");
			stream_side_hears(ours, "data");
			ck_assert_int_eq(dtls_conn_read(ours->conn, buf, sizeof(buf)), DTLS_CLOSED);
			close_raw();
		}
}
END_TEST

/* Not for ever. */
START_TEST(stream_hostile_last_words_behind_a_flood)
{
	for (int version = 0; version < VERSIONS; version++) {
		struct stream_side *ours = deafened(version, raw_warns, FLOOD);

		ck_assert_int_eq(dtls_conn_write(ours->conn, "x", 1), DTLS_FAIL);
		ck_assert_uint_lt(ours->calls, CALLS_MAX);
		stream_side_assert_error(ours, "what it has sent can still be read");
		hears_after_flood(ours);
		close_raw();
	}
}
END_TEST

Suite *stream_hostile_suite(void)
{
	Suite *suite = suite_create("stream_hostile");

	TEST(suite, stream_hostile_flood_instead_of_a_handshake);
	TEST(suite, stream_hostile_flood_amid_the_handshake);
	TEST(suite, stream_hostile_flood_of_a_blocking_socket);
	TEST(suite, stream_hostile_flood_in_the_session);
	TEST(suite, stream_hostile_empty_records);
	TEST(suite, stream_hostile_last_words_behind_nothing);
	TEST(suite, stream_hostile_last_words_behind_a_flood);
	return suite;
}
