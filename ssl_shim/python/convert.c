#include "binding.h"

#include <stdlib.h>
#include <string.h>

PyObject *none(void)
{
	return Py_NewRef(Py_None);
}

void replace(PyObject **slot, PyObject *value)
{
	PyObject *old = *slot;

	*slot = value;
	Py_XDECREF(old);
}

PyObject *or_none(PyObject *obj)
{
	return Py_NewRef(obj == NULL ? Py_None : obj);
}

PyObject *method_call(PyObject *obj, const char *name, PyObject *a, PyObject *b)
{
	PyObject *text = PyUnicode_InternFromString(name);
	PyObject *answer = text == NULL ? NULL : PyObject_CallMethodObjArgs(obj, text, a, b, NULL);

	Py_XDECREF(text);
	return answer;
}

bool has_attribute(PyObject *obj, const char *name)
{
	PyObject *text = PyUnicode_InternFromString(name);
	bool has = text != NULL && PyObject_HasAttr(obj, text);

	Py_XDECREF(text);
	return has;
}

/* ---- keys, certificates, CAs ---- */

static bool view_of(PyObject *obj, const char *what, const char *wanted, Py_buffer *view, struct ssl_bytes *bytes)
{
	if (!PyObject_CheckBuffer(obj)) {
		PyErr_Format(PyExc_TypeError, "%s must be %s, not %R", what, wanted, Py_TYPE(obj));
		return false;
	}
	if (PyObject_GetBuffer(obj, view, PyBUF_SIMPLE) != 0)
		return false;
	*bytes = (struct ssl_bytes){view->buf == NULL ? "" : view->buf, (size_t)view->len};
	return true;
}

static bool path_from(PyObject *obj, const char *what, struct source *s)
{
	PyObject *path = PyOS_FSPath(obj);
	Py_ssize_t len;
	char *text;

	if (path == NULL)
		return false;
	if (PyUnicode_Check(path))
		s->path = PyUnicode_EncodeFSDefault(path);
	else
		s->path = Py_NewRef(path);
	Py_DECREF(path);
	if (s->path == NULL || PyBytes_AsStringAndSize(s->path, &text, &len) != 0)
		return false;
	if (strlen(text) != (size_t)len) {
		PyErr_Format(PyExc_ValueError, "%s: embedded null byte", what);
		return false;
	}
	s->source.path = text;
	return true;
}

bool source_from(PyObject *obj, const char *what, struct source *s)
{
	memset(s, 0, sizeof(*s));
	if (obj == NULL || obj == Py_None)
		return true;
	if (PyUnicode_Check(obj) || has_attribute(obj, "__fspath__"))
		return path_from(obj, what, s);
	return view_of(obj, what, "a path, bytes-like or None", &s->data, &s->source.data);
}

bool source_data_from(PyObject *obj, const char *what, struct source *s)
{
	char *text;
	Py_ssize_t len;

	memset(s, 0, sizeof(*s));
	if (obj == NULL || obj == Py_None)
		return true;
	if (!PyUnicode_Check(obj))
		return view_of(obj, what, "bytes-like, str or None", &s->data, &s->source.data);
	s->path = PyUnicode_AsUTF8String(obj);
	if (s->path == NULL || PyBytes_AsStringAndSize(s->path, &text, &len) != 0)
		return false;
	s->source.data = (struct ssl_bytes){text, (size_t)len};
	return true;
}

void source_free(struct source *s)
{
	Py_CLEAR(s->path);
	if (s->data.obj != NULL)
		PyBuffer_Release(&s->data);
}

/* ---- bytes and names ---- */

bool octets_from(PyObject *obj, const char *what, bool or_text, struct octets *o)
{
	char *text;
	Py_ssize_t len;

	memset(o, 0, sizeof(*o));
	if (obj == NULL || obj == Py_None)
		return true;
	if (!or_text || !PyUnicode_Check(obj))
		return view_of(
		    obj, what, or_text ? "bytes-like, str or None" : "bytes-like or None", &o->data, &o->bytes);
	o->text = PyUnicode_AsUTF8String(obj);
	if (o->text == NULL || PyBytes_AsStringAndSize(o->text, &text, &len) != 0)
		return false;
	o->bytes = (struct ssl_bytes){text, (size_t)len};
	return true;
}

void octets_free(struct octets *o)
{
	Py_CLEAR(o->text);
	if (o->data.obj != NULL)
		PyBuffer_Release(&o->data);
}

bool hostname_from(PyObject *obj, PyObject **held, const char **name)
{
	Py_ssize_t len;
	char *text;

	*held = NULL;
	*name = NULL;
	if (obj == NULL || obj == Py_None)
		return true;
	if (!PyUnicode_Check(obj)) {
		PyErr_Format(PyExc_TypeError, "server_hostname must be str or None, not %R", Py_TYPE(obj));
		return false;
	}
	*held = PyUnicode_AsASCIIString(obj);
	if (*held == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
		PyErr_Clear();
		*held = PyUnicode_AsEncodedString(obj, "idna", "strict");
	}
	if (*held == NULL || PyBytes_AsStringAndSize(*held, &text, &len) != 0)
		return false;
	if (strlen(text) != (size_t)len) {
		PyErr_SetString(PyExc_ValueError, "server_hostname: embedded null character");
		return false;
	}
	*name = text;
	return true;
}

static const char *name_at(PyObject *list, Py_ssize_t i, const char *what, PyObject *held)
{
	PyObject *item = PySequence_GetItem(list, i), *text;
	char *name = NULL;

	if (item == NULL)
		return NULL;
	if (!PyUnicode_Check(item)) {
		PyErr_Format(PyExc_TypeError, "%s must be str, not %R", what, Py_TYPE(item));
		Py_DECREF(item);
		return NULL;
	}
	text = PyUnicode_AsUTF8String(item);
	Py_DECREF(item);
	/* Without a place for the length a NUL inside is an error. */
	if (text != NULL && (PyList_Append(held, text) != 0 || PyBytes_AsStringAndSize(text, &name, NULL) != 0))
		name = NULL;
	Py_XDECREF(text);
	return name;
}

const char **names_from(PyObject *list, const char *what, PyObject **held, Py_ssize_t *count)
{
	const char **names;

	if (!PyList_Check(list) && !PyTuple_Check(list)) {
		PyErr_Format(
		    PyExc_TypeError, "%s must be given as a list or tuple of str, not %R", what, Py_TYPE(list));
		return NULL;
	}
	*count = PySequence_Size(list);
	*held = PyList_New(0);
	names = PyMem_Calloc((size_t)*count + 1, sizeof(*names));
	for (Py_ssize_t i = 0; names != NULL && *held != NULL && i < *count; i++) {
		names[i] = name_at(list, i, what, *held);
		if (names[i] == NULL)
			break;
	}
	if (names != NULL && !PyErr_Occurred())
		return names;
	if (names == NULL)
		PyErr_NoMemory();
	PyMem_Free(names);
	Py_CLEAR(*held);
	return NULL;
}

PyObject *bytes_from(uint8_t *copy, size_t len)
{
	PyObject *bytes = copy == NULL ? none() : PyBytes_FromStringAndSize((const char *)copy, (Py_ssize_t)len);

	free(copy);
	return bytes;
}

bool wants_der(PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"binary_form", NULL};
	int binary = 0;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|p:getpeercert", names, &binary))
		return false;
	if (!binary)
		PyErr_SetString(PyExc_NotImplementedError, "only getpeercert(True), the certificate's DER");
	return binary;
}

/* ---- times ---- */

bool timeout_from(PyObject *value, int64_t *ms)
{
	double seconds = value == Py_None ? -1 : PyFloat_AsDouble(value);

	*ms = -1;
	if (value == Py_None || PyErr_Occurred())
		return value == Py_None;
	if (!(seconds >= 0) || seconds > 9e15) {
		PyErr_SetString(PyExc_ValueError, "Timeout value out of range");
		return false;
	}
	*ms = (int64_t)(seconds * 1000 + (seconds > 0 ? 0.999 : 0));
	return true;
}

bool timeout_of(PyObject *sock, int64_t *ms)
{
	PyObject *seconds;
	double value = 0;

	if (!has_attribute(sock, "gettimeout"))
		return true;
	seconds = method_call(sock, "gettimeout", NULL, NULL);
	if (seconds != NULL && seconds != Py_None)
		value = PyFloat_AsDouble(seconds);
	Py_XDECREF(seconds);
	if (PyErr_Occurred())
		return false;
	if (value > 0)
		*ms = (int64_t)(value * 1000 + 0.999);
	return true;
}

PyObject *seconds_from(int64_t ms)
{
	return ms < 0 ? none() : PyFloat_FromDouble((double)ms / 1000);
}

/* ---- errors ---- */

/* A bare sentence for ValueError and the like; OSError has two or, with a file's name, three arguments. */
static PyObject *exception_for(const struct ssl_error *e)
{
	PyObject *text = PyUnicode_DecodeUTF8(e->text, (Py_ssize_t)strlen(e->text), "replace");
	PyObject *exception = NULL;

	if (text == NULL)
		return NULL;
	if (e->kind == SSL_KIND_OS && e->path[0] != '\0') {
		PyObject *path = PyUnicode_DecodeFSDefault(e->path);

		exception = path == NULL ? NULL : PyObject_CallFunction(PyExc_OSError, "iOO", e->code, text, path);
		Py_XDECREF(path);
	} else if (e->kind == SSL_KIND_OS) {
		exception = PyObject_CallFunction(PyExc_OSError, "iO", e->code, text);
	} else {
		PyObject *type = e->kind == SSL_KIND_VALUE     ? PyExc_ValueError
				 : e->kind == SSL_KIND_TYPE    ? PyExc_TypeError
				 : e->kind == SSL_KIND_TIMEOUT ? PyExc_TimeoutError
							       : PyExc_RuntimeError;

		exception = PyObject_CallFunctionObjArgs(type, text, NULL);
	}
	Py_DECREF(text);
	return exception;
}

void error_raise(const struct ssl_error *e)
{
	PyObject *exception, *note, *done = NULL;

	if (e->kind == SSL_KIND_MEMORY) {
		PyErr_NoMemory();
		return;
	}
	exception = exception_for(e);
	if (exception == NULL)
		return;
	if (e->note[0] != '\0') {
		note = PyUnicode_DecodeUTF8(e->note, (Py_ssize_t)strlen(e->note), "replace");
		done = note == NULL ? NULL : method_call(exception, "add_note", note, NULL);
		Py_XDECREF(note);
		Py_XDECREF(done);
		PyErr_Clear();
	}
	exception_raise(exception);
}
