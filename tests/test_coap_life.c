/* Ends of libcoap sessions on the backend: as servers go and come, in the middle of a handshake, out of a callback. */
#include "coap_ends.h"
#include "suites.h"

#include <unistd.h>

static struct coap_ends ends;

#define NEW       COAP_EVENT_SERVER_SESSION_NEW
#define DEL       COAP_EVENT_SERVER_SESSION_DEL
#define CONNECTED COAP_EVENT_DTLS_CONNECTED
#define CLOSED    COAP_EVENT_DTLS_CLOSED

static void open_psk(void)
{
	coap_open(&ends);
	coap_serve_psk(&ends);
	coap_listen(&ends);
}

static bool client_closed(const struct coap_ends *e)
{
	return e->client.event_count > 0 && e->client.events[e->client.event_count - 1] == CLOSED;
}

/* ---- servers that go and come ---- */

/* A client of 4.3.1 begins a new handshake when it has something to say; one of 4.3.4 is to be made anew. */
static void call_again(void)
{
	if (LIBCOAP_VERSION >= 4003004U)
		coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
}

START_TEST(coap_life_server_restarts)
{
	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_assert_served(&ends);
	ends.client.event_count = 0;
	coap_restart_server(&ends); /* says goodbye */
	coap_until(&ends, client_closed);
	coap_assert_events(&ends.client, "client", CLOSED, COAP_EVENTS_END);
	coap_serve_psk(&ends);
	coap_listen_again(&ends);
	call_again();
	coap_assert_served(&ends);
	coap_assert_events(&ends.client, "client", CONNECTED, COAP_EVENTS_END);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_life_server_comes_late)
{
	coap_open(&ends);
	close(coap_udp_socket(&ends.address));
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_ask(&ends, NULL, 0);
	coap_work(&ends);
	if (LIBCOAP_VERSION < 4003004U)
		ck_assert_int_eq(ends.client.nacks[0], COAP_NACK_ICMP_ISSUE);
	coap_serve_psk(&ends);
	coap_listen_again(&ends);
	/* The request is still in libcoap's queue, and goes through a handshake when a timer fires. */
	for (int i = 0; i < 200 && ends.client.responses == 0; i++)
		coap_pass(&ends, 100);
	ck_assert_int_eq(ends.client.code, 205);
	coap_close(&ends);
}
END_TEST

/* ---- ends at every moment ---- */

START_TEST(coap_life_client_freed_in_handshake)
{
	open_psk();
	for (int steps = 0; steps < 8; steps++) {
		coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
		ends.client.event_count = 0;
		for (int i = 0; i < steps; i++)
			coap_io_process(i % 2 == 0 ? ends.server.ctx : ends.client.ctx, COAP_IO_NO_WAIT);
		coap_session_release(ends.client.session);
		ends.client.session = NULL;
		ck_assert_int_eq(ends.client.events[ends.client.event_count - 1], CLOSED);
		coap_work(&ends);
	}
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_assert_served(&ends);
	coap_close(&ends);
}
END_TEST

START_TEST(coap_life_contexts_freed_in_handshake)
{
	for (int steps = 0; steps < 10; steps++) {
		open_psk();
		coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
		coap_ask(&ends, NULL, 0);
		for (int i = 0; i < steps; i++)
			coap_io_process(i % 2 == 0 ? ends.server.ctx : ends.client.ctx, COAP_IO_NO_WAIT);
		if (steps % 2 == 0) {
			coap_free_end(&ends.server);
			coap_io_process(ends.client.ctx, COAP_IO_NO_WAIT);
		}
		coap_close(&ends);
	}
}
END_TEST

START_TEST(coap_life_session_outlives_its_context)
{
	coap_session_t *kept;

	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_assert_served(&ends);
	kept = coap_session_reference(ends.client.session);
	coap_session_release(ends.client.session);
	ends.client.session = NULL;
	coap_session_release(kept);
	coap_close(&ends);
}
END_TEST

static void disconnect(struct coap_end *end, coap_session_t *session, coap_event_t event)
{
	(void)end;
	if (event == CONNECTED)
		coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
}

START_TEST(coap_life_disconnected_as_it_connects)
{
	open_psk();
	ends.server.on_event = disconnect;
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, client_closed);
	ck_assert_uint_eq(ends.server.requests, 0);
	coap_work(&ends);
	coap_assert_events(&ends.server, "server", NEW, DEL, NEW, CONNECTED, CLOSED, DEL, COAP_EVENTS_END);
	ends.server.on_event = NULL;
	ends.client.on_event = disconnect;
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	ends.client.event_count = 0;
	coap_until(&ends, client_closed);
	coap_assert_events(&ends.client, "client", CONNECTED, CLOSED, COAP_EVENTS_END);
	coap_close(&ends);
}
END_TEST

static void hang_up(struct coap_end *end, coap_session_t *session)
{
	(void)end;
	coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
}

START_TEST(coap_life_disconnected_by_a_request)
{
	open_psk();
	ends.server.on_request = hang_up;
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_ask(&ends, NULL, 0);
	coap_until(&ends, client_closed);
	ck_assert_uint_eq(ends.server.requests, 1);
	ends.server.on_request = NULL;
	coap_work(&ends);
	call_again();
	coap_assert_served(&ends);
	coap_close(&ends);
}
END_TEST

Suite *coap_life_suite(void)
{
	Suite *s = suite_create("coap_life");

	TEST(s, coap_life_server_restarts);
	TEST(s, coap_life_server_comes_late);
	TEST(s, coap_life_client_freed_in_handshake);
	TEST(s, coap_life_contexts_freed_in_handshake);
	TEST(s, coap_life_session_outlives_its_context);
	TEST(s, coap_life_disconnected_as_it_connects);
	TEST(s, coap_life_disconnected_by_a_request);
	return s;
}
