#include "binding.h"

#include <string.h>

enum { CHUNK = 16384 };

static SocketObject *as_socket(PyObject *obj)
{
	return (SocketObject *)obj;
}

typedef ssize_t reader(struct ssl_socket *, void *buf, size_t len, struct ssl_error *);
typedef ssize_t writer(struct ssl_socket *, const void *buf, size_t len, struct ssl_error *);

/* A call's result as Python has it: None where nothing can be done now. bytes NULL: a number. */
static PyObject *result(struct call *c, ssize_t n, const char *bytes)
{
	if (n == SSL_FAILED)
		return call_raise(c);
	if (call_raise_kept(c))
		return NULL;
	if (n == SSL_WOULD_BLOCK)
		return none();
	return bytes != NULL ? PyBytes_FromStringAndSize(bytes, n) : PyLong_FromSsize_t(n);
}

static ssize_t call_reader(struct call *c, SocketObject *s, reader *read, void *buf, size_t len)
{
	ssize_t n;

	call_begin(c, s);
	n = read(s->face, buf, len, &c->error);
	call_end(c);
	return n;
}

/* ---- bytes ---- */

static PyObject *read_bytes(SocketObject *s, reader *read, size_t len)
{
	char space[CHUNK], *buf = len <= sizeof(space) ? space : PyMem_Malloc(len);
	struct call c;
	PyObject *bytes;
	ssize_t n;

	if (buf == NULL)
		return PyErr_NoMemory();
	n = call_reader(&c, s, read, buf, len);
	bytes = result(&c, n, buf);
	if (buf != space)
		PyMem_Free(buf);
	return bytes;
}

struct growing {
	char *bytes;
	size_t len, size;
};

static bool grow(struct growing *g)
{
	size_t size = g->size == 0 ? CHUNK : 2 * g->size;
	char *larger = PyMem_Realloc(g->bytes, size);

	if (larger == NULL) {
		PyErr_NoMemory();
		return false;
	}
	g->bytes = larger;
	g->size = size;
	return true;
}

/* Until it ends, or nothing can be done now; what was read goes before an error, which the next call tells. */
static PyObject *read_on(SocketObject *s, reader *read, bool lines)
{
	struct growing g = {0};
	struct call c = {0};
	PyObject *bytes = NULL;
	ssize_t n = 1;
	bool more = true;

	while (more && n > 0) {
		if (g.len == g.size && !grow(&g))
			break;
		n = call_reader(&c, s, read, g.bytes + g.len, g.size - g.len);
		if (n > 0)
			g.len += (size_t)n;
		more = c.raised == NULL && !(lines && g.len > 0 && g.bytes[g.len - 1] == '\n');
	}
	if (PyErr_Occurred() || c.raised != NULL)
		bytes = PyErr_Occurred() ? NULL : result(&c, n, NULL);
	else if (g.len > 0)
		bytes = PyBytes_FromStringAndSize(g.bytes, (Py_ssize_t)g.len);
	else
		bytes = result(&c, n, "");
	PyMem_Free(g.bytes);
	return bytes;
}

/* The number of bytes that are asked for; -1 for None, or none given. */
static bool size_from(PyObject *const *args, Py_ssize_t n, Py_ssize_t max, const char *name, Py_ssize_t *size)
{
	*size = -1;
	if (n > max) {
		PyErr_Format(PyExc_TypeError, "%s() takes at most %zd argument%s (%zd given)", name, max,
		    max == 1 ? "" : "s", n);
		return false;
	}
	if (n < max || args[n - 1] == Py_None)
		return true;
	*size = PyLong_AsSsize_t(args[n - 1]);
	return !(*size == -1 && PyErr_Occurred());
}

PyObject *stream_read(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	SocketObject *s = as_socket(self);
	Py_ssize_t size;

	if (!size_from(args, n, 1, "read", &size))
		return NULL;
	if (size >= 0)
		return read_bytes(s, ssl_socket_read, (size_t)size);
	return s->datagrams ? read_bytes(s, ssl_socket_recv, CHUNK) : read_on(s, ssl_socket_recv, false);
}

PyObject *stream_recv(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	Py_ssize_t size;

	if (!size_from(args, n, 1, "recv", &size))
		return NULL;
	if (size < 0 && n == 1 && args[0] != Py_None) {
		PyErr_SetString(PyExc_ValueError, "negative buffersize in recv");
		return NULL;
	}
	/* No record has more, so that a larger buffer need not be made. */
	return read_bytes(as_socket(self), ssl_socket_recv, size < 0 || size > CHUNK ? CHUNK : (size_t)size);
}

PyObject *stream_readline(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	Py_ssize_t size;

	if (!size_from(args, n, 1, "readline", &size))
		return NULL;
	if (size >= 0)
		return read_bytes(as_socket(self), ssl_socket_readline, (size_t)size);
	return read_on(as_socket(self), ssl_socket_readline, true);
}

PyObject *stream_next(PyObject *self)
{
	PyObject *line = read_on(as_socket(self), ssl_socket_readline, true);

	/* Neither the end nor "nothing now" is a line. */
	if (line != NULL && (line == Py_None || PyBytes_Size(line) == 0))
		Py_CLEAR(line);
	return line;
}

/* ---- buffers ---- */

static PyObject *read_into(PyObject *self, PyObject *const *args, Py_ssize_t n, const char *name, reader *read)
{
	Py_ssize_t size = -1;
	Py_buffer view;
	struct call c;
	ssize_t done;

	if (n < 1) {
		PyErr_Format(PyExc_TypeError, "%s() needs a buffer", name);
		return NULL;
	}
	if (!size_from(args, n, 2, name, &size) || PyObject_GetBuffer(args[0], &view, PyBUF_WRITABLE) != 0)
		return NULL;
	if (size < 0 && n == 2 && args[1] != Py_None) {
		PyBuffer_Release(&view);
		PyErr_Format(PyExc_ValueError, "negative buffersize in %s", name);
		return NULL;
	}
	/* CPython's 0 means all of it, too. */
	if (size <= 0 || size > view.len)
		size = view.len;
	done = call_reader(&c, as_socket(self), read, view.buf, (size_t)size);
	PyBuffer_Release(&view);
	return result(&c, done, NULL);
}

PyObject *stream_readinto(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	return read_into(self, args, n, "readinto", ssl_socket_read);
}

PyObject *stream_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
	return read_into(self, args, n, "recv_into", ssl_socket_recv);
}

static PyObject *write_bytes(PyObject *self, PyObject *data, writer *write)
{
	SocketObject *s = as_socket(self);
	struct call c;
	Py_buffer view;
	ssize_t n;

	if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) != 0)
		return NULL;
	call_begin(&c, s);
	n = write(s->face, view.buf, (size_t)view.len, &c.error);
	call_end(&c);
	PyBuffer_Release(&view);
	return result(&c, n, NULL);
}

PyObject *stream_write(PyObject *self, PyObject *data)
{
	return write_bytes(self, data, ssl_socket_write);
}

/* CPython's None is that all was taken; what does not wait counts, as MicroPython's does. */
PyObject *stream_sendall(PyObject *self, PyObject *data)
{
	PyObject *count = write_bytes(self, data, ssl_socket_sendall);

	if (count != NULL && count != Py_None && PyLong_AsLong(count) == 0)
		replace(&count, none());
	return count;
}

PyObject *stream_send(PyObject *self, PyObject *data)
{
	return write_bytes(self, data, ssl_socket_send);
}
