/* parking.h - an endpoint some of whose peers are parked: what the suites about that share. */
#ifndef PARKING_H
#define PARKING_H

#include "net.h"

#include "dtls/peer.h"

/* Clients at the hosts 2, 3, ... that are connected and have had an echo, in this order. */
struct net *parking_net(unsigned clients, const struct dtls_limits *limits);
struct client *parking_add(struct net *n, struct dtls_context *ctx);
struct client *parking_client(const struct net *n, unsigned nth); /* the nth that was added, from 0 */
bool parking_is_parked(const struct client *c);
/* One letter a client, in the order they were added: p parked, a awake, - neither. */
void parking_expect(const struct net *n, const char *letters);
/* A record that could be the client's: of this type and length, with this sequence number, and forged. */
struct datagram parking_forged(uint8_t type, uint64_t seq, size_t len);
uint64_t parking_seq(const struct datagram *); /* of its first record */

#endif
