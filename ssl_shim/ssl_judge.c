#include "shim.h"

enum { HOSTNAME_MAX = 255, CIPHERS_MAX = 64 };

static bool refuse(struct ssl_error *e, const char *sentence)
{
	ssl_fail(e, SSL_KIND_VALUE, "%s", sentence);
	return false;
}

static bool is_server(const struct ssl_context *ctx)
{
	return ssl_protocol_is_server(ctx->protocol);
}

static bool has_pair(const struct ssl_context *ctx)
{
	return ctx->has_identity && ctx->has_key;
}

bool ssl_has_credentials(const struct ssl_context *ctx)
{
	return ctx->has_chain || has_pair(ctx) || ctx->lookup != NULL;
}

/* Without credentials the library lists PSK suites too, but nothing can come of them. */
bool ssl_only_psk(struct ssl_context *ctx, const struct ssl_context_wrap_args *args)
{
	const char *names[CIPHERS_MAX];
	size_t count;

	if (!ctx->names_ciphers)
		return has_pair(ctx) || ctx->lookup != NULL || args->psk_identity.at != NULL;
	count = dtls_context_get_ciphers(ctx->dtls, names, CIPHERS_MAX);
	for (size_t i = 0; i < count; i++)
		if (strstr(names[i], "PSK-") == NULL)
			return false;
	return true;
}

bool ssl_needs_no_ca(struct ssl_context *ctx, const struct ssl_context_wrap_args *args)
{
	return ssl_only_psk(ctx, args) && !ctx->has_ca && !ctx->has_verify_callback;
}

static bool judge_args(struct ssl_context *ctx, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	const char *name = args->server_hostname;

	if (args->server_side && !is_server(ctx))
		return refuse(e, "server_side=True, but the context's protocol is that of a client");
	if (name != NULL && is_server(ctx))
		return refuse(e, "server_hostname is the name that a client asks for: this is a server");
	if (name != NULL && (name[0] == '\0' || strlen(name) > HOSTNAME_MAX))
		return refuse(e, "server_hostname must have 1 to 255 bytes");
	if (args->client_id.at != NULL && ctx->protocol != PROTOCOL_DTLS_SERVER)
		return refuse(e, "client_id is for DTLS servers: the context's protocol is another");
	return true;
}

static bool judge_psk(struct ssl_context *ctx, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	if (ctx->has_identity && !ctx->has_key)
		return refuse(e, "psk_identity is set, but psk_key is missing");
	if (ctx->has_key && !ctx->has_identity)
		return refuse(e, "psk_key is set, but psk_identity is missing");
	if (!is_server(ctx) && ctx->lookup != NULL)
		return refuse(e, "server_psk_keys, or a server's PSK callback, is set, but this is a client: it has "
				 "psk_identity and psk_key");
	if (is_server(ctx) && (has_pair(ctx) || args->psk_identity.at != NULL) && !ctx->either_side)
		return refuse(e,
		    "psk_identity and psk_key, or a client's PSK callback, are set, but this is a server: it has "
		    "server_psk_keys");
	if (has_pair(ctx) && args->psk_identity.at != NULL)
		return refuse(e, "psk_identity and psk_key are set beside a PSK callback: one of them must go");
	return true;
}

static bool judge_verification(struct ssl_context *ctx, bool only_psk, const char *hostname, struct ssl_error *e)
{
	const char *mode = ctx->verify_mode == CERT_OPTIONAL ? "CERT_OPTIONAL" : "CERT_REQUIRED";

	if (ctx->verify_mode == CERT_NONE && ctx->has_ca)
		return refuse(
		    e, "a CA was given (ca_certs, cadata, load_verify_locations) that CERT_NONE would not use");
	if (ctx->verify_mode == CERT_NONE && ctx->has_verify_callback)
		return refuse(e, "verify_callback is set, but CERT_NONE would not call it");
	if (ctx->verify_mode == CERT_NONE || only_psk)
		return true;
	if (!is_server(ctx) && hostname == NULL) {
		ssl_fail(e, SSL_KIND_VALUE, "%s requires server_hostname", mode);
		return false;
	}
	if (!ctx->has_ca) {
		ssl_fail(e, SSL_KIND_VALUE,
		    "%s requires a CA to verify the peer with: ca_certs, cadata, or load_verify_locations()", mode);
		return false;
	}
	return true;
}

bool ssl_judge(struct ssl_context *ctx, const struct ssl_context_wrap_args *args, struct ssl_error *e)
{
	bool only_psk = ssl_only_psk(ctx, args);

	if (!judge_args(ctx, args, e) || !judge_psk(ctx, args, e) ||
	    !judge_verification(ctx, only_psk, args->server_hostname, e))
		return false;
	if (only_psk && !is_server(ctx) && !has_pair(ctx) && args->psk_identity.at == NULL)
		return refuse(e, "only PSK suites are named, but psk_identity and psk_key are missing");
	return true;
}
