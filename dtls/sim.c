#include "sim.h"

#include "dtls.h"
#include "sim_queue.h"
#include "weather.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct sim_link {
	struct sim *sim;
	struct sim_sky sky;
	uint64_t drop_mask;
	sim_decide *decide;
	void *decide_arg;
	sim_tap *tap;
	void *tap_arg;
	struct sim_queue arrivals;
	LIST_HEAD(, sim_packet) held; /* newest first */
	struct sim_link_stats stats;
	SLIST_ENTRY(sim_link) links;
};

struct host_key {
	uint16_t family, port;
	uint32_t scope;
	uint8_t bytes[16];
};

struct sim_host {
	struct sim_link *link;
	struct sim_queue inbox;
	struct host_key key;
	struct sockaddr_storage sockaddr;
	socklen_t sockaddr_len;
};

struct sim {
	int64_t now_ms;
	uint64_t seeds; /* the generator of the links' seeds */
	struct sim_agenda agenda;
	SLIST_HEAD(, sim_link) links;
	struct sim_host **hosts; /* open addressing, never more than half full */
	size_t host_count, host_slots;
};

/* ---- links ---- */

static void link_free(struct sim_link *link)
{
	sim_queue_clear(&link->arrivals);
	free(link);
}

struct sim_link *sim_link_new(struct sim *sim, const struct sim_weather *weather)
{
	struct sim_link *link = calloc(1, sizeof(*link));
	if (!link)
		return NULL;
	if (!sim_sky_set(&link->sky, weather) || !sim_queue_init(&link->arrivals, &sim->agenda)) {
		free(link);
		return NULL;
	}
	link->sim = sim;
	link->sky.generator = sim_draw(&sim->seeds);
	LIST_INIT(&link->held);
	SLIST_INSERT_HEAD(&sim->links, link, links);
	return link;
}

int sim_link_set_weather(struct sim_link *link, const struct sim_weather *weather)
{
	return sim_sky_set(&link->sky, weather) ? DTLS_OK : DTLS_FAIL;
}

void sim_link_drop_mask(struct sim_link *link, uint64_t mask)
{
	link->drop_mask = mask;
}

void sim_link_decide(struct sim_link *link, sim_decide *decide, void *arg)
{
	link->decide = decide;
	link->decide_arg = arg;
}

void sim_link_tap(struct sim_link *link, sim_tap *tap, void *arg)
{
	link->tap = tap;
	link->tap_arg = arg;
}

void sim_link_stats(const struct sim_link *link, struct sim_link_stats *stats)
{
	*stats = link->stats;
}

/* What mask and decision add to the weather's verdict. */
static void decide(struct sim_link *link, const void *buf, size_t len, struct sim_verdict *verdict)
{
	uint64_t nth = link->stats.sent;
	if (nth <= 64 && (link->drop_mask >> (nth - 1) & 1))
		verdict->lost = true;
	if (verdict->too_big || verdict->lost || !link->decide)
		return;
	enum sim_fate fate = link->decide(link->decide_arg, (unsigned)nth, buf, len);
	verdict->lost = fate == SIM_DROP;
	verdict->duplicated = verdict->duplicated || fate == SIM_DUPLICATE;
	verdict->held = verdict->held || fate == SIM_HOLD_BEHIND_NEXT;
}

static void hold(struct sim_link *link, struct sim_packet *packet, int64_t natural_ms)
{
	packet->is_held = true;
	packet->natural_ms = natural_ms;
	LIST_INSERT_HEAD(&link->held, packet, held);
	sim_queue_put(packet, sim_later(sim_later(natural_ms, link->sky.weather.latency_ms), 1));
}

/* A datagram that arrives at at_ms has been sent: those held back follow it, unless they arrive before anyway. */
static void release_held(struct sim_link *link, int64_t at_ms)
{
	struct sim_packet *packet;
	while ((packet = LIST_FIRST(&link->held))) {
		LIST_REMOVE(packet, held);
		packet->is_held = false;
		int64_t release_ms = packet->natural_ms > at_ms ? packet->natural_ms : at_ms;
		if (release_ms <= packet->event.at_ms)
			sim_queue_move(packet, release_ms);
	}
}

/* Queues one or two copies, or none when memory runs out. */
static bool deliver(struct sim_link *link, struct sim_queue *to, const struct sim_host *from, const void *buf,
    size_t len, const struct sim_verdict *verdict)
{
	if (!sim_queue_reserve(to, 2))
		return false;
	struct sim_packet *packet = sim_packet_new(to, from, buf, len);
	if (!packet)
		return false;
	if (verdict->corrupted)
		sim_sky_corrupt(verdict, packet->bytes, len);
	struct sim_packet *copy = verdict->duplicated ? sim_packet_new(to, from, packet->bytes, len) : NULL;
	if (verdict->duplicated && !copy) {
		free(packet);
		return false;
	}
	if (verdict->held)
		hold(link, packet, verdict->at_ms);
	else
		sim_queue_put(packet, verdict->at_ms);
	if (copy)
		sim_queue_put(copy, verdict->copy_at_ms);
	return true;
}

static void count(struct sim_link_stats *stats, const struct sim_verdict *verdict, size_t len, int copies)
{
	stats->too_big += verdict->too_big;
	stats->lost += !verdict->too_big && copies == 0;
	if (copies == 0)
		return;
	stats->delivered += (uint64_t)copies;
	stats->bytes_delivered += (uint64_t)copies * len;
	stats->duplicated += verdict->duplicated;
	stats->reordered += verdict->held;
	stats->corrupted += verdict->corrupted;
}

/* to is NULL for an address that is no host. */
static ssize_t transmit(
    struct sim_link *link, struct sim_queue *to, const struct sim_host *from, const void *buf, size_t len)
{
	ssize_t result = (ssize_t)len;
	struct sim_verdict verdict = sim_sky_judge(&link->sky, link->sim->now_ms, len);
	link->stats.sent++;
	link->stats.bytes_sent += len;
	decide(link, buf, len, &verdict);
	int copies = 0;
	if (!verdict.lost && !verdict.too_big && to) {
		if (deliver(link, to, from, buf, len, &verdict))
			copies = verdict.duplicated ? 2 : 1;
		else
			result = DTLS_FAIL;
	}
	if (copies == 0 || !verdict.held)
		release_held(link, verdict.at_ms);
	count(&link->stats, &verdict, len, copies);
	if (link->tap)
		link->tap(link->tap_arg, link->sim->now_ms, buf, len, copies);
	return result;
}

static ssize_t unpack(struct sim_packet *packet, void *buf, size_t len)
{
	if (packet->len < len)
		len = packet->len;
	if (len > 0)
		memcpy(buf, packet->bytes, len);
	free(packet);
	return (ssize_t)len;
}

ssize_t sim_link_send(void *link, const void *buf, size_t len)
{
	struct sim_link *l = link;
	return transmit(l, &l->arrivals, NULL, buf, len);
}

ssize_t sim_link_recv(void *link, void *buf, size_t len)
{
	struct sim_link *l = link;
	struct sim_packet *packet = sim_queue_take(&l->arrivals, l->sim->now_ms);
	return packet ? unpack(packet, buf, len) : DTLS_WANT_READ;
}

/* ---- hosts ---- */

static bool host_key_from(struct host_key *key, const struct sockaddr *sockaddr, socklen_t len)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	memset(key, 0, sizeof(*key));
	if (len >= sizeof(v4) && sockaddr->sa_family == AF_INET) {
		memcpy(&v4, sockaddr, sizeof(v4));
		key->port = v4.sin_port;
		memcpy(key->bytes, &v4.sin_addr, sizeof(v4.sin_addr));
	} else if (len >= sizeof(v6) && sockaddr->sa_family == AF_INET6) {
		memcpy(&v6, sockaddr, sizeof(v6));
		key->port = v6.sin6_port;
		key->scope = v6.sin6_scope_id;
		memcpy(key->bytes, &v6.sin6_addr, sizeof(v6.sin6_addr));
	} else {
		return false;
	}
	key->family = sockaddr->sa_family;
	return true;
}

/* The slot of this address, or the empty one where it would go. There must be an empty one. */
static struct sim_host **host_slot(struct sim_host **hosts, size_t slots, const struct host_key *key)
{
	uint64_t words[3], hash = 0;
	_Static_assert(sizeof(words) == sizeof(*key), "a key has no padding");
	memcpy(words, key, sizeof(words));
	for (size_t i = 0; i < 3; i++) {
		hash ^= words[i];
		hash = sim_draw(&hash);
	}
	size_t i = (size_t)hash & (slots - 1);
	while (hosts[i] && memcmp(&hosts[i]->key, key, sizeof(*key)) != 0)
		i = (i + 1) & (slots - 1);
	return &hosts[i];
}

static bool hosts_reserve(struct sim *sim)
{
	if (sim->host_slots > 2 * sim->host_count)
		return true;
	size_t slots = sim->host_slots > 0 ? sim->host_slots * 2 : 16;
	struct sim_host **hosts = calloc(slots, sizeof(*hosts));
	if (!hosts)
		return false;
	for (size_t i = 0; i < sim->host_slots; i++)
		if (sim->hosts[i])
			*host_slot(hosts, slots, &sim->hosts[i]->key) = sim->hosts[i];
	free(sim->hosts);
	sim->hosts = hosts;
	sim->host_slots = slots;
	return true;
}

struct sim_host *sim_host_new(
    struct sim *sim, const struct sockaddr *addr, socklen_t addr_len, const struct sim_weather *weather)
{
	struct host_key key;
	if (!host_key_from(&key, addr, addr_len) || !hosts_reserve(sim))
		return NULL;
	struct sim_host **slot = host_slot(sim->hosts, sim->host_slots, &key);
	struct sim_host *host = *slot ? NULL : calloc(1, sizeof(*host));
	if (!host)
		return NULL;
	if (!sim_queue_init(&host->inbox, &sim->agenda) || !(host->link = sim_link_new(sim, weather))) {
		free(host);
		return NULL;
	}
	host->key = key;
	host->sockaddr_len = addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	memcpy(&host->sockaddr, addr, host->sockaddr_len);
	sim->host_count++;
	return *slot = host;
}

ssize_t sim_host_send(void *host, const struct sockaddr *to, socklen_t to_len, const void *buf, size_t len)
{
	struct sim_host *from = host;
	const struct sim *sim = from->link->sim;
	struct host_key key;
	struct sim_host *receiver = NULL;
	if (host_key_from(&key, to, to_len))
		receiver = *host_slot(sim->hosts, sim->host_slots, &key);
	return transmit(from->link, receiver ? &receiver->inbox : NULL, from, buf, len);
}

ssize_t sim_host_recv(void *host, struct sockaddr *from, socklen_t *from_len, void *buf, size_t len)
{
	struct sim_host *h = host;
	struct sim_packet *packet = sim_queue_take(&h->inbox, h->link->sim->now_ms);
	if (!packet)
		return DTLS_WANT_READ;
	const struct sim_host *sender = packet->from;
	memcpy(from, &sender->sockaddr, *from_len < sender->sockaddr_len ? *from_len : sender->sockaddr_len);
	*from_len = sender->sockaddr_len;
	return unpack(packet, buf, len);
}

struct sim_link *sim_host_link(struct sim_host *host)
{
	return host->link;
}

/* ---- the simulation ---- */

struct sim *sim_new(uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	if (!sim)
		return NULL;
	sim->seeds = seed;
	SLIST_INIT(&sim->links);
	return sim;
}

void sim_free(struct sim *sim)
{
	if (!sim)
		return;
	for (size_t i = 0; i < sim->host_slots; i++) {
		if (sim->hosts[i]) {
			sim_queue_clear(&sim->hosts[i]->inbox);
			free(sim->hosts[i]);
		}
	}
	while (!SLIST_EMPTY(&sim->links)) {
		struct sim_link *link = SLIST_FIRST(&sim->links);
		SLIST_REMOVE_HEAD(&sim->links, links);
		link_free(link);
	}
	free(sim->hosts);
	free(sim->agenda.queues.events);
	free(sim);
}

int64_t sim_now_ms(void *sim)
{
	return ((const struct sim *)sim)->now_ms;
}

int64_t sim_next_ms(const struct sim *sim)
{
	return sim_agenda_next_ms(&sim->agenda);
}

void sim_advance_to(struct sim *sim, int64_t now_ms)
{
	if (now_ms > sim->now_ms)
		sim->now_ms = now_ms;
}
