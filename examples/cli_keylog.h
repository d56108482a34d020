/* cli_keylog.h - the file that --keylog or SSLKEYLOGFILE names: secrets of sessions, for Wireshark. */
#ifndef CLI_KEYLOG_H
#define CLI_KEYLOG_H

#include "cli_dtls.h"

/* Opens it, where there is one, and makes the context write to it. */
void cli_keylog_open(struct cli_dtls *o);
/* The same by hand: opens the file, to append to, or ends the program with a sentence about option... */
int cli_keylog_file(const char *option, const char *path);
/* ...and writes one line. False: it could not, and says so. */
bool cli_keylog_write(int fd, const char *line);

#endif
