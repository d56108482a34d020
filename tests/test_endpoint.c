#include "net.h"
#include "suites.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* ---- one client, start to end */

START_TEST(endpoint_connects_in_five_datagram_times)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct dtls_stats s = net_stats(n);

	NET_EXPECT(n, 0, DTLS_CONNECTED);
	ck_assert_int_eq(net_event(n, 0)->at_ms, 5 * NET_LATENCY_MS);
	ck_assert_int_eq(c->done_at, 6 * NET_LATENCY_MS);
	ck_assert_uint_eq(s.datagrams_in, 3);
	ck_assert_uint_eq(s.datagrams_out, 3);
	ck_assert_uint_eq(s.hello_replies, 1);
	ck_assert_uint_eq(s.cookies_accepted, 1);
	ck_assert_uint_eq(s.handshakes_started, 1);
	ck_assert_uint_eq(s.handshakes_completed, 1);
	ck_assert_uint_eq(s.peers, 1);
	ck_assert_uint_eq(s.handshakes, 0);
	client_echoes(c, "21.4");
	s = net_stats(n);
	ck_assert_uint_eq(s.messages_in, 1);
	ck_assert_uint_eq(s.messages_out, 1);
	net_free(n);
}
END_TEST

START_TEST(endpoint_tells_about_its_peer)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct dtls_peer *peer = client_peer(c);
	struct sockaddr_in addr;
	socklen_t addr_len;
	size_t len;

	memcpy(&addr, dtls_peer_addr(peer, &addr_len), sizeof(addr));
	ck_assert_uint_eq(addr_len, sizeof(addr));
	ck_assert_uint_eq(addr.sin_port, htons(40000));
	ck_assert_uint_eq(addr.sin_addr.s_addr, c->addr.sin_addr.s_addr);
	ck_assert_mem_eq(dtls_peer_psk_identity(peer, &len), NET_IDENTITY, strlen(NET_IDENTITY));
	ck_assert_uint_eq(len, strlen(NET_IDENTITY));
	ck_assert_str_eq(dtls_peer_cipher(peer), dtls_conn_cipher(c->conn));
	ck_assert_uint_eq(dtls_peer_max_payload(peer), dtls_conn_max_payload(c->conn));
	ck_assert_str_eq(dtls_peer_error(peer), "");
	ck_assert_int_eq(dtls_peer_error_code(peer), 0);
	ck_assert_uint_ne(dtls_peer_generation(peer), 0);
	ck_assert_ptr_null(dtls_peer_data(peer));
	dtls_peer_set_data(peer, &addr);
	client_echoes(c, "x");
	ck_assert_ptr_eq(dtls_peer_data(peer), &addr);
	net_free(n);
}
END_TEST

START_TEST(endpoint_reports_close_notify_once)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);

	dtls_conn_close(c->conn);
	dtls_conn_close(c->conn);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	NET_EXPECT(n, 0, DTLS_CONNECTED, DTLS_CLOSED);
	ck_assert_int_eq(net_event(n, 1)->reason, DTLS_REASON_CLOSE_NOTIFY);
	ck_assert_uint_eq(net_stats(n).closed_by_peer, 1);
	ck_assert_uint_eq(net_stats(n).peers, 0);
	net_inject(n, &c->addr, c->sent[c->sent_count - 1].bytes, c->sent[c->sent_count - 1].len);
	ck_assert_uint_eq(net_stats(n).drop_junk, 1);
	NET_EXPECT(n, 2, 0);
	net_free(n);
}
END_TEST

/* Every generation differs, also that of an address that comes back. */
START_TEST(endpoint_generations_are_unique)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);

	for (unsigned i = 3; i < 10; i++)
		client_connected(n, i, 40000, NULL);
	dtls_conn_close(c->conn);
	net_run(n, net_now(n) + NET_LATENCY_MS);
	client_reboot(c, NULL);
	net_run(n, net_now(n) + 200);
	ck_assert_uint_eq(net_count(n, DTLS_CONNECTED), 9);
	for (unsigned i = 0; i < n->event_count; i++)
		for (unsigned k = 0; k < i; k++)
			if (n->events[i].what == DTLS_CONNECTED && n->events[k].what == DTLS_CONNECTED)
				ck_assert_uint_ne(n->events[i].generation, n->events[k].generation);
	net_free(n);
}
END_TEST

/* ---- deadlines */

START_TEST(endpoint_timeout_is_exact)
{
	struct net *n = net_new(1, &(struct dtls_limits){.idle_ms = 5000});
	struct client *c = client_new(n, 2, 40000, NULL);

	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), -1);
	net_run(n, 59);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), -1);
	net_run(n, 60);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1000);
	net_run(n, 99);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 961);
	net_run(n, 100);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 5000);
	net_run(n, 200);
	client_send(c, "x");
	net_run(n, 219);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 4881);
	net_run(n, 220);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 5000);
	sim_advance_to(n->sim, 5219);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1);
	sim_advance_to(n->sim, 5220);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
	sim_advance_to(n->sim, 9000);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
	net_serve(n);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), -1);
	net_free(n);
}
END_TEST

START_TEST(endpoint_timeout_is_that_of_the_earliest)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshake_ms = 1500});

	client_new(n, 2, 40000, NULL);
	net_run(n, 70);
	n->clients->frozen = true;
	client_new(n, 3, 40000, NULL);
	net_run(n, 130);
	n->clients->frozen = true;
	ck_assert_uint_eq(net_stats(n).handshakes, 2);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1060 - 130);
	net_run(n, 1060);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1130 - 1060);
	net_run(n, 1130);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1560 - 1130);
	net_run(n, 1560);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 1630 - 1560);
	net_run(n, 1630);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), -1);
	NET_EXPECT(n, 0, DTLS_TIMEDOUT, DTLS_TIMEDOUT);
	net_free(n);
}
END_TEST

static int64_t sent_at[16];
static unsigned sends;

static ssize_t note_time(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)to, (void)d;
	ck_assert_uint_lt(sends, 16);
	sent_at[sends++] = net_now(n);
	return 0;
}

/* RFC 6347, 4.2.4.1; the last datagram is the alert. */
START_TEST(endpoint_resends_and_gives_up_on_schedule)
{
	static const int64_t due[] = {20, 60, 1060, 3060, 7060, 15060, 31060, 63060, 123060};
	struct net *n = net_new(1, NULL);

	n->on_send = note_time;
	client_new(n, 2, 40000, NULL);
	net_run(n, 70);
	n->clients->frozen = true;
	net_run(n, 200000);
	ck_assert_uint_eq(sends, 9);
	ck_assert_mem_eq(sent_at, due, sizeof(due));
	NET_EXPECT(n, 0, DTLS_TIMEDOUT);
	ck_assert_int_eq(net_event(n, 0)->at_ms, 123060);
	ck_assert_int_eq(net_event(n, 0)->reason, DTLS_REASON_HANDSHAKE);
	ck_assert_uint_eq(net_stats(n).handshakes_timedout, 1);
	ck_assert_uint_eq(net_stats(n).retransmissions, 6);
	ck_assert_uint_eq(n->out_alerts, 1);
	net_free(n);
}
END_TEST

START_TEST(endpoint_handle_timeout_is_enough_for_timers)
{
	struct net *n = net_new(1, &(struct dtls_limits){.handshake_ms = 2000});
	struct dtls_peer *peer;
	char buf[8];

	client_new(n, 2, 40000, NULL);
	net_run(n, 70);
	sim_advance_to(n->sim, 1059);
	ck_assert_int_eq(dtls_endpoint_handle_timeout(n->ep), DTLS_OK);
	ck_assert_uint_eq(net_stats(n).retransmissions, 0);
	sim_advance_to(n->sim, 1060);
	ck_assert_int_eq(dtls_endpoint_handle_timeout(n->ep), DTLS_OK);
	ck_assert_uint_eq(net_stats(n).retransmissions, 1);
	sim_advance_to(n->sim, 2060);
	ck_assert_int_eq(dtls_endpoint_handle_timeout(n->ep), DTLS_OK);
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), DTLS_TIMEDOUT);
	ck_assert_int_eq(dtls_peer_reason(peer), DTLS_REASON_HANDSHAKE);
	net_free(n);
}
END_TEST

/* An answer that had come is taken before a timer fires for it, however late the program asks. */
START_TEST(endpoint_drains_before_timers)
{
	struct net *n = net_new(1, NULL);

	client_new(n, 2, 40000, NULL);
	net_run(n, 80);
	sim_advance_to(n->sim, 5000);
	net_serve(n);
	NET_EXPECT(n, 0, DTLS_CONNECTED);
	ck_assert_uint_eq(net_stats(n).retransmissions, 0);
	net_free(n);
}
END_TEST

/* ---- events */

START_TEST(endpoint_events_come_in_order)
{
	struct net *n = net_new(1, NULL);
	struct client *c[4];

	for (unsigned i = 0; i < 4; i++)
		c[i] = client_connected(n, 2 + i, 40000, NULL);
	client_echoes(c[0], "x");
	ck_assert_int_eq(dtls_endpoint_close_identity(n->ep, NET_IDENTITY, strlen(NET_IDENTITY)), 4);
	ck_assert_int_eq(dtls_endpoint_timeout(n->ep), 0);
	net_serve(n);
	NET_EXPECT(n, 4, DTLS_CLOSED, DTLS_CLOSED, DTLS_CLOSED, DTLS_CLOSED);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_ptr_eq(net_event(n, 4 + i)->client, c[(i + 1) % 4]);
	net_free(n);
}
END_TEST

START_TEST(endpoint_ended_peer_is_valid_until_the_next_call)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_connected(n, 2, 40000, NULL);
	struct dtls_peer *peer;
	char buf[64];
	size_t len;

	dtls_peer_set_data(client_peer(c), buf);
	dtls_conn_close(c->conn);
	sim_advance_to(n->sim, net_now(n) + NET_LATENCY_MS);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), DTLS_CLOSED);
	ck_assert_ptr_eq(peer, client_peer(c));
	ck_assert_ptr_eq(dtls_peer_data(peer), buf);
	ck_assert_mem_eq(dtls_peer_psk_identity(peer, &len), NET_IDENTITY, strlen(NET_IDENTITY));
	ck_assert_uint_ne(dtls_peer_generation(peer), 0);
	ck_assert_int_eq(dtls_peer_send(peer, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
	net_free(n);
}
END_TEST

START_TEST(endpoint_failed_handshake_has_no_data_and_a_cause)
{
	struct net *n = net_new(1, NULL);
	struct dtls_context *wrong = net_client_context(n, NET_IDENTITY, "wrong-wrong-1234");
	struct dtls_peer *peer;
	char buf[64], name[128];

	client_new(n, 2, 40000, wrong);
	net_run(n, 90);
	sim_advance_to(n->sim, 100);
	ck_assert_int_eq(dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_ptr_null(dtls_peer_data(peer));
	ck_assert_int_eq(dtls_peer_reason(peer), DTLS_REASON_HANDSHAKE);
	ck_assert_msg(strstr(dtls_peer_error(peer), "10.0.0.2:40000") != NULL, "%s", dtls_peer_error(peer));
	ck_assert_msg(strstr(dtls_peer_error(peer), NET_IDENTITY) != NULL, "%s", dtls_peer_error(peer));
	ck_assert_int_lt(dtls_peer_error_code(peer), 0);
	ck_assert_ptr_nonnull(strstr(dtls_peer_error(peer), dtls_error_name(dtls_peer_error_code(peer), name)));
	ck_assert_uint_eq(n->out_alerts, 1);
	ck_assert_uint_eq(net_stats(n).handshakes_failed, 1);
	dtls_context_free(wrong);
	net_free(n);
}
END_TEST

struct asked {
	struct net *net;
	uint64_t guest, stranger; /* the first handshake of each */
};

static ssize_t ask(void *arg, const uint8_t *identity, size_t len, uint8_t *key, size_t key_max)
{
	struct asked *asked = arg;
	bool is_guest = len == strlen("guest") && memcmp(identity, "guest", len) == 0;
	uint64_t *generation = is_guest ? &asked->guest : &asked->stranger;

	ck_assert_uint_ge(key_max, 16);
	if (*generation == 0)
		*generation = dtls_endpoint_handshaking(asked->net->ep);
	memcpy(key, "the-key-of-guest", 16);
	return is_guest ? 16 : 0;
}

START_TEST(endpoint_names_the_handshake_that_a_callback_is_for)
{
	struct net *n = net_new(1, NULL);
	struct asked asked = {.net = n};
	struct dtls_context *guest = net_client_context(n, "guest", "the-key-of-guest");
	struct dtls_context *stranger = net_client_context(n, "stranger", "the-key-of-guest");

	dtls_context_set_psk_lookup(n->server_ctx, ask, &asked);
	client_new(n, 2, 40000, stranger);
	client_new(n, 3, 40000, guest);
	net_run(n, 150);
	ck_assert_uint_eq(dtls_endpoint_handshaking(n->ep), 0);
	for (unsigned i = 0; i < 2; i++) {
		const struct net_event *event = net_event(n, i);

		ck_assert_uint_eq(event->generation, event->what == DTLS_CONNECTED ? asked.guest : asked.stranger);
	}
	ck_assert_uint_eq(net_count(n, DTLS_CONNECTED), 1);
	ck_assert_uint_eq(net_count(n, DTLS_FAIL), 1);
	dtls_context_free(guest);
	dtls_context_free(stranger);
	net_free(n);
}
END_TEST

static ssize_t cannot_receive(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	(void)arg, (void)from, (void)from_len, (void)buf, (void)len;
	errno = ENETDOWN;
	return DTLS_FAIL;
}

static ssize_t never_sends(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	(void)arg, (void)to, (void)to_len, (void)buf, (void)len;
	return DTLS_FAIL;
}

START_TEST(endpoint_that_failed_tells_the_errno)
{
	struct net *n = net_new(1, NULL);
	struct dtls_datagrams broken = {never_sends, cannot_receive, NULL};
	struct dtls_endpoint *ep = dtls_endpoint_new_transport(n->server_ctx, &broken, NULL);
	struct dtls_peer *peer;
	char buf[64];

	ck_assert_int_eq(dtls_endpoint_error_code(ep), 0);
	ck_assert_int_eq(dtls_endpoint_recv(ep, &peer, buf, sizeof(buf)), DTLS_FAIL);
	ck_assert_ptr_null(peer);
	ck_assert_int_eq(dtls_endpoint_error_code(ep), -ENETDOWN);
	dtls_endpoint_free(ep);
	net_free(n);
}
END_TEST

Suite *endpoint_suite(void)
{
	Suite *s = suite_create("endpoint");

	TEST(s, endpoint_connects_in_five_datagram_times);
	TEST(s, endpoint_tells_about_its_peer);
	TEST(s, endpoint_reports_close_notify_once);
	TEST(s, endpoint_generations_are_unique);
	TEST(s, endpoint_timeout_is_exact);
	TEST(s, endpoint_timeout_is_that_of_the_earliest);
	TEST(s, endpoint_resends_and_gives_up_on_schedule);
	TEST(s, endpoint_handle_timeout_is_enough_for_timers);
	TEST(s, endpoint_drains_before_timers);
	TEST(s, endpoint_events_come_in_order);
	TEST(s, endpoint_ended_peer_is_valid_until_the_next_call);
	TEST(s, endpoint_failed_handshake_has_no_data_and_a_cause);
	TEST(s, endpoint_names_the_handshake_that_a_callback_is_for);
	TEST(s, endpoint_that_failed_tells_the_errno);
	return s;
}
