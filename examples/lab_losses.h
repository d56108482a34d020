/* lab_losses.h - the list of loss rates that a sweep goes through: 0,5,20. */
#ifndef LAB_LOSSES_H
#define LAB_LOSSES_H

#include <stddef.h>

enum { LAB_LOSSES = 100 };

struct lab_losses {
	double percent[LAB_LOSSES]; /* sorted */
	size_t count;
};

/* Overwrites the text. */
void lab_losses_parse(struct lab_losses *losses, const char *option, char *list);

#endif
