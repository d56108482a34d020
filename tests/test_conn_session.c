/* A client's session as bytes: what is saved, and what is refused. */
#include "resuming.h"

#include "dtls/resumable.h"
#include "hellos.h"
#include "pair.h"
#include "pki.h"

#include <stdlib.h>
#include <string.h>

static struct ends ends;
static struct saved saved;

static void assert_refused(const struct end *end, const void *bytes, size_t len, const char *says)
{
	uint8_t *copy = exact_copy(bytes, len); /* nothing may be read behind it */

	ck_assert_int_eq(dtls_conn_session_load(end->conn, copy, len), DTLS_FAIL);
	end_assert_error(end, says);
	free(copy);
}

static void assert_unsaved(const struct end *end, const char *says)
{
	struct saved none;

	none.len = 1;
	ck_assert_int_eq(dtls_conn_session_save(end->conn, none.bytes, sizeof(none.bytes), &none.len), DTLS_FAIL);
	ck_assert_uint_eq(none.len, 0);
	end_assert_error(end, says);
}

/* ---- save */

START_TEST(conn_session_sizes)
{
	uint8_t bytes[SAVED_MAX];
	size_t len = 0, again;

	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, "localhost", &saved);
	ck_assert_int_eq(dtls_conn_session_save(ends.client.conn, NULL, 0, &len), DTLS_TOO_BIG);
	ck_assert_uint_eq(len, saved.len);
	ck_assert_uint_lt(len, 400);
	for (size_t room = 1; room < len; room++) {
		memset(bytes, 0xa5, sizeof(bytes));
		ck_assert_int_eq(dtls_conn_session_save(ends.client.conn, bytes, room, &again), DTLS_TOO_BIG);
		ck_assert_uint_eq(again, len);
		ck_assert_uint_eq(bytes[room], 0xa5);
	}
	ck_assert_int_eq(dtls_conn_session_save(ends.client.conn, bytes, len, &again), DTLS_OK);
	ck_assert_mem_eq(bytes, saved.bytes, len);
	ck_assert_uint_eq(bytes[len], 0xa5);
	ends_close(&ends);
}
END_TEST

START_TEST(conn_session_save_when_there_is_one)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	ends_wrap(&ends, NULL);
	assert_unsaved(&ends.client, "there is no session to save: it is there from the handshake to the end");
	assert_unsaved(&ends.server, "a server's sessions are saved by its clients");
	ends_run(&ends);
	ends_assert_connected(&ends);
	assert_unsaved(&ends.server, "a server's sessions are saved by its clients");
	resuming_save(&ends, &saved);
	ck_assert_int_eq(dtls_conn_resumed(ends.client.conn), 0);
	ends_close(&ends);
}
END_TEST

START_TEST(conn_session_of_1_3_is_not_saved)
{
	resuming_open_bare(&ends, OVER_TLS_1_3, BY_TICKET);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	pki_trust(ends.client.ctx, "ca.pem");
	ends_handshake(&ends, "localhost");
	ends_assert_connected(&ends);
	assert_unsaved(&ends.client, "a session of TLS 1.3 cannot be resumed here: only those of 1.2 can");
	ends_close(&ends);
}
END_TEST

/* A client that may speak 1.3 comes back by 1.2. */
START_TEST(conn_session_of_1_2_beside_1_3)
{
	resuming_open_bare(&ends, OVER_TLS_1_3, BY_TICKET);
	pki_load(ends.server.ctx, "server.pem", "server.key");
	pki_trust(ends.client.ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_max_version(ends.client.ctx, DTLS_VERSION_1_2), DTLS_OK);
	ends.protocol = OVER_TLS;
	resuming_first(&ends, "localhost", &saved);
	ck_assert_int_eq(dtls_context_set_max_version(ends.client.ctx, DTLS_VERSION_1_3), DTLS_OK);
	resuming_assert(&ends, "localhost", &saved, 1);
	ends_close(&ends);
}
END_TEST

/* ---- load */

START_TEST(conn_session_load_before_the_handshake_and_once)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, NULL, &saved);
	assert_refused(&ends.client, saved.bytes, saved.len, "a session must be loaded before the handshake begins");
	assert_refused(&ends.server, saved.bytes, saved.len, "a server loads no sessions: its clients bring them");
	ends_again(&ends);
	ends_wrap(&ends, NULL);
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_OK);
	assert_refused(&ends.client, saved.bytes, saved.len, "a session was loaded already");
	ck_assert_int_eq(dtls_conn_set_hostname(ends.client.conn, "elsewhere"), DTLS_FAIL);
	end_assert_error(&ends.client, "the hostname must be set before a session is loaded");
	ends_run(&ends);
	ends_assert_connected(&ends);
	ck_assert_int_eq(dtls_conn_resumed(ends.client.conn), 1);
	ends_close(&ends);
}
END_TEST

/* Each length, and each byte. */
START_TEST(conn_session_damaged)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, "localhost", &saved);
	ends_again(&ends);
	ends_wrap(&ends, "localhost");
	for (size_t len = 0; len < saved.len; len++)
		assert_refused(
		    &ends.client, saved.bytes, len, len < 47 ? "no saved session" : "not all of it is there");
	for (size_t i = 0; i < saved.len; i++) {
		saved.bytes[i] ^= 0x10;
		assert_refused(&ends.client, saved.bytes, saved.len, i < 15 ? "no saved session" : "is damaged");
		saved.bytes[i] ^= 0x10;
	}
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_OK);
	ends_close(&ends);
}
END_TEST

static void try_forged(size_t at, uint8_t xor)
{
	static struct saved forged;
	uint8_t *copy;

	forged = saved;
	saved_change(&forged, at, xor);
	ends_again(&ends);
	ends_wrap(&ends, "localhost");
	copy = exact_copy(forged.bytes, forged.len);
	dtls_conn_session_load(ends.client.conn, copy, forged.len);
	free(copy);
	ends_run(&ends);
	ck_assert_msg(
	    ends.client.status == DTLS_OK || ends.client.status == DTLS_FAIL || ends.client.status == DTLS_TIMEDOUT,
	    "byte %zu: %d", at, ends.client.status);
}

/* With a digest that fits: nothing is read where there is nothing, and what is taken ends in a session or an error. */
START_TEST(conn_session_forged)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, "localhost", &saved);
	for (size_t i = 0; i < saved.len - RESUMABLE_DIGEST; i++) {
		try_forged(i, 1);
		try_forged(i, 0x80);
	}
	ends_close(&ends);
}
END_TEST

static size_t position(const char *text)
{
	uint8_t *at = memmem(saved.bytes, saved.len, text, strlen(text));

	ck_assert_ptr_nonnull(at);
	return (size_t)(at - saved.bytes);
}

START_TEST(conn_session_of_another_kind)
{
	static struct saved stream;

	resuming_open(&ends, OVER_TLS, BY_TICKET);
	resuming_first(&ends, "localhost", &stream);
	ends_close(&ends);
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, "localhost", &saved);
	resuming_assert_refused(&ends, "localhost", &stream, "saved from a TLS connection, and this is a DTLS one");
	resuming_assert_refused(&ends, "elsewhere", &saved,
	    "made with the server \"localhost\", and \"elsewhere\" is the name asked for here");
	resuming_assert_refused(&ends, NULL, &saved, "made with the server \"localhost\", and \"\" is the name");
	saved_change(&saved, position(dtls_mbedtls_version()), 1);
	resuming_assert_refused(&ends, "localhost", &saved, "the session was saved with mbed TLS ");
	ends_close(&ends);
}
END_TEST

START_TEST(conn_session_of_another_key)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, NULL, &saved);
	resuming_key(ends.client.ctx, "fedcba9876543210");
	resuming_key(ends.server.ctx, "fedcba9876543210");
	resuming_assert_refused(
	    &ends, NULL, &saved, "the session was made with another pre-shared key for the same identity");
	ck_assert_int_eq(dtls_context_set_psk(ends.client.ctx, "sensor-18", 9, "fedcba9876543210", 16), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_psk(ends.server.ctx, "sensor-18", 9, "fedcba9876543210", 16), DTLS_OK);
	resuming_assert_refused(&ends, NULL, &saved, "its identity is not the one set here");
	resuming_first(&ends, NULL, &saved);
	resuming_assert(&ends, NULL, &saved, 1);
	ends_close(&ends);
}
END_TEST

START_TEST(conn_session_of_another_suite)
{
	static const char *const both[] = {"TLS-PSK-WITH-AES-128-CCM", "TLS-PSK-WITH-AES-128-CCM-8"};

	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	ck_assert_int_eq(dtls_context_set_ciphers(ends.server.ctx, both, 2), DTLS_OK);
	resuming_first(&ends, NULL, &saved);
	resuming_suite(ends.client.ctx, both[0]);
	resuming_assert_refused(
	    &ends, NULL, &saved, "with the cipher suite TLS-PSK-WITH-AES-128-CCM-8, which is not enabled here");
	ends_close(&ends);
}
END_TEST

START_TEST(conn_session_with_a_long_ticket)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, NULL, &saved);
	ck_assert_int_eq(dtls_context_set_mtu(ends.client.ctx, 300), DTLS_OK);
	resuming_assert_refused(&ends, NULL, &saved, "bytes: with it the ClientHello may not fit one datagram of 300");
	ck_assert_int_eq(dtls_context_set_mtu(ends.client.ctx, 350), DTLS_OK);
	resuming_assert(&ends, NULL, &saved, 1);
	/* A connection's own counts. */
	ends_again(&ends);
	ends_wrap(&ends, NULL);
	ck_assert_int_eq(dtls_conn_set_mtu(ends.client.conn, 256), DTLS_OK);
	assert_refused(&ends.client, saved.bytes, saved.len, "one datagram of 256");
	ends_close(&ends);
}
END_TEST

/* Of one by a session id nothing is too long. */
START_TEST(conn_session_by_id_fits_any_datagram)
{
	resuming_open(&ends, OVER_DTLS, BY_ID);
	ck_assert_int_eq(dtls_context_set_mtu(ends.client.ctx, 256), DTLS_OK);
	resuming_first(&ends, NULL, &saved);
	resuming_assert(&ends, NULL, &saved, 1);
	ends_close(&ends);
}
END_TEST

Suite *conn_session_suite(void)
{
	Suite *s = suite_create("conn_session");

	pki_announce();
	TEST(s, conn_session_sizes);
	TEST(s, conn_session_save_when_there_is_one);
	TEST_WHERE(MBED_1_3, "this mbed TLS has no TLS 1.3", s, conn_session_of_1_3_is_not_saved);
	TEST_WHERE(MBED_1_3, "this mbed TLS has no TLS 1.3", s, conn_session_of_1_2_beside_1_3);
	TEST(s, conn_session_load_before_the_handshake_and_once);
	TEST(s, conn_session_damaged);
	TEST(s, conn_session_forged);
	TEST(s, conn_session_of_another_kind);
	TEST(s, conn_session_of_another_key);
	TEST(s, conn_session_of_another_suite);
	TEST(s, conn_session_with_a_long_ticket);
	TEST(s, conn_session_by_id_fits_any_datagram);
	return s;
}
