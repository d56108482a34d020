/* lab_options.h - the options that the lab's commands share, for getopt_long(3). */
#ifndef LAB_OPTIONS_H
#define LAB_OPTIONS_H

#include "cli_weather.h"
#include "lab_run.h"

enum { LAB_SUITE = 768, LAB_RETRANSMIT, LAB_HANDSHAKE_TIMEOUT, LAB_MTU, LAB_PATH_MTU, LAB_SEED };

/* What both sides do... */
#define LAB_SETUP_OPTIONS                                                                                              \
	{"suite", required_argument, NULL, LAB_SUITE}, {"retransmit", required_argument, NULL, LAB_RETRANSMIT},        \
	    {"handshake-timeout", required_argument, NULL, LAB_HANDSHAKE_TIMEOUT},                                     \
	{                                                                                                              \
		"mtu", required_argument, NULL, LAB_MTU                                                                \
	}
/* ...and what the links do, but for losing datagrams. */
#define LAB_LINK_OPTIONS                                                                                               \
	{"delay", required_argument, NULL, CLI_DELAY}, {"jitter", required_argument, NULL, CLI_JITTER},                \
	    {"duplicate", required_argument, NULL, CLI_DUPLICATE}, {"reorder", required_argument, NULL, CLI_REORDER},  \
	    {"corrupt", required_argument, NULL, CLI_CORRUPT}, {"rate", required_argument, NULL, CLI_RATE},            \
	    {"path-mtu", required_argument, NULL, LAB_PATH_MTU},                                                       \
	{                                                                                                              \
		"seed", required_argument, NULL, LAB_SEED                                                              \
	}
/* What --help says of them. */
extern const char lab_setup_help[], lab_link_help[];

struct lab_options {
	bool compares; /* set by a command that takes --retransmit=both... */
	bool both; /* ...which was given: setup.retransmit says nothing */
	struct lab_setup setup;
	struct sim_weather weather;
	uint64_t seed;
};

/* The defaults: PSK, adaptive, 1000-60000 ms, 1200 bytes, 50 ms each way, seed 1. */
extern const struct lab_options lab_defaults;
/* One of these, or of cli_weather.h, or '?', which getopt_long() has just found. */
void lab_option(struct lab_options *, int option, char *value);
enum { LAB_LOSSES = 100 };

struct lab_losses {
	double percent[LAB_LOSSES]; /* sorted */
	size_t count;
};

/* The list of loss rates that a sweep goes through: 0,5,20. Overwrites the text. */
void lab_losses_parse(struct lab_losses *, const char *option, char *list);
/* One loss rate. */
double lab_percent(const char *option, const char *text);
/* "ENTER,LEAVE": the chances that a burst begins or ends at a datagram. Overwrites the text. */
void lab_bursts_parse(const char *option, char *text, double *enter, double *leave);
/* This weather with so many percent of the datagrams lost, in bursts, unless enter is 0. */
struct sim_weather lab_weather(const struct sim_weather *, double loss, double enter, double leave);

/* "MIN-MAX", two numbers of milliseconds. Text is left as it was. */
void lab_handshake_timeout(const char *option, char *text, int *min_ms, int *max_ms);
/* What both sides do, and how long a datagram takes, as a line without its end. */
void lab_describe(const struct lab_options *, FILE *out);

#endif
