/* ssl_shim.h - the ssl module in C: what Python's ssl and MicroPython's ssl, tls and ussl offer, with DTLS and pre-shared
 * keys, under the same names, with the same defaults and the same errors.
 *
 *	struct ssl_wrap_args args = SSL_WRAP_ARGS;
 *	struct ssl_error error;
 *	struct ssl_socket *s;
 *
 *	args.psk_ident = ssl_text("sensor-17");
 *	args.psk_key = ssl_text("secretPSK");
 *	s = ssl_wrap_socket(fd, &args, &error);
 *	if (s == NULL || ssl_socket_write(s, "21.4", 4, &error) < 0)
 *		fprintf(stderr, "%s\n%s\n", error.text, error.note);
 *
 * Conventions:
 *  - A call that fails returns NULL or SSL_FAILED and fills in the error, which may not be NULL. SSL_WOULD_BLOCK is no
 *    failure: nothing can be done now.
 *  - Lengths are bytes, times are milliseconds. A struct ssl_bytes whose at is NULL is Python's None.
 *  - A context judges a setting when it is made, and combinations when it wraps.
 *  - Threads: all calls lock. A socket may be read by one thread and written by another, and so may a server and its
 *    peers. A callback must not call back into the socket or server that it is called for (EDEADLK).
 *  - fork(): the sessions are the parent's. A child that closes a socket or server sends nothing and wakes nobody. */
#ifndef SSL_SHIM_H
#define SSL_SHIM_H

#include <dtls/dtls.h> /* PROTOCOL_*, CERT_*, and the types of callbacks */
#include <stdbool.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SSL_FAILED = -1, SSL_WOULD_BLOCK = -2 };

enum ssl_kind {
	SSL_KIND_NONE,
	SSL_KIND_OS, /* code: an errno, or mbed TLS's own, which is negative */
	SSL_KIND_VALUE, /* an argument's value, a combination, or a certificate that did not verify */
	SSL_KIND_TYPE, /* arguments that are missing, or exclude each other */
	SSL_KIND_TIMEOUT, /* of ssl_socket_set_timeout(); the call may be repeated */
	SSL_KIND_MEMORY,
	SSL_KIND_CALLBACK /* the interrupted callback said so */
};

struct ssl_error {
	enum ssl_kind kind;
	int code;
	char text[1024]; /* for SSL_KIND_OS what the code is called: "MBEDTLS_ERR_SSL_CONN_EOF", "Broken pipe" */
	char note[768]; /* one sentence with the cause and a hint, or "" */
	char path[256]; /* of the file that could not be read, or "" */
};

struct ssl_bytes {
	const void *at;
	size_t len;
};
/* The bytes of a string. */
static inline struct ssl_bytes ssl_text(const char *text)
{
	struct ssl_bytes bytes = {text, text == NULL ? 0 : strlen(text)};

	return bytes;
}
/* A key, a certificate or CAs: a file's path, or its content, in PEM or DER. Both NULL: none. */
struct ssl_source {
	const char *path;
	struct ssl_bytes data;
};

/* "mbed TLS 2.28.3", that of the library in use. */
const char *ssl_mbedtls_version(void);

/* ---- context ------------------------------------------------------------------------------------------------------ */
struct ssl_context;
struct ssl_socket;

struct ssl_context *ssl_context_new(int protocol, struct ssl_error *);
struct ssl_context *ssl_context_ref(struct ssl_context *);
void ssl_context_free(struct ssl_context *); /* gives one reference back; sockets have their own */
int ssl_context_protocol(const struct ssl_context *);
/* The key is parsed first: VALUE "invalid key"; then the certificate: VALUE "invalid cert", or TYPE where there is none.
 * password may be NULL. */
int ssl_context_load_cert_chain(struct ssl_context *, const struct ssl_source *cert, const struct ssl_source *key,
    const char *password, struct ssl_error *);
/* Repeated calls add. */
int ssl_context_load_verify_locations(struct ssl_context *, const struct ssl_source *ca, struct ssl_error *);
/* As dtls_context_get_ciphers(), but while there are no credentials those of certificates come before those of
 * pre-shared keys. */
size_t ssl_context_get_ciphers(struct ssl_context *, const char *names[], size_t max);
/* OS MBEDTLS_ERR_SSL_BAD_CONFIG: no names, or an unknown one. */
int ssl_context_set_ciphers(struct ssl_context *, const char *const names[], size_t count, struct ssl_error *);
int ssl_context_set_verify_mode(struct ssl_context *, long mode, struct ssl_error *);
int ssl_context_verify_mode(struct ssl_context *);
int ssl_context_set_verify_callback(struct ssl_context *, dtls_verify *, void *arg, struct ssl_error *);
/* A client's identity and key; None takes its half back. The pair is judged when both are there: OS
 * MBEDTLS_ERR_SSL_BAD_INPUT_DATA. */
int ssl_context_set_psk(
    struct ssl_context *, const struct ssl_bytes *identity, const struct ssl_bytes *key, struct ssl_error *);
/* A server's keys: asked for each identity. NULL: none. */
int ssl_context_set_psk_lookup(struct ssl_context *, dtls_psk_lookup *, void *arg);
int ssl_context_set_alpn_protocols(struct ssl_context *, const char *const names[], size_t count, struct ssl_error *);
/* Appends the secrets of later sessions to this file (SSLKEYLOGFILE). NULL: no longer. */
int ssl_context_set_keylog_filename(struct ssl_context *, const char *path, struct ssl_error *);
int ssl_context_set_handshake_timeout(struct ssl_context *, int min_ms, int max_ms, struct ssl_error *);
void ssl_context_handshake_timeout(struct ssl_context *, int *min_ms, int *max_ms);
int ssl_context_set_mtu(struct ssl_context *, size_t mtu, struct ssl_error *);
size_t ssl_context_mtu(struct ssl_context *); /* 0: a stream has none */

/* What carries a socket's bytes instead of a descriptor. send and recv are those of struct dtls_transport. poll returns
 * which of 1 (readable) and 4 (writable) in mask hold now; NULL: all always do. */
struct ssl_transport {
	ssize_t (*send)(void *arg, const void *buf, size_t len);
	ssize_t (*recv)(void *arg, void *buf, size_t len);
	int (*poll)(void *arg, int mask);
	void *arg;
};

struct ssl_context_wrap_args {
	bool server_side; /* the protocol decides; a client's contradicts */
	bool do_handshake_on_connect;
	const char *server_hostname;
	struct ssl_bytes client_id; /* a DTLS server's peer: its cookie is bound to it */
	struct ssl_bytes psk_identity, psk_key; /* a client's, for this connection alone */
};
#define SSL_CONTEXT_WRAP_ARGS                                                                                          \
	{                                                                                                              \
		.do_handshake_on_connect = true                                                                        \
	}

/* Borrows fd until it has succeeded; then ssl_socket_close() closes it. With do_handshake_on_connect it waits for the
 * handshake also where fd does not block. A DTLS server with a client_id that met a ClientHello without a cookie has
 * answered it: OS MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED, wrap again. */
struct ssl_socket *ssl_context_wrap_socket(
    struct ssl_context *, int fd, const struct ssl_context_wrap_args *, struct ssl_error *);
struct ssl_socket *ssl_context_wrap_transport(
    struct ssl_context *, const struct ssl_transport *, const struct ssl_context_wrap_args *, struct ssl_error *);

/* ---- the one call ------------------------------------------------------------------------------------------------- */
/* The arguments of every generation of wrap_socket(); key, cert and cadata exclude keyfile, certfile and ca_certs. */
struct ssl_wrap_args {
	bool server_side;
	struct ssl_source keyfile, certfile;
	long cert_reqs;
	struct ssl_source ca_certs;
	const char *server_hostname;
	bool do_handshake;
	struct ssl_bytes key, cert, cadata;
	struct ssl_bytes psk_ident, psk_key;
};
#define SSL_WRAP_ARGS                                                                                                  \
	{                                                                                                              \
		.do_handshake = true                                                                                   \
	}

/* A datagram socket gets DTLS, a stream socket TLS. */
struct ssl_socket *ssl_wrap_socket(int fd, const struct ssl_wrap_args *, struct ssl_error *);
/* A stream of the caller's own: TLS. */
struct ssl_socket *ssl_wrap_transport(const struct ssl_transport *, const struct ssl_wrap_args *, struct ssl_error *);

/* ---- socket ------------------------------------------------------------------------------------------------------- */
/* Ends without a word to the peer, and leaves the descriptor open, where ssl_socket_close() was not called. */
void ssl_socket_free(struct ssl_socket *);
/* Asked while a call waits: true ends it with SSL_KIND_CALLBACK. Over a descriptor only after a signal, and about
 * every 100 ms of a call that goes on waiting. It may close the socket. */
void ssl_socket_set_interrupted(struct ssl_socket *, bool (*interrupted)(void *arg), void *arg);

/* -1 waits for ever, 0 never waits; SSL_TIMEOUT_OF_FD, the default, does as the descriptor's O_NONBLOCK says. Over a
 * transport reads and writes never wait. */
enum { SSL_TIMEOUT_OF_FD = -2 };
void ssl_socket_set_timeout(struct ssl_socket *, int64_t ms);
int64_t ssl_socket_timeout(struct ssl_socket *); /* -1, 0 or more */

/* 0 when it is done; SSL_WOULD_BLOCK. */
int ssl_socket_do_handshake(struct ssl_socket *, struct ssl_error *);
/* The same, but waits also where reads and writes do not. */
int ssl_socket_do_handshake_waiting(struct ssl_socket *, struct ssl_error *);
/* 1..len bytes, of DTLS those of one record at most; 0 at the end. What is left of a record comes next. */
ssize_t ssl_socket_recv(struct ssl_socket *, void *buf, size_t len, struct ssl_error *);
/* All len bytes, unless the end, an error or the timeout comes first; those are told by the next call. DTLS: as recv. */
ssize_t ssl_socket_read(struct ssl_socket *, void *buf, size_t len, struct ssl_error *);
/* Up to and with '\n', or what there is of such a line; at most len bytes. */
ssize_t ssl_socket_readline(struct ssl_socket *, void *buf, size_t len, struct ssl_error *);
/* One record. After SSL_WOULD_BLOCK or a timeout, begin the next write with the same bytes: some may be under way. */
ssize_t ssl_socket_send(struct ssl_socket *, const void *buf, size_t len, struct ssl_error *);
/* All bytes, where it may wait; otherwise as many as possible. DTLS: as send. */
ssize_t ssl_socket_write(struct ssl_socket *, const void *buf, size_t len, struct ssl_error *);
/* Where it may wait: 0 when all bytes were taken, or a failure; the note of TIMEOUT tells how many were. Otherwise as
 * write. */
ssize_t ssl_socket_sendall(struct ssl_socket *, const void *buf, size_t len, struct ssl_error *);
/* Sends close_notify, closes the descriptor. A second call does nothing. */
int ssl_socket_close(struct ssl_socket *, struct ssl_error *);
/* The same, but the descriptor stays open, for its owner to close. */
int ssl_socket_end(struct ssl_socket *, struct ssl_error *);
/* Sends close_notify and, over a stream, waits for the peer's; the descriptor is then the caller's again. */
int ssl_socket_unwrap(struct ssl_socket *, struct ssl_error *);

bool ssl_socket_is_closed(struct ssl_socket *);
int ssl_socket_fileno(struct ssl_socket *); /* -1: none, or closed */
/* The address that a DTLS server has learnt of its peer, where its socket is not connected; 0: none. */
socklen_t ssl_socket_peer_address(struct ssl_socket *, struct sockaddr_storage *);
size_t ssl_socket_pending(struct ssl_socket *);
const char *ssl_socket_cipher(struct ssl_socket *); /* a static string; NULL before the handshake and after close */
const char *ssl_socket_version(struct ssl_socket *);
/* Both copy for the caller to free(); NULL: none. */
char *ssl_socket_selected_alpn_protocol(struct ssl_socket *);
uint8_t *ssl_socket_getpeercert(struct ssl_socket *, size_t *len);
uint8_t *ssl_socket_psk_identity(struct ssl_socket *, size_t *len);
/* DTLS: ms until the next retransmission; 0 overdue, -1 none. */
int ssl_socket_next_timeout(struct ssl_socket *);
int ssl_socket_handle_timeout(struct ssl_socket *, struct ssl_error *);
/* Which of 1 (readable) and 4 (writable) in mask hold now; 8, 16: error, hang-up of the descriptor; 32: closed, or
 * failed for good. After a read that must write, and the reverse, that direction is what counts. */
int ssl_socket_poll(struct ssl_socket *, int mask, struct ssl_error *);

/* ---- server: many DTLS clients on one UDP socket ------------------------------------------------------------------- */
struct ssl_server;
struct ssl_peer; /* one of them; counted */

#define SSL_LIMIT_DEFAULT INT64_MIN
struct ssl_server_limits { /* those of struct dtls_limits: 1..UINT32_MAX, or the default */
	int64_t max_peers, max_handshakes, handshake_ms;
	int64_t idle_ms; /* 0, the default: none is closed for being silent */
};
#define SSL_SERVER_LIMITS                                                                                              \
	{                                                                                                              \
		SSL_LIMIT_DEFAULT, SSL_LIMIT_DEFAULT, SSL_LIMIT_DEFAULT, SSL_LIMIT_DEFAULT                             \
	}
/* Borrows fd, a bound UDP socket, until ssl_server_close() closes it. The context is of PROTOCOL_DTLS_SERVER and has
 * credentials; what changes in it counts for later handshakes. limits may be NULL. */
struct ssl_server *ssl_server_new(struct ssl_context *, int fd, const struct ssl_server_limits *, struct ssl_error *);
/* Ends without a word to the peers, and leaves the descriptor open, where ssl_server_close() was not called. */
void ssl_server_free(struct ssl_server *);
/* As those of a socket. */
void ssl_server_set_interrupted(struct ssl_server *, bool (*interrupted)(void *arg), void *arg);
void ssl_server_set_timeout(struct ssl_server *, int64_t ms);
int64_t ssl_server_timeout(struct ssl_server *);

/* The next event: the length of a message, or one of these; SSL_WOULD_BLOCK; SSL_FAILED when the server itself failed,
 * or was closed. *peer is then NULL, and otherwise a reference of the caller's. 16384 bytes are always enough; a longer
 * message is EMSGSIZE, and kept. */
enum {
	SSL_PEER_CONNECTED = -3,
	SSL_PEER_CLOSED = -4, /* its session ended */
	SSL_PEER_FAILED = -5 /* its handshake came to nothing: it was never connected */
};
ssize_t ssl_server_recv(struct ssl_server *, struct ssl_peer **peer, void *buf, size_t len, struct ssl_error *);
/* For callbacks, which run within recv and handle_timeout: the generation of the peer that is asked about... */
uint64_t ssl_server_handshaking(struct ssl_server *);
/* ...and that recv must not wait any more: it ends with SSL_KIND_CALLBACK, unless there is an event. */
void ssl_server_stop(struct ssl_server *);
/* close_notify to every peer, and no events; closes the descriptor. A second call does nothing. */
int ssl_server_close(struct ssl_server *, struct ssl_error *);
/* The same, but the descriptor stays open, for its owner to close. */
int ssl_server_end(struct ssl_server *, struct ssl_error *);
/* Ends every session of the identity, and returns how many there were; recv tells their ends. */
int ssl_server_close_identity(struct ssl_server *, const void *identity, size_t len, struct ssl_error *);
bool ssl_server_is_closed(struct ssl_server *);
int ssl_server_fileno(struct ssl_server *); /* -1: closed */
/* For poll(2): ms until recv or handle_timeout must be called; 0 also while recv has an event at hand, -1: none. */
int ssl_server_next_timeout(struct ssl_server *);
int ssl_server_handle_timeout(struct ssl_server *, struct ssl_error *);
bool ssl_server_unsent(struct ssl_server *); /* datagrams wait for room: poll for output, too, then call recv */
void ssl_server_stats(struct ssl_server *, struct dtls_stats *); /* once it is closed, the last ones */

struct ssl_peer *ssl_peer_ref(struct ssl_peer *);
void ssl_peer_free(struct ssl_peer *); /* gives one reference back; the session goes on */
void ssl_peer_set_data(struct ssl_peer *, void *data);
void *ssl_peer_data(const struct ssl_peer *);
uint64_t ssl_peer_generation(const struct ssl_peer *); /* as dtls_peer_generation() */
/* Both also after its end; what they point to lives as long as the peer. */
socklen_t ssl_peer_address(const struct ssl_peer *, const struct sockaddr_storage **);
struct ssl_bytes ssl_peer_psk_identity(const struct ssl_peer *);
/* NULL while it lives; then "close_notify", "replaced", "idle", "evicted", "revoked", "handshake", "error", or "closed"
 * on this side. */
const char *ssl_peer_reason(struct ssl_peer *);
/* Why it failed, or ended otherwise than by close_notify: what a socket's call would have told, ECONNABORTED where this
 * side ended it. False: there is no error. */
bool ssl_peer_error(struct ssl_peer *, struct ssl_error *);
/* One message in one datagram, sent at once: len, SSL_WOULD_BLOCK where the server does not wait, or SSL_FAILED: EPIPE
 * once the peer has ended, EMSGSIZE for more than max_payload. */
ssize_t ssl_peer_send(struct ssl_peer *, const void *buf, size_t len, struct ssl_error *);
/* close_notify, and no event. A second call does nothing. */
int ssl_peer_close(struct ssl_peer *, struct ssl_error *);
/* 0 and NULL once it has ended. alpn and cert are copies for the caller to free(). */
size_t ssl_peer_max_payload(struct ssl_peer *);
const char *ssl_peer_cipher(struct ssl_peer *);
const char *ssl_peer_version(struct ssl_peer *);
char *ssl_peer_selected_alpn_protocol(struct ssl_peer *);
uint8_t *ssl_peer_getpeercert(struct ssl_peer *, size_t *len);

#ifdef __cplusplus
}
#endif
#endif
