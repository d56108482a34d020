#include "binding.h"

/* The innermost call of each thread: a callback runs on the thread that made the call. */
static _Thread_local struct call *current;

void call_begin(struct call *c, SocketObject *socket)
{
	c->outer = current;
	c->socket = socket;
	c->raised = NULL;
	c->error.kind = SSL_KIND_NONE;
	current = c;
	c->thread = PyEval_SaveThread();
}

void call_end(struct call *c)
{
	PyEval_RestoreThread(c->thread);
	current = c->outer;
}

struct call *call_current(void)
{
	return current;
}

void call_enter(struct call *c)
{
	PyEval_RestoreThread(c->thread);
}

void call_leave(struct call *c)
{
	c->thread = PyEval_SaveThread();
}

PyObject *exception_take(void)
{
	PyObject *type, *value, *traceback;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	if (traceback != NULL)
		PyException_SetTraceback(value, traceback);
	Py_XDECREF(type);
	Py_XDECREF(traceback);
	return value;
}

void exception_raise(PyObject *exception)
{
	PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
}

void call_keep_raised(struct call *c)
{
	PyObject *raised = exception_take();

	if (c->raised != NULL)
		Py_XDECREF(raised);
	else
		c->raised = raised;
}

bool call_raise_kept(struct call *c)
{
	if (c->raised == NULL)
		return false;
	exception_raise(c->raised);
	c->raised = NULL;
	return true;
}

static void raise_with_cause(struct call *c, PyObject *cause)
{
	PyObject *exception;

	error_raise(&c->error);
	exception = exception_take();
	PyException_SetCause(exception, cause);
	exception_raise(exception);
}

PyObject *call_raise(struct call *c)
{
	SocketObject *s = c->socket;
	PyObject *failure = s == NULL ? NULL : s->failure;

	if (call_raise_kept(c))
		return NULL;
	/* A timeout is no failure of the handshake yet. */
	if (failure == NULL || c->error.kind == SSL_KIND_TIMEOUT) {
		error_raise(&c->error);
		return NULL;
	}
	s->failure = NULL;
	if (s->failure_is_cause)
		raise_with_cause(c, failure);
	else
		exception_raise(failure);
	return NULL;
}

/* Over a transport it is asked each time before it waits, and then what the transport raised ends the call. */
bool call_interrupted(void *arg)
{
	struct call *c = current;
	bool stop;

	(void)arg;
	call_enter(c);
	if (c->raised == NULL && PyErr_CheckSignals() != 0)
		call_keep_raised(c);
	stop = c->raised != NULL;
	call_leave(c);
	return stop;
}

/* ---- callbacks of the handshake ---- */

static void fail_handshake(SocketObject *s, bool is_cause)
{
	PyObject *failure = exception_take();

	replace(&s->failure, failure);
	s->failure_is_cause = is_cause;
}

/* The certificate's bytes may be kept longer than they live here. */
static long ask_verify(PyObject *callback, const uint8_t *der, size_t der_len, int depth)
{
	PyObject *bytes = PyBytes_FromStringAndSize((const char *)der, (Py_ssize_t)der_len);
	PyObject *view = bytes == NULL ? NULL : PyMemoryView_FromObject(bytes);
	PyObject *answer = view == NULL ? NULL : PyObject_CallFunction(callback, "Oi", view, depth);
	long verdict = answer == NULL ? -1 : PyLong_AsLong(answer);

	Py_XDECREF(answer);
	Py_XDECREF(view);
	Py_XDECREF(bytes);
	return verdict;
}

int callback_verify(void *arg, const uint8_t *der, size_t der_len, int depth, uint32_t flags)
{
	struct call *c = current;
	SocketObject *s = c->socket;
	long verdict = 0;

	(void)arg, (void)flags;
	call_enter(c);
	if (s->failure != NULL) {
		verdict = -1; /* it was told, and is not asked about the rest of the chain */
	} else if (s->verify_callback != NULL) {
		verdict = ask_verify(s->verify_callback, der, der_len, depth);
		if (PyErr_Occurred())
			fail_handshake(s, false);
	}
	call_leave(c);
	return verdict == 0 ? 0 : 1;
}

static PyObject *ask_keys(SocketObject *s, const uint8_t *identity, size_t len)
{
	PyObject *name, *key;

	if (s->psk_server_callback != NULL) {
		name = PyUnicode_DecodeUTF8((const char *)identity, (Py_ssize_t)len, "strict");
		key = name == NULL ? NULL : PyObject_CallFunctionObjArgs(s->psk_server_callback, name, NULL);
		Py_XDECREF(name);
		return key;
	}
	if (s->server_psk_keys == NULL)
		return none();
	name = PyBytes_FromStringAndSize((const char *)identity, (Py_ssize_t)len);
	key = name == NULL ? NULL : method_call(s->server_psk_keys, "get", name, NULL);
	Py_XDECREF(name);
	return key;
}

/* The key's length; -1 with an exception for a key of another type, or of a length that mbed TLS does not take. */
static ssize_t copy_key(PyObject *answer, uint8_t *key, size_t key_max)
{
	Py_buffer view;
	ssize_t n;

	if (answer == Py_None)
		return 0;
	if (!PyObject_CheckBuffer(answer)) {
		PyErr_Format(PyExc_TypeError, "a pre-shared key must be bytes-like or None, not %R", Py_TYPE(answer));
		return -1;
	}
	if (PyObject_GetBuffer(answer, &view, PyBUF_SIMPLE) != 0)
		return -1;
	n = view.len;
	if (n == 0 || (size_t)n > key_max) {
		PyErr_Format(PyExc_ValueError, "a pre-shared key of %zd bytes is not within 1..%zu", n, key_max);
		n = -1;
	} else {
		memcpy(key, view.buf, (size_t)n);
	}
	PyBuffer_Release(&view);
	return n;
}

ssize_t callback_psk(void *arg, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max)
{
	struct call *c = current;
	PyObject *answer;
	ssize_t n = -1;

	(void)arg;
	call_enter(c);
	answer = ask_keys(c->socket, identity, identity_len);
	if (answer == NULL) {
		fail_handshake(c->socket, false);
	} else {
		n = copy_key(answer, key, key_max);
		if (n < 0)
			fail_handshake(c->socket, true);
		Py_DECREF(answer);
	}
	call_leave(c);
	return n;
}
