#include "coap_messages.h"

#include <string.h>

uint8_t messages_find(const struct messages *m, uint16_t mid, const void *token, size_t token_len, int64_t now_ms)
{
	size_t i = mid % MESSAGES_KEPT;

	if (m->list[i].mid != mid || m->list[i].token_len != token_len ||
	    (token_len > 0 && memcmp(m->list[i].token, token, token_len) != 0) ||
	    now_ms - m->list[i].answered_at >= MESSAGES_LIFETIME_MS)
		return 0;
	return m->list[i].code;
}

void messages_add(struct messages *m, uint16_t mid, const void *token, size_t token_len, uint8_t code, int64_t now_ms)
{
	size_t i = mid % MESSAGES_KEPT;

	if (token_len > MESSAGES_TOKEN_MAX)
		return;
	m->list[i].answered_at = now_ms;
	m->list[i].mid = mid;
	m->list[i].code = code;
	m->list[i].token_len = (uint8_t)token_len;
	if (token_len > 0)
		memcpy(m->list[i].token, token, token_len);
}
