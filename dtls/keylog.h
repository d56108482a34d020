/* keylog.h - lines of an SSLKEYLOGFILE, by which Wireshark decrypts what it captured. */
#ifndef KEYLOG_H
#define KEYLOG_H

#include "settings.h"

/* Told of each secret of a session; the argument is the settings. */
mbed_secret keylog_secret;

#endif
