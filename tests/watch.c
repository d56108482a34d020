#include "watch.h"

#include "dtls/record.h"

#include <mbedtls/ssl.h>
#include <string.h>

static void watch_tap(void *arg, int64_t now_ms, const void *datagram, size_t len, int delivered)
{
	struct watch *w = arg;
	const uint8_t *at = datagram;
	size_t left = len;
	struct record r;

	w->datagrams++;
	w->largest = len > w->largest ? len : w->largest;
	w->lengths = w->lengths * 1000003 + (uint64_t)now_ms * 65536 + len * 2 + (delivered > 0);
	while (record_next(&at, &left, &r))
		if (r.type == RECORD_ALERT && r.epoch == 0 && r.len == 2 &&
		    r.body[0] == MBEDTLS_SSL_ALERT_LEVEL_FATAL && w->alerts++ == 0)
			w->alert = r.body[1];
}

void watch_link(struct watch *w, struct sim_link *link)
{
	memset(w, 0, sizeof(*w));
	sim_link_tap(link, watch_tap, w);
}
