/* binding.h - the CPython binding of the ssl module's C face: it converts objects and exceptions, and judges nothing. */
#ifndef BINDING_H
#define BINDING_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include "ssl_shim/ssl_shim.h"

struct module_state {
	PyTypeObject *context_type, *socket_type, *server_type, *peer_type;
	PyObject *connected, *closed, *failed;
};

struct callbacks { /* of handshakes */
	PyObject *verify_callback, *server_psk_keys, *psk_server_callback;
};

struct handshakes {
	const struct callbacks *callbacks;
	struct ssl_server *server; /* NULL: a socket, which has one */
	struct failure *failures; /* raised by callbacks, and told when their handshake has failed of it */
};

/* At the same place in each: weakly_referenced tells of it. */
#define WEAK_HEAD PyObject_HEAD PyObject *weak_references;

typedef struct {
	WEAK_HEAD struct ssl_context *face;
	PyObject *psk_identity, *psk_key;
	PyObject *psk_client_callback, *keylog_filename;
	struct callbacks callbacks;
} ContextObject;

typedef struct {
	WEAK_HEAD struct ssl_socket *face; /* NULL until it is wrapped */
	PyObject *sock;
	PyObject *context; /* keeps what callbacks get; NULL for the one call */
	struct callbacks callbacks; /* as they were when it was wrapped */
	struct handshakes handshakes;
	bool over_fd, own_fd, datagrams;
	bool ended; /* sock was given up: closed, or unwrapped */
} SocketObject;

typedef struct {
	WEAK_HEAD struct ssl_server *face;
	PyObject *sock;
	ContextObject *context; /* whose callbacks are asked as they are now */
	struct handshakes handshakes;
	PyObject *peers; /* a set: those that live */
	PyObject *kept; /* a list: events that came together with what recv() had to raise */
	bool own_fd, ended;
} ServerObject;

typedef struct {
	WEAK_HEAD struct ssl_peer *face;
	PyObject *error; /* of its end, or NULL */
	PyObject *living; /* the server's set, until it has ended */
} PeerObject;

/* ---- calls.c: a call of the face runs without the GIL; callbacks find it here ---- */
struct call {
	struct call *outer;
	PyThreadState *thread;
	SocketObject *socket; /* may be NULL */
	struct handshakes *handshakes; /* that callbacks are for */
	PyObject *raised; /* by the transport, or a signal's handler: goes before what the face says */
	struct ssl_error error;
};
void call_begin(struct call *, SocketObject *); /* releases the GIL */
void call_begin_server(struct call *, ServerObject *);
void call_end(struct call *); /* takes it back */
struct call *call_current(void);
/* For callbacks: take the GIL, and release it again. */
void call_enter(struct call *);
void call_leave(struct call *);
/* Takes the exception that is set, as the one of this call. */
void call_keep_raised(struct call *);
/* Raises what was raised, if anything was; true then. */
bool call_raise_kept(struct call *);
/* Raises the cause of a call's failure. Returns NULL. */
PyObject *call_raise(struct call *);
bool call_interrupted(void *arg);
PyObject *exception_take(void); /* the exception that is set, which no longer is */
void exception_raise(PyObject *exception); /* steals it */
/* Threads that will never run again may hold locks of the face then. */
bool interpreter_ends(void);

/* ---- callbacks.c ---- */
dtls_verify callback_verify;
dtls_psk_lookup callback_psk;
struct callbacks callbacks_copy(const struct callbacks *);
int callbacks_visit(const struct callbacks *, visitproc, void *arg);
void callbacks_clear(struct callbacks *);
int handshakes_visit(const struct handshakes *, visitproc, void *arg);
void handshakes_clear(struct handshakes *);
/* Why a handshake failed: what a callback raised, alone or as the cause of what the error says, or that alone. A new
 * reference. of: a peer's generation; 0 for a socket. */
PyObject *handshake_exception(struct handshakes *, uint64_t of, const struct ssl_error *);

/* ---- convert.c ---- */
struct source { /* of a key, a certificate, CAs */
	struct ssl_source source;
	PyObject *path;
	Py_buffer data;
};
/* None, a path (str, PathLike) or bytes-like. what names the argument. */
bool source_from(PyObject *, const char *what, struct source *);
/* The same, but a str is the content itself. */
bool source_data_from(PyObject *, const char *what, struct source *);
void source_free(struct source *);

struct octets { /* None or bytes-like, or where it says so a str */
	struct ssl_bytes bytes;
	Py_buffer data;
	PyObject *text;
};
bool octets_from(PyObject *, const char *what, bool or_text, struct octets *);
void octets_free(struct octets *);

/* None or a str, as its IDNA form; false with an exception. */
bool hostname_from(PyObject *, PyObject **held, const char **name);
/* A list or tuple of str; *names and its strings live as long as *held. NULL on failure. */
const char **names_from(PyObject *, const char *what, PyObject **held, Py_ssize_t *count);
PyObject *none(void);
void replace(PyObject **slot, PyObject *value); /* steals value; both may be NULL */
/* obj, or None for NULL; a new reference. */
PyObject *or_none(PyObject *obj);
void error_raise(const struct ssl_error *);
PyObject *bytes_from(uint8_t *copy, size_t len); /* frees it; None for NULL */
/* The arguments of getpeercert(): false with an exception, unless its binary form is wanted. */
bool wants_der(PyObject *args, PyObject *kwargs);
/* Seconds, or None, as milliseconds, or -1; false with an exception. */
bool timeout_from(PyObject *value, int64_t *ms);
/* A socket object's own timeout counts, which its descriptor does not show: left as it is where there is none. */
bool timeout_of(PyObject *sock, int64_t *ms);
PyObject *seconds_from(int64_t ms); /* None when negative */
/* With one argument, two, or none: NULL ends them. Names are interned: others would fill the cache of method lookups. */
PyObject *method_call(PyObject *obj, const char *name, PyObject *a, PyObject *b);
bool has_attribute(PyObject *obj, const char *name);

/* ---- transport.c ---- */
/* Whether sock has a descriptor: *fd, or -1 for an object with readinto and write; false with an exception. */
bool transport_choose(PyObject *sock, PyTypeObject *socket_type, int *fd, bool *own_fd);
struct ssl_transport transport_of(SocketObject *);
/* Calls ioctl(4, 0), or close(), as the object has it. False with an exception. */
bool transport_close(SocketObject *);

/* ---- context.c, attributes.c, wrap.c, socket.c, stream.c, server.c, peer.c, address.c ---- */
extern PyType_Spec context_spec, socket_spec, server_spec, peer_spec;
extern PyMemberDef weakly_referenced[];
extern PyGetSetDef context_attributes[];
PyObject *context_wrap_socket(PyObject *, PyObject *args, PyObject *kwargs);
PyObject *context_set_psk_client_callback(PyObject *, PyObject *args, PyObject *kwargs);
PyObject *context_set_psk_server_callback(PyObject *, PyObject *args, PyObject *kwargs);
PyObject *module_wrap_socket(PyObject *, PyObject *args, PyObject *kwargs);
extern const char context_wrap_socket_doc[], module_wrap_socket_doc[];

PyObject *address_of_peer(PyObject *, PyObject *ignored);
PyObject *address_tuple(const struct sockaddr_storage *); /* as the socket module has it */

/* The object of a peer that the server was told of; takes the reference over. */
PyObject *peer_object(ServerObject *, struct ssl_peer *);
/* Its session, or its handshake, has ended. False with an exception. */
bool peer_end(ServerObject *, PyObject *peer);

PyObject *stream_read(PyObject *, PyObject *const *args, Py_ssize_t n);
PyObject *stream_recv(PyObject *, PyObject *const *args, Py_ssize_t n);
PyObject *stream_readinto(PyObject *, PyObject *const *args, Py_ssize_t n);
PyObject *stream_recv_into(PyObject *, PyObject *const *args, Py_ssize_t n);
PyObject *stream_readline(PyObject *, PyObject *const *args, Py_ssize_t n);
PyObject *stream_write(PyObject *, PyObject *data);
PyObject *stream_sendall(PyObject *, PyObject *data);
PyObject *stream_send(PyObject *, PyObject *data);
PyObject *stream_next(PyObject *);

#endif
