#include "backend.h"

#include <stdlib.h>
#include <string.h>

/* What the call before this one has set is for this session, and for its next handshakes; of a pre-shared key libcoap
 * keeps identity and key. */
static bool learn(struct session *s, struct keyring *keys)
{
	const coap_dtls_cpsk_t *cpsk = &s->backend->cpsk;

	keyring_free(s->pki);
	free(s->server_name);
	s->pki = NULL;
	s->server_name = NULL;
	s->choose_identity = NULL;
	if (keys->has_pki) {
		s->pki = keyring_ref(keys);
		return true;
	}
	s->choose_identity = cpsk->validate_ih_call_back;
	s->choose_identity_arg = cpsk->ih_call_back_arg;
	s->server_name = cpsk->client_sni == NULL ? NULL : strdup(cpsk->client_sni);
	return cpsk->client_sni == NULL || s->server_name != NULL;
}

/* NULL was logged. */
static struct keyring *keys_of(struct session *s)
{
	struct keyring *keys = s->backend->client;

	s->backend->client = NULL;
	if (keys != NULL && !learn(s, keys)) {
		keyring_free(keys);
		return NULL;
	}
	if (keys == NULL)
		keys = s->pki != NULL ? keyring_ref(s->pki) : psk_client_keyring(s);
	return keys;
}

static bool name_server(struct session *s)
{
	const char *name = s->pki != NULL ? s->pki->server_name : s->server_name;

	if (name == NULL || name[0] == '\0' || dtls_conn_set_hostname(s->conn, name) == DTLS_OK)
		return true;
	log_line(LOG_ERR, "***%s: DTLS: %s\n", coap_session_str(s->coap), dtls_conn_error(s->conn));
	return false;
}

static bool call(struct session *s)
{
	struct keyring *keys = keys_of(s);
	bool made;

	if (keys == NULL)
		return false;
	if (!keys->has_pki)
		psk_ask_for_hint(s, keys);
	made = session_connect(s, keys) && name_server(s) && session_goes_on(session_feed(s, NULL, 0));
	keyring_free(keys);
	return made;
}

void *coap_dtls_new_client_session(coap_session_t *coap)
{
	struct backend *b = backend_find(coap_session_get_context(coap));
	struct session *s = b == NULL ? NULL : session_new(b, coap, true);

	if (s == NULL)
		return NULL;
	if (call(s))
		return s;
	session_forget(s);
	return NULL;
}
