/* cli_credentials.h - the keys, certificates and CAs that the options of cli_dtls.h name. */
#ifndef CLI_CREDENTIALS_H
#define CLI_CREDENTIALS_H

#include "cli_dtls.h"

/* Reads them all into o->ctx. What is wrong ends the program. */
void cli_credentials_load(const struct cli_dtls *o);
/* On SIGHUP: reads the files again, for new sessions, and says on stderr what became of each. What is bad as a whole or in
 * part changes nothing. */
void cli_credentials_reload(const struct cli_dtls *o);

#endif
