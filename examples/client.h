/* client.h - dtls-client in parts: dtls_client.c reads the command line and waits, client_connect.c finds the server,
 * client_session.c keeps a session for the next run, client_messages.c sends lines as messages (DTLS), client_bytes.c sends bytes (TLS). */
#ifndef CLIENT_H
#define CLIENT_H

#include "cli_dtls.h"

enum { CLIENT_MESSAGE_MAX = 16384 };

struct client {
	struct cli_dtls dtls;
	struct dtls_conn *conn; /* NULL while TCP is still connecting */
	struct addrinfo *addresses, *next; /* next: to be tried, or NULL */
	char name[CLI_ADDRESS_TEXT]; /* of the one that is tried */
	int fd, signals, status;
	char *host; /* as the command line has it */
	const char *hostname; /* that the server is asked for; NULL: none */
	const char *session; /* the file of --session; or NULL */
	bool session_loaded;
	bool verbose;
	int64_t timeout_ms, linger_ms, confirm_ms; /* confirm_ms 0: nothing is confirmed */
	int64_t started_at;
	int64_t stop_at; /* of the handshake, then of the line that is unconfirmed, at last of the lingering */
	int64_t repeat_at; /* of the line that is unconfirmed */
	bool connected, unconfirmed, lingers, waits_for_output, said_empty;
	bool more; /* to read, without waiting for the socket */
	bool heard, finished_sent; /* in the handshake */
	int refused; /* errno of an ICMP error, or 0 */
	char summary[200]; /* of the handshake */
	uint64_t sent, repeated, received; /* messages; over a stream, bytes */
	bool in_line; /* the last byte printed was no newline */
	struct cli_lines in;
	char confirmed[CLIENT_MESSAGE_MAX]; /* the line before */
	size_t confirmed_len;
};

/* Under --verbose: seconds since the start, then what happened. */
void client_tell(const struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Something failed; the session may go on until its end. */
void client_complain(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* At the end of the input, answers may still be under way. False: time is up. */
bool client_linger(struct client *c);

/* client_connect.c. Begins with the next address that has a route; false: there is none, and errno says what became of the
 * last. */
bool client_open(struct client *c);
bool client_finish_connecting(struct client *c); /* TCP; false: no address is left, and it was told */
void client_notice_refusal(struct client *c);
void client_complain_of_silence(struct client *c);
void client_complain_of_failure(struct client *c, int status); /* of the handshake */

/* client_session.c. Before the handshake; after it; when it has failed with the session that was loaded. */
void client_load_session(struct client *c);
void client_save_session(struct client *c);
void client_forget_session(struct client *c);

/* Receive and send what can be now. False: the session has ended. */
bool client_converse_messages(struct client *c);
bool client_converse_bytes(struct client *c);
/* close_notify over TCP, and a while for the server to read all that was sent. */
void client_close_stream(struct client *c);

#endif
