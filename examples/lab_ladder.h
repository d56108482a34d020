/* lab_ladder.h - one handshake as a ladder diagram: the two sides are the uprights, and each datagram is a rung. */
#ifndef LAB_LADDER_H
#define LAB_LADDER_H

#include "drops.h"

#include <stdint.h>
#include <stdio.h>

enum { LAB_LADDER_WIDTH = 100 }; /* columns */

struct lab_ladder_row { /* what happened at a side: the one whose datagrams go in this direction */
	int64_t at_ms;
	enum direction direction;
	bool is_datagram;
	char *text;
	/* Of a datagram: */
	unsigned nth;
	bool corrupted;
	uint8_t *bytes;
	size_t len;
	int delivered, arrived; /* copies; those that have arrived did so at... */
	int64_t arrivals[4];
};

struct lab_ladder { /* all zero at first */
	struct lab_ladder_row *rows;
	size_t count;
	struct lab_ladder_side {
		unsigned sent; /* datagrams */
		int flight; /* the latest */
		int seq; /* of its latest message in the clear */
		bool is_armed;
		int64_t due_at, heard_at;
	} sides[DIRECTIONS];
};

/* These take what struct lab_watch in lab_run.h tells. */
void lab_ladder_sent(
    struct lab_ladder *, int64_t now_ms, enum direction, const void *datagram, size_t len, int delivered);
void lab_ladder_arrived(struct lab_ladder *, int64_t now_ms, enum direction, const void *datagram, size_t len);
void lab_ladder_told(struct lab_ladder *, int64_t now_ms, enum direction, const char *event);
void lab_ladder_timer(struct lab_ladder *, int64_t now_ms, enum direction, int due_ms);
void lab_ladder_failed(struct lab_ladder *, int64_t now_ms, enum direction, const char *sentence);

/* With a legend. */
void lab_ladder_draw(const struct lab_ladder *, FILE *out, bool ascii);
void lab_ladder_free(struct lab_ladder *);

#endif
