/* One client's and one server's context for many TLS connections in several threads, which all keep changing them. */
#include "loopback.h"
#include "pki.h"
#include "suites.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAIRS = 4, MESSAGES = 5 };

/* Threads do not assert: what went wrong first is told to the test. */
struct end {
	pthread_t thread;
	struct dtls_context *ctx;
	bool is_client;
	const int *fds; /* one for each session */
	unsigned sessions;
	char wrong[300];
};

static bool talks(struct dtls_conn *conn, bool first)
{
	char got[32];

	for (unsigned i = 0; i < MESSAGES; i++) {
		char text[32];
		int len = snprintf(text, sizeof(text), "message %u", i);

		if (first && dtls_conn_write(conn, text, (size_t)len) != len)
			return false;
		if (dtls_conn_read(conn, got, sizeof(got)) != len || memcmp(got, text, (size_t)len) != 0)
			return false;
		if (!first && dtls_conn_write(conn, text, (size_t)len) != len)
			return false;
	}
	return true;
}

static bool one_session(struct end *e, int fd)
{
	struct dtls_conn *conn;
	bool good;

	dtls_context_set_handshake_timeout(e->ctx, 1000 + fd % 7, 60000);
	conn = dtls_wrap_socket(e->ctx, fd);
	good = conn != NULL && dtls_conn_set_timeout(conn, LOOPBACK_PATIENCE_MS) == DTLS_OK &&
	       (!e->is_client || dtls_conn_set_hostname(conn, "localhost") == DTLS_OK) && talks(conn, e->is_client) &&
	       dtls_conn_close(conn) == DTLS_OK;

	if (!good)
		snprintf(e->wrong, sizeof(e->wrong), "%.250s",
		    conn == NULL ? dtls_context_error(e->ctx) : dtls_conn_error(conn));
	dtls_conn_free(conn);
	close(fd);
	return good;
}

static void *has_sessions(void *arg)
{
	struct end *e = arg;

	for (unsigned i = 0; i < e->sessions && one_session(e, e->fds[i]); i++)
		continue;
	return NULL;
}

static void run(struct dtls_context *client, struct dtls_context *server, unsigned sessions)
{
	static int fds[2][PAIRS][64];
	static struct end ends[2 * PAIRS];

	ck_assert_uint_le(sessions, 64);
	for (unsigned i = 0; i < PAIRS * sessions; i++) {
		int two[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, two), 0);
		fds[0][i / sessions][i % sessions] = two[0];
		fds[1][i / sessions][i % sessions] = two[1];
	}
	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		ends[i] = (struct end){.is_client = i % 2 == 0,
		    .ctx = i % 2 == 0 ? client : server,
		    .fds = fds[i % 2][i / 2],
		    .sessions = sessions};
		ck_assert_int_eq(pthread_create(&ends[i].thread, NULL, has_sessions, &ends[i]), 0);
	}
	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		ck_assert_int_eq(pthread_join(ends[i].thread, NULL), 0);
		ck_assert_str_eq(ends[i].wrong, "");
	}
	dtls_context_free(client);
	dtls_context_free(server);
}

START_TEST(stream_threads_with_pre_shared_keys)
{
	run(loopback_context(PROTOCOL_TLS_CLIENT), loopback_context(PROTOCOL_TLS_SERVER), 40);
}
END_TEST

START_TEST(stream_threads_with_certificates)
{
	struct dtls_context *client = dtls_context_new(PROTOCOL_TLS_CLIENT),
			    *server = dtls_context_new(PROTOCOL_TLS_SERVER);

	pki_load(server, "rsa.pem", "rsa.key");
	pki_trust(server, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(server, CERT_REQUIRED), DTLS_OK);
	pki_load(client, "client.pem", "client.key");
	pki_trust(client, "ca.pem");
	/* TLS 1.3, where there is one, has a generator of its own. */
	dtls_context_set_max_version(client, DTLS_VERSION_1_3);
	dtls_context_set_max_version(server, DTLS_VERSION_1_3);
	run(client, server, 6);
}
END_TEST

Suite *stream_threads_suite(void)
{
	Suite *suite = suite_create("stream_threads");

	pki_announce();
	TEST(suite, stream_threads_with_pre_shared_keys);
	TEST(suite, stream_threads_with_certificates);
	return suite;
}
