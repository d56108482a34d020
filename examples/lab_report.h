/* lab_report.h - results in rows and columns: as a table to read, as CSV, as JSON. */
#ifndef LAB_REPORT_H
#define LAB_REPORT_H

#include "dtls/sim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct lab_column {
	const char *name; /* in CSV and JSON: "median_ms" */
	const char *title; /* in the table: "median"; NULL: not there */
	const char *group; /* above the title; it stands for the next columns, too */
	bool is_text; /* to the left; numbers are to the right */
};

struct lab_value {
	char *text; /* NULL: there is none */
	bool is_text;
};

struct lab_report {
	const struct lab_column *columns;
	size_t column_count;
	struct lab_value *values; /* row after row */
	size_t value_count;
	struct lab_setting { /* in JSON alone */
		const char *name;
		struct lab_value value;
	} * settings;
	size_t setting_count;
};

struct lab_report *lab_report_new(const struct lab_column *columns, size_t count);
void lab_report_free(struct lab_report *);

/* The next value of the row, or of the next row's first column. */
void lab_report_text(struct lab_report *, const char *text);
/* With so many decimals; -1: as many as it needs. */
void lab_report_number(struct lab_report *, double number, int decimals);
void lab_report_none(struct lab_report *);
void lab_report_setting_text(struct lab_report *, const char *name, const char *text);
void lab_report_setting_number(struct lab_report *, const char *name, double number);

/* The settings of the links, but for losses. */
void lab_report_weather(struct lab_report *, const struct sim_weather *weather);
void lab_report_seed(struct lab_report *, uint64_t seed);
/* The same in words, within a line. */
void lab_describe_weather(const struct sim_weather *weather, FILE *out);
/* Ends the program where there is none. */
void *lab_must(void *memory);

void lab_report_print(const struct lab_report *, FILE *out);
void lab_report_csv(const struct lab_report *, FILE *out);
/* {"settings": {...}, "cells": [{...}, ...]} */
void lab_report_json(const struct lab_report *, FILE *out);

#endif
