/* shim.h - what the files of the ssl module's C face share. */
#ifndef SHIM_H
#define SHIM_H

#include "ssl_shim.h"

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
	pthread_mutex_t write_order; /* what one write began no other continues */
	pthread_cond_t waited;
	unsigned waiters;
	struct dtls_conn *conn; /* NULL: closed */
	int fd; /* -1: none */
	bool over_fd, stream, server, bare;
	struct ssl_transport transport;
	int64_t timeout_ms;
	bool (*interrupted)(void *arg);
	void *interrupted_arg;
	bool failed; /* for good */
	int send_errno; /* of the transport; the library waits for the peer's reason, which an object need not have */
	int needs; /* POLL_READ for a write that must read, POLL_WRITE for a read that must write; or 0 */

	/* A DTLS server with a client id reads the first datagram itself. */
	uint8_t client_id[CLIENT_ID_MAX];
	size_t client_id_len;
	bool awaits_hello;
	uint8_t *hello;
	size_t hello_len;
	struct sockaddr_storage peer; /* of an unconnected fd */
	socklen_t peer_len;

	uint8_t *ahead; /* read from the library, but not yet by the caller */
	size_t ahead_at, ahead_len, ahead_size;
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
/* What made a connection's call return status. */
int ssl_fail_conn(struct ssl_socket *, int status, struct ssl_error *);
/* An error of the context's last call, as VALUE. */
int ssl_fail_context(const struct dtls_context *, struct ssl_error *);

/* ---- ssl_judge.c ---- */
/* With the lock held. */
bool ssl_judge(struct ssl_context *, const struct ssl_context_wrap_args *, struct ssl_error *);
bool ssl_only_psk(struct ssl_context *, const struct ssl_context_wrap_args *);
bool ssl_has_credentials(const struct ssl_context *);

/* ---- ssl_transport.c ---- */
/* Makes the connection; with the context's lock held. */
bool ssl_attach(struct ssl_socket *, struct dtls_context *, struct ssl_error *);
/* DTLS_OK, DTLS_WANT_READ, or SSL_FAILED with *final false and the error filled in. */
int ssl_pass_gate(struct ssl_socket *, struct ssl_error *);

/* ---- ssl_wait.c ---- */
/* One call of the library, with the lock held: a result from 0 on, a DTLS_WANT_*, or SSL_FAILED with the error. */
struct ssl_job {
	ssize_t (*step)(struct ssl_socket *, struct ssl_job *, struct ssl_error *);
	void *buf;
	const void *bytes;
	size_t len;
	bool reads, writes; /* the caller's own direction */
	bool waits; /* whatever the timeout says */
	size_t done; /* what counts before the end of the timeout */
};
ssize_t ssl_run(struct ssl_socket *, struct ssl_job *, struct ssl_error *);
bool ssl_lock(struct ssl_socket *, struct ssl_error *); /* false: EDEADLK */
void ssl_unlock(struct ssl_socket *);
int64_t ssl_now_ms(void);
bool ssl_waits(struct ssl_socket *); /* reads and writes do */

/* ---- ssl_socket.c ---- */
struct ssl_socket *ssl_socket_new(struct ssl_context *, const struct ssl_transport *, int fd);

#endif
