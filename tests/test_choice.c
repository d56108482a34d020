/* Which settings a handshake goes by, when the peer's wish decides: the name that a client asks for, the identity hint
 * that a server sends. */
#include "ends.h"
#include "hellos.h"
#include "pair.h"
#include "pki.h"

#include <stdlib.h>
#include <string.h>

static struct pair pair;
static struct ends ends;

static struct chooser {
	unsigned calls;
	char last[300];
	size_t last_len;
	struct dtls_context *answer;
} chooser;

static void expect(struct dtls_context *answer)
{
	memset(&chooser, 0, sizeof(chooser));
	chooser.answer = answer;
}

/* ---- names ---- */

static struct dtls_context *by_name(void *arg, const char *name)
{
	ck_assert_ptr_eq(arg, &chooser);
	chooser.calls++;
	strcpy(chooser.last, name);
	return chooser.answer;
}

static void ask_by_name(struct dtls_context *server, struct dtls_context *answer)
{
	expect(answer);
	ck_assert_int_eq(dtls_context_set_name_callback(server, by_name, &chooser), DTLS_OK);
}

static struct dtls_context *other_server(enum protocol protocol, const char *cert, const char *key)
{
	struct dtls_context *ctx = dtls_context_new(protocol == OVER_DTLS ? PROTOCOL_DTLS_SERVER : PROTOCOL_TLS_SERVER);

	pki_load(ctx, cert, key);
	return ctx;
}

START_TEST(choice_name_picks_the_certificate)
{
	for (enum protocol p = OVER_DTLS; p <= OVER_TLS; p++) {
		struct dtls_context *other = other_server(p, "wrong.pem", "wrong.key");
		uint8_t *cert;
		size_t len;

		ends_open(&ends, p);
		pki_load(ends.server.ctx, "server.pem", "server.key");
		pki_trust(ends.client.ctx, "ca.pem");
		ask_by_name(ends.server.ctx, other);
		ends_handshake(&ends, "elsewhere.example");
		ends_assert_connected(&ends);
		ck_assert_uint_eq(chooser.calls, 1);
		ck_assert_str_eq(chooser.last, "elsewhere.example");
		ck_assert_str_eq(dtls_conn_peer_name(ends.client.conn), "elsewhere");
		cert = (uint8_t *)(uintptr_t)dtls_conn_peer_cert(ends.client.conn, &len);
		ck_assert_ptr_nonnull(cert);
		/* The other one may go: the connection has what it needs. */
		dtls_context_free(other);
		ends_close(&ends);
	}
}
END_TEST

START_TEST(choice_name_may_be_this_one)
{
	ends_open(&ends, OVER_DTLS);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_load_cert_chain_for(
			     ends.server.ctx, "elsewhere.example", pki_path("wrong.pem"), pki_path("wrong.key")),
	    DTLS_OK);
	pki_trust(ends.client.ctx, "ca.pem");
	ask_by_name(ends.server.ctx, ends.server.ctx);
	ends_handshake(&ends, "elsewhere.example");
	ends_assert_connected(&ends);
	ck_assert_str_eq(dtls_conn_peer_name(ends.client.conn), "elsewhere");
	ends_close(&ends);
}
END_TEST

START_TEST(choice_name_has_names_of_its_own)
{
	struct dtls_context *other = other_server(OVER_DTLS, "server.pem", "server.key");

	ends_open(&ends, OVER_DTLS);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	ck_assert_int_eq(
	    dtls_context_load_cert_chain_for(other, "elsewhere.example", pki_path("wrong.pem"), pki_path("wrong.key")),
	    DTLS_OK);
	pki_trust(ends.client.ctx, "ca.pem");
	ask_by_name(ends.server.ctx, other);
	ends_handshake(&ends, "elsewhere.example");
	ends_assert_connected(&ends);
	ck_assert_str_eq(dtls_conn_peer_name(ends.client.conn), "elsewhere");
	dtls_context_free(other);
	ends_close(&ends);
}
END_TEST

START_TEST(choice_name_unknown)
{
	for (enum protocol p = OVER_DTLS; p <= OVER_TLS; p++) {
		ends_open(&ends, p);
		pki_load(ends.server.ctx, "server.pem", "server.key");
		pki_trust(ends.client.ctx, "ca.pem");
		ask_by_name(ends.server.ctx, NULL);
		ends_handshake(&ends, "localhost");
		ends_assert_client_refused(&ends, "the client asks for the server \"localhost\", which is not here");
		end_assert_error(&ends.client, "the peer sent the alert 112 unrecognized_name");
		ends_close(&ends);
	}
}
END_TEST

START_TEST(choice_name_cannot_be_used)
{
	struct dtls_context *client = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct dtls_context *empty = dtls_context_new(PROTOCOL_DTLS_SERVER);

	ends_open(&ends, OVER_DTLS);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	pki_trust(ends.client.ctx, "ca.pem");
	ask_by_name(ends.server.ctx, client);
	ends_handshake(&ends, "localhost");
	ends_assert_client_refused(&ends, "the context that a callback chose is for another protocol or side");
	ends_close(&ends);
	ends_open(&ends, OVER_DTLS);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	pki_trust(ends.client.ctx, "ca.pem");
	ask_by_name(ends.server.ctx, empty);
	ends_handshake(&ends, "localhost");
	ends_assert_client_refused(&ends,
	    "the context that a callback chose cannot be used: a server needs a pre-shared key or a certificate");
	ends_close(&ends);
	dtls_context_free(client);
	dtls_context_free(empty);
}
END_TEST

/* It is the chosen context that asks the client for a certificate, and judges it. */
START_TEST(choice_name_verifies)
{
	struct dtls_context *strict = other_server(OVER_DTLS, "server.pem", "server.key");

	pki_trust(strict, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(strict, CERT_REQUIRED), DTLS_OK);
	for (int shows = 0; shows < 2; shows++) {
		ends_open(&ends, OVER_DTLS);
		pki_load(ends.server.ctx, "server.pem", "server.key");
		pki_trust(ends.client.ctx, "ca.pem");
		if (shows)
			pki_load(ends.client.ctx, "client.pem", "client.key");
		ask_by_name(ends.server.ctx, strict);
		ends_handshake(&ends, "localhost");
		if (shows) {
			ends_assert_connected(&ends);
			ck_assert_str_eq(dtls_conn_peer_name(ends.server.conn), "sensor-17");
		} else {
			ends_assert_client_refused(&ends, "the client sent no certificate, and one is required");
		}
		ends_close(&ends);
	}
	dtls_context_free(strict);
}
END_TEST

static void assert_key_for_name(const char *key, bool fits)
{
	struct dtls_context *other = dtls_context_new(PROTOCOL_DTLS_SERVER);

	pair_open(&pair);
	ck_assert_int_eq(
	    dtls_context_set_psk(pair.client.ctx, PAIR_IDENTITY, strlen(PAIR_IDENTITY), key, strlen(key)), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(other, PAIR_IDENTITY, strlen(PAIR_IDENTITY), "the other", 9), DTLS_OK);
	ask_by_name(pair.server.ctx, other);
	pair_wrap(&pair);
	ck_assert_int_eq(dtls_conn_set_hostname(pair.client.conn, "other.example"), DTLS_OK);
	pair_handshake(&pair);
	dtls_context_free(other);
	if (fits)
		pair_assert_exchange(&pair);
	else
		ck_assert_int_eq(pair.server.status, DTLS_FAIL);
	pair_close(&pair);
}

START_TEST(choice_name_picks_the_key)
{
	assert_key_for_name("the other", true);
	assert_key_for_name(PAIR_KEY, false);
}
END_TEST

START_TEST(choice_name_only_where_there_is_one)
{
	pair_open(&pair);
	ask_by_name(pair.server.ctx, NULL);
	pair_handshake(&pair);
	pair_assert_connected(&pair, 120, 100);
	ck_assert_uint_eq(chooser.calls, 0);
	pair_close(&pair);
}
END_TEST

START_TEST(choice_who_may_ask)
{
	struct dtls_context *client = dtls_context_new(PROTOCOL_DTLS_CLIENT);
	struct dtls_context *server = dtls_context_new(PROTOCOL_TLS_SERVER);
	struct dtls_context *stream = dtls_context_new(PROTOCOL_TLS_CLIENT);

	ck_assert_int_eq(dtls_context_set_name_callback(client, by_name, NULL), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_context_error(client), "a client is not asked for names"));
	ck_assert_int_eq(dtls_context_set_hint_callback(server, NULL, NULL), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_hint_callback(stream, NULL, NULL), DTLS_FAIL);
	ck_assert_ptr_nonnull(strstr(dtls_context_error(stream), "only a DTLS client"));
	pki_load(server, "server.pem", "server.key");
	ck_assert_int_eq(dtls_context_set_name_callback(server, by_name, NULL), DTLS_OK);
	if (dtls_context_set_max_version(server, DTLS_VERSION_1_3) == DTLS_OK) {
		ck_assert_ptr_null(dtls_wrap_transport(server, &(struct dtls_transport){0}));
		ck_assert_ptr_nonnull(strstr(dtls_context_error(server), "a name callback is set, which TLS 1.3"));
	}
	dtls_context_free(client);
	dtls_context_free(server);
	dtls_context_free(stream);
}
END_TEST

/* ---- hints ---- */

static struct dtls_context *by_hint(void *arg, const uint8_t *hint, size_t len)
{
	ck_assert_ptr_eq(arg, &chooser);
	ck_assert_uint_lt(len, sizeof(chooser.last));
	memcpy(chooser.last, hint, len);
	chooser.last_len = len;
	chooser.calls++;
	return chooser.answer;
}

static struct dtls_context *with_identity(const char *identity)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	ck_assert_int_eq(dtls_context_set_psk(ctx, identity, strlen(identity), "for the hint", 12), DTLS_OK);
	return ctx;
}

/* The server knows "chosen", and not the identity that the client begins with. */
static void open_hinted(const struct sim_weather *weather, uint64_t seed, const char *suite)
{
	struct dtls_context *answer = with_identity("chosen");

	pair_open_in(&pair, seed, weather);
	ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, &suite, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(pair.server.ctx, &suite, 1), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_psk(pair.server.ctx, "chosen", 6, "for the hint", 12), DTLS_OK);
	expect(answer);
	ck_assert_int_eq(dtls_context_set_hint_callback(pair.client.ctx, by_hint, &chooser), DTLS_OK);
}

static void close_hinted(void)
{
	pair_close(&pair);
	dtls_context_free(chooser.answer);
}

static void assert_identity(const struct dtls_conn *c)
{
	size_t len;
	const uint8_t *identity = dtls_conn_psk_identity(c, &len);

	ck_assert_uint_eq(len, 6);
	ck_assert_mem_eq(identity, "chosen", 6);
}

/* The suites without a ServerKeyExchange, and with one whose hint is empty. */
static const char *const hint_suites[] = {PAIR_SUITE, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"};

START_TEST(choice_hint_of_no_bytes)
{
	for (size_t i = 0; i < 2; i++) {
		open_hinted(&(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}, 1, hint_suites[i]);
		pair_handshake(&pair);
		pair_assert_connected(&pair, 120, 100);
		ck_assert_uint_eq(chooser.calls, 1);
		ck_assert_uint_eq(chooser.last_len, 0);
		assert_identity(pair.client.conn);
		assert_identity(pair.server.conn);
		pair_assert_exchange(&pair);
		close_hinted();
	}
}
END_TEST

START_TEST(choice_hint_through_loss)
{
	unsigned connected = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		open_hinted(&(struct sim_weather){.latency_ms = 20, .loss = 0.3, .reorder = 0.3, .jitter_ms = 30}, seed,
		    hint_suites[seed % 2]);
		pair.server.split = true; /* each message by itself: they arrive in any order */
		pair_handshake(&pair);
		ck_assert_uint_le(chooser.calls, 1);
		connected += pair.client.status == DTLS_OK;
		if (pair.client.status == DTLS_OK)
			assert_identity(pair.client.conn);
		close_hinted();
	}
	ck_assert_uint_ge(connected, 190);
}
END_TEST

static void assert_hint_heard(const struct message *m, unsigned calls, const char *hint)
{
	struct datagram d = plain_message(9, m);

	open_hinted(&(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}, 1, PAIR_SUITE);
	pair_until(&pair, 50); /* the second hello is under way */
	pair_inject(&pair, &pair.client, &d);
	ck_assert_uint_eq(chooser.calls, calls);
	if (calls > 0) {
		ck_assert_uint_eq(chooser.last_len, strlen(hint));
		ck_assert_mem_eq(chooser.last, hint, strlen(hint));
	}
	close_hinted();
}

START_TEST(choice_hint_in_a_message)
{
	static const uint8_t body[] = {0, 3, 'l', 'a', 'b', 3, 0, 29}, cut[] = {0, 4, 'l', 'a', 'b'};
	struct message m = {MESSAGE_SERVER_KEY_EXCHANGE, 2, 5, 0, 5, body};

	assert_hint_heard(&m, 1, "lab");
	m.length = m.len = sizeof(body); /* with the parameters of ECDHE behind it */
	assert_hint_heard(&m, 1, "lab");
	m.length = 200; /* the first fragment has all of it */
	assert_hint_heard(&m, 1, "lab");
	m.offset = 2;
	assert_hint_heard(&m, 0, NULL);
	m = (struct message){MESSAGE_SERVER_KEY_EXCHANGE, 2, sizeof(cut), 0, sizeof(cut), cut};
	assert_hint_heard(&m, 0, NULL);
	m.length = m.len = 1;
	assert_hint_heard(&m, 0, NULL);
	m.length = m.len = 0;
	assert_hint_heard(&m, 0, NULL);
	/* No answer came yet: this end of the flight belongs to nothing. */
	m.type = MESSAGE_SERVER_HELLO_DONE;
	assert_hint_heard(&m, 0, NULL);
}
END_TEST

START_TEST(choice_hint_without_a_key)
{
	open_hinted(&(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}, 1, PAIR_SUITE);
	dtls_context_free(chooser.answer);
	chooser.answer = NULL;
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_FAIL);
	assert_error(pair.client.conn, "there is no key for the server's identity hint \"\"");
	assert_error(pair.client.conn, "MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED");
	pair_for(&pair, 100);
	ck_assert_int_eq(pair.server.status, DTLS_FAIL);
	assert_error(pair.server.conn, "the peer sent the alert handshake_failure");
	close_hinted();
}
END_TEST

START_TEST(choice_hint_after_a_forged_alert)
{
	static const uint8_t fatal[] = {2, 40};
	struct datagram alert = plain_record(RECORD_ALERT, 7, fatal, sizeof(fatal));

	open_hinted(&(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}, 1, PAIR_SUITE);
	pair_wrap(&pair);
	sim_link_drop_mask(pair.client.out, 1 << 2);
	pair_until(&pair, 85); /* the key is chosen, and the client's Finished is lost */
	ck_assert_uint_eq(chooser.calls, 1);
	pair_inject(&pair, &pair.client, &alert);
	pair_handshake(&pair);
	ck_assert_int_eq(pair.client.status, DTLS_OK);
	ck_assert_uint_eq(chooser.calls, 2);
	assert_identity(pair.client.conn);
	close_hinted();
}
END_TEST

START_TEST(choice_hint_needs_suites_with_a_key)
{
	static const char *const mixed[] = {PAIR_SUITE, "TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8"};

	open_hinted(&(struct sim_weather){.latency_ms = PAIR_LATENCY_MS}, 1, PAIR_SUITE);
	ck_assert_int_eq(dtls_context_set_ciphers(pair.client.ctx, mixed, 2), DTLS_OK);
	ck_assert_ptr_null(dtls_wrap_transport(pair.client.ctx, &(struct dtls_transport){0}));
	ck_assert_ptr_nonnull(strstr(dtls_context_error(pair.client.ctx), "name PSK suites alone"));
	close_hinted();
}
END_TEST

Suite *choice_suite(void)
{
	Suite *s = suite_create("choice");

	pki_announce();
	TEST(s, choice_name_picks_the_certificate);
	TEST(s, choice_name_may_be_this_one);
	TEST(s, choice_name_has_names_of_its_own);
	TEST(s, choice_name_unknown);
	TEST(s, choice_name_cannot_be_used);
	TEST(s, choice_name_verifies);
	TEST(s, choice_name_picks_the_key);
	TEST(s, choice_name_only_where_there_is_one);
	TEST(s, choice_who_may_ask);
	TEST(s, choice_hint_of_no_bytes);
	TEST(s, choice_hint_through_loss);
	TEST(s, choice_hint_in_a_message);
	TEST(s, choice_hint_without_a_key);
	TEST(s, choice_hint_after_a_forged_alert);
	TEST(s, choice_hint_needs_suites_with_a_key);
	return s;
}
