/* error.h - sentences for people: the stage, the peer, mbed TLS's macro name, and a hint. */
#ifndef ERROR_H
#define ERROR_H

#include <stdbool.h>
#include <stddef.h>

enum { ERROR_MAX = 640, ERROR_NAME_MAX = 128 };

/* "MBEDTLS_ERR_SSL_INVALID_MAC" for -0x7180, both names for a combined code, the number for one without a name.
 * Names are those of the headers that the library was compiled against. Returns text. */
char *error_name(int code, char text[ERROR_NAME_MAX]);

/* Every module of mbed TLS has a code of its own for it. */
bool error_is_memory(int code);

struct association;

/* Writes the association's sentence for its code and alert, or for the transport's failure, which becomes the code;
 * stage is "handshake" or "session". */
void error_explain(struct association *, const char *stage);
/* The sentence of a handshake that nobody answered. */
void error_explain_timeout(struct association *);

/* Bytes as text: what is not printable ASCII as \xHH. Cuts with "..." at size, of which it keeps some room. Returns
 * text. */
enum { ERROR_BYTES_ROOM = 8 };
char *error_bytes(const void *bytes, size_t len, char *text, size_t size);

#endif
