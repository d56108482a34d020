/* One context for several threads: two endpoints, their clients, and somebody who keeps changing it. */
#include "changes.h"
#include "loopback.h"
#include "suites.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENDPOINTS = 2, CLIENTS_EACH = 2, CLIENTS = ENDPOINTS * CLIENTS_EACH, SESSIONS = 40, MESSAGES = 5 };
enum { FAILING_THREADS = 4, FAILURES = 500 };

/* Threads do not assert: what went wrong first is told to the test. */
struct worker {
	pthread_t thread;
	struct dtls_context *ctx;
	int fd;
	uint16_t port; /* of the endpoint */
	unsigned number, sessions, messages, ended;
	char wrong[400];
};

static atomic_bool finished;

static void start(struct worker *w, void *(*work)(void *))
{
	ck_assert_int_eq(pthread_create(&w->thread, NULL, work, w), 0);
}

static void join(struct worker *w)
{
	ck_assert_int_eq(pthread_join(w->thread, NULL), 0);
	ck_assert_str_eq(w->wrong, "");
}

/* ---- the servers ---- */

static void serve(struct worker *w, struct dtls_endpoint *ep)
{
	struct dtls_peer *peer;
	char buf[256];
	ssize_t n;

	while ((n = dtls_endpoint_recv(ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
		if (n > 0 && dtls_peer_send(peer, buf, (size_t)n) == n)
			w->messages++;
		else if (n == DTLS_CONNECTED)
			w->sessions++;
		else if (n == DTLS_CLOSED)
			w->ended++;
		else
			snprintf(w->wrong, sizeof(w->wrong), "%zd %.300s", n,
			    peer != NULL ? dtls_peer_error(peer) : dtls_endpoint_error(ep));
	}
}

static void *endpoint_works(void *arg)
{
	struct worker *w = arg;
	struct dtls_endpoint *ep = dtls_endpoint_new(w->ctx, w->fd, NULL);
	struct pollfd p = {.fd = w->fd};

	if (ep == NULL) {
		snprintf(w->wrong, sizeof(w->wrong), "%.300s", dtls_context_error(w->ctx));
		return NULL;
	}
	while (!atomic_load(&finished) || w->ended < w->sessions) {
		int ms = dtls_endpoint_timeout(ep);

		p.events = dtls_endpoint_events(ep);
		poll(&p, 1, ms < 0 || ms > 20 ? 20 : ms);
		serve(w, ep);
	}
	dtls_endpoint_free(ep);
	return NULL;
}

/* ---- the clients ---- */

static bool echoed(struct dtls_conn *conn, unsigned number)
{
	char sent[64], got[64];
	int len = snprintf(sent, sizeof(sent), "message %u", number);

	return dtls_conn_write(conn, sent, (size_t)len) == len && dtls_conn_read(conn, got, sizeof(got)) == len &&
	       memcmp(sent, got, (size_t)len) == 0;
}

static bool one_session(struct worker *w)
{
	int fd = loopback_connected("127.0.0.1", w->port, 0);
	struct dtls_conn *conn = dtls_wrap_socket(w->ctx, fd);
	bool good = conn != NULL && dtls_conn_set_timeout(conn, LOOPBACK_PATIENCE_MS) == DTLS_OK &&
		    dtls_conn_handshake(conn) == DTLS_OK;

	for (unsigned i = 0; good && i < MESSAGES; i++) {
		good = echoed(conn, i);
		w->messages += good;
	}
	if (!good)
		snprintf(w->wrong, sizeof(w->wrong), "session %u: %.300s", w->sessions,
		    conn == NULL ? dtls_context_error(w->ctx) : dtls_conn_error(conn));
	if (conn != NULL)
		dtls_conn_close(conn);
	dtls_conn_free(conn);
	close(fd);
	return good;
}

static void *client_works(void *arg)
{
	struct worker *w = arg;

	while (w->sessions < SESSIONS) {
		changes_await(w->sessions + 1);
		if (!one_session(w))
			break;
		w->sessions++;
	}
	return NULL;
}

/* ---- the one who changes things ---- */

static bool write_file(const char *path, unsigned round)
{
	FILE *f = fopen(path, "w");

	if (f == NULL)
		return false;
	for (unsigned i = 0; i < 20; i++)
		fprintf(f, "gateway-%u-%u:%08x\n", round, i, round + i);
	return fclose(f) == 0;
}

static bool change_everything(struct dtls_context *ctx, const char *path, unsigned round)
{
	static const char *const orders[2][2] = {
	    {LOOPBACK_CIPHER, "TLS-PSK-WITH-AES-128-GCM-SHA256"}, {"TLS-PSK-WITH-AES-128-GCM-SHA256", LOOPBACK_CIPHER}};
	const char *names[8];
	char identity[32];
	int len = snprintf(identity, sizeof(identity), "added-%u", round % 50);

	return write_file(path, round) && dtls_context_load_psk_file(ctx, path) == DTLS_OK &&
	       dtls_context_add_psk(ctx, identity, (size_t)len, &round, sizeof(round)) == DTLS_OK &&
	       dtls_context_set_ciphers(ctx, orders[round % 2], 2) == DTLS_OK &&
	       dtls_context_get_ciphers(ctx, names, 8) == 2 &&
	       dtls_context_set_mtu(ctx, 1000 + round % 100) == DTLS_OK &&
	       dtls_context_set_handshake_timeout(ctx, 1000, 2000 + (int)(round % 100)) == DTLS_OK;
}

static void *changer_works(void *arg)
{
	struct worker *w = arg;
	char path[] = "/tmp/test_threads_XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		snprintf(w->wrong, sizeof(w->wrong), "cannot make %s", path);
	while (fd >= 0 && w->wrong[0] == '\0' && !atomic_load(&finished)) {
		if (!change_everything(w->ctx, path, w->sessions++))
			snprintf(w->wrong, sizeof(w->wrong), "%.300s", dtls_context_error(w->ctx));
		changes_made(w->sessions);
	}
	changes_made(SESSIONS); /* nobody waits for one who has stopped */
	if (fd >= 0)
		close(fd);
	unlink(path);
	return NULL;
}

START_TEST(endpoints_clients_and_changes_share_contexts)
{
	struct dtls_context *server = loopback_context(PROTOCOL_DTLS_SERVER),
			    *client = loopback_context(PROTOCOL_DTLS_CLIENT);
	struct worker endpoints[ENDPOINTS] = {0}, clients[CLIENTS] = {0}, changer = {.ctx = server};

	for (unsigned i = 0; i < ENDPOINTS; i++) {
		endpoints[i].ctx = server;
		endpoints[i].fd = loopback_bound("127.0.0.1", 0, SOCK_NONBLOCK);
		start(&endpoints[i], endpoint_works);
	}
	start(&changer, changer_works);
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i].ctx = client;
		clients[i].port = loopback_port(endpoints[i % ENDPOINTS].fd);
		start(&clients[i], client_works);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		join(&clients[i]);
		ck_assert_uint_eq(clients[i].sessions, SESSIONS);
		ck_assert_uint_eq(clients[i].messages, SESSIONS * MESSAGES);
	}
	atomic_store(&finished, true);
	join(&changer);
	ck_assert_uint_ge(changer.sessions, SESSIONS);
	for (unsigned i = 0; i < ENDPOINTS; i++) {
		join(&endpoints[i]);
		ck_assert_uint_eq(endpoints[i].sessions, CLIENTS_EACH * SESSIONS);
		ck_assert_uint_eq(endpoints[i].messages, CLIENTS_EACH * SESSIONS * MESSAGES);
		ck_assert_uint_eq(endpoints[i].ended, CLIENTS_EACH * SESSIONS);
		close(endpoints[i].fd);
	}
	dtls_context_free(client);
	dtls_context_free(server);
}
END_TEST

/* ---- errors belong to the thread ---- */

static void *failing_works(void *arg)
{
	struct worker *w = arg;
	char name[32], expected[128];
	const char *names[] = {name};

	snprintf(expected, sizeof(expected), "%s", dtls_context_error(w->ctx));
	if (expected[0] != '\0')
		snprintf(w->wrong, sizeof(w->wrong), "another thread's error: %s", expected);
	for (unsigned i = 0; i < FAILURES && w->wrong[0] == '\0'; i++) {
		snprintf(name, sizeof(name), "thread-%u-call-%u", w->number, i);
		snprintf(expected, sizeof(expected), "\"%s\"", name);
		if (dtls_context_set_ciphers(w->ctx, names, 1) != DTLS_FAIL ||
		    strstr(dtls_context_error(w->ctx), expected) == NULL)
			snprintf(w->wrong, sizeof(w->wrong), "%s got: %.300s", name, dtls_context_error(w->ctx));
	}
	return NULL;
}

START_TEST(each_thread_reads_its_own_error)
{
	struct dtls_context *ctx = loopback_context(PROTOCOL_DTLS_SERVER);
	struct worker w[FAILING_THREADS] = {0};

	ck_assert_int_eq(dtls_context_set_mtu(ctx, 1), DTLS_FAIL);
	for (unsigned i = 0; i < FAILING_THREADS; i++) {
		w[i].ctx = ctx;
		w[i].number = i;
		start(&w[i], failing_works);
	}
	for (unsigned i = 0; i < FAILING_THREADS; i++)
		join(&w[i]);
	ck_assert_str_eq(dtls_context_error(ctx), "an MTU of 1 is not within 256..16384 bytes");
	dtls_context_free(ctx);
}
END_TEST

/* The last reference may be given back by any thread. */
static void *holder_works(void *arg)
{
	struct worker *w = arg;

	for (int i = 0; i < 1000; i++)
		dtls_context_free(dtls_context_ref(w->ctx));
	dtls_context_free(w->ctx);
	return NULL;
}

START_TEST(references_from_several_threads)
{
	struct dtls_context *ctx = loopback_context(PROTOCOL_DTLS_SERVER);
	struct worker w[FAILING_THREADS] = {0};

	for (unsigned i = 0; i < FAILING_THREADS; i++) {
		w[i].ctx = dtls_context_ref(ctx);
		start(&w[i], holder_works);
	}
	dtls_context_free(ctx);
	for (unsigned i = 0; i < FAILING_THREADS; i++)
		join(&w[i]);
}
END_TEST

Suite *threads_suite(void)
{
	Suite *s = suite_create("threads");

	TEST(s, endpoints_clients_and_changes_share_contexts);
	TEST(s, each_thread_reads_its_own_error);
	TEST(s, references_from_several_threads);
	return s;
}
