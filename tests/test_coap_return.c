/* Clients that come back to libcoap's server from the address of a session that is still open (RFC 6347, 4.2.8). */
#include "coap_caller.h"
#include "coap_certs.h"
#include "hellos.h"
#include "pki.h"
#include "suites.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const char first_suite[] = "TLS-PSK-WITH-AES-128-CCM-8", second_suite[] = "TLS-PSK-WITH-AES-128-CCM";
static struct coap_ends ends;

#define NEW         COAP_EVENT_SERVER_SESSION_NEW
#define DEL         COAP_EVENT_SERVER_SESSION_DEL
#define CONNECTED   COAP_EVENT_DTLS_CONNECTED
#define CLOSED      COAP_EVENT_DTLS_CLOSED
#define RENEGOTIATE COAP_EVENT_DTLS_RENEGOTIATE

static struct dtls_context *with_key(const char *identity, const char *key)
{
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	ck_assert_int_eq(dtls_context_set_psk(ctx, identity, strlen(identity), key, strlen(key)), DTLS_OK);
	return ctx;
}

static void open_psk(void)
{
	coap_open(&ends);
	coap_serve_psk(&ends);
	coap_listen(&ends);
}

static void assert_came_back(const char *identity)
{
	const coap_bin_const_t *id = coap_session_get_psk_identity(ends.server.session);

	ck_assert_uint_eq(id->length, strlen(identity));
	ck_assert_mem_eq(id->s, identity, id->length);
}

START_TEST(coap_return_same_client_returns)
{
	coap_session_t *session;
	struct caller c;

	open_psk();
	caller_open(&c, &ends, "a", first_suite);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_int_eq(caller_ping(&c), 4);
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, CONNECTED, COAP_EVENTS_END);
	session = ends.server.session;
	for (int i = 0; i < 3; i++) {
		caller_again(&c, "a", second_suite);
		ck_assert_int_eq(caller_shake(&c), DTLS_OK);
		ck_assert_int_eq(caller_ping(&c), 4);
		coap_assert_events(&ends.server, "server", RENEGOTIATE, COAP_EVENTS_END);
		ck_assert_ptr_eq(ends.server.session, session);
		assert_came_back("a");
		ck_assert_uint_eq(coap_dtls_get_overhead(session), 13 + 8 + 16);
	}
	dtls_conn_close(c.conn);
	coap_serve(&ends);
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

static const coap_bin_const_t *key_of_now(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	(void)identity, (void)session;
	return arg;
}

START_TEST(coap_return_with_a_new_key)
{
	coap_bin_const_t key = {6, (const uint8_t *)"before"};
	coap_dtls_spsk_t setup = {.version = 1, .validate_id_call_back = key_of_now, .id_call_back_arg = &key};
	struct caller c;

	coap_open(&ends);
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &setup), 1);
	coap_listen(&ends);
	caller_open(&c, &ends, "a", NULL);
	caller_begin(&c, with_key("a", "before"));
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	key = (coap_bin_const_t){5, (const uint8_t *)"after"};
	caller_begin(&c, with_key("a", "before"));
	ck_assert_int_ne(caller_shake(&c), DTLS_OK);
	ck_assert_mem_eq(coap_session_get_psk_key(ends.server.session)->s, "before", 6);
	caller_begin(&c, with_key("a", "after"));
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_mem_eq(coap_session_get_psk_key(ends.server.session)->s, "after", 5);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_return_another_client_returns)
{
	struct caller c;

	open_psk();
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_int_eq(caller_ping(&c), 4);
	ends.server.event_count = 0;
	caller_again(&c, "b", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	/* What libcoap knows of the first must not be the second's: both end, and the second may call again. */
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	ck_assert_int_eq(caller_ping(&c), DTLS_CLOSED);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "another client came from this address"));
	caller_again(&c, "b", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_int_eq(caller_ping(&c), 4);
	assert_came_back("b");
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

/* Its certificate tells, too, that it is the same. */
START_TEST(coap_return_same_certificate_returns)
{
	static const char *const shown[] = {"client", "client", "rsaclient"};
	coap_dtls_pki_t setup = certs_pem("server.pem", "server.key", "ca.pem");
	struct caller c;
	char key[20], cert[20];

	coap_open(&ends);
	certs_rules(&setup, 0);
	ck_assert_int_eq(coap_context_set_pki(ends.server.ctx, &setup), 1);
	coap_listen(&ends);
	caller_open(&c, &ends, "a", NULL);
	for (size_t i = 0; i < 3; i++) {
		struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);

		snprintf(cert, sizeof(cert), "%s.pem", shown[i]);
		snprintf(key, sizeof(key), "%s.key", shown[i]);
		pki_load(ctx, cert, key);
		ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
		ends.server.event_count = 0;
		caller_begin(&c, ctx);
		ck_assert_int_eq(caller_shake(&c), DTLS_OK);
		if (i == 1)
			coap_assert_events(&ends.server, "server", RENEGOTIATE, COAP_EVENTS_END);
		if (i == 2)
			coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	}
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

static ssize_t answer_to_hello(struct caller *c, uint8_t answer[2000])
{
	ck_assert_int_eq(send(c->fd, c->hello, c->hello_len, 0), (ssize_t)c->hello_len);
	coap_serve(&ends);
	return recv(c->fd, answer, 2000, 0);
}

START_TEST(coap_return_repeated_hellos)
{
	enum { RANDOM_AT = 13 + 12 + 2 };
	uint8_t first[2000], second[2000];
	struct caller c;

	open_psk();
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	/* The one that the session began with: nobody can need an answer to it. */
	ck_assert_int_lt(answer_to_hello(&c, first), 0);
	/* Of a second handshake: the client has not heard the answer. */
	caller_again(&c, "a", NULL);
	ck_assert_int_eq(dtls_conn_handshake(c.conn), DTLS_WANT_READ);
	coap_serve(&ends);
	ck_assert_int_eq(dtls_conn_handshake(c.conn), DTLS_WANT_READ);
	coap_serve(&ends);
	ck_assert_int_gt(recv(c.fd, first, sizeof(first), 0), RANDOM_AT + 32);
	ck_assert_uint_eq(first[13], 2); /* ServerHello */
	coap_pass(&ends, 500); /* what is repeated at once is not answered twice */
	ck_assert_int_gt(answer_to_hello(&c, second), RANDOM_AT + 32);
	ck_assert_mem_eq(first + RANDOM_AT, second + RANDOM_AT, 32);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

static const coap_bin_const_t *end_it(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	static const coap_bin_const_t key = {sizeof(COAP_KEY) - 1, (const uint8_t *)COAP_KEY};

	(void)identity;
	if (*(bool *)arg)
		coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
	return &key;
}

START_TEST(coap_return_ends_in_the_second_handshake)
{
	coap_dtls_spsk_t setup = {.version = 1};
	bool ends_it = false;
	struct caller c;

	open_psk();
	setup.validate_id_call_back = end_it;
	setup.id_call_back_arg = &ends_it;
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &setup), 1);
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ends.server.event_count = 0;
	ends_it = true;
	caller_again(&c, "a", NULL);
	ck_assert_int_ne(caller_shake(&c), DTLS_OK);
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	ends_it = false;
	caller_again(&c, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ck_assert_int_eq(caller_ping(&c), 4);
	/* And with a second one under way when the server goes. */
	caller_again(&c, "a", NULL);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_conn_handshake(c.conn), DTLS_WANT_READ);
		coap_serve(&ends);
	}
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

/* Nothing but a verified Finished ends the session that there is. */
START_TEST(coap_return_session_survives_hellos)
{
	struct caller c, forger;
	uint8_t captured[2000];
	struct raw_hello hello, second;
	ssize_t len;

	open_psk();
	caller_open(&c, &ends, "a", NULL);
	ck_assert_int_eq(caller_shake(&c), DTLS_OK);
	ends.server.event_count = 0;
	hello_capture(&hello);
	caller_send(&c, hello.bytes, hello.len);
	/* It is answered by a cookie, which somebody who hears it may use: but then cannot finish. */
	len = recv(c.fd, captured, sizeof(captured), 0);
	ck_assert_int_gt(len, 25 + 3);
	hello_with_cookie(&hello, captured + 28, captured[27], &second);
	for (int i = 0; i < 3; i++) {
		caller_send(&c, second.bytes, second.len);
		ck_assert_int_eq(caller_ping(&c), 4);
	}
	ck_assert_uint_eq(ends.server.event_count, 0);
	/* With the wrong key, all the way: the forger has the same socket, and its own. */
	forger = c;
	forger.conn = NULL;
	forger.ctx = NULL;
	caller_begin(&forger, with_key("a", "guess"));
	/* No alert: it would be for the session that there is. */
	ck_assert_int_eq(caller_shake(&forger), DTLS_WANT_READ);
	dtls_conn_free(forger.conn);
	dtls_context_free(forger.ctx);
	ck_assert_int_eq(caller_ping(&c), 4);
	assert_came_back("a");
	ck_assert_uint_eq(ends.server.event_count, 0);
	caller_close(&c);
	coap_close(&ends);
}
END_TEST

Suite *coap_return_suite(void)
{
	Suite *s = suite_create("coap_return");

	pki_announce();
	TEST(s, coap_return_same_client_returns);
	TEST(s, coap_return_with_a_new_key);
	TEST(s, coap_return_another_client_returns);
	TEST(s, coap_return_same_certificate_returns);
	TEST(s, coap_return_repeated_hellos);
	TEST(s, coap_return_ends_in_the_second_handshake);
	TEST(s, coap_return_session_survives_hellos);
	return s;
}
