from ssl_shim import *
