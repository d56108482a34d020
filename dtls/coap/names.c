#include "backend.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAMES_MAX = 64 };

struct name { /* that a client asked for, and the application has a certificate for */
	struct name *next;
	struct keyring *keys;
	char name[];
};

static void drop(struct name *n)
{
	keyring_free(n->keys);
	free(n);
}

void names_forget(struct backend *b)
{
	struct name *n;

	while ((n = b->names) != NULL) {
		b->names = n->next;
		drop(n);
	}
	keyring_free(b->psk_only);
	b->psk_only = NULL;
}

/* Clients make names up: of more than NAMES_MAX the longest known goes. */
static struct keyring *remember(struct backend *b, const char *name, struct keyring *keys)
{
	struct name *n = malloc(sizeof(*n) + strlen(name) + 1), **at = &b->names;

	if (n == NULL) {
		keyring_free(keys);
		return NULL;
	}
	n->keys = keys;
	n->next = b->names;
	memcpy(n->name, name, strlen(name) + 1);
	b->names = n;
	for (int i = 0; i < NAMES_MAX && *at != NULL; i++)
		at = &(*at)->next;
	if (*at != NULL) {
		drop(*at);
		*at = NULL;
	}
	return keys;
}

/* libcoap asks the application once for each name. NULL: it has no certificate for it. */
static struct keyring *with_certificate(struct backend *b, const struct keyring *base, const char *name)
{
	struct keyring *keys;
	coap_dtls_key_t *key;

	for (struct name *n = b->names; n != NULL; n = n->next)
		if (strcasecmp(n->name, name) == 0)
			return n->keys;
	key = base->rules.validate_sni_call_back(name, base->rules.sni_call_back_arg);
	keys = key == NULL ? NULL : pki_named_keyring(base, key);
	return keys == NULL ? NULL : remember(b, name, keys);
}

static struct keyring *without_certificate(struct backend *b)
{
	if (b->psk_only == NULL)
		b->psk_only = keyring_new(b, true);
	return b->psk_only != NULL && keyring_add_psk(b->psk_only) ? b->psk_only : NULL;
}

static bool has_key_for(struct session *s, const char *name)
{
	const coap_dtls_spsk_t *spsk = &s->backend->spsk;
	const coap_dtls_spsk_info_t *info;

	if (!s->keys->has_psk)
		return false;
	if (spsk->validate_sni_call_back == NULL)
		return true;
	info = spsk->validate_sni_call_back(name, s->coap, spsk->sni_call_back_arg);
	s->psk_refused = info == NULL;
	if (info == NULL)
		return false;
	psk_learn_key(s, &info->key);
	if (!s->is_next)
		coap_session_refresh_psk_hint(s->coap, &info->hint);
	return true;
}

static struct keyring *choose(struct session *s, const char *name)
{
	struct keyring *base = s->keys;
	bool has_key = has_key_for(s, name);

	if (!base->has_pki)
		return has_key ? base : NULL;
	if (base->rules.validate_sni_call_back == NULL)
		return base;
	base = with_certificate(s->backend, s->keys, name);
	return base == NULL && has_key ? without_certificate(s->backend) : base;
}

struct dtls_context *names_choose(void *backend, const char *name)
{
	struct session *s = ((struct backend *)backend)->current;
	struct keyring *keys = s == NULL ? NULL : choose(s, name);

	if (keys == NULL)
		return NULL;
	session_choose(s, keyring_ref(keys));
	return keys->ctx;
}
