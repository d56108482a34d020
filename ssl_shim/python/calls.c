#include "binding.h"

/* The innermost call of each thread: a callback runs on the thread that made the call. */
static _Thread_local struct call *current;

static void begin(struct call *c, SocketObject *socket, struct handshakes *handshakes)
{
	c->outer = current;
	c->socket = socket;
	c->handshakes = handshakes;
	c->raised = NULL;
	c->error.kind = SSL_KIND_NONE;
	current = c;
	c->thread = PyEval_SaveThread();
}

void call_begin(struct call *c, SocketObject *socket)
{
	begin(c, socket, socket == NULL ? NULL : &socket->handshakes);
}

void call_begin_server(struct call *c, ServerObject *server)
{
	begin(c, NULL, &server->handshakes);
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

bool interpreter_ends(void)
{
	PyObject *ask = PySys_GetObject("is_finalizing"); /* in the end that is gone, too */
	PyObject *answer = ask == NULL ? NULL : PyObject_CallNoArgs(ask);
	bool ends = answer == NULL || PyObject_IsTrue(answer);

	if (answer == NULL)
		PyErr_Clear();
	Py_XDECREF(answer);
	return ends;
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

PyObject *call_raise(struct call *c)
{
	if (call_raise_kept(c))
		return NULL;
	/* A timeout is no failure of the handshake yet. */
	if (c->socket != NULL && c->error.kind != SSL_KIND_TIMEOUT)
		exception_raise(handshake_exception(c->handshakes, 0, &c->error));
	else
		error_raise(&c->error);
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
