/* cli_dtls.h - the options that programs over DTLS and TLS share, for getopt_long(3). They are kept first, and applied
 * when all are known: --tls decides over the context, and their order must not matter. */
#ifndef CLI_DTLS_H
#define CLI_DTLS_H

#include "cli.h"
#include "dtls/dtls.h"

enum { CLI_PSK = 256, CLI_PSK_FILE, CLI_KEY_PASSWORD_FILE, CLI_CERT, CLI_KEY, CLI_CA, CLI_CRL, CLI_VERIFY };
enum { CLI_CIPHERS = 288, CLI_ALPN, CLI_HANDSHAKE_TIMEOUT, CLI_RETRANSMIT, CLI_MTU, CLI_KEYLOG };
enum { CLI_TLS = 320, CLI_MAX_VERSION };
#define CLI_DTLS_OPTIONS                                                                                               \
	{"psk", required_argument, NULL, CLI_PSK}, {"psk-file", required_argument, NULL, CLI_PSK_FILE},                \
	    {"key-password-file", required_argument, NULL, CLI_KEY_PASSWORD_FILE},                                     \
	    {"cert", required_argument, NULL, CLI_CERT}, {"key", required_argument, NULL, CLI_KEY},                    \
	    {"ca", required_argument, NULL, CLI_CA}, {"crl", required_argument, NULL, CLI_CRL},                        \
	    {"verify", required_argument, NULL, CLI_VERIFY}, {"ciphers", required_argument, NULL, CLI_CIPHERS},        \
	    {"alpn", required_argument, NULL, CLI_ALPN},                                                               \
	    {"handshake-timeout", required_argument, NULL, CLI_HANDSHAKE_TIMEOUT},                                     \
	    {"retransmit", required_argument, NULL, CLI_RETRANSMIT}, {"mtu", required_argument, NULL, CLI_MTU},        \
	    {"keylog", required_argument, NULL, CLI_KEYLOG},                                                           \
	    {"max-version", required_argument, NULL, CLI_MAX_VERSION},                                                 \
	{                                                                                                              \
		"tls", no_argument, NULL, CLI_TLS                                                                      \
	}
/* What --help says of them. */
extern const char cli_dtls_help[];

struct cli_dtls { /* all zero at first but for server */
	bool server, tls;
	struct cli_given { /* in the order of the command line */
		int option;
		char *value;
	} * given;
	size_t given_count;
	struct dtls_context *ctx; /* once they are applied */
	int keylog_fd;
};

/* Keeps one of them, which getopt_long() has just found. */
void cli_dtls_option(struct cli_dtls *o, int option, char *value);
/* After the last one: makes the context, and judges whether a session can be made of it, a client's with this name of the
 * server; NULL: none. */
void cli_dtls_apply(struct cli_dtls *o, const char *hostname);
void cli_dtls_free(struct cli_dtls *o);

bool cli_dtls_has(const struct cli_dtls *o, int option);
/* The value, NULL where the option was not given. Of one that may be repeated: the nth, from 0 on. */
char *cli_dtls_value(const struct cli_dtls *o, int option, size_t nth);
/* Will peers be known by certificates, not by pre-shared keys? */
bool cli_dtls_by_certificate(const struct cli_dtls *o);

/* What to say of dtls_conn_verify_result(). */
const char *cli_verify_text(int64_t result);

#endif
