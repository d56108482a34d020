"""ssl_shim under the name that MicroPython's programs import."""

from ssl_shim import *  # noqa: F401, F403
from ssl_shim import __all__  # noqa: F401
