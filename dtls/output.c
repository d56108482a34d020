#include "endpoint.h"

#include <errno.h>

static ssize_t put_out(struct dtls_endpoint *ep, const struct address *to, const struct address *local,
    const uint8_t *datagram, size_t len)
{
	ssize_t n;

	if (ep->over_socket)
		return socket_send(&ep->socket, to, local, datagram, len);
	errno = 0;
	n = ep->datagrams.send(ep->datagrams.arg, &to->any, address_len(to), datagram, len);
	if (n >= 0 || n == DTLS_WANT_WRITE)
		return n >= 0 ? n : SOCKET_EMPTY;
	errno = n == DTLS_TOO_BIG ? EMSGSIZE : errno != 0 ? errno : EIO;
	return SOCKET_LOST;
}

/* Counts what became of a datagram; a socket that fails for one peer still serves the others. */
static ssize_t sent(struct dtls_endpoint *ep, ssize_t result)
{
	if (result >= 0)
		ep->stats.datagrams_out++;
	else if (result != SOCKET_EMPTY)
		ep->stats.drop_send++;
	return result;
}

ssize_t endpoint_send(void *owner, const uint8_t *datagram, size_t len)
{
	struct dtls_peer *peer = owner;
	struct dtls_endpoint *ep = peer->ep;
	ssize_t n = SOCKET_EMPTY;

	if (ep->outbox.first == NULL)
		n = sent(ep, put_out(ep, &peer->addr, &peer->local, datagram, len));
	if (n >= 0 || (n == SOCKET_EMPTY && outbox_put(&ep->outbox, peer, datagram, len)))
		return (ssize_t)len;
	if (n == SOCKET_EMPTY) {
		ep->stats.drop_send++;
		errno = ENOBUFS;
	}
	return DTLS_AGAIN;
}

void endpoint_reply(struct dtls_endpoint *ep, const struct address *to, const struct address *local,
    const uint8_t *datagram, size_t len)
{
	if (sent(ep, put_out(ep, to, local, datagram, len)) == SOCKET_EMPTY)
		ep->stats.drop_send++;
}

int dtls_endpoint_flush(struct dtls_endpoint *ep)
{
	endpoint_notice_fork(ep);
	while (ep->outbox.first != NULL) {
		const struct outgoing *out = ep->outbox.first;

		if (sent(ep, put_out(ep, &out->to, &out->local, out->datagram, out->len)) == SOCKET_EMPTY)
			return DTLS_WANT_WRITE;
		outbox_drop_first(&ep->outbox);
	}
	return DTLS_OK;
}
