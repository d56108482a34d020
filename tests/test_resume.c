/* What a server asks before it resumes a session, by ticket and by session id. */
#include "resuming.h"

#include "pair.h"

#include <string.h>

static struct ends ends;
static struct saved saved, other;

static void each(void (*test)(enum protocol, enum way))
{
	for (enum protocol p = OVER_DTLS; p <= OVER_TLS; p++)
		for (enum way way = BY_TICKET; way < WAYS; way++)
			test(p, way);
}

/* ---- what is resumed */

static void resumes(enum protocol protocol, enum way way)
{
	static const char *const suites[] = {"TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-256-GCM-SHA384",
	    "TLS-PSK-WITH-AES-128-CBC-SHA256", "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"};
	const uint8_t *identity;
	size_t len;

	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
		resuming_open(&ends, protocol, way);
		resuming_suite(ends.client.ctx, suites[i]);
		resuming_suite(ends.server.ctx, suites[i]);
		resuming_first(&ends, NULL, &saved);
		resuming_assert(&ends, NULL, &saved, 1);
		ck_assert_str_eq(dtls_conn_cipher(ends.server.conn), suites[i]);
		identity = dtls_conn_psk_identity(ends.server.conn, &len);
		ck_assert_uint_eq(len, strlen(RESUMING_IDENTITY));
		ck_assert_mem_eq(identity, RESUMING_IDENTITY, len);
		ck_assert_int_eq((int)dtls_conn_verify_result(ends.client.conn), -1);
		ends_close(&ends);
	}
}

START_TEST(resume_every_suite)
{
	each(resumes);
}
END_TEST

static void resumes_often(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	resuming_first(&ends, NULL, &saved);
	for (int i = 0; i < 3; i++)
		resuming_assert(&ends, NULL, &saved, 1);
	/* What is saved of a resumed session is as good. */
	for (int i = 0; i < 3; i++) {
		resuming_save(&ends, &other);
		resuming_assert(&ends, NULL, &other, 1);
	}
	ends_close(&ends);
}

START_TEST(resume_more_than_once)
{
	each(resumes_often);
}
END_TEST

START_TEST(resume_only_where_it_is_allowed)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	ck_assert_int_eq(dtls_context_set_resumption(ends.server.ctx, 0, 0), DTLS_OK);
	resuming_first(&ends, NULL, &saved);
	resuming_assert(&ends, NULL, &saved, 0);
	/* A client that asks for no tickets gets none; its id is not remembered here. */
	resuming_allow(ends.client.ctx, ends.server.ctx, BY_TICKET);
	ck_assert_int_eq(dtls_context_set_session_tickets(ends.client.ctx, 0), DTLS_OK);
	resuming_first(&ends, NULL, &saved);
	resuming_assert(&ends, NULL, &saved, 0);
	ends_close(&ends);
}
END_TEST

static void forgets(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	resuming_first(&ends, NULL, &saved);
	resuming_allow(ends.client.ctx, ends.server.ctx, way);
	resuming_assert(&ends, NULL, &saved, 0);
	ends_close(&ends);
}

START_TEST(resume_not_after_it_was_set_again)
{
	each(forgets);
}
END_TEST

/* ---- time */

/* A hello of that session arrives this long after the server has made it. */
static void return_after(int64_t ms, int resumed)
{
	int64_t made_at = ends.pair->server.done_at;

	/* The hello that brings the cookie back is the third datagram. */
	sim_advance_to(ends.pair->sim, made_at + ms - 4 * (int64_t)PAIR_LATENCY_MS);
	resuming_assert(&ends, NULL, &saved, resumed);
}

START_TEST(resume_for_as_long_as_was_said)
{
	for (enum way way = BY_TICKET; way < WAYS; way++) {
		resuming_open(&ends, OVER_DTLS, way);
		resuming_first(&ends, NULL, &saved);
		return_after(RESUMING_LIFETIME_MS - 1, 1);
		ends_close(&ends);
		resuming_open(&ends, OVER_DTLS, way);
		resuming_first(&ends, NULL, &saved);
		return_after(RESUMING_LIFETIME_MS, 0);
		ends_close(&ends);
	}
}
END_TEST

/* A resumed session is no new one. */
START_TEST(resume_does_not_lengthen_it)
{
	for (enum way way = BY_TICKET; way < WAYS; way++) {
		int64_t made_at;

		resuming_open(&ends, OVER_DTLS, way);
		resuming_first(&ends, NULL, &saved);
		made_at = ends.pair->server.done_at;
		return_after(RESUMING_LIFETIME_MS / 2, 1);
		resuming_save(&ends, &saved);
		sim_advance_to(ends.pair->sim, made_at + RESUMING_LIFETIME_MS);
		resuming_assert(&ends, NULL, &saved, 0);
		ends_close(&ends);
	}
}
END_TEST

/* Tickets of the key before are still good. */
START_TEST(resume_across_a_change_of_keys)
{
	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, NULL, NULL);
	sim_advance_to(ends.pair->sim, RESUMING_LIFETIME_MS - 1000);
	resuming_first(&ends, NULL, &saved);
	sim_advance_to(ends.pair->sim, RESUMING_LIFETIME_MS + 1000);
	resuming_first(&ends, NULL, &other);
	resuming_assert(&ends, NULL, &saved, 1);
	resuming_assert(&ends, NULL, &other, 1);
	sim_advance_to(ends.pair->sim, 2 * (int64_t)RESUMING_LIFETIME_MS + 1000);
	resuming_assert(&ends, NULL, &saved, 0);
	ends_close(&ends);
}
END_TEST

/* ---- what it rests on */

static void other_key(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	resuming_first(&ends, NULL, &saved);
	resuming_key(ends.server.ctx, "another key than before");
	resuming_return(&ends, NULL, &saved);
	ck_assert_int_eq(ends.server.status, DTLS_FAIL);
	end_assert_error(&ends.server, "the pre-shared key for identity \"sensor-17\" probably differs");
	/* The same key again is the same. */
	resuming_key(ends.server.ctx, RESUMING_KEY);
	resuming_assert(&ends, NULL, &saved, 1);
	/* And so it is in another source, beside others. */
	ck_assert_int_eq(dtls_context_set_psk(ends.server.ctx, NULL, 0, NULL, 0), DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(ends.server.ctx, RESUMING_IDENTITY, strlen(RESUMING_IDENTITY),
			     RESUMING_KEY, strlen(RESUMING_KEY)),
	    DTLS_OK);
	ck_assert_int_eq(dtls_context_add_psk(ends.server.ctx, "sensor-18", 9, "some key", 8), DTLS_OK);
	resuming_assert(&ends, NULL, &saved, 1);
	ends_close(&ends);
}

START_TEST(resume_not_after_the_key_was_replaced)
{
	each(other_key);
}
END_TEST

static void no_key(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	resuming_first(&ends, NULL, &saved);
	ck_assert_int_eq(dtls_context_set_psk(ends.server.ctx, "sensor-18", 9, "some key", 8), DTLS_OK);
	resuming_return(&ends, NULL, &saved);
	ck_assert_int_eq(ends.server.status, DTLS_FAIL);
	end_assert_error(&ends.server, "no pre-shared key is known for identity \"sensor-17\"");
	ends_close(&ends);
}

START_TEST(resume_not_after_the_key_was_removed)
{
	each(no_key);
}
END_TEST

static struct answer {
	const char *key;
	unsigned calls;
} answer;

static ssize_t look_up(void *arg, const uint8_t *identity, size_t len, uint8_t *key, size_t key_max)
{
	struct answer *a = arg;

	(void)key_max;
	ck_assert_uint_eq(len, strlen(RESUMING_IDENTITY));
	ck_assert_mem_eq(identity, RESUMING_IDENTITY, len);
	a->calls++;
	if (a->key == NULL)
		return 0;
	memcpy(key, a->key, strlen(a->key));
	return (ssize_t)strlen(a->key);
}

/* A lookup may answer otherwise without any change of the settings. */
static void looked_up(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	ck_assert_int_eq(dtls_context_set_psk(ends.server.ctx, NULL, 0, NULL, 0), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_psk_lookup(ends.server.ctx, look_up, &answer), DTLS_OK);
	answer = (struct answer){.key = RESUMING_KEY};
	resuming_first(&ends, NULL, &saved);
	ck_assert_uint_eq(answer.calls, 1);
	resuming_assert(&ends, NULL, &saved, 1);
	ck_assert_uint_eq(answer.calls, 2);
	answer.key = "another key than before";
	resuming_return(&ends, NULL, &saved);
	ck_assert_int_eq(ends.server.status, DTLS_FAIL);
	answer.key = NULL;
	resuming_return(&ends, NULL, &saved);
	ck_assert_int_eq(ends.server.status, DTLS_FAIL);
	ends_close(&ends);
}

START_TEST(resume_asks_the_lookup_again)
{
	each(looked_up);
}
END_TEST

static void other_suites(enum protocol protocol, enum way way)
{
	static const char *const more[] = {"TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CCM"};

	resuming_open(&ends, protocol, way);
	resuming_first(&ends, NULL, &saved);
	ck_assert_int_eq(dtls_context_set_ciphers(ends.server.ctx, more, 2), DTLS_OK);
	resuming_assert(&ends, NULL, &saved, 0);
	ends_close(&ends);
}

START_TEST(resume_not_under_other_suites)
{
	each(other_suites);
}
END_TEST

/* The server would choose another suite now: mbed TLS would resume a ticket's session under that. */
static void prefers(enum protocol protocol, enum way way, const char *wanted)
{
	const char *both[] = {wanted, "TLS-PSK-WITH-AES-128-CCM-8"};

	resuming_open(&ends, protocol, way);
	ck_assert_int_eq(dtls_context_set_ciphers(ends.server.ctx, both, 2), DTLS_OK);
	resuming_first(&ends, NULL, &saved);
	ck_assert_str_eq(dtls_conn_cipher(ends.client.conn), both[1]);
	ck_assert_int_eq(dtls_context_set_ciphers(ends.client.ctx, both, 2), DTLS_OK);
	resuming_assert(&ends, NULL, &saved, 0);
	ck_assert_str_eq(dtls_conn_cipher(ends.client.conn), both[0]);
	resuming_save(&ends, &saved);
	resuming_assert(&ends, NULL, &saved, 1);
	ends_close(&ends);
}

static void prefers_another(enum protocol protocol, enum way way)
{
	prefers(protocol, way, "TLS-PSK-WITH-AES-128-CCM");
	prefers(protocol, way, "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256");
}

START_TEST(resume_not_where_another_suite_is_chosen)
{
	each(prefers_another);
}
END_TEST

static void other_name(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	resuming_first(&ends, "a.example", &saved);
	resuming_assert(&ends, "a.example", &saved, 1);
	resuming_first(&ends, "b.example", &other);
	/* As a client would that keeps to no names: the server's word counts. */
	ends_again(&ends);
	ends_wrap(&ends, "a.example");
	ck_assert_int_eq(dtls_conn_session_load(ends.client.conn, saved.bytes, saved.len), DTLS_OK);
	ck_assert_int_eq(mbedtls_ssl_set_hostname(&((struct dtls_conn *)ends.client.conn)->a->ssl, "b.example"), 0);
	ends_run(&ends);
	ends_assert_connected(&ends);
	ck_assert_int_eq(dtls_conn_resumed(ends.server.conn), 0);
	ends_close(&ends);
}

START_TEST(resume_not_for_another_name)
{
	each(other_name);
}
END_TEST

START_TEST(resume_no_more_ids_than_there_is_room_for)
{
	static struct saved each_one[RESUMING_CACHE + 1];

	resuming_open(&ends, OVER_DTLS, BY_ID);
	for (int i = 0; i <= RESUMING_CACHE; i++)
		resuming_first(&ends, NULL, &each_one[i]);
	resuming_assert(&ends, NULL, &each_one[1], 1);
	resuming_assert(&ends, NULL, &each_one[0], 0);
	resuming_assert(&ends, NULL, &each_one[RESUMING_CACHE], 1);
	ends_close(&ends);
}
END_TEST

/* ---- another server, or a bad one */

static void elsewhere(enum protocol protocol, enum way way)
{
	struct dtls_context *first;

	resuming_open(&ends, protocol, way);
	first = ends.server.ctx;
	resuming_first(&ends, NULL, &saved);
	ends.server.ctx = dtls_context_new(protocol == OVER_DTLS ? PROTOCOL_DTLS_SERVER : PROTOCOL_TLS_SERVER);
	resuming_key(ends.server.ctx, RESUMING_KEY);
	if (ends.pair != NULL)
		ck_assert_int_eq(dtls_context_set_clock(ends.server.ctx, sim_now_ms, ends.pair->sim), DTLS_OK);
	/* It gives no ticket of its own: the one that it refused must not be saved with the new master secret. */
	resuming_assert(&ends, NULL, &saved, 0);
	resuming_save(&ends, &other);
	dtls_context_free(ends.server.ctx);
	ends.server.ctx = first;
	resuming_assert(&ends, NULL, &other, 0);
	resuming_assert(&ends, NULL, &saved, 1);
	ends_close(&ends);
}

START_TEST(resume_not_elsewhere)
{
	each(elsewhere);
}
END_TEST

static void set_extended_master(struct end *end, char set)
{
	mbedtls_ssl_conf_extended_master_secret(&end->conn->settings->conf, set);
}

/* RFC 7627, 5.3 and 5.4. */
static void without_extended_master(enum protocol protocol, enum way way)
{
	resuming_open(&ends, protocol, way);
	ends_again(&ends);
	ends_wrap(&ends, NULL);
	set_extended_master(&ends.client, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
	ends_run(&ends);
	ends_assert_connected(&ends);
	ck_assert_int_eq(
	    dtls_conn_session_save(ends.client.conn, other.bytes, sizeof(other.bytes), &other.len), DTLS_FAIL);
	end_assert_error(&ends.client, "the server does not know the extended master secret");
	/* A hello without it is answered by a full handshake. */
	set_extended_master(&ends.client, MBEDTLS_SSL_EXTENDED_MS_ENABLED);
	resuming_first(&ends, NULL, &saved);
	set_extended_master(&ends.client, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
	resuming_assert(&ends, NULL, &saved, 0);
	/* And a server that leaves it out is not believed. */
	set_extended_master(&ends.client, MBEDTLS_SSL_EXTENDED_MS_ENABLED);
	set_extended_master(&ends.server, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
	resuming_return(&ends, NULL, &saved);
	ck_assert_int_eq(ends.client.status, DTLS_FAIL);
	end_assert_error(
	    &ends.client, "the peer resumes the session without its extended master secret (RFC 7627, 5.3)");
	ends_close(&ends);
}

START_TEST(resume_not_without_extended_master_secret)
{
	each(without_extended_master);
}
END_TEST

/* RFC 6347, 4.2.1: mbed TLS 2.28 would draw another session id for the second hello, which some servers refuse. */
START_TEST(resume_with_one_session_id)
{
	static struct capture capture;
	const struct datagram *first = &capture.datagrams[0], *second = &capture.datagrams[1];

	resuming_open(&ends, OVER_DTLS, BY_TICKET);
	resuming_first(&ends, NULL, &saved);
	capture_link(&capture, ends.pair->client.out);
	resuming_assert(&ends, NULL, &saved, 1);
	ck_assert_uint_eq(first->bytes[59], 32);
	ck_assert_mem_eq(first->bytes + 27, second->bytes + 27, 32 + 1 + 32); /* random and session id */
	ends_close(&ends);
}
END_TEST

/* ---- settings */

START_TEST(resume_settings_are_judged)
{
	struct dtls_context *client = dtls_context_new(PROTOCOL_DTLS_CLIENT),
			    *server = dtls_context_new(PROTOCOL_TLS_SERVER);

	ck_assert_int_eq(dtls_context_set_resumption(client, 1000, 0), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(client),
	    "a server says what can be resumed: a client uses dtls_conn_session_save() and _load()");
	ck_assert_int_eq(dtls_context_set_session_tickets(server, 1), DTLS_FAIL);
	ck_assert_str_eq(
	    dtls_context_error(server), "only a client asks for tickets: a server has dtls_context_set_resumption()");
	ck_assert_int_eq(dtls_context_set_resumption(server, 999, 0), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(server),
	    "sessions cannot be resumed for 999 ms: it is 0, for never, or 1000 to 604800000, which is a week");
	ck_assert_int_eq(dtls_context_set_resumption(server, 604800001, 0), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_resumption(server, -1, 0), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_resumption(server, 0, 1), DTLS_FAIL);
	ck_assert_str_eq(dtls_context_error(server), "a cache of 1 sessions is of no use where none is resumed");
	ck_assert_int_eq(dtls_context_set_resumption(server, 1000, 1000001), DTLS_FAIL);
	ck_assert_int_eq(dtls_context_set_resumption(server, 1000, 0), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_resumption(server, 604800000, 1000000), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_resumption(server, 0, 0), DTLS_OK);
	dtls_context_free(client);
	dtls_context_free(server);
}
END_TEST

Suite *resume_suite(void)
{
	Suite *s = suite_create("resume");

	TEST(s, resume_every_suite);
	TEST(s, resume_more_than_once);
	TEST(s, resume_only_where_it_is_allowed);
	TEST(s, resume_not_after_it_was_set_again);
	TEST(s, resume_for_as_long_as_was_said);
	TEST(s, resume_does_not_lengthen_it);
	TEST(s, resume_across_a_change_of_keys);
	TEST(s, resume_not_after_the_key_was_replaced);
	TEST(s, resume_not_after_the_key_was_removed);
	TEST(s, resume_asks_the_lookup_again);
	TEST(s, resume_not_under_other_suites);
	TEST(s, resume_not_where_another_suite_is_chosen);
	TEST(s, resume_not_for_another_name);
	TEST(s, resume_no_more_ids_than_there_is_room_for);
	TEST(s, resume_not_elsewhere);
	TEST(s, resume_not_without_extended_master_secret);
	TEST(s, resume_with_one_session_id);
	TEST(s, resume_settings_are_judged);
	return s;
}
