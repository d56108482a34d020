#include "binding.h"

#include <stddef.h>

enum { MESSAGE_MAX = 16384 };

static ServerObject *as_server(PyObject *obj)
{
	return (ServerObject *)obj;
}

/* ---- life ---- */

static int server_traverse(PyObject *obj, visitproc visit, void *arg)
{
	ServerObject *s = as_server(obj);

	Py_VISIT(Py_TYPE(obj));
	Py_VISIT(s->sock);
	Py_VISIT(s->context);
	Py_VISIT(s->peers);
	Py_VISIT(s->kept);
	return handshakes_visit(&s->handshakes, visit, arg);
}

/* The peers hold the set, too, and it holds them. */
static int server_clear(PyObject *obj)
{
	ServerObject *s = as_server(obj);

	s->ended = true;
	if (s->peers != NULL)
		PySet_Clear(s->peers);
	handshakes_clear(&s->handshakes);
	Py_CLEAR(s->kept);
	Py_CLEAR(s->context);
	Py_CLEAR(s->sock);
	return 0;
}

/* Nothing is sent, as when a socket is collected. */
static void server_dealloc(PyObject *obj)
{
	PyTypeObject *type = Py_TYPE(obj);

	PyObject_GC_UnTrack(obj);
	PyObject_ClearWeakRefs(obj);
	ssl_server_free(as_server(obj)->face);
	server_clear(obj);
	Py_CLEAR(as_server(obj)->peers);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(obj);
	Py_DECREF(type);
}

static bool limit_from(PyObject *value, const char *name, int64_t *limit)
{
	PyObject *number;
	int overflow;

	*limit = SSL_LIMIT_DEFAULT;
	if (value == Py_None)
		return true;
	if (!PyIndex_Check(value)) {
		PyErr_Format(PyExc_TypeError, "%s must be int or None, not %R", name, Py_TYPE(value));
		return false;
	}
	number = PyNumber_Index(value);
	if (number == NULL)
		return false;
	*limit = PyLong_AsLongLongAndOverflow(number, &overflow);
	if (overflow > 0)
		*limit = INT64_MAX;
	else if (overflow < 0 || *limit == SSL_LIMIT_DEFAULT)
		*limit = -1;
	Py_DECREF(number);
	return true;
}

static bool open_server(ServerObject *s, int fd, const struct ssl_server_limits *limits)
{
	int64_t ms = SSL_TIMEOUT_OF_FD;
	struct call c;

	if (!s->own_fd && !timeout_of(s->sock, &ms))
		return false;
	call_begin_server(&c, s);
	s->face = ssl_server_new(s->context->face, fd, limits, &c.error);
	call_end(&c);
	if (s->face == NULL) {
		call_raise(&c);
		return false;
	}
	ssl_server_set_interrupted(s->face, call_interrupted, NULL);
	ssl_server_set_timeout(s->face, ms);
	s->handshakes.server = s->face;
	return true;
}

static PyObject *server_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"context", "sock", "max_peers", "max_handshakes", "handshake_ms", "idle_ms", NULL};
	struct module_state *state = PyType_GetModuleState(type);
	PyObject *context, *sock, *given[4] = {Py_None, Py_None, Py_None, Py_None};
	struct ssl_server_limits limits;
	ServerObject *s;
	bool own_fd;
	int fd;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O|$OOOO:DTLSServer", names, state->context_type, &context,
		&sock, &given[0], &given[1], &given[2], &given[3]))
		return NULL;
	if (!limit_from(given[0], names[2], &limits.max_peers) ||
	    !limit_from(given[1], names[3], &limits.max_handshakes) ||
	    !limit_from(given[2], names[4], &limits.handshake_ms) || !limit_from(given[3], names[5], &limits.idle_ms) ||
	    !transport_choose(sock, state->socket_type, &fd, &own_fd))
		return NULL;
	s = (ServerObject *)PyType_GenericAlloc(type, 0);
	if (s == NULL)
		return NULL;
	s->sock = Py_NewRef(sock);
	s->context = (ContextObject *)Py_NewRef(context);
	s->handshakes.callbacks = &s->context->callbacks;
	s->own_fd = own_fd;
	s->peers = PySet_New(NULL);
	s->kept = PyList_New(0);
	if (s->peers != NULL && s->kept != NULL && open_server(s, fd, &limits))
		return (PyObject *)s;
	Py_DECREF((PyObject *)s);
	return NULL;
}

/* ---- events ---- */

/* What came of a peer, as recv() returns it; takes the reference over. */
static PyObject *event_of(ServerObject *s, struct ssl_peer *face, ssize_t event, const char *message)
{
	struct module_state *state = PyType_GetModuleState(Py_TYPE((PyObject *)s));
	PyObject *peer = peer_object(s, face), *what = NULL;

	if (peer == NULL)
		return NULL;
	if (event > 0)
		what = PyBytes_FromStringAndSize(message, event);
	else if (event == SSL_PEER_CONNECTED)
		what = Py_NewRef(state->connected);
	else if (peer_end(s, peer))
		what = Py_NewRef(event == SSL_PEER_CLOSED ? state->closed : state->failed);
	if (what != NULL)
		return Py_BuildValue("(NN)", peer, what);
	Py_DECREF(peer);
	return NULL;
}

static PyObject *take_kept(ServerObject *s)
{
	PyObject *event = Py_XNewRef(PyList_GetItem(s->kept, 0));

	if (event != NULL && PyList_SetSlice(s->kept, 0, 1, NULL) != 0)
		Py_CLEAR(event);
	return event;
}

static bool has_kept(ServerObject *s)
{
	return s->kept != NULL && PyList_Size(s->kept) > 0;
}

/* What the call has to raise goes first, and the event is not lost. */
static PyObject *raise_and_keep(ServerObject *s, struct call *c, PyObject *event)
{
	if (event != NULL && s->kept != NULL && PyList_Append(s->kept, event) != 0)
		PyErr_Clear();
	Py_XDECREF(event);
	call_raise_kept(c);
	return NULL;
}

static PyObject *recv_event(PyObject *self, PyObject *ignored)
{
	ServerObject *s = as_server(self);
	char message[MESSAGE_MAX];
	struct ssl_peer *peer;
	PyObject *event;
	struct call c;
	ssize_t n;

	(void)ignored;
	if (has_kept(s))
		return take_kept(s);
	call_begin_server(&c, s);
	n = ssl_server_recv(s->face, &peer, message, sizeof(message), &c.error);
	call_end(&c);
	if (n == SSL_FAILED)
		return call_raise(&c);
	event = n == SSL_WOULD_BLOCK ? none() : event_of(s, peer, n, message);
	if (c.raised == NULL)
		return event;
	if (event == Py_None)
		Py_CLEAR(event);
	return raise_and_keep(s, &c, event);
}

static PyObject *iterate(PyObject *self)
{
	return Py_NewRef(self);
}

static PyObject *next_event(PyObject *self)
{
	PyObject *event = recv_event(self, NULL);
	bool closed = false;

	if (event == NULL && PyErr_ExceptionMatches(PyExc_OSError)) {
		Py_BEGIN_ALLOW_THREADS
		closed = ssl_server_is_closed(as_server(self)->face);
		Py_END_ALLOW_THREADS
		if (closed)
			PyErr_Clear();
	}
	if (event == Py_None)
		Py_CLEAR(event);
	return event;
}

/* ---- the end ---- */

static bool close_sock(ServerObject *s)
{
	PyObject *done;

	if (s->own_fd || !has_attribute(s->sock, "close"))
		return true;
	done = method_call(s->sock, "close", NULL, NULL);
	Py_XDECREF(done);
	return done != NULL;
}

static PyObject *close_server(PyObject *self, PyObject *ignored)
{
	ServerObject *s = as_server(self);
	struct call c;
	int status;

	(void)ignored;
	if (s->ended)
		return none();
	if (interpreter_ends()) {
		s->ended = true;
		return close_sock(s) ? none() : NULL;
	}
	call_begin_server(&c, s);
	status = s->own_fd ? ssl_server_close(s->face, &c.error) : ssl_server_end(s->face, &c.error);
	call_end(&c);
	if (status != 0)
		return call_raise(&c);
	if (s->ended)
		return none();
	s->ended = true;
	handshakes_clear(&s->handshakes);
	if (PySet_Clear(s->peers) != 0 || PyList_SetSlice(s->kept, 0, PyList_Size(s->kept), NULL) != 0)
		return NULL;
	return close_sock(s) ? none() : NULL;
}

static PyObject *enter(PyObject *self, PyObject *ignored)
{
	(void)ignored;
	return Py_NewRef(self);
}

static PyObject *leave(PyObject *self, PyObject *args)
{
	(void)args;
	return close_server(self, NULL);
}

static PyObject *close_identity(PyObject *self, PyObject *identity)
{
	Py_buffer view;
	struct call c;
	int count;

	if (PyObject_GetBuffer(identity, &view, PyBUF_SIMPLE) != 0)
		return NULL;
	call_begin_server(&c, as_server(self));
	count = ssl_server_close_identity(as_server(self)->face, view.buf, (size_t)view.len, &c.error);
	call_end(&c);
	PyBuffer_Release(&view);
	return count == SSL_FAILED ? call_raise(&c) : PyLong_FromLong(count);
}

/* ---- waiting ---- */

static PyObject *setblocking(PyObject *self, PyObject *flag)
{
	ServerObject *s = as_server(self);
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
	ssl_server_set_timeout(s->face, blocks ? -1 : 0);
	Py_END_ALLOW_THREADS
	return none();
}

static PyObject *settimeout(PyObject *self, PyObject *value)
{
	int64_t ms;

	if (!timeout_from(value, &ms))
		return NULL;
	Py_BEGIN_ALLOW_THREADS
	ssl_server_set_timeout(as_server(self)->face, ms);
	Py_END_ALLOW_THREADS
	return none();
}

static PyObject *gettimeout(PyObject *self, PyObject *ignored)
{
	int64_t ms;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	ms = ssl_server_timeout(as_server(self)->face);
	Py_END_ALLOW_THREADS
	return seconds_from(ms);
}

static PyObject *timeout(PyObject *self, PyObject *ignored)
{
	int ms;

	(void)ignored;
	if (has_kept(as_server(self)))
		return seconds_from(0);
	Py_BEGIN_ALLOW_THREADS
	ms = ssl_server_next_timeout(as_server(self)->face);
	Py_END_ALLOW_THREADS
	return seconds_from(ms);
}

static PyObject *handle_timeout(PyObject *self, PyObject *ignored)
{
	struct call c;
	int status;

	(void)ignored;
	call_begin_server(&c, as_server(self));
	status = ssl_server_handle_timeout(as_server(self)->face, &c.error);
	call_end(&c);
	if (status != 0)
		return call_raise(&c);
	return call_raise_kept(&c) ? NULL : none();
}

static PyObject *unsent(PyObject *self, PyObject *ignored)
{
	bool some;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	some = ssl_server_unsent(as_server(self)->face);
	Py_END_ALLOW_THREADS
	return PyBool_FromLong(some);
}

static PyObject *fileno_of(PyObject *self, PyObject *ignored)
{
	int fd;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	fd = ssl_server_fileno(as_server(self)->face);
	Py_END_ALLOW_THREADS
	return PyLong_FromLong(fd);
}

/* ---- counters ---- */

#define COUNTER(name)                                                                                                  \
	{                                                                                                              \
#name, offsetof(struct dtls_stats, name)                                                               \
	}
static const struct {
	const char *name;
	size_t offset;
} counters[] = {COUNTER(datagrams_in), COUNTER(datagrams_out), COUNTER(messages_in), COUNTER(messages_out),
    COUNTER(hello_replies), COUNTER(cookies_accepted), COUNTER(cookies_rejected), COUNTER(drop_junk),
    COUNTER(drop_malformed_hello), COUNTER(drop_fragmented_hello), COUNTER(drop_replayed_hello), COUNTER(drop_forged),
    COUNTER(drop_truncated), COUNTER(drop_memory), COUNTER(drop_send), COUNTER(drop_address),
    COUNTER(handshakes_started), COUNTER(handshakes_completed), COUNTER(handshakes_failed),
    COUNTER(handshakes_timedout), COUNTER(handshakes_displaced), COUNTER(retransmissions), COUNTER(forgeries),
    COUNTER(closed_by_peer), COUNTER(closed_idle), COUNTER(closed_replaced), COUNTER(closed_evicted),
    COUNTER(closed_revoked), COUNTER(closed_error), COUNTER(peers), COUNTER(handshakes), COUNTER(handshakes_resumed),
    COUNTER(drop_source_hellos), COUNTER(drop_source_handshakes), COUNTER(drop_inbox), COUNTER(parks), COUNTER(wakes),
    COUNTER(wakes_unused), COUNTER(park_refused), COUNTER(parked), COUNTER(pinned)};
enum { COUNTERS = sizeof(counters) / sizeof(*counters) };
_Static_assert(sizeof(struct dtls_stats) == sizeof(size_t) + COUNTERS * sizeof(uint64_t), "every counter has its name");

static PyObject *stats(PyObject *self, PyObject *ignored)
{
	PyObject *dict = PyDict_New(), *value;
	struct dtls_stats now;
	int status = 0;

	(void)ignored;
	Py_BEGIN_ALLOW_THREADS
	ssl_server_stats(as_server(self)->face, &now);
	Py_END_ALLOW_THREADS
	for (size_t i = 0; dict != NULL && status == 0 && i < COUNTERS; i++) {
		value = PyLong_FromUnsignedLongLong(*(const uint64_t *)((const char *)&now + counters[i].offset));
		status = value == NULL ? -1 : PyDict_SetItemString(dict, counters[i].name, value);
		Py_XDECREF(value);
	}
	if (status != 0)
		Py_CLEAR(dict);
	return dict;
}

static PyMethodDef methods[] = {
    {"recv", recv_event, METH_NOARGS,
	"recv($self, /)\n--\n\n"
	"The next event: (peer, message), the message as bytes, or (peer, CONNECTED), (peer, CLOSED), (peer, FAILED): "
	"a\n"
	"handshake that came to nothing. peer.reason and peer.error tell why. None where it does not block and "
	"nothing\n"
	"is there. TimeoutError; OSError when the socket itself fails, EBADF after close; a peer's trouble never "
	"raises."},
    {"stats", stats, METH_NOARGS,
	"stats($self, /)\n--\n\n"
	"Counters since it was made, and gauges of now (peers, handshakes), by name, as dict[str, int]; once it is "
	"closed\n"
	"the last ones. Every datagram that came in is delivered, answered, part of a handshake, or counted under one\n"
	"drop_ reason."},
    {"close_identity", close_identity, METH_O,
	"close_identity($self, identity, /)\n--\n\n"
	"Ends every session that rests on this pre-shared key's identity (bytes-like); returns how many there were. "
	"Their\n"
	"CLOSED events follow. Change the key first: the client may come back."},
    {"close", close_server, METH_NOARGS,
	"close($self, /)\n--\n\n"
	"Sends close_notify to every peer and closes the socket; there are no events. A second call does nothing."},
    {"setblocking", setblocking, METH_O,
	"setblocking($self, flag, /)\n--\n\nWhether recv() and peer.send() wait; passed on to the socket."},
    {"settimeout", settimeout, METH_O,
	"settimeout($self, seconds, /)\n--\n\n"
	"How long recv() and peer.send() wait: None for ever, 0 not at all. ValueError when negative."},
    {"gettimeout", gettimeout, METH_NOARGS,
	"gettimeout($self, /)\n--\n\nSeconds, 0.0 when it does not block, or None."},
    {"timeout", timeout, METH_NOARGS,
	"timeout($self, /)\n--\n\n"
	"Seconds until recv() or handle_timeout() must be called, for all peers; 0.0 when that is overdue, or an event "
	"is\n"
	"at hand; None: no timer runs."},
    {"handle_timeout", handle_timeout, METH_NOARGS,
	"handle_timeout($self, /)\n--\n\n"
	"Sends again what is overdue, and ends what is; does nothing before. recv(), which does the same, tells the "
	"events."},
    {"unsent", unsent, METH_NOARGS,
	"unsent($self, /)\n--\n\nWhether datagrams wait for room in the system: poll for output, too, and then call "
	"recv()."},
    {"fileno", fileno_of, METH_NOARGS, "fileno($self, /)\n--\n\nThe descriptor, for poll and select; -1 when closed."},
    {"__enter__", enter, METH_NOARGS, NULL},
    {"__exit__", leave, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc,
	"DTLSServer(context, sock, *, max_peers=100000, max_handshakes=1000, handshake_ms=None, idle_ms=0)\n--\n\n"
	"Many DTLS clients on one UDP socket, a socket object or a descriptor, which must be bound. The context is of\n"
	"PROTOCOL_DTLS_SERVER and has credentials; what changes in it counts for later handshakes. When max_peers\n"
	"are connected, the longest silent gives way to a new one; when max_handshakes are unfinished, the oldest of\n"
	"the busiest addresses. A handshake ends after handshake_ms (default: when its retransmissions do, 123 s), a\n"
	"peer that was silent for idle_ms, where that is not 0. Each may be None, its default. ValueError for what\n"
	"cannot be honoured, TypeError, OSError; sock then stays open. Iterating calls recv() until it is closed or,\n"
	"where it does not block, nothing is there. Handlers of signals must set a flag, or raise what is no\n"
	"Exception, such as KeyboardInterrupt: an Exception may be taken for a callback's own, and end no more than\n"
	"that handshake."},
    {Py_tp_new, server_new},
    {Py_tp_dealloc, server_dealloc},
    {Py_tp_members, weakly_referenced},
    {Py_tp_traverse, server_traverse},
    {Py_tp_clear, server_clear},
    {Py_tp_iter, iterate},
    {Py_tp_iternext, next_event},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec server_spec = {"ssl_shim.DTLSServer", sizeof(ServerObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, slots};
