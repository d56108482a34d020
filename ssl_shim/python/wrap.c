#include "binding.h"

#include <mbedtls/ssl.h>
#include <string.h>

const char context_wrap_socket_doc[] =
    "wrap_socket($self, /, sock, *, server_side=False, do_handshake_on_connect=True, server_hostname=None, "
    "client_id=None)\n--\n\n"
    "An SSLSocket over sock: a socket, or an object with readinto and write. The handshake is done at once, and "
    "waited\n"
    "for, unless do_handshake_on_connect is false. server_hostname is the name that a client asks for and verifies;\n"
    "client_id, bytes, is what a DTLS server's cookie is bound to. ValueError for combinations that cannot be "
    "honoured\n"
    "and for a certificate that does not verify; OSError for every other failure; sock then stays open.";
const char module_wrap_socket_doc[] =
    "wrap_socket($module, /, sock, server_side=False, keyfile=None, certfile=None, cert_reqs=CERT_NONE, "
    "ca_certs=None,\n"
    "            server_hostname=None, do_handshake=True, *, key=None, cert=None, cadata=None, psk_ident=None,\n"
    "            psk_key=None)\n--\n\n"
    "An SSLSocket in one call: TLS, or DTLS over a datagram socket. keyfile, certfile and ca_certs are paths or "
    "bytes;\n"
    "key, cert and cadata are content, PEM or DER; psk_ident and psk_key are either side's. ValueError, TypeError and\n"
    "OSError as SSLContext's.";

static SocketObject *new_socket(PyTypeObject *type, PyObject *sock, int *fd)
{
	SocketObject *s;
	bool own_fd;

	if (!transport_choose(sock, type, fd, &own_fd))
		return NULL;
	s = (SocketObject *)PyType_GenericAlloc(type, 0);
	if (s == NULL)
		return NULL;
	s->sock = Py_NewRef(sock);
	s->over_fd = *fd >= 0;
	s->own_fd = own_fd;
	s->handshakes.callbacks = &s->callbacks;
	return s;
}

static bool take_timeout(SocketObject *s)
{
	int64_t ms = SSL_TIMEOUT_OF_FD;

	if (s->over_fd && !s->own_fd && !timeout_of(s->sock, &ms))
		return false;
	if (ms != SSL_TIMEOUT_OF_FD)
		ssl_socket_set_timeout(s->face, ms);
	return true;
}

/* What failed leaves sock open and its caller's. */
static PyObject *connected(SocketObject *s, struct call *c, bool handshake)
{
	int status = 0;

	if (s->face == NULL) {
		call_raise(c);
		Py_DECREF(s);
		return NULL;
	}
	ssl_socket_set_interrupted(s->face, call_interrupted, NULL);
	if (take_timeout(s)) {
		if (!handshake)
			return (PyObject *)s;
		call_begin(c, s);
		status = ssl_socket_do_handshake_waiting(s->face, &c->error);
		call_end(c);
		if (status == 0 && !call_raise_kept(c))
			return (PyObject *)s;
		if (status != 0)
			call_raise(c);
	}
	s->ended = true;
	Py_DECREF(s);
	return NULL;
}

/* ---- a context's ---- */

static bool client_id_from(PyObject *obj, struct octets *o)
{
	struct ssl_error e = {.kind = SSL_KIND_OS,
	    .code = MBEDTLS_ERR_SSL_BAD_INPUT_DATA,
	    .text = "MBEDTLS_ERR_SSL_BAD_INPUT_DATA",
	    .note = "client_id must be bytes that name the peer"};

	if (obj == Py_None || PyObject_CheckBuffer(obj))
		return octets_from(obj, "client_id", false, o);
	memset(o, 0, sizeof(*o));
	error_raise(&e);
	return false;
}

/* As CPython calls it, but before the handshake: mbed TLS wants to know by then, and never tells the hint. */
static bool ask_client_callback(ContextObject *ctx, struct octets *identity, struct octets *key)
{
	PyObject *pair, *id, *k;
	bool ok;

	memset(identity, 0, sizeof(*identity));
	memset(key, 0, sizeof(*key));
	if (ctx->psk_client_callback == NULL)
		return true;
	pair = PyObject_CallFunctionObjArgs(ctx->psk_client_callback, Py_None, NULL);
	if (pair == NULL)
		return false;
	if (!PyTuple_Check(pair) || PyTuple_Size(pair) != 2) {
		PyErr_SetString(PyExc_TypeError, "the PSK callback must return a pair: identity and key");
		Py_DECREF(pair);
		return false;
	}
	id = PyTuple_GetItem(pair, 0);
	k = PyTuple_GetItem(pair, 1);
	ok = octets_from(id, "the PSK callback's identity", true, identity) &&
	     octets_from(k, "the PSK callback's key", false, key);
	if (ok && identity->bytes.at == NULL)
		identity->bytes.at = ""; /* CPython's None is an empty identity */
	Py_DECREF(pair);
	return ok;
}

static void remember(SocketObject *s, ContextObject *ctx)
{
	s->context = Py_NewRef((PyObject *)ctx);
	s->callbacks = callbacks_copy(&ctx->callbacks);
	s->datagrams = ssl_context_protocol(ctx->face) >= PROTOCOL_DTLS_CLIENT;
}

static PyObject *wrap_with(ContextObject *ctx, PyObject *sock, const struct ssl_context_wrap_args *args, bool handshake)
{
	struct module_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)ctx));
	struct ssl_transport transport;
	struct call c;
	SocketObject *s;
	int fd;

	s = new_socket(state->socket_type, sock, &fd);
	if (s == NULL)
		return NULL;
	remember(s, ctx);
	transport = transport_of(s);
	call_begin(&c, s);
	s->face = fd >= 0 ? ssl_context_wrap_socket(ctx->face, fd, args, &c.error)
			  : ssl_context_wrap_transport(ctx->face, &transport, args, &c.error);
	call_end(&c);
	return connected(s, &c, handshake);
}

PyObject *context_wrap_socket(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"sock", "server_side", "do_handshake_on_connect", "server_hostname", "client_id", NULL};
	PyObject *sock, *hostname = Py_None, *client_id = Py_None, *held = NULL, *result = NULL;
	struct ssl_context_wrap_args a = {0};
	struct octets id = {0}, identity = {0}, key = {0};
	int server_side = 0, handshake = 1;

	if (!PyArg_ParseTupleAndKeywords(
		args, kwargs, "O|$ppOO:wrap_socket", names, &sock, &server_side, &handshake, &hostname, &client_id))
		return NULL;
	if (hostname_from(hostname, &held, &a.server_hostname) && client_id_from(client_id, &id) &&
	    ask_client_callback((ContextObject *)self, &identity, &key)) {
		a.server_side = server_side;
		a.client_id = id.bytes;
		a.psk_identity = identity.bytes;
		a.psk_key = key.bytes;
		result = wrap_with((ContextObject *)self, sock, &a, handshake);
	}
	Py_XDECREF(held);
	octets_free(&id);
	octets_free(&identity);
	octets_free(&key);
	return result;
}

/* ---- the one call ---- */

struct one_call {
	struct source keyfile, certfile, ca_certs, key, cert, cadata;
	struct octets psk_ident, psk_key;
	PyObject *hostname;
	struct ssl_wrap_args args;
};

static void one_call_free(struct one_call *o)
{
	source_free(&o->keyfile);
	source_free(&o->certfile);
	source_free(&o->ca_certs);
	source_free(&o->key);
	source_free(&o->cert);
	source_free(&o->cadata);
	octets_free(&o->psk_ident);
	octets_free(&o->psk_key);
	Py_XDECREF(o->hostname);
}

static bool one_call_from(struct one_call *o, PyObject *const files[4], PyObject *const data[5])
{
	struct ssl_wrap_args *a = &o->args;

	if (!source_from(files[0], "keyfile", &o->keyfile) || !source_from(files[1], "certfile", &o->certfile) ||
	    !source_from(files[2], "ca_certs", &o->ca_certs) ||
	    !hostname_from(files[3], &o->hostname, &a->server_hostname) || !source_data_from(data[0], "key", &o->key) ||
	    !source_data_from(data[1], "cert", &o->cert) || !source_data_from(data[2], "cadata", &o->cadata) ||
	    !octets_from(data[3], "psk_ident", true, &o->psk_ident) ||
	    !octets_from(data[4], "psk_key", false, &o->psk_key))
		return false;
	a->keyfile = o->keyfile.source;
	a->certfile = o->certfile.source;
	a->ca_certs = o->ca_certs.source;
	a->key = o->key.source.data;
	a->cert = o->cert.source.data;
	a->cadata = o->cadata.source.data;
	a->psk_ident = o->psk_ident.bytes;
	a->psk_key = o->psk_key.bytes;
	return true;
}

static PyObject *wrap_once(PyObject *module, PyObject *sock, const struct ssl_wrap_args *args, bool handshake)
{
	struct module_state *state = PyModule_GetState(module);
	struct ssl_transport transport;
	struct call c;
	SocketObject *s;
	int fd;

	s = new_socket(state->socket_type, sock, &fd);
	if (s == NULL)
		return NULL;
	transport = transport_of(s);
	call_begin(&c, s);
	s->face = fd >= 0 ? ssl_wrap_socket(fd, args, &c.error) : ssl_wrap_transport(&transport, args, &c.error);
	call_end(&c);
	return connected(s, &c, handshake);
}

PyObject *module_wrap_socket(PyObject *module, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"sock", "server_side", "keyfile", "certfile", "cert_reqs", "ca_certs",
	    "server_hostname", "do_handshake", "key", "cert", "cadata", "psk_ident", "psk_key", NULL};
	PyObject *sock, *files[4] = {0}, *data[5] = {0}, *result = NULL;
	struct one_call o;
	int server_side = 0, handshake = 1;
	long cert_reqs = CERT_NONE;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|pOOlOOp$OOOOO:wrap_socket", names, &sock, &server_side,
		&files[0], &files[1], &cert_reqs, &files[2], &files[3], &handshake, &data[0], &data[1], &data[2],
		&data[3], &data[4]))
		return NULL;
	memset(&o, 0, sizeof(o));
	if (one_call_from(&o, files, data)) {
		o.args.server_side = server_side;
		o.args.cert_reqs = cert_reqs;
		result = wrap_once(module, sock, &o.args, handshake);
	}
	one_call_free(&o);
	return result;
}
