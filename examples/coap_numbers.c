#include "coap_numbers.h"

enum numbers_verdict numbers_judge(const struct numbers *n, uint64_t number)
{
	if (n->newest == 0 || number > n->newest)
		return NUMBERS_NEW;
	if (n->newest - number >= NUMBERS_BACK)
		return NUMBERS_TOO_OLD;
	return (n->taken >> (n->newest - number) & 1) != 0 ? NUMBERS_KNOWN : NUMBERS_NEW;
}

void numbers_take(struct numbers *n, uint64_t number)
{
	uint64_t step = number > n->newest ? number - n->newest : 0;

	if (step > 0) {
		n->taken = step < NUMBERS_BACK ? n->taken << step : 0;
		n->newest = number;
	}
	n->taken |= (uint64_t)1 << (n->newest - number);
}
