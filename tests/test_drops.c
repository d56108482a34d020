#include "net.h"
#include "suites.h"

#include "dtls/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>

enum { DROPS = 9 };

#define DROP(name)                                                                                                     \
	{                                                                                                              \
#name, offsetof(struct dtls_stats, drop_##name)                                                        \
	}
static const struct drop {
	const char *name;
	size_t offset;
} drops[DROPS] = {DROP(junk), DROP(malformed_hello), DROP(fragmented_hello), DROP(replayed_hello), DROP(forged),
    DROP(truncated), DROP(memory), DROP(send), DROP(address)};

static uint64_t counter(const struct dtls_stats *s, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)s + offset, sizeof(value));
	return value;
}

static uint64_t all_drops(const struct dtls_stats *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < DROPS; i++)
		sum += counter(s, drops[i].offset);
	return sum;
}

/* One datagram came in since, and this counter alone moved; NULL: none did. */
static void assert_only(const struct net *n, const struct dtls_stats *before, const char *what, const char *name)
{
	struct dtls_stats after = net_stats(n);

	ck_assert_uint_eq(after.datagrams_in, before->datagrams_in + 1);
	for (unsigned i = 0; i < DROPS; i++) {
		uint64_t moved = counter(&after, drops[i].offset) - counter(before, drops[i].offset);
		bool expected = name != NULL && strcmp(drops[i].name, name) == 0;

		ck_assert_msg(
		    moved == expected, "%s: drop_%s moved by %llu", what, drops[i].name, (unsigned long long)moved);
	}
}

/* ---- by what comes, and in which state of its address */

enum situation { STRANGER, UNFINISHED, ESTABLISHED, SITUATIONS };

static struct datagram hello, verified, foreign; /* without a cookie, with this client's, with another's */

static struct client *arrange(struct net *n, enum situation where)
{
	struct client *c = client_new(n, 2, 40000, NULL);

	net_run(n, where == STRANGER ? 30 : where == UNFINISHED ? 70 : 120);
	c->frozen = true;
	hello = *client_hello(c, false);
	if (where != STRANGER)
		verified = *client_hello(c, true);
	return c;
}

static struct datagram bytes(const void *p, size_t len)
{
	struct datagram d = {.len = len};

	memcpy(d.bytes, p, len);
	return d;
}

static struct datagram with_byte(struct datagram d, size_t at, uint8_t value)
{
	d.bytes[at] = value;
	return d;
}

static struct datagram cut(struct datagram d, size_t len)
{
	d.len = len;
	return d;
}

#define APPLICATION_DATA                                                                                               \
	"\x17\xfe\xfd\x00\x01\x00\x00\x00\x00\x00\x63\x00\x18\x00\x00\x00\x00\x00\x00\x00\x63"                         \
	"abcdefghijklmnop"
#define ALERT "\x15\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x07\x00\x02\x02\x28"
#define HTTP  "GET / HTTP/1.1\r\n\r\n"

/* What each counts as in each situation; "" for an answer, or a part of a handshake. */
static const struct expectation {
	const char *what;
	const char *as[SITUATIONS];
} expectations[] = {
    {"nothing", {"junk", "junk", "forged"}},
    {"one byte", {"junk", "", "forged"}},
    {"HTTP", {"junk", "", "forged"}},
    {"forged application data", {"junk", "", "forged"}},
    {"plain alert", {"junk", NULL, "forged"}}, /* ends an unfinished handshake, like any injection on the path */
    {"hello", {"", "", ""}},
    {"hello with an altered cookie", {"", "", ""}},
    {"hello without its last byte", {"junk", "", "forged"}},
    {"hello with a cookie past its end", {"malformed_hello", "malformed_hello", "malformed_hello"}},
    {"hello in two fragments", {"fragmented_hello", "fragmented_hello", "fragmented_hello"}},
    {"hello in epoch 1", {"junk", "", "forged"}},
    {"verified hello again", {NULL, "", "replayed_hello"}},
};

static struct datagram make(const char *what)
{
	size_t cookie_at = NET_HELLO_RANDOM_AT + 32 + 1;

	if (strcmp(what, "nothing") == 0)
		return bytes("", 0);
	if (strcmp(what, "one byte") == 0)
		return bytes("\x16", 1);
	if (strcmp(what, "HTTP") == 0)
		return bytes(HTTP, sizeof(HTTP) - 1);
	if (strcmp(what, "forged application data") == 0)
		return bytes(APPLICATION_DATA, sizeof(APPLICATION_DATA) - 1);
	if (strcmp(what, "plain alert") == 0)
		return bytes(ALERT, sizeof(ALERT) - 1);
	if (strcmp(what, "hello with an altered cookie") == 0)
		return with_byte(foreign, cookie_at + 3, (uint8_t)~foreign.bytes[cookie_at + 3]);
	if (strcmp(what, "hello without its last byte") == 0)
		return cut(hello, hello.len - 1);
	if (strcmp(what, "hello with a cookie past its end") == 0)
		return with_byte(hello, cookie_at, 255);
	if (strcmp(what, "hello in two fragments") == 0)
		return with_byte(hello, 24, (uint8_t)(hello.bytes[24] - 1)); /* the fragment's length */
	if (strcmp(what, "hello in epoch 1") == 0)
		return with_byte(hello, 4, 1);
	return strcmp(what, "hello") == 0 ? hello : verified;
}

static void check_expectation(const struct expectation *e, enum situation where)
{
	static const char *const situations[] = {"stranger", "unfinished", "established"};
	struct net *n = net_new(1, NULL);
	struct client *c = arrange(n, where);
	struct dtls_stats before = net_stats(n), after;
	struct datagram d = make(e->what);
	char what[80];

	snprintf(what, sizeof(what), "%s, %s", e->what, situations[where]);
	net_inject(n, &c->addr, d.bytes, d.len);
	assert_only(n, &before, what, e->as[where]);
	after = net_stats(n);
	ck_assert_msg(after.peers == before.peers && after.handshakes == before.handshakes, "%s", what);
	ck_assert_msg(after.handshakes_started == before.handshakes_started, "%s", what);
	ck_assert_msg(after.messages_in == before.messages_in, "%s", what);
	if (where == ESTABLISHED) {
		c->frozen = false;
		client_echoes(c, "still here");
	}
	net_free(n);
}

START_TEST(drops_by_kind_and_situation)
{
	struct net *n = net_new(2, NULL);

	arrange(n, ESTABLISHED);
	foreign = verified;
	net_free(n);
	for (size_t i = 0; i < sizeof(expectations) / sizeof(*expectations); i++)
		for (enum situation where = STRANGER; where < SITUATIONS; where++)
			if (expectations[i].as[where] != NULL)
				check_expectation(&expectations[i], where);
}
END_TEST

START_TEST(drops_truncated_datagrams)
{
	static uint8_t big[RECORD_MAX + 100];
	struct net *n = net_new(1, NULL);
	struct sockaddr_in from = net_address(2, 40000);
	struct dtls_stats before = net_stats(n);

	net_inject(n, &from, big, RECORD_MAX);
	assert_only(n, &before, "as large as a record may be", "junk");
	before = net_stats(n);
	net_inject(n, &from, big, RECORD_MAX + 1);
	assert_only(n, &before, "one byte larger", "truncated");
	before = net_stats(n);
	net_inject(n, &from, big, sizeof(big));
	assert_only(n, &before, "much larger", "truncated");
	net_free(n);
}
END_TEST

START_TEST(drops_foreign_address_families)
{
	struct net *n = net_new(1, NULL);
	struct sockaddr_un from = {.sun_family = AF_UNIX};
	struct dtls_stats before = net_stats(n);

	net_inject_from(n, (struct sockaddr *)&from, sizeof(from), "x", 1);
	assert_only(n, &before, "AF_UNIX", "address");
	before = net_stats(n);
	net_inject_from(n, (struct sockaddr *)&from, 0, "x", 1);
	assert_only(n, &before, "no address", "address");
	net_free(n);
}
END_TEST

static ssize_t send_fails(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)to, (void)d;
	return DTLS_FAIL;
}

static ssize_t send_waits(struct net *n, const struct sockaddr_in *to, const struct datagram *d)
{
	(void)n, (void)to, (void)d;
	return DTLS_WANT_WRITE;
}

/* A HelloVerifyRequest that cannot leave is forgotten, not kept: an unproven address costs nothing. */
START_TEST(drops_what_cannot_be_sent)
{
	struct net *n = net_new(1, NULL);
	struct dtls_stats before;

	arrange(n, STRANGER);
	n->on_send = send_fails;
	before = net_stats(n);
	net_inject(n, &n->clients->addr, hello.bytes, hello.len);
	assert_only(n, &before, "send fails", "send");
	n->on_send = send_waits;
	before = net_stats(n);
	net_inject(n, &n->clients->addr, hello.bytes, hello.len);
	assert_only(n, &before, "send would wait", "send");
	ck_assert_ptr_null(n->ep->outbox.first);
	net_free(n);
}
END_TEST

/* ---- without memory */

/* A sanitizer's allocator ends the program instead. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

struct hoard {
	struct hoard *next;
};

/* The limit counts the stack too. */
static void grow_the_stack(void)
{
	volatile char deep[1 << 18];

	for (size_t i = 0; i < sizeof(deep); i += 1024)
		deep[i] = 0;
}

/* From here on libcheck's assertions do not work: they allocate. */
static struct hoard *take_all_memory(void)
{
	struct hoard *all = NULL, *more;
	struct rlimit limit;

	grow_the_stack();
	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = 1;
	setrlimit(RLIMIT_AS, &limit);
	for (size_t size = 1 << 16; size >= sizeof(*more); size /= 2)
		while ((more = malloc(size)) != NULL) {
			more->next = all;
			all = more;
		}
	return all;
}

static void give_memory_back(struct hoard *all)
{
	struct rlimit limit;

	getrlimit(RLIMIT_AS, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
	while (all != NULL) {
		struct hoard *next = all->next;

		free(all);
		all = next;
	}
}

START_TEST(drops_for_want_of_memory)
{
	struct net *n = net_new(1, NULL);
	struct client *c = client_new(n, 2, 40000, NULL);
	struct dtls_peer *peer;
	struct dtls_stats before;
	struct hoard *all;
	ssize_t status;
	char buf[8];

	net_run(n, 50);
	before = net_stats(n);
	sim_advance_to(n->sim, 60);
	all = take_all_memory();
	status = dtls_endpoint_recv(n->ep, &peer, buf, sizeof(buf));
	give_memory_back(all);
	ck_assert_int_eq(status, DTLS_WANT_READ);
	assert_only(n, &before, "no memory", "memory");
	ck_assert_uint_eq(net_stats(n).handshakes, 0);
	ck_assert_uint_eq(n->ep->table.count, 0);
	net_run(n, 1200);
	ck_assert_int_eq(c->status, DTLS_OK);
	ck_assert_int_eq(c->done_at, 1040 + 4 * NET_LATENCY_MS);
	net_free(n);
}
END_TEST

/* ---- every datagram is accounted for */

static struct dtls_stats last;
static bool pending, in_handshake;

static bool is_unfinished(struct net *n, const struct sockaddr_in *from)
{
	struct address addr, local = {0};
	struct dtls_peer *peer;

	ck_assert(address_set(&addr, (const struct sockaddr *)from, sizeof(*from)));
	peer = peertable_find(&n->ep->table, &addr, &local);
	return peer != NULL && (peer->state == PEER_HANDSHAKE || peer->successor != NULL);
}

/* What the datagram before this one moved. */
static void account(struct net *n, const struct sockaddr_in *from)
{
	struct dtls_stats now = net_stats(n);
	uint64_t dropped = all_drops(&now) - all_drops(&last), answered = now.hello_replies - last.hello_replies;
	bool delivered = now.messages_in != last.messages_in, closed = now.closed_by_peer != last.closed_by_peer;
	bool handshake = in_handshake || now.handshakes_started != last.handshakes_started ||
			 now.retransmissions != last.retransmissions;
	uint64_t fates = dropped + answered + delivered + closed;

	if (pending)
		ck_assert_msg(fates == 1 || (fates == 0 && handshake), "%llu dropped, %llu answered, %d, %d, %d",
		    (unsigned long long)dropped, (unsigned long long)answered, delivered, closed, handshake);
	pending = from != NULL;
	in_handshake = from != NULL && is_unfinished(n, from);
	last = now;
}

START_TEST(drops_account_for_every_datagram)
{
	static const struct sim_weather storm = {.latency_ms = NET_LATENCY_MS,
	    .jitter_ms = 30,
	    .loss = 0.1,
	    .duplicate = 0.2,
	    .reorder = 0.2,
	    .corrupt = 0.1};
	struct net *n = net_new(7, NULL);

	n->on_receive = account;
	pending = false;
	last = net_stats(n);
	for (unsigned i = 0; i < 50; i++)
		sim_link_set_weather(sim_host_link(client_new(n, 2 + i, 40000, NULL)->host), &storm);
	net_run(n, 30000);
	for (unsigned round = 0; round < 20; round++) {
		for (struct client *c = n->clients; c != NULL; c = c->next)
			if (c->status == DTLS_OK)
				client_send(c, "21.4");
		net_run(n, net_now(n) + 100);
	}
	for (struct client *c = n->clients; c != NULL; c = c->next)
		dtls_conn_close(c->conn);
	net_run(n, net_now(n) + 300000);
	account(n, NULL);
	ck_assert_uint_gt(last.datagrams_in, 1000);
	ck_assert_uint_gt(last.drop_forged, 50);
	ck_assert_uint_gt(last.messages_in, 500);
	ck_assert_uint_gt(last.closed_by_peer, 30);
	net_free(n);
}
END_TEST

Suite *drops_suite(void)
{
	Suite *s = suite_create("drops");

	TEST(s, drops_by_kind_and_situation);
	TEST(s, drops_truncated_datagrams);
	TEST(s, drops_foreign_address_families);
	TEST(s, drops_what_cannot_be_sent);
	TEST_WHERE(__sanitizer_get_current_allocated_bytes == NULL, "a sanitizer's allocator does not fail", s,
	    drops_for_want_of_memory);
	TEST(s, drops_account_for_every_datagram);
	return s;
}
