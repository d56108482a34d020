/* coap_credentials.h - the keys and certificates of coap-server and coap-sensor: judged by the library, as those of the
 * other programs are, then given to libcoap. */
#ifndef COAP_CREDENTIALS_H
#define COAP_CREDENTIALS_H

#include "cli_dtls.h"
#include "coap_peers.h"

#include <coap3/coap.h>

#define COAP_CREDENTIALS_OPTIONS                                                                                       \
	{"psk", required_argument, NULL, CLI_PSK}, {"psk-file", required_argument, NULL, CLI_PSK_FILE},                \
	    {"cert", required_argument, NULL, CLI_CERT}, {"key", required_argument, NULL, CLI_KEY},                    \
	    {"ca", required_argument, NULL, CLI_CA},                                                                   \
	{                                                                                                              \
		"verify", required_argument, NULL, CLI_VERIFY                                                          \
	}

struct coap_key {
	uint8_t *identity, *key; /* one block, for free() */
	size_t identity_len, key_len;
};

struct coap_keys {
	struct coap_key *list;
	size_t count;
};

struct coap_credentials { /* all zero at first but for given.server */
	struct cli_dtls given;
	const char *fleet; /* a file of keys as --psk-file has them: each is a client's */
	const char *hostname; /* of a server with a certificate; NULL: none */
	struct coap_keys keys, file; /* --psk; --psk-file or the fleet's */
	struct coap_peers *peers; /* a server's */
	coap_bin_const_t answer; /* to libcoap's question for a key */
};

/* Keeps one option that getopt_long() has found. */
void coap_credentials_option(struct coap_credentials *c, int option, char *value);
/* After the last one: reads and judges them all. What is wrong ends the program with a sentence. */
void coap_credentials_load(struct coap_credentials *c);
void coap_credentials_free(struct coap_credentials *c);

/* Servers: gives them to the context. */
void coap_credentials_serve(struct coap_credentials *c, coap_context_t *coap);
/* On SIGHUP: reads the files again, for new sessions, and says on stderr what became of each. A bad one changes nothing. */
void coap_credentials_reload(struct coap_credentials *c, coap_context_t *coap);

/* Clients: a session with that server, whose handshake begins. key: NULL where certificates are used. NULL: it could not
 * be made; libcoap_complaint() may say why. */
coap_session_t *coap_credentials_connect(
    struct coap_credentials *c, coap_context_t *coap, const coap_address_t *server, const struct coap_key *key);

#endif
