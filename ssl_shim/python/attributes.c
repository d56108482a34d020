#include "binding.h"

static ContextObject *as_context(PyObject *obj)
{
	return (ContextObject *)obj;
}

static bool refuse_delete(PyObject *value, const char *name)
{
	if (value == NULL)
		PyErr_Format(PyExc_AttributeError, "%s cannot be deleted", name);
	return value == NULL;
}

static int failed(struct ssl_error *e)
{
	error_raise(e);
	return -1;
}

static PyObject *not_none(PyObject *value)
{
	return value == Py_None ? NULL : Py_NewRef(value);
}

/* ---- verification ---- */

static PyObject *get_verify_mode(PyObject *self, void *closure)
{
	(void)closure;
	return PyLong_FromLong(ssl_context_verify_mode(as_context(self)->face));
}

static int set_verify_mode(PyObject *self, PyObject *value, void *closure)
{
	struct ssl_error e;
	long mode;

	(void)closure;
	if (refuse_delete(value, "verify_mode"))
		return -1;
	mode = PyLong_AsLong(value);
	if (mode == -1 && PyErr_Occurred())
		return -1;
	return ssl_context_set_verify_mode(as_context(self)->face, mode, &e) == 0 ? 0 : failed(&e);
}

static PyObject *get_verify_callback(PyObject *self, void *closure)
{
	(void)closure;
	return or_none(as_context(self)->callbacks.verify_callback);
}

static bool is_callable_or_none(PyObject *value, const char *name)
{
	if (value == Py_None || PyCallable_Check(value))
		return true;
	PyErr_Format(PyExc_TypeError, "%s must be callable or None, not %R", name, Py_TYPE(value));
	return false;
}

static int set_verify_callback(PyObject *self, PyObject *value, void *closure)
{
	ContextObject *ctx = as_context(self);
	struct ssl_error e;

	(void)closure;
	if (refuse_delete(value, "verify_callback") || !is_callable_or_none(value, "verify_callback"))
		return -1;
	ssl_context_set_verify_callback(ctx->face, value == Py_None ? NULL : callback_verify, NULL, &e);
	replace(&ctx->callbacks.verify_callback, not_none(value));
	return 0;
}

/* ---- pre-shared keys ---- */

static PyObject *get_psk_identity(PyObject *self, void *closure)
{
	(void)closure;
	return or_none(as_context(self)->psk_identity);
}

static PyObject *get_psk_key(PyObject *self, void *closure)
{
	(void)closure;
	return or_none(as_context(self)->psk_key);
}

/* The pair is judged by the face; what it refuses is not kept. */
static bool apply_psk(ContextObject *ctx, PyObject *identity, PyObject *key)
{
	struct octets id, k = {0};
	struct ssl_error e;
	bool ok;

	ok = octets_from(identity, "psk_identity", true, &id) && octets_from(key, "psk_key", false, &k);
	if (ok && ssl_context_set_psk(ctx->face, &id.bytes, &k.bytes, &e) != 0) {
		error_raise(&e);
		ok = false;
	}
	octets_free(&id);
	octets_free(&k);
	return ok;
}

static int set_psk_identity(PyObject *self, PyObject *value, void *closure)
{
	ContextObject *ctx = as_context(self);

	(void)closure;
	if (refuse_delete(value, "psk_identity") || !apply_psk(ctx, value, ctx->psk_key))
		return -1;
	replace(&ctx->psk_identity, not_none(value));
	return 0;
}

static int set_psk_key(PyObject *self, PyObject *value, void *closure)
{
	ContextObject *ctx = as_context(self);

	(void)closure;
	if (refuse_delete(value, "psk_key") || !apply_psk(ctx, ctx->psk_identity, value))
		return -1;
	replace(&ctx->psk_key, not_none(value));
	return 0;
}

static void apply_lookup(ContextObject *ctx)
{
	bool any = ctx->callbacks.server_psk_keys != NULL || ctx->callbacks.psk_server_callback != NULL;

	ssl_context_set_psk_lookup(ctx->face, any ? callback_psk : NULL, NULL);
}

static PyObject *get_server_psk_keys(PyObject *self, void *closure)
{
	(void)closure;
	return or_none(as_context(self)->callbacks.server_psk_keys);
}

static int set_server_psk_keys(PyObject *self, PyObject *value, void *closure)
{
	ContextObject *ctx = as_context(self);

	(void)closure;
	if (refuse_delete(value, "server_psk_keys"))
		return -1;
	if (value != Py_None && !has_attribute(value, "get")) {
		PyErr_Format(PyExc_TypeError,
		    "server_psk_keys must be a mapping, an object with get(), or None, not %R", Py_TYPE(value));
		return -1;
	}
	replace(&ctx->callbacks.server_psk_keys, not_none(value));
	apply_lookup(ctx);
	return 0;
}

PyObject *context_set_psk_client_callback(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"callback", NULL};
	PyObject *callback;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O:set_psk_client_callback", names, &callback) ||
	    !is_callable_or_none(callback, "callback"))
		return NULL;
	replace(&as_context(self)->psk_client_callback, not_none(callback));
	return none();
}

PyObject *context_set_psk_server_callback(PyObject *self, PyObject *args, PyObject *kwargs)
{
	static char *names[] = {"callback", "identity_hint", NULL};
	PyObject *callback, *hint = Py_None;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|O:set_psk_server_callback", names, &callback, &hint) ||
	    !is_callable_or_none(callback, "callback"))
		return NULL;
	if (hint != Py_None) {
		PyErr_SetString(PyExc_ValueError, "identity_hint: mbed TLS cannot send one");
		return NULL;
	}
	replace(&as_context(self)->callbacks.psk_server_callback, not_none(callback));
	apply_lookup(as_context(self));
	return none();
}

/* ---- the rest ---- */

static PyObject *get_keylog_filename(PyObject *self, void *closure)
{
	(void)closure;
	return or_none(as_context(self)->keylog_filename);
}

static int set_keylog_filename(PyObject *self, PyObject *value, void *closure)
{
	ContextObject *ctx = as_context(self);
	struct source file;
	struct ssl_error e;
	int status;

	(void)closure;
	if (refuse_delete(value, "keylog_filename"))
		return -1;
	if (!source_from(value, "keylog_filename", &file) || file.source.data.at != NULL) {
		if (file.source.data.at != NULL)
			PyErr_SetString(PyExc_TypeError, "keylog_filename must be str, a path or None, not bytes");
		source_free(&file);
		return -1;
	}
	status = ssl_context_set_keylog_filename(ctx->face, file.source.path, &e);
	source_free(&file);
	if (status != 0)
		return failed(&e);
	replace(&ctx->keylog_filename, not_none(value));
	return 0;
}

static PyObject *get_handshake_timeout(PyObject *self, void *closure)
{
	int min_ms, max_ms;

	(void)closure;
	ssl_context_handshake_timeout(as_context(self)->face, &min_ms, &max_ms);
	return Py_BuildValue("(ii)", min_ms, max_ms);
}

static int set_handshake_timeout(PyObject *self, PyObject *value, void *closure)
{
	struct ssl_error e;
	PyObject *pair;
	int min_ms, max_ms, ok;

	(void)closure;
	if (refuse_delete(value, "handshake_timeout"))
		return -1;
	if (!PyTuple_Check(value) && !PyList_Check(value)) {
		PyErr_SetString(PyExc_TypeError, "handshake_timeout must be a pair of milliseconds: (first, longest)");
		return -1;
	}
	pair = PySequence_Tuple(value);
	if (pair == NULL)
		return -1;
	ok = PyArg_ParseTuple(
	    pair, "ii;handshake_timeout must be a pair of milliseconds: (first, longest)", &min_ms, &max_ms);
	Py_DECREF(pair);
	if (!ok)
		return -1;
	return ssl_context_set_handshake_timeout(as_context(self)->face, min_ms, max_ms, &e) == 0 ? 0 : failed(&e);
}

static PyObject *get_mtu(PyObject *self, void *closure)
{
	size_t mtu = ssl_context_mtu(as_context(self)->face);

	(void)closure;
	return mtu == 0 ? none() : PyLong_FromSize_t(mtu);
}

static int set_mtu(PyObject *self, PyObject *value, void *closure)
{
	struct ssl_error e;
	Py_ssize_t mtu;

	(void)closure;
	if (refuse_delete(value, "mtu"))
		return -1;
	mtu = PyLong_AsSsize_t(value);
	if (mtu == -1 && PyErr_Occurred())
		return -1;
	return ssl_context_set_mtu(as_context(self)->face, mtu < 0 ? 0 : (size_t)mtu, &e) == 0 ? 0 : failed(&e);
}

static PyObject *get_protocol(PyObject *self, void *closure)
{
	(void)closure;
	return PyLong_FromLong(ssl_context_protocol(as_context(self)->face));
}

PyGetSetDef context_attributes[] = {
    {"protocol", get_protocol, NULL, "int, read-only: the PROTOCOL_* it was made with.", NULL},
    {"verify_mode", get_verify_mode, set_verify_mode,
	"int: CERT_NONE, CERT_OPTIONAL or CERT_REQUIRED. Default: CERT_REQUIRED for clients, CERT_NONE for servers.\n"
	"ValueError for another number.",
	NULL},
    {"verify_callback", get_verify_callback, set_verify_callback,
	"callable or None: called as callback(der, depth) once for each certificate of the peer's chain, with its DER "
	"as\n"
	"a memoryview; returns 0 to go on, anything else to refuse. What it raises ends the handshake.",
	NULL},
    {"psk_identity", get_psk_identity, set_psk_identity,
	"bytes, str or None: a client's identity, 1..128 bytes. Judged with psk_key when both are set: OSError.", NULL},
    {"psk_key", get_psk_key, set_psk_key,
	"bytes or None: a client's pre-shared key, 1..32 bytes with mbed TLS 2.28, 1..48 with 3.6.", NULL},
    {"server_psk_keys", get_server_psk_keys, set_server_psk_keys,
	"a mapping, an object with get(identity: bytes), or None: a server's keys. get() returns the key as bytes, or "
	"None\n"
	"for an identity that it does not know, and is called once for each handshake.",
	NULL},
    {"keylog_filename", get_keylog_filename, set_keylog_filename,
	"str, a path or None: the file that secrets are appended to (SSLKEYLOGFILE). OSError when it cannot be opened.",
	NULL},
    {"handshake_timeout", get_handshake_timeout, set_handshake_timeout,
	"(first, longest): milliseconds until a flight is sent again, doubling up to the longest. Default: (1000, "
	"60000).\n"
	"ValueError unless 1 <= first <= longest <= 3600000.",
	NULL},
    {"mtu", get_mtu, set_mtu,
	"int: bytes of UDP payload that a record or flight may fill, 256..16384. Default: 1200; None for TLS, where "
	"it\n"
	"cannot be set: ValueError.",
	NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
