#include "lab_losses.h"

#include "cli.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double parse_percent(const char *option, const char *text)
{
	size_t digits = strspn(text, "0123456789.");
	bool has_end = text[digits] == '\0' || strcmp(text + digits, "%") == 0;
	char *end;
	double percent = strtod(text, &end);

	if (digits == 0 || !has_end || end != text + digits || percent > 100)
		cli_usage("%s takes numbers from 0 to 100 (percent) with commas between, not \"%s\"", option, text);
	return percent;
}

void lab_losses_parse(struct lab_losses *losses, const char *option, char *list)
{
	char *text;

	losses->count = 0;
	while ((text = strsep(&list, ",")) != NULL) {
		if (losses->count == LAB_LOSSES)
			cli_usage("%s takes %d numbers at most", option, LAB_LOSSES);
		losses->percent[losses->count++] = parse_percent(option, text);
	}
	qsort(losses->percent, losses->count, sizeof(*losses->percent), compare);
	for (size_t i = 1; i < losses->count; i++)
		if (losses->percent[i] == losses->percent[i - 1])
			cli_usage("%s names %g percent twice", option, losses->percent[i]);
}
