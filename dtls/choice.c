#include "choice.h"

#include "error.h"
#include "mbed.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int refuse(struct association *a, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct association *a, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(a->error, sizeof(a->error), format, args);
	va_end(args);
	a->choice_failed = true;
	return MBEDTLS_ERR_SSL_BAD_CONFIG;
}

/* From now on by the settings of another context; the first ones stay, since what was decided points into them. 0, or
 * an mbed TLS error. */
static int go_by(struct association *a, struct dtls_context *ctx)
{
	struct settings *s;

	if (ctx == a->ctx)
		return 0;
	if (ctx->opt.protocol != a->settings->opt.protocol)
		return refuse(a, "the context that a callback chose is for another protocol or side");
	s = context_judge(ctx) ? context_snapshot(ctx) : NULL;
	if (s == NULL)
		return refuse(a, "the context that a callback chose cannot be used: %s", dtls_context_error(ctx));
	a->first_settings = a->settings;
	a->settings = s;
	a->chosen = dtls_context_ref(ctx);
	mbed_set_conf(&a->ssl, &s->conf);
	return 0;
}

void choice_forget(struct association *a)
{
	a->key_chosen = a->choice_failed = false;
	a->server_hello_seq = a->server_done_seq = 0;
	if (a->first_settings == NULL)
		return;
	mbed_set_conf(&a->ssl, &a->first_settings->conf);
	settings_free(a->settings);
	dtls_context_free(a->chosen);
	a->settings = a->first_settings;
	a->first_settings = NULL;
	a->chosen = NULL;
}

/* ---- servers ---- */

/* The chain for the name that the client asks for, or the one for everybody. */
static int choose_chain(const struct settings *s, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len)
{
	for (size_t i = 1; i < s->opt.own_count; i++) {
		struct credentials *c = s->opt.own[i];

		if (strlen(c->hostname) == len && strncasecmp(c->hostname, (const char *)name, len) == 0)
			return mbedtls_ssl_set_hs_own_cert(ssl, &c->chain, &c->key);
	}
	return 0;
}

static int choose_context(struct association *a, const unsigned char *name, size_t len)
{
	const struct options *opt = &a->settings->opt;
	char text[HOSTNAME_MAX + 1], printed[HOSTNAME_MAX + 1];
	struct dtls_context *ctx = NULL;

	if (a->first_settings != NULL)
		return refuse(a, "the client names a server twice");
	if (len > 0 && len <= HOSTNAME_MAX && memchr(name, '\0', len) == NULL) {
		memcpy(text, name, len);
		text[len] = '\0';
		ctx = opt->choose_name(opt->choose_name_arg, text);
	}
	if (ctx != NULL)
		return go_by(a, ctx);
	return refuse(a, "the client asks for the server \"%s\", which is not here",
	    error_bytes(name, len, printed, sizeof(printed)));
}

int choice_by_name(void *settings, mbedtls_ssl_context *ssl, const unsigned char *name, size_t len)
{
	struct association *a = (struct association *)ssl;
	const struct settings *s = settings;
	int code = s->opt.choose_name == NULL ? 0 : choose_context(a, name, len);

	return code == 0 ? choose_chain(a->settings, ssl, name, len) : code;
}

/* ---- clients ---- */

static void choose_key(struct association *a, const uint8_t *hint, size_t len)
{
	const struct options *opt = &a->settings->opt;
	struct dtls_context *ctx = opt->choose_key(opt->choose_key_arg, hint, len);
	const uint8_t *identity;
	char printed[80];
	size_t identity_len;

	a->key_chosen = true;
	if (ctx == NULL) {
		refuse(a, "there is no key for the server's identity hint \"%s\"",
		    error_bytes(hint, len, printed, sizeof(printed)));
		return;
	}
	if (go_by(a, ctx) != 0)
		return;
	identity = psk_table_identity(a->settings->opt.psk.fixed, 0, &identity_len);
	if (association_keep_identity(a, identity, identity_len) != 0)
		refuse(a, "out of memory");
}

/* The hint stands first in the ServerKeyExchange of every PSK suite. Where there is none to send, that message may be
 * missing: then ServerHelloDone is the next after the ServerHello, in whichever order they came. */
void choice_by_hint(struct association *a, const struct message *m)
{
	if (a->settings->opt.choose_key == NULL || a->key_chosen || a->finished_sent)
		return;
	if (m->type == MESSAGE_SERVER_HELLO)
		a->server_hello_seq = m->seq + 1;
	if (m->type == MESSAGE_SERVER_HELLO_DONE)
		a->server_done_seq = m->seq + 1;
	if (a->server_hello_seq > 0 && a->server_done_seq == a->server_hello_seq + 1)
		choose_key(a, (const uint8_t *)"", 0);
	else if (m->type == MESSAGE_SERVER_KEY_EXCHANGE && m->offset == 0 && m->len >= 2 &&
		 get_16(m->body) <= m->len - 2)
		choose_key(a, m->body + 2, get_16(m->body));
}

/* ---- public ---- */

int dtls_context_set_name_callback(struct dtls_context *ctx, dtls_choose_name *choose, void *arg)
{
	if (!options_is_server(&ctx->opt))
		return context_fail(ctx, DTLS_FAIL, "a client is not asked for names: use dtls_conn_set_hostname()");
	context_change(ctx);
	ctx->opt.choose_name = choose;
	ctx->opt.choose_name_arg = arg;
	return context_changed(ctx);
}

int dtls_context_set_hint_callback(struct dtls_context *ctx, dtls_choose_key *choose, void *arg)
{
	if (ctx->opt.protocol != PROTOCOL_DTLS_CLIENT)
		return context_fail(ctx, DTLS_FAIL, "only a DTLS client can be told a server's identity hint");
	context_change(ctx);
	ctx->opt.choose_key = choose;
	ctx->opt.choose_key_arg = arg;
	return context_changed(ctx);
}
