#include "cli_dtls.h"

#include "cli_credentials.h"
#include "cli_keylog.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_dtls_help[] = "      --psk=ID:HEX           identity and pre-shared key, the key in hex\n"
			     "      --psk-file=FILE        the same from a file\n"
			     "      --cert=FILE            this side's certificate chain, leaf first; PEM or\n"
			     "                             DER\n"
			     "      --key=FILE             its key (default: it is in the --cert file, too)\n"
			     "      --key-password-file=FILE\n"
			     "                             the password of an encrypted key, on the first line\n"
			     "                             of FILE\n"
			     "      --ca=FILE              CAs to verify the peer's certificate with; may be\n"
			     "                             repeated\n"
			     "      --crl=FILE             revocation lists of these CAs; may be repeated\n"
			     "      --verify=HOW           none, optional or required: the peer's certificate\n"
			     "      --ciphers=A,B          cipher suites by their IANA names, most wanted\n"
			     "                             first; with a pre-shared key only PSK suites are\n"
			     "                             enabled, unless others are named here\n"
			     "      --alpn=A,B             application protocols, most wanted first (ALPN)\n"
			     "      --handshake-timeout=MIN-MAX\n"
			     "                             first and longest retransmission timer in ms\n"
			     "                             (default 1000-60000); a handshake ends by the sum\n"
			     "                             of the timers between them, also with --tls\n"
			     "      --retransmit=HOW       adaptive (default): timers follow the measured\n"
			     "                             round trip; or fixed\n"
			     "      --mtu=BYTES            of UDP payload that a datagram may fill, 256 to\n"
			     "                             16384 (default 1200)\n"
			     "      --keylog=FILE          append the secrets of each session to FILE, for\n"
			     "                             Wireshark; the environment variable SSLKEYLOGFILE\n"
			     "                             does the same, and --keylog goes before it\n"
			     "      --tls                  TLS over TCP instead of DTLS over UDP\n"
			     "      --max-version=VERSION  1.2 (default) or 1.3, with --tls and where mbed TLS\n"
			     "                             has it\n";

/* ---- each option ---- */

typedef void apply(struct dtls_context *ctx, const char *name, char *value);

/* Cuts a list at its commas; the words stay in place. */
static size_t split(const char *option, char *list, const char *words[], size_t max)
{
	size_t count = 0;
	char *word;

	while ((word = strsep(&list, ",")) != NULL) {
		if (count == max)
			cli_usage("%s has more than %zu names", option, max);
		words[count++] = word;
	}
	return count;
}

static void set_ciphers(struct dtls_context *ctx, const char *name, char *value)
{
	const char *names[64];
	size_t count = split(name, value, names, sizeof(names) / sizeof(*names));

	if (dtls_context_set_ciphers(ctx, names, count) != DTLS_OK)
		cli_usage("%s: %s", name, dtls_context_error(ctx));
}

static void set_alpn(struct dtls_context *ctx, const char *name, char *value)
{
	const char *names[64];
	size_t count = split(name, value, names, sizeof(names) / sizeof(*names));

	if (dtls_context_set_alpn(ctx, names, count) != DTLS_OK)
		cli_usage("%s: %s", name, dtls_context_error(ctx));
}

static void set_handshake_timeout(struct dtls_context *ctx, const char *name, char *value)
{
	char *dash = strchr(value, '-');
	int min_ms, max_ms;

	if (dash == NULL)
		cli_usage("%s takes two numbers of milliseconds, MIN-MAX, not \"%s\"", name, value);
	*dash = '\0';
	min_ms = (int)cli_number(name, value, 1, 3600000);
	max_ms = (int)cli_number(name, dash + 1, 1, 3600000);
	*dash = '-'; /* the command line is shown by ps(1) */
	if (dtls_context_set_handshake_timeout(ctx, min_ms, max_ms) != DTLS_OK)
		cli_usage("%s: %s", name, dtls_context_error(ctx));
}

static void set_retransmit(struct dtls_context *ctx, const char *name, char *value)
{
	bool fixed = strcmp(value, "fixed") == 0;

	if (!fixed && strcmp(value, "adaptive") != 0)
		cli_usage("%s takes fixed or adaptive, not \"%s\"", name, value);
	dtls_context_set_retransmit(ctx, fixed ? DTLS_RETRANSMIT_FIXED : DTLS_RETRANSMIT_ADAPTIVE);
}

static void set_mtu(struct dtls_context *ctx, const char *name, char *value)
{
	dtls_context_set_mtu(ctx, (size_t)cli_number(name, value, 256, 16384));
}

static void set_verify(struct dtls_context *ctx, const char *name, char *value)
{
	static const char *const modes[] = {
	    [CERT_NONE] = "none", [CERT_OPTIONAL] = "optional", [CERT_REQUIRED] = "required"};

	for (int mode = CERT_NONE; mode <= CERT_REQUIRED; mode++) {
		if (strcmp(value, modes[mode]) != 0)
			continue;
		dtls_context_set_verify_mode(ctx, (enum dtls_verify_mode)mode);
		return;
	}
	cli_usage("%s takes none, optional or required, not \"%s\"", name, value);
}

static void set_max_version(struct dtls_context *ctx, const char *name, char *value)
{
	bool newest = strcmp(value, "1.3") == 0;

	if (!newest && strcmp(value, "1.2") != 0)
		cli_usage("%s takes 1.2 or 1.3, not \"%s\"", name, value);
	if (dtls_context_set_max_version(ctx, newest ? DTLS_VERSION_1_3 : DTLS_VERSION_1_2) != DTLS_OK)
		cli_usage("%s: %s", name, dtls_context_error(ctx));
}

static const struct kind {
	const char *name;
	apply *apply; /* NULL: by cli_credentials.c and the like */
	int option;
	bool repeats, for_datagrams;
} kinds[] = {
    {.option = CLI_PSK, .name = "--psk", .repeats = true},
    {.option = CLI_PSK_FILE, .name = "--psk-file"},
    {.option = CLI_KEY_PASSWORD_FILE, .name = "--key-password-file"},
    {.option = CLI_CERT, .name = "--cert"},
    {.option = CLI_KEY, .name = "--key"},
    {.option = CLI_CA, .name = "--ca", .repeats = true},
    {.option = CLI_CRL, .name = "--crl", .repeats = true},
    {.option = CLI_VERIFY, .name = "--verify", .apply = set_verify},
    {.option = CLI_CIPHERS, .name = "--ciphers", .apply = set_ciphers},
    {.option = CLI_ALPN, .name = "--alpn", .apply = set_alpn},
    {.option = CLI_HANDSHAKE_TIMEOUT, .name = "--handshake-timeout", .apply = set_handshake_timeout},
    {.option = CLI_RETRANSMIT, .name = "--retransmit", .apply = set_retransmit, .for_datagrams = true},
    {.option = CLI_MTU, .name = "--mtu", .apply = set_mtu, .for_datagrams = true},
    {.option = CLI_KEYLOG, .name = "--keylog"},
    {.option = CLI_TLS, .name = "--tls"},
    {.option = CLI_MAX_VERSION, .name = "--max-version", .apply = set_max_version},
};

static const struct kind *kind_of(int option)
{
	const struct kind *kind = kinds;

	while (kind->option != option)
		kind++;
	return kind;
}

/* ---- all of them ---- */

void cli_dtls_option(struct cli_dtls *o, int option, char *value)
{
	const struct kind *kind = kind_of(option);

	if (!kind->repeats && cli_dtls_has(o, option))
		cli_usage("%s is given twice", kind->name);
	o->given = reallocarray(o->given, o->given_count + 1, sizeof(*o->given));
	if (o->given == NULL)
		cli_fail("out of memory");
	o->given[o->given_count++] = (struct cli_given){option, value};
	o->tls |= option == CLI_TLS;
}

char *cli_dtls_value(const struct cli_dtls *o, int option, size_t nth)
{
	for (size_t i = 0; i < o->given_count; i++)
		if (o->given[i].option == option && nth-- == 0)
			return o->given[i].value;
	return NULL;
}

bool cli_dtls_has(const struct cli_dtls *o, int option)
{
	for (size_t i = 0; i < o->given_count; i++)
		if (o->given[i].option == option)
			return true;
	return false;
}

bool cli_dtls_by_certificate(const struct cli_dtls *o)
{
	return !cli_dtls_has(o, CLI_PSK) && !cli_dtls_has(o, CLI_PSK_FILE);
}

/* Nothing is sent or received by it. */
static ssize_t no_bytes(void *arg, void *buf, size_t len)
{
	(void)arg, (void)buf, (void)len;
	return DTLS_WANT_READ;
}

static ssize_t no_room(void *arg, const void *buf, size_t len)
{
	(void)arg, (void)buf, (void)len;
	return DTLS_WANT_WRITE;
}

/* Combinations of settings are judged when a connection is made: here, before anybody waits for one. */
static void judge(struct dtls_context *ctx, const char *hostname)
{
	const struct dtls_transport nowhere = {.send = no_room, .recv = no_bytes};
	struct dtls_conn *conn = dtls_wrap_transport(ctx, &nowhere);

	if (conn == NULL)
		cli_usage("%s", dtls_context_error(ctx));
	if (hostname != NULL && dtls_conn_set_hostname(conn, hostname) != DTLS_OK)
		cli_usage("--hostname: %s", dtls_conn_error(conn));
	dtls_conn_free(conn);
}

void cli_dtls_apply(struct cli_dtls *o, const char *hostname)
{
	enum dtls_protocol side = o->server ? PROTOCOL_DTLS_SERVER : PROTOCOL_DTLS_CLIENT;

	if (o->tls)
		side = o->server ? PROTOCOL_TLS_SERVER : PROTOCOL_TLS_CLIENT;
	o->ctx = dtls_context_new(side);
	if (o->ctx == NULL)
		cli_fail("%s", dtls_context_error(NULL));
	cli_credentials_load(o);
	for (size_t i = 0; i < o->given_count; i++) {
		const struct kind *kind = kind_of(o->given[i].option);

		if (o->tls && kind->for_datagrams)
			cli_usage("%s is for datagrams, which --tls does without", kind->name);
		if (kind->apply != NULL)
			kind->apply(o->ctx, kind->name, o->given[i].value);
	}
	cli_keylog_open(o);
	judge(o->ctx, hostname);
}

void cli_dtls_free(struct cli_dtls *o)
{
	dtls_context_free(o->ctx);
	if (o->keylog_fd > 0)
		close(o->keylog_fd);
	free(o->given);
}

const char *cli_verify_text(int64_t result)
{
	return result == 0 ? "verified" : result < 0 ? "not verified" : "not valid";
}
