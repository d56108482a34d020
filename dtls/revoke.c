#include "endpoint.h"

#include <string.h>

static bool has_identity(const struct dtls_peer *peer, const struct bytes *identity)
{
	size_t len;
	const uint8_t *at = peer_identity(peer, &len);

	return len == identity->len && memcmp(at, identity->at, len) == 0;
}

/* Until a client has named itself it may be the one that is revoked, about to use the old key. */
static void turn_away(struct dtls_peer *peer, void *identity)
{
	if (peer->a->identity == NULL || has_identity(peer, identity))
		peer_turn_away(peer, "an identity was revoked meanwhile, and it may be this one");
}

int dtls_endpoint_close_identity(struct dtls_endpoint *ep, const void *identity, size_t len)
{
	struct bytes revoked = {identity, len};
	struct dtls_peer *peer, *newer;
	int closed = 0;

	if (len == 0)
		return 0;
	endpoint_notice_fork(ep);
	for (peer = ep->open.oldest; peer != NULL; peer = newer) {
		newer = peer->newer;
		if (!has_identity(peer, &revoked))
			continue;
		peer_close_for(peer, DTLS_REASON_REVOKED);
		closed++;
	}
	handshakes_each(&ep->handshakes, turn_away, &revoked);
	return closed;
}
