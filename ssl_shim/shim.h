/* shim.h - what the files of the ssl module's C face share. */
#ifndef SHIM_H
#define SHIM_H

#include "ssl_shim.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

enum { CLIENT_ID_MAX = 64, DATAGRAM_MAX = 13 + 16384 + 2048 };
enum { POLL_READ = 1, POLL_WRITE = 4, POLL_INVALID = 32 };

struct ssl_context {
	atomic_uint refs;
	pthread_mutex_t lock;
	struct dtls_context *dtls;
	struct dtls_context *bare; /* a server's that has no credentials, made when it is needed */
	int protocol, verify_mode;
	bool has_chain, has_ca, has_verify_callback, has_identity, has_key;
	bool names_ciphers, either_side; /* a key of the one call is for either side */
	dtls_psk_lookup *lookup;
	void *lookup_arg;
	int min_ms, max_ms;
	size_t mtu;
	int keylog_fd; /* -1: none */
};

struct ssl_socket {
	struct ssl_context *ctx;
	pthread_mutex_t lock; /* held during calls of the library, never while waiting */
	pthread_cond_t changed; /* waiters, or writing; waited for by CLOCK_MONOTONIC */
	unsigned waiters;
	bool writing; /* what one write began no other continues */
	pthread_t writer;
	atomic_uint process; /* whose threads those are */
	struct dtls_conn *conn; /* NULL: closed */
	int fd; /* -1: none */
	bool over_fd, stream, server, bare;
	struct ssl_transport transport;
	int64_t timeout_ms;
	bool (*interrupted)(void *arg);
	void *interrupted_arg;
	bool began; /* the handshake */
	bool failed; /* for good */
	int send_errno; /* of the transport; the library waits for the peer's reason, which an object need not have */
	int needs; /* POLL_READ for a write that must read, POLL_WRITE for a read that must write; or 0 */

	/* A DTLS server with a client id reads the first datagram itself. */
	uint8_t client_id[CLIENT_ID_MAX];
	size_t client_id_len;
	bool awaits_hello;
	bool nameless; /* it needs an id and has none: every hello is refused */
	int gate_code; /* why it will never be passed, with the sentence; or 0 */
	const char *gate_note;
	uint8_t *hello;
	size_t hello_len;
	struct sockaddr_storage peer; /* of an unconnected fd */
	socklen_t peer_len;

	uint8_t *ahead; /* read from the library, but not yet by the caller */
	size_t ahead_at, ahead_len, ahead_size;
};

struct ssl_server {
	atomic_uint refs; /* its owner's, and one for each peer */
	struct ssl_context *ctx;
	pthread_mutex_t lock; /* held during calls of the library, never while waiting */
	pthread_cond_t waited;
	unsigned waiters, receivers;
	atomic_uint process; /* whose threads those are */
	int fd, wake_fd; /* wake_fd is readable while receivers should look again, and for good once it is closed */
	bool woken;
	struct dtls_endpoint *endpoint; /* NULL: closed */
	struct ssl_peer *peers; /* those that live */
	int64_t timeout_ms;
	bool (*interrupted)(void *arg);
	void *interrupted_arg;
	bool stopped; /* by a callback */
	struct dtls_stats stats; /* the last ones, once it is closed */
};

struct ssl_peer {
	atomic_uint refs; /* while it lives, one is the server's */
	struct ssl_server *server;
	struct dtls_peer *peer; /* NULL: ended */
	struct ssl_peer *next, **back;
	void *data;
	uint64_t generation;
	struct sockaddr_storage address;
	socklen_t address_len;
	uint8_t *identity;
	size_t identity_len;
	const char *reason; /* of its end */
	bool failed;
	struct ssl_error *error; /* NULL where there was no memory for it */
};

static inline bool ssl_protocol_is_server(int protocol)
{
	return protocol == PROTOCOL_TLS_SERVER || protocol == PROTOCOL_DTLS_SERVER;
}

static inline bool ssl_protocol_is_stream(int protocol)
{
	return protocol == PROTOCOL_TLS_CLIENT || protocol == PROTOCOL_TLS_SERVER;
}

/* ---- ssl_error.c: each returns SSL_FAILED ---- */
int ssl_fail(struct ssl_error *, enum ssl_kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A code of mbed TLS, or an errno; the note may be NULL. */
int ssl_fail_os(struct ssl_error *, int code, const char *note);
int ssl_fail_memory(struct ssl_error *);
/* What ended a session, as dtls_conn_error_code() and the like tell it. */
int ssl_fail_session(int code, int64_t verify_result, const char *sentence, struct ssl_error *);
/* What made a connection's call return status. */
int ssl_fail_conn(struct ssl_socket *, int status, struct ssl_error *);
/* An error of the context's last call, as VALUE. */
int ssl_fail_context(const struct dtls_context *, struct ssl_error *);

/* ---- ssl_judge.c ---- */
/* With the lock held. */
bool ssl_judge(struct ssl_context *, const struct ssl_context_wrap_args *, struct ssl_error *);
bool ssl_only_psk(struct ssl_context *, const struct ssl_context_wrap_args *);
/* Where only PSK suites are offered nobody shows a certificate: the library is not asked to demand a CA for that. */
bool ssl_needs_no_ca(struct ssl_context *, const struct ssl_context_wrap_args *);
bool ssl_has_credentials(const struct ssl_context *);

/* ---- ssl_shim.c ---- */
/* A socket of the type that the context's protocol needs. */
bool ssl_check_fd(const struct ssl_context *, int fd, struct ssl_error *);

/* ---- ssl_transport.c ---- */
/* Makes the connection; with the context's lock held. */
bool ssl_attach(struct ssl_socket *, struct dtls_context *, struct ssl_error *);
/* DTLS_OK, DTLS_WANT_READ, or SSL_FAILED with *final false and the error filled in. */
int ssl_pass_gate(struct ssl_socket *, struct ssl_error *);
int ssl_fail_nameless(struct ssl_socket *, struct ssl_error *);

/* ---- ssl_fork.c ---- */
unsigned ssl_forks(void); /* between the first process and this one */
/* A child has none of its parent's other threads, which may have held locks, or waited. process: ssl_forks() when the
 * object began. */
void ssl_notice_fork(atomic_uint *process, void (*begin_anew)(void *object), void *object);

/* ---- ssl_wait.c ---- */
/* One call of the library, with the lock held: a result from 0 on, a DTLS_WANT_*, or SSL_FAILED with the error. */
struct ssl_job {
	ssize_t (*step)(struct ssl_socket *, struct ssl_job *, struct ssl_error *);
	void *buf;
	const void *bytes;
	size_t len;
	bool reads, writes; /* the caller's own direction */
	bool waits; /* whatever the timeout says */
	bool ends; /* it asks for no handshake */
	int64_t ask_at; /* whether it was interrupted; 0 until it waits */
};
ssize_t ssl_run(struct ssl_socket *, struct ssl_job *, struct ssl_error *);
void ssl_init_lock(pthread_mutex_t *);
bool ssl_take_lock(pthread_mutex_t *, struct ssl_error *); /* false: EDEADLK */
bool ssl_lock(struct ssl_socket *, struct ssl_error *);
bool ssl_look(struct ssl_socket *); /* false within a callback, whose caller holds the lock already */
void ssl_unlock(struct ssl_socket *);
int64_t ssl_now_ms(void);
bool ssl_fd_waits(int fd, int64_t timeout_ms);
bool ssl_waits(struct ssl_socket *); /* reads and writes do */
int64_t ssl_stop_at(int64_t timeout_ms); /* INT64_MAX: never */
/* For poll(2): until the end or the next timer, whichever is first. due_ms: -1 none. */
int ssl_ms_until(int64_t stop_at, int due_ms);
/* poll(2): 0, or an errno. */
int ssl_poll(struct pollfd *, nfds_t count, int ms);
/* When to ask a call that begins to wait: a signal that comes between two waits ends neither. */
int64_t ssl_ask_at(void);
/* What a wait came to, which ended with this errno: 0 to try again. Asks after EINTR, and when it is time. */
int ssl_after_wait(
    int error, int64_t stop_at, int64_t *ask_at, bool (*interrupted)(void *arg), void *arg, struct ssl_error *);

/* ---- ssl_socket.c ---- */
struct ssl_socket *ssl_socket_new(struct ssl_context *, const struct ssl_transport *, int fd);
void ssl_socket_begin_anew(void *socket); /* in its process */
uint8_t *ssl_copy_bytes(const uint8_t *bytes, size_t len); /* NULL: none, or no memory */

/* ---- ssl_server.c ---- */
struct ssl_pause { /* of one wait */
	short events;
	int due_ms; /* of a timer; -1: none */
	int64_t stop_at, ask_at; /* ask_at: 0 until it waits */
	bool receives;
};
/* Called with the lock, which it gives back. 0 to try again. */
int ssl_server_wait(struct ssl_server *, struct ssl_pause *, struct ssl_error *);
void ssl_server_unref(struct ssl_server *);
bool ssl_server_lock(struct ssl_server *, struct ssl_error *); /* false: EDEADLK */
/* False within a callback, whose caller holds the lock already. */
bool ssl_server_look(struct ssl_server *);
void ssl_server_unlock(struct ssl_server *);
/* With the lock held: who begins to work has heard that he should; who has changed something tells those that wait. */
void ssl_server_heard(struct ssl_server *, bool receives);
void ssl_server_changed(struct ssl_server *);
void ssl_server_wake(struct ssl_server *);

/* ---- ssl_peer.c: all with the server's lock held ---- */
struct ssl_peer *ssl_peer_new(struct ssl_server *, struct dtls_peer *); /* NULL: no memory */
/* Takes it from the server, whose reference goes. */
void ssl_peer_ended(struct ssl_peer *, const char *reason);
void ssl_peer_tell_end(struct ssl_peer *, ssize_t status); /* as the library reports it */

#endif
