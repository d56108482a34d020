#include "binding.h"

#include <stddef.h>

PyMemberDef weakly_referenced[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(ContextObject, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static bool add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **type)
{
	*type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
	return *type != NULL && PyModule_AddType(module, *type) == 0;
}

/* Of a server; each is one object, so that it may be compared by identity, too. */
static bool add_event(PyObject *module, const char *name, const char *text, PyObject **event)
{
	*event = PyUnicode_InternFromString(text);
	return *event != NULL && PyModule_AddObjectRef(module, name, *event) == 0;
}

static int module_exec(PyObject *module)
{
	static const struct {
		const char *name;
		int value;
	} constants[] = {{"PROTOCOL_TLS_CLIENT", PROTOCOL_TLS_CLIENT}, {"PROTOCOL_TLS_SERVER", PROTOCOL_TLS_SERVER},
	    {"PROTOCOL_DTLS_CLIENT", PROTOCOL_DTLS_CLIENT}, {"PROTOCOL_DTLS_SERVER", PROTOCOL_DTLS_SERVER},
	    {"CERT_NONE", CERT_NONE}, {"CERT_OPTIONAL", CERT_OPTIONAL}, {"CERT_REQUIRED", CERT_REQUIRED}};
	struct module_state *state = PyModule_GetState(module);

	for (size_t i = 0; i < sizeof(constants) / sizeof(*constants); i++)
		if (PyModule_AddIntConstant(module, constants[i].name, constants[i].value) != 0)
			return -1;
	if (PyModule_AddStringConstant(module, "MBEDTLS_VERSION", ssl_mbedtls_version()) != 0)
		return -1;
	if (!add_type(module, &context_spec, &state->context_type) ||
	    !add_type(module, &socket_spec, &state->socket_type) ||
	    !add_type(module, &server_spec, &state->server_type) || !add_type(module, &peer_spec, &state->peer_type))
		return -1;
	if (!add_event(module, "CONNECTED", "connected", &state->connected) ||
	    !add_event(module, "CLOSED", "closed", &state->closed) ||
	    !add_event(module, "FAILED", "failed", &state->failed))
		return -1;
	return 0;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
	struct module_state *state = PyModule_GetState(module);

	Py_VISIT(state->context_type);
	Py_VISIT(state->socket_type);
	Py_VISIT(state->server_type);
	Py_VISIT(state->peer_type);
	return 0;
}

static int module_clear(PyObject *module)
{
	struct module_state *state = PyModule_GetState(module);

	Py_CLEAR(state->context_type);
	Py_CLEAR(state->socket_type);
	Py_CLEAR(state->server_type);
	Py_CLEAR(state->peer_type);
	Py_CLEAR(state->connected);
	Py_CLEAR(state->closed);
	Py_CLEAR(state->failed);
	return 0;
}

static PyMethodDef functions[] = {
    {"wrap_socket", (PyCFunction)(void (*)(void))module_wrap_socket, METH_VARARGS | METH_KEYWORDS,
	module_wrap_socket_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ssl_shim._ssl_shim",
    .m_size = sizeof(struct module_state),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC PyInit__ssl_shim(void);

PyMODINIT_FUNC PyInit__ssl_shim(void)
{
	return PyModuleDef_Init(&definition);
}
