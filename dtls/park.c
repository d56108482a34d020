#include "park.h"

#include "endpoint.h"

void park_init(struct park *park)
{
	*park = (struct park){0};
	TAILQ_INIT(&park->in_turn);
}

/* ---- turns ---- */

static void leave_turn(struct park *park, struct active *active)
{
	if (active->part == AWAKE_IN_TURN) {
		TAILQ_REMOVE(&park->in_turn, active, turn);
		park->count--;
	}
	if (park->suspect == active)
		park->suspect = NULL;
	active->part = AWAKE_PINNED;
}

static void take_turn(struct park *park, struct active *active)
{
	leave_turn(park, active);
	TAILQ_INSERT_TAIL(&park->in_turn, active, turn);
	park->count++;
	active->part = AWAKE_IN_TURN;
}

/* ---- parking ---- */

/* Record buffers that come and go would leave holes between what is small and stays. */
static void keep_spare(struct park *park, struct association *a)
{
	association_free(park->spare);
	park->spare = a;
}

struct association *park_take_spare(struct park *park, const struct settings *settings)
{
	struct association *a = park->spare;

	if (a == NULL || a->settings != settings)
		return NULL;
	park->spare = NULL;
	return a;
}

void park_free(struct park *park)
{
	association_free(park->spare);
}

/* False: it stays awake; but its turn is over. */
static bool put_to_rest(struct active *active)
{
	struct dtls_peer *peer = active->peer;
	struct dtls_endpoint *ep = peer->ep;
	bool reusable;

	switch (parked_take(&peer->parked, peer->room, peer->a, &reusable)) {
	case PARKED_OK:
		break;
	case PARKED_REFUSED:
		active->refused = true;
		leave_turn(&ep->park, active);
		ep->stats.park_refused++;
		return false;
	case PARKED_NOT_NOW:
		take_turn(&ep->park, active);
		ep->stats.park_refused++;
		return false;
	}
	leave_turn(&ep->park, active);
	if (reusable)
		keep_spare(&ep->park, peer->a);
	else
		association_free(peer->a);
	peer->a = NULL;
	ep->park.parked++;
	ep->stats.parks++;
	return true;
}

/* The least recently used, but for the one whose datagram is being read. */
static struct active *next_to_rest(const struct dtls_endpoint *ep)
{
	struct active *first = TAILQ_FIRST(&ep->park.in_turn);

	return first != NULL && first->peer == ep->reading ? TAILQ_NEXT(first, turn) : first;
}

static void make_room(struct dtls_endpoint *ep, unsigned wanted)
{
	while (ep->park.count > ep->limits.max_awake - wanted) {
		struct active *active = next_to_rest(ep);

		if (active == NULL || !put_to_rest(active))
			return;
	}
}

void park_used(struct dtls_peer *peer)
{
	struct active *active = peer_active(peer);
	struct dtls_endpoint *ep = peer->ep;

	if (active->refused || (active->part == AWAKE_IN_TURN && TAILQ_NEXT(active, turn) == NULL))
		return;
	if (active->part == AWAKE_PINNED && parked_keeps_flight(peer->a))
		return;
	take_turn(&ep->park, active);
	make_room(ep, 0);
}

/* ---- waking ---- */

bool park_could_read(const struct dtls_peer *peer, const uint8_t *datagram, size_t len)
{
	struct record r;

	while (record_next(&datagram, &len, &r))
		if (parked_could_read(peer->parked, &r))
			return true;
	return false;
}

/* The session is the association's from now on, also when it is lost. */
static int load(struct dtls_peer *peer, struct association *a)
{
	int code = parked_load(peer->parked, a);
	char name[ERROR_NAME_MAX];

	if (code != 0)
		association_end(
		    a, DTLS_FAIL, code, "the parked session could not be woken (%s)", error_name(code, name));
	return code;
}

static bool wake(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;
	struct association *a = peer_associate(peer, peer->parked->settings);
	int code;

	if (a == NULL) {
		peer_failed(peer);
		return false;
	}
	code = load(peer, a);
	parked_give(peer->parked, a);
	peer->parked = NULL;
	peer->a = a;
	ep->park.parked--;
	ep->stats.wakes++;
	if (code != 0)
		peer_failed(peer);
	return code == 0;
}

bool park_wake_to_read(struct dtls_peer *peer)
{
	struct dtls_endpoint *ep = peer->ep;
	struct active *suspect = ep->park.suspect;

	if (suspect != NULL) {
		ep->stats.wakes_unused++;
		if (!put_to_rest(suspect))
			leave_turn(&ep->park, suspect);
	}
	if (!wake(peer))
		return false;
	ep->park.suspect = peer_active(peer);
	ep->park.suspect->part = AWAKE_SUSPECT;
	return true;
}

bool park_wake_to_send(struct dtls_peer *peer)
{
	if (peer->a != NULL)
		return true;
	make_room(peer->ep, 1);
	return wake(peer);
}

void park_say_goodbye(struct dtls_peer *peer)
{
	struct association *a = peer_associate(peer, peer->parked->settings);

	if (a != NULL && parked_load(peer->parked, a) == 0)
		association_close(a);
	association_free(a);
}

void park_leave(struct dtls_peer *peer)
{
	if (peer->a != NULL) {
		leave_turn(&peer->ep->park, peer_active(peer));
		return;
	}
	parked_wipe(peer->parked);
	peer->ep->park.parked--;
}
