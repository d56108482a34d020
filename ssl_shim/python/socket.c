#include "binding.h"

#include <errno.h>
#include <stdlib.h>

enum { IOCTL_POLL = 3, IOCTL_CLOSE = 4 };

static SocketObject *as_socket(PyObject *obj)
{
	return (SocketObject *)obj;
}

/* ---- life ---- */

static int socket_traverse(PyObject *obj, visitproc visit, void *arg)
{
	SocketObject *s = as_socket(obj);

	Py_VISIT(Py_TYPE(obj));
	Py_VISIT(s->sock);
	Py_VISIT(s->context);
	if (callbacks_visit(&s->callbacks, visit, arg) != 0)
		return -1;
	return handshakes_visit(&s->handshakes, visit, arg);
}

static int socket_clear(PyObject *obj)
{
	SocketObject *s = as_socket(obj);

	Py_CLEAR(s->sock);
	Py_CLEAR(s->context);
	callbacks_clear(&s->callbacks);
	handshakes_clear(&s->handshakes);
	return 0;
}

/* Nothing is sent: a peer must not take what the collector does for what the program says. */
static void socket_dealloc(PyObject *obj)
{
	PyTypeObject *type = Py_TYPE(obj);

	PyObject_GC_UnTrack(obj);
	PyObject_ClearWeakRefs(obj);
	ssl_socket_free(as_socket(obj)->face);
	socket_clear(obj);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(obj);
	Py_DECREF(type);
}

/* ---- the handshake and the end ---- */

static PyObject *do_handshake(PyObject *self, PyObject *ignored)
{
	SocketObject *s = as_socket(self);
	struct call c;
	int status;

	(void)ignored;
	call_begin(&c, s);
	status = ssl_socket_do_handshake(s->face, &c.error);
	call_end(&c);
	if (status == SSL_FAILED)
		return call_raise(&c);
	if (call_raise_kept(&c))
		return NULL;
	return status == SSL_WOULD_BLOCK ? none() : Py_NewRef(Py_True);
}

/* That the peer is gone is no news to who closes; other errors of a transport are reported, not raised. What asks the
 * program to end is kept for later. */
static PyObject *told(SocketObject *s, PyObject *raised)
{
	if (raised == NULL || !PyErr_GivenExceptionMatches(raised, PyExc_Exception))
		return raised;
	if (PyErr_GivenExceptionMatches(raised, PyExc_OSError)) {
		Py_DECREF(raised);
		return NULL;
	}
	exception_raise(raised);
	PyErr_WriteUnraisable((PyObject *)s);
	return NULL;
}

/* False with an exception; the socket is closed all the same. */
static bool end(SocketObject *s)
{
	PyObject *raised;
	struct call c;
	int status;
	bool closed;

	if (interpreter_ends()) {
		s->ended = true;
		return s->own_fd || transport_close(s);
	}
	call_begin(&c, s);
	status = s->own_fd ? ssl_socket_close(s->face, &c.error) : ssl_socket_end(s->face, &c.error);
	call_end(&c);
	if (status != 0) {
		call_raise(&c);
		return false;
	}
	raised = told(s, c.raised);
	closed = s->ended || s->own_fd;
	s->ended = true;
	closed = closed || transport_close(s);
	if (closed && raised != NULL) {
		exception_raise(raised);
		return false;
	}
	Py_XDECREF(raised);
	return closed;
}

static PyObject *close_socket(PyObject *self, PyObject *ignored)
{
	(void)ignored;
	return as_socket(self)->ended || end(as_socket(self)) ? none() : NULL;
}

static PyObject *unwrap(PyObject *self, PyObject *ignored)
{
	SocketObject *s = as_socket(self);
	struct call c;
	int status;

	(void)ignored;
	call_begin(&c, s);
	status = ssl_socket_unwrap(s->face, &c.error);
	call_end(&c);
	if (status == SSL_FAILED)
		return call_raise(&c);
	if (call_raise_kept(&c))
		return NULL;
	if (status == SSL_WOULD_BLOCK)
		return none();
	s->ended = true;
	return Py_NewRef(s->sock);
}

static PyObject *enter(PyObject *self, PyObject *ignored)
{
	(void)ignored;
	return Py_NewRef(self);
}

static PyObject *leave(PyObject *self, PyObject *args)
{
	(void)args;
	return close_socket(self, NULL);
}

/* ---- waiting ---- */

static PyObject *setblocking(PyObject *self, PyObject *flag)
{
	SocketObject *s = as_socket(self);
	int blocks = PyObject_IsTrue(flag);
	PyObject *done;

	if (blocks < 0)
		return NULL;
	if (!s->own_fd) {
		done = method_call(s->sock, "setblocking", blocks ? Py_True : Py_False, NULL);
		if (done == NULL)
			return NULL;
		Py_DECREF(done);
	}
	Py_BEGIN_ALLOW_THREADS
	ssl_socket_set_timeout(s->face, blocks ? -1 : 0);
	Py_END_ALLOW_THREADS
	return none();
}

static PyObject *settimeout(PyObject *self, PyObject *value)
{
	int64_t ms;

	if (!timeout_from(value, &ms))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	ssl_socket_set_timeout(as_socket(self)->face, ms);
	Py_END_ALLOW_THREADS
	return none();
}

static PyObject *gettimeout(PyObject *self, PyObject *ignored)
{
	int64_t ms;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	ms = ssl_socket_timeout(as_socket(self)->face);
	Py_END_ALLOW_THREADS
	return seconds_from(ms);
}

static PyObject *timeout(PyObject *self, PyObject *ignored)
{
	int ms;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	ms = ssl_socket_next_timeout(as_socket(self)->face);
	Py_END_ALLOW_THREADS
	return seconds_from(ms);
}

static PyObject *handle_timeout(PyObject *self, PyObject *ignored)
{
	struct call c;
	int status;

	(void)ignored;
	call_begin(&c, as_socket(self));
	status = ssl_socket_handle_timeout(as_socket(self)->face, &c.error);
	call_end(&c);
	if (status != 0)
		return call_raise(&c);
	return call_raise_kept(&c) ? NULL : none();
}

static PyObject *poll_bits(SocketObject *s, int mask)
{
	struct call c;
	int bits;

	call_begin(&c, s);
	bits = ssl_socket_poll(s->face, mask, &c.error);
	call_end(&c);
	if (bits < 0)
		return call_raise(&c);
	return call_raise_kept(&c) ? NULL : PyLong_FromLong(bits);
}

static PyObject *ioctl(PyObject *self, PyObject *args)
{
	struct ssl_error e = {.kind = SSL_KIND_OS,
	    .code = EINVAL,
	    .text = "Invalid argument",
	    .note = "ioctl() has 3 (poll) and 4 (close)"};
	long request, mask;

	if (!PyArg_ParseTuple(args, "ll:ioctl", &request, &mask))
		return NULL;
	if (request == IOCTL_CLOSE)
		return as_socket(self)->ended || end(as_socket(self)) ? PyLong_FromLong(0) : NULL;
	if (request != IOCTL_POLL) {
		error_raise(&e);
		return NULL;
	}
	return poll_bits(as_socket(self), (int)(mask & 0x7fff));
}

/* ---- what it is ---- */

static PyObject *pending(PyObject *self, PyObject *ignored)
{
	size_t n;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	n = ssl_socket_pending(as_socket(self)->face);
	Py_END_ALLOW_THREADS
	return PyLong_FromSize_t(n);
}

static PyObject *cipher(PyObject *self, PyObject *ignored)
{
	const char *name, *version_name;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	name = ssl_socket_cipher(as_socket(self)->face);
	version_name = ssl_socket_version(as_socket(self)->face);
	Py_END_ALLOW_THREADS
	return name == NULL || version_name == NULL ? none() : Py_BuildValue("(ss)", name, version_name);
}

static PyObject *version(PyObject *self, PyObject *ignored)
{
	const char *name;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	name = ssl_socket_version(as_socket(self)->face);
	Py_END_ALLOW_THREADS
	return name == NULL ? none() : PyUnicode_FromString(name);
}

static PyObject *selected_alpn_protocol(PyObject *self, PyObject *ignored)
{
	PyObject *text;
	char *name;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	name = ssl_socket_selected_alpn_protocol(as_socket(self)->face);
	Py_END_ALLOW_THREADS
	text = name == NULL ? none() : PyUnicode_FromString(name);
	free(name);
	return text;
}

static PyObject *getpeercert(PyObject *self, PyObject *args, PyObject *kwargs)
{
	uint8_t *der;
	size_t len;

	if (!wants_der(args, kwargs))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	der = ssl_socket_getpeercert(as_socket(self)->face, &len);
	Py_END_ALLOW_THREADS
	return bytes_from(der, len);
}

static PyObject *get_psk_identity(PyObject *self, void *closure)
{
	uint8_t *identity;
	size_t len;

	(void)closure;
	Py_BEGIN_ALLOW_THREADS
	identity = ssl_socket_psk_identity(as_socket(self)->face, &len);
	Py_END_ALLOW_THREADS
	return bytes_from(identity, len);
}

static PyObject *fileno_of(PyObject *self, PyObject *ignored)
{
	SocketObject *s = as_socket(self);
	int fd;

	(void)ignored;
	if (!s->over_fd && !s->ended && has_attribute(s->sock, "fileno"))
		return method_call(s->sock, "fileno", NULL, NULL);
	Py_BEGIN_ALLOW_THREADS
	fd = ssl_socket_fileno(s->face);
	Py_END_ALLOW_THREADS
	return PyLong_FromLong(fd);
}

static PyObject *iterate(PyObject *self)
{
	return Py_NewRef(self);
}

#define FUNCTION(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"read", FUNCTION(stream_read), METH_FASTCALL,
	"read($self, n=-1, /)\n--\n\nn bytes, fewer only at the end, b'' behind it; without n, all until the end. "
	"DTLS: one "
	"record, or\n"
	"its first n bytes. None when nothing can be read now. OSError; TimeoutError."},
    {"readinto", FUNCTION(stream_readinto), METH_FASTCALL,
	"readinto($self, buffer, nbytes=None, /)\n--\n\nLike read, into a buffer; returns the number of bytes, or "
	"None."},
    {"readline", FUNCTION(stream_readline), METH_FASTCALL,
	"readline($self, limit=-1, /)\n--\n\nUp to and with b'\\n', or what there is at the end. None when nothing can "
	"be "
	"read now."},
    {"recv", FUNCTION(stream_recv), METH_FASTCALL,
	"recv($self, n=16384, /)\n--\n\n1..n bytes, as many as there are, of DTLS those of one record; b'' at the end; "
	"None "
	"when\n"
	"nothing can be read now. What is left of a record comes next. OSError; TimeoutError."},
    {"recv_into", FUNCTION(stream_recv_into), METH_FASTCALL,
	"recv_into($self, buffer, nbytes=None, /)\n--\n\nLike recv, into a buffer; returns the number of bytes, or "
	"None."},
    {"write", stream_write, METH_O,
	"write($self, data, /)\n--\n\nAll of data; fewer bytes only where it does not block. DTLS: one datagram. "
	"Returns the "
	"number\n"
	"of bytes, or None when nothing can be written now: then begin the next write with the same bytes. OSError;\n"
	"TimeoutError."},
    {"send", stream_send, METH_O,
	"send($self, data, /)\n--\n\nOne record at most, in one datagram for DTLS (OSError EMSGSIZE when it does not "
	"fit). "
	"Returns the\n"
	"number of bytes, or None as write does."},
    {"sendall", stream_sendall, METH_O,
	"sendall($self, data, /)\n--\n\nAll of data, or OSError; None. TimeoutError: a note tells how many bytes were "
	"taken. "
	"Where it\n"
	"does not block, what write returns: the number of bytes taken, maybe fewer than all, or None for nothing."},
    {"do_handshake", do_handshake, METH_NOARGS,
	"do_handshake($self, /)\n--\n\nTrue when the handshake is done; None when it cannot go on now. Reads and "
	"writes imply "
	"it.\n"
	"ValueError for a certificate that does not verify; OSError; TimeoutError."},
    {"close", close_socket, METH_NOARGS,
	"close($self, /)\n--\n\nSends close_notify and closes the socket. A second call does nothing."},
    {"unwrap", unwrap, METH_NOARGS,
	"unwrap($self, /)\n--\n\nSends close_notify, waits for the peer's (not for DTLS), and returns the socket that "
	"was "
	"wrapped,\n"
	"open; None when that cannot be done now."},
    {"setblocking", setblocking, METH_O,
	"setblocking($self, flag, /)\n--\n\nWhether reads and writes wait; passed on to the socket that was wrapped."},
    {"settimeout", settimeout, METH_O,
	"settimeout($self, seconds, /)\n--\n\nHow long a read or write waits: None for ever, 0 not at all. ValueError "
	"when "
	"negative."},
    {"gettimeout", gettimeout, METH_NOARGS,
	"gettimeout($self, /)\n--\n\nSeconds, 0.0 when it does not block, or None."},
    {"timeout", timeout, METH_NOARGS,
	"timeout($self, /)\n--\n\nDTLS: seconds until handle_timeout() must be called, 0.0 when it is overdue; None: "
	"no timer "
	"runs."},
    {"handle_timeout", handle_timeout, METH_NOARGS,
	"handle_timeout($self, /)\n--\n\nDTLS: sends again what is overdue; does nothing before. OSError when the "
	"handshake "
	"gave up."},
    {"ioctl", ioctl, METH_VARARGS,
	"ioctl($self, request, arg, /)\n--\n\n3: which of 1 (readable) and 4 (writable) in arg hold, 32 once it is "
	"closed or "
	"has\n"
	"failed; 4: closes, returns 0. OSError(EINVAL) for others."},
    {"pending", pending, METH_NOARGS, "pending($self, /)\n--\n\nBytes that can be read without asking the socket."},
    {"cipher", cipher, METH_NOARGS,
	"cipher($self, /)\n--\n\n(suite, version), or None before the handshake and after close."},
    {"version", version, METH_NOARGS, "version($self, /)\n--\n\n'TLSv1.2', 'DTLSv1.2', 'TLSv1.3', or None."},
    {"selected_alpn_protocol", selected_alpn_protocol, METH_NOARGS,
	"selected_alpn_protocol($self, /)\n--\n\nThe application protocol that was agreed on, or None."},
    {"getpeercert", FUNCTION(getpeercert), METH_VARARGS | METH_KEYWORDS,
	"getpeercert($self, /, binary_form=False)\n--\n\nThe peer's certificate in DER, or None. NotImplementedError "
	"unless "
	"binary_form."},
    {"getpeername", address_of_peer, METH_NOARGS,
	"getpeername($self, /)\n--\n\nThe peer's address; also that which a DTLS server has learnt from a valid "
	"cookie. "
	"OSError."},
    {"fileno", fileno_of, METH_NOARGS,
	"fileno($self, /)\n--\n\nThe descriptor, for poll and select; -1 when closed, or without one."},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", leave, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef attributes[] = {
    {"psk_identity", get_psk_identity, NULL, "bytes or None, read-only: the identity that this session rests on.",
	NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A TLS or DTLS connection, made by wrap_socket()."},
    {Py_tp_dealloc, socket_dealloc},
    {Py_tp_members, weakly_referenced},
    {Py_tp_traverse, socket_traverse},
    {Py_tp_clear, socket_clear},
    {Py_tp_iter, iterate},
    {Py_tp_iternext, stream_next},
    {Py_tp_methods, methods},
    {Py_tp_getset, attributes},
    {0, NULL},
};

PyType_Spec socket_spec = {"ssl_shim.SSLSocket", sizeof(SocketObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
