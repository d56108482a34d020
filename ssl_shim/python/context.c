#include "binding.h"

#include <string.h>

enum { CIPHERS_MAX = 64 };

static ContextObject *as_context(PyObject *obj)
{
	return (ContextObject *)obj;
}

static PyObject *context_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
	ContextObject *self;
	struct ssl_error e;
	int protocol;

	if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
		PyErr_SetString(PyExc_TypeError, "SSLContext() takes no keyword arguments");
		return NULL;
	}
	if (!PyArg_ParseTuple(args, "i:SSLContext", &protocol))
		return NULL;
	self = (ContextObject *)PyType_GenericAlloc(type, 0);
	if (self == NULL)
		return NULL;
	self->face = ssl_context_new(protocol, &e);
	if (self->face == NULL) {
		error_raise(&e);
		Py_CLEAR(self);
	}
	return (PyObject *)self;
}

static int context_traverse(PyObject *obj, visitproc visit, void *arg)
{
	ContextObject *self = as_context(obj);

	Py_VISIT(Py_TYPE(obj));
	Py_VISIT(self->psk_identity);
	Py_VISIT(self->psk_key);
	Py_VISIT(self->psk_client_callback);
	Py_VISIT(self->keylog_filename);
	return callbacks_visit(&self->callbacks, visit, arg);
}

static int context_clear(PyObject *obj)
{
	ContextObject *self = as_context(obj);

	Py_CLEAR(self->psk_identity);
	Py_CLEAR(self->psk_key);
	Py_CLEAR(self->psk_client_callback);
	Py_CLEAR(self->keylog_filename);
	callbacks_clear(&self->callbacks);
	return 0;
}

static void context_dealloc(PyObject *obj)
{
	PyTypeObject *type = Py_TYPE(obj);

	PyObject_GC_UnTrack(obj);
	PyObject_ClearWeakRefs(obj);
	context_clear(obj);
	ssl_context_free(as_context(obj)->face);
	((freefunc)PyType_GetSlot(type, Py_tp_free))(obj);
	Py_DECREF(type);
}

/* ---- certificates ---- */

/* A str, bytes, or what a callable returns of them; NULL with *password NULL for None, or with an exception. */
static PyObject *password_from(PyObject *obj, const char **password)
{
	PyObject *given = PyCallable_Check(obj) ? PyObject_CallFunctionObjArgs(obj, NULL) : Py_NewRef(obj),
		 *bytes = NULL;
	Py_ssize_t len;
	char *text;

	*password = NULL;
	if (given == NULL || given == Py_None) {
		Py_XDECREF(given);
		return NULL;
	}
	if (PyUnicode_Check(given))
		bytes = PyUnicode_AsUTF8String(given);
	else if (PyObject_CheckBuffer(given))
		bytes = PyBytes_FromObject(given);
	else
		PyErr_Format(PyExc_TypeError, "password must be str, bytes, callable or None, not %R", Py_TYPE(given));
	Py_DECREF(given);
	if (bytes == NULL || PyBytes_AsStringAndSize(bytes, &text, &len) != 0)
		return bytes;
	*password = text;
	if (strlen(text) != (size_t)len)
		PyErr_SetString(PyExc_ValueError, "password: embedded null byte");
	return bytes;
}

static PyObject *load_cert_chain(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"certfile", "keyfile", "password", NULL};
	PyObject *certfile, *keyfile, *given = Py_None, *held = NULL;
	struct source cert = {0}, key = {0};
	struct ssl_error e;
	const char *password;
	int status = -1;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:load_cert_chain", names, &certfile, &keyfile, &given))
		return NULL;
	held = password_from(given, &password);
	if (!PyErr_Occurred() && source_from(keyfile, "keyfile", &key) && source_from(certfile, "certfile", &cert)) {
		Py_BEGIN_ALLOW_THREADS
		status = ssl_context_load_cert_chain(as_context(self)->face, &cert.source, &key.source, password, &e);
		Py_END_ALLOW_THREADS
		if (status != 0)
			error_raise(&e);
	}
	source_free(&cert);
	source_free(&key);
	Py_XDECREF(held);
	return status == 0 ? none() : NULL;
}

/* The first may be a path, or data as cadata is. */
static bool trust_from(PyObject *cafile, PyObject *cadata, struct source *file, struct source *data)
{
	memset(data, 0, sizeof(*data));
	if (!source_from(cafile, "cafile", file) || !source_data_from(cadata, "cadata", data))
		return false;
	if (file->source.path == NULL && file->source.data.at == NULL && data->source.data.at == NULL) {
		PyErr_SetString(PyExc_TypeError, "cafile or cadata is needed");
		return false;
	}
	if (file->source.data.at != NULL && data->source.data.at != NULL) {
		PyErr_SetString(PyExc_TypeError, "cadata is given twice");
		return false;
	}
	return true;
}

static int add_trust(ContextObject *self, const struct source *s, struct ssl_error *e)
{
	int status = 0;

	if (s->source.path == NULL && s->source.data.at == NULL)
		return 0;
	Py_BEGIN_ALLOW_THREADS
	status = ssl_context_load_verify_locations(self->face, &s->source, e);
	Py_END_ALLOW_THREADS
	return status;
}

static PyObject *load_verify_locations(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"cafile", "cadata", NULL};
	PyObject *cafile = Py_None, *cadata = Py_None;
	struct source file, data;
	struct ssl_error e;
	int status = -1;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|OO:load_verify_locations", names, &cafile, &cadata))
		return NULL;
	if (trust_from(cafile, cadata, &file, &data)) {
		status = add_trust(as_context(self), &file, &e);
		if (status == 0)
			status = add_trust(as_context(self), &data, &e);
		if (status != 0)
			error_raise(&e);
	}
	source_free(&file);
	source_free(&data);
	return status == 0 ? none() : NULL;
}

/* ---- lists of names ---- */

static PyObject *get_ciphers(PyObject *self, PyObject *ignored)
{
	const char *names[CIPHERS_MAX];
	size_t count = ssl_context_get_ciphers(as_context(self)->face, names, CIPHERS_MAX);
	PyObject *list = PyList_New(0);

	(void)ignored;
	for (size_t i = 0; list != NULL && i < count; i++) {
		PyObject *name = PyUnicode_FromString(names[i]);

		if (name == NULL || PyList_Append(list, name) != 0)
			Py_CLEAR(list);
		Py_XDECREF(name);
	}
	return list;
}

typedef int names_setter(struct ssl_context *, const char *const names[], size_t count, struct ssl_error *);

static PyObject *set_names(PyObject *self, PyObject *list, const char *what, names_setter *set)
{
	PyObject *held;
	Py_ssize_t count;
	const char **names = names_from(list, what, &held, &count);
	struct ssl_error e;
	int status;

	if (names == NULL)
		return NULL;
	status = set(as_context(self)->face, names, (size_t)count, &e);
	PyMem_Free(names);
	Py_DECREF(held);
	if (status == 0)
		return none();
	error_raise(&e);
	return NULL;
}

static PyObject *set_ciphers(PyObject *self, PyObject *list)
{
	return set_names(self, list, "cipher suites", ssl_context_set_ciphers);
}

static PyObject *set_alpn_protocols(PyObject *self, PyObject *list)
{
	return set_names(self, list, "application protocols", ssl_context_set_alpn_protocols);
}

#define WITH_KEYWORDS(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"load_cert_chain", WITH_KEYWORDS(load_cert_chain), METH_VARARGS | METH_KEYWORDS,
	"load_cert_chain($self, /, certfile, keyfile, password=None)\n--\n\n"
	"This side's chain and key: paths (str), or their content (bytes), PEM or DER. The key is parsed first.\n"
	"ValueError('invalid key'), ValueError('invalid cert'); OSError when a file cannot be read."},
    {"load_verify_locations", WITH_KEYWORDS(load_verify_locations), METH_VARARGS | METH_KEYWORDS,
	"load_verify_locations($self, /, cafile=None, cadata=None)\n--\n\n"
	"CAs to verify the peer with: a path, or their content; repeated calls add. ValueError('invalid cert'); "
	"OSError."},
    {"get_ciphers", get_ciphers, METH_NOARGS,
	"get_ciphers($self, /)\n--\n\nThe enabled suites' names, most wanted first, as mbed TLS spells them; "
	"without credentials, of\nboth kinds."},
    {"set_ciphers", set_ciphers, METH_O,
	"set_ciphers($self, names, /)\n--\n\nA list or tuple of suites, most wanted first, with '-' or '_'.\n"
	"OSError(-24192, 'MBEDTLS_ERR_SSL_BAD_CONFIG') for none, or one that is unknown or too weak."},
    {"set_alpn_protocols", set_alpn_protocols, METH_O,
	"set_alpn_protocols($self, names, /)\n--\n\nApplication protocols (RFC 7301), most wanted first. ValueError."},
    {"set_psk_client_callback", WITH_KEYWORDS(context_set_psk_client_callback), METH_VARARGS | METH_KEYWORDS,
	"set_psk_client_callback($self, /, callback)\n--\n\n"
	"callback(None) returns (identity, key), str and bytes; it is called when a socket is wrapped. None removes "
	"it."},
    {"set_psk_server_callback", WITH_KEYWORDS(context_set_psk_server_callback), METH_VARARGS | METH_KEYWORDS,
	"set_psk_server_callback($self, /, callback, identity_hint=None)\n--\n\n"
	"callback(identity: str) returns the key as bytes; b'' or None for none. mbed TLS sends no hint: ValueError "
	"for one."},
    {"wrap_socket", WITH_KEYWORDS(context_wrap_socket), METH_VARARGS | METH_KEYWORDS, context_wrap_socket_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "SSLContext(protocol, /)\n--\n\n"
		"Settings and credentials of TLS or DTLS connections. protocol is one of PROTOCOL_TLS_CLIENT,\n"
		"PROTOCOL_TLS_SERVER, PROTOCOL_DTLS_CLIENT, PROTOCOL_DTLS_SERVER; ValueError for another number.\n"
		"Combinations of settings are judged when a socket is wrapped."},
    {Py_tp_new, context_new},
    {Py_tp_dealloc, context_dealloc},
    {Py_tp_members, weakly_referenced},
    {Py_tp_traverse, context_traverse},
    {Py_tp_clear, context_clear},
    {Py_tp_methods, methods},
    {Py_tp_getset, context_attributes},
    {0, NULL},
};

PyType_Spec context_spec = {"ssl_shim.SSLContext", sizeof(ContextObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE, slots};
