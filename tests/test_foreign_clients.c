/* Clients that want what an endpoint does not do: CBC suites, DTLS 1.0, renegotiation, TLS. They are told, where the
 * protocol has a word for it, and nobody else is disturbed. */
#include "failing.h"
#include "hellos.h"
#include "net.h"
#include "pki.h"
#include "raw_peer.h"
#include "suites.h"

#include "dtls/record.h"
#include "dtls/settings.h"

#include <stdio.h>
#include <string.h>

static const int cbc_suites[] = {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, 0};

/* ---- a foreign client of our endpoint, beside one of our own */

struct foreigner {
	struct net *net;
	struct sim_host *host;
	struct sockaddr_in addr;
	struct raw_peer raw;
};

struct outcome { /* of the last handshake that failed */
	int count;
	char error[400];
};

static struct client *native;
static struct outcome outcome;

static void note_failure(struct net *n, const struct net_event *e)
{
	if (e->what > 0 && n->echo)
		ck_assert_int_eq(dtls_peer_send(e->peer, e->text, strlen(e->text)), (ssize_t)strlen(e->text));
	if (e->what != DTLS_FAIL)
		return;
	outcome.count++;
	snprintf(outcome.error, sizeof(outcome.error), "%s", dtls_peer_error(e->peer));
}

static struct net *open_net(void)
{
	static const char *const suites[] = {"TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
	    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_PSK_WITH_AES_128_CCM_8"};
	struct net *n = net_new(1, NULL);

	pki_load(n->server_ctx, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_ciphers(n->server_ctx, suites, 3), DTLS_OK);
	n->on_event = note_failure;
	memset(&outcome, 0, sizeof(outcome));
	native = client_connected(n, 50, 5000, NULL);
	return n;
}

/* Our own client has felt nothing. */
static void close_net(struct net *n)
{
	struct dtls_stats stats = net_stats(n);

	ck_assert_uint_eq(stats.handshakes, 0);
	ck_assert_int_eq(native->status, DTLS_OK);
	client_echoes(native, "still here");
	net_free(n);
}

static ssize_t foreigner_sends(void *arg, const void *buf, size_t len)
{
	struct foreigner *f = arg;

	return sim_host_send(f->host, (struct sockaddr *)&f->net->addr, sizeof(f->net->addr), buf, len);
}

static ssize_t foreigner_receives(void *arg, void *buf, size_t len)
{
	struct foreigner *f = arg;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);

	return sim_host_recv(f->host, (struct sockaddr *)&from, &from_len, buf, len);
}

/* Whenever the endpoint asks for input, its peer works too. */
static void foreigner_works(struct net *n, const struct sockaddr_in *from)
{
	struct foreigner *f = n->arg;

	(void)from;
	raw_step(&f->raw);
}

static void foreigner_init(struct foreigner *f, struct net *n)
{
	struct dtls_transport transport = {foreigner_sends, foreigner_receives, f};

	f->net = n;
	f->addr = net_address(9, 9000);
	f->host = sim_host_new(
	    n->sim, (struct sockaddr *)&f->addr, sizeof(f->addr), &(struct sim_weather){.latency_ms = NET_LATENCY_MS});
	ck_assert_ptr_nonnull(f->host);
	raw_init(&f->raw, MBEDTLS_SSL_IS_CLIENT, n->sim, &n->client_ctx->rng, &transport);
	n->arg = f;
}

static void foreigner_starts(struct foreigner *f)
{
	raw_start(&f->raw);
	f->net->on_receive = foreigner_works;
}

static void foreigner_leaves(struct foreigner *f)
{
	f->net->on_receive = NULL;
	raw_free(&f->raw);
}

static void run_for(struct foreigner *f, int64_t ms)
{
	for (int64_t until = net_now(f->net) + ms; net_now(f->net) < until;)
		net_run(f->net, net_now(f->net) + 5);
}

START_TEST(foreign_client_with_cbc_suites)
{
	struct foreigner f = {0};
	struct net *n = open_net();

	foreigner_init(&f, n);
	mbedtls_ssl_conf_ciphersuites(&f.raw.conf, cbc_suites);
	foreigner_starts(&f);
	run_for(&f, 300);
	ck_assert_int_eq(f.raw.code, MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
	ck_assert_uint_eq(f.raw.alert, MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE);
	ck_assert_int_eq(outcome.count, 1);
	ck_assert_msg(strstr(outcome.error, "handshake with 10.0.0.9:9000 failed: none of the peer's cipher suites is "
					    "enabled here") != NULL,
	    "%s", outcome.error);
	foreigner_leaves(&f);
	close_net(n);
}
END_TEST

/* It proves its address like anybody else, and is then told why it is refused (RFC 5246, E.1). */
START_TEST(foreign_client_of_dtls_1_0)
{
	struct sockaddr_in from = net_address(9, 9000);
	struct raw_hello hello, again;
	struct hello_parts parts;
	struct net *n = open_net();

	hello_capture(&hello);
	hello_take_apart(&hello, &parts);
	parts.version[1] = 0xff;
	hello_build(&parts, &again);
	again.bytes[2] = 0xff; /* of the record */
	net_inject(n, &from, again.bytes, again.len);
	ck_assert_uint_eq(n->out.bytes[13], MESSAGE_HELLO_VERIFY_REQUEST);
	hello_with_cookie(&again, n->out.bytes + 28, n->out.bytes[27], &hello);
	hello.bytes[2] = 0xff;
	net_inject(n, &from, hello.bytes, hello.len);
	ck_assert_uint_eq(n->out_alerts, 1);
	ck_assert_uint_eq(n->out.bytes[0], RECORD_ALERT);
	ck_assert_uint_eq(n->out.bytes[13], MBEDTLS_SSL_ALERT_LEVEL_FATAL);
	ck_assert_uint_eq(n->out.bytes[14], MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION);
	ck_assert_int_eq(outcome.count, 1);
	ck_assert_msg(strstr(outcome.error, "the peer does not speak DTLS 1.2") != NULL, "%s", outcome.error);
	close_net(n);
}
END_TEST

/* ---- renegotiation (RFC 5246, 7.2.2: it is answered with the warning no_renegotiation) */

static void connect_foreigner(struct foreigner *f, struct net *n)
{
	foreigner_init(f, n);
	mbedtls_ssl_conf_renegotiation(&f->raw.conf, MBEDTLS_SSL_RENEGOTIATION_ENABLED);
	mbedtls_ssl_conf_handshake_timeout(&f->raw.conf, 100, 60000);
	foreigner_starts(f);
	run_for(f, 300);
	ck_assert_int_eq(f->raw.code, 0);
	raw_write(&f->raw, "hello");
	run_for(f, 100);
	ck_assert_str_eq(f->raw.last, "hello");
}

START_TEST(foreign_client_renegotiates)
{
	struct foreigner f = {0};
	struct net *n = open_net();
	struct dtls_peer *peer;
	uint64_t generation;
	long live;

	connect_foreigner(&f, n);
	ck_assert_uint_eq(net_count(n, DTLS_CONNECTED), 2);
	peer = net_event(n, 1)->peer;
	generation = dtls_peer_generation(peer);
	ck_assert_int_eq(mbedtls_ssl_renegotiate(&f.raw.ssl), MBEDTLS_ERR_SSL_WANT_READ);
	run_for(&f, 350);
	live = failing_live();
	run_for(&f, 3000); /* it asks again after 700 and 1500 ms */
	ck_assert_int_eq(failing_live(), live);
	ck_assert_uint_eq(net_stats(n).handshakes_started, 2);
	ck_assert_uint_eq(net_stats(n).peers, 2);
	ck_assert_uint_eq(net_stats(n).closed_error, 0);
	ck_assert_uint_eq(dtls_peer_generation(peer), generation);
	ck_assert_int_eq(dtls_peer_send(peer, "no", 2), 2);
	run_for(&f, 100);
	ck_assert_str_eq(f.raw.last, "no");
	ck_assert_uint_eq(get_16(n->out.bytes + 3), 1); /* the epoch: no keys were changed */
	foreigner_leaves(&f);
	close_net(n);
}
END_TEST

/* ---- TLS, where DTLS is spoken */

/* The ClientHello of a TLS 1.2 client, in the record that it would begin its stream with. */
static size_t tls_hello(uint8_t *out)
{
	static const uint8_t before[] = {22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3},
			     behind[] = {0, 0, 4, 0xc0, 0xac, 0xc0, 0xae, 1, 0};

	memcpy(out, before, sizeof(before));
	memset(out + sizeof(before), 0x5a, 32);
	memcpy(out + sizeof(before) + 32, behind, sizeof(behind));
	return sizeof(before) + 32 + sizeof(behind);
}

START_TEST(foreign_client_speaks_tls)
{
	struct sockaddr_in stranger = net_address(9, 9000);
	struct net *n = open_net();
	struct dtls_stats before = net_stats(n);
	uint64_t sent = n->out_count;
	long live = failing_live();
	uint8_t bytes[64];
	size_t len = tls_hello(bytes);

	for (int i = 0; i < 100; i++)
		net_inject(n, &stranger, bytes, len);
	ck_assert_uint_eq(net_stats(n).drop_junk, before.drop_junk + 100);
	ck_assert_uint_eq(n->out_count, sent);
	ck_assert_int_eq(failing_live(), live);
	/* From the address of a session it is no more than a forgery. */
	net_inject(n, &native->addr, bytes, len);
	ck_assert_uint_eq(net_stats(n).drop_forged, before.drop_forged + 1);
	ck_assert_uint_eq(n->out_count, sent);
	close_net(n);
}
END_TEST

Suite *foreign_clients_suite(void)
{
	Suite *s = suite_create("foreign_clients");

	pki_announce();
	TEST(s, foreign_client_with_cbc_suites);
	TEST(s, foreign_client_of_dtls_1_0);
	TEST(s, foreign_client_renegotiates);
	TEST(s, foreign_client_speaks_tls);
	return s;
}
