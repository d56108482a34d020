#include "transmissions.h"

#include <string.h>

const char *const flight_names[FLIGHTS] = {
    "ClientHello", "ClientHello with cookie", "server's first flight", "client's last flight", "server's last flight"};

struct transmissions sent[FLIGHTS];

static int flight_of(const void *datagram, size_t len)
{
	const uint8_t *at = datagram;
	struct message m;
	struct record r;

	if (!record_next(&at, &len, &r))
		return -1;
	if (r.type == RECORD_CHANGE_CIPHER_SPEC)
		return SERVER_FINISHED;
	if (!record_message(&r, &m))
		return -1;
	switch (m.type) {
	case MESSAGE_CLIENT_HELLO:
		/* Behind version, random and an empty session id: the cookie's length. */
		return m.body[35] == 0 ? HELLO : COOKIE_HELLO;
	case MESSAGE_SERVER_HELLO:
		return SERVER_HELLO;
	case MESSAGE_HELLO_VERIFY_REQUEST:
		return -1;
	default:
		return KEY_EXCHANGE;
	}
}

static void note_flight(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	int flight = flight_of(datagram, len);

	(void)arg, (void)delivered;
	if (flight < 0)
		return;
	if (sent[flight].count < TRANSMISSIONS_MAX)
		sent[flight].at_ms[sent[flight].count] = now_ms;
	sent[flight].count++;
}

void set_delay(struct pair *pair, int64_t latency_ms, int64_t jitter_ms)
{
	const struct sim_weather weather = {.latency_ms = latency_ms, .jitter_ms = jitter_ms};

	ck_assert_int_eq(sim_link_set_weather(pair->client.out, &weather), DTLS_OK);
	ck_assert_int_eq(sim_link_set_weather(pair->server.out, &weather), DTLS_OK);
}

void note_flights(struct pair *pair)
{
	memset(sent, 0, sizeof(sent));
	sim_link_tap(pair->client.out, note_flight, NULL);
	sim_link_tap(pair->server.out, note_flight, NULL);
}

void set_retransmit(struct pair *pair, enum dtls_retransmit how)
{
	struct side *sides[] = {&pair->client, &pair->server};

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(dtls_context_set_retransmit(sides[i]->ctx, how), DTLS_OK);
		ck_assert_int_eq(dtls_context_set_retransmit_jitter(sides[i]->ctx, 0), DTLS_OK);
	}
}

void open_quiet(struct pair *pair, enum dtls_retransmit how, int64_t latency_ms)
{
	pair_open(pair);
	set_retransmit(pair, how);
	set_delay(pair, latency_ms, 0);
	note_flights(pair);
}

int64_t client_rtt_ms(const struct pair *pair)
{
	return pair->client.conn->a->timer.rtt_ms;
}

void assert_sent(enum flight flight, const int64_t *at_ms, unsigned count)
{
	ck_assert_msg(
	    sent[flight].count == count, "%s: sent %u times, not %u", flight_names[flight], sent[flight].count, count);
	for (unsigned i = 0; i < count; i++)
		ck_assert_msg(sent[flight].at_ms[i] == at_ms[i], "%s: sent at %lld ms, not at %lld",
		    flight_names[flight], (long long)sent[flight].at_ms[i], (long long)at_ms[i]);
}
