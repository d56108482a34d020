#include "examples/lab_flights.h"
#include "examples/lab_options.h"
#include "suites.h"

#include <stdio.h>

enum {
	PSK_RUNS = 200,
	CERTIFICATE_RUNS = 20,
	RECORD_HEADER = 13,
	MESSAGE_HEADER = 12,
	SERVER_HELLO = 2,
	VERIFY_REQUEST = 3,
	CERTIFICATE = 11
};

/* ---- against the messages with which flights begin ---- */

struct begun {
	uint64_t again[DIRECTIONS];
	unsigned flights[LAB_FLIGHTS + 1];
	struct lab_flights seen[DIRECTIONS];
};

static void sent(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct begun *begun = arg;
	struct lab_message first[LAB_MESSAGES];

	lab_flights_sent(
	    &begun->seen[direction], &begun->seen[1 - direction], now_ms, direction, datagram, len, delivered > 0);
	if (lab_messages_read(direction, datagram, len, first) == 0 || first->offset > 0)
		return;
	if (first->kind == LAB_HELLO_VERIFY_REQUEST)
		begun->flights[2]++;
	if (first->kind == LAB_CLIENT_HELLO || first->kind == LAB_SERVER_HELLO ||
	    first->kind == LAB_CLIENT_KEY_EXCHANGE || (first->kind == LAB_CHANGE_CIPHER_SPEC && first->flight == 6)) {
		begun->again[direction] += begun->flights[first->flight] > 0;
		begun->flights[first->flight]++;
	}
}

static void assert_as_begun(struct lab_options *options, const struct sim_weather *weather)
{
	struct lab *lab = lab_new(&options->setup);
	const uint64_t runs = strcmp(options->setup.suite, "cert") == 0 ? CERTIFICATE_RUNS : PSK_RUNS;
	uint64_t sum = 0;

	for (uint64_t seed = 1; seed <= runs; seed++) {
		struct begun begun = {0};
		const struct lab_watch watch = {.sent = sent, .arg = &begun};
		struct lab_result result = lab_run(lab, weather, seed, &watch);

		for (int d = 0; d < DIRECTIONS; d++) {
			ck_assert_msg(result.lanes[d].retransmissions == begun.again[d],
			    "%s, MTU %zu, delay %d, seed %llu, direction %d: %llu counted, %llu begun again",
			    options->setup.suite, options->setup.mtu, (int)weather->latency_ms,
			    (unsigned long long)seed, d, (unsigned long long)result.lanes[d].retransmissions,
			    (unsigned long long)begun.again[d]);
			ck_assert_uint_le(result.lanes[d].spurious, result.lanes[d].retransmissions);
			sum += begun.again[d];
		}
		for (int f = 1; f <= LAB_FLIGHTS; f++)
			ck_assert_uint_eq(
			    begun.seen[TO_SERVER].transmissions[f] + begun.seen[TO_CLIENT].transmissions[f],
			    begun.flights[f]);
	}
	ck_assert_uint_gt(sum, runs / 2);
	lab_free(lab);
}

static void assert_all_as_begun(int which)
{
	static const struct sim_weather weathers[] = {{.loss = 0.3}, {.loss = 0.3, .latency_ms = 50},
	    {.loss = 0.3, .latency_ms = 50, .jitter_ms = 2000}, {.loss = 0.2, .duplicate = 0.3, .latency_ms = 50},
	    {.loss = 0.2, .duplicate = 0.3}, {.loss = 0.2, .reorder = 0.3}};
	static const char *const suites[] = {LAB_PSK_SUITE, "cert"};
	struct lab_options options = lab_defaults;

	options.setup.suite = suites[which % 2];
	options.setup.mtu = which < 2 ? 1200 : 300;
	for (size_t i = 0; i < sizeof(weathers) / sizeof(*weathers); i++) {
		options.setup.retransmit = i % 2 == 0 ? DTLS_RETRANSMIT_FIXED : DTLS_RETRANSMIT_ADAPTIVE;
		assert_as_begun(&options, &weathers[i]);
	}
}

START_TEST(each_flight_that_begins_again_is_counted)
{
	for (int which = 0; which < 4; which++)
		assert_all_as_begun(which);
}
END_TEST

/* ---- what is corrupted on its way ---- */

enum { PASSED_MAX = 256, LEN_MAX = 1500 };

struct passed { /* all that was delivered, in one direction, which keeps its order */
	unsigned sent, arrived;
	uint8_t bytes[PASSED_MAX][LEN_MAX];
	bool corrupted[PASSED_MAX];
};

static struct passed passed[DIRECTIONS];

static void keep(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct passed *p = &passed[direction];

	(void)arg, (void)now_ms, (void)delivered;
	ck_assert_uint_lt(p->sent, PASSED_MAX);
	memcpy(p->bytes[p->sent++], datagram, len);
}

static void compare(void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len)
{
	struct passed *p = &passed[direction];

	(void)arg, (void)now_ms;
	p->corrupted[p->arrived] = memcmp(p->bytes[p->arrived], datagram, len) != 0;
	p->arrived++;
}

static void note_unharmed(
    void *arg, int64_t now_ms, enum direction direction, const void *datagram, size_t len, int delivered)
{
	struct lab_flights *flights = arg;

	(void)delivered;
	lab_flights_sent(&flights[direction], &flights[1 - direction], now_ms, direction, datagram, len,
	    !passed[direction].corrupted[passed[direction].sent++]);
}

/* The same run twice: in the second what has arrived harmed in the first is known when it is sent. */
static uint64_t assert_spurious(struct lab *lab, const struct sim_weather *weather, uint64_t seed)
{
	const struct lab_watch first = {.sent = keep, .arrived = compare, .stays = true};
	struct lab_flights flights[DIRECTIONS];
	const struct lab_watch second = {.sent = note_unharmed, .arg = flights};
	struct lab_result result;

	memset(passed, 0, sizeof(passed));
	memset(flights, 0, sizeof(flights));
	lab_run(lab, weather, seed, &first);
	passed[TO_SERVER].sent = passed[TO_CLIENT].sent = 0;
	result = lab_run(lab, weather, seed, &second);
	for (int d = 0; d < DIRECTIONS; d++) {
		lab_flights_end(&flights[d]);
		ck_assert_uint_eq(result.lanes[d].retransmissions, flights[d].retransmissions);
		ck_assert_uint_eq(result.lanes[d].spurious, flights[d].spurious);
	}
	return flights[TO_SERVER].spurious + flights[TO_CLIENT].spurious;
}

/* A timer of 1 s under round trips of 1.4 s. */
START_TEST(what_is_sent_again_since_it_was_corrupted_is_not_spurious)
{
	struct lab_options options = lab_defaults;
	uint64_t again = 0, spurious = 0;
	struct lab *lab;

	options.setup.retransmit = DTLS_RETRANSMIT_FIXED;
	lab = lab_new(&options.setup);
	for (uint64_t seed = 1; seed <= PSK_RUNS; seed++) {
		const struct sim_weather some = {.latency_ms = 700, .corrupt = 0.3},
					 all = {.latency_ms = 50, .corrupt = 1};

		spurious += assert_spurious(lab, &some, seed);
		ck_assert_uint_eq(assert_spurious(lab, &all, seed), 0);
		again += lab_run(lab, &all, seed, NULL).lanes[TO_SERVER].retransmissions;
	}
	ck_assert_uint_gt(spurious, 0);
	ck_assert_uint_gt(again, 0);
	lab_free(lab);
}
END_TEST

/* ---- by hand ---- */

static size_t write_fragment(uint8_t *at, uint8_t type, uint8_t seq, size_t from, size_t to, size_t total)
{
	size_t len = MESSAGE_HEADER + to - from;

	memset(at, 0, RECORD_HEADER + len);
	at[0] = 22;
	at[11] = (uint8_t)(len >> 8), at[12] = (uint8_t)len;
	at += RECORD_HEADER;
	at[0] = type;
	at[2] = (uint8_t)(total >> 8), at[3] = (uint8_t)total;
	at[5] = seq;
	at[7] = (uint8_t)(from >> 8), at[8] = (uint8_t)from;
	at[10] = (uint8_t)((to - from) >> 8), at[11] = (uint8_t)(to - from);
	return RECORD_HEADER + len;
}

static struct lab_flights server, client;

static void begin(void)
{
	memset(&server, 0, sizeof(server));
	memset(&client, 0, sizeof(client));
}

static void send_part(int64_t now_ms, uint8_t type, uint8_t seq, size_t from, size_t to, bool delivered)
{
	uint8_t datagram[1500];
	size_t len = write_fragment(datagram, type, seq, from, to, 1000);

	lab_flights_sent(&server, &client, now_ms, TO_CLIENT, datagram, len, delivered);
}

static void assert_counted(uint64_t retransmissions, uint64_t spurious)
{
	lab_flights_end(&server);
	ck_assert_uint_eq(server.retransmissions, retransmissions);
	ck_assert_uint_eq(server.spurious, spurious);
}

START_TEST(a_flight_in_other_fragments_is_the_same_flight)
{
	begin();
	send_part(0, CERTIFICATE, 2, 0, 1000, false);
	send_part(10, CERTIFICATE, 2, 0, 400, true);
	send_part(10, CERTIFICATE, 2, 400, 1000, true);
	assert_counted(1, 0);
	send_part(20, CERTIFICATE, 2, 0, 700, true);
	send_part(20, CERTIFICATE, 2, 700, 1000, true);
	assert_counted(2, 1);
}
END_TEST

START_TEST(a_lost_fragment_that_came_in_smaller_ones_is_delivered)
{
	struct lab_flights peer;

	begin();
	send_part(0, CERTIFICATE, 2, 0, 1000, false);
	send_part(10, CERTIFICATE, 2, 500, 1000, true);
	send_part(20, CERTIFICATE, 2, 0, 499, true);
	peer = server;
	begin();
	client = peer;
	send_part(0, SERVER_HELLO, 1, 0, 1000, true);
	send_part(10, SERVER_HELLO, 1, 0, 1000, true);
	assert_counted(1, 0);
	server = peer;
	send_part(30, CERTIFICATE, 2, 400, 500, true);
	peer = server;
	begin();
	client = peer;
	send_part(0, SERVER_HELLO, 1, 0, 1000, true);
	send_part(10, SERVER_HELLO, 1, 0, 1000, true);
	assert_counted(1, 1);
}
END_TEST

START_TEST(a_flight_sent_again_and_news_in_one_instant_are_two)
{
	begin();
	send_part(0, SERVER_HELLO, 1, 0, 1000, false);
	send_part(10, SERVER_HELLO, 1, 0, 1000, true);
	send_part(10, CERTIFICATE, 2, 0, 500, true);
	send_part(10, CERTIFICATE, 2, 500, 1000, true);
	send_part(10, SERVER_HELLO, 1, 0, 1000, true);
	send_part(10, SERVER_HELLO, 1, 0, 1000, true);
	assert_counted(3, 2);
}
END_TEST

START_TEST(an_answer_without_a_timer_is_not_counted)
{
	begin();
	for (int64_t at_ms = 0; at_ms < 100; at_ms += 10) {
		send_part(at_ms, VERIFY_REQUEST, 0, 0, 1000, at_ms > 50);
		send_part(at_ms, VERIFY_REQUEST, 0, 0, 1000, true);
	}
	assert_counted(0, 0);
	send_part(100, SERVER_HELLO, 1, 0, 1000, true);
	send_part(110, VERIFY_REQUEST, 0, 0, 1000, true);
	send_part(110, SERVER_HELLO, 1, 0, 1000, true);
	send_part(110, VERIFY_REQUEST, 0, 0, 1000, true);
	assert_counted(1, 1);
}
END_TEST

Suite *lab_flights_suite(void)
{
	Suite *suite = suite_create("lab_flights");

	TEST(suite, each_flight_that_begins_again_is_counted);
	TEST(suite, what_is_sent_again_since_it_was_corrupted_is_not_spurious);
	TEST(suite, a_flight_in_other_fragments_is_the_same_flight);
	TEST(suite, a_lost_fragment_that_came_in_smaller_ones_is_delivered);
	TEST(suite, a_flight_sent_again_and_news_in_one_instant_are_two);
	TEST(suite, an_answer_without_a_timer_is_not_counted);
	return suite;
}
