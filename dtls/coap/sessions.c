#include "backend.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int by_session(const void *a, const void *b)
{
	const struct session *x = a, *y = b;

	return (x->coap > y->coap) - (x->coap < y->coap);
}

struct session *session_find(const coap_session_t *coap)
{
	struct backend *b = backend_find(coap_session_get_context(coap));
	struct session key = {.coap = (coap_session_t *)(uintptr_t)coap}, **found;

	if (b == NULL)
		return NULL;
	found = tfind(&key, &b->sessions, by_session);
	return found == NULL ? NULL : *found;
}

/* What was left of a session that had the same address before. */
static bool make_new(struct session *s, bool is_client)
{
	session_drop(s);
	s->is_client = is_client;
	s->unsent = false;
	return !s->ended;
}

struct session *session_alloc(struct backend *b, coap_session_t *coap)
{
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->coap = coap;
	s->backend = b;
	return s;
}

struct session *session_new(struct backend *b, coap_session_t *coap, bool is_client)
{
	struct session *s = session_find(coap), **found;

	if (s != NULL)
		return make_new(s, is_client) ? s : NULL;
	s = session_alloc(b, coap);
	if (s == NULL)
		return NULL;
	s->is_client = is_client;
	found = tsearch(s, &b->sessions, by_session);
	if (found != NULL)
		return s;
	free(s);
	return NULL;
}

static void session_free(void *session)
{
	struct session *s = session;

	successor_drop(s);
	dtls_conn_free(s->conn);
	keyring_free(s->keys);
	keyring_free(s->chosen);
	keyring_free(s->pki);
	coap_delete_bin_const(s->key);
	free(s->server_name);
	free(s);
}

/* A handshake that begins again chooses again. */
void session_choose(struct session *s, struct keyring *keys)
{
	keyring_free(s->chosen);
	s->chosen = keys;
}

void session_hold(struct session *s)
{
	s->held++;
}

void session_release(struct session *s)
{
	if (--s->held == 0 && s->forgotten)
		session_free(s);
}

struct session *session_enter(struct session *s)
{
	struct session *outer = s->backend->current;

	session_hold(s);
	s->inside++;
	s->backend->current = s;
	return outer;
}

void session_leave(struct session *s, struct session *outer)
{
	s->backend->current = outer;
	s->inside--;
	if (s->ended)
		session_drop(s);
	session_release(s);
}

void session_drop(struct session *s)
{
	s->ended = s->inside > 0;
	s->open = false;
	if (s->ended)
		return;
	successor_drop(s);
	dtls_conn_free(s->conn);
	keyring_free(s->keys);
	keyring_free(s->chosen);
	coap_delete_bin_const(s->key);
	s->key = NULL;
	s->conn = NULL;
	s->keys = s->chosen = NULL;
	s->psk_refused = false;
}

void session_let_go(struct session *s)
{
	s->forgotten = true;
	if (s->held == 0)
		session_free(s);
}

void session_forget(struct session *s)
{
	tdelete(s, &s->backend->sessions, by_session);
	session_let_go(s);
}

void session_replace(struct session *s, struct session *with)
{
	struct session **found = tfind(s, &s->backend->sessions, by_session);

	if (found != NULL)
		*found = with;
	session_let_go(s);
}

void session_forget_all(struct backend *b)
{
	tdestroy(b->sessions, session_free);
	b->sessions = NULL;
}

/* ---- libcoap's calls ---- */

/* At the end of a handshake or a session, and at that of the coap_session_t: these look alike, so that what a client
 * was made with stays until there is nothing else left to end, or the context goes. */
void coap_dtls_free_session(coap_session_t *coap)
{
	struct session *s = session_find(coap);
	bool had_conn = s != NULL && s->conn != NULL && !s->ended;

	if (s == NULL)
		return;
	if (had_conn && s->open && s->inside == 0)
		dtls_conn_close(s->conn);
	session_drop(s);
	if (!s->is_client || !had_conn)
		session_forget(s);
	if (had_conn)
		coap_handle_event(coap_session_get_context(coap), COAP_EVENT_DTLS_CLOSED, coap);
}

/* There is an mbed TLS session within, but no pointer to it that others could use: it is the library's. */
void *coap_dtls_get_tls(const coap_session_t *coap, coap_tls_library_t *library)
{
	(void)coap;
	if (library != NULL)
		*library = COAP_TLS_LIBRARY_MBEDTLS;
	return NULL;
}
