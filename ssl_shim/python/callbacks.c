#include "binding.h"

#include <stdlib.h>

/* What a callback has raised in one handshake; it is not asked again in that one. */
struct failure {
	struct failure *next;
	uint64_t of;
	PyObject *exception; /* NULL: raised where it was heard at once */
	bool is_cause;
};

static const struct callbacks nothing_to_ask;

/* ---- what is kept ---- */

struct callbacks callbacks_copy(const struct callbacks *c)
{
	return (struct callbacks){
	    Py_XNewRef(c->verify_callback), Py_XNewRef(c->server_psk_keys), Py_XNewRef(c->psk_server_callback)};
}

int callbacks_visit(const struct callbacks *c, visitproc visit, void *arg)
{
	Py_VISIT(c->verify_callback);
	Py_VISIT(c->server_psk_keys);
	Py_VISIT(c->psk_server_callback);
	return 0;
}

void callbacks_clear(struct callbacks *c)
{
	Py_CLEAR(c->verify_callback);
	Py_CLEAR(c->server_psk_keys);
	Py_CLEAR(c->psk_server_callback);
}

int handshakes_visit(const struct handshakes *h, visitproc visit, void *arg)
{
	for (const struct failure *f = h->failures; f != NULL; f = f->next)
		Py_VISIT(f->exception);
	return 0;
}

static struct failure *take_failure(struct failure **at)
{
	struct failure *f = *at;

	*at = f->next;
	return f;
}

void handshakes_clear(struct handshakes *h)
{
	struct failure *f;

	h->callbacks = &nothing_to_ask;
	while (h->failures != NULL) {
		f = take_failure(&h->failures);
		Py_XDECREF(f->exception);
		PyMem_Free(f);
	}
}

static struct failure **find_failure(struct handshakes *h, uint64_t of)
{
	struct failure **at = &h->failures;

	while (*at != NULL && (*at)->of != of)
		at = &(*at)->next;
	return at;
}

PyObject *handshake_exception(struct handshakes *h, uint64_t of, const struct ssl_error *e)
{
	struct failure **at = find_failure(h, of), *f = *at == NULL ? NULL : take_failure(at);
	PyObject *raised = f == NULL ? NULL : f->exception, *exception = raised;

	if (raised == NULL || f->is_cause) {
		error_raise(e);
		exception = exception_take();
		if (raised != NULL)
			PyException_SetCause(exception, raised);
	}
	PyMem_Free(f);
	return exception;
}

/* ---- which handshake it is ---- */

static uint64_t asked_for(const struct handshakes *h)
{
	return h->server == NULL ? 0 : ssl_server_handshaking(h->server);
}

static bool has_failed(struct handshakes *h)
{
	return *find_failure(h, asked_for(h)) != NULL;
}

/* With an exception set: the server's call ends with that. */
static void end_call(struct call *c)
{
	call_keep_raised(c);
	ssl_server_stop(c->handshakes->server);
}

/* What asks the program to end is no peer's error. */
static PyObject *pass_on(struct call *c, PyObject *exception)
{
	if (c->handshakes->server == NULL || PyErr_GivenExceptionMatches(exception, PyExc_Exception))
		return exception;
	exception_raise(exception);
	end_call(c);
	return NULL;
}

/* What a signal's handler raises is no peer's error either; raised within a callback it could not be told apart. */
static void hear_signals(struct call *c)
{
	if (c->handshakes->server != NULL && PyErr_CheckSignals() != 0)
		end_call(c);
}

static void fail_handshake(struct call *c, bool is_cause)
{
	struct handshakes *h = c->handshakes;
	PyObject *exception = pass_on(c, exception_take());
	struct failure *f = PyMem_Malloc(sizeof(*f));

	if (f == NULL) {
		Py_XDECREF(exception);
		return;
	}
	*f = (struct failure){h->failures, asked_for(h), exception, is_cause};
	h->failures = f;
}

/* ---- what is asked ---- */

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
	struct call *c = call_current();
	PyObject *callback;
	long verdict = 0;

	(void)arg, (void)flags;
	call_enter(c);
	hear_signals(c);
	callback = Py_XNewRef(c->handshakes->callbacks->verify_callback);
	if (has_failed(c->handshakes)) {
		verdict = -1; /* it was told, and is not asked about the rest of the chain */
	} else if (callback != NULL) {
		verdict = ask_verify(callback, der, der_len, depth);
		if (PyErr_Occurred())
			fail_handshake(c, false);
	}
	Py_XDECREF(callback);
	call_leave(c);
	return verdict == 0 ? 0 : 1;
}

static PyObject *ask_callback(PyObject *callback, const uint8_t *identity, size_t len)
{
	PyObject *name = PyUnicode_DecodeUTF8((const char *)identity, (Py_ssize_t)len, "strict"), *key;

	if (name == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
		PyErr_Clear();
		return none(); /* it is the client's choice, and no trouble of the callback's */
	}
	key = name == NULL ? NULL : PyObject_CallFunctionObjArgs(callback, name, NULL);
	Py_XDECREF(name);
	/* That is how CPython's refuses an identity. */
	if (key != NULL && PyBytes_Check(key) && PyBytes_Size(key) == 0)
		replace(&key, none());
	return key;
}

static PyObject *ask_keys(const struct callbacks *asked, const uint8_t *identity, size_t len)
{
	PyObject *name, *key;

	if (asked->psk_server_callback != NULL)
		return ask_callback(asked->psk_server_callback, identity, len);
	if (asked->server_psk_keys == NULL)
		return none();
	name = PyBytes_FromStringAndSize((const char *)identity, (Py_ssize_t)len);
	key = name == NULL ? NULL : method_call(asked->server_psk_keys, "get", name, NULL);
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

/* The context may get others while these are being asked. */
static ssize_t find_key(struct call *c, const uint8_t *identity, size_t len, uint8_t *key, size_t key_max)
{
	struct callbacks asked = callbacks_copy(c->handshakes->callbacks);
	PyObject *answer = ask_keys(&asked, identity, len);
	ssize_t n = answer == NULL ? -1 : copy_key(answer, key, key_max);

	if (n < 0)
		fail_handshake(c, answer != NULL);
	Py_XDECREF(answer);
	callbacks_clear(&asked);
	return n;
}

ssize_t callback_psk(void *arg, const uint8_t *identity, size_t identity_len, uint8_t *key, size_t key_max)
{
	struct call *c = call_current();
	ssize_t n = -1;

	(void)arg;
	call_enter(c);
	hear_signals(c);
	if (!has_failed(c->handshakes))
		n = find_key(c, identity, identity_len, key, key_max);
	call_leave(c);
	return n;
}
