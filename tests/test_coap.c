/* libcoap's sessions on the backend: events and NACKs in libcoap's order, timers, many at once, what is logged. */
#include "coap_ends.h"
#include "suites.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct coap_ends ends;

#define NEW       COAP_EVENT_SERVER_SESSION_NEW
#define DEL       COAP_EVENT_SERVER_SESSION_DEL
#define CONNECTED COAP_EVENT_DTLS_CONNECTED
#define CLOSED    COAP_EVENT_DTLS_CLOSED
#define ERROR     COAP_EVENT_DTLS_ERROR

static void open_psk(void)
{
	coap_open(&ends);
	coap_serve_psk(&ends);
	coap_listen(&ends);
}

static bool client_is_nacked(const struct coap_ends *e)
{
	return e->client.nack_count > 0;
}

static bool server_has_none(const struct coap_ends *e)
{
	return e->server.event_count > 0 && e->server.session == NULL;
}

/* ---- the life of a session ---- */

START_TEST(coap_events_of_a_session)
{
	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	ck_assert_int_eq(coap_session_get_state(ends.client.session), COAP_SESSION_STATE_HANDSHAKE);
	coap_assert_served(&ends);
	coap_assert_events(&ends.client, "client", CONNECTED, COAP_EVENTS_END);
	/* The first hello has no cookie, and leaves nothing behind. */
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, CONNECTED, COAP_EVENTS_END);
	coap_session_release(ends.client.session);
	ends.client.session = NULL;
	coap_assert_events(&ends.client, "client", CLOSED, COAP_EVENTS_END);
	coap_until(&ends, server_has_none);
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	ck_assert_uint_eq(ends.client.nack_count + ends.server.nack_count, 0);
	ck_assert_str_eq(coap_log_text(), "");
	coap_close(&ends);
}
END_TEST

START_TEST(coap_who_it_is)
{
	const coap_bin_const_t *identity, *key;
	coap_tls_library_t library = COAP_TLS_LIBRARY_NOTLS;

	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_assert_served(&ends);
	identity = coap_session_get_psk_identity(ends.server.session);
	ck_assert_uint_eq(identity->length, strlen(COAP_IDENTITY));
	ck_assert_mem_eq(identity->s, COAP_IDENTITY, identity->length);
	key = coap_session_get_psk_key(ends.client.session);
	ck_assert_mem_eq(key->s, COAP_KEY, key->length);
	ck_assert_ptr_null(coap_session_get_tls(ends.client.session, &library));
	ck_assert_int_eq(library, COAP_TLS_LIBRARY_MBEDTLS);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_wrong_key)
{
	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, "another");
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, client_is_nacked);
	coap_work(&ends);
	coap_assert_events(&ends.client, "client", ERROR, CLOSED, COAP_EVENTS_END);
	/* The alert may be forged: the client tries once more before it believes it. */
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, ERROR, CLOSED, DEL, NEW, DEL, NEW, ERROR, CLOSED, DEL,
	    COAP_EVENTS_END);
	ck_assert_uint_eq(ends.client.nack_count, 1);
	ck_assert_int_eq(ends.client.nacks[0], COAP_NACK_TLS_FAILED);
	ck_assert_uint_eq(ends.server.requests, 0);
	ck_assert_ptr_nonnull(
	    strstr(coap_log_text(), "the pre-shared key for identity \"sensor-17\" probably differs"));
	coap_close(&ends);
}
END_TEST

START_TEST(coap_large_bodies)
{
	static uint8_t body[8000];

	open_psk();
	memset(body, 'p', sizeof(body));
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	ends.answer_len = 8000;
	coap_assert_served(&ends);
	ends.server.body_len = ends.client.responses = 0;
	coap_ask(&ends, body, sizeof(body));
	for (int i = 0; i < 100 && ends.client.responses == 0; i++)
		coap_work(&ends);
	ck_assert_int_eq(ends.client.code, 204);
	ck_assert_uint_eq(ends.server.body_len, sizeof(body));
	ck_assert_mem_eq(ends.server.body, body, sizeof(body));
	coap_close(&ends);
}
END_TEST

/* ---- timers ---- */

static unsigned datagrams_at(int fd)
{
	uint8_t datagram[2000];
	unsigned count = 0;

	while (recv(fd, datagram, sizeof(datagram), 0) > 0)
		count++;
	return count;
}

START_TEST(coap_nobody_answers)
{
	unsigned resent;
	int fd;

	coap_open(&ends);
	fd = coap_udp_socket(&ends.address);
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_ask(&ends, NULL, 0);
	coap_work(&ends);
	ck_assert_uint_eq(datagrams_at(fd), 1);
	/* One second, spread by a tenth; and twice as long each time: 3, 7, 15 s, maybe once more. Given up at 31. */
	coap_pass(&ends, 890);
	ck_assert_uint_eq(datagrams_at(fd), 0);
	coap_pass(&ends, 220);
	ck_assert_uint_eq(datagrams_at(fd), 1);
	for (int i = 0; i < 298; i++)
		coap_pass(&ends, 100);
	resent = datagrams_at(fd);
	ck_assert_uint_ge(resent, 3);
	ck_assert_uint_le(resent, 4);
	ck_assert_uint_eq(ends.client.nack_count, 0);
	coap_assert_events(&ends.client, "client", COAP_EVENTS_END);
	coap_pass(&ends, 200);
	/* As of libcoap's own backends: the end of a handshake that nobody answered is no error event. */
	coap_assert_events(&ends.client, "client", CLOSED, COAP_EVENTS_END);
	ck_assert_uint_eq(ends.client.nack_count, 1);
	ck_assert_int_eq(ends.client.nacks[0], COAP_NACK_TLS_FAILED);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "nothing was received within 31.000 s"));
	close(fd);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_timeouts_in_ticks)
{
	coap_tick_t now, at;
	int fd;

	coap_open(&ends);
	fd = coap_udp_socket(&ends.address);
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_ticks(&now);
	at = coap_dtls_get_timeout(ends.client.session, now);
	ck_assert_uint_ge(at, now + 900);
	ck_assert_uint_le(at, now + 1100);
	ck_assert_int_eq(coap_dtls_is_context_timeout(), 0);
	coap_session_disconnected(ends.client.session, COAP_NACK_NOT_DELIVERABLE);
	ck_assert_uint_eq(coap_dtls_get_timeout(ends.client.session, now), 0);
	close(fd);
	coap_close(&ends);
}
END_TEST

static bool server_got_hello(const struct coap_ends *e)
{
	return e->server.event_count >= 3;
}

/* A server's own flight is sent again, too: its client stays silent. */
START_TEST(coap_server_retransmits)
{
	unsigned sent = 0;
	coap_tick_t now;

	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	for (int i = 0; i < 1000 && !server_got_hello(&ends); i++) {
		coap_io_process(ends.client.ctx, COAP_IO_NO_WAIT);
		coap_io_process(ends.server.ctx, COAP_IO_NO_WAIT);
		if (ends.server.event_count == 3)
			break;
	}
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, COAP_EVENTS_END);
	coap_ticks(&now);
	ck_assert_uint_gt(coap_dtls_get_timeout(ends.server.session, now), now);
	coap_free_context(ends.client.ctx); /* closes its socket */
	ends.client.ctx = NULL;
	ends.client.session = NULL;
	for (int i = 0; i < 320 && ends.server.session != NULL; i++, sent++)
		coap_pass(&ends, 100);
	coap_assert_events(&ends.server, "server", CLOSED, DEL, COAP_EVENTS_END);
	ck_assert_uint_ge(sent, 290);
	coap_close(&ends);
}
END_TEST

/* ---- many ---- */

static void *own_context(void *arg)
{
	coap_session_t *session;
	coap_dtls_cpsk_t setup = coap_cpsk(COAP_IDENTITY, COAP_KEY);
	coap_address_t nobody;
	int fd = coap_udp_socket(&nobody);

	for (int i = 0; i < 50; i++) {
		coap_context_t *ctx = coap_new_context(NULL);

		session = coap_new_client_session_psk2(ctx, NULL, &nobody, COAP_PROTO_DTLS, &setup);
		ck_assert_ptr_nonnull(session);
		coap_dtls_set_log_level((coap_level)(i % 8));
		ck_assert_int_eq(coap_get_tls_library_version()->type, COAP_TLS_LIBRARY_MBEDTLS);
		coap_session_release(session);
		coap_free_context(ctx);
	}
	close(fd);
	return arg;
}

static void say_nothing(coap_log_t level, const char *message)
{
	(void)level, (void)message;
}

START_TEST(coap_contexts_in_threads)
{
	pthread_t threads[4];

	coap_startup();
	coap_set_log_handler(say_nothing);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, own_context, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	coap_cleanup();
}
END_TEST

START_TEST(coap_many_sessions_of_a_context)
{
	coap_session_t *sessions[30];
	coap_dtls_cpsk_t setup = coap_cpsk(COAP_IDENTITY, COAP_KEY);
	unsigned open = 0;

	open_psk();
	for (size_t i = 0; i < 30; i++) {
		sessions[i] =
		    coap_new_client_session_psk2(ends.client.ctx, NULL, &ends.address, COAP_PROTO_DTLS, &setup);
		ck_assert_ptr_nonnull(sessions[i]);
	}
	for (int i = 0; i < 100 && open < 30; i++) {
		coap_work(&ends);
		open = 0;
		for (size_t k = 0; k < 30; k++)
			open += coap_session_get_state(sessions[k]) == COAP_SESSION_STATE_ESTABLISHED;
	}
	ck_assert_uint_eq(open, 30);
	for (size_t i = 0; i < 30; i += 2)
		coap_session_release(sessions[i]);
	ends.client.session = sessions[1];
	coap_assert_served(&ends);
	for (size_t i = 3; i < 30; i += 2)
		coap_session_release(sessions[i]);
	coap_close(&ends);
}
END_TEST

/* ---- what is logged, and what is there ---- */

START_TEST(coap_log_levels)
{
	open_psk();
	ck_assert_int_eq(coap_dtls_get_log_level(), 0);
	coap_set_log_level(LOG_DEBUG);
	for (int level = LOG_EMERG; level <= LOG_DEBUG; level++) {
		coap_dtls_set_log_level((coap_level)level);
		ck_assert_int_eq(coap_dtls_get_log_level(), level);
		coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
		coap_assert_served(&ends);
		coap_log_clear();
		coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
		coap_work(&ends);
		/* What handshakes do, in their own words, and how sessions end. */
		ck_assert_int_eq(strstr(coap_log_text(), "handshake done: DTLSv1.2") != NULL, level >= LOG_DEBUG);
		ck_assert_int_eq(strstr(coap_log_text(), "the peer closed the session") != NULL, level >= LOG_INFO);
	}
	coap_dtls_set_log_level((coap_level)LOG_EMERG);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_what_is_supported)
{
	coap_tls_version_t *version = coap_get_tls_library_version();
	char text[100];

	ck_assert_int_eq(coap_dtls_is_supported(), 1);
	ck_assert_int_eq(coap_tls_is_supported(), 0);
	ck_assert_uint_eq(version->version, version->built_version);
	ck_assert_ptr_nonnull(strstr(coap_string_tls_version(text, sizeof(text)), "Mbed TLS"));
	/* Streams are refused with a word. */
	coap_open(&ends);
	close(coap_udp_socket(&ends.address));
	coap_log_clear();
	ck_assert_ptr_null(coap_new_client_session(ends.client.ctx, NULL, &ends.address, COAP_PROTO_TLS));
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "TLS not supported"));
	coap_close(&ends);
}
END_TEST

START_TEST(coap_digests)
{
	/* FIPS 180-2, B.1 and B.2. */
	static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
	coap_digest_ctx_t *digest = coap_digest_setup();
	coap_digest_t out;

	ck_assert_ptr_nonnull(digest);
	ck_assert_int_eq(coap_digest_update(digest, (const uint8_t *)"a", 1), 1);
	ck_assert_int_eq(coap_digest_update(digest, (const uint8_t *)"bc", 2), 1);
	ck_assert_int_eq(coap_digest_final(digest, &out), 1);
	ck_assert_mem_eq(out.key, abc, sizeof(abc));
	coap_digest_free(coap_digest_setup());
	coap_digest_free(NULL);
}
END_TEST

Suite *coap_suite(void)
{
	Suite *s = suite_create("coap");

	TEST(s, coap_events_of_a_session);
	TEST(s, coap_who_it_is);
	TEST(s, coap_wrong_key);
	TEST(s, coap_large_bodies);
	TEST(s, coap_nobody_answers);
	TEST(s, coap_timeouts_in_ticks);
	TEST(s, coap_server_retransmits);
	TEST(s, coap_contexts_in_threads);
	TEST(s, coap_many_sessions_of_a_context);
	TEST(s, coap_log_levels);
	TEST(s, coap_what_is_supported);
	TEST(s, coap_digests);
	return s;
}
