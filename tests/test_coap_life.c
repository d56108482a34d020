/* Ends of libcoap sessions on the backend: as servers go and come, in the middle of a handshake, out of a callback. */
#include "coap_ends.h"
#include "failing.h"
#include "suites.h"

#include <string.h>
#include <sys/socket.h>
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

static void come_and_go(unsigned times)
{
	for (unsigned i = 0; i < times; i++) {
		coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
		coap_assert_served(&ends);
		coap_session_release(ends.client.session);
		ends.client.session = NULL;
		coap_work(&ends);
	}
}

START_TEST(coap_life_is_closed_once)
{
	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_assert_served(&ends);
	ends.client.event_count = 0;
	coap_session_disconnected(ends.client.session, COAP_NACK_NOT_DELIVERABLE);
	coap_session_disconnected(ends.client.session, COAP_NACK_NOT_DELIVERABLE);
	coap_session_release(ends.client.session);
	ends.client.session = NULL;
	coap_assert_events(&ends.client, "client", CLOSED, COAP_EVENTS_END);
	coap_close(&ends);
}
END_TEST

/* ---- what cannot be sent ---- */

static void close_port(uint16_t port)
{
	for (int fd = 3; fd < 100; fd++) {
		struct sockaddr_in own = {0};
		socklen_t len = sizeof(own);

		if (getsockname(fd, (struct sockaddr *)&own, &len) == 0 && own.sin_port == port)
			close(fd);
	}
}

static coap_mid_t send_large(size_t len)
{
	static const uint8_t bytes[20000];
	coap_session_t *s = ends.client.session;
	coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_NON, COAP_REQUEST_CODE_PUT, coap_new_message_id(s), len + 100);

	coap_add_data(pdu, len, bytes);
	return coap_send(s, pdu);
}

START_TEST(coap_life_what_cannot_be_sent)
{
	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	coap_assert_served(&ends);
	coap_session_set_mtu(ends.client.session, 20000);
	ck_assert_int_ne(send_large(10000), COAP_INVALID_MID);
	ck_assert_int_eq(send_large(17000), COAP_INVALID_MID); /* more than a record takes */
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "a message of 17"));
	coap_assert_served(&ends);
	/* The port is closed: that it is told of one message is the error of the next. */
	close_port(ends.address.addr.sin.sin_port);
	ck_assert_int_ne(send_large(10), COAP_INVALID_MID);
	coap_log_clear();
	ck_assert_int_eq(send_large(10), COAP_INVALID_MID);
	ck_assert_ptr_nonnull(strstr(coap_log_text(), "could not be sent"));
	coap_close(&ends);
}
END_TEST

/* What a session had goes with it, on both sides. */
START_TEST(coap_life_leaves_nothing)
{
	long before;

	open_psk();
	come_and_go(10);
	before = failing_live();
	come_and_go(40);
	ck_assert_int_le(
	    failing_live(), before + 2); /* a client's session keeps a little, for the next at its address */
	coap_close(&ends);
}
END_TEST

/* Whichever allocation of ours fails: nothing crashes or stays behind, and the next try succeeds. libcoap itself exits. */
START_TEST(coap_life_without_memory)
{
	coap_session_t *session;
	bool happened = true;
	long before;
	unsigned nth;

	open_psk();
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
	session = ends.client.session;
	coap_assert_served(&ends);
	coap_dtls_free_session(session);
	before = failing_live();
	for (nth = 1; happened; nth++) {
		failing_arm(nth);
		if (coap_dtls_new_client_session(session) == NULL)
			ck_assert(failing_happened());
		happened = failing_happened();
		failing_arm(0);
		coap_dtls_free_session(session);
		coap_dtls_free_session(session);
		ck_assert_int_le(failing_live(), before);
	}
	ck_assert_uint_gt(nth, 20);
	for (nth = 1, happened = true; happened; nth++) {
		coap_dtls_cpsk_t client = coap_cpsk(COAP_IDENTITY, COAP_KEY);
		coap_dtls_spsk_t server = {.psk_info = {.key = client.psk_info.key}};

		failing_arm(nth);
		happened = !coap_dtls_context_set_cpsk(ends.client.ctx, &client);
		happened |= !coap_dtls_context_set_spsk(ends.server.ctx, &server);
		happened |= failing_happened();
		failing_arm(0);
	}
	ck_assert_uint_gt(nth, 5);
	coap_call_psk(&ends, COAP_IDENTITY, COAP_KEY);
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
	TEST(s, coap_life_is_closed_once);
	TEST(s, coap_life_what_cannot_be_sent);
	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", s, coap_life_leaves_nothing);
	TEST_WHERE(FAILING_POSSIBLE, "a sanitizer has its own allocator", s, coap_life_without_memory);
	return s;
}
