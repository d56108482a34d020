/* sim.h - a virtual clock and lossy links, for testing any datagram protocol.
 * Nothing here sleeps, opens a socket or reads a real clock: time passes in sim_advance_to() alone, and one seed
 * reproduces a run byte for byte. Each link draws from a generator of its own, seeded from the simulation's seed and
 * the order of creation, and draws the same number of values for every datagram: the fate of a link's nth datagram does
 * not depend on what other links carry. Conventions are those of dtls.h. One thread at a time.
 */
#ifndef DTLS_SIM_H
#define DTLS_SIM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sim; /* one clock, one seed, all links and hosts */
struct sim_link; /* one direction; first in, first out, unless the weather reorders */

struct sim_weather { /* what a link does to datagrams; all zero is a perfect link */
	int64_t latency_ms; /* one way */
	int64_t jitter_ms; /* adds 0..jitter_ms, evenly spread; may reorder */
	double loss; /* probabilities, 0..1, each datagram on its own */
	double duplicate; /* delivered twice; the copy draws a jitter of its own */
	double reorder; /* held back until just after the next datagram sent, or for latency_ms + 1 more */
	double corrupt; /* one byte is changed, in every copy */
	double burst_loss; /* Gilbert-Elliott: the loss in the bad state... */
	double burst_enter; /* ...and the transitions per datagram, good to bad... */
	double burst_leave; /* ...and bad to good */
	size_t mtu; /* larger datagrams vanish; 0: none do */
	int64_t bytes_per_second; /* a datagram occupies the link for its length over this; 0: no time */
};

/* NULL: out of memory. */
struct sim *sim_new(uint64_t seed);
void sim_free(struct sim *); /* with all its links and hosts */
int64_t sim_now_ms(void *sim); /* is a dtls_clock; starts at 0 */

/* NULL: out of memory, or a probability outside 0..1 or a negative time in weather. NULL weather: a perfect link. */
struct sim_link *sim_link_new(struct sim *, const struct sim_weather *weather);
/* From the next datagram on. DTLS_OK, or DTLS_FAIL for values as above, and then nothing changes. */
int sim_link_set_weather(struct sim_link *, const struct sim_weather *weather);
/* Bit n set: the (n+1)th datagram sent on this link is lost. On top of the weather. */
void sim_link_drop_mask(struct sim_link *, uint64_t mask);
/* Asked for every datagram that mask and weather let pass, with the bytes as they were sent; nth counts all that were
 * sent on this link, from 1. */
enum sim_fate { SIM_DELIVER, SIM_DROP, SIM_DUPLICATE, SIM_HOLD_BEHIND_NEXT };
typedef enum sim_fate sim_decide(void *arg, unsigned nth, const void *datagram, size_t len);
void sim_link_decide(struct sim_link *, sim_decide *decide, void *arg);
/* Told of every datagram when it is sent, with the bytes as they were sent; delivered is 0 for one that is lost,
 * otherwise the number of copies. */
typedef void sim_tap(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered);
void sim_link_tap(struct sim_link *, sim_tap *tap, void *arg);
/* These two fit struct dtls_transport. send: len, or DTLS_FAIL when out of memory. recv: the next datagram that has
 * arrived by now, or DTLS_WANT_READ; what is longer than len is cut. */
ssize_t sim_link_send(void *link, const void *buf, size_t len);
ssize_t sim_link_recv(void *link, void *buf, size_t len);

struct sim_link_stats {
	uint64_t sent, delivered; /* datagrams, counted when they are sent; delivered counts copies */
	uint64_t lost, too_big; /* sent = delivered - duplicated + lost + too_big */
	uint64_t duplicated, reordered, corrupted; /* of those delivered; reordered: held back */
	uint64_t bytes_sent, bytes_delivered;
};
void sim_link_stats(const struct sim_link *, struct sim_link_stats *);

/* Many addressed hosts on one simulated network, for endpoints: these two fit struct dtls_datagrams. A datagram from
 * one host to another crosses the sender's link, which has the sender's weather; one to an address that is no host
 * vanishes. The address is copied; NULL as sim_link_new, and for an address already taken or neither IPv4 nor IPv6. */
struct sim_host;
struct sim_host *sim_host_new(
    struct sim *, const struct sockaddr *addr, socklen_t addr_len, const struct sim_weather *weather);
ssize_t sim_host_send(void *host, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len);
ssize_t sim_host_recv(void *host, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len);
/* What a host sends goes through this link: set its mask, tap or decision. */
struct sim_link *sim_host_link(struct sim_host *);

/* The earliest arrival of a datagram not yet received, or INT64_MAX; in the past for one that waits to be received. */
int64_t sim_next_ms(const struct sim *);
void sim_advance_to(struct sim *, int64_t now_ms); /* the clock never goes back */

#ifdef __cplusplus
}
#endif
#endif
