#include "resumer.h"

#include "settings.h"

#include <mbedtls/platform_util.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_MAX = 1000000 };
/* RFC 9325, 3.4 would have ticket keys changed every week at the latest. */
static const int64_t lifetime_max_ms = (int64_t)7 * 24 * 3600 * 1000;

void resumer_init(struct resumer *r)
{
	*r = (struct resumer){.cache = NULL};
	pthread_mutex_init(&r->lock, NULL);
	ticket_keys_init(&r->tickets);
}

void resumer_free(struct resumer *r)
{
	ticket_keys_free(&r->tickets);
	session_cache_free(r->cache);
	pthread_mutex_destroy(&r->lock);
}

/* Nothing that was given out before can be resumed any more. */
static void start_afresh(struct resumer *r, struct session_cache *cache)
{
	struct session_cache *old;

	pthread_mutex_lock(&r->lock);
	old = r->cache;
	r->cache = cache;
	ticket_keys_free(&r->tickets);
	ticket_keys_init(&r->tickets);
	pthread_mutex_unlock(&r->lock);
	session_cache_free(old);
}

int resumer_seal(struct resumer *r, struct rng *rng, int64_t now, int64_t lifetime, struct bytes plain, uint8_t *out)
{
	int code;

	pthread_mutex_lock(&r->lock);
	code = ticket_seal(&r->tickets, rng, now, lifetime, plain, out);
	pthread_mutex_unlock(&r->lock);
	return code;
}

bool resumer_open(struct resumer *r, int64_t now, int64_t lifetime, struct bytes ticket, uint8_t *out)
{
	bool ok;

	pthread_mutex_lock(&r->lock);
	ok = ticket_open(&r->tickets, now, lifetime, ticket, out);
	pthread_mutex_unlock(&r->lock);
	return ok;
}

void resumer_remember(
    struct resumer *r, int64_t now, int64_t lifetime, const uint8_t id[SESSION_ID], uint8_t *session, size_t len)
{
	pthread_mutex_lock(&r->lock);
	if (r->cache != NULL) {
		session_cache_expire(r->cache, now - lifetime);
		session_cache_put(r->cache, now, id, session, len);
		session = NULL;
	}
	pthread_mutex_unlock(&r->lock);
	if (session != NULL)
		mbedtls_platform_zeroize(session, len);
	free(session);
}

uint8_t *resumer_recall(struct resumer *r, const uint8_t id[SESSION_ID], size_t *len)
{
	struct bytes found = {NULL, 0};
	uint8_t *copy = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->cache != NULL)
		found = session_cache_get(r->cache, id);
	if (found.len > 0)
		copy = malloc(found.len);
	if (copy != NULL)
		memcpy(copy, found.at, found.len);
	pthread_mutex_unlock(&r->lock);
	*len = found.len;
	return copy;
}

/* ---- public ---- */

int dtls_context_set_resumption(struct dtls_context *ctx, int64_t lifetime_ms, size_t cache_entries)
{
	struct session_cache *cache = NULL;

	if (!options_is_server(&ctx->opt))
		return context_fail(ctx, DTLS_FAIL,
		    "a server says what can be resumed: a client uses dtls_conn_session_save() and _load()");
	if (lifetime_ms != 0 && (lifetime_ms < 1000 || lifetime_ms > lifetime_max_ms))
		return context_fail(ctx, DTLS_FAIL,
		    "sessions cannot be resumed for %lld ms: it is 0, for never, or 1000 to %lld, which is a week",
		    (long long)lifetime_ms, (long long)lifetime_max_ms);
	if (cache_entries > CACHE_MAX || (lifetime_ms == 0 && cache_entries != 0))
		return context_fail(ctx, DTLS_FAIL,
		    lifetime_ms == 0 ? "a cache of %zu sessions is of no use where none is resumed"
				     : "a cache of %zu sessions is more than the 1000000 that it may have",
		    cache_entries);
	if (cache_entries > 0) {
		cache = session_cache_new(cache_entries);
		if (cache == NULL)
			return context_fail(ctx, DTLS_FAIL, "out of memory");
	}
	start_afresh(&ctx->resumer, cache);
	context_change(ctx);
	ctx->opt.lifetime_ms = lifetime_ms;
	return context_changed(ctx);
}

int dtls_context_set_session_tickets(struct dtls_context *ctx, int wanted)
{
	if (options_is_server(&ctx->opt))
		return context_fail(
		    ctx, DTLS_FAIL, "only a client asks for tickets: a server has dtls_context_set_resumption()");
	context_change(ctx);
	ctx->opt.tickets = wanted != 0;
	return context_changed(ctx);
}
