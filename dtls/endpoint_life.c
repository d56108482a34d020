#include "endpoint.h"

#include <limits.h>
#include <stdlib.h>

enum {
	DEFAULT_MAX_PEERS = 100000,
	DEFAULT_MAX_HANDSHAKES = 1000,
	DEFAULT_MAX_AWAKE = 1000,
	DEFAULT_HELLOS_PER_S = 2000,
	DEFAULT_HANDSHAKES_PER_S = 200,
	DEFAULT_SECONDS_AT_ONCE = 10,
	CLOSED_AT_ONCE = 64,
};

static void take_rate(unsigned *per_s, unsigned *at_once, unsigned default_per_s)
{
	if (*per_s == 0)
		*per_s = default_per_s;
	if (*at_once == 0)
		*at_once = *per_s < UINT_MAX / DEFAULT_SECONDS_AT_ONCE ? *per_s * DEFAULT_SECONDS_AT_ONCE : UINT_MAX;
}

static bool take_limits(struct dtls_endpoint *ep, const struct dtls_limits *limits)
{
	struct dtls_limits *l = &ep->limits;

	if (limits != NULL)
		*l = *limits;
	if (l->handshake_ms < 0 || l->idle_ms < 0) {
		context_fail(ep->ctx, 0, "the limits handshake_ms and idle_ms cannot be negative");
		return false;
	}
	if (l->max_peers == 0)
		l->max_peers = DEFAULT_MAX_PEERS;
	if (l->max_handshakes == 0)
		l->max_handshakes = DEFAULT_MAX_HANDSHAKES;
	if (l->max_awake == 0)
		l->max_awake = DEFAULT_MAX_AWAKE;
	if (l->handshake_ms == 0)
		l->handshake_ms = ep->settings->give_up_ms;
	take_rate(&l->hellos_per_s, &l->hellos_at_once, DEFAULT_HELLOS_PER_S);
	take_rate(&l->handshakes_per_s, &l->handshakes_at_once, DEFAULT_HANDSHAKES_PER_S);
	return true;
}

/* Of all that strangers make use of, nothing is left to be allocated when they come. */
static bool make_tables(struct dtls_endpoint *ep)
{
	const struct dtls_limits *l = &ep->limits;
	struct rng *rng = &ep->ctx->rng;

	if (peertable_init(&ep->table, rng) == 0 && handshakes_init(&ep->handshakes, rng, l->max_handshakes) == 0 &&
	    sources_init(&ep->hello_sources, rng, l->hellos_per_s, l->hellos_at_once) == 0 &&
	    sources_init(&ep->handshake_sources, rng, l->handshakes_per_s, l->handshakes_at_once) == 0)
		return true;
	context_fail(ep->ctx, 0, "no memory or no randomness for the tables of peers, handshakes and sources");
	return false;
}

static struct dtls_endpoint *endpoint_new(struct dtls_context *ctx, const struct dtls_limits *limits)
{
	struct settings *s;
	struct dtls_endpoint *ep;

	if (ctx->opt.protocol != PROTOCOL_DTLS_SERVER) {
		context_fail(ctx, 0, "an endpoint needs a context of PROTOCOL_DTLS_SERVER");
		return NULL;
	}
	s = context_judge(ctx) ? context_snapshot(ctx) : NULL;
	if (s == NULL)
		return NULL;
	ep = calloc(1, sizeof(*ep));
	if (ep == NULL) {
		settings_free(s);
		context_fail(ctx, 0, "out of memory");
		return NULL;
	}
	ep->ctx = dtls_context_ref(ctx);
	ep->settings = s;
	ep->process = fork_generation();
	ep->last_event = &ep->first_event;
	outbox_init(&ep->outbox);
	park_init(&ep->park);
	if (take_limits(ep, limits) && make_tables(ep))
		return ep;
	dtls_endpoint_free(ep);
	return NULL;
}

struct dtls_endpoint *dtls_endpoint_new(struct dtls_context *ctx, int fd, const struct dtls_limits *limits)
{
	struct sock s;
	const char *why = socket_prepare(&s, fd);
	struct dtls_endpoint *ep;

	if (why != NULL) {
		context_fail(ctx, 0, "descriptor %d cannot carry DTLS: %s", fd, why);
		return NULL;
	}
	ep = endpoint_new(ctx, limits);
	if (ep == NULL)
		return NULL;
	ep->over_socket = true;
	ep->socket = s;
	return ep;
}

struct dtls_endpoint *dtls_endpoint_new_transport(
    struct dtls_context *ctx, const struct dtls_datagrams *datagrams, const struct dtls_limits *limits)
{
	struct dtls_endpoint *ep = endpoint_new(ctx, limits);

	if (ep != NULL)
		ep->datagrams = *datagrams;
	return ep;
}

static void free_all_peers(struct dtls_endpoint *ep)
{
	struct dtls_peer *peer;

	while (ep->first_event != NULL)
		peer_free(ep->first_event);
	while ((peer = handshakes_victim(&ep->handshakes)) != NULL)
		peer_free(peer);
	while (ep->open.oldest != NULL)
		peer_free(ep->open.oldest);
	if (ep->reported != NULL)
		peer_free(ep->reported);
}

int dtls_endpoint_close(struct dtls_endpoint *ep)
{
	for (int i = 0; i < CLOSED_AT_ONCE && ep->open.oldest != NULL; i++)
		dtls_peer_close(ep->open.oldest);
	if (ep->open.oldest != NULL)
		return DTLS_WANT_READ;
	free_all_peers(ep);
	return dtls_endpoint_flush(ep);
}

void dtls_endpoint_free(struct dtls_endpoint *ep)
{
	if (ep == NULL)
		return;
	free_all_peers(ep);
	park_free(&ep->park);
	outbox_free(&ep->outbox);
	inbox_free(ep->inbox);
	peertable_free(&ep->table);
	sources_free(&ep->hello_sources);
	sources_free(&ep->handshake_sources);
	handshakes_free(&ep->handshakes);
	schedule_free(&ep->schedule);
	settings_free(ep->settings);
	dtls_context_free(ep->ctx);
	free(ep);
}

/* ---- fork ---- */

static void disown_all(struct dtls_endpoint *ep)
{
	struct dtls_peer *peer;

	ep->process = fork_generation();
	while ((peer = handshakes_victim(&ep->handshakes)) != NULL)
		peer_free(peer);
	while (ep->open.oldest != NULL)
		peer_disown(ep->open.oldest);
	outbox_free(&ep->outbox);
	outbox_init(&ep->outbox);
	if (ep->inbox != NULL)
		inbox_disown(ep->inbox);
}

void endpoint_notice_fork(struct dtls_endpoint *ep)
{
	if (ep->process != fork_generation())
		disown_all(ep);
}
