#include "examples/coap_peers.h"
#include "suites.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct coap_peers peers;
static coap_context_t *coap;
static coap_session_t *session;

/* A session over plain UDP, to which nothing is sent: it is only to be known by. */
static void begin(void)
{
	coap_address_t to;

	peers = (struct coap_peers){0};
	coap_startup();
	coap = coap_new_context(NULL);
	ck_assert_ptr_nonnull(coap);
	coap_address_init(&to);
	to.addr.sin = (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	to.size = sizeof(to.addr.sin);
	session = coap_new_client_session(coap, NULL, &to, COAP_PROTO_UDP);
	ck_assert_ptr_nonnull(session);
}

static void end(void)
{
	coap_session_release(session);
	coap_free_context(coap);
	coap_peers_free(&peers);
	ck_assert_uint_eq(peers.open, 0);
}

static void assert_printed(const char *expected)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(out);
	coap_peer_print(out, session);
	fclose(out);
	ck_assert_str_eq(text, expected);
	free(text);
}

static coap_pdu_t *request(uint16_t mid)
{
	coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, mid, 64);

	ck_assert_ptr_nonnull(pdu);
	return pdu;
}

static uint8_t answer_to(uint16_t mid)
{
	coap_pdu_t *pdu = request(mid);
	uint8_t code = coap_peer_answer(session, pdu);

	coap_delete_pdu(pdu);
	return code;
}

static void answered(uint16_t mid, uint8_t code)
{
	coap_pdu_t *pdu = request(mid);

	coap_peer_answered(session, pdu, code);
	coap_delete_pdu(pdu);
}

START_TEST(peers_have_the_name_of_a_handshake_that_is_done)
{
	begin();
	assert_printed("127.0.0.1:9");
	coap_peer_claims(&peers, session, "one", 3);
	assert_printed("127.0.0.1:9");
	ck_assert_ptr_nonnull(coap_peer_connected(&peers, session));
	assert_printed("one");
	/* Somebody else's handshake begins at the same address. */
	coap_peer_claims(&peers, session, "two", 3);
	assert_printed("one");
	ck_assert_ptr_nonnull(coap_peer_connected(&peers, session));
	assert_printed("two");
	/* One without a name. */
	ck_assert_ptr_nonnull(coap_peer_connected(&peers, session));
	assert_printed("127.0.0.1:9");
	ck_assert_uint_eq(peers.connected, 3);
	ck_assert_uint_eq(peers.open, 1);
	end();
}
END_TEST

START_TEST(peers_have_message_ids_of_one_session)
{
	begin();
	answered(1, 68); /* nobody is connected: it is not kept */
	ck_assert_uint_eq(answer_to(1), 0);
	coap_peer_connected(&peers, session);
	ck_assert_uint_eq(answer_to(1), 0);
	answered(1, 68);
	ck_assert_uint_eq(answer_to(1), 68);
	ck_assert_uint_eq(answer_to(2), 0);
	coap_peer_connected(&peers, session);
	ck_assert_uint_eq(answer_to(1), 0);
	end();
}
END_TEST

START_TEST(peers_go_with_their_sessions)
{
	begin();
	coap_peer_gone(&peers, session);
	coap_peer_connected(&peers, session);
	answered(1, 68);
	ck_assert_uint_eq(peers.open, 1);
	coap_peer_gone(&peers, session);
	ck_assert_uint_eq(peers.open, 0);
	ck_assert_ptr_null(coap_session_get_app_data(session));
	ck_assert_uint_eq(answer_to(1), 0);
	coap_peer_claims(&peers, session, "left", 4); /* for coap_peers_free() */
	end();
}
END_TEST

Suite *coap_peers_suite(void)
{
	Suite *suite = suite_create("coap_peers");

	TEST(suite, peers_have_the_name_of_a_handshake_that_is_done);
	TEST(suite, peers_have_message_ids_of_one_session);
	TEST(suite, peers_go_with_their_sessions);
	return suite;
}
