/* run.c - runs all suites, or the suites and tests that are named. */
#include "suites.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct selection {
	char **names; /* none: everything is selected */
	bool *found;
	int count;
};

struct totals {
	int run, failed;
};

static struct selection selection;
static const char *current_suite;
static bool list_only;
static int skipped;

static bool selected(const char *name)
{
	bool any = selection.count == 0;

	for (int i = 0; i < selection.count; i++) {
		if (strcmp(selection.names[i], name) != 0 && strcmp(selection.names[i], current_suite) != 0)
			continue;
		selection.found[i] = true;
		any = true;
	}
	return any;
}

void suite_add(Suite *suite, const char *name, const TTest *function)
{
	TCase *tcase;

	if (!selected(name))
		return;
	if (list_only)
		printf("%s %s\n", current_suite, name);
	tcase = tcase_create(name);
	tcase_set_timeout(tcase, TEST_TIMEOUT_S);
	tcase_add_test(tcase, function);
	suite_add_tcase(suite, tcase);
}

void suite_skip(const char *name, const char *why)
{
	if (!selected(name))
		return;
	printf("skip  %s: %s\n", name, why);
	skipped++;
}

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void run_suite(const char *name, Suite *(*make)(void), struct totals *totals)
{
	SRunner *runner;
	double started_at = now_s();
	int run;

	current_suite = name;
	runner = srunner_create(make());
	if (!list_only)
		srunner_run_all(runner, CK_SILENT);
	run = srunner_ntests_run(runner);
	if (run > 0) {
		printf("%-15s %6.2f s  ", name, now_s() - started_at);
		fflush(stdout);
		srunner_print(runner, CK_NORMAL);
	}
	totals->run += run;
	totals->failed += srunner_ntests_failed(runner);
	srunner_free(runner);
}

static int unknown_names(void)
{
	int unknown = 0;

	for (int i = 0; i < selection.count; i++) {
		if (selection.found[i])
			continue;
		fprintf(stderr, "run: no suite or test is called '%s'; -l lists them\n", selection.names[i]);
		unknown++;
	}
	return unknown;
}

int main(int argc, char **argv)
{
	struct totals totals = {0, 0};

	list_only = argc > 1 && strcmp(argv[1], "-l") == 0;
	selection.names = argv + 1 + list_only;
	selection.count = argc - 1 - list_only;
	selection.found = calloc((size_t)argc, sizeof(*selection.found));
	if (selection.found == NULL)
		return EXIT_FAILURE;

#define RUN_SUITE(name) run_suite(#name, name##_suite, &totals);
	SUITES(RUN_SUITE)

	if (unknown_names() > 0)
		return 2;
	if (!list_only)
		printf("%d passed, %d failed, %d skipped\n", totals.run - totals.failed, totals.failed, skipped);
	free(selection.found);
	return totals.failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
