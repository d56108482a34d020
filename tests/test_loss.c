/* What happens when a message of the handshake is lost, repeated or late. Links of 20 ms, the fixed schedule: without
 * loss the client is done at 120 ms and the server at 100 ms. */
#include "pair.h"

#include <string.h>

#define ECDHE "TLS-ECDHE-PSK-WITH-CHACHA20-POLY1305-SHA256"

enum way { UP, DOWN }; /* client to server, and back */

/* clang-format off */
#define NOTHING {UP, "", SIM_DELIVER, 0}
#define LOST(way, message, times) {way, message, SIM_DROP, times}
#define TWICE(way, message) {way, message, SIM_DUPLICATE, 1}
#define LATE(way, message) {way, message, SIM_HOLD_BEHIND_NEXT, 1} /* 21 ms, where nothing follows */
/* clang-format on */

struct rule { /* what happens to the datagrams of one way that carry this message */
	enum way way;
	const char *message;
	enum sim_fate fate;
	unsigned times; /* the first ones; 0: no rule */
};

struct loss {
	const char *sentence;
	struct rule rules[2];
	int64_t client_at, server_at;
};

/* Each flight in one datagram. Both sides resend: a server's first flight is resent by its own timer and by the
 * client's repeated hello, whichever comes first, so that its losses cost less than a hello's. */
static const struct loss flights[] = {
    {"nothing lost", {NOTHING}, 120, 100},
    {"ClientHello lost", {LOST(UP, "ClientHello", 1)}, 1120, 1100},
    {"HelloVerifyRequest lost", {LOST(DOWN, "HelloVerifyRequest", 1)}, 1120, 1100},
    {"ClientHello with cookie lost", {LOST(UP, "ClientHello with cookie", 1)}, 1120, 1100},
    {"server's first flight lost", {LOST(DOWN, "ServerHello", 1)}, 1120, 1100},
    {"client's last flight lost", {LOST(UP, "Finished", 1)}, 1120, 1100},
    {"server's last flight lost", {LOST(DOWN, "Finished", 1)}, 1120, 100},
    {"ClientHello lost twice", {LOST(UP, "ClientHello", 2)}, 3120, 3100},
    {"HelloVerifyRequest lost twice", {LOST(DOWN, "HelloVerifyRequest", 2)}, 3120, 3100},
    {"ClientHello with cookie lost twice", {LOST(UP, "ClientHello with cookie", 2)}, 3120, 3100},
    {"server's first flight lost twice", {LOST(DOWN, "ServerHello", 2)}, 2120, 2100},
    {"client's last flight lost twice", {LOST(UP, "Finished", 2)}, 2120, 2100},
    {"server's last flight lost twice", {LOST(DOWN, "Finished", 2)}, 3120, 100},
    {"ClientHello lost three times", {LOST(UP, "ClientHello", 3)}, 7120, 7100},
    {"HelloVerifyRequest lost three times", {LOST(DOWN, "HelloVerifyRequest", 3)}, 7120, 7100},
    {"ClientHello with cookie lost three times", {LOST(UP, "ClientHello with cookie", 3)}, 7120, 7100},
    {"server's first flight lost three times", {LOST(DOWN, "ServerHello", 3)}, 3120, 3100},
    {"client's last flight lost three times", {LOST(UP, "Finished", 3)}, 3120, 3100},
    {"server's last flight lost three times", {LOST(DOWN, "Finished", 3)}, 7120, 100},
    {"ClientHello duplicated", {TWICE(UP, "ClientHello")}, 120, 100},
    {"HelloVerifyRequest duplicated", {TWICE(DOWN, "HelloVerifyRequest")}, 120, 100},
    {"ClientHello with cookie duplicated", {TWICE(UP, "ClientHello with cookie")}, 120, 100},
    {"server's first flight duplicated", {TWICE(DOWN, "ServerHello")}, 120, 100},
    {"client's last flight duplicated", {TWICE(UP, "Finished")}, 120, 100},
    {"server's last flight duplicated", {TWICE(DOWN, "Finished")}, 120, 100},
    {"ClientHello overtaken", {LATE(UP, "ClientHello")}, 141, 121},
    {"HelloVerifyRequest overtaken", {LATE(DOWN, "HelloVerifyRequest")}, 141, 121},
    {"ClientHello with cookie overtaken", {LATE(UP, "ClientHello with cookie")}, 141, 121},
    {"server's first flight overtaken", {LATE(DOWN, "ServerHello")}, 141, 121},
    {"client's last flight overtaken", {LATE(UP, "Finished")}, 141, 121},
    {"server's last flight overtaken", {LATE(DOWN, "Finished")}, 141, 100},
    {"HelloVerifyRequest and ClientHello with cookie lost",
	{LOST(DOWN, "HelloVerifyRequest", 1), LOST(UP, "ClientHello with cookie", 1)}, 2120, 2100},
    {"ClientHello with cookie and server's first flight lost",
	{LOST(UP, "ClientHello with cookie", 1), LOST(DOWN, "ServerHello", 1)}, 2120, 2100},
    {"server's first flight and client's last flight lost", {LOST(DOWN, "ServerHello", 1), LOST(UP, "Finished", 1)},
	2120, 2100},
    {"client's last flight and server's last flight lost", {LOST(UP, "Finished", 1), LOST(DOWN, "Finished", 1)}, 2120,
	1100},
    {"server's first flight and server's last flight lost", {LOST(DOWN, "ServerHello", 1), LOST(DOWN, "Finished", 1)},
	2120, 1100},
};

/* Each record in a datagram of its own: the whole flight is resent when one is missing, so that the times are those of
 * the flights above; a record that is only late waits for nothing but itself. */
static const struct loss records[] = {
    {"ServerHello lost", {LOST(DOWN, "ServerHello", 1)}, 1120, 1100},
    {"ServerHelloDone lost", {LOST(DOWN, "ServerHelloDone", 1)}, 1120, 1100},
    {"ClientKeyExchange lost", {LOST(UP, "ClientKeyExchange", 1)}, 1120, 1100},
    {"client's ChangeCipherSpec lost", {LOST(UP, "ChangeCipherSpec", 1)}, 1120, 1100},
    {"client's Finished lost", {LOST(UP, "Finished", 1)}, 1120, 1100},
    {"server's ChangeCipherSpec lost", {LOST(DOWN, "ChangeCipherSpec", 1)}, 1120, 100},
    {"server's Finished lost", {LOST(DOWN, "Finished", 1)}, 1120, 100},
    {"ServerHello lost twice", {LOST(DOWN, "ServerHello", 2)}, 2120, 2100},
    {"ServerHelloDone lost twice", {LOST(DOWN, "ServerHelloDone", 2)}, 2120, 2100},
    {"ClientKeyExchange lost twice", {LOST(UP, "ClientKeyExchange", 2)}, 2120, 2100},
    {"client's ChangeCipherSpec lost twice", {LOST(UP, "ChangeCipherSpec", 2)}, 2120, 2100},
    {"client's Finished lost twice", {LOST(UP, "Finished", 2)}, 2120, 2100},
    {"server's ChangeCipherSpec lost twice", {LOST(DOWN, "ChangeCipherSpec", 2)}, 3120, 100},
    {"server's Finished lost twice", {LOST(DOWN, "Finished", 2)}, 3120, 100},
    {"ServerHello duplicated", {TWICE(DOWN, "ServerHello")}, 120, 100},
    {"ServerHelloDone duplicated", {TWICE(DOWN, "ServerHelloDone")}, 120, 100},
    {"ClientKeyExchange duplicated", {TWICE(UP, "ClientKeyExchange")}, 120, 100},
    {"client's ChangeCipherSpec duplicated", {TWICE(UP, "ChangeCipherSpec")}, 120, 100},
    {"client's Finished duplicated", {TWICE(UP, "Finished")}, 120, 100},
    {"server's ChangeCipherSpec duplicated", {TWICE(DOWN, "ChangeCipherSpec")}, 120, 100},
    {"server's Finished duplicated", {TWICE(DOWN, "Finished")}, 120, 100},
    {"ServerHello overtaken", {LATE(DOWN, "ServerHello")}, 120, 100},
    {"ServerHelloDone overtaken", {LATE(DOWN, "ServerHelloDone")}, 141, 121},
    {"ClientKeyExchange overtaken", {LATE(UP, "ClientKeyExchange")}, 120, 100},
    {"client's ChangeCipherSpec overtaken", {LATE(UP, "ChangeCipherSpec")}, 120, 100},
    {"client's Finished overtaken", {LATE(UP, "Finished")}, 141, 121},
    {"server's ChangeCipherSpec overtaken", {LATE(DOWN, "ChangeCipherSpec")}, 120, 100},
    {"server's Finished overtaken", {LATE(DOWN, "Finished")}, 141, 100},
    {"ClientKeyExchange flight reversed", {LATE(UP, "ClientKeyExchange"), LATE(UP, "ChangeCipherSpec")}, 120, 100},
};

/* The same with the message that only ECDHE_PSK has. */
static const struct loss key_exchanges[] = {
    {"ServerKeyExchange lost", {LOST(DOWN, "ServerKeyExchange", 1)}, 1120, 1100},
    {"ServerKeyExchange lost twice", {LOST(DOWN, "ServerKeyExchange", 2)}, 2120, 2100},
    {"ServerKeyExchange duplicated", {TWICE(DOWN, "ServerKeyExchange")}, 120, 100},
    {"ServerKeyExchange overtaken", {LATE(DOWN, "ServerKeyExchange")}, 120, 100},
    {"ServerHello flight reversed", {LATE(DOWN, "ServerHello"), LATE(DOWN, "ServerKeyExchange")}, 120, 100},
};

/* The server's first flight in two datagrams: ServerHello, and the rest. */
static const struct loss small_datagrams[] = {
    {"first datagram of the server's first flight lost", {LOST(DOWN, "ServerHello", 1)}, 1120, 1100},
    {"second datagram of the server's first flight lost", {LOST(DOWN, "ServerHelloDone", 1)}, 1120, 1100},
    {"client's last flight lost", {LOST(UP, "ClientKeyExchange", 1)}, 1120, 1100},
    {"first datagram of the server's first flight duplicated", {TWICE(DOWN, "ServerHello")}, 120, 100},
    {"second datagram of the server's first flight duplicated", {TWICE(DOWN, "ServerHelloDone")}, 120, 100},
    {"client's last flight duplicated", {TWICE(UP, "ClientKeyExchange")}, 120, 100},
    {"first datagram of the server's first flight overtaken", {LATE(DOWN, "ServerHello")}, 120, 100},
    {"second datagram of the server's first flight overtaken", {LATE(DOWN, "ServerHelloDone")}, 141, 121},
    {"client's last flight overtaken", {LATE(UP, "ClientKeyExchange")}, 141, 121},
};

/* ---- what a datagram carries */

static const char *message_name(const struct record *r)
{
	struct message m;

	if (r->type == RECORD_CHANGE_CIPHER_SPEC)
		return "ChangeCipherSpec";
	if (r->type == RECORD_HANDSHAKE && r->epoch == 1)
		return "Finished";
	if (!record_message(r, &m))
		return "";
	switch (m.type) {
	case MESSAGE_CLIENT_HELLO:
		/* Behind version, random and an empty session id: the cookie's length. */
		return m.body[35] == 0 ? "ClientHello" : "ClientHello with cookie";
	case MESSAGE_SERVER_HELLO:
		return "ServerHello";
	case MESSAGE_HELLO_VERIFY_REQUEST:
		return "HelloVerifyRequest";
	case 12:
		return "ServerKeyExchange";
	case 14:
		return "ServerHelloDone";
	case 16:
		return "ClientKeyExchange";
	default:
		return "";
	}
}

static bool carries(const void *datagram, size_t len, const char *name)
{
	const uint8_t *at = datagram;
	struct record r;

	while (record_next(&at, &len, &r))
		if (strcmp(message_name(&r), name) == 0)
			return true;
	return false;
}

/* ---- running one case */

struct director { /* of one way */
	enum way way;
	struct rule rules[2];
	unsigned applied;
};

static enum sim_fate direct(void *arg, unsigned nth, const void *datagram, size_t len)
{
	struct director *d = arg;

	(void)nth;
	for (int i = 0; i < 2; i++) {
		struct rule *r = &d->rules[i];

		if (r->times == 0 || r->way != d->way || !carries(datagram, len, r->message))
			continue;
		r->times--;
		d->applied++;
		return r->fate;
	}
	return SIM_DELIVER;
}

struct setup {
	const char *suite;
	size_t mtu, server_mtu;
	bool split;
};

static void open_case(struct pair *pair, const struct loss *c, const struct setup *setup, struct director ways[2])
{
	struct side *sides[] = {&pair->client, &pair->server};

	pair_open(pair);
	for (int i = 0; i < 2; i++) {
		ways[i] = (struct director){.way = i == 0 ? UP : DOWN};
		memcpy(ways[i].rules, c->rules, sizeof(c->rules));
		sim_link_decide(sides[i]->out, direct, &ways[i]);
		ck_assert_int_eq(dtls_context_set_ciphers(sides[i]->ctx, &setup->suite, 1), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_mtu(sides[i]->ctx, setup->mtu), DTLS_OK);
		sides[i]->split = setup->split;
	}
	/* Less than a caller may set: the size of the key depends on the curve. */
	pair->server.ctx->opt.mtu = setup->server_mtu;
}

static void run_case(const struct loss *c, const struct setup *setup)
{
	struct director ways[2];
	struct pair pair;

	open_case(&pair, c, setup, ways);
	pair_handshake(&pair);
	ck_assert_msg(pair.client.status == DTLS_OK, "%s: client: %s", c->sentence, dtls_conn_error(pair.client.conn));
	ck_assert_msg(pair.server.status == DTLS_OK, "%s: server: %s", c->sentence, dtls_conn_error(pair.server.conn));
	ck_assert_msg(pair.client.done_at == c->client_at && pair.server.done_at == c->server_at,
	    "%s: client at %lld ms, server at %lld ms", c->sentence, (long long)pair.client.done_at,
	    (long long)pair.server.done_at);
	ck_assert_msg(ways[0].applied + ways[1].applied == c->rules[0].times + c->rules[1].times, "%s: did not happen",
	    c->sentence);
	pair_assert_exchange(&pair);
	pair_close(&pair);
}

static void run_table(const struct loss *cases, size_t count, const struct setup *setup)
{
	for (size_t i = 0; i < count; i++)
		run_case(&cases[i], setup);
}

#define RUN_TABLE(cases, ...) run_table(cases, sizeof(cases) / sizeof(*(cases)), &(struct setup){__VA_ARGS__})

START_TEST(loss_of_flights)
{
	RUN_TABLE(flights, PAIR_SUITE, 1200, 1200, false);
}
END_TEST

START_TEST(loss_of_flights_ecdhe)
{
	RUN_TABLE(flights, ECDHE, 1200, 1200, false);
}
END_TEST

START_TEST(loss_of_records)
{
	RUN_TABLE(records, PAIR_SUITE, 1200, 1200, true);
}
END_TEST

START_TEST(loss_of_records_ecdhe)
{
	RUN_TABLE(records, ECDHE, 1200, 1200, true);
	RUN_TABLE(key_exchanges, ECDHE, 1200, 1200, true);
}
END_TEST

START_TEST(loss_of_small_datagrams)
{
	RUN_TABLE(small_datagrams, ECDHE, 256, 150, false);
	RUN_TABLE(flights, PAIR_SUITE, 256, 256, false);
}
END_TEST

Suite *loss_suite(void)
{
	Suite *s = suite_create("loss");

	TEST(s, loss_of_flights);
	TEST(s, loss_of_flights_ecdhe);
	TEST(s, loss_of_records);
	TEST(s, loss_of_records_ecdhe);
	TEST(s, loss_of_small_datagrams);
	return s;
}
