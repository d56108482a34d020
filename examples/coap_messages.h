/* coap_messages.h - the requests of one session that were answered, by message ID. A confirmable request whose answer is
 * lost comes again; it is answered as before, and not carried out again (RFC 7252, 4.5). libcoap leaves that to the
 * application. */
#ifndef COAP_MESSAGES_H
#define COAP_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

enum {
	MESSAGES_KEPT = 256, /* the newest, of a sender that counts its message IDs up (RFC 7252, 4.4) */
	MESSAGES_LIFETIME_MS = 247000, /* EXCHANGE_LIFETIME: then the ID may mean another message (RFC 7252, 4.8.2) */
	MESSAGES_TOKEN_MAX = 8
};

struct messages { /* all zero at first */
	struct {
		int64_t answered_at;
		uint16_t mid;
		uint8_t code, token_len;
		uint8_t token[MESSAGES_TOKEN_MAX];
	} list[MESSAGES_KEPT];
};

/* The code that the request was answered with; 0: it is new. Another token is another request. */
uint8_t messages_find(const struct messages *m, uint16_t mid, const void *token, size_t token_len, int64_t now_ms);
/* Longer tokens than MESSAGES_TOKEN_MAX (RFC 8974) are not kept. */
void messages_add(struct messages *m, uint16_t mid, const void *token, size_t token_len, uint8_t code, int64_t now_ms);

#endif
