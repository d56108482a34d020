/* lab_message_drops.h - which messages are to be lost: a list such as ServerHelloDone#1,cFinished#2-3,Certificate. */
#ifndef LAB_MESSAGE_DROPS_H
#define LAB_MESSAGE_DROPS_H

#include "lab_messages.h"

struct lab_message_drops { /* all zero at first */
	struct lab_message_drop { /* the first..last time that it is sent */
		char text[48]; /* as it was given */
		enum lab_kind kind;
		bool to[DIRECTIONS];
		unsigned first, last;
	} list[MAX_DROPS];
	size_t count;
	unsigned sent[DIRECTIONS][LAB_KINDS]; /* how often; a message in fragments counts with its first one */
};

/* Overwrites the text. */
void lab_message_drops_add(struct lab_message_drops *drops, const char *option, char *text);
/* Is this datagram, the next one in this direction, to be lost? */
bool lab_message_drops_include(
    const struct lab_message_drops *drops, enum direction direction, const void *datagram, size_t len);
/* It has been sent, or lost. */
void lab_message_drops_sent(
    struct lab_message_drops *drops, enum direction direction, const void *datagram, size_t len);
/* The first one, from index *next on, that nothing was lost for, since it was not sent so often; NULL: none. */
const char *lab_message_drops_unused(const struct lab_message_drops *drops, size_t *next);

#endif
