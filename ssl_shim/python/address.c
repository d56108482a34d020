#include "binding.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

PyObject *address_tuple(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	char text[INET6_ADDRSTRLEN];

	if (address->ss_family == AF_INET)
		return Py_BuildValue(
		    "(si)", inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text)), (int)ntohs(in->sin_port));
	if (address->ss_family == AF_INET6)
		return Py_BuildValue("(siII)", inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text)),
		    (int)ntohs(in6->sin6_port), (unsigned)ntohl(in6->sin6_flowinfo), (unsigned)in6->sin6_scope_id);
	return none();
}

/* The wrapped socket's own answer, unless that is that it has no peer. */
static PyObject *ask_socket(SocketObject *s)
{
	if (has_attribute(s->sock, "getpeername"))
		return method_call(s->sock, "getpeername", NULL, NULL);
	errno = ENOTCONN;
	return PyErr_SetFromErrno(PyExc_OSError);
}

PyObject *address_of_peer(PyObject *self, PyObject *ignored)
{
	SocketObject *s = (SocketObject *)self;
	struct sockaddr_storage address;
	PyObject *answer = ask_socket(s);
	socklen_t len;

	(void)ignored;
	if (answer != NULL || !PyErr_ExceptionMatches(PyExc_OSError))
		return answer;
	Py_BEGIN_ALLOW_THREADS
	len = ssl_socket_peer_address(s->face, &address);
	Py_END_ALLOW_THREADS
	if (len == 0)
		return NULL;
	PyErr_Clear();
	return address_tuple(&address);
}
