#include "backend.h"

#include <stdlib.h>
#include <string.h>

enum { CLIENT_ID_MAX = 64 };

static size_t put(uint8_t *id, size_t at, const void *bytes, size_t len)
{
	memcpy(id + at, bytes, len);
	return at + len;
}

/* What a cookie is bound to: family, address and port, but not the padding between them. */
static size_t client_id(const coap_session_t *coap, uint8_t id[CLIENT_ID_MAX])
{
	const coap_address_t *a = coap_session_get_addr_remote(coap);
	size_t len = put(id, 0, &a->addr.sa.sa_family, sizeof(a->addr.sa.sa_family));

	if (a->addr.sa.sa_family == AF_INET) {
		len = put(id, len, &a->addr.sin.sin_port, sizeof(a->addr.sin.sin_port));
		return put(id, len, &a->addr.sin.sin_addr, sizeof(a->addr.sin.sin_addr));
	}
	if (a->addr.sa.sa_family == AF_INET6) {
		len = put(id, len, &a->addr.sin6.sin6_port, sizeof(a->addr.sin6.sin6_port));
		len = put(id, len, &a->addr.sin6.sin6_scope_id, sizeof(a->addr.sin6.sin6_scope_id));
		return put(id, len, &a->addr.sin6.sin6_addr, sizeof(a->addr.sin6.sin6_addr));
	}
	return put(id, len, &a->addr, a->size < CLIENT_ID_MAX - len ? a->size : CLIENT_ID_MAX - len);
}

static void keep(struct backend *b, const coap_session_t *coap, const uint8_t *datagram, size_t len)
{
	uint8_t *hello = realloc(b->hello, len);

	b->verified = hello == NULL ? NULL : coap;
	if (hello == NULL)
		return;
	memcpy(hello, datagram, len);
	b->hello = hello;
	b->hello_len = len;
}

bool hello_is_verified(struct backend *b, coap_session_t *coap, const uint8_t *datagram, size_t len)
{
	uint8_t id[CLIENT_ID_MAX], reply[128];
	size_t reply_len;
	enum dtls_hello verdict =
	    dtls_hello_check(b->server->ctx, id, client_id(coap, id), datagram, len, reply, &reply_len);

	if (verdict == DTLS_HELLO_REPLY)
		coap_netif_dgrm_write(coap, reply, reply_len);
	return verdict == DTLS_HELLO_VERIFIED;
}

/* libcoap has made a coap_session_t for the address, and would keep it for 30 s. It lets go of it at once when no
 * session can be made, so that it is always told to ask for one: strangers leave no state there, either. */
int coap_dtls_hello(coap_session_t *coap, const uint8_t *datagram, size_t len)
{
	struct backend *b = backend_find(coap_session_get_context(coap));

	if (b == NULL)
		return -1;
	b->verified = NULL;
	if (b->server != NULL && hello_is_verified(b, coap, datagram, len))
		keep(b, coap, datagram, len);
	return 1;
}

bool hello_serve(struct session *s, const uint8_t *hello, size_t len)
{
	uint8_t id[CLIENT_ID_MAX];

	if (!session_connect(s, s->backend->server))
		return false;
	dtls_conn_set_client_id(s->conn, id, client_id(s->coap, id));
	hello_random(hello, len, s->random);
	return session_goes_on(session_feed(s, hello, len));
}

/* What was told of with COAP_EVENT_SERVER_SESSION_NEW goes with an event, too. */
static void *not_made(coap_session_t *coap)
{
	if (COAP_FREES_SILENTLY)
		coap_handle_event(coap_session_get_context(coap), COAP_EVENT_SERVER_SESSION_DEL, coap);
	return NULL;
}

void *coap_dtls_new_server_session(coap_session_t *coap)
{
	struct backend *b = backend_find(coap_session_get_context(coap));
	struct session *s = NULL;
	bool serves;

	if (b != NULL && b->verified == coap)
		s = session_new(b, coap, false);
	if (s == NULL)
		return not_made(coap);
	session_hold(s);
	serves = hello_serve(s, b->hello, b->hello_len);
	if (!serves && !s->forgotten)
		session_forget(s);
	session_release(s);
	return serves ? s : not_made(coap);
}
