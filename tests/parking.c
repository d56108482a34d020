#include "parking.h"

#include "dtls/record.h"

#include <check.h>
#include <string.h>

struct client *parking_add(struct net *n, struct dtls_context *ctx)
{
	unsigned host = 2;
	struct client *c;

	for (c = n->clients; c != NULL; c = c->next)
		host++;
	c = client_connected(n, host, 40000, ctx);
	client_echoes(c, "first");
	return c;
}

struct net *parking_net(unsigned clients, const struct dtls_limits *limits)
{
	struct net *n = net_new(1, limits);

	for (unsigned i = 0; i < clients; i++)
		parking_add(n, NULL);
	return n;
}

struct client *parking_client(const struct net *n, unsigned nth)
{
	unsigned count = 0;
	struct client *c;

	for (c = n->clients; c != NULL; c = c->next)
		count++;
	ck_assert_uint_lt(nth, count);
	for (c = n->clients; count > nth + 1; c = c->next)
		count--;
	return c;
}

bool parking_is_parked(const struct client *c)
{
	const struct dtls_peer *peer = client_peer(c);

	ck_assert_int_eq(peer->a == NULL, peer->parked != NULL);
	return peer->a == NULL;
}

void parking_expect(const struct net *n, const char *letters)
{
	uint64_t parked = 0;

	for (unsigned i = 0; letters[i] != '\0'; i++) {
		if (letters[i] == '-')
			continue;
		ck_assert_msg(parking_is_parked(parking_client(n, i)) == (letters[i] == 'p'),
		    "client %u is %s, expected were %s", i, letters[i] == 'p' ? "awake" : "parked", letters);
		parked += letters[i] == 'p';
	}
	ck_assert_uint_eq(net_stats(n).parked, parked);
}

struct datagram parking_forged(uint8_t type, uint64_t seq, size_t len)
{
	struct datagram d = {.len = RECORD_HEADER + len, .bytes = {type, 0xfe, 0xfd, 0, 1}};

	put_24(put_24(d.bytes + 5, seq >> 24), seq & 0xffffff);
	put_16(d.bytes + 11, len);
	memset(d.bytes + RECORD_HEADER, 0x5a, len);
	return d;
}

uint64_t parking_seq(const struct datagram *d)
{
	return get_48(d->bytes + 5);
}
