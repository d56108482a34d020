/* association.h - one secured association without I/O of its own: datagrams are fed in, datagrams leave through a
 * callback; a stream's bytes come and leave through two; time is the context's clock. Connections and peers are built
 * on it. */
#ifndef ASSOCIATION_H
#define ASSOCIATION_H

#include "address.h"
#include "error.h"
#include "story.h"
#include "timer.h"

enum association_state { ASSOCIATION_HANDSHAKE, ASSOCIATION_OPEN, ASSOCIATION_ENDED };

struct tally { /* counters that all associations of an owner share */
	uint64_t retransmissions, forgeries;
};

/* Sends one datagram: its length; DTLS_WANT_WRITE; DTLS_AGAIN when it is lost for the reason in errno (EMSGSIZE, no
 * route, no buffers), as any datagram may be; DTLS_FAIL with errno when no other will do better. */
typedef ssize_t association_send(void *owner, const uint8_t *datagram, size_t len);
/* Over a stream send may take fewer bytes, and never returns DTLS_AGAIN. Recv returns 1..len bytes, 0 at the end of the
 * stream, DTLS_WANT_READ, or DTLS_FAIL with errno. */
typedef ssize_t association_recv(void *owner, uint8_t *buf, size_t len);

struct carrier;

struct association {
	mbedtls_ssl_context ssl; /* first: mbed TLS's callbacks get it back */
	struct dtls_context *ctx;
	struct settings *settings;
	struct settings *first_settings; /* those that it began with, where choice.c found others; or NULL */
	struct dtls_context *chosen; /* theirs */
	bool choice_failed; /* the error has why */
	bool key_chosen; /* for the server's hint */
	struct timer timer;
	struct story story;
	const struct carrier *carrier; /* DTLS or TLS */
	association_send *send;
	association_recv *recv; /* TLS */
	void *owner;
	const struct address *peer; /* for sentences; may be NULL */
	struct tally *tally;

	const uint8_t *in; /* the datagram being fed */
	size_t in_len;

	enum association_state state;
	int status; /* final, when ended */
	int code; /* mbed TLS's, or -errno */
	char error[ERROR_MAX]; /* the sentence; before the end, what verify.c found */

	const uint8_t *identity;
	size_t identity_len;
	bool identity_owned; /* or it is the settings' */
	bool identity_unknown; /* and the decoy key was used */
	uint8_t key_mark[RESUMABLE_MARK]; /* of a server that lets clients resume: what the session will rest on */

	char *peer_name; /* of its verified certificate, as text; or NULL */

	bool began; /* the handshake */
	bool needs_hostname; /* a certificate is to be verified, and no name was given yet */
	char hostname[HOSTNAME_MAX + 1]; /* of a server: the one that the client asks for */
	bool hello_noted, extended_master; /* the peer's hello; it has that extension (RFC 7627) */
	int common_suite; /* of a server: its most wanted one that the client offers; 0: none */
	struct resumption *resumption; /* the session that may be resumed; or NULL */
	bool resumed;
	bool verify_ran;
	uint32_t verify_flags;

	/* What the datagrams told so far. */
	bool heard, hello_answered, finished_sent; /* since it began, or began again */
	int server_hello_seq, server_done_seq; /* of these messages, and 1 more; 0: not seen */
	bool quiet; /* sends no alerts: another session lives at this address */
	bool alert_sent; /* a fatal one */
	bool alert_plain;
	bool certificate_asked; /* of a client */
	uint8_t alert; /* the last one received in the clear */
	bool restarted;
	unsigned hello_verify_requests;
	unsigned forgeries; /* already in the tally */
	uint64_t last_seq; /* of our encrypted records */
	int lost_errno; /* of the last datagram that could not be sent */
	const char *broken; /* the transport, for good: what cannot be done any more, "send" or "receive" */

	bool unsent; /* a record that the transport would not take at once... */
	bool unsent_left; /* ...and took later, maybe while reading */
	size_t unsent_len;
	unsigned receives_left; /* from a stream, in this call */
	bool at_end; /* of the stream */
	bool reset; /* it was, as a send of the handshake found */
	int deaf_errno; /* the peer reads no more, but what it sent is still to be read; or 0 */
	bool closing; /* a stream: close_notify was written, maybe not yet sent */
};

struct association_setup {
	size_t size; /* of what the association is the first member of, and which is freed with it; 0: of it alone */
	struct dtls_context *ctx;
	struct settings *settings; /* gets a reference of its own */
	association_send *send;
	association_recv *recv; /* NULL for datagrams */
	void *owner;
	const struct address *peer;
	struct tally *tally;
};

/* NULL with the reason in the context's error. */
struct association *association_new(const struct association_setup *);
/* Of one that has no session any more, and whose context is reset: a new one for another peer, with the same settings. */
void association_renew(struct association *, void *owner, const struct address *peer);
void association_free(struct association *);

int association_set_hostname(struct association *, const char *name); /* NULL: none. 0 or an mbed TLS error */
/* identify.c: remembers whose session this is; 0 or an mbed TLS error. */
int association_keep_identity(struct association *, const uint8_t *identity, size_t len);
/* The same for one that lives as long as the settings: no memory is needed. */
void association_borrow_identity(struct association *, const uint8_t *identity, size_t len);
void association_forget_identity(struct association *); /* the session does not rest on its key */
/* identify.c: remembers the name in a verified certificate; 0 or an mbed TLS error. */
int association_name_peer(struct association *);
/* mbed TLS's f_psk, with the settings as argument: finds the key for an identity, or takes the decoy. */
int association_psk(void *settings, mbedtls_ssl_context *, const unsigned char *identity, size_t len);

/* Lends one datagram to the next call of handshake or read, which consumes it. */
void association_feed(struct association *, const void *datagram, size_t len);
/* DTLS_OK when done, DTLS_WANT_READ, DTLS_WANT_WRITE, or final. Fires timers that are due when nothing is fed. */
int association_handshake(struct association *);
/* After the handshake: a message, DTLS_WANT_READ, DTLS_TOO_BIG (kept), or final; over a stream 1..len bytes. */
ssize_t association_read(struct association *, void *buf, size_t len);
ssize_t association_write(struct association *, const void *buf, size_t len);
/* Sends close_notify in an open session. DTLS_WANT_WRITE: repeat it; otherwise DTLS_OK. */
int association_close(struct association *);
size_t association_pending(const struct association *);
const uint8_t *association_peer_cert(const struct association *, size_t *len); /* NULL: none */
int64_t association_verify_result(const struct association *); /* -1: nothing was verified */
size_t association_max_payload(const struct association *);
/* More records of the last datagram wait inside. */
bool association_has_input(const struct association *);
int64_t association_due_at(const struct association *);
/* The context of a fresh association was given a session whose handshake is long over. */
void association_reopen(struct association *);
/* Sends the fatal alert for an mbed TLS error, for an owner who is about to end an unfinished handshake. */
void association_refuse(struct association *, int code);
/* Ends it from outside: status, code, sentence. */
int association_end(struct association *, int status, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
