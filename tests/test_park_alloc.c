/* Memory ends while peers are parked and woken: the session that needed it ends and says so, or it is not parked; no other
 * is touched, nothing is lost for good. */
#include "failing.h"
#include "parking.h"
#include "pki.h"
#include "suites.h"

#include "dtls/endpoint.h"

#include <stdio.h>
#include <string.h>

enum { CLIENTS = 4 };

/* Nothing here may need memory but the endpoint. */
static struct {
	const struct client *from; /* of the datagram that is to come; or NULL */
	struct datagram datagram;
	ssize_t ended[CLIENTS]; /* the event, or 0 */
	enum dtls_reason reason[CLIENTS];
	char error[CLIENTS][128];
	unsigned messages, sent;
} seen;

static ssize_t quiet_send(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	(void)arg, (void)to, (void)to_len, (void)buf;
	seen.sent++;
	return (ssize_t)len;
}

static ssize_t quiet_recv(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	(void)arg, (void)len;
	if (seen.from == NULL)
		return DTLS_WANT_READ;
	memcpy(from, &seen.from->addr, sizeof(seen.from->addr));
	*from_len = sizeof(seen.from->addr);
	memcpy(buf, seen.datagram.bytes, seen.datagram.len);
	seen.from = NULL;
	return (ssize_t)seen.datagram.len;
}

static void note_end(const struct dtls_peer *peer, ssize_t event)
{
	unsigned nth = (unsigned)(uintptr_t)dtls_peer_data(peer);

	seen.ended[nth] = event;
	seen.reason[nth] = dtls_peer_reason(peer);
	snprintf(seen.error[nth], sizeof(seen.error[nth]), "%s", dtls_peer_error(peer));
}

/* Client 0 speaks, client 1 is spoken to, client 2 is closed. */
static void use_them(struct net *n, struct dtls_peer *const peers[])
{
	struct dtls_peer *peer;
	char buf[64];
	ssize_t event;

	for (unsigned round = 0; round < 2; round++) {
		while ((event = dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf))) != DTLS_WANT_READ) {
			seen.messages += event > 0;
			if (event < 0)
				note_end(peer, event);
		}
		if (round == 0)
			dtls_peer_send(peers[1], "hello", 5);
	}
	dtls_peer_close(peers[2]);
}

static void assert_honest(struct net *n, unsigned nth, unsigned who)
{
	if (seen.ended[who] == 0) {
		client_echoes(parking_client(n, who), "unharmed");
		return;
	}
	ck_assert_int_eq(seen.ended[who], DTLS_FAIL);
	ck_assert_int_eq(seen.reason[who], DTLS_REASON_ERROR);
	ck_assert_msg(strstr(seen.error[who], "could not be woken") != NULL, "allocation %u: %s", nth, seen.error[who]);
}

/* Returns whether the nth allocation was reached. */
static bool run_nth(unsigned nth, struct net *(*open)(void))
{
	struct net *n = open();
	struct dtls_datagrams datagrams = n->ep->datagrams;
	struct client *first = parking_client(n, 0);
	struct dtls_peer *peers[CLIENTS];
	struct sim_weather lost = {.loss = 1};
	bool reached;

	for (unsigned i = 0; i < CLIENTS; i++) {
		peers[i] = client_peer(parking_client(n, i));
		dtls_peer_set_data(peers[i], (void *)(uintptr_t)i);
	}
	sim_link_set_weather(sim_host_link(first->host), &lost);
	first->sent_count = 0;
	client_send(first, "text");
	sim_link_set_weather(sim_host_link(first->host), &(struct sim_weather){.latency_ms = NET_LATENCY_MS});
	memset(&seen, 0, sizeof(seen));
	seen.from = first;
	seen.datagram = first->sent[0];
	n->ep->datagrams = (struct dtls_datagrams){quiet_send, quiet_recv, NULL};
	failing_arm(nth);
	use_them(n, peers);
	reached = failing_happened();
	failing_arm(0);
	n->ep->datagrams = datagrams;
	ck_assert_uint_eq(seen.messages, seen.ended[0] == 0);
	ck_assert(reached || seen.sent == 2);
	assert_honest(n, nth, 0);
	assert_honest(n, nth, 1);
	ck_assert_int_eq(seen.ended[3], 0);
	client_echoes(parking_client(n, 3), "unharmed");
	net_free(n);
	return reached;
}

/* Returns how many failed. */
static unsigned each_fails(struct net *(*open)(void))
{
	unsigned nth = 1;
	long before;

	run_nth(0, open);
	before = failing_live();
	for (; run_nth(nth, open); nth++)
		ck_assert_msg(
		    failing_live() == before, "allocation %u: %ld blocks were lost", nth, failing_live() - before);
	return nth - 1;
}

static struct net *with_keys(void)
{
	return parking_net(CLIENTS, &(struct dtls_limits){.max_awake = 1});
}

/* Each of a fresh snapshot of its own: no spare context fits the next one. */
static struct net *with_fresh_settings(void)
{
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});

	for (unsigned i = 0; i < CLIENTS; i++) {
		ck_assert_int_eq(dtls_context_set_mtu(n->server_ctx, 1000 + i), DTLS_OK);
		parking_add(n, NULL);
	}
	return n;
}

static struct net *with_certificates(void)
{
	static const char *const suites[] = {"TLS-ECDHE-ECDSA-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CCM-8"};
	struct net *n = net_new(1, &(struct dtls_limits){.max_awake = 1});
	struct dtls_context *ctx = dtls_context_new(PROTOCOL_DTLS_CLIENT);

	pki_load(n->server_ctx, "server.pem", "server.key");
	pki_trust(n->server_ctx, "ca.pem");
	ck_assert_int_eq(dtls_context_set_verify_mode(n->server_ctx, CERT_REQUIRED), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_ciphers(n->server_ctx, suites, 2), DTLS_OK);
	ck_assert_int_eq(dtls_context_set_clock(ctx, sim_now_ms, n->sim), DTLS_OK);
	pki_load(ctx, "client.pem", "client.key");
	ck_assert_int_eq(dtls_context_set_verify_mode(ctx, CERT_NONE), DTLS_OK);
	for (unsigned i = 0; i < CLIENTS; i++)
		parking_add(n, i % 3 == 0 ? ctx : NULL); /* they take long */
	dtls_context_free(ctx);
	return n;
}

START_TEST(park_alloc_each_one_fails)
{
	ck_assert_uint_gt(each_fails(with_keys), 5);
}
END_TEST

START_TEST(park_alloc_each_one_fails_without_a_spare)
{
	ck_assert_uint_gt(each_fails(with_fresh_settings), 15);
}
END_TEST

START_TEST(park_alloc_each_one_fails_with_certificates)
{
	ck_assert_uint_gt(each_fails(with_certificates), 15);
}
END_TEST

/* Who could not be parked is counted, and parked as soon as there is memory again. */
START_TEST(park_alloc_is_tried_again)
{
	struct net *n = with_certificates();
	struct dtls_peer *first = client_peer(parking_client(n, 0));
	ssize_t sent;

	parking_expect(n, "pppa");
	failing_arm(1); /* a session with a certificate has no room beside its peer */
	sent = dtls_peer_send(first, "text", 4);
	failing_arm(0);
	ck_assert_int_eq(sent, 4);
	ck_assert_uint_eq(net_stats(n).park_refused, 1);
	parking_expect(n, "appp");
	client_echoes(parking_client(n, 3), "unharmed");
	net_free(n);
}
END_TEST

Suite *park_alloc_suite(void)
{
	static const char why[] = "a sanitizer has its own allocator";
	Suite *s = suite_create("park_alloc");

	pki_announce();
	TEST_WHERE(FAILING_POSSIBLE, why, s, park_alloc_each_one_fails);
	TEST_WHERE(FAILING_POSSIBLE, why, s, park_alloc_each_one_fails_without_a_spare);
	TEST_WHERE(FAILING_POSSIBLE, why, s, park_alloc_each_one_fails_with_certificates);
	TEST_WHERE(FAILING_POSSIBLE, why, s, park_alloc_is_tried_again);
	return s;
}
