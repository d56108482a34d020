#include "gate.h"

static const enum gate_verdict no_hello[] = {
    [HELLO_NONE] = GATE_JUNK,
    [HELLO_MALFORMED] = GATE_MALFORMED,
    [HELLO_FRAGMENTED] = GATE_FRAGMENTED,
};

enum gate_verdict gate_judge(struct dtls_context *ctx, int64_t now_ms, struct bytes client_id, const void *datagram,
    size_t len, struct hello *hello, uint8_t reply[HELLO_VERIFY_REQUEST_MAX], size_t *reply_len)
{
	enum hello_kind kind = hello_parse(datagram, len, hello);
	uint8_t cookie[COOKIE_LEN];

	*reply_len = 0;
	if (kind != HELLO_OK)
		return no_hello[kind];
	if (hello->cookie.len != 0 && cookie_check(&ctx->cookies, now_ms, client_id, hello))
		return GATE_VERIFIED;
	if (!cookie_make(&ctx->cookies, now_ms, client_id, hello, cookie))
		return GATE_NO_SECRET;
	*reply_len = hello_verify_request(hello, cookie, sizeof(cookie), reply);
	/* RFC 6347, 4.2.1: an invalid cookie is treated as none. */
	return hello->cookie.len == 0 ? GATE_REPLY : GATE_REPLY_BAD;
}

enum dtls_hello dtls_hello_check(struct dtls_context *ctx, const void *client_id, size_t client_id_len,
    const void *datagram, size_t len, uint8_t reply[128], size_t *reply_len)
{
	struct bytes id = {client_id, client_id_len};
	struct hello hello;
	int64_t now;

	*reply_len = 0;
	if (ctx->opt.protocol != PROTOCOL_DTLS_SERVER) {
		context_fail(ctx, 0, "only a context of PROTOCOL_DTLS_SERVER has a gate");
		return DTLS_HELLO_DROP;
	}
	if (client_id_len == 0 || client_id_len > CLIENT_ID_MAX) {
		context_fail(ctx, 0, "a client id of %zu bytes is not within 1..%d", client_id_len, CLIENT_ID_MAX);
		return DTLS_HELLO_DROP;
	}
	pthread_mutex_lock(&ctx->lock);
	now = options_now(&ctx->opt);
	pthread_mutex_unlock(&ctx->lock);
	switch (gate_judge(ctx, now, id, datagram, len, &hello, reply, reply_len)) {
	case GATE_VERIFIED:
		return DTLS_HELLO_VERIFIED;
	case GATE_REPLY:
	case GATE_REPLY_BAD:
		return DTLS_HELLO_REPLY;
	default:
		return DTLS_HELLO_DROP;
	}
}
