/* drops.h - which datagrams of a link in both directions are to be lost: a list such as 1,3-5,c7,s9-11. */
#ifndef DROPS_H
#define DROPS_H

#include "cli.h"

#include <limits.h>
#include <string.h>

enum direction { TO_SERVER, TO_CLIENT, DIRECTIONS };
enum { MAX_DROPS = 256 };

struct drops {
	struct { /* the datagrams first..last */
		bool to[DIRECTIONS];
		unsigned first, last;
	} list[MAX_DROPS];
	size_t count;
};

/* N or N-M, after c (from clients), s (from the server) or nothing (both). */
static inline void drops_add_part(struct drops *drops, const char *option, char *part)
{
	char *first = part + (*part == 'c' || *part == 's'), *dash = strchr(first, '-');
	size_t i = drops->count;

	if (i == MAX_DROPS)
		cli_usage("%s takes %d numbers and ranges at most", option, MAX_DROPS);
	drops->list[i].to[TO_SERVER] = *part != 's';
	drops->list[i].to[TO_CLIENT] = *part != 'c';
	if (dash != NULL)
		*dash = '\0';
	drops->list[i].first = (unsigned)cli_number(option, first, 1, UINT_MAX);
	drops->list[i].last = (unsigned)cli_number(option, dash ? dash + 1 : first, drops->list[i].first, UINT_MAX);
	drops->count++;
}

/* Overwrites the text. */
static inline void drops_add(struct drops *drops, const char *option, char *text)
{
	char *part;

	while ((part = strsep(&text, ",")) != NULL)
		drops_add_part(drops, option, part);
}

static inline bool drops_include(const struct drops *drops, enum direction direction, unsigned nth)
{
	for (size_t i = 0; i < drops->count; i++) {
		if (drops->list[i].to[direction] && nth >= drops->list[i].first && nth <= drops->list[i].last)
			return true;
	}
	return false;
}

#endif
