/* cli_keylog.h - the file that --keylog or SSLKEYLOGFILE names: secrets of sessions, for Wireshark. */
#ifndef CLI_KEYLOG_H
#define CLI_KEYLOG_H

#include "cli_dtls.h"

/* Opens it, where there is one, and makes the context write to it. */
void cli_keylog_open(struct cli_dtls *o);

#endif
