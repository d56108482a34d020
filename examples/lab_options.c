#include "lab_options.h"

#include <inttypes.h>
#include <stdlib.h>

const struct lab_options lab_defaults = {
    .setup =
	{.suite = LAB_PSK_SUITE, .retransmit = DTLS_RETRANSMIT_ADAPTIVE, .min_ms = 1000, .max_ms = 60000, .mtu = 1200},
    .weather = {.latency_ms = 50},
    .seed = 1,
};

const char lab_setup_help[] = "      --suite=NAME        a cipher suite, or cert: certificates, with the\n"
			      "                          library's own choice\n"
			      "                          (default " LAB_PSK_SUITE ")\n"
			      "      --handshake-timeout=MIN-MAX\n"
			      "                          first and longest retransmission timer in ms\n"
			      "                          (default 1000-60000)\n"
			      "      --mtu=BYTES         of UDP payload that a datagram may fill, 256 to 16384\n"
			      "                          (default 1200)\n";

const char lab_link_help[] = "      --delay=MS          one way (default 50)\n"
			     "      --jitter=MS         up to so much more delay; may reorder\n"
			     "      --duplicate=P       deliver datagrams twice\n"
			     "      --reorder=P         hold datagrams back behind the next one\n"
			     "      --corrupt=P         change one byte of datagrams\n"
			     "      --rate=BYTES        so many bytes a second; datagrams queue for it\n"
			     "      --path-mtu=BYTES    lose datagrams with more bytes of payload\n"
			     "      --seed=N            of the weather (default 1)\n";

void lab_handshake_timeout(const char *option, char *text, int *min_ms, int *max_ms)
{
	char *dash = strchr(text, '-');

	if (dash == NULL)
		cli_usage("%s takes two numbers of milliseconds, MIN-MAX, not \"%s\"", option, text);
	*dash = '\0';
	*min_ms = (int)cli_number(option, text, 1, 3600000);
	*max_ms = (int)cli_number(option, dash + 1, 1, 3600000);
	*dash = '-';
	if (*min_ms > *max_ms)
		cli_usage("%s: the first timer, %d ms, is longer than the longest, %d ms", option, *min_ms, *max_ms);
}

static void set_retransmit(struct lab_options *o, const char *value)
{
	o->both = strcmp(value, "both") == 0;
	if (o->both && o->compares)
		return;
	if (strcmp(value, "fixed") == 0)
		o->setup.retransmit = DTLS_RETRANSMIT_FIXED;
	else if (strcmp(value, "adaptive") == 0)
		o->setup.retransmit = DTLS_RETRANSMIT_ADAPTIVE;
	else
		cli_usage("--retransmit takes %s, not \"%s\"",
		    o->compares ? "fixed, adaptive or both" : "fixed or adaptive", value);
}

void lab_option(struct lab_options *o, int option, char *value)
{
	switch (option) {
	case LAB_SUITE:
		o->setup.suite = value;
		break;
	case LAB_RETRANSMIT:
		set_retransmit(o, value);
		break;
	case LAB_HANDSHAKE_TIMEOUT:
		lab_handshake_timeout("--handshake-timeout", value, &o->setup.min_ms, &o->setup.max_ms);
		break;
	case LAB_MTU:
		o->setup.mtu = (size_t)cli_number("--mtu", value, 256, 16384);
		break;
	case LAB_PATH_MTU:
		o->weather.mtu = (size_t)cli_number("--path-mtu", value, 1, 65535);
		break;
	case LAB_SEED:
		o->seed = (uint64_t)cli_number("--seed", value, 0, INT64_MAX);
		break;
	case '?':
		exit(CLI_USAGE); /* getopt_long() has said why */
	default:
		cli_weather_option(&o->weather, option, value);
	}
}

/* ---- losses ---- */

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool read_percent(const char *text, double *percent)
{
	size_t digits = strspn(text, "0123456789.");
	bool has_end = text[digits] == '\0' || strcmp(text + digits, "%") == 0;
	char *end;

	*percent = strtod(text, &end);
	return digits > 0 && has_end && end == text + digits && *percent <= 100;
}

double lab_percent(const char *option, const char *text)
{
	double percent;

	if (!read_percent(text, &percent))
		cli_usage("%s takes a number from 0 to 100 (percent), not \"%s\"", option, text);
	return percent;
}

void lab_losses_parse(struct lab_losses *losses, const char *option, char *list)
{
	char *text;

	losses->count = 0;
	while ((text = strsep(&list, ",")) != NULL) {
		if (losses->count == LAB_LOSSES)
			cli_usage("%s takes %d numbers at most", option, LAB_LOSSES);
		if (!read_percent(text, &losses->percent[losses->count++]))
			cli_usage(
			    "%s takes numbers from 0 to 100 (percent) with commas between, not \"%s\"", option, text);
	}
	qsort(losses->percent, losses->count, sizeof(*losses->percent), compare);
	for (size_t i = 1; i < losses->count; i++)
		if (losses->percent[i] == losses->percent[i - 1])
			cli_usage("%s names %g percent twice", option, losses->percent[i]);
}

void lab_bursts_parse(const char *option, char *text, double *enter, double *leave)
{
	char *comma = strchr(text, ',');

	if (comma == NULL)
		cli_usage("%s takes ENTER,LEAVE: the chances that a burst begins, and that it ends, not \"%s\"", option,
		    text);
	*comma = '\0';
	*enter = cli_probability(option, text);
	*leave = cli_probability(option, comma + 1);
	if (*enter == 0 || *leave == 0)
		cli_usage("%s takes chances above 0: bursts must begin and end", option);
}

/* As many of the losses as the bursts can hold are in them, spread evenly; the others are between them. */
struct sim_weather lab_weather(const struct sim_weather *base, double loss, double enter, double leave)
{
	struct sim_weather weather = *base;
	double bursts = enter / (enter + leave); /* of all datagrams */

	weather.loss = loss / 100;
	if (enter == 0)
		return weather;
	weather.burst_enter = enter;
	weather.burst_leave = leave;
	weather.burst_loss = weather.loss < bursts ? weather.loss / bursts : 1;
	weather.loss = weather.loss < bursts ? 0 : (weather.loss - bursts) / (1 - bursts);
	return weather;
}

/* ---- what is told ---- */

void lab_describe(const struct lab_options *o, FILE *out)
{
	const struct lab_setup *setup = &o->setup;

	fprintf(out, "%s, %s %d-%d ms, MTU %zu, %" PRId64,
	    strcmp(setup->suite, "cert") == 0 ? "certificates" : setup->suite,
	    setup->retransmit == DTLS_RETRANSMIT_FIXED ? "fixed" : "adaptive", setup->min_ms, setup->max_ms, setup->mtu,
	    o->weather.latency_ms);
	if (o->weather.jitter_ms > 0)
		fprintf(out, "-%" PRId64, o->weather.latency_ms + o->weather.jitter_ms);
	fputs(" ms each way", out);
}
