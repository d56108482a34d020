/* cli.h - what the programs share: options with clear errors, addresses, signals, printing.
 * What is wrong with a command line or a start-up ends the program with one sentence on stderr and CLI_USAGE. */
#ifndef CLI_H
#define CLI_H

#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

struct dtls_context;
struct sim_weather;

enum { CLI_FAILED = 1, CLI_USAGE = 2, CLI_ADDRESS_TEXT = 72 };

/* Print "PROGRAM: sentence" and exit. Bytes that are not printable are escaped. */
void cli_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void cli_usage(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* First of all: where standard input, output or error is closed, no socket of ours may take its number. */
void cli_guard_standard(void);

/* The value of an option, a whole number from min to max. */
int64_t cli_number(const char *option, const char *text, int64_t min, int64_t max);
/* Seconds, whole or with a fraction, as milliseconds; up to max_s. */
int64_t cli_seconds(const char *option, const char *text, int64_t max_s);
/* "0.2" or "20%". */
double cli_probability(const char *option, const char *text);

struct cli_address {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_storage storage;
	};
	socklen_t len;
};

/* HOST:PORT or [IPv6]:PORT. Port 0 only where to_listen. */
struct cli_address cli_resolve(const char *option, const char *text, bool to_listen);
/* All addresses of HOST:PORT, for freeaddrinfo(). */
struct addrinfo *cli_resolve_all(const char *option, const char *text, bool to_listen);
/* "192.0.2.7:5684" or "[2001:db8::7]:5684"; returns text. */
char *cli_address_text(const struct cli_address *address, char text[CLI_ADDRESS_TEXT]);
/* A socket of this type, such as SOCK_DGRAM | SOCK_NONBLOCK, bound to an address of cli_resolve(). */
int cli_bind(const struct cli_address *address, int type);
/* Room for bursts in the buffers of a socket; the kernel may grant less. */
void cli_widen(int fd);
/* Prints "listening on ADDR:PORT" on stderr, with the port that was chosen for port 0. */
void cli_announce(int fd);

/* Blocks SIGINT, SIGTERM, SIGUSR1 and SIGHUP, to be taken from the descriptor that is returned, non-blocking. */
int cli_signals(void);
int cli_take_signal(int fd); /* 0: there is none */

/* A descriptor's input in lines, with or without '\n' at the end; all zero but for line at first. */
struct cli_lines {
	char bytes[32768];
	size_t start, end; /* of what was read and not yet used */
	size_t len; /* of the line at start */
	uint64_t line; /* its number, 1 at first */
	bool is_cut; /* the line is longer than bytes: its beginning was given up */
	bool at_end;
};
bool cli_lines_find(struct cli_lines *lines); /* true when a whole line is there */
void cli_lines_drop(struct cli_lines *lines); /* the line that was found */
/* Reads once. False: it failed, errno says why, and this is the end. */
bool cli_lines_read(struct cli_lines *lines, int fd);

int64_t cli_now_ms(void); /* CLOCK_MONOTONIC */
/* Printable ASCII as it is, any other byte as \xHH. */
void cli_print_bytes(FILE *out, const void *bytes, size_t len);
void cli_print_version(void);
/* At the end: CLI_FAILED and a sentence when standard output could not be written, else status. */
int cli_finish(int status);

/* The options that dtls-server and dtls-client share, for getopt_long(3); both number their own from CLI_OWN on. */
enum { CLI_PSK = 256, CLI_PSK_FILE, CLI_CIPHERS, CLI_HANDSHAKE_TIMEOUT, CLI_RETRANSMIT, CLI_MTU, CLI_LATER, CLI_OWN };
#define CLI_DTLS_OPTIONS                                                                                               \
	{"psk", required_argument, NULL, CLI_PSK}, {"psk-file", required_argument, NULL, CLI_PSK_FILE},                \
	    {"ciphers", required_argument, NULL, CLI_CIPHERS},                                                         \
	    {"handshake-timeout", required_argument, NULL, CLI_HANDSHAKE_TIMEOUT},                                     \
	    {"retransmit", required_argument, NULL, CLI_RETRANSMIT}, {"mtu", required_argument, NULL, CLI_MTU},        \
	    {"cert", required_argument, NULL, CLI_LATER}, {"key", required_argument, NULL, CLI_LATER},                 \
	    {"ca", required_argument, NULL, CLI_LATER}, {"verify", required_argument, NULL, CLI_LATER},                \
	    {"alpn", required_argument, NULL, CLI_LATER}, {"keylog", required_argument, NULL, CLI_LATER},              \
	{                                                                                                              \
		"tls", no_argument, NULL, CLI_LATER                                                                    \
	}
/* What --help says of them. */
extern const char cli_dtls_help[];
/* Applies one of them, which getopt_long() has just found; the key in value is overwritten. Any other is refused. */
void cli_dtls_option(struct dtls_context *ctx, int option, const char *name, char *value);

/* The options for the weather of a link, for getopt_long(3). */
enum { CLI_LOSS = 512, CLI_BURST_LOSS, CLI_BURST_ENTER, CLI_BURST_LEAVE, CLI_DUPLICATE, CLI_REORDER, CLI_CORRUPT };
enum { CLI_DELAY = 544, CLI_JITTER, CLI_LINK_MTU, CLI_RATE };
#define CLI_WEATHER_OPTIONS                                                                                            \
	{"loss", required_argument, NULL, CLI_LOSS}, {"burst-loss", required_argument, NULL, CLI_BURST_LOSS},          \
	    {"burst-enter", required_argument, NULL, CLI_BURST_ENTER},                                                 \
	    {"burst-leave", required_argument, NULL, CLI_BURST_LEAVE},                                                 \
	    {"duplicate", required_argument, NULL, CLI_DUPLICATE}, {"reorder", required_argument, NULL, CLI_REORDER},  \
	    {"corrupt", required_argument, NULL, CLI_CORRUPT}, {"delay", required_argument, NULL, CLI_DELAY},          \
	    {"jitter", required_argument, NULL, CLI_JITTER}, {"mtu", required_argument, NULL, CLI_LINK_MTU},           \
	{                                                                                                              \
		"rate", required_argument, NULL, CLI_RATE                                                              \
	}
extern const char cli_weather_help[];
void cli_weather_option(struct sim_weather *weather, int option, const char *value);
void cli_weather_check(const struct sim_weather *weather); /* after the last option */

#endif
