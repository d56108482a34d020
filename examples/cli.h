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
/* The HOST of HOST:PORT, without brackets, for free(). */
char *cli_host(const char *text);
/* "192.0.2.7:5684" or "[2001:db8::7]:5684"; returns text. */
char *cli_address_text(const struct cli_address *address, char text[CLI_ADDRESS_TEXT]);
/* A socket of this type, such as SOCK_DGRAM | SOCK_NONBLOCK, bound to an address of cli_resolve(); one of
 * SOCK_STREAM listens. */
int cli_bind(const struct cli_address *address, int type);
/* As many descriptors as this process may have. */
void cli_raise_descriptors(void);
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

/* Where a program numbers its own options from, for getopt_long(3); those that programs share come before. */
enum { CLI_OWN = 1024 };

#endif
