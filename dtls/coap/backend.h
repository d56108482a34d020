/* backend.h - libcoap's (D)TLS backend on this library. libcoap calls the functions that libcoap.h declares; behind
 * them each coap_context_t has a backend, and each coap_session_t that speaks DTLS a session, found by their addresses:
 * nothing of libcoap's own structs is read.
 *
 * Threads: libcoap gives a context and its sessions to one thread at a time. What is shared by all is the list of
 * backends, under its lock, and the log level. */
#ifndef DTLS_COAP_BACKEND_H
#define DTLS_COAP_BACKEND_H

#include "libcoap.h"

#include <dtls/dtls.h>
#include <mbedtls/x509_crl.h>
#include <stdbool.h>

struct keyring { /* what a handshake goes by: keys, certificates, and what libcoap's settings ask of the peer's */
	unsigned refs;
	struct backend *backend;
	struct dtls_context *ctx;
	bool is_server, has_psk, has_pki, traces;
	coap_dtls_pki_t rules; /* its switches and callbacks; pki_key and client_sni are not used */
	char *server_name; /* a client's; may be NULL */
	mbedtls_x509_crl crls; /* that were loaded into ctx */
};

struct backend { /* of one coap_context_t */
	coap_context_t *coap;
	void *sessions; /* of tsearch(3) */
	struct session *current; /* whose datagram or timer is looked at; callbacks have no other way to know */

	struct keyring *server; /* of all server sessions, and the cookies; NULL before it is set up */
	struct name *names; /* what servers have for the names that clients asked for */
	struct keyring *psk_only; /* for those that have no certificate; or NULL */
	bool has_keys; /* for servers or clients: what coap_new_endpoint() asks */
	bool has_spsk;
	coap_dtls_spsk_t spsk; /* its callbacks; psk_info is not used */
	uint8_t *spsk_key; /* for every identity; NULL: none */
	size_t spsk_key_len;
	char *root_file, *root_dir; /* of CAs; may be NULL */

	/* What the next new client session is made with; NULL: nothing was set since the last. */
	struct keyring *client;
	coap_dtls_cpsk_t cpsk; /* with a pre-shared key: callback and name */

	/* The hello whose cookie held, until its session asks for it. */
	const coap_session_t *verified;
	uint8_t *hello;
	size_t hello_len;
};

enum { HELLO_RANDOM = 32 };

struct session { /* of one coap_session_t */
	coap_session_t *coap;
	struct backend *backend;
	bool is_client; /* keeps what it was made with for the next handshake, when conn has ended */
	struct dtls_conn *conn; /* NULL: ended */
	struct keyring *keys, *chosen; /* of conn; the second when a name or a hint asked for others */
	bool psk_refused; /* for the name that the client asked for */
	coap_bin_const_t *key; /* for that name, or of its identity; NULL: the one for everybody */
	uint8_t random[HELLO_RANDOM]; /* of the hello that a server's session began with */
	struct session *next; /* a second handshake from the address of an open session; or NULL */
	bool is_next; /* this is such a one */
	bool open; /* the handshake is done */
	size_t mtu; /* of the handshake */
	unsigned overhead; /* of a record, when open */
	bool unsent; /* libcoap could not send a datagram */

	const uint8_t *in; /* the datagram that conn has not taken yet */
	size_t in_len;

	unsigned held; /* by functions that go on with it after a callback */
	unsigned inside; /* calls of conn, out of which a callback may come */
	bool forgotten; /* goes when nobody holds it */
	bool ended; /* so does its conn */

	/* What a client was made with. */
	struct keyring *pki; /* NULL: a pre-shared key, which libcoap keeps */
	char *server_name; /* with a pre-shared key; may be NULL */
	coap_dtls_ih_callback_t choose_identity;
	void *choose_identity_arg;
};

/* contexts.c */
struct backend *backend_find(const coap_context_t *); /* NULL: libcoap asked for none */

/* sessions.c */
struct session *session_find(const coap_session_t *); /* NULL: none */
struct session *session_new(
    struct backend *, coap_session_t *, bool is_client); /* or the one there is; NULL: no memory */
struct session *session_alloc(struct backend *, coap_session_t *); /* that is not found; NULL: no memory */
void session_let_go(struct session *); /* one that is not found any more: it ends when nobody holds it */
void session_replace(struct session *, struct session *with); /* which is found from now on */
void session_choose(struct session *, struct keyring *); /* takes the reference */
void session_hold(struct session *);
void session_release(struct session *);
/* Around calls of conn: enter returns what leave takes. */
struct session *session_enter(struct session *);
void session_leave(struct session *, struct session *outer);
/* Gives the connection up, without a word to the peer. */
void session_drop(struct session *);
void session_forget(struct session *);
void session_forget_all(struct backend *);

enum { OVERHEAD = 13 + 8 + 8 }; /* what libcoap takes for it before it asks: header, nonce and tag of a CCM_8 suite */

/* datagrams.c: over the session's coap_session_t. */
bool session_connect(struct session *, struct keyring *); /* makes conn; false was logged */
/* The handshake of one that is held, or has no callbacks yet, with what came: DTLS_OK when it is done; a status that does
 * not go on was logged. */
int session_feed(struct session *, const uint8_t *datagram, size_t len);
void session_opened(struct session *, coap_event_t event);
bool session_goes_on(ssize_t status);

/* hello.c */
bool hello_serve(struct session *, const uint8_t *hello, size_t len); /* false: the handshake failed, and was logged */
/* Does its cookie hold? Otherwise it is answered, where it deserves that. */
bool hello_is_verified(struct backend *, coap_session_t *, const uint8_t *datagram, size_t len);

/* successor.c */
/* Is some of this for another handshake than the open session's? */
bool successor_concerns(const struct session *, const uint8_t *datagram, size_t len);
/* Takes that out and moves the rest together: returns its length. The session may be another one then, or none. */
size_t successor_filter(coap_session_t *, uint8_t *datagram, size_t len);
bool successor_is_quiet(const struct session *, const uint8_t *datagram); /* this is not to be sent */
void successor_drop(struct session *);
void hello_random(const uint8_t *hello, size_t len, uint8_t random[HELLO_RANDOM]);

/* keyring.c */
struct keyring *keyring_new(struct backend *, bool is_server); /* NULL was logged */
struct keyring *keyring_ref(struct keyring *);
void keyring_free(struct keyring *); /* gives one reference back */
bool keyring_add_psk(struct keyring *); /* a server's; false was logged */
/* Logs why the last call on its context failed. Returns false. */
bool keyring_failed(const struct keyring *);

/* psk.c */
dtls_psk_lookup psk_lookup; /* the argument is the backend */
void psk_learn_key(struct session *, const coap_bin_const_t *key); /* NULL: none */
struct keyring *psk_client_keyring(struct session *); /* of what libcoap keeps for it; NULL was logged */
void psk_ask_for_hint(struct session *, struct keyring *);

/* pki.c */
struct keyring *pki_named_keyring(const struct keyring *base, const coap_dtls_key_t *key); /* NULL was logged */

/* verify.c */
dtls_overrule verify_overrule; /* the argument is the keyring */
bool verify_shown(const struct session *); /* a certificate that nothing verified; false: the application refuses it */

/* names.c */
dtls_choose_name names_choose; /* the argument is the backend */
void names_forget(struct backend *);

/* log.c */
void log_line(coap_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* About a session, at the (D)TLS level that was set. */
void log_session(const struct session *, coap_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void log_trace(struct keyring *); /* tells handshakes' stories where the level asks for it */

#endif
