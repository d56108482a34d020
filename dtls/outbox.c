#include "outbox.h"

#include <stdlib.h>
#include <string.h>

void outbox_init(struct outbox *o)
{
	o->first = NULL;
	o->last = &o->first;
}

void outbox_free(struct outbox *o)
{
	while (o->first != NULL)
		outbox_drop_first(o);
}

bool outbox_put(struct outbox *o, struct dtls_peer *peer, const uint8_t *datagram, size_t len)
{
	struct outgoing *out;

	if (peer->waiting >= OUTBOX_PER_PEER)
		return false;
	out = malloc(sizeof(*out) + len);
	if (out == NULL)
		return false;
	*out = (struct outgoing){.peer = peer, .to = peer->addr, .local = peer->local, .len = len};
	memcpy(out->datagram, datagram, len);
	*o->last = out;
	o->last = &out->next;
	peer->waiting++;
	return true;
}

void outbox_drop_first(struct outbox *o)
{
	struct outgoing *out = o->first;

	if (out->peer != NULL)
		out->peer->waiting--;
	o->first = out->next;
	if (o->first == NULL)
		o->last = &o->first;
	free(out);
}

void outbox_forget(struct outbox *o, struct dtls_peer *peer)
{
	if (peer->waiting == 0)
		return;
	for (struct outgoing *out = o->first; out != NULL; out = out->next)
		if (out->peer == peer)
			out->peer = NULL;
	peer->waiting = 0;
}
