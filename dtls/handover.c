#include "endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int dtls_endpoint_inbox(struct dtls_endpoint *ep)
{
	if (ep->inbox == NULL)
		ep->inbox = inbox_new();
	if (ep->inbox != NULL)
		return ep->inbox->fd;
	ep->code = -errno;
	snprintf(ep->error, sizeof(ep->error), "cannot make an inbox: %s", strerror(errno));
	return DTLS_FAIL;
}

int dtls_endpoint_deliver(struct dtls_endpoint *ep, const struct sockaddr *from, socklen_t from_len,
    const struct sockaddr *local, socklen_t local_len, const void *datagram, size_t len)
{
	struct address sender, ours = {0};

	if (ep->inbox == NULL || !address_set(&sender, from, from_len) ||
	    (local != NULL && !address_set(&ours, local, local_len)))
		return DTLS_FAIL;
	if (len > RECORD_MAX)
		return DTLS_TOO_BIG;
	address_clear_port(&ours); /* as recv tells it */
	return inbox_put(ep->inbox, &sender, &ours, datagram, len) ? DTLS_OK : DTLS_WANT_WRITE;
}
