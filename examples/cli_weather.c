#include "cli_weather.h"

#include "cli.h"
#include "dtls/sim.h"

const char cli_weather_help[] = "      --loss=P            lose datagrams\n"
				"      --burst-loss=P --burst-enter=P --burst-leave=P\n"
				"                          lose datagrams in bursts: the loss within one, and the\n"
				"                          chance that one begins or ends at a datagram\n"
				"                          (Gilbert-Elliott)\n"
				"      --duplicate=P       deliver datagrams twice\n"
				"      --reorder=P         hold datagrams back behind the next one\n"
				"      --corrupt=P         change one byte of datagrams\n"
				"      --delay=MS          one way\n"
				"      --jitter=MS         up to so much more delay; may reorder\n"
				"      --mtu=BYTES         lose datagrams with more bytes of payload\n"
				"      --rate=BYTES        so many bytes a second; datagrams queue for it\n";

static void set_chance(struct sim_weather *weather, int option, const char *value)
{
	const struct {
		int option;
		const char *name;
		double *chance;
	} chances[] = {
	    {CLI_LOSS, "--loss", &weather->loss},
	    {CLI_BURST_LOSS, "--burst-loss", &weather->burst_loss},
	    {CLI_BURST_ENTER, "--burst-enter", &weather->burst_enter},
	    {CLI_BURST_LEAVE, "--burst-leave", &weather->burst_leave},
	    {CLI_DUPLICATE, "--duplicate", &weather->duplicate},
	    {CLI_REORDER, "--reorder", &weather->reorder},
	    {CLI_CORRUPT, "--corrupt", &weather->corrupt},
	};

	for (size_t i = 0; i < sizeof(chances) / sizeof(*chances); i++)
		if (chances[i].option == option)
			*chances[i].chance = cli_probability(chances[i].name, value);
}

void cli_weather_option(struct sim_weather *weather, int option, const char *value)
{
	switch (option) {
	case CLI_DELAY:
		weather->latency_ms = cli_number("--delay", value, 0, 3600000);
		break;
	case CLI_JITTER:
		weather->jitter_ms = cli_number("--jitter", value, 0, 3600000);
		break;
	case CLI_LINK_MTU:
		weather->mtu = (size_t)cli_number("--mtu", value, 1, 65535);
		break;
	case CLI_RATE:
		weather->bytes_per_second = cli_number("--rate", value, 1, INT64_C(1000000000000));
		break;
	default:
		set_chance(weather, option, value);
	}
}

void cli_weather_check(const struct sim_weather *weather)
{
	if (weather->burst_loss > 0 && weather->burst_enter == 0)
		cli_usage("--burst-loss has no effect without --burst-enter, the chance that a burst begins");
	if (weather->burst_enter > 0 && (weather->burst_loss == 0 || weather->burst_leave == 0))
		cli_usage("--burst-enter needs --burst-loss and --burst-leave: the loss in a burst, and the chance of "
			  "its end");
	if (weather->burst_leave > 0 && weather->burst_enter == 0)
		cli_usage("--burst-leave has no effect without --burst-enter, the chance that a burst begins");
}
