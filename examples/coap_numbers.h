/* coap_numbers.h - which readings of one run of a sensor were taken, by their numbers: a window that slides with the
 * newest. A reading that comes again, even in another session, is known by its number; one that was overtaken is not. */
#ifndef COAP_NUMBERS_H
#define COAP_NUMBERS_H

#include <stdint.h>

enum { NUMBERS_BACK = 64 }; /* what lies farther behind the newest than this can no longer be judged */

struct numbers { /* all zero at first */
	uint64_t newest; /* 0: none was taken */
	uint64_t taken; /* bit i: newest - i was */
};

enum numbers_verdict { NUMBERS_NEW, NUMBERS_KNOWN, NUMBERS_TOO_OLD };

/* number: 1 or more. */
enum numbers_verdict numbers_judge(const struct numbers *n, uint64_t number);
/* A new one becomes a known one. */
void numbers_take(struct numbers *n, uint64_t number);

#endif
