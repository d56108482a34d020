/* Several threads make handshakes with certificates from two shared contexts, while another replaces chains, CAs and CRLs. */
#include "changes.h"
#include "pki.h"
#include "suites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 4, SESSIONS = 25, STEPS_MAX = 100 };

/* Threads do not assert: what went wrong first is told to the test. */
struct worker {
	pthread_t thread;
	struct dtls_context *client, *server;
	unsigned sessions;
	char wrong[400];
};

struct end {
	struct dtls_conn *conn;
	struct sim_link *out, *in;
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

/* ---- handshakes, over links of each thread's own */

static ssize_t end_send(void *arg, const void *buf, size_t len)
{
	return sim_link_send(((struct end *)arg)->out, buf, len);
}

static ssize_t end_recv(void *arg, void *buf, size_t len)
{
	return sim_link_recv(((struct end *)arg)->in, buf, len);
}

static struct dtls_conn *wrap(struct dtls_context *ctx, struct end *e)
{
	struct dtls_transport transport = {end_send, end_recv, e};

	return e->conn = dtls_wrap_transport(ctx, &transport);
}

static bool verified(const struct dtls_conn *conn)
{
	size_t len;

	return dtls_conn_peer_cert(conn, &len) != NULL && len > 0 && dtls_conn_verify_result(conn) == 0;
}

static bool shake_hands(struct end *client, struct end *server)
{
	int a = DTLS_WANT_READ, b = DTLS_WANT_READ;
	char got[8];

	for (int i = 0; i < STEPS_MAX && (a == DTLS_WANT_READ || b == DTLS_WANT_READ); i++) {
		a = dtls_conn_handshake(client->conn);
		b = dtls_conn_handshake(server->conn);
	}
	return a == DTLS_OK && b == DTLS_OK && verified(client->conn) && verified(server->conn) &&
	       dtls_conn_write(client->conn, "reading", 7) == 7 &&
	       dtls_conn_read(server->conn, got, sizeof(got)) == 7 && memcmp(got, "reading", 7) == 0;
}

static bool one_session(struct worker *w)
{
	struct sim *sim = sim_new(1);
	struct end client = {NULL, sim_link_new(sim, NULL), sim_link_new(sim, NULL)};
	struct end server = {NULL, client.in, client.out};
	bool good = wrap(w->client, &client) != NULL && wrap(w->server, &server) != NULL &&
		    dtls_conn_set_hostname(client.conn, "localhost") == DTLS_OK &&
		    dtls_conn_set_client_id(server.conn, "client", 6) == DTLS_OK && shake_hands(&client, &server);

	if (!good)
		snprintf(w->wrong, sizeof(w->wrong), "session %u: %.180s; %.180s", w->sessions,
		    client.conn == NULL ? dtls_context_error(w->client) : dtls_conn_error(client.conn),
		    server.conn == NULL ? dtls_context_error(w->server) : dtls_conn_error(server.conn));
	dtls_conn_free(client.conn);
	dtls_conn_free(server.conn);
	sim_free(sim);
	return good;
}

static void *hands_are_shaken(void *arg)
{
	struct worker *w = arg;

	for (; w->sessions < SESSIONS; w->sessions++) {
		changes_await(w->sessions + 1);
		if (!one_session(w))
			break;
	}
	return NULL;
}

/* ---- the one who replaces things */

struct files { /* their names, as bytes of each thread */
	char chain[2][64], key[2][64], ca[64], crl[64], bad[64];
};

static void find_files(struct files *f)
{
	static const char *const chains[2] = {"server.pem", "rsa.pem"}, *const keys[2] = {"server.key", "rsa.key"};

	for (int i = 0; i < 2; i++) {
		snprintf(f->chain[i], sizeof(f->chain[i]), "%s", pki_path(chains[i]));
		snprintf(f->key[i], sizeof(f->key[i]), "%s", pki_path(keys[i]));
	}
	snprintf(f->ca, sizeof(f->ca), "%s", pki_path("ca.pem"));
	snprintf(f->crl, sizeof(f->crl), "%s", pki_path("ca.crl"));
	snprintf(f->bad, sizeof(f->bad), "%s", pki_path("ca.cnf"));
}

static bool replace_everything(struct worker *w, const struct files *f, unsigned round)
{
	const char *chain = f->chain[round % 2], *key = f->key[round % 2];

	return dtls_context_load_cert_chain(w->server, chain, key) == DTLS_OK &&
	       dtls_context_load_cert_chain_for(w->server, "sensor.example", chain, key) == DTLS_OK &&
	       dtls_context_load_cert_chain(w->server, chain, f->bad) == DTLS_FAIL &&
	       dtls_context_load_cert_chain(w->client, chain, key) == DTLS_OK &&
	       dtls_context_replace_trust(w->server, f->ca, f->crl) == DTLS_OK &&
	       dtls_context_replace_trust(w->client, f->ca, round % 3 == 0 ? NULL : f->crl) == DTLS_OK &&
	       dtls_context_check_key_pair(w->server) == DTLS_OK;
}

static void *things_are_replaced(void *arg)
{
	struct worker *w = arg;
	struct files f;

	find_files(&f);
	while (w->wrong[0] == '\0' && !atomic_load(&finished)) {
		if (!replace_everything(w, &f, w->sessions++))
			snprintf(w->wrong, sizeof(w->wrong), "%.180s; %.180s", dtls_context_error(w->server),
			    dtls_context_error(w->client));
		changes_made(w->sessions);
	}
	changes_made(SESSIONS); /* nobody waits for one who has stopped */
	return NULL;
}

static struct dtls_context *shared(enum dtls_protocol protocol)
{
	struct dtls_context *ctx = dtls_context_new(protocol);

	ck_assert_ptr_nonnull(ctx);
	pki_load(ctx, "server.pem", "server.key");
	pki_trust(ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_REQUIRED), DTLS_OK);
	return ctx;
}

START_TEST(certificate_threads_share_contexts)
{
	struct worker replacer = {.client = shared(PROTOCOL_DTLS_CLIENT), .server = shared(PROTOCOL_DTLS_SERVER)};
	struct worker workers[THREADS] = {0};

	start(&replacer, things_are_replaced);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].client = replacer.client;
		workers[i].server = replacer.server;
		start(&workers[i], hands_are_shaken);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		join(&workers[i]);
		ck_assert_uint_eq(workers[i].sessions, SESSIONS);
	}
	atomic_store(&finished, true);
	join(&replacer);
	ck_assert_uint_ge(replacer.sessions, SESSIONS);
	dtls_context_free(replacer.client);
	dtls_context_free(replacer.server);
}
END_TEST

Suite *certificate_threads_suite(void)
{
	Suite *s = suite_create("certificate_threads");

	pki_announce();
	TEST(s, certificate_threads_share_contexts);
	return s;
}
