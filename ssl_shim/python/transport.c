#include "binding.h"

#include <errno.h>
#include <limits.h>

/* ---- what carries it ---- */

/* Every negative one, as a closed socket's, becomes -2. */
static bool fd_from(PyObject *number, int *fd)
{
	long value = PyLong_AsLong(number);

	if (PyErr_Occurred())
		return false;
	if (value > INT_MAX) {
		PyErr_Format(PyExc_OverflowError, "sock: %ld is no descriptor", value);
		return false;
	}
	*fd = value < 0 ? -2 : (int)value;
	return true;
}

/* *fd stays -1 where there is none. */
static bool ask_fileno(PyObject *sock, int *fd)
{
	PyObject *number;
	bool ok;

	if (!has_attribute(sock, "fileno"))
		return true;
	number = method_call(sock, "fileno", NULL, NULL);
	if (number == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
		PyErr_Clear();
		return true;
	}
	if (number == NULL)
		return false;
	ok = fd_from(number, fd);
	Py_DECREF(number);
	return ok;
}

static bool is_bad(int fd)
{
	if (fd >= 0)
		return false;
	errno = EBADF;
	PyErr_SetFromErrno(PyExc_OSError);
	return true;
}

bool transport_choose(PyObject *sock, PyTypeObject *socket_type, int *fd, bool *own_fd)
{
	*fd = -1;
	*own_fd = PyLong_Check(sock);
	if (*own_fd)
		return fd_from(sock, fd) && !is_bad(*fd);
	if (!Py_IS_TYPE(sock, socket_type) && !ask_fileno(sock, fd))
		return false;
	if (*fd != -1)
		return !is_bad(*fd);
	if (has_attribute(sock, "readinto") && has_attribute(sock, "write"))
		return true;
	PyErr_Format(
	    PyExc_TypeError, "sock must be a socket, or an object with readinto and write, not %R", Py_TYPE(sock));
	return false;
}

/* ---- an object in place of a descriptor ---- */

/* What readinto and write return: None, a number of bytes, or -errno. An exception ends the call, not the connection. */
static ssize_t outcome(struct call *c, PyObject *answer, ssize_t want)
{
	ssize_t n;

	if (answer == Py_None)
		return want;
	n = answer == NULL ? -1 : PyLong_AsSsize_t(answer);
	if (PyErr_Occurred()) {
		call_keep_raised(c);
		return want;
	}
	if (n >= 0)
		return n;
	errno = (int)-n;
	return errno == EAGAIN || errno == EWOULDBLOCK ? want : DTLS_FAIL;
}

/* It gets bytes of its own, which it may keep. */
static ssize_t object_send(void *arg, const void *buf, size_t len)
{
	struct call *c = call_current();
	ssize_t n = DTLS_WANT_WRITE;
	PyObject *bytes, *answer;
	int error;

	(void)arg;
	call_enter(c);
	if (c->raised == NULL) {
		bytes = PyBytes_FromStringAndSize(buf, (Py_ssize_t)len);
		answer = bytes == NULL ? NULL : method_call(c->socket->sock, "write", bytes, NULL);
		n = outcome(c, answer, DTLS_WANT_WRITE);
		error = errno;
		Py_XDECREF(answer);
		Py_XDECREF(bytes);
	} else {
		error = EAGAIN;
	}
	call_leave(c);
	errno = error;
	return n;
}

/* The memory is the library's: a view that was kept must not show it any longer. */
static void release(struct call *c, PyObject *view)
{
	PyObject *done = method_call(view, "release", NULL, NULL);

	if (done == NULL)
		call_keep_raised(c);
	Py_XDECREF(done);
	Py_DECREF(view);
}

static ssize_t read_into(struct call *c, void *buf, size_t len)
{
	PyObject *view = PyMemoryView_FromMemory(buf, (Py_ssize_t)len, PyBUF_WRITE);
	PyObject *answer = view == NULL ? NULL : method_call(c->socket->sock, "readinto", view, NULL);
	ssize_t n = outcome(c, answer, DTLS_WANT_READ);
	int error = errno;

	Py_XDECREF(answer);
	if (view != NULL)
		release(c, view);
	errno = error;
	return n;
}

static ssize_t object_recv(void *arg, void *buf, size_t len)
{
	struct call *c = call_current();
	SocketObject *s = arg;
	ssize_t n = DTLS_WANT_READ;
	int error;

	call_enter(c);
	if (c->raised == NULL)
		n = read_into(c, buf, len);
	error = errno;
	call_leave(c);
	errno = error;
	/* An empty datagram is none: nothing to read now. */
	return n == 0 && s->datagrams ? DTLS_WANT_READ : n;
}

static PyObject *object_ioctl(PyObject *sock, long request, long argument)
{
	PyObject *a = PyLong_FromLong(request), *b = PyLong_FromLong(argument);
	PyObject *answer = a == NULL || b == NULL ? NULL : method_call(sock, "ioctl", a, b);

	Py_XDECREF(a);
	Py_XDECREF(b);
	return answer;
}

/* An object that cannot tell may always be tried. */
static int object_poll(void *arg, int mask)
{
	struct call *c = call_current();
	PyObject *answer;
	int bits = mask;

	(void)arg;
	call_enter(c);
	if (has_attribute(c->socket->sock, "ioctl")) {
		answer = object_ioctl(c->socket->sock, 3, mask);
		bits = answer == NULL ? -1 : (int)PyLong_AsLong(answer);
		Py_XDECREF(answer);
		if (PyErr_Occurred()) {
			call_keep_raised(c);
			bits = -1;
		}
	}
	call_leave(c);
	return bits;
}

struct ssl_transport transport_of(SocketObject *s)
{
	return (struct ssl_transport){object_send, object_recv, object_poll, s};
}

bool transport_close(SocketObject *s)
{
	PyObject *done;

	if (!s->over_fd && has_attribute(s->sock, "ioctl"))
		done = object_ioctl(s->sock, 4, 0);
	else if (has_attribute(s->sock, "close"))
		done = method_call(s->sock, "close", NULL, NULL);
	else
		done = none();
	Py_XDECREF(done);
	return done != NULL;
}
