/* crowd.h - a hundred thousand plain mbed TLS clients in a process of their own, each at an address of its own
 * (127.1.0.0 and up), behind one UDP socket: what they cost is not the server's memory or time. Between their datagrams
 * they are saved. */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CROWD_MAX = 100000, CROWD_WINDOW = 32, CROWD_MESSAGE = 64 };

struct crowd {
	pid_t pid;
	int commands, reports; /* pipes */
};

struct crowd_command {
	enum { CROWD_CONNECT, CROWD_ECHO, CROWD_PLAIN } what;
	unsigned first, count; /* clients */
	unsigned messages; /* to echo, over all of them */
	bool shuffled; /* each in turn, or at random */
	uint16_t port; /* of the server, at 127.0.0.1 */
};

struct crowd_report {
	unsigned done, errors;
};

/* Before anything large is allocated. */
void crowd_start(struct crowd *);
void crowd_tell(struct crowd *, const struct crowd_command *);
/* To be called once reports can be read. */
struct crowd_report crowd_hear(struct crowd *);
void crowd_end(struct crowd *);

#endif
