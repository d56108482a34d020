/* Datagrams that another thread hands over: the queue, and an endpoint that lives by it. */
#include "dtls/endpoint.h"
#include "loopback.h"
#include "net.h"
#include "suites.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct address at(unsigned port)
{
	struct sockaddr_in in = net_address(5, port);
	struct address a;

	ck_assert(address_set(&a, (struct sockaddr *)&in, sizeof(in)));
	return a;
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static bool put(struct inbox *in, unsigned port, const char *text)
{
	struct address from = at(port), local = at(1);

	return inbox_put(in, &from, &local, text, strlen(text));
}

static void take(struct inbox *in, unsigned port, const char *text)
{
	struct address from, local, sender = at(port), ours = at(1);
	char buf[64] = "";
	ssize_t n = inbox_take(in, &from, &local, buf, sizeof(buf) - 1);

	ck_assert_int_eq(n, (ssize_t)strlen(text));
	ck_assert_str_eq(buf, text);
	ck_assert(address_equal(&from, &sender));
	ck_assert(address_equal(&local, &ours));
}

static bool is_empty(struct inbox *in)
{
	bool told = inbox_is_empty(in);
	struct address from, local;
	char buf[64];

	return told && inbox_take(in, &from, &local, buf, sizeof(buf)) == -1;
}

START_TEST(inbox_is_first_in_first_out)
{
	struct inbox *in = inbox_new();

	ck_assert(is_empty(in));
	ck_assert(put(in, 1, "one"));
	ck_assert(put(in, 2, ""));
	take(in, 1, "one");
	ck_assert(!inbox_is_empty(in));
	ck_assert(put(in, 3, "three"));
	take(in, 2, "");
	take(in, 3, "three");
	ck_assert(is_empty(in));
	ck_assert(put(in, 4, "four"));
	take(in, 4, "four");
	ck_assert(is_empty(in));
	inbox_free(in);
}
END_TEST

/* Never while it is empty, or poll(2) would spin; always while it is not, or a datagram would wait for ever. */
START_TEST(inbox_descriptor_tells_what_is_in_it)
{
	struct inbox *in = inbox_new();

	for (unsigned round = 0; round < 3; round++) {
		ck_assert(!is_readable(in->fd));
		ck_assert(put(in, 1, "one"));
		ck_assert(is_readable(in->fd));
		ck_assert(put(in, 2, "two"));
		take(in, 1, "one");
		ck_assert(!is_readable(in->fd)); /* the second is the endpoint's already */
		ck_assert(put(in, 3, "three"));
		ck_assert(is_readable(in->fd));
		take(in, 2, "two");
		take(in, 3, "three");
		ck_assert(!is_readable(in->fd));
		ck_assert(is_empty(in));
		ck_assert(!is_readable(in->fd));
	}
	inbox_free(in);
}
END_TEST

START_TEST(inbox_is_bounded_and_counts)
{
	static const uint8_t large[RECORD_MAX], zeros[1000];
	struct address from = at(1), local = {0};
	struct inbox *in = inbox_new();
	static uint8_t buf[RECORD_MAX];
	unsigned count = 0;

	while (inbox_put(in, &from, &local, zeros, sizeof(zeros)))
		count++;
	ck_assert_uint_ge(count, INBOX_ROOM / 1100);
	ck_assert_uint_le(count, INBOX_ROOM / 1000);
	ck_assert_uint_eq(inbox_dropped(in), 1);
	ck_assert(put(in, 2, "there is room for a small one"));
	/* What the endpoint has taken over leaves room for as much again. */
	ck_assert_int_eq(inbox_take(in, &from, &local, buf, sizeof(buf)), 1000);
	for (unsigned i = 0; i < count; i++)
		ck_assert(inbox_put(in, &from, &local, zeros, sizeof(zeros)));
	ck_assert(!inbox_put(in, &from, &local, zeros, sizeof(zeros)));
	ck_assert_uint_eq(inbox_dropped(in), 2);
	for (unsigned i = 1; i < count; i++)
		ck_assert_int_eq(inbox_take(in, &from, &local, buf, sizeof(buf)), 1000);
	take(in, 2, "there is room for a small one");
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(inbox_take(in, &from, &local, buf, sizeof(buf)), 1000);
	ck_assert(is_empty(in));
	for (unsigned i = 0; i < 3; i++)
		ck_assert(inbox_put(in, &from, &local, large, sizeof(large)));
	ck_assert(!inbox_put(in, &from, &local, large, sizeof(large)));
	ck_assert_int_eq(inbox_take(in, &from, &local, buf, sizeof(buf)), RECORD_MAX);
	ck_assert_int_eq(inbox_take(in, &from, &local, buf, 10), 10);
	inbox_free(in);
}
END_TEST

START_TEST(inbox_exact_room)
{
	static const uint8_t bytes[INBOX_ROOM];
	struct address from = at(1), local = {0};
	struct inbox *in = inbox_new();
	size_t len = INBOX_ROOM;

	while (!inbox_put(in, &from, &local, bytes, len))
		len--;
	ck_assert_uint_eq(in->filled, INBOX_ROOM);
	ck_assert(!inbox_put(in, &from, &local, bytes, 0));
	inbox_free(in);
}
END_TEST

/* ---- threads ---- */

enum { SENDERS = 3, SENT_EACH = 20000 };

static struct inbox *shared;

static void *sends(void *arg)
{
	unsigned port = *(unsigned *)arg;
	uint64_t refused = 0;

	for (uint32_t i = 0; i < SENT_EACH; i++) {
		struct address from = at(port), local = {0};
		uint8_t text[100] = {0};

		memcpy(text, &i, sizeof(i));
		while (!inbox_put(shared, &from, &local, text, 4 + i % 96)) {
			refused++;
			poll(NULL, 0, 1);
		}
	}
	*(unsigned *)arg = (unsigned)refused;
	return NULL;
}

START_TEST(inbox_of_many_threads_loses_nothing)
{
	unsigned ports[SENDERS] = {1, 2, 3}, refused = 0;
	uint32_t next[SENDERS] = {0};
	pthread_t threads[SENDERS];

	shared = inbox_new();
	for (unsigned i = 0; i < SENDERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, sends, &ports[i]), 0);
	for (unsigned left = SENDERS * SENT_EACH; left > 0;) {
		struct pollfd p = {.fd = shared->fd, .events = POLLIN};
		struct address from, local;
		uint8_t text[100];
		ssize_t n = inbox_take(shared, &from, &local, text, sizeof(text));
		unsigned sender;
		uint32_t number;

		if (n < 0) {
			ck_assert_int_eq(poll(&p, 1, LOOPBACK_PATIENCE_MS), 1);
			continue;
		}
		sender = ntohs(from.in.sin_port) - 1U;
		memcpy(&number, text, sizeof(number));
		ck_assert_uint_lt(sender, SENDERS);
		ck_assert_uint_eq(number, next[sender]++);
		ck_assert_int_eq(n, 4 + number % 96);
		left--;
	}
	for (unsigned i = 0; i < SENDERS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		refused += ports[i];
	}
	ck_assert(is_empty(shared));
	ck_assert(!is_readable(shared->fd));
	ck_assert_uint_eq(inbox_dropped(shared), refused);
	inbox_free(shared);
}
END_TEST

/* ---- an endpoint ---- */

/* Whose socket gets nothing: all that comes to its host is handed over. */
static ssize_t hand_over(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct net *n = arg;
	socklen_t room = *from_len;
	ssize_t got;

	while ((got = sim_host_recv(n->host, from, from_len, buf, len)) != DTLS_WANT_READ) {
		ck_assert_int_eq(dtls_endpoint_deliver(n->ep, from, *from_len, NULL, 0, buf, (size_t)got), DTLS_OK);
		*from_len = room;
	}
	return DTLS_WANT_READ;
}

static ssize_t send_as_host(void *arg, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	return sim_host_send(((struct net *)arg)->host, to, to_len, buf, len);
}

static struct net *net_of_deliveries(void)
{
	struct net *n = net_new(1, NULL);
	struct dtls_datagrams datagrams = {send_as_host, hand_over, n};

	dtls_endpoint_free(n->ep);
	n->ep = dtls_endpoint_new_transport(n->server_ctx, &datagrams, NULL);
	ck_assert_int_ge(dtls_endpoint_inbox(n->ep), 0);
	return n;
}

START_TEST(inbox_is_as_good_as_a_socket)
{
	struct net *n = net_of_deliveries();
	struct client *a = client_connected(n, 2, 1, NULL), *b = client_connected(n, 3, 1, NULL);

	ck_assert_int_eq(dtls_endpoint_inbox(n->ep), dtls_endpoint_inbox(n->ep));
	client_echoes(a, "hello");
	client_echoes(b, "hello");
	client_reboot(a, NULL);
	net_run(n, net_now(n) + 6 * NET_LATENCY_MS);
	client_echoes(a, "again");
	ck_assert_uint_eq(net_stats(n).closed_replaced, 1);
	ck_assert_uint_eq(net_stats(n).peers, 2);
	ck_assert_uint_eq(net_stats(n).datagrams_in, 3 * 3 + 3);
	ck_assert_uint_eq(net_stats(n).drop_inbox, 0);
	ck_assert(!is_readable(dtls_endpoint_inbox(n->ep)));
	net_free(n);
}
END_TEST

struct busy { /* a socket that has always something */
	struct dtls_endpoint *ep;
	unsigned calls;
	uint64_t seen[8]; /* datagrams judged before each call */
};

static ssize_t recv_junk(void *arg, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct sockaddr_in in = net_address(9, 9);
	struct busy *b = arg;

	(void)len;
	if (b->calls == 8)
		return DTLS_WANT_READ;
	b->seen[b->calls++] = b->ep->stats.drop_junk;
	memcpy(from, &in, sizeof(in));
	*from_len = sizeof(in);
	memcpy(buf, "received", 8);
	return 8;
}

static int64_t no_time(void *arg)
{
	(void)arg;
	return 0;
}

/* A busy socket does not keep deliveries waiting, nor they it. */
START_TEST(inbox_and_socket_take_turns)
{
	struct busy busy = {0};
	struct dtls_context *ctx = loopback_context(PROTOCOL_DTLS_SERVER);
	struct dtls_datagrams datagrams = {.recv = recv_junk, .arg = &busy};
	struct sockaddr_in from = net_address(5, 1);
	struct dtls_peer *peer;
	char buf[64];

	ck_assert_int_eq(dtls_context_set_clock(ctx, no_time, NULL), DTLS_OK); /* so that a call is not too long */
	busy.ep = dtls_endpoint_new_transport(ctx, &datagrams, NULL);
	ck_assert_int_ge(dtls_endpoint_inbox(busy.ep), 0);
	ck_assert_int_eq(dtls_endpoint_timeout(busy.ep), -1);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(
		    dtls_endpoint_deliver(busy.ep, (struct sockaddr *)&from, sizeof(from), NULL, 0, "delivered", 9),
		    DTLS_OK);
	ck_assert_int_eq(dtls_endpoint_timeout(busy.ep), 0);
	ck_assert_int_eq(dtls_endpoint_recv(busy.ep, &peer, buf, sizeof(buf)), DTLS_WANT_READ);
	ck_assert_uint_eq(busy.calls, 8);
	for (unsigned i = 0; i < 5; i++)
		ck_assert_uint_eq(busy.seen[i], 2 * i + 1);
	ck_assert_uint_eq(busy.seen[7], 5 + 7);
	ck_assert_int_eq(dtls_endpoint_timeout(busy.ep), -1);
	dtls_endpoint_free(busy.ep);
	dtls_context_free(ctx);
}
END_TEST

START_TEST(inbox_refuses_what_is_none)
{
	static const uint8_t bytes[RECORD_MAX + 1];
	struct net *n = net_new(1, NULL);
	struct sockaddr_in in = net_address(5, 1);
	const struct sockaddr *from = (const struct sockaddr *)&in, other = {.sa_family = AF_UNIX};
	unsigned count = 0;

	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, from, sizeof(in), NULL, 0, "x", 1), DTLS_FAIL);
	ck_assert_int_ge(dtls_endpoint_inbox(n->ep), 0);
	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, from, sizeof(in), NULL, 0, "x", 1), DTLS_OK);
	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, &other, sizeof(other), NULL, 0, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, from, 2, NULL, 0, "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, from, sizeof(in), &other, sizeof(other), "x", 1), DTLS_FAIL);
	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, from, sizeof(in), NULL, 0, bytes, sizeof(bytes)), DTLS_TOO_BIG);
	while (dtls_endpoint_deliver(n->ep, from, sizeof(in), NULL, 0, bytes, RECORD_MAX) == DTLS_OK)
		count++;
	ck_assert_uint_eq(count, 3);
	ck_assert_uint_eq(net_stats(n).drop_inbox, 1);
	net_serve(n);
	ck_assert_uint_eq(net_stats(n).drop_junk, 1 + count);
	ck_assert_uint_eq(net_stats(n).datagrams_in, 1 + count + 1);
	net_free(n);
}
END_TEST

START_TEST(inbox_is_not_inherited)
{
	struct net *n = net_new(1, NULL);
	struct sockaddr_in in = net_address(5, 1);
	int fd = dtls_endpoint_inbox(n->ep), status;
	pid_t child;

	ck_assert_int_eq(dtls_endpoint_deliver(n->ep, (struct sockaddr *)&in, sizeof(in), NULL, 0, "x", 1), DTLS_OK);
	child = fork();
	if (child == 0) {
		net_serve(n);
		if (net_stats(n).drop_junk != 0 || is_readable(fd))
			_exit(1);
		dtls_endpoint_deliver(n->ep, (struct sockaddr *)&in, sizeof(in), NULL, 0, "x", 1);
		if (!is_readable(fd))
			_exit(2);
		net_serve(n);
		_exit(net_stats(n).drop_junk == 1 && !is_readable(fd) ? 0 : 3);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert(is_readable(fd));
	net_serve(n);
	ck_assert_uint_eq(net_stats(n).drop_junk, 1);
	net_free(n);
}
END_TEST

START_TEST(inbox_stats_add_up)
{
	struct dtls_stats a = {.size = sizeof(a), .datagrams_in = 1, .peers = 2, .drop_inbox = 3};
	struct dtls_stats b = {.size = sizeof(b), .datagrams_in = 10, .messages_out = 5, .peers = 20, .drop_inbox = 30};
	struct dtls_stats old = {.size = offsetof(struct dtls_stats, peers), .datagrams_in = 100, .peers = 100};

	dtls_stats_add(&a, &b);
	ck_assert_uint_eq(a.size, sizeof(a));
	ck_assert_uint_eq(a.datagrams_in, 11);
	ck_assert_uint_eq(a.messages_out, 5);
	ck_assert_uint_eq(a.peers, 22);
	ck_assert_uint_eq(a.drop_inbox, 33);
	dtls_stats_add(&a, &old);
	ck_assert_uint_eq(a.datagrams_in, 111);
	ck_assert_uint_eq(a.peers, 22);
	dtls_stats_add(&old, &a);
	ck_assert_uint_eq(old.datagrams_in, 211);
	ck_assert_uint_eq(old.peers, 100);
}
END_TEST

Suite *inbox_suite(void)
{
	Suite *s = suite_create("inbox");

	TEST(s, inbox_is_first_in_first_out);
	TEST(s, inbox_descriptor_tells_what_is_in_it);
	TEST(s, inbox_is_bounded_and_counts);
	TEST(s, inbox_exact_room);
	TEST(s, inbox_of_many_threads_loses_nothing);
	TEST(s, inbox_is_as_good_as_a_socket);
	TEST(s, inbox_and_socket_take_turns);
	TEST(s, inbox_refuses_what_is_none);
	TEST(s, inbox_is_not_inherited);
	TEST(s, inbox_stats_add_up);
	return s;
}
