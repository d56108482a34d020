/* Pre-shared keys as libcoap's applications give them: by name, by identity, by hint, or not at all. */
#include "coap_ends.h"
#include "suites.h"

#include <string.h>
#include <unistd.h>

static struct coap_ends ends;

#define NEW COAP_EVENT_SERVER_SESSION_NEW
#define DEL COAP_EVENT_SERVER_SESSION_DEL

static bool client_is_nacked(const struct coap_ends *e)
{
	return e->client.nack_count > 0;
}

static coap_dtls_spsk_t spsk(const char *key)
{
	coap_dtls_spsk_t setup = {.version = COAP_DTLS_SPSK_SETUP_VERSION};

	setup.psk_info.hint = (coap_bin_const_t){4, (const uint8_t *)"hint"};
	setup.psk_info.key = (coap_bin_const_t){strlen(key), (const uint8_t *)key};
	return setup;
}

static void open_with(coap_dtls_spsk_t *setup)
{
	coap_open(&ends);
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, setup), 1);
	coap_listen(&ends);
}

static void assert_refused(const char *identity, const char *key, const char *name)
{
	coap_dtls_cpsk_t setup = coap_cpsk(identity, key);

	setup.client_sni = (char *)(uintptr_t)name;
	coap_call_psk_with(&ends, &setup);
	ends.client.nack_count = 0;
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, client_is_nacked);
	ck_assert_int_eq(ends.client.nacks[0], COAP_NACK_TLS_FAILED);
}

static void assert_accepted(const char *identity, const char *key, const char *name)
{
	coap_dtls_cpsk_t setup = coap_cpsk(identity, key);

	setup.client_sni = (char *)(uintptr_t)name;
	coap_call_psk_with(&ends, &setup);
	coap_assert_served(&ends);
}

/* ---- servers ---- */

static int callback_arg;

static const coap_bin_const_t *by_identity(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	static const coap_bin_const_t
	    key = {6, (const uint8_t *)"secret"},
	    long_key = {60, (const uint8_t *)"123456789012345678901234567890123456789012345678901234567890"};

	ck_assert_ptr_eq(arg, &callback_arg);
	ck_assert_ptr_nonnull(coap_session_get_psk_identity(session));
	if (identity->length == 1 && memcmp(identity->s, "a", 1) == 0)
		return &key;
	return identity->length == 4 && memcmp(identity->s, "long", 4) == 0 ? &long_key : NULL;
}

START_TEST(coap_keys_by_identity)
{
	coap_dtls_spsk_t setup = spsk("everybody");

	setup.validate_id_call_back = by_identity;
	setup.id_call_back_arg = &callback_arg;
	open_with(&setup);
	assert_accepted("a", "secret", NULL);
	ck_assert_mem_eq(coap_session_get_psk_key(ends.server.session)->s, "secret", 6);
	assert_refused("a", "everybody", NULL);
	/* Unknown: refused as if the key were wrong. */
	assert_refused("b", "everybody", NULL);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "no pre-shared key is known for identity \"b\""));
	coap_log_clear();
	assert_refused("long", "secret", NULL);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "the pre-shared key has 60 bytes, but mbed TLS"));
	coap_close(&ends);
}
END_TEST

static const coap_dtls_spsk_info_t *by_name(const char *name, coap_session_t *session, void *arg)
{
	static const coap_dtls_spsk_info_t first = {{2, (const uint8_t *)"h1"}, {4, (const uint8_t *)"key1"}};
	static const coap_dtls_spsk_info_t second = {{2, (const uint8_t *)"h2"}, {4, (const uint8_t *)"key2"}};

	ck_assert_ptr_eq(arg, &callback_arg);
	ck_assert_ptr_nonnull(session);
	if (strcmp(name, "one.example") == 0)
		return &first;
	return strcmp(name, "two.example") == 0 ? &second : NULL;
}

START_TEST(coap_keys_by_name)
{
	coap_dtls_spsk_t setup = spsk("everybody");

	setup.validate_sni_call_back = by_name;
	setup.sni_call_back_arg = &callback_arg;
	open_with(&setup);
	assert_accepted("a", "key1", "one.example");
	ck_assert_mem_eq(coap_session_get_psk_hint(ends.server.session)->s, "h1", 2);
	assert_accepted("a", "key2", "two.example");
	ck_assert_mem_eq(coap_session_get_psk_key(ends.server.session)->s, "key2", 4);
	assert_refused("a", "key2", "one.example");
	coap_log_clear();
	ends.server.event_count = 0;
	assert_refused("a", "key1", "three.example");
	ck_assert_ptr_nonnull(
	    strstr(coap_log_text(), "the client asks for the server \"three.example\", which is not here"));
	coap_work(&ends);
	/* Twice each: a client tries again, since the alert may be forged. There never was a session that could close. */
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, DEL, NEW, DEL, NEW, DEL, COAP_EVENTS_END);
	/* Who names nobody gets the key for everybody; an address is not a name (RFC 6066, 3). */
	assert_accepted("a", "everybody", NULL);
	assert_accepted("a", "everybody", "127.0.0.1");
	coap_close(&ends);
}
END_TEST

START_TEST(coap_keys_by_name_and_identity)
{
	coap_dtls_spsk_t setup = spsk("everybody");

	setup.validate_sni_call_back = by_name;
	setup.validate_id_call_back = by_identity;
	setup.sni_call_back_arg = setup.id_call_back_arg = &callback_arg;
	open_with(&setup);
	/* The identity has the last word, as in libcoap's own backends. */
	assert_accepted("a", "secret", "one.example");
	assert_refused("a", "key1", "one.example");
	assert_refused("a", "secret", "three.example");
	coap_close(&ends);
}
END_TEST

static const coap_bin_const_t *hang_up(coap_bin_const_t *identity, coap_session_t *session, void *arg)
{
	static const coap_bin_const_t key = {6, (const uint8_t *)"secret"};

	(void)identity, (void)arg;
	coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
	return &key;
}

START_TEST(coap_keys_disconnected_in_the_callback)
{
	coap_dtls_spsk_t setup = spsk("everybody");

	setup.validate_id_call_back = hang_up;
	open_with(&setup);
	coap_call_psk(&ends, "a", "secret");
	coap_ask(&ends, NULL, 0);
	coap_work(&ends);
	ck_assert_uint_eq(ends.server.requests, 0);
	ck_assert_ptr_null(ends.server.session);
	setup.validate_id_call_back = NULL;
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &setup), 1);
	coap_call_psk(&ends, "a", "everybody");
	coap_assert_served(&ends);
	coap_close(&ends);
}
END_TEST

static const coap_dtls_spsk_info_t *hang_up_at_the_name(const char *name, coap_session_t *session, void *arg)
{
	static const coap_dtls_spsk_info_t info = {{0, NULL}, {6, (const uint8_t *)"secret"}};

	(void)name, (void)arg;
	coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
	return &info;
}

START_TEST(coap_keys_disconnected_at_the_name)
{
	coap_dtls_spsk_t setup = spsk("everybody");
	coap_dtls_cpsk_t client = coap_cpsk("a", "secret");

	setup.validate_sni_call_back = hang_up_at_the_name;
	open_with(&setup);
	client.client_sni = (char[]){"one.example"};
	coap_call_psk_with(&ends, &client);
	coap_ask(&ends, NULL, 0);
	coap_work(&ends); /* it comes too early for libcoap, which goes on with the session */
	assert_accepted("a", "everybody", NULL);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_keys_that_cannot_be)
{
	coap_dtls_spsk_t setup = spsk("123456789012345678901234567890123456789012345678901234567890");
	coap_dtls_cpsk_t client;

	coap_open(&ends);
	close(coap_udp_socket(&ends.address));
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &setup), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "the pre-shared key has 60 bytes, but mbed TLS"));
	/* Nothing is set up by that. */
	ck_assert_int_eq(coap_dtls_context_check_keys_enabled(ends.server.ctx), 0);
	ck_assert_ptr_null(coap_new_endpoint(ends.server.ctx, &ends.address, COAP_PROTO_DTLS));
	coap_log_clear();
	client = coap_cpsk("a", "123456789012345678901234567890123456789012345678901234567890");
	ck_assert_ptr_null(
	    coap_new_client_session_psk2(ends.client.ctx, NULL, &ends.address, COAP_PROTO_DTLS, &client));
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "60 bytes"));
	coap_log_clear();
	client = coap_cpsk("a", "secret");
	client.reserved[3] = 1;
	ck_assert_ptr_null(
	    coap_new_client_session_psk2(ends.client.ctx, NULL, &ends.address, COAP_PROTO_DTLS, &client));
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "coap_dtls_cpsk_t: reserved must be 0"));
	setup = spsk("secret");
	setup.reserved[6] = 1;
	ck_assert_int_eq(coap_context_set_psk2(ends.server.ctx, &setup), 0);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "coap_dtls_spsk_t: reserved must be 0"));
	/* A session for which nothing was set: 4.3.4 leaves it as one that has ended. */
	coap_log_clear();
	ends.client.session = coap_new_client_session(ends.client.ctx, NULL, &ends.address, COAP_PROTO_DTLS);
	if (LIBCOAP_VERSION < 4003004U)
		ck_assert_ptr_null(ends.client.session);
	else
		ck_assert_int_eq(coap_session_get_state(ends.client.session), COAP_SESSION_STATE_NONE);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "neither a pre-shared key nor certificates were set"));
	coap_close(&ends);
}
END_TEST

START_TEST(coap_keys_replaced)
{
	open_with(&(coap_dtls_spsk_t){0}); /* no key: nobody is known */
	assert_refused("a", "secret", NULL);
	ck_assert_int_eq(coap_context_set_psk(ends.server.ctx, "", (const uint8_t *)"secret", 6), 1);
	assert_accepted("a", "secret", NULL);
	ck_assert_int_eq(coap_context_set_psk(ends.server.ctx, "", (const uint8_t *)"changed", 7), 1);
	/* Sessions go on; new ones have the new key. */
	coap_assert_served(&ends);
	assert_refused("a", "secret", NULL);
	assert_accepted("a", "changed", NULL);
	coap_close(&ends);
}
END_TEST

/* ---- clients ---- */

static unsigned hints;
static char last_hint[32];

static const coap_dtls_cpsk_info_t *by_hint(coap_str_const_t *hint, coap_session_t *session, void *arg)
{
	ck_assert_ptr_eq(session, ends.client.session);
	ck_assert_uint_lt(hint->length, sizeof(last_hint));
	memcpy(last_hint, hint->s, hint->length + 1);
	hints++;
	return arg;
}

START_TEST(coap_keys_by_hint)
{
	coap_dtls_spsk_t server = spsk("everybody");
	coap_dtls_cpsk_t client = coap_cpsk("asked", "before");
	coap_dtls_cpsk_info_t chosen = {{6, (const uint8_t *)"chosen"}, {9, (const uint8_t *)"everybody"}};

	client.validate_ih_call_back = by_hint;
	client.ih_call_back_arg = &chosen;
	open_with(&server);
	coap_call_psk_with(&ends, &client);
	coap_assert_served(&ends);
	/* mbed TLS servers send no hint: the callback is told the empty one, and asked once. */
	ck_assert_uint_eq(hints, 1);
	ck_assert_str_eq(last_hint, "");
	ck_assert_mem_eq(coap_session_get_psk_identity(ends.server.session)->s, "chosen", 6);
	ck_assert_mem_eq(coap_session_get_psk_identity(ends.client.session)->s, "chosen", 6);
	/* The next handshake asks again. */
	if (LIBCOAP_VERSION < 4003004U) {
		coap_session_disconnected(ends.client.session, COAP_NACK_NOT_DELIVERABLE);
		coap_assert_served(&ends);
		ck_assert_uint_eq(hints, 2);
	}
	coap_close(&ends);
}
END_TEST

START_TEST(coap_keys_wrong_key_for_the_hint)
{
	coap_dtls_spsk_t server = spsk("everybody");
	coap_dtls_cpsk_t client = coap_cpsk("asked", "everybody");
	coap_dtls_cpsk_info_t chosen = {{6, (const uint8_t *)"chosen"}, {5, (const uint8_t *)"wrong"}};

	client.validate_ih_call_back = by_hint;
	client.ih_call_back_arg = &chosen;
	open_with(&server);
	coap_call_psk_with(&ends, &client);
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, client_is_nacked);
	ck_assert_uint_eq(hints, 2); /* it tries once more */
	coap_close(&ends);
}
END_TEST

START_TEST(coap_keys_no_key_for_the_hint)
{
	coap_dtls_spsk_t server = spsk("everybody");
	coap_dtls_cpsk_t client = coap_cpsk("a", "everybody");

	client.validate_ih_call_back = by_hint; /* NULL is its argument, and its answer */
	open_with(&server);
	coap_call_psk_with(&ends, &client);
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, client_is_nacked);
	coap_assert_events(&ends.client, "client", COAP_EVENT_DTLS_ERROR, COAP_EVENT_DTLS_CLOSED, COAP_EVENTS_END);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "there is no key for the server's identity hint \"\""));
	coap_close(&ends);
}
END_TEST

/* Each session keeps what it was made with, whatever the context was told since. */
START_TEST(coap_keys_stay_with_their_session)
{
	coap_dtls_spsk_t server = spsk("everybody");
	coap_dtls_cpsk_t first = coap_cpsk("a", "key1"), second = coap_cpsk("a", "key2");
	coap_session_t *other;

	server.validate_sni_call_back = by_name;
	server.sni_call_back_arg = &callback_arg;
	open_with(&server);
	first.client_sni = (char[]){"one.example"};
	coap_call_psk_with(&ends, &first);
	coap_assert_served(&ends);
	second.client_sni = (char[]){"two.example"};
	other = coap_new_client_session_psk2(ends.client.ctx, NULL, &ends.address, COAP_PROTO_DTLS, &second);
	ck_assert_ptr_nonnull(other);
	coap_work(&ends);
	ck_assert_int_eq(coap_session_get_state(other), COAP_SESSION_STATE_ESTABLISHED);
	coap_session_disconnected(ends.client.session, COAP_NACK_NOT_DELIVERABLE);
	coap_assert_served(&ends);
	coap_session_release(other);
	coap_close(&ends);
}
END_TEST

Suite *coap_keys_suite(void)
{
	Suite *s = suite_create("coap_keys");

	TEST(s, coap_keys_by_identity);
	TEST(s, coap_keys_by_name);
	TEST(s, coap_keys_by_name_and_identity);
	TEST(s, coap_keys_disconnected_in_the_callback);
	TEST(s, coap_keys_disconnected_at_the_name);
	TEST(s, coap_keys_that_cannot_be);
	TEST(s, coap_keys_replaced);
	TEST(s, coap_keys_by_hint);
	TEST(s, coap_keys_wrong_key_for_the_hint);
	TEST(s, coap_keys_no_key_for_the_hint);
	TEST_WHERE(LIBCOAP_VERSION < 4003004U, "libcoap 4.3.4 has no second handshake for a client's session", s,
	    coap_keys_stay_with_their_session);
	return s;
}
