/* Many threads resume sessions of one server's context at once, while its keys change and its tickets are forgotten. */
#include "loopback.h"
#include "suites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAIRS = 4, SESSIONS = 60, SAVED_MAX = 1024, LIFETIME_MS = 3600000 };

/* Threads do not assert: what went wrong first is told to the test. */
struct end {
	pthread_t thread;
	struct dtls_context *ctx;
	bool is_client;
	int fds[SESSIONS];
	uint8_t saved[SAVED_MAX];
	size_t saved_len;
	unsigned resumed;
	char wrong[300];
};

static atomic_uint running;

static bool exchanges(struct end *e, struct dtls_conn *conn)
{
	char got[16];

	if (e->is_client && dtls_conn_write(conn, "hello", 5) != 5)
		return false;
	if (dtls_conn_read(conn, got, sizeof(got)) != 5 || memcmp(got, "hello", 5) != 0)
		return false;
	return e->is_client || dtls_conn_write(conn, "hello", 5) == 5;
}

static bool one_session(struct end *e, int fd)
{
	struct dtls_conn *conn = dtls_wrap_socket(e->ctx, fd);
	bool good = conn != NULL && dtls_conn_set_timeout(conn, LOOPBACK_PATIENCE_MS) == DTLS_OK;

	if (good && e->is_client && e->saved_len > 0)
		good = dtls_conn_session_load(conn, e->saved, e->saved_len) == DTLS_OK;
	good = good && dtls_conn_handshake(conn) == DTLS_OK && exchanges(e, conn);
	if (good && e->is_client)
		good = dtls_conn_session_save(conn, e->saved, sizeof(e->saved), &e->saved_len) == DTLS_OK;
	if (good)
		e->resumed += (unsigned)dtls_conn_resumed(conn);
	else
		snprintf(e->wrong, sizeof(e->wrong), "%.250s",
		    conn == NULL ? dtls_context_error(e->ctx) : dtls_conn_error(conn));
	dtls_conn_free(conn);
	close(fd);
	return good;
}

static void *has_sessions(void *arg)
{
	struct end *e = arg;

	for (unsigned i = 0; i < SESSIONS && one_session(e, e->fds[i]); i++)
		continue;
	running--;
	return NULL;
}

static void change(struct dtls_context *server, unsigned n, size_t cache_entries)
{
	char identity[32];
	int len = snprintf(identity, sizeof(identity), "somebody-%u", n % 10);

	ck_assert_int_eq(dtls_context_add_psk(server, identity, (size_t)len, "a key", 5), DTLS_OK);
	if (n % 50 == 0)
		ck_assert_int_eq(dtls_context_set_resumption(server, LIFETIME_MS, cache_entries), DTLS_OK);
	usleep(200);
}

static void run(size_t cache_entries)
{
	static struct end ends[2 * PAIRS];
	struct dtls_context *client = loopback_context(PROTOCOL_TLS_CLIENT),
			    *server = loopback_context(PROTOCOL_TLS_SERVER);
	unsigned resumed[2] = {0, 0};

	ck_assert_int_eq(dtls_context_set_session_tickets(client, cache_entries == 0), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_resumption(server, LIFETIME_MS, cache_entries), DTLS_OK);
	memset(ends, 0, sizeof(ends));
	running = 2 * PAIRS;
	for (unsigned i = 0; i < PAIRS * SESSIONS; i++) {
		int two[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, two), 0);
		ends[2 * (i / SESSIONS)].fds[i % SESSIONS] = two[0];
		ends[2 * (i / SESSIONS) + 1].fds[i % SESSIONS] = two[1];
	}
	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		ends[i].is_client = i % 2 == 0;
		ends[i].ctx = i % 2 == 0 ? client : server;
		ck_assert_int_eq(pthread_create(&ends[i].thread, NULL, has_sessions, &ends[i]), 0);
	}
	for (unsigned n = 1; running > 0; n++)
		change(server, n, cache_entries);
	for (unsigned i = 0; i < 2 * PAIRS; i++) {
		ck_assert_int_eq(pthread_join(ends[i].thread, NULL), 0);
		ck_assert_msg(ends[i].wrong[0] == '\0', "%s: %s", i % 2 == 0 ? "client" : "server", ends[i].wrong);
		resumed[i % 2] += ends[i].resumed;
	}
	ck_assert_uint_eq(resumed[0], resumed[1]);
	ck_assert_uint_gt(resumed[0], 0);
	dtls_context_free(client);
	dtls_context_free(server);
}

START_TEST(resume_threads_by_ticket)
{
	run(0);
}
END_TEST

START_TEST(resume_threads_by_id)
{
	run(100);
}
END_TEST

Suite *resume_threads_suite(void)
{
	Suite *s = suite_create("resume_threads");

	TEST(s, resume_threads_by_ticket);
	TEST(s, resume_threads_by_id);
	return s;
}
