#include "coap_peers.h"

#include "coap_start.h"

#include <stdlib.h>
#include <string.h>

static struct coap_peer *peer_of(struct coap_peers *peers, coap_session_t *session)
{
	struct coap_peer *peer = coap_session_get_app_data(session);

	if (peer != NULL)
		return peer;
	peer = calloc(1, sizeof(*peer));
	if (peer == NULL)
		return NULL;
	LIST_INSERT_HEAD(&peers->list, peer, entry);
	peers->open++;
	coap_session_set_app_data(session, peer);
	return peer;
}

static void free_peer(struct coap_peers *peers, struct coap_peer *peer)
{
	LIST_REMOVE(peer, entry);
	peers->open--;
	free(peer->messages);
	free(peer);
}

void coap_peer_claims(struct coap_peers *peers, coap_session_t *session, const void *name, size_t len)
{
	struct coap_peer *peer = peer_of(peers, session);

	if (peer == NULL)
		return;
	peer->claim_len = len < sizeof(peer->claim) ? len : sizeof(peer->claim);
	memcpy(peer->claim, name, peer->claim_len);
}

struct coap_peer *coap_peer_connected(struct coap_peers *peers, coap_session_t *session)
{
	struct coap_peer *peer = peer_of(peers, session);

	peers->connected++;
	if (peer == NULL)
		return NULL;
	memcpy(peer->name, peer->claim, peer->claim_len);
	peer->name_len = peer->claim_len;
	peer->claim_len = 0;
	free(peer->messages); /* a message ID is the DTLS session's (RFC 7252, 9.1.1) */
	peer->messages = NULL;
	return peer;
}

void coap_peer_gone(struct coap_peers *peers, coap_session_t *session)
{
	struct coap_peer *peer = coap_session_get_app_data(session);

	if (peer == NULL)
		return;
	coap_session_set_app_data(session, NULL);
	free_peer(peers, peer);
}

void coap_peers_free(struct coap_peers *peers)
{
	struct coap_peer *next;

	for (struct coap_peer *peer = LIST_FIRST(&peers->list); peer != NULL; peer = next) {
		next = LIST_NEXT(peer, entry);
		free_peer(peers, peer);
	}
}

void coap_peer_print(FILE *out, const coap_session_t *session)
{
	const struct coap_peer *peer = coap_session_get_app_data(session);
	char address[CLI_ADDRESS_TEXT];

	if (peer != NULL && peer->name_len > 0)
		cli_print_bytes(out, peer->name, peer->name_len);
	else
		fputs(libcoap_address_text(coap_session_get_addr_remote(session), address), out);
}

/* ---- requests ---- */

uint8_t coap_peer_answer(const coap_session_t *session, const coap_pdu_t *request)
{
	const struct coap_peer *peer = coap_session_get_app_data(session);
	coap_bin_const_t token = coap_pdu_get_token(request);

	if (peer == NULL || peer->messages == NULL)
		return 0;
	return messages_find(peer->messages, (uint16_t)coap_pdu_get_mid(request), token.s, token.length, cli_now_ms());
}

void coap_peer_answered(coap_session_t *session, const coap_pdu_t *request, uint8_t code)
{
	struct coap_peer *peer = coap_session_get_app_data(session);
	coap_bin_const_t token = coap_pdu_get_token(request);

	if (peer != NULL && peer->messages == NULL)
		peer->messages = calloc(1, sizeof(*peer->messages));
	if (peer == NULL || peer->messages == NULL)
		return; /* a repetition may then be taken for a new one, unless its reading has a number */
	messages_add(peer->messages, (uint16_t)coap_pdu_get_mid(request), token.s, token.length, code, cli_now_ms());
}
