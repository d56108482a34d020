"""TLS and DTLS with certificates and pre-shared keys, as in the ssl modules of Python and MicroPython, on mbed TLS."""

from ._ssl_shim import (
    CERT_NONE,
    CERT_OPTIONAL,
    CERT_REQUIRED,
    CLOSED,
    CONNECTED,
    FAILED,
    MBEDTLS_VERSION,
    PROTOCOL_DTLS_CLIENT,
    PROTOCOL_DTLS_SERVER,
    PROTOCOL_TLS_CLIENT,
    PROTOCOL_TLS_SERVER,
    DTLSPeer,
    DTLSServer,
    SSLContext,
    SSLSocket,
    wrap_socket,
)

__all__ = [
    "CERT_NONE",
    "CERT_OPTIONAL",
    "CERT_REQUIRED",
    "CLOSED",
    "CONNECTED",
    "DTLSPeer",
    "DTLSServer",
    "FAILED",
    "MBEDTLS_VERSION",
    "PROTOCOL_DTLS_CLIENT",
    "PROTOCOL_DTLS_SERVER",
    "PROTOCOL_TLS_CLIENT",
    "PROTOCOL_TLS_SERVER",
    "SSLContext",
    "SSLSocket",
    "wrap_socket",
]


def __getattr__(name):
    # asyncio is not imported for programs that do not use it.
    if name == "aio":
        from importlib import import_module

        try:
            return import_module(".aio", __name__)
        except ModuleNotFoundError as error:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
