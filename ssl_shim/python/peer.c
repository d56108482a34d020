#include "binding.h"

#include <stdlib.h>

static PeerObject *as_peer(PyObject *obj)
{
	return (PeerObject *)obj;
}

/* ---- life ---- */

static int peer_traverse(PyObject *obj, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(obj));
	Py_VISIT(as_peer(obj)->error);
	Py_VISIT(as_peer(obj)->living);
	return 0;
}

static int peer_clear(PyObject *obj)
{
	Py_CLEAR(as_peer(obj)->error);
	Py_CLEAR(as_peer(obj)->living);
	return 0;
}

/* The session goes on: it is the server's. */
static void peer_dealloc(PyObject *obj)
{
	PyTypeObject *type = Py_TYPE(obj);

	PyObject_GC_UnTrack(obj);
	if (as_peer(obj)->face != NULL)
		ssl_peer_set_data(as_peer(obj)->face, NULL);
	PyObject_ClearWeakRefs(obj); /* calls back: nobody is to find it by then */
	peer_clear(obj);
	ssl_peer_free(as_peer(obj)->face);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(obj);
	Py_DECREF(type);
}

/* Others may be told of the same peer, or close it, meanwhile. */
static bool lives(struct ssl_peer *face)
{
	const char *reason;

	Py_BEGIN_ALLOW_THREADS
	reason = ssl_peer_reason(face);
	Py_END_ALLOW_THREADS
	return reason == NULL;
}

static PyObject *new_peer(ServerObject *server, struct ssl_peer *face)
{
	struct module_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)server));
	PeerObject *peer = (PeerObject *)PyType_GenericAlloc(state->peer_type, 0);
	bool alive = lives(face);
	PyObject *known = ssl_peer_data(face);

	if (peer == NULL || known != NULL) {
		Py_XDECREF((PyObject *)peer);
		ssl_peer_free(face);
		return Py_XNewRef(known);
	}
	peer->face = face;
	ssl_peer_set_data(face, peer);
	if (!alive || server->ended)
		return (PyObject *)peer;
	peer->living = Py_NewRef(server->peers);
	if (PySet_Add(server->peers, (PyObject *)peer) == 0)
		return (PyObject *)peer;
	Py_DECREF((PyObject *)peer);
	return NULL;
}

PyObject *peer_object(ServerObject *server, struct ssl_peer *face)
{
	PyObject *known = ssl_peer_data(face);

	if (known == NULL)
		return new_peer(server, face);
	ssl_peer_free(face);
	return Py_NewRef(known);
}

static bool leave_server(PeerObject *peer)
{
	int left = peer->living == NULL ? 0 : PySet_Discard(peer->living, (PyObject *)peer);

	Py_CLEAR(peer->living);
	return left >= 0;
}

bool peer_end(ServerObject *server, PyObject *obj)
{
	PeerObject *peer = as_peer(obj);
	struct ssl_error e;
	bool failed;

	Py_BEGIN_ALLOW_THREADS
	failed = ssl_peer_error(peer->face, &e);
	Py_END_ALLOW_THREADS
	if (failed)
		replace(&peer->error, handshake_exception(&server->handshakes, ssl_peer_generation(peer->face), &e));
	return leave_server(peer);
}

/* ---- what it does ---- */

static PyObject *send_message(PyObject *self, PyObject *data)
{
	struct call c;
	Py_buffer view;
	ssize_t n;

	if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
		return NULL;
	call_begin(&c, NULL);
	n = ssl_peer_send(as_peer(self)->face, view.buf, (size_t)view.len, &c.error);
	call_end(&c);
	PyBuffer_Release(&view);
	if (n == SSL_FAILED)
		return call_raise(&c);
	return n == SSL_WOULD_BLOCK ? none() : PyLong_FromSsize_t(n);
}

static PyObject *close_peer(PyObject *self, PyObject *ignored)
{
	struct call c;
	int status;

	(void)ignored;
	if (interpreter_ends())
		return leave_server(as_peer(self)) ? none() : NULL;
	call_begin(&c, NULL);
	status = ssl_peer_close(as_peer(self)->face, &c.error);
	call_end(&c);
	if (status != 0)
		return call_raise(&c);
	return leave_server(as_peer(self)) ? none() : NULL;
}

/* ---- what it is ---- */

static PyObject *cipher(PyObject *self, PyObject *ignored)
{
	const char *name;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	name = ssl_peer_cipher(as_peer(self)->face);
	Py_END_ALLOW_THREADS
	return name == NULL ? none() : Py_BuildValue("(ss)", name, "DTLSv1.2");
}

static PyObject *version(PyObject *self, PyObject *ignored)
{
	const char *name;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	name = ssl_peer_version(as_peer(self)->face);
	Py_END_ALLOW_THREADS
	return name == NULL ? none() : PyUnicode_FromString(name);
}

static PyObject *selected_alpn_protocol(PyObject *self, PyObject *ignored)
{
	PyObject *text;
	char *name;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	name = ssl_peer_selected_alpn_protocol(as_peer(self)->face);
	Py_END_ALLOW_THREADS
	text = name == NULL ? none() : PyUnicode_FromString(name);
	free(name);
	return text;
}

static PyObject *getpeercert(PyObject *self, PyObject *args, PyObject *kwargs)
{
	uint8_t *der;
	size_t len = 0;

	if (!wants_der(args, kwargs))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	der = ssl_peer_getpeercert(as_peer(self)->face, &len);
	Py_END_ALLOW_THREADS
	return bytes_from(der, len);
}

static PyObject *get_address(PyObject *self, void *closure)
{
	const struct sockaddr_storage *address;

	(void)closure;
	ssl_peer_address(as_peer(self)->face, &address);
	return address_tuple(address);
}

static PyObject *get_psk_identity(PyObject *self, void *closure)
{
	struct ssl_bytes identity = ssl_peer_psk_identity(as_peer(self)->face);

	(void)closure;
	return identity.at == NULL ? none() : PyBytes_FromStringAndSize(identity.at, (Py_ssize_t)identity.len);
}

static PyObject *get_error(PyObject *self, void *closure)
{
	(void)closure;
	return or_none(as_peer(self)->error);
}

static PyObject *get_reason(PyObject *self, void *closure)
{
	const char *reason;

	(void)closure;
	Py_BEGIN_ALLOW_THREADS
	reason = ssl_peer_reason(as_peer(self)->face);
	Py_END_ALLOW_THREADS
	return reason == NULL ? none() : PyUnicode_FromString(reason);
}

static PyObject *get_max_payload(PyObject *self, void *closure)
{
	size_t n;

	(void)closure;
	Py_BEGIN_ALLOW_THREADS
	n = ssl_peer_max_payload(as_peer(self)->face);
	Py_END_ALLOW_THREADS
	return PyLong_FromSize_t(n);
}

#define FUNCTION(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"send", send_message, METH_O,
	"send($self, data, /)\n--\n\n"
	"One message (bytes-like) in one datagram, sent at once. Returns the number of bytes, or None where the "
	"server\n"
	"does not block and the output is full. OSError: EMSGSIZE when it does not fit, EPIPE once the peer has "
	"ended;\n"
	"ValueError for an empty message; TimeoutError."},
    {"close", close_peer, METH_NOARGS,
	"close($self, /)\n--\n\nEnds the session with close_notify; there is no event. A second call does nothing."},
    {"cipher", cipher, METH_NOARGS, "cipher($self, /)\n--\n\n(suite, version), or None once it has ended."},
    {"version", version, METH_NOARGS, "version($self, /)\n--\n\n'DTLSv1.2', or None once it has ended."},
    {"selected_alpn_protocol", selected_alpn_protocol, METH_NOARGS,
	"selected_alpn_protocol($self, /)\n--\n\nThe application protocol that was agreed on, or None."},
    {"getpeercert", FUNCTION(getpeercert), METH_VARARGS | METH_KEYWORDS,
	"getpeercert($self, /, binary_form=False)\n--\n\n"
	"The peer's certificate in DER, or None. NotImplementedError unless binary_form."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"address", get_address, NULL, "tuple, read-only: its address, as the socket module has it; also after its end.",
	NULL},
    {"psk_identity", get_psk_identity, NULL,
	"bytes or None, read-only: the identity that its session rests on; also after its end.", NULL},
    {"error", get_error, NULL,
	"Exception or None, read-only: why it FAILED, or was CLOSED other than by its close_notify: what an SSLSocket\n"
	"would have raised, OSError(ECONNABORTED) where this side has ended it.",
	NULL},
    {"reason", get_reason, NULL,
	"str or None, read-only: None while it lives; then 'close_notify', 'replaced' (the same address began anew),\n"
	"'idle', 'evicted' (silent longest when max_peers was reached), 'revoked' (close_identity()), 'handshake' (it\n"
	"came to nothing), 'error' (the session failed), or 'closed' on this side.",
	NULL},
    {"max_payload", get_max_payload, NULL,
	"int, read-only: bytes of the largest message that send() takes; 0 once it has ended.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A client of a DTLSServer, which makes it: one object for its whole life, from CONNECTED to CLOSED."},
    {Py_tp_dealloc, peer_dealloc},
    {Py_tp_members, weakly_referenced},
    {Py_tp_traverse, peer_traverse},
    {Py_tp_clear, peer_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

PyType_Spec peer_spec = {"ssl_shim.DTLSPeer", sizeof(PeerObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
