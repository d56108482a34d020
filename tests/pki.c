#include "pki.h"

#include "pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pid_t announcer; /* the tests are forked off it */
static char folder[] = "/tmp/dtls_pki_XXXXXX";

static void remove_folder(void)
{
	char command[64];

	if (getpid() != announcer)
		return;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	if (system(command) != 0)
		fprintf(stderr, "%s stays behind\n", folder);
}

void pki_announce(void)
{
	if (announcer != 0 || mkdtemp(folder) == NULL)
		return;
	announcer = getpid();
	atexit(remove_folder);
}

static const char *path_of(const char *name)
{
	static char paths[8][64];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static void make(const char *last_file, const char *what)
{
	char command[96];

	if (access(path_of(last_file), F_OK) == 0)
		return;
	ck_assert_msg(announcer != 0, "the suite has not called pki_announce()");
	snprintf(command, sizeof(command), "sh tests/pki.sh %s %s", folder, what);
	ck_assert_msg(system(command) == 0, "\"%s\" failed", command);
}

const char *pki_path(const char *name)
{
	make("made", "");
	return path_of(name);
}

void pki_make_big(void)
{
	make("made", "");
	make("made-big", "big");
}

void pki_load(struct dtls_context *ctx, const char *cert, const char *key)
{
	ck_assert_msg(
	    dtls_context_load_cert_chain(ctx, pki_path(cert), pki_path(key)) == DTLS_OK, "%s", dtls_context_error(ctx));
}

void pki_trust(struct dtls_context *ctx, const char *ca)
{
	ck_assert_msg(dtls_context_load_verify_locations(ctx, pki_path(ca)) == DTLS_OK, "%s", dtls_context_error(ctx));
}

void pki_revoke(struct dtls_context *ctx, const char *crl)
{
	ck_assert_msg(dtls_context_load_crl(ctx, pki_path(crl)) == DTLS_OK, "%s", dtls_context_error(ctx));
}

struct dtls_context *pki_context(struct pair *p, struct side *side, enum dtls_protocol protocol)
{
	dtls_context_free(side->ctx);
	side->ctx = dtls_context_new(protocol);
	ck_assert_ptr_nonnull(side->ctx);
	ck_assert_int_eq(dtls_context_set_clock(side->ctx, sim_now_ms, p->sim), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_retransmit(side->ctx, DTLS_RETRANSMIT_FIXED), DTLS_OK);
	return side->ctx;
}

void pki_open_in(struct pair *p, uint64_t seed, const struct sim_weather *weather, const char *cert, const char *key)
{
	pair_open_in(p, seed, weather);
	pki_load(pki_context(p, &p->server, PROTOCOL_DTLS_SERVER), cert, key);
	pki_trust(pki_context(p, &p->client, PROTOCOL_DTLS_CLIENT), "ca.pem");
}

void pki_open(struct pair *p, const char *cert, const char *key)
{
	pki_open_in(p, 1, &(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}, cert, key);
}

void pki_ask_client(struct pair *p, enum dtls_verify_mode mode, const char *cert, const char *key)
{
	pki_trust(p->server.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(p->server.ctx, mode), DTLS_OK);
	if (cert != NULL)
		pki_load(p->client.ctx, cert, key);
}

void pki_handshake(struct pair *p, const char *hostname)
{
	pair_wrap(p);
	ck_assert_int_eq(dtls_conn_set_hostname(p->client.conn, hostname), DTLS_OK);
	pair_handshake(p);
}

void pki_assert_connected(struct pair *p)
{
	ck_assert_msg(p->client.status == DTLS_OK, "%s", dtls_conn_error(p->client.conn));
	ck_assert_msg(p->server.status == DTLS_OK, "%s", dtls_conn_error(p->server.conn));
	pair_assert_exchange(p);
}
