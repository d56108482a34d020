/* cli_weather.h - the options for the weather of a link, for getopt_long(3). */
#ifndef CLI_WEATHER_H
#define CLI_WEATHER_H

#include <getopt.h>

struct sim_weather;

enum { CLI_LOSS = 512, CLI_BURST_LOSS, CLI_BURST_ENTER, CLI_BURST_LEAVE, CLI_DUPLICATE, CLI_REORDER, CLI_CORRUPT };
enum { CLI_DELAY = 544, CLI_JITTER, CLI_LINK_MTU, CLI_RATE };
#define CLI_WEATHER_OPTIONS                                                                                            \
	{"loss", required_argument, NULL, CLI_LOSS}, {"burst-loss", required_argument, NULL, CLI_BURST_LOSS},          \
	    {"burst-enter", required_argument, NULL, CLI_BURST_ENTER},                                                 \
	    {"burst-leave", required_argument, NULL, CLI_BURST_LEAVE},                                                 \
	    {"duplicate", required_argument, NULL, CLI_DUPLICATE}, {"reorder", required_argument, NULL, CLI_REORDER},  \
	    {"corrupt", required_argument, NULL, CLI_CORRUPT}, {"delay", required_argument, NULL, CLI_DELAY},          \
	    {"jitter", required_argument, NULL, CLI_JITTER}, {"mtu", required_argument, NULL, CLI_LINK_MTU},           \
	{                                                                                                              \
		"rate", required_argument, NULL, CLI_RATE                                                              \
	}
extern const char cli_weather_help[];
void cli_weather_option(struct sim_weather *weather, int option, const char *value);
void cli_weather_check(const struct sim_weather *weather); /* after the last option */

#endif
